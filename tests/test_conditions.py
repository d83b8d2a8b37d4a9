"""A point holds what its kinds use; what could change nothing is refused, and equal points are trained once."""

import math
from functools import partial
from typing import Any

import optuna
import pytest
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from studies_for_tests import tiny
from torch import Generator

from autoaug import Study
from autoaug.compare import stored_comparison
from autoaug.execution import Options
from autoaug.executors import run
from autoaug.mixing import MIXES, build, described, takes
from autoaug.ops import OPS
from autoaug.policy import Fixed, apply, policy_tree
from autoaug.record import TrialKind
from autoaug.store import Store
from autoaug.store._queued import propose
from autoaug.strategies import SAMPLERS, Condition, SeededByTrial, Strategy, autoaugment, none, randaugment
from autoaug.study import plan, set_up
from autoaug.study._conditions import AMOUNTS
from autoaug.study._setup import make_mix

KINDS = {"mix.kind": CategoricalDistribution(["none", "mixup", "hmix", "mixup-or-cutmix"])}
PARAMETERS: dict[str, BaseDistribution] = {
    "mix.ratio": FloatDistribution(0, 1),
    "mix.alpha": FloatDistribution(0.1, 1),
    "mix.probability": FloatDistribution(0.1, 1),
    "mix.switch": FloatDistribution(0, 1),
    "mix.per": CategoricalDistribution(["sample", "batch"]),
}
REFINING: dict[str, BaseDistribution] = {
    "task.refine_lr": FloatDistribution(1e-3, 1e-1, log=True),
    "task.refine_epochs": IntDistribution(0, 2),
}


def proposed(study: Study, trials: int, name: str = "x") -> list[dict[str, Any]]:
    """The points of a search whose trials end with values that say nothing."""
    search = optuna.create_study(direction="maximize")
    search.sampler = SeededByTrial(study.strategies[name].between, "s", first=study.first_of(name))
    for k in range(trials):
        trial = search.ask()
        frozen = search.get_trials(deepcopy=False)[trial.number]
        asked = propose(search, frozen, study.space_of(name), partial(study.uses, name))
        search.tell(asked, math.sin(k))
    return [trial.params for trial in search.trials]


def mixed_batch(mix: Any) -> torch.Tensor:
    images = torch.rand(8, 1, 8, 8, generator=Generator().manual_seed(0))
    return mix(images, torch.eye(8), Generator().manual_seed(1))[0]


# What a point holds


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_point_holds_what_its_kinds_use_and_nothing_else(sampler: str) -> None:
    strategy = none()._replace(between=SAMPLERS[sampler])
    points = proposed(tiny(strategies={"x": strategy}, space={**PARAMETERS, **KINDS, **REFINING}), 40)
    for point in points:
        assert {name for name in point if name.startswith("mix.")} == {
            "mix.kind",
            *(f"mix.{name}" for name in takes(point["mix.kind"]) if f"mix.{name}" in PARAMETERS),
        }
        assert ("task.refine_lr" in point) == (point["task.refine_epochs"] > 0)
    assert {point["mix.kind"] for point in points} == set(KINDS["mix.kind"].choices)
    assert {point["task.refine_epochs"] for point in points} == {0, 1, 2}


ALONE: dict[str, BaseDistribution] = {
    "mix.kind": CategoricalDistribution(
        ["none", "hmix", "dirichlet-mixup", "cutout", "gaussian-noise", "label-smoothing"]
    ),
    "mix.partner": CategoricalDistribution(["batch", "class"]),
    "mix.labels": CategoricalDistribution(["mixed", "closer"]),
    "mix.smoothing": FloatDistribution(0, 0.2),
    "mix.k": IntDistribution(2, 4),
    "mix.size": CategoricalDistribution([0.0, 0.5]),
    "mix.sigma": FloatDistribution(0.05, 0.2),
    "mix.epsilon": FloatDistribution(0.05, 0.2),
    "mix.probability": FloatDistribution(0.5, 1),
}


def test_every_row_is_asked_for_its_own_parameters_and_for_none_that_others_switch_off() -> None:
    """Partners of its own class have a sample's label, so that it does not matter which of the two is taken."""
    strategy = none()._replace(between=SAMPLERS["random"])
    points = proposed(tiny(strategies={"x": strategy}, space=ALONE), 120)
    pairs = {"partner", "smoothing", "probability"}
    wanted = {
        ("none", None, None): set(),
        ("hmix", "batch", None): pairs | {"labels"},
        ("hmix", "class", None): pairs,
        ("dirichlet-mixup", None, None): {"k", "probability"},
        ("cutout", None, 0.5): {"size", "probability"},
        ("cutout", None, 0.0): {"size"},
        ("gaussian-noise", None, None): {"sigma"},
        ("label-smoothing", None, None): {"epsilon"},
    }
    found = {tuple(point.get(f"mix.{name}") for name in ("kind", "partner", "size")): set(point) for point in points}
    assert found == {kinds: {"mix.kind", *(f"mix.{name}" for name in names)} for kinds, names in wanted.items()}
    for point in points:
        set_up(tiny(strategies={"x": strategy}, space=ALONE), "x", point)


