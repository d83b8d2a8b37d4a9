"""Running a study: locally or on Ray, with the same desk, the same worker and the same storage."""

from collections.abc import Callable, Sequence

from autoaug.lookup import lookup
from autoaug.store import Store
from autoaug.study import Study, preflight
from autoaug.sweep.desk import Desk
from autoaug.sweep.job import Event, Job, Listen
from autoaug.sweep.local import run_local
from autoaug.sweep.options import Options

__all__ = ["EXECUTORS", "Desk", "Event", "Job", "Options", "is_over", "run"]


def run_ray(desk: Desk, options: Options, listen: Listen) -> None:
    """As Ray Tune trials. Ray is imported here and no earlier: a local run does not wait for it."""
    from autoaug.sweep.ray_tune import run_ray

    run_ray(desk, options, listen)


EXECUTORS: dict[str, Callable[[Desk, Options, Listen], None]] = {"local": run_local, "ray": run_ray}


def ignore(event: Event) -> None:
    """The listener of those who do not listen."""


def run(
    study: Study,
    store: Store,
    executor: str = "local",
    options: Options | None = None,
    listen: Listen = ignore,
) -> None:
    """Run a study to its end, or go on with one that was interrupted.

    All that is found is in the storage when this returns, and at any moment before.

    Raises:
        ValueError: the study cannot run as it is defined; nothing was written.
        KeyboardInterrupt: after the running trials were queued again.
    """
    execute = lookup(EXECUTORS, executor, "executor")
    options = options or Options()
    check_only(study, options.only)
    preflight(study)
    execute(Desk(study, store, options.only), options, listen)


def is_over(study: Study, store: Store, only: Sequence[str] = ()) -> bool:
    """Whether nothing is left to run: a finished study says so at once."""
    check_only(study, only)
    return store.definition(study.name) is not None and Desk(study, store, only).over()


def check_only(study: Study, only: Sequence[str]) -> None:
    for name in only:
        lookup(study.strategies, name, f"strategy of study {study.name!r}")
