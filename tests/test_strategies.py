"""Laws of strategies: a new one is held to them by being exported."""

import math
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import optuna
import pytest
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from torch import Generator

from autoaug import Budget, Study, Task, strategies
from autoaug.data import subset
from autoaug.execution import Options
from autoaug.executors import run
from autoaug.ops import OPS
from autoaug.policy import op_masses, ready
from autoaug.record import TrialKind
from autoaug.store import Store
from autoaug.strategies import (
    SAMPLERS,
    SeededByTrial,
    Strategy,
    affine_grid,
    autoaugment,
    madao,
    none,
    one_epoch_top_k,
    online_score,
    published,
    randaugment,
    standard,
    truncated,
    validated_magnitude,
)
from autoaug.study import set_up
from autoaug.train import train

CONSTRUCTORS = [name for name in strategies.__all__ if name[0].islower()]
"""All named constructors, found rather than listed."""

SHARED: dict[str, BaseDistribution] = {
    "task.refine_epochs": IntDistribution(0, 2),
    "task.refine_lr": FloatDistribution(1e-4, 1e-1, log=True),
    "task.lr": FloatDistribution(1e-3, 1.0, log=True),
    "task.weight_decay": FloatDistribution(1e-6, 1e-2, log=True),
    "mix.kind": CategoricalDistribution(("none", "mixup", "cutmix", "hmix")),
    "mix.alpha": FloatDistribution(0.0, 2.0),
    "mix.probability": FloatDistribution(0.0, 1.0),
}
"""What any strategy can search beside its own dimensions."""

TASK = Task(data="digits-rotated", model="convnet", epochs=1, batch_size=50, device="cpu")


def made(name: str) -> Strategy:
    return getattr(strategies, name)()


def study(strategy: Strategy, space: dict[str, BaseDistribution] | None = None, task: Task = TASK) -> Study:
    return Study(name="s", task=task, strategies={"x": strategy}, space=space or {}, budget=Budget(trials=8))


def propose(strategy: Strategy, trials: int = 4, seed: int = 0, space: Any = None) -> list[dict[str, Any]]:
    """The points of a search in which every trial ends with the same value."""
    asked = study(strategy, space)
    search = optuna.create_study(direction="maximize")
    search.sampler = SeededByTrial(strategy.between, "s", seed, first=asked.first_of("x"))
    for _ in range(trials):
        trial = search.ask(asked.space_of("x"))
        search.tell(trial, 0.5 + 0.01 * trial.number)
    return [trial.params for trial in search.trials]


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_a_policy_is_built_from_any_point_of_the_space(name: str, rng: Generator) -> None:
    strategy = made(name)
    for point in propose(strategy):
        policy = strategy.policy(**{key.removeprefix("policy."): value for key, value in point.items()})
        images = torch.rand(5, 3, 9, 8, generator=rng)
        before = images.clone()
        assert policy(images, rng).shape == images.shape
        assert torch.equal(images, before)


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_it_says_where_it_comes_from(name: str) -> None:
    make = getattr(strategies, name)
    words = f"{make.__doc__} {sys.modules[make.__module__].__doc__}"
    assert re.search(r"\b20[12]\d\b", words), "no paper with its year"


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_the_same_seed_proposes_the_same_points(name: str) -> None:
    assert propose(made(name), seed=1, space=SHARED) == propose(made(name), seed=1, space=SHARED)


@pytest.mark.parametrize("name", [name for name in CONSTRUCTORS if made(name).between is not SAMPLERS["grid"]])
def test_another_seed_proposes_other_points_after_the_first(name: str) -> None:
    one, other = (propose(made(name), seed=seed, space=SHARED) for seed in (1, 2))
    assert one[1:] != other[1:]


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_the_first_point_is_the_known_default(name: str) -> None:
    strategy = made(name)
    point = propose(strategy, space=SHARED)[0]
    assert point["task.refine_epochs"] == 0
    assert point["task.lr"] == TASK.lr
    assert point["task.weight_decay"] == TASK.weight_decay
    assert (point["mix.kind"], point["mix.alpha"], point["mix.probability"]) == ("none", 0.0, 0.0)
    assert set(strategy.space) <= set(study(strategy, SHARED).first_of("x")[0]), "what it searches has a default"


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_it_travels_to_another_process(name: str) -> None:
    strategy = made(name)
    sent = cloudpickle.loads(cloudpickle.dumps(strategy))
    assert propose(sent, space=SHARED) == propose(strategy, space=SHARED)