def test_an_amount_that_is_fixed_at_zero_switches_the_others_off() -> None:
    study = tiny(
        space={"mix.partner": CategoricalDistribution(["batch", "class"])}, mix={"kind": "mixup", "alpha": 0.0}
    )
    assert not study.uses("none", "mix.partner", {"mix.partner": "class"})
    assert study.varied("none") == []


def test_what_puzzlemix_does_not_do_has_no_settings() -> None:
    space: dict[str, Any] = {
        "mix.kind": CategoricalDistribution(["mixup", "puzzlemix"]),
        "mix.transport": CategoricalDistribution([True, False]),
        "mix.t_eps": FloatDistribution(0.1, 1.0),
        "mix.adv_eps": FloatDistribution(0.01, 0.1),
        "mix.adv_p": FloatDistribution(0.0, 1.0),
    }
    study = tiny(strategies={"none": none()}, space=space)
    point = {"mix.kind": "puzzlemix", "mix.transport": True, "mix.t_eps": 0.5, "mix.adv_eps": 0.05, "mix.adv_p": 0.1}
    assert study.point_of("none", point) == point
    without = {**point, "mix.transport": False, "mix.adv_p": 0.0}
    assert set(study.point_of("none", without)) == {"mix.kind", "mix.transport", "mix.adv_p"}
    assert set(study.point_of("none", {**point, "mix.kind": "mixup"})) == {"mix.kind"}
    assert list(study.space_of("none")).index("mix.adv_p") < list(study.space_of("none")).index("mix.adv_eps")


@pytest.mark.parametrize("kind", [kind for kind in MIXES if kind != "none"])
def test_amounts_of_mixes_are_tried_at_their_least_first(kind: str) -> None:
    amounts = [name for name in takes(kind) if name in AMOUNTS]
    space = {f"mix.{name}": FloatDistribution(0.1, 0.5) for name in amounts}
    study = tiny(space=space, mix={"kind": kind})
    assert study.first_of("none")[0].items() >= {f"mix.{name}": 0.1 for name in amounts}.items()


def test_only_an_amount_of_mixup_means_mixup_where_no_kind_is_named() -> None:
    assert make_mix(alpha=0.3) == build("mixup", alpha=0.3)
    assert make_mix(probability=0.3, per="batch") == build("mixup", probability=0.3, per="batch")
    for more in ({"per": "batch"}, {"smoothing": 0.1}, {"epsilon": 0.1}, {}):
        assert make_mix(**more) == build("none"), more


@pytest.mark.parametrize("controller", ["tpe", "ppo"])
def test_an_operation_without_strength_is_asked_for_none(controller: str) -> None:
    study = tiny(strategies={"x": autoaugment(controller, sub_policies=2)}, space={})
    points = proposed(study, 12)
    for point in points:
        for slot in ("1_1", "1_2", "2_1", "2_2"):
            assert (f"policy.strength_{slot}" in point) == (OPS[point[f"policy.op_{slot}"]].most is not None)
        set_up(study, "x", point).policy.tree()
    assert any(len(point) < 12 for point in points)
    assert points[0].items() <= study.first_of("x")[0].items()


def test_dimensions_are_asked_for_after_those_that_decide() -> None:
    order = list(tiny(strategies={"x": none()}, space={**PARAMETERS, **KINDS, **REFINING}).space_of("x"))
    assert (
        order.index("mix.kind") < order.index("mix.alpha") < order.index("mix.probability") < order.index("mix.ratio")
    )
    assert order.index("task.refine_epochs") < order.index("task.refine_lr")
    assert list(tiny().space_of("ra")) == ["task.refine_epochs", "mix.alpha", "policy.n", "policy.m"], "else as given"


def test_a_mix_that_mixes_nothing_is_asked_for_no_more() -> None:
    space = {"mix.alpha": CategoricalDistribution([0.0, 1.0]), "mix.probability": FloatDistribution(0.1, 1)}
    points = proposed(tiny(strategies={"x": none()}, space=space), 12)
    assert {("mix.probability" in point, point["mix.alpha"] > 0) for point in points} == {(False, False), (True, True)}


