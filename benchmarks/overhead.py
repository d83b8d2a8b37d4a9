"""What does a trial cost beside its training, and does that grow with what is stored? On SQLite.

A study of one strategy is filled with so many complete trials of so many epochs. Then a scheduler hands out further
trials, and the worker runs them with a training that takes no time, so that all the time that passes is the
platform's: the lease, every epoch's report and row, checks of budget and pruning, provenance, the end of the trial.

    ask      the scheduler decides what is next, queues it and takes it; without the sampler
    sampler  it proposes a point: it alone may look at all trials
    work     the worker's part, all epochs of one trial
    x        how many times that is what it is in the first row of the same sampler; the goal for ask and work is 1.3
    share    of a trial whose epochs take a second each
    start    a new scheduler, and its first ask: it reads how every attempt ended, once
    first    the sampler's first point in this process: a sampler such as TPE reads every trial with every reported
             value, once

CPU-seconds of this process, which a busy machine changes little: medians over the trials of one run, for which the
storages of all sizes take turns. The second table says what an epoch takes on the disk, in bytes. PostgreSQL takes 273
for the row of an epoch and Optuna's beside it: every row has a header of its own there, and an index or two besides.
Run from the root of the checkout.

    python -m benchmarks.overhead --trials 100 1000 10000 --write benchmarks/results/overhead-cpu.md
"""

import argparse
import json
import math
import os
import platform
import random
import statistics
import struct
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import optuna
import sqlalchemy
import torch
from optuna.distributions import distribution_to_json

from autoaug import Budget, Record, Study, Task
from autoaug.execution import Options, Scheduler
from autoaug.execution import _worker as worker
from autoaug.store import Store
from autoaug.store._epochs import add_up_costs, narrowed, to_row
from autoaug.store._schema import EPOCHS, TRAININGS
from autoaug.strategies import randaugment

EPOCH_SECONDS = 1.0
"""What an epoch is compared with."""
MEASURED = 11
"""Trials of which the median is taken."""
CLOCK = time.process_time
AT_ONCE = 200
"""Trials whose rows are written together."""
ATTRIBUTES = {
    "attempt": 1,
    "worker": "node-17:4242",
    "driver": "node-0:17",
    "git_commit": "0123456789ab",
    "device": "NVIDIA H100 80GB HBM3",
    "val_images": 5000,
}
"""Some of what a worker notes of each trial."""
OPTUNAS = ("trials", "trial_params", "trial_values", "trial_user_attributes", "trial_intermediate_values")


def study(sampler: str, epochs: int) -> Study:
    return Study(
        name="overhead",
        task=Task(data="digits-100", model="convnet", epochs=epochs, device="cpu"),
        strategies={"x": randaugment(sampler)},
        budget=Budget(trials=10**6, gpu_seconds=10.0**9),
    )


def measured(number: int, epochs: int, chance: random.Random, **more: Any) -> Record:
    """An epoch with figures of as many digits as those of a training: most are of single precision."""
    loss, accuracy, nll = (struct.unpack("f", struct.pack("f", chance.random()))[0] for _ in range(3))
    lr = 0.05 * (1 + math.cos(math.pi * number / epochs))
    metrics = {"train_loss": 2 * loss, "lr": lr, "val_accuracy": accuracy, "val_nll": 2 * nll}
    costs = {"gpu_seconds": 20 * chance.random(), "wall_seconds": 20 * chance.random(), "images": 45_000}
    return Record(epoch=number, phase="augment", metrics=metrics, **costs, **more)


