"""What holds of every figure that is shipped, whatever it draws: on studies of every size, and on none at all."""

import html
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from outcomes_for_tests import comparison, epoch, finals, large, searched

from autoaug.cli._project import load_figures, shipped_root
from autoaug.compare import Comparison
from autoaug.record import TrialKind
from dashboards import style

FIGURES = load_figures(shipped_root())

OF_DIAGNOSES = {"crops", "distance profile", "gradient maps", "in between", "augmented images"}
"""Figures of what `autoaug diagnose` measures, and of images: tests/test_diagnose_figures.py draws them."""

OF_STUDIES = sorted(set(FIGURES) - OF_DIAGNOSES)

WHITE, NEAR_BLACK = "#ffffff", "#14171b"

MARKUP = "<b>ra</b><script>alert(1)</script>&amp;"


def studies() -> dict[str, Comparison]:
    """Comparisons that a figure may meet, by what is the matter with them."""
    failed = [searched("none", trial, None, reason="boom", gpu_seconds=0.0) for trial in range(3)]
    begun = [searched("none", 0, None, state="RUNNING", gpu_seconds=0.5)]
    return {
        "nothing": comparison(),
        "the first trial runs": comparison(begun, records=[epoch(0, 1, 0.5, 0.5, strategy="none", study="s")]),
        "the first trial": comparison([searched("none", 0, 0.5)], records=[epoch(0, 1, 0.5, 1.0, strategy="none")]),
        "only failed trials": comparison(failed),
        "one strategy": large(["none"], trials=2, epochs=2),
        "one final run": large(["none", "ra"], trials=1, epochs=1, seeds=1),
        "thirty strategies": large([f"strategy {k}" for k in range(30)], trials=6, epochs=2, classes=120),
        "markup": large(["none", MARKUP, "<i>" * 40], trials=3, epochs=2),
        "a loss": comparison(
            [*finals("none", {0: 0.6, 1: 0.5}), *finals("ra", {0: 0.7, 1: 0.8}), searched("ra", 0, 0.4)],
            definition={"metric": "val_nll"},
            records=[epoch(0, 1, 0.6, 1.0, study="s")],
        ),
    }


STUDIES = studies()


@pytest.fixture(scope="module")
def big() -> Comparison:
    return large([f"strategy-{k}" for k in range(8)], trials=200, epochs=100)


def numbers(value: Any) -> Iterator[float]:
    """All floats of plain data."""
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from numbers(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from numbers(each)


def contrast(one: str, other: str) -> float:
    """By WCAG 2.2, from 1 to 21."""

    def luminance(colour: str) -> float:
        shares = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("name", OF_STUDIES)
def test_a_figure_of_a_large_study_is_small_and_says_what_it_answers(name: str, big: Comparison) -> None:
    figure = FIGURES[name](big)
    if not figure.data:  # of what this study lacks: policies, reduced data
        assert name not in {"race", "effect", "final", "pareto", "cost", "importance", "classes"}
        return
    assert len(figure.to_json()) <= 30_000, "it is kept in Optuna's storage, and sent with every poll"
    layout = figure.layout
    first = html.unescape(layout.title.text).split("<br>")[0]
    assert first.endswith("?") or first.startswith("Worth"), first
    assert len(first) <= 36, "buttons are beside it, and the figure may be 450 pixels wide"
    assert layout.width is None
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0, 0, 0, 0)"
    assert layout.legend.orientation == "h"
    assert layout.legend.y < 0
    assert any(axis.title.text for axis in figure.select_xaxes()), "what is measured along x"
    assert any(axis.title.text or axis.ticktext or axis.tickvals for axis in figure.select_yaxes())
    assert all(float(f"{value:.7g}") == value for value in numbers(json.loads(figure.to_json())["data"])), "rounded"
    alt = layout.meta["alt"]
    assert 20 <= len(alt) <= 1500
    assert re.search(r"\d", alt), "with the numbers of what is seen"


@pytest.mark.parametrize("name", OF_STUDIES)
def test_a_strategy_has_its_colour_in_every_figure(name: str, big: Comparison) -> None:
    colours = style.colours(big)
    for trace in FIGURES[name](big).data:
        if trace.name in colours and trace.type == "scatter":
            assert trace.marker.color == colours[trace.name]


@pytest.mark.parametrize("name", OF_STUDIES)
@pytest.mark.parametrize("study", STUDIES)
def test_a_figure_draws_whatever_there_is(name: str, study: str) -> None:
    figure = FIGURES[name](STUDIES[study])
    plain = json.loads(figure.to_json())
    text = json.dumps([plain["data"], {**plain["layout"], "meta": None}])
    assert "NaN" not in text
    assert "Infinity" not in text
    tags = set(re.findall(r"<(/?[a-z]+)", text))
    assert tags <= {"br", "sub", "/sub", "extra", "/extra"}, "a name is no markup"
    if study in ("nothing", "only failed trials"):
        assert not figure.data
    if figure.data:
        assert figure.layout.meta["alt"]


def test_the_docs_name_every_figure() -> None:
    page = (shipped_root() / "docs" / "how-to" / "figures.md").read_text()
    assert [name for name in FIGURES if f"`{name.replace(' ', '_')}`" not in page] == []


def test_strategies_look_different_without_colours_too() -> None:
    found = large([f"s{k}" for k in range(60)], trials=1, epochs=1, seeds=1)
    looks = list(style.looks(found).values())
    assert len({(look.symbol, look.dash) for look in looks}) == 60
    assert len({look.colour for look in looks[:9]}) == 9


