"""`autoaug launch`: what runs a study on a cluster, as a script or a manifest that is printed and never submitted."""

import json
import re
import shlex
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from autoaug.artifacts import EXTRAS
from autoaug.cli._arguments import load
from autoaug.cli._commands import StudyArgument, app
from autoaug.cli._launchers import LAUNCHERS, NOTICE, Launch, Launcher, refuse_unfit
from autoaug.cli._options import options_of
from autoaug.cli._output import err, say, usage_errors
from autoaug.fields import short
from autoaug.lookup import lookup
from autoaug.text import counted

if TYPE_CHECKING:
    from autoaug.study import Study

REFERENCE = re.compile(r"env:[A-Za-z_]\w*|file:.+")
"""How a storage may be named in a script: where its URL stands, and never the URL."""

NOT_SENT = (".git", ".venv", "artifacts", "*.db", "*.db-shm", "*.db-wal", "__pycache__")
"""What of a project's folder is large or of this machine only, and is not sent to a cluster."""


@app.command()
@options_of(Launch)
def launch(
    launcher: Annotated[str, typer.Argument(metavar="LAUNCHER", help=f"{', '.join(LAUNCHERS)}.")],
    study: StudyArgument,
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="REFERENCE", help="env:NAME or file:PATH, where the URL stands. Else env:AUTOAUG_STORAGE."
        ),
    ] = None,
    **options: Any,
) -> None:
    """Print what runs a study on a cluster: a script or a manifest. Nothing is submitted."""
    with usage_errors():
        row, wanted = lookup(LAUNCHERS, launcher, "launcher"), Launch(**options)
        refuse_unfit(launcher, row, wanted)
        loaded = load(study)
        reference = storage_of(loaded.study, storage, row)
        facts = context(loaded.study.name, study_there(study, row), reference, row, wanted)
        text = render(row.template, facts)
    print(text, end="")
    for hint in row.hints:
        say(hint.format(**facts), err)
    if not is_known_here(reference):
        say(f"{reference} holds no URL here yet; where the study runs it must", err)


def storage_of(study: "Study", given: str | None, launcher: Launcher) -> str:
    """Return the reference to the storage that stands in a script: as given, of the study, or AUTOAUG_STORAGE.

    Raises:
        ValueError: it is no reference, one that machines there cannot follow, or a file of this host.
    """
    from autoaug.store import is_file, show_storage

    storage = given or study.storage or "env:AUTOAUG_STORAGE"
    shown, fix = show_storage(storage), "export the URL of a PostgreSQL server and give --storage env:NAME"
    if not REFERENCE.fullmatch(storage):
        raise ValueError(f"storage {shown} would stand in the script, and its password too: {fix}, or file:PATH")
    if storage.partition(":")[0] not in launcher.storage_in:
        raise ValueError(f"storage {shown} is a file that machines there do not have: {fix}")
    if is_known_here(storage) and is_file(storage):
        raise ValueError(f"storage {shown} is SQLite, a file of one host, and several hosts need a server: {fix}")
    return storage


def is_known_here(reference: str) -> bool:
    """Whether what a reference stands for can be read on this machine; it need not be."""
    from autoaug.store import resolve

    try:
        resolve(reference)
    except ValueError:
        return False
    return True


def study_there(study_ref: str, launcher: Launcher) -> str:
    """Return how a study is named where it will run: a file by its path in the folder that machines there have.

    Raises:
        ValueError: it lies outside that folder.
    """
    file, colon, name = study_ref.partition(":")
    if launcher.shares_folder or not file.endswith(".py"):
        return study_ref
    path, here = Path(file).resolve(), Path.cwd().resolve()
    if not path.is_relative_to(here):
        raise ValueError(
            f"{file} lies outside this folder, and machines there get nothing else: call it from {path.parent}"
        )
    return f"{path.relative_to(here)}{colon}{name}"


def context(name: str, study_ref: str, storage: str, launcher: Launcher, wanted: Launch) -> dict[str, Any]:
    """Return what a template is rendered with.

    Raises:
        ValueError: as `refuse_unwritable`.
    """
    workers, gpus = wanted.workers or 4, 1 if wanted.gpus is None else wanted.gpus
    share = wanted.gpus_per_trial or (1.0 if gpus else 0.0)
    words = ["autoaug", "run", study_ref, *launched_by(launcher, gpus, share), "--storage", storage]
    words += [*(("--artifacts", wanted.artifacts) if wanted.artifacts else ())]
    words += [*(("--grace", str(launcher.grace)) if launcher.grace else ()), "--quiet"]
    refuse_unwritable(words, launcher)
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower())
    return {
        "study": name,
        "name": f"autoaug-{slug}"[:40].strip("-"),  # of Kubernetes objects, whose names get something behind them
        "command": shlex.join(words),
        "workers": workers,
        "nodes": counted(workers, "node"),
        "gpus": gpus,
        "cpus": int(gpus / share) if gpus else 4,
        "time": wanted.time,
        "notice": NOTICE,
        "storage": storage,
        "variable": storage.partition(":")[2],
        "secret": "autoaug-storage",
        "extras": ",".join(["postgres", *filter(None, [EXTRAS.get(urlsplit(wanted.artifacts or "").scheme)])]),
        "image": wanted.image,
        "address": wanted.address,
        "excludes": {"excludes": list(NOT_SENT)},
    }


def refuse_unwritable(words: list[str], launcher: Launcher) -> None:
    """Refuse words that cannot stand in a line of a script, or that would not arrive as they are.

    Raises:
        ValueError: it names the first of them.
    """
    for word in words:
        if not word.isprintable():
            raise ValueError(f"{short(word)} cannot stand in a script: it has characters that are not printable")
        if launcher.is_ray_job and word.strip() and shlex.quote(bare := word.replace(" ", "")) != bare:
            raise ValueError(f"{short(word)} would not reach a job of Ray as it is: use letters, digits and ./:@%+=,_-")


def launched_by(launcher: Launcher, gpus: int, share: float) -> list[str]:
    """Return the options of `autoaug run` that say where its trials run.

    A machine of its own needs no Ray: the local executor has a process for each GPU, or several where trials share one.
    """
    share_of_gpu = ["--gpus-per-trial", f"{share:g}"]
    if launcher.executor:
        return [*launcher.executor, *share_of_gpu]
    several = gpus > 1 or 0 < share < 1
    return ["--gpus", ",".join(map(str, range(gpus))), *share_of_gpu] if several else []


def render(template: str, facts: dict[str, Any]) -> str:
    """Return a file of `launch/` with the facts in it. What is missing there is an error of ours."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    environment.filters |= {"quote": shlex.quote, "json": lambda value: json.dumps(value, ensure_ascii=False)}
    text = (resources.files("autoaug.cli") / "launch" / template).read_text(encoding="utf-8")
    return environment.from_string(text).render(facts)
