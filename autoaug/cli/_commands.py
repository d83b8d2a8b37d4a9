"""The commands: thin, for what they do is elsewhere."""

import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoaug.cli._arguments import find_policy, load, measured, prepare, read_facts, where
from autoaug.cli._options import options_of
from autoaug.cli._output import (
    FAILED,
    INTERRUPTED,
    SOME_FAILED,
    Output,
    command_again,
    complain,
    err,
    program,
    say,
    thinking,
    usage_errors,
    writing,
)
from autoaug.cli._published import publish_result
from autoaug.cli._stopping import Stop, what_is_kept
from autoaug.options import Options
from autoaug.text import agreeing, counted

if TYPE_CHECKING:
    from autoaug.compare import Comparison
    from autoaug.record import Outcome
    from autoaug.store import Store
    from autoaug.study import DataFacts, Loader, Prediction, Study

app = typer.Typer(
    help="Search data augmentation and the training hyperparameters beside it, with evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="A name, a file, or FILE.py:NAME.")]
StorageOption = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Where studies are stored: URL, env:NAME or file:PATH. Else AUTOAUG_STORAGE, or autoaug.db here.",
    ),
]
PolicyArgument = Annotated[
    str, typer.Argument(metavar="STUDY|POLICY.json", help="A study that was run, by name or file, or a policy file.")
]
StrategyOption = Annotated[
    str | None, typer.Option(metavar="STRATEGY", help="Of the study; else the first on its leaderboard.")
]

WithoutStandardOption = Annotated[
    bool,
    typer.Option("--without-standard", help="Leave out what was always on beside the policy of a study: crop, flip."),
]


def main() -> None:
    """Run the command `autoaug`."""
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # before torch: minibatches of photos take half the time
    app()


@app.command()
def new(folder: Annotated[Path, typer.Argument(metavar="DIR", help="Created where it is missing.")]) -> None:
    """Make a project of your own: search_spaces/, studies/ and dashboards/."""
    from autoaug.cli._project import new_project

    with usage_errors():
        files = new_project(folder)
    say(f"{counted(len(files), 'file')} in {folder}. Next:")
    say(f"  cd {shlex.quote(str(folder))} && {program(elsewhere=True)} run studies/quickstart.py")


@app.command()
@options_of(Options)
def run(
    study: StudyArgument,
    storage: StorageOption = None,
    data: Annotated[
        str | None, typer.Option(metavar="DATA", help="Run it on other data, under a name of its own: see the manual.")
    ] = None,
    executor: Annotated[str, typer.Option(help="local: on this machine. ray: as Ray Tune trials.")] = "local",
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and its cost, and run nothing.")] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start anew; what was run is kept under NAME~1.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of text.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    **fields: Any,
) -> None:
    """Run a study, or go on with one that was interrupted."""
    output = Output(as_json, quiet)
    with usage_errors():
        loaded = load(study, data)
        from autoaug.execution import complete_gallery
        from autoaug.store import show_storage
        from autoaug.study import Loader

        options = Options(**fields | {"project": loaded.root}).anchored()
        if dry_run:
            show_plan(loaded.study, executor, options, output)
            return
        load_once = Loader()
        store, predictions = prepare(loaded.study, where(storage, loaded.study), executor, options, fresh, load_once)
        facts = read_facts(loaded.study, load_once, options.only) if predictions is not None else []
        inert = inert_knobs(loaded.study, load_once, options.only) if predictions is not None else []
        for text in (*(text for data_facts in facts for text in data_facts.warnings()), *inert):
            say(f"warning: {text}", err)
        if fresh and store.definition(loaded.study.name) is not None:
            archived = store.archive(loaded.study.name)
            output.tell(f"what was run is kept as {archived}", archived=archived)
        if options.retry_failed and predictions is not None:
            take_up_again(loaded.study, store, options, output)
        if predictions is None:
            output.tell(f"{loaded.study.name} is finished: nothing is left to run")
            complete_gallery(loaded.study, store, options)
        elif stop := execute(loaded.study, store, executor, options, output, predictions, facts):
            again, why = command_again(), "interrupted" if stop.code == INTERRUPTED else "stopped"
            output.tell(f"{why}; {stop.kept}. Go on with:", f"  {again}", **{why: loaded.study.name}, go_on=again)
            raise typer.Exit(stop.code)
        comparison, code = tell_result(loaded.study, store, options, output)
        from autoaug.cli._next import last_lines

        named = f" --storage {shlex.quote(show_storage(store.storage_url))}" if storage or loaded.study.storage else ""
        output.tell(*last_lines(comparison, None if data else study, named))
    raise typer.Exit(code)


