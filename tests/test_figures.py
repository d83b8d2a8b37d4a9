"""Every figure of a training is checked once; one that is no number fails the trial, and the study goes on."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import sqlalchemy as sql
import torch
from command_line import Call, calling
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState
from studies_for_tests import tiny
from test_dashboard import ask, served, studies
from torch import Generator, Tensor, nn

from autoaug import Budget, Study, Task
from autoaug.execution import Event, Options
from autoaug.executors import run
from autoaug.learners._diagnose import cosine
from autoaug.mixing import MIXES
from autoaug.models import build
from autoaug.policy import Fixed, Relaxed, ready
from autoaug.record import Record, TrialKind
from autoaug.store import Store
from autoaug.strategies import Strategy, none
from autoaug.strategies.samplers import SAMPLERS
from autoaug.train import Diverged, NullLearner, train

TASK = Task(data="digits", model="convnet", epochs=1, batch_size=400, warmup=0.0)
EXPLODING = replace(TASK, lr=1e8)
"""Its training loss is that of the only step, before the weights explode; its validation loss is NaN."""

VALIDATION = "diverged: the validation negative log-likelihood is nan in epoch 1: lower Task.lr (1e+08)"


def figures(task: Task, learner: Any = None, policy: Any = None) -> dict[str, float]:
    """Of the last epoch."""
    made = policy or Fixed(ready.none())
    return dict(list(train(task, made, MIXES["none"](), learner, Generator().manual_seed(0)))[-1].metrics)


class Telling(NullLearner):
    """A learner of the user's that reports figures."""

    moves_policy = True

    def __init__(self, **said: Any) -> None:
        self.said = said

    def metrics(self) -> dict[str, Any]:
        return self.said


def test_a_validation_loss_that_is_no_number_is_named_with_its_epoch() -> None:
    with pytest.raises(Diverged) as diverged:
        figures(EXPLODING)
    assert str(diverged.value) == VALIDATION


def test_the_training_loss_is_named_before_what_follows_from_it() -> None:
    with pytest.raises(
        Diverged, match=r"^diverged: the training loss is (nan|inf) in epoch 1: lower Task.lr \(1e\+20\)$"
    ):
        figures(replace(TASK, lr=1e20, batch_size=50))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan"), torch.tensor(math.nan)])
def test_a_figure_of_a_learner_is_checked_like_the_trainers_own(value: Any) -> None:
    message = r"^diverged: the figure 'my_cosine' is (nan|-?inf) in epoch 1: lower Task.lr .*leave it out where"
    with pytest.raises(Diverged, match=message):
        figures(TASK, Telling(my_cosine=value))


def test_figures_of_a_learner_become_floats_and_leave_the_trainers_alone() -> None:
    found = figures(TASK, Telling(a=np.float32(0.5), b=torch.tensor(2), c=1, train_loss=math.nan, val_accuracy=7.0))
    assert {name: (type(found[name]), found[name]) for name in "abc"} == {
        "a": (float, 0.5),
        "b": (float, 2.0),
        "c": (float, 1.0),
    }
    assert 0 < found["train_loss"] < 10
    assert 0 <= found["val_accuracy"] <= 1
    json.dumps(found)


@pytest.mark.parametrize("value", ["much", None, [1.0], torch.zeros(2)])
def test_a_figure_that_is_not_even_a_number_is_named(value: Any) -> None:
    with pytest.raises(TypeError, match=r"^the figure 'hyper' is .*: give a number, or leave it out"):
        figures(TASK, Telling(hyper=value))


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 101])
def test_a_figure_whose_name_cannot_be_stored_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match="give a text of 1 to 100 characters"):
        figures(TASK, Telling(**{name: 1.0}))


class Breaking(Telling):
    """Moves the policy off the numbers."""

    def __init__(self, policy: Relaxed) -> None:
        super().__init__()
        self.policy = policy

    def step(self, run: Any) -> None:
        with torch.no_grad():
            self.policy.selection.fill_(math.nan)


def test_a_policy_that_is_none_any_more_has_diverged_too() -> None:
    policy = Relaxed()
    message = r"^diverged: the policy is none any more in epoch 1: lower the rate of the learner \("
    with pytest.raises(Diverged, match=message):
        figures(TASK, Breaking(policy), policy)


def test_a_cosine_with_a_vector_that_points_nowhere_has_no_value() -> None:
    one = torch.tensor([3.0, 4.0])
    assert cosine(one, 2 * one) == pytest.approx(1)
    assert math.isnan(cosine(one, torch.zeros(2)))
    assert math.isnan(cosine(one, torch.full((2,), math.nan)))


# A study


def of_rates(*rates: float, **more: Any) -> Study:
    """Trials at these learning rates, in this order."""
    strategy = none()._replace(
        space={"task.lr": CategoricalDistribution(rates)},
        between=lambda seed: SAMPLERS["grid"](seed),
    )
    given: dict[str, Any] = {"task": TASK, "space": {}, "strategies": {"rates": strategy}, "metric": "val_nll"}
    return tiny(**given | {"budget": Budget(trials=len(rates)), "seeds": 1} | more)


