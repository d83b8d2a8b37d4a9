"""Which strategy is better, by how much, how sure that is, and what it has cost."""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from autoaug.compare._final_runs import FinalRun, Scores, final_scores, final_summaries, units
from autoaug.compare._looks import Looks
from autoaug.compare._statistics import Difference, Interval, interval, judge, of_differences
from autoaug.learners import DEPLOYS
from autoaug.metrics import ANY_NUMBER, DEFAULT_METRIC, METRICS, Limits, Metric, metric_of, row_of
from autoaug.record import Outcome, TrialKind, best_complete, complete_by_value, last_attempts

SLACK = 1.1
"""Two searches have cost the same where one could not have made another trial for what the other spent, within this."""


@dataclass(frozen=True)
class Rerun:
    """Hold what a point was worth on the proxy of its search, and what it is worth on the study's task."""

    trial: int
    """Of the search."""
    proxy: float
    proxy_epochs: int
    full: float
    full_epochs: int


@dataclass(frozen=True)
class Doubt:
    """Hold what the size of the validation split lets a search know of its best point."""

    images: int
    """On which validation scores were measured."""
    width: float
    """Half a 95 % interval of the best score on so many images: what their choice does to it."""
    near: int
    """Other complete trials whose score is no further below the best one than that."""
    others: int
    """All other complete trials."""


@dataclass(frozen=True)
class OtherMetric:
    """Hold what the final runs of a strategy say by a metric that the study does not go by."""

    test: Interval | None = None
    vs_baseline: Difference | None = None


@dataclass(frozen=True)
class LeaderboardRow:
    """Hold one strategy of a leaderboard.

    Means and intervals are over final runs. Where several studies are compared, which repeat the search, they are over
    studies, each with the mean of its final runs: final runs of one search share the point that it found.

    >>> from autoaug.compare import LeaderboardRow, interval
    >>> row = LeaderboardRow(
    ...     name="none", test=interval([0.70, 0.72]), val_best=0.71, trials=2, pruned=0, failed=0,
    ...     gpu_seconds=10.0, device="cpu", epochs=5, vs_baseline=None,
    ... )
    >>> row.test.n
    2
    """

    name: str
    test: Interval | None
    """The study's metric on the test split; None before the first final run has ended."""
    val_best: float | None
    """The study's metric of the best complete trial on the study's own task."""
    trials: int
    """Trials begun, without re-runs. One that was interrupted and resumed counts once."""
    pruned: int
    failed: int
    gpu_seconds: float
    """Cost of the search, lost and failed work included; CPU-seconds where `device` is "cpu"."""
    device: str
    epochs: int
    """Of the best complete trial: a score is worth what its epochs are."""
    vs_baseline: Difference | None
    """By the study's metric: where less of that is better, a negative difference is."""
    others: Mapping[str, OtherMetric] = field(default_factory=dict)
    """Test and difference by the other rows of `METRICS` that were measured, under their names."""
    rank: float | None = None
    """Mean over final runs of the place among the strategies, by the study's metric on the test split; 1 is the best,
    ties share places."""
    predicted_seconds: float | None = None
    """What the search was expected to cost when it was started, where that is known."""
    test_reads: int = 0
    """How often its final runs have read the test split."""
    searches: bool = False
    """Whether there was anything to search."""
    reruns: tuple[Rerun, ...] = ()
    """Where the search ran on a proxy: the points that were trained in full, the best first."""
    retrained: Mapping[str, Interval] = field(default_factory=dict)
    """As `test`, of networks trained from scratch with what a learner had found, by how it was deployed; empty for
    strategies without a learner."""
    validation: Mapping[str, Mapping[str, Interval]] = field(default_factory=dict)
    """Of its final runs, by row of `METRICS`: the value on the validation split in the "last" epoch, in the "best" one,
    and the "median" of the last ten; what is not known is left out."""
    reason: str = ""
    """Why its last trial or final run failed, where it has no test score because of that."""
    doubt: Doubt | None = None
    """How many other points may have been as good; None where that is not known, or there are none."""
    other_data: bool = False
    """Whether it learns from other images than the rest: a point of a learning curve, which is neither ranked nor
    compared, and stands last."""


