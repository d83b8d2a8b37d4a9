"""The online augmenter: its look-ahead is the optimiser's own step, its gradient that of finite differences."""

import math
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from autoaug import Budget, Study
from autoaug.artifacts import Folder
from autoaug.checkpoint import Checkpoint
from autoaug.execution import Options
from autoaug.execution import _attempt as attempt
from autoaug.executors import run
from autoaug.hypergrad import unrolled
from autoaug.learners import Batch, Bilevel, Problem, Updates
from autoaug.learners._bilevel import with_optimiser_state
from autoaug.learners._diagnose import objective
from autoaug.mixing import MIXES
from autoaug.policy import Fixed, Warp
from autoaug.record import Record
from autoaug.store import Store
from autoaug.strategies import Strategy, madao_first_order, none, truncated
from autoaug.train import Task, train

TASK = Task(data="digits-rotated-50", model="convnet", epochs=20, batch_size=50, lr=0.2)

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "weight decay": {"weight_decay": 0.01},
    "momentum": {"momentum": 0.9},
    "all": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "adamw": {"kind": torch.optim.AdamW, "betas": (0.7, 0.95), "eps": 1e-2, "weight_decay": 0.1},
    "adamw, two groups": {"kind": torch.optim.AdamW, "eps": 1e-2, "weight_decay": 0.1, "divided": True},
    "sgd, two groups": {"momentum": 0.9, "weight_decay": 0.1, "divided": True},
}


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def smooth_network() -> nn.Module:
    """Twice differentiable everywhere, with batch normalisation, in float64."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.AvgPool2d(3), nn.Flatten(), nn.Linear(16, 3)
        ).double()


def batch(count: int, seed: int) -> tuple[Tensor, Tensor]:
    rng = seeded(seed)
    images = torch.rand(count, 1, 8, 8, generator=rng, dtype=torch.float64)
    return images, torch.randint(3, (count,), generator=rng)


def optimiser_of(model: nn.Module, settings: dict[str, Any]) -> torch.optim.Optimizer:
    """Of a kind, in one group of parameters or "divided" in two: weights that decay, and all else with another rate."""
    given = {"kind": torch.optim.SGD, "divided": False, "lr": 0.3, **settings}
    kind, divided = given.pop("kind"), given.pop("divided")
    weights = list(model.parameters())
    groups = [
        {"params": [weight for weight in weights if weight.ndim > 1]},
        {"params": [weight for weight in weights if weight.ndim < 2], "weight_decay": 0.0, "lr": 0.5 * given["lr"]},
    ]
    made: torch.optim.Optimizer = kind(groups if divided else weights, **given)
    return made


def trained(settings: dict[str, Any], steps: int = 3) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A network and its optimiser after a few steps, so that momentum buffers are there."""
    model = smooth_network()
    optimiser = optimiser_of(model, settings)
    for seed in range(steps):
        advance(model, optimiser, *batch(20, 10 + seed))
    for k, group in enumerate(optimiser.param_groups):
        group["lr"] = 0.07 / (1 + k)  # as a schedule does
    return model, optimiser


def advance(
    model: nn.Module, optimiser: torch.optim.Optimizer, images: Tensor, targets: Tensor, clip: float | None = None
) -> None:
    optimiser.zero_grad()
    F.cross_entropy(model(images), targets).backward()
    if clip is not None:
        nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimiser.step()


@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("warm", [0, 3])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_look_ahead_ends_where_the_optimiser_goes(
    settings: dict[str, Any], warm: int, steps: int, clip: float | None
) -> None:
    model, optimiser = trained(settings, warm)
    images, targets = batch(20, 1)
    reached: list[Any] = []

    def train_loss(weights: Any, hyper: Any) -> Tensor:
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        return F.cross_entropy(functional_call(model, {**buffers, **weights}, (images,)), targets) + 0 * hyper[0]

    def val_loss(weights: Any, hyper: Any) -> Tensor:
        reached.append({name: weight.detach().clone() for name, weight in weights.items()})
        return sum(weight.square().sum() for weight in weights.values())

    weights = dict(model.named_parameters())
    exact = with_optimiser_state(unrolled(steps, lr=99.0), weights, optimiser, clip)
    exact(train_loss, val_loss, weights, [torch.zeros((), dtype=torch.float64)])
    for _ in range(steps):
        advance(model, optimiser, images, targets, clip)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(reached[-1][name], weight.detach(), rtol=1e-12, atol=1e-12)


