"""What a strategy has spent of its budget, and what it may still begin.

A trial is paid for before it begins: each is expected to cost what the complete ones did, those that run at once are
counted too, and the cost of the re-runs that a search on a proxy still needs is set aside.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autoaug.record import Outcome, TrialKind, last_attempts
from autoaug.study import Study, most_epochs

HOPELESS = 5
"""So many failed trials in a row end a search."""


@dataclass(frozen=True)
class Account:
    """The work of one strategy so far, against its budget."""

    study: Study
    strategy: str
    outcomes: Sequence[Outcome]
    """Every attempt at a trial, a re-run or a final run of the strategy, as the storage has it."""
    predicted_rerun_seconds: float | None = None
    """What a re-run was expected to cost when the study began."""

    def of(self, kind: TrialKind) -> list[Outcome]:
        """Return the attempts at trials of one kind."""
        return [outcome for outcome in self.outcomes if outcome.kind is kind]

    def points(self) -> int:
        """Return how many points the search has tried or queued."""
        return len({outcome.root for outcome in self.of(TrialKind.SEARCH)})

    def is_waiting(self) -> bool:
        """Whether a trial of the search waits for a worker."""
        return any(outcome.state == "WAITING" for outcome in self.of(TrialKind.SEARCH))

    def is_hopeless(self) -> bool:
        """Whether the last trials all failed: more of them would only fail again."""
        states = [outcome.state for outcome in last_attempts(self.of(TrialKind.SEARCH))]
        return len(states) >= HOPELESS and set(states[-HOPELESS:]) == {"FAIL"}

    def share_spent(self) -> float:
        """Return how much of the budget is used: 0 is nothing, 1 or more is all."""
        limit = self.study.trials_of(self.strategy)
        by_trials = self.points() / limit if limit else 0.0
        spent = (charged(self.outcomes, unit) for unit in ("gpu_seconds", "wall_seconds"))
        return max(by_trials, self.study.budget.spent(0, *spent))

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
        search = self.of(TrialKind.SEARCH)
        ended = [getattr(outcome, unit) for outcome in search if outcome.state == "COMPLETE"]
        if not ended:
            return True
        running = sum(outcome.state == "RUNNING" for outcome in search)
        expected = (1 + running) * sum(ended) / len(ended)
        spent = charged((outcome for outcome in self.outcomes if outcome.over), unit)
        return spent + expected + self.reserved(unit) <= limit

    def reserved(self, unit: str) -> float:
        """Return the seconds that the re-runs which a search still needs are expected to cost.

        By what re-runs have cost; before the first by what was measured when the study began; without that by what an
        epoch of the search has cost, which is too little for a proxy with a smaller model or fewer images.
        """
        reruns = last_attempts(self.of(TrialKind.RERUN))
        missing = self.study.reruns_of(self.strategy) - sum(outcome.over for outcome in reruns)
        if missing <= 0:
            return 0.0
        measured = [getattr(outcome, unit) for outcome in reruns if outcome.state == "COMPLETE"]
        if measured:
            return missing * float(sum(measured)) / len(measured)
        if self.predicted_rerun_seconds is not None:
            return missing * self.predicted_rerun_seconds
        search = self.of(TrialKind.SEARCH)
        epochs = sum(outcome.epochs for outcome in search)
        return missing * most_epochs(self.study, self.strategy) * charged(search, unit) / max(1, epochs)


def charged(outcomes: Iterable[Outcome], unit: str) -> float:
    """Return the seconds that count against a budget, in one of its units: "gpu_seconds" or "wall_seconds"."""
    return float(sum(getattr(outcome, unit) for outcome in outcomes if outcome.kind.charged))
