"""What a scheduler keeps of what has ended says what reading all of it would, and an ask costs the same with more."""

import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import optuna
import pytest
import sqlalchemy as sql
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial
from studies_for_tests import tiny

from autoaug import Budget, Study
from autoaug.execution import Job, Scheduler, retry_failed
from autoaug.execution._budgeting import HOPELESS, Account, charged
from autoaug.execution._scheduling import chosen_point, finals_over, is_outdated, points_to_rerun, search_over
from autoaug.record import UNITS, Outcome, Record, TrialKind, best_complete, complete_by_value, last_attempts
from autoaug.store import Follower, Store, waiting
from autoaug.store._optuna import QUEUED_AS
from autoaug.strategies import randaugment
from autoaug.study import most_epochs

SEARCH, RERUN, FINAL = TrialKind.SEARCH, TrialKind.RERUN, TrialKind.FINAL


@dataclass(frozen=True)
class FromAll:
    """What an account says, computed from every outcome each time."""

    study: Study
    strategy: str
    outcomes: Sequence[Outcome]

    def of(self, kind: TrialKind) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.kind is kind]

    def points(self) -> int:
        return len({outcome.root for outcome in self.of(SEARCH)})

    def is_waiting(self) -> bool:
        return any(outcome.state == "WAITING" for outcome in self.of(SEARCH))

    def is_hopeless(self) -> bool:
        states = [outcome.state for outcome in last_attempts(self.of(SEARCH))]
        return len(states) >= HOPELESS and set(states[-HOPELESS:]) == {"FAIL"}

    def share_spent(self) -> float:
        limit = self.study.trials_of(self.strategy)
        spent = (charged(self.outcomes, unit) for unit in UNITS)
        return max(self.points() / limit if limit else 0.0, self.study.budget.spent(0, *spent))

    def may_begin(self) -> bool:
        if self.is_waiting():
            return True
        if self.share_spent() >= 1 or self.is_hopeless():
            return False
        return all(self.can_pay(unit, limit) for unit, limit in self.study.budget.seconds.items())

    def can_pay(self, unit: str, limit: float) -> bool:
        ended = [getattr(outcome, unit) for outcome in self.of(SEARCH) if outcome.state == "COMPLETE"]
        if not ended:
            return True
        running = sum(outcome.state == "RUNNING" for outcome in self.of(SEARCH))
        spent = charged((outcome for outcome in self.outcomes if outcome.over), unit)
        return bool(spent + (1 + running) * sum(ended) / len(ended) + self.reserved(unit) <= limit)

    def reserved(self, unit: str) -> float:
        reruns = last_attempts(self.of(RERUN))
        missing = self.study.reruns_of(self.strategy) - sum(outcome.over for outcome in reruns)
        measured = [getattr(outcome, unit) for outcome in reruns if outcome.state == "COMPLETE"]
        if missing <= 0 or measured:
            return max(0, missing) * float(sum(measured)) / max(1, len(measured))
        epochs = sum(outcome.epochs for outcome in self.of(SEARCH))
        return missing * most_epochs(self.study, self.strategy) * charged(self.of(SEARCH), unit) / max(1, epochs)

    def points_to_rerun(self) -> list[Outcome]:
        best: list[Outcome] = []
        for outcome in complete_by_value(self.of(SEARCH), maximize=True):
            if len(best) < self.study.reruns_of(self.strategy) and all(outcome.point != each.point for each in best):
                best.append(outcome)
        queued = [outcome.point for outcome in self.of(RERUN)]
        return [outcome for outcome in best if outcome.point not in queued]

    def chosen_point(self, retest: bool) -> Outcome | None:
        best, tested = best_complete(self.outcomes, maximize=True), self.of(FINAL)
        if retest or not tested:
            return best
        complete = complete_by_value(self.outcomes, maximize=True)
        return next((each for each in complete if each.point == tested[-1].point and not each.proxy), best)

    def finals_over(self) -> bool:
        chosen, tested = self.chosen_point(False), self.of(FINAL)
        ended = {each.seed for each in tested if chosen and each.point == chosen.point and each.over}
        return all(each.over for each in tested) and (chosen is None or len(ended) >= self.study.seeds)


