"""What we use of Optuna's internals is as we know it, and used in two files: a release that changes it fails here.

Where one of these fails with a new release of Optuna: read what changed, adapt `autoaug/store/_optuna.py` or
`_optuna_tables.py`, run `tests/test_storage_suite.py` and `tests/test_concurrent.py`, and then raise the ceiling in
pyproject.toml.
"""

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sql
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, RDBStorage, _cached_storage
from optuna.storages._rdb.models import BaseModel, StudyModel, TrialModel, TrialValueModel
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState, create_trial

from autoaug.store import Store
from autoaug.store._optuna import CALLED_BY_CACHE, SharedStorage
from autoaug.store._optuna_tables import FIRST_TABLES
from autoaug.store._queued import new_point, propose
from autoaug.strategies.samplers import in_support

LIBRARY = Path(__file__).parent.parent / "autoaug"
ADAPTER = LIBRARY / "store" / "_optuna.py"
TABLES_ADAPTER = LIBRARY / "store" / "_optuna_tables.py"
KNOWN = version("optuna")

METHODS: dict[Any, dict[str, str]] = {
    RDBStorage: {
        "_get_prepared_new_trial": "self study_id template_trial session",
        "_set_trial_attr_without_commit": "self session model_cls trial_id key value",
        "_build_frozen_trial_from_trial_model": "self trial",
        "_create_new_trial": "self study_id template_trial",
        "_get_trials": "self study_id states included_trial_ids trial_id_greater_than",
        "_get_best_trial_id": "self study_id direction",
        "_set_trial_param": "self trial_id param_name param_value_internal distribution previous_distribution",
        "set_trial_state_values": "self trial_id state values",
        "check_trial_is_updatable": "self trial_id trial_state",
        "remove_session": "self",
    },
    _cached_storage._CachedStorage: {"_add_trials_to_cache": "self study_id trials"},
    StudyModel: {"find_or_raise_by_id": "study_id session for_update"},
    TrialModel: {"find_or_raise_by_id": "trial_id session for_update"},
    TrialValueModel: {"stored_repr_to_value": "value float_type"},
}
"""The methods that the adapter calls, replaces or wraps, and their arguments."""

ATTRIBUTES = {"_trial_id", "_study_id", "_storage"}
"""What the adapter reads of trials and studies."""

COLUMNS = {
    "studies": "study_id study_name",
    "trials": "trial_id study_id number state datetime_start datetime_complete",
    "trial_params": "param_id trial_id param_name param_value distribution_json",
    "trial_values": "trial_value_id trial_id objective value value_type",
    "trial_user_attributes": "trial_user_attribute_id trial_id key value_json",
    "trial_intermediate_values": "trial_id step",
    "version_info": "",
}
"""The tables and columns that the adapter names."""

HEAD = "v3.2.0.a"
"""The version of Optuna's schema."""


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner, names in METHODS.items() for name in names])
def test_a_method_takes_what_it_took(owner: Any, name: str) -> None:
    assert hasattr(owner, name), f"Optuna {KNOWN} has no {owner.__name__}.{name} any more: adapt {ADAPTER.name}"
    given = " ".join(inspect.signature(getattr(owner, name)).parameters)
    wanted = METHODS[owner][name]
    assert given == wanted, f"{owner.__name__}.{name} of Optuna {KNOWN} takes {given}, and took {wanted}"


def test_a_storage_is_made_with_options_of_its_engine(store: Store) -> None:
    assert "engine_kwargs" in inspect.signature(RDBStorage).parameters
    for name in ("engine", "scoped_session"):
        assert name in vars(store.shared), f"RDBStorage of Optuna {KNOWN} has no {name} any more"


def test_trials_and_studies_have_an_id(store: Store) -> None:
    search = store.open("s", "none", "maximize")
    trial = search.ask()
    frozen: list[FrozenStudy] = store.optuna.get_all_studies()
    for each in (trial, store.trials("s", "none")[0]):
        assert isinstance(each._trial_id, int), f"{type(each).__name__} of Optuna {KNOWN} has no _trial_id any more"
    for one in (search, *frozen):
        assert isinstance(one._study_id, int), f"{type(one).__name__} of Optuna {KNOWN} has no _study_id any more"


