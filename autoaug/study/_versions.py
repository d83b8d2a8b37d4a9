"""The stored form of a study's definition: what differs from the defaults, and the version in which it was written.

A definition of version 1 holds every field of its task, later ones those that differ from their defaults. All are
read by `complete_definition`, which says what a study is whatever release stored it. So a field with a default may
be added to `Task` at any time: a study that was stored before has that default, and goes on.

A field that is added to `Task` gets a row of `DEFAULTS`. When a default changes, or a field is taken away: raise
`VERSION`, and write the default that held until then into `DEFAULTS_BEFORE`; studies that were stored before keep what
they were run with. `tests/test_versions.py` holds the tables to `Task`. They are written out, because a storage is read
without torch, and `Task` needs it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from autoaug.study._budget import Budget

if TYPE_CHECKING:
    from autoaug.train import Task

VERSION = 3
"""Of the form in which definitions are written. Each release reads all earlier ones."""

DEFAULTS: dict[str, Any] = {
    "model": "wrn-16-2",
    "weights": None,
    "freeze_epochs": 0,
    "backbone_lr": 1.0,
    "epochs": 30,
    "refine_epochs": 0,
    "refine_standard": True,
    "refine_lr": None,
    "total_epochs": None,
    "refine_share": None,
    "mix_warmup": 0,
    "anneal": 0,
    "batch_size": 128,
    "micro_batch": None,
    "lr": 0.1,
    "optimiser": "sgd",
    "momentum": 0.9,
    "nesterov": True,
    "weight_decay": 5e-4,
    "decay_norms": True,
    "clip_norm": None,
    "ema": None,
    "compile": False,
    "schedule": "cosine",
    "warmup": 0.15,
    "warmup_from": 0.0,
    "milestones": (0.5, 0.75),
    "step_factor": 0.1,
    "final_lr": 0.01,
    "loss": "cross-entropy",
    "label_smoothing": 0.0,
    "balanced": "none",
    "dropout": None,
    "precision": "auto",
    "val_fraction": 0.1,
    "resplit": "fixed",
    "split_seed": 0,
    "standard": "auto",
    "size": None,
    "skip_bad": False,
}
"""What definitions of this version leave out: the defaults of `Task`."""

DEFAULTS_BEFORE: dict[int, dict[str, Any]] = {}
"""By version, fields of a task whose default was another until then, and which: `{2: {"lr": 0.1}}` says that it was 0.1
in version 2 and before, and is what `DEFAULTS` says from version 3 on. For a field that was taken away, its last
default: studies that had it are refused where they had another value."""

UNRECORDED: dict[int, tuple[str, ...]] = {1: ("standard",)}
"""By version, fields of a task that may be missing in it although no default says what was done then.

Before `Task.standard` existed, data got their own standard augmentation or else a crop and a flip, grey images too;
and with `resplit="per_epoch"` the scores were of images that had been trained on. Only the data can tell whether that
is what they get today: `autoaug.executors.run` asks them."""

MEANT_OTHERWISE: dict[int, dict[str, Any]] = {2: {"standard": "auto"}}
"""By version, values of fields that meant something else until then, where only the data can tell what.

In version 2 and before, "auto" was a padded crop for photos of one's own too, which get a resized one today."""

ALWAYS_WRITTEN = ("standard",)
"""Fields of a task that are written although they have their defaults: that one is missing means something (above),
also to drivers of earlier releases that share the storage."""

ELSEWHERE = ("root", "device", "hold")
"""Fields of a task that are no part of a definition: where a study runs is not what it asks."""

OPTIONAL: dict[str, Any] = {
    "metrics": {},
    "train": None,
    "final_data": "train",
    "varied": {},
    "mixes": {},
    "tasks": {},
    "proxies": {},
    "data": {},
    "predicted_seconds": {},
    "predicted_rerun_seconds": {},
}
"""Parts of a definition that may be missing, and what a study had that lacks one, in all versions."""


def described(task: "Task") -> dict[str, Any]:
    """Return every field of a task that belongs to a definition, as plain data."""
    return {name: value for name, value in task.describe().items() if name not in ELSEWHERE}


def defaults(version: int) -> dict[str, Any]:
    """Return the default of every field of a task as it was in a version; `data` has none."""
    usual = dict(DEFAULTS)
    for last in sorted(DEFAULTS_BEFORE, reverse=True):
        usual |= DEFAULTS_BEFORE[last] if last >= version else {}
    return usual


def without_defaults(definition: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    """Return a complete definition as it is stored: with its version, and without what has its default.

    Args:
        usual: a task of which every field has its default.
    """
    usual = {name: value for name, value in as_stored(usual).items() if name != "data"}
    parts = {name: value for name, value in definition.items() if name not in OPTIONAL or value != OPTIONAL[name]}
    task = {
        name: value
        for name, value in as_stored(definition["task"]).items()
        if name in ALWAYS_WRITTEN or name not in usual or value != usual[name]
    }
    return {"version": VERSION, **parts, "task": task}


def complete_definition(definition: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a stored definition says, of whichever version: every part, and every field of its task.

    `unrecorded` lists the fields of the task of which it does not say what they were: those that were not written where
    no default says it, and those whose value means something else today.

    Raises:
        ValueError: it was written by a later release.
    """
    given = as_stored(definition)
    version = given.pop("version", 1)
    if version > VERSION:
        raise ValueError(
            f"a study in this storage is defined in version {version}, and this release reads {VERSION}: "
            "upgrade autoaug, or give another --storage"
        )
    usual, task = as_stored(defaults(version)), given.get("task", {})
    missing = [name for name in UNRECORDED.get(version, ()) if name not in task]
    changed = [
        name
        for last, values in MEANT_OTHERWISE.items()
        for name, value in values.items()
        if version <= last and name not in missing and task.get(name, usual.get(name)) == value
    ]
    removed = usual.keys() - DEFAULTS.keys()
    whole = {name: value for name, value in {**usual, **task}.items() if name not in missing}
    return {
        **as_stored(OPTIONAL),
        **given,
        "task": {name: value for name, value in whole.items() if name not in removed or value != usual[name]},
        "budget": {**asdict(Budget(trials=1)), "trials": None, **given.get("budget", {})},
        "unrecorded": [*missing, *changed],
    }


def as_stored(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain data as a storage gives it back: with lists for tuples."""
    return json.loads(json.dumps(plain))