def agree(account: Account, every: FromAll) -> None:
    assert (account.points(), account.is_waiting(), account.is_hopeless(), account.may_begin()) == (
        every.points(),
        every.is_waiting(),
        every.is_hopeless(),
        every.may_begin(),
    )
    assert account.share_spent() == pytest.approx(every.share_spent())
    for unit in UNITS:
        assert account.reserved(unit) == pytest.approx(every.reserved(unit))
    assert points_to_rerun(account) == every.points_to_rerun()
    for retest in (False, True):
        assert chosen_point(account, retest) == every.chosen_point(retest)
    over = not every.may_begin() and all(each.over for each in every.of(SEARCH))
    assert search_over(account) == over
    assert finals_over(account) == every.finals_over()
    best, chosen = every.chosen_point(True), every.chosen_point(False)
    assert is_outdated(account) == bool(over and best and chosen and best.point != chosen.point)
    for kind in (RERUN, FINAL):
        assert account.of(kind) == every.of(kind)


def asked(**more: Any) -> Study:
    given: dict[str, Any] = {
        "strategies": {"ra": randaugment(sampler="random"), "p": randaugment(sampler="random").proxied(epochs=1)},
        "space": {"mix.alpha": FloatDistribution(0, 1)},
        "budget": Budget(trials=5, gpu_seconds=40.0),
        "rerun": 2,
    }
    return tiny(**given | more)


def train(store: Store, job: Job, chance: random.Random, epochs: int) -> None:
    """What a worker writes of some epochs, of which one may come twice."""
    for epoch in [*range(1, epochs + 1), *chance.sample([1], chance.randrange(2))]:
        metrics = {"val_accuracy": chance.choice([0.1, 0.5, 0.9]), "test_accuracy": 0.5}
        whose: dict[str, Any] = {"study": "tiny", "strategy": job.strategy, "trial": job.number, "kind": job.kind}
        costs = {"gpu_seconds": chance.uniform(0, 2), "wall_seconds": chance.uniform(0, 2), "images": 9}
        record = Record(epoch=epoch, phase="augment", metrics=metrics, attempt=job.attempt, **whose, **costs)
        store.write_epoch(job.trial_id, record)


def end(store: Store, scheduler: Scheduler, job: Job, chance: random.Random) -> None:
    """One of the ways in which a trial ends."""
    if chance.random() < 0.2:
        scheduler.lost(job, "lost", chance.choice(["own", "unseen", "foreign"]))
        return
    state = chance.choice([TrialState.COMPLETE] * 3 + [TrialState.FAIL, TrialState.PRUNED])
    complete = state == TrialState.COMPLETE
    objectives = ["test_accuracy", "gpu_seconds"] if job.kind is FINAL else ["val_accuracy"]
    store.conclude(job.trial_id, state, "" if complete else "why", objectives if complete else ())


@pytest.mark.parametrize("seed", range(2))
def test_three_schedulers_know_what_reading_everything_would_tell_them(store: Store, seed: int) -> None:
    chance, study = random.Random(seed), asked()
    stores = [store, *(Store(store.storage_url) for _ in range(2))]
    schedulers = [Scheduler(study, each) for each in stores]
    running: list[Job] = []
    for step in range(50):
        scheduler = chance.choice(schedulers)
        if len(running) < 3 and (job := scheduler.next()):
            running.append(job)
        if running and chance.random() < 0.7:
            job = running.pop(chance.randrange(len(running)))
            train(scheduler.store, job, chance, chance.randrange(1, 3))
            end(scheduler.store, scheduler, job, chance)
        if step % 20 == 19:
            retry_failed(study, store)
        if step % 7 == 0:
            outcomes = Store(store.storage_url).outcomes("tiny")
            for each in (scheduler, Scheduler(study, store)):
                for account in each.accounts():
                    mine = [outcome for outcome in outcomes if outcome.strategy == account.strategy]
                    agree(account, FromAll(study, account.strategy, mine))
    kinds = {(outcome.kind, outcome.state) for outcome in store.outcomes("tiny")}
    assert {(kind, "COMPLETE") for kind in TrialKind} <= kinds, "the history has everything in it"
    for each in stores[1:]:
        each.close()


