"""SIGTERM: a training saves at its next step and goes, within the grace that a process is given."""

import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from preempted_study import driver, steps

from autoaug.execution import Options, saving_on_sigterm
from autoaug.store import Store


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """What handles the signals is afterwards what it was before. Under nohup, SIGHUP is not ignored meanwhile."""
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    yield
    assert {number: signal.getsignal(number) for number in before} == before
    signal.signal(signal.SIGHUP, hangup)


# What a request means


def interrupted(options: Options, work: Callable[[], object], impatient: bool = True) -> None:
    """Do some work that obeys, as that of a worker does; it must be interrupted."""
    with (
        pytest.raises(KeyboardInterrupt),
        saving_on_sigterm(options, impatient=impatient),
        options.interruption.obeyed(lambda: None),
    ):
        work()


def test_what_has_made_no_step_is_interrupted_at_once() -> None:
    done = list[str]()
    interrupted(Options(), lambda: (signal.raise_signal(signal.SIGTERM), done.append("went on")))
    assert done == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_what_has_made_a_step_saves_at_the_next_one_and_goes(number: signal.Signals) -> None:
    options, done = Options(), list[str]()

    def work() -> None:
        for _ in range(3):
            options.interruption.obey(lambda: done.append("saved"))
            signal.raise_signal(number)
            done.append("made a step")

    interrupted(options, work)
    assert done == ["made a step", "saved"]
    assert not options.interruption.requested, "the request was met"


def test_a_request_that_comes_after_the_last_step_is_met_when_all_is_concluded() -> None:
    options, done = Options(), list[str]()

    def work() -> None:
        options.interruption.obey()
        options.interruption.request()
        done.append("concluded")

    interrupted(options, work)
    assert done == ["concluded"]


@pytest.mark.parametrize("impatient", [True, False])
def test_a_second_signal_ends_at_once_where_it_is_one_of_impatience(impatient: bool) -> None:
    options, done = Options(), list[str]()

    def work() -> None:
        options.interruption.obey()
        for _ in range(2):
            signal.raise_signal(signal.SIGTERM)
        done.append("waited")
        options.interruption.obey(lambda: done.append("saved"))

    interrupted(options, work, impatient)
    assert done == ([] if impatient else ["waited", "saved"])


@pytest.mark.parametrize("handler", [signal.SIG_DFL, signal.SIG_IGN])
def test_a_terminal_that_is_closed_interrupts_unless_that_is_ignored(handler: signal.Handlers) -> None:
    before = signal.signal(signal.SIGHUP, handler)
    try:
        caught: Any = pytest.raises(KeyboardInterrupt) if handler == signal.SIG_DFL else nullcontext()
        with caught, saving_on_sigterm(Options()):
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == handler
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_training_that_makes_no_step_is_interrupted_where_it_is_before_the_grace_is_over() -> None:
    options = Options(grace=0.5)

    def work() -> None:
        options.interruption.obey()
        signal.raise_signal(signal.SIGTERM)
        threading.Event().wait(600)
        pytest.fail("it was not interrupted")

    interrupted(options, work)


def test_a_copy_of_options_has_an_interruption_of_its_own() -> None:
    options = Options()
    options.interruption.give_back = lambda: None
    options.interruption.request()
    assert not pickle.loads(pickle.dumps(options)).interruption.requested
    assert options == Options(), "a request is no choice"


# Real processes, real signals


def numbers(folder: Path) -> tuple[Any, Any]:
    """Every point in the order in which it was proposed, and what every epoch measured, to the last bit."""
    store = Store(f"sqlite:///{folder / 'x.db'}")
    ended = [each for each in store.outcomes("preempted") if each.state == "COMPLETE"]
    points = sorted((each.substudy, each.root, tuple(each.point.items()), each.value) for each in ended)
    records = store.epochs("preempted")
    store.close()
    epochs = {
        (each.substudy, each.seed, each.training, each.epoch): {
            name: value for name, value in each.metrics.items() if not name.endswith("seconds")
        }
        for each in records
    }
    return points, epochs


def run_undisturbed(folder: Path, name: str) -> tuple[Any, Any]:
    folder.mkdir()
    process = driver(folder, name)
    process.join()
    assert process.exitcode == 0
    return numbers(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "every"), [("randaugment", 23), ("a learner", 37)])
def test_a_study_that_is_preempted_again_and_again_ends_as_one_that_nobody_touched(
    name: str, every: int, tmp_path: Path
) -> None:
    wanted = run_undisturbed(tmp_path / "undisturbed", name)
    made = steps(tmp_path / "undisturbed")
    (folder := tmp_path / "preempted").mkdir()
    codes = list[int | None]()
    while 0 not in codes and len(codes) < 2 * made // every:
        process = driver(folder, name, at_step=every)
        process.join()
        codes.append(process.exitcode)
    assert codes == [130] * (made // every) + [0], "each attempt made as many steps as it was given"
    assert numbers(folder) == wanted
    assert steps(folder) == made <= 1.2 * made, "no step was made twice"


@pytest.mark.parametrize("how", ["sleep", "hang in C"])
def test_a_training_that_makes_no_step_gives_its_trial_back_within_the_grace(how: str, tmp_path: Path) -> None:
    process = driver(tmp_path, happens=how, at_step=7, grace=4.0)
    while process.is_alive() and not (tmp_path / "stuck").exists():
        time.sleep(0.05)
    assert process.pid
    os.kill(process.pid, signal.SIGTERM)
    process.join()
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    assert process.exitcode == 130
    found = [(each.state, each.reason) for each in store.outcomes("preempted")]
    assert found == [("FAIL", "interrupted"), ("WAITING", "")]
    assert store.leases() == {}
    store.close()
