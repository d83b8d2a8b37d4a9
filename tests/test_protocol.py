"""What may be looked at and when: the test split, seeds that are shared, values that were cut short, and provenance."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from studies_for_tests import tiny

from autoaug import Budget, Study, Task
from autoaug.data import Data, load_data
from autoaug.execution import Event, Options, is_over, outdated
from autoaug.execution import _worker as worker
from autoaug.execution._attempt import Attempt
from autoaug.executors import run
from autoaug.record import Outcome, Record, TrialKind, best_complete
from autoaug.store import Store
from autoaug.strategies import PRUNERS, none, online_score, randaugment, random_policy
from autoaug.train import TrainingRun
from autoaug.train import _loop as loop


def finals(store: Store) -> list[Outcome]:
    return [outcome for outcome in store.outcomes("tiny") if outcome.kind is TrialKind.FINAL]


# The test split


def test_no_trial_of_a_search_and_no_learner_is_given_the_test_split(
    store: Store, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[bool, bool]] = []
    begin = loop.TrainingRun.__init__

    def watch(self: TrainingRun, task: Task, policy: Any, mix: Any, learner: Any, rng: Any, data: Data) -> None:
        given.append((data.test is not None, learner is not None and learner.moves_policy))
        begin(self, task, policy, mix, learner, rng, data)

    monkeypatch.setattr(loop.TrainingRun, "__init__", watch)
    study = tiny(strategies={"ra": randaugment().proxied(epochs=1)}, budget=Budget(trials=2), rerun=1, seeds=2)
    run(study, store, options=options)
    assert given.count((True, False)) == 2, "the final runs"
    assert given.count((False, False)) >= 2 + 1, "the search, its re-run, and what was measured before"


@pytest.fixture
def extended(store: Store, options: Options, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A study of one trial whose budget is raised to two, of which the second is better."""
    points = ({"policy.n": 3, "policy.m": 1.0}, {"policy.n": 1, "policy.m": 0.1})
    strategy = randaugment(sampler="random")._replace(first=points)
    study = tiny(strategies={"ra": strategy}, space={}, budget=Budget(trials=1), seeds=2)
    run(study, store, options=options)
    keep = worker.keep

    def better(record: Record, attempt: Attempt) -> None:
        keep(replace(record, metrics={**record.metrics, "val_accuracy": 1.0}), attempt)

    larger = replace(study, budget=Budget(trials=2))
    monkeypatch.setattr(worker, "keep", better)
    run(larger, store, options=options)
    monkeypatch.undo()
    return larger


def test_a_better_point_leaves_the_final_runs_as_they_are(extended: Study, store: Store, options: Options) -> None:
    best = best_complete(store.outcomes("tiny"), maximize=True)
    assert best
    assert best.trial == 1
    assert [(o.seed, o.point["policy.n"]) for o in finals(store)] == [(0, 3), (1, 3)]
    assert is_over(extended, store)
    assert outdated(extended, store) == ["ra"]
    assert store.test_reads("tiny") == 2
    more = replace(extended, seeds=3)
    run(more, store, options=options)
    assert [(o.seed, o.point["policy.n"]) for o in finals(store)] == [(0, 3), (1, 3), (2, 3)], "all of one point"


def test_a_better_point_is_tested_if_asked_for_and_that_is_recorded(
    extended: Study, store: Store, options: Options
) -> None:
    assert not is_over(extended, store, retest=True)
    run(extended, store, options=replace(options, retest=True))
    assert [(o.seed, o.point["policy.n"]) for o in finals(store)] == [(0, 3), (1, 3), (0, 1), (1, 1)]
    assert {o.state for o in finals(store)} == {"COMPLETE"}
    assert outdated(extended, store) == []
    assert is_over(extended, store, retest=True)
    with store.engine.connect() as connection:
        reads = connection.exec_driver_sql("SELECT seed, why FROM autoaug_test_reads ORDER BY id").all()
    assert [tuple(read) for read in reads] == [(0, "final run"), (1, "final run"), (0, "retest"), (1, "retest")]
    run(extended, store, options=options)
    assert len(finals(store)) == 4