def test_trials_of_older_storages_have_the_roots_that_they_were_counted_to_have(store: Store) -> None:
    """Without the attribute: as an earlier version queued them, with attempts that were lost in between."""
    study = asked(strategies={"ra": randaugment(sampler="random")})
    scheduler = Scheduler(study, store)
    for k in range(4):
        job = scheduler.next()
        assert job
        if k % 2:
            scheduler.lost(job, "lost")
        else:
            store.conclude(job.trial_id, TrialState.FAIL, "why")
    with store.engine.begin() as connection:
        attempts = "SELECT trial_id FROM trial_user_attributes WHERE key = 'attempt'"
        statement = f"DELETE FROM trial_user_attributes WHERE key = 'root' AND trial_id NOT IN ({attempts})"
        assert connection.exec_driver_sql(statement).rowcount > 1
    fresh = Store(store.storage_url)
    ended, unfinished = Follower(fresh, "tiny", ["ra"]).read()
    found = sorted([*ended, *unfinished], key=lambda outcome: outcome.trial)
    assert found == fresh.outcomes("tiny")
    assert [outcome.root for outcome in found if outcome.attempt == 1] == list(range(len(found) - 2))
    job = Scheduler(study, fresh).next()
    assert job
    assert job.root == next(each.root for each in found if each.trial == job.number)
    fresh.close()


def test_what_could_not_be_read_is_read_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    study = asked()
    scheduler, follower = Scheduler(study, store), None
    for _ in range(2):
        job = scheduler.next()
        assert job
        store.conclude(job.trial_id, TrialState.FAIL, "why")
    follower = Follower(store, "tiny", ["ra", "p"])
    with monkeypatch.context() as patch:
        patch.setattr(Store, "work_of", lambda self, ids: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            follower.read()
    assert len(follower.read()[0]) == 2
    assert follower.read() == ([], [])


# What an ask costs


@contextmanager
def counting(store: Store) -> Iterator[dict[str, int]]:
    """How many statements are made in the block, and how many steps SQLite makes for them."""
    found, over = {"statements": 0, "steps": 0}, threading.Event()

    def step() -> None:
        found["steps"] += not over.is_set()

    def begin(connection: Any, *_: Any) -> None:
        found["statements"] += 1
        connection.connection.dbapi_connection.set_progress_handler(step, 1)

    sql.event.listen(store.engine, "before_cursor_execute", begin)
    try:
        yield found
    finally:
        over.set()
        sql.event.remove(store.engine, "before_cursor_execute", begin)


def fill(store: Store, search: optuna.Study, numbers: range) -> None:
    """Complete trials of a search, each with an epoch."""
    for number in numbers:
        trial = create_trial(value=0.5, user_attrs={"root": number, QUEUED_AS: f"point {number}"})
        trial_id = store.optuna.create_new_trial(search._study_id, trial)
        whose: dict[str, Any] = {"study": "tiny", "strategy": "ra", "trial": number}
        store.write_epoch(trial_id, Record(epoch=1, phase="augment", gpu_seconds=1.0, **whose))


def test_an_ask_and_an_epoch_take_as_many_statements_and_steps_whatever_is_stored(store: Store) -> None:
    study = asked(strategies={"ra": randaugment(sampler="random")}, budget=Budget(trials=1000, gpu_seconds=1e6))
    scheduler, chance = Scheduler(study, store), random.Random(0)
    asks, epochs = list[dict[str, int]](), list[dict[str, int]]()
    for numbers in (range(1), range(2, 20), range(21, 200)):  # the first ask finds what SQLAlchemy keeps of statements
        fill(store, scheduler.searches["ra"], numbers)
        scheduler.accounts()
        with counting(store) as ask:
            job = scheduler.next()
        assert job
        with counting(store) as epoch:
            train(store, job, chance, 1)
            assert store.spent("tiny", "ra") > 0
        store.conclude(job.trial_id, TrialState.FAIL, "why")
        asks.append(ask)
        epochs.append(epoch)
    assert epochs[1] == epochs[2]
    assert asks[1]["statements"] == asks[2]["statements"]
    counted = 4 * (200 - 20)  # Optuna counts the trials before a new one, and nothing else looks at them
    assert asks[2]["steps"] - asks[1]["steps"] <= counted


def test_who_waits_and_what_was_queued_is_found_by_an_index(store: Store) -> None:
    search = store.open("s", "none", "maximize")
    plans = {
        "SELECT trial_id FROM trials WHERE study_id = 1 AND state = 'WAITING'": "autoaug_trials_state",
        "SELECT 1 FROM trial_user_attributes a, trials t WHERE t.study_id + 0 = 1 AND t.trial_id = a.trial_id AND "
        f"a.key = '{QUEUED_AS}' AND a.value_json = 'x'": "autoaug_trials_queued",
    }
    with store.engine.connect() as connection:
        for query, index in plans.items():
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}").all()
            assert index in str(plan[0]), plan
    for number in range(3):
        assert store.enqueue_point(search, number)
        assert not store.enqueue_point(search, number)
    ids = waiting(store, search)
    assert len(ids) == 3
    assert all(a < b for a, b in pairwise(ids))
