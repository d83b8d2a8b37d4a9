"""A study runs to its end, whatever happens on the way, and everything about it is in the storage."""

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import TrialState
from studies_for_tests import tiny
from torch import Generator, Tensor

from autoaug import Budget, Study
from autoaug.artifacts import Folder
from autoaug.cli._project import load_figures, shipped_root
from autoaug.compare import stored_comparison
from autoaug.execution import Event, Options, Scheduler, is_over
from autoaug.execution._attempt import Attempt
from autoaug.execution._job import Job
from autoaug.execution._lease import lease
from autoaug.execution._worker import work
from autoaug.executors import EXECUTORS, conduct, run
from autoaug.metrics import METRICS
from autoaug.policy import Fixed, ready
from autoaug.processes import process_name, this_process
from autoaug.record import LEADERBOARD, Outcome, Record, TrialKind, last_attempts
from autoaug.store import Store
from autoaug.strategies import none, online_score
from autoaug.strategies._strategy import Strategy
from autoaug.testing import ExecutorTestCase


def searched(store: Store, study: Study) -> list[Outcome]:
    return [outcome for outcome in store.outcomes(study.name) if outcome.kind is not TrialKind.FINAL]


def finals(store: Store, study: Study) -> list[Outcome]:
    return [outcome for outcome in store.outcomes(study.name) if outcome.kind is TrialKind.FINAL]


def points(store: Store, study: Study) -> dict[str, list[Any]]:
    """The points of each strategy, in the order in which they were proposed."""
    return {
        name: [dict(o.point) for o in searched(store, study) if o.strategy == name and o.attempt == 1]
        for name in study.strategies
    }


class TestLocal(ExecutorTestCase):
    @pytest.fixture
    def executor(self) -> Any:
        return EXECUTORS["local"]


def test_a_study_runs_its_trials_and_then_the_best_point_of_each_with_fresh_seeds(
    store: Store, options: Options
) -> None:
    study = tiny()
    run(study, store, options=options)
    search = searched(store, study)
    assert [o.state for o in search] == ["COMPLETE"] * 6
    assert {(o.strategy, o.seed) for o in finals(store, study)} == {(s, r) for s in ("none", "ra") for r in (0, 1)}
    for final in finals(store, study):
        best = max((o for o in search if o.strategy == final.strategy), key=lambda o: o.value or 0)
        assert final.point == best.point
        assert final.state == "COMPLETE"
        assert final.value == final.metrics["test_accuracy"]
    assert store.test_reads("tiny") == 4, "one read of the test split for each final run"
    assert not any(
        "test_accuracy" in record.metrics for record in store.epochs("tiny") if record.kind is not TrialKind.FINAL
    )
    assert is_over(study, store)
    assert not list(options.artifacts.rglob("*.pt")), "checkpoints of finished trials are removed"


def test_what_the_dashboard_shows_is_there(store: Store, options: Options) -> None:
    study = tiny(strategies={"none": none()}, budget=Budget(trials=1), seeds=1)
    run(study, store, options=options)
    (trial,) = store.trials("tiny", "none")
    (record,) = [record for record in store.epochs("tiny") if record.kind is not TrialKind.FINAL and record.epoch == 2]
    assert trial.intermediate_values[2] == record.metrics["val_accuracy"]
    attributes = trial.user_attrs
    assert attributes["cpu_seconds"] > 0
    assert attributes["images"] == 400 * attributes["epochs"]
    assert attributes["val_images"] == 600
    assert {outcome.val_images for outcome in store.outcomes("tiny")} == {600}
    assert attributes["seed"] == record.seed
    assert attributes["versions"].keys() >= {"python", "torch", "optuna", "autoaug"}
    assert attributes["git_commit"]
    assert store.leaderboard("tiny").metric_names == ["test_accuracy", "gpu_seconds"]


