"""The command line. Nothing heavy is imported here: `--help` and errors are instant."""

import csv as csv_module
import json
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from autoaug.compare import Row
    from autoaug.project import Found
    from autoaug.store import Store
    from autoaug.study import Study

app = typer.Typer(
    help="Search data augmentation and the training hyperparameters beside it, with evidence.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

FAILED, USAGE, SOME_FAILED, INTERRUPTED = 1, 2, 3, 130
"""Exit codes beside 0."""

StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="A name, a file, or FILE.py:NAME.")]
StorageOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where studies are stored: URL, env:NAME or file:PATH. Else AUTOAUG_STORAGE, or autoaug.db here.",
    ),
]


def main() -> None:
    app()


@app.command()
def new(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Created where it is missing.")]) -> None:
    """Make a project of your own: search_spaces/, studies/ and dashboards/."""
    from autoaug.project import new_project

    with usage_errors():
        files = new_project(folder)
    say(f"{len(files)} files in {folder}")
    say(f"next: cd {shlex.quote(str(folder))} && autoaug run studies/quickstart.py")


@app.command()
def run(
    study: StudyArgument,
    storage: StorageOption = None,
    only: Annotated[list[str] | None, typer.Option(metavar="STRATEGY", help="Run this one; may be repeated.")] = None,
    executor: Annotated[str, typer.Option(help="local: here, one at a time. ray: as Ray Tune trials.")] = "local",
    cpus_per_trial: Annotated[float, typer.Option(help="CPU cores, and so torch threads, of a trial.")] = 1.0,
    gpus_per_trial: Annotated[float, typer.Option(help="Share of a GPU; below 1, trials share one.")] = 0.0,
    at_once: Annotated[int | None, typer.Option(help="The most trials at the same time (ray).")] = None,
    address: Annotated[str | None, typer.Option(help="Of a running Ray cluster.")] = None,
    artifacts: Annotated[Path, typer.Option(help="Where checkpoints lie.")] = Path("artifacts"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and spend nothing.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew; what was run is kept under NAME~1.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of text.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Run a study, or go on with one that was interrupted."""
    from autoaug.sweep import Options

    with usage_errors():
        found = load(study)
        options = Options(
            only=tuple(only or ()),
            artifacts=artifacts.absolute(),
            project=found.root,
            cpus_per_trial=cpus_per_trial,
            gpus_per_trial=gpus_per_trial,
            at_once=at_once,
            address=address,
        )
        if dry_run:
            show_plan(found.study, as_json)
            return
        store = open_store(storage, found.study)
        if fresh and store.definition(found.study.name) is not None:
            say(f"what was run is kept as {store.archive(found.study.name)}", quiet or as_json)
        code = execute(found.study, store, executor, options, as_json, quiet)
    raise typer.Exit(code)


@app.command()
def compare(
    study: StudyArgument,
    storage: StorageOption = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the leaderboard as CSV.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Print the leaderboard of a study: test accuracy with intervals, cost, and the difference to the baseline."""
    with usage_errors():
        store, name = find_stored(study, storage)
        print_leaderboard(store, name, as_json)
        if csv:
            write_csv(csv, *leaderboard_of(store, name)[1:])


@app.command()
def dashboard(
    storage: StorageOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any free one.")] = 8080,
    write: Annotated[bool, typer.Option("--write", help="Let the page change and delete studies.")] = False,
) -> None:
    """Serve Optuna Dashboard over the stored studies, on this machine only and read-only."""
    from autoaug.dashboard import make_dashboard

    with usage_errors():
        store = open_store(storage)
        try:
            server = make_dashboard(store, host, port, write)
        except OSError as error:
            raise ValueError(f"cannot listen on {host}:{port}: {error.strerror}; give another --port") from None
    if host not in ("127.0.0.1", "localhost"):
        say(f"[yellow]anybody who reaches {host} can read these studies{' and delete them' if write else ''}[/yellow]")
    say(f"Optuna Dashboard over {store.shown} at http://{host}:{server.server_port}/  (Ctrl-C stops it)")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()


def execute(study: "Study", store: "Store", executor: str, options: Any, as_json: bool, quiet: bool) -> int:
    """Run a study with progress; returns the exit code."""
    from autoaug.console import JsonProgress, LineProgress, LiveProgress, NoProgress, Watch
    from autoaug.sweep import is_over, run

    if is_over(study, store, options.only):
        say(f"{study.name} is finished: nothing is left to run", as_json)
    else:
        strategies = len(options.only) or len(study.strategies)
        say(f"{study.name} · {strategies} strategies · {store.shown}", as_json or quiet)
        watch = Watch(study, store.outcomes(study.name))
        progress = (
            JsonProgress()
            if as_json
            else NoProgress()
            if quiet
            else LiveProgress(out, watch)
            if out.is_terminal
            else LineProgress(out, watch)
        )
        try:
            with progress, terminated_is_interrupted():
                run(study, store, executor, options, progress)
        except KeyboardInterrupt:
            say("interrupted; everything found so far is kept. Go on with:", as_json)
            say(f"  {shlex.join(['autoaug', *without_fresh(sys.argv[1:])])}", as_json, markup=False)
            return INTERRUPTED
    failed = print_leaderboard(store, study.name, as_json)
    say(f"details: autoaug dashboard --storage {shlex.quote(store.shown)}", as_json, markup=False)
    return failed


def without_fresh(arguments: list[str]) -> list[str]:
    return [argument for argument in arguments if argument != "--fresh"]


def leaderboard_of(store: "Store", name: str) -> tuple[dict[str, Any], list["Row"]]:
    """A stored study's definition and its leaderboard."""
    from autoaug.compare import leaderboard
    from autoaug.study import METRICS

    definition = store.definition(name)
    assert definition is not None, "the callers have looked"
    maximize = METRICS[definition["metric"]] == "maximize"
    return definition, leaderboard(store.outcomes(name), definition["baseline"], maximize)


def print_leaderboard(store: "Store", name: str, as_json: bool) -> int:
    """Print it; returns the exit code that it deserves."""
    from autoaug.compare import to_json
    from autoaug.console import leaderboard_table

    definition, rows = leaderboard_of(store, name)
    if as_json:
        print(json.dumps(to_json(name, definition["metric"], rows)))
    else:
        out.print(leaderboard_table(rows, definition["metric"], definition["baseline"]))
    failures = [outcome for outcome in store.outcomes(name) if outcome.state == "FAIL" and outcome.reason]
    for outcome in failures[-3:] if any(row.failed for row in rows) else []:
        err.print(f"{outcome.strategy} trial {outcome.trial} failed: {outcome.reason}", markup=False, highlight=False)
    if not any(row.val_best is not None for row in rows):
        return FAILED
    return SOME_FAILED if any(row.failed for row in rows) else 0


def load(reference: str) -> "Found":
    """A study by name or file, while a spinner says that torch is being imported."""
    with out.status("loading") if out.is_terminal else nullcontext():
        from autoaug.project import load_study

        return load_study(reference)


def open_store(storage: str | None, study: "Study | None" = None) -> "Store":
    """The storage that was asked for: on the command line, in the study, in the environment, or autoaug.db here."""
    from autoaug.store import Store

    named = storage or (study.storage if study else None)
    return Store(named or ("env:AUTOAUG_STORAGE" if os.environ.get("AUTOAUG_STORAGE") else "sqlite:///autoaug.db"))


def find_stored(study: str, storage: str | None) -> tuple["Store", str]:
    """A study that was run: by its own name, or by that of the file that defines it."""
    from autoaug.lookup import suggest

    store = open_store(storage)
    names = store.names()
    if study in names:
        return store, study
    name = load(study).study.name
    if name not in names:
        known = suggest(name, names) if names else "nothing was run there yet"
        raise ValueError(f"study {name!r} is not in {store.shown}: {known}")
    return store, name


def show_plan(study: "Study", as_json: bool) -> None:
    from autoaug.console import plan_table
    from autoaug.study import plan, preflight

    preflight(study)
    lines = plan(study)
    if as_json:
        print(json.dumps({"study": study.name, "strategies": [asdict(line) for line in lines]}))
        return
    out.print(plan_table(study, lines))
    say("cost: measured by the first trials; nothing was spent")


def write_csv(path: Path, rows: list["Row"]) -> None:
    """The leaderboard with one line per strategy."""
    flat = [{"strategy": row.name, **flatten(asdict(row))} for row in rows]
    with path.open("w", newline="") as file:
        writer = csv_module.DictWriter(file, fieldnames=list(dict.fromkeys(key for row in flat for key in row)))
        writer.writeheader()
        writer.writerows(flat)


def flatten(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in data.items():
        flat |= flatten(value, f"{prefix}{key}_") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


out, err = Console(highlight=False), Console(stderr=True, highlight=False)


def say(message: str, silent: bool = False, markup: bool = True) -> None:
    if not silent:
        out.print(message, markup=markup, soft_wrap=True)


@contextmanager
def usage_errors() -> Iterator[None]:
    """What is wrong with the request is one line on stderr and exit code 2."""
    try:
        yield
    except ValueError as error:
        err.print(f"[red]error:[/red] {escape(str(error))}", soft_wrap=True)
        raise typer.Exit(USAGE) from None


@contextmanager
def terminated_is_interrupted() -> Iterator[None]:
    """SIGTERM, which cluster managers send, ends a study as Ctrl-C does: nothing is lost."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