class Sharper(torch.optim.SGD):
    """A class of the user's, which may step in another way than the one it is derived from."""


@pytest.mark.parametrize(
    ("optimiser", "message"),
    [
        (lambda weights: torch.optim.Adam(weights), "looks ahead through SGD or AdamW of torch.optim, not Adam"),
        (lambda weights: Sharper(weights), "not Sharper: give Task.optimiser="),
        (lambda weights: torch.optim.AdamW(weights, amsgrad=True), "without dampening, amsgrad"),
        (lambda weights: torch.optim.SGD(weights[1:], lr=0.1), "does not move the weight '0.weight'"),
        (lambda weights: torch.optim.SGD(weights, momentum=0.9, dampening=0.1), "without dampening"),
        (lambda weights: torch.optim.SGD(weights, maximize=True), "without dampening, amsgrad and maximize"),
    ],
)
def test_an_optimiser_that_cannot_be_followed_exactly_is_refused(optimiser: Any, message: str) -> None:
    weights = dict(smooth_network().named_parameters())
    with pytest.raises((TypeError, ValueError), match=message):
        with_optimiser_state(unrolled(1, lr=0.0), weights, optimiser(list(weights.values())))


class Still(Warp):
    """A warp that draws the same for every step, so that the test need not know who draws what in between."""

    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        return super().forward(images, seeded(7))


def hypergradient(
    policy: nn.Module, model: nn.Module, optimiser: torch.optim.Optimizer, steps: int = 1, clip: float | None = None
) -> list[Tensor]:
    """What `Bilevel` moves the policy along, read off one step of plain gradient descent."""
    moved = deepcopy(policy)
    updates = Updates(estimator="pathwise", optimiser=partial(torch.optim.SGD, lr=1.0))
    learner = Bilevel(moved, unrolled(steps, lr=0.0), updates)
    given = Batch(*batch(20, 1)), Batch(*batch(30, 2))
    learner.advance(Problem(moved, model, *given, seeded(7), clip_norm=clip), optimiser)
    pairs = zip(policy.parameters(), moved.parameters(), strict=True)
    return [before.detach() - after.detach() for before, after in pairs]


def true_val_loss(
    policy: nn.Module, model: nn.Module, optimiser: torch.optim.Optimizer, settings: str, steps: int, clip: float | None
) -> float:
    """The validation loss after real steps of a copy of the real optimiser, on images that the policy warped."""
    model = deepcopy(model)
    real = optimiser_of(model, SETTINGS[settings])
    real.load_state_dict(deepcopy(optimiser.state_dict()))
    images, targets = batch(20, 1)
    with torch.no_grad():
        warped = policy(images, seeded(7))
    for _ in range(steps):
        advance(model, real, warped, targets, clip)
    images, targets = batch(30, 2)
    return F.cross_entropy(model(images), targets).item()


@pytest.mark.parametrize("form", ["range", "odd", "mlp"])
@pytest.mark.parametrize(
    ("settings", "steps", "clip"),
    [
        ("plain", 1, None),
        ("all", 1, None),
        ("all", 3, None),
        ("all", 2, 0.1),
        ("adamw", 1, None),
        ("adamw", 3, 0.1),
        ("adamw, two groups", 2, None),
        ("sgd, two groups", 2, None),
    ],
)
def test_the_hypergradient_is_that_of_real_optimiser_steps(
    form: str, settings: str, steps: int, clip: float | None
) -> None:
    model, optimiser = trained(SETTINGS[settings])
    policy = Still("affine", form).double()
    found = hypergradient(policy, model, optimiser, steps, clip)
    for parameter, grad in zip(policy.parameters(), found, strict=True):
        k, entry = int(grad.abs().argmax()), parameter.data.view(-1)
        kept, losses = entry[k].item(), []
        for sign in (1, -1):
            entry[k] = kept + sign * 1e-6
            losses.append(true_val_loss(policy, model, optimiser, settings, steps, clip))
        entry[k] = kept
        assert grad.view(-1)[k].item() == pytest.approx((losses[0] - losses[1]) / 2e-6, rel=1e-3, abs=1e-8)


