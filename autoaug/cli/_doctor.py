"""`autoaug doctor`: every check is printed as soon as it is done, and every round of chaos."""

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from autoaug.cli._arguments import where
from autoaug.cli._commands import StorageOption, app
from autoaug.cli._output import FAILED, Output, out, usage_errors
from autoaug.text import counted, shown

if TYPE_CHECKING:
    from autoaug.testing.faults import Round

STYLES = {"ok": "green", "warn": "yellow", "fail": "red"}

WIDTH = 24
"""Of the column of names."""


@app.command()
def doctor(
    storage: StorageOption = None,
    artifacts: Annotated[Path, typer.Option(help="Where checkpoints will lie.")] = Path("artifacts"),
    address: Annotated[str | None, typer.Option(help="Of a running Ray cluster.")] = None,
    chaos: Annotated[bool, typer.Option("--chaos", help="Kill workers and drivers of small studies there.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Of chaos, half a minute each.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Check that everything a study needs is here: versions, GPUs, Ray, storage, clock, disk."""
    voice = Output(as_json)
    with usage_errors():
        reference = where(storage)
        checks = show_checks(reference, artifacts, address, voice)
        rounds_done = list(show_chaos(reference, rounds, voice)) if chaos else []
    healthy = not any(check["verdict"] == "fail" for check in checks) and not any(each.broken() for each in rounds_done)
    if as_json:
        lost = [{**asdict(each), "broken": each.broken()} for each in rounds_done]
        voice.show("", {"healthy": healthy, "checks": checks, "chaos": lost})
    raise typer.Exit(0 if healthy else FAILED)


def show_checks(storage: str, artifacts: Path, address: str | None, voice: Output) -> list[dict[str, str]]:
    """Make every check and print what it finds; returns them as plain data."""
    from autoaug.cli._checks import Target, examine

    made = []
    for name, check in examine(Target(storage, artifacts, address)):
        with waiting(name, voice):
            found = check()
        made.append({"name": name, **asdict(found)})
        if not voice.as_json:
            line = Text.assemble(f"{name:{WIDTH}}", (f"{found.verdict:6}", STYLES[found.verdict]), shown(found.finding))
            out.print(line.append(f"\n{'':{WIDTH + 6}}→ {shown(found.fix)}" if found.fix else ""), soft_wrap=True)
    return made


def show_chaos(storage: str, rounds: int, voice: Output) -> Iterator["Round"]:
    """Play rounds of chaos on a storage, every third one on Ray, and print what each has lost."""
    from autoaug.testing.faults import ChaosPlan, run_round

    if not voice.as_json:
        out.print(f"{rounds} rounds of chaos: small studies, whose processes are killed and hang at random moments")
    for seed in range(rounds):
        plan = ChaosPlan(executor="ray", drivers=1) if seed % 3 == 2 else ChaosPlan()
        place = tempfile.TemporaryDirectory(prefix="autoaug-chaos-", ignore_cleanup_errors=True)
        with place as folder, waiting(f"round {seed + 1} of {rounds}", voice):
            done = run_round(storage, Path(folder), seed, plan)
        if not voice.as_json:
            out.print(chaos_line(done), soft_wrap=True)
        yield done


def chaos_line(done: "Round") -> Text:
    """What was done in a round, and what was lost."""
    broken, found = done.broken(), done.audit
    verdict = "fail" if broken else "ok"
    strikes = ", ".join(strike.partition(" ")[0] for strike in done.faults) or "nobody was hit in time"
    said = (
        f"{strikes}; {found.complete} of {counted(found.trials, 'trial')} complete, {found.failed} failed, "
        f"{counted(found.repeated, 'epoch')} repeated, {found.missing} of {counted(found.acknowledged, 'report')} "
        f"lost, {done.seconds:.0f} s"
    )
    name = f"chaos {done.seed + 1}, {done.executor}"
    return Text.assemble(f"{name:{WIDTH}}", (f"{verdict:6}", STYLES[verdict]), "\n  ".join(map(shown, [said, *broken])))


def waiting(what: str, voice: Output) -> AbstractContextManager[object]:
    """A line that moves for as long as one waits, on a terminal."""
    return out.status(what) if out.is_terminal and not voice.as_json else nullcontext()
