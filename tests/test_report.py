"""The page of a study, and the figures of the reference project."""

import base64
import gzip
import hashlib
import html
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from outcomes_for_tests import comparison, epoch, searched

from autoaug.cli._project import load_figures, shipped_root
from autoaug.compare import Comparison, Importance, LeaderboardRow, leaderboard
from autoaug.compare._tables import to_flat
from autoaug.data import image_folder
from autoaug.page._report import content_policy, draw, report
from autoaug.record import Outcome, Record, TrialKind

FIGURES = load_figures(shipped_root())


def records() -> list[Record]:
    given: dict[str, Any] = {"study": "s", "phase": "augment", "gpu_seconds": 1.0}
    search = [
        Record(strategy=name, trial=trial, epoch=epoch, metrics={"val_accuracy": value + epoch / 10}, **given)
        for name, start in (("none", 0.1), ("ra", 0.2))
        for trial, value in enumerate((start, start + 0.3, start))
        for epoch in (1, 2)
    ]
    finals = [
        Record(
            strategy="ra",
            trial=seed,
            epoch=epoch,
            metrics={"val_accuracy": seed / 10 + epoch / 10},
            kind=TrialKind.FINAL,
            **given,
        )
        for seed in (0, 2)
        for epoch in (1, 2)
    ]
    return search + finals


def of(records: Sequence[Record], **more: Any) -> Comparison:
    """A comparison of which only the epochs are known."""
    return comparison(records=records, **more)


def final(strategy: str, seed: int, **metrics: float) -> Outcome:
    return Outcome(
        study="s",
        strategy=strategy,
        trial=seed,
        root=seed,
        state="COMPLETE",
        seed=seed,
        metrics=metrics,
        kind=TrialKind.FINAL,
    )


def rows() -> list[LeaderboardRow]:
    outcomes = [final("none", seed, test_accuracy=0.5 + seed / 100) for seed in range(3)]
    learned = [
        final("<b>madao</b>", seed, test_accuracy=0.9, last_policy_test_accuracy=0.6 + seed / 10) for seed in range(3)
    ]
    return leaderboard(outcomes + learned, "none")


def test_the_page_says_what_was_trained_on_what_and_not_where_that_lies() -> None:
    lies = repr(image_folder("/home/somebody/secret-project/flowers"))
    task = {"model": "convnet", "data": lies, "epochs": 20}
    read = {lies: {"images": {"train": 1200, "val": 80, "test": 320}}}
    found = comparison(rows=rows(), definition={"task": task, "data": read}, provenance={"always on": "crop+flip"})
    page = report(found, {})
    assert "somebody" not in page
    assert (
        "convnet on ImageFolder(path=&#39;flowers&#39;), 1,200 train + 80 val + 320 test images, "
        "always on: crop+flip, 20 epochs, optimising val_accuracy"
    ) in page
    assert "always on, whatever the strategy: crop+flip" in page


def test_a_strategy_that_learned_is_also_judged_by_what_a_new_network_makes_of_it() -> None:
    learned, plain = rows()
    assert learned.test
    assert learned.test.mean == pytest.approx(0.9)
    assert learned.retrained["last_policy"].mean == pytest.approx(0.7)
    assert plain.retrained == {}
    assert to_flat(learned)["retrained_last_policy_mean"] == pytest.approx(0.7)
    assert to_flat(plain).keys() == to_flat(learned).keys()


IMPORTANCE = Importance(
    strategies={"ra": {"policy.m": 0.7, "mix.alpha": 0.3}},
    pooled={"mix.alpha": 1.0},
    chance={"ra": 0.4},
    chance_pooled=0.1,
)


def test_the_page_stands_alone_and_shows_names_as_text() -> None:
    found = comparison(rows=rows(), records=records(), provenance={"git commit": "abc", "torch": "<2>"})
    page = report(found, FIGURES)
    assert "<b>madao" not in page
    assert "&lt;b&gt;madao&lt;/b&gt;" in page
    assert "0.9000" in page
    assert "0.7000" in page
    assert page.count('id="plotly"') == 1, "Plotly's JavaScript is inside, once"
    assert 'src="' not in page
    assert 'href="' not in page
    assert "<dt>git commit</dt><dd>abc</dd>" in page
    assert "&lt;2&gt;" in page
    assert "better" in page
    assert "Student&#39;s t, over 3 final runs" in page
    assert "<h3>Importance</h3>" not in page, "a figure without data is left out"
    assert len(page) < 3_000_000


def test_a_page_without_any_figure_needs_no_plotly() -> None:
    page = report(comparison(rows=rows()), {"race": FIGURES["race"]})
    assert len(page) < 40_000
    assert "<script" not in page


