"""Any command as a training loop: what it is told, what it says, and how it ends."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from commands_for_tests import alive, epochs, line_of, none_left, shell, trial_in
from optuna.distributions import FloatDistribution

from autoaug import Budget, Command, Study, Task
from autoaug.devices import host_seconds
from autoaug.execution import Options
from autoaug.executors import run
from autoaug.interruption import Interruption
from autoaug.mixing import MIXES, TrainingMix, build, described, none, takes
from autoaug.policy import load_tree, ready
from autoaug.store import Store
from autoaug.strategies import none as no_policy
from autoaug.strategies import online_score, trivialaugment
from autoaug.study import preflight
from autoaug.train import Diverged, NullLearner
from autoaug.trial import Lost, records
from autoaug.trial._conversation import Conversation


def study_of(command: Command, **more: Any) -> Study:
    given: dict[str, Any] = {
        "name": "tiny",
        "train": command,
        "task": Task(data=None, device="cpu"),
        "space": {"train.lr": FloatDistribution(0.1, 1.0)},
        "strategies": {"none": no_policy()},
        "budget": Budget(trials=1),
        "seeds": 1,
    }
    return Study(**given | more)


# What it is told


def test_it_is_told_of_its_trial(tmp_path: Path) -> None:
    task = Task(data="digits", epochs=2, refine_epochs=1, device="cpu", root=tmp_path / "data")
    task = replace(task, mix_warmup=1, anneal=0.5)
    trial = trial_in(tmp_path, task=task, metric="val_nll", final=False)
    command = shell('say \'{"epoch": 1, "epochs": 3, "val_nll": 1}\'', grace=0.5)
    with pytest.raises(ValueError, match="after epoch 1 of 3"):
        list(records(command, trial))
    folder = tmp_path / "command" / "attempt-1"
    told = json.loads((folder / "trial.json").read_text())
    for name in ("worker", "task", "checkpoint"):
        assert told.pop(name)
    assert told == {
        "format": "autoaug.trial/1",
        "params": {"lr": 0.25},
        "policy": str(folder / "policy.json"),
        "compose": False,
        "mix": {
            **{"kind": "mixup", "alpha": 0.4, "probability": 1.0, "per": "sample"},
            **{"partner": "batch", "labels": "mixed", "smoothing": 0.0},
        },
        "seed": 7,
        "metric": "val_nll",
        "final": False,
        "epochs": 2,
        "refine_epochs": 1,
        "mix_warmup": 1,
        "annealed_epochs": 1,
        "reported": 0,
        "folder": str(tmp_path / "command"),
        "metrics": str(folder / "metrics.jsonl"),
        "pulse": str(folder / "pulse"),
        "grace": 0.5,
        "validates": True,
    }
    assert load_tree(folder / "policy.json") == ready.trivialaugment()


@pytest.mark.parametrize("kind", [kind for kind in MIXES if not isinstance(build(kind), TrainingMix)])
def test_a_mix_that_was_written_down_draws_the_same(kind: str) -> None:
    given = {"alpha": 0.3, "per": "batch", "ratio": 0.2, "switch": 0.3, "size": 0.3, "sigma": 0.1, "epsilon": 0.2}
    mix = build(kind, **{name: value for name, value in given.items() if name in takes(kind)})
    told = json.loads(json.dumps(described(mix)))
    again = build(told.pop("kind"), **told)
    images = torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    drawn = [each(images, torch.eye(6), torch.Generator().manual_seed(1)) for each in (mix, again)]
    assert all(torch.equal(one, other) for one, other in zip(*drawn, strict=True))


@pytest.mark.parametrize("mix", [lambda images, targets, rng: (images, targets), build("mixup", alpha=torch.ones(()))])
def test_a_mix_that_cannot_be_written_down_is_refused(mix: Any) -> None:
    with pytest.raises(ValueError, match="cannot be written down: use a row of MIXES"):
        described(mix)


def test_no_mix_is_written_as_none() -> None:
    assert described(none(alpha=0.5)) == {"kind": "none"}


def test_where_it_runs_and_in_which_environment(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    command = shell(f'pwd -P; echo "$NAME"; {epochs(1, 1)}', cwd=tmp_path / "here", env={"NAME": "a value"})
    list(records(command, trial_in(tmp_path)))
    log = (tmp_path / "command" / "attempt-1" / "log.txt").read_text()
    assert log == f"{(tmp_path / 'here').resolve()}\na value\n"


# What it says


def test_each_line_is_an_epoch(tmp_path: Path) -> None:
    task = Task(data=None, refine_epochs=1, device="cpu")
    found = list(records(shell(epochs(3, 3)), trial_in(tmp_path, task=task)))
    assert [(record.epoch, record.phase, dict(record.metrics)) for record in found] == [
        (1, "augment", {"val_accuracy": 0.1}),
        (2, "augment", {"val_accuracy": 0.2}),
        (3, "refine", {"val_accuracy": 0.3}),
    ]


def test_epochs_without_numbers_are_counted(tmp_path: Path) -> None:
    command = shell('say \'{"val_accuracy": 0.5, "images": 60}\'; say \'{"val_accuracy": 0.25}\'')
    found = list(records(command, trial_in(tmp_path)))
    assert [(record.epoch, record.metrics["val_accuracy"], record.images) for record in found] == [
        (1, 0.5, 60),
        (2, 0.25, 0),
    ]


def test_a_line_is_waited_for_until_it_ends(tmp_path: Path) -> None:
    halves = 'printf \'{"val_accur\' >> "$metrics"; sleep 0.3; printf \'acy": 0.5}\' >> "$metrics"'
    (record,) = records(shell(halves), trial_in(tmp_path))  # and the last needs no end
    assert record.metrics == {"val_accuracy": 0.5}


def test_what_it_spends_is_counted_once(tmp_path: Path) -> None:
    """Half a second of a process that it starts, in the epoch in which that is; the system tells it in whole ticks."""
    burn = f"{sys.executable} -S -c 'import time\nwhile time.process_time() < 0.55: pass'"
    clock, own = host_seconds("cpu"), time.process_time()
    first, last = records(shell(f"{epochs(1, 2)}; {burn}; {epochs(2, 2, first=2)}"), trial_in(tmp_path))
    spent = host_seconds("cpu") - clock - (time.process_time() - own)
    assert last.gpu_seconds >= 0.5 > first.gpu_seconds
    assert 0.5 <= spent < 0.9


@pytest.mark.parametrize("late", [0, 0.3])
def test_a_touched_pulse_shows_that_it_gets_on(late: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the command is quicker than the one who listens."""
    steps: list[None] = []

    def listen(*given: Any) -> Conversation:
        time.sleep(late)
        return Conversation(*given)

    monkeypatch.setattr("autoaug.trial._command.Conversation", listen)
    silent, touching = "sleep 0.4", 'touch "$(told pulse)"; sleep 0.4'
    for number, words in enumerate((silent, touching)):
        steps.clear()
        trial = trial_in(tmp_path / str(number), pulse=lambda: steps.append(None))
        list(records(shell(f"{words}; {epochs(1, 1)}"), trial))
        assert len(steps) == 1 + number


