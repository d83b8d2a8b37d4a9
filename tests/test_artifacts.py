"""Wherever artifacts lie, a file is whole or absent, no name leads elsewhere, and no secret is shown."""

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem
from s3_server import S3, SECRET, s3

from autoaug.artifacts import Folder, Place, location, place_of, write_atomically
from autoaug.artifacts._errors import reason_of
from autoaug.checkpoint import Checkpoint
from autoaug.execution import Options


@pytest.fixture(scope="module")
def server() -> Iterator[S3]:
    with s3() as running:
        yield running


# Laws of every place


def relative(paths: list[str], root: str) -> list[str]:
    return sorted(os.path.relpath(path, root) for path in paths)


class PlaceLaws:
    """What holds of every place. A subclass has the fixture `place`, and says what lies there and how it breaks."""

    def files(self, place: Any) -> list[str]:
        """What lies in the place, by its path from there."""
        raise NotImplementedError

    def broken(self, place: Any) -> AbstractContextManager[object]:
        """Make every write of a file `1.pt` in the place fail, for as long as the block runs."""
        raise NotImplementedError

    def test_what_is_written_is_read(self, place: Place) -> None:
        place.write("1.pt", b"first")
        place.write("2.pt", bytes(range(256)))
        place.write("1.pt", b"")
        assert (place.read("1.pt"), place.read("2.pt")) == (b"", bytes(range(256)))

    def test_what_is_not_there_is_not_found(self, place: Place) -> None:
        for absent in (place, place.below("a"), place.below("a", "b")):
            with pytest.raises(FileNotFoundError):
                absent.read("1.pt")
        place.write("a", b"a file in the place of a folder")
        with pytest.raises(FileNotFoundError):
            place.below("a").read("1.pt")

    def test_only_what_lies_below_is_removed(self, place: Place) -> None:
        for below in (("1",), ("1", "deep"), ("10",), ()):
            place.below(*below).write("x", b"x")
        place.below("1").remove()
        place.below("1").remove()
        place.below("2").remove()
        assert self.files(place) == ["10/x", "x"]

    @pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../x", "/etc", "a\nb", ".hidden", "*", "x" * 101])
    def test_a_name_that_may_lead_elsewhere_is_refused(self, place: Place, name: str) -> None:
        for use in (place.below, place.read, lambda given: place.write(given, b""), lambda n: place.below("a", n)):
            with pytest.raises(ValueError, match="it is no plain name"):
                use(name)
        assert self.files(place) == []

    def test_a_check_leaves_nothing(self, place: Place) -> None:
        place.check()
        assert self.files(place) == []

    def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(self, place: Place) -> None:
        place.write("1.pt", b"old")
        before = self.files(place)
        with self.broken(place), pytest.raises(OSError, match=r".") as caught:
            place.write("1.pt", b"new")
        assert caught.value.strerror
        assert place.read("1.pt") == b"old"
        assert self.files(place) == before

    def test_a_training_goes_on_from_it(self, place: Place) -> None:
        state, found = {"weights": torch.arange(5.0), "epoch": 3}, list[dict[str, Any]]()
        Checkpoint(place, "1.pt", every_seconds=0, of="this").save(lambda: state)
        assert Checkpoint(place, "3.pt", ["2.pt", "1.pt"], of="this").load(found.append)
        assert torch.equal(found[0]["weights"], state["weights"])
        assert found[0]["epoch"] == 3

    def test_a_checkpoint_that_cannot_be_written_is_a_trouble_until_one_can(self, place: Place) -> None:
        checkpoint = Checkpoint(place, "1.pt", every_seconds=0)
        with self.broken(place):
            checkpoint.save(lambda: {"epoch": 1})
            assert checkpoint.trouble.startswith("no checkpoint: ")
        checkpoint.save(lambda: {"epoch": 2})
        assert checkpoint.trouble == ""


