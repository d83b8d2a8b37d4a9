"""MADAO and the score function beside it: their settings, and whether they learn.

Planted augmentations are found, and broken gradients do not find them.
"""

import io
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache, partial
from statistics import mean
from typing import Any, NamedTuple

import pytest
import torch
from optuna.trial import FixedTrial
from rich.console import Console
from torch import Generator, Tensor
from torch.utils._pytree import tree_map

from autoaug.cli._console import plan_table
from autoaug.hypergrad import conjugate_gradient, identity
from autoaug.learners import Bilevel, Problem
from autoaug.learners._replay import learned, replay
from autoaug.mixing import MIXES
from autoaug.policy import Fixed, PolicyTree, Relaxed, op_masses, ready
from autoaug.record import Record
from autoaug.strategies import Strategy, madao, madao_cg, madao_first_order, online_score
from autoaug.strategies._madao import PAPER, PRESETS, scaled
from autoaug.strategies._online import SEARCHABLE
from autoaug.study import Budget, Loader, Study, plan, preflight, set_up
from autoaug.train import Task, TrainingRun, train

CONSTRUCTORS = (madao, madao_cg, madao_first_order)


def task(data: str) -> Task:
    return Task(data=data, model="convnet", epochs=20, batch_size=50, lr=0.2)


def study(strategy: Strategy, **more: Any) -> Study:
    given: dict[str, Any] = {"name": "one", "task": task("digits-rotated"), "budget": Budget(trials=1)}
    return Study(strategies={"madao": strategy}, **given | more)


def learner_of(strategy: Strategy, **point: Any) -> Any:
    """The learner of a strategy at a point, with the settings of a training of 40 epochs."""
    learner: Any = set_up(study(strategy), "madao", point).learner
    learner.check(replace(task("digits-rotated"), epochs=40), 400, 600)
    return learner


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize("constructor", CONSTRUCTORS)
def test_every_preset_of_every_variant_can_be_set_up_and_searches_nothing_by_itself(
    constructor: Callable[..., Strategy], preset: str
) -> None:
    strategy = constructor(preset)
    assert strategy.space == {}
    learner = learner_of(strategy)
    assert isinstance(learner, Bilevel)
    assert learner.policy.temperature == PAPER.temperature
    assert learner.policy.selection.shape == (2, 14)


def test_the_paper_s_numbers() -> None:
    learner = learner_of(madao("paper"))
    assert (learner.updates.every, learner.updates.warmup, learner.updates.estimator) == (60, 30, "pathwise")
    assert (learner.hypergrad.solver.steps, learner.hypergrad.solver.lr) == (5, 1e-3)
    assert isinstance(learner.optimiser, torch.optim.RMSprop)
    assert learner.optimiser.param_groups[0]["lr"] == 1e-2
    assert madao("paper").notes(task("digits-rotated"), 400) == ()


def settings_of(learner: Any) -> dict[str, Any]:
    """All that a learner is but its solver, as plain data."""
    updates = {field.name: getattr(learner.updates, field.name) for field in fields(learner.updates)}
    make = updates.pop("optimiser")
    groups = [
        {name: value for name, value in group.items() if name != "params"} for group in learner.optimiser.param_groups
    ]
    return {
        "updates": updates,
        "optimiser": (make.func, make.keywords, type(learner.optimiser), groups),
        "estimate": learner.estimate,
        "policy": learner.policy.tree(),
        "temperature": learner.policy.temperature,
        "ranges": learner.policy.ranges,
    }


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_the_three_of_the_paper_differ_in_the_solver_alone(preset: str) -> None:
    search = ("learner.warmup", "policy.temperature")
    strategies = [make(preset, search=search, ops=("rotate", "invert")) for make in CONSTRUCTORS]
    for name in Strategy._fields:
        if name not in ("policy", "within", "between", "conditions", "pruner", "notes"):
            assert getattr(strategies[0], name) == getattr(strategies[1], name) == getattr(strategies[2], name), name
    assert len({str(each.notes(task("digits-rotated"), 400)) for each in strategies}) == 1
    learners = [learner_of(each) for each in strategies]
    assert settings_of(learners[0]) == settings_of(learners[1]) == settings_of(learners[2])
    assert [type(each.hypergrad.solver).__name__ for each in learners] == ["Series", "ConjugateGradient", "Identity"]
    assert {type(each.hypergrad).__name__ for each in learners} == {"Implicit"}
    assert len({each.hypergrad.curvature for each in learners}) == 1


