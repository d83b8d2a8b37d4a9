"""The Python side of a command: `autoaug.current()`, run here in the process of the test."""

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from commands_for_tests import python, trial_in
from torch import Tensor

import autoaug
from autoaug import Task, Trial
from autoaug.policy import ready
from autoaug.trial import Current, Lost, current, records
from autoaug.trial._protocol import Files, write_trial
from autoaug.trial._ranks import Ranks, lost_peer

LOOP = """
import os, signal, sys

import torch
from torch import nn
from torch.nn import functional as F

import autoaug


def finetune(trial):
    rng = trial.streams["weights"]
    images, classes = torch.rand(40, 1, 8, 8, generator=rng), torch.randint(2, (40,), generator=rng)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    with torch.no_grad():
        network[1].weight.normal_(generator=rng)
        network[1].bias.zero_()
    optimiser = torch.optim.SGD(network.parameters(), lr=trial["lr"], momentum=0.9)
    for epoch in trial.epochs(4, network=network, optimiser=optimiser):
        for share in torch.randperm(40, generator=trial.streams["order"]).split(10):
            mixed, soft = trial.augment(images[share], classes[share])
            optimiser.zero_grad()
            F.cross_entropy(network(mixed), soft).backward()
            optimiser.step()
        ACT
        yield {"val_accuracy": F.cross_entropy(network(images), classes).item()}


if __name__ == "__main__":
    autoaug.current().run(finetune)
"""


def script(folder: Path, act: str) -> Path:
    """A child that trains a small network, and does something at the end of each epoch."""
    path = folder / "train.py"
    path.write_text(LOOP.replace("ACT", act))
    return path


def loop_of(act: str = "pass") -> Callable[[Trial], Iterator[Mapping[str, Any]]]:
    """The same loop, for the process of the test."""
    space: dict[str, Any] = {"__name__": "loop"}
    exec(compile(LOOP.replace("ACT", act), "train.py", "exec"), space)
    loop: Callable[[Trial], Iterator[Mapping[str, Any]]] = space["finetune"]
    return loop


Begin = Callable[..., Current]


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Begin:
    """Make this process the child of a trial, and return what `current` says."""

    def begin(attempt: int = 1, ranks: tuple[int, int] = (0, 1), **more: Any) -> Current:
        files = Files(tmp_path / "command", str(attempt))
        write_trial(trial_in(tmp_path, attempt, **more), files, 10.0)
        monkeypatch.setenv("AUTOAUG_TRIAL", str(files.trial))
        monkeypatch.setenv("RANK", str(ranks[0]))
        monkeypatch.setenv("WORLD_SIZE", str(ranks[1]))
        return autoaug.current()

    return begin


