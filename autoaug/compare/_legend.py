"""What a comparison says in sentences: the verdict of each strategy, and how its tables are to be read."""

from collections import Counter
from collections.abc import Iterator, Sequence

from autoaug.compare._classes import NO_EVIDENCE, ClassEffect
from autoaug.compare._comparison import OWN_DATA, Comparison
from autoaug.compare._figures import equal, number, show_p, show_seconds, significant, unit_of
from autoaug.compare._leaderboard import LeaderboardRow, unequal_cost
from autoaug.compare._statistics import MOST_SEEDS, Difference
from autoaug.metrics import words_of
from autoaug.record import Outcome
from autoaug.text import counted, enumerated, plural


def verdict(row: LeaderboardRow, baseline: str, unit: str = "final run") -> str:
    """Return what may be said of a strategy beside the baseline: in words, with its figures where there are any.

    Args:
        row: of a leaderboard.
        baseline: the strategy that it was compared with.
        unit: what the difference is a mean over: final runs, or studies where several repeat the search.

    >>> from dataclasses import replace
    >>> from autoaug.compare import Difference, LeaderboardRow, interval, verdict
    >>> row = LeaderboardRow("none", interval([0.70, 0.72]), 0.71, 2, 0, 0, 10.0, "cpu", 5, None)
    >>> verdict(row, "none")
    'this is the baseline'
    >>> difference = Difference(0.08, 0.06, 0.1, p=0.004, p_holm=0.008, n=3, verdict="better")
    >>> verdict(replace(row, name="ra", vs_baseline=difference), "none")
    'better than none: +0.0800 [+0.0600, +0.1000], p 0.008, over 3 final runs'
    """
    difference = row.vs_baseline
    if row.name == baseline:
        return "this is the baseline"
    if row.test is None:
        return f"not tested: {row.reason or 'no final run has ended'}"
    if row.other_data:
        return "not compared: it learns from another number of images"
    if difference is None:
        return f"not compared: shares no final run with the baseline {baseline}"
    figures = number(difference.difference, sign=True)
    if difference.low is not None and difference.high is not None:
        figures += f" [{number(difference.low, sign=True)}, {number(difference.high, sign=True)}]"
    p = "" if difference.p_holm is None else f", p {show_p(difference.p_holm)}"
    words = f"{difference.verdict} than" if significant(difference) else f"{difference.verdict} of a difference to"
    return f"{words} {baseline}: {figures}{p}, over {counted(difference.n, unit)}"


def headline(comparison: Comparison) -> str:
    """Return that the baseline failed, which stands above tables that say nothing without it; empty elsewhere.

    >>> from autoaug.compare import Comparison, LeaderboardRow, headline
    >>> row = LeaderboardRow("none", None, None, 1, 0, 1, 3.0, "cpu", 0, None, reason="out of memory")
    >>> headline(Comparison(("s",), {"metric": "val_accuracy", "baseline": "none", "spaces": {}}, [row]))
    "the baseline 'none' failed: out of memory; how the others differ from it is unknown. ..."
    """
    baseline = next((row for row in comparison.rows if row.name == comparison.baseline), None)
    if baseline is None or baseline.test or not baseline.reason:
        return ""
    return (
        f"the baseline {comparison.baseline!r} failed: {baseline.reason}; how the others differ from it is unknown. "
        "Once that is mended: autoaug run ... --retry-failed"
    )


def other_metrics(rows: Sequence[LeaderboardRow], wide: bool) -> list[str]:
    """Return the metrics that tables show beside the study's own: all where there is room, or else the first."""
    names = list(dict.fromkeys(name for row in rows for name in row.others))
    return names if wide else names[:1]