def test_what_the_score_function_differs_in() -> None:
    learner, paper = learner_of(online_score()), learner_of(madao())
    assert (learner.updates.estimator, learner.updates.every, learner.updates.warmup) == ("score", 5, 0)
    assert isinstance(learner.optimiser, torch.optim.Adam)
    assert learner.hypergrad == identity()
    assert learner.policy.tree() == paper.policy.tree(), "the policy is the same"
    solved = learner_of(online_score(partial(conjugate_gradient, 5, 1.0)))
    assert solved.hypergrad == conjugate_gradient(5, 1.0)
    assert settings_of(solved) == settings_of(learner)


@pytest.mark.parametrize(
    ("epochs", "batch_size", "images", "expected"),
    [
        (20, 50, 400, (2, 2, 72)),
        (1, 50, 400, (1, 0, 8)),
        (1, 50, 20, (1, 0, 1)),
        (300, 128, 45_000, (60, 30, 1580)),
        (1000, 128, 45_000, (60, 30, 5675)),
        (40, 128, 45_000, (60, 4, 211)),
    ],
    ids=["planted", "an epoch", "a step", "the paper's", "longer", "shorter"],
)
def test_settings_are_scaled_to_the_training(
    epochs: int, batch_size: int, images: int, expected: tuple[int, int, int]
) -> None:
    asked = Task(data="digits", epochs=epochs, batch_size=batch_size)
    fitted = scaled(PAPER, {}, asked, images)
    every, warmup, updates = expected
    assert (fitted.every, fitted.warmup) == (every, warmup)
    assert fitted.updates().expected(asked, images) == updates
    assert fitted.lr == pytest.approx(0.01 * max(1.0, 1580 / updates) ** 0.5)
    assert replace(fitted, every=60, warmup=30, lr=0.01) == PAPER, "nothing else is"


def test_what_is_given_is_not_scaled() -> None:
    given = {"every": 7, "warmup": 3, "lr": 0.5}
    fitted = scaled(PAPER, given, task("digits-rotated"), 400)
    assert (fitted.every, fitted.warmup, fitted.lr) == (7, 3, 0.5)
    often = scaled(PAPER, {"every": 1}, task("digits-rotated"), 400)
    assert often.lr == pytest.approx(0.01 * (1580 / 144) ** 0.5), "the learning rate goes by the updates that there are"


def test_a_plan_says_what_was_scaled() -> None:
    load = Loader()
    (line,) = plan(study(madao()), load=load)
    assert line.notes == (
        "an update every 2 steps (paper: 60), warm-up 2 of 20 epochs (paper: 30 of 300), learning rate 0.0468 "
        "(paper: 0.01): scaled to 160 steps",
    )
    drawn = Console(width=200, record=True, file=io.StringIO())
    drawn.print(plan_table(study(madao()), [line]))
    assert f"madao: {line.notes[0]}" in drawn.export_text()
    (searched,) = plan(study(madao(search=("learner.every", "learner.lr"))), load=load)
    assert searched.notes == ("warm-up 2 of 20 epochs (paper: 30 of 300): scaled to 160 steps",)
    (proxied,) = plan(study(madao().proxied(epochs=2)), load=load)
    assert [text.endswith("scaled to 16 steps (in the search)") for text in proxied.notes] == [False, True]
    (quiet,) = plan(study(online_score()), load=load)
    assert quiet.notes == ()


