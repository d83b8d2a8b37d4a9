"""Laws of an executor: where the attempts of a study run, and what becomes of those that are cut off."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import RandomSampler
from torch import Generator, Tensor

from autoaug.execution import Event, Listen, Options, Scheduler
from autoaug.policy import Fixed, ready
from autoaug.processes import this_process
from autoaug.record import Outcome, TrialKind, last_attempts
from autoaug.store import Store
from autoaug.strategies import Strategy, none, randaugment
from autoaug.study import Budget, Study
from autoaug.testing._learner import TASK

SHORT = replace(TASK, epochs=1, refine_epochs=1)

Execute = Callable[[Study, Store, Options, Listen], None]


def ignore(event: Event) -> None:
    """Listen to nothing."""


def study_of(**changed: Any) -> Study:
    """Return two strategies with two trials of two short epochs each, and one final run."""
    given: dict[str, Any] = {
        "name": "suite",
        "task": SHORT,
        "space": {"mix.alpha": FloatDistribution(0, 1)},
        "strategies": {"none": none(), "ra": randaugment(sampler="random")},
        "budget": Budget(trials=2),
        "seeds": 1,
    }
    return Study(**given | changed)


def fragile(m: float) -> Fixed:
    """Return a policy that does nothing, or raise RuntimeError where `m` is above a half."""
    if m > 0.5:
        raise RuntimeError(f"m is {m}, too much")
    return Fixed(ready.none())


@dataclass(frozen=True)
class EndingOnce:
    """Make a policy that ends the process of a worker with the first image, unless the flag, a file, is there."""

    flag: Path
    driver: int

    def __call__(self) -> Fixed:
        """Return the policy."""
        return Ending(self)


class Ending(Fixed):
    """Leave images as they are, and end the process once."""

    def __init__(self, once: EndingOnce) -> None:
        super().__init__(ready.none())
        self.once = once

    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        """Return the images, or end the process."""
        if os.getpid() != self.once.driver and not self.once.flag.exists():
            self.once.flag.touch()
            os._exit(11)
        return super().forward(images, rng)


def interrupting(after: int) -> Listen:
    """Return a listener that raises KeyboardInterrupt, as Ctrl-C does, at the n-th epoch that it hears of."""
    heard = 0

    def listen(event: Event) -> None:
        nonlocal heard
        heard += event.record is not None
        if event.record and heard == after:
            raise KeyboardInterrupt

    return listen


def ended_process() -> str:
    """Return what a process of this host that no longer lives is called in a lease."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    return str(replace(this_process(), pid=gone.pid))


def index_of(outcome: Outcome) -> int:
    """Return which of its kind and strategy a trial is: all attempts at it share the number."""
    return outcome.seed if outcome.kind is TrialKind.FINAL else outcome.root


def ends(store: Store) -> dict[Any, Any]:
    """Return how each trial and final run stands, by strategy and number."""
    return {
        (each.strategy, each.kind, index_of(each)): (each.state, each.value, dict(each.point))
        for each in last_attempts(store.outcomes("suite"))
    }


def epochs(store: Store) -> dict[Any, Any]:
    """Return what every epoch measured, by strategy, training and number; the last attempt's where it was repeated."""
    return {(r.strategy, r.kind, r.seed, r.epoch): dict(r.metrics) for r in store.epochs("suite")}


def searched(store: Store) -> list[Outcome]:
    """Return the attempts of the search."""
    return [each for each in store.outcomes("suite") if each.kind is TrialKind.SEARCH]


