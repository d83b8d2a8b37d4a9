"""The trainer: augmented epochs, then refinement; paired seeds; bit-equal resumption; the test split out of reach."""

from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from autoaug.artifacts import Folder
from autoaug.checkpoint import Checkpoint
from autoaug.data import Data, Source, Split, Standard, load_data, resized, subset
from autoaug.mixing import MIXES
from autoaug.policy import Fixed, ready
from autoaug.record import Record
from autoaug.train import Diverged, Task, TrainingRun, learning_rate, train
from autoaug.train import _loop as training

TASK = Task(data="digits-rotated", model="convnet", epochs=2, refine_epochs=1, batch_size=50, lr=0.2, device="cpu")


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def run(
    task: Task = TASK, policy: str = "random_policy", mix: str = "mixup", seed: int = 0, **more: Any
) -> list[Record]:
    return list(train(task, Fixed(getattr(ready, policy)()), MIXES[mix](), None, seeded(seed), **more))


class Spy(nn.Module):
    """A policy that remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        self.seen.append(images.clone())
        return images

    def tree(self) -> Any:
        return ready.none()

    def at(self, epoch: int) -> None: ...

    def save(self, path: Path) -> None: ...


def test_one_record_per_epoch_augmented_ones_first() -> None:
    records = run()
    assert [record.epoch for record in records] == [1, 2, 3]
    assert [record.phase for record in records] == ["augment", "augment", "refine"]
    for record in records:
        assert 0 <= record.metrics["val_accuracy"] <= 1
        assert record.metrics["val_nll"] > 0
        assert record.images == 400
        assert record.gpu_seconds > 0
        assert record.device == "cpu"


def test_it_learns() -> None:
    records = run(replace(TASK, epochs=10, refine_epochs=0), policy="none", mix="none")
    assert records[-1].metrics["train_loss"] < 0.2 < 1.5 < records[0].metrics["train_loss"]
    assert records[-1].metrics["val_accuracy"] > 0.7


def test_the_same_generator_gives_the_same_run_and_another_one_another() -> None:
    first, again, other = run(seed=1), run(seed=1), run(seed=2)
    assert [r.metrics for r in first] == [r.metrics for r in again]
    assert first[-1].metrics != other[-1].metrics


def test_neither_policy_nor_mix_touches_a_refinement_epoch() -> None:
    spy, mixed = Spy(), []

    def mix(images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        mixed.append(len(images))
        return images, targets

    list(train(replace(TASK, epochs=1, refine_epochs=2), spy, mix, None, seeded()))
    assert len(spy.seen) == len(mixed) == 8, "8 steps of 50 images, in the one augmented epoch"


def test_strategies_share_initial_weights_and_data_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paired seeds: whatever a policy draws, the weights and the order of the images are those of the seed."""

    def order(policy: Any) -> tuple[Tensor, list[Tensor]]:
        starts, orders = [], []
        original = training.batches

        def spying(run: TrainingRun) -> Any:
            starts.append(next(run.model.parameters()).detach().clone())
            for batch in original(run):
                orders.append(batch)
                yield batch

        monkeypatch.setattr(training, "batches", spying)
        list(train(TASK, policy, MIXES["mixup"](), None, seeded(3)))
        monkeypatch.setattr(training, "batches", original)
        return starts[0], orders

    start, quiet = order(Fixed(ready.none()))
    other_start, busy = order(Fixed(ready.random_policy()))
    assert torch.equal(start, other_start)
    assert all(torch.equal(a, b) for a, b in zip(quiet, busy, strict=True))