@pytest.mark.parametrize("colour", [*style.COLOURS, style.POOLED, style.INK])
def test_colours_are_seen_on_white_and_on_near_black(colour: str) -> None:
    assert min(contrast(colour, WHITE), contrast(colour, NEAR_BLACK)) >= 3


@pytest.mark.parametrize(("colours", "paper"), [(style.light_layout(), WHITE), (style.dark_layout(), NEAR_BLACK)])
def test_a_page_that_knows_its_background_gives_text_more_contrast(colours: dict[str, Any], paper: str) -> None:
    assert contrast(colours["font.color"], paper) >= 7
    drawn = FIGURES["race"](STUDIES["one strategy"]).update_layout(colours)
    assert drawn.layout.font.color == colours["font.color"]
    assert drawn.layout.xaxis.gridcolor == colours["xaxis.gridcolor"]


def test_a_long_name_is_cut_and_two_that_are_cut_alike_stay_apart() -> None:
    names = ["none", *(f"{'long-' * 10}{k}" for k in range(3))]
    figure = FIGURES["effect"](large(names, trials=1, epochs=1))
    assert len(figure.data) == 3
    assert sorted(trace.y[0] for trace in figure.data) == [0, 1, 2]
    assert all(len(re.sub("<br>.*", "", text)) == style.LONGEST_LABEL for text in figure.layout.yaxis.ticktext)


def test_effects_are_filled_where_they_are_more_than_chance_and_sorted() -> None:
    outcomes = [
        *finals("none", {seed: 0.7 + seed / 100 for seed in range(4)}),
        *finals("good", {seed: 0.8 + seed / 99 for seed in range(4)}),
        *finals("bad", {0: 0.9, 1: 0.5, 2: 0.7, 3: 0.6}),
    ]
    figure = FIGURES["effect"](comparison(outcomes, definition={"spaces": {"none": {}, "good": {}, "bad": {}}}))
    good, bad = figure.data
    assert (good.name, bad.name) == ("good", "bad")
    assert not good.marker.symbol.endswith("-open")
    assert bad.marker.symbol.endswith("-open")
    assert good.x[0] == pytest.approx(10.0, abs=0.1), "accuracies differ in points"
    assert "better, p" in figure.layout.yaxis.ticktext[0]
    assert "not enough evidence" in figure.layout.yaxis.ticktext[1]


def test_of_a_loss_the_smallest_is_above_and_its_differences_keep_their_unit() -> None:
    figure = FIGURES["effect"](STUDIES["a loss"])
    assert figure.data[0].x[0] == pytest.approx(-0.2), "ra has less nll"
    assert "less is better" in figure.layout.xaxis.title.text
    assert FIGURES["final"](STUDIES["a loss"]).layout.yaxis.ticktext == ("ra", "none")


def test_the_front_is_of_trials_that_none_beats_for_less() -> None:
    given = [(0.5, 1.0), (0.6, 3.0), (0.55, 4.0), (0.7, 9.0), (0.7, 10.0), (0.4, 0.5)]
    trials = [searched("ra", k, value, gpu_seconds=seconds) for k, (value, seconds) in enumerate(given)]
    for maximize, expected in ((True, [(0.5, 0.4), (1, 0.5), (3, 0.6), (9, 0.7)]), (False, [(0.5, 0.4)])):
        metric = "val_accuracy" if maximize else "val_nll"
        front = FIGURES["pareto"](comparison(trials, definition={"metric": metric})).data[0]
        assert list(zip(front.x, front.y, strict=True)) == expected


def test_the_bars_of_a_strategy_sum_to_what_it_spent() -> None:
    outcomes = [
        searched("ra", 0, 0.5, gpu_seconds=10.0, epochs=2),
        searched("ra", 1, None, state="PRUNED", gpu_seconds=3.0),
        searched("ra", 2, None, gpu_seconds=2.0),
        *finals("ra", {0: 0.6}, epochs=1),
    ]
    hyper = {"hyper_seconds": 1.0}
    records = [epoch(0, number, 0.5, 5.0, study="s", metrics={"val_accuracy": 0.5, **hyper}) for number in (1, 2)]
    records.append(epoch(0, 1, 0.6, 100.0, study="s", kind=TrialKind.FINAL, metrics={"hyper_seconds": 25.0}))
    figure = FIGURES["cost"](comparison(outcomes, records=records))
    parts = {trace.name: trace.x[0] for trace in figure.data if trace.x[0] is not None}
    assert parts == {
        "search": 8.0,
        "its hyper steps": 2.0,
        "pruned": 3.0,
        "failed or lost": 2.0,
        "final runs": 75.0,
        "their hyper steps": 25.0,
    }
    assert figure.layout.xaxis.title.text == "CPU-seconds"


def test_runs_of_one_seed_are_joined_and_the_baseline_is_a_level() -> None:
    outcomes = [*finals("none", {0: 0.6, 1: 0.7}), *finals("ra", {0: 0.8, 1: 0.9})]
    figure = FIGURES["final"](comparison(outcomes))
    assert list(figure.data[0].x) == [0.8, 0.6, None, 0.9, 0.7, None]
    assert list(figure.data[0].y) == [0, 1, None, 0, 1, None]
    [level] = figure.layout.shapes
    assert level.x0 == pytest.approx(0.65)
