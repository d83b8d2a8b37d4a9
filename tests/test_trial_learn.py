"""Learners in a loop of one's own: what `Trial.learn` makes of its steps, and what it refuses."""

import copy
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from small_problems import OPS, Brightened, batch, network, spread
from torch import Tensor, nn
from torch.nn import functional as F

from autoaug.artifacts import Folder
from autoaug.checkpoint import Checkpoint
from autoaug.hypergrad import identity, neumann, unrolled
from autoaug.learners import Batch, Bilevel, Problem, Updates
from autoaug.mixing import MIXES
from autoaug.models import names_of
from autoaug.policy import PolicyTree, Relaxed, Warp, apply, policy_tree
from autoaug.record import Record
from autoaug.strategies import Strategy, madao, madao_cg, madao_first_order, online_score, stn, truncated
from autoaug.train import Learner, Lesson, NullLearner, Task, spawn
from autoaug.trial import Trial, records

DOUBLE = torch.float64
TRAIN = [batch(12, seed, DOUBLE) for seed in range(4)]
VAL = batch(20, 9, DOUBLE)
PLAIN = partial(torch.optim.SGD, lr=1.0)  # of a policy: it moves by the hypergradient
OFTEN = Updates(estimator="pathwise", every=1, optimiser=PLAIN)

Make = Callable[[nn.Module], torch.optim.Optimizer]


class Bright(Brightened):
    """As a policy of a trial: what it does to an image is written in a tree."""

    def at(self, epoch: int) -> None: ...

    def tree(self) -> PolicyTree:
        return policy_tree(apply("brightness", self.factor.item() - 1, mirror=False))


def groups(model: nn.Module) -> list[dict[str, Any]]:
    """Two groups of parameters, with settings of their own."""
    head = names_of(model, "head")
    split: list[list[Tensor]] = [[], []]
    for name, weight in model.named_parameters():
        split[name in head].append(weight)
    return [{"params": split[0], "lr": 0.02}, {"params": split[1], "lr": 0.05, "weight_decay": 0.1}]


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups(model), lr=0.1, momentum=0.9)


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(groups(model), lr=0.1)


class Training:
    """A small loop, its trial, and what it was given."""

    def __init__(
        self,
        policy: Any,
        learner: Any,
        optimiser: Make = sgd,
        *,
        epochs: int = 1,
        steps: int | None = 4,
        pieces: int = 1,
        val: Any = VAL,
        batches: list[Batch] = TRAIN,
        own: bool = False,
        checkpoint: Checkpoint | None = None,
        task: Task | None = None,
        **given: Any,
    ) -> None:
        self.policy, self.learner = policy, learner
        task = task or Task(data=None, device="cpu")
        self.dtype = batches[0].images.dtype if batches[0].images.is_floating_point() else torch.float32
        self.model: nn.Module = network().to(self.dtype)
        self.optimiser = optimiser(self.model)
        self.trial = Trial({}, policy, MIXES["none"](), learner, task, 0, checkpoint=checkpoint)
        self.epochs, self.steps, self.pieces, self.val, self.given = epochs, steps, pieces, val, given
        self.batches, self.own = batches, own

    def loop(self, trial: Trial) -> Iterator[dict[str, float]]:
        kept: dict[str, Any] = {"model": self.model, "optimiser": self.optimiser}
        own, known = range(self.epochs), partial(trial.epochs, self.epochs, steps=self.steps, **kept)
        for _ in own if self.own else known():
            for each in self.batches:
                self.step(trial, each)
            yield {"val_accuracy": 0.5}

    def step(self, trial: Trial, given: Batch) -> None:
        """A step of the optimiser, whose gradient is gathered from so many pieces."""
        pieces = list(zip(*(part.chunk(self.pieces) for part in given), strict=True))
        for k, (images, targets) in enumerate(pieces, start=1):
            mixed, soft = trial.augment(images, targets, 10)
            own = self.dtype
            (F.cross_entropy(self.model(mixed.to(own)), soft.to(own)) / len(pieces)).backward()
            if k == len(pieces):
                self.optimiser.step()
                self.optimiser.zero_grad(set_to_none=True)
            val = self.val() if isinstance(self.val, partial) else self.val
            trial.learn(self.model, (images, targets), val, self.optimiser, **self.given)

    def run(self) -> list[Record]:
        return list(records(self.loop, self.trial))


