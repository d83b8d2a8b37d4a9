"""Definitions of every version are read: what is added to a task later locks no stored study out."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, field, fields, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import pytest
import sqlalchemy as sql
from command_line import Call, calling, refused
from command_line import study as study_file
from studies_for_tests import tiny

from autoaug import Budget, Study, Task, run
from autoaug.compare import stored_comparison
from autoaug.execution import Options, is_over
from autoaug.fields import TEXT, Within
from autoaug.record import TrialKind
from autoaug.store import Store
from autoaug.store._schema import STUDIES
from autoaug.strategies import none
from autoaug.study import _versions, complete_definition

ALPHA = '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}'
REFINE = '{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 0, "high": 1}}'

VERSION_1: dict[str, Any] = {
    "task": {
        "data": "digits-rotated",
        "model": "convnet",
        "epochs": 2,
        "refine_epochs": 0,
        "refine_lr": None,
        "batch_size": 100,
        "micro_batch": None,
        "lr": 0.2,
        "momentum": 0.9,
        "nesterov": True,
        "weight_decay": 0.0005,
        "warmup": 0.15,
        "final_lr": 0.01,
        "precision": "auto",
        "val_fraction": 0.1,
        "resplit": "fixed",
        "split_seed": 0,
        "standard": "auto",
    },
    "metric": "val_accuracy",
    "final_data": "train",
    "seed": 0,
    "baseline": "none",
    "seeds": 1,
    "budget": {"trials": 1, "gpu_seconds": None, "wall_seconds": None},
    "spaces": {"none": {"mix.alpha": ALPHA, "task.refine_epochs": REFINE}},
    "varied": {"none": ["task.refine_epochs", "mix.alpha"]},
    "mixes": {},
    "tasks": {},
    "proxies": {},
    "data": {},
    "predicted_seconds": {"none": 1.5},
    "predicted_rerun_seconds": {"none": 0.0},
}
"""What a release stored before definitions had versions, of `asked()`."""


def asked(trials: int = 1, **task: Any) -> Study:
    given = tiny(strategies={"none": none()}, budget=Budget(trials=trials), seeds=1)
    return replace(given, task=replace(given.task, **task))


def written(store: Store, name: str = "tiny") -> dict[str, Any]:
    """The definition that lies in the table."""
    with store.engine.connect() as connection:
        return dict(connection.scalar(sql.select(STUDIES.c.definition).where(STUDIES.c.name == name)))


def write(store: Store, definition: Mapping[str, Any], name: str = "tiny") -> None:
    with store.engine.begin() as connection:
        connection.execute(STUDIES.update().where(STUDIES.c.name == name).values(definition=dict(definition)))


def states(store: Store) -> list[tuple[bool, str]]:
    return [(outcome.kind is TrialKind.FINAL, outcome.state) for outcome in store.outcomes("tiny")]


def test_what_has_its_default_is_not_stored() -> None:
    plain = Study(name="s", task=Task(data="digits"), strategies={"none": none()}, budget=Budget(trials=1)).describe()
    assert plain["version"] == 3
    assert plain["task"] == {"data": "digits", "standard": "auto"}
    assert not {"final_data", "mixes", "tasks", "proxies"} & set(plain)
    assert asked().describe()["task"].keys() == {"data", "model", "epochs", "batch_size", "lr", "standard"}


def test_both_versions_say_the_same() -> None:
    facts = ("data", "predicted_seconds", "predicted_rerun_seconds")
    now = complete_definition({**asked().describe(), **{name: VERSION_1[name] for name in facts}, "version": 2})
    task = {**_versions.as_stored(_versions.DEFAULTS), **VERSION_1["task"]}  # with the fields that came later
    budget = {**VERSION_1["budget"], "gpu_weights": {}}  # this one too
    whole = {**VERSION_1, "task": task, "budget": budget, "metrics": {}, "train": None, "unrecorded": ["standard"]}
    assert now == complete_definition(VERSION_1) == whole


def test_parts_that_may_be_missing_have_the_defaults_of_a_study() -> None:
    usual = {each.name: each.default for each in fields(Study)}
    assert _versions.OPTIONAL["final_data"] == usual["final_data"]
    assert complete_definition({"spaces": {}})["budget"] == asdict(Budget(trials=1)) | {"trials": None}


def with_field(
    monkeypatch: pytest.MonkeyPatch, hint: Any = Annotated[str, TEXT], default: Any = "sgd", listed: bool = True
) -> Any:
    """A release whose tasks have one field more, which may have been forgotten in the table; gives its study."""
    larger: Any = make_dataclass(
        "Task", [("recipe", hint, field(default=default))], bases=(Task,), frozen=True, kw_only=True
    )
    if listed:
        monkeypatch.setitem(_versions.DEFAULTS, "recipe", default)

    def ask(trials: int = 1, **task: Any) -> Study:
        given = asked(trials)
        kept = {each.name: getattr(given.task, each.name) for each in fields(Task)}
        return replace(given, task=larger(**kept | task))

    return ask


@pytest.mark.parametrize(("version", "listed"), [(1, True), (2, True), (2, False)])
def test_a_study_goes_on_where_its_task_got_a_new_field(
    store: Store, options: Options, monkeypatch: pytest.MonkeyPatch, version: int, listed: bool
) -> None:
    run(asked(), store, options=options)
    if version == 1:
        write(store, VERSION_1)
    earlier = stored_comparison([(store, "tiny")])
    ask, was = with_field(monkeypatch, listed=listed), "sgd" if listed else "absent"
    assert is_over(ask(), store)
    with pytest.raises(ValueError, match=rf"run with task recipe = {was}, and now has adam: give .*--fresh"):
        run(ask(2, recipe="adam"), store, options=options)
    run(ask(2), store, options=options)
    assert states(store) == [(False, "COMPLETE")] * 2 + [(True, "COMPLETE")]
    later = stored_comparison([(store, "tiny")])
    assert later.definition["task"] == {**earlier.definition["task"], **({"recipe": "sgd"} if listed else {})}
    assert len(later.rows) == len(earlier.rows) == 1
    assert "recipe" not in written(store)["task"]


def test_a_new_field_may_hold_several_values(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = with_field(monkeypatch, tuple[Annotated[float, Within(0, 1)], ...], (0.9, 0.99))
    for study in (ask(), ask(recipe=(0.9, 0.99))):
        store.define("tiny", study.describe(), complete_definition)
    store.define("other", ask(recipe=(0.8, 0.9)).describe(), complete_definition)
    store.define("other", ask(recipe=(0.8, 0.9)).describe(), complete_definition)
    with pytest.raises(ValueError, match=r"task recipe = \[0.8, 0.9\], and now has \[0.9, 0.99\]"):
        store.define("other", ask().describe(), complete_definition)


def test_a_study_that_used_a_later_field_is_refused_by_a_release_without_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        store.define("tiny", with_field(patch)(recipe="adam").describe(), complete_definition)
    with pytest.raises(ValueError, match=r"task recipe = adam, and now has absent"):
        store.define("tiny", asked().describe(), complete_definition)


@pytest.mark.parametrize("before", [VERSION_1, asked().describe()], ids=["1", "3"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": 0.1}, r"^study 'tiny' was run with task lr = 0.2, and now has 0.1: give the study another name, or .*"),
        ({"momentum": 0.8}, r"task momentum = 0.9, and now has 0.8"),
        ({"refine_lr": 0.01}, r"task refine_lr = None, and now has 0.01"),
    ],
)
def test_a_value_that_changed_is_refused(
    store: Store, before: Mapping[str, Any], changes: dict[str, Any], message: str
) -> None:
    store.define("tiny", before)
    with pytest.raises(ValueError, match=message):
        store.define("tiny", asked(**changes).describe(), complete_definition)
    with pytest.raises(ValueError, match=r"final_data train, and now has train\+val"):
        store.define("tiny", replace(asked(), final_data="train+val").describe(), complete_definition)
    assert written(store) == before


def test_what_is_chosen_by_the_data_is_compared_where_it_means_today_what_it_meant(store: Store) -> None:
    flip = asked(standard="flip").describe()
    store.define("tiny", asked().describe())
    with pytest.raises(ValueError, match=r"task standard = auto, and now has flip"):
        store.define("tiny", flip, complete_definition)
    for before in (VERSION_1, {**asked().describe(), "version": 2}):  # `run` asks the data
        write(store, before)
        store.define("tiny", flip, complete_definition)


def test_the_table_of_defaults_is_that_of_the_task() -> None:
    """Definitions that are stored leave them out."""
    now = _versions.described(Task(data="any"))
    del now["data"]
    how = "add a new field to DEFAULTS of autoaug/study/_versions.py; of a changed default keep the one before there"
    assert now == _versions.DEFAULTS, how


DEFAULTS_OF_VERSION_2 = {"model": "wrn-16-2", "epochs": 30, "refine_epochs": 0, "refine_lr": None, "batch_size": 128}
DEFAULTS_OF_VERSION_2 |= {"micro_batch": None, "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4}
DEFAULTS_OF_VERSION_2 |= {"warmup": 0.15, "final_lr": 0.01, "precision": "auto", "val_fraction": 0.1}
DEFAULTS_OF_VERSION_2 |= {"resplit": "fixed", "split_seed": 0, "standard": "auto"}


def test_the_defaults_of_stored_definitions_stay_as_they_were() -> None:
    """Both tables together must say what version 2 left out, whatever the defaults are today."""
    now = _versions.defaults(2)
    for name, value in DEFAULTS_OF_VERSION_2.items():
        assert now[name] == value, f"studies that leave out Task.{name} had {value!r}: put it into DEFAULTS_BEFORE[2]"


def test_a_complete_definition_can_be_changed_without_harm() -> None:
    complete_definition({"spaces": {}})["mixes"]["none"] = {"kind": "cutmix"}
    assert complete_definition({"spaces": {}})["mixes"] == {}


def test_a_default_that_changes_changes_no_study_of_before(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if version 3 had begun with another momentum: what it was until then stands in the table of defaults."""
    plain = {**asked().describe(), "version": 2}
    store.define("tiny", plain)
    monkeypatch.setattr(_versions, "VERSION", 3)
    monkeypatch.setattr(_versions, "DEFAULTS_BEFORE", {2: {"momentum": 0.95}})
    for version in (1, 2):
        assert complete_definition({**plain, "version": version})["task"]["momentum"] == 0.95
    assert complete_definition({**plain, "version": 3})["task"]["momentum"] == 0.9
    with pytest.raises(ValueError, match=r"task momentum = 0.95, and now has 0.9"):
        store.define("tiny", asked().describe(), complete_definition)
    store.define("tiny", asked(momentum=0.95).describe(), complete_definition)
    assert written(store)["version"] == 2, "what it leaves out are the defaults of version 2"
    store.define("new", asked(momentum=0.95).describe(), complete_definition)
    assert (written(store, "new")["version"], written(store, "new")["task"]["momentum"]) == (3, 0.95)