def leaderboard(
    outcomes: Sequence[Outcome],
    baseline: str,
    metric: str = DEFAULT_METRIC,
    predicted_seconds: Mapping[str, float] | None = None,
    test_reads: Mapping[str, int] | None = None,
    looks: Mapping[str, Looks] | None = None,
    one_point: Collection[str] = (),
    other_data: Collection[str] = (),
    table: Mapping[str, Metric] = METRICS,
) -> list[LeaderboardRow]:
    """Return one row per strategy, the best mean test value first; then those without a final run, or with other data.

    Args:
        outcomes: every attempt at every trial, of one study or of several that repeat it.
        baseline: the strategy that the others are compared with.
        metric: of the study. Its row of `METRICS` on the test split is what strategies are ranked and tested by.
        predicted_seconds: by strategy, what its search was expected to cost when it was started.
        test_reads: by strategy, how often its final runs have read the test split.
        looks: by strategy, the looks that p and intervals of differences are corrected for; the present one is last.
        one_point: strategies with dimensions along which nothing varies.
        other_data: strategies that learn from other images than the rest.
        table: the rows that are known; of a stored study `autoaug.metrics.stored_table`.

    Raises:
        ValueError: the metric is in no row of the table.

    >>> from autoaug.compare import leaderboard
    >>> from autoaug.record import Outcome, TrialKind
    >>> more = {"study": "s", "state": "COMPLETE", "kind": TrialKind.FINAL}
    >>> outcomes = [
    ...     Outcome(strategy=name, trial=seed, root=seed, seed=seed, metrics={"test_accuracy": score}, **more)
    ...     for name, scores in {"none": [0.70, 0.72, 0.71], "ra": [0.78, 0.81, 0.80]}.items()
    ...     for seed, score in enumerate(scores)
    ... ]
    >>> [(row.name, row.rank, round(row.test.mean, 4)) for row in leaderboard(outcomes, baseline="none")]
    [('ra', 1.0, 0.7967), ('none', 2.0, 0.71)]
    """
    strategies = list(dict.fromkeys(outcome.strategy for outcome in outcomes))
    repeated = len({outcome.study for outcome in outcomes}) > 1
    ruling, main = metric_of(metric, table=table), row_of(metric)
    maximize = ruling.maximize
    scores = {row: {name: final_scores(outcomes, name, row) for name in strategies} for row in table}
    alike = {row: {name: each for name, each in scores[row].items() if name not in other_data} for row in table}
    versus = {row: against(alike[row], table[row], baseline, repeated, looks) for row in table}
    measured = [row for row in table if any(scores[row].values())] or list(table)[:2]  # or before the first final run
    ranks = mean_ranks(alike[main], maximize)

    def tested(row: str, name: str) -> Interval | None:
        """Return the mean of a strategy's test values by a metric, with its interval."""
        return interval(units(scores[row][name], repeated), table[row].range)

    rows = []
    for name in strategies:
        outcomes_of_strategy = [outcome for outcome in outcomes if outcome.strategy == name]
        search = [outcome for outcome in outcomes_of_strategy if outcome.kind is not TrialKind.FINAL]
        ends = last_attempts(search)
        tried = [outcome for outcome in ends if outcome.kind is not TrialKind.RERUN]
        best = best_complete(ends, maximize)
        rows.append(
            LeaderboardRow(
                name=name,
                test=tested(main, name),
                val_best=best.value if best else None,
                trials=len(tried),
                pruned=sum(outcome.state == "PRUNED" for outcome in tried),
                failed=sum(outcome.state == "FAIL" for outcome in tried),
                gpu_seconds=sum(outcome.gpu_seconds for outcome in search),
                device=next((outcome.device for outcome in search if outcome.epochs), "cpu"),
                epochs=best.epochs if best else 0,
                vs_baseline=versus[main].get(name),
                others={row: OtherMetric(tested(row, name), versus[row].get(name)) for row in measured if row != main},
                rank=ranks.get(name),
                predicted_seconds=(predicted_seconds or {}).get(name),
                test_reads=(test_reads or {}).get(name, 0),
                searches=name not in one_point and any(outcome.point for outcome in search),
                reruns=tuple(reruns(ends, maximize)),
                retrained=retrained(outcomes_of_strategy, name, metric, repeated, ruling.range),
                validation=validated(outcomes_of_strategy, name, table, repeated),
                reason="" if scores[main][name] else reason_of(outcomes_of_strategy),
                doubt=doubt(ends, best, ruling),
                other_data=name in other_data,
            )
        )
    sign = -1 if maximize else 1
    return sorted(rows, key=lambda row: (row.other_data, sign * row.test.mean if row.test else math.inf))


