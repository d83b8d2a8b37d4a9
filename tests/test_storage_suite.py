"""Optuna's own contract of a storage holds for what we put in the place of its storage, on both databases."""

import gc
from collections.abc import Iterator

import pytest
from optuna.storages import BaseStorage
from optuna.testing.pytest_storages import StorageTestCase
from postgres_server import needs_postgres, postgres

from autoaug.store import Store

# the suite unpickles a storage and leaves its connections to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(f"sqlite:///{tmp_path_factory.mktemp('suite') / 'x.db'}")
    yield store
    store.close()


@pytest.fixture(scope="module")
def server() -> Iterator[Store]:
    with postgres() as running:
        store = Store(running.url)
        yield store
        store.close()


def empty(store: Store) -> None:
    """To create the tables anew for every test would take most of the time."""
    for study in store.optuna.get_all_studies():
        store.optuna.delete_study(study._study_id)


@pytest.fixture(autouse=True)
def collected(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "pickle" in request.node.name:
        gc.collect()


class TestOnSqlite(StorageTestCase):
    @pytest.fixture
    def storage(self, file: Store) -> Iterator[BaseStorage]:
        yield file.optuna
        empty(file)


@needs_postgres
class TestOnPostgres(StorageTestCase):
    @pytest.fixture
    def storage(self, server: Store) -> Iterator[BaseStorage]:
        yield server.optuna
        empty(server)