@pytest.mark.parametrize("table", COLUMNS)
def test_a_table_has_the_columns_that_we_name(table: str) -> None:
    tables = BaseModel.metadata.tables
    assert table in tables, f"Optuna {KNOWN} has no table {table} any more"
    missing = set(COLUMNS[table].split()) - set(tables[table].columns.keys())
    assert not missing, f"the table {table} of Optuna {KNOWN} has no {missing} any more"


def test_the_tables_that_cannot_be_missing_are_optunas(store: Store) -> None:
    gone = FIRST_TABLES - BaseModel.metadata.tables.keys()
    assert not gone, f"Optuna {KNOWN} makes {gone} no more: see that what was kept there is kept elsewhere"
    assert set(sql.inspect(store.engine).get_table_names()) >= FIRST_TABLES


def test_the_schema_is_the_one_that_was_read(store: Store) -> None:
    now = store.shared.get_head_version()
    assert now == HEAD, f"the schema of Optuna {KNOWN} is {now}, and was {HEAD}: read its migration, then change HEAD"


def test_what_the_cache_calls_waits_for_the_server() -> None:
    """Or a trial would be lost where the server restarts: methods that nobody made wait fail at once."""
    source = ast.parse(inspect.getsource(_cached_storage))
    called = {
        node.attr
        for node in ast.walk(source)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self._backend" and node.attr.startswith("_")
    }
    heartbeat = {"_get_stale_trial_ids"}  # leases are ours: Optuna's are never asked for
    assert called - heartbeat == set(CALLED_BY_CACHE), f"the cache of Optuna {KNOWN} calls other private methods"
    public = {name for name, value in vars(BaseStorage).items() if callable(value) and name[0] != "_"}
    for name in {*public, *CALLED_BY_CACHE} - {"remove_session", "check_trial_is_updatable"}:
        assert name in vars(SharedStorage), f"{name} does not wait"


class Counting(BaseSampler):
    """Proposes the lower end, and counts the complete trials that samplers such as TPE see."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        states = (TrialState.COMPLETE,)
        self.counts.append(len(study._get_trials(deepcopy=False, states=states, use_cache=True)))
        return getattr(param_distribution, "low", None)


def test_a_sampler_sees_the_trials_of_this_moment_as_with_ask(store: Store) -> None:
    space = {"x": FloatDistribution(0.5, 2.0), "n": IntDistribution(1, 3), "k": CategoricalDistribution((None, 1))}
    search = store.open("s", "none", "maximize")
    sampler = search.sampler = Counting()
    for number in range(3):
        store.enqueue_point(search, number)
        (waiting,) = search.get_trials(states=(TrialState.WAITING,))
        assert store.claim(waiting._trial_id)
        asked = propose(search, waiting, space)
        assert asked.params == {"x": 0.5, "n": 1, "k": None}
        assert asked.distributions == space
        search.tell(asked, 1.0)
    assert sampler.counts == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_an_unknown_distribution_is_refused(store: Store) -> None:
    rule: Any = "normal"
    search = store.open("s", "none", "maximize")
    store.optuna.create_new_trial(search._study_id, new_point(0))
    with pytest.raises(TypeError, match=r"^x has the distribution normal, which autoaug does not know"):
        propose(search, search.trials[0], {"x": rule})


@pytest.mark.parametrize(
    ("rule", "inside", "outside"),
    [
        (FloatDistribution(0, 1), (0, 0.5, 1), (-0.1, 1.1, float("nan"), float("inf"), "x", None)),
        (FloatDistribution(0.1, 1, log=True), (0.1, 1), (0, -1, 2)),
        (FloatDistribution(0.0, 0.9, step=0.3), (0, 0.3, 0.1 * 3, 0.9), (0.1, 0.2, 1.2)),
        (IntDistribution(1, 9, step=4), (1, 5, 9), (0, 2, 1.5, 5.000000001, 13)),
        (CategoricalDistribution((None, "a", float("nan"))), (None, "a", float("nan")), ("b", 0)),
    ],
)
def test_what_a_distribution_can_propose(rule: Any, inside: tuple[Any, ...], outside: tuple[Any, ...]) -> None:
    assert [in_support(rule, value) for value in (*inside, *outside)] == [True] * len(inside) + [False] * len(outside)
    for value in inside:  # as Optuna itself sees it
        assert rule._contains(rule.to_internal_repr(value))


# A table that a later release adds


@pytest.fixture
def later() -> Iterator[sql.Table]:
    """A release of Optuna with one table more."""
    table = sql.Table("optuna_of_tomorrow", BaseModel.metadata, sql.Column("id", sql.Integer, primary_key=True))
    yield table
    BaseModel.metadata.remove(table)


def test_a_storage_of_before_is_not_damaged_where_optuna_adds_a_table(tmp_path: Path, request: Any) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    before = Store(url)
    before.define("s", {"task": {}, "metric": "val_accuracy", "seed": 0, "spaces": {"none": {}}})
    before.open("s", "none", "maximize").ask()
    before.close()
    table = request.getfixturevalue("later")
    after = Store(url, existing=True)
    assert sql.inspect(after.engine).has_table(table.name), "it is made"
    assert [outcome.state for outcome in after.outcomes("s")] == ["RUNNING"]
    after.close()
    Store(url, existing=True).close()


def test_a_table_that_is_missing_is_still_damage_then(tmp_path: Path, later: sql.Table) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    store = Store(url)
    with store.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE trial_params")
    store.close()
    with pytest.raises(ValueError, match=r"is damaged: the table trial_params is missing"):
        Store(url)


def test_a_table_that_optuna_takes_away_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    store = Store(url)
    with store.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE trial_heartbeats")
    store.close()
    kept = {name: table for name, table in BaseModel.metadata.tables.items() if name != "trial_heartbeats"}
    monkeypatch.setattr("autoaug.store._optuna_tables.BaseModel.metadata.tables", kept)
    Store(url, existing=True).close()


# One file


def private(names: Iterator[str] | set[str]) -> set[str]:
    return {name for name in names if re.match(r"_[a-z]", name)}


def optunas_private_names() -> set[str]:
    """The names that Optuna's classes keep to themselves."""
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(storage=storage)
    trial = create_trial(value=1.0)
    objects = (study, trial, study.ask(), *storage.get_all_studies(), FloatDistribution(0, 1))
    classes = (RDBStorage, BaseStorage, BaseDistribution, *METHODS)
    names = {name for each in objects for name in (*dir(each), *vars(each))}
    return private(names | {name for each in classes for name in dir(each)})


