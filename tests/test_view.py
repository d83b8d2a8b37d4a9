"""What a page shows of a study: of any state of it, in words, with a chart whose places are right."""

import re
from dataclasses import replace
from typing import Any

import pytest
from outcomes_for_tests import comparison, finals, searched

from autoaug.compare import ClassCounts, Comparison, FinalRun, LeaderboardRow, class_effects, interval
from autoaug.execution import Status, StrategyStatus
from autoaug.page._chart import Axis, chart_of
from autoaug.page._templates import pieces
from autoaug.page._view import amount, duration, state_view, study_view, told
from autoaug.record import TrialKind

LONG = "a" * 100


def shown(found: Comparison, status: Status | None = None) -> str:
    """All parts of a page, as text."""
    return "\n".join(pieces(study_view(found, status), "../../").values())


def three() -> Comparison:
    """A winner, a loser and the baseline."""
    none = finals("none", {0: 0.50, 1: 0.52, 2: 0.51})
    better = finals("ra", {0: 0.60, 1: 0.63, 2: 0.61})
    worse = finals("<b>", {0: 0.40, 1: 0.43, 2: 0.41})
    return comparison([*none, *better, *worse], definition={"spaces": {"none": {}, "ra": {}, "<b>": {}}})


def test_the_chart_has_the_largest_effect_first_and_the_baseline_at_zero() -> None:
    chart = chart_of(three())
    assert [line.name for line in chart.lines] == ["ra", "none", "<b>"]
    ra, none, worse = chart.lines
    assert none.value == chart.zero
    assert none.said == "baseline"
    assert ra.said.startswith("+10.3 ± ")
    assert worse.said.startswith("-9.7 ± ")
    assert (ra.hue, none.hue, worse.hue) == (1, 0, 2), "colours go by the order of the study, not of the leaderboard"
    assert len(ra.runs) == 3


def test_places_along_the_axis_are_to_scale() -> None:
    found = three()
    chart = chart_of(found)
    ra = chart.lines[0]
    assert ra.low is not None
    assert ra.high is not None
    assert ra.value is not None
    assert chart.zero is not None
    difference = found.rows[0].vs_baseline
    assert difference is not None
    assert difference.low is not None
    scale = (ra.value - chart.zero) / difference.difference
    assert ra.low - chart.zero == pytest.approx(scale * difference.low, abs=0.05)
    assert sorted(ra.runs)[0] - chart.zero == pytest.approx(scale * 0.10, abs=0.05)
    assert all(0 <= place <= 100 for place, _ in chart.ticks)
    assert all(
        0 <= each <= 100 for line in chart.lines for each in (line.low, line.high, *line.runs) if each is not None
    )


def test_less_of_a_loss_is_better_and_has_its_own_unit() -> None:
    none = finals("none", {0: 0.50, 1: 0.52, 2: 0.51})
    better = finals("ra", {0: 0.60, 1: 0.63, 2: 0.61})
    chart = chart_of(comparison([*none, *better], definition={"metric": "val_nll"}))
    assert [line.name for line in chart.lines] == ["ra", "none"]
    assert chart.lines[0].said.startswith("-0.10")
    assert "further left is better" in chart.caption


def test_before_final_runs_the_chart_shows_the_searches() -> None:
    chart = chart_of(comparison([searched("ra", 0, 0.8), searched("none", 0, 0.7)]))
    assert [(line.name, line.said) for line in chart.lines] == [("ra", "80.0"), ("none", "70.0")]
    assert chart.zero is None
    assert chart.caption == "Best val accuracy of each search so far in points: further right is better"


def test_final_runs_whose_differences_nobody_looked_at_show_test_scores() -> None:
    found = three()
    unseen = [replace(row, vs_baseline=None) for row in found.rows]
    chart = chart_of(replace(found, rows=unseen))
    assert chart.lines[0].said.startswith("61.3 ± ")
    assert chart.zero is None


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.0), (-1e-9, 1e-9), (0.0, 1e9), (99.9, 100.0), (-3.0, 17.0)])
def test_an_axis_has_a_few_ticks_at_any_scale(low: float, high: float) -> None:
    axis = Axis.over([low, high])
    assert 2 <= len(axis.ticks(signed=True)) <= 9
    assert len({text for _, text in axis.ticks(signed=False)}) >= 1


def strategy(name: str, **more: Any) -> StrategyStatus:
    given: dict[str, Any] = {
        "trials": 10, "done": 4, "reruns": 0, "reruns_done": 0, "finals": 3, "finals_done": 0, "running": 1,
        "waiting": 0, "failed": 0, "spent": {"gpu_seconds": 40.0, "wall_seconds": 50.0}, "limits": {},
        "unit": "CPU-seconds", "remaining_seconds": 60.0, "remaining_wall_seconds": 60.0, "finished": False,
    }  # fmt: skip
    return StrategyStatus(strategy=name, **given | more)


def status(*strategies: StrategyStatus, **more: Any) -> Status:
    given: dict[str, Any] = {"running": (), "workers": 1, "hosts": 1, "idle": 0, "ends_in_seconds": 100.0}
    finished = all(each.finished for each in strategies)
    return Status(study="s", strategies=strategies, **{"finished": finished, **given, **more})


def test_a_study_that_runs_says_how_far_it_is_and_how_long_it_takes() -> None:
    view = state_view(status(strategy("ra"), strategy("none", remaining_seconds=0.0)), ["none", "ra"], {"ra": 7})
    assert (view.state, view.words) == ("running", "1 worker, 8 trainings, about 2 min left")
    assert view.share == pytest.approx((0.4 + 1.0) / 2)
    none, ra = view.strategies
    assert (none.name, none.hue, none.native, ra.hue, ra.native) == ("none", 0, None, 1, 7)
    assert (ra.spent, ra.share, ra.trials) == ("40 CPU-seconds", 0.4, "4 of 10 trials, 0 of 3 final runs")