BAD_LINES = {
    "no JSON": ("say hello", ValueError, "line 1 of .*metrics.jsonl is no JSON object: 'hello': append"),
    "a list": ("say ''; say '[1]'", ValueError, r"line 2 of .*metrics.jsonl is no JSON object: '\[1\]'"),
    "torn": ("printf '{\"val' >> $metrics", ValueError, "line 1 of .* is no JSON object"),
    "deep": (f"say {'[' * 20000}", ValueError, "is no JSON object"),
    "twice": (f"{epochs(2, 3)}; {epochs(2, 3, first=2)}", ValueError, "line 3 .*: epoch 2 comes after epoch 2"),
    "backwards": (f"{epochs(2, 3)}; {epochs(1, 3)}", ValueError, "line 3 .*: epoch 1 comes after epoch 2"),
    "beyond": (epochs(2, 1), ValueError, "epoch 2 of 1: give all epochs"),
    "half": (
        'say \'{"epoch": 1.5, "val_accuracy": 1}\'',
        ValueError,
        "epoch is 1.5: give a whole number of at least 1",
    ),
    "true": ('say \'{"epochs": true, "val_accuracy": 1}\'', ValueError, "epochs is True: give a whole number"),
    "other metric": ("say '{\"val_acuracy\": 1}'", ValueError, "yields no 'val_accuracy'.*val_acuracy"),
    "a text": ('say \'{"val_accuracy": "good"}\'', TypeError, "'val_accuracy' is 'good': give a number"),
    "NaN": ("say '{\"val_accuracy\": NaN}'", Diverged, "diverged: .* is nan in epoch 1"),
    "of the test": ('say \'{"val_accuracy": 1, "test_accuracy": 1}\'', ValueError, "only a final run reads the test"),
}