def test_a_final_run_that_would_read_the_test_split_again_fails_before_it_does(store: Store, options: Options) -> None:
    study = tiny(strategies={"none": none()}, space={}, budget=Budget(trials=1), seeds=1)
    assert store.note_test_read(10**6, "tiny", "none", seed=0, root=99)
    run(study, store, options=options)
    (final,) = finals(store)
    assert (final.state, final.epochs) == ("FAIL", 0)
    assert "final run 0 of none has read the test split before: ask with --retest" in final.reason


@pytest.mark.parametrize("after", [1, 2])
def test_a_final_run_that_goes_on_is_one_read(store: Store, options: Options, after: int) -> None:
    study = tiny(strategies={"none": none()}, space={}, budget=Budget(trials=1), seeds=1)
    left = [after]

    def interrupt(event: Event) -> None:
        left[0] -= event.record is not None and event.job.kind is TrialKind.FINAL
        if not left[0]:
            left[0] = 10**6
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(study, store, options=options, listen=interrupt)
    run(study, store, options=options)
    assert [o.state for o in finals(store)] == ["FAIL", "COMPLETE"]
    assert store.test_reads("tiny") == 1


@pytest.mark.filterwarnings("ignore:.*cannot move a logit")
def test_final_runs_on_training_and_validation_images_claim_no_validation_score(store: Store, options: Options) -> None:
    study = tiny(
        strategies={"none": none(), "online": online_score()},
        space={},
        budget=Budget(trials=1),
        seeds=1,
        final_data="train+val",
    )
    run(study, store, options=options)
    records = [record for record in store.epochs("tiny") if record.kind is TrialKind.FINAL]
    plain = [record for record in records if record.strategy == "none"]
    assert {record.images for record in plain} == {1000}
    assert not any(name.startswith("val_") for record in plain for name in record.metrics)
    assert plain[-1].metrics["test_accuracy"] > 0
    learnt = [record for record in records if record.strategy == "online"]
    assert [record.images for record in learnt] == [400, 400, 1000, 1000], "learned on one, deployed on both"
    assert "val_accuracy" in learnt[1].metrics
    assert "last_policy_val_accuracy" not in learnt[-1].metrics
    with pytest.raises(ValueError, match=r"final_data train\+val, and now has train: .*--fresh"):
        run(replace(study, final_data="train"), store, options=options)
    with pytest.raises(ValueError, match=r"Study.final_data is 'all': give 'train' or 'train\+val'"):
        replace(study, final_data="all")


# Seeds


@pytest.mark.filterwarnings("ignore:.*cannot move a logit")
def test_final_runs_share_initial_weights_and_the_order_of_the_data(
    store: Store, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, list[tuple[torch.Tensor, list[torch.Tensor]]]] = {}
    train_epoch, batches = loop.train_epoch, loop.batches

    def arm_of(training: TrainingRun) -> str:
        return f"{type(training.policy).__name__} {training.learner.moves_policy}"

    def watch_epoch(training: TrainingRun) -> float:
        if training.data.test is not None and training.epoch == 1:
            weights = torch.cat([each.detach().clone().flatten() for each in training.model.parameters()])
            seen.setdefault(arm_of(training), []).append((weights, []))
        return train_epoch(training)

    def watch_batches(training: TrainingRun) -> Iterator[torch.Tensor]:
        for batch in batches(training):
            if training.data.test is not None:
                seen[arm_of(training)][-1][1].append(batch)
            yield batch

    monkeypatch.setattr(loop, "train_epoch", watch_epoch)
    monkeypatch.setattr(loop, "batches", watch_batches)
    arms = {"random": random_policy(), "online": online_score()}
    run(tiny(strategies=arms, space={}, budget=Budget(trials=1), seeds=2, deploy=()), store, options=options)
    (one, other) = seen.values()
    assert len(one) == len(other) == 2
    for (weights, order), (same_weights, same_order) in zip(one, other, strict=True):
        assert torch.equal(weights, same_weights)
        assert len(order) == len(same_order) == 2 * 4
        assert all(torch.equal(a, b) for a, b in zip(order, same_order, strict=True))
    assert not torch.equal(one[0][0], one[1][0]), "another final run has other weights"
    assert not torch.equal(one[0][1][0], one[1][1][0])


