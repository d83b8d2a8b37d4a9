"""What two runs must share to be one study."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from typing import Any


def refuse_contradiction(name: str, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """One study is one question: its task, metric, seed and spaces may not change under its name."""
    for place, was, now in differences(stored, wanted):
        raise ValueError(
            f"study {name!r} was run with {place} {was}, and now has {now}: "
            "give the study another name, or start it anew with --fresh (what was run is kept)"
        )


def differences(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    stored, wanted = ({"final_data": "train", **each} for each in (stored, wanted))
    for part in ("metric", "seed", "final_data"):
        if stored[part] != wanted[part]:
            yield part, stored[part], wanted[part]
    pairs = {"task": (filled(stored["task"], wanted["task"]), filled(wanted["task"], stored["task"]))}
    common = [strategy for strategy in wanted["spaces"] if strategy in stored["spaces"]]
    pairs |= {
        f"the space of {strategy!r},": (stored["spaces"][strategy], wanted["spaces"][strategy]) for strategy in common
    }
    pairs |= {
        f"the {part} of {strategy!r},": tuple(each.get(parts, {}).get(strategy, {}) for each in (stored, wanted))
        for part, parts in {"mix": "mixes", "proxy": "proxies"}.items()
        for strategy in common
    }
    for place, (was, now) in pairs.items():
        for key in sorted({*was, *now}):
            if was.get(key) != now.get(key):
                yield f"{place} {key} =", readable(was.get(key, "absent")), readable(now.get(key, "absent"))


def filled(task: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """A task with what it lacks: the defaults of the fields that did not exist when it was stored.

    Where `standard` is lacking it is taken to be the other's: whether that is what was applied then only the data
    can tell, and `sweep.conduct` asks them.
    """
    from autoaug.train import Task  # here, because it takes seconds, and most that read a storage do without

    defaults = {field.name: field.default for field in fields(Task) if field.default is not MISSING}
    defaults["standard"] = other.get("standard")
    return {**{name: defaults[name] for name in other if name in defaults}, **task}


def readable(rule: Any) -> Any:
    """A stored distribution as it would be written in Python; whatever else is stored as it is."""
    try:
        found = json.loads(rule)
        given = ", ".join(
            f"{name}={value!r}" for name, value in found["attributes"].items() if value not in (None, False)
        )
        return f"{found['name']}({given})"
    except (TypeError, ValueError, KeyError):
        return rule
