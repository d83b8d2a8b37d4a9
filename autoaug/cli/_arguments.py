"""What a command is about: the study, the storage and the policy that its arguments name."""

import os
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from autoaug.cli._output import err, out, say, thinking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autoaug.cli._project import LoadedStudy
    from autoaug.execution import Options
    from autoaug.policy import PolicyTree
    from autoaug.store import Store
    from autoaug.study import DataFacts, Loader, Prediction, Study


def load(study_ref: str, data: str | None = None) -> "LoadedStudy":
    """Return a study by name or file, on other data where these are given.

    Meanwhile a spinner says that torch is being imported.
    """
    with thinking("loading"):
        from autoaug.cli._project import load_study

        loaded = load_study(study_ref)
        return replace(loaded, study=on_data(loaded.study, data)) if data is not None else loaded


def on_data(study: "Study", data: str) -> "Study":
    """Return a study on other data, under a name that says so: what was found on the one says nothing of the other.

    Raises:
        ValueError: its loop reads data of its own, or a strategy searches on such, which would be those of the study as
            it was.
    """
    if study.task.data is None:
        raise ValueError(
            f"the loop of study {study.name!r} reads data of its own: leave --data {data} out, or let it read those of "
            "Study(task=Task(data=...)) by trial.split"
        )
    if own := [name for name, strategy in study.strategies.items() if "data" in strategy.proxy]:
        raise ValueError(
            f"{', '.join(own)} of study {study.name!r} searches on data of its own: leave --data out, or write a study"
        )
    name = re.sub(r"[^A-Za-z0-9.]+", "-", os.path.basename(os.path.normpath(data))).strip("-")
    return replace(study, name=f"{study.name}-{name}"[:100], task=replace(study.task, data=data))


def where(storage: str | None, study: "Study | None" = None) -> str:
    """Return the storage: of the command line, the study, the environment, or autoaug.db here.

    Raises:
        ValueError: there is a password on the command line.
    """
    from autoaug.store import refuse_exposed, usual_storage

    if storage:
        refuse_exposed(storage)
    return storage or (study.storage if study else None) or usual_storage()


def open_existing(storage_url: str, write: bool = False, retry_seconds: float = 60.0) -> "Store":
    """Return a storage to read from, and say where it can only be read; raise ValueError where there is none.

    Args:
        write: refuse one that can only be read.
        retry_seconds: seconds for which a read that gets no answer is tried again.
    """
    from autoaug.store import Store, is_new, show_storage

    if is_new(storage_url):
        raise ValueError(
            f"there is no storage {show_storage(storage_url)} yet: run a study first, or give another --storage"
        )
    store = Store(storage_url, retry_seconds, existing=True)
    if store.read_only and write:
        raise ValueError(f"nothing may be written to {store.display_url} ({store.read_only}): leave --write out")
    if store.read_only:
        say(f"{store.display_url} is opened read-only ({store.read_only}): looks at it are not recorded", err)
    return store


def find_stored(study: str, storage: str | None) -> tuple["Store", str]:
    """Return the store and the name of a study that was run, by its own name or that of the file that defines it."""
    from autoaug.cli._project import known_studies
    from autoaug.lookup import suggest

    is_file = study.partition(":")[0].endswith(".py")
    if not is_file:
        store = open_existing(where(storage))
        if study in store.names():
            return store, study
        if study.partition(":")[0] not in known_studies():
            known = suggest(study, store.names()) if store.names() else "nothing was run there yet"
            raise ValueError(f"unknown study {study!r} in {store.display_url}: {known}")
    defined = load(study).study
    store = open_existing(where(storage, defined))
    if defined.name not in store.names():
        raise ValueError(
            f"study {defined.name!r} was not run in {store.display_url}: run it, or give another --storage"
        )
    return store, defined.name


def find_policy(policy_ref: str, storage: str | None, strategy: str | None, with_standard: bool = True) -> "PolicyTree":
    """Return the policy of a file, or the one that a study found; its strategy and verdict go to stderr."""
    if not policy_ref.endswith(".json"):
        from autoaug.compare import ALWAYS_ON, winning_policy

        study = load(policy_ref).study
        store = open_existing(where(storage, study))
        tree = winning_policy(study, store, strategy, with_standard=with_standard)
        facts, chosen = tree.provenance, "" if strategy else ", the first on the leaderboard; --strategy names another"
        say(f"{facts['strategy']}, trial {facts['trial']}{chosen}", err)
        say(f"verdict: {facts['verdict']}", err)
        say(f"{ALWAYS_ON}: {facts[ALWAYS_ON]}", err)
        return tree
    from autoaug.policy import load_tree

    if strategy:
        raise ValueError(f"{policy_ref} is one policy: leave --strategy {strategy} out, or give a study")
    try:
        return load_tree(policy_ref)
    except OSError as error:
        raise ValueError(f"cannot read {policy_ref}: {error.strerror}; give a policy file or a study") from None


def prepare(
    study: "Study", storage_url: str, executor: str, options: "Options", fresh: bool, load: "Loader"
) -> tuple["Store", "dict[str, Prediction] | None"]:
    """Return the open storage, and the predicted cost of a run; None where nothing is left to run.

    What cannot run is refused before anything is written.
    """
    from autoaug.execution import failed, is_over, refuse_displaced, write_pending
    from autoaug.store import Store, is_new

    if not fresh and not is_new(storage_url):
        store = Store(storage_url, options.retry_seconds)
        refuse_displaced(storage_url, options, store.identity)
        write_pending(store, options)
        again = options.retry_failed and failed(study, store, options.only)
        if is_over(study, store, options.only, options.retest) and not again:
            return store, None
    if is_new(storage_url):
        refuse_displaced(storage_url, options)
    predictions = measured(study, executor, options, storage_url, load)
    return Store(storage_url, options.retry_seconds), predictions


def measured(
    study: "Study",
    executor: str,
    options: "Options",
    storage_url: str | None = None,
    load: "Loader | None" = None,
) -> "dict[str, Prediction]":
    """Check a study, while a spinner says of which strategy a few steps are measured."""
    from autoaug.executors import check

    if not out.is_terminal:
        return check(study, executor, options, storage_url, load=load)
    from autoaug.photos import PROGRESS

    with out.status("reading the data and trying every strategy") as status:
        before = PROGRESS.set(lambda what, done, total: status.update(bar(what, done, total)))
        try:
            return check(
                study,
                executor,
                options,
                storage_url,
                lambda name: status.update(f"measuring a few steps of {name}"),
                load,
            )
        finally:
            PROGRESS.reset(before)


def bar(what: str, done: int, total: int, width: int = 20) -> str:
    """Return how far something is, as a line with a bar: "decoding ━━━━━───── 1,200 of 2,400 images"."""
    filled = width * done // total
    return f"{what} {'━' * filled}{'─' * (width - filled)} {done:,} of {total:,} images"


def read_facts(study: "Study", load: "Loader", only: "Sequence[str]") -> "list[DataFacts]":
    """Return the facts of a study's data, while a spinner says that its splits are compared."""
    from autoaug.study import data_facts

    with thinking("looking for copies among the splits"):
        return data_facts(study, load, only)