def test_a_budget_of_seconds_is_shown_as_what_limits() -> None:
    limited = strategy("ra", trials=None, limits={"gpu_seconds": 80.0, "wall_seconds": 60.0}, failed=2)
    [view] = state_view(status(limited), ["ra"]).strategies
    assert (view.spent, view.share) == ("50 of 60 seconds", pytest.approx(50 / 60))
    assert view.trials == "4 trials, 0 of 3 final runs, 2 failed"


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({"workers": 0}, "interrupted"),
        ({"workers": 0, "idle": 1}, "running"),
        ({"workers": 0, "idle": 1, "finished": True}, "finished"),
        ({"workers": 0, "strategies": (strategy("ra", done=0, running=0),)}, "waiting"),
    ],
)
def test_the_state_of_a_study(more: dict[str, Any], state: str) -> None:
    assert state_view(replace(status(strategy("ra")), **more), ["ra"]).state == state


@pytest.mark.parametrize(
    "outcomes",
    [
        [],
        [searched("ra", 0, 0.0, state="RUNNING")],
        [searched("ra", 0, None, reason="boom </p>"), searched("none", 0, None, reason="boom")],
        [searched("ra", 0, 0.5), *finals("ra", {0: 0.9})],
        finals("none", {0: 0.5}),
        [*finals("none", {0: 0.5}), *finals("ra", {0: float("nan")})],
        [searched(f"{LONG}{k}", 0, 0.5) for k in range(30)],
    ],
    ids=["empty", "first trial", "only failures", "no baseline", "baseline alone", "not a number", "long names"],
)
def test_any_state_of_a_study_has_a_page(outcomes: Any) -> None:
    names = dict.fromkeys(each.strategy for each in outcomes)
    found = comparison(outcomes, definition={"spaces": {name: {} for name in ("none", "ra", *names)}})
    page = shown(found)
    assert "nan%" not in page
    assert "None" not in page
    assert "boom </p>" not in page
    assert page.count("<table") == page.count("</table>")


def test_thirty_strategies_show_the_best_first_and_the_rest_on_demand() -> None:
    scores = {f"s{k}": {seed: 0.5 + k / 100 + seed * (k % 3) / 1000 for seed in range(3)} for k in range(30)}
    outcomes = [each for name, by_seed in scores.items() for each in finals(name, by_seed)]
    found = comparison(outcomes, definition={"baseline": "s0", "spaces": {name: {} for name in scores}})
    chart = pieces(study_view(found), None)["chart"]
    first, rest = chart.split("<details>")
    assert re.findall(r'class="name">(s[0-9]+)<', first) == [f"s{k}" for k in range(29, 17, -1)]
    assert "<summary>18 more</summary>" in rest


def test_names_are_text() -> None:
    page = shown(three())
    assert "<b>" not in page
    assert "&lt;b&gt;" in page


def test_classes_are_shown_with_their_intervals_and_the_most_helped_first() -> None:
    def run(cats: int, dogs: int) -> ClassCounts:
        return ClassCounts(("cat", "<dog>"), (100, 100), (cats, dogs))

    right = {"none": [(60, 85), (58, 84), (62, 84)], "ra": [(90, 69), (91, 71), (92, 70)]}
    counts = {name: {FinalRun("s", k): run(*each) for k, each in enumerate(runs)} for name, runs in right.items()}
    rows = [
        LeaderboardRow(name, interval([mean]), None, 1, 0, 0, 1.0, "cpu", 1, None)
        for name, mean in {"ra": 0.80, "none": 0.72}.items()
    ]
    view = study_view(replace(three(), rows=rows, classes=class_effects(rows, "none", counts)))
    assert view.classes is not None
    cat, dog = view.classes.rows
    assert (cat.name, cat.baseline, cat.accuracy, cat.verdict, cat.bar) == ("cat", "60.0", "91.0", "helped", 50.0)
    assert cat.difference.startswith("+31.0 [+")
    assert dog.gains is False
    assert "&lt;dog&gt;" in pieces(view, None)["classes"]


def test_what_a_claim_rests_on_is_the_first_p() -> None:
    assert told("So far (3 of 12 final runs): nothing").proof == ""
    parts = told("So far (3 of 12): ra wins (p < .001, 3 seeds); tpe is worse (p = .02)")
    assert (parts.claim, parts.proof) == ("So far (3 of 12): ra wins", "(p < .001, 3 seeds)")
    assert parts.rest == "; tpe is worse (p = .02)"


@pytest.mark.parametrize(("seconds", "said"), [(0.2, "1 s"), (80, "80 s"), (300, "5 min"), (9000, "2.5 h")])
def test_a_time_is_short(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(("seconds", "said"), [(5.64, "5.6"), (7.0, "7"), (420.4, "420"), (12345.0, "12,345")])
def test_an_amount_has_few_digits(seconds: float, said: str) -> None:
    assert amount(seconds) == said


def test_the_best_trial_of_a_search_is_linked_and_a_re_run_is_not() -> None:
    outcomes = [searched("ra", 0, 0.5), searched("ra", 1, 0.7), searched("ra", 9, 0.9, kind=TrialKind.RERUN)]
    page = "".join(pieces(study_view(comparison(outcomes), status(strategy("ra")), {"ra": 7}), "../../").values())
    assert 'href="../../../dashboard/studies/7/trials?numbers=1"' in page
