"""Several data sets: tests against scipy and all permutations, rates of error, who is compared, and where it shows."""

import csv
import io
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Call, calling, refused
from optuna.trial import TrialState
from outcomes_for_tests import DEFINITION, finals
from scipy import stats
from studies_for_tests import tiny

from autoaug import Study, Task
from autoaug.cli._project import load_diagram, load_figures, shipped_root
from autoaug.compare import (
    Across,
    Comparison,
    across,
    across_csv,
    across_headline,
    across_json,
    across_legend,
    across_tables,
    leaderboard,
    stored_across,
)
from autoaug.compare._rank_tests import (
    cliques,
    friedman,
    friedman_statistic,
    least_data_sets,
    permuted_p,
    ranks_of,
    signed_rank_p,
)
from autoaug.compare._statistics import holm
from autoaug.page import across_report
from autoaug.record import LEADERBOARD, Record, TrialKind
from autoaug.store import Store
from autoaug.strategies import none, randaugment, trivialaugment


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    yield from calling(tmp_path, monkeypatch)


def on(data: str, means: Mapping[str, float], seeds: int = 2, **more: Any) -> Comparison:
    """A study of data, whose strategies have these means over final runs."""
    definition = DEFINITION | {"spaces": {name: {} for name in means}, "task": {"data": data, "epochs": 2}} | more
    outcomes = [
        each
        for name, mean in means.items()
        for each in finals(name, {seed: mean + 0.01 * (seed - (seeds - 1) / 2) for seed in range(seeds)}, study=data)
    ]
    return Comparison((data,), definition, leaderboard(outcomes, definition["baseline"], definition["metric"]))


NAMES = ("none", "a", "b", "c", "d")


def of(values: Sequence[Sequence[float]], names: Sequence[str] = NAMES, baseline: str = "none") -> Across:
    """Data sets by line, strategies by column."""
    lines = [dict(zip(names, line, strict=False)) for line in values]
    return across([on(f"data{k}", line, baseline=baseline) for k, line in enumerate(lines)])


RNG = np.random.default_rng(0)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize(("count", "strategies"), [(6, 3), (9, 4), (12, 7)])
def test_friedmans_statistic_is_scipys(count: int, strategies: int, tied: bool) -> None:
    values = RNG.normal(size=(count, strategies))
    values = np.round(values) if tied else values
    found = friedman(ranks_of(values, maximize=True))
    assert found
    oracle = stats.friedmanchisquare(*values.T)
    assert found.chi_squared == pytest.approx(oracle.statistic)
    f = (count - 1) * oracle.statistic / (count * (strategies - 1) - oracle.statistic)
    assert found.f == pytest.approx(f)
    assert found.p == pytest.approx(stats.f.sf(f, strategies - 1, (strategies - 1) * (count - 1)))
    assert found.degrees == (strategies - 1, (strategies - 1) * (count - 1))


def test_of_few_data_sets_p_is_the_share_of_permutations() -> None:
    """All (3!)^3 ways to permute the ranks of four data sets, the first of which may stay as it is."""
    ranks = np.array([[1, 2, 3], [1, 3, 2], [1, 2, 3], [2, 1, 3]], dtype=float)
    orders = list(itertools.permutations([1.0, 2.0, 3.0]))
    every = np.array([[orders[0], *others] for others in itertools.product(orders, repeat=3)])
    exact = (friedman_statistic(every) >= friedman_statistic(ranks) - 1e-9).mean()
    found = friedman(ranks)
    assert found
    assert (found.method, found.p) == ("permutations", pytest.approx(exact, abs=0.015))
    assert found.p == friedman(ranks).p, "the draws are always the same"  # type: ignore[union-attr]


def test_permutations_and_f_agree_where_there_are_many_data_sets() -> None:
    values = np.random.default_rng(3).normal([0.0, 0.3, 0.5], 1.0, (30, 3))
    ranks = ranks_of(values, maximize=True)
    found = friedman(ranks)
    assert found
    assert permuted_p(ranks) == pytest.approx(found.p, abs=0.02)