def test_the_diagnosis_trains_by_a_copy_of_the_optimiser_with_its_groups_and_clipping() -> None:
    (model, optimiser), policy = trained(SETTINGS["adamw, two groups"]), Still("affine", "range").double()
    problem = Problem(policy, model, Batch(*batch(20, 1)), Batch(*batch(30, 2)), seeded(7), clip_norm=0.1)
    before = deepcopy((model.state_dict(), optimiser.state_dict()))
    found = objective(problem.hyper, problem, optimiser, steps=3)
    torch.testing.assert_close((model.state_dict(), optimiser.state_dict()), before, rtol=0, atol=0)
    assert found == pytest.approx(true_val_loss(policy, model, optimiser, "adamw, two groups", 3, 0.1), rel=1e-10)


def test_a_whole_training_looks_ahead_through_adamw_in_two_groups() -> None:
    task = replace(TASK, data="digits-100", epochs=2, batch_size=25, optimiser="adamw", lr=0.01)
    task = replace(task, decay_norms=False, clip_norm=1.0, ema=0.9)
    last = list(records_of(truncated(every=2), task))[-1]
    assert last.metrics["hyper_updates"] == 4
    assert 0 < last.metrics["hypergradient_norm"] < math.inf


def test_momentum_and_decay_change_the_hypergradient() -> None:
    """Else the test above would not tell a look-ahead with them from one without."""
    policy, (model, optimiser) = Still("affine", "range").double(), trained(SETTINGS["all"])
    [exact], [plain] = (
        hypergradient(policy, model, each) for each in (optimiser, torch.optim.SGD(model.parameters(), 0.07))
    )
    assert (exact - plain).norm() > 0.05 * exact.norm()


def test_a_hyper_step_touches_the_policy_and_nothing_else() -> None:
    model, optimiser = trained(SETTINGS["all"])
    model.append(nn.Dropout(0.3))
    optimiser.zero_grad(set_to_none=False)
    policy = Warp("affine", "range").double()
    learner = Bilevel(policy, unrolled(1, lr=0.0), Updates(estimator="pathwise"))
    before = deepcopy((model.state_dict(), optimiser.state_dict(), [p.grad for p in model.parameters()]))
    moving, dice = policy.sampler.raw.detach().clone(), torch.random.get_rng_state()
    learner.update(model, batch(20, 1), batch(30, 2), seeded(), optimiser=optimiser)
    after = (model.state_dict(), optimiser.state_dict(), [p.grad for p in model.parameters()])
    assert torch.equal(dice, torch.random.get_rng_state())
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert not torch.equal(policy.sampler.raw, moving)
    assert policy.sampler.raw.grad is None


def records_of(strategy: Strategy, task: Task, seed: int = 0, **more: Any) -> Iterator[Record]:
    policy, learner = set_up(strategy, batch=40)
    return train(task, policy, MIXES["none"](), learner, seeded(seed), **more)


def set_up(strategy: Strategy, **point: Any) -> tuple[Any, Any]:
    policy = strategy.policy()
    return policy, strategy.within(policy, **point) if strategy.within else None


@pytest.mark.parametrize(("form", "resplit"), [("range", "fixed"), ("mlp", "per_epoch")])
def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(form: str, resplit: str, tmp_path: Path) -> None:
    task = replace(TASK, data="digits-100" if resplit == "fixed" else unsplit, epochs=3, batch_size=25, resplit=resplit)
    strategy = truncated(form, every=2)
    whole = list(records_of(strategy, task))
    interrupted = records_of(strategy, task, resume=Checkpoint(Folder(tmp_path), "1.pt", every_seconds=0))
    next(interrupted), next(interrupted)
    interrupted.close()
    rest = list(records_of(strategy, task, seed=9, resume=Checkpoint(Folder(tmp_path), "2.pt", earlier=["1.pt"])))
    assert [record.epoch for record in rest] == [2, 3]
    timed = "hyper_seconds"
    for again, first in zip(rest, whole[1:], strict=True):
        assert {k: v for k, v in again.metrics.items() if k != timed} == {
            k: v for k, v in first.metrics.items() if k != timed
        }
        assert again.policy == first.policy
    assert whole[0].policy != whole[1].policy


