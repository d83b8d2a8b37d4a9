"""What is minimised: each loss against numbers worked out by hand, balanced classes, and the learner's view of both."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_problems import SMALL, Brightened, batch, network, seeded
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from autoaug import Budget, Study, Task
from autoaug.artifacts import Folder
from autoaug.checkpoint import Checkpoint
from autoaug.data import Source, Split
from autoaug.hypergrad import Hypergrad, identity, neumann, unrolled
from autoaug.learners import Batch, Bilevel, Problem
from autoaug.learners._bilevel import pick_trained
from autoaug.learners._estimators import pathwise
from autoaug.mixing import MIXES
from autoaug.policy import Fixed, Relaxed, ready
from autoaug.strategies import none
from autoaug.study import preflight
from autoaug.train import LOSSES, Criterion, MinibatchLoss, TrainingRun, criterion_of, epoch_order, train
from autoaug.train._criterion import class_weights
from autoaug.train._loop import batches

LOGITS = torch.tensor([[0.0, 0.0, 0.0], [math.log(2), 0.0, 0.0]])
SOFT = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])


def uneven(root: Path) -> Source:
    """Grey noise: 60 images to train on, 40, 15 and 5 of three classes, and twice 30 to validate and to test."""
    targets = torch.arange(60).ge(40).long() + torch.arange(60).ge(55).long()
    rng = Generator().manual_seed(0)
    train, val = (torch.rand(count, 1, 8, 8, generator=rng) for count in (60, 30))
    held = Split(val, torch.arange(30) % 3)
    return Source(train=Split(train, targets), val=held, test=Split(1 - val, held.targets))


TASK = Task(data=uneven, model="convnet", epochs=2, batch_size=16, lr=0.05, standard="none", device="cpu")


def run_of(task: Task, learner: Any = None, mix: str = "none") -> TrainingRun:
    run = TrainingRun(task, Fixed(ready.none()), MIXES[mix](), learner, seeded(), task.load())
    run.epoch = 1
    return run


# The losses


def test_cross_entropy_by_hand() -> None:
    losses = LOSSES["cross-entropy"](LOGITS, SOFT)
    assert losses.tolist() == pytest.approx([math.log(3), 0.5 * math.log(2) + 0.5 * math.log(4)])
    assert torch.allclose(losses.mean(), F.cross_entropy(LOGITS, SOFT))


def test_binary_cross_entropy_by_hand() -> None:
    """Sigmoids of 1/2, and of 2/3 where the logit is ln 2."""
    second = (0.5 * math.log(1.5) + 0.5 * math.log(3) + math.log(2) + math.log(2)) / 3
    assert LOSSES["binary-cross-entropy"](LOGITS, SOFT).tolist() == pytest.approx([math.log(2), second])


def test_smoothed_targets_are_those_of_torch() -> None:
    targets = torch.tensor([2, 0])
    wanted = F.cross_entropy(LOGITS, targets, label_smoothing=0.3, reduction="none")
    for given in (targets, F.one_hot(targets, 3).float()):
        assert torch.allclose(Criterion(smoothing=0.3)(LOGITS, given), wanted)


def test_smoothing_and_mixing_change_places() -> None:
    """(1 - ε) t + ε / K of a mixture is the mixture of the smoothed."""
    lam = 0.3
    mixed = lam * SOFT[:1] + (1 - lam) * SOFT[1:]
    seen: list[Tensor] = []
    Criterion(lambda logits, targets: seen.append(targets) or logits.sum(1), 0.2)(LOGITS[:1], mixed)  # type: ignore[func-returns-value]
    assert torch.allclose(seen[0], lam * (0.8 * SOFT[:1] + 0.2 / 3) + (1 - lam) * (0.8 * SOFT[1:] + 0.2 / 3))


def test_weights_of_classes_are_even_in_sum_and_one_in_the_mean() -> None:
    targets = uneven(Path()).train.targets
    weights = class_weights(targets, 4)
    assert weights.tolist() == pytest.approx([60 / (3 * 40), 60 / (3 * 15), 60 / (3 * 5), 0])
    assert weights[targets].mean().item() == pytest.approx(1)
    given = Criterion(weights=weights[:3])
    assert torch.allclose(
        given(LOGITS, torch.tensor([2, 1])), Criterion()(LOGITS, torch.tensor([2, 1])) * weights[[2, 1]]
    )
    assert given(LOGITS, SOFT)[1].item() == pytest.approx(LOSSES["cross-entropy"](LOGITS, SOFT)[1].item() * 11 / 12)


@pytest.mark.parametrize("micro_batch", [None, 5])
def test_a_training_step_minimises_the_mean_of_the_criterion(micro_batch: int | None) -> None:
    def squared(logits: Tensor, targets: Tensor) -> Tensor:
        return (logits - targets).square().sum(1)

    task = replace(TASK, model=linear, loss=squared, label_smoothing=0.2, balanced="loss", micro_batch=micro_batch)
    run = run_of(task)
    images, targets = run.data.train.images[-16:], run.data.train.targets[-16:]
    weights = torch.tensor([60 / 120, 60 / 45, 60 / 15])[targets]
    wanted = 0.8 * F.one_hot(targets, 3) + 0.2 / 3
    by_hand = (weights * (run.logits(images) - wanted).square().sum(1)).mean()
    loss = MinibatchLoss(run, *run.augment(images, targets))
    assert loss.with_graph().item() == pytest.approx(by_hand.item(), rel=1e-6)
    slopes = torch.autograd.grad(by_hand, list(run.model.parameters()))
    assert loss.backward().item() == pytest.approx(by_hand.item(), rel=1e-6)
    for weight, slope in zip(run.model.parameters(), slopes, strict=True):
        assert weight.grad is not None
        assert torch.allclose(weight.grad, slope, atol=1e-6)


def linear(classes: int, channels: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64 * channels, classes))


def test_train_loss_is_the_loss_and_validation_stays_a_cross_entropy() -> None:
    task = replace(TASK, epochs=1, loss=lambda logits, targets: 0 * logits.sum(1) + 7.0)
    [record] = train(task, Fixed(ready.none()), MIXES["none"](), rng=seeded())
    assert record.metrics["train_loss"] == 7
    assert record.metrics["val_nll"] > 0.5


# What the learner differentiates


@pytest.mark.parametrize(
    "hypergrad", [identity(), neumann(3, 0.1), unrolled(2, 0.1)], ids=["identity", "neumann", "unrolled"]
)
@pytest.mark.parametrize("micro_batch", [None, 4])
def test_a_hypergradient_is_of_the_loss_that_is_trained_on(hypergrad: Hypergrad, micro_batch: int | None) -> None:
    """Against the same derivative with the loss written out in one function."""
    weights, double = torch.rand(10, generator=seeded(4)).double(), torch.float64
    train_batch, val = batch(11, 1, double), batch(9, 2, double)
    criterion = Criterion(LOSSES["binary-cross-entropy"], 0.3, weights)
    given = Problem(
        Brightened().double(),
        network().double(),
        train_batch,
        val,
        seeded(),
        micro_batch=micro_batch,
        criterion=criterion,
    )

    def written_out(parameters: Any, hyper: Any) -> Tensor:
        logits = given.predict(parameters, train_batch.images * hyper["factor"])
        targets = 0.7 * F.one_hot(train_batch.targets, 10) + 0.03
        probability = logits.sigmoid()
        each = -(targets * probability.log() + (1 - targets) * (1 - probability).log()).mean(1)
        return (weights[train_batch.targets] * each).mean()

    found = pathwise(hypergrad, given)["factor"]
    wanted = hypergrad(written_out, given.outer, given.weights, given.hyper)["factor"]
    assert wanted.abs() > 1e-6
    assert torch.allclose(found, wanted, rtol=1e-9)
    plain = pathwise(hypergrad, replace(given, criterion=Criterion()))["factor"]
    assert not torch.allclose(plain, wanted, rtol=1e-2)


@pytest.mark.parametrize("fields", [{}, {"label_smoothing": 0.2}, {"loss": "binary-cross-entropy", "balanced": "loss"}])
def test_the_inner_loss_of_a_learner_is_that_of_the_training_step(fields: dict[str, Any]) -> None:
    learner = Bilevel(Relaxed(("rotate",)), identity(), SMALL)
    run = run_of(replace(TASK, **fields), learner)
    images, targets = run.data.train.images[-16:], run.data.train.targets[-16:]

    problem = learner.problem(run, Batch(images, targets), Batch(images, targets))
    run.model.train()
    inner = problem.train_loss(problem.predict(problem.weights, images), targets)
    step = MinibatchLoss(run, *run.augment(images, targets)).with_graph()
    assert inner.item() == pytest.approx(step.item(), rel=1e-6)
    outer = problem.val_loss(problem.weights, {})
    assert outer.item() == pytest.approx(F.cross_entropy(problem.predict(problem.weights, images), targets).item())


@pytest.mark.parametrize("estimator", ["pathwise", "score"])
def test_a_learner_trains_with_every_loss(estimator: Any) -> None:
    task = replace(TASK, loss="binary-cross-entropy", label_smoothing=0.1, balanced="sample")
    policy = Relaxed(("rotate", "invert"))
    learner = Bilevel(
        policy, neumann(2, 0.1), replace(SMALL, every=1, hyper_batch=12, val_batch=12, estimator=estimator)
    )
    records = list(train(task, policy, MIXES["mixup"](alpha=1.0), learner, seeded()))
    assert [record.metrics["hyper_updates"] for record in records] == [3, 6]


# Classes of different sizes


def test_an_epoch_of_balanced_samples_has_every_class_equally_often() -> None:
    targets = uneven(Path()).train.targets
    order = epoch_order(replace(TASK, balanced="sample"), targets, seeded())
    assert (len(order), order.dtype) == (60, torch.int64)
    assert torch.bincount(targets[order]).tolist() == [20, 20, 20]
    times = torch.bincount(order, minlength=60)
    assert times[:40].tolist().count(1) == 20, "a part of the common class, none of it twice"
    assert sorted(times[40:55].tolist()) == [1] * 10 + [2] * 5
    assert times[55:].tolist() == [4] * 5


def test_what_is_left_over_goes_to_classes_by_chance() -> None:
    targets = torch.tensor([0] * 5 + [3] * 2 + [4])
    counts = [
        torch.bincount(targets[epoch_order(replace(TASK, balanced="sample"), targets, seeded(k))]) for k in range(40)
    ]
    assert {tuple(each.tolist()) for each in counts} == {(3, 0, 0, 3, 2), (3, 0, 0, 2, 3), (2, 0, 0, 3, 3)}


@pytest.mark.parametrize("balanced", ["none", "loss"])
def test_otherwise_every_image_comes_once(balanced: Any) -> None:
    targets = uneven(Path()).train.targets
    order = epoch_order(replace(TASK, balanced=balanced), targets, seeded())
    assert torch.equal(order, torch.randperm(60, generator=seeded()))


def test_a_minibatch_is_balanced_by_chance_and_an_epoch_keeps_its_steps() -> None:
    run = run_of(replace(TASK, balanced="sample"))
    drawn = [run.data.train.targets[chosen] for chosen in batches(run)]
    assert [len(each) for each in drawn] == [16, 16, 16]
    assert all(len(each.unique()) == 3 for each in drawn)


def test_a_learner_draws_balanced_batches_where_the_training_does() -> None:
    run = run_of(replace(TASK, balanced="sample"))
    drawn = [pick_trained(run, 30, seeded(k)) for k in range(20)]
    counts = torch.stack([torch.bincount(run.data.train.targets[each], minlength=3) for each in drawn]).sum(0)
    assert counts.min() > 150, "of 600, a third each; 50 of the rarest otherwise"
    assert torch.equal(pick_trained(run_of(TASK), None, seeded()), torch.arange(60))


class Stopped(Exception):
    """The process ends here."""


def test_a_training_on_balanced_classes_goes_on_within_an_epoch_as_if_it_had_not_been_cut_off(tmp_path: Path) -> None:
    task, setting = replace(TASK, balanced="sample"), (Fixed(ready.none()), MIXES["none"]())
    whole = list(train(task, *setting, rng=seeded()))
    calls = 0

    def pulse() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Stopped

    saved = Checkpoint(Folder(tmp_path), "run", every_seconds=1e-9)
    with pytest.raises(Stopped):
        list(train(task, *setting, rng=seeded(), resume=saved, pulse=pulse))
    rest = list(train(task, *setting, rng=seeded(), resume=Checkpoint(Folder(tmp_path), "run", every_seconds=1e-9)))
    assert [each.images for each in rest] == [16, 48], "two of three steps of the first epoch had been made"
    assert [each.metrics["train_loss"] for each in rest] == [each.metrics["train_loss"] for each in whole]


# What cannot be


def mean_of_batch(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets)


def infinite(logits: Tensor, targets: Tensor) -> Tensor:
    return (logits.sum(1) - logits.sum(1)) / 0


def unslanted(logits: Tensor, targets: Tensor) -> Tensor:
    return targets.sum(1)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (
            mean_of_batch,
            r"loss mean_of_batch fails on two images of 3 classes: Task.loss gives \[\] for logits \[2, 3\]: ",
        ),
        (lambda logits, targets: None, r"Task.loss gives a NoneType for logits \[2, 3\]: give the loss of each image"),
        (infinite, r"loss infinite gives \[nan, nan\] for finite logits"),
        (unslanted, r"loss unslanted fails on two images of 3 classes: .*does not require grad"),
    ],
)
def test_a_loss_that_is_none_is_named_before_a_study_runs(loss: Any, message: str) -> None:
    study = Study(name="x", task=replace(TASK, loss=loss), strategies={"none": none()}, budget=Budget(trials=1))
    with pytest.raises(ValueError, match=rf"^strategy 'none' of study 'x': .*{message}"):
        preflight(study)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"loss": "crossentropy"}, r"^unknown loss 'crossentropy': did you mean 'cross-entropy'"),
        ({"loss": 3}, r"^Task.loss is 3: give the name of a loss, or a function"),
        ({"label_smoothing": 1.0}, r"^Task.label_smoothing is 1.0: give a number in \[0, 1\)"),
        ({"balanced": "yes"}, r"^Task.balanced is 'yes': give 'none', 'sample' or 'loss'"),
        ({"dropout": 1.0}, r"^Task.dropout is 1.0: give a number in \[0, 1\), or None"),
    ],
)
def test_impossible_values_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TASK, **fields)


# Dropout


def test_dropout_reaches_the_network() -> None:
    run = run_of(replace(TASK, model="wrn-10-1", dropout=0.25))
    found = [module.p for module in run.model.modules() if isinstance(module, nn.Dropout)]
    assert found
    assert set(found) == {0.25}
    assert {m.p for m in run_of(replace(TASK, model="wrn-10-1")).model.modules() if isinstance(m, nn.Dropout)} == {0.0}


def own_network(classes: int, channels: int, dropout: float = 0.5) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Dropout(dropout), nn.Linear(64 * channels, classes))


def test_dropout_reaches_a_network_of_ones_own() -> None:
    for dropout, wanted in ((0.125, 0.125), (None, 0.5)):
        assert run_of(replace(TASK, model=own_network, dropout=dropout)).model[1].p == wanted  # type: ignore[index]


@pytest.mark.parametrize("model", ["convnet", linear])
def test_a_network_without_dropout_refuses_it_by_name(model: Any) -> None:
    study = Study(
        name="x", task=replace(TASK, model=model, dropout=0.2), strategies={"none": none()}, budget=Budget(trials=1)
    )
    with pytest.raises(
        ValueError, match=r"takes no dropout: leave Task.dropout out, or give one of wrn-10-1, .*preact"
    ):
        preflight(study)


def test_what_is_minimised_follows_from_the_task() -> None:
    split = uneven(Path()).train
    plain = criterion_of(TASK, split, 3)
    assert (plain.losses, plain.smoothing, plain.weights) == (LOSSES["cross-entropy"], 0.0, None)
    given = criterion_of(replace(TASK, loss=mean_of_batch, label_smoothing=0.1, balanced="loss"), split, 3)
    assert (given.losses, given.smoothing) == (mean_of_batch, 0.1)
    assert given.weights is not None
