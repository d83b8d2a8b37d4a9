"""The commands as a person or a script meets them: what they print, what they leave behind, and their exit codes."""

import csv
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from command_line import HEAD, TASK, Call, calling, files, refused, study, task

from autoaug.cli import _output as voice
from autoaug.cli._output import alone_on_stdout, program
from autoaug.execution import Event, Job, Options
from autoaug.record import TrialKind
from autoaug.store import Store


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    yield from calling(tmp_path, monkeypatch)


def test_a_study_runs_prints_its_leaderboard_and_the_line_for_the_dashboard(call: Call, tmp_path: Path) -> None:
    result = call("run", "s.py")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "tiny · 2 strategies · sqlite:///autoaug.db"
    assert len([line for line in lines if ": complete, val_accuracy" in line]) == 4
    assert len([line for line in lines if ": complete, test_accuracy" in line]) == 4
    assert "tiny: the leaderboard" in [line.strip() for line in lines]
    assert lines[-1] == "details: /somewhere/autoaug dashboard"
    sentence = next(line for line in lines if " beats " in line)
    assert len([line for line in lines if line == sentence]) == 2, "above the tables, and below all"
    assert {outcome.state for outcome in Store("sqlite:///autoaug.db").outcomes("tiny")} == {"COMPLETE"}
    assert not list(tmp_path.rglob("*.pt")), "checkpoints of finished trials are removed"


def test_a_study_runs_on_other_data_under_a_name_of_its_own(call: Call, tmp_path: Path) -> None:
    result = call("run", "s.py", "--data", "digits-rotated:reduced=20,corrupted=0.5")
    assert (result.exit_code, result.stderr) == (0, "")
    name = "tiny-digits-rotated-reduced-20-corrupted-0.5"
    assert Store("sqlite:///autoaug.db").names() == [name]
    assert f"{name}: the leaderboard" in [line.strip() for line in result.stdout.splitlines()]
    assert call("compare", name).exit_code == 0
    plan = json.loads(call("run", "s.py", "--data", "digits", "--dry-run", "--json").stdout)
    assert [facts["data"] for facts in plan["data"]] == ["digits"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("digit", "unknown dataset 'digit': did you mean 'digits'"),
        ("digits:corupted=1", "unknown word 'corupted' in data 'digits:corupted=1': did you mean 'corrupted'?"),
        ("digits:reduced=999", "per_class=999 of reduced data 'digits': class '0' has"),
        ("", "Task.data is ''"),
    ],
)
def test_other_data_that_cannot_be_are_refused(call: Call, data: str, message: str) -> None:
    result = call("run", "s.py", "--data", data)
    assert (result.exit_code, message in result.stderr) == (2, True), result.stderr


