"""Whatever goes wrong inside a trial ends as a state with a reason, and the rest of the study goes on."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from studies_for_tests import tiny
from torch import Tensor, nn

from autoaug import Budget, Study, Task
from autoaug.artifacts import Folder
from autoaug.data import Source, Split
from autoaug.execution import Event, Options, Scheduler
from autoaug.execution._job import Job
from autoaug.execution._worker import work
from autoaug.executors import run
from autoaug.record import Outcome, TrialKind
from autoaug.store import Store
from autoaug.strategies import none


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(artifacts=tmp_path / "artifacts", checkpoint_seconds=0)


class Linear(nn.Module):
    """A network that a test can make misbehave: `before` sees every batch that it is trained on."""

    def __init__(self, classes: int, channels: int, before: Callable[[Tensor], None] = lambda images: None) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64 * channels, classes))
        self.before = before

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.before(images)
        return self.net(images)


def study_of(before: Callable[[Tensor], None], **more: Any) -> Study:
    def model(classes: int, channels: int) -> nn.Module:
        return Linear(classes, channels, before)

    task = Task(data="digits-rotated", model=model, epochs=3, batch_size=100, lr=0.2)
    given: dict[str, Any] = {"strategies": {"none": none()}, "space": {}, "seeds": 1, "budget": Budget(trials=1)}
    return tiny(task=task, **given | more)


def searched(store: Store) -> list[Outcome]:
    return [outcome for outcome in store.outcomes("tiny") if outcome.kind is not TrialKind.FINAL]


# Memory


def greedy(most: int) -> Callable[[Tensor], None]:
    def allocate(images: Tensor) -> None:
        if len(images) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    return allocate


def test_a_trial_that_runs_out_of_memory_is_repeated_with_half_as_many_images_at_a_time(
    store: Store, options: Options
) -> None:
    run(study_of(greedy(60)), store, options=options)
    (outcome,) = searched(store)
    assert (outcome.state, outcome.attempt, outcome.epochs) == ("COMPLETE", 1, 3)
    assert store.trials("tiny", "none")[0].user_attrs["micro_batch"] == 50
    plain = Store(f"sqlite:///{options.artifacts}-plain.db")
    run(study_of(greedy(1000)), plain, options=replace(options, artifacts=options.artifacts / "plain"))
    for small, large in zip(store.epochs("tiny"), plain.epochs("tiny"), strict=True):
        assert small.metrics["train_loss"] == pytest.approx(large.metrics["train_loss"], rel=1e-4), "the same batch"
        assert small.images == large.images
    assert "micro_batch" not in plain.trials("tiny", "none")[0].user_attrs


def test_a_trial_that_runs_out_of_memory_twice_fails(store: Store, options: Options) -> None:
    run(study_of(greedy(20), budget=Budget(trials=2)), store, options=options)
    (outcome,) = searched(store)
    assert (outcome.state, outcome.attempt) == ("FAIL", 1)
    assert outcome.reason.startswith("OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB (test_failures")


# Data


def test_a_dataset_that_raises_fails_the_trial(store: Store, options: Options) -> None:
    reads = []

    def worn_out(root: Path) -> Source:
        reads.append(root)
        if len(reads) > 1:  # the check before the study can read it
            raise OSError(5, "Input/output error", "photo-17.png")
        split = Split(torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 2)
        return Source(train=split, val=split, test=split, classes=("a", "b"))

    study = study_of(lambda images: None)
    run(replace(study, task=replace(study.task, data=worn_out, batch_size=20)), store, options=options)
    (outcome,) = searched(store)
    assert outcome.state == "FAIL"
    assert "Input/output error: 'photo-17.png'" in outcome.reason


# Training that makes no step


def test_a_training_that_hangs_is_given_up_and_its_trial_goes_on_from_its_checkpoint(
    store: Store, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[Event] = []
    later: list[float] = []
    monkeypatch.setattr(
        "autoaug.execution._lease.time", SimpleNamespace(monotonic=lambda: time.monotonic() + sum(later))
    )

    def hang(images: Tensor) -> None:
        if any(event.record for event in events) and not later:
            later.append(3600)
            time.sleep(1000)

    options = replace(options, hang_seconds=1800, lease_seconds=0.05)
    run(study_of(hang), store, options=options, listen=events.append)
    first, second = searched(store)
    assert (first.state, first.reason, first.epochs) == ("FAIL", "hung: no step for 1800 s", 1)
    assert (second.state, second.attempt) == ("COMPLETE", 2)
    assert [
        record.epoch for record in store.epochs("tiny") if record.attempt == 2 and record.kind is not TrialKind.FINAL
    ] == [2, 3]
    assert [event.reason for event in events if event.state == "WAITING"] == ["hung: no step for 1800 s"]


# Disks


def test_a_disk_that_is_full_costs_the_checkpoint_and_not_the_training(store: Store, options: Options) -> None:
    def fill_the_disk(event: Event) -> None:
        if event.record and event.record.epoch == 1 and event.job.kind is not TrialKind.FINAL:
            folder = options.artifacts / "tiny" / "none" / "0"
            folder.mkdir(parents=True)
            (folder / f".1.pt.{os.getpid()}").symlink_to("/dev/full")  # a device without any space is written to

    run(study_of(lambda images: None), store, options=options, listen=fill_the_disk)
    (outcome,) = searched(store)
    assert (outcome.state, outcome.epochs) == ("COMPLETE", 3)
    assert store.trials("tiny", "none")[0].user_attrs["warning"] == "no checkpoint: No space left on device"


def test_artifacts_that_cannot_be_written_cost_the_checkpoint_and_not_the_training(
    store: Store, options: Options
) -> None:
    options.artifacts.mkdir()
    (options.artifacts / "tiny").write_text("a file in the place of a folder")
    run(study_of(lambda images: None), store, options=options)
    (outcome,) = searched(store)
    assert (outcome.state, outcome.epochs) == ("COMPLETE", 3)
    assert store.trials("tiny", "none")[0].user_attrs["warning"] == "no checkpoint: Not a directory"


# Names that would lead elsewhere


@pytest.mark.parametrize("root", ["../../x", "/etc", "a/b", "a\nb", "", ".", "..", "x" * 10_000_000])
def test_a_number_of_a_trial_that_is_a_path_is_refused(root: str) -> None:
    job = Job("none", 1, 0, {}, 1, root)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cannot name a folder of artifacts: it is no plain name") as caught:
        job.folder(Folder(Path("artifacts")), "tiny")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", ["../tiny", "tiny~1", "/tiny", "tiny\x00"])
def test_a_name_of_a_study_that_is_a_path_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="it is no plain name"):
        Job("none", 1, 0, {}, 1, 0).folder(Folder(Path("artifacts")), name)


def test_a_trial_whose_number_somebody_changed_fails_and_removes_nothing(
    store: Store, options: Options, tmp_path: Path
) -> None:
    study, precious = study_of(lambda images: None), tmp_path / "precious"
    precious.mkdir()
    scheduler = Scheduler(study, store)
    job = scheduler.next()
    assert job
    events: list[Event] = []
    work(study, replace(job, root="../../../precious"), store, options, events.append)  # type: ignore[arg-type]
    (outcome,) = searched(store)
    assert (outcome.state, outcome.reason) == (
        "FAIL",
        f"'../../../precious' cannot name a folder of {options.artifacts}: it is no plain name",
    )
    assert precious.is_dir()