@pytest.mark.parametrize("sampler", ["grid", "cmaes", "ppo"])
def test_samplers_of_our_own_decide_conditional_dimensions_too(sampler: str) -> None:
    """Once complete trials have it, a dimension is proposed with the others, though some trials lack it."""
    study = tiny(strategies={"x": none()._replace(between=SAMPLERS[sampler])}, space=REFINING)
    search = optuna.create_study(direction="maximize")
    made = SAMPLERS[sampler](0)
    search.sampler = made
    for _ in range(8):
        trial = search.ask()
        frozen = search.get_trials(deepcopy=False)[trial.number]
        search.tell(propose(search, frozen, study.space_of("x"), partial(study.uses, "x")), 0.0)
    assert set(made.infer_relative_search_space(search, search.trials[-1])) == set(REFINING)


def test_the_grid_visits_no_two_points_that_differ_in_what_they_do_not_use() -> None:
    space: dict[str, BaseDistribution] = {
        "mix.kind": CategoricalDistribution(["none", "hmix"]),
        "mix.ratio": FloatDistribution(0, 1, step=0.25),
    }
    study = tiny(strategies={"x": none()._replace(between=SAMPLERS["grid"])}, space=space)
    points = [tuple(sorted(point.items())) for point in proposed(study, 6)]
    assert len(set(points)) == 6 == 1 + 5


def test_a_condition_of_ones_own() -> None:
    def policy(op: str, angle: float = 0.0) -> Fixed:
        return Fixed(policy_tree(apply(op, angle) if op == "rotate" else apply(op)))

    space = {"policy.angle": FloatDistribution(0.1, 1), "policy.op": CategoricalDistribution(["rotate", "hflip"])}
    rule = Condition(("policy.op",), lambda point: "" if point["policy.op"] == "rotate" else "a flip has no angle")
    study = tiny(strategies={"x": Strategy(policy, space, conditions={"policy.angle": rule})}, space={})
    points = proposed(study, 12)
    assert {("policy.angle" in point, point["policy.op"]) for point in points} == {(True, "rotate"), (False, "hflip")}
    with pytest.raises(ValueError, match=r"has a condition for 'policy.angel', which it does not search: did you mean"):
        tiny(strategies={"x": Strategy(policy, space, conditions={"policy.angel": rule})})


def test_a_stored_search_trains_what_its_points_hold(store: Store, options: Options) -> None:
    space = {**KINDS, "mix.ratio": FloatDistribution(0, 1), "mix.alpha": FloatDistribution(0.5, 1), **REFINING}
    study = tiny(strategies={"none": none()._replace(between=SAMPLERS["random"])}, space=space)
    run(study, store, options=options)
    found = [each for each in store.outcomes("tiny") if each.kind is not TrialKind.FINAL]
    assert len(found) == 3
    assert all(each.point == study.point_of("none", each.point) for each in found)
    assert all(each.epochs == 2 + each.point["task.refine_epochs"] for each in found)
    finals = [each for each in store.outcomes("tiny") if each.kind is TrialKind.FINAL]
    assert {tuple(each.point.items()) for each in finals} <= {tuple(each.point.items()) for each in found}