class TestFolder(PlaceLaws):
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return place_of(tmp_path / "deep" / "artifacts")

    def files(self, place: Folder) -> list[str]:
        return relative([str(path) for path in place.path.rglob("*") if path.is_file()], str(place))

    @contextmanager
    def broken(self, place: Folder) -> Iterator[None]:
        place.path.mkdir(parents=True, exist_ok=True)
        (place.path / f".1.pt.{os.getpid()}").symlink_to("/dev/full")  # a device without any space is written to
        yield


class TestFileSystem(PlaceLaws):
    """Where a file is written under another name and moved."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return place_of(f"memory://{tmp_path}/artifacts", 0.0)

    def files(self, place: Place) -> list[str]:
        return relative(MemoryFileSystem().find(str(place)), str(place).removeprefix("memory://"))

    @contextmanager
    def broken(self, place: Place) -> Iterator[None]:
        put = MemoryFileSystem.pipe_file

        def break_off(files: MemoryFileSystem, path: str, value: bytes) -> None:
            put(files, path, value[: len(value) // 2])
            raise OSError(errno.ENOSPC, "No space left on device")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(MemoryFileSystem, "pipe_file", break_off)
            yield


class TestS3(PlaceLaws):
    @pytest.fixture
    def place(self, server: S3, tmp_path: Path) -> Iterator[Place]:
        place = place_of("s3://bucket", 0.0).below(tmp_path.name)
        self.server = server
        yield place
        place.remove()

    def files(self, place: Place) -> list[str]:
        return relative(self.server.files(str(place)), str(place).removeprefix("s3://"))

    def broken(self, place: Place) -> AbstractContextManager[None]:
        return self.server.knowing_nobody()


def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_atomically(path, lambda file: file.write(b"old"))

    def crash(file: object) -> None:
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        write_atomically(path, crash)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path], "no temporary file stays behind"


# What is given


def test_a_folder_is_a_path_and_a_url_a_text() -> None:
    assert location("runs") == location(Path("runs")) == Path("runs")
    assert location("file:///shared/my%20runs") == Path("/shared/my runs")
    assert location("s3://bucket/runs/") == "s3://bucket/runs"
    assert location("abfs://container@account.dfs.core.windows.net/x").endswith("/x"), "a container is no password"


def test_what_cannot_lie_at_a_url_lies_in_a_folder_of_this_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Options(artifacts="there").local == Path("there")
    assert Options(artifacts="there").anchored() == Options(artifacts=tmp_path / "there")
    remote = Options(artifacts="s3://bucket/runs").anchored()
    assert (remote.artifacts, remote.local) == ("s3://bucket/runs", tmp_path / "artifacts")


REFUSED: dict[Any, str] = {
    "": "give a folder or a URL",
    5: "give a folder or a URL",
    "s3:/bucket/runs": "give a URL as a text with ://",
    Path("s3://bucket/runs"): "give a URL as a text with ://",
    "s3://": "which names no single place: write s3://bucket/runs",
    "s3://bucket/a*": "names no single place",
    "simplecache::s3://bucket/a": "names no single place",
    "s3://key:hunter2@bucket/runs": "at s3://bucket/runs with a password .* credentials in the environment",
    "s3://bucket/runs?secret=hunter2": "artifacts are at s3://bucket/runs with a password or an option",
    "s3://bucket/runs#hunter2": "leave it out of the URL",
    "s3://[hunter2/runs": "cannot be read",
}


@pytest.mark.parametrize("given", REFUSED)
def test_a_place_that_cannot_be_one_is_refused_and_no_secret_is_shown(given: Any) -> None:
    with pytest.raises(ValueError, match=REFUSED[given]) as caught:
        Options(artifacts=given)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "driver", "message"),
    [
        ("gs://bucket/x", "gcsfs", r"artifacts are at gs://bucket/x: its driver is not installed: .*'autoaug\[gcs\]'"),
        ("abfs://bucket/x", "adlfs", r"its driver is not installed: pip install 'autoaug\[azure\]'"),
        ("s4://bucket/x", "s3fs", "artifacts are at s4://bucket/x, and s4 is no scheme of fsspec: known are abfs"),
    ],
)
def test_a_driver_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, url: str, driver: str, message: str
) -> None:
    monkeypatch.setitem(sys.modules, driver, None)  # as if it were not installed
    with pytest.raises(ValueError, match=message):
        place_of(url).check()


# What cannot be reached


def refusal_of(url: str) -> str:
    with pytest.raises(ValueError, match=f"^no checkpoints can be kept in {url}: ") as caught:
        place_of(url).check()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_bucket_that_is_not_there_or_not_ours_is_refused_before_anything_runs(server: S3) -> None:
    message = refusal_of("s3://nowhere/x")
    assert "FileNotFoundError: The specified bucket does not exist: make the bucket" in message
    with server.knowing_nobody():
        message = refusal_of("s3://bucket/mine")
    assert "PermissionError: The AWS Access Key Id you provided does not exist in our records" in message
    assert message.endswith("put credentials that may write, read and remove there into the environment")
    assert SECRET not in message
    assert "AKIA" not in message


def test_a_server_that_is_not_there_is_refused_at_once(server: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    assert refusal_of("s3://bucket/away").endswith("check the address, and that it can be reached from here")


def test_without_credentials_the_environment_is_named(server: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", "/nonexistent")
    assert refusal_of("s3://bucket/nobody").endswith("into the environment")


def test_who_is_away_is_tried_again_for_a_bounded_time(monkeypatch: pytest.MonkeyPatch) -> None:
    patient, hasty = place_of("memory://a/b", 60.0), place_of("memory://a/b", 0.0)
    patient.write("x", b"x")
    read, away, tries = MemoryFileSystem.cat_file, [2], [0]

    def sometimes(files: MemoryFileSystem, path: str) -> bytes:
        tries[0], away[0] = tries[0] + 1, away[0] - 1
        if away[0] >= 0:
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        return read(files, path)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", sometimes)
    assert (patient.read("x"), tries) == (b"x", [3])
    away[0], tries[0] = 10**9, 0
    for times in (1, 2):
        with pytest.raises(OSError, match="ConnectionResetError: Connection reset by peer"):
            hasty.read("x")
        assert tries == [times]
    away[0] = 0
    assert hasty.read("x") == b"x"


def test_who_was_waited_for_in_vain_is_tried_once_until_it_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    place, read, away, tries = place_of("memory://a/c", 0.3), MemoryFileSystem.cat_file, [True], [0]
    place.write("x", b"x")

    def while_away(files: MemoryFileSystem, path: str) -> bytes:
        tries[0] += 1
        if away[0]:
            raise TimeoutError("nobody answers")
        return read(files, path)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", while_away)
    with pytest.raises(OSError, match="TimeoutError: nobody answers"):
        place.read("x")
    assert tries[0] >= 2
    tries[0] = 0
    with pytest.raises(OSError, match="nobody answers"):
        place.read("x")
    assert tries[0] == 1
    away[0] = False
    assert place.read("x") == b"x"
    away[0], tries[0] = True, 0
    with pytest.raises(OSError, match="nobody answers"):
        place.read("x")
    assert tries[0] >= 2, "it was back, and so is waited for again"


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (RuntimeError("first\nsecond"), "RuntimeError: first"),
        (OSError(5, "Input/output error"), "OSError: Input/output error"),
        (
            ValueError("GET https://me:hunter2@host/x?sig=hunter2&b=1 failed"),
            "ValueError: GET https://***@host/x?*** failed",
        ),
        (ValueError("the key hunter2-hunter2 is wrong"), "ValueError: the key *** is wrong"),
    ],
)
def test_an_error_of_a_driver_is_one_line_without_secrets(
    monkeypatch: pytest.MonkeyPatch, error: Exception, shown: str
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "hunter2-hunter2")
    assert reason_of(error) == shown