def legend(comparison: Comparison, wide: bool = False) -> list[str]:
    """Return how the tables are to be read, one sentence a line: only what concerns these.

    Args:
        comparison: of which the tables are.
        wide: of tables with every metric.

    >>> from autoaug.compare import Comparison, LeaderboardRow, interval, legend
    >>> row = LeaderboardRow("none", interval([0.70, 0.72]), 0.71, 2, 0, 0, 10.0, "cpu", 5, None)
    >>> legend(Comparison(("s",), {"metric": "val_accuracy", "baseline": "none", "spaces": {}}, [row]))
    ["± half a 95 % interval by Student's t, over 2 final runs"]
    """
    repeated, compared = len(comparison.studies) > 1, [row for row in comparison.rows if row.vs_baseline]
    unit = "study" if repeated else "seed"
    return [
        *([f"always on, whatever the strategy: {comparison.always_on}"] if comparison.always_on else []),
        *([f"data: {OWN_DATA}: what stands for the test split is what the loop says"] if comparison.own_data else []),
        *intervals(comparison.rows, "study" if repeated else "final run"),
        *differences_to(comparison, compared, unit),
        *starred(comparison, compared, other_metrics(comparison.rows, wide)),
        *missing_evidence(compared, unit),
        *by_class(comparison),
        *doubtful(comparison.rows),
        *unequal(comparison.rows),
        *marks(comparison.rows),
        *of_other_data(comparison.rows, len(comparison.rows)),
        *not_applied(comparison.outcomes),
        *([ONE_SEARCH] if not repeated and any(row.searches and row.test for row in comparison.rows) else []),
    ]


ONE_SEARCH = (
    "the final runs of a strategy share the point that its one search found: to judge searches, "
    "compare studies that differ in their seed"
)


def intervals(rows: Sequence[LeaderboardRow], unit: str) -> Iterator[str]:
    """Return what the intervals are, and over how many runs."""
    runs = {row.test.n: row.test.method for row in rows if row.test}
    if set(runs) == {1}:
        fix = "set Study(seeds=) to 3 or more" if unit == "final run" else "compare more studies"
        yield f"one {unit} each gives no interval and no p: {fix}"
    for method, meaning in INTERVALS.items():
        if counts := sorted(n for n, used in runs.items() if used == method):
            over = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
            means = "" if unit == "final run" else ", each the mean of its final runs"
            yield f"± {meaning}, over {over} {plural(unit)}{means}"


INTERVALS = {
    "t": "half a 95 % interval by Student's t",
    "bootstrap": "the wider half of a 95 % interval by BCa bootstrap",
}


def differences_to(comparison: Comparison, compared: Sequence[LeaderboardRow], unit: str) -> Iterator[str]:
    """Return what the differences and p are, and which sign is better where that is not the plus."""
    tests = sum(row.vs_baseline is not None and row.vs_baseline.p is not None for row in compared)
    if tests:
        corrected = f", Holm-corrected over {tests} strategies" if tests > 1 else ""
        less = "" if comparison.maximize else f"; {comparison.ruling.better}"
        yield f"difference to {comparison.baseline}, paired by {unit}{less}; p of a paired t-test{corrected}"
        yield from looked(compared, unit)
        yield f"rank: mean place by {comparison.label(comparison.test_metric)} over the final runs that all share"


def starred(comparison: Comparison, compared: Sequence[LeaderboardRow], metrics: Sequence[str]) -> Iterator[str]:
    """Return what the stars of other metrics mean, where there are any."""
    for name in metrics:
        differences = [row.others[name].vs_baseline for row in compared if name in row.others]
        if any(each and significant(each) for each in differences):
            words, better = words_of(name, comparison.metrics), comparison.metrics[name].better
            yield f"* of the {words}: more than chance, by the same test; {better}"


def looked(compared: Sequence[LeaderboardRow], unit: str) -> Iterator[str]:
    """Return what p and the intervals of differences are corrected for, where looks are counted."""
    unit = "final run" if unit == "seed" else unit
    for looks in dict.fromkeys(row.vs_baseline.looks for row in compared if row.vs_baseline and row.vs_baseline.looks):
        *most, last = map(str, looks.runs)
        at = f"{', '.join(most)} and {last}" if most else last
        effect = "are corrected for them" if most else "leave room for looking again"
        yield (
            f"{counted(len(looks.runs), 'look')} at {at} {plural(unit)} ({looks.planned} planned): "
            f"p and the intervals of differences {effect}"
        )


def missing_evidence(compared: Sequence[LeaderboardRow], unit: str) -> Iterator[str]:
    """Return which strategies may or may not differ from the baseline, and how many seeds would tell."""
    lacking = [(row.name, row.vs_baseline) for row in compared if row.vs_baseline]
    strategies = [f"{name} ({needed(each, unit)})" for name, each in lacking if not significant(each)]
    if strategies:
        power = (
            "; with so many, 80 % of such differences are found" if any("about" in each for each in strategies) else ""
        )
        yield f"not enough evidence: {', '.join(strategies)}{power}"


