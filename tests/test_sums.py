"""Sums that every epoch keeps up say what adding up the epochs would, whatever is repeated, killed or done at once."""

import json
import multiprocessing
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql
from postgres_server import needs_postgres, postgres

from autoaug.record import UNITS, Record, TrialKind
from autoaug.store import Store, delete_study
from autoaug.store._epochs import SUMMED
from autoaug.store._packing import pack, unpack

NUMBERS = random.Random(0)


def epoch(number: int, **more: Any) -> Record:
    given = {"study": "s", "strategy": "none", "trial": 0, "epoch": number, "phase": "augment"}
    cost = {"gpu_seconds": NUMBERS.random(), "wall_seconds": NUMBERS.random(), "images": NUMBERS.randrange(1000)}
    return Record(**{**given, **cost, "metrics": {"val_accuracy": 0.5}, **more})


def added_up(store: Store, what: str, where: str = "true") -> dict[Any, list[float]]:
    """The sums of the rows of all epochs by a column, as the database adds them up."""
    query = (
        f"SELECT {what}, SUM(e.gpu_seconds), SUM(e.wall_seconds), SUM(e.images) FROM autoaug_epochs e "
        "JOIN autoaug_trainings t ON t.trial_id = e.trial_id AND t.training = e.training "
        f"WHERE {where} GROUP BY {what}"
    )
    with store.engine.connect() as connection:
        return {key: [float(each) for each in sums] for key, *sums in connection.exec_driver_sql(query)}


def check(store: Store, name: str = "s") -> None:
    work, by_trial = store.work(name), added_up(store, "t.trial_id")
    assert work.keys() == by_trial.keys()
    for trial_id, sums in by_trial.items():
        assert [getattr(work[trial_id], each) for each in SUMMED] == pytest.approx(sums, rel=1e-9)
    by_strategy = added_up(store, "t.strategy", "NOT t.final")
    assert store.costs(name).keys() == by_strategy.keys()
    for strategy, sums in by_strategy.items():
        assert [store.spent(name, strategy, each) for each in UNITS] == pytest.approx(sums[:2], rel=1e-9)


def test_the_sums_are_those_of_the_epochs_however_often_one_is_repeated(store: Store) -> None:
    chance, kinds = random.Random(1), list(TrialKind)
    for _ in range(200):
        trial_id = chance.randrange(9)
        kind, strategy = kinds[trial_id % 3], f"s{trial_id % 2}"
        training = chance.choice(["", "last_policy"]) if kind is TrialKind.FINAL else ""
        names = chance.sample(["train_loss", "lr", "val_nll", "test_nll"], chance.randrange(5))
        record = epoch(
            chance.randrange(4),
            kind=kind,
            strategy=strategy,
            trial=trial_id,
            training=training,
            metrics={name: chance.random() for name in names},
        )
        store.write_epoch(trial_id, record)
        if record.epoch:
            assert record in store.epochs("s"), "the last one that was written is the one that stays"
    check(store)


def test_a_crash_in_the_middle_of_an_epoch_leaves_the_sums_of_before(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write_epoch(1, epoch(1))
    before = store.epochs("s"), store.costs("s")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("autoaug.store._epochs.charge", die)
        for number in (1, 2):
            with pytest.raises(KeyboardInterrupt):
                store.write_epoch(1, epoch(number))
    assert (store.epochs("s"), store.costs("s")) == before
    check(store)


def test_an_archived_study_takes_its_costs_along_and_a_deleted_one_its_epochs(store: Store) -> None:
    definition = {"task": {}, "metric": "val_accuracy", "seed": 0, "spaces": {"none": {}}}
    store.define("s", definition)
    store.write_epoch(1, epoch(1, gpu_seconds=2.0))
    store.archive("s")
    assert (store.spent("s", "none"), store.spent("s~1", "none")) == (0.0, 2.0)
    store.write_epoch(1, epoch(2, gpu_seconds=3.0))
    assert store.spent("s~1", "none") == 5.0, "a worker that goes on works for the study that was archived"
    assert len(store.epochs("s~1")) == 2
    delete_study(store, "s~1")
    assert added_up(store, "t.study") == {}
    assert store.costs("s~1") == {}


def test_a_trial_that_is_claimed_has_nothing_of_one_that_had_its_id_before(store: Store) -> None:
    """SQLite gives an id again once the trial that had it was deleted, as the page of Optuna's dashboard can."""
    search = store.open("s", "none", "maximize")
    for _ in range(2):
        store.enqueue_point(search, 0)
        (trial,) = search.get_trials()
        assert store.claim(trial._trial_id)
        assert store.work("s") == {}
        store.write_epoch(trial._trial_id, epoch(1, gpu_seconds=2.0))
        assert store.spent("s", "none") == 2.0
        store.optuna.delete_study(search._study_id)
        search = store.open("s", "none", "maximize")


# Several processes


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgres() as running:
        yield running.url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs_postgres)])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = f"sqlite:///{tmp_path / 'x.db'}" if request.param == "sqlite" else request.getfixturevalue("server")
    opened = Store(url)
    yield opened
    opened.close()


def write_many(url: str, first: int) -> None:
    """Twenty epochs each of two trials of this process, and of one that the other process writes too."""
    store = Store(url)
    for number in range(1, 21):
        for trial_id in (first, 100, first + 1) if first < 20 else (first + 1, 100, first):
            store.write_epoch(trial_id, epoch(number, trial=trial_id, gpu_seconds=0.5))
    store.close()


def test_processes_that_write_for_one_search_at_once_wait_for_each_other_and_lose_nothing(shared: Store) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=write_many, args=(shared.storage_url, first)) for first in (10, 20)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    assert shared.spent("s", "none") == 5 * 20 * 0.5
    check(shared)
    if shared.engine.dialect.name == "postgresql":
        with shared.engine.connect() as connection:
            query = sql.text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
            assert connection.scalar(query) == 0


# What an epoch takes


def test_metrics_come_back_to_the_last_bit_and_those_of_single_precision_are_short() -> None:
    for _ in range(3000):
        wide = struct.unpack("d", NUMBERS.randbytes(8))[0]
        narrow = struct.unpack("f", struct.pack("f", NUMBERS.uniform(-1, 1)))[0]
        metrics = {"wide": wide, "narrow": narrow, "whole": NUMBERS.randrange(10**6)}
        values, names = pack(metrics, ["before", "whole"])
        assert names == ["before", "whole", "wide", "narrow"]
        assert {name: repr(value) for name, value in unpack(values, names).items()} == {
            name: repr(value) for name, value in metrics.items()
        }
        assert len(json.dumps(values[3])) <= len("-1.23456789e-12")


def test_a_metric_that_is_not_there_is_none_of_the_values() -> None:
    assert pack({"b": 1.0}, ["a", "b", "c"]) == ([None, 1.0], ["a", "b", "c"])
    assert pack({}, ["a"]) == ([], ["a"])
    assert unpack([None, 1.0], ["a", "b", "c"]) == {"b": 1.0}
