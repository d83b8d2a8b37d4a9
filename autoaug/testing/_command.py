"""Laws of a command that trains: docs/how-to/command.md is what they hold it to."""

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from autoaug.artifacts import Folder
from autoaug.checkpoint import Checkpoint
from autoaug.metrics import on_split
from autoaug.mixing import build
from autoaug.policy import Fixed, ready
from autoaug.processes import having
from autoaug.record import Record
from autoaug.train import NullLearner, Task
from autoaug.trial import Command, Lost, Trial, records


class CommandTestCase:
    """Test the laws of a command. Override the fixture `command`, and `params` where it reads any.

    It is run a few times over: let it train on little, for three epochs or more.
    """

    @pytest.fixture
    def command(self) -> Command:
        """Override: return the command, as `Study(train=)` is given it."""
        raise NotImplementedError

    def params(self) -> Mapping[str, Any]:
        """Override: return values of its own dimensions, by name without "train."."""
        return {}

    def metric(self) -> str:
        """Override: return the metric of the study."""
        return "val_accuracy"

    def task(self) -> Task:
        """Override: return the task of the study."""
        return Task(data=None, device="cpu")

    def resumes(self) -> bool:
        """Override where it begins anew after it was killed."""
        return True

    def repeats(self) -> bool:
        """Override where the same trial does not give the same figures."""
        return True

    def trial(self, folder: Path, attempt: int = 1, final: bool = False) -> Trial:
        """Return an attempt at a trial that keeps its files in a folder."""
        earlier = [f"{k}.pt" for k in range(attempt - 1, 0, -1)]
        checkpoint = Checkpoint(Folder(folder), f"{attempt}.pt", earlier, 0.0, "suite")
        policy, mix = Fixed(ready.trivialaugment()), build("mixup", alpha=0.2)
        task = self.task()
        return Trial(
            self.params(),
            policy,
            mix,
            NullLearner(),
            task,
            1,
            metric=self.metric(),
            final=final,
            data=None if task.data is None else task.load(test=final),
            checkpoint=checkpoint,
        )

    def whole(self, command: Command, folder: Path, final: bool = False) -> list[Record]:
        """Return the epochs of a trial from its beginning to its end."""
        return list(records(command, self.trial(folder, final=final)))

    def test_it_reports_every_epoch_and_says_how_many_there_are(self, command: Command, tmp_path: Path) -> None:
        """Metrics of the study, epochs 1, 2 and so on, and no end before the last of them."""
        trial = self.trial(tmp_path)
        epochs = [record.epoch for record in records(command, trial)]
        assert epochs == list(range(1, len(epochs) + 1))
        assert len(epochs) >= 3, "let it train for three epochs or more"
        assert trial.total_epochs == len(epochs), 'say how many there are: {"epochs": 3, ...}'

    def test_a_final_run_gives_the_test_metric_and_a_search_does_not(self, command: Command, tmp_path: Path) -> None:
        """It asks `final`, and gives it in the last epoch."""
        name = on_split("test", self.metric())
        assert name in self.whole(command, tmp_path / "final", final=True)[-1].metrics
        assert not any(name in record.metrics for record in self.whole(command, tmp_path / "search"))

    def test_it_ends_when_it_is_told_to(self, command: Command, tmp_path: Path) -> None:
        """By SIGTERM, within its grace; nothing that it has started is left."""
        with closing(records(command, self.trial(tmp_path))) as epochs:
            next(epochs)
        log = (tmp_path / "command" / "attempt-1" / "log.txt").read_text(encoding="utf-8", errors="replace")
        assert "autoaug: told to end by SIGTERM" not in log, log
        assert processes(tmp_path, 1) == []

    def test_the_same_trial_gives_the_same_figures(self, command: Command, tmp_path: Path) -> None:
        """All that is random follows from `seed`."""
        if not self.repeats():
            pytest.skip("it draws from elsewhere")
        first, second = (self.whole(command, tmp_path / name) for name in ("first", "second"))
        assert [record.metrics for record in first] == [record.metrics for record in second]

    def test_it_goes_on_after_it_was_killed(self, command: Command, tmp_path: Path) -> None:
        """From what it keeps in `folder`, or from the checkpoint of the trial, to the same epoch as without it."""
        if not self.resumes():
            pytest.skip("it begins anew")
        with closing(records(command, self.trial(tmp_path))) as epochs:
            next(epochs)
            next(epochs)
            for pid in processes(tmp_path, 1):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            try:
                list(epochs)
                pytest.skip("it ends before it can be killed: let an epoch take a tenth of a second")
            except Lost:
                pass
        trial = self.trial(tmp_path, attempt=2)
        again = [record.epoch for record in records(command, trial)]
        assert again[0] > 1, "the second attempt began anew, in epoch 1"
        assert again[-1] == trial.total_epochs


def processes(folder: Path, attempt: int) -> list[int]:
    """Return the processes of a command that are left of an attempt."""
    if sys.platform != "linux":
        pytest.skip("this system does not say which processes are its own")
    return having(f"AUTOAUG_TRIAL={folder / 'command' / f'attempt-{attempt}' / 'trial.json'}")