@pytest.mark.parametrize("stop", [1, 2])
def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(tmp_path: Path, stop: int) -> None:
    class Dropout(nn.Module):
        """A user's model whose forward pass draws from torch's global generator."""

        def __init__(self, classes: int, channels: int) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Flatten(), nn.Linear(64 * channels, 32), nn.Dropout(), nn.Linear(32, classes))

        def forward(self, images: Tensor) -> Tensor:
            return self.net(images)

    task = replace(TASK, model=Dropout)
    whole = run(task)
    first = Checkpoint(Folder(tmp_path), "1.pt", every_seconds=0)
    interrupted = train(task, Fixed(ready.random_policy()), MIXES["mixup"](), None, seeded(), first)
    for _ in range(stop + 1):  # the state of an epoch is written once its record was taken
        next(interrupted)
    interrupted.close()
    second = Checkpoint(Folder(tmp_path), "2.pt", earlier=["1.pt"])
    rest = run(task, seed=99, resume=second)
    assert [record.epoch for record in rest] == list(range(stop + 1, 4))
    assert [r.metrics for r in rest] == [r.metrics for r in whole[stop:]]


def test_the_learning_rate_climbs_falls_and_stays_for_refinement() -> None:
    task = Task(data="digits", epochs=10, refine_epochs=2, lr=0.2, warmup=0.2, final_lr=0.01)
    rates = [learning_rate(task, step, 10) for step in range(120)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == rates[19] == pytest.approx(0.2)
    assert all(a >= b for a, b in pairwise(rates[19:100]))
    assert rates[99] == pytest.approx(0.002)
    assert rates[100:] == pytest.approx([0.02] * 20), "a tenth of the peak, which was measured to refine best"
    assert learning_rate(replace(task, refine_lr=0.05), 100, 10) == 0.05


def test_a_search_is_not_given_the_test_split(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    original = Task.load
    monkeypatch.setattr(Task, "load", lambda *a, **k: given.append(original(*a, **k)) or given[-1])
    records = run()
    assert given[0].test is None
    assert not any(name.startswith("test") for record in records for name in record.metrics)


def test_a_final_run_reads_the_test_split_once_after_the_last_epoch() -> None:
    records = run(test=True)
    assert ["test_accuracy" in record.metrics for record in records] == [False, False, True]
    assert 0 <= records[-1].metrics["test_accuracy"] <= 1


def test_a_loss_that_is_not_a_number_ends_the_run_with_a_reason() -> None:
    with pytest.raises(Diverged, match=r"loss is (nan|inf) in epoch 1: lower Task.lr"):
        run(replace(TASK, lr=1e20), policy="none", mix="none")


def test_standard_augmentation_stays_while_refining(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    original = TrainingRun.standard

    def spying(self: TrainingRun, images: Tensor) -> Tensor:
        calls.append(self.phase)
        return original(self, images)

    monkeypatch.setattr(TrainingRun, "standard", spying)
    run(replace(TASK, epochs=1, refine_epochs=1))
    assert calls == ["augment"] * 8 + ["refine"] * 8


def test_the_standard_flip_is_a_fair_coin_for_every_image() -> None:
    def edges(root: Path) -> Source:
        images = torch.zeros(64, 1, 8, 8)
        images[:, :, :, 0] = 1
        split = Split(images, torch.arange(64) % 2)
        standard = Standard(pad=0.0, flip=True)
        return Source(train=split, val=split, test=split, classes=("a", "b"), standard=standard)

    spy = Spy()
    task = Task(data=edges, model="convnet", epochs=8, batch_size=64, device="cpu")
    list(train(task, spy, MIXES["none"](), None, seeded()))
    flipped = sum(int((seen[:, 0, 0, 7] == 1).sum()) for seen in spy.seen)
    assert 200 < flipped < 312, "512 fair coins: outside has probability 1e-6"


def test_an_anchored_task_finds_its_files_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert replace(TASK, data="photos").anchored().data == str(tmp_path / "photos")
    nested = replace(TASK, data=resized(subset("photos", train=20, val=10), 16)).anchored().data
    assert nested == resized(subset(str(tmp_path / "photos"), train=20, val=10), 16)
    assert TASK.anchored().data == TASK.data, "a name stays a name"
    assert TASK.anchored().root == str(tmp_path / "data")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, r"Task.epochs is 0: give a whole number of at least 1"),
        ({"refine_epochs": -1}, r"Task.refine_epochs is -1"),
        ({"batch_size": 1.5}, r"Task.batch_size is 1.5"),
        ({"lr": 0.0}, r"Task.lr is 0.0: give a number above 0"),
        ({"lr": float("nan")}, r"Task.lr is nan"),
        ({"warmup": 1.0}, r"Task.warmup is 1.0"),
        ({"resplit": "daily"}, r"Task.resplit is 'daily': give 'fixed' or 'per_epoch'"),
    ],
)
def test_a_task_that_cannot_be_trained_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TASK, **wrong)