def tell_result(study: "Study", store: "Store", options: Options, output: Output) -> tuple["Comparison", int]:
    """Print how a study that was run stands, and what may still be done; return that, and the exit code."""
    from autoaug.compare import keep_policies, stored_comparison
    from autoaug.execution import failed, outdated

    keep_policies(study, store)
    if late := outdated(study, store, options.only):
        kept = "a better point was found after the final runs, which stay as they were"
        output.tell(f"{', '.join(late)}: {kept}; --retest tests it too, and is recorded", outdated=late)
    comparison = stored_comparison([(store, study.name)], with_importance=output.as_json)
    code = print_leaderboard(comparison, output)
    publish_result(store, comparison, options)
    if failed(study, store, options.only):
        again = f"{command_again()} --retry-failed"
        output.tell("take up again what failed with:", f"  {again}", retry=again)
    return comparison, code


@app.command()
def export(
    policy: PolicyArgument,
    format: Annotated[str, typer.Option(metavar="FORMAT", help="json, torchvision, kornia, albumentations or timm.")],
    strategy: StrategyOption = None,
    storage: StorageOption = None,
    allow_lossy: Annotated[bool, typer.Option("--allow-lossy", help="Even if something is lost.")] = False,
    without_standard: WithoutStandardOption = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Else it is printed.")] = None,
) -> None:
    """Write a policy for another library: a file's, or the one that a study found."""
    with usage_errors():
        tree = find_policy(policy, storage, strategy, not without_standard)
        from autoaug.export import export as write

        report = write(tree, format, allow_lossy)
        if output:
            with writing(output):
                output.write_text(report.text, encoding="utf-8")
    if not output:
        print(report.text, end="")
    for loss in report.lost:
        say(f"lost: {loss}", err)


@app.command()
def show(
    policy: Annotated[str, typer.Argument(metavar="STUDY|POLICY.json|ops", help="ops: every operation.")],
    images: Annotated[Path | None, typer.Option(metavar="DIR", help="Else two photographs.")] = None,
    epoch: Annotated[int, typer.Option(help="Of a schedule.")] = 1,
    strategy: StrategyOption = None,
    storage: StorageOption = None,
    without_standard: WithoutStandardOption = False,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE")] = Path("sheet.png"),
) -> None:
    """Draw a contact sheet: what a policy makes of images, or every operation at five strengths."""
    with usage_errors():
        tree = None if policy == "ops" else find_policy(policy, storage, strategy, not without_standard)
        from autoaug.cli._show import contact_sheet

        picture = contact_sheet(tree, images, epoch)
        with writing(output):
            picture.save(output)
    say(f"{output}")


