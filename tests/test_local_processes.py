"""The local executor with processes of its own: several trials at once, each on a GPU where there are some."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import Call, calling
from studies_for_tests import tiny
from waiting_for_tests import PATIENCE, until

from autoaug import Budget, Study
from autoaug.cli._project import load_study
from autoaug.execution import Event, Options, places, refuse_misplaced, trials_at_once
from autoaug.executors import EXECUTORS, _pool, conduct
from autoaug.executors._pool import run_in_processes
from autoaug.policy import Fixed, ready
from autoaug.processes import Process
from autoaug.store import Store
from autoaug.strategies import Strategy, none
from autoaug.testing import ExecutorTestCase

CPUS: dict[str, float] = {"CPU": 2, "GPU": 0}
GPUS: dict[str, float] = {"CPU": 8, "GPU": 4}


def pid_of_worker(trial: Any) -> int:
    """The number of the process that works on a trial."""
    worker = Process.parse(trial.user_attrs["worker"])
    assert worker
    return worker.pid


def one_trial(**more: Any) -> Study:
    given: dict[str, Any] = {"strategies": {"none": none()}, "space": {}, "budget": Budget(trials=1), "seeds": 1}
    return tiny(**given | more)


class TestProcesses(ExecutorTestCase):
    @pytest.fixture
    def executor(self) -> Any:
        return EXECUTORS["local"]

    def has_workers(self) -> bool:
        return True

    def options(self, folder: Path, **changed: Any) -> Options:
        return super().options(folder, processes=1, **changed)

    def interruptions(self) -> tuple[int, ...]:
        return (3,)


def test_two_trials_run_at_once_each_with_a_gpu_of_its_own(
    store: Store, options: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process sees one GPU from its start, by the name that it has outside this process, which sees some only."""
    driver = os.getpid()

    def meeting() -> Fixed:
        """Say which GPU this process was started with, and wait until two have said it."""
        if os.getpid() != driver:
            at_start = Path("/proc/self/environ").read_text().split("\0")
            gpu = next(entry for entry in at_start if entry.startswith("CUDA_VISIBLE_DEVICES="))
            (tmp_path / f"{os.getpid()}.gpu").write_text(gpu.partition("=")[2])
            until(lambda: len(list(tmp_path.glob("*.gpu"))) == 2)
        return Fixed(ready.none())

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b,GPU-c")
    study = one_trial(strategies={name: Strategy(policy=meeting, space={}) for name in ("one", "two")})
    run_in_processes(study, store, replace(options, gpus=(0, 2)), lambda event: None)
    assert [outcome.state for outcome in store.outcomes("tiny")] == ["COMPLETE"] * 4
    assert {path.read_text() for path in tmp_path.glob("*.gpu")} == {"GPU-a", "GPU-c"}
    workers = {f"{pid_of_worker(trial)}" for trial in store.trials("tiny", "leaderboard")}
    assert workers <= {path.stem for path in tmp_path.glob("*.gpu")}


STUDY_OF_A_PROJECT = """
from autoaug import Budget, Study, Task
from autoaug.policy import Fixed, ready
from autoaug.strategies import Strategy
from rows.ours import nothing

study = Study(
    name="ours",
    task=Task(data="digits-rotated", model="convnet", epochs=1, batch_size=100, device="cpu"),
    strategies={"ours": Strategy(policy=nothing, space={})},
    budget=Budget(trials=1),
    seeds=1,
)
"""
ROWS = """
from autoaug.policy import Fixed, ready

def nothing():
    from rows.late import tree
    return Fixed(tree)
"""


def test_modules_of_a_project_are_imported_in_the_processes_too(store: Store, options: Options, tmp_path: Path) -> None:
    path, modules = list(sys.path), set(sys.modules)
    files = {
        "studies/ours.py": STUDY_OF_A_PROJECT,
        "rows/ours.py": ROWS,
        "rows/late.py": "from autoaug.policy import ready\ntree = ready.none()\n",
        "search_spaces/none.py": "",
    }
    for name, text in files.items():
        (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "project" / name).write_text(text)
    try:
        found = load_study(str(tmp_path / "project" / "studies" / "ours.py"))
        conduct(found.study, store, "local", replace(options, processes=1, project=found.root), lambda event: None)
    finally:
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            if name.startswith(("rows", "studies.")):
                del sys.modules[name]
    assert [(each.state, each.reason) for each in store.outcomes("ours")] == [("COMPLETE", "")] * 2