def values(policy: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in policy.named_parameters()}


def moved(one: dict[str, Tensor], two: dict[str, Tensor]) -> bool:
    return any(not torch.equal(one[name], two[name]) for name in one)


def relaxed() -> Any:
    return spread(Relaxed(OPS)).double()


# What an update is


@pytest.mark.parametrize("optimiser", [sgd, adamw])
@pytest.mark.parametrize("estimator", ["score", "pathwise"])
def test_it_moves_the_policy_as_the_same_updates_by_hand(estimator: str, optimiser: Make) -> None:
    updates = Updates(estimator=estimator, every=2)
    by_loop = Training(relaxed(), None, optimiser)
    by_loop.trial.learner = Bilevel(by_loop.policy, neumann(3, 0.1), updates)
    by_loop.run()

    policy, streams = relaxed(), spawn(torch.Generator().manual_seed(0))
    learner, model = Bilevel(policy, neumann(3, 0.1), updates), network().double()
    stepper = optimiser(model)
    for k, (images, targets) in enumerate(TRAIN, start=1):
        with torch.no_grad():
            seen = policy(images.float(), streams["augment"]).double()
        F.cross_entropy(model(seen), targets).backward()
        stepper.step()
        stepper.zero_grad(set_to_none=True)
        if k % 2 == 0:
            learner.update(model, (images, targets), VAL, streams["learner"], stepper)
    for one, two in zip(by_loop.policy.parameters(), policy.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-10)
    assert moved(values(relaxed()), values(policy))


def looked_ahead(training: Training, policy: nn.Module, far: float) -> float:
    """The validation loss after one more step of torch's own optimiser, with the policy moved so far."""
    twins = {id(weight): weight.detach().clone().requires_grad_() for weight in training.model.parameters()}
    model, stepper = copy.deepcopy((training.model, training.optimiser), twins.copy())
    moved_policy: Any = copy.deepcopy(policy)
    with torch.no_grad():
        moved_policy.factor.add_(far)
    images, targets = TRAIN[-1]
    F.cross_entropy(model(moved_policy(images, None)), targets).backward()
    if training.given.get("clip_norm"):
        nn.utils.clip_grad_norm_(model.parameters(), training.given["clip_norm"])
    stepper.step()
    with torch.no_grad():
        return float(F.cross_entropy(model(VAL.images), VAL.targets))


@pytest.mark.parametrize("clip_norm", [None, 0.1])
@pytest.mark.parametrize("optimiser", [sgd, adamw])
def test_truncated_follows_the_next_step_of_the_loops_own_optimiser(optimiser: Make, clip_norm: float | None) -> None:
    """By finite differences through a copy of the optimiser of torch, with its groups and buffers."""
    policy = Bright().double()
    learner = Bilevel(policy, unrolled(1, 0.0), replace(OFTEN, every=4))
    training = Training(policy, learner, optimiser, clip_norm=clip_norm)
    training.run()
    before = Bright().double()
    reach = 1e-5
    slope = (looked_ahead(training, before, reach) - looked_ahead(training, before, -reach)) / (2 * reach)
    assert slope != 0
    assert (before.factor - policy.factor).item() == pytest.approx(slope, rel=1e-5)


def test_with_reuse_graph_it_looks_ahead_as_without() -> None:
    found = []
    for reuse in (False, True):
        policy = Bright().double()
        Training(policy, Bilevel(policy, unrolled(1, 0.0), replace(OFTEN, reuse_graph=reuse))).run()
        found.append(policy.factor)
    assert torch.equal(*found)
    assert found[0].item() != 1


def test_the_criterion_of_the_loop_is_differentiated() -> None:
    def smoothed(logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits, targets, reduction="none", label_smoothing=0.3)

    found = []
    for criterion in (None, smoothed):
        policy = relaxed()
        Training(policy, Bilevel(policy, identity(), OFTEN), criterion=criterion).run()
        found.append(values(policy))
    assert moved(*found)

    model, policy, rng = network().double(), relaxed(), torch.Generator().manual_seed(3)
    learner = Bilevel(policy, identity(), OFTEN)
    learner.advance(Problem(policy, model, TRAIN[0], VAL, rng, criterion=smoothed))
    again = relaxed()
    given = lesson(model, sgd(model), criterion=smoothed)
    Bilevel(again, identity(), OFTEN).learn(given)
    assert not moved(values(policy), values(again))