def test_seeds_are_paired_across_strategies_and_never_shared_by_search_and_final_runs(
    store: Store, options: Options
) -> None:
    study = tiny()
    run(study, store, options=options)
    seeds: dict[tuple[str, TrialKind], set[int]] = {}
    for record in store.epochs("tiny"):
        seeds.setdefault((record.strategy, record.kind), set()).add(record.seed)
    assert seeds["none", TrialKind.FINAL] == seeds["ra", TrialKind.FINAL]
    assert seeds["none", TrialKind.SEARCH] == seeds["ra", TrialKind.SEARCH]
    assert not seeds["none", TrialKind.FINAL] & seeds["none", TrialKind.SEARCH]


def test_final_runs_of_an_older_storage_are_read_and_gone_on_with(store: Store, options: Options) -> None:
    """They hold the seed as a parameter. One has ended, one waits, and one is missing."""
    run(tiny(strategies={"none": none()}, budget=Budget(trials=1), seeds=1, space={}), store, options=options)
    store.enqueue_final("tiny", "none", 1, {}, source=0)
    before = store.outcomes("tiny")
    older = (
        "INSERT INTO trial_params (trial_id, param_name, param_value, distribution_json) SELECT trial_id, 'seed', "
        "CAST(value_json AS FLOAT), :rule FROM trial_user_attributes WHERE key = 'final_run'",
        "DELETE FROM trial_user_attributes WHERE key = 'final_run'",
    )
    rule = optuna.distributions.distribution_to_json(IntDistribution(0, 9999))
    with store.engine.begin() as connection:
        connection.execute(sqlalchemy.text(older[0]), {"rule": rule})
        connection.execute(sqlalchemy.text(older[1]))
    again = Store(store.storage_url)
    assert [trial.params["seed"] for trial in again.trials("tiny", "leaderboard")] == [0, 1]
    assert again.outcomes("tiny") == before
    run(tiny(strategies={"none": none()}, budget=Budget(trials=1), seeds=3, space={}), again, options=options)
    finals = [outcome for outcome in again.outcomes("tiny") if outcome.kind is TrialKind.FINAL]
    assert [(outcome.seed, outcome.state) for outcome in finals] == [(0, "COMPLETE"), (1, "COMPLETE"), (2, "COMPLETE")]
    assert len({outcome.metrics["test_nll"] for outcome in finals}) == 3, "each has a seed of its own"
    assert again.test_reads("tiny") == 3