MOST_CLASSES = 6
"""That a line names, of those that are helped and of those that are harmed."""


def by_class(comparison: Comparison) -> Iterator[str]:
    """Return which classes the winner helps and harms beyond chance, and how that was tested."""
    if (effects := comparison.classes) is None:
        return
    helped, harmed = effects.with_verdict("helped"), effects.with_verdict("harmed")
    found = [
        f"{verb} {enumerated([show_class(each) for each in some], len(some), MOST_CLASSES)}"
        for verb, some in (("helps", helped), ("harms", harmed))
        if some
    ]
    unsure = len(effects.with_verdict(NO_EVIDENCE))
    rest = f"of {counted(unsure, 'other class')} there is not enough evidence" if found else ""
    nothing = f"helps or harms none of {counted(len(effects.classes), 'class')} beyond chance"
    unit = "study" if len(comparison.studies) > 1 else "final run"
    chosen = f", and for the choice among {effects.strategies} strategies" if effects.strategies > 1 else ""
    tested = f"test accuracy over {counted(effects.runs, unit)}, Holm-corrected over the classes{chosen}"
    said = "; ".join([*found, *([rest] if rest and unsure else [])]) or nothing
    yield f"class by class {effects.strategy} {said} ({tested})"


def show_class(effect: ClassEffect) -> str:
    """Return a class with the difference of its accuracy: "cat +0.1200"."""
    return f"{effect.name} {number(effect.difference, sign=True)}"


def needed(difference: Difference, unit: str) -> str:
    """Return how many seeds would show a difference such as this one in 80 % of cases, in words."""
    if difference.n == 1:
        return f"one {unit} has no spread"
    if not difference.sd:
        return f"its {difference.n} differences are all {number(difference.difference, sign=True)}"
    if difference.seeds_needed is None:
        return f"more than {counted(MOST_SEEDS, unit)}"
    return f"about {counted(difference.seeds_needed, unit)}"


def doubtful(rows: Sequence[LeaderboardRow]) -> Iterator[str]:
    """Return the searches of which most points are so near the best that the validation images may have chosen it."""
    for row in rows:
        if (each := row.doubt) and 2 * each.near >= each.others:
            yield (
                f"{row.name} may owe its point to chance: {each.near} of {counted(each.others, 'other trial')} came "
                f"within {number(each.width)} of its best, and a score on {counted(each.images, 'validation image')} "
                "is no surer than that"
            )


def unequal(rows: Sequence[LeaderboardRow]) -> Iterator[str]:
    """Return that a strategy may look better because it spent more, where one did."""
    if short_of := unequal_cost(rows):
        most = max(rows, key=lambda row: row.gpu_seconds)
        spent = f"{show_seconds(most.gpu_seconds)} {unit_of(row.device for row in rows)} of {most.name}"
        others = ", ".join(f"{row.name} {trials:,}" for row, trials in short_of)
        yield f"unequal cost: for the {spent}, others could have made more trials: {others}"


def marks(rows: Sequence[LeaderboardRow]) -> Iterator[str]:
    """Return what the marks in the tables mean."""
    if any(each and equal(each) for row in rows for each in (row.test, row.vs_baseline)):
        yield "(n equal): runs with the same score show no spread; more of them, or more test images, would"
    if any(row.pruned or row.failed for row in rows):
        yield "trials a/b: a of b ran to the end, the others were pruned or failed"
    if any(row.retrained for row in rows):
        yield "· a new network, trained from scratch with what the learner above it had found"
    if any(row.predicted_seconds is not None for row in rows):
        yield "predicted: what the search was expected to cost when it was started"
    if any(row.reruns for row in rows):
        yield "· proxy: what the search saw of the same point; only trainings of the whole task are ranked"


def of_other_data(rows: Sequence[LeaderboardRow], most: int) -> Iterator[str]:
    """Return which strategies learn from other images, as far as there is room for names."""
    if names := [row.name for row in rows if row.other_data]:
        yield f"learning curve, not compared: {enumerated(names, len(names), most)} with other numbers of images"


def not_applied(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Return which dimensions were asked for in vain."""
    vain = Counter((each.strategy, name) for each in outcomes for name in each.unapplied)
    for (strategy, name), trials in vain.items():
        where = f"what {counted(trials, 'trial')} applied"
        yield f"warning: {name} of {strategy} is not seen in {where}: its value does nothing"
