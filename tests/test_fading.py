"""Policy and mix come late and go early: the warm-up of a mix, annealing, and what of both a study can ask."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from loops_for_tests import trial_of
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from scipy.stats import binomtest
from small_problems import seeded
from studies_for_tests import tiny
from torch import Generator, Tensor
from transforms_for_tests import trial_with

from autoaug import Task
from autoaug.learners import LearnedMix
from autoaug.mixing import Mixed, TrainingBatch, TrainingSetting, build, mixup
from autoaug.policy import Fixed, Relaxed, apply, policy_tree, ready
from autoaug.strategies import none, one_epoch_top_k
from autoaug.study import knobs, plan, preflight, set_up
from autoaug.testing._learner import TASK
from autoaug.train import TrainingRun, mix_share, policy_share
from autoaug.trial import Trial
from autoaug.trial._dataset import reading

INVERT = policy_tree(apply("invert", 1.0))
"""What it met shows."""

HALF = replace(TASK, epochs=3, refine_epochs=1, anneal=1)
"""In the third epoch policy and mix have half of their strength."""


def run_of(task: Task, mix: Any, policy: Any = INVERT) -> TrainingRun:
    built = Fixed(policy) if policy is INVERT else policy
    return TrainingRun(task, built, mix, None, seeded(), task.load())


def batch(count: int = 12) -> tuple[Tensor, Tensor]:
    return torch.rand(count, 1, 8, 8, generator=seeded(1)), torch.arange(count) % 2


# ---- the shares ----


@pytest.mark.parametrize(
    ("anneal", "shares"),
    [
        (0, [1, 1, 1, 1, 0]),
        (1, [1, 1, 1, 1 / 2, 0]),
        (3, [1, 3 / 4, 2 / 4, 1 / 4, 0]),
        (0.5, [1, 1, 2 / 3, 1 / 3, 0]),
        (0.01, [1, 1, 1, 1 / 2, 0]),
        (0.99, [4 / 5, 3 / 5, 2 / 5, 1 / 5, 0]),
    ],
)
def test_the_shares_are_those_worked_out_by_hand(anneal: float, shares: list[float]) -> None:
    task = replace(TASK, epochs=4, refine_epochs=1, anneal=anneal)
    assert [policy_share(task, epoch, 4) for epoch in range(1, 6)] == pytest.approx(shares)
    assert [mix_share(task, epoch, 4) for epoch in range(1, 6)] == pytest.approx(shares)
    warmed = replace(task, mix_warmup=2)
    assert [mix_share(warmed, epoch, 4) for epoch in range(1, 6)] == pytest.approx([0, 0, *shares[2:]])
    assert [policy_share(warmed, epoch, 4) for epoch in range(1, 6)] == pytest.approx(shares)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"anneal": 1.0}, r"^Task.anneal is 1.0: give a share of the steps in \[0, 1\), or a whole number of epochs$"),
    ({"anneal": -1}, r"^Task.anneal is -1: give a share"),
    ({"anneal": 3}, r"^Task.anneal is 3: give fewer epochs than Task.epochs=3, or a share$"),
    ({"mix_warmup": 3}, r"^the mix would never be on: its warmup is 3: give fewer epochs than Task.epochs=3 to mix.w"),
    ({"mix_warmup": 0.5}, r"^Task.mix_warmup is 0.5: give a whole number of at least 0$"),
]


@pytest.mark.parametrize(("wrong", "message"), REFUSED)
def test_what_is_no_window_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TASK, **wrong)


# ---- a training ----


def test_a_step_is_the_one_made_by_hand() -> None:
    """The policy's draws and the mix's are those of their streams; the gate is drawn after the policy."""
    run, (images, targets) = run_of(HALF, mixup(1.0)), batch()
    run.epoch = 3
    streams = {name: Generator().set_state(run.streams[name].get_state()) for name in ("augment", "mix")}
    seen = run.augment(images, targets)
    changed = Fixed(INVERT)(images, streams["augment"])
    chosen = torch.rand(len(images), generator=streams["augment"]) < 0.5
    by_hand = torch.stack([changed[k] if chosen[k] else images[k] for k in range(len(images))])
    wanted = mixup(0.5)(by_hand, torch.eye(2)[targets], streams["mix"])
    assert 0 < chosen.sum() < len(images)
    assert all(torch.equal(one, two) for one, two in zip(seen[:2], wanted, strict=True))
    assert all(torch.equal(run.streams[name].get_state(), streams[name].get_state()) for name in streams)


@pytest.mark.parametrize("epoch", [1, 2])
def test_before_the_window_nothing_differs(epoch: int) -> None:
    seen = []
    for task in (HALF, replace(HALF, anneal=0)):
        run = run_of(task, mixup(1.0))
        run.epoch = epoch
        seen.append(run.augment(*batch()))
    assert all(torch.equal(one, two) for one, two in zip(seen[0][:2], seen[1][:2], strict=True))


def test_as_many_images_meet_the_policy_as_the_share_says() -> None:
    run = run_of(replace(HALF, epochs=6, anneal=5), build("none"))
    for epoch, share in enumerate([1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6, 0], 1):
        run.epoch = epoch
        met = int((run.augment(torch.zeros(1000, 1, 2, 2), torch.zeros(1000, dtype=torch.long))[0][:, 0, 0, 0]).sum())
        assert binomtest(met, 1000, share).pvalue > 1e-6, f"{met} of 1000 in epoch {epoch}"


def test_a_policy_that_moves_gets_the_gradient_of_the_images_that_meet_it() -> None:
    policy = Relaxed(["brightness"], stages=1)
    run, (images, targets) = run_of(replace(HALF, mix_warmup=1), build("none"), policy), batch()
    run.epoch = 3
    rng = Generator().set_state(run.streams["augment"].get_state())
    parameters = [each for each in policy.parameters() if each.requires_grad]
    found = torch.autograd.grad(run.augment(images, targets)[0].square().sum(), parameters, allow_unused=True)
    changed = policy(images, rng)
    chosen = torch.rand(len(images), generator=rng) < 0.5
    wanted = torch.autograd.grad(changed[chosen].square().sum(), parameters, allow_unused=True)
    assert any(each is not None and bool(each.any()) for each in wanted)
    assert all(
        one is two is None or torch.allclose(one, two, atol=1e-6) for one, two in zip(found, wanted, strict=True)
    )


class Recording:
    """A mix that needs the training, and remembers at which strength it was asked."""

    mixes = True

    def __init__(self, share: float = 1.0, seen: list[float] | None = None) -> None:
        self.share, self.seen = share, [] if seen is None else seen

    def weakened(self, share: float) -> "Recording":
        return Recording(share, self.seen)

    def check(self, setting: TrainingSetting) -> list[str]:
        return []

    def mix_in_training(self, batch: TrainingBatch) -> Mixed:
        self.seen.append(self.share)
        return Mixed(batch.images, batch.targets)


def test_a_mix_of_the_training_comes_late_and_goes_early() -> None:
    mix = Recording()
    run = run_of(replace(TASK, epochs=5, anneal=2, mix_warmup=1), mix)
    for run.epoch in range(1, 7):
        run.augment(*batch())
    assert mix.seen == pytest.approx([1, 1, 2 / 3, 1 / 3])


def test_a_mix_that_is_learned_is_weakened_as_it_stands() -> None:
    mix, (images, targets) = LearnedMix(mixup(0.4)), batch()
    run = run_of(replace(HALF, epochs=3), mix, Fixed(ready.none()))
    run.epoch = 3
    rng = Generator().set_state(run.streams["mix"].get_state())
    seen = run.augment(images, targets)[0]
    assert torch.equal(seen, mixup(0.2)(images, torch.eye(2)[targets], rng)[0])
    assert all(bool(grad) for grad in torch.autograd.grad(seen.square().sum(), list(mix.parameters())))


def test_a_mix_that_cannot_be_weakened_is_refused_where_it_would_have_to_be() -> None:
    def own(images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        return images, targets

    for make in (lambda task: run_of(task, own), lambda task: fading_trial(task, own)):
        make(replace(TASK, mix_warmup=1))
        with pytest.raises(ValueError, match=r"Task.anneal is 1, and <function .*own.* cannot be weakened: give a mix"):
            make(HALF)


# ---- a loop of one's own ----


def fading_trial(task: Task, mix: Any) -> Trial:
    strategy = none()._replace(policy=lambda: Fixed(INVERT))
    trial = trial_of(lambda: strategy, task=replace(task, data=None))
    return Trial({}, trial.policy, mix, trial.learner, trial.task, 0)


def test_a_loop_sees_what_a_training_of_the_same_seed_sees() -> None:
    task = replace(TASK, epochs=5, refine_epochs=1, anneal=2, mix_warmup=2)
    run, trial = run_of(task, mixup(1.0)), fading_trial(task, mixup(1.0))
    for name, stream in trial.streams.items():
        stream.set_state(run.streams[name].get_state())
    for epoch in trial.epochs():
        run.epoch = epoch
        for _ in range(2):
            one, two = run.augment(*batch()), trial.augment(*batch(), 2)
            assert all(torch.equal(a, b) for a, b in zip(one[:2], two, strict=True)), f"epoch {epoch}"
    assert epoch == 6


def test_a_loop_that_names_its_epochs_anneals_the_last_of_them() -> None:
    trial = fading_trial(replace(TASK, epochs=9, refine_epochs=0, anneal=0.5), build("none"))
    shares = [trial.policy_share for _ in trial.epochs(4)]
    assert shares == pytest.approx([1, 1, 2 / 3, 1 / 3])


def test_a_loop_that_counts_its_epochs_itself_warms_the_mix_up() -> None:
    trial = fading_trial(replace(TASK, mix_warmup=2), mixup())
    found = []
    for trial.epoch in range(4):  # it is one behind: an epoch counts once it is reported
        found.append(trial.mix_share)
    assert found == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"anneal": 2}, r"trial.epochs\(total=2\), and the study has anneal=2: train longer, or lower that"),
        ({"mix_warmup": 2}, r"trial.epochs\(total=2\), and the study has mix.warmup=2"),
        (
            {"total_epochs": 9},
            r"trial.epochs\(total=2\), and the study fixes total_epochs=9, of which 9 have the policy",
        ),
    ],
)
def test_epochs_of_a_loop_that_do_not_go_with_the_task_are_refused(fields: dict[str, Any], message: str) -> None:
    task = replace(TASK, epochs=8, refine_epochs=0, **fields)
    with pytest.raises(ValueError, match=message):
        next(fading_trial(task, mixup()).epochs(2))
    assert next(fading_trial(task, mixup()).epochs()) == 1


def test_the_transform_of_a_loop_is_annealed_by_the_item() -> None:
    trial = trial_with(INVERT, epochs=2, anneal=1)
    transform, black = trial.transform, torch.zeros(1, 4, 4, dtype=torch.uint8)
    drawn = {}
    for epoch in trial.epochs():
        found = []
        for k in range(600):
            with reading(k):
                found.append(int(transform(black)[0, 0, 0]) // 255)
        drawn[epoch] = found
    assert sum(drawn[1]) == 600
    assert binomtest(sum(drawn[2]), 600, 0.5).pvalue > 1e-6


def test_an_item_that_meets_an_annealed_policy_meets_the_draws_of_all() -> None:
    drawn = []
    for anneal in (0, 1):
        trial = trial_with(policy_tree(apply("brightness", (0.1, 1.0))), epochs=2, anneal=anneal)
        transform, grey = trial.transform, torch.full((1, 4, 4), 100, dtype=torch.uint8)
        for _ in trial.epochs():
            found = []
            for k in range(40):
                with reading(k):
                    found.append(int(transform(grey)[0, 0, 0]))
        drawn.append(found)
    whole, half = drawn
    assert all(two in (one, 100) for one, two in zip(whole, half, strict=True))
    assert 0 < sum(two == one != 100 for one, two in zip(whole, half, strict=True)) < 40


# ---- a study ----


def test_the_warm_up_of_a_mix_reaches_the_training_from_wherever_it_is_said() -> None:
    space = {"mix.kind": CategoricalDistribution(["none", "mixup"]), "mix.warmup": IntDistribution(0, 1)}
    said: list[Callable[[], Any]] = [
        lambda: (tiny(strategies={"x": none().mixed("mixup", alpha=0.2, warmup=1)}, space={}), {}),
        lambda: (tiny(strategies={"x": none()}, space={}, mix={"kind": "mixup", "warmup": 1}), {}),
        lambda: (tiny(strategies={"x": none()}, space=space), {"mix.kind": "mixup", "mix.warmup": 1}),
    ]
    for make in said:
        study, point = make()
        setup = set_up(study, "x", point)
        assert setup.task.mix_warmup == 1
        assert setup.mix == build("mixup", **({"alpha": 0.2} if study.strategies["x"].mix else {}))


def test_a_warm_up_is_asked_for_where_anything_is_mixed() -> None:
    space = {
        "mix.kind": CategoricalDistribution(["none", "mixup"]),
        "mix.alpha": FloatDistribution(0, 1),
        "mix.warmup": IntDistribution(0, 1),
    }
    study = tiny(strategies={"x": none()}, space=space)
    assert study.uses("x", "mix.warmup", {"mix.kind": "mixup", "mix.alpha": 0.5})
    assert not study.uses("x", "mix.warmup", {"mix.kind": "mixup", "mix.alpha": 0})
    assert not study.uses("x", "mix.warmup", {"mix.kind": "none"})
    assert study.first_of("x")[0]["mix.warmup"] == 0
    with pytest.raises(ValueError, match=r"'mix.warmup' would change nothing: no mix is named"):
        tiny(strategies={"x": none()}, space={"mix.warmup": IntDistribution(0, 1)})
    with pytest.raises(ValueError, match=r"unknown dimension 'task.mix_warmup'"):
        tiny(strategies={"x": none()}, space={"task.mix_warmup": IntDistribution(0, 1)})


@pytest.mark.parametrize(
    ("kind", "warmup", "message"),
    [
        ("mixup", -1, r"^mix.warmup is -1: give a whole number of at least 0$"),
        ("mixup", 0.5, r"^mix.warmup is 0.5: give a whole number"),
        ("none", 1, r"^mix.warmup is 1, and 'none' takes"),
    ],
)
def test_a_warm_up_that_is_none_is_refused_by_the_strategy(kind: str, warmup: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        none().mixed(kind, warmup=warmup)


def test_a_warm_up_as_long_as_the_training_is_found_before_a_study_runs() -> None:
    study = tiny(strategies={"x": none().mixed("mixup")}, space={"mix.warmup": IntDistribution(0, 2)})
    with pytest.raises(ValueError, match=r"the mix would never be on: its warmup is 2.*tried: mix.warmup=2"):
        preflight(study)


def test_every_way_to_fade_and_to_divide_has_an_effect() -> None:
    space = {
        "mix.warmup": IntDistribution(0, 1),
        "task.anneal": IntDistribution(0, 1),
        "task.refine_share": FloatDistribution(0, 0.5),
        "task.refine_lr": CategoricalDistribution(["last", "restart"]),
        "task.refine_standard": CategoricalDistribution([True, False]),
    }
    inverting = none()._replace(policy=lambda: Fixed(INVERT)).mixed("mixup")
    fixed = replace(tiny().task, total_epochs=6, refine_share=0.3, standard="flip")
    study = tiny(strategies={"x": inverting}, space=space, task=fixed)
    found = {each.dimension: each.effect for each in knobs(study, seconds=math.inf)}
    assert found == dict.fromkeys(space, True)


# ---- fixed totals ----


def test_a_search_over_the_share_trains_equally_long_everywhere() -> None:
    fixed = replace(tiny().task, total_epochs=8)
    study = tiny(strategies={"x": none()}, space={"task.refine_share": FloatDistribution(0, 0.5)}, task=fixed)
    lengths = [set_up(study, "x", {"task.refine_share": share}).task for share in (0.0, 0.25, 0.5)]
    assert [(task.epochs, task.refine_epochs) for task in lengths] == [(8, 0), (6, 2), (4, 4)]
    [line] = plan(study, load=lambda task: task.load())  # type: ignore[arg-type]
    assert (line.epochs, line.notes) == (8, ())


def test_refinement_epochs_of_a_total_are_taken_from_the_augmented_ones() -> None:
    study = tiny(strategies={"x": none()}, space={"task.refine_epochs": IntDistribution(0, 3)})
    study = replace(study, task=replace(study.task, total_epochs=8))
    assert set_up(study, "x", {"task.refine_epochs": 3}).task.epochs == 5
    assert study.uses("x", "task.refine_epochs", {})
    [line] = plan(study, load=lambda task: task.load())  # type: ignore[arg-type]
    assert (line.epochs, line.notes) == (8, ())


@pytest.mark.parametrize(
    ("space", "note"),
    [
        (
            {"task.refine_epochs": IntDistribution(0, 3)},
            "trials train for 2 to 5 epochs by task.refine_epochs, and may win by the length: fix "
            "Task(total_epochs=5) and search task.refine_share or task.refine_epochs within it",
        ),
        (
            {"task.epochs": CategoricalDistribution([2, 4])},
            "trials train for 2 to 4 epochs by task.epochs, and may win by the length: give all of them the same "
            "Task(total_epochs=...)",
        ),
    ],
)
def test_a_plan_warns_of_trials_that_train_longer_than_others(space: dict[str, Any], note: str) -> None:
    study = tiny(strategies={"x": none()}, space=space)
    [line] = plan(study, load=lambda task: task.load())  # type: ignore[arg-type]
    assert line.notes == (note,)


def test_what_could_not_matter_beside_a_total_is_refused_or_said_to_be_inert() -> None:
    shares = {"task.refine_share": FloatDistribution(0, 0.5)}
    with pytest.raises(
        ValueError, match=r"'task.refine_share' in study 'tiny' is a share of no total: give Task\(total"
    ):
        tiny(strategies={"x": none()}, space=shares)
    fixed = replace(tiny().task, total_epochs=4)
    with pytest.raises(
        ValueError, match=r"sets epochs=1, which follows from total_epochs=4: give proxied\(total_epochs"
    ):
        tiny(strategies={"x": one_epoch_top_k()}, space={}, task=fixed)
    alone = one_epoch_top_k().proxied(total_epochs=None, refine_share=None)
    searched = tiny(strategies={"x": alone}, space=shares, task=fixed)
    assert (
        set_up(searched, "x", {"task.refine_share": 0.5, "policy.n": 1, "policy.m": 0.5}, search=True).task.last_epoch
        == 1
    )
    both = tiny(strategies={"x": none()}, space={"task.epochs": IntDistribution(2, 9), **shares}, task=fixed)
    assert not both.uses("x", "task.epochs", {})
    assert both.varied("x") == ["task.refine_share"]
    [epochs] = [each for each in knobs(both) if each.dimension == "task.epochs"]
    assert str(epochs) == "task.epochs has no effect: it follows from total_epochs=4"


def test_where_no_epoch_refines_its_rate_is_not_asked_for() -> None:
    fixed = replace(tiny().task, total_epochs=10)
    space = {"task.refine_share": FloatDistribution(0, 0.5), "task.refine_lr": FloatDistribution(0.01, 0.1)}
    study = tiny(strategies={"x": none()}, space=space, task=fixed)
    assert not study.uses("x", "task.refine_lr", {"task.refine_share": 0.04})
    assert study.uses("x", "task.refine_lr", {"task.refine_share": 0.06})


def test_a_plan_says_where_a_strategy_trains_longer_than_the_one_that_it_is_compared_with() -> None:
    study = tiny(strategies={"x": none(), "longer": none().trained(refine_epochs=3)}, space={})
    first, longer = plan(study, load=lambda task: task.load())  # type: ignore[arg-type]
    assert (first.notes, longer.notes) == ((), ("it trains for 5 epochs, and 'x', which it is compared with, for 2",))