# Values that were cut short


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.filterwarnings("ignore:.*WilcoxonPruner")
@pytest.mark.parametrize("name", [name for name in PRUNERS if name != "none"])
def test_a_pruned_trial_has_no_value_and_never_wins(
    store: Store, options: Options, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Every trial after the sixth looks perfect in its first epoch and is the worst from then on."""
    keep = worker.keep

    def staged(record: Record, attempt: Attempt) -> None:
        good = 0.8 - 0.01 * attempt.job.root + 0.001 * record.epoch
        value = good if attempt.job.root < 6 else 1.0 if record.epoch == 1 else 0.01
        keep(replace(record, metrics={**record.metrics, "val_accuracy": value}), attempt)

    monkeypatch.setattr(worker, "keep", staged)
    study = tiny(strategies={"ra": randaugment(sampler="random").pruned(name)}, space={}, budget=Budget(trials=10))
    study = replace(study, task=replace(study.task, epochs=9, batch_size=400), seeds=1)
    run(study, store, options=options)
    search = [outcome for outcome in store.outcomes("tiny") if outcome.kind is not TrialKind.FINAL]
    pruned = [outcome for outcome in search if outcome.state == "PRUNED"]
    assert pruned, "the pruner did nothing"
    assert all(outcome.value is None and outcome.epochs < 9 for outcome in pruned)
    assert all("pruned after epoch" in outcome.reason for outcome in pruned)
    assert all(outcome.epochs == 9 for outcome in search if outcome.state == "COMPLETE")
    best = best_complete(search, maximize=True)
    assert best == max((o for o in search if o.state == "COMPLETE"), key=lambda o: o.value or 0)
    assert best.root == 0, "not one that was perfect for an epoch"
    assert {o.point["policy.m"] for o in finals(store)} == {best.point["policy.m"]}


@pytest.mark.filterwarnings("ignore:.*cannot move a logit")
def test_the_value_of_a_trial_is_that_of_the_last_epoch_of_its_first_training(
    store: Store, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not its best one, not one of the attempt before it, and not what was trained from scratch after it."""
    keep = worker.keep

    def scored(record: Record, attempt: Attempt) -> None:
        val = {1: 0.9, 2: 0.4, 3: 0.6}[record.epoch] - (0.3 if attempt.job.attempt == 1 else 0.0)
        metrics = {**record.metrics, "val_accuracy": val, "test_accuracy": 0.8 if record.training else val / 2}
        keep(replace(record, metrics=metrics), attempt)

    def interrupt(event: Event) -> None:
        if event.job.attempt == 1 and event.record and (event.record.epoch, event.record.training) == (2, ""):
            raise KeyboardInterrupt

    study = tiny(strategies={"online": online_score()}, space={}, budget=Budget(trials=1), seeds=1)
    study = replace(study, task=replace(study.task, epochs=3))
    monkeypatch.setattr(worker, "keep", scored)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(study, store, options=options, listen=interrupt)
    run(study, store, options=options)
    complete = [outcome for outcome in store.outcomes("tiny") if outcome.state == "COMPLETE"]
    assert [(outcome.kind, outcome.attempt, outcome.value) for outcome in complete] == [
        (TrialKind.SEARCH, 2, pytest.approx(0.6)),
        (TrialKind.FINAL, 2, pytest.approx(0.3)),
    ]
    (final,) = store.trials("tiny", "leaderboard")[-1:]
    cost = sum(r.gpu_seconds for r in store.epochs("tiny") if r.kind is TrialKind.FINAL and r.trial == final.number)
    assert final.values == [pytest.approx(0.3), pytest.approx(cost)], "the second value is the cost of all trainings"
    assert complete[-1].metrics["last_policy_test_accuracy"] == 0.8


# Provenance


def test_a_trial_says_where_it_comes_from(store: Store, options: Options) -> None:
    study = tiny(budget=Budget(trials=1), seeds=1)
    run(study, store, options=options)
    by_place = {place: store.trials("tiny", place)[0].user_attrs for place in ("none", "ra", "leaderboard")}
    for attributes in by_place.values():
        assert attributes.keys() >= {"git_commit", "versions", "seed", "worker", "images", "epochs", "wall_seconds"}
        assert attributes["data"] == load_data("digits-rotated").fingerprint
        assert attributes["device"]
        assert attributes["learner_seconds"] == 0
        assert max(attributes.get("peak_process_bytes", 0), attributes.get("peak_gpu_bytes", 0)) > 10**6
    assert by_place["none"]["space"] != by_place["ra"]["space"]
    assert by_place["none"]["space"] == by_place["leaderboard"]["space"]