def test_a_field_that_was_taken_away_matters_where_it_had_been_set(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_versions, "VERSION", 3)
    monkeypatch.setattr(_versions, "DEFAULTS_BEFORE", {2: {"cutout": 0}})
    for name, cutout in (("usual", 0), ("set", 8)):
        store.define(name, {**VERSION_1, "task": {**VERSION_1["task"], "cutout": cutout}})
    store.define("usual", asked().describe(), complete_definition)
    with pytest.raises(ValueError, match=r"task cutout = 8, and now has absent"):
        store.define("set", asked().describe(), complete_definition)


def test_a_definition_of_a_later_release_is_refused(store: Store, options: Options) -> None:
    store.define("tiny", {**asked().describe(), "version": 99})
    for attempt in (lambda: run(asked(), store, options=options), lambda: is_over(asked(), store)):
        with pytest.raises(ValueError, match=r"is defined in version 99, and this release reads 3: upgrade autoaug"):
            attempt()


def as_before(store: Store, definition: Mapping[str, Any]) -> None:
    """Define a study as the release of version 1 did: it fills what is missing in the task, and keeps that as it is."""
    stored = written(store)
    usual = complete_definition(VERSION_1)["task"]
    assert {**usual, **stored["task"]} == {**usual, **definition["task"]}
    assert all({"final_data": "train", **stored}[part] == definition[part] for part in ("metric", "seed", "final_data"))
    assert "standard" in stored["task"], "or it would ask the data"
    widened = {part: {**stored.get(part, {}), **definition[part]} for part in ("spaces", "varied", "mixes", "proxies")}
    write(store, {**definition, **widened, "task": stored["task"]})


