"""An S3 server of our own, which tests may stop."""

import logging
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

SECRET = "wJalrXUtnFEMI-not-a-real-key"


@dataclass(frozen=True)
class S3:
    """A running server, with a bucket that is called `bucket`, to which the environment of this process points."""

    server: ThreadedMotoServer
    endpoint: str

    def post(self, path: str, content: bytes) -> None:
        self.send(path, "POST", content)

    def send(self, path: str, method: str, content: bytes = b"") -> None:
        plain = {"Content-Type": "text/plain"}
        request = urllib.request.Request(f"{self.endpoint}/{path}", content, plain, method=method)
        urllib.request.urlopen(request, timeout=60).close()

    @contextmanager
    def knowing_nobody(self) -> Iterator[None]:
        """Refuse every key for as long as the block runs."""
        self.post("moto-api/reset-auth", b"0")
        try:
            yield
        finally:
            self.post("moto-api/reset-auth", b"inf")

    def stop(self) -> None:
        self.server.stop()

    def files(self, path: str = "bucket") -> list[str]:
        """What lies below a path, by the full names."""
        return list(opened().find(path))


def opened() -> Any:
    """The server as a file system that remembers nothing."""
    import fsspec

    return fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True)


@contextmanager
def s3() -> Iterator[S3]:
    """A server on a free port for as long as the block runs; the environment has its address and a key."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it would print every request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    running = S3(server, f"http://{host}:{port}")
    running.post("moto-api/reset", b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", running.endpoint)
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIA-of-the-tests")
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        running.send("bucket", "PUT")
        try:
            yield running
        finally:
            running.stop()