DRIVER = """
import sys
from dataclasses import replace
from pathlib import Path
from autoaug import Budget
from autoaug.execution import Options
from autoaug.executors import conduct
from autoaug.store import Store
from autoaug.strategies import none
from studies_for_tests import tiny

study = tiny(strategies={"none": none()}, space={}, budget=Budget(trials=1), seeds=1)
study = replace(study, task=replace(study.task, epochs=100_000))
folder = Path(sys.argv[1])
options = Options(artifacts=folder / "artifacts", processes=1, checkpoint_seconds=3600)
try:
    conduct(study, Store(f"sqlite:///{folder / 'x.db'}"), "local", options, lambda event: None)
except KeyboardInterrupt:
    sys.exit(130)
"""


def is_there(process: int) -> bool:
    """Whether a process lives; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("number", "to_all", "code"),
    [(signal.SIGINT, True, 130), (signal.SIGKILL, False, -signal.SIGKILL)],
    ids=["Ctrl-C", "SIGKILL"],
)
def test_a_driver_that_ends_leaves_no_process_behind_and_no_trial_running(
    store: Store, tmp_path: Path, number: signal.Signals, to_all: bool, code: int
) -> None:
    """Ctrl-C on a terminal goes to the whole group of the driver."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, tmp_path], env=environment, process_group=0)
    try:
        until(lambda: any(record.epoch == 2 for record in store.epochs("tiny")))
        (trial,) = store.trials("tiny", "none")
        worker = pid_of_worker(trial)
        (os.killpg if to_all else os.kill)(driver.pid, number)
        assert driver.wait(PATIENCE) == code
    finally:
        driver.kill()
        driver.wait()
    until(lambda: not is_there(worker))
    assert list(tmp_path.rglob("1.pt")), "and it has saved its trial before"
    assert [(each.state, each.reason) for each in store.outcomes("tiny")] == [("FAIL", "interrupted"), ("WAITING", "")]


def test_a_process_that_does_not_end_in_time_is_killed_and_its_trial_given_back(store: Store, options: Options) -> None:
    killed: list[int] = []

    def stop(event: Event) -> None:
        if event.record:
            (trial,) = store.trials("tiny", "none")
            killed.append(pid_of_worker(trial))
            os.kill(killed[0], signal.SIGSTOP)  # so it hears of nothing
            raise KeyboardInterrupt

    study = one_trial()
    with pytest.raises(KeyboardInterrupt):
        run_in_processes(study, store, replace(options, processes=1, grace=0.5), stop)
    assert not is_there(killed[0])
    assert [(each.state, each.reason) for each in store.outcomes("tiny")] == [("FAIL", "interrupted"), ("WAITING", "")]


def test_processes_that_end_before_they_are_ready_end_the_study(
    store: Store, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_pool, "COMMAND", (sys.executable, "-c", "raise SystemExit(7)"))
    with pytest.raises(ValueError, match=r"^3 processes ended before they were ready for a trial, .* exit code 7: "):
        run_in_processes(one_trial(), store, replace(options, processes=1), lambda event: None)
    assert store.outcomes("tiny") == [], "nothing was begun"


def test_a_study_that_cannot_leave_this_process_is_refused(store: Store, options: Options) -> None:
    lock = threading.Lock()
    strategy = Strategy(policy=lambda: Fixed(ready.none()) if lock else None, space={})
    with pytest.raises(ValueError, match=r"^study 'tiny' cannot be sent to other processes: .*lock.*: let a function"):
        run_in_processes(
            one_trial(strategies={"x": strategy}), store, replace(options, processes=1), lambda event: None
        )


