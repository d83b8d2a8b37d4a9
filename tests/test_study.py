"""A study is checked when it is made, and a point becomes what is trained."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from torch import nn

from autoaug import Budget, Study, Task, run
from autoaug.execution import Options
from autoaug.models import MODELS
from autoaug.policy import Fixed, op_masses
from autoaug.store import Store
from autoaug.strategies import Strategy, none, online_score, randaugment, trivialaugment
from autoaug.study import Loader, Prediction, data_facts, lowest, plan, predict, preflight, set_up
from autoaug.train import NullLearner

TASK = Task(data="digits-rotated", model="convnet", epochs=3)


def study(**more: Any) -> Study:
    given = {
        "name": "s",
        "task": TASK,
        "strategies": {"none": none(), "ra": randaugment()},
        "space": {"task.refine_epochs": IntDistribution(0, 4), "mix.alpha": FloatDistribution(0, 1)},
        "budget": Budget(trials=7),
    }
    return Study(**given | more)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": "a/b"}, r"'a/b' cannot name a study: use letters, digits"),
        ({"name": "../x"}, r"cannot name a study"),
        ({"strategies": {}}, r"study 's' has no strategies"),
        ({"strategies": {"leaderboard": none()}}, r"'leaderboard' cannot name a strategy"),
        ({"baseline": "nonee"}, r"baseline 'nonee' is no strategy of study 's': did you mean 'none'\?"),
        ({"seeds": 0}, r"Study.seeds is 0"),
        ({"metric": "val_acuracy"}, r"unknown metric 'val_acuracy' of study 's': did you mean 'val_accuracy'"),
        ({"space": {"tsk.epochs": IntDistribution(1, 2)}}, r"unknown dimension 'tsk.epochs' in study 's'"),
        ({"space": {"task.epoch": IntDistribution(1, 2)}}, r"'task.epoch' in study 's': did you mean 'epochs'"),
        ({"space": {"mix.alfa": FloatDistribution(0, 1)}}, r"'mix.alfa' in study 's': did you mean 'alpha'"),
        (
            {"space": {"policy.m": FloatDistribution(0, 1)}, "strategies": {"ra": randaugment()}},
            r"'policy.m' is in the space of study 's' and of strategy 'ra': keep one",
        ),
        ({"strategies": {"n": none()}, "space": {"policy.m": FloatDistribution(0, 1)}}, r"'policy.m' in study 's'"),
        ({"strategies": {"n": none()}, "space": {"learner.lr": FloatDistribution(0, 1)}}, r"'learner.lr' in study"),
        (
            {"strategies": {"n": none()._replace(proxy={"split_seed": 1})}},
            r"strategy 'n' .*proxied\(split_seed=1\): what",
        ),
    ],
)
def test_a_study_that_cannot_be_run_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        study(**wrong)


@pytest.mark.parametrize("name", ["data", "val_fraction", "split_seed", "resplit", "root", "device"])
@pytest.mark.parametrize("own", [True, False])
def test_what_a_score_is_measured_on_cannot_be_searched(name: str, own: bool) -> None:
    space = {f"task.{name}": CategoricalDistribution((1, 2))}
    given = {"strategies": {"n": none()._replace(space=space)}} if own else {"space": space}
    with pytest.raises(
        ValueError, match=rf"^dimension 'task.{name}' in study 's': wh.+ is the same in all trials; leave"
    ):
        study(**given)


def flat(classes: int, channels: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64 * channels, classes))


@pytest.mark.parametrize(
    ("name", "choice", "fix"),
    [
        (
            "task.model",
            flat,
            r"<function.*: give it a name, autoaug.models.MODELS\['flat'\] = flat, and choose",
        ),
        ("mix.kind", lambda: None, r"give it a name, autoaug.mixing.MIXES\['<lambda>'\]"),
        ("task.lr", len, r"<built-in function len>, which no storage can hold: give texts, finite numbers"),
        ("task.warmup", {"a": 1}, r"\{'a': 1\}, which"),
        ("task.model", b"convnet", r"b'convnet'"),
        ("task.batch_size", (32, 64), r"\(32, 64\)"),
        ("task.batch_size", [32] * 1000, r"\[32, 32, 32, 32, 32, 32, ...\]"),
        ("task.lr", float("nan"), r"nan"),
        ("task.lr", float("inf"), r"inf"),
        ("task.lr", torch.ones(()), r"tensor"),
    ],
)
def test_choices_that_no_storage_holds_are_refused(name: str, choice: Any, fix: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna's, for some of them
        rule = CategoricalDistribution([choice, "convnet"])
    for given in ({"space": {name: rule}}, {"strategies": {"n": none(), "own": none()._replace(space={name: rule})}}):
        with pytest.raises(ValueError, match=rf"dimension '{name}' in study 's' has the choice .*{fix}"):
            study(**{"space": {}} | given)


def test_a_function_with_a_name_is_a_choice(store: Store, options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "flat", flat)
    models = CategoricalDistribution(["flat"])
    given = study(space={"task.model": models}, strategies={"n": none()}, budget=Budget(trials=1), seeds=1)
    run(given, store, options=options)
    assert {outcome.point["task.model"] for outcome in store.outcomes("s")} == {"flat"}
    assert {outcome.state for outcome in store.outcomes("s")} == {"COMPLETE"}


@pytest.mark.parametrize(
    "wrong",
    [{}, {"trials": 0}, {"gpu_seconds": 0.0}, {"gpu_seconds": float("nan")}, {"trials": -1}, {"wall_seconds": 0}],
)
def test_a_budget_that_buys_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"Budget\("):
        Budget(**wrong)


def test_whichever_limit_is_reached_first_ends_a_budget() -> None:
    budget = Budget(trials=10, gpu_seconds=100)
    assert budget.spent(5, 20) == 0.5
    assert budget.spent(1, 100) == 1.0
    assert budget.spent(1, 10, wall_seconds=1e9) == 0.1, "a limit that was not set"
    assert Budget(wall_seconds=50).spent(10**6, 10**6, 25) == 0.5


def test_a_point_sets_each_noun() -> None:
    point = {"policy.n": 1, "policy.m": 0.5, "task.refine_epochs": 2, "mix.alpha": 0.3}
    setup = set_up(study(), "ra", point)
    assert setup.task == replace(TASK, refine_epochs=2)
    assert sum(op_masses(setup.policy.tree()).values()) == pytest.approx(1, abs=0.1), "one operation per image"
    assert isinstance(setup.learner, NullLearner)


def test_the_plan_says_what_will_be_done() -> None:
    lines = {line.strategy: line for line in plan(study())}
    assert lines["none"].dimensions == ("task.refine_epochs", "mix.alpha")
    assert lines["ra"].dimensions == ("task.refine_epochs", "mix.alpha", "policy.n", "policy.m")
    assert {line.trials for line in lines.values()} == {7}
    assert {line.epochs for line in lines.values()} == {3 + 4}, "the most epochs that a trial can take"
    assert {line.final_runs for line in lines.values()} == {3}


def test_the_plan_of_a_proxy_has_the_epochs_of_its_search_and_its_re_runs() -> None:
    lines = {line.strategy: line for line in plan(study(strategies={"p": randaugment().proxied(epochs=1)}, rerun=2))}
    assert (lines["p"].epochs, lines["p"].reruns) == (1 + 4, 2)


@pytest.mark.parametrize("name", ["median", "asha", "hyperband", "wilcoxon"])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_pruner_without_anything_to_judge_by_is_refused(name: str) -> None:
    ra = randaugment().pruned(name)
    study(strategies={"ra": ra}, task=replace(TASK, epochs=1))  # a trial may refine for four epochs more
    study(strategies={"ra": ra}, task=replace(TASK, epochs=2), space={})
    message = r"strategy 'ra' of study 's' has the pruner \w+ and trials of one epoch, which report nothing"
    with pytest.raises(ValueError, match=message):
        study(strategies={"ra": ra}, task=replace(TASK, epochs=1), space={})
    with pytest.raises(ValueError, match=message):
        study(strategies={"ra": ra.proxied(epochs=1, refine_epochs=0)})


def test_a_prediction_counts_epochs_updates_re_runs_and_final_runs() -> None:
    asked = study(strategies={"p": randaugment().proxied(epochs=1)}, rerun=2, seeds=5, budget=Budget(trials=10))
    found = Prediction(trial=1.0, full=4.0, deployed=0.5, unit="CPU-seconds")
    assert found.least(asked, "p") == 1 + 4
    assert found.search(asked, "p") == 10 * 1 + 2 * 4
    assert found.finals(asked) == 5 * 4.5
    limited = replace(asked, budget=Budget(trials=10, wall_seconds=7.0))
    assert found.search(limited, "p") == 7.0
    assert found.search(replace(asked, budget=Budget(gpu_seconds=30)), "p") == 30


@pytest.mark.filterwarnings("ignore:.*cannot move a logit")
def test_what_is_predicted_grows_with_the_epochs_and_a_learner_costs_more() -> None:
    """The clock counts CPU-seconds of this process, and the ratios are far from what noise could bridge."""
    arms = {"none": none(), "online": online_score(), "short": none().proxied(epochs=1)}
    found = predict(study(strategies=arms, space={}, task=replace(TASK, epochs=40, batch_size=50)))
    assert found["none"].full == found["none"].trial > 5 * found["short"].trial
    assert found["online"].full > 1.5 * found["online"].deployed > 0
    assert found["none"].deployed == 0
    assert {each.unit for each in found.values()} <= {"CPU-seconds", "GPU-seconds"}


def test_a_strategy_that_cannot_be_measured_is_left_out() -> None:
    def broken(m: float) -> Fixed:
        raise RuntimeError("no")

    arms = {"none": none(), "broken": Strategy(policy=broken, space={"policy.m": FloatDistribution(0, 1)})}
    assert list(predict(study(strategies=arms))) == ["none"]


def test_the_data_is_loaded_once_for_all_strategies_and_choices() -> None:
    loads = []

    def counted(root: Path) -> tuple[Any, ...]:
        loads.append(root)
        images = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        return images, torch.arange(40) % 2

    space = {"mix.kind": CategoricalDistribution(("none", "mixup", "cutmix"))}
    asked = study(task=replace(TASK, data=counted, batch_size=8, val_fraction=0.2), space=space)
    load = Loader()
    preflight(asked, load)
    predict(asked, load=load)
    assert len(loads) == 1


def test_a_strategy_with_nothing_to_search_needs_one_trial() -> None:
    bare = study(space={}, strategies={"none": none(), "ta": trivialaugment()})
    assert [line.trials for line in plan(bare)] == [1, 1]


def test_the_lowest_point_lies_in_the_space() -> None:
    space = {"a": FloatDistribution(0.5, 1), "b": CategoricalDistribution(("x", "y")), "c": IntDistribution(2, 3)}
    assert lowest(space) == {"a": 0.5, "b": "x", "c": 2}


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (replace(TASK, data="digits-rotatd"), r"digits-rotatd.*digits-rotated"),
        (replace(TASK, model="convnt"), r"unknown model 'convnt'.*convnet"),
        (replace(TASK, model=lambda classes: nn.Linear(3, classes)), r"fails on two images of 1x8x8"),
        (
            replace(TASK, model=lambda classes: nn.Sequential(nn.Flatten(), nn.Linear(64, 7))),
            r"\(2, 7\) for 2 images of 10",
        ),
    ],
)
def test_preflight_finds_what_cannot_work(task: Task, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        preflight(study(task=task))


def test_preflight_passes_what_works_and_writes_into_no_image() -> None:
    preflight(study())


def test_what_a_study_asks_does_not_depend_on_where_it_runs() -> None:
    elsewhere = study(task=replace(TASK, root="/elsewhere", device="cpu"))
    assert elsewhere.describe() == study().describe()
    assert study(task=replace(TASK, lr=0.3)).describe() != study().describe()


def failing(root: Path) -> Any:
    raise RuntimeError("the share is not mounted")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (failing, r"^data 'failing': RuntimeError: the share is not mounted$"),
        ("missing.npz", r"^no file at .*missing.npz': give the path"),
        (lambda root: None, r"^data '<lambda>' returned a NoneType: return a Source"),
    ],
)
@pytest.mark.parametrize("on_proxy", [True, False])
def test_what_is_wrong_with_the_data_is_said_of_them_and_not_of_a_strategy(
    data: Any, message: str, on_proxy: bool
) -> None:
    fields = {"strategies": {"n": none().proxied(data=data)}} if on_proxy else {"task": replace(TASK, data=data)}
    with pytest.raises(ValueError, match=message):
        preflight(study(**fields))


def test_the_facts_of_data_count_what_each_split_has() -> None:
    def counted(root: Path) -> tuple[Any, ...]:
        images = torch.rand(200, 3, 8, 6, generator=torch.Generator().manual_seed(0))
        return images, torch.arange(200) % 4

    asked = study(task=replace(TASK, data=counted, val_fraction=0.2, resplit="per_epoch"))
    (facts,) = data_facts(asked, Loader())
    assert facts.images == {"train": 102, "learner": 26, "val": 32, "test": 40}
    assert (facts.cut, facts.classes, facts.pixels, facts.files) == (("val", "test"), 4, (3, 8, 6), None)
    assert facts.sentences()[0] == (
        "data: 102 training, 26 for the learner, 32 validation, 40 test images (validation and test cut from training) "
        "of 4 classes, 8 x 6 pixels in colour"
    )
    assert facts.no_effect == ()
    (own,) = data_facts(study(task=replace(TASK, resplit="per_epoch", split_seed=3)), Loader())
    assert own.no_effect == ("split_seed", "resplit")
    assert "Task.resplit has no effect: the data bring validation images of their own" in own.sentences()
    (own,) = data_facts(study(), Loader())
    assert own.no_effect == ()
    assert own.images == {"train": 400, "val": 600, "test": 797}
    assert own.sentences()[0] == (
        "data: 400 training, 600 validation, 797 test images of 10 classes, 8 x 8 pixels in one channel"
    )