@pytest.mark.parametrize("dimension", SHARED)
@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_it_takes_any_shared_dimension(name: str, dimension: str) -> None:
    space = {dimension: SHARED[dimension]}
    for point in propose(made(name), space=space, trials=2):
        setup = set_up(study(made(name), space), "x", point)
        noun, what = dimension.split(".")
        if noun == "task":
            assert getattr(setup.task, what) == point[dimension]
        elif what != "kind":
            assert getattr(setup.mix, what) == point[dimension]


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_it_trains_with_all_shared_dimensions_at_once(name: str) -> None:
    shared = {"task.refine_epochs": 1, "task.refine_lr": 0.002, "task.lr": 0.05, "task.weight_decay": 1e-4}
    shared |= {"mix.kind": "mixup", "mix.alpha": 0.2, "mix.probability": 0.5}
    asked = study(made(name), SHARED)
    setup = set_up(asked, "x", asked.first_of("x")[0] | shared)
    records = list(train(setup.task, setup.policy, setup.mix, setup.learner, Generator().manual_seed(0)))
    assert [record.phase for record in records] == ["augment", "refine"]
    assert records[-1].metrics["lr"] == pytest.approx(0.002)
    assert all(math.isfinite(value) for value in records[-1].metrics.values())


def test_dimensions_of_gradient_strategies_begin_at_their_presets() -> None:
    searched = ("learner.warmup", "learner.every", "learner.lr", "policy.temperature")
    assert propose(online_score(search=searched[:3]), 1)[0] == {
        "learner.warmup": 0, "learner.every": 5, "learner.lr": 0.2,
    }  # fmt: skip
    assert propose(madao("paper", search=searched[1:]), 1)[0] == {
        "learner.every": 60, "learner.lr": 0.01, "policy.temperature": 0.05,
    }  # fmt: skip
    assert study(madao(search=searched)).first_of("x") == ({"policy.temperature": 0.05},), "the rest is not known yet"
    assert propose(truncated(every=7, search=("learner.every", "learner.lr")), 1)[0] == {
        "learner.every": 7,
        "learner.lr": 0.3,
    }


