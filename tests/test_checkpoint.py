"""A training goes on from what fits it, and a checkpoint never holds code."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from autoaug.artifacts import Folder
from autoaug.checkpoint import FORMAT, Checkpoint


def state_of(checkpoint: Checkpoint) -> Any:
    """What a training would go on from; None where it begins anew."""
    found: list[Any] = []
    assert checkpoint.load(found.append) == bool(found)
    return found[0] if found else None


def test_an_attempt_reads_its_own_state_before_that_of_the_one_before(tmp_path: Path) -> None:
    first = Checkpoint(Folder(tmp_path), "1.pt", every_seconds=0)
    assert state_of(first) is None
    first.save(lambda: {"epoch": 3})
    second = Checkpoint(Folder(tmp_path), "2.pt", earlier=["1.pt"], every_seconds=0)
    assert state_of(second) == {"epoch": 3}
    second.save(lambda: {"epoch": 4})
    assert state_of(second) == {"epoch": 4}
    assert state_of(first) == {"epoch": 3}, "a successor never overwrites its predecessor's file"
    assert (first.passed_over, second.passed_over) == ("", "")


@pytest.mark.parametrize(
    ("every", "age", "between_epochs", "within_one"),
    [(3600, 0, False, False), (3600, 3601, True, True), (0, 0, True, False), (0, 3601, True, False)],
)
def test_a_checkpoint_is_due_when_the_last_one_is_old(
    tmp_path: Path, every: float, age: float, between_epochs: bool, within_one: bool
) -> None:
    checkpoint = Checkpoint(Folder(tmp_path), "1.pt", every_seconds=every)
    checkpoint.last -= age
    assert (checkpoint.due(), checkpoint.due(within_epoch=True)) == (between_epochs, within_one)
    checkpoint.save(lambda: {"epoch": 1})
    assert (checkpoint.due(), checkpoint.due(within_epoch=True)) == (every == 0, False)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("evil-was-here",)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def flipped(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[40:90] = bytes(50)
    path.write_bytes(whole)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (truncated, "cannot be read: it is damaged, or no checkpoint"),
    "flipped": (flipped, "cannot be read: it is damaged, or no checkpoint"),
    "empty": (lambda path: path.write_bytes(b""), "cannot be read: it is damaged, or no checkpoint"),
    "text": (lambda path: path.write_text("no checkpoint"), "cannot be read: it is damaged, or no checkpoint"),
    "folder": (lambda path: (path.unlink(), path.mkdir()), "cannot be read: Is a directory"),
    "pickle": (lambda path: path.write_bytes(pickle.dumps(Evil())), "cannot be read: it is damaged, or no checkpoint"),
    "code": (lambda path: torch.save({"state": Evil()}, path), "cannot be read: it is damaged, or no checkpoint"),
    "older": (lambda path: torch.save({"epoch": 3}, path), "is of another version than autoaug.checkpoint/2"),
    "tensor": (lambda path: torch.save(torch.ones(2), path), "is of another version than autoaug.checkpoint/2"),
    "foreign": (
        lambda path: torch.save({"format": FORMAT, "of": "other", "state": {"epoch": 3}}, path),
        "is of another training",
    ),
    "unfit": (
        lambda path: torch.save({"format": FORMAT, "of": "this", "state": {"epoch": "three"}}, path),
        "does not fit this training",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_checkpoint_that_is_of_no_use_is_passed_over_for_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    monkeypatch.chdir(tmp_path)
    spoil, why = DAMAGES[damage]
    for name, epoch in {"1.pt": 1, "3.pt": 3}.items():
        Checkpoint(Folder(tmp_path), name, every_seconds=0, of="this").save(lambda epoch=epoch: {"epoch": epoch})
    spoil(tmp_path / "3.pt")
    fourth = Checkpoint(Folder(tmp_path), "4.pt", ["3.pt", "2.pt", "1.pt"], of="this")
    found: list[int] = []
    assert fourth.load(lambda state: found.append(state["epoch"] + 0))
    assert found == [1]
    assert fourth.passed_over == f"checkpoint 3.pt {why}; went on from 1.pt"
    alone = Checkpoint(Folder(tmp_path), "4.pt", ["3.pt"], of="this")
    assert not alone.load(lambda state: state["epoch"] + 0)
    assert alone.passed_over == f"checkpoint 3.pt {why}; began again"
    assert not (tmp_path / "evil-was-here").exists()


def test_a_lack_of_memory_is_no_fault_of_a_checkpoint(tmp_path: Path) -> None:
    checkpoint = Checkpoint(Folder(tmp_path), "1.pt", every_seconds=0)
    checkpoint.save(lambda: {"epoch": 1})

    def lack(state: dict[str, Any]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        checkpoint.load(lack)