@pytest.mark.parametrize("first", [1, 2])
def test_drivers_of_two_releases_share_a_study(store: Store, options: Options, first: int) -> None:
    store.define("tiny", VERSION_1 if first == 1 else asked().describe())
    for trials in (1, 2, 3):
        as_before(store, VERSION_1)
        run(asked(trials), store, options=options)
        assert complete_definition(written(store)) == {
            **complete_definition(VERSION_1),
            "budget": asdict(Budget(trials=trials)),
            "data": written(store)["data"],
            "predicted_seconds": written(store)["predicted_seconds"],
            "predicted_rerun_seconds": written(store)["predicted_rerun_seconds"],
        }
    assert states(store) == [(False, "COMPLETE")] * 3 + [(True, "COMPLETE")]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    yield from calling(tmp_path, monkeypatch)


def test_a_storage_of_version_1_is_opened_gone_on_with_and_shown_as_ever(call: Call, tmp_path: Path) -> None:
    """What is printed and drawn of a study does not depend on the version in which its definition is written."""
    given = {
        "task": "Task(data='digits-rotated', model='convnet', epochs=2, batch_size=100, lr=0.2)",
        "strategies": "{'none': none()}",
        "space": "{'task.refine_epochs': IntDistribution(0, 1), 'mix.alpha': FloatDistribution(0, 1)}",
        "seeds": "1",
    }
    (tmp_path / "s.py").write_text(study_file(**given, budget="Budget(trials=1)"))
    assert call("run", "s.py", "-q").exit_code == 0
    store = Store("sqlite:///autoaug.db")
    facts = {name: written(store)[name] for name in ("data", "predicted_seconds", "predicted_rerun_seconds")}

    def shown() -> tuple[Any, str, str]:
        found = json.loads(call("compare", "tiny", "--json", "--html", "x.html").stdout)
        page = (tmp_path / "x.html").read_text().partition("<script")[0]
        page = re.sub(r"'sha256-[^']+'|&#39;sha256-[^&]+&#39;", "", page)  # a figure has another name in every page
        return found, call("compare", "tiny").stdout, page

    now = shown()
    write(store, {**VERSION_1, **facts})
    assert shown() == now
    assert "nothing is left to run" in call("run", "s.py", "-q").stdout
    (tmp_path / "s.py").write_text(study_file(**given, budget="Budget(trials=2)"))
    assert call("run", "s.py", "-q").exit_code == 0
    assert states(store) == [(False, "COMPLETE")] * 2 + [(True, "COMPLETE")]
    assert written(store)["task"] == VERSION_1["task"], "it stays as it was written"
    assert json.loads(call("compare", "tiny", "--json").stdout)["strategies"][0]["trials"] == 2
    (tmp_path / "s.py").write_text(study_file(**given | {"task": given["task"].replace("0.2", "0.3")}))
    refused(call("run", "s.py"), r"study 'tiny' was run with task lr = 0.2, and now has 0.3: .*--fresh")