def said(folder: Path, attempt: int = 1) -> list[dict[str, Any]]:
    """The lines that the child of an attempt has written."""
    text = (folder / "command" / f"attempt-{attempt}" / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


@contextmanager
def guarded() -> Iterator[None]:
    """A layer that is made draws from the global generator."""
    with torch.random.fork_rng(devices=[]):
        yield


def test_it_is_what_the_worker_would_give(begin: Begin) -> None:
    task = Task(data="digits-rotated", epochs=2, refine_epochs=1, device="cpu")
    trial = begin(task=task, metric="val_nll", final=True)
    assert (trial["lr"], trial.seed, trial.metric, trial.final) == (0.25, 7, "val_nll", True)
    assert trial.policy.tree() == ready.trivialaugment()
    assert (trial.task.epochs, trial.task.refine_epochs) == (2, 1)
    assert len(trial.split("test")) > 0
    assert trial.folder.name == "command"


def test_a_loop_here_measures_what_it_measures_in_the_worker(begin: Begin, tmp_path: Path) -> None:
    with guarded():
        begin().run(loop_of())
        expected = [record.metrics["val_accuracy"] for record in records(loop_of(), trial_in(tmp_path / "worker"))]
    first, *lines, last = said(tmp_path)
    assert (first, last) == ({"begun": True}, {"ended": True})
    assert lines == [
        {"epoch": k, "epochs": 4, "images": 40, "val_accuracy": value} for k, value in enumerate(expected, 1)
    ]


def test_a_process_of_no_study_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AUTOAUG_TRIAL", raising=False)
    with pytest.raises(RuntimeError, match=r"AUTOAUG_TRIAL is not set: .*train=Command"):
        current()
    monkeypatch.setenv("AUTOAUG_TRIAL", str(tmp_path / "none.json"))
    with pytest.raises(ValueError, match=r"none\.json: no trial can be read there"):
        current()
    (tmp_path / "none.json").write_text('{"format": "autoaug.trial/9"}')
    with pytest.raises(ValueError, match="of another version than autoaug"):
        current()


def test_an_error_is_said_and_raised(begin: Begin, tmp_path: Path) -> None:
    with guarded(), pytest.raises(ZeroDivisionError):
        begin().run(loop_of("1 / 0"))
    assert said(tmp_path)[1:] == [{"error": "ZeroDivisionError: division by zero (train.py:25)"}]


def test_an_error_within_a_library_is_said_with_the_line_of_the_loop(begin: Begin, tmp_path: Path) -> None:
    with guarded(), pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        begin().run(loop_of("network(images[:, :, 1:])"))
    assert said(tmp_path)[-1]["error"].endswith("(train.py:25)")


def test_what_the_door_refuses_is_said_too(begin: Begin, tmp_path: Path) -> None:
    with guarded(), pytest.raises(ValueError, match="yields no 'val_nll'"):
        begin(metric="val_nll").run(loop_of())
    assert "yields no 'val_nll'" in said(tmp_path)[-1]["error"]


def test_sigterm_ends_it_at_its_next_yield_and_the_next_attempt_goes_on(begin: Begin, tmp_path: Path) -> None:
    """To the same figures, and with the same handlers of signals as before."""
    before = signal.getsignal(signal.SIGTERM)
    with guarded():
        whole = [record.metrics["val_accuracy"] for record in records(loop_of(), trial_in(tmp_path / "worker"))]
        with pytest.raises(SystemExit) as end:
            begin(every_seconds=1000.0).run(loop_of("if epoch == 2: os.kill(os.getpid(), signal.SIGTERM)"))
        assert end.value.code == 143
        begin(attempt=2).run(loop_of())
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    parts = [[line["val_accuracy"] for line in said(tmp_path, k) if "epoch" in line] for k in (1, 2)]
    assert parts == [whole[:2], whole[2:]]
    assert {"ended": True} not in said(tmp_path)


def test_a_loop_without_trial_epochs_is_closed_at_its_yield(begin: Begin) -> None:
    closed: list[int] = []

    def endless(trial: Trial) -> Iterator[Mapping[str, Any]]:
        epoch = 0
        try:
            while True:
                epoch += 1
                trial.augment(torch.zeros(2, 1, 8, 8), torch.tensor([0, 1]), classes=2)
                os.kill(os.getpid(), signal.SIGTERM)
                yield {"val_accuracy": 0.5}
        finally:
            closed.append(epoch)

    with pytest.raises(SystemExit):
        begin().run(endless)
    assert closed == [1]


def test_an_epoch_that_takes_longer_than_half_of_the_grace_is_interrupted(begin: Begin, tmp_path: Path) -> None:
    closed: list[bool] = []

    def slow(trial: Trial) -> Iterator[Mapping[str, Any]]:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
            yield {"val_accuracy": 0.5}
        finally:
            closed.append(True)

    trial = begin()
    trial.grace = 0.2
    with pytest.raises(SystemExit):
        trial.run(slow)
    assert closed == [True]
    assert said(tmp_path) == [{"begun": True}]


def test_a_child_whose_worker_is_gone_ends(begin: Begin, tmp_path: Path) -> None:
    trial = begin()
    trial.worker = trial.worker.replace(f":{os.getpid()} ", ":999999999 ")
    with guarded(), pytest.raises(SystemExit):
        trial.run(loop_of())
    assert [line.get("epoch") for line in said(tmp_path)] == [None, 1]


def test_ranks_have_equal_weights_and_orders_but_augment_each_its_own_images(begin: Begin) -> None:
    def states(rank: int, world: int, epoch: int) -> dict[str, Tensor]:
        trial = begin(ranks=(rank, world))
        trial.begin(4, None, {})
        for _ in range(epoch):
            trial.enter_epoch()
        return {name: stream.get_state() for name, stream in trial.streams.items()}

    first, second, next_epoch = states(0, 2, 1), states(1, 2, 1), states(0, 2, 2)
    differ = {name for name in first if not torch.equal(first[name], second[name])}
    assert differ == {"augment", "mix"}
    assert not torch.equal(first["augment"], next_epoch["augment"])


def test_a_rank_that_does_not_report_writes_nothing(begin: Begin, tmp_path: Path) -> None:
    trial = begin(ranks=(1, 2))
    assert trial.checkpoint is not None
    trial.checkpoint.save(lambda: {})
    assert not trial.checkpoint.due(at_end=True)
    assert list(tmp_path.glob("*.pt")) == []


def test_ranks_that_do_not_know_each_other_are_told_so(begin: Begin, tmp_path: Path) -> None:
    with guarded(), pytest.raises(RuntimeError, match=r"WORLD_SIZE is 2, .*init_process_group"):
        begin(ranks=(0, 2)).run(loop_of())
    assert "init_process_group" in said(tmp_path)[-1]["error"]


def test_alone_it_decides_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    ranks = Ranks.of_environment()
    assert ranks == Ranks(0, 1)
    assert [ranks.agree(1, to_end) for to_end in (False, True)] == [False, True]


def test_an_error_of_ones_own_is_no_lost_peer() -> None:
    gloo = RuntimeError("[/x/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [::1]:5")
    assert lost_peer(gloo)
    assert lost_peer(torch.distributed.DistBackendError("NCCL error: remote process exited"))
    assert not lost_peer(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not lost_peer(ValueError("gloo"))


@pytest.mark.slow
def test_a_python_child_that_is_killed_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """In processes of its own, as a study runs it."""
    path = script(
        tmp_path, "if epoch == 3 and 'attempt-1' in os.environ['AUTOAUG_TRIAL']: os.kill(os.getpid(), signal.SIGKILL)"
    )
    found: list[list[float]] = [[], []]

    def train(attempt: int) -> None:
        for record in records(python(path), trial_in(tmp_path, attempt)):
            found[attempt - 1].append(record.metrics["val_accuracy"])

    with pytest.raises(Lost, match="ended by SIGKILL"):
        train(1)
    train(2)
    with guarded():
        whole = [record.metrics["val_accuracy"] for record in records(loop_of(), trial_in(tmp_path / "worker"))]
    assert found == [whole[:2], whole[2:]]
