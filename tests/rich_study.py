"""A stored study in which everything is found that a trial can be, with more epochs than anybody looks at."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from postgres_server import postgres
from studies_for_tests import tiny

from autoaug import Record, Study
from autoaug.record import LEADERBOARD, TrialKind
from autoaug.store import Store, id_of_trial
from autoaug.store._epochs import write
from autoaug.strategies import none, randaugment

ORIGIN = {
    "seed": 7,
    "git_commit": "abc",
    "data": "0123",
    "device": "a CPU",
    "standard": {"pad": 2, "flip": True},
    "versions": {"torch": "2.0", "autoaug": "0.1.0"},
    "val_images": 100,
    "applied": {"much": list(range(100))},
}
TRIALS = 12
"""Of each search, and of these one fails and one is pruned."""
SPACE: dict[str, BaseDistribution] = {
    "task.refine_epochs": IntDistribution(0, 9, step=3),
    "mix.alpha": FloatDistribution(0.01, 1.0, log=True),
    "mix.kind": CategoricalDistribution((None, "mixup", 0.5, True)),
}
POINTS: list[dict[str, Any]] = [
    {"task.refine_epochs": 3 * (k % 4), "mix.alpha": 0.01 * (k + 1), "mix.kind": (None, "mixup", 0.5, True)[k % 4]}
    for k in range(TRIALS)
]


def rich(name: str = "rich") -> Study:
    strategies = {"none": none(), "ra": randaugment(), "proxy": randaugment().proxied(epochs=1)}
    return tiny(name=name, strategies=strategies)


def write_rich(store: Store, epochs: int = 12, name: str = "rich") -> Study:
    """Fill a storage with it; all of its trials have ended."""
    study = rich(name)
    store.define(name, study.describe() | {"predicted_seconds": {"ra": 3.0}})
    for strategy in study.strategies:
        for number in range(TRIALS):
            write_trial(store, study, strategy, number, epochs)
    write_retries(store, study, epochs)
    reruns = store.open(name, "proxy/full", "maximize")
    store.enqueue_rerun(reruns, store.trials(name, "proxy")[0])
    finish(store, study, "proxy/full", "proxy", epochs, kind=TrialKind.RERUN)
    for seed in range(2):
        for strategy in study.strategies:
            store.enqueue_final(name, strategy, seed, POINTS[0], 0)
            finish(store, study, LEADERBOARD, strategy, epochs, kind=TrialKind.FINAL)
    return study


def write_trial(store: Store, study: Study, strategy: str, number: int, epochs: int) -> None:
    """A trial of a search: one fails, one is pruned, the others are complete."""
    search = store.open(study.name, strategy, study.direction)
    search.enqueue_trial(POINTS[number])
    trial = search.ask(SPACE)
    ours = id_of_trial(trial)
    store.annotate(ours, **ORIGIN, **({"unapplied": ["mix.alpha"]} if number == 4 else {}))
    state, done = {5: (TrialState.FAIL, 3), 6: (TrialState.PRUNED, 7)}.get(number, (TrialState.COMPLETE, epochs))
    if number == 7:
        store.annotate(ours, warning="a checkpoint could not be read")
    records = list(training(study, strategy, number, done, peak=number % 7 + 2))
    for record in records if strategy == "ra" and number < 3 else ():
        store.report(ours, record.epoch, record.metrics["val_accuracy"])
    write_all(store, ours, records)
    store.conclude(ours, state, "broke" if state == TrialState.FAIL else "", ["val_accuracy"])


def write_retries(store: Store, study: Study, epochs: int) -> None:
    """A trial that was lost twice, and another one that nobody has tried yet but that was given up."""
    search = store.open(study.name, "none", study.direction)
    search.enqueue_trial(POINTS[0])
    lost = id_of_trial(search.ask(SPACE))
    store.write_epoch(
        lost, Record(study=study.name, strategy="none", trial=TRIALS, epoch=0, phase="augment", gpu_seconds=2)
    )
    store.requeue(search, lost, "its node went away")
    store.claim(id_of_trial(store.trials(study.name, "none")[-1]))
    store.requeue(search, id_of_trial(store.trials(study.name, "none")[-1]), "and again")
    finish(store, study, "none", "none", epochs)
    store.enqueue_point(search, 99)
    empty = id_of_trial(store.trials(study.name, "none")[-1])
    store.claim(empty)
    store.conclude(empty, TrialState.FAIL, "never began")


def finish(store: Store, study: Study, substudy: str, strategy: str, epochs: int, **more: Any) -> None:
    """Train what was queued last; a final run is deployed too, and all of them read the test split."""
    last = store.trials(study.name, substudy)[-1]
    ours = id_of_trial(last)
    store.claim(ours)
    store.annotate(ours, **ORIGIN)
    final = more.get("kind") is TrialKind.FINAL
    for name in ("", "last_policy") if final else ("",):
        write_all(store, ours, training(study, strategy, last.number, epochs, peak=epochs, training=name, **more))
    objectives = store.final_objectives(study.name) if final else ["val_accuracy"]
    store.conclude(ours, TrialState.COMPLETE, "", objectives)


def write_all(store: Store, trial_id: int, records: Iterable[Record]) -> None:
    """Write epochs in one transaction, which is what takes time."""
    with store.engine.begin() as connection:
        for record in records:
            write(connection, trial_id, record)


def training(study: Study, strategy: str, trial: int, epochs: int, peak: int, **more: Any) -> Iterator[Record]:
    """Epochs of which one in the middle is the best, the last three of refinement; seconds are eighths."""
    for epoch in range(1, epochs + 1):
        score = round(0.5 + trial / 100 - abs(epoch - peak) / 1000, 6)
        yield Record(
            study=study.name,
            strategy=strategy,
            trial=trial,
            epoch=epoch,
            phase="augment" if epoch <= epochs - 3 else "refine",
            metrics={"val_accuracy": score, "val_nll": 1 - score, "test_accuracy": score, "test_nll": 1 - score},
            policy={"epoch": epoch} if epoch <= epochs - 3 else None,
            gpu_seconds=epoch / 8,
            wall_seconds=epoch / 4,
            images=1000 + epoch,
            **more,
        )


@contextmanager
def rich_server() -> Iterator[str]:
    """The URL of a PostgreSQL server that holds it, for as long as the block runs."""
    with postgres() as server:
        store = Store(server.url)
        write_rich(store)
        store.close()
        yield server.url