def test_a_figure_is_given_the_comparison() -> None:
    ends = [searched("ra", 0, 0.5)]
    found = comparison(ends, records=records(), importance=IMPORTANCE, definition={"metric": "val_nll"})
    given: list[Comparison] = []

    def curious(comparison: Comparison) -> go.Figure:
        given.append(comparison)
        return go.Figure()

    draw("curious", curious, found)
    assert given == [found]
    assert (found.test_metric, found.direction, found.maximize) == ("test_nll", "minimize", False)
    assert found.strategies == ["none", "ra"]


FORMER = {
    "records": ", and read comparison.records",
    "records, metric='val_accuracy', maximize=True": (
        ", and read comparison.records and comparison.metric and comparison.maximize"
    ),
    "*, importance": ", and read comparison.importance",
    "comparison, title": "",
    "": "",
}


@pytest.mark.parametrize("parameters", FORMER)
def test_a_figure_file_of_an_earlier_version_is_named_with_the_fix(parameters: str, tmp_path: Path) -> None:
    (tmp_path / "dashboards").mkdir()
    (tmp_path / "dashboards" / "old_one.py").write_text(f"def figure({parameters}): ...\n")
    with pytest.raises(ValueError, match="its figure is called with a comparison and nothing else") as error:
        load_figures(tmp_path)
    assert str(error.value).startswith("dashboards/old_one.py: ")
    assert str(error.value).endswith(f": define figure(comparison){FORMER[parameters]}")


@pytest.mark.parametrize("parameters", ["comparison", "comparison, width=600", "given, /"])
def test_a_figure_file_may_call_the_comparison_what_it_likes(parameters: str, tmp_path: Path) -> None:
    (tmp_path / "dashboards").mkdir()
    (tmp_path / "dashboards" / "new_one.py").write_text(f"def figure({parameters}): ...\n")
    assert list(load_figures(tmp_path)) == ["new one"]


