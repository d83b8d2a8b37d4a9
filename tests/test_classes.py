"""Which classes the winner helps and harms: kept of real final runs, and judged so that chance is not."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from outcomes_for_tests import comparison, finals
from scipy import special, stats
from studies_for_tests import tiny

from autoaug.cli._project import load_figures, shipped_root
from autoaug.compare import (
    ClassCounts,
    ClassEffects,
    FinalRun,
    LeaderboardRow,
    class_effects,
    interval,
    legend,
    stored_comparison,
    to_json,
)
from autoaug.compare._classes import binomial, standard_errors
from autoaug.compare._statistics import holm
from autoaug.execution import Options
from autoaug.executors import run
from autoaug.record import TrialKind
from autoaug.store import Store

NAMES = tuple(f"class {k}" for k in range(10))


def row(name: str, mean: float) -> LeaderboardRow:
    """A strategy with a test score."""
    return LeaderboardRow(name, interval([mean]), None, 1, 0, 0, 1.0, "cpu", 1, None)


def effects_of(right: dict[str, np.ndarray], images: Sequence[int], baseline: str = "none") -> ClassEffects | None:
    """What the best of some strategies does, from counts [R, K] by strategy."""
    names = NAMES[: len(images)]
    counts = {
        name: {
            FinalRun("s", seed): ClassCounts(names, tuple(images), tuple(map(int, each)))
            for seed, each in enumerate(runs)
        }
        for name, runs in right.items()
    }
    means = {name: float(runs.sum(1).mean()) / sum(images) for name, runs in right.items()}
    rows = sorted((row(name, mean) for name, mean in means.items()), key=lambda each: -each.test.mean)  # type: ignore[union-attr]
    return class_effects(rows, baseline, counts)


# By hand


def test_a_difference_is_judged_by_the_spread_over_runs_that_was_worked_out_by_hand() -> None:
    """Two classes of 100 images, three runs each. All variances of runs are 1e-4: one image more, one less."""
    right = {"none": np.array([[69, 80], [70, 81], [71, 79]]), "ra": np.array([[91, 81], [90, 79], [89, 80]])}
    found = effects_of(right, (100, 100))
    assert found
    first, second = found.classes
    p = {"none": (np.array([211, 241])) / 302, "ra": np.array([271, 241]) / 302}
    v = {name: share * (1 - share) / 100 for name, share in p.items()}
    own = (1e-4 / v["none"] + 1e-4 / v["ra"]) / 2
    phi = np.maximum(own, own.mean())
    error = np.sqrt(phi * (v["none"] + v["ra"]) / 3)
    freedom = np.where(own > own.mean(), 4, 8)
    alone = 2 * stats.t.sf(np.array([0.2, 0.0]) / error, freedom)
    assert (first.p, second.p) == (pytest.approx(alone[0]), pytest.approx(1.0))
    assert (first.p_holm, second.p_holm) == (pytest.approx(2 * alone[0]), pytest.approx(1.0))
    half = stats.t.isf(0.025, freedom[0]) * error[0]
    assert (first.low, first.high) == (pytest.approx(0.2 - half), pytest.approx(0.2 + half))
    assert (first.baseline, first.accuracy, first.difference) == pytest.approx((0.7, 0.9, 0.2))
    assert [each.verdict for each in found.classes] == ["helped", "not enough evidence"]
    assert (found.strategy, found.baseline, found.runs, found.strategies) == ("ra", "none", 3, 1)


def test_the_choice_among_strategies_is_paid_for() -> None:
    right = {"none": np.array([[69, 80], [70, 81], [71, 79]]), "ra": np.array([[91, 81], [90, 79], [89, 80]])}
    alone = effects_of(right, (100, 100))
    third = {**right, "other": right["none"]}
    counts = {
        name: {
            FinalRun("s", k): ClassCounts(NAMES[:2], (100, 100), tuple(each)) for k, each in enumerate(runs.tolist())
        }
        for name, runs in third.items()
    }
    found = comparison(
        [
            each
            for name, runs in third.items()
            for each in finals(name, {k: float(scores.mean()) / 100 for k, scores in enumerate(runs)})
        ]
    )
    together = class_effects(found.rows, "none", counts)
    assert alone
    assert together
    assert (alone.strategies, together.strategies) == (1, 2)
    assert together.classes[0].p_holm == pytest.approx(4 * together.classes[0].p)


def test_absent_classes_are_left_out_and_perfect_ones_are_no_proof() -> None:
    right = {"none": np.array([[50, 0, 30]] * 3), "ra": np.array([[50, 0, 31]] * 3)}
    found = effects_of(right, (50, 0, 60))
    assert found
    assert [each.name for each in found.classes] == ["class 0", "class 2"]
    assert {each.verdict for each in found.classes} == {"not enough evidence"}
    assert all(np.isfinite([each.p, each.low, each.high]).all() for each in found.classes)


def test_one_final_run_and_a_baseline_that_wins_say_nothing() -> None:
    assert effects_of({"none": np.array([[50, 60]]), "ra": np.array([[90, 60]])}, (100, 100)) is None
    assert effects_of({"none": np.array([[90, 60]] * 3), "ra": np.array([[50, 60]] * 3)}, (100, 100)) is None


def test_runs_on_other_images_are_left_out() -> None:
    counts = {
        name: {FinalRun("s", k): ClassCounts(NAMES[:2], (100, 100), (60 + gain + k, 60)) for k in range(3)}
        for name, gain in {"none": 0, "ra": 20}.items()
    }
    counts["none"][FinalRun("s", 2)] = ClassCounts(NAMES[:2], (100, 90), (60, 60))
    found = class_effects([row("ra", 0.7), row("none", 0.6)], "none", counts)
    assert found
    assert found.runs == 2


def test_repeated_searches_are_one_run_each() -> None:
    counts = {
        name: {
            FinalRun(study, seed): ClassCounts(NAMES[:2], (100, 100), (60 + gain + seed, 70))
            for study in ("a", "b")
            for seed in range(3)
        }
        for name, gain in {"none": 0, "ra": 20}.items()
    }
    found = class_effects([row("ra", 0.7), row("none", 0.6)], "none", counts, repeated=True)
    assert found
    assert found.runs == 2


def test_the_variance_of_a_class_is_that_of_its_images_where_these_are_independent() -> None:
    rng = np.random.default_rng(0)
    runs = rng.binomial(400, 0.8, size=(5000, 1)) / 400
    images = np.array([400])
    assert binomial(runs, images)[0] == pytest.approx(0.8 * 0.2 / 400, rel=0.01)
    error, freedom = standard_errors(runs, runs, [runs, runs], images)
    assert error[0] == pytest.approx(np.sqrt(2 * runs.var(ddof=1) / 5000), rel=1e-3)
    assert freedom[0] == 2 * 4999


# By simulation: networks of one training differ class by class


def networks(
    rng: np.random.Generator, runs: int, level: np.ndarray, noise: np.ndarray, hard: Sequence[np.ndarray]
) -> np.ndarray:
    """Counts [R, K] of networks that lean towards some classes at the cost of others, on images of some difficulty."""
    lean = rng.standard_normal((runs, len(hard)))
    lean = noise * (lean - lean.mean(1, keepdims=True))
    return np.stack(
        [
            (rng.random((runs, len(each))) < special.expit(level[k] + lean[:, k, None] + each)).sum(1)
            for k, each in enumerate(hard)
        ],
        axis=1,
    )


def studies(count: int, gain: np.ndarray, strategies: int = 2) -> list[dict[str, np.ndarray]]:
    """Studies of three final runs each, in which every strategy but the baseline has the same gain, class by class."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(count):
        level, noise = rng.uniform(0.5, 4, 10), 0.4 * np.exp(0.3 * rng.standard_normal(10))
        hard = [1.5 * rng.standard_normal(60) for _ in range(10)]
        names = ["none", *(f"strategy {k}" for k in range(1, strategies))]
        made.append({name: networks(rng, 3, level + gain * (name != "none"), noise, hard) for name in names})
    return made


