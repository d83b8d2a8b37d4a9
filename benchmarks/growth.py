"""What does a large study cost whoever looks at it? `autoaug compare`, its page, and `autoaug storage --compact`.

A study of three strategies is filled with so many complete trials of so many epochs, with the attributes that a worker
leaves, and three final runs of each strategy. Then the commands run in processes of their own.

    seconds    on the clock, from the call to the end of the process; beside them CPU-seconds
    memory     the most that the process held at once, in MiB: `import autoaug` and what it stands on included
    page       MB of the page, and how much of that is not Plotly's own script

The goal: `compare` of 10,000 trials of 100 epochs in 5 seconds and 300 MB. Where the load is above the number of cores,
seconds on the clock hold the waiting for other processes, and CPU-seconds say more. Run from the root of the checkout:

    python -m benchmarks.growth --trials 100 1000 10000 --write benchmarks/results/growth-cpu.md
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import sqlalchemy
from optuna.distributions import FloatDistribution, IntDistribution, distribution_to_json
from optuna.trial import TrialState

from autoaug import Budget, Record, Study, Task
from autoaug.execution import Scheduler
from autoaug.record import LEADERBOARD, TrialKind
from autoaug.store import Store
from autoaug.store._epochs import narrowed, to_row
from autoaug.store._schema import EPOCHS as EPOCH_ROWS
from autoaug.store._schema import TRAININGS
from autoaug.strategies import Space, none, randaugment, trivialaugment

FINAL_RUNS = 3
AT_ONCE = 250
"""Trials whose rows are written together."""
STANDARD_ATTRIBUTES = {
    "attempt": 1,
    "worker": "node-17:4242:0",
    "driver": "node-0:17",
    "versions": {"python": "3.11.7", "autoaug": "0.1.0", "torch": "2.9.0", "torchvision": "0.24.0", "optuna": "5.0.0"},
    "git_commit": "0123456789ab",
    "space": "0123456789abcdef",
    "device": "NVIDIA H100 80GB HBM3",
    "data": "fedcba9876543210",
    "val_images": 5000,
    "standard": {"pad": 4, "flip": True},
    "applied": {f"policy.op {k}": {"probability": 0.5, "strength": [0.1 * k, 0.2 * k]} for k in range(16)},
    "peak_gpu_bytes": 2**33,
}
"""Of every trial, those that say what it is apart."""


def study(trials: int, epochs: int) -> Study:
    return Study(
        name="growth",
        task=Task(data="digits", model="convnet", epochs=epochs, device="cpu"),
        space={"task.refine_epochs": IntDistribution(0, 1), "mix.alpha": FloatDistribution(0.01, 1, log=True)},
        strategies={"none": none(), "trivialaugment": trivialaugment(), "randaugment": randaugment()},
        budget=Budget(trials=-(-trials // 3)),
        seeds=FINAL_RUNS,
    )


def training(asked: Study, epochs: int, luck: float, **whose: Any) -> Iterator[Record]:
    """The epochs of a trial that gets better and better, as far as its luck goes."""
    final = whose.get("kind") is TrialKind.FINAL
    for number in range(1, epochs + 1):
        score = luck * number / (number + 5)
        metrics = {"train_loss": 2 - score, "lr": 0.1, "val_accuracy": score, "val_nll": 2 - score, "val_ece": 0.1}
        if final:
            metrics |= {"test_accuracy": score, "test_nll": 2 - score, "test_ece": 0.1}
        yield Record(
            study=asked.name,
            epoch=number,
            phase="augment",
            metrics=metrics,
            gpu_seconds=0.5,
            wall_seconds=0.5,
            images=50_000,
            **whose,
        )


class Filler:
    """Writes trials that have ended, many at a time: each through the storage's own methods would take hours."""

    def __init__(self, store: Store, asked: Study, epochs: int) -> None:
        self.store, self.asked, self.epochs = store, asked, epochs
        Scheduler(asked, store)
        names = ("trials", "trial_params", "trial_values", "trial_user_attributes", "trial_intermediate_values")
        self.tables = {
            name: sqlalchemy.Table(name, sqlalchemy.MetaData(), autoload_with=store.engine) for name in names
        }
        self.next_id, self.random = 1, random.Random(0)

    def fill(self, trials: int) -> None:
        """Write so many trials of searches, one of each strategy after the other, and the final runs."""
        strategies = list(self.asked.strategies)
        for start in range(0, trials, AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, trials))
            self.write([self.search(strategies[k % len(strategies)], k // len(strategies)) for k in numbers])
        order = [(strategy, seed) for strategy in strategies for seed in range(FINAL_RUNS)]
        self.write([self.final(strategy, seed, number) for number, (strategy, seed) in enumerate(order)])

    def search(self, strategy: str, number: int) -> dict[str, list[dict[str, Any]]]:
        """A trial of a search."""
        space, luck = self.asked.space_of(strategy), self.random.uniform(0.5, 0.9)
        records = list(training(self.asked, self.epochs, luck, strategy=strategy, trial=number, seed=number))
        rows = self.rows(strategy, number, records, [records[-1].metrics["val_accuracy"]], {"root": number})
        return rows | {"trial_params": list(self.point(space, rows["trials"][0]["trial_id"]))}

    def final(self, strategy: str, seed: int, number: int) -> dict[str, list[dict[str, Any]]]:
        """A final run."""
        luck = self.random.uniform(0.7, 0.9)
        kind = TrialKind.FINAL
        records = list(training(self.asked, self.epochs, luck, strategy=strategy, trial=number, seed=seed, kind=kind))
        values = [records[-1].metrics["test_accuracy"], 0.5 * self.epochs]
        rows = self.rows(LEADERBOARD, number, records, values, {"final_run": seed, "point": {}, "source": 0})
        strategies = optuna.distributions.CategoricalDistribution(list(self.asked.strategies))
        own = {"strategy": (float(list(self.asked.strategies).index(strategy)), distribution_to_json(strategies))}
        return rows | {"trial_params": params(rows["trials"][0]["trial_id"], own)}

    def rows(
        self, substudy: str, number: int, records: Sequence[Record], values: Sequence[float], own: dict[str, Any]
    ) -> dict[str, list[dict[str, Any]]]:
        """The rows of a complete trial, by table; without its point."""
        trial, self.next_id = self.next_id, self.next_id + 1
        study_id = self.store.optuna.get_study_id_from_name(f"{self.asked.name}/{substudy}")
        now = datetime.now()
        last = records[-1]
        trained, epochs = narrowed([to_row(trial, record) for record in records])
        attributes = STANDARD_ATTRIBUTES | own | {"seed": last.seed, "epochs": len(records)} | dict(last.metrics)
        return {
            "trials": [
                {
                    "trial_id": trial,
                    "number": number,
                    "study_id": study_id,
                    "state": TrialState.COMPLETE.name,
                    "datetime_start": now,
                    "datetime_complete": now,
                }
            ],
            "trial_values": [
                {"trial_id": trial, "objective": k, "value": value, "value_type": "FINITE"}
                for k, value in enumerate(values)
            ],
            "trial_user_attributes": [
                {"trial_id": trial, "key": name, "value_json": json.dumps(value)} for name, value in attributes.items()
            ],
            "trial_intermediate_values": [
                {
                    "trial_id": trial,
                    "step": record.epoch,
                    "intermediate_value": record.metrics["val_accuracy"],
                    "intermediate_value_type": "FINITE",
                }
                for record in records
            ],
            "trainings": [trained],
            "epochs": epochs,
        }

    def point(self, space: Space, trial: int) -> Iterator[dict[str, Any]]:
        """The rows of a random point."""
        for name, rule in space.items():
            assert isinstance(rule, IntDistribution | FloatDistribution)
            whole = isinstance(rule, IntDistribution)
            value = (self.random.randint if whole else self.random.uniform)(rule.low, rule.high)
            yield from params(trial, {name: (float(value), distribution_to_json(rule))})

    def write(self, trials: Iterable[dict[str, list[dict[str, Any]]]]) -> None:
        """Write the rows of some trials in one transaction."""
        together: dict[str, list[dict[str, Any]]] = {}
        for rows in trials:
            for name, each in rows.items():
                together.setdefault(name, []).extend(each)
        with self.store.engine.begin() as connection:
            connection.execute(TRAININGS.insert(), together.pop("trainings"))
            connection.execute(EPOCH_ROWS.insert(), together.pop("epochs"))
            for name, table in self.tables.items():
                if rows := together.get(name):
                    connection.execute(table.insert(), rows)


def params(trial: int, values: dict[str, tuple[float, str]]) -> list[dict[str, Any]]:
    return [
        {"trial_id": trial, "param_name": name, "param_value": value, "distribution_json": rule}
        for name, (value, rule) in values.items()
    ]


class Cost(NamedTuple):
    """What a command took."""

    seconds: float
    cpu_seconds: float
    mebibytes: float

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s | {self.cpu_seconds:.1f} s | {self.mebibytes:,.0f} MiB"


LAUNCHER = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(code, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""
"""A small process in between: what a process had held before it became another counts as that one's memory."""


def call(folder: Path, *arguments: str) -> Cost:
    """Run a command of autoaug in a process of its own."""
    command = [sys.executable, "-c", LAUNCHER, sys.executable, "-m", "autoaug", *arguments]
    start = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    said = subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
    seconds = time.perf_counter() - start
    code, cpu_seconds, most = said.split()
    if int(code):
        raise RuntimeError(f"autoaug {' '.join(arguments)} ended with {code}")
    kilobytes = 1 if sys.platform == "darwin" else 1024
    return Cost(seconds, float(cpu_seconds), int(most) * kilobytes / 2**20)


def measure(trials: int, epochs: int) -> Iterator[str]:
    """The lines of one size of study."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = Store(f"sqlite:///{folder}/autoaug.db")
        Filler(store, study(trials, epochs), epochs).fill(trials)
        store.close()
        size, file = f"{trials:,} | {epochs}", folder / "autoaug.db"
        yield f"| {size} | compare | {call(folder, 'compare', 'growth')} | {megabytes(file)} |"
        yield f"| {size} | compare --json | {call(folder, 'compare', 'growth', '--json')} | |"
        cost, page = call(folder, "compare", "growth", "--html", "page.html"), (folder / "page.html").stat().st_size
        own = page - (resources.files("plotly") / "package_data" / "plotly.min.js").stat().st_size
        yield f"| {size} | compare --html | {cost} | page {page / 1e6:.1f} MB, {own / 1e6:.2f} of it not Plotly's |"
        yield f"| {size} | storage --compact | {call(folder, 'storage', '--compact')} | {megabytes(file)} after it |"
        yield f"| {size} | compare, after it | {call(folder, 'compare', 'growth')} | |"


def megabytes(path: Path) -> str:
    return f"file {path.stat().st_size / 1e6:,.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", default=[100, 1000, 10000], help="of all searches together")
    parser.add_argument("--epochs", type=int, default=100, help="of each trial")
    parser.add_argument("--write", type=Path, metavar="MARKDOWN", help="where the table goes; else it is printed only")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    lines = [
        "# What a large study costs whoever looks at it",
        "",
        f"SQLite {sqlite_version()}, optuna {optuna.__version__}, Python {platform.python_version()}, "
        f"{time.strftime('%Y-%m-%d')}. Load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores. "
        "`benchmarks/growth.py` says what the columns are.",
        "",
        "| trials | epochs | command | seconds | CPU | memory | |",
        "|---:|---:|---|---:|---:|---:|---|",
    ]
    print("\n".join(lines), flush=True)
    for trials in given.trials:
        for line in measure(trials, given.epochs):
            lines.append(line)
            print(line, flush=True)
    if given.write:
        given.write.write_text("\n".join(lines) + "\n")


def sqlite_version() -> str:
    with sqlalchemy.create_engine("sqlite://").connect() as connection:
        return str(connection.scalar(sqlalchemy.text("select sqlite_version()")))


if __name__ == "__main__":
    sys.exit(main())