def lesson(model: nn.Module, optimiser: torch.optim.Optimizer, **given: Any) -> Lesson:
    plain: dict[str, Any] = {"epoch": 1, "epochs": 1, "step": 1, "steps_per_epoch": 4, "train": TRAIN[0]}
    rng = torch.Generator().manual_seed(3)
    shared: dict[str, Any] = {"val": lambda: VAL, "rng": rng, "logits": lambda images, network: network(images)}
    return Lesson(model=model, optimiser=optimiser, **{**plain, **shared, **given})


def test_in_micro_batches_the_update_is_the_same() -> None:
    found = []
    for size in (None, 5):
        policy = relaxed()
        Training(policy, Bilevel(policy, neumann(2, 0.1), OFTEN), micro_batch=size).run()
        found.append(torch.cat([value.flatten() for value in policy.parameters()]))
    # parts of a batch have draws of their own, so they agree where nothing is drawn only
    assert not torch.equal(*found)
    still = []
    for size in (None, 5):
        bright = Bright().double()
        Training(bright, Bilevel(bright, neumann(2, 0.1), OFTEN), micro_batch=size).run()
        still.append(bright.factor)
    torch.testing.assert_close(*still, rtol=1e-10, atol=1e-10)


def test_an_update_is_diagnosed_beside_a_schedule_and_counts_no_step() -> None:
    """The short trainings of a diagnosis step copies of the optimiser."""
    policy = relaxed()
    updates = replace(OFTEN, every=2, diagnose=1, optimiser=partial(torch.optim.SGD, lr=0.1))
    training = Training(policy, Bilevel(policy, identity(), updates), adamw)
    schedule = torch.optim.lr_scheduler.StepLR(training.optimiser, 1)
    [record] = training.run()
    assert -1 <= record.metrics["hypergradient_cosine"] <= 1
    assert record.metrics["hyper_updates"] == 2
    assert training.trial.steps.count == 4
    schedule.step()


# Which strategies move the policy

STRATEGIES: dict[str, Strategy] = {
    "madao": madao(ops=OPS),
    "madao_cg": madao_cg(ops=OPS),
    "madao_first_order": madao_first_order(ops=OPS),
    "online_score": online_score(ops=OPS),
    "truncated": truncated(every=2),
    "truncated, of the step itself": truncated(every=2, reuse_graph=True),
    "stn": stn(width=4),
}


@pytest.mark.parametrize("optimiser", [sgd, adamw])
@pytest.mark.parametrize("name", STRATEGIES)
def test_every_gradient_strategy_moves_its_policy(name: str, optimiser: Make) -> None:
    strategy = STRATEGIES[name]
    assert strategy.within is not None
    policy: Any = strategy.policy()
    learner = strategy.within(policy)
    before, single = values(policy), [Batch(images.float(), targets) for images, targets in TRAIN]
    val = Batch(VAL.images.float(), VAL.targets)
    steps = 4 if name == "truncated" else None  # said, or counted in the first epoch
    training = Training(policy, learner, optimiser, epochs=3, steps=steps, batches=single, val=val)
    found = training.run()
    assert moved(before, values(policy))
    assert len({str(record.policy) for record in found}) > 1
    if isinstance(learner, Bilevel):
        assert found[-1].metrics["hyper_updates"] > 0
        assert found[-1].metrics["hyper_skipped"] == 0


def test_a_strategy_without_need_of_validation_images_goes_without() -> None:
    strategy = STRATEGIES["stn"]
    assert strategy.within is not None
    policy: Any = strategy.policy()
    before = values(policy)
    single = [Batch(images.float(), targets) for images, targets in TRAIN]
    Training(policy, strategy.within(policy), batches=single, val=None).run()
    assert moved(before, values(policy))


# A gradient that is gathered from several batches


class Noting(NullLearner):
    """Keep the lessons."""

    moves_policy = True

    def __init__(self, every: int = 1) -> None:
        self.every, self.lessons = every, list[Lesson]()

    def looks_at(self, epoch: int, step: int) -> bool:
        return step % self.every == 0

    def learn(self, lesson: Lesson) -> None:
        self.lessons.append(lesson)


