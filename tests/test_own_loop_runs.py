"""Studies with a loop of one's own: what ends a trial, what goes on with it, and what is stored of it."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from examples_for_tests import run_in
from forked import autoaug
from loops_for_tests import plain, train_one_epoch
from loops_for_tests import run as run_loop
from small_problems import Smooth

from autoaug import Budget, Study, Task, Trial
from autoaug.execution import Options, saving_on_sigterm
from autoaug.executors import conduct, ignore
from autoaug.record import Outcome, TrialKind
from autoaug.store import Store
from autoaug.strategies import none, trivialaugment
from examples.plain_pytorch import study as example

Loop = Callable[[Trial], Iterator[dict[str, Any]]]


def study_of(loop: Loop, **more: Any) -> Study:
    """A study of one strategy that searches nothing, with one trial and one final run."""
    given: dict[str, Any] = {
        "name": "own",
        "train": loop,
        "task": Task(data=None, device="cpu"),
        "strategies": {"ta": trivialaugment()},
        "budget": Budget(trials=1),
        "seeds": 1,
    }
    return Study(**given | more)


def run(study: Study, store: Store, options: Options) -> None:
    """Run a study without the rehearsal, which would meet what goes wrong first."""
    conduct(study, store, "local", options, ignore)


def searched(store: Store) -> list[Outcome]:
    return [each for each in store.outcomes("own") if each.kind is not TrialKind.FINAL]


def figures(store: Store, name: str = "own") -> dict[Any, Any]:
    """What every epoch measured, to the last bit, and its policy."""
    return {
        (each.strategy, each.kind, each.training, each.epoch): (
            each.policy,
            {name: value for name, value in each.metrics.items() if not name.endswith("seconds")},
        )
        for each in store.epochs(name)
    }


# What ends a trial


def noting_its_end(done: list[int], epochs: int = 4) -> Loop:
    """A loop that notes after which epoch its `finally` block ran."""

    def loop(trial: Trial) -> Iterator[dict[str, Any]]:
        optimiser = torch.optim.SGD((model := Smooth()).parameters(), lr=0.1)
        try:
            for epoch in trial.epochs(epochs, model=model, optimiser=optimiser):
                scores = train_one_epoch(trial, model, optimiser) | {"val_accuracy": 1 / epoch}
                yield scores | ({"test_accuracy": 0.5} if trial.final and epoch == epochs else {})
        finally:
            done.append(trial.epoch)

    return loop


def test_a_trial_that_is_pruned_runs_the_finally_block_of_its_loop(store: Store, options: Options) -> None:
    done, pruner = list[int](), optuna.pruners.ThresholdPruner(lower=0.4)
    run(
        study_of(noting_its_end(done), strategies={"ta": trivialaugment()._replace(pruner=pruner)}),
        store,
        options=options,
    )
    (pruned,) = searched(store)
    assert (pruned.state, pruned.reason) == ("PRUNED", "pruned after epoch 3 by ThresholdPruner")
    assert done == [3]


def test_a_budget_cuts_a_loop_after_an_epoch(store: Store, options: Options) -> None:
    done = list[int]()
    study = study_of(noting_its_end(done), budget=Budget(trials=1, gpu_seconds=1e-9))
    run(study, store, options=options)
    (cut,) = searched(store)
    assert (cut.state, cut.reason) == ("PRUNED", "the budget of 1e-09 CPU-seconds was spent after epoch 1")
    assert done == [1]


def broken(trial: Trial) -> Iterator[dict[str, Any]]:
    for report in plain(trial):
        yield report
        torch.zeros(2) + torch.zeros(3)


def misspelt(trial: Trial) -> Iterator[dict[str, Any]]:
    for report in plain(trial):
        yield {"val_acuracy": report["val_accuracy"]}


def line_of(text: str) -> int:
    return Path(__file__).read_text().split("\n").index(text) + 1


@pytest.mark.parametrize(
    ("loop", "line", "reason"),
    [
        (broken, "        torch.zeros(2) + torch.zeros(3)", "RuntimeError: The size of tensor a (2) must match"),
        (misspelt, '        yield {"val_acuracy": report["val_accuracy"]}', "ValueError: the loop yields no 'val_accu"),
    ],
)
def test_the_reason_names_the_line_of_the_loop(
    loop: Loop, line: str, reason: str, store: Store, options: Options
) -> None:
    run(study_of(loop), store, options=options)
    (failed,) = searched(store)
    assert failed.state == "FAIL"
    assert failed.reason.startswith(reason)
    assert failed.reason.endswith(f"(test_own_loop_runs.py:{line_of(line)})")


def out_of_memory(trial: Trial) -> Iterator[dict[str, Any]]:
    for _ in trial.epochs(2):
        raise torch.OutOfMemoryError("CUDA out of memory.")
        yield {}


def test_a_loop_that_needs_too_much_memory_fails_and_is_not_trained_again(store: Store, options: Options) -> None:
    run(study_of(out_of_memory, strategies={"none": none()}), store, options=options)
    (failed,) = searched(store)
    assert failed.reason == f"OutOfMemoryError: CUDA out of memory. (test_own_loop_runs.py:{line_of(MEMORY)})"


MEMORY = '        raise torch.OutOfMemoryError("CUDA out of memory.")'


def unclean(trial: Trial) -> Iterator[dict[str, Any]]:
    try:
        yield from noting_its_end([])(trial)
    finally:
        raise OSError("no space left")


def test_what_goes_wrong_after_the_decision_is_a_warning(store: Store, options: Options) -> None:
    pruner = optuna.pruners.ThresholdPruner(lower=0.7)
    run(study_of(unclean, strategies={"ta": trivialaugment()._replace(pruner=pruner)}), store, options=options)
    (pruned,) = searched(store)
    assert (pruned.state, pruned.reason) == ("PRUNED", "pruned after epoch 2 by ThresholdPruner")
    assert pruned.warning == "when the loop was closed: OSError: no space left (test_own_loop_runs.py:" + (
        f"{line_of(SPACE)})"
    )


SPACE = '        raise OSError("no space left")'


def hanging(trial: Trial) -> Iterator[dict[str, Any]]:
    for report in plain(trial):
        yield report
        if not trial.final:
            time.sleep(3600)


def test_a_loop_that_makes_no_step_is_given_up(store: Store, tmp_path: Path) -> None:
    options = Options(artifacts=tmp_path / "artifacts", hang_seconds=0.5)
    run(study_of(hanging), store, options=options)
    assert all(each.reason.startswith("hung: no step for 0.5 s") for each in searched(store))
    assert searched(store)[-1].state == "FAIL"


def test_what_an_epoch_costs_is_measured_without_a_call(store: Store, options: Options) -> None:
    def busy(trial: Trial) -> Iterator[dict[str, Any]]:
        for report in plain(trial):
            until = time.process_time() + 0.1
            while time.process_time() < until:
                pass
            yield report

    run(study_of(busy), store, options=options)
    epochs = [each for each in store.epochs("own") if each.kind is not TrialKind.FINAL]
    assert len(epochs) == 3
    assert all(each.gpu_seconds >= 0.1 and each.wall_seconds > 0 and each.images == 20 for each in epochs)
    assert store.trials("own", "ta")[0].user_attrs["peak_process_bytes"] > 0


# What goes on with a trial


def preempted(told: list[int]) -> Loop:
    """A loop that hears of SIGTERM within each of its epochs after the first, once."""

    def loop(trial: Trial) -> Iterator[dict[str, Any]]:
        optimiser = torch.optim.AdamW((model := Smooth()).parameters(), lr=0.01)
        for epoch in trial.epochs(4, model=model, optimiser=optimiser):
            if epoch > 1 and epoch not in told and not trial.final:
                told.append(epoch)
                signal.raise_signal(signal.SIGTERM)
            scores = train_one_epoch(trial, model, optimiser) | {"drawn": torch.rand(())}
            yield scores | ({"test_accuracy": 0.5} if trial.final and epoch == 4 else {})

    return loop


def test_sigterm_within_an_epoch_waits_for_its_end_and_nothing_is_lost(store: Store, tmp_path: Path) -> None:
    told, attempts = list[int](), 0
    while True:
        options = Options(artifacts=tmp_path / "artifacts", checkpoint_seconds=3600)
        try:
            with saving_on_sigterm(options):
                run(study_of(preempted(told)), store, options=options)
            break
        except KeyboardInterrupt:
            attempts += 1
    undisturbed = Store(f"sqlite:///{tmp_path / 'undisturbed.db'}")
    options = Options(artifacts=tmp_path / "others")
    run(study_of(preempted([2, 3, 4])), undisturbed, options=options)
    assert (told, attempts) == ([2, 3, 4], 3), "within the last epoch it is met when the trial has ended"
    assert [(each.state, each.attempt) for each in searched(store)] == [("FAIL", 1), ("FAIL", 2), ("COMPLETE", 3)]
    assert [each.epoch for each in store.epochs("own") if each.kind is not TrialKind.FINAL] == [1, 2, 3, 4]
    assert figures(store) == figures(undisturbed)
    undisturbed.close()


LAUNCH = ("run", "killed_loop.py", "--storage", "sqlite:///x.db", "-q", "--checkpoint-seconds", "0")


def launch(folder: Path, name: str) -> int | None:
    """Run the study, as a user would or in a process that begins faster; returns the exit code."""
    if name == "undisturbed":
        command = [sys.executable, "-m", "autoaug", *LAUNCH]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.returncode
    (process := autoaug(*LAUNCH, folder=folder)).join()
    assert process.exitcode in (0, -signal.SIGKILL), (folder / "err").read_text()
    return process.exitcode


@pytest.mark.slow
def test_a_loop_that_is_killed_within_an_epoch_ends_with_the_bits_of_one_that_nobody_touched(tmp_path: Path) -> None:
    codes, found = dict[str, list[int | None]](), dict[str, Any]()
    for name in ("undisturbed", "killed"):
        (folder := tmp_path / name).mkdir()
        shutil.copy(Path(__file__).with_name("killed_loop.py"), folder)
        if name == "killed":
            (folder / "deadly").touch()
        codes[name] = [launch(folder, name)]
        while codes[name][-1]:
            codes[name].append(launch(folder, name))
        found[name] = figures(store := Store(f"sqlite:///{folder / 'x.db'}"), "killed")
        store.close()
    trainings = 3 + 3 + 1  # of the searches and the final runs, and one with the policy that was learned
    assert codes == {"undisturbed": [0], "killed": [-signal.SIGKILL] * trainings + [0]}
    assert len(found["killed"]) == 4 * trainings
    assert found["killed"] == found["undisturbed"]


class Slow(torch.utils.data.Dataset[torch.Tensor]):
    """Images that take a while to read, wherever they are read."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, k: int) -> torch.Tensor:
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass
        return torch.zeros(1)


@pytest.mark.parametrize("persistent", [False, True])
def test_the_workers_of_a_loader_are_paid_for(persistent: bool) -> None:
    def loop(trial: Trial) -> Iterator[dict[str, Any]]:
        loader = torch.utils.data.DataLoader(
            Slow(), num_workers=2, persistent_workers=persistent, generator=torch.Generator()
        )
        for _ in trial.epochs(2):
            yield {"val_accuracy": float(len(list(loader)))}

    assert all(record.gpu_seconds >= 8 * 0.05 - 0.04 for record in run_loop(loop)), "two processes, in ticks of 10 ms"


def test_the_example_in_plain_pytorch_trains(tmp_path: Path) -> None:
    store = run_in(tmp_path, replace(example, budget=Budget(trials=1), seeds=1))
    assert [each.state for each in store.outcomes("plain")] == ["COMPLETE"] * 6
    policies = [each.policy for each in store.epochs("plain") if each.strategy == "online_score" and not each.training]
    assert policies[0] != policies[14], "it has learned"
    store.close()
