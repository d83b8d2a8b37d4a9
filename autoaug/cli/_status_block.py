"""What a person is told of a study that runs: who works on what, what strategies have cost, and when it should end."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from rich.console import Group
from rich.table import Table
from rich.text import Text

from autoaug.cli._console import plain, title
from autoaug.compare import show_seconds
from autoaug.execution import Status, StrategyStatus, TrialStatus
from autoaug.text import by_clock, counted, shown

UNKNOWN = "unknown"

LONGEST_HOST = 16
"""Characters of the name of a host that are shown."""


def status_block(found: Status, storage: str, at: datetime) -> Group:
    """Return all that a person is told."""
    heading = title(f"{found.study} · {storage}")
    running = Group(running_table(found.running, at), *stale_lines(found.running), "") if found.running else Group()
    return Group(heading, *summary(found, at), "", running, strategies_table(found.strategies))


def summary(found: Status, at: datetime) -> list[str]:
    """Return how far the study is, who works on it, and when it should end."""
    strategies = found.strategies
    limits = [each.trials for each in strategies if each.trials is not None]
    wanted = f" of {sum(limits)}" if len(limits) == len(strategies) else ""
    done = [f"trials {sum(each.done for each in strategies)}{wanted}"]
    done += [f"final runs {sum(each.finals_done for each in strategies)} of {sum(each.finals for each in strategies)}"]
    if failed := sum(each.failed for each in strategies):
        done.append(f"{failed} failed")
    return [" · ".join(done), *([] if found.finished else [people(found)]), outlook(found, at)]


def people(found: Status) -> str:
    """Return how many work on the study, as far as the storage knows."""
    if not found.workers:
        return "nobody works on it now" + (f", {counted(found.idle, 'driver')} looked for work" if found.idle else "")
    idle = f", {found.idle} more idle" if found.idle else ""
    return f"{counted(found.workers, 'worker')} on {counted(found.hosts, 'host')}{idle}"


def outlook(found: Status, at: datetime) -> str:
    """Return when the study should end."""
    if found.finished:
        return "finished"
    left = [each.remaining_wall_seconds for each in found.strategies]
    work = f"{by_clock(sum(filter(None, left)))} of work left"
    if None in left:
        return "when it ends is unknown: no trial of some strategy has ended yet, and nothing was measured before"
    if found.ends_in_seconds is None:
        return f"about {work}, one trial at a time"
    at_once = sum(not trial.stale for trial in found.running)
    end = clock(at + timedelta(seconds=found.ends_in_seconds), at)
    return f"about {work}: until {end} with {counted(at_once, 'trial')} at a time"


def running_table(trials: Sequence[TrialStatus], at: datetime) -> Table:
    """Return one line for each trial that runs; what is silent for too long is yellow."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading, least in {"running": 12, "epoch": 0, "where": 12, "device": 14, "since": 0, "last sign": 0}.items():
        table.add_column(heading, no_wrap=not least, overflow="fold", min_width=least or None)
    for trial in trials:
        again = f", attempt {trial.attempt}" if trial.attempt > 1 else ""
        retrained = f" + {trial.retrained}" if trial.retrained else ""
        cells = [
            f"{trial.strategy} {trial.name}{again}",
            f"{trial.epoch}/{trial.epochs or UNKNOWN}{retrained}",
            where(trial),
        ]
        cells += [trial.device or UNKNOWN, clock(datetime.fromisoformat(trial.since), at)]
        table.add_row(*map(plain, [*cells, by_clock(trial.silent_seconds)]), style="yellow" if trial.stale else "")
    return table


def stale_lines(trials: Iterable[TrialStatus]) -> list[Text]:
    """Return a line for each trial whose worker shows no sign of life any more."""
    return [
        Text(
            shown(
                f"{trial.strategy} {trial.name}: no sign of life for {by_clock(trial.silent_seconds)}: "
                "will be given to another worker"
            ),
            "yellow",
        )
        for trial in trials
        if trial.stale
    ]


def strategies_table(strategies: Sequence[StrategyStatus]) -> Table:
    """Return one line for each strategy: its trials, its cost, and what is expected still to come."""
    reruns = any(each.reruns for each in strategies)
    cost = next((each.unit for each in strategies if each.unit != "CPU-seconds"), "CPU-seconds")
    wall = any("wall_seconds" in each.limits for each in strategies)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("strategy", overflow="fold", min_width=8)
    for heading in ("trials", *["re-runs"] * reruns, "finals"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("now", overflow="fold", min_width=10)
    for heading in (cost.replace("-seconds", " s"), *["wall s"] * wall, "to come"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in strategies:
        cells = [each.strategy, part(each.done, each.trials), *[part(each.reruns_done, each.reruns or None)] * reruns]
        cells += [part(each.finals_done, each.finals), at_present(each), spent(each, "gpu_seconds")]
        cells += [*[spent(each, "wall_seconds")] * wall, to_come(each)]
        table.add_row(*map(plain, cells))
    return table


def at_present(each: StrategyStatus) -> str:
    """Return what a strategy's trials do that are not done."""
    states = {"running": each.running, "waiting": each.waiting, "failed": each.failed}
    return ", ".join(f"{count} {state}" for state, count in states.items() if count)


def to_come(each: StrategyStatus) -> str:
    """Return what a strategy is expected still to spend."""
    if each.finished:
        return ""
    return UNKNOWN if each.remaining_seconds is None else show_seconds(each.remaining_seconds)


def where(trial: TrialStatus) -> str:
    """Return the host of a trial, without its domain, and the process there; of a long name the end, which differs."""
    host = trial.host.partition(".")[0]
    short = host if len(host) <= LONGEST_HOST else f"…{host[1 - LONGEST_HOST :]}"
    return f"{short}:{trial.pid}" if trial.pid else short or UNKNOWN


def part(done: int, wanted: int | None) -> str:
    """Return how many of how many."""
    return f"{done}/{wanted}" if wanted is not None else f"{done}"


def spent(each: StrategyStatus, name: str) -> str:
    """Return what was spent, of what may be spent where that is limited."""
    limit = each.limits.get(name)
    return show_seconds(each.spent[name]) + (f"/{show_seconds(limit)}" if limit is not None else "")


def clock(time: datetime, at: datetime) -> str:
    """Return a time of day, with its day where that is not today's."""
    return f"{time:%H:%M}" if time.date() == at.date() else f"{time:%b %d %H:%M}"
