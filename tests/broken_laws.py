"""Run a suite on an example without pytest's collection, to see which of its laws the example breaks."""

import inspect
import itertools
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch


def cases(law: Any) -> Iterator[dict[str, Any]]:
    """The arguments of every case that a law's marks ask for."""
    marks = [mark for mark in getattr(law, "pytestmark", ()) if mark.name == "parametrize"]
    tables = []
    for mark in marks:
        names, values = mark.args
        split = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
        tables.append([dict(zip(split, each if len(split) > 1 else (each,), strict=True)) for each in values])
    for rows in itertools.product(*tables):
        yield {name: value for row in rows for name, value in row.items()}


def skipped(law: Any) -> bool:
    """Whether the law asks for what this machine lacks."""
    return any(mark.name == "skipif" and mark.args[0] for mark in getattr(law, "pytestmark", ()))


def breaks(law: Any, given: Mapping[str, Any]) -> bool:
    """Whether some case of a law fails."""
    for case in cases(law):
        wanted = {**given, **case}
        if "tmp_path" in given:  # a fresh folder for each case
            wanted["tmp_path"] = Path(tempfile.mkdtemp(dir=given["tmp_path"]))
        arguments = {name: wanted[name] for name in inspect.signature(law).parameters}
        with torch.random.fork_rng(devices=[]):  # what is broken may draw from the global generator
            try:
                law(**arguments)
            except pytest.skip.Exception:
                return False
            except (Exception, pytest.fail.Exception):
                return True
    return False


def broken_laws(suite: Any, only: str = "", **given: Any) -> set[str]:
    """The names of the laws, without `test_`, that fail with these fixtures; `only` those that contain a text."""
    names = [name for name in dir(suite) if name.startswith("test_") and only in name]
    assert names, f"no law is called {only!r}"
    laws = {name.removeprefix("test_"): getattr(suite, name) for name in names}
    return {name for name, law in laws.items() if not skipped(law) and breaks(law, given)}
