"""What a person reads on the terminal: the plan, the progress of a study, the leaderboard."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from autoaug.compare import Difference, Interval, Row
from autoaug.record import Outcome, last_attempts
from autoaug.study import Line, Study
from autoaug.sweep import Event

SECONDS_BETWEEN_FRAMES = 0.1


def plan_table(study: Study, lines: Sequence[Line]) -> Table:
    """What a study will do."""
    table = Table(title=f"{study.name}: the plan", title_justify="left", box=None, pad_edge=False)
    for name in ("strategy", "trials", "epochs each", "final runs", "searches"):
        table.add_column(name, justify="left" if name in ("strategy", "searches") else "right")
    for line in lines:
        trials = "by budget" if line.trials is None else str(line.trials)
        searched = ", ".join(line.dimensions) or "nothing"
        table.add_row(line.strategy, trials, f"≤ {line.epochs}", str(line.final_runs), searched)
    return table


def leaderboard_table(rows: Sequence[Row], metric: str, baseline: str) -> Table:
    """The answer of a study."""
    unit = "GPU s" if any(row.device == "cuda" for row in rows) else "CPU s"
    table = Table(box=None, pad_edge=False)
    table.add_column("strategy", no_wrap=True)
    for heading in ("test accuracy", f"vs {baseline}", "p", f"best {metric}", "trials", unit):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.name,
            show_interval(row.test),
            *show_difference(row.vs_baseline),
            "–" if row.val_best is None else f"{row.val_best:.4f}",
            show_trials(row),
            f"{row.gpu_seconds:.1f}",
        )
    runs = sorted({row.test.n for row in rows if row.test})
    counted = " to ".join(map(str, dict.fromkeys((runs[0], runs[-1])))) if runs else "no"
    table.caption = f"± is half a 95 % t-interval over {counted} final runs; p is of a paired t-test"
    table.caption_justify = "left"
    return table


def show_interval(found: Interval | None) -> str:
    if found is None:
        return "–"
    return f"{found.mean:.4f}" + ("" if found.high is None else f" ± {found.high - found.mean:.4f}")


def show_difference(found: Difference | None) -> tuple[str, str]:
    if found is None:
        return "", ""
    return f"{found.difference:+.4f}", "–" if found.p is None else f"{found.p:.2g}"


def show_trials(row: Row) -> str:
    extra = [f"{count} {what}" for what in ("pruned", "failed") if (count := getattr(row, what))]
    return f"{row.trials}" + (f" ({', '.join(extra)})" if extra else "")


@dataclass
class Lane:
    """How far one strategy is."""

    trials: int = 0
    finals: int = 0
    failed: int = 0
    best: float | None = None
    seconds: float = 0.0
    now: str = ""


class Watch:
    """Follows a study event by event. It starts from what the storage already holds."""

    def __init__(self, study: Study, outcomes: Sequence[Outcome]) -> None:
        self.study = study
        self.better = max if study.direction == "maximize" else min
        self.lanes = {name: Lane() for name in study.strategies}
        self.unit = "CPU s"
        self.last: dict[int, float] = {}
        for outcome in last_attempts(outcome for outcome in outcomes if not outcome.final):
            if outcome.strategy in self.lanes and outcome.over:
                self.count(self.lanes[outcome.strategy], outcome.state, outcome.value, final=False)
        for outcome in outcomes:
            if lane := self.lanes.get(outcome.strategy):
                lane.seconds += 0.0 if outcome.final else outcome.gpu_seconds
                lane.finals += outcome.final and outcome.state == "COMPLETE"

    def see(self, event: Event) -> None:
        job, lane = event.job, self.lanes[event.job.strategy]
        if event.record:
            self.unit = "GPU s" if event.record.device == "cuda" else "CPU s"
            self.last[job.trial_id] = event.record.metrics[self.study.metric]
            lane.seconds += 0.0 if job.final else event.record.gpu_seconds
            lane.now = f"{'final' if job.final else 'trial'} {job.number}, epoch {event.record.epoch}"
        elif event.state in ("COMPLETE", "PRUNED", "FAIL"):
            lane.now = ""
            self.count(lane, event.state, self.last.pop(job.trial_id, None), job.final)

    def count(self, lane: Lane, state: str, value: float | None, final: bool) -> None:
        lane.failed += state == "FAIL"
        if final:
            lane.finals += state == "COMPLETE"
            return
        lane.trials += 1
        if state == "COMPLETE" and value is not None:
            lane.best = value if lane.best is None else self.better(lane.best, value)

    def block(self) -> Group:
        """One line per strategy."""
        table = Table.grid(padding=(0, 2))
        for name, lane in self.lanes.items():
            limit, seconds = self.study.trials_of(name), self.study.budget.gpu_seconds
            total = limit if limit else seconds or 1
            done = lane.trials if limit else lane.seconds
            finals = f"{lane.finals}/{self.study.seeds} final runs" if lane.finals else ""
            table.add_row(
                name,
                ProgressBar(total=total, completed=min(done, total), width=24),
                f"{lane.trials}/{limit} trials" if limit else f"{lane.trials} trials",
                "" if lane.best is None else f"best {lane.best:.4f}",
                f"{lane.seconds:.1f} {self.unit}" + (f" of {seconds:g}" if seconds else ""),
                f"{lane.failed} failed" if lane.failed else "",
                lane.now or finals,
            )
        return Group(table, Text("Ctrl-C keeps what is there", style="dim"))


class LiveProgress:
    """One live block on a terminal."""

    def __init__(self, console: Console, watch: Watch) -> None:
        self.watch = watch
        # drawn on events only: a thread that draws would be counted as cost of the trials
        self.live = Live(watch.block(), console=console, auto_refresh=False, transient=True)
        self.drawn = 0.0

    def __enter__(self) -> "LiveProgress":
        self.live.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def __call__(self, event: Event) -> None:
        self.watch.see(event)
        if event.state or time.monotonic() - self.drawn > SECONDS_BETWEEN_FRAMES:
            self.live.update(self.watch.block(), refresh=True)
            self.drawn = time.monotonic()


class LineProgress:
    """One plain line per trial that ended, where there is no terminal."""

    def __init__(self, console: Console, watch: Watch) -> None:
        self.console, self.watch = console, watch

    def __enter__(self) -> "LineProgress":
        return self

    def __exit__(self, *_: object) -> None: ...

    def __call__(self, event: Event) -> None:
        value = self.watch.last.get(event.job.trial_id)
        self.watch.see(event)
        if event.state and event.state != "RUNNING":
            score = "" if value is None else f"  {self.watch.study.metric} {value:.4f}"
            spent = f"  {self.watch.lanes[event.job.strategy].seconds:.1f} {self.watch.unit}"
            reason = f"  ({event.reason})" if event.reason else ""
            self.console.print(f"{event.job}: {event.state}{score}{spent}{reason}", markup=False, highlight=False)


class JsonProgress:
    """One JSON line per event, for machines."""

    def __enter__(self) -> "JsonProgress":
        return self

    def __exit__(self, *_: object) -> None: ...

    def __call__(self, event: Event) -> None:
        print(json.dumps(without_nothing(asdict(event))), flush=True)


class NoProgress:
    """Quiet."""

    def __enter__(self) -> "NoProgress":
        return self

    def __exit__(self, *_: object) -> None: ...

    def __call__(self, event: Event) -> None: ...


def without_nothing(data: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data without the fields that say nothing."""
    return {
        key: without_nothing(value) if isinstance(value, Mapping) else value
        for key, value in data.items()
        if value not in (None, "")
    }