def doubt(ends: Sequence[Outcome], best: Outcome | None, metric: Metric) -> Doubt | None:
    """Return how many trials the best one cannot be told apart from, where its score is a share of a few images."""
    alike = complete_by_value(ends, metric.maximize)
    others = [each for each in alike if best and each is not best and each.proxy == best.proxy]
    if best is None or best.value is None or not best.val_images or not others:
        return None
    width = metric.half_width(best.value, best.val_images)
    if width is None:
        return None
    near = sum(abs(best.value - (each.value or 0.0)) <= width for each in others)
    return Doubt(best.val_images, width, near, len(others))


def reason_of(outcomes: Sequence[Outcome]) -> str:
    """Return why the last of a strategy's trials and final runs that failed did so; empty where none has."""
    lost = [outcome for failed in failures(outcomes).values() for outcome in failed]
    return (lost[-1].reason or "stopped from outside") if lost else ""


def retrained(
    outcomes: Sequence[Outcome], name: str, metric: str, repeated: bool, within: Limits
) -> dict[str, Interval]:
    """Return the test values of new networks with what a learner had found, by how it was deployed."""
    intervals = {
        deploy: interval(units(final_scores(outcomes, name, metric, deploy), repeated), within) for deploy in DEPLOYS
    }
    return {deploy: each for deploy, each in intervals.items() if each}


def validated(
    outcomes: Sequence[Outcome], name: str, table: Mapping[str, Metric], repeated: bool
) -> dict[str, dict[str, Interval]]:
    """Return what the epochs of the final runs come to on the validation split, by row of the table."""
    found = {}
    for row, metric in table.items():
        scores = final_summaries(outcomes, name, row)
        intervals = {each: interval(units(runs, repeated), metric.range) for each, runs in scores.items()}
        found[row] = {each: known for each, known in intervals.items() if known}
    return {row: intervals for row, intervals in found.items() if intervals}


def against(
    scores: Mapping[str, Scores],
    metric: Metric,
    baseline: str,
    repeated: bool,
    looks: Mapping[str, Looks] | None = None,
) -> dict[str, Difference | None]:
    """Return the difference of every other strategy to the baseline by a metric, with its verdict."""
    baseline_scores, seen = scores.get(baseline, {}), looks or {}
    others = {
        name: paired(scores_of_strategy, baseline_scores, repeated, seen.get(name), metric.differences)
        for name, scores_of_strategy in scores.items()
        if name != baseline
    }
    return judge(others, metric.maximize)


def paired(
    scores: Scores,
    baseline_scores: Scores,
    repeated: bool = False,
    looks: Looks | None = None,
    within: Limits = ANY_NUMBER,
) -> Difference | None:
    """Return a strategy minus the baseline over the runs that both have, by itself; None where they share none."""
    both = {run: scores[run] - baseline_scores[run] for run in sorted(set(scores) & set(baseline_scores))}
    return of_differences(np.array(units(both, repeated)), looks, within)