def test_a_finished_study_says_so_and_trains_nothing(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = call("run", "s.py", "-q")
    outcomes = Store("sqlite:///autoaug.db").outcomes("tiny")
    monkeypatch.setattr("autoaug.executors.conduct", lambda *_: pytest.fail("something ran"))
    monkeypatch.setattr("autoaug.executors._check.preflight", lambda *_: pytest.fail("something was tried"))
    second = call("run", "s.py")
    assert second.exit_code == 0
    assert second.stdout.startswith("tiny is finished: nothing is left to run\n")
    assert second.stdout.partition("\n")[2] == first.stdout, "the same leaderboard"
    assert Store("sqlite:///autoaug.db").outcomes("tiny") == outcomes


def test_a_dry_run_prints_the_plan_and_writes_nothing(call: Call, tmp_path: Path) -> None:
    before = files(tmp_path)
    result = call("run", "s.py", "--dry-run", "--only", "ra")
    assert result.exit_code == 0
    assert "tiny: the plan" in result.stdout
    assert "policy.n" in result.stdout
    assert not [line for line in result.stdout.splitlines() if line.startswith("none ")]
    assert "always on: none (the dataset's own)" in result.stdout
    assert "cost: searches at most 2 epochs; final runs at most 2 epochs" in result.stdout
    plan = json.loads(call("run", "s.py", "--dry-run", "--json").stdout)
    assert [line["strategy"] for line in plan["strategies"]] == ["none", "ra"]
    assert [facts["data"] for facts in plan["data"]] == ["digits-rotated"]
    none, ra = plan["strategies"]
    assert none.pop("search_seconds") == pytest.approx(none.pop("final_seconds"), abs=0.002), "twice the same trainings"
    assert none == {
        "strategy": "none",
        "dimensions": ["mix.alpha"],
        "trials": 2,
        "epochs": 1,
        "reruns": 0,
        "final_runs": 2,
        "final_epochs": 1,
        "notes": [],
        "unit": ra["unit"],
    }
    assert {(knob["dimension"], knob["effect"], knob["why"]) for knob in plan["knobs"]} == {
        (name, True, "") for name in ("mix.alpha", "policy.n", "policy.m")
    }
    assert files(tmp_path) == before


def test_a_dimension_that_changes_nothing_is_named_before_time_is_spent(call: Call, tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text(study(space="{'task.refine_lr': FloatDistribution(0.001, 0.1)}", seeds="1"))
    saying = "task.refine_lr has no effect: refine_epochs is 0"
    assert saying in call("run", "s.py", "--dry-run").stdout.splitlines()
    assert f"warning: {saying}" in call("run", "s.py").stderr.splitlines()
    plan = json.loads(call("run", "s.py", "--dry-run", "--json").stdout)
    assert [knob for knob in plan["knobs"] if not knob["effect"]] == [
        {"strategy": name, "dimension": "task.refine_lr", "effect": False, "why": "refine_epochs is 0"}
        for name in ("none", "ra")
    ]


def test_json_is_one_object_a_line_and_the_leaderboard_last(call: Call) -> None:
    result = call("run", "s.py", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    *events, last = map(json.loads, result.stdout.splitlines())
    assert [event["state"] for event in events if "state" in event] == ["RUNNING", "COMPLETE"] * 8
    assert all(event["record"]["metrics"]["val_accuracy"] <= 1 for event in events if "record" in event)
    assert (last["study"], last["metric"]) == ("tiny", "val_accuracy")
    ra = next(row for row in last["strategies"] if row["name"] == "ra")
    assert set(ra["test"]) == {"mean", "low", "high", "n", "method"}
    assert {"difference", "low", "high", "p", "p_holm", "verdict", "seeds_needed"} <= set(ra["vs_baseline"])
    assert (ra["trials"], ra["pruned"], ra["failed"], ra["test"]["n"]) == (2, 0, 0, 2)
    again = call("run", "s.py", "--json").stdout
    assert json.loads(again) == last, "of a finished study the leaderboard only"
    assert json.loads(call("compare", "tiny", "--json").stdout) == last


def test_only_some_strategies_then_the_others(call: Call) -> None:
    first = call("run", "s.py", "--only", "ra", "-q")
    assert first.exit_code == 0
    assert {outcome.strategy for outcome in Store("sqlite:///autoaug.db").outcomes("tiny")} == {"ra"}
    assert call("run", "s.py", "--only", "ra").stdout.startswith("tiny is finished")
    second = call("run", "s.py")
    assert second.stdout.startswith("tiny · 2 strategies · sqlite:///autoaug.db · 4 trials were begun before\n")
    assert not [line for line in second.stdout.splitlines() if line.startswith("ra trial")]


def test_fresh_starts_anew_and_keeps_what_was_run(call: Call, tmp_path: Path) -> None:
    assert call("run", "s.py", "-q").exit_code == 0
    old = call("compare", "tiny", "--json").stdout
    (tmp_path / "s.py").write_text(study(space="{'mix.alpha': FloatDistribution(0.2, 1.0)}"))
    again = call("run", "s.py", "--fresh", "-q")
    assert again.exit_code == 0
    assert again.stdout.startswith("what was run is kept as tiny~1\n")
    kept = json.loads(call("compare", "tiny~1", "--json").stdout)
    assert kept == json.loads(old) | {"study": "tiny~1", "studies": ["tiny~1"]}
    assert json.loads(call("run", "s.py", "--fresh", "--json").stdout.splitlines()[0]) == {"archived": "tiny~2"}
    (tmp_path / "s.py").write_text(study(**task("gone")))
    refused(call("run", "s.py", "--fresh"), r"unknown dataset 'gone'")
    assert Store("sqlite:///autoaug.db").names() == ["tiny", "tiny~1", "tiny~2"], "what cannot run archives nothing"


def test_checkpoints_of_a_study_that_is_gone_are_not_resumed_from(call: Call, tmp_path: Path) -> None:
    stale = tmp_path / "artifacts" / "tiny" / "none" / "0" / "1.pt"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"of another study: loading it would fail the trial")
    assert call("run", "s.py", "-q").exit_code == 0


FRAGILE = """
def fragile(x):
    if {most} < x < 1:  # the ends are tried before anything runs
        raise RuntimeError("no [bold]such[/bold]\\nthing")
    return Fixed(ready.none())
"""


@pytest.mark.parametrize(("most", "code", "count"), [(0.5, 3, "3 failed"), (0.0, 1, "5 failed")])
def test_failed_trials_are_counted_and_the_last_is_explained(
    call: Call, tmp_path: Path, most: float, code: int, count: str
) -> None:
    arms = "{'odd': Strategy(policy=fragile, space={'policy.x': FloatDistribution(0, 1)})}"
    text = study(strategies=arms, budget="Budget(trials=6)", seeds="1").replace(HEAD, HEAD + FRAGILE.format(most=most))
    (tmp_path / "s.py").write_text(text)
    result = call("run", "s.py", "-q")
    assert result.exit_code == code
    said = [line for line in result.stderr.splitlines() if not line.startswith("warning: policy.x has no effect")]
    assert said[0].startswith(f"odd: {count}, last trial "), result.stderr
    assert "RuntimeError: no [bold]such[/bold]" in result.stderr
    assert call("run", "s.py").exit_code == code, "the same when it is asked again"
    assert call("compare", "tiny").exit_code == 0, "the question was answered"


def test_what_failed_is_taken_up_again_when_it_is_asked_for(call: Call, tmp_path: Path) -> None:
    arms = "{'odd': Strategy(policy=fragile, space={'policy.x': FloatDistribution(0, 1)})}"
    text = study(strategies=arms, budget="Budget(trials=6)", seeds="1")
    (tmp_path / "s.py").write_text(text.replace(HEAD, HEAD + FRAGILE.format(most=0.5)))
    result = call("run", "s.py", "-q")
    how = ["take up again what failed with:", "  /somewhere/autoaug run s.py -q --retry-failed"]
    assert [line for line in result.stdout.splitlines() if line in how] == how
    (tmp_path / "s.py").write_text(text.replace(HEAD, HEAD + FRAGILE.format(most=1)))  # the user has mended it
    result = call("run", "s.py", "-q", "--retry-failed")
    assert result.exit_code == 0, result.stderr
    said = [line for line in result.stdout.splitlines() if "is taken up again; it had failed: Runt" in line]
    assert len(said) == 3
    assert said[0].startswith("odd trial ")
    assert how[0] not in result.stdout
    ends = [o for o in Store("sqlite:///autoaug.db").outcomes("tiny") if o.state != "FAIL"]
    assert [(o.state, o.kind) for o in ends] == [("COMPLETE", TrialKind.SEARCH)] * 6 + [("COMPLETE", TrialKind.FINAL)]
    assert "nothing is left to run" in call("run", "s.py", "-q", "--retry-failed").stdout


def test_compare_reads_a_study_by_its_name_alone(call: Call, tmp_path: Path) -> None:
    assert call("run", "s.py", "-q", "--storage", "sqlite:///other.db").exit_code == 0
    (tmp_path / "s.py").unlink()
    found = call("compare", "tiny", "--storage", "sqlite:///other.db", "--csv", "out.csv")
    assert found.exit_code == 0
    assert "tiny: the leaderboard" in found.stdout
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert {row["strategy"] for row in rows} == {"none", "ra"}
    assert all(0 < float(row["test_mean"]) < 1 for row in rows)
    other = ("--storage", "sqlite:///other.db")
    refused(call("compare", "tyny", *other), r"unknown study 'tyny' in sqlite:///other.db: did you mean 'tiny'\?")
    refused(call("compare", "quickstart", *other), r"study 'quickstart' was not run in sqlite:///other.db: run it")
    refused(call("compare", "tiny", *other, "--csv", "none/x.csv"), r"cannot write none/x.csv: No such file")
    assert files(tmp_path) & {tmp_path / "autoaug.db"} == set(), "reading makes no storage"


def test_compare_finds_the_storage_of_a_study_file(call: Call, tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text(study(storage="'sqlite:///its-own.db'"))
    ran = call("run", "s.py", "-q")
    assert ran.stdout.splitlines()[-1] == "details: /somewhere/autoaug dashboard --storage sqlite:///its-own.db"
    assert (tmp_path / "its-own.db").exists()
    assert call("compare", "s.py").exit_code == 0


def test_the_environment_names_the_storage(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOAUG_STORAGE", "sqlite:///from-environment.db")
    assert call("run", "s.py", "-q").stdout.endswith("details: /somewhere/autoaug dashboard\n")
    assert (tmp_path / "from-environment.db").exists()
    assert call("compare", "tiny").exit_code == 0


INTERRUPTED = """
import os, signal
from pathlib import Path

CALLS = Path({calls!r})

def policy():
    fixed = Fixed(ready.none())
    forward = fixed.forward

    def counted(images, rng):
        if fixed.epoch == 3:  # only a training gets so far; what is tried before it does not
            with CALLS.open("a") as file:
                file.write(".")
            if CALLS.stat().st_size == 2:  # half way through
                os.kill(os.getpid(), signal.{signal})
        return forward(images, rng)

    fixed.forward = counted
    return fixed
"""


def started(*arguments: str, folder: Path) -> "subprocess.Popen[str]":
    """The command as a process of its own, as it is started from a shell."""
    environment = {name: value for name, value in os.environ.items() if name != "AUTOAUG_STORAGE"}
    return subprocess.Popen(
        [sys.executable, "-m", "autoaug", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM"])
def test_an_interrupted_study_goes_on_where_it_stopped(call: Call, tmp_path: Path, how: str) -> None:
    text = study(
        task=TASK.replace("epochs=1", "epochs=4, device='cpu'"),
        strategies="{'one': Strategy(policy=policy, space={})}",
        seeds="1",
    )
    text = text.replace(HEAD, HEAD + INTERRUPTED.format(calls=str(tmp_path / "calls"), signal=how))
    (tmp_path / "s.py").write_text(text)
    where = ["--storage", "sqlite:///x.db", "--checkpoint-seconds", "0"]
    process = started("run", "s.py", "--fresh", *where, folder=tmp_path)
    stdout, stderr = process.communicate()
    assert (process.returncode, stderr) == (130, "")
    said, command = stdout.splitlines()[-2:]
    assert said == "interrupted; everything found so far is kept. Go on with:"
    assert shlex.split(command) == [sys.executable, "-m", "autoaug", "run", "s.py", *where]

    store = Store("sqlite:///x.db")
    assert [(o.state, o.attempt, o.epochs) for o in store.outcomes("tiny")] == [("FAIL", 1, 2), ("WAITING", 2, 0)]
    assert call(*shlex.split(command)[3:]).exit_code == 0
    trials = [outcome for outcome in store.outcomes("tiny") if outcome.kind is not TrialKind.FINAL]
    assert [(o.state, o.root, o.attempt) for o in trials] == [("FAIL", 0, 1), ("COMPLETE", 0, 2), ("COMPLETE", 1, 1)]
    assert trials[0].point == trials[1].point
    calls = (tmp_path / "calls").stat().st_size
    epochs = [(r.attempt, r.epoch) for r in store.epochs("tiny") if r.trial in (0, 1) and r.kind is not TrialKind.FINAL]
    assert epochs == [(1, 1), (1, 2), (2, 3), (2, 4)], "no epoch is lost, and none is trained twice"

    assert call("run", "s.py", "--storage", "sqlite:///y.db").exit_code == 0
    assert (tmp_path / "calls").stat().st_size == 2 * calls, "no step of the epoch was made twice"
    undisturbed = [o for o in Store("sqlite:///y.db").outcomes("tiny") if o.kind is not TrialKind.FINAL]
    assert [o.value for o in trials[1:]] == [o.value for o in undisturbed], "bit for bit, as if nothing had happened"


def test_an_interruption_is_an_object_among_json_lines(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("autoaug.executors.conduct", interrupted)
    result = call("run", "s.py", "--json", "--fresh", "--storage", "sqlite:///x.db")
    assert result.exit_code == 130
    assert json.loads(result.stdout) == {
        "interrupted": "tiny",
        "go_on": "/somewhere/autoaug run s.py --json --storage sqlite:///x.db",
    }


def test_a_reader_that_goes_away_interrupts_a_study_and_fails_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stdout = os.fdopen(writer, "w")
    monkeypatch.setattr(sys, "stdout", stdout)
    with alone_on_stdout() as listen, pytest.raises(KeyboardInterrupt):
        listen(Event(Job("none", 1, 0, {}, 1, 0), state="RUNNING"))
    with suppress(BrokenPipeError):
        stdout.close()


def test_sigterm_is_again_what_it_was_after_a_run(call: Call) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert call("run", "s.py", "-q").exit_code == 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_lines_that_are_printed_can_be_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = tmp_path / "bin" / "autoaug"
    command.parent.mkdir()
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["bin/autoaug"])
    monkeypatch.setenv("PATH", "/nowhere")
    assert program() == "bin/autoaug"
    assert program(elsewhere=True) == str(command)
    monkeypatch.setenv("PATH", str(command.parent))
    assert program() == program(elsewhere=True) == "autoaug"
    monkeypatch.setattr(sys, "argv", ["/x/autoaug/__main__.py"])
    assert program() == f"{shlex.quote(sys.executable)} -m autoaug"


def test_the_dashboard_says_where_it_is_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    Store(f"sqlite:///{tmp_path / 'x.db'}").open("s", "none", "maximize")
    process = started("dashboard", "--storage", "sqlite:///x.db", "--port", "0", folder=tmp_path)
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith("sqlite:///x.db at http://127.0.0.1:")
        line = process.stdout.readline()
        assert line.startswith("Optuna Dashboard at http://127.0.0.1:")
        with urllib.request.urlopen(line.split(" at ")[1].strip() + "api/studies") as answer:
            assert json.load(answer)["study_summaries"][0]["study_name"] == "s/none"
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate()
        assert (process.returncode, stdout, stderr) == (0, "", "")
    finally:
        process.kill()
        process.communicate()


def test_an_open_dashboard_warns(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    class Server:
        effective_port = 1

        def run(self) -> None: ...

        def close(self) -> None: ...

    Store("sqlite:///autoaug.db")
    monkeypatch.setattr("autoaug.page.make_dashboard", lambda *_, **__: Server())
    assert "anybody" not in call("dashboard").stdout
    said = call("dashboard", "--host", "0.0.0.0").stdout
    assert said.startswith("anybody who has the token can read these")
    assert re.search(r"/autoaug/\?token=[\w-]{32}  \(Ctrl-C", said), "the only time that it is shown"
    assert "can read and delete these" in call("dashboard", "--host", "0.0.0.0", "--write").stdout


def test_new_makes_a_project_and_says_what_next(call: Call, tmp_path: Path) -> None:
    result = call("new", "my project")
    assert result.exit_code == 0
    count, next_line = result.stdout.splitlines()
    assert count == f"{len(list((tmp_path / 'my project').rglob('*.py')))} files in my project. Next:"
    assert next_line == "  cd 'my project' && /somewhere/autoaug run studies/quickstart.py"


def test_help_names_every_command(call: Call) -> None:
    shown = call("--help").stdout
    assert all(f" {name} " in shown for name in ("new", "run", "compare", "dashboard"))
    assert call("-h").stdout == shown


def test_options_reach_the_executor(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def conduct(*given: Any) -> None:
        seen.append(given)
        raise KeyboardInterrupt

    monkeypatch.setattr("autoaug.executors.conduct", conduct)
    call("run", "s.py", "--only", "ra", "--artifacts", "kept", "--at-once", "3", "--cpus-per-trial", "0.5")
    (_, store, executor, options, *_) = seen[0]
    assert executor == "local"
    assert store.display_url == "sqlite:///autoaug.db"
    assert options == Options(
        only=("ra",), artifacts=tmp_path / "kept", project=tmp_path, cpus_per_trial=0.5, at_once=3
    )


def test_exit_codes_are_those_of_the_contract() -> None:
    assert (voice.FAILED, voice.USAGE, voice.SOME_FAILED, voice.INTERRUPTED) == (1, 2, 3, 130)


def test_a_better_point_is_tested_only_if_asked_for(call: Call, tmp_path: Path) -> None:
    rates = "space={'task.lr': FloatDistribution(1e-9, 0.3)}, first=({'task.lr': 1e-9}, {'task.lr': 0.2})"
    arms = f"{{'one': Strategy(policy=lambda: Fixed(ready.none()), {rates})}}"
    text = study(
        strategies=arms, space="{}", budget="Budget(trials=1)", seeds="1", task=TASK.replace("epochs=1", "epochs=3")
    )
    (tmp_path / "s.py").write_text(text)
    assert call("run", "s.py", "-q").exit_code == 0
    (tmp_path / "s.py").write_text(text.replace("Budget(trials=1)", "Budget(trials=2)"))
    said = "one: a better point was found after the final runs, which stay as they were; --retest tests it too"
    for _ in range(2):
        result = call("run", "s.py", "-q")
        assert result.exit_code == 0
        assert len([line for line in result.stdout.splitlines() if line.startswith(said)]) == 1
    assert json.loads(call("run", "s.py", "--json").stdout.splitlines()[0]) == {"outdated": ["one"]}
    result = call("run", "s.py", "-q", "--retest")
    assert result.exit_code == 0
    assert "a better point" not in result.stdout
    finals = [outcome for outcome in Store("sqlite:///autoaug.db").outcomes("tiny") if outcome.kind is TrialKind.FINAL]
    assert [outcome.point["task.lr"] for outcome in finals] == [1e-9, 0.2]
    assert "a better point" not in call("run", "s.py", "-q").stdout
