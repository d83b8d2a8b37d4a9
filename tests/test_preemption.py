"""SIGTERM: a training saves at its next step and goes, within the grace that a process is given."""

import signal
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from autoaug.execution import Options, saving_on_sigterm
from autoaug.interruption import Interruption


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """What handles the signals is afterwards what it was before."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    yield
    assert {number: signal.getsignal(number) for number in before} == before


# What a request means


def test_what_has_made_no_step_is_interrupted_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), saving_on_sigterm(Options()):
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("it went on")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_what_has_made_a_step_saves_at_the_next_one_and_goes(number: signal.Signals) -> None:
    options, done = Options(), list[str]()
    with pytest.raises(KeyboardInterrupt), saving_on_sigterm(options), options.interruption.obeyed(lambda: None):
        for _ in range(3):
            options.interruption.obey(lambda: done.append("saved"))
            signal.raise_signal(number)
            done.append("went on to the next step")
    assert done == ["went on to the next step", "saved"]
    assert not options.interruption.requested, "the request was met"


def test_a_request_that_comes_after_the_last_step_is_met_when_all_is_concluded() -> None:
    interruption, done = Interruption(), list[str]()
    with pytest.raises(KeyboardInterrupt), interruption.obeyed(lambda: None):
        interruption.obey()
        interruption.request()
        done.append("concluded")
    assert done == ["concluded"]


@pytest.mark.parametrize("impatient", [True, False])
def test_a_second_signal_ends_at_once_where_it_is_one_of_impatience(impatient: bool) -> None:
    options, done = Options(), list[str]()
    with (
        pytest.raises(KeyboardInterrupt),
        saving_on_sigterm(options, impatient=impatient),
        options.interruption.obeyed(lambda: None),
    ):
        options.interruption.obey()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        done.append("waited")
        options.interruption.obey(lambda: done.append("saved"))
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
    with pytest.raises(KeyboardInterrupt), saving_on_sigterm(options), options.interruption.obeyed(lambda: None):
        options.interruption.obey()
        signal.raise_signal(signal.SIGTERM)
        threading.Event().wait(60)
        pytest.fail("it was not interrupted")


def test_a_copy_of_options_has_an_interruption_of_its_own() -> None:
    import pickle

    options = Options()
    options.interruption.give_back = lambda: None
    options.interruption.request()
    assert not pickle.loads(pickle.dumps(options)).interruption.requested
    assert options == Options(), "a request is no choice"