def shared_runs(outcomes: Sequence[Outcome], baseline: str, metric: str) -> dict[str, int]:
    """Return over how many final runs, or studies if they repeat, each strategy is compared with the baseline."""
    repeated = len({outcome.study for outcome in outcomes}) > 1
    baseline_scores = final_scores(outcomes, baseline, metric)
    names = dict.fromkeys(outcome.strategy for outcome in outcomes)
    shared = {name: set(final_scores(outcomes, name, metric)) & set(baseline_scores) for name in names}
    return {name: len({run.study for run in runs} if repeated else runs) for name, runs in shared.items()}


def lost_runs(outcomes: Sequence[Outcome], baseline: str) -> dict[str, int]:
    """Return how many final runs of each strategy cannot be compared because they, or the baseline's, have failed."""
    failed: dict[str, set[FinalRun]] = defaultdict(set)
    for outcome in last_attempts(outcomes):
        if outcome.kind is TrialKind.FINAL and outcome.state == "FAIL":
            failed[outcome.strategy].add(FinalRun(outcome.study, outcome.seed))
    names = dict.fromkeys(outcome.strategy for outcome in outcomes)
    return {name: len(failed[name] | failed[baseline]) for name in names}


def mean_ranks(scores: Mapping[str, Scores], maximize: bool = True) -> dict[str, float]:
    """Return the mean rank of each strategy over the final runs that all of them have; those without any have none."""
    ranked = {name: by_run for name, by_run in scores.items() if by_run}
    shared = set.intersection(*(set(by_run) for by_run in ranked.values())) if ranked else set()
    if not shared:
        return {}
    sign = -1 if maximize else 1
    table = np.array([[sign * by_run[run] for run in sorted(shared)] for by_run in ranked.values()])
    return dict(zip(ranked, map(float, stats.rankdata(table, axis=0).mean(axis=1)), strict=True))


def reruns(ends: Sequence[Outcome], maximize: bool) -> list[Rerun]:
    """Return the points of a search on a proxy that were also trained in full, the best first."""
    pairs = []
    for full in complete_by_value((each for each in ends if each.kind is TrialKind.RERUN), maximize):
        alike = [each for each in ends if each.proxy and (each.study, each.point) == (full.study, full.point)]
        for proxy in complete_by_value(alike, maximize)[:1]:
            pairs.append(Rerun(proxy.trial, proxy.value or 0.0, proxy.epochs, full.value or 0.0, full.epochs))
    return pairs


def unequal_cost(rows: Sequence[LeaderboardRow]) -> list[tuple[LeaderboardRow, int]]:
    """Return the searches that were given less than another strategy, with how many trials more they could have made.

    A strategy with nothing to search is never short of trials, but what it spent on learning within one counts.
    """
    most = max((row.gpu_seconds for row in rows), default=0.0)
    searches = [row for row in rows if row.searches and row.trials and row.gpu_seconds > 0]
    missed = [(row, int((most / SLACK - row.gpu_seconds) / (row.gpu_seconds / row.trials))) for row in searches]
    return [(row, trials) for row, trials in missed if trials >= 1]


def failures(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Return the trials and final runs whose last attempt failed, by strategy; strategies without any are left out.

    >>> from autoaug.compare import failures
    >>> from autoaug.record import Outcome
    >>> first = Outcome(study="s", strategy="ra", trial=0, root=0, state="FAIL", reason="out of memory")
    >>> [outcome.reason for outcome in failures([first])["ra"]]
    ['out of memory']
    >>> again = Outcome(study="s", strategy="ra", trial=1, root=0, attempt=2, state="COMPLETE")
    >>> failures([first, again])
    {}
    """
    failed: dict[str, list[Outcome]] = {}
    for outcome in last_attempts(outcomes):
        if outcome.state == "FAIL":
            failed.setdefault(outcome.strategy, []).append(outcome)
    return failed