@pytest.mark.parametrize("pieces", [2, 3])
def test_a_gathered_gradient_teaches_as_the_whole_batch(pieces: int) -> None:
    found = []
    for each in (1, pieces):
        policy = Bright().double()
        Training(policy, Bilevel(policy, unrolled(1, 0.0), OFTEN), adamw, pieces=each).run()
        found.append(policy.factor)
    torch.testing.assert_close(*found, rtol=1e-10, atol=1e-10)
    assert found[0].item() != 1


def test_a_lesson_has_all_that_the_step_was_made_of() -> None:
    noting = Noting()
    Training(Bright(), noting, pieces=3).run()
    assert [each.step for each in noting.lessons] == [1, 2, 3, 4]
    for each, (images, targets) in zip(noting.lessons, TRAIN, strict=True):
        assert torch.equal(each.train[0], images)
        assert torch.equal(each.train[1], targets)


def test_batches_are_gathered_where_they_are_looked_at_only() -> None:
    noting = Noting(every=2)
    Training(Bright(), noting, pieces=3).run()
    assert [len(each.train[1]) for each in noting.lessons] == [4, 12, 4, 12]


def test_batches_of_different_sizes_are_refused_where_they_are_one_step() -> None:
    training = Training(Bright(), Noting())
    images, targets = TRAIN[0]
    trial = training.trial
    with trial.steps.watched():
        trial.learn(training.model, (images, targets), VAL, training.optimiser)
        training.optimiser.step()
        with pytest.raises(ValueError, match=r"gathered from images of \(1, 4, 8\) and \(1, 8, 8\), .* one size"):
            trial.learn(training.model, (images[:, :, :4], targets), VAL, training.optimiser)


# What a hypergradient goes through


@pytest.mark.parametrize(
    ("weights", "part"),
    [("head", "head"), (["last"], "head"), (["last.weight", "last.bias"], "head"), (["first", "last"], "all")],
)
def test_weights_that_are_named_are_the_part(weights: Any, part: Any) -> None:
    found = []
    for updates, given in ((replace(OFTEN, part=part), {}), (OFTEN, {"weights": weights})):
        policy = relaxed()
        Training(policy, Bilevel(policy, neumann(2, 0.1), updates), **given).run()
        found.append(values(policy))
    assert not moved(*found)


def test_a_part_moves_the_policy_otherwise_than_the_whole() -> None:
    found = []
    for weights in ("all", "head"):
        policy = relaxed()
        Training(policy, Bilevel(policy, neumann(2, 0.1), OFTEN), weights=weights).run()
        found.append(values(policy))
    assert moved(*found)


def test_no_hypergradient_goes_through_weights_that_the_optimiser_does_not_have() -> None:
    """A head that trains alone, frozen or only left out of the optimiser."""
    found = []
    for optimiser in (lambda model: torch.optim.SGD(model.last.parameters(), lr=0.1), sgd):
        policy = relaxed()
        training = Training(policy, Bilevel(policy, neumann(2, 0.1), OFTEN), optimiser)
        if optimiser is sgd:
            training.optimiser = torch.optim.SGD(training.model.last.parameters(), lr=0.1)  # type: ignore[union-attr]
            training.model.first.requires_grad_(False)  # type: ignore[union-attr]
        training.run()
        found.append(values(policy))
    assert not moved(*found)
    refused(
        r"weights=\['first'\]: 'first' of Smooth does not train, .* name what does",
        optimiser=lambda model: torch.optim.SGD(model.last.parameters(), lr=0.1),
        weights=["first"],
    )


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (["lust"], r"Smooth has no weights 'lust': did you mean 'last'"),
        (["last.wait"], r"no weights 'last.wait': did you mean 'last.weight'"),
        ("last", r"'last' is no part of a network, which are 'all', 'head', 'last-block': .* as in \['last'\]"),
        ([], r"weights=\[\] names nothing"),
        ([""], r"no weights ''"),
    ],
)
def test_unknown_weights_are_refused_at_the_first_step(weights: Any, message: str) -> None:
    policy = relaxed()
    training = Training(policy, Bilevel(policy, identity(), replace(OFTEN, every=4)), weights=weights)
    with pytest.raises(ValueError, match=message):
        training.run()
    assert training.trial.step == 1


