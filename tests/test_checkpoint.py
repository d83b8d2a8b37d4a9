"""Files are whole or absent, and a checkpoint never holds code."""

import os
import pickle
from pathlib import Path

import pytest
import torch

from autoaug.checkpoint import Checkpoint, write_atomically

CPU = torch.device("cpu")


def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_atomically(path, lambda file: file.write(b"old"))

    def crash(file: object) -> None:
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write_atomically(path, crash)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path], "no temporary file stays behind"


def test_an_attempt_reads_its_own_state_before_that_of_the_one_before(tmp_path: Path) -> None:
    first = Checkpoint(tmp_path / "1.pt", every_seconds=0)
    assert first.load(CPU) is None
    first.save(lambda: {"epoch": 3})
    second = Checkpoint(tmp_path / "2.pt", read=tmp_path / "1.pt", every_seconds=0)
    assert second.load(CPU) == {"epoch": 3}
    second.save(lambda: {"epoch": 4})
    assert second.load(CPU) == {"epoch": 4}
    assert first.load(CPU) == {"epoch": 3}, "a successor never overwrites its predecessor's file"


def test_a_young_checkpoint_is_not_written_again(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "1.pt", every_seconds=3600)
    checkpoint.save(lambda: pytest.fail("the state was collected for nothing"))
    assert not checkpoint.write.exists()


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("evil-was-here",)


def test_a_checkpoint_that_holds_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "1.pt"
    torch.save({"epoch": Evil()}, path)
    with pytest.raises(pickle.UnpicklingError):
        Checkpoint(path).load(CPU)
    assert not (tmp_path / "evil-was-here").exists()