class Interrupt:
    """Raises as Ctrl-C does, in the middle of the n-th epoch that is reported."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __call__(self, event: Event) -> None:
        if event.record:
            self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def test_a_search_that_only_fails_ends(store: Store, options: Options) -> None:
    def broken(m: float) -> Fixed:
        if 0 < m < 1:  # the preflight tries the ends
            raise RuntimeError("no")
        return Fixed(ready.none())

    strategy = Strategy(policy=broken, space={"policy.m": FloatDistribution(0, 1)})
    study = tiny(strategies={"broken": strategy}, space={}, budget=Budget(gpu_seconds=1000))
    run(study, store, options=options)
    assert [o.state for o in store.outcomes("tiny")] == ["FAIL"] * 5


def test_divergence_is_a_failed_trial(store: Store, options: Options) -> None:
    study = tiny(strategies={"none": none()}, budget=Budget(trials=1), space={})
    diverging = replace(study, task=replace(study.task, lr=1e20))
    run(diverging, store, options=options)
    (outcome,) = store.outcomes("tiny")
    assert outcome.state == "FAIL"
    assert outcome.reason.startswith("diverged: the training loss is")


def test_a_budget_in_seconds_ends_the_search_and_cuts_the_last_trial(store: Store, options: Options) -> None:
    study = tiny(strategies={"none": none()}, budget=Budget(gpu_seconds=0.5), seeds=1)
    longer = replace(study, task=replace(study.task, epochs=40))
    conduct(longer, store, "local", options, lambda event: None)  # a check would refuse it
    last_epoch = max(record.gpu_seconds for record in store.epochs("tiny"))
    assert 0.5 <= store.spent("tiny", "none") <= 0.5 + 2 * last_epoch
    (outcome,) = searched(store, longer)
    assert outcome.state == "PRUNED"
    assert outcome.reason.startswith("the budget of 0.5 CPU-seconds was spent after epoch")
    assert outcome.value is None, "a truncated value never stands beside a full one"


def test_a_trial_that_is_expected_to_break_the_budget_is_not_begun(store: Store, options: Options) -> None:
    study = tiny(strategies={"none": none()}, seeds=1)
    run(replace(study, budget=Budget(trials=1)), store, options=options)
    cost = store.spent("tiny", "none")
    conduct(replace(study, budget=Budget(gpu_seconds=1.5 * cost)), store, "local", options, lambda event: None)
    assert len(searched(store, study)) == 1


def test_a_pruned_trial_is_pruned_and_never_the_best(store: Store, options: Options) -> None:
    strategy = none()._replace(pruner=optuna.pruners.ThresholdPruner(lower=1.1))
    study = tiny(strategies={"none": strategy}, budget=Budget(trials=2))
    run(study, store, options=options)
    outcomes = searched(store, study)
    assert [o.state for o in outcomes] == ["PRUNED"] * 2
    assert outcomes[0].reason == "pruned after epoch 1 by ThresholdPruner"
    assert [o.value for o in outcomes] == [None, None]
    assert finals(store, study) == [], "there is no complete trial to run again"


def test_a_trial_cancelled_in_the_dashboard_stops_and_writes_nothing_more(store: Store, options: Options) -> None:
    study = tiny(strategies={"none": none()}, budget=Budget(trials=1), seeds=1)

    def cancel(event: Event) -> None:
        if event.record and event.record.epoch == 1 and event.job.kind is not TrialKind.FINAL:
            store.finish(event.job.trial_id, TrialState.FAIL, reason="cancelled")

    run(study, store, options=options, listen=cancel)
    (outcome,) = searched(store, study)
    assert (outcome.state, outcome.reason, outcome.epochs) == ("FAIL", "cancelled", 1)


def test_a_trial_resumes_from_the_latest_attempt_that_left_a_checkpoint(store: Store, options: Options) -> None:
    options = replace(options, checkpoint_seconds=0)
    study = tiny(strategies={"none": none()}, space={}, seeds=1)
    longer = replace(study, task=replace(study.task, epochs=5))
    for epochs in (3, 1):  # the second attempt dies before it has written anything
        with pytest.raises(KeyboardInterrupt):
            run(longer, store, options=options, listen=Interrupt(epochs))
    run(longer, store, options=options)
    trained = [(record.attempt, record.epoch) for record in store.epochs("tiny") if record.kind is not TrialKind.FINAL]
    assert trained == [(1, 1), (1, 2), (1, 3), (2, 3), (3, 3), (3, 4), (3, 5)]


@pytest.mark.filterwarnings("ignore:.*cannot move a logit")
@pytest.mark.parametrize("after", [None, 3, 5])
def test_what_a_learner_found_is_trained_again_from_scratch(store: Store, options: Options, after: int | None) -> None:
    """As trained and retrained stand side by side, also where the final run was interrupted in either training.

    Each is a training of its own, with its own epochs and metrics.
    """
    study = tiny(
        strategies={"online": online_score()},
        space={},
        budget=Budget(trials=1),
        seeds=1,
        deploy=("last_policy", "policy_schedule"),
    )
    if after:
        with pytest.raises(KeyboardInterrupt):
            run(study, store, options=options, listen=Interrupt(after))
    told: list[Event] = []
    run(study, store, options=options, listen=told.append)
    (final,) = last_attempts(finals(store, study))
    assert (final.state, final.epochs) == ("COMPLETE", 2)
    records = {
        (record.training, record.epoch): record for record in store.epochs("tiny") if record.kind is TrialKind.FINAL
    }
    assert sorted(records) == [(name, epoch) for name in ("", "last_policy", "policy_schedule") for epoch in (1, 2)]
    assert [key for key, record in sorted(records.items()) if record.policy is not None] == [("", 1), ("", 2)]
    assert records["", 2].policy != ready.none()
    assert {frozenset(records[name, 2].metrics) for name in ("last_policy", "policy_schedule")} == {
        frozenset({"train_loss", "lr", *(f"{split}_{row}" for split in ("val", "test") for row in METRICS)})
    }, "its own, without the learner's"
    for name in ("", "last_policy", "policy_schedule"):
        stored = records[name, 2].metrics["test_accuracy"]
        assert final.metrics[f"{name}_test_accuracy".removeprefix("_")] == stored
    own = [record for record in store.epochs("tiny") if record.kind is TrialKind.FINAL and record.trial == final.trial]
    assert final.gpu_seconds == pytest.approx(sum(record.gpu_seconds for record in own))
    assert final.images == sum(record.images for record in own)
    last = [event.record for event in told if event.record and event.job.kind is TrialKind.FINAL][-1]
    assert (last.training, last.epoch) == ("policy_schedule", 2)
    (trial,) = [each for each in store.trials("tiny", LEADERBOARD) if each.number == final.trial]
    assert set(trial.intermediate_values) <= {1, 2}, "no retraining is drawn as part of the learner's curve"


@pytest.mark.filterwarnings("ignore:.*cannot move a logit")
def test_each_training_is_one_named_curve(store: Store, options: Options) -> None:
    """Whatever is stored, the figure shows a learner's own training and what is retrained of it apart."""
    study = tiny(strategies={"none": none(), "online": online_score()}, space={}, budget=Budget(trials=1), seeds=2)
    run(study, store, options=options)
    records = store.epochs("tiny")
    drawn = load_figures(shipped_root())["learning curves"](stored_comparison([(store, "tiny")]))
    lines = sorted((each for each in drawn.data if each.name and each.yaxis == "y"), key=lambda line: line.name)
    assert [line.name for line in lines] == ["none", "online", "online · last policy"]
    assert [list(line.x) for line in lines] == [[1, 2]] * 3
    for line in lines:
        name, _, training = line.name.partition(" · ")
        mine = [each for each in records if each.kind is TrialKind.FINAL and each.strategy == name]
        ends = [each for each in mine if each.training == training.replace(" ", "_") and each.epoch == 2]
        assert line.y[-1] == pytest.approx(sum(each.metrics["val_accuracy"] for each in ends) / 2, abs=1e-4)