@pytest.mark.parametrize(("script", "kind", "words"), BAD_LINES.values(), ids=BAD_LINES)
def test_what_is_no_report_ends_the_trial(script: str, kind: type[Exception], words: str, tmp_path: Path) -> None:
    with none_left(tmp_path), pytest.raises(kind, match=words):
        list(records(shell(f"{script}; sleep 0.2"), trial_in(tmp_path)))


# How it ends

BAD_ENDS = {
    "nothing": (
        "echo hi",
        ValueError,
        "reported no epoch: append a line such as .*its last words: hi",
    ),
    "too early": (epochs(2, 5), ValueError, "exit status 0 after epoch 2 of 5; it said nothing"),
    "status": (
        "echo a; echo b >&2; exit 3",
        RuntimeError,
        r"exit status 3; its last words: a / b \(all .*log.txt",
    ),
    "status after all": (f"{epochs(1, 1)}; exit 1", RuntimeError, "ended with exit status 1"),
    "error": ('say \'{"error": "no GPU"}\'; exit 1', RuntimeError, "the command failed: no GPU"),
    "error, goes on": ('say \'{"error": "no GPU"}\'; sleep 60', RuntimeError, "the command failed: no GPU"),
    "error, first": ("say '{\"error\": 1}'; say '{\"error\": 2}'", RuntimeError, "the command failed: 1"),
    "error, without words": ('say \'{"error": ""}\'; sleep 60', RuntimeError, "the command failed: it does not say"),
    "promised": ("say '{\"begun\": true}'; exit 1", Lost, r"ended without a word \(exit status 1\)"),
    "promised and kept": ("say '{\"begun\": true}'; say '{\"ended\": true}'; exit 1", RuntimeError, "exit status 1"),
    "ended too early": (f"{epochs(1, 2)}; say '{{\"ended\": true}}'", ValueError, "exit status 0 after epoch 1 of 2"),
    "killed": ("kill -9 $$", Lost, "ended by SIGKILL"),
    "its own was killed": ("sh -c 'kill -9 $$'; exit $?", Lost, "ended by SIGKILL"),
}


@pytest.mark.parametrize(("script", "kind", "words"), BAD_ENDS.values(), ids=BAD_ENDS)
def test_how_it_ends_is_judged(script: str, kind: type[Exception], words: str, tmp_path: Path) -> None:
    with none_left(tmp_path), pytest.raises(kind, match=words):
        list(records(shell(script, grace=0.3), trial_in(tmp_path)))


def test_a_pruned_command_is_told_to_end_and_may_clean_up(tmp_path: Path) -> None:
    script = f"trap 'echo clean; exit 0' TERM; {epochs(1, 9)}; while :; do sleep 0.05; done"
    with none_left(tmp_path), closing(records(shell(script), trial_in(tmp_path))) as epoch:
        next(epoch)
        assert alive(tmp_path)
    assert (tmp_path / "command" / "attempt-1" / "log.txt").read_text().endswith("clean\n")


def test_what_does_not_end_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    """Also what has left its session, as the ranks of torchrun do."""
    elsewhere = f"{sys.executable} -c 'import os, time; os.setsid(); time.sleep(600)' &"
    script = f"trap '' TERM; {elsewhere} {epochs(1, 9)}; while :; do sleep 0.05; done"
    with none_left(tmp_path), closing(records(shell(script, grace=0.2), trial_in(tmp_path))) as epoch:
        next(epoch)
        assert len(alive(tmp_path)) >= 2
    log = (tmp_path / "command" / "attempt-1" / "log.txt").read_text()
    assert log == "autoaug: told to end by SIGTERM, it had not ended in time and was killed\n"


def zombies() -> list[int]:
    """Processes that this one has started and not waited for, though they have ended."""
    found = []
    for each in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = each.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[:2]
            found += [int(each.parent.name)] if (state, int(parent)) == ("Z", os.getpid()) else []
    return found


@pytest.mark.parametrize(
    "script", ["exit 0", "exit 3", "kill -9 $$", "sleep 60", "trap '' TERM; while :; do sleep 1; done"]
)
def test_a_command_leaves_no_dead_process_behind_however_it_ends(script: str, tmp_path: Path) -> None:
    before = zombies()
    command = shell(f"{epochs(1, 2)}\n{script}", grace=0.2)
    with closing(records(command, trial_in(tmp_path))) as found:
        next(found)
        if script.startswith(("exit", "kill")):
            with pytest.raises((ValueError, RuntimeError, Lost)):
                next(found)
    assert set(zombies()) <= set(before)


