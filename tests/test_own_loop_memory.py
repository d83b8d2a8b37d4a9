"""What the loop of a trial held is let go with it: no cycle of ours keeps a network until the garbage is collected, nor
the workers of a loader."""

import gc
import multiprocessing
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from loops_for_tests import VAL, train_one_epoch
from optuna.distributions import FloatDistribution
from small_problems import network, seeded
from torch.utils.data import DataLoader, TensorDataset

from autoaug import Budget, Study, Task, Trial
from autoaug.execution import Options
from autoaug.execution._provenance import reset_peak_memory
from autoaug.executors import conduct, ignore
from autoaug.store import Store
from autoaug.strategies import none, online_score
from autoaug.study import preflight


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Only what nothing refers to is freed."""
    torch.optim.SGD(network().parameters(), lr=0.1)  # the first one of a process is kept by imports of torch's
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def loader_of(workers: int) -> DataLoader[Any]:
    """A loader whose workers go on from one epoch to the next, as far as nobody ends them."""
    return DataLoader(TensorDataset(*VAL), 2, num_workers=workers, persistent_workers=workers > 0, generator=seeded())


class Remembering:
    """A loop that ends in a way, and knows which networks and optimisers of those before it are alive."""

    def __init__(self, ends: str, workers: int = 0) -> None:
        self.ends, self.workers = ends, workers
        self.made = list[weakref.ref[Any]]()
        self.trials, self.alive, self.working = 0, list[int](), list[int]()

    def count(self) -> int:
        return sum(each() is not None for each in self.made)

    def __call__(self, trial: Trial) -> Iterator[Mapping[str, Any]]:
        self.trials += 1
        self.alive.append(self.count())
        self.working.append(len(multiprocessing.active_children()))
        loader = loader_of(self.workers)
        optimiser = torch.optim.SGD((model := network()).parameters(), lr=trial["lr"], momentum=0.9)
        self.made += [weakref.ref(model), weakref.ref(optimiser)]
        try:
            for epoch in trial.epochs(3, model=model, optimiser=optimiser):
                assert len(list(loader)) == 10
                scores = train_one_epoch(trial, model, optimiser)
                if trial.checkpoint:
                    self.end(trial, scores)
                yield scores | ({"test_accuracy": 0.5} if trial.final and epoch == 3 else {})
        finally:
            if self.ends == "unclean" and trial.checkpoint:
                raise OSError("no space left")

    def end(self, trial: Trial, scores: dict[str, Any]) -> None:
        """Let the trial end as it is to."""
        if self.ends == "error":
            raise ValueError("no")
        if self.ends == "misuse":
            trial.augment(scores["train_loss"], scores["train_loss"])
        if self.ends == "nan":
            scores["val_accuracy"] = float("nan")
        if self.ends in ("pruned", "unclean"):
            scores["val_accuracy"] = 0.0


def study_of(loop: Remembering) -> Study:
    pruner = optuna.pruners.ThresholdPruner(lower=0.01)
    strategies = {"none": none()._replace(pruner=pruner), "online": online_score()}
    return Study(
        name="x",
        train=loop,
        task=Task(data=None, device="cpu"),
        space={"train.lr": FloatDistribution(0.01, 0.1)},
        strategies=strategies if loop.ends == "complete" else {"none": strategies["none"]},
        budget=Budget(trials=2),
        seeds=1,
    )


@pytest.mark.parametrize("ends", ["complete", "error", "misuse", "nan", "pruned", "unclean"])
def test_a_trial_leaves_nothing_of_its_loop_behind_however_it_ends(
    ends: str, store: Store, tmp_path: Path, no_collection: None
) -> None:
    loop = Remembering(ends)
    conduct(study_of(loop), store, "local", Options(artifacts=tmp_path / "artifacts"), ignore)
    assert loop.trials >= 2
    assert loop.alive == [0] * loop.trials, "at the begin of each"
    assert loop.count() == 0
    states = {each.state for each in store.outcomes("x")}
    assert states == {{"complete": "COMPLETE", "pruned": "PRUNED", "unclean": "PRUNED"}.get(ends, "FAIL")}


@pytest.mark.parametrize("ends", ["complete", "error", "nan", "pruned", "unclean"])
def test_workers_of_a_loader_end_with_the_trial(ends: str, store: Store, tmp_path: Path, no_collection: None) -> None:
    loop = Remembering(ends, workers=1)
    conduct(study_of(loop), store, "local", Options(artifacts=tmp_path / "artifacts"), ignore)
    assert loop.trials >= 2
    assert loop.working == [0] * loop.trials
    assert multiprocessing.active_children() == []


def test_a_rehearsal_leaves_nothing_of_its_loop_behind(no_collection: None) -> None:
    loop = Remembering("complete")
    preflight(study_of(loop))
    assert loop.trials >= 2
    assert loop.alive == [0] * loop.trials
    assert loop.count() == 0


def test_what_a_framework_leaves_in_a_cycle_is_not_held_on_a_gpu_while_the_next_trial_trains(
    no_collection: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.reset_peak_memory_stats", lambda device: None)
    model = network()
    model.trainer = [model]  # type: ignore[assignment]
    kept = weakref.ref(model)
    del model
    reset_peak_memory(torch.device("cpu"))
    assert kept() is not None
    reset_peak_memory(torch.device("cuda"))
    assert kept() is None