@pytest.mark.filterwarnings("ignore:.*cannot move a logit")
def test_what_a_retraining_has_cost_when_it_fails_is_counted(
    store: Store, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Fixed):
        def forward(self, images: Tensor, rng: Generator) -> Tensor:
            raise RuntimeError("broken")

    study = tiny(strategies={"online": online_score()}, space={}, budget=Budget(trials=1), seeds=1)
    monkeypatch.setattr("autoaug.execution._attempt.Fixed", Broken)
    run(study, store, options=options)
    (final,) = finals(store, study)
    stored = [record for record in store.epochs("tiny") if record.kind is TrialKind.FINAL]
    assert (final.state, [record.training for record in stored]) == ("FAIL", ["", ""])
    assert final.gpu_seconds > sum(record.gpu_seconds for record in stored)


def test_a_share_of_a_gpu_costs_a_share_of_its_seconds(store: Store, options: Options) -> None:
    job, shared = Job("ra", 1, 0, {}, 1, 0), replace(options, gpus_per_trial=0.25)
    attempt = Attempt(tiny(), job, store, shared, lambda event: None)
    epoch = Record(epoch=1, phase="augment", gpu_seconds=8.0, device="cuda")
    assert attempt.sign(epoch).gpu_seconds == 2.0
    assert attempt.sign(replace(epoch, device="cpu")).gpu_seconds == 8.0, "CPU-seconds are this process's own"


def test_the_strategy_that_has_spent_least_goes_first(store: Store, options: Options) -> None:
    order: list[str] = []

    def listen(event: Event) -> None:
        if event.state == "RUNNING" and event.job.kind is not TrialKind.FINAL:
            order.append(event.job.strategy)

    run(tiny(), store, options=options, listen=listen)
    assert order == ["none", "ra"] * 3


def test_only_some_strategies_can_be_run(store: Store, options: Options) -> None:
    study = tiny(budget=Budget(trials=1), seeds=1)
    run(study, store, options=replace(options, only=("ra",)))
    assert {outcome.strategy for outcome in store.outcomes("tiny")} == {"ra"}
    assert is_over(study, store, ["ra"])
    assert not is_over(study, store)
    with pytest.raises(ValueError, match=r"unknown strategy 'rra' of study 'tiny': did you mean 'ra'"):
        run(study, store, options=replace(options, only=("rra",)))