def test_a_finished_study_starts_no_process(store: Store, options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    conduct(one_trial(), store, "local", options, lambda event: None)
    monkeypatch.setattr(_pool, "start", None)
    conduct(one_trial(), store, "local", replace(options, gpus=(0,)), lambda event: None)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, ()),
        ({"processes": 2}, (None, None)),
        ({"gpus": "0,3"}, (0, 3)),
        ({"gpus": [1, 0]}, (1, 0)),
        ({"gpus": ["0,1", "3"]}, (0, 1, 3)),
        ({"gpus": (0, 1), "gpus_per_trial": 0.5}, (0, 1, 0, 1)),
        ({"gpus": (0, 1), "gpus_per_trial": 0.5, "at_once": 3}, (0, 1, 0)),
        ({"processes": 4, "at_once": 2}, (None, None)),
    ],
)
def test_where_the_processes_work(given: dict[str, Any], expected: tuple[int | None, ...]) -> None:
    options = Options(**given)
    assert places(options) == expected
    assert trials_at_once("local", options, GPUS) == max(1, len(expected))


@pytest.mark.parametrize("gpus", ["", "a", "0,,1", "0,0", "-1", (0.5,), (True,), None])
def test_what_names_no_gpus_is_refused(gpus: Any) -> None:
    with pytest.raises(ValueError, match=r"^gpus is .*: give numbers of GPUs, each once, such as 0,1,2,3$"):
        Options(gpus=gpus)


def test_gpus_and_processes_together_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^gpus is 0,1 and processes is 2: give one of them"):
        Options(gpus=(0, 1), processes=2)


@pytest.mark.parametrize(
    ("given", "has", "executor", "device", "message"),
    [
        ({"gpus": (0, 4)}, GPUS, "local", "auto", r"--gpus 0,4 names a GPU that is not there: this machine has 4"),
        ({"gpus": (0,)}, CPUS, "local", "auto", r"--gpus 0 names a GPU that is not there: this machine has 0"),
        ({"gpus": (0,)}, GPUS, "ray", "auto", r"--gpus 0 is of the local executor: leave it out, or --executor ray"),
        ({"processes": 2}, GPUS, "ray", "cpu", r"--processes 2 is of the local executor"),
        ({"gpus": (0,)}, GPUS, "local", "cpu", r"--gpus 0 and Task.device 'cpu' contradict each other"),
        ({"gpus": (0, 1)}, GPUS, "local", "cuda:1", r"--gpus 0,1 and Task.device 'cuda:1' contradict each other"),
        ({"gpus": (0,), "gpus_per_trial": 2}, GPUS, "local", "auto", r"--gpus 0 gives each process one GPU"),
        ({"processes": 2}, GPUS, "local", "auto", r"--processes 2 would share the first GPU: name GPUs by --gpus"),
        ({"processes": 3}, CPUS, "local", "auto", r"--processes 3 needs 3 CPUs and this machine has 2: give fewer"),
    ],
)
def test_what_a_machine_cannot_do_is_refused(
    given: dict[str, Any], has: dict[str, float], executor: str, device: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        refuse_misplaced(executor, Options(**given), device, has)


@pytest.mark.parametrize(
    ("given", "has", "executor", "device"),
    [
        ({}, CPUS, "ray", "cpu"),
        ({"gpus": "0,1,2,3"}, GPUS, "local", "auto"),
        ({"gpus": (0,), "gpus_per_trial": 0.5}, GPUS, "local", "cuda"),
        ({"processes": 2}, CPUS, "local", "auto"),
        ({"processes": 8}, GPUS, "local", "cpu"),
    ],
)
def test_what_a_machine_can_do_is_not_refused(
    given: dict[str, Any], has: dict[str, float], executor: str, device: str
) -> None:
    refuse_misplaced(executor, Options(**given), device, has)


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    yield from calling(tmp_path, monkeypatch)


def test_the_command_takes_gpus_with_commas_between_and_refuses_those_that_are_not_there(call: Call) -> None:
    refused = call("run", "s.py", "--gpus", "0,77")
    assert refused.exit_code == 2
    assert "--gpus 0,77 names a GPU that is not there: this machine has" in refused.stderr
    both = call("run", "s.py", "--gpus", "0", "--processes", "2")
    assert both.exit_code == 2
    assert "gpus is 0 and processes is 2: give one of them" in both.stderr


def test_the_plan_of_a_run_counts_its_processes(call: Call) -> None:
    planned = call("run", "s.py", "--processes", "2", "--dry-run", "--json")
    assert planned.exit_code == 0, planned.output
    assert '"at_once": 2' in planned.stdout