def test_what_goes_on_after_its_last_epoch_is_ended(tmp_path: Path) -> None:
    with none_left(tmp_path):
        assert len(list(records(shell(f"{epochs(2, 2)}; sleep 600", grace=0.3), trial_in(tmp_path)))) == 2


@pytest.mark.parametrize(
    "words",
    [
        f"say '{{\"begun\": true}}'; {epochs(2, 2)}; kill -9 $$",
        f"{epochs(2, 2)}; kill -9 $$",
        f"say '{{\"begun\": true}}'; {epochs(2, 2)}; exit 1",
        "say '{\"val_accuracy\": 1}'; say '{\"val_accuracy\": 1}'; say '{\"ended\": true}'; exit 1",
    ],
)
def test_what_breaks_after_all_that_it_promised_is_complete(words: str, tmp_path: Path) -> None:
    """As process groups of gloo do at times, when they are taken down."""
    assert len(list(records(shell(words), trial_in(tmp_path)))) == 2


def test_an_interruption_ends_it_first(tmp_path: Path) -> None:
    interruption = Interruption()
    trial = trial_in(tmp_path, interruption=interruption)
    script = f"trap 'echo saved; exit 0' TERM; {epochs(1, 9)}; while :; do sleep 0.05; done"
    with none_left(tmp_path), closing(records(shell(script), trial)) as epoch:
        next(epoch)
        interruption.request()
        with pytest.raises(KeyboardInterrupt):
            next(epoch)
    assert (tmp_path / "command" / "attempt-1" / "log.txt").read_text().endswith("saved\n")


