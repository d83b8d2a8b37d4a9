"""The scheduler hands out the work of a study: which trial runs next, and when all of it is over.

It keeps nothing in memory that the storage does not hold, so any number of schedulers can share a study, and a new one
goes on where a dead one stopped. Whatever a scheduler decides to run is queued under a name that can be queued once,
and then claimed: of two schedulers that decide the same at the same time, one is told to look again.
"""

import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from autoaug.execution._descriptions import OF_FINALS, OF_RERUNS, about_search, describe, metric_of
from autoaug.execution._job import Job, is_gone, process_name
from autoaug.record import LEADERBOARD, Outcome, best_complete, complete_by_value, last_attempts, place
from autoaug.store import Loss, Store, final_seed, root_of
from autoaug.strategies import SeededByTrial
from autoaug.study import Study, most_epochs

GRACE_SECONDS = 60.0
"""A lease older than this is dead, and its trial is given to somebody else."""

RECONCILE_SECONDS = 5.0
"""How often an idle scheduler looks for workers that died."""


HOPELESS = 5
"""So many failed trials in a row end a search."""


class Scheduler:
    """Hands out the work of one study."""

    def __init__(
        self, study: Study, store: Store, only: Iterable[str] = (), grace: float = GRACE_SECONDS, retest: bool = False
    ) -> None:
        """Create what is missing in the storage, and take back the trials of workers that died.

        Args:
            retest: where a better point was found after the final runs of a strategy, make final runs of it too.

        Raises:
            ValueError: the study contradicts what was run under its name.
        """
        self.study, self.store, self.grace, self.retest = study, store, grace, retest
        store.define(study.name, study.describe())
        self.predicted: dict[str, float] = (store.definition(study.name) or {}).get("predicted_rerun_seconds", {})
        named = [name for name in study.strategies if not only or name in only]
        self.searches = {name: self.open(name, metric_of(study, name), about_search(study, name)) for name in named}
        self.reruns = {
            name: self.open(place(name, rerun=True), study.metric, OF_RERUNS) for name in named if study.reruns_of(name)
        }
        for name, search in self.searches.items():
            between = study.strategies[name].between
            search.sampler = SeededByTrial(between, study.name, study.seed, name, first=study.first_of(name))
        self.finals = describe(store.leaderboard(study.name), OF_FINALS)
        self.looked = -RECONCILE_SECONDS
        self.reconcile()

    def open(self, where: str, metric: str, about: str) -> Any:
        return describe(self.store.open(self.study.name, where, self.study.direction, metric), about)

    def next(self) -> Job | None:
        """The next trial to run, already RUNNING and leased; None where there is nothing to do right now."""
        while True:
            outcomes = self.outcomes()
            asks = [name for name, found in outcomes.items() if self.may_ask(name, found)]
            if not asks:
                break
            if job := self.ask(min(asks, key=lambda name: self.urgency(name, outcomes[name])), outcomes):
                return job
        for name, found in outcomes.items():
            if self.search_over(name, found):
                self.queue_reruns(name, found)
                self.queue_finals(name, found)
        if job := self.next_rerun() or self.next_final():
            return job
        self.reconcile()
        return None

    def over(self) -> bool:
        """Whether every search and every final run of this scheduler has ended."""
        return all(
            self.search_over(name, found) and self.reruns_over(name, found) and self.finals_over(found)
            for name, found in self.outcomes().items()
        )

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
        limit = self.study.trials_of(name)
        by_trials = points(outcomes) / limit if limit else 0.0
        spent = (cost(outcomes, unit) for unit in ("gpu_seconds", "wall_seconds"))
        return max(by_trials, self.study.budget.spent(0, *spent))

    def may_ask(self, name: str, outcomes: Sequence[Outcome]) -> bool:
        """Whether a strategy has a trial to resume, or budget for one that costs what its trials cost so far."""
        if waiting(outcomes):
            return True
        if self.share_spent(name, outcomes) >= 1 or hopeless(of_search(outcomes)):
            return False
        return all(self.can_pay(name, outcomes, unit, limit) for unit, limit in self.study.budget.seconds.items())

    def can_pay(self, name: str, outcomes: Sequence[Outcome], unit: str, limit: float) -> bool:
        search = of_search(outcomes)
        ended = [getattr(outcome, unit) for outcome in search if outcome.state == "COMPLETE"]
        if not ended:
            return True
        running = sum(outcome.state == "RUNNING" for outcome in search)
        expected = (1 + running) * sum(ended) / len(ended)
        spent = cost((outcome for outcome in outcomes if outcome.over), unit)
        return spent + expected + self.reserved(name, outcomes, unit) <= limit

    def search_over(self, name: str, outcomes: Sequence[Outcome]) -> bool:
        busy = any(not outcome.over for outcome in of_search(outcomes))
        return not busy and not self.may_ask(name, outcomes)

    def ask(self, name: str, outcomes: dict[str, list[Outcome]]) -> Job | None:
        """A point that was queued before, or else a new one from the strategy's sampler.

        None where other schedulers were quicker.
        """
        search, mine = self.searches[name], outcomes[name]
        if not waiting(mine):
            self.store.enqueue_point(search, points(mine))
        if trial := self.claim(name):
            asked = self.store.propose(search, trial, self.study.space_of(name), partial(self.study.uses, name))
            return self.job(name, trial, search, point=asked.params)
        return None

    def claim(self, where: str) -> FrozenTrial | None:
        """Take the first trial that waits there, of a strategy of this scheduler."""
        for trial in self.store.trials(self.study.name, where):
            mine = trial.state == TrialState.WAITING and trial.params.get("strategy", "") in ("", *self.searches)
            if mine and self.store.claim(trial._trial_id):
                self.store.beat(trial._trial_id, process_name())
                return trial
        return None

    def job(self, name: str, trial: FrozenTrial, among: Any, **more: Any) -> Job:
        return Job(
            strategy=name,
            trial_id=trial._trial_id,
            number=trial.number,
            attempt=trial.user_attrs.get("attempt", 1),
            root=root_of(among, trial),
            driver=process_name(),
            **more,
        )

    # Re-runs of what a search found on a proxy

    def to_rerun(self, name: str, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """The best points of a search on a proxy that were not queued in full yet."""
        best: list[Outcome] = []
        for outcome in complete_by_value(of_search(outcomes), self.maximize):
            if len(best) < self.study.reruns_of(name) and all(outcome.point != better.point for better in best):
                best.append(outcome)
        there = [outcome.point for outcome in outcomes if outcome.rerun]
        return [outcome for outcome in best if outcome.point not in there]

    def queue_reruns(self, name: str, outcomes: Sequence[Outcome]) -> None:
        wanted = self.to_rerun(name, outcomes)
        trials = self.store.trials(self.study.name, name) if wanted else []
        for found in wanted:
            self.store.enqueue_rerun(self.reruns[name], trials[found.trial])

    def next_rerun(self) -> Job | None:
        for name, reruns in self.reruns.items():
            if trial := self.claim(place(name, rerun=True)):
                return self.job(name, trial, reruns, point=trial.params, rerun=True)
        return None

    def reruns_over(self, name: str, outcomes: Sequence[Outcome]) -> bool:
        return not self.to_rerun(name, outcomes) and all(outcome.over for outcome in outcomes if outcome.rerun)

    def reserved(self, name: str, outcomes: Sequence[Outcome], unit: str) -> float:
        """What the re-runs that a search still needs are expected to cost.

        By what re-runs have cost; before the first by what was measured when the study began; without that by what an
        epoch of the search has cost, which is too little for a proxy with a smaller model or fewer images.
        """
        reruns = [outcome for outcome in last_attempts(outcomes) if outcome.rerun]
        missing = self.study.reruns_of(name) - sum(outcome.over for outcome in reruns)
        if missing <= 0:
            return 0.0
        measured = [getattr(outcome, unit) for outcome in reruns if outcome.state == "COMPLETE"]
        if measured:
            return missing * float(sum(measured)) / len(measured)
        if name in self.predicted:
            return missing * self.predicted[name]
        epochs = sum(outcome.epochs for outcome in of_search(outcomes))
        return missing * most_epochs(self.study, name) * cost(of_search(outcomes), unit) / max(1, epochs)

    # Final runs

    @property
    def maximize(self) -> bool:
        return self.study.direction == "maximize"

    def chosen(self, outcomes: Sequence[Outcome]) -> Outcome | None:
        """The trial whose point the final runs of a strategy train: the best, or the one that was the best before.

        Final runs of another point would read the test split a second time, so they are made only if asked for.
        """
        best = best_complete(outcomes, self.maximize)
        tested = [outcome for outcome in outcomes if outcome.final]
        if self.retest or not tested:
            return best
        complete = complete_by_value(outcomes, self.maximize)
        return next((outcome for outcome in complete if outcome.point == tested[-1].point and not outcome.proxy), best)

    def outdated(self) -> list[str]:
        """The strategies of which a better point was found after their final runs."""
        return [
            name
            for name, found in self.outcomes().items()
            if (best := best_complete(found, self.maximize))
            and (now := self.chosen(found))
            and self.search_over(name, found)
            and now.point != best.point
        ]

    def queue_finals(self, name: str, outcomes: Sequence[Outcome]) -> None:
        """Queue the final runs that a strategy still lacks, once its best point is known."""
        chosen = self.chosen(outcomes) if self.reruns_over(name, outcomes) else None
        if chosen is None:
            return
        there = {outcome.seed for outcome in outcomes if outcome.final and outcome.point == chosen.point}
        tested = {outcome.seed for outcome in outcomes if outcome.final}
        for seed in sorted(set(range(self.study.seeds)) - there):
            self.store.enqueue_final(self.study.name, name, seed, chosen.point, chosen.trial, retest=seed in tested)

    def next_final(self) -> Job | None:
        trial = self.claim(LEADERBOARD)
        if trial is None:
            return None
        return self.job(
            trial.params["strategy"],
            trial,
            self.finals,
            point=trial.user_attrs["point"],
            final_seed=final_seed(trial),
            retest=trial.user_attrs.get("retest", trial.user_attrs.get("reread", False)),  # its name before 0.2
        )

    def finals_over(self, outcomes: Sequence[Outcome]) -> bool:
        chosen = self.chosen(outcomes)
        finals = [outcome for outcome in outcomes if outcome.final and chosen and outcome.point == chosen.point]
        ended = {outcome.seed for outcome in finals if outcome.over}
        busy = {outcome.seed for outcome in outcomes if outcome.final and not outcome.over}
        return not busy and (chosen is None or len(ended) >= self.study.seeds)

    # Workers that died

    def lost(self, job: Job, reason: str, loss: Loss = "foreign") -> TrialState | None:
        """A worker is gone: queue its trial again, to resume from its checkpoint, unless it had ended.

        Returns:
            What became of the trial, as `Store.requeue` says it.
        """
        study = self.finals if job.final else self.reruns[job.strategy] if job.rerun else self.searches[job.strategy]
        return self.store.requeue(study, job.trial_id, reason, loss)

    def reconcile(self) -> None:
        """Take back the trials that nobody works on any more."""
        if time.monotonic() - self.looked < RECONCILE_SECONDS:
            return
        self.looked = time.monotonic()
        leases = self.store.leases()
        # while the storage was away nobody could renew a lease
        fair = self.looked - self.store.retry_policy.last_failure > self.grace
        for study in (*self.searches.values(), *self.reruns.values(), self.finals):
            for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                # without a lease, the driver that asked for it may have died before it could sign
                owner, age = leases.get(trial._trial_id, ("its driver", seconds_since(trial.datetime_start)))
                if (age > self.grace and fair) or is_dead(owner, trial):
                    reason = f"lost: no sign of {owner} for {age:.0f} s"
                    self.store.requeue(study, trial._trial_id, reason, whose_loss(trial))


def is_dead(owner: str, trial: FrozenTrial) -> bool:
    """Whether nobody works on a trial any more and nobody else will say so: a driver that lives hears of its worker."""
    return is_gone(owner) and is_gone(trial.user_attrs.get("driver") or owner)


def whose_loss(trial: FrozenTrial) -> Loss:
    """Whose loss it is that a lease has ended. What had not begun, or had a driver of its own, is not the trial's.

    A driver that lives says itself what became of its worker.
    """
    worker = trial.user_attrs.get("worker")
    alone = worker is not None and trial.user_attrs.get("driver", worker) == worker
    return "unseen" if alone else "foreign"


def seconds_since(start: datetime | None) -> float:
    return (datetime.now() - start).total_seconds() if start else 0.0  # Optuna gives local times without a zone


def of_search(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The trials of a search itself, without its re-runs."""
    return [outcome for outcome in outcomes if not (outcome.final or outcome.rerun)]


def points(outcomes: Iterable[Outcome]) -> int:
    """How many points a search has tried or queued."""
    return len({outcome.root for outcome in of_search(outcomes)})


def cost(outcomes: Iterable[Outcome], unit: str) -> float:
    """Seconds of a search and its re-runs, in one of the units of a budget."""
    return float(sum(getattr(outcome, unit) for outcome in outcomes if not outcome.final))


def waiting(outcomes: Sequence[Outcome]) -> bool:
    """Whether a trial of a search waits to be taken up again."""
    return any(outcome.state == "WAITING" for outcome in of_search(outcomes))


def hopeless(search: Sequence[Outcome]) -> bool:
    """Whether the last trials all failed: more of them would only fail again."""
    states = [outcome.state for outcome in last_attempts(search)]
    return len(states) >= HOPELESS and set(states[-HOPELESS:]) == {"FAIL"}