# What would change nothing


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            {"space": {"mix.ratio": FloatDistribution(0, 1)}},
            r"'mix.ratio' would change nothing: no mix is named. Give 'm",
        ),
        (
            {"space": {"mix.per": CategoricalDistribution(["sample", "batch"])}},
            r"'mix.per' would change nothing: no mix",
        ),
        (
            {"space": {"mix.ratio": FloatDistribution(0, 1), "mix.alpha": FloatDistribution(0, 1)}},
            r"'mix.ratio' would change nothing: 'mixup' takes no ratio, which is of 'hmix'",
        ),
        (
            {"space": {"mix.switch": FloatDistribution(0, 1), "mix.kind": CategoricalDistribution(["none", "gmix"])}},
            r"strategy 'none' of study 'tiny': 'mix.switch' would change nothing: 'none', 'gmix' takes no switch",
        ),
        (
            {"space": {"mix.alpha": FloatDistribution(0, 1), "mix.kind": CategoricalDistribution(["none"])}},
            r"'mix.alpha' would change nothing: 'none' takes no alpha, which is of 'mixup', 'cutmix'",
        ),
        ({"space": {}, "mix": {"per": "batch"}}, r"'mix.per' would change nothing: no mix is named"),
        ({"space": {}, "mix": {"epsilon": 0.1}}, r"Strategy.mixed\(\"label-smoothing\", ...\)$"),
        (
            {"space": {"mix.size": FloatDistribution(0, 1)}, "mix": {"kind": "gaussian-noise"}},
            r"'mix.size' would change nothing: 'gaussian-noise' takes no size, which is of 'cutout'",
        ),
        ({"space": {}, "mix": {"ratio": 0.5}}, r"'mix.ratio' would change nothing: no mix is named"),
        ({"space": {}, "mix": {"kind": "hmix", "ratoi": 1}}, r"'mix.ratoi' .*: no mix takes it: did you mean 'ratio'"),
        (
            {"mix": {"kind": "mixup", "alpha": 0.3}},
            r"'mix.alpha' is fixed at 0.3 and a dimension of the space: keep one",
        ),
        ({"mix": {"kind": "cutmx"}}, r"unknown mix 'cutmx': did you mean 'cutmix'\?"),
        ({"mix": "cutmix"}, r"Study.mix is 'cutmix': give a dict by name"),
        (
            {"strategies": {"none": none().mixed("cutmix")}, "space": {"mix.ratio": FloatDistribution(0, 1)}},
            r"'mix.ratio' would change nothing: 'cutmix' takes no ratio",
        ),
    ],
)
def test_a_parameter_that_no_mix_of_the_space_takes_is_refused_by_name(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny(**more)


# A fixed mix


@pytest.mark.parametrize("name", MIXES)
def test_a_fixed_mix_is_a_field(name: str) -> None:
    more = {"alpha": 1.0} if "alpha" in takes(name) else {}
    of_strategy = tiny(strategies={"none": none().mixed(name, **more)}, space={})
    of_study = tiny(space={}, mix={"kind": name, **more})
    for study in (of_strategy, of_study):
        assert described(set_up(study, "none", {}).mix) == described(build(name, **more))
        assert (study.trials_of("none"), study.describe()["mixes"]["none"]) == (1, {"kind": name, **more})


def test_a_strategys_own_mix_takes_the_place_of_the_studys() -> None:
    study = tiny(strategies={"none": none().mixed("none"), "ra": randaugment()}, space={}, mix={"kind": "gmix"})
    images = mixed_batch(build("none"))
    assert torch.equal(mixed_batch(set_up(study, "none", {}).mix), images)
    assert not torch.equal(mixed_batch(set_up(study, "ra", {"policy.n": 1, "policy.m": 0.0}).mix), images)


def test_what_is_fixed_of_a_mix_goes_with_what_varies() -> None:
    study = tiny(mix={"alpha": 0.3, "ratio": 0.2}, space=KINDS)
    hmix = set_up(study, "none", {"mix.kind": "hmix"}).mix
    assert torch.equal(mixed_batch(hmix), mixed_batch(build("hmix", alpha=0.3, ratio=0.2)))
    assert set_up(study, "none", {"mix.kind": "none"}).mix == build("none")


@pytest.mark.parametrize(
    ("kind", "more", "message"),
    [
        ("cutmx", {}, r"unknown mix 'cutmx'"),
        ("cutmix", {"ratio": 0.3}, r"mix.ratio is 0.3, and 'cutmix' takes"),
        ("mixup", {"alpha": -1.0}, r"mix.alpha is -1.0"),
    ],
)
def test_a_fixed_mix_that_cannot_be_is_refused(kind: str, more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        none().mixed(kind, **more)


def test_a_study_may_not_change_its_mix_under_its_name(store: Store) -> None:
    store.define("tiny", tiny().describe())
    store.define("tiny", {name: value for name, value in tiny().describe().items() if name != "mixes"})
    with pytest.raises(ValueError, match=r"run with the mix of 'none', kind = absent, and now has cutmix"):
        store.define(
            "tiny",
            tiny(space={"task.refine_epochs": IntDistribution(0, 1)} | KINDS, mix={}).describe()
            | {"spaces": tiny().describe()["spaces"], "mixes": {"none": {"kind": "cutmix"}}},
        )


# One point


@pytest.mark.parametrize(
    "more",
    [
        {"space": {}},
        {"space": {"mix.kind": CategoricalDistribution(["cutmix"])}},
        {"space": {"task.lr": FloatDistribution(0.1, 0.1), "task.refine_epochs": IntDistribution(0, 0)}},
        {"space": {"task.refine_lr": FloatDistribution(0.1, 0.2)}},
        {"space": {"task.refine_lr": FloatDistribution(0.1, 0.2), "task.refine_epochs": IntDistribution(0, 0)}},
    ],
)
def test_a_space_of_one_point_is_one_trial(more: dict[str, Any], store: Store, options: Options) -> None:
    study = tiny(strategies={"none": none()}, seeds=1, **more)
    assert [line.trials for line in plan(study)] == [1]
    run(study, store, options=options)
    assert [each.state for each in store.outcomes("tiny") if each.kind is not TrialKind.FINAL] == ["COMPLETE"]
    [row] = stored_comparison([(store, "tiny")]).rows
    assert not row.searches, "it could not have made another trial"


def test_two_points_are_two_trials() -> None:
    assert (
        tiny(strategies={"none": none()}, space={"task.lr": CategoricalDistribution([0.1, 0.2])}).trials_of("none") == 3
    )