def test_what_all_data_sets_agree_on_is_as_sure_as_chance_allows() -> None:
    agreed = friedman(np.tile([1.0, 2.0, 3.0], (6, 1)))
    assert agreed
    assert (agreed.f, agreed.p) == (math.inf, pytest.approx(6.0**-5))
    tied = friedman(np.full((7, 3), 2.0))
    assert tied
    assert (tied.chi_squared, tied.p) == (0.0, 1.0)
    assert friedman(np.ones((1, 3))) is None
    assert friedman(np.ones((9, 2))) is None


@pytest.mark.parametrize("count", [1, 2, 5, 8, 13])
def test_signed_ranks_are_scipys(count: int) -> None:
    for _ in range(10):
        differences = RNG.normal(0.3, 1.0, count)
        oracle = stats.wilcoxon(differences, method="exact").pvalue
        assert signed_rank_p(differences) == pytest.approx(oracle)


@pytest.mark.parametrize(
    "differences", [[1, 1, 2, -1, 3, 3], [0.5, 0.5, 0.5, 0.5, 0.5], [-2, 1, 1, -1, 2, 2, 2], [0, 0, 1, -2, 3, 3]]
)
def test_tied_signed_ranks_are_those_of_all_signs(differences: list[float]) -> None:
    moved = np.array([each for each in differences if each])
    ranks = stats.rankdata(np.abs(moved))
    every = np.array([(np.array(signs) * ranks).sum() for signs in itertools.product([-1, 1], repeat=len(moved))])
    exact = (np.abs(every) >= abs((np.sign(moved) * ranks).sum()) - 1e-9).mean()
    assert signed_rank_p(differences) == pytest.approx(exact)


def test_no_difference_at_all_is_no_evidence() -> None:
    assert signed_rank_p([]) == signed_rank_p([0.0, 0.0, 1e-12]) == 1.0


@pytest.mark.parametrize(("pairs", "least"), [(1, 6), (3, 7), (6, 8), (10, 9)])
def test_fewer_data_sets_could_tell_nothing(pairs: int, least: int) -> None:
    def surest(count: int) -> float:
        return float(holm(np.array([signed_rank_p(np.arange(1.0, count + 1))] + [1.0] * (pairs - 1)))[0])

    assert least_data_sets(pairs) == least
    assert surest(least) < 0.05 <= surest(least - 1)


@pytest.mark.parametrize(("count", "strategies"), [(4, 3), (5, 4), (7, 3), (10, 4)])
def test_of_strategies_that_are_alike_some_differ_in_at_most_5_percent_of_comparisons(
    count: int, strategies: int
) -> None:
    """Data sets are as different as they like; 600 comparisons have a standard error of .9 %."""
    rng = np.random.default_rng(count)
    level = rng.uniform(0.3, 0.9, (600, count, 1))
    values = level + rng.normal(0, 0.02, (600, count, strategies)) * rng.uniform(0.2, 2, (600, count, 1))
    by_friedman = np.mean([test.p < 0.05 for each in values if (test := friedman(ranks_of(each, True)))])
    pairs = list(itertools.combinations(range(strategies), 2))
    p = np.array([[signed_rank_p(each[:, one] - each[:, two]) for one, two in pairs] for each in values])
    by_pairs = (holm(p) < 0.05).any(axis=1).mean()
    assert by_friedman < 0.05 + 3 * 0.009
    assert by_pairs < 0.05 + 3 * 0.009
    if count < least_data_sets(len(pairs)):
        assert by_pairs == 0.0


def test_ties_share_places_and_less_may_be_better() -> None:
    values = np.array([[0.9, 0.9 + 1e-12, 0.8], [0.1, 0.2, 0.3]])
    assert ranks_of(values, maximize=True).tolist() == [[1.5, 1.5, 3], [3, 2, 1]]
    assert ranks_of(values, maximize=False).tolist() == [[2.5, 2.5, 1], [1, 2, 3]]


