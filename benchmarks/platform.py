"""What does the platform cost: until the first epoch, with many workers, and where trials share a GPU?

    start      from the call `autoaug run` to the first trial, and to the first epoch that is in the storage: with the
               local executor, with Ray that starts a cluster of its own (cold), and on a cluster that runs (warm)
    workers    trials per second of so many drivers at once, whose trials train nothing: each is asked for, reports two
               epochs, and ends; on SQLite, and on PostgreSQL where a server is given
    sharing    images per second of so many trainings at once on one device, against one alone

What one trial costs beside its training, at 100 to 10,000 stored trials, is in `benchmarks/overhead.py`.
Run from the root of the checkout:

    python -m benchmarks.platform --quick
    python -m benchmarks.platform --postgres env:URL --write benchmarks/results/platform-cpu.md
    python -m benchmarks.platform --only sharing --device cuda --model wrn-28-2 --data cifar.npz --write FILE
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from autoaug import Budget, Record, Study, Task
from autoaug.execution import Job, Scheduler, process_name
from autoaug.mixing import build as build_mix
from autoaug.policy import Fixed, ready
from autoaug.record import TrialKind
from autoaug.store import Store
from autoaug.strategies import none, randaugment
from autoaug.train import train

EPOCHS = 2
"""That a trial without training reports."""

STUDY = """
from autoaug import Budget, Study, Task
from autoaug.strategies import none, randaugment

