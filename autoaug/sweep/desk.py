"""The desk hands out the work of a study: which trial runs next, and when all of it is over.

It keeps nothing in memory that the storage does not hold, so any number of desks can share a study, and a new desk
goes on where a dead one stopped.
"""

import time
from collections.abc import Iterable, Sequence
from datetime import datetime

from optuna.trial import TrialState

from autoaug.record import LEADERBOARD, Outcome, best_complete, last_attempts
from autoaug.store import Store, root_of
from autoaug.strategies import SeededByTrial
from autoaug.study import Study
from autoaug.sweep.job import Job, is_gone, me

GRACE_SECONDS = 60.0
"""A lease older than this is dead, and its trial is given to somebody else."""

RECONCILE_SECONDS = 5.0
"""How often an idle desk looks for workers that died."""


HOPELESS = 5
"""So many failed trials in a row end a search."""


class Desk:
    """Hands out the work of one study."""

    def __init__(self, study: Study, store: Store, only: Iterable[str] = (), grace: float = GRACE_SECONDS) -> None:
        """Create what is missing in the storage, and take back the trials of workers that died.

        Raises:
            ValueError: the study contradicts what was run under its name.
        """
        self.study, self.store, self.grace = study, store, grace
        store.define(study.name, study.describe())
        self.searches = {
            name: store.open(study.name, name, study.direction, study.metric)
            for name in study.strategies
            if not only or name in only
        }
        for name, search in self.searches.items():
            search.sampler = SeededByTrial(study.strategies[name].between, study.name, study.seed, name)
        self.finals = store.leaderboard(study.name)
        self.looked = -RECONCILE_SECONDS
        self.reconcile()

    def next(self) -> Job | None:
        """The next trial to run, already RUNNING and leased; None where there is nothing to do right now."""
        outcomes = self.outcomes()
        for name in sorted(self.searches, key=lambda name: self.urgency(name, outcomes[name])):
            if self.may_ask(name, outcomes[name]):
                return self.ask(name)
        for name, found in outcomes.items():
            if self.search_over(name, found):
                self.queue_finals(name, found)
        if job := self.next_final():
            return job
        self.reconcile()
        return None

    def over(self) -> bool:
        """Whether every search and every final run of this desk has ended."""
        outcomes = self.outcomes()
        return all(self.search_over(name, found) and self.finals_over(found) for name, found in outcomes.items())

    def outcomes(self) -> dict[str, list[Outcome]]:
        found: dict[str, list[Outcome]] = {name: [] for name in self.searches}
        for outcome in self.store.outcomes(self.study.name):
            if outcome.strategy in found:
                found[outcome.strategy].append(outcome)
        return found

    # Search

    def urgency(self, name: str, outcomes: Sequence[Outcome]) -> tuple[bool, float]:
        """Interrupted trials go first, then the strategy that has used least of its budget."""
        return not waiting(outcomes), self.share_spent(name, outcomes)

    def share_spent(self, name: str, outcomes: Sequence[Outcome]) -> float:
        """How much of its budget a strategy has used."""
        search = [outcome for outcome in outcomes if not outcome.final]
        roots = len({outcome.root for outcome in search})
        limit = self.study.trials_of(name)
        by_trials = roots / limit if limit else 0.0
        return max(by_trials, self.study.budget.spent(0, sum(outcome.gpu_seconds for outcome in search)))

    def may_ask(self, name: str, outcomes: Sequence[Outcome]) -> bool:
        """Whether a strategy has a trial to resume, or budget for one that costs what its trials cost so far."""
        search = [outcome for outcome in outcomes if not outcome.final]
        if waiting(search):
            return True
        if self.share_spent(name, outcomes) >= 1 or hopeless(search):
            return False
        limit, ended = self.study.budget.gpu_seconds, [o.gpu_seconds for o in search if o.state == "COMPLETE"]
        if limit is None or not ended:
            return True
        running = sum(outcome.state == "RUNNING" for outcome in search)
        expected = (1 + running) * sum(ended) / len(ended)
        return sum(outcome.gpu_seconds for outcome in search if outcome.over) + expected <= limit

    def search_over(self, name: str, outcomes: Sequence[Outcome]) -> bool:
        busy = any(outcome.state in ("WAITING", "RUNNING") for outcome in outcomes if not outcome.final)
        return not busy and not self.may_ask(name, outcomes)

    def ask(self, name: str) -> Job:
        """A point that was queued before, or else a new one from the strategy's sampler."""
        trial = self.searches[name].ask(dict(self.study.space_of(name)))
        self.store.beat(trial._trial_id, me())
        return Job(
            strategy=name,
            trial_id=trial._trial_id,
            number=trial.number,
            point=trial.params,
            attempt=trial.user_attrs.get("attempt", 1),
            root=root_of(self.searches[name], trial),
        )

    # Final runs

    def best(self, outcomes: Sequence[Outcome]) -> Outcome | None:
        return best_complete(outcomes, self.study.direction == "maximize")

    def queue_finals(self, name: str, outcomes: Sequence[Outcome]) -> None:
        """Queue the final runs that a strategy still lacks."""
        best = self.best(outcomes)
        there = {outcome.seed for outcome in outcomes if outcome.final}
        for seed in range(self.study.seeds if best else 0):
            if best and seed not in there:
                self.store.enqueue_final(self.study.name, name, seed, best.point, best.trial)

    def next_final(self) -> Job | None:
        for trial in self.store.trials(self.study.name, LEADERBOARD):
            wanted = trial.state == TrialState.WAITING and trial.params["strategy"] in self.searches
            if wanted and self.store.claim(trial._trial_id):
                self.store.beat(trial._trial_id, me())
                return Job(
                    strategy=trial.params["strategy"],
                    trial_id=trial._trial_id,
                    number=trial.number,
                    point=trial.user_attrs["point"],
                    attempt=trial.user_attrs.get("attempt", 1),
                    root=root_of(self.finals, trial),
                    final_seed=trial.params["seed"],
                )
        return None

    def finals_over(self, outcomes: Sequence[Outcome]) -> bool:
        finals = [outcome for outcome in outcomes if outcome.final]
        ended = {outcome.seed for outcome in finals if outcome.over}
        busy = {outcome.seed for outcome in finals if not outcome.over}
        wanted = self.study.seeds if self.best(outcomes) else 0
        return len(ended - busy) >= wanted

    # Workers that died

    def lost(self, job: Job, reason: str) -> bool:
        """A worker is gone: queue its trial again, to resume from its checkpoint, unless it had ended."""
        study = self.finals if job.final else self.searches[job.strategy]
        return self.store.requeue(study, job.trial_id, reason)

    def reconcile(self) -> None:
        """Take back the trials that nobody works on any more."""
        if time.monotonic() - self.looked < RECONCILE_SECONDS:
            return
        self.looked = time.monotonic()
        leases = self.store.leases()
        for study in (*self.searches.values(), self.finals):
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                # without a lease, the driver that asked for it may have died before it could sign
                owner, age = leases.get(trial._trial_id, ("its driver", seconds_since(trial.datetime_start)))
                if age > self.grace or is_gone(owner):
                    self.store.requeue(study, trial._trial_id, f"lost: no sign of {owner} for {age:.0f} s")


def seconds_since(start: datetime | None) -> float:
    return (datetime.now() - start).total_seconds() if start else 0.0  # Optuna gives local times without a zone


def waiting(outcomes: Sequence[Outcome]) -> bool:
    """Whether a trial of a search waits to be taken up again."""
    return any(outcome.state == "WAITING" and not outcome.final for outcome in outcomes)


def hopeless(search: Sequence[Outcome]) -> bool:
    """Whether the last trials all failed: more of them would only fail again."""
    states = [outcome.state for outcome in last_attempts(search)]
    return len(states) >= HOPELESS and set(states[-HOPELESS:]) == {"FAIL"}