def test_a_bar_joins_those_of_which_no_two_are_told_apart() -> None:
    def groups(*apart: str) -> list[str]:
        return ["".join(group) for group in cliques("abcd", {frozenset(pair) for pair in apart})]

    assert groups() == ["abcd"]
    assert groups("ad") == ["abc", "bcd"]
    assert groups("ab", "ac", "ad") == ["bcd"]
    assert groups("ab", "cd") == ["ac", "ad", "bc", "bd"], "what lies between the ends of a bar need not be on it"
    assert groups("ab", "ac", "ad", "bc", "bd", "cd") == []


@pytest.mark.parametrize("seed", range(5))
def test_bars_are_the_largest_groups(seed: int) -> None:
    """Against all subsets of seven strategies."""
    rng, names = np.random.default_rng(seed), "abcdefg"
    apart = {frozenset(pair) for pair in itertools.combinations(names, 2) if rng.random() < 0.4}
    subsets = [set(each) for size in range(2, 8) for each in itertools.combinations(names, size)]
    alike = [each for each in subsets if not any(pair <= each for pair in apart)]
    largest = [each for each in alike if not any(each < other for other in alike)]
    assert sorted(map(sorted, largest)) == sorted(map(sorted, cliques(names, apart)))


CLEAR = [[0.70 + k / 100, 0.75 + k / 90, 0.751 + k / 100 + (-1) ** k / 200] for k in range(9)]
"""Nine data sets: a and b are better than none, and are not told apart."""


def test_what_nine_data_sets_agree_on_is_told_apart() -> None:
    found = of(CLEAR)
    values = np.array(CLEAR)
    for pair in found.pairs:
        columns = [("none", "a", "b").index(name) for name in (pair.one, pair.other)]
        minus = values[:, columns[0]] - values[:, columns[1]]
        assert pair.p == pytest.approx(stats.wilcoxon(minus, method="exact").pvalue)
        assert pair.difference
        assert pair.difference.mean == pytest.approx(minus.mean())
        assert (pair.better, pair.worse) == ((minus > 0).sum(), (minus < 0).sum())
    verdicts = {frozenset((pair.one, pair.other)): pair.verdict for pair in found.pairs}
    assert verdicts[frozenset("ab")] == "not enough evidence"
    assert found.cliques == [tuple(name for name in found.strategies if name != "none")]
    assert found.strategies[-1] == "none"
    assert found.ranks["none"] == 3.0
    assert sum(found.ranks.values()) == pytest.approx(6.0)
    assert [pair.verdict for pair in found.against_baseline()] == ["better", "better"]
    best = values[:, 1:].mean(axis=0).argmax()
    gain = 100 * (values[:, 1 + best] - values[:, 0])
    half = stats.t.isf(0.025, 8) * gain.std(ddof=1) / 3
    first, other = ("a", "b") if best == 0 else ("b", "a")
    assert across_headline(found) == (
        f"{first} beats none over 9 data sets, by {gain.mean():.1f} ± {half:.1f} points in the mean (p = .012); "
        f"so does {other}"
    ), "p: 3 pairs times 2 / 2**9"


def test_a_baseline_that_is_better_beats_the_others() -> None:
    found = of([[0.9 + k / 100, 0.8 + k / 90] for k in range(7)])
    (pair,) = found.against_baseline()
    assert (pair.one, pair.other, pair.verdict, pair.better, pair.worse) == ("a", "none", "worse", 0, 7)
    assert pair.difference
    assert pair.difference.low is not None
    assert pair.difference.low < pair.difference.mean < 0
    assert found.friedman is None, "of two strategies the signed ranks say it all"
    assert across_headline(
        found
    ) == "nothing beats none beyond chance over 7 data sets; none has the best mean rank, " + ("1.0 of 2")


def test_by_a_metric_of_which_less_is_better_the_least_is_first() -> None:
    found = across(
        [on(f"d{k}", {"none": 0.5 + k / 50, "a": 0.6 + k / 40}, metric="val_nll", baseline="none") for k in range(6)]
    )
    assert found.strategies == ("a", "none"), "nll is one minus the score"
    (pair,) = found.against_baseline()
    assert (pair.verdict, pair.better) == ("better", 6)
    assert found.best("d0") == {"a"}
    assert any("less is better" in line for line in across_legend(found))


