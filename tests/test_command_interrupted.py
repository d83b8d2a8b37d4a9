"""SIGTERM to a driver while a command trains: it ends first, and the trial is given back and gone on with."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from commands_for_tests import SAY, TOLD, epochs, line_of

from autoaug.cli._project import load_study
from autoaug.execution import Options
from autoaug.executors import conduct, ignore
from autoaug.processes import having
from autoaug.record import TrialKind
from autoaug.store import Store

STUDY = """
from autoaug import Budget, Command, Study, Task
from autoaug.strategies import none

study = Study(
    name="told",
    train=Command(["sh", "-c", {script!r}], grace={grace}),
    task=Task(data=None, device="cpu"),
    strategies={{"none": none()}},
    budget=Budget(trials=1),
    seeds=1,
)
"""

DRIVER = """
import os, signal, sys
from pathlib import Path
from autoaug.cli._project import load_study
from autoaug.execution import Options, saving_on_sigterm
from autoaug.executors import conduct
from autoaug.store import Store

options = Options(artifacts=Path("artifacts"), grace=4.0)

def preempt(event):
    if event.record and event.record.epoch <= int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGTERM)

try:
    with saving_on_sigterm(options):
        conduct(load_study("study.py").study, Store("sqlite:///x.db"), "local", options, preempt)
except KeyboardInterrupt:
    sys.exit(130)
"""

GOES_ON = f"""
state="$(told folder)/state"
test=""
[ "$(told final)" = true ] && test=', "test_accuracy": 0.5'
[ -f "$state" ] && {{ say "{{\\"epoch\\": 3, \\"epochs\\": 3, \\"val_accuracy\\": 0.3$test}}"; exit; }}
[ "$(told final)" = true ] && {{ {epochs(2, 3)}
say "{{\\"epoch\\": 3, \\"epochs\\": 3, \\"val_accuracy\\": 0.3$test}}"; exit; }}
touch "$state"
"""
"""A second attempt reports the last epoch; so does a final run, which reports those before it too."""

WAITS = "while :; do sleep 0.05; done"

LAST = f"say {shlex.quote(line_of(2, 3))}; exit 143"

TWO = f"say {shlex.quote(line_of(1, 3) + chr(10) + line_of(2, 3))}"
"""Two epochs at once: they are read together."""

CHILDREN = {
    "ends its epoch": (f"trap {shlex.quote(LAST)} TERM; {epochs(1, 3)}\n{WAITS}", 30, 1, [(1, 1), (1, 2), (2, 3)]),
    "does not listen": (f"trap '' TERM; {TWO}\n{WAITS}", 600, 1, [(1, 1), (1, 2), (2, 3)]),
    "is asked twice": (f"trap '' TERM; {TWO}\n{WAITS}", 600, 2, [(1, 1), (1, 2), (2, 2), (2, 3)]),
}
"""What it does, its own grace, how often its driver is told to end, at an epoch each, and what was trained by whom."""


@pytest.mark.parametrize(("script", "grace", "signals", "trained"), CHILDREN.values(), ids=CHILDREN)
def test_a_driver_that_is_preempted_ends_its_command_within_its_own_grace(
    script: str, grace: int, signals: int, trained: list[tuple[int, int]], tmp_path: Path
) -> None:
    (tmp_path / "study.py").write_text(STUDY.format(script=TOLD + SAY + GOES_ON + script, grace=grace))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(signals)], cwd=tmp_path, env=environment, capture_output=True
    )
    assert done.returncode == 130, done.stderr.decode()
    assert having(f"AUTOAUG_TRIAL={tmp_path}/", begins=True) == []
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    assert [(each.state, each.reason) for each in store.outcomes("told")] == [("FAIL", "interrupted"), ("WAITING", "")]
    assert store.leases() == {}

    options = Options(artifacts=tmp_path / "artifacts")
    conduct(load_study(str(tmp_path / "study.py")).study, store, "local", options, ignore)
    assert [each.state for each in store.outcomes("told")] == ["FAIL", "COMPLETE", "COMPLETE"]
    search = [each for each in store.epochs("told") if each.kind is not TrialKind.FINAL]
    assert sorted((each.attempt, each.epoch) for each in search) == trained
    store.close()