# The length of a loop


def scaled(epochs: int, steps: int | None, own: bool = False) -> Bilevel:
    strategy = STRATEGIES["madao_first_order"]
    assert strategy.within is not None
    policy: Any = strategy.policy().double()
    learner: Any = strategy.within(policy)
    task = Task(data=None, device="cpu", epochs=epochs)
    Training(policy, learner, epochs=epochs, steps=steps, own=own, task=task).run()
    bilevel: Bilevel = learner
    return bilevel


@pytest.mark.parametrize(("steps", "own"), [(4, False), (None, False), (None, True)])
def test_settings_that_follow_the_length_are_those_of_a_task_as_long(steps: int | None, own: bool) -> None:
    learner, strategy = scaled(20, steps, own), STRATEGIES["madao_first_order"]
    assert strategy.within is not None
    wanted: Any = strategy.within(strategy.policy())
    wanted.check(Task(data=None, epochs=20, batch_size=12), 48, 20)
    assert (learner.updates.every, learner.updates.warmup) == (wanted.updates.every, wanted.updates.warmup) == (1, 2)
    assert learner.optimiser.param_groups[0]["lr"] == wanted.optimiser.param_groups[0]["lr"]
    assert learner.counts["updates"] == 18 * 4


def test_before_the_steps_of_an_epoch_are_known_there_is_no_update() -> None:
    assert scaled(5, 4).counts["updates"] == 20
    assert scaled(5, None).counts["updates"] == 16
    assert scaled(5, None, own=True).counts["updates"] == 16


@pytest.mark.parametrize("steps", [4, None])
@pytest.mark.parametrize("stop", [1, 2])
def test_a_loop_that_is_resumed_equals_one_that_never_stopped(stop: int, steps: int | None, tmp_path: Path) -> None:
    strategy = STRATEGIES["madao"]
    assert strategy.within is not None

    def make(**more: Any) -> Training:
        policy: Any = strategy.policy().double()
        return Training(policy, strategy.within(policy), adamw, epochs=4, steps=steps, **more)  # type: ignore[misc]

    whole = make()
    wanted = whole.run()
    cut = make(checkpoint=Checkpoint(Folder(tmp_path), "1.pt", every_seconds=0))
    epochs = records(cut.loop, cut.trial)
    list(itertools.islice(epochs, stop + 1))
    epochs.close()  # type: ignore[attr-defined]
    resumed = make(checkpoint=Checkpoint(Folder(tmp_path), "2.pt", earlier=["1.pt"]))
    found = resumed.run()
    assert [record.epoch for record in found] == list(range(stop + 1, 5))
    assert [record.policy for record in found] == [record.policy for record in wanted[stop:]]
    assert not moved(values(resumed.policy), values(whole.policy))
    assert resumed.learner.updates == replace(whole.learner.updates, optimiser=resumed.learner.updates.optimiser)
    assert whole.learner.counts["updates"] > 0


def test_a_state_of_before_the_length_was_known_takes_the_settings_back() -> None:
    learner, fresh = scaled(20, 4), STRATEGIES["madao_first_order"]
    assert fresh.within is not None
    begun: Any = fresh.within(fresh.policy().double())  # type: ignore[attr-defined]
    learner.load_state_dict(begun.state_dict())
    assert learner.waits
    assert learner.updates.every == begun.updates.every == 60


# What is refused


def refused(message: str, learner: Any = None, optimiser: Make = sgd, **given: Any) -> Training:
    policy = Bright().double()
    training = Training(policy, None, optimiser, **given)
    training.trial.learner = learner(policy) if learner else Bilevel(policy, identity(), replace(OFTEN, every=3))
    with pytest.raises(ValueError, match=message):
        training.run()
    assert not moved(values(Bright().double()), values(policy))
    return training


IMAGES, TARGETS = VAL