def test_a_default_outside_the_space_is_left_to_the_sampler() -> None:
    space: dict[str, BaseDistribution] = {
        "task.lr": FloatDistribution(1e-3, 1e-2),
        "task.epochs": IntDistribution(1, 9),
    }
    asked = study(none(), space)
    assert asked.first_of("x") == ({"task.epochs": 1},)
    assert study(none(), {"task.lr": FloatDistribution(1e-3, 1e-2)}).first_of("x") == ()
    assert 1e-3 <= propose(none(), 1, space=space)[0]["task.lr"] <= 1e-2


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"policy.mm": 0.5}, r"strategy 'x' of study 's': 'policy.mm' of a first point is no dimension.*'policy.m'"),
        ({"policy.m": 1.5}, r"policy.m=1.5 of a first point lies outside FloatDistribution\(high=1.0"),
        ({"policy.n": "two"}, r"policy.n='two' of a first point lies outside IntDistribution"),
        ({"policy.n": True}, r"policy.n=True of a first point lies outside"),
    ],
)
def test_a_first_point_outside_the_space_is_refused_when_the_study_is_made(point: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        study(randaugment()._replace(first=(point,)))


# What each of them is


def test_randaugment_begins_at_the_published_default() -> None:
    assert propose(randaugment("random"), 1) == [{"policy.n": 2, "policy.m": 0.3}]


def test_autoaugment_begins_at_the_first_of_the_published_policies() -> None:
    strategy = autoaugment()
    assert len(strategy.space) == 30
    built = strategy.policy(**{key.removeprefix("policy."): value for key, value in strategy.first[0].items()}).tree()
    paper = ready.autoaugment_cifar10().root
    assert len(built.root.options) == 5
    for mine, theirs in zip(built.root.options, paper.options[:5], strict=True):
        pairs = list(zip(mine.node.nodes, theirs.node.nodes, strict=True))
        assert [a.op for a, _ in pairs] == [b.op for _, b in pairs]
        assert [a.probability for a, _ in pairs] == [b.probability for _, b in pairs]


@pytest.mark.parametrize(("sub_policies", "length"), [(1, 1), (2, 3), (30, 2)])
def test_autoaugment_of_any_size_begins_at_a_point_of_its_space(sub_policies: int, length: int) -> None:
    strategy = autoaugment(sub_policies=sub_policies, length=length)
    assert len(strategy.space) == 3 * sub_policies * length == len(strategy.first[0])
    built = strategy.policy(**{key.removeprefix("policy."): value for key, value in strategy.first[0].items()}).tree()
    assert sum(op_masses(built).values()) <= 2, "beyond the published length nothing is applied"


def test_the_affine_grid_is_sixty_four_models() -> None:
    points = propose(affine_grid(), 80)
    assert len({tuple(point.values()) for point in points}) == 64
    assert set(points[0].values()) == {0.0}
    assert len({tuple(point.values()) for point in points[:60]}) >= 59, "none is visited twice before all are"


def test_the_grid_has_the_six_entries_of_an_affine_matrix(rng: Generator) -> None:
    """Each entry that is on is drawn, and no other: those of the matrix that one resampling is made by."""
    entries = {"zoom_x": (0, 0), "shear_x": (0, 1), "translate_x": (0, 2), "shear_y": (1, 0), "zoom_y": (1, 1)}
    entries["translate_y"] = (1, 2)
    assert set(affine_grid().space) == {f"policy.{name}" for name in entries}
    for name, place in entries.items():
        (node,) = affine_grid(reach=0.5).policy(**{name: 0.5}).tree().root.nodes
        assert (node.op, node.strength, node.mirror) == (name, (0.0, 0.5), True)
        matrix = OPS[name].matrix(torch.full([1], 0.1), 8, 8)[0]  # type: ignore[misc]
        assert (matrix != torch.eye(2, 3)).nonzero().tolist() == [list(place)]


def test_points_of_the_grid_before_anything_magnified_are_still_read() -> None:
    point = {"translate_x": 0.5, "translate_y": 0.0, "rotate": 0.5, "shear_x": 0.0, "shear_y": 0.5, "hflip": 0.5}
    nodes = affine_grid().policy(**point).tree().root.nodes
    assert [(node.op, node.strength, node.probability) for node in nodes[:-1]] == [
        (name, (0.0, 0.5), 1.0) for name in ("translate_x", "rotate", "shear_y")
    ]
    assert (nodes[-1].op, nodes[-1].probability) == ("hflip", 0.5)


def test_a_validated_magnitude_may_magnify(rng: Generator) -> None:
    *without, zoom = validated_magnitude("affine+scale").policy(m=0.4).tree().root.nodes
    assert (zoom.op, zoom.strength, zoom.mirror) == ("zoom", (0.0, 0.4), True)
    assert tuple(without) == tuple(validated_magnitude("affine").policy(m=0.4).tree().root.nodes)


def test_the_validated_magnitude_is_one_of_eleven(rng: Generator) -> None:
    points = propose(validated_magnitude(), 12)
    assert sorted({round(point["policy.m"], 9) for point in points}) == [k / 10 for k in range(11)]
    images = torch.rand(4, 1, 8, 8, generator=rng)
    assert torch.equal(validated_magnitude().policy(m=0.0)(images, rng), images)
    assert not torch.equal(validated_magnitude("translation").policy(m=0.5)(images, rng), images)


def test_crop_and_flip_as_a_policy() -> None:
    assert set(op_masses(standard().policy().tree())) == {"crop", "hflip"}


@pytest.mark.parametrize("dataset", ["cifar10", "svhn", "imagenet"])
def test_published_policies_have_twenty_five_sub_policies(dataset: str) -> None:
    assert len(published(dataset).policy().tree().root.options) == 25


def test_one_epoch_top_k_searches_with_one_epoch_and_trains_in_full_afterwards() -> None:
    asked = study(one_epoch_top_k(), {"task.refine_epochs": IntDistribution(0, 5)}, replace(TASK, epochs=9))
    point = asked.first_of("x")[0] | {"task.refine_epochs": 3}
    cheap, full = (set_up(asked, "x", point, search=search).task for search in (True, False))
    assert (cheap.epochs, cheap.refine_epochs) == (1, 0)
    assert (full.epochs, full.refine_epochs) == (9, 3)


def test_a_proxy_may_be_fewer_images_and_a_smaller_model() -> None:
    few = subset("digits", train=60, val=40)
    asked = study(autoaugment().proxied(data=few, model="resnet-8", epochs=1), task=replace(TASK, data="digits"))
    point = asked.first_of("x")[0]
    cheap, full = (set_up(asked, "x", point, search=search) for search in (True, False))
    assert (full.task.data, full.task.model) == ("digits", "convnet")
    assert (cheap.task.data, cheap.task.model) == (few, "resnet-8")
    [record] = train(cheap.task, cheap.policy, cheap.mix)
    assert record.images == 50, "one batch of what 60 images fill"


def test_proxies_add_up() -> None:
    strategy = randaugment().proxied(epochs=2).proxied(model="convnet", epochs=3)
    assert strategy.proxy == {"epochs": 3, "model": "convnet"}
    assert randaugment().proxy == {}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epoch": 1}, r"proxied\(epoch=1\) is no field of a task: did you mean 'epochs'\?"),
        ({"device": "cpu"}, r"proxied\(device='cpu'\): where a study runs is the same in all trials"),
        ({"root": "x"}, r"proxied\(root='x'\): where data lies"),
        ({"val_fraction": 0.5}, r"val_fraction=0.5\): what a score is measured on"),
    ],
)
def test_a_proxy_that_is_none_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        none().proxied(**fields)


