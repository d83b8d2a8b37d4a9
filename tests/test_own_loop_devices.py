"""A loop of one's own on a GPU, as far as that can be seen without one: where things are, and which generators draw."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from loops_for_tests import trial_of
from pretend_device import PretendedGpu, on_gpu
from small_problems import batch, network, seeded
from torch import Generator, Tensor

from autoaug import Task, Trial
from autoaug.artifacts import Folder
from autoaug.checkpoint import Checkpoint
from autoaug.strategies import none, online_score
from autoaug.trial import records
from autoaug.trial._batches import is_at

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
SECOND = torch.device("cuda:1")


class Gpus:
    """What torch says of the generators of so many GPUs, for which generators of the CPU stand in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int, begun: bool) -> None:
        self.generators, self.begun = [seeded(50 + k) for k in range(count)], begun
        for name in ("is_available", "is_initialized", "device_count", "get_rng_state_all"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, k: self.generators[k].set_state(state))
        monkeypatch.setattr(torch.cuda, "manual_seed_all", self.manual_seed_all)

    def is_available(self) -> bool:
        return bool(self.generators)

    def is_initialized(self) -> bool:
        return self.begun

    def device_count(self) -> int:
        return len(self.generators)

    def get_rng_state_all(self) -> list[Tensor]:
        return [each.get_state() for each in self.generators]

    def manual_seed_all(self, seed: int) -> None:
        for each in self.generators:
            each.manual_seed(seed)

    def draw(self) -> list[float]:
        """What each draws next; CUDA has begun then."""
        self.begun = True
        return [torch.rand((), generator=each).item() for each in self.generators]


def drawn(seed: int, skipped: int = 0) -> float:
    """What a generator draws after so many draws."""
    return torch.rand(skipped + 1, generator=Generator().manual_seed(seed))[-1].item()


@pytest.mark.parametrize("begun", [True, False])
def test_generators_of_gpus_belong_to_the_loop(begun: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus, found = Gpus(monkeypatch, 2, begun), list[list[float]]()
    ours = gpus.get_rng_state_all() if begun else [Generator().manual_seed(torch.initial_seed()).get_state()] * 2

    def loop(trial: Trial) -> Iterator[Mapping[str, Any]]:
        for epoch in trial.epochs(3):
            found.append(gpus.draw())
            if epoch == 3:
                raise OSError("no space left")
            yield {"val_accuracy": 0.5}

    epochs = records(loop, trial_of(seed=7))
    for k in range(2):
        next(epochs)
        assert found[k] == [pytest.approx(drawn(7, k))] * 2
        assert all(map(torch.equal, gpus.get_rng_state_all(), ours)), "while the loop rests"
    with pytest.raises(OSError, match="no space left"):
        next(epochs)
    assert all(map(torch.equal, gpus.get_rng_state_all(), ours))


@pytest.mark.parametrize(("before", "after"), [(2, 2), (2, 1), (1, 3), (0, 2), (2, 0)])
def test_a_trial_goes_on_with_as_many_generators_as_both_machines_have(
    before: int, after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpus, found = Gpus(monkeypatch, before, begun=before > 0), list[list[float]]()

    def loop(trial: Trial) -> Iterator[Mapping[str, Any]]:
        for _ in trial.epochs(3, counted=torch.nn.BatchNorm1d(1)):
            found.append(gpus.draw() if gpus.generators else [])
            yield {"val_accuracy": 0.5}

    def trial(attempt: int) -> Trial:
        return trial_of(seed=7, checkpoint=Checkpoint(Folder(tmp_path), f"{attempt}.pt", ["1.pt"], 0.0))

    first = records(loop, trial(1))
    assert [next(first).epoch, next(first).epoch] == [1, 2]
    first.close()
    gpus, kept = Gpus(monkeypatch, after, begun=after > 0), len(found)
    assert [each.epoch for each in records(loop, trial(2))] == [2, 3]
    shared = min(before, after)
    assert found[kept] == [pytest.approx(drawn(7, 1))] * shared + [pytest.approx(drawn(7))] * (after - shared)


def test_a_gpu_without_a_number_is_the_present_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert is_at(CPU, CPU)
    assert is_at(SECOND, CUDA)
    assert is_at(SECOND, SECOND)
    assert not is_at(torch.device("cuda:0"), CUDA)
    assert not is_at(torch.device("cuda:0"), SECOND)
    assert not is_at(CPU, CUDA)
    assert not is_at(SECOND, CPU)


def one_step(trial: Trial, images: Tensor, targets: Tensor, model: torch.nn.Module) -> None:
    """A step of a loop, as far as its trial looks at where things are."""
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    trial.epoch = 1
    trial.augment(images, targets, 10)
    trial.learn(model, (images, targets), (images, targets), optimiser)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (
            ("cpu", "cpu", "cuda"),
            r"given images on cpu, and the policy is on cuda: write images.to\(trial.device",
        ),
        (("cuda", "cpu", "cuda"), r"images on cuda:0, and their targets on cpu: write targets.to\('cuda:0'\)"),
        (("cpu", "cuda", "cuda"), r"images on cpu, and their targets on cuda:0: write targets.to\('cpu'\)"),
        (("cuda", "cuda", "cpu"), r"of the network is on cpu, and the policy on cuda: write model.to\(trial.device\)"),
    ],
)
def test_what_is_on_another_device_is_named(places: tuple[str, ...], message: str) -> None:
    images, targets = batch(8, 0)
    with PretendedGpu():
        trial = trial_of(online_score, task=Task(data=None, device="cuda"))
        parts = [part.to(place) for part, place in zip((images, targets), places, strict=False)]
        model = network().to(places[2])
        with pytest.raises(ValueError, match=message):
            one_step(trial, *parts, model)


def test_a_policy_that_does_not_move_follows_the_images() -> None:
    with PretendedGpu():
        trial = trial_of(none, task=Task(data=None, device="cuda"))
        mixed, soft = trial.augment(*batch(8, 0), classes=10)
        assert not on_gpu(mixed)
        assert not on_gpu(soft)


def test_data_of_the_task_are_on_the_device() -> None:
    task = Task(data="digits", device="cuda")
    with PretendedGpu():
        trial = trial_of(none, task=task, data=task.load())
        for name in ("train", "val"):
            split = trial.split(name)
            assert on_gpu(split.images)
            assert on_gpu(split.targets)
        assert on_gpu(trial.standard(trial.split("train").images[:4]))