WORKER = """
import os, signal, sys
from pathlib import Path
from commands_for_tests import shell, trial_in
from autoaug.trial import records

epochs = records(shell(sys.argv[2], grace=1.0), trial_in(Path(sys.argv[1])))
next(epochs)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("trap", ["trap 'echo told; exit' TERM", "trap '' TERM"], ids=["ends", "does not listen"])
def test_a_command_whose_worker_was_killed_is_ended_though_nobody_goes_on(trap: str, tmp_path: Path) -> None:
    """It would train for nobody, and hold its GPU."""
    script = f"{trap}; {epochs(1, 9)}; while :; do sleep 0.05; done"
    paths = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parent.parent)])
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", WORKER, str(tmp_path), script], env=environment, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    while alive(tmp_path):
        time.sleep(0.05)
    log = (tmp_path / "command" / "attempt-1" / "log.txt").read_text()
    assert ("told\n" in log) == ("told" in trap)


def test_the_next_attempt_knows_what_was_reported_and_ends_what_still_runs(tmp_path: Path) -> None:
    """As where its worker was killed, and nobody told the command."""
    first = records(shell(f"{epochs(2, 9)}; sleep 600"), trial_in(tmp_path))
    next(first)
    next(first)
    assert alive(tmp_path)
    list(records(shell(epochs(1, 1)), trial_in(tmp_path, attempt=2)))
    assert alive(tmp_path) == []
    told = json.loads((tmp_path / "command" / "attempt-2" / "trial.json").read_text())
    assert (told["reported"], told["folder"]) == (2, str(tmp_path / "command"))
    first.close()


def test_what_it_says_when_it_is_told_to_end_is_stored(tmp_path: Path) -> None:
    """A Python child ends its epoch first, reports it, and goes on after it the next time."""
    interruption = Interruption()
    trial = trial_in(tmp_path, interruption=interruption)
    script = f"trap 'say {json.dumps(line_of(2, 9))}; exit 143' TERM; {epochs(1, 9)}; while :; do sleep 0.05; done"
    with closing(records(shell(script), trial)) as epoch:
        next(epoch)
        interruption.request()
        assert next(epoch).epoch == 2
        with pytest.raises(KeyboardInterrupt):
            next(epoch)


def said_before(folder: Path, lines: dict[int, str], taken: tuple[int, int]) -> None:
    """Earlier attempts whose workers were killed: what their commands have said, and which epoch the study has."""
    for attempt, text in lines.items():
        (place := folder / "command" / f"attempt-{attempt}").mkdir(parents=True)
        (place / "metrics.jsonl").write_text(text)
    attempt, epoch = taken
    (folder / "command" / "taken.jsonl").write_text(f'{{"attempt": {attempt}, "epoch": {epoch}}}\n{{"atte\n')


def said(last: int, total: int, first: int = 1) -> str:
    return "".join(f"{line_of(epoch, total)}\n" for epoch in range(first, last + 1))


OWED = {
    "goes on": ({1: said(4, 6)}, (1, 2), epochs(6, 6, first=5), [3, 4, 5, 6]),
    "an epoch again": ({1: said(4, 6)}, (1, 2), epochs(6, 6, first=4), [3, 4, 5, 6]),
    "nothing was taken": ({1: said(4, 6)}, (0, 0), epochs(6, 6, first=5), [1, 2, 3, 4, 5, 6]),
    "of two attempts": ({1: said(3, 6), 2: said(4, 6, first=4)}, (1, 2), epochs(6, 6, first=5), [3, 4, 5, 6]),
    "begins anew": ({1: said(4, 6)}, (1, 2), epochs(6, 6), [1, 2, 3, 4, 5, 6]),
    "counts": ({1: said(4, 6)}, (1, 2), "say '{\"val_accuracy\": 0.5}'", [1]),
    "is done": ({1: said(4, 4)}, (1, 2), "", [3, 4]),
    "is done, and said so": ({1: said(4, 4)}, (1, 4), "say '{\"begun\": true}'; say '{\"ended\": true}'", [4]),
    "half a line": ({1: said(2, 4) + '{"epoch": 3'}, (1, 1), epochs(4, 4, first=3), [2, 3, 4]),
}


@pytest.mark.parametrize(("lines", "taken", "script", "found"), OWED.values(), ids=OWED)
def test_what_a_killed_worker_had_not_read_is_reported_by_the_next_attempt(
    lines: dict[int, str], taken: tuple[int, int], script: str, found: list[int], tmp_path: Path
) -> None:
    """Or else its epochs would be missing: the command goes on after them."""
    said_before(tmp_path, lines, taken)
    attempt = len(lines) + 1
    assert [record.epoch for record in records(shell(script), trial_in(tmp_path, attempt))] == found
    (after,) = records(shell(epochs(7, 7, first=7)), trial_in(tmp_path, attempt + 1))
    assert after.epoch == 7, "and only once"


def test_a_command_that_says_nothing_is_not_complete_because_of_an_earlier_attempt(tmp_path: Path) -> None:
    said_before(tmp_path, {1: said(4, 6)}, (1, 4))
    with pytest.raises(ValueError, match="reported no epoch"):
        list(records(shell("true"), trial_in(tmp_path, 2)))


def test_what_was_refused_is_not_reported_again(tmp_path: Path) -> None:
    """Somebody mends the script and retries: the trial is not to fail at the old line for ever."""
    with pytest.raises(ValueError, match="yields no 'val_accuracy'"):
        list(records(shell('say \'{"epoch": 1, "epochs": 3, "val_acuracy": 1}\''), trial_in(tmp_path)))
    again = records(shell(epochs(3, 3, first=2)), trial_in(tmp_path, 2))
    assert [record.epoch for record in again] == [2, 3]


def test_without_a_folder_of_checkpoints_it_has_a_temporary_one(tmp_path: Path) -> None:
    command = shell(f'echo "$AUTOAUG_TRIAL" > {tmp_path / "path"}; {epochs(1, 1)}')
    list(records(command, trial_in(tmp_path, checkpoint=None)))
    path = Path((tmp_path / "path").read_text().strip())
    assert path.name == "trial.json"
    assert not path.exists()


# As a study has it


def test_it_is_stored_as_it_is_anywhere() -> None:
    command = Command([sys.executable, "/home/me/train.py", "--fast"], cwd=Path("/home/me"), env={"TOKEN": "secret"})
    assert study_of(command).describe()["train"] == "Command(['python', 'train.py', '--fast'])"
    assert pickle.loads(pickle.dumps(command)) == command
    assert Command(["true"], cwd=Path("here")).cwd == Path.cwd() / "here"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"argv": "python train.py"}, r"Command.argv is 'python train.py': give a list of words"),
        ({"argv": []}, r"Command.argv is \[\]: give a list of words"),
        ({"argv": ["python", 1]}, "Command.argv .*: give texts"),
        ({"argv": [" "]}, "Command.argv .*: give texts without NUL, the first of which is a program"),
        ({"argv": ["true"], "grace": 0}, "Command.grace is 0: give a number from 0.1 to 3600"),
        ({"argv": ["true"], "env": {"A": 1}}, "Command.env .*: give a dict from texts to texts"),
    ],
)
def test_a_field_that_cannot_be_used_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Command(**fields)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the command 'tocrhrun' cannot be started in .*: No such file"):
        list(records(Command(["tocrhrun", "train.py"]), trial_in(tmp_path)))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (Command(["tocrhrun", "train.py"]), "there is no program 'tocrhrun' to be run in "),
        (Command(["./none.sh"]), r"there is no program './none\.sh'"),
        (Command(["true"], cwd=Path("/nowhere")), "runs in /nowhere, and there is no such folder"),
    ],
)
def test_what_cannot_be_started_is_refused_before_time_is_spent(command: Command, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        preflight(study_of(command))


def test_a_command_is_not_run_by_the_preflight(tmp_path: Path) -> None:
    preflight(study_of(shell(f"touch {tmp_path / 'ran'}")))
    assert list(tmp_path.iterdir()) == []


def test_refinement_wants_the_number_of_all_epochs(tmp_path: Path) -> None:
    task = Task(data=None, refine_epochs=1, device="cpu")
    with (
        none_left(tmp_path),
        pytest.raises(ValueError, match=r"has refinement epochs \(1\): say in each line"),
    ):
        list(records(shell("say '{\"val_accuracy\": 1}'"), trial_in(tmp_path, task=task)))


def test_a_strategy_that_moves_its_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="strategy 'online' of study 'tiny' moves its policy within a trial"):
        study_of(shell("true"), strategies={"none": no_policy(), "online": online_score()})

    class Moving(NullLearner):
        moves_policy = True

    with pytest.raises(ValueError, match=r"and policy\.json is written once"):
        list(records(shell("true"), trial_in(tmp_path, learner=Moving())))


def test_a_study_runs_commands(store: Store, options: Options) -> None:
    """Search, final runs with the test metric, and nothing left of the folders."""
    test = '[ "$(told final)" = true ] && extra=\', "test_accuracy": 0.5\' || extra=""\n'
    say = 'say "{\\"epoch\\": 1, \\"epochs\\": 1, \\"val_accuracy\\": $(told lr)$extra}"'
    study = study_of(
        shell(test + say), strategies={"none": no_policy(), "ta": trivialaugment()}, budget=Budget(trials=2)
    )
    run(study, store, options=options)
    outcomes = store.outcomes("tiny")
    assert [outcome.state for outcome in outcomes] == ["COMPLETE"] * 6
    for outcome in outcomes:
        assert outcome.metrics["val_accuracy"] == pytest.approx(outcome.point["train.lr"])
        assert ("test_accuracy" in outcome.metrics) == (outcome.kind == "final")
    assert list(options.artifacts.rglob("trial.json")) == []


def test_a_command_that_is_killed_is_queued_again_and_one_that_fails_is_not(store: Store, options: Options) -> None:
    once = 'state="$(told folder)/killed"; [ -f "$state" ] || { touch "$state"; kill -9 $$; }\n'
    final = f'{{ [ "$(told final)" = true ] && say \'{line_of(1, 1)[:-1]}, "test_accuracy": 1}}\'; }} || {epochs(1, 1)}'
    run(study_of(shell(once + final)), store, options=options)
    ends = [(outcome.attempt, outcome.state) for outcome in store.outcomes("tiny") if outcome.kind != "final"]
    assert ends == [(1, "FAIL"), (2, "COMPLETE")]
    assert "SIGKILL" in store.outcomes("tiny")[0].reason
    run(study_of(shell("echo no data; exit 2"), name="broken"), store, options=options)
    (outcome,) = store.outcomes("broken")
    assert (outcome.state, outcome.attempt) == ("FAIL", 1)
    assert "exit status 2; its last words: no data" in outcome.reason


def test_a_command_that_is_always_killed_is_given_up(store: Store, options: Options) -> None:
    run(study_of(shell("kill -9 $$")), store, options=options)
    *_, last = store.outcomes("tiny")
    assert (last.state, last.attempt) == ("FAIL", 3)
    assert last.reason.endswith("3 times without progress")


def test_a_command_that_never_reports_is_given_up(store: Store, options: Options) -> None:
    hanging = replace(options, hang_seconds=0.3, lease_seconds=0.1, expiry_seconds=5.0)
    run(study_of(shell("sleep 600", grace=0.2)), store, options=hanging)
    *_, last = store.outcomes("tiny")
    assert last.state == "FAIL"
    assert last.reason.startswith("hung: no step for 0.3 s")
    assert not [pid for path in options.artifacts.rglob("trial.json") for pid in alive(path.parents[2])]