@pytest.mark.parametrize(
    ("figure", "said"),
    [
        (
            lambda comparison: 1 / 0,
            "the figure 'mine' fails: ZeroDivisionError: division by zero; mend it in dashboards/",
        ),
        (lambda _: None, "the figure 'mine' gives a NoneType: return a plotly.graph_objects.Figure"),
    ],
)
def test_a_figure_that_fails_is_named(figure: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        report(comparison(rows=rows()), {"mine": figure})


def test_shares_that_chance_gives_are_hollow() -> None:
    drawn = FIGURES["importance"](of(records(), importance=IMPORTANCE))
    own, pooled = drawn.data
    assert drawn.layout.yaxis.ticktext == ("mix.alpha", "policy.m"), "the largest share first"
    assert (own.name, [round(place) for place in own.y], list(own.x)) == ("ra", [1, 0], [0.7, 0.3])
    assert [symbol.endswith("-open") for symbol in own.marker.symbol] == [False, True]
    assert (pooled.name, [symbol.endswith("-open") for symbol in pooled.marker.symbol]) == ("all strategies", [False])
    assert len(FIGURES["importance"](of([], importance=IMPORTANCE)).to_json()) < 30_000


def test_a_strategy_has_one_colour_in_all_figures() -> None:
    of_race = {trace.name: trace.line.color for trace in FIGURES["race"](of(records())).data}
    _, curve = FIGURES["learning curves"](of(records())).data
    own, _ = FIGURES["importance"](of(records(), importance=IMPORTANCE)).data
    assert of_race["ra"] == curve.line.color == own.marker.color
    assert of_race["ra"] != of_race["none"]


def test_repeated_searches_are_drawn_as_a_band() -> None:
    searches = [epoch(0, 1, value, 1.0, study=study) for study, value in (("a", 0.5), ("b", 0.52))]
    later = [epoch(1, 1, 0.8, 1.0, study=study) for study in "ab"]
    band, mean = FIGURES["race"](of(searches + later)).data
    assert (mean.name, list(mean.x), list(mean.y)) == ("ra (2 searches)", [1, 2], [0.51, 0.8])
    assert list(band.x) == [1, 2, 2, 2, 2, 1]
    assert band.y[0] == pytest.approx(0.51 - 12.706205 * 0.01, abs=1e-4)
    assert band.y[-1] == pytest.approx(0.51 + 12.706205 * 0.01, abs=1e-4)


def test_the_band_of_an_accuracy_ends_at_0_and_1() -> None:
    searches = [epoch(0, 1, value, 1.0, study=study) for study, value in (("a", 0.5), ("b", 0.7))]
    band, _ = FIGURES["race"](of(searches)).data
    assert (min(band.y), max(band.y)) == (0.0, 1.0), "by Student's t it were .6 ± 1.27"
    of_a_loss, _ = FIGURES["race"](of(searches, definition={"metric": "val_nll"})).data
    assert min(of_a_loss.y) == 0.0
    assert max(of_a_loss.y) > 1.0


def test_a_page_without_a_baseline_says_so_first() -> None:
    ends = [searched("none", 0, None, reason="boom <b>"), final("ra", 0, test_accuracy=0.9)]
    page = report(comparison(ends), FIGURES)
    assert "the baseline &#39;none&#39; failed: boom &lt;b&gt;; how the others differ from it is unknown." in page
    assert '<p class="warning"' not in report(comparison(rows=rows()), FIGURES)


def test_the_anytime_curve_rises_at_what_had_been_spent() -> None:
    none, ra = FIGURES["race"](of(records())).data
    assert (none.name, list(none.x), list(none.y)) == ("none", [2, 4, 6], [0.3, 0.6, 0.6])
    assert (ra.name, list(ra.x), list(ra.y)) == ("ra", [2, 4, 6], [0.4, 0.7, 0.7])


def test_a_long_search_has_a_small_figure() -> None:
    """Only where something better is found, and where the search ends, does the curve have a point."""
    long = [epoch(trial, 1, 0.5 + 0.1 * (trial >= 70), 1.0) for trial in range(2000)]
    found = FIGURES["race"](of(long))
    (line,) = found.data
    assert (list(line.x), list(line.y)) == ([1, 71, 2000], [0.5, 0.6, 0.6])


def test_a_learning_curve_is_the_mean_over_final_runs() -> None:
    band, line = FIGURES["learning curves"](of(records())).data
    assert (line.name, list(line.x), list(line.y)) == ("ra", [1, 2], [0.2, 0.3])
    assert list(zip(band.x, band.y, strict=True)) == [(1, 0.3), (2, 0.4), (2, 0.2), (1, 0.1)], "from seed to seed"


def test_a_long_training_has_a_small_figure() -> None:
    long = [epoch(0, number, 0.5, 1.0, kind=TrialKind.FINAL) for number in range(1, 1001)]
    (line,) = FIGURES["learning curves"](of(long)).data
    assert list(line.x) == list(range(5, 1001, 5))


def test_rows_that_are_not_on_the_page_are_counted() -> None:
    many = leaderboard([final(f"s{k}", 0, test_accuracy=k / 1000) for k in range(250)], "s0")
    page = report(comparison(rows=many), {})
    first = page[page.index('aria-label="Result on the test split"') : page.index("<h3>Search and its cost")]
    assert first.count("<tr>") == 1 + 200
    assert "the first 200 rows of each table; 50 further rows at most: autoaug compare --csv writes every" in page
    assert "the first 200 rows" not in report(comparison(rows=many[:200]), {})


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_of_nothing_is_empty_and_one_of_a_study_is_small(name: str) -> None:
    assert len(FIGURES[name](of([])).data) == 0
    assert len(FIGURES[name](of(records())).to_json()) < 30_000, "a figure in Optuna's storage must stay small"


def test_the_page_runs_its_own_scripts_and_no_other() -> None:
    """What a browser checks: the hash of each script stands in the policy, and nothing else is allowed."""
    page = report(of(records(), rows=rows()), FIGURES)
    [policy] = re.findall(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    rules = dict(rule.split(" ", 1) for rule in html.unescape(policy).split("; "))
    [script] = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    [packed] = re.findall(r'<script type="text/plain" id="plotly">(.*?)</script>', page)
    plotly = gzip.decompress(base64.b64decode(packed))
    assert b"plotly.js v" in plotly[:200]
    hashes = {base64.b64encode(hashlib.sha256(each).digest()).decode() for each in (script.encode(), plotly)}
    assert set(rules["script-src"].split()) == {f"'sha256-{digest}'" for digest in hashes}
    assert rules["default-src"] == "'none'"
    assert page.index("Content-Security-Policy") < page.index("<script"), "or it comes too late"
    assert "'none'" in content_policy([])


def test_what_a_figure_holds_cannot_end_its_element() -> None:
    page = report(of(records(), rows=rows()), {"mine": lambda _: go.Figure(go.Bar(x=["</script><b>"], y=[1]))})
    [held] = re.findall(r'<script type="application/json" id="figure-1">(.*?)</script>', page)
    assert json.loads(held)["data"][0]["x"] == ["</script><b>"]
    assert "<b>" not in page