def test_a_training_takes_what_the_plan_says() -> None:
    """Also one that was interrupted: the state holds the optimiser, the schedule follows from the task."""
    setup = set_up(study(madao()), "madao", {})
    learner: Any = setup.learner
    assert learner.updates.every == 60, "before a training nobody knows its length"
    run = TrainingRun(setup.task, setup.policy, setup.mix, learner, Generator().manual_seed(0), Loader()(setup.task))
    learner.check(setup.task, 400, 600)
    assert (learner.updates.every, learner.updates.warmup) == (2, 2)
    assert learner.optimiser.param_groups[0]["lr"] == pytest.approx(0.0468, abs=1e-4)
    assert learner.expected_updates(setup.task, 400) == 72
    again = set_up(study(madao()), "madao", {})
    other = TrainingRun(again.task, again.policy, again.mix, again.learner, Generator().manual_seed(1), run.data)
    other.learner.check(setup.task, 400, 600)
    other.load_state_dict(run.state_dict())
    assert settings_of(other.learner) == settings_of(learner)


@pytest.mark.parametrize("name", sorted(SEARCHABLE))
def test_a_dimension_that_is_asked_for_is_searched_and_reaches_its_place(name: str) -> None:
    strategy = madao(search=[name])
    choices = getattr(SEARCHABLE[name], "choices", ("all", "head"))
    value = FixedTrial({name: getattr(SEARCHABLE[name], "low", choices[1])})._suggest(name, SEARCHABLE[name])
    learner = learner_of(strategy, **{name: value})
    places = {
        "learner.every": learner.updates.every,
        "learner.warmup": learner.updates.warmup,
        "learner.part": learner.updates.part,
        "learner.lr": learner.optimiser.param_groups[0]["lr"],
        "policy.temperature": learner.policy.temperature,
    }
    assert places[name] == value


@pytest.mark.parametrize("make", [madao, online_score])
def test_two_trials_share_no_state(make: Callable[..., Strategy]) -> None:
    one, two = (set_up(study(make()), "madao", {}) for _ in range(2))
    assert one.policy is not two.policy
    assert one.learner is not two.learner


def test_a_plan_in_which_the_policy_cannot_move_is_refused_or_warned_of() -> None:
    with pytest.raises(ValueError, match=r"strategy 'madao' of study 'one': warmup=30 epochs of Task.epochs=20"):
        preflight(study(madao("paper")))
    with pytest.warns(UserWarning, match=r"cannot move a logit by 3"):
        preflight(study(online_score(), task=Task(data="digits", model="convnet", epochs=4, batch_size=50)))
    preflight(study(online_score()))
    preflight(study(madao()))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"preset": "short"}, r"preset 'short' of madao is gone: it is a strategy of its own, online_score\(\)"),
        ({"preset": "pathwise"}, r"preset 'pathwise' of madao is gone: .*; madao\(\) has the paper's estimator"),
        ({"preset": "papr"}, r"unknown preset of madao 'papr': did you mean 'paper'"),
        ({"search": ["learner.lrr"]}, r"unknown dimension of an online .* 'learner.lrr': did you mean 'learner.lr'"),
    ],
)
def test_unknown_names_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        madao(**wrong)


# Does it learn? Digits are trained upright and validated and tested with a known change, so what should be found is
# known. The control that matters is the start policy, which never moves: beating no augmentation proves nothing. The
# thresholds are of means over three seeds, with room for four standard deviations and more in earlier measurements.

SEEDS = (0, 1, 2)


class Trained(NamedTuple):
    accuracy: float
    policy: Relaxed | None
    records: list[Record]


def flipped(learner: Bilevel) -> None:
    """The hypergradient with its sign turned."""
    learner.hypergrad = lambda *given: tree_map(torch.neg, identity()(*given))


def noisy(learner: Bilevel) -> None:
    """Standard normal numbers in place of the hypergradient."""

    def estimate(hypergrad: Any, problem: Problem) -> dict[str, Tensor]:
        problem.val_losses.append(torch.zeros(()))
        return {name: torch.randn(value.shape, generator=problem.rng) for name, value in problem.hyper.items()}

    learner.estimate = estimate


LEARNERS: dict[str, tuple[Callable[..., Strategy], Callable[[Bilevel], None]]] = {
    "score": (online_score, lambda learner: None),
    "madao": (madao, lambda learner: None),
    "flipped": (online_score, flipped),
    "noise": (online_score, noisy),
}
"""Arms with a learner: the strategy, and what is broken of it. The start policy of the two strategies is the same."""


