"""A cluster of other hosts needs a storage that it can reach and a lock on its door."""

from pathlib import Path

import pytest
from studies_for_tests import tiny

from autoaug.execution import Options
from autoaug.execution._capacity import is_remote, refuse_remote
from autoaug.executors import run
from autoaug.store import Store

SERVER = "postgresql+psycopg://process_name@db.example/studies"
REMOTE = "ray://203.0.113.7:10001"  # of a network that is kept free for documentation


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)


@pytest.mark.parametrize(
    "address", [None, "auto", "local", "127.0.0.1:6379", "localhost:6379", "ray://127.0.0.1:10001"]
)
def test_a_cluster_of_this_host_is_not_remote(address: str | None) -> None:
    assert not is_remote(address)


@pytest.mark.parametrize(
    "address", [REMOTE, "203.0.113.7:6379", "203.0.113.7", "[2001:db8::7]:6379", "head.invalid:6379"]
)
def test_a_cluster_of_another_host_is_remote(address: str) -> None:
    assert is_remote(address)


def test_a_remote_cluster_without_authentication_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"lets in whoever can reach it: .* RAY_AUTH_MODE=token .* --insecure"):
        refuse_remote(Options(address=REMOTE), SERVER)
    refuse_remote(Options(address=REMOTE, insecure=True), SERVER)
    refuse_remote(Options(address="auto"), SERVER)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    refuse_remote(Options(address=REMOTE), SERVER)


def test_an_address_in_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", REMOTE)
    with pytest.raises(ValueError, match="lets in whoever can reach it"):
        refuse_remote(Options(), SERVER)


def test_a_file_cannot_be_the_storage_of_workers_elsewhere(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    options = Options(address=REMOTE, insecure=True, artifacts=tmp_path)
    with pytest.raises(ValueError, match=r"is a file, and workers at ray://203.* cannot open it: give a server"):
        run(tiny(), store, "ray", options)
    assert store.names() == [], "nothing was written"
    store.close()
