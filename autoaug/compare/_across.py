"""One question asked of several data sets: which strategies differ over them, and not on one alone."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from autoaug.compare._comparison import Comparison
from autoaug.compare._leaderboard import LeaderboardRow
from autoaug.compare._rank_tests import FriedmanTest, cliques, friedman, least_data_sets, ranks_of, signed_rank_p
from autoaug.compare._records import StoredStudy
from autoaug.compare._statistics import CONFIDENCE, ROUNDING, Interval, Verdict, holm, interval
from autoaug.compare._stored import defined, refuse_unlike, stored_comparison
from autoaug.data import public_name
from autoaug.metrics import Metric
from autoaug.store import differences
from autoaug.text import enumerated


@dataclass(frozen=True)
class PairTest:
    """Hold how one strategy fares against another over data sets.

    >>> from autoaug.compare import PairTest
    >>> PairTest("ra", "none", better=5, equal=1, worse=0, difference=None).verdict
    'not enough evidence'
    """

    one: str
    other: str
    better: int
    """Data sets on which `one` has the better mean."""
    equal: int
    worse: int
    difference: Interval | None
    """Mean over data sets of `one` minus `other`, in the unit of the metric."""
    p: float | None = None
    """Two-sided, of Wilcoxon's signed-rank test, exact; None where the data sets are too few for any test."""
    p_holm: float | None = None
    """p corrected for the number of pairs (Holm 1979)."""
    verdict: Verdict = "not enough evidence"
    """Of `one`, by the corrected p."""


@dataclass(frozen=True)
class Across:
    """Hold what several data sets say of the strategies that all of them have; `across` makes it of comparisons.

    >>> from autoaug.compare import Across
    >>> Across({}, strategies=("ra", "none"), ranks={"ra": 1.0, "none": 2.0}, friedman=None).cliques
    ()
    """

    comparisons: Mapping[str, Comparison]
    """By data set, in the order in which they were named."""
    strategies: tuple[str, ...]
    """That were tested on all data sets, the best mean rank first."""
    ranks: Mapping[str, float]
    """By strategy, the mean over data sets of its place; 1 is the best, ties share places."""
    friedman: FriedmanTest | None
    """Whether any strategies differ; None of fewer than three."""
    pairs: Sequence[PairTest] = ()
    """Of all strategies, each pair once, the one with the better rank as `one`."""
    cliques: Sequence[tuple[str, ...]] = ()
    """Largest groups of strategies of which no two are told apart: the bars of a critical-difference diagram."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Strategies that are not tested on all data sets, with the data sets that lack them."""
    unlike: Sequence[str] = ()
    """Fields in which the tasks differ beside their data."""

    @property
    def first(self) -> Comparison:
        """Return the comparison on the first data set: metric and baseline are the same on all of them."""
        return next(iter(self.comparisons.values()))

    @property
    def baseline(self) -> str:
        """Return the name of the strategy that the others are compared with."""
        return self.first.baseline

    @property
    def ruling(self) -> Metric:
        """Return the row of the metric that the strategies are ranked by."""
        return self.first.ruling

    @property
    def needed(self) -> int:
        """Return how many data sets there must be before any test could tell two strategies apart."""
        return least_data_sets(len(self.pairs))

    @property
    def testable(self) -> bool:
        """Whether the data sets are enough for a test to find anything."""
        return len(self.comparisons) >= self.needed

    def row(self, data_set: str, strategy: str) -> LeaderboardRow:
        """Return a strategy's row of the leaderboard of a data set."""
        return next(row for row in self.comparisons[data_set].rows if row.name == strategy)

    def mean(self, data_set: str, strategy: str) -> float:
        """Return the mean test value of a strategy on a data set."""
        test = self.row(data_set, strategy).test
        assert test is not None, "strategies without a test are left out"
        return test.mean

    def best(self, data_set: str) -> set[str]:
        """Return the strategies with the best mean test value on a data set; several where they tie."""
        values = {name: self.mean(data_set, name) for name in self.strategies}
        most = (max if self.ruling.maximize else min)(values.values())
        return {name for name, value in values.items() if abs(value - most) < ROUNDING}

    def against_baseline(self) -> Iterator[PairTest]:
        """Yield how the baseline is beaten by each other strategy, or beats it, the best rank first."""
        for pair in self.pairs:
            if self.baseline in (pair.one, pair.other):
                yield pair if pair.other == self.baseline else turned(pair)


def turned(pair: PairTest) -> PairTest:
    """Return a pair as the other strategy sees it."""
    verdicts: dict[Verdict, Verdict] = {"better": "worse", "worse": "better"}
    mean = pair.difference
    if mean is not None:
        low, high = (None if end is None else -end for end in (mean.high, mean.low))
        mean = Interval(0.0 - mean.mean, low, high, mean.n, mean.method)
    verdict = verdicts.get(pair.verdict, pair.verdict)
    return PairTest(pair.other, pair.one, pair.worse, pair.equal, pair.better, mean, pair.p, pair.p_holm, verdict)