def test_three_data_sets_are_no_test() -> None:
    found = of([[0.7, 0.9, 0.8]] * 3)
    assert (found.testable, found.needed) == (False, 7)
    assert {pair.p for pair in found.pairs} == {None}
    assert found.cliques == [found.strategies], "nothing is told apart"
    assert across_headline(found) == (
        "a has the best mean rank, 1.0 of 3, over 3 data sets: no test, 3 strategies take 7 data sets or more"
    )
    said = " ".join(across_legend(found))
    assert "3 data sets: no test." in said
    assert "by permuting ranks within data sets" in said


def test_strategies_that_are_not_everywhere_are_left_out_and_named() -> None:
    first = on("iris", {"none": 0.7, "a": 0.8, "b": 0.9})
    second = on("wine", {"none": 0.7, "a": 0.8})
    found = across([first, second])
    assert found.strategies == ("a", "none")
    assert found.left_out == {"b": "wine"}
    assert "left out: b, which is not tested on wine" in across_legend(found)
    assert [row.name for row in found.comparisons["iris"].rows] == ["b", "a", "none"], "its own leaderboard stays"


def test_tasks_may_differ_in_more_than_their_data_and_that_is_said() -> None:
    longer = on("wine", {"none": 0.7, "a": 0.8}, task={"data": "wine", "epochs": 9})
    found = across([on("iris", {"none": 0.7, "a": 0.8}), longer])
    assert found.unlike == ["epochs"]
    assert "the data sets are trained on in different ways: epochs" in across_legend(found)


def test_data_sets_are_called_by_what_tells_them_apart() -> None:
    names = ["/home/me/uci.npz:iris", "/home/me/uci.npz:wine"]
    assert list(across([on(name, {"none": 0.7, "a": 0.8}) for name in names]).comparisons) == ["iris", "wine"]
    names = ["/home/me/flowers", "/data/flowers"]
    found = across([on(name, {"none": 0.7, "a": 0.8}) for name in names])
    assert list(found.comparisons) == [f"flowers ({name})" for name in names]


GIVEN = {"none": 0.7, "a": 0.8}

INCOMPARABLE: dict[str, tuple[list[Comparison], str]] = {
    "one": ([on("iris", GIVEN)], "1 comparison is none over data sets"),
    "data": ([on("iris", GIVEN)] * 2, "'iris' and 'iris' are of the same data iris"),
    "metric": (
        [on("iris", GIVEN), on("wine", GIVEN, metric="val_nll")],
        "studies 'iris' and 'wine' ask different questions, metric val_accuracy and val_nll: compare studies over data",
    ),
    "baseline": (
        [on("iris", GIVEN), on("wine", GIVEN, baseline="a")],
        r"'iris' and 'wine' have different baselines, 'none' and 'a': .* the same Study\(baseline=\)",
    ),
    "space": (
        [on("iris", GIVEN), on("wine", GIVEN, spaces={"none": {}, "a": {"policy.m": "x"}})],
        "ask different questions, the space of 'a', policy.m = absent and x",
    ),
    "loop": (
        [on("iris", GIVEN), on("wine", GIVEN, task={"data": None})],
        "cannot be compared over data sets: the loop of one reads data of its own",
    ),
    "untested": (
        [on("iris", GIVEN), on("wine", {"a": 0.7}, spaces={"none": {}, "a": {}})],
        "study 'wine' has no final run of the baseline 'none' on wine: finish it with autoaug run, or leave it out",
    ),
}


@pytest.mark.parametrize("what", INCOMPARABLE)
def test_what_cannot_be_compared_is_refused_by_name(what: str) -> None:
    comparisons, message = INCOMPARABLE[what]
    with pytest.raises(ValueError, match=message):
        across(comparisons)