def unsplit(root: Path) -> tuple[Tensor, Tensor]:
    """Images without validation and test splits of their own."""
    return torch.rand(300, 1, 8, 8, generator=seeded()), torch.arange(300) % 3


def test_a_point_reaches_the_learner() -> None:
    _, learner = set_up(truncated("odd", every=3), warmup=2, lr=0.5, batch=60)
    assert (learner.updates.every, learner.updates.warmup, learner.updates.hyper_batch) == (3, 2, 60)
    assert learner.optimiser.param_groups[0]["lr"] == 0.5
    assert set_up(truncated(), every=4)[1].updates.every == 4
    assert set_up(truncated(steps=2))[1].hypergrad.steps == 2
    assert set(truncated(search=["learner.lr"]).space) == {"learner.lr"}
    with pytest.raises(ValueError, match="unknown form of truncated 'rang': did you mean 'range'"):
        truncated("rang")


# ---- the published settings ----


def test_the_published_settings_are_those_of_the_paper() -> None:
    policy, learner = set_up(truncated("paper"))
    updates, group = learner.updates, learner.optimiser.param_groups[0]
    assert isinstance(learner.optimiser, torch.optim.SGD)
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.2, 0.9, 0.01)
    assert (updates.every, updates.reuse_graph, updates.part, learner.hypergrad.steps) == (1, True, "all", 1)
    assert [tuple(weight.shape) for weight in policy.sampler.weights] == [(6, 6), (60, 6), (6, 60)]
    assert not policy.sampler.odd
    on_imagenet = set_up(truncated("paper"), lr=0.1, weight_decay=0.1)[1].optimiser.param_groups[0]
    assert (on_imagenet["lr"], on_imagenet["weight_decay"]) == (0.1, 0.1)
    told = set_up(truncated("paper", every=1, steps=1, reuse_graph=True, part="all"))[1]
    assert replace(told.updates, optimiser=updates.optimiser) == updates, (
        "to say what the paper says is no contradiction"
    )