def across(comparisons: Sequence[Comparison]) -> Across:
    """Return what several data sets say together, from the comparison on each of them.

    Strategies are ranked on each data set by their mean on the test split; the data sets are the sample. Whether any
    strategies differ is Friedman's test, which ones Wilcoxon's signed-rank test of each pair, corrected by Holm.

    Args:
        comparisons: of two data sets or more; each of one study, or of several that repeat it.

    Raises:
        ValueError: they are of the same data, differ in metric, baseline, loop or in what a strategy is, or a data set
            has no test of the baseline; the message names the studies.

    >>> from autoaug.compare import Comparison, LeaderboardRow, across, interval
    >>> def on(data, **means):
    ...     definition = {"metric": "val_accuracy", "baseline": "none", "spaces": dict.fromkeys(means, {})}
    ...     rows = [LeaderboardRow(each, interval([mean]), mean, 1, 0, 0, 1.0, "cpu", 5, None)
    ...             for each, mean in means.items()]
    ...     return Comparison((data,), definition | {"task": {"data": data}, "seed": 0}, rows)
    >>> found = across([on("iris", none=0.90, ra=0.92), on("wine", none=0.80, ra=0.83)])
    >>> found.strategies, dict(found.ranks)
    (('ra', 'none'), {'ra': 1.0, 'none': 2.0})
    >>> found.testable, found.needed
    (False, 6)
    """
    refuse_incomparable([comparison.studies for comparison in comparisons], [each.definition for each in comparisons])
    by_data = dict(zip(data_sets(comparisons), comparisons, strict=True))
    baseline, ruling = comparisons[0].baseline, comparisons[0].ruling
    means = {
        name: {
            row.name: row.test.mean
            for row in each.rows
            if row.test and np.isfinite(row.test.mean) and not row.other_data
        }
        for name, each in by_data.items()
    }
    refuse_untested(by_data, means, baseline)
    curves = {name for each in comparisons for name in each.other_data}
    every = list(dict.fromkeys(name for each in comparisons for name in each.strategies if name not in curves))
    lacking = {name: [data for data in means if name not in means[data]] for name in every}
    tested = [name for name in every if not lacking[name]]
    values = np.array([[means[data][name] for name in tested] for data in means])
    places = ranks_of(values, ruling.maximize)
    order = np.argsort(places.mean(axis=0), kind="stable")
    strategies = tuple(tested[k] for k in order)
    pairs = pair_tests(strategies, values[:, order], ruling)
    apart = {frozenset((pair.one, pair.other)) for pair in pairs if pair.verdict != "not enough evidence"}
    return Across(
        comparisons=by_data,
        strategies=strategies,
        ranks={tested[k]: float(places[:, k].mean()) for k in order},
        friedman=friedman(places),
        pairs=pairs,
        cliques=cliques(strategies, apart),
        left_out={name: enumerated(missing, len(missing)) for name, missing in lacking.items() if missing},
        unlike=unlike([comparison.definition.get("task", {}) for comparison in comparisons]),
    )


def pair_tests(strategies: Sequence[str], values: np.ndarray, ruling: Metric) -> list[PairTest]:
    """Return the tests of all pairs of strategies, of their values [N, k] on the data sets."""
    sign = 1 if ruling.maximize else -1
    couples = list(combinations(range(len(strategies)), 2))
    if not couples:
        return []
    minus = np.stack([values[:, one] - values[:, other] for one, other in couples])
    testable = len(values) >= least_data_sets(len(couples))
    p = np.array([signed_rank_p(each) for each in minus])
    corrected = holm(p)
    found = []
    for k, (one, other) in enumerate(couples):
        gains = sign * minus[k]
        better, worse = int((gains > ROUNDING).sum()), int((gains < -ROUNDING).sum())
        verdict: Verdict = "not enough evidence"
        if testable and corrected[k] < 1 - CONFIDENCE:
            verdict = "better" if signed_rank_sum(gains) > 0 else "worse"
        found.append(
            PairTest(
                strategies[one],
                strategies[other],
                better,
                len(gains) - better - worse,
                worse,
                interval(minus[k], ruling.differences),
                float(p[k]) if testable else None,
                float(corrected[k]) if testable else None,
                verdict,
            )
        )
    return found


def signed_rank_sum(gains: np.ndarray) -> float:
    """Return the ranks of the gains minus those of the losses: what Wilcoxon's test goes by."""
    sizes = ranks_of(np.abs(gains), maximize=False)
    return float((np.where(np.abs(gains) < ROUNDING, 0.0, np.sign(gains)) * sizes).sum())


