"""How far a study has come: whether anything is left to run, and whether its final runs are of its best points."""

from collections.abc import Sequence

from autoaug.execution._scheduling import Scheduler
from autoaug.lookup import suggest
from autoaug.store import Store, refuse_contradiction
from autoaug.study import Study, complete_definition


def outdated(study: Study, store: Store, only: Sequence[str] = ()) -> list[str]:
    """Return the strategies of which a better point was found after their final runs, which stay as they were."""
    return Scheduler(study, store, only).outdated()


def is_over(study: Study, store: Store, only: Sequence[str] = (), retest: bool = False) -> bool:
    """Whether nothing is left to run: a finished study says so at once.

    Raises:
        ValueError: the study contradicts what was run under its name.
    """
    check_only(study, only)
    stored = store.definition(study.name)
    if stored is None:
        return False
    refuse_contradiction(study.name, complete_definition(stored), complete_definition(study.describe()))
    return (
        set(only or study.strategies) <= set(stored["spaces"]) and Scheduler(study, store, only, retest=retest).over()
    )


def check_only(study: Study, only: Sequence[str]) -> None:
    """Check that each name is a strategy of a study.

    Raises:
        ValueError: one is not; the message names those that are like it.
    """
    for name in only:
        if name not in study.strategies:
            raise ValueError(f"unknown strategy {name!r} of study {study.name!r}: {suggest(name, study.strategies)}")
