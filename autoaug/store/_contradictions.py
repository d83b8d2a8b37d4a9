"""What two runs must share to be one study. What a definition means is the business of `autoaug.study`."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import sqlalchemy as sql

from autoaug.store._optuna_tables import widen_leaderboard
from autoaug.store._schema import STUDIES

Complete = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Gives a definition of any version with all that it leaves to defaults."""

WIDENED = (
    "metrics",
    "spaces",
    "varied",
    "mixes",
    "tasks",
    "proxies",
    "data",
    "predicted_seconds",
    "predicted_rerun_seconds",
)
"""Parts of a definition to which strategies that are added later, or data, add what is theirs."""

KEPT = ("version", "task", "final_data")
"""Parts that stay as they were written: what one of them leaves out has the default of the version that wrote it."""


def write_definition(connection: sql.Connection, name: str, definition: Mapping[str, Any], complete: Complete) -> None:
    """Write what a study is, beside what is there of it, within a transaction; refuse one that contradicts it."""
    row = STUDIES.c.name == name
    connection.execute(STUDIES.update().where(row).values(name=name))  # a lock, before anything is read
    stored = connection.scalar(sql.select(STUDIES.c.definition).where(row))
    if stored is None:
        connection.execute(STUDIES.insert().values(name=name, definition=dict(definition)))
        return
    refuse_contradiction(name, complete(stored), complete(definition))
    merged = merge_definitions(stored, definition)
    connection.execute(STUDIES.update().where(row).values(definition=merged))
    widen_leaderboard(connection, name, list(merged["spaces"]))


def merge_definitions(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the definition that is stored from now on, of two that do not contradict each other."""
    widened = {part: {**stored.get(part, {}), **wanted.get(part, {})} for part in WIDENED}
    kept = {part: stored[part] for part in KEPT if part in stored}
    return {**{part: value for part, value in wanted.items() if part not in KEPT}, **widened, **kept}


def refuse_contradiction(name: str, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Refuse to change a study: it is one question, whose task, metric, seed and spaces stay under its name.

    Args:
        stored: its definition, with all that it leaves to defaults; as `wanted`, what it is to be now.

    Raises:
        ValueError: they differ; the message names what does, both values, and what to do.
    """
    for where, was, now in differences(stored, wanted):
        raise ValueError(
            f"study {name!r} was run with {where} {was}, and now has {now}: "
            "give the study another name, or start it anew with --fresh (what was run is kept)"
        )


def differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield where two complete definitions ask different questions, and what each of them has there.

    Fields of a task that one of them lists as `unrecorded` are not compared.
    """
    for part in ("train", "metric", "seed", "final_data"):
        if stored.get(part) != wanted.get(part):
            yield part, stored.get(part), wanted.get(part)
    pairs = {"task": tuple(recorded(each, (stored, wanted)) for each in (stored, wanted))}
    common = [strategy for strategy in wanted["spaces"] if strategy in stored["spaces"]]
    pairs |= {
        f"the space of {strategy!r},": (stored["spaces"][strategy], wanted["spaces"][strategy]) for strategy in common
    }
    pairs |= {
        f"the {part} of {strategy!r},": tuple(each.get(parts, {}).get(strategy, {}) for each in (stored, wanted))
        for part, parts in {"mix": "mixes", "task": "tasks", "proxy": "proxies"}.items()
        for strategy in common
    }
    own = [each.get("metrics", {}) for each in (stored, wanted)]
    shared = own[0].keys() & own[1].keys()  # a row may be added, and called otherwise; what is better may not change
    pairs["the metric"] = tuple({f"{name}.direction": each[name]["direction"] for name in shared} for each in own)
    weights = [each.get("budget", {}).get("gpu_weights", {}) for each in (stored, wanted)]
    both = weights[0].keys() & weights[1].keys()  # a kind of GPU may be added
    pairs["the budget's weight of GPUs"] = tuple({kind: each[kind] for kind in both} for each in weights)
    for where, (was, now) in pairs.items():
        for key in sorted({*was, *now}):
            if was.get(key) != now.get(key):
                yield f"{where} {key} =", readable(was.get(key, "absent")), readable(now.get(key, "absent"))


def recorded(definition: Mapping[str, Any], both: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the fields of a task that both definitions say something of."""
    unrecorded = {name for each in both for name in each.get("unrecorded", ())}
    return {name: value for name, value in definition["task"].items() if name not in unrecorded}


def readable(rule: Any) -> Any:
    """Return a stored distribution as it would be written in Python; whatever else is stored as it is."""
    try:
        plain = json.loads(rule)
        given = ", ".join(
            f"{name}={value!r}" for name, value in plain["attributes"].items() if value not in (None, False)
        )
        return f"{plain['name']}({given})"
    except (TypeError, ValueError, KeyError):
        return rule
