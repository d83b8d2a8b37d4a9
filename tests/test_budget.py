"""A budget is kept by whatever spends it: several drivers, trials that fail, trials that are cut, workers that die."""

import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from forked import SERVER
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState
from schedulers import hand_out_at_once
from studies_for_tests import tiny

from autoaug import Budget
from autoaug.execution import Event, Options, Scheduler
from autoaug.execution._budgeting import Account
from autoaug.execution._limits import metered
from autoaug.execution._worker import work
from autoaug.executors import check, conduct, run
from autoaug.executors._check import refuse_small_budget
from autoaug.policy import Fixed, ready
from autoaug.record import Outcome, Record, TrialKind
from autoaug.store import Store
from autoaug.strategies import none, randaugment
from autoaug.strategies._strategy import Strategy
from autoaug.study import Loader, Prediction


def ignore(event: Event) -> None:
    pass


def searched(store: Store) -> list[Outcome]:
    return [outcome for outcome in store.outcomes("tiny") if outcome.kind is not TrialKind.FINAL]


def test_two_desks_that_decide_at_the_same_instant_hand_out_one_trial(store: Store) -> None:
    study = tiny(strategies={"none": none()}, budget=Budget(trials=1))
    first, second = Scheduler(study, store), Scheduler(study, store)
    look, seen = first.accounts, []

    def look_and_wait() -> list[Account]:
        found = look()
        if not seen:
            seen.append(second.next())  # while the first still believes that there is a trial to give
        return found

    first.accounts = look_and_wait  # type: ignore[method-assign]
    assert first.next() is None
    assert seen[0] is not None
    assert len(store.trials("tiny", "none")) == 1


def test_many_desks_hand_out_each_trial_once_and_no_more_than_the_budget_has(store: Store) -> None:
    study = tiny(budget=Budget(trials=5))
    handed = hand_out_at_once(study, store.storage_url, schedulers=4)
    assert sorted(handed) == [(name, number) for name in ("none", "ra") for number in range(5)]


def test_the_points_are_those_of_a_single_desk_that_was_never_interrupted(store: Store, tmp_path: Path) -> None:
    """Who queues a trial and who takes it does not matter for what is proposed."""
    study = tiny(strategies={"ra": randaugment(sampler="random")}, budget=Budget(trials=4))
    alone = Scheduler(study, Store(f"sqlite:///{tmp_path / 'alone.db'}"))
    expected = [job.point for job in (alone.next() for _ in range(4)) if job]
    scheduler = Scheduler(study, store)
    store.enqueue_point(scheduler.searches["ra"], 0)  # by a driver that died before it took it
    found = [job.point for job in (Scheduler(study, store).next() for _ in range(4)) if job]
    assert found == expected
    assert len(found) == 4


def test_wall_seconds_of_all_trials_together_end_a_search(store: Store, options: Options) -> None:
    study = tiny(strategies={"none": none()}, budget=Budget(wall_seconds=0.5), seeds=1)
    study = replace(study, task=replace(study.task, epochs=200))
    conduct(study, store, "local", options, ignore)
    (outcome,) = searched(store)
    assert (outcome.state, outcome.value) == ("PRUNED", None)
    assert outcome.reason.startswith("the budget of 0.5 seconds was spent after epoch")
    epochs = [record.wall_seconds for record in store.epochs("tiny") if record.kind is not TrialKind.FINAL]
    assert 0.5 <= sum(epochs) == pytest.approx(outcome.wall_seconds)
    assert sum(epochs[:-1]) < 0.5


def test_a_trial_that_goes_on_trains_nothing_that_the_budget_cannot_pay_for(store: Store, options: Options) -> None:
    study = tiny(strategies={"none": none()}, budget=Budget(gpu_seconds=1.0), seeds=1)
    job = Scheduler(study, store).next()
    assert job
    spent = Record(study="tiny", strategy="none", trial=0, epoch=1, phase="augment", gpu_seconds=1.0)
    store.write_epoch(job.trial_id, replace(spent, metrics={"val_accuracy": 0.1}))
    scheduler = Scheduler(study, store)
    scheduler.lost(job, "its worker died")
    again = scheduler.next()
    assert again
    assert again.attempt == 2
    work(study, again, store, options, ignore)
    last = searched(store)[-1]
    assert (last.state, last.epochs) == ("PRUNED", 0)
    assert last.reason == "the budget of 1 CPU-seconds was spent before its next epoch"
    assert scheduler.next() is None
    assert scheduler.over()


def test_what_an_epoch_cost_that_failed_is_counted(store: Store, options: Options) -> None:
    def wasteful(m: float) -> Fixed:
        fixed = Fixed(ready.none())
        forward, calls = fixed.forward, []

        def slow_then_broken(images: Any, rng: Any) -> Any:
            calls.append(1)
            if len(calls) > 2:  # the preflight asks once, and half an epoch is two batches
                until = time.process_time() + 0.2
                while time.process_time() < until:
                    pass
                raise RuntimeError("half way")
            return forward(images, rng)

        fixed.forward = slow_then_broken  # type: ignore[method-assign]
        return fixed

    strategy = Strategy(policy=wasteful, space={"policy.m": FloatDistribution(0, 1)})
    study = tiny(strategies={"wasteful": strategy}, space={}, budget=Budget(gpu_seconds=0.3))
    conduct(study, store, "local", options, ignore)
    outcomes = searched(store)
    assert [o.state for o in outcomes] == ["FAIL"] * 2, "two of them cost more than 0.3 seconds"
    assert all(o.gpu_seconds >= 0.2 and o.epochs == 0 for o in outcomes)
    assert store.epochs("tiny") == [], "no epoch was measured"
    assert store.spent("tiny", "wasteful") == pytest.approx(sum(o.gpu_seconds for o in outcomes))