def test_a_pruner_goes_by_its_name() -> None:
    assert isinstance(randaugment().pruned("asha").pruner, optuna.pruners.SuccessiveHalvingPruner)
    with pytest.raises(ValueError, match=r"unknown pruner 'ahsa': did you mean 'asha'"):
        randaugment().pruned("ahsa")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: randaugment(sampler="tpee"), r"unknown sampler of randaugment 'tpee': did you mean 'tpe'"),
        (lambda: autoaugment("pppo"), r"unknown controller of autoaugment 'pppo': did you mean 'ppo'"),
        (lambda: autoaugment(sub_policies=0), r"autoaugment\(sub_policies=0\): give a whole number"),
        (lambda: published("cifar11"), r"unknown dataset of published 'cifar11': did you mean 'cifar10'"),
        (lambda: validated_magnitude("afine"), r"unknown transforms of validated_magnitude 'afine'"),  # type: ignore[arg-type]
        (lambda: affine_grid(reach=0), r"affine_grid\(reach=0\): give a number above 0"),
    ],
)
def test_arguments_that_make_no_strategy_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_randaugment_takes_any_sampler(sampler: str) -> None:
    points = propose(randaugment(sampler), 14, space={"mix.kind": SHARED["mix.kind"]})
    assert points[0] == {"policy.n": 2, "policy.m": 0.3, "mix.kind": "none"}
    assert len({point["policy.m"] for point in points}) > 3


def test_stored_searches_begin_at_known_defaults_and_go_on_by_what_is_stored(tmp_path: Path) -> None:
    asked = Study(
        name="s",
        task=replace(TASK, data="digits-100", batch_size=100),
        strategies={"ppo": autoaugment("ppo"), "grid": affine_grid(), "top": one_epoch_top_k()},
        space={"task.refine_epochs": IntDistribution(0, 2)},
        budget=Budget(trials=3),
        rerun=2,
        seeds=1,
    )
    store = Store(f"sqlite:///{tmp_path}/s.db")
    run(asked, store, options=Options(artifacts=tmp_path))
    for name in asked.strategies:
        trials = store.trials("s", name)
        assert trials[0].params == asked.point_of(name, asked.first_of(name)[0])
        assert len({tuple(sorted(trial.params.items())) for trial in trials}) == 3
    top = [each for each in store.outcomes("s") if each.strategy == "top"]
    assert [(each.epochs, each.kind) for each in top][:3] == [(1, TrialKind.SEARCH)] * 3
    full = [each for each in top if each.kind is TrialKind.RERUN]
    assert [each.epochs for each in full] == [1 + each.point["task.refine_epochs"] for each in full]
    assert len(full) == 2
    store.close()