def fill(store: Store, asked: Study, trials: int) -> None:
    """So many complete trials at random points, with their epochs, which are many: they go in at once."""
    Scheduler(asked, store)
    study_id = store.optuna.get_study_id_from_name(f"{asked.name}/x")
    optunas = [sqlalchemy.Table(name, sqlalchemy.MetaData(), autoload_with=store.engine) for name in OPTUNAS]
    points, chance = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)), random.Random(0)
    for start in range(0, trials, AT_ONCE):
        rows: dict[str, list[dict[str, Any]]] = {}
        for number in range(start, min(start + AT_ONCE, trials)):
            point = points.ask(asked.space_of("x")).params
            for name, some in complete(asked, study_id, number, point, chance).items():
                rows.setdefault(name, []).extend(some)
        with store.engine.begin() as connection:
            for table in (*optunas, TRAININGS, EPOCHS):
                connection.execute(table.insert(), rows[table.name])
    with store.engine.begin() as connection:
        add_up_costs(connection)


def complete(
    asked: Study, study_id: int, number: int, point: dict[str, Any], chance: random.Random
) -> dict[str, list[dict[str, Any]]]:
    """The rows of a complete trial, by the name of the table."""
    whose: dict[str, Any] = {"study": asked.name, "strategy": "x", "trial": number}
    epochs = asked.task.epochs
    records = [measured(k, epochs, chance, **whose) for k in range(1, epochs + 1)]
    reported = {each.epoch: each.metrics["val_accuracy"] for each in records}
    rule, now = asked.space_of("x"), datetime.now()
    notes = {**ATTRIBUTES, "root": number, "queued_as": f"point {number}", "seed": number}
    training, narrow = narrowed([to_row(number + 1, record) for record in records])
    rows: dict[str, list[dict[str, Any]]] = {
        "trials": [{"number": number, "study_id": study_id, "state": "COMPLETE", "datetime_start": now}],
        "trial_params": [
            {
                "param_name": name,
                "param_value": rule[name].to_internal_repr(value),
                "distribution_json": distribution_to_json(rule[name]),
            }
            for name, value in point.items()
        ],
        "trial_values": [{"objective": 0, "value": reported[epochs], "value_type": "FINITE"}],
        "trial_user_attributes": [{"key": name, "value_json": json.dumps(value)} for name, value in notes.items()],
        "trial_intermediate_values": [
            {"step": step, "intermediate_value": value, "intermediate_value_type": "FINITE"}
            for step, value in reported.items()
        ],
        TRAININGS.name: [training],
        EPOCHS.name: narrow,
    }
    return {name: [{**row, "trial_id": number + 1} for row in some] for name, some in rows.items()}


class Cost(NamedTuple):
    """CPU-seconds of the parts of a trial."""

    ask: float
    sampler: float
    work: float


class Found(NamedTuple):
    """What was measured in a storage with one sampler."""

    median: Cost
    start: float
    """A new scheduler with its first ask, the sampler's time excluded."""
    first: float
    """The sampler's first point."""


class Bench:
    """A storage in which one trial after the other is handed out and run, by a scheduler that has read nothing yet."""

    def __init__(self, url: str, asked: Study, folder: Path) -> None:
        self.store, self.asked, self.options = Store(url), asked, Options(artifacts=folder)
        self.scheduler: Scheduler | None = None
        self.proposing = 0.0
        self.costs: list[Cost] = []

    def run(self) -> None:
        """Ask for a trial, and run it with a training that takes no time."""
        begin = CLOCK()
        self.scheduler = self.scheduler or Scheduler(self.asked, self.store)
        with mock.patch.object(self.store, "propose", self.propose):
            job = self.scheduler.next()
        assert job is not None, "the budget has no end"
        asked = CLOCK()
        with mock.patch.object(worker, "records", self.train):
            worker.work(self.asked, job, self.store, self.options, lambda event: None)
        self.costs.append(Cost(asked - begin - self.proposing, self.proposing, CLOCK() - asked))

    def propose(self, *args: Any, **more: Any) -> Any:
        begin = CLOCK()
        asked = Store.propose(self.store, *args, **more)
        self.proposing = CLOCK() - begin
        return asked

    def train(self, *args: Any, **more: Any) -> Iterator[Record]:
        epochs = self.asked.task.epochs
        yield from [measured(k, epochs, random.Random(k)) for k in range(1, epochs + 1)]

    def found(self) -> Found:
        usual = self.costs[2:]  # the first ones open files and load data
        medians = Cost(*(statistics.median(part) for part in zip(*usual, strict=True)))
        return Found(medians, self.costs[0].ask, self.costs[0].sampler)


