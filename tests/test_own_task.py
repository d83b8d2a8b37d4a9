"""Strategies that train differently from each other: `Strategy.trained`."""

from typing import Any

import pytest
from optuna.distributions import IntDistribution

from autoaug import Budget
from autoaug.compare import stored_comparison
from autoaug.execution import Options
from autoaug.executors import run
from autoaug.store import Store
from autoaug.strategies import none, randaugment
from autoaug.study import plan, set_up
from tests.studies_for_tests import tiny

ARMS = {"none": none(), "refined": none().mixed("mixup", alpha=1.0).trained(refine_epochs=1, weight_decay=0.01)}


def arms(**more: Any) -> Any:
    return tiny(**{"strategies": ARMS, "space": {}, "seeds": 1, "budget": Budget(trials=1)} | more)


def test_a_strategy_trains_with_fields_of_its_own(tmp_path: Any) -> None:
    study, store = arms(), Store(f"sqlite:///{tmp_path}/own.db")
    run(study, store, options=Options(artifacts=tmp_path / "artifacts"))
    found = stored_comparison([(store, "tiny")])
    assert {row.name: row.epochs for row in found.rows} == {"none": 2, "refined": 3}
    assert found.definition["tasks"] == {"refined": {"refine_epochs": 1, "weight_decay": 0.01}}
    other = arms(strategies=ARMS | {"refined": ARMS["refined"].trained(weight_decay=0.02)})
    with pytest.raises(ValueError, match=r"the task of 'refined', weight_decay = 0.01, and now has 0.02"):
        run(other, store, options=Options(artifacts=tmp_path / "artifacts"))
    store.close()


def test_its_proxy_changes_them_again_and_the_plan_counts_them() -> None:
    own = randaugment().trained(epochs=7, refine_epochs=2).trained(refine_epochs=1).proxied(epochs=1)
    study = arms(strategies={"own": own}, rerun=1)
    point = study.first_of("own")[0]
    cheap, full = (set_up(study, "own", point, search=search).task for search in (True, False))
    assert [(task.epochs, task.refine_epochs) for task in (cheap, full)] == [(1, 1), (7, 1)]
    [line] = plan(study)
    assert (line.epochs, line.final_epochs) == (2, 8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: none().trained(epoch=1), r"trained\(epoch=1\) is no field of a task: did you mean 'epochs'\?"),
        (lambda: none().trained(data="digits"), r"trained\(data='digits'\): what a score is measured on is the same"),
        (lambda: none().trained(size=8), r"trained\(size=8\): what a score is measured on is the same"),
        (
            lambda: arms(strategies={"a": none().trained(epochs=0)}),
            r"the task of strategy 'a' of study 'tiny': Task",
        ),
        (
            lambda: arms(strategies={"a": none().trained(epochs=3)}, space={"task.epochs": IntDistribution(1, 2)}),
            r"'task.epochs' is fixed at 3 and a dimension of the space: keep one",
        ),
        (
            lambda: arms(strategies={"a": none()._replace(task={"seed": 1})}),
            r"the task of strategy 'a' of study 'tiny': trained.seed=1. is no field",
        ),
    ],
)
def test_what_makes_no_task_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