def found_in(made: list[dict[str, np.ndarray]]) -> list[set[tuple[str, str]]]:
    """The classes that differ, with the verdict, in each study that another strategy than the baseline has won."""
    won = [effects for each in made if (effects := effects_of(each, [60] * 10))]
    return [
        {(one.name, one.verdict) for one in effects.classes if one.verdict != "not enough evidence"} for effects in won
    ]


def by_images(each: dict[str, np.ndarray]) -> bool:
    """Whether a test that counts images, as McNemar's does in spirit, finds a class, Holm-corrected."""
    first, second = each["none"].sum(0) / 180, each["strategy 1"].sum(0) / 180
    both = (first + second) / 2
    error = np.sqrt(np.maximum(2 * both * (1 - both) / 180, 1e-9))
    return bool(holm(2 * stats.norm.sf(np.abs(second - first) / error)).min() < 0.05)


@pytest.mark.parametrize("strategies", [2, 4])
def test_where_nothing_differs_a_class_is_found_in_at_most_five_per_cent_of_studies(strategies: int) -> None:
    found = found_in(studies(1000, np.zeros(10), strategies))
    assert len(found) > 400
    assert np.mean(list(map(bool, found))) <= 0.05


def test_counting_images_would_find_classes_where_nothing_differs() -> None:
    """So the simulation tells a test that is right from one that is not."""
    made = studies(400, np.zeros(10))
    assert sum(map(by_images, made)) / len(made) > 0.1