def test_one_shared_strategy_is_nothing_to_compare() -> None:
    found = across([on("iris", {"none": 0.7, "a": 0.8}), on("wine", {"none": 0.7, "b": 0.8})])
    assert found.pairs == []
    assert across_headline(found).startswith("none is the only strategy that is tested on all 2 data sets")
    assert across_json(found)["data_sets_needed"] is None
    assert not load_diagram(shipped_root())(found).data
    assert "<h3>Critical difference</h3>" not in across_report(found, load_diagram(shipped_root()))


def test_the_more_numerous_are_the_lines_and_marks_say_what_each_data_set_does() -> None:
    few = across_tables(of([[0.7, 0.9, 0.8]] * 2))[1]
    assert few.headings == ["test accuracy", "data0", "data1"]
    means = {"none": 0.7, "a": 0.9, "b": 0.6}
    many = across_tables(across([on(f"data{k}", means, seeds=8) for k in range(4)]))[1]
    assert many.headings == ["test accuracy", "a", "none", "b"]
    _, a, plain, b = many.cells[0]
    assert (a[:9], a[-1], b[-1]) == ("0.9000 ± ", "*", "†"), "the same difference with eight seeds is beyond chance"
    assert plain[-1].isdigit()
    wide = [[0.5 + k / 20 for k in range(5)]] * 6
    assert "±" not in across_tables(of(wide))[1].cells[0][1], "five columns have no room for intervals"
    assert "±" in across_tables(of(wide), wide=True)[1].cells[0][1]


def test_machines_are_told_everything_and_the_csv_has_every_strategy_of_every_data_set() -> None:
    found = of(CLEAR)
    plain = json.loads(json.dumps(across_json(found), allow_nan=False))
    assert plain["ranks"] == dict(found.ranks)
    assert len(plain["pairs"]) == 3
    assert plain["data_sets"]["data0"]["strategies"][0]["name"] == found.comparisons["data0"].rows[0].name
    lines = list(csv.DictReader(io.StringIO(across_csv(found))))
    assert len(lines) == 27
    assert {line["data"] for line in lines} == set(found.comparisons)
    assert float(lines[0]["mean_rank"]) == pytest.approx(found.ranks[lines[0]["strategy"]])


def test_the_diagram_has_a_line_for_each_strategy_and_a_bar_for_each_group() -> None:
    found = of(CLEAR)
    drawn = load_diagram(shipped_root())(found)
    ranks = {trace.name: trace.x[0] for trace in drawn.data if trace.name}
    assert ranks == {name: pytest.approx(rank, abs=1e-3) for name, rank in found.ranks.items()}
    bars = [trace for trace in drawn.data if trace.line.width == 5]
    assert [list(bar.x) for bar in bars] == [[pytest.approx(found.ranks[name], abs=1e-3) for name in found.cliques[0]]]
    assert [text.split()[0] for text in drawn.layout.yaxis.ticktext] == list(found.strategies)
    alt = drawn.layout.meta["alt"]
    assert all(f"{name} {rank:.2f}" in alt for name, rank in found.ranks.items())
    assert f"Not told apart: {', '.join(found.cliques[0])}." in alt
    assert len(drawn.to_json()) < 30_000
    assert drawn.layout.title.text.startswith("Which strategies differ over 9 data sets?<br>")
    few = load_diagram(shipped_root())(of([[0.7, 0.8, 0.9]] * 3))
    assert few.layout.title.text.startswith("Mean ranks over 3 data sets: too few to test<br>")
    assert [trace.line.dash for trace in few.data if trace.line.width == 5] == ["dot"], "a bar that says nothing"
    assert "critical difference" not in load_figures(shipped_root()), "it is no figure of one comparison"


def test_names_are_no_markup_in_the_diagram_and_many_strategies_stay_small() -> None:
    names = ["none", "<b>bold</b>", *(f"strategy-{k}" for k in range(60))]
    drawn = load_diagram(shipped_root())(of([[0.3 + k / 200 for k in range(62)]] * 2, names))
    assert len(drawn.layout.yaxis.ticktext) == 40
    assert len(drawn.to_json()) < 30_000
    marked = load_diagram(shipped_root())(of([[0.7, 0.8]] * 6, names[:2]))
    assert "<b>" not in marked.to_json().replace("\\u003c", "<")