@pytest.mark.parametrize(
    ("val", "message"),
    [
        (None, r"no validation data: write trial\.learn\(model, \(images, targets\), \(val_images, val_targets\)"),
        ((), r"given a tuple of nothing as validation data"),
        (IMAGES, r"given a Tensor as validation data"),
        ((IMAGES, [1, 2]), r"given a tuple of Tensor, list as validation data"),
        ((IMAGES[:0], TARGETS[:0]), r"validation images \[0, 1, 8, 8\]: give some"),
        ((IMAGES[:, 0], TARGETS), r"validation images \[20, 8, 8\]"),
        ((IMAGES, TARGETS[:3]), r"validation targets \[3\] of torch.int64 for 20 images"),
        ((IMAGES, TARGETS.double()), r"targets \[20\] of torch.float64 .* int64; the soft targets of trial.augment"),
        ((IMAGES, F.one_hot(TARGETS, 10)), r"targets \[20, 10\] of torch.int64"),
        ((IMAGES.to("meta"), TARGETS), r"validation images on meta, and the network is on cpu: write images.to\('cpu'"),
        ((IMAGES, TARGETS.to("meta")), r"validation targets on meta"),
    ],
)
def test_validation_data_that_are_none_are_refused_at_the_first_step(val: Any, message: str) -> None:
    training = refused(message, val=val)
    assert training.trial.step <= 1
    if val is not None:
        refused(message, val=lambda: val)


def test_validation_images_that_are_normalised_are_refused() -> None:
    refused(r"validation images with values from -.* to .*: give uint8, or floats", val=(IMAGES - 0.5, TARGETS))


def test_validation_images_that_come_to_an_end_are_refused() -> None:
    refused(r"came to an end: give a function that begins anew", val=iter(()).__next__)


def test_training_data_that_are_none_are_refused() -> None:
    training = Training(Bright().double(), Noting())
    teach = partial(training.trial.learn, training.model, val=VAL, optimiser=training.optimiser)
    for given, message in (
        (None, "no training data"),
        ((TRAIN[0].images, torch.zeros(12, 10)), r"training targets \[12, 10\] of torch.float32"),
        ((TRAIN[0].images.to("meta"), TRAIN[0].targets), "training images on meta"),
    ):
        with pytest.raises(ValueError, match=message):
            teach(train=given)  # type: ignore[arg-type]
    with training.trial.steps.watched():
        training.optimiser.step()
    with pytest.raises(ValueError, match=r"training images with values from .* to 2: give uint8, or floats in"):
        teach(train=(2 * TRAIN[0].images, TRAIN[0].targets))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"clip_norm": 0}, r"clip_norm=0\): give the norm .* above 0"),
        ({"micro_batch": 0}, r"micro_batch=0\): give a whole number of images"),
        ({"micro_batch": 2.0}, r"micro_batch=2.0"),
        ({"criterion": F.cross_entropy}, r"criterion=...\) gives \[\] for logits \[12, 10\]: .* reduction='none'"),
        ({"criterion": lambda logits, targets: 1.0}, r"gives a float"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(given: dict[str, Any], message: str) -> None:
    refused(message, **given)


def test_networks_and_optimisers_that_are_none_are_refused() -> None:
    training = Training(Bright().double(), Noting())
    model, optimiser, learn = training.model, training.optimiser, training.trial.learn
    with pytest.raises(ValueError, match=r"given a function for a torch Module: write trial.learn\(model"):
        learn(network, TRAIN[0], VAL, optimiser)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"given a Smooth for a torch Optimizer"):
        learn(model, TRAIN[0], VAL, model)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a Flatten has no weights"):
        learn(nn.Flatten(), TRAIN[0], VAL, optimiser)
    with pytest.raises(ValueError, match=r"first.weight of the network is on meta, and the policy on cpu"):
        learn(network().to("meta"), TRAIN[0], VAL, optimiser)


def looking_ahead(policy: Any) -> Bilevel:
    return Bilevel(policy, unrolled(1, 0.0), replace(OFTEN, every=3))


def test_optimisers_that_cannot_be_followed_are_refused_at_the_first_step() -> None:
    adam = refused(
        r"SGD or AdamW of torch.optim, not Adam: give one of them to trial.learn, .* or search with another strategy$",
        looking_ahead,
        lambda model: torch.optim.Adam(model.parameters()),
    )
    assert adam.trial.step == 1
    refused("without dampening", looking_ahead, lambda m: torch.optim.SGD(m.parameters(), momentum=0.9, dampening=0.1))
    refused(
        r"clip_norm=1\) clips by the norm of the whole gradient, .* weights='head' knows that of a part",
        looking_ahead,
        clip_norm=1,
        weights="head",
    )


