"""What a URL of fsspec names as a place for artifacts."""

import errno
import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from autoaug.artifacts._errors import TRANSIENT, names_of, reason_of
from autoaug.artifacts._place import checked_name
from autoaug.artifacts._server import EXTRAS, Server

FIXES: Mapping[str, str] = {
    "FileNotFoundError": "make the bucket or container first, or give another --artifacts",
    **dict.fromkeys(
        ("PermissionError", "NoCredentialsError", "ClientAuthenticationError"),
        "put credentials that may write, read and remove there into the environment",
    ),
    **dict.fromkeys(TRANSIENT, "check the address, and that it can be reached from here"),
}
"""What to do about an error, by the name of one of its classes."""


class Remote:
    """What a URL of fsspec names, below a place that was checked when the run began."""

    def __init__(self, url: str, server: Server, names: tuple[str, ...] = ()) -> None:
        self.url, self.server, self.names = url, server, names

    def __str__(self) -> str:
        return "/".join((self.url, *self.names))

    def below(self, *names: str) -> "Remote":
        below = tuple(checked_name(name, self, "folder") for name in names)
        return Remote(self.url, self.server, (*self.names, *below))

    def path(self, root: str, *names: str) -> str:
        return "/".join((root.rstrip("/"), *self.names, *names))

    def read(self, name: str) -> bytes:
        checked_name(name, self, "file")
        return self.server(lambda files, root: bytes(files.cat_file(self.path(root, name))))

    def write(self, name: str, content: bytes) -> None:
        checked_name(name, self, "file")
        put = put_whole if self.server.scheme in EXTRAS else write_and_move
        self.server(lambda files, root: put(files, self.path(root), name, content))

    def remove(self) -> None:
        with suppress(OSError):
            self.server(lambda files, root: files.rm(self.path(root), recursive=True))

    def check(self) -> None:
        self.server.refuse_unknown()
        content, name = os.urandom(16), f"check-{uuid.uuid4().hex}"

        def try_out(files: Any, root: str) -> None:
            trial = self.below(name)
            put_whole(files, trial.path(root), "file", content)
            if bytes(files.cat_file(trial.path(root, "file"))) != content:
                raise OSError(errno.EIO, "what was written did not come back")
            files.rm(trial.path(root), recursive=True)

        try:
            try_out(*self.server.files)  # once: who waits for a run wants to know now
        except Exception as error:
            fix = next((FIXES[name] for name in names_of(error) if name in FIXES), "check the address and credentials")
            raise ValueError(f"no checkpoints can be kept in {self}: {reason_of(error)}: {fix}") from None


def put_whole(files: Any, folder: str, name: str, content: bytes) -> None:
    """Write a file of an object store, where readers see all of it or nothing."""
    files.pipe_file(f"{folder}/{name}", content)


def write_and_move(files: Any, folder: str, name: str, content: bytes) -> None:
    """Write a file under another name first, and remove that where anything goes wrong."""
    files.makedirs(folder, exist_ok=True)
    temporary = f"{folder}/.{name}.{uuid.uuid4().hex}"
    try:
        files.pipe_file(temporary, content)
        files.mv(temporary, f"{folder}/{name}")
    except BaseException:
        with suppress(Exception):
            files.rm_file(temporary)
        raise