study = Study(
    name="start",
    task=Task(data="digits-rotated", model="convnet", epochs=2, device="cpu"),
    strategies={"none": none()},
    budget=Budget(trials=1),
    seeds=1,
)
"""

MULTIPROCESSING = multiprocessing.get_context("forkserver")
MULTIPROCESSING.set_forkserver_preload(
    ["autoaug.executors", "autoaug.train"]
)  # torch is imported once, not by every process


# Many workers


def many(trials: int) -> Study:
    """A study of two strategies that make so many trials between them, and two final runs each."""
    return Study(
        name="many",
        task=Task(data="digits-rotated", model="convnet", epochs=EPOCHS),
        space={"mix.alpha": FloatDistribution(0, 1)},
        strategies={"none": none(), "randaugment": randaugment()},
        budget=Budget(trials=trials // 2),
        seeds=2,
    )


def pretend(store: Store, job: Job) -> None:
    """What a worker writes about a trial, without its work."""
    store.beat(job.trial_id, process_name())
    for number in range(1, EPOCHS + 1):
        if not store.report(job.trial_id, number, 0.5):
            return
        whose = {"study": "many", "strategy": job.strategy, "trial": job.number, "attempt": job.attempt}
        measured = Record(**whose, epoch=number, phase="augment", kind=job.kind, metrics={"val_accuracy": 0.5})
        store.write_epoch(job.trial_id, measured)
    store.finish(job.trial_id, TrialState.COMPLETE, [0.5, 1.0] if job.kind is TrialKind.FINAL else [job.root / 1e6])


def drive(reference: str, trials: int, slots: int) -> None:
    """One driver: it asks for a trial whenever one of its slots is free, until all is over."""
    store = Store(reference)
    scheduler, running = Scheduler(many(trials), store), set[Future[None]]()
    with ThreadPoolExecutor(slots) as pool:
        while running or not scheduler.over():
            job = scheduler.next() if len(running) < slots else None
            if job:
                running.add(pool.submit(pretend, store, job))
            elif running:
                done, running = wait(running, timeout=1, return_when=FIRST_COMPLETED)
                for each in done:
                    each.result()
            else:
                time.sleep(0.1)
    store.close()


def drive_together(reference: str, drivers: int, slots: int, trials: int) -> list[int | None]:
    """Run a study with so many drivers at once; returns their exit codes."""
    Store(reference).close()  # its tables are there before they race
    processes = [MULTIPROCESSING.Process(target=drive, args=(reference, trials, slots)) for _ in range(drivers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def workers(counts: Sequence[int], trials: int, postgres: str | None) -> Iterator[str]:
    """Trials per second by the number of workers."""
    yield "| storage | workers | trials | seconds | trials/s |"
    yield "|---|---:|---:|---:|---:|"
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            storages = {"SQLite": f"sqlite:///{folder}/x.db"} | ({"PostgreSQL": postgres} if postgres else {})
            for name, reference in storages.items():
                start = time.perf_counter()
                codes = drive_together(reference, count, 1, trials)
                seconds = time.perf_counter() - start
                store = Store(reference)
                made = sum(outcome.state == "COMPLETE" for outcome in store.outcomes("many"))
                store.archive("many")
                store.close()
                assert set(codes) == {0}, codes
                assert made == trials + 4, f"{made} of {trials + 4} trials"
                yield f"| {name} | {count} | {made} | {seconds:.1f} | {made / seconds:.1f} |"


# The first epoch


def first_epoch(*arguments: str) -> tuple[float, float]:
    """Seconds from the call to the begin of the first trial, and to its first epoch in the storage."""
    with tempfile.TemporaryDirectory(prefix="aa", ignore_cleanup_errors=True) as folder:
        (Path(folder) / "start.py").write_text(STUDY)
        command = [sys.executable, "-m", "autoaug", "run", "start.py", "--storage", "sqlite:///x.db", "--json"]
        start = time.perf_counter()
        with subprocess.Popen([*command, *arguments], cwd=folder, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            begun = 0.0
            for line in process.stdout:
                said = json.loads(line)
                begun = begun or (time.perf_counter() - start if said.get("state") == "RUNNING" else 0.0)
                if said.get("record"):
                    reported = time.perf_counter() - start
                    process.stdout.read()
                    return begun, reported
    raise RuntimeError(f"no epoch was reported with {arguments}")


def start(rounds: int) -> Iterator[str]:
    """Seconds to the first trial and to its first epoch, best of some rounds."""
    yield "| executor | first trial, s | first epoch, s |"
    yield "|---|---:|---:|"
    for name, arguments in {"local": (), "Ray, cold": ("--executor", "ray")}.items():
        yield start_row(name, [first_epoch(*arguments) for _ in range(rounds)])
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    try:
        warm = ("--executor", "ray", "--address", cluster.address)
        first_epoch(*warm)
        yield start_row("Ray, warm", [first_epoch(*warm) for _ in range(rounds)])
    finally:
        cluster.shutdown()


def start_row(name: str, found: Sequence[tuple[float, float]]) -> str:
    begun, reported = (min(each) for each in zip(*found, strict=True))
    return f"| {name} | {begun:.1f} | {reported:.1f} |"


# Trials that share a device


def train_beside(task: Task, barrier: Any, finished: Any) -> None:
    """One training of several: after a first epoch that warms up, all start together. Says images and when it ended."""
    torch.set_num_threads(1)
    records = train(task, Fixed(ready.trivialaugment()), build_mix("none"))
    next(records)
    barrier.wait()
    start = time.monotonic()
    images = sum(record.images for record in records)
    finished.put((images, start, time.monotonic()))


def sharing(task: Task, counts: Sequence[int]) -> Iterator[str]:
    """Images per second, summed over trainings that run at once on one device."""
    yield "| trials at once | images/s, summed | against one alone |"
    yield "|---:|---:|---:|"
    alone = 0.0
    for count in counts:
        barrier, finished = MULTIPROCESSING.Barrier(count), MULTIPROCESSING.Queue()
        processes = [MULTIPROCESSING.Process(target=train_beside, args=(task, barrier, finished)) for _ in range(count)]
        for process in processes:
            process.start()
        ends = [finished.get(timeout=3600) for _ in processes]
        for process in processes:
            process.join()
        seconds = max(end for _, _, end in ends) - min(start for _, start, _ in ends)
        speed = sum(images for images, _, _ in ends) / seconds
        alone = alone or speed
        yield f"| {count} | {speed:,.0f} | {speed / alone:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", choices=["start", "workers", "sharing"], nargs="+", default=["start", "workers", "sharing"]
    )
    parser.add_argument("--quick", action="store_true", help="small enough to see that it works")
    parser.add_argument("--postgres", metavar="REFERENCE", help="a server to measure too, such as env:URL")
    parser.add_argument("--trials", type=int, default=120, help="that the workers make between them")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", default="convnet")
    parser.add_argument("--data", default="digits", help="a dataset's name, or an .npz file")
    parser.add_argument("--epochs", type=int, default=30, help="of the trainings that share a device")
    parser.add_argument(
        "--write", type=Path, metavar="MARKDOWN", help="where the tables go; else they are printed only"
    )
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    shared = Task(data=given.data, model=given.model, epochs=3 if given.quick else given.epochs, device=given.device)
    tables = {
        "start": ("Seconds until something is trained", start(1 if given.quick else 3)),
        "workers": (
            "Trials per second without training",
            workers((1, 2) if given.quick else (1, 8, 32), 8 if given.quick else given.trials, given.postgres),
        ),
        "sharing": (
            f"Trials that share a device: {given.model} on {given.data}, {given.device}",
            sharing(shared, (1, 2) if given.quick else (1, 2, 4, 8)),
        ),
    }
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "optuna", "ray", "sqlalchemy"))
    lines = [
        "# What the platform costs",
        "",
        f"{packages}, {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores. `benchmarks/platform.py` says what is what.",
    ]
    for name in given.only:
        title, rows = tables[name]
        lines += ["", f"## {title}", "", f"Load average before: {os.getloadavg()[0]:.1f}.", ""]
        print("\n".join(lines[-5:]), flush=True)
        for row in rows:
            lines.append(row)
            print(row, flush=True)
    if given.write:
        given.write.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