def test_settings_under_which_nothing_moves_are_refused() -> None:
    def with_updates(**more: Any) -> Callable[[Any], Bilevel]:
        return lambda policy: Bilevel(policy, identity(), replace(OFTEN, **more))

    begun = refused(r"warmup=1 epochs of trial.epochs\(1\): the policy would never move", with_updates(warmup=1))
    assert begun.trial.step == 1
    refused(r"every=5 steps, .* longer than the training of 1 epochs with 4 steps each", with_updates(every=5))
    late = refused(r"every=9 steps", with_updates(every=9), epochs=2, steps=None)
    assert late.trial.step == 5
    fitted: Any = STRATEGIES["madao"].within
    with pytest.raises(ValueError, match=r"a loop of one epoch is over .* give trial.epochs\(1, steps=...\)"):
        Training(relaxed(), fitted(relaxed()), steps=None).run()


def test_steps_that_count_batches_are_refused_where_the_gradient_is_gathered() -> None:
    with pytest.raises(ValueError, match=r"epochs\(steps=12\), and the optimiser made 4 steps in an epoch .* steps=4,"):
        Training(Bright(), Noting(), pieces=3, steps=12, epochs=2).run()
    Training(Bright(), Noting(), steps=5, epochs=2).run()  # some steps may be left out, as where a scaler skips them


class TrainerOnly(NullLearner):
    moves_policy = True


def test_a_learner_of_the_trainer_alone_is_refused() -> None:
    refused("TrainerOnly moves the policy in autoaug's own trainer alone: .* learn", lambda policy: TrainerOnly())


def test_learn_without_a_step_is_refused_at_the_first_report() -> None:
    class Unstepped(Training):
        def step(self, trial: Trial, given: Batch) -> None:
            trial.augment(*given, classes=10)
            trial.learn(self.model, given, VAL, self.optimiser)

    training = Unstepped(Bright().double(), Noting())
    with pytest.raises(ValueError, match=re.escape("after each step of the optimiser call trial.learn(model")):
        training.run()
    assert training.learner.lessons == []


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # dynamo, of weights that are swapped
@pytest.mark.parametrize("in_place", [True, False])
def test_a_compiled_network_is_named(in_place: bool) -> None:
    policy, model = relaxed(), network().double()
    compiled: Any = (
        model.compile(backend="aot_eager") or model if in_place else torch.compile(model, backend="aot_eager")
    )
    kind = "Smooth" if in_place else "OptimizedModule"
    learner = Bilevel(policy, identity(), OFTEN)
    with pytest.raises(RuntimeError, match=rf"the {kind} that trial.learn was given is compiled, .* give the network"):
        learner.learn(lesson(compiled, sgd(model)))
    if not in_place:
        learner.learn(lesson(model, sgd(model)))
        assert moved(values(policy), values(relaxed()))


def test_it_works_where_gradients_are_off() -> None:
    """As in the callbacks of frameworks, which are called so."""
    found = []
    for off in (False, True):
        policy = relaxed()
        learner: Learner = Bilevel(policy, neumann(2, 0.1), Updates(every=1))
        model = network().double()
        with torch.set_grad_enabled(not off):
            learner.learn(lesson(model, sgd(model)))
        found.append(values(policy))
    assert not moved(*found)


def test_bytes_and_small_integers_are_read_as_they_are_meant() -> None:
    noting = Noting()
    as_bytes = [Batch((255 * images).byte(), targets.int()) for images, targets in TRAIN]
    training = Training(Warp("translation", "range"), noting, val=as_bytes[0], batches=as_bytes)
    trial = training.trial
    with trial.steps.watched():
        training.optimiser.step()
        trial.learn(training.model, as_bytes[0], as_bytes[1], training.optimiser)
    for (images, targets), wanted in ((noting.lessons[0].train, TRAIN[0]), (noting.lessons[0].val(), TRAIN[1])):
        torch.testing.assert_close(images, wanted.images.float(), atol=1 / 255, rtol=0)
        assert targets.dtype == torch.int64
        assert torch.equal(targets, wanted.targets)
