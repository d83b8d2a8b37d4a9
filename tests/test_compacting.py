"""A storage is made smaller, and no number of a comparison changes."""

import json
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import Call, calling, refused
from optuna.trial import TrialState
from postgres_server import needs_postgres
from rich_study import POINTS, SPACE, rich_server, write_rich

from autoaug.compare import anytime, stored_comparison, to_json
from autoaug.metrics import metric_of
from autoaug.record import Record, TrialKind
from autoaug.store import Store, compact, id_of_trial, make_small, study_sizes
from autoaug.store._compacting import FEWEST, epochs_to_keep

KEEP = 7


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgres)])
def url(request: pytest.FixtureRequest, here: Store) -> Iterator[str]:
    """A storage with a rich study."""
    if request.param == "sqlite":
        yield here.storage_url
        return
    with rich_server() as there:
        yield there


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    yield from calling(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a rich study, which no test changes."""
    path = tmp_path_factory.mktemp("written") / "x.db"
    store = Store(f"sqlite:///{path}")
    write_rich(store)
    store.close()
    return path


@pytest.fixture
def here(written: Path, tmp_path: Path) -> Iterator[Store]:
    """The storage that the command line finds by itself, with a rich study."""
    shutil.copy(written, tmp_path / "autoaug.db")
    store = Store(f"sqlite:///{tmp_path / 'autoaug.db'}")
    yield store
    store.close()


def numbers(store: Store) -> Any:
    """All that a study says, as a machine reads it and as its outcomes are, and what its searches have cost."""
    found = stored_comparison([(store, "rich")])
    curve = anytime(found.records, outcomes=found.outcomes)
    spent = {(name, unit): store.spent("rich", name, unit) for name in found.strategies for unit in ("wall_seconds",)}
    return json.dumps(to_json(found)), store.outcomes("rich"), store.work("rich"), spent, curve


def trainings(store: Store) -> dict[tuple[str, int, str], list[Record]]:
    """The epochs of each training."""
    found: dict[tuple[str, int, str], list[Record]] = defaultdict(list)
    for record in store.epochs("rich"):
        found[record.substudy, record.trial, record.training].append(record)
    return found


def test_no_number_changes(url: str) -> None:
    store = Store(url)
    before, epochs, reported = numbers(store), trainings(store), store.trials("rich", "ra")[0].intermediate_values
    (done,) = compact(store, KEEP)
    assert make_small(store) == ""
    store.close()
    again = Store(url)
    assert numbers(again) == before
    after = trainings(again)
    assert list(after) == list(epochs)
    assert done.epochs == sum(map(len, epochs.values())) - sum(map(len, after.values())) > 100
    assert done.left_alone == ""
    for key, kept in after.items():
        if kept[0].kind is TrialKind.FINAL:
            assert kept == epochs[key]
            continue
        every = epochs[key]
        assert len(kept) <= KEEP
        best = max(every, key=lambda record: record.metrics["val_accuracy"]).epoch
        assert {1, best, every[-1].epoch} <= {record.epoch for record in kept}
        last_policy = [record.policy for record in every if record.policy]
        assert [record.policy for record in kept if record.policy][-1:] == last_policy[-1:]
        assert {record.epoch: dict(record.metrics) for record in every}.items() >= {
            record.epoch: dict(record.metrics) for record in kept
        }.items()
        assert sum(record.gpu_seconds for record in kept) == sum(record.gpu_seconds for record in every)
        assert sum(record.images for record in kept) == sum(record.images for record in every)
    steps = {record.epoch for record in after["ra", 0, ""]}
    left = again.trials("rich", "ra")[0].intermediate_values
    assert left == {step: value for step, value in reported.items() if step in steps}
    assert done.reports == sum(len(epochs["ra", number, ""]) - len(after["ra", number, ""]) for number in range(3))
    (nothing,) = compact(again, KEEP)
    assert (nothing.epochs, nothing.reports) == (0, 0), "what is small enough stays"
    again.close()


@pytest.mark.parametrize("keep", [FEWEST, 7, 20, 99])
@pytest.mark.parametrize("epochs", [1, 6, 7, 50, 100])
def test_the_epochs_that_stay_are_few_and_spread(keep: int, epochs: int) -> None:
    ruling = metric_of("val_nll")
    rows = [{"epoch": k, "refine": k >= 45, "metrics": {"val_nll": abs(k - 33)}} for k in range(1, epochs + 1)]
    kept = epochs_to_keep(rows, "val_nll", ruling, keep)
    assert kept <= set(range(1, epochs + 1))
    assert len(kept) <= keep
    assert {1, epochs, min(33, epochs)} <= kept
    assert min(44, epochs) in kept, "the last epoch with augmentation has the policy that was learned"
    if epochs <= keep:
        assert len(kept) == epochs
    assert epochs_to_keep([row for row in rows if row["epoch"] in kept], "val_nll", ruling, keep) == kept
    assert epochs_to_keep([{**row, "metrics": {}} for row in rows], "val_nll", ruling, keep) >= {1, epochs}


def begin(store: Store, name: str) -> int:
    """A trial of a study of that name that somebody has just begun."""
    store.define(name, {"task": {}, "metric": "val_accuracy", "seed": 0, "spaces": {"ra": {}}})
    search = store.open(name, "ra", "maximize")
    search.enqueue_trial(POINTS[0])
    trial = id_of_trial(search.ask(SPACE))
    for epoch in range(1, 30):
        store.write_epoch(trial, Record(study=name, strategy="ra", trial=0, epoch=epoch, phase="augment"))
    return trial


def test_a_study_that_has_trials_to_run_is_left_alone(here: Store, call: Call) -> None:
    trial = begin(here, "busy")
    here.beat(trial, "somebody")
    epochs = here.epochs("busy")
    done = call("storage", "--compact", "--keep", "7")
    assert done.exit_code == 0
    assert "busy is left alone: 1 trial waits or runs" in done.stdout
    assert re.search(r"^rich: \d+ epochs and 19 intermediate values removed$", done.stdout, re.MULTILINE)
    assert done.stderr == (
        "warning: the storage is as large as before: somebody works there, and would have to wait: "
        "run this again once nobody does\n"
    )
    assert here.epochs("busy") == epochs
    here.finish(trial, TrialState.FAIL, reason="it did not learn")
    assert call("storage", "--compact").stderr == ""
    assert len(here.epochs("busy")) == 16


def test_where_all_are_worked_on_nothing_is_done(tmp_path: Path, call: Call) -> None:
    store = Store(f"sqlite:///{tmp_path / 'autoaug.db'}")
    begin(store, "one")
    begin(store, "other")
    refused_once = call("storage", "--compact")
    message = r"is at rest \(one: 1 trial waits or runs; other: 1 trial waits or runs\): run them to their end first"
    assert refused_once.exit_code == 2
    assert re.search(message, refused_once.stderr)
    assert [size.stored for size in study_sizes(store)] == [29, 29]


def test_the_file_is_smaller_afterwards_and_the_page_says_so(here: Store, call: Call, tmp_path: Path) -> None:
    here.close()
    held = json.loads(call("storage", "--json").stdout)
    assert held["studies"] == [{"name": "rich", "trials": 47, "epochs": 558, "stored": 558}]
    assert {"autoaug_epochs", "trials"} < {table["name"] for table in held["tables"]}
    assert held["bytes"] == sum(table["bytes"] for table in held["tables"])
    before = (tmp_path / "autoaug.db").stat().st_size
    done = json.loads(call("storage", "--compact", "--keep", "6", "--json").stdout)
    assert (done["before"]["bytes"], done["as_large"]) == (held["bytes"], "")
    assert done["bytes"] < done["before"]["bytes"]
    assert (tmp_path / "autoaug.db").stat().st_size < before
    (study,) = done["studies"]
    (compacted,) = done["compacted"]
    assert (study["epochs"], study["stored"]) == (558, 558 - compacted["epochs"])
    shown = call("storage").stdout
    assert re.search(rf"^rich +47 +558 +{study['stored']}$", shown, re.MULTILINE)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("storage --compact --keep 5", "^error: keep is 5: give 6 or more epochs to keep of each training$"),
        ("storage --keep 9", "^error: --keep 9 says how far to compact: give --compact too, or leave it out$"),
        ("storage --storage sqlite:///none.db", "^error: there is no storage sqlite:///none.db yet"),
    ],
)
def test_what_cannot_be_is_refused(here: Store, call: Call, line: str, message: str) -> None:
    refused(call(*line.split()), message)
    assert trainings(here)["ra", 0, ""][-1].epoch == 12
