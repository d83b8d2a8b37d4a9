"""What diagnostics found of the networks of a study, kept beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sql

from autoaug.record import Phase
from autoaug.store._damage import reporting_damage
from autoaug.store._retrying import retrying
from autoaug.store._schema import DIAGNOSES
from autoaug.store._store import Store

FOUND = ("point", "unit", "says", "values", "series")
"""Fields of a diagnosis that are stored together."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """Hold what one diagnostic found of one training of a strategy, at the end of one of its phases."""

    study: str
    strategy: str
    seed: int
    """Which training of the strategy it is, counted from 0: trained as the final run of this seed was."""
    diagnostic: str
    phase: Phase
    """"augment": after the augmented epochs. "refine": after refinement."""
    point: Mapping[str, Any] = field(default_factory=dict)
    """What was trained: the point of the strategy's final runs."""
    unit: str = ""
    says: str = ""
    """What the values say, in a sentence: whoever reads them need not have the table they are of."""
    values: Mapping[str, float] = field(default_factory=dict)
    series: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    """What figures draw: lists of numbers by name."""


@retrying
def note_diagnosis(store: Store, found: Diagnosis) -> None:
    """Keep what a diagnostic found, in the place of what it had found of the same training and phase before."""
    key = {name: getattr(found, name) for name in ("study", "strategy", "seed", "diagnostic", "phase")}
    together = {name: plain(getattr(found, name)) for name in FOUND}
    with store.engine.begin() as connection:
        connection.execute(DIAGNOSES.delete().where(*(DIAGNOSES.c[name] == value for name, value in key.items())))
        connection.execute(DIAGNOSES.insert().values(**key, found=together, at=store.clock))


@reporting_damage("the table autoaug_diagnoses")
@retrying
def diagnoses(store: Store, name: str) -> list[Diagnosis]:
    """Return what diagnostics found of a study, training by training in the order in which it was found."""
    query = sql.select(DIAGNOSES).where(DIAGNOSES.c.study == name).order_by(DIAGNOSES.c.id)
    with store.engine.connect() as connection:
        rows = connection.execute(query).mappings().all()
    return [
        Diagnosis(
            **{each: row[each] for each in ("study", "strategy", "seed", "diagnostic", "phase")},
            **{each: row["found"][each] for each in FOUND},
        )
        for row in rows
    ]


def plain(value: Any) -> Any:
    """Return a mapping as a dict: that of a user's own may be another one."""
    return dict(value) if isinstance(value, Mapping) else value
