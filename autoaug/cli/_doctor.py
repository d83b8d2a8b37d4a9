"""`autoaug doctor`: every check is printed as soon as it is done, and every round of chaos."""

import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from autoaug.artifacts import Location, location
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
    artifacts: Annotated[str, typer.Option(metavar="FOLDER|URL", help="Where checkpoints will lie.")] = "artifacts",
    address: Annotated[str | None, typer.Option(help="Of a running Ray cluster.")] = None,
    chaos: Annotated[bool, typer.Option("--chaos", help="Kill workers and drivers of small studies there.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Of chaos, half a minute each.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Check that everything a study needs is here: versions, GPUs, Ray, storage, clock, disk."""
    output = Output(as_json)
    with usage_errors():
        storage_url = where(storage)
        checks = show_checks(storage_url, location(artifacts), address, output)
        rounds_done = list(show_chaos(storage_url, rounds, output)) if chaos else []
    healthy = not any(check["verdict"] == "fail" for check in checks) and not any(done.broken() for done in rounds_done)
    if as_json:
        rounds_lost = [{**asdict(done), "broken": done.broken()} for done in rounds_done]
        output.show("", {"healthy": healthy, "checks": checks, "chaos": rounds_lost})
    raise typer.Exit(0 if healthy else FAILED)


def show_checks(storage: str, artifacts: Location, address: str | None, output: Output) -> list[dict[str, str]]:
    """Make every check and print its finding; return them as plain data."""
    from autoaug.cli._checks import Target, examine

    findings = []
    for name, check in examine(Target(storage, artifacts, address)):
        with waiting(name, output):
            result = check()
        findings.append({"name": name, **asdict(result)})
        if not output.as_json:
            line = Text.assemble(
                f"{name:{WIDTH}}", (f"{result.verdict:6}", STYLES[result.verdict]), shown(result.finding)
            )
            out.print(line.append(f"\n{'':{WIDTH + 6}}→ {shown(result.fix)}" if result.fix else ""), soft_wrap=True)
    return findings


def show_chaos(storage: str, rounds: int, output: Output) -> Iterator["Round"]:
    """Yield rounds of faults on a storage, each after its line is printed; one of three by a command, one on Ray."""
    from autoaug.testing.faults import ChaosPlan, run_round

    if not output.as_json:
        out.print(f"{rounds} rounds of chaos: small studies, whose processes are killed and hang at random moments")
    for seed in range(rounds):
        plan = (ChaosPlan(), ChaosPlan(train="shell"), ChaosPlan(executor="ray", drivers=1))[seed % 3]
        temporary = tempfile.TemporaryDirectory(prefix="autoaug-chaos-", ignore_cleanup_errors=True)
        with temporary as folder, waiting(f"round {seed + 1} of {rounds}", output):
            done = run_round(storage, Path(folder), seed, plan)
        if not output.as_json:
            out.print(chaos_line(done), soft_wrap=True)
        yield done


def chaos_line(done: "Round") -> Text:
    """Return the line of a round: its faults, and what was lost."""
    broken, audit = done.broken(), done.audit
    verdict = "fail" if broken else "ok"
    faults = ", ".join(fault.partition(" ")[0] for fault in done.faults) or "nobody was hit in time"
    text = (
        f"{faults}; {audit.complete} of {counted(audit.trials, 'trial')} complete, {audit.failed} failed, "
        f"{counted(audit.repeated, 'epoch')} repeated, {audit.missing} of {counted(audit.acknowledged, 'report')} "
        f"lost, {done.seconds:.0f} s"
    )
    name = f"chaos {done.seed + 1}, {done.executor}"
    return Text.assemble(f"{name:{WIDTH}}", (f"{verdict:6}", STYLES[verdict]), "\n  ".join(map(shown, [text, *broken])))


def waiting(text: str, output: Output) -> AbstractContextManager[object]:
    """Return a line that moves for as long as one waits, on a terminal."""
    return out.status(text) if out.is_terminal and not output.as_json else nullcontext()
