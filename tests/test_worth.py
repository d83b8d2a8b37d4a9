"""How many more images a gain is worth: on learning curves whose answer is known, and on a study as it is stored."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from outcomes_for_tests import comparison, finals
from studies_for_tests import tiny

from autoaug import Budget, Task
from autoaug.cli._project import load_figures, shipped_root
from autoaug.compare import Comparison, brief_legend, legend, sentence, stored_comparison, verdict, worth
from autoaug.compare._worth import equivalent
from autoaug.execution import Options
from autoaug.executors import run
from autoaug.store import Store
from autoaug.strategies import none, trivialaugment

IMAGES = [100, 200, 400, 800]


def error(images: float) -> float:
    """A power law."""
    return 0.8 * images**-0.35


def studied(reached: float, sizes: list[int] | None = None, **more: Any) -> Comparison:
    """A study of ra with 100 images, and of arms of the baseline that follow the power law; all seeds shift alike."""
    sizes = sizes or IMAGES
    names = {size: "none" if size == 100 else f"none-{size}" for size in sizes}
    shift = {seed: seed / 1000 for seed in range(3)}
    scores = {name: {seed: 1 - error(size) + s for seed, s in shift.items()} for size, name in names.items()}
    scores["ra"] = {seed: reached + s for seed, s in shift.items()}
    definition: dict[str, Any] = {
        "spaces": {name: {} for name in scores},
        "task": {"data": "100 images"},
        "tasks": {name: {"data": f"{size} images"} for size, name in names.items() if name != "none"},
        "data": {f"{size} images": {"images": {"train": size}} for size in {100, *sizes}},
    }
    outcomes = [outcome for name, by_seed in scores.items() for outcome in finals(name, by_seed)]
    return comparison(outcomes, definition=definition | more.pop("definition", {}), **more)


def test_a_gain_of_as_much_as_twice_the_images_is_worth_twice_the_images() -> None:
    found = worth(studied(1 - error(200)))
    assert found
    assert (found.strategy, found.baseline, found.images, found.runs) == ("ra", "none", 100, 3)
    assert found.factor == pytest.approx(2.0, rel=1e-3)
    assert (found.low, found.high) == (pytest.approx(2.0, rel=1e-3), pytest.approx(2.0, rel=1e-3)), "no seed differs"
    assert [arm.images for arm in found.curve] == IMAGES
    assert found.words == "worth 2x your data [2, 2]"


@pytest.mark.parametrize("factor", [1.4, 2.8, 5.5])
def test_between_two_numbers_of_images_a_power_law_is_nearly_a_line(factor: float) -> None:
    found = worth(studied(1 - error(100 * factor)))
    assert found
    assert found.factor == pytest.approx(factor, rel=0.05)


def test_a_line_in_log_n_is_met_exactly_whichever_direction_is_better() -> None:
    curve = np.log(np.array([IMAGES] * 2))
    at, low, high = equivalent(IMAGES, curve, np.log([330.0, 330.0]))
    assert (at, low, high) == (pytest.approx(330), pytest.approx(330), pytest.approx(330))
    assert equivalent(IMAGES, -curve, -np.log([330.0, 330.0]), maximize=False)[0] == pytest.approx(330)


def test_nothing_is_said_beyond_the_images_that_were_tried() -> None:
    found = worth(studied(0.999))
    assert found
    assert (found.factor, found.low, found.high) == (None, None, None)
    assert found.words == "worth more than 8x your data"
    harmful = worth(studied(0.1))
    assert harmful
    assert harmful.factor == pytest.approx(1.0), "it is no better than the fewest images"


def test_fewer_images_than_the_strategies_have_tell_what_a_harmful_one_costs() -> None:
    found = worth(studied(1 - error(50), sizes=[25, 50, 100, 200]))
    assert found
    assert found.factor == pytest.approx(0.5, rel=1e-3)


def test_one_run_has_no_interval() -> None:
    few = studied(1 - error(200))
    found = worth(replace(few, outcomes=[outcome for outcome in few.outcomes if outcome.seed == 0]))
    assert found
    assert (found.runs, found.low, found.high, found.words) == (1, None, None, "worth 2x your data")


def test_only_what_is_the_baseline_but_for_its_data_is_an_arm() -> None:
    asked = studied(1 - error(200))
    other = {"root": {"kind": "other"}}
    policies = {name: {"root": {}, "provenance": {"strategy": name}} for name in asked.strategies}
    policies["none-400"] = other
    kept = worth(replace(asked, policies=policies))
    assert kept
    assert [arm.images for arm in kept.curve] == [100, 200, 800]
    spaces = {**asked.definition["spaces"], "none-200": {"policy.m": {}}}
    searching = studied(1 - error(200), definition={"spaces": spaces})
    found = worth(searching)
    assert found
    assert "none-200" not in [arm.strategy for arm in found.curve]


def test_arms_with_more_images_are_neither_ranked_nor_compared_nor_counted_in_a_correction() -> None:
    """The one strategy beside the baseline needs no correction; arms that are better than it win nothing."""
    asked = studied(1 - error(200))
    alone = comparison([each for each in asked.outcomes if each.strategy in ("none", "ra")])
    rows = {row.name: row for row in asked.rows}
    assert [row.name for row in asked.rows] == ["ra", "none", "none-800", "none-400", "none-200"]
    assert rows["ra"].vs_baseline == alone.rows[0].vs_baseline
    assert (rows["ra"].rank, rows["none"].rank) == (1.0, 2.0)
    assert asked.other_data == ["none-800", "none-400", "none-200"]
    assert [(rows[name].rank, rows[name].vs_baseline) for name in asked.other_data] == [(None, None)] * 3
    assert sentence(asked) == sentence(alone)
    assert verdict(rows["none-800"], "none") == "not compared: it learns from another number of images"
    said = "learning curve, not compared: none-800, none-400, none-200 with other numbers of images"
    assert said in legend(asked)
    assert said in brief_legend(asked)
    assert not any("learning curve" in line for line in legend(alone))
    for name in ("race", "pareto", "effect"):
        drawn = {trace.name for trace in load_figures(shipped_root())[name](asked).data}
        assert not drawn & set(asked.other_data)


@pytest.mark.parametrize("sizes", [[100], [200, 400]])
def test_without_two_numbers_of_images_or_the_strategies_own_nothing_is_said(sizes: list[int]) -> None:
    asked = studied(0.9, sizes=sizes)
    assert worth(asked) is None
    assert not load_figures(shipped_root())["worth"](asked).data
    assert worth(comparison()) is None


def test_the_interval_holds_the_answer_in_95_per_cent_of_studies() -> None:
    """Five seeds, which shift all arms together, and noise of each training."""
    rng = np.random.default_rng(0)
    truth, held, studies = 240.0, 0, 600
    for _ in range(studies):
        seeds = rng.normal(0, 0.02, (5, 1))
        curve = 0.5 + 0.1 * np.log(IMAGES) + seeds + rng.normal(0, 0.015, (5, 4))
        reached = 0.5 + 0.1 * np.log(truth) + seeds[:, 0] + rng.normal(0, 0.015, 5)
        _, low, high = equivalent(IMAGES, curve, reached)
        held += (low or np.inf) <= truth <= (high or np.inf)
    assert 0.925 <= held / studies <= 0.975


def test_the_figure_says_the_answer_in_its_title() -> None:
    figure = load_figures(shipped_root())["worth"](studied(1 - error(200)))
    assert figure.layout.title.text == "Worth 2x your data [2, 2]"
    curve, reach = figure.data
    assert list(curve.x) == IMAGES
    assert reach.x[1] == pytest.approx(200, rel=1e-3)
    assert "ra reaches" in figure.layout.meta["alt"]
    beyond = load_figures(shipped_root())["worth"](studied(0.999))
    assert beyond.layout.title.text == "Worth more than 8x your data"
    assert beyond.data[1].x[1] == 800


def asked(data: Any) -> Any:
    """A study of 100 digits, with an arm of the baseline on other data."""
    task = Task(data="digits:reduced=10", model="convnet", epochs=1, batch_size=50, warmup=0.0)
    arms = {"none": none(), "ta": trivialaugment(), "none-2x": none().trained(data=data)}
    return tiny(task=task, strategies=arms, space={}, budget=Budget(trials=1), seeds=1)


def test_a_study_asks_it_with_arms_that_have_data_of_their_own(store: Store, options: Options) -> None:
    study = asked("digits:reduced=20")
    run(study, store, options=options)
    found = worth(stored_comparison([(store, study.name)]))
    assert found
    assert [(arm.strategy, arm.images) for arm in found.curve] == [("none", 100), ("none-2x", 200)]
    assert found.strategy == "ta"


def test_an_arm_on_other_images_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'none-2x' .*digits-rotated.* different datasets.*some of data 'digits'"):
        asked("digits-rotated:reduced=20")
    with pytest.raises(ValueError, match="what a score is measured on is the same in all trials"):
        asked("digits-rotated")