def by_data_set(definitions: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """Return which of several studies are of the same data, by their numbers; in the order of the first of each."""
    groups: dict[Any, list[int]] = defaultdict(list)
    for number, definition in enumerate(definitions):
        groups[definition["task"].get("data")].append(number)
    return list(groups.values())


def stored_groups(studies: Sequence[StoredStudy]) -> list[list[StoredStudy]]:
    """Return studies that were run by the data that they are of; those of one group differ in their seed only.

    Raises:
        ValueError: they ask different questions. Nobody has looked at any of them by then.
    """
    definitions = [defined(store, name) for store, name in studies]
    names = [name for _, name in studies]
    groups = by_data_set(definitions)
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"study {name!r} is named {count} times: name each study once")
    for group in groups:
        refuse_unlike([names[k] for k in group], [definitions[k] for k in group])
    if len(groups) > 1:
        refuse_incomparable([[names[k] for k in group] for group in groups], [definitions[each[0]] for each in groups])
    return [[studies[k] for k in group] for group in groups]


def stored_across(studies: Sequence[StoredStudy], with_importance: bool = True) -> Comparison | Across:
    """Return the comparison of studies that were run: over data sets, where these differ in their data.

    Whoever asks has looked at each of them: that is recorded, and their own p and intervals are corrected for it.

    Args:
        studies: where each is stored, and its name there. Those of the same data repeat the search with other seeds.
        with_importance: measure how much each dimension mattered, where all are of the same data.

    Raises:
        ValueError: they ask different questions, or a data set has no test of the baseline.
    """
    groups = stored_groups(studies)
    if len(groups) == 1:
        return stored_comparison(groups[0], with_importance)
    return across([stored_comparison(group, with_importance=False) for group in groups])


def data_sets(comparisons: Sequence[Comparison]) -> list[str]:
    """Return what the data are called, without where they lie; with the study where two would be called the same."""
    names = [public_name(comparison.definition["task"]["data"]) for comparison in comparisons]
    short = without_common_file(names)
    counts = Counter(short)
    pairs = zip(short, comparisons, strict=True)
    return [name if counts[name] == 1 else f"{name} ({each.studies[0]})" for name, each in pairs]


def without_common_file(names: Sequence[str]) -> list[str]:
    """Return "iris", "wine" of "uci.npz:iris", "uci.npz:wine": a file that all share tells nothing."""
    parts = [name.partition(":") for name in names]
    shared = len({file for file, _, _ in parts}) == 1 and all(rest for _, _, rest in parts)
    return [rest for _, _, rest in parts] if shared else list(names)


def unlike(tasks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the fields in which tasks differ beside their data."""
    names = sorted({name for task in tasks for name in task} - {"data"})
    return [name for name in names if any(task.get(name) != tasks[0].get(name) for task in tasks)]


def refuse_incomparable(studies: Sequence[Sequence[str]], definitions: Sequence[Mapping[str, Any]]) -> None:
    """Raise a ValueError unless studies of several data sets ask the same of each of them.

    Args:
        studies: the names of those of each data set.
        definitions: of the first of each.
    """
    if len(definitions) < 2:
        raise ValueError(f"{len(definitions)} comparison is none over data sets: give those of two or more")
    for (here, one), (there, other) in combinations(zip(studies, definitions, strict=True), 2):
        pair = f"studies {here[0]!r} and {there[0]!r}"
        if one["task"].get("data") == other["task"].get("data"):
            raise ValueError(f"{pair} are of the same data {one['task'].get('data')}: give data sets once each")
        if one["task"].get("data") is None or other["task"].get("data") is None:
            raise ValueError(f"{pair} cannot be compared over data sets: the loop of one reads data of its own")
        if one["baseline"] != other["baseline"]:
            raise ValueError(
                f"{pair} have different baselines, {one['baseline']!r} and {other['baseline']!r}: compare studies "
                "over data sets that have the same Study(baseline=)"
            )
        same_task: dict[str, Any] = {"seed": None, "task": {}, "unrecorded": ()}
        for entry, was, now in differences({**one, **same_task}, {**other, **same_task}):
            raise ValueError(
                f"{pair} ask different questions, {entry} {was} and {now}: compare studies over data sets that differ "
                "in their data, and in how these are trained on"
            )


def refuse_untested(by_data: Mapping[str, Comparison], means: Mapping[str, Mapping[str, float]], baseline: str) -> None:
    """Raise a ValueError where a data set does not tell how good the baseline is."""
    for data, comparison in by_data.items():
        if baseline not in means[data]:
            name = comparison.studies[0]
            raise ValueError(
                f"study {name!r} has no final run of the baseline {baseline!r} on {data}: "
                f"finish it with autoaug run, or leave it out"
            )