class ExecutorTestCase:
    """Test the laws of an executor. Override the fixture `executor`."""

    @pytest.fixture
    def executor(self) -> Execute:
        """Override: return what runs a study, `(study, store, options, listen)`, to its end: a row of `EXECUTORS`."""
        raise NotImplementedError

    def has_workers(self) -> bool:
        """Override where attempts run in processes beside the one that calls the executor."""
        return False

    def options(self, folder: Path, **changed: Any) -> Options:
        """Override where it needs other options: one trial at a time, so that the order is known."""
        return Options(artifacts=folder / "artifacts", at_once=1, checkpoint_seconds=0, **changed)

    def store(self, folder: Path, name: str = "x") -> Store:
        """Override where its workers cannot open a file of this host."""
        return Store(f"sqlite:///{folder / name}.db")

    def interruptions(self) -> tuple[int, ...]:
        """Override where fewer are enough: the epochs, counted over the study, at which it is interrupted.

        The first are in a trial, at the start of the second trial, and at the end of a final run.
        """
        return 1, 3, 10

    def test_every_job_is_run_once_and_heard_of(self, executor: Execute, tmp_path: Path) -> None:
        store, events = self.store(tmp_path), list[Event]()
        executor(study_of(), store, self.options(tmp_path), events.append)
        outcomes = store.outcomes("suite")
        assert {(each.state, each.attempt) for each in outcomes} == {("COMPLETE", 1)}
        jobs = [(each.strategy, each.kind, index_of(each)) for each in outcomes]
        searches = [(name, TrialKind.SEARCH, number) for name in ("none", "ra") for number in (0, 1)]
        assert sorted(jobs) == sorted([*searches, ("none", TrialKind.FINAL, 0), ("ra", TrialKind.FINAL, 0)])
        for outcome in outcomes:
            assert outcome.epochs == SHORT.last_epoch
        states: dict[Any, list[str]] = {}
        for event in events:
            if event.state:
                states.setdefault((event.job.substudy, event.job.number), []).append(event.state)
        assert list(states.values()) == [["RUNNING", "COMPLETE"]] * 6
        heard = [(e.record.strategy, e.record.kind, e.record.seed, e.record.epoch) for e in events if e.record]
        assert sorted(heard) == sorted(epochs(store))
        assert store.test_reads("suite") == 2, "one for each final run"

    def test_a_finished_study_runs_nothing_again(self, executor: Execute, tmp_path: Path) -> None:
        study, store, events = study_of(budget=Budget(trials=1)), self.store(tmp_path), list[Event]()
        executor(study, store, self.options(tmp_path), ignore)
        before = store.outcomes("suite")
        executor(study, store, self.options(tmp_path), events.append)
        assert events == []
        assert store.outcomes("suite") == before

    def test_a_larger_budget_continues_a_finished_study(self, executor: Execute, tmp_path: Path) -> None:
        store, other = self.store(tmp_path), self.store(tmp_path, "other")
        executor(study_of(budget=Budget(trials=1)), store, self.options(tmp_path), ignore)
        executor(study_of(), store, self.options(tmp_path), ignore)
        executor(study_of(), other, self.options(tmp_path / "other"), ignore)
        points, wanted = ({(o.strategy, o.root): o.point for o in searched(each)} for each in (store, other))
        assert points == wanted

    def test_only_the_strategies_that_are_asked_for_are_run(self, executor: Execute, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        executor(study_of(), store, self.options(tmp_path, only=("ra",)), ignore)
        assert {each.strategy for each in store.outcomes("suite")} == {"ra"}

    def test_an_attempt_that_raises_fails_with_a_reason_and_the_others_go_on(
        self, executor: Execute, tmp_path: Path
    ) -> None:
        strategy = Strategy(
            policy=fragile,
            space={"policy.m": FloatDistribution(0, 1)},
            between=lambda seed: RandomSampler(seed),
            first=({"policy.m": 0.9}, {"policy.m": 0.1}),
        )
        store, events = self.store(tmp_path), list[Event]()
        executor(study_of(strategies={"fragile": strategy}), store, self.options(tmp_path), events.append)
        assert [(each.point["policy.m"], each.state) for each in searched(store)] == [(0.9, "FAIL"), (0.1, "COMPLETE")]
        assert searched(store)[0].reason.startswith("RuntimeError: m is 0.9, too much")
        assert [each.state for each in store.outcomes("suite") if each.kind is TrialKind.FINAL] == ["COMPLETE"]
        [failed] = [event for event in events if event.state == "FAIL"]
        assert failed.reason == searched(store)[0].reason

    def test_an_interruption_stops_it_and_costs_nothing(self, executor: Execute, tmp_path: Path) -> None:
        # in other processes work goes on until the interruption arrives there
        study = study_of(task=replace(SHORT, refine_epochs=9)) if self.has_workers() else study_of()
        whole = self.store(tmp_path, "whole")
        executor(study, whole, self.options(tmp_path / "whole"), ignore)
        for after in self.interruptions():
            store, options = self.store(tmp_path, f"after-{after}"), self.options(tmp_path / f"after-{after}")
            with pytest.raises(KeyboardInterrupt):
                executor(study, store, options, interrupting(after))
            assert not any(each.state == "RUNNING" for each in store.outcomes("suite")), "somebody still works"
            assert any(each.state == "WAITING" for each in store.outcomes("suite")), "its trial is not queued again"
            executor(study, store, options, ignore)
            assert ends(store) == ends(whole)
            assert epochs(store) == epochs(whole)
            assert [each.reason for each in store.outcomes("suite") if each.state == "FAIL"] == ["interrupted"]

    def test_a_trial_whose_process_has_died_is_taken_up_again(self, executor: Execute, tmp_path: Path) -> None:
        store = self.store(tmp_path)
        job = Scheduler(study_of(), store).next()
        assert job is not None
        store.beat(job.trial_id, ended_process())
        executor(study_of(), store, self.options(tmp_path), ignore)
        attempts = [each for each in searched(store) if (each.strategy, each.root) == (job.strategy, job.root)]
        assert [(each.attempt, each.state) for each in attempts] == [(1, "FAIL"), (2, "COMPLETE")]
        assert attempts[0].reason.startswith("lost")
        assert attempts[0].point == attempts[1].point
        assert {state for state, _, _ in ends(store).values()} == {"COMPLETE"}
        assert len(ends(store)) == 6

    def test_a_worker_that_dies_is_reported_and_its_trial_repeated(self, executor: Execute, tmp_path: Path) -> None:
        if not self.has_workers():
            pytest.skip("it has no processes beside this one")
        strategy = Strategy(policy=EndingOnce(tmp_path / "ended", os.getpid()), space={})
        study = study_of(strategies={"ending": strategy}, budget=Budget(trials=1))
        store, events = self.store(tmp_path), list[Event]()
        executor(study, store, self.options(tmp_path), events.append)
        assert [(each.attempt, each.state) for each in searched(store)] == [(1, "FAIL"), (2, "COMPLETE")]
        assert searched(store)[0].reason, "it does not say what became of the first attempt"
        states = [event.state for event in events if event.state and event.job.kind is TrialKind.SEARCH]
        assert states in (["RUNNING", "WAITING", "RUNNING", "COMPLETE"], ["WAITING", "RUNNING", "COMPLETE"])