# Leases


def test_the_trial_of_a_dead_process_of_this_host_is_taken_back_at_once(store: Store) -> None:
    study = tiny()
    scheduler = Scheduler(study, store)
    job = scheduler.next()
    assert job
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    store.beat(job.trial_id, str(replace(this_process(), pid=gone.pid)))
    again = Scheduler(study, store).next()
    assert again
    assert (again.root, again.attempt, again.point) == (job.number, 2, job.point)


def test_the_trial_of_a_living_worker_is_left_alone_until_its_lease_is_old(store: Store) -> None:
    study = tiny()
    job = Scheduler(study, store).next()
    assert job
    recovery = Scheduler(study, store, expiry=-1, lease=0).recovery
    assert store.state(job.trial_id) == TrialState.RUNNING, "one look is none"
    store.beat(job.trial_id, process_name())
    recovery.reconcile()
    assert store.state(job.trial_id) == TrialState.RUNNING, "it has given a sign of life"
    recovery.reconcile()
    assert store.state(job.trial_id) == TrialState.FAIL
    assert store.outcomes("tiny")[0].reason.startswith(f"lost: no sign of {this_process().name} for ")


def test_a_trial_that_nobody_signs_is_left_alone_until_it_was_seen_so_for_long(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, now = tiny(), [1000.0]
    monkeypatch.setattr("autoaug.execution._recovery.time", SimpleNamespace(monotonic=lambda: now[0]))
    scheduler = Scheduler(study, store)
    scheduler.searches["none"].ask(dict(study.space_of("none")))
    for now[0] in (1010.0, 1069.0, 1075.0, 1090.0):
        scheduler.recovery.reconcile()
        assert [o.state for o in store.outcomes("tiny")] == ["RUNNING"]
    now[0] = 1096.0
    scheduler.recovery.reconcile()
    assert [(o.state, o.reason) for o in store.outcomes("tiny")] == [
        ("FAIL", "lost: no sign of its driver for 86 s"),
        ("WAITING", ""),
    ]


def test_a_lease_is_renewed_for_as_long_as_the_work_takes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    beats: list[int] = []
    beat, often = store.beat, threading.Event()

    def count(trial_id: int, owner: str) -> None:
        beat(trial_id, owner)
        beats.append(trial_id)
        if len(beats) == 3:
            often.set()

    monkeypatch.setattr(store, "beat", count)
    with lease(store, 1, every=0.02):
        often.wait()
        assert store.leases()[1][0] == process_name()
    for thread in threading.enumerate():
        if thread.name == "lease-1":
            thread.join()  # it ends, or else this never does


def test_a_worker_that_lost_its_trial_cannot_overwrite_its_successor(store: Store, options: Options) -> None:
    """A paused worker wakes up after its trial was given to somebody else: it writes nothing that counts."""
    study = tiny(strategies={"none": none()}, budget=Budget(trials=1), seeds=1)
    scheduler = Scheduler(study, store)
    zombie = scheduler.next()
    assert zombie
    scheduler.lost(zombie, "no sign of life")
    successor = scheduler.next()
    assert successor
    assert successor.attempt == 2
    events: list[Event] = []
    work(study, zombie, store, options, events.append)
    assert events[-1].state == "FAIL"
    work(study, successor, store, options, lambda event: None)
    states = [(o.attempt, o.state) for o in store.outcomes("tiny")]
    assert states == [(1, "FAIL"), (2, "COMPLETE")]


def test_trials_and_final_runs_never_share_a_folder_or_a_seed() -> None:
    study = tiny()
    trial = Job("ra", 1, 0, {}, 1, 0)
    final = Job("ra", 2, 0, {}, 1, 0, TrialKind.FINAL, final_seed=0)
    assert trial.folder(Folder(Path("a")), "tiny") != final.folder(Folder(Path("a")), "tiny")
    assert trial.seed(study.seed) != final.seed(study.seed)