@pytest.mark.parametrize(
    ("transforms", "size", "shapes"),
    [
        ("translation", "small", [(6, 6), (60, 6), (2, 60)]),
        ("affine+color", "small", [(10, 10), (100, 10), (10, 100)]),
        ("affine", "medium", [(64, 100), (32, 64), (6, 32)]),
        ("affine", "large", [(512, 100), (1024, 512), (124, 1024), (512, 124), (6, 512)]),
    ],
)
def test_the_published_network_has_its_sizes(transforms: Any, size: Any, shapes: list[Any]) -> None:
    policy = truncated("paper", transforms, size).policy()
    assert [tuple(weight.shape) for weight in policy.sampler.weights] == shapes
    assert policy.sampler.training, "with dropout"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"every": 5}, r"truncated\('paper', every=5\): the paper has every=1; leave it out, or give form='mlp'"),
        ({"steps": 2}, r"steps=2\): the paper has steps=1"),
        ({"reuse_graph": False}, r"reuse_graph=False\): the paper has reuse_graph=True"),
        ({"part": "head"}, r"part='head'\): the paper has part='all'"),
        ({"search": ["learner.every"]}, r"search=\['learner.every'\]\): the paper has 1; leave it out"),
    ],
)
def test_settings_that_are_not_the_papers_are_refused_beside_it(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        truncated("paper", **wrong)


def test_a_plan_says_where_the_images_are_not_split_anew() -> None:
    (note,) = truncated("paper").notes(TASK, 400)
    assert "Task(resplit='per_epoch', val_fraction=0.2)" in note
    assert truncated("paper").notes(replace(TASK, resplit="per_epoch"), 400) == ()
    assert truncated("mlp").notes(TASK, 400) == ()


@pytest.mark.parametrize(("resplit", "splits"), [("fixed", 1), ("per_epoch", 3)])
def test_the_published_augmenter_meets_other_validation_images_in_each_epoch(
    resplit: Any, splits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never those that the network trains on in the same epoch, nor those that the score is of."""
    looked: dict[int, set[bytes]] = {}
    problem = Bilevel.problem

    def keys(images: Tensor) -> set[bytes]:
        return {image.numpy().tobytes() for image in images}

    def spy(learner: Bilevel, run: Any, train: Batch, val: Batch) -> Problem:
        seen, scored = keys(val.images), keys(run.data.scored.images)
        assert seen == keys(run.data.val.images), "there are few, and it meets all in an update"
        assert not seen & keys(run.data.train.images)
        assert resplit == "fixed" or not seen & scored
        looked.setdefault(run.epoch, set()).update(seen)
        return problem(learner, run, train, val)

    monkeypatch.setattr(Bilevel, "problem", spy)
    task = replace(TASK, data=unsplit, epochs=3, batch_size=60, resplit=resplit, val_fraction=0.2)
    policy, learner = set_up(truncated("paper"))
    before = deepcopy(policy.state_dict())
    records = list(train(task, policy, MIXES["none"](), learner, seeded()))
    assert records[-1].metrics["hyper_updates"] == sum(record.images for record in records) / 60, "one in each step"
    assert any(not torch.equal(value, before[name]) for name, value in policy.state_dict().items())
    assert len({frozenset(images) for images in looked.values()}) == splits


def test_the_record_says_what_is_drawn_and_what_it_cost() -> None:
    last = list(records_of(truncated("mlp"), replace(TASK, epochs=2)))[-1]
    assert last.policy is not None
    for what in ("mean", "std", "low", "high"):
        assert math.isfinite(last.policy["provenance"][f"rotate.{what}"])
    assert last.metrics["hyper_updates"] == 3
    assert last.metrics["hyper_seconds"] > 0


def outcome(strategy: Strategy, seed: int, flipped: bool = False) -> tuple[float, float]:
    """Test accuracy, and the half-width of the rotation in degrees."""
    policy, learner = set_up(strategy)
    if flipped:
        move = learner.move
        learner.move = lambda grads: move({name: -grad for name, grad in grads.items()})
    last = list(train(TASK, policy, MIXES["none"](), learner, seeded(seed), test=True))[-1]
    return last.metrics["test_accuracy"], policy.ranges()["rotate"][1] if learner else 0.0


@pytest.mark.slow
def test_half_widths_recover_a_rotation_of_50_degrees() -> None:
    found = [outcome(truncated(), seed) for seed in range(3)]
    plain, still = (
        mean(outcome(arm, seed)[0] for seed in range(3)) for arm in (none(), truncated()._replace(within=None))
    )
    wrong = [outcome(truncated(), seed, flipped=True) for seed in range(2)]
    assert 30 < mean(width for _, width in found) < 110
    assert mean(accuracy for accuracy, _ in found) >= plain + 0.20
    assert mean(accuracy for accuracy, _ in found) >= still + 0.10, "the policy it begins with is not what helps"
    assert mean(width for _, width in wrong) < 9, "the gradient with the wrong sign must not widen it"
    assert mean(accuracy for accuracy, _ in wrong) < plain + 0.20


def test_what_a_warp_learned_is_trained_anew_with_one_resampling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rotation, shear and translations in turn would blur an image of 8 x 8 four times."""
    fixed: list[Fixed] = []

    def spy(tree: Any, **settings: Any) -> Fixed:
        fixed.append(Fixed(tree, **settings))
        return fixed[-1]

    monkeypatch.setattr(attempt, "Fixed", spy)
    strategies = {"warp": truncated(every=2), "relaxed": madao_first_order(ops=("rotate", "invert"))}
    study = Study(
        name="one",
        task=replace(TASK, epochs=1),
        strategies=strategies,
        budget=Budget(trials=1),
        seeds=1,
        baseline="warp",
    )
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    run(study, store, options=Options(artifacts=tmp_path))
    (noted,) = store.trials("one", "relaxed")
    assert noted.user_attrs["notes"] == list(strategies["relaxed"].notes(study.task, 400)) != []
    assert [each.compose for each in fixed if "shear_x" in each.tree().model_dump_json()] == [True]
    assert [each.compose for each in fixed if "invert" in each.tree().model_dump_json()] == [False]