def execute(
    study: "Study",
    store: "Store",
    executor: str,
    options: Options,
    output: "Output",
    predictions: "dict[str, Prediction]",
    facts: "list[DataFacts]",
) -> Stop | None:
    """Run a study with progress; return what ended it early."""
    from autoaug.execution import saving_on_sigterm
    from autoaug.executors import Progress, conduct
    from autoaug.store import Unreachable

    outcomes = store.outcomes(study.name)
    progress = Progress(study, outcomes, options.only, store)
    verb = agreeing(len(outcomes), "was", "were")
    begun_before = f" · {counted(len(outcomes), 'trial')} {verb} begun before" if outcomes else ""
    if not output.quiet:
        output.tell(
            f"{study.name} · {counted(len(progress.strategies), 'strategy')} · {store.display_url}{begun_before}"
        )
    try:
        with output.progress(progress) as listen, saving_on_sigterm(options):
            conduct(study, store, executor, options, listen, predictions, facts)
    except KeyboardInterrupt:
        code = INTERRUPTED
        if moved := store.look():
            complain(moved)
    except Unreachable as away:
        code = FAILED
        complain(away)
    else:
        return None
    return Stop(code, what_is_kept(store, options))


def inert_knobs(study: "Study", load: "Loader", only: tuple[str, ...]) -> list[str]:
    """Return a line for each dimension that changes nothing, before time is spent on it."""
    from autoaug.study import knob_warnings, knobs

    return knob_warnings([knob for knob in knobs(study, only, load, seconds=2.0) if knob.effect is False])


def print_leaderboard(comparison: "Comparison", output: "Output", epochs: bool = False) -> int:
    """Print the leaderboard, and the failed trials; return the exit code."""
    from autoaug.cli._leaderboard import Leaderboard
    from autoaug.compare import failures, to_json

    output.show(Leaderboard(comparison, epochs), to_json(comparison))
    tell_failed(comparison)
    if not any(row.test for row in comparison.rows):
        return FAILED
    return SOME_FAILED if failures(comparison.outcomes) else 0


def tell_failed(comparison: "Comparison") -> None:
    """Print on stderr what failed, and what was warned of."""
    from autoaug.compare import failures
    from autoaug.record import last_attempts

    for strategy, outcomes in failures(comparison.outcomes).items():
        say(f"{strategy}: {len(outcomes)} failed, last {outcomes[-1].name}: {why_failed(outcomes[-1])}", err)
    for outcome in last_attempts(comparison.outcomes):
        if outcome.warning:
            say(f"warning: {outcome.strategy} {outcome.name}: {outcome.warning}", err)


def why_failed(outcome: "Outcome") -> str:
    """Return the reason of a failed trial."""
    return outcome.reason or "stopped from outside"


def take_up_again(study: "Study", store: "Store", options: Options, voice: "Output") -> None:
    """Queue what failed once more, and say of each why it had."""
    from autoaug.execution import retry_failed

    for outcome in retry_failed(study, store, options.only):
        message = f"{outcome.strategy} {outcome.name} is taken up again; it had failed: {why_failed(outcome)}"
        voice.tell(message, retry=f"{outcome.strategy} {outcome.name}", failed=why_failed(outcome))


def show_plan(study: "Study", executor: str, options: Options, output: "Output") -> None:
    """Print the plan of a run, checked as a run is."""
    from autoaug.cli._console import plan_table
    from autoaug.execution import trials_at_once
    from autoaug.executors import this_machine
    from autoaug.study import Loader, advise, by_the_clock, knobs, plan, price
    from autoaug.train import pick_device

    load = Loader()
    predictions = measured(study, executor, options, load=load)
    facts = read_facts(study, load, options.only)
    lines = [line for line in plan(study, predictions, load) if not options.only or line.strategy in options.only]
    with thinking("trying every dimension at two values"):
        dimensions = knobs(study, options.only, load)
    at_once = trials_at_once(executor, options, this_machine())
    share = price(study, options.gpus_per_trial or 1.0, pick_device(study.task.device).type)
    with thinking("measuring what would fit this machine"):
        advice = advise(study, lines, load, at_once)
    output.show(
        plan_table(study, lines, facts, dimensions, at_once, share, advice),
        {
            "study": study.name,
            "data": list(map(asdict, facts)),
            "strategies": list(map(asdict, lines)),
            "knobs": list(map(asdict, dimensions)),
            "at_once": at_once,
            "clock_seconds": by_the_clock(lines, at_once, share),
            "advice": asdict(advice) if advice else None,
        },
    )
