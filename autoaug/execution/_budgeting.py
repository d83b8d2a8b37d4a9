"""What a strategy has spent of its budget, and what it may still begin.

A trial is paid for before it begins: each is expected to cost what the complete ones did, those that run at once are
counted too, and the cost of the re-runs that a search on a proxy still needs is set aside.

What has ended is added up once (`Ended`), so that no decision takes longer the longer a search lasts.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from autoaug.record import UNITS, Outcome, TrialKind, last_attempts
from autoaug.study import Study, most_epochs

HOPELESS = 5
"""So many failed trials in a row end a search."""


@dataclass
class Ended:
    """Add up the attempts of a strategy that have ended, in whatever order they come: none of them ever changes."""

    maximize: bool
    """Whether more of the study's metric is better."""
    last: dict[int, Outcome] = field(default_factory=dict)
    """The last attempt at each trial of the search that has an attempt which ended."""
    roots: list[int] = field(default_factory=list)
    """Its keys, in their order."""
    ranked: dict[bool, list[tuple[float, str, int, Outcome]]] = field(default_factory=lambda: {True: [], False: []})
    """The complete trials of the search and its re-runs, the best first: those on a proxy, and those on the task."""
    others: dict[TrialKind, list[Outcome]] = field(default_factory=lambda: defaultdict(list))
    """Re-runs and final runs."""
    complete: int = 0
    """How many trials of the search are complete, and what they cost."""
    complete_cost: dict[str, float] = field(default_factory=lambda: dict.fromkeys(UNITS, 0.0))
    epochs: int = 0
    """Of the search."""

    def add(self, outcome: Outcome) -> None:
        """Add an attempt."""
        if outcome.state == "COMPLETE" and outcome.value is not None and outcome.kind is not TrialKind.FINAL:
            value = -outcome.value if self.maximize else outcome.value
            order = "" if outcome.kind is TrialKind.SEARCH else outcome.kind  # of equal ones a trial of the search
            insort(self.ranked[outcome.proxy], (value, order, outcome.trial, outcome))
        if outcome.kind is not TrialKind.SEARCH:
            self.others[outcome.kind].append(outcome)
            return
        before = self.last.get(outcome.root)
        if before is None:
            insort(self.roots, outcome.root)
        if before is None or before.attempt < outcome.attempt:
            self.last[outcome.root] = outcome
        self.epochs += outcome.epochs
        if outcome.state == "COMPLETE":
            self.complete += 1
            for unit in UNITS:
                self.complete_cost[unit] += getattr(outcome, unit)


@dataclass(frozen=True)
class Account:
    """The work of one strategy so far, against its budget."""

    study: Study
    strategy: str
    ended: Ended
    unfinished: Sequence[Outcome]
    """The attempts that wait or run, as the storage has them."""
    spent: Mapping[str, float]
    """What the search and its re-runs have cost, by unit, lost and running work included."""
    predicted_rerun_seconds: float | None = None
    """What a re-run was expected to cost when the study began."""

    def of(self, kind: TrialKind) -> list[Outcome]:
        """Return the attempts at re-runs or at final runs, by their numbers."""
        unfinished = [outcome for outcome in self.unfinished if outcome.kind is kind]
        return sorted([*self.ended.others[kind], *unfinished], key=lambda outcome: outcome.trial)

    def under_way(self, kind: TrialKind = TrialKind.SEARCH) -> list[Outcome]:
        """Return the attempts at trials of a kind that wait or run."""
        return [outcome for outcome in self.unfinished if outcome.kind is kind]

    def best(self, proxy: bool = False) -> Iterable[Outcome]:
        """Return the complete trials of the search and its re-runs, the best first: on the task, or on a proxy."""
        return (outcome for *_, outcome in self.ended.ranked[proxy])

    def points(self) -> int:
        """Return how many points the search has tried or queued."""
        new = {outcome.root for outcome in self.under_way()} - self.ended.last.keys()
        return len(self.ended.last) + len(new)

    def is_waiting(self) -> bool:
        """Whether a trial of the search waits for a worker."""
        return any(outcome.state == "WAITING" for outcome in self.under_way())

    def is_hopeless(self) -> bool:
        """Whether the last trials all failed: more of them would only fail again."""
        last = [self.ended.last[root] for root in self.ended.roots[-HOPELESS:]]
        now = {outcome.root: outcome.state for outcome in last_attempts([*last, *self.under_way()])}
        return [now[root] for root in sorted(now)[-HOPELESS:]] == ["FAIL"] * HOPELESS

    def share_spent(self) -> float:
        """Return how much of the budget is used: 0 is nothing, 1 or more is all."""
        limit = self.study.trials_of(self.strategy)
        by_trials = self.points() / limit if limit else 0.0
        return max(by_trials, self.study.budget.spent(0, *(self.spent[unit] for unit in UNITS)))

    def may_begin(self) -> bool:
        """Whether there is a trial to resume, or budget for one that costs what the trials cost so far."""
        if self.is_waiting():
            return True
        if self.share_spent() >= 1 or self.is_hopeless():
            return False
        return all(self.can_pay(unit, limit) for unit, limit in self.study.budget.seconds.items())

    def can_pay(self, unit: str, limit: float) -> bool:
        """Whether one more trial, beside those that run now and the re-runs to come, stays within `limit` seconds.

        Before the first complete trial nobody knows what one costs, and it may begin.
        """
        if not self.ended.complete:
            return True
        running = sum(outcome.state == "RUNNING" for outcome in self.under_way())
        expected = (1 + running) * self.ended.complete_cost[unit] / self.ended.complete
        over = self.spent[unit] - charged(self.unfinished, unit)
        return over + expected + self.reserved(unit) <= limit

    def reserved(self, unit: str) -> float:
        """Return the seconds that the re-runs which a search still needs are expected to cost.

        By what re-runs have cost; before the first by what was measured when the study began; without that by what an
        epoch of the search has cost, which is too little for a proxy with a smaller model or fewer images.
        """
        attempts = self.of(TrialKind.RERUN)
        reruns = last_attempts(attempts)
        missing = self.study.reruns_of(self.strategy) - sum(outcome.over for outcome in reruns)
        if missing <= 0:
            return 0.0
        measured = [getattr(outcome, unit) for outcome in reruns if outcome.state == "COMPLETE"]
        if measured:
            return missing * float(sum(measured)) / len(measured)
        if self.predicted_rerun_seconds is not None:
            return missing * self.predicted_rerun_seconds
        epochs = self.ended.epochs + sum(outcome.epochs for outcome in self.under_way())
        searched = self.spent[unit] - charged(attempts, unit)
        return missing * most_epochs(self.study, self.strategy) * searched / max(1, epochs)


def charged(outcomes: Iterable[Outcome], unit: str) -> float:
    """Return the seconds that count against a budget, in one of its units: "gpu_seconds" or "wall_seconds"."""
    return float(sum(getattr(outcome, unit) for outcome in outcomes if outcome.kind.charged))
