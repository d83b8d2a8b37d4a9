"""`autoaug diagnose`: the winners of a study are trained again, and what they do beside their score is measured."""

import json
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoaug.cli._arguments import load, open_existing, where
from autoaug.cli._commands import StorageOption, StudyArgument, app
from autoaug.cli._output import (
    INTERRUPTED,
    SOME_FAILED,
    Output,
    command_again,
    err,
    out,
    say,
    thinking,
    usage_errors,
    writing,
)
from autoaug.text import counted

if TYPE_CHECKING:
    from autoaug.compare import Comparison
    from autoaug.diagnose import DiagnosisEvent, DiagnosisPlan
    from autoaug.store import Diagnosis, Store


@app.command()
def diagnose(
    study: StudyArgument,
    storage: StorageOption = None,
    strategy: Annotated[
        list[str] | None,
        typer.Option(metavar="STRATEGY", help="Of the study, may be repeated; else all with a complete trial."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A diagnostic, may be repeated; else all that apply.")
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="N", help="Trainings of each strategy.")] = 1,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write everything found as JSON, curves too.")
    ] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be trained and its cost.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines instead of text.")] = False,
) -> None:
    """Train the winners of a study again and measure what they do beside their score: losses, attacks, gradients.

    What is found is stored with the study, where `autoaug compare` shows it. The test split is never read.
    """
    voice = Output(as_json)
    with usage_errors():
        defined = load(study).study
        store = open_existing(where(storage, defined))
        from autoaug.diagnose import plan_diagnosis
        from autoaug.study import Loader

        load_once = Loader()
        with thinking("measuring a few steps of each strategy"):
            plan = plan_diagnosis(defined, store, strategy or (), only or (), seeds, load_once)
        tell_plan(plan, voice)
        if dry_run:
            return
        failed, interrupted = conducted(plan, store, load_once, voice)
        if interrupted:
            again = command_again()
            voice.tell("interrupted; what was measured is kept. Go on with:", f"  {again}", go_on=again)
            raise typer.Exit(INTERRUPTED)
        tell_found(defined.name, store, voice, output)
    if failed:
        raise typer.Exit(SOME_FAILED)


def tell_plan(plan: "DiagnosisPlan", voice: Output) -> None:
    """Print what is trained, what that should cost, and what is left out."""
    from autoaug.compare import show_seconds

    for name, reason in plan.left_out.items():
        say(f"left out: {name}, for {reason}", err)
    strategies = list(dict.fromkeys(each.strategy for each in plan.trainings if not each.attacks))
    attacks = [f"; one more of {each.strategy} attacks" for each in plan.trainings if each.attacks]
    cost = "" if plan.seconds is None else f" · about {show_seconds(plan.seconds)} {plan.unit}, and the measurements"
    line = f"{plan.study.name} · {counted(len(plan.trainings), 'training')} ({', '.join(strategies)}"
    text = f"{line}{''.join(attacks)}){cost}" if plan.trainings else f"{plan.study.name}: all of it was measured before"
    trainings = [f"{each}" for each in plan.trainings]
    voice.tell(text, study=plan.study.name, trainings=trainings, seconds=plan.seconds, unit=plan.unit)


def conducted(plan: "DiagnosisPlan", store: "Store", load_once: Any, voice: Output) -> tuple[int, bool]:
    """Train and measure with progress; return how much failed, and whether it was interrupted."""
    from autoaug.diagnose import conduct_diagnosis

    failures: list[str] = []
    terminal = out.is_terminal and not voice.as_json
    with out.status("training") if terminal else nullcontext() as status:

        def listen(event: "DiagnosisEvent") -> None:
            if event.found:
                voice.tell(f"{event.training}: {in_words(event.found)}", **plain(event.found))
            elif event.failed:
                failures.append(event.failed)
                say(f"{event.training}: {event.failed}", err)
            elif status:
                status.update(f"{event.training}: epoch {event.epoch} of {event.epochs}")

        try:
            conduct_diagnosis(plan, store, listen, load_once)
        except KeyboardInterrupt:
            return len(failures), True
    return len(failures), False


def in_words(found: "Diagnosis") -> str:
    """Return what was found in a line: "white box, refined: clean 0.1000, fgsm 0.2000"."""
    from autoaug.compare import PHASES, show_value

    values = ", ".join(f"{name} {show_value(value)}" for name, value in found.values.items())
    return f"{found.diagnostic.replace('_', ' ')}, {PHASES[found.phase]}: {values or 'nothing'}"


def plain(found: "Diagnosis") -> dict[str, Any]:
    """Return what was found as plain data, without what only figures draw."""
    return {name: value for name, value in asdict(found).items() if name != "series"}


def tell_found(name: str, store: "Store", voice: Output, path: Path | None) -> None:
    """Print all that diagnostics have found of a study, and write it where that was asked."""
    from autoaug.cli._diagnosis_block import diagnosis_block

    found = diagnosed(name, store)
    if path:
        with writing(path):
            path.write_text(json.dumps([asdict(each) for each in found.diagnoses], indent=1), encoding="utf-8")
    data = {"study": name, "diagnoses": [plain(each) for each in found.diagnoses]}
    voice.show(diagnosis_block(found) if found.diagnoses else "nothing was found", data)


def diagnosed(name: str, store: "Store") -> "Comparison":
    """Return a comparison of the diagnostics of a study alone: whoever reads them has not looked at the test scores."""
    from autoaug.compare import Comparison, present_diagnoses
    from autoaug.store import diagnoses
    from autoaug.study import complete_definition

    definition = complete_definition(store.definition(name) or {})
    return Comparison((name,), definition, [], diagnoses=present_diagnoses(diagnoses(store, name)))
