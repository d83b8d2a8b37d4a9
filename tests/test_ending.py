"""How Ctrl-C ends Tune: our own code at once, Tune's between two of its steps, and whatever runs at the second one."""

import signal
import threading

import pytest

from autoaug.executors._ending import Ending


def press() -> None:
    """What the terminal does at Ctrl-C."""
    signal.raise_signal(signal.SIGINT)


def test_it_breaks_off_our_own_code_and_no_more() -> None:
    ending, done = Ending(), list[str]()
    with ending.heeded():
        with ending.taken():
            press()
            done.append("our own code")
        done.append("Tune's")
    assert done == ["Tune's"]
    assert ending.requested


def test_it_leaves_the_code_of_others_alone_until_it_comes_again() -> None:
    ending, done = Ending(), list[str]()

    def work() -> None:
        with ending.heeded():
            press()
            done.append("a step")
            assert ending.requested
            press()
            done.append("another step")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["a step"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_a_listener_raises_is_a_request_too_and_other_errors_go_through() -> None:
    ending = Ending()
    with ending.taken():
        raise KeyboardInterrupt
    assert ending.requested
    other = Ending()
    with pytest.raises(ValueError, match="of ours"), other.taken():
        raise ValueError("of ours")
    assert not other.requested
    assert not other.in_our_code


@pytest.mark.parametrize("ignored", [False, True])
def test_signals_are_left_as_they_are_in_other_threads_and_where_they_are_ignored(ignored: bool) -> None:
    handler, seen = signal.SIG_IGN if ignored else signal.default_int_handler, list[object]()
    before = signal.signal(signal.SIGINT, handler)

    def work() -> None:
        with Ending().heeded():
            seen.append(signal.getsignal(signal.SIGINT))

    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        if ignored:
            work()
        assert set(map(id, seen)) == {id(handler)}
    finally:
        signal.signal(signal.SIGINT, before)
