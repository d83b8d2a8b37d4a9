"""Processes in a PID namespace of their own, as in a container of this host."""

import subprocess

import pytest

UNSHARE = ("unshare", "--pid", "--fork", "--kill-child")


def in_namespace(proc: bool = True) -> tuple[str, ...]:
    """What is written before a command to run it there, with a /proc of its own or with that of this host."""
    return (*UNSHARE, "--mount-proc") if proc else UNSHARE


def allowed() -> bool:
    try:
        return subprocess.run([*in_namespace(), "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


needs_namespaces = pytest.mark.skipif(not allowed(), reason="this user may make no PID namespace")
