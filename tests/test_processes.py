"""What a process is known by: nobody is taken for another, and nobody for dead who is only out of sight."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from namespaces import in_namespace, needs_namespaces

from autoaug.execution import Process, is_gone, process_name, short_name
from autoaug.processes import WRITTEN, parse_stat, this_process

needs_proc = pytest.mark.skipif(not this_process().boot, reason="this system has no /proc that tells of processes")


@contextmanager
def child(code: str = "input()", *before: str) -> Iterator["subprocess.Popen[str]"]:
    """A process of Python, which ends with the block at the latest."""
    with subprocess.Popen(
        [*before, sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process


def other(**changed: object) -> str:
    """This process, but for something."""
    return str(replace(this_process(), **changed))  # type: ignore[arg-type]


NAME = "import autoaug.processes as p; print(p.process_name(), flush=True); input()"


def test_a_process_is_written_and_read_as_text() -> None:
    written = process_name()
    assert written.startswith(f"{this_process().name} boot ") or not this_process().boot
    assert Process.parse(written) == this_process()
    assert short_name(written) == this_process().name
    longest = Process("h" * 64, 2**22, "b" * 36, 2**32, 2**64)
    assert len(str(longest)) <= 200, "a lease has place for 256"
    assert Process.parse(str(longest)) == longest


@pytest.mark.parametrize(
    "text", ["", "doctor", "its driver", "host", "host:", "a host:1", "h:1 boot x", "h:12345678901"]
)
def test_what_names_no_process_is_nobody_and_not_gone(text: str) -> None:
    assert Process.parse(text) is None
    assert short_name(text) == text
    assert not is_gone(text)


def test_a_name_of_an_earlier_version_is_not_known_to_be_gone() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert Process.parse(f"vm:{gone.pid}") == Process("vm", gone.pid)
    assert not is_gone(f"{this_process().host}:{gone.pid}")


@pytest.mark.parametrize("command", ["python", "a b", "(sd-pam)", ") Z 1 (", "x) R 0 0", "\n"])
def test_a_command_of_any_name_hides_nothing(command: str) -> None:
    rest = "S " + " ".join(map(str, range(4, 22))) + " 8812 " + " ".join(map(str, range(23, 53)))
    assert parse_stat(f"77 ({command}) {rest}\n") == ("S", 8812)


@needs_proc
def test_a_process_is_gone_when_it_has_ended_before_its_parent_knows_and_after() -> None:
    with child(NAME) as process:
        assert process.stdout
        name = process.stdout.readline().strip()
        assert name.startswith(f"{this_process().host}:{process.pid} ")
        assert not is_gone(name)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert is_gone(name), "a process that waits for its parent does nothing any more"
        process.wait()
        assert is_gone(name)


@needs_proc
def test_a_pid_that_another_process_has_now_is_of_one_that_is_gone() -> None:
    assert not is_gone(process_name())
    assert is_gone(other(start=this_process().start - 1))


@needs_proc
def test_of_another_host_boot_or_namespace_nothing_is_known() -> None:
    nobody = 2**22 + 1  # more than a pid can be
    assert is_gone(other(pid=nobody))
    for elsewhere in ({"host": "elsewhere"}, {"boot": "8efc8da4-0"}, {"namespace": 1}):
        assert not is_gone(other(pid=nobody, **elsewhere))


@needs_proc
def test_a_fork_is_another_process() -> None:
    code = "import os, autoaug.processes as p; p.this_process(); os.fork() or print(p.process_name()); os.wait()"
    with child(f"{code}; print(p.process_name())") as process:
        forked, name = map(Process.parse, process.communicate()[0].splitlines())
    assert forked
    assert name
    assert name.pid == process.pid != forked.pid
    assert name.is_beside(forked)


@needs_namespaces
def test_processes_of_two_containers_do_not_take_each_other_for_gone() -> None:
    """Each counts its processes from 1, and the host has the same name."""
    told = f"print(p.process_name(), p.is_gone({process_name()!r}), flush=True)"
    with child(f"import autoaug.processes as p; {told}; input()", *in_namespace()) as process:
        assert process.stdout
        name, _, judged = process.stdout.readline().strip().rpartition(" ")
        inner = Process.parse(name)
        assert inner
        assert (inner.host, inner.pid, inner.boot) == (this_process().host, 1, this_process().boot)
        assert inner.namespace != this_process().namespace
        assert judged == "False"
        assert not is_gone(name)
        assert not is_gone(str(replace(inner, pid=2**22 + 1)))
        process.communicate("\n")


@needs_namespaces
def test_whoever_sees_the_processes_of_another_namespace_says_no_more_than_its_name() -> None:
    with child(NAME, *in_namespace(proc=False)) as process:
        assert process.stdout
        assert process.stdout.readline().strip() == f"{this_process().host}:1"
        process.communicate("\n")


def test_every_part_of_a_name_is_told() -> None:
    assert WRITTEN.groupindex.keys() == set(Process.__dataclass_fields__)