def test_a_harm_that_the_mean_hides_is_found() -> None:
    """One class loses a third of its images, the others gain enough for the mean to rise."""
    gain = np.array([-3.0] + [1.0] * 9)
    found = found_in(studies(100, gain))
    assert len(found) > 90, "the mean rises"
    assert np.mean([("class 0", "harmed") in each for each in found]) > 0.7
    assert not any(("class 0", "helped") in each for each in found)


# Of a study that was run


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("classes")
    store = Store(f"sqlite:///{folder}/autoaug.db")
    run(tiny(), store, options=Options(artifacts=folder))
    return store


def test_final_runs_keep_how_each_class_was_predicted(stored: Store) -> None:
    kept = stored.by_class("tiny")
    complete = [each for each in stored.outcomes("tiny") if each.kind is TrialKind.FINAL]
    assert sorted(kept) == sorted(each.trial for each in complete)
    for each in complete:
        counts = kept[each.trial]
        assert counts["names"] == [str(k) for k in range(10)]
        assert sum(counts["images"]) == 797
        assert sum(counts["right"]) / 797 == pytest.approx(each.metrics["test_accuracy"])
        shares = [right / images for right, images in zip(counts["right"], counts["images"], strict=True)]
        assert np.mean(shares) == pytest.approx(each.metrics["test_balanced_accuracy"])
    assert not any(record.by_class for record in stored.epochs("tiny")), "an epoch has no place for it"


def test_a_comparison_says_it_to_people_and_machines(stored: Store) -> None:
    found = stored_comparison([(stored, "tiny")])
    first = found.rows[0].name
    lines = [line for line in legend(found) if line.startswith("class by class")]
    plain = json.loads(json.dumps(to_json(found)))
    drawn = load_figures(shipped_root())["classes"](found)
    if first == "none":
        assert (found.classes, plain["classes"], lines, len(drawn.data)) == (None, None, [], 0)
        return
    assert found.classes
    assert (found.classes.strategy, found.classes.baseline, found.classes.runs) == (first, "none", 2)
    assert len(plain["classes"]["classes"]) == 10
    (line,) = lines
    assert line.startswith(f"class by class {first} ")
    assert "test accuracy over 2 final runs, Holm-corrected over the classes" in line
    (points,) = drawn.data
    names = drawn.layout.yaxis.ticktext
    assert sorted(names) == [str(k) for k in range(10)]
    for place, value in zip(points.y, points.x, strict=True):
        effect = next(each for each in found.classes.classes if each.name == names[place])
        assert value == pytest.approx(100 * effect.difference, abs=0.01), "points"


def planted() -> ClassEffects:
    """What the winner does to four classes: two are helped, one is harmed."""
    right = {"none": np.array([[30, 40, 80, 60]] * 3), "ra": np.array([[80, 90, 40, 60]] * 3)}
    for runs in right.values():
        runs += np.array([[-1], [0], [1]])
    found = effects_of(right, [100] * 4)
    assert found
    return found


def test_the_line_names_the_classes_with_the_largest_differences_first() -> None:
    found = comparison(finals("none", {0: 0.6, 1: 0.6}) + finals("ra", {0: 0.7, 1: 0.7}), classes=planted())
    (line,) = [each for each in legend(found) if each.startswith("class by class")]
    assert line == (
        "class by class ra helps class 0 +0.5000, class 1 +0.5000; harms class 2 -0.4000; of 1 other class there is "
        "not enough evidence (test accuracy over 3 final runs, Holm-corrected over the classes)"
    )


def test_the_figure_fills_what_is_more_than_chance() -> None:
    figure: Callable[..., object] = load_figures(shipped_root())["classes"]
    found = comparison(finals("none", {0: 0.6, 1: 0.6}) + finals("ra", {0: 0.7, 1: 0.7}), classes=planted())
    drawn: Any = figure(found)
    (points,) = drawn.data
    marks = zip(drawn.layout.yaxis.ticktext, points.marker.symbol, strict=True)
    filled = {name for name, symbol in marks if not symbol.endswith("-open")}
    assert filled == {"class 0", "class 1", "class 2"}
