"""A PostgreSQL server of our own, which tests may stop, restart and kill."""

import getpass
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

BINARIES = [*sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")), Path(shutil.which("initdb") or "nowhere")]

needs_postgres = pytest.mark.skipif(not BINARIES[0].exists(), reason="PostgreSQL is not installed: no initdb")


@dataclass(frozen=True)
class Server:
    """A running server, as the user `postgres` where we are root: it refuses to run as root."""

    folder: Path
    port: int
    password: str | None = None

    @property
    def user(self) -> str:
        return "postgres" if os.getuid() == 0 else getpass.getuser()

    @property
    def url(self) -> str:
        who = self.user if self.password is None else f"{self.user}:{self.password}"
        return f"postgresql+psycopg://{who}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder}"
        self.call("pg_ctl", "-D", self.folder / "data", "-w", "-o", options, "-l", self.folder / "log", "start")

    def stop(self) -> None:
        """As a power cut does: nothing is finished or written first."""
        self.call("pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop")

    def become_standby(self) -> None:
        """Start as a standby from now on, which only reads."""
        signal = self.folder / "data" / "standby.signal"
        signal.touch()
        if os.getuid() == 0:
            shutil.chown(signal, "postgres")

    def restart(self) -> None:
        self.stop()
        self.start()

    def refuse_writes(self, refuse: bool) -> None:
        """As a server does that is a standby since a moment ago; returns once new transactions see it."""
        value = "on" if refuse else "off"
        self.sql(f"ALTER SYSTEM SET default_transaction_read_only = {value}", "SELECT pg_reload_conf()")
        while value not in self.sql("SHOW default_transaction_read_only").split():
            time.sleep(0.01)

    def sql(self, *statements: str) -> str:
        """Run statements, each in a transaction of its own; returns what was answered, without headings."""
        where = ("-h", "127.0.0.1", "-p", self.port, "-U", self.user, "-d", "postgres", "-qtAX")
        return self.call("psql", *where, *(part for each in statements for part in ("-c", each)))

    def call(self, program: str, *arguments: Any, **how: Any) -> str:
        """Run one of PostgreSQL's programs; returns what it printed."""
        if os.getuid() == 0:
            how["user"] = "postgres"
        command = [BINARIES[0].with_name(program), *map(str, arguments)]
        # to files: a server that is started would hold a pipe open for as long as it runs
        with tempfile.TemporaryFile() as said:
            subprocess.run(command, check=True, stdout=said, stderr=said, cwd=self.folder, **how)
            said.seek(0)
            return said.read().decode()


@contextmanager
def postgres(password: str | None = None) -> Iterator[Server]:
    """A server in a temporary folder, on a free port, for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="autoaug-pg-") as name:
        folder = Path(name)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            server = Server(folder, probe.getsockname()[1], password)
        (folder / "password").write_text(password or "none")
        if os.getuid() == 0:
            shutil.chown(folder, "postgres")
            shutil.chown(folder / "password", "postgres")
        how = ["-A", "trust"] if password is None else ["-A", "scram-sha-256", "--pwfile", folder / "password"]
        server.call("initdb", "-D", folder / "data", "-U", server.user, "--no-sync", *how)
        server.start()
        try:
            yield server
        finally:
            server.stop()