@cache
def trained(arm: str, data: str, seed: int) -> Trained:
    make, breaks = LEARNERS.get(arm, (online_score, lambda learner: None))
    strategy, learner = make(), None
    policy: Any = Fixed(ready.none()) if arm == "none" else strategy.policy()
    if arm in LEARNERS:
        assert strategy.within is not None
        learner = strategy.within(policy)
        breaks(learner)
    records = list(train(task(data), policy, MIXES["none"](), learner, Generator().manual_seed(seed), test=True))
    return Trained(records[-1].metrics["test_accuracy"], policy if arm != "none" else None, records)


def gain(data: str, arm: str, over: str) -> float:
    """Test accuracy of an arm above another one's, the mean of the seeds."""
    return mean(trained(arm, data, seed).accuracy - trained(over, data, seed).accuracy for seed in SEEDS)


def policies(data: str, arm: str) -> list[Relaxed]:
    found = [trained(arm, data, seed).policy for seed in SEEDS]
    return [policy for policy in found if policy is not None]


def degrees(policy: Relaxed) -> float:
    """The strength of rotate in the stage that selects it most; it begins at 15."""
    [index] = [k for k, op in enumerate(policy.ops) if op.name == "rotate"]
    stage = int(policy.selection.log_softmax(1)[:, index].argmax())
    return 30 * policy.strength[stage, index].sigmoid().item()


def rotation(arm: str) -> dict[str, bool]:
    """What finding the planted rotation of ± 30 degrees means."""
    found = policies("digits-rotated", arm)
    return {
        "better than none": gain("digits-rotated", arm, "none") >= 0.08,
        "better than the start policy": gain("digits-rotated", arm, "frozen") >= 0.04,
        "strength": 20 <= mean(map(degrees, found)) <= 30,
        "mass": mean(op_masses(policy.tree())["rotate"] for policy in found) / 2 >= 0.08,
    }


def inversion(arm: str) -> dict[str, bool]:
    """What finding the planted inversion means."""
    masses = [op_masses(policy.tree()) for policy in policies("digits-inverted", arm)]
    return {
        "better than the start policy": gain("digits-inverted", arm, "frozen") >= 0.02,
        "invert comes first": all(max(mass, key=lambda name: mass[name]) == "invert" for mass in masses),
        "mass": all(mass["invert"] / 2 >= 0.15 for mass in masses),
    }


@pytest.mark.slow
def test_a_planted_rotation_is_found() -> None:
    assert rotation("score") == dict.fromkeys(rotation("score"), True)


@pytest.mark.slow
def test_the_paper_s_method_scaled_to_a_short_training_learns_the_rotation() -> None:
    """By its strength: the share that rotate takes was between .04 and .14 in five seeds, too wide for a gate."""
    learnt = {name: passed for name, passed in rotation("madao").items() if name != "mass"}
    assert learnt == dict.fromkeys(learnt, True)


@pytest.mark.slow
def test_a_planted_inversion_is_found() -> None:
    assert inversion("score") == dict.fromkeys(inversion("score"), True)


@pytest.mark.slow
def test_where_there_is_nothing_to_find_it_does_no_harm() -> None:
    assert gain("digits", "score", "none") >= -0.02


@pytest.mark.slow
@pytest.mark.parametrize("mutant", ["flipped", "noise"])
def test_a_broken_hypergradient_does_not_find_the_rotation(mutant: str) -> None:
    assert not rotation(mutant)["better than the start policy"]
    assert not all(rotation(mutant).values())


@pytest.mark.slow
def test_noise_does_not_find_the_inversion() -> None:
    assert not inversion("noise")["mass"]


@pytest.mark.slow
def test_the_learned_policy_is_worth_as_much_when_a_network_is_trained_anew() -> None:
    """An online result alone could be what the validation set told the weights."""
    run = trained("score", "digits-rotated", 0)
    assert run.policy is not None
    assert learned(run.records) == run.policy.tree()
    for tree in (learned(run.records), replay(run.records)):
        assert anew(tree) - trained("frozen", "digits-rotated", 0).accuracy >= 0.03


def anew(tree: PolicyTree) -> float:
    rng = Generator().manual_seed(0)
    return list(train(task("digits-rotated"), Fixed(tree), MIXES["none"](), None, rng, test=True))[-1].metrics[
        "test_accuracy"
    ]