@pytest.mark.parametrize(
    ("total", "share", "divided"),
    [(20, 0.2, (16, 4)), (20, 0.0, (20, 0)), (20, None, (18, 2)), (3, 0.99, (1, 2)), (1, 0.9, (1, 0))],
)
def test_a_total_is_divided_into_augmented_and_refinement_epochs(
    total: int, share: float | None, divided: tuple[int, int]
) -> None:
    refined = 0 if share is not None else 2
    task = replace(TASK, epochs=7, refine_epochs=refined, total_epochs=total, refine_share=share)
    assert (task.epochs, task.refine_epochs, task.last_epoch) == (*divided, total)
    assert replace(task, lr=0.3).epochs == task.epochs, "as often as it is made anew"
    if share is not None:
        assert replace(task, refine_share=0.5, total_epochs=10).refine_epochs == 5


def test_what_divides_no_total_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^Task.refine_share is 0.2, a share of no total: give Task.total_epochs"):
        replace(TASK, refine_share=0.2)
    with pytest.raises(ValueError, match=r"^Task.refine_epochs is 3: give fewer than Task.total_epochs=3"):
        replace(TASK, total_epochs=3, refine_epochs=3)


@pytest.mark.parametrize(("rule", "different"), [("fixed", 1), ("per_epoch", 3)])
def test_held_out_images_are_drawn_anew_in_every_epoch_where_the_task_says_so(
    rule: Any, different: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pool(root: Path) -> Source:
        images = torch.rand(200, 1, 8, 8, generator=seeded())
        return Source(train=Split(images, torch.arange(200) % 2), standard=Standard(pad=0, flip=False))

    seen: list[Split] = []
    original = training.evaluate
    monkeypatch.setattr(training, "evaluate", lambda run, *more: seen.append(run.data.val) or original(run, *more))
    for _ in range(2):
        run(replace(TASK, data=pool, resplit=rule), policy="none", mix="none")
    first, second = seen[:3], seen[3:]
    assert all(torch.equal(one.images, two.images) for one, two in zip(first, second, strict=True))
    assert len({each.images.sum().item() for each in first}) == different


def hundred_digits(root: Path) -> Source:
    """The training and test images of digits-100, without validation images."""
    found = load_data("digits-100", test=True)
    return Source(train=found.train, test=found.test, standard=found.standard)


def test_a_split_that_is_drawn_anew_is_scored_on_images_that_no_epoch_trains_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Data] = []
    original = training.train_epoch
    monkeypatch.setattr(training, "train_epoch", lambda run: seen.append(run.data) or original(run))
    task = replace(TASK, data=hundred_digits, epochs=30, refine_epochs=0, batch_size=20, lr=0.1, val_fraction=0.2)
    task = replace(task, resplit="per_epoch")
    last = list(train(task, Fixed(ready.none()), MIXES["none"](), None, seeded(), test=True))[-1].metrics
    kept_aside = seen[0].scored.images
    assert torch.equal(kept_aside, replace(task, resplit="fixed").load().val.images), "as a fixed split has it"
    assert all(each.scored.images is kept_aside for each in seen)
    trained = {image.numpy().tobytes() for each in seen for image in each.train.images}
    assert len(trained) == 80, "everything else, sooner or later"
    assert not trained & {image.numpy().tobytes() for image in kept_aside}
    assert last["val_accuracy"] < 1
    assert last["val_accuracy"] == pytest.approx(last["test_accuracy"], abs=0.15), "20 images say no more"


def test_a_task_is_described_alike_in_every_process() -> None:
    def reader(images: int, root: Path) -> Source:
        raise NotImplementedError

    described = Task(data=partial(reader, 5), model=nn.Identity()).describe()
    assert described["data"].endswith("reader>, 5)")
    assert "0x" not in described["data"] + described["model"]