def measure(urls: Sequence[str], asked: Study, folder: Path) -> list[Found]:
    """What each further trial takes in each of some storages, in CPU-seconds; they take turns."""
    benches = [Bench(url, asked, folder / str(k)) for k, url in enumerate(urls)]
    for _ in range(MEASURED + 2):
        for bench in benches:
            bench.run()
    for bench in benches:
        bench.store.close()
    return [bench.found() for bench in benches]


def on_disk(store: Store, epochs: int) -> list[tuple[str, float]]:
    """Bytes for each stored epoch: by what holds them, and of the whole file."""
    query = "SELECT name, SUM(pgsize) FROM dbstat GROUP BY name"
    with store.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        pages = dict(connection.exec_driver_sql(query).tuples().all())
    whole = sum(pages.values())
    reports = sum(size for name, size in pages.items() if "trial_intermediate_values" in name)
    parts = {
        "the row of an epoch (autoaug_epochs)": pages["autoaug_epochs"],
        "Optuna's row of its reported value, with its index": reports,
        "both": pages["autoaug_epochs"] + reports,
        "its share of all that is stored once for a trial": whole - pages["autoaug_epochs"] - reports,
        "the whole file": whole,
    }
    return [(what, size / epochs) for what, size in parts.items()]


def row(sampler: str, trials: int, epochs: int, found: Found, smallest: Found) -> str:
    """A row of the table of times."""
    cells = [f"{mine:.3f} | {mine / least:.2f}" for mine, least in zip(found.median, smallest.median, strict=True)]
    share = sum(found.median) / (epochs * EPOCH_SECONDS)
    return f"| {sampler} | {trials:,} | {' | '.join(cells)} | {share:.1%} | {found.start:.2f} | {found.first:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 10000], help="stored before")
    parser.add_argument("--epochs", type=int, default=100, help="of each of them, and of those that are measured")
    parser.add_argument("--samplers", nargs="+", default=["random", "tpe"])
    parser.add_argument(
        "--write", type=Path, metavar="MARKDOWN", help="where the tables go; else they are printed only"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    versions = f"SQLite {sqlite_version()}, optuna {optuna.__version__}, Python {platform.python_version()}, 1 thread"
    lines = [
        "# What a trial costs beside its training",
        "",
        f"{versions}, {time.strftime('%Y-%m-%d')}. Load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores. "
        f"Trials of {given.epochs} epochs; CPU-seconds. `benchmarks/overhead.py` says what the columns are.",
        "",
        "| sampler | stored trials | ask | x | sampler | x | work | x | share | start | first |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    sizes: list[tuple[str, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        urls = [f"sqlite:///{folder / str(trials)}.db" for trials in given.trials]
        for url, trials in zip(urls, given.trials, strict=True):
            store = Store(url)
            fill(store, study("random", given.epochs), trials)
            sizes = on_disk(store, trials * given.epochs)
            store.close()
        for sampler in given.samplers:
            found = measure(urls, study(sampler, given.epochs), folder / sampler)
            pairs = zip(given.trials, found, strict=True)
            lines += [row(sampler, trials, given.epochs, each, found[0]) for trials, each in pairs]
    print("\n".join(lines))
    table = ["", f"Bytes for each of {given.trials[-1] * given.epochs:,} stored epochs:", "", "| what | bytes |"]
    table += ["|---|---:|", *(f"| {what} | {size:.1f} |" for what, size in sizes)]
    print("\n".join(table))
    if given.write:
        given.write.write_text("\n".join([*lines, *table]) + "\n")


def sqlite_version() -> str:
    with sqlalchemy.create_engine("sqlite://").connect() as connection:
        return str(connection.scalar(sqlalchemy.text("select sqlite_version()")))


if __name__ == "__main__":
    sys.exit(main())