def test_a_trial_that_diverges_is_a_fail_with_the_reason_and_the_others_go_on(store: Store, options: Options) -> None:
    study = of_rates(0.1, 1e8)
    run(study, store, options=options)
    for seen in (store, Store(store.storage_url)):
        found = {
            outcome.point["task.lr"]: outcome
            for outcome in seen.outcomes("tiny")
            if outcome.kind is not TrialKind.FINAL
        }
        assert (found[1e8].state, found[1e8].reason, found[1e8].value) == ("FAIL", VALIDATION, None)
        assert found[0.1].state == "COMPLETE"
        assert [outcome.state for outcome in seen.outcomes("tiny") if outcome.kind is TrialKind.FINAL] == ["COMPLETE"]
    run(study, store, options=options)
    assert len(store.outcomes("tiny")) == 3, "nothing was left to do"


class Brittle(nn.Module):
    """Says nothing of validation images once it is `broken`."""

    def __init__(self, classes: int, channels: int, broken: Callable[[], bool]) -> None:
        super().__init__()
        self.net, self.broken = build("convnet", classes, channels, Generator().manual_seed(0)), broken

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images) * (math.nan if self.broken() and not self.training else 1.0)


def test_the_training_from_scratch_that_follows_a_final_run_is_checked_too(store: Store, options: Options) -> None:
    ended: list[Record] = []

    def model(classes: int, channels: int) -> nn.Module:
        return Brittle(classes, channels, lambda: bool(ended))

    def listen(event: Event) -> None:
        if event.record and event.record.kind is TrialKind.FINAL:
            ended.append(event.record)

    strategy = Strategy(policy=Relaxed, space={}, within=lambda policy: Telling())
    study = tiny(
        task=replace(TASK, model=model), space={}, strategies={"l": strategy}, budget=Budget(trials=1), seeds=1
    )
    run(study, store, options=options, listen=listen)
    (final,) = (outcome for outcome in store.outcomes("tiny") if outcome.kind is TrialKind.FINAL)
    assert (final.state, final.epochs) == ("FAIL", 1), "the run that learned, and nothing of the one after it"
    assert final.reason == "diverged: the validation negative log-likelihood is nan in epoch 1: lower Task.lr (0.1)"


# What an earlier version stored


@pytest.fixture(params=["FINITE", "INF_POS"])
def old(tmp_path: Path, options: Options, request: pytest.FixtureRequest) -> Store:
    """A storage in which a trial is COMPLETE with the value NaN or infinity, as versions without the check wrote it.

    NaN was stored as a finite value that is missing, and no Optuna study with such a trial could be read again.
    """
    store = Store(f"sqlite:///{tmp_path / 'autoaug.db'}")
    study = of_rates(0.1, 0.2)
    run(study, store, options=options)
    spoilt = next(record for record in store.epochs("tiny") if record.kind is not TrialKind.FINAL and record.trial == 0)
    (trial, _) = store.trials("tiny", "rates")
    spoilt = replace(spoilt, metrics={**spoilt.metrics, "val_nll": math.nan, "hyper_norm": math.inf})
    store.write_epoch(trial._trial_id, spoilt)
    with store.engine.begin() as connection:
        for statement in (
            f"UPDATE trial_values SET value = NULL, value_type = '{request.param}' WHERE trial_id = :trial",
            "UPDATE trial_intermediate_values SET intermediate_value = NULL, intermediate_value_type = 'NAN' "
            "WHERE trial_id = :trial",
            "UPDATE trial_user_attributes SET value_json = 'NaN' WHERE trial_id = :trial AND key = 'val_nll'",
        ):
            assert connection.execute(sql.text(statement), {"trial": trial._trial_id}).rowcount == 1
    store.close()
    if request.param == "FINITE":
        with pytest.raises(AssertionError):
            _ = optuna.load_study(study_name="tiny/rates", storage=optuna.storages.RDBStorage(store.storage_url)).trials
    return Store(store.storage_url)


def test_a_storage_with_values_that_are_no_numbers_is_read(old: Store, options: Options) -> None:
    states = {outcome.trial: outcome for outcome in old.outcomes("tiny") if outcome.kind is not TrialKind.FINAL}
    assert (states[0].state, states[0].value) == ("FAIL", None)
    assert states[0].reason.startswith("diverged: its value was no finite number")
    assert states[1].state == "COMPLETE"
    assert all(math.isfinite(value) for record in old.epochs("tiny") for value in record.metrics.values())
    assert all(math.isfinite(value) for outcome in old.outcomes("tiny") for value in outcome.metrics.values())
    assert old.trials("tiny", "rates")[0].state == TrialState.FAIL
    before = old.outcomes("tiny")
    run(of_rates(0.1, 0.2), old, options=options)
    assert old.outcomes("tiny") == before
    run(of_rates(0.1, 0.2, seeds=2), old, options=options)
    assert [outcome.state for outcome in old.outcomes("tiny") if outcome.kind is TrialKind.FINAL] == ["COMPLETE"] * 2


def test_its_dashboard_answers(old: Store) -> None:
    with served(old.storage_url) as port:
        for number in studies(port).values():
            status, _ = ask(port, f"/api/studies/{number}")
            assert status == 200


def strict(text: str) -> Any:
    """JSON as every other program reads it."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    yield from calling(tmp_path, monkeypatch)


def test_compare_and_fresh_work_on_it(old: Store, call: Call, tmp_path: Path) -> None:
    assert strict(call("compare", "tiny", "--json").stdout)["strategies"]
    assert call("compare", "tiny", "--html", "report.html", "--csv", "table.csv").exit_code == 0
    assert call("run", "s.py", "--fresh", "-q").exit_code == 0
    assert set(Store(old.storage_url).names()) == {"tiny", "tiny~1"}
