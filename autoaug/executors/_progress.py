"""How far a study is, counted event by event: what a terminal or a notebook shows while it runs."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from autoaug.compare import leading, short, show_limit, show_seconds, show_value, unit_of
from autoaug.execution import Event, status
from autoaug.record import Outcome, Record, TrialKind, last_attempts
from autoaug.store import Store
from autoaug.study import Study
from autoaug.text import by_clock, counted

SECONDS_BETWEEN_FORECASTS = 2.0
"""At least, and a hundred times as long as the last one took: following a study must not slow it down."""


@dataclass
class StrategyProgress:
    """Count the progress of one strategy."""

    trials: int = 0
    finals: int = 0
    failed: int = 0
    best: float | None = None
    seconds: float = 0.0
    now: str = ""
    searched: bool = False
    """Whether its final runs have begun: nothing is left to search then."""


class Progress:
    """Follow a study event by event. It starts from what the storage already holds.

    Args:
        study: that runs.
        outcomes: of it, as they are stored when it starts.
        only: the strategies that run; empty for all of them.
        store: where it runs, which knows how long that should take; without it that is not said.
    """

    def __init__(
        self, study: Study, outcomes: Sequence[Outcome] = (), only: Sequence[str] = (), store: Store | None = None
    ) -> None:
        self.study, self.store = study, store
        self.begun = time.monotonic()
        self.ends: float | None = None
        """When it should end, by the same clock; None where that is not known."""
        self.next_forecast = self.begun
        self.better = max if study.direction == "maximize" else min
        self.strategies = {name: StrategyProgress() for name in study.strategies if not only or name in only}
        self.unit = unit_of(outcome.device for outcome in outcomes)
        self.last: dict[int, Record] = {}
        selected = [outcome for outcome in outcomes if outcome.strategy in self.strategies]
        for outcome in last_attempts(outcome for outcome in selected if outcome.kind.charged):
            if outcome.over:
                self.count(outcome.strategy, outcome.state, outcome.value, outcome.kind)
        for outcome in selected:
            counts = self.strategies[outcome.strategy]
            counts.seconds += outcome.gpu_seconds if outcome.kind.charged else 0.0
            counts.finals += outcome.kind is TrialKind.FINAL and outcome.state == "COMPLETE"
            counts.searched |= outcome.kind is TrialKind.FINAL

    def see(self, event: Event) -> None:
        """Take in one event."""
        job, counts = event.job, self.strategies[event.job.strategy]
        counts.searched |= job.kind is TrialKind.FINAL
        if event.record:
            self.unit = unit_of([event.record.device])
            if not event.record.training:
                self.last[job.trial_id] = event.record
            counts.seconds += event.record.gpu_seconds if job.kind.charged else 0.0
            again = f" {event.record.training.replace('_', ' ')}" if event.record.training else ""
            counts.now = f"{job.name}{again} epoch {event.record.epoch}"
        elif event.state in ("COMPLETE", "PRUNED", "FAIL"):
            counts.now = ""
            last = self.last.pop(job.trial_id, None)
            value = last.metrics.get(self.study.metric) if last else None
            self.count(job.strategy, event.state, value, job.kind)
        if event.state:
            self.forecast()

    def forecast(self) -> None:
        """Ask the storage how long the rest should take, as `status` does, where the last answer is old enough."""
        begun = time.monotonic()
        if self.store is None or begun < self.next_forecast:
            return
        try:
            found = status(self.store, self.study.name)
        except ConnectionError:  # whoever runs trials finds that out too, and waits or says so
            return
        left = [each.remaining_wall_seconds for each in found.strategies if each.strategy in self.strategies]
        now = time.monotonic()
        known = [seconds for seconds in left if seconds is not None]
        self.ends = now + sum(known) / max(found.workers, 1) if len(known) == len(left) else None
        self.next_forecast = now + max(SECONDS_BETWEEN_FORECASTS, 100 * (now - begun))

    def count(self, strategy: str, state: str, value: float | None, kind: TrialKind) -> None:
        """Take in how a trial ended. What was reached on a proxy is not the best of anything."""
        counts = self.strategies[strategy]
        in_full = kind is TrialKind.RERUN or not self.study.reruns_of(strategy)
        counts.failed += state == "FAIL"
        if kind is TrialKind.FINAL:
            counts.finals += state == "COMPLETE"
            return
        counts.trials += kind is TrialKind.SEARCH
        if state == "COMPLETE" and value is not None and in_full:
            counts.best = value if counts.best is None else self.better(counts.best, value)

    def summary(self) -> str:
        """Return in a line how long it has run, how long it should take, and which strategy leads."""
        now = time.monotonic()
        left = f"about {by_clock(self.ends - now)} left" if self.ends is not None and self.ends > now else ""
        best = {
            name: each.best
            for name, each in self.strategies.items()
            if each.best is not None and "data" not in self.study.strategies[name].task
        }
        return " · ".join(
            filter(None, [f"{by_clock(now - self.begun)} elapsed", left, leading(best, self.study.metric)])
        )

    @property
    def headings(self) -> tuple[str, str, str]:
        """Return what stands over `figures`."""
        return "trials", f"best {short(self.study.metric)}", self.unit

    def figures(self, name: str) -> tuple[str, str, str]:
        """Return trials, best value and seconds of a strategy, each with its limit where it has one."""
        counts, trials, seconds = self.strategies[name], self.study.trials_of(name), self.study.budget.gpu_seconds
        return (
            f"{counts.trials}/{trials}" if trials else str(counts.trials),
            show_value(counts.best),
            show_seconds(counts.seconds) + (f"/{show_limit(seconds)}" if seconds else ""),
        )

    def used(self, name: str) -> float:
        """Return how much of its budget the search of a strategy has used, from 0 to 1."""
        counts, limit = self.strategies[name], self.study.trials_of(name)
        used = max(counts.trials / limit if limit else 0.0, self.study.budget.spent(0, counts.seconds))
        return 1.0 if counts.searched else min(used, 1.0)

    def now(self, name: str) -> str:
        """Return what a strategy is at, or how many of its final runs are done; empty before the first."""
        counts = self.strategies[name]
        return counts.now or (f"{counts.finals}/{counted(self.study.seeds, 'final run')}" if counts.finals else "")