def test_the_page_has_every_data_set_and_shows_names_as_text() -> None:
    page = across_report(of(CLEAR, names=("none", "<b>", "b")), load_diagram(shipped_root()))
    assert "data8: the leaderboard of data8" in page
    assert "<b>" not in page.replace("<b>Plotly", "")
    assert "&lt;b&gt;" in page
    assert page.count("<h2>") == 9 + 3
    assert 'src="http' not in page


def stored(store: Store, name: str, data: str, accuracy: Mapping[str, float], seed: int = 0, **more: Any) -> None:
    """A study as a run leaves it, of which only the final runs are there."""
    task = Task(data=data, model="convnet", epochs=2, batch_size=100, lr=0.2)
    strategies = {"none": none(), "ra": randaugment(), "ta": trivialaugment()}
    chosen = {each: strategies[each] for each in accuracy}
    study: Study = tiny(name=name, seed=seed, task=task, strategies=chosen, **more)
    store.define(name, study.describe())
    for strategy, score in accuracy.items():
        for run in range(2):
            store.enqueue_final(name, strategy, run, {}, 0)
            trial = store.trials(name, LEADERBOARD)[-1]
            store.claim(trial._trial_id)
            metrics = {"test_accuracy": score + run / 100, "test_nll": 1 - score}
            given: dict[str, Any] = {"study": name, "strategy": strategy, "trial": trial.number, "epoch": 1}
            final = Record(**given, phase="augment", metrics=metrics, gpu_seconds=1.0, kind=TrialKind.FINAL)
            store.write_epoch(trial._trial_id, final)
            store.finish(trial._trial_id, TrialState.COMPLETE, [score, 1.0])


def test_stored_studies_are_grouped_by_their_data(call: Call, tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'autoaug.db'}")
    stored(store, "d0", "digits", {"none": 0.7, "ra": 0.8, "ta": 0.9})
    stored(store, "d1", "digits", {"none": 0.72, "ra": 0.8}, seed=1)
    stored(store, "r0", "digits-rotated", {"none": 0.6, "ra": 0.8})
    shown = call("compare", "d0", "d1", "r0", "--csv", "all.csv", "--html", "all.html")
    assert shown.exit_code == 0, shown.stderr
    words = " ".join(shown.stdout.split())
    assert words.startswith("ra has the best mean rank, 1.0 of 2, over 2 data sets: no test")
    assert "left out: ta, which is not tested on digits-rotated" in words
    assert "mean over the studies that repeat the search on that data set" in words
    told = json.loads(call("compare", "d0", "d1", "r0", "--json").stdout)
    assert told["data_sets"]["digits"]["studies"] == ["d0", "d1"]
    assert told["studies"] == ["d0", "d1", "r0"]
    assert "digits: the leaderboard of d0, d1" in (tmp_path / "all.html").read_text()
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 1 + 3 + 2
    assert isinstance(stored_across([(store, "d0"), (store, "d1")]), Comparison)
    assert len(store.looks("r0")) == 1, "a look that says nothing new is one look"


def test_what_is_refused_was_not_looked_at(call: Call, tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'autoaug.db'}")
    stored(store, "d0", "digits", {"none": 0.7, "ra": 0.8})
    stored(store, "d1", "digits", {"none": 0.7, "ra": 0.8})
    stored(store, "r0", "digits-rotated", {"none": 0.6, "ra": 0.8}, metric="val_nll")
    refused(call("compare", "d0", "r0", "--html", "x.html"), "'d0' and 'r0' ask different questions, metric val_acc")
    refused(call("compare", "d0", "d1", "r0"), "studies 'd0' and 'd1' have the same seed 0")
    refused(call("compare", "d0", "r0", "r0"), "study 'r0' is named 2 times")
    assert not (tmp_path / "x.html").exists()
    assert store.looks("d0") == store.looks("r0") == []
