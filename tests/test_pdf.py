"""The page as PDF: who prints it, and what is said where nobody can."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Call, calling, refused
from test_across import stored

from autoaug.page import find_browser, write_pdf
from autoaug.page._pdf import BROWSERS, ON_PAPER
from autoaug.store import Store


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    yield from calling(tmp_path, monkeypatch)


def pretend(folder: Path, script: str, name: str = BROWSERS[0]) -> str:
    """A browser that does what a script says, with its arguments as $@."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    return str(folder / name)


PRINTS = """
for each in "$@"; do
  case "$each" in --print-to-pdf=*) to="${each#--print-to-pdf=}";; file://*) page="${each#file://}";; esac
done
cp "$page" "$to"
"""


def test_without_a_browser_nobody_has_looked(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(f"sqlite:///{tmp_path / 'autoaug.db'}")
    stored(store, "d0", "digits", {"none": 0.7, "ra": 0.8})
    monkeypatch.setenv("PATH", str(tmp_path))
    message = r"none of chromium, .* is on PATH: install Chromium \(apt install chromium, .*or write --html and print"
    refused(call("compare", "d0", "--pdf", "x.pdf", "--csv", "x.csv"), message)
    assert store.looks("d0") == []
    assert not (tmp_path / "x.csv").exists()


def test_the_first_browser_on_the_path_prints_the_page(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(Store(f"sqlite:///{tmp_path / 'autoaug.db'}"), "d0", "digits", {"none": 0.7, "ra": 0.8})
    browser = pretend(tmp_path / "bin", PRINTS)
    pretend(tmp_path / "bin", "exit 1", name=BROWSERS[-1])
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/bin")
    assert find_browser() == browser
    assert call("compare", "d0", "--pdf", "x.pdf", "--html", "x.html").exit_code == 0
    page, printed = (tmp_path / "x.html").read_text(), (tmp_path / "x.pdf").read_text()
    assert printed.replace(ON_PAPER, "") == page
    assert printed.count(ON_PAPER) == 1
    refused(call("compare", "d0", "--pdf", "none/x.pdf"), "cannot write none/x.pdf: No such file")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'no display' >&2; echo >&2; exit 7", r"does not print \(exit code 7\): no display; write --html"),
        ("exit 0", r"does not print \(exit code 0\): it said nothing"),
    ],
)
def test_a_browser_that_fails_is_quoted(tmp_path: Path, script: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_pdf("<p>", tmp_path / "x.pdf", pretend(tmp_path / "bin", script))
    assert not (tmp_path / "x.pdf").exists()


@pytest.mark.skipif(not any(map(shutil.which, BROWSERS)), reason="there is no Chromium")
def test_chromium_prints_a_page(tmp_path: Path) -> None:
    write_pdf("<title>é</title><p>two <b>words</b>", tmp_path / "x.pdf", find_browser())
    printed = (tmp_path / "x.pdf").read_bytes()
    assert printed.startswith(b"%PDF-")
    assert printed.rstrip().endswith(b"%%EOF")
