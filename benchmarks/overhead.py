"""What does a trial cost beside its training? Ask, thirty reported epochs, tell, on SQLite.

A study of one strategy is filled with so many complete trials of thirty epochs. Then a scheduler hands out further
trials, and the worker runs them with a training that takes no time, so that all the time that passes is the
platform's: the proposal, the lease, every epoch's report and row, checks of budget and pruning, provenance, the
end of the trial.

    next     the scheduler decides what is next, and the sampler proposes a point
    work     the worker's part, thirty epochs
    share    both, of a trial whose training takes thirty seconds; the goal is 2 % at 1,000 trials

CPU-seconds of this process, which a busy machine changes little, and seconds on the clock, which hold the waiting for
the disk and, where the load is above the number of cores, for other processes. Medians over the trials of one run. Run
from the root of the checkout.

    python -m benchmarks.overhead --trials 100 1000 --write benchmarks/results/overhead-cpu.md
"""

import argparse
import os
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import optuna
import sqlalchemy
import torch
from optuna.trial import FrozenTrial, TrialState, create_trial

from autoaug import Budget, Record, Study, Task
from autoaug.execution import Options, Scheduler
from autoaug.execution import _worker as worker
from autoaug.store import Store
from autoaug.store._epoch_table import to_row
from autoaug.store._schema import EPOCHS as EPOCH_ROWS
from autoaug.strategies import Space, randaugment

TRAINING = 30.0
"""Seconds that the trials are compared with."""
EPOCHS = 30
MEASURED = 7
"""Trials of which the median is taken."""


def study(sampler: str) -> Study:
    return Study(
        name="overhead",
        task=Task(data="digits-100", model="convnet", epochs=EPOCHS, device="cpu"),
        strategies={"x": randaugment(sampler)},
        budget=Budget(trials=10**6, gpu_seconds=10.0**9),
    )


def epoch(number: int, **more: Any) -> Record:
    metrics = {"train_loss": 0.5, "lr": 0.1, "val_accuracy": 0.5 + number / 100, "val_nll": 1.0}
    return Record(epoch=number, phase="augment", metrics=metrics, gpu_seconds=1.0, images=100, **more)


def instant(*args: Any, **more: Any) -> Iterator[Record]:
    """A training that takes no time."""
    return (epoch(number) for number in range(1, EPOCHS + 1))


def fill(store: Store, asked: Study, trials: int) -> None:
    """So many complete trials at random points, with their epochs, which are many: they go in at once."""
    Scheduler(asked, store)
    search = store.open(asked.name, "x", asked.direction)
    points, rule = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)), asked.space_of("x")
    ids = [
        store.optuna.create_new_trial(search._study_id, template_trial=complete(points.ask(rule).params, rule, number))
        for number in range(trials)
    ]
    numbers = range(1, EPOCHS + 1)
    rows = [
        to_row(trial_id, epoch(k, study=asked.name, strategy="x", trial=number))
        for number, trial_id in enumerate(ids)
        for k in numbers
    ]
    reported = [
        {"trial_id": trial_id, "step": k, "intermediate_value": 0.5 + k / 100, "intermediate_value_type": "FINITE"}
        for trial_id in ids
        for k in numbers
    ]
    reports = sqlalchemy.Table("trial_intermediate_values", sqlalchemy.MetaData(), autoload_with=store.engine)
    with store.engine.begin() as connection:
        connection.execute(EPOCH_ROWS.insert(), rows)
        connection.execute(reports.insert(), reported)


def complete(point: dict[str, Any], rule: Space, number: int) -> FrozenTrial:
    trial = create_trial(
        state=TrialState.COMPLETE,
        value=number % 97 / 100,
        params=point,
        distributions=rule,
        user_attrs={"attempt": 1, "root": number, "seed": number, "epochs": EPOCHS},
    )
    trial.datetime_start = trial.datetime_complete = datetime.now()
    return trial


class Seconds(NamedTuple):
    """Of `next` and of `work`, on one of the clocks."""

    next: float
    work: float

    @property
    def share(self) -> str:
        return f"{(self.next + self.work) / TRAINING:.1%}"


def measure(store: Store, asked: Study, folder: Path) -> list[Seconds]:
    """What each further trial takes, in CPU-seconds and on the clock: medians."""
    scheduler, options = Scheduler(asked, store), Options(artifacts=folder)
    clocks = (time.process_time, time.perf_counter)
    found: list[list[Seconds]] = [[] for _ in clocks]
    with mock.patch.object(worker, "train", instant):
        for _ in range(MEASURED + 1):
            start = [clock() for clock in clocks]
            job = scheduler.next()
            assert job is not None, "the budget has no end"
            between = [clock() for clock in clocks]
            worker.work(asked, job, store, options, lambda event: None)
            end = [clock() for clock in clocks]
            for k in range(len(clocks)):
                found[k].append(Seconds(between[k] - start[k], end[k] - between[k]))
    # the first one opens files and loads data
    return [Seconds(*(statistics.median(part) for part in zip(*each[1:], strict=True))) for each in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 10000], help="stored before")
    parser.add_argument("--samplers", nargs="+", default=["random", "tpe"])
    parser.add_argument("--write", type=Path, metavar="MARKDOWN", help="where the table goes; else it is printed only")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    versions = f"SQLite {sqlite_version()}, optuna {optuna.__version__}, Python {platform.python_version()}, 1 thread"
    lines = [
        "# What a trial costs beside its training",
        "",
        f"{versions}, {time.strftime('%Y-%m-%d')}. Load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores. "
        "`benchmarks/overhead.py` says what the columns are.",
        "",
        "| sampler | stored trials | next, CPU s | work, CPU s | share | next, s | work, s | share |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    print("\n".join(lines), flush=True)
    for trials in given.trials:
        with tempfile.TemporaryDirectory() as folder:
            store = Store(f"sqlite:///{folder}/overhead.db")
            fill(store, study("random"), trials)
            for sampler in given.samplers:
                found = measure(store, study(sampler), Path(folder))
                cells = [cell for each in found for cell in (f"{each.next:.3f}", f"{each.work:.3f}", each.share)]
                lines.append(f"| {sampler} | {trials:,} | {' | '.join(cells)} |")
                print(lines[-1], flush=True)
            store.close()
    if given.write:
        given.write.write_text("\n".join(lines) + "\n")


def sqlite_version() -> str:
    with sqlalchemy.create_engine("sqlite://").connect() as connection:
        return str(connection.scalar(sqlalchemy.text("select sqlite_version()")))


if __name__ == "__main__":
    sys.exit(main())
