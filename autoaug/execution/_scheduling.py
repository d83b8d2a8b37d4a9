"""Which trial of a study runs next, and when all of it is over.

A scheduler keeps nothing in memory that the storage does not hold, so any number of schedulers can share a study, and
a new one goes on where a dead one stopped. What it keeps is how attempts ended, which never changes: each is read once,
and what is next takes no longer to decide after ten thousand trials than after ten. Whatever a scheduler decides to run
is queued under a name that can be queued once, and then claimed: of two schedulers that decide the same at the same
time, one has to look again.

What may be paid for is decided in `_budgeting.py`; what becomes of trials whose workers died, in `_recovery.py`.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from autoaug.execution._budgeting import Account, Ended
from autoaug.execution._descriptions import OF_FINALS, OF_RERUNS, about_search, describe, metric_of
from autoaug.execution._job import Job
from autoaug.execution._recovery import EXPIRY_SECONDS, LEASE_SECONDS, Recovery
from autoaug.processes import process_name
from autoaug.record import UNITS, Outcome, TrialKind
from autoaug.store import Follower, Loss, Store, final_seed, id_of_trial, root_of, waiting
from autoaug.strategies import SeededByTrial
from autoaug.study import Study, complete_definition


class Scheduler:
    """Hands out the work of one study."""

    def __init__(
        self,
        study: Study,
        store: Store,
        only: Iterable[str] = (),
        expiry: float = EXPIRY_SECONDS,
        retest: bool = False,
        lease: float = LEASE_SECONDS,
    ) -> None:
        """Create what is missing in the storage, and queue the trials of workers that died.

        Args:
            only: names of strategies to hand out; none named means all.
            expiry: a lease that is older, in seconds, is over, unless it is renewed before the next look.
            retest: where a better point was found after the final runs of a strategy, make final runs of it too.
            lease: seconds between two signs of life of a worker.

        Raises:
            ValueError: the study contradicts what was run under its name.
        """
        self.study, self.store, self.retest = study, store, retest
        store.define(study.name, study.describe(), complete_definition)
        stored = complete_definition(store.definition(study.name) or {})
        self.predicted: dict[str, float] = stored["predicted_rerun_seconds"]
        named = [name for name in study.strategies if not only or name in only]
        self.searches = {name: self.open_search(name) for name in named}
        self.reruns = {name: self.open_reruns(name) for name in named if study.reruns_of(name)}
        self.finals = describe(store.leaderboard(study.name), OF_FINALS)
        studies = {TrialKind.SEARCH.substudy(name): search for name, search in self.searches.items()}
        studies |= {TrialKind.RERUN.substudy(name): reruns for name, reruns in self.reruns.items()}
        self.recovery = Recovery(store, {**studies, TrialKind.FINAL.substudy(""): self.finals}, expiry, lease)
        self.recovery.reconcile()
        self.follower = Follower(store, study.name, named)
        self.ended = {name: Ended(study.direction == "maximize") for name in named}

    def open_search(self, name: str) -> optuna.Study:
        """Return the Optuna study of a search, with the sampler of its strategy."""
        study, metric = self.study, metric_of(self.study, name)
        search = describe(self.store.open(study.name, name, study.direction, metric), about_search(study, name))
        between, first = study.strategies[name].between, study.first_of(name)
        search.sampler = SeededByTrial(between, study.name, study.seed, name, first=first)
        return search

    def open_reruns(self, name: str) -> optuna.Study:
        """Return the Optuna study of the re-runs of a search on a proxy."""
        substudy = TrialKind.RERUN.substudy(name)
        return describe(self.store.open(self.study.name, substudy, self.study.direction, self.study.metric), OF_RERUNS)

    def next(self) -> Job | None:
        """Return the next trial to run, already RUNNING and leased; None where there is nothing to do right now."""
        accounts = self.accounts()
        while askable := [account for account in accounts if account.may_begin()]:
            if job := self.ask(min(askable, key=urgency)):
                return job
            accounts = self.accounts()
        for account in accounts:
            if search_over(account):
                self.queue_reruns(account)
                self.queue_finals(account)
        if job := self.next_rerun() or self.next_final():
            return job
        self.recovery.reconcile()
        return None

    def over(self) -> bool:
        """Whether every search and every final run of this scheduler has ended."""
        return all(
            search_over(account) and reruns_over(account) and finals_over(account, self.retest)
            for account in self.accounts()
        )

    def outdated(self) -> list[str]:
        """Return the strategies of which a better point was found after their final runs."""
        return [account.strategy for account in self.accounts() if is_outdated(account, self.retest)]

    def lost(self, job: Job, reason: str, loss: Loss = "foreign") -> TrialState | None:
        """Queue the trial of a worker that is gone, as `Recovery.lost`."""
        return self.recovery.lost(job, reason, loss)

    def accounts(self) -> list[Account]:
        """Return how each strategy of this scheduler stands now."""
        ended, unfinished = self.follower.read()
        for outcome in ended:
            if outcome.strategy in self.ended:
                self.ended[outcome.strategy].add(outcome)
        costs, nothing = self.store.costs(self.study.name), dict.fromkeys(UNITS, 0.0)
        return [
            Account(
                self.study,
                name,
                self.ended[name],
                [outcome for outcome in unfinished if outcome.strategy == name],
                costs.get(name, nothing),
                self.predicted.get(name),
            )
            for name in self.searches
        ]

    # What is handed out

    def ask(self, account: Account) -> Job | None:
        """Return a point that was queued before, or else a new one from the strategy's sampler.

        None where other schedulers were quicker.
        """
        name, search = account.strategy, self.searches[account.strategy]
        if not account.is_waiting():
            self.store.enqueue_point(search, account.points())
        if trial := self.claim(search):
            asked = self.store.propose(search, trial, self.study.space_of(name), partial(self.study.uses, name))
            return self.job(name, trial, search, point=asked.params)
        return None

    def next_rerun(self) -> Job | None:
        """Return the first re-run that waits."""
        for name, reruns in self.reruns.items():
            if trial := self.claim(reruns):
                return self.job(name, trial, reruns, point=trial.params, kind=TrialKind.RERUN)
        return None

    def next_final(self) -> Job | None:
        """Return the first final run that waits."""
        trial = self.claim(self.finals)
        if trial is None:
            return None
        return self.job(
            trial.params["strategy"],
            trial,
            self.finals,
            point=trial.user_attrs["point"],
            kind=TrialKind.FINAL,
            final_seed=final_seed(trial),
            retest=trial.user_attrs.get("retest", trial.user_attrs.get("reread", False)),  # its name before 0.2
        )

    def claim(self, among: optuna.Study) -> FrozenTrial | None:
        """Take the first trial that waits there, of a strategy of this scheduler."""
        for trial_id in waiting(self.store, among):
            trial = self.store.optuna.get_trial(trial_id)
            if trial.params.get("strategy", "") in ("", *self.searches) and self.store.claim(trial_id):
                self.store.beat(trial_id, process_name())
                return trial
        return None

    def job(self, name: str, trial: FrozenTrial, among: optuna.Study, **more: Any) -> Job:
        """Return a claimed trial as a worker takes it."""
        return Job(
            strategy=name,
            trial_id=id_of_trial(trial),
            number=trial.number,
            attempt=trial.user_attrs.get("attempt", 1),
            root=root_of(among, trial),
            driver=process_name(),
            **more,
        )

    # What is queued once a search is over

    def queue_reruns(self, account: Account) -> None:
        """Queue the re-runs that a search on a proxy still lacks."""
        for outcome in points_to_rerun(account):
            self.store.enqueue_rerun(self.reruns[account.strategy], self.store.trial(outcome))

    def queue_finals(self, account: Account) -> None:
        """Queue the final runs that a strategy still lacks, once its best point is known."""
        chosen = chosen_point(account, self.retest) if reruns_over(account) else None
        if chosen is None:
            return
        tested = account.of(TrialKind.FINAL)
        queued = {outcome.seed for outcome in tested if outcome.point == chosen.point}
        read = {outcome.seed for outcome in tested}
        for seed in sorted(set(range(self.study.seeds)) - queued):
            self.store.enqueue_final(
                self.study.name, account.strategy, seed, chosen.point, chosen.trial, retest=seed in read
            )


def urgency(account: Account) -> tuple[bool, float]:
    """Return by what strategies are ordered: interrupted trials first, then whose budget is used least."""
    return not account.is_waiting(), account.share_spent()


def search_over(account: Account) -> bool:
    """Whether no trial of a search runs or may begin."""
    return not account.under_way(TrialKind.SEARCH) and not account.may_begin()


def points_to_rerun(account: Account) -> list[Outcome]:
    """Return the best trials of a search on a proxy whose points were not queued in full yet."""
    best: list[Outcome] = []
    wanted = account.study.reruns_of(account.strategy)
    for outcome in account.best(proxy=True) if wanted else ():
        if all(outcome.point != each.point for each in best):
            best.append(outcome)
        if len(best) == wanted:
            break
    queued = [outcome.point for outcome in account.of(TrialKind.RERUN)]
    return [outcome for outcome in best if outcome.point not in queued]


def reruns_over(account: Account) -> bool:
    """Whether every re-run that a search needs has ended."""
    return not points_to_rerun(account) and not account.under_way(TrialKind.RERUN)


def chosen_point(account: Account, retest: bool = False) -> Outcome | None:
    """Return the trial whose point the final runs of a strategy train: the best, or what was the best before.

    Of a strategy that searches on a proxy it is a re-run: a truncated value never stands beside a full one. Final runs
    of another point would read the test split a second time, so they are made only for a `retest`.
    """
    best, tested = next(iter(account.best()), None), account.of(TrialKind.FINAL)
    if retest or not tested:
        return best
    return next((outcome for outcome in account.best() if outcome.point == tested[-1].point), best)


def is_outdated(account: Account, retest: bool = False) -> bool:
    """Whether a search that is over has a better point than the one whose final runs were made."""
    best, chosen = chosen_point(account, retest=True), chosen_point(account, retest)
    return bool(best and chosen and search_over(account) and chosen.point != best.point)


def finals_over(account: Account, retest: bool = False) -> bool:
    """Whether every final run that a strategy needs has ended."""
    chosen, tested = chosen_point(account, retest), account.of(TrialKind.FINAL)
    ended = {outcome.seed for outcome in tested if chosen and outcome.point == chosen.point and outcome.over}
    return not account.under_way(TrialKind.FINAL) and (chosen is None or len(ended) >= account.study.seeds)