def attributes(path: Path) -> Iterator[tuple[str, str]]:
    """Each attribute that a file reads or writes: of what, and its name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node.value), node.attr


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


OTHERS = [path for path in sorted(LIBRARY.rglob("*.py")) if path not in (ADAPTER, TABLES_ADAPTER)]
TABLES = re.compile(
    r"\b(trial_params|trial_values|trial_user_attributes|study_name =|FROM trials|UPDATE (studies|trials))\b"
)


@pytest.mark.parametrize("path", OTHERS, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_nobody_else_touches_what_optuna_keeps_to_itself(path: Path) -> None:
    """Neither its private modules nor the private names of its objects, nor its tables."""
    for name in imports(path):
        if name.startswith("optuna"):
            assert not any(part.startswith("_") for part in name.split(".")), f"{path.name} imports {name}"
            assert name != "optuna.storages.get_storage", "Optuna says that it is for itself"
    hidden = optunas_private_names()
    for owner, name in attributes(path):
        assert owner == "self" or name not in hidden or name in {"_asdict"}, f"{path.name} reads {owner}.{name}"
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            assert not TABLES.search(node.value), f"{path.name} names one of Optuna's tables: {node.value[:60]!r}"


def test_what_the_adapter_uses_is_listed_here() -> None:
    listed = ATTRIBUTES | {name for names in METHODS.values() for name in names}
    used, modules = set[str](), set[str]()
    for path in (ADAPTER, TABLES_ADAPTER):
        strings = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        used |= private({name for _, name in attributes(path)} | {each for each in strings if isinstance(each, str)})
        modules |= {name for name in imports(path) if name.startswith("optuna") and "._" in name}
    assert used == private(listed)
    assert {name.rpartition(".")[0] for name in modules} == {
        "optuna.storages._cached_storage",
        "optuna.storages._rdb.models",
    }


def test_the_range_that_is_installed_has_a_ceiling() -> None:
    project = tomllib.loads((LIBRARY.parent / "pyproject.toml").read_text())["project"]
    (wanted,) = [each for each in project["dependencies"] if re.match(r"optuna\W", each) and "dashboard" not in each]
    assert re.fullmatch(r"optuna>=5\.\d+,<(\d+\.\d+)", wanted), "a minor release may change what is private to Optuna"