def test_only_the_epoch_that_was_cut_off_is_given_as_lost() -> None:
    def epochs() -> Iterator[Record]:
        yield Record(epoch=1, phase="augment")
        raise KeyboardInterrupt

    lost: list[Record] = []
    found = metered(epochs(), "cpu", lost.append)
    assert next(found).epoch == 1
    assert lost == []
    with pytest.raises(KeyboardInterrupt):
        next(found)
    assert [record.epoch for record in lost] == [0]


def test_re_runs_are_paid_for_before_the_search_asks_on(store: Store, options: Options) -> None:
    """Two trials of the proxy cost 2, and 6 are kept for the two re-runs: of 9 there is 1 left for a third."""
    study = tiny(strategies={"ra": randaugment().proxied(epochs=1)}, budget=Budget(gpu_seconds=9.0), rerun=2, seeds=1)
    study = replace(study, task=replace(study.task, epochs=2), space={})
    store.define("tiny", {**study.describe(), "predicted_seconds": {}, "predicted_rerun_seconds": {"ra": 3.0}})
    scheduler = Scheduler(study, store)
    for trials in (1, 2, 3):
        job = scheduler.next()
        assert job
        assert job.kind is not TrialKind.RERUN
        spent = Record(study="tiny", strategy="ra", trial=trials - 1, epoch=1, phase="augment", gpu_seconds=1.0)
        store.write_epoch(job.trial_id, replace(spent, metrics={"val_accuracy": 0.1 * trials}))
        store.conclude(job.trial_id, TrialState.COMPLETE, objectives=["val_accuracy"])
    job = scheduler.next()
    assert job
    assert job.kind is TrialKind.RERUN
    assert job.point == searched(store)[2].point


def test_a_budget_that_pays_for_no_trial_is_refused(options: Options) -> None:
    study = tiny(strategies={"none": none()}, budget=Budget(gpu_seconds=0.01))
    long = replace(study, task=replace(study.task, epochs=500))
    message = (
        r"strategy 'none' of study 'tiny': a trial is expected to take [\d.e+]+ [CG]PU-seconds, more than "
        r"Budget\(gpu_seconds=0.01\) pays for: give at least [\d.e+]+$"
    )
    with pytest.raises(ValueError, match=message):
        check(long, "local", options)
    proxied = replace(long, strategies={"p": none().proxied(epochs=1)}, budget=Budget(wall_seconds=0.01))
    with pytest.raises(ValueError, match=r"a trial and a re-run are expected .* Budget\(wall_seconds=0.01\)"):
        check(proxied, "local", options)


def test_a_budget_that_is_a_little_too_small_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    study = tiny(strategies={"none": none()}, budget=Budget(gpu_seconds=8.0))
    for seconds, said in {7.9: "", 8.1: "more than Budget(gpu_seconds=8) pays for: give at least 12, unless"}.items():
        caplog.clear()
        refuse_small_budget(study, {"none": Prediction(seconds, seconds, 0.0, "CPU-seconds")}, Loader())
        assert said in caplog.text
        assert bool(said) == bool(caplog.records)
    with pytest.raises(ValueError, match=r"a trial is expected to take 12\.1 CPU-seconds"):
        refuse_small_budget(study, {"none": Prediction(12.1, 12.1, 0.0, "CPU-seconds")}, Loader())


def test_what_is_expected_is_kept_beside_the_definition(store: Store, options: Options) -> None:
    study = tiny(budget=Budget(trials=1), seeds=1)
    run(study, store, options=options)
    definition = store.definition("tiny")
    assert definition
    assert definition["predicted_seconds"].keys() == {"none", "ra"}
    assert all(seconds > 0 for seconds in definition["predicted_seconds"].values())
    run(replace(study, strategies={"none": none()}), store, options=options)
    assert (store.definition("tiny") or {})["predicted_seconds"].keys() == {"none", "ra"}


def drive(url: str, artifacts: Path, limit: float, told: Connection) -> None:
    """Run a study of one strategy beside others that do so too, and tell of each thing that happens."""
    study = tiny(strategies={"none": none()}, budget=Budget(gpu_seconds=limit), seeds=1)
    study = replace(study, task=replace(study.task, epochs=60))
    options = Options(artifacts=artifacts, checkpoint_seconds=0)
    with told:
        conduct(study, Store(url), "local", options, lambda event: told.send(str(event.job)))


@pytest.mark.slow
def test_several_drivers_overshoot_a_budget_by_less_than_an_epoch_each_though_one_is_killed(tmp_path: Path) -> None:
    url, limit = f"sqlite:///{tmp_path / 'x.db'}", 3.0
    pipes = [SERVER.Pipe(duplex=False) for _ in range(3)]
    drivers = [SERVER.Process(target=drive, args=(url, tmp_path / "a", limit, told)) for _, told in pipes]
    try:
        for driver, (_, told) in zip(drivers, pipes, strict=True):
            driver.start()
            told.close()
        for _ in range(6):
            pipes[0][0].recv()
        drivers[0].kill()
        for heard, _ in pipes:
            with heard, suppress(EOFError):
                while True:
                    heard.recv()
        for driver in drivers:
            driver.join()
    finally:
        for driver in drivers:
            driver.kill()
            driver.join()
    assert [driver.exitcode for driver in drivers] == [-signal.SIGKILL, 0, 0]
    store = Store(url)
    epochs = [record.gpu_seconds for record in store.epochs("tiny") if record.kind is not TrialKind.FINAL]
    assert not any(outcome.state in ("RUNNING", "WAITING") for outcome in store.outcomes("tiny"))
    assert limit <= store.spent("tiny", "none") <= limit + 3 * max(epochs)
