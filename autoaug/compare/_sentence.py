"""A comparison in one sentence: who won, by how much, how sure that is, at what cost, and on what.

It stands at the top of everything that shows a study: terminal, page, report, notes, exported policies.
"""

import math
from collections.abc import Mapping, Sequence

from autoaug.compare._comparison import Comparison
from autoaug.compare._figures import equal, significant, unit_of
from autoaug.compare._leaderboard import LeaderboardRow, shared_runs
from autoaug.compare._statistics import MOST_SEEDS, Difference
from autoaug.metrics import DEFAULT_METRIC, METRICS, Metric, metric_of, row_of
from autoaug.record import TrialKind, last_attempts
from autoaug.text import agreeing, counted, plural

MOST_NAMED = 2
"""Strategies that are named where several do the same; more are counted."""


def sentence(comparison: Comparison) -> str:
    """Return one line that says what a comparison comes to, whatever state its studies are in.

    A win is more than chance by the corrected p, and its ± is the wider half of the interval of the difference. Of
    several winners the one with the largest difference is the subject. The cost is what the leaderboard shows: all that
    the search of the winner has spent, lost work included; final runs, which every strategy has, are not in it.

    >>> from autoaug.compare import Comparison, leaderboard, sentence
    >>> from autoaug.record import Outcome, TrialKind
    >>> more = {"study": "s", "state": "COMPLETE", "kind": TrialKind.FINAL}
    >>> outcomes = [
    ...     Outcome(strategy=name, trial=seed, root=seed, seed=seed, metrics={"test_accuracy": score}, **more)
    ...     for name, scores in {"none": [0.70, 0.72, 0.71], "ra": [0.78, 0.81, 0.80]}.items()
    ...     for seed, score in enumerate(scores)
    ... ]
    >>> definition = {"metric": "val_accuracy", "baseline": "none", "spaces": {"none": {}, "ra": {}}, "seeds": 3}
    >>> sentence(Comparison(("s",), definition, leaderboard(outcomes, "none"), outcomes))
    'ra beats no policy by 8.7 ± 1.4 points (p = .001, 3 seeds)'
    """
    if not any(row.test for row in comparison.rows):
        return untested(comparison)
    compared = [row for row in comparison.rows if row.vs_baseline]
    if not compared:
        return uncompared(comparison)
    tested = [row for row in compared if row.vs_baseline and row.vs_baseline.p is not None]
    told = ruled(comparison, tested) if tested else without_p(comparison, compared)
    done, wanted = final_runs(comparison)
    if done == wanted:
        return told
    return f"So far ({done} of {counted(wanted, 'final run')}): {told.replace('Nothing', 'nothing', 1)}"


def winner(comparison: Comparison) -> LeaderboardRow | None:
    """Return the strategy that beats the baseline by most, of those that do so beyond chance; None where none does.

    >>> from autoaug.compare import Comparison, winner
    >>> winner(Comparison(("s",), {"metric": "val_accuracy", "baseline": "none", "spaces": {}}, rows=[])) is None
    True
    """
    better = [row for row in comparison.rows if row.vs_baseline and row.vs_baseline.verdict == "better"]
    return max(better, key=lambda row: effect(row, comparison), default=None)


MOST_WORDS = 200
"""Characters of what a strategy does to images."""

POINT = "point "
"""What the facts of a policy file begin with that are a value of a dimension."""


def winner_in_words(comparison: Comparison) -> str:
    """Return what the winner does to images, and the other settings that it was found with, as far as there is room.

    Where nothing wins it is the first on the leaderboard beside the baseline; its name stands at the front. Empty where
    no policy of it was kept. It loads torch.

    >>> from autoaug.compare import Comparison, LeaderboardRow, interval, winner_in_words
    >>> from autoaug.policy import ready
    >>> row = LeaderboardRow("ra", interval([0.70, 0.72]), 0.71, 2, 0, 0, 10.0, "cpu", 5, None)
    >>> definition = {"metric": "val_accuracy", "baseline": "none", "spaces": {}}
    >>> tree = ready.randaugment(n=2, m=0.5).model_dump(mode="json")
    >>> winner_in_words(Comparison(("s",), definition, [row], policies={"ra": tree}))
    'ra: up to two of 13 operations per image, all alike, at 50 % of their strength'
    """
    others = (row for row in comparison.rows if row.name != comparison.baseline and not row.other_data)
    subject = winner(comparison) or next(others, None)
    if subject is None or subject.name not in comparison.policies:
        return ""
    from autoaug.policy import PolicyTree, in_words  # the only torch here: a leaderboard is shown without it

    tree = PolicyTree.model_validate(comparison.policies[subject.name])
    told = f"{subject.name}: {in_words(tree, max(80, MOST_WORDS - len(subject.name) - 2))}"
    for name, value in tree.provenance.items():
        if name.startswith(POINT) and not name.startswith(f"{POINT}policy."):
            setting = f"; {name.removeprefix(POINT)} {f'{value:.2g}' if isinstance(value, float) else value}"
            told += setting if len(told + setting) <= MOST_WORDS else ""
    return told[:MOST_WORDS]


def effect(row: LeaderboardRow, comparison: Comparison) -> float:
    """Return by how much a strategy is better than the baseline: a number below zero where it is worse."""
    assert row.vs_baseline, "the callers chose those that were compared"
    return row.vs_baseline.difference if comparison.maximize else -row.vs_baseline.difference


def untested(comparison: Comparison) -> str:
    """Return what is known before the first final run has ended."""
    ends = last_attempts(comparison.outcomes)
    if not ends:
        return f"Nothing has run yet: {counted(len(comparison.strategies), 'strategy')} to compare"
    ended, lost = [each for each in ends if each.over], [each for each in ends if each.state == "FAIL"]
    why = f"the last because: {lost[-1].reason or 'stopped from outside'}" if lost else ""
    if len(lost) == len(ends):
        return f"Nothing to compare: {all_of(len(lost), 'trial')} failed, {why}"
    if not ended:
        return f"{NOT_YET}: none of the trials of {counted(len(comparison.strategies), 'strategy')} has ended"
    finals = [each for each in ends if each.kind is TrialKind.FINAL]
    if finals and all(each in lost for each in finals):
        return f"No verdict: {all_of(len(finals), 'final run')} failed, {why}{leads(comparison)}"
    trials = counted(sum(each.kind is not TrialKind.FINAL for each in ended), "trial")
    return f"{NOT_YET}: {trials} so far{leads(comparison)}"


NOT_YET = "No verdict before the last final run"


def all_of(count: int, noun: str) -> str:
    """Return how many there are, of which all are meant: "the only trial", "all 3 trials"."""
    return f"the only {noun}" if count == 1 else f"all {counted(count, noun)}"


def leads(comparison: Comparison) -> str:
    """Return which strategy leads on the validation split, to stand after a sentence; empty where none is known."""
    known = {row.name: row.val_best for row in comparison.rows if row.val_best is not None and not row.other_data}
    told = leading(known, comparison.metric, comparison.metrics)
    return f"; {told}" if told else ""


def leading(values: Mapping[str, float], metric: str, table: Mapping[str, Metric] = METRICS) -> str:
    """Return which strategy has the best validation score by a metric, and which; empty where none has one.

    Args:
        values: the best of each strategy, by its name.
        table: the rows of metrics that are known.

    >>> from autoaug.compare import leading
    >>> leading({"none": 0.9, "ra": 0.948}, "val_accuracy"), leading({"none": 0.9, "ra": 1.25}, "val_nll")
    ('ra leads on validation with .948', 'none leads on validation with nll .900')
    """
    if not values:
        return ""
    row = metric_of(metric, table=table)
    name = (max if row.maximize else min)(values, key=lambda each: values[each])
    by = "" if row_of(metric) == DEFAULT_ROW else f"{row.label} "
    return f"{name} leads on validation with {by}{bare(f'{values[name]:.3f}')}"


DEFAULT_ROW = row_of(DEFAULT_METRIC)


def final_runs(comparison: Comparison) -> tuple[int, int]:
    """Return how many final runs have ended, and how many there will be; of several studies only the ended count."""
    finals = [each for each in last_attempts(comparison.outcomes) if each.kind is TrialKind.FINAL]
    if not finals:
        return 0, 0
    ended = sum(each.over for each in finals)
    planned = comparison.definition.get("seeds", 0) * len(comparison.definition["spaces"])
    return ended, max(len(finals), planned if len(comparison.studies) == 1 else 0)


def uncompared(comparison: Comparison) -> str:
    """Return what is known where final runs have ended and no difference to the baseline is."""
    base = next((row for row in comparison.rows if row.name == comparison.baseline), None)
    done, wanted = final_runs(comparison)
    first = comparison.rows[0]
    mean = f"{first.name} has the best mean, {measured(first, comparison)}"
    if base and not base.test and base.reason:
        return f"No verdict: the baseline {comparison.baseline} failed ({base.reason}); {mean}"
    if done < wanted:
        return f"{NOT_YET}: {done} of {wanted} so far{leads(comparison)}"
    if comparison.strategies == [comparison.baseline]:
        return f"Nothing to compare: {called(comparison.baseline)} alone was tested, {measured(first, comparison)}"
    shared = shared_runs(comparison.outcomes, comparison.baseline, comparison.metric)
    if any(runs for name, runs in shared.items() if name != comparison.baseline):
        return f"All {counted(wanted, 'final run')} have ended: {mean}; a comparison says how sure that is"
    return f"No verdict: no strategy shares a final run with {called(comparison.baseline)}; {mean}"


def measured(row: LeaderboardRow, comparison: Comparison) -> str:
    """Return the mean of a strategy on the test split: "test accuracy .951"."""
    assert row.test, "the first row has one where any has"
    return f"{comparison.label(comparison.test_metric)} {bare(f'{row.test.mean:.3f}')}"


def without_p(comparison: Comparison, compared: Sequence[LeaderboardRow]) -> str:
    """Return what one run each allows one to say."""
    known = [row for row in compared if row.vs_baseline and math.isfinite(row.vs_baseline.difference)]
    if not known:
        return f"No verdict: the test values are no finite numbers ({comparison.label(comparison.test_metric)})"
    best = max(known, key=lambda row: effect(row, comparison))
    unit, baseline = unit_in(comparison), called(comparison.baseline)
    fix = "compare more studies" if unit == "study" else "set Study(seeds=) to 3 or more"
    if effect(best, comparison) <= 0:
        return f"Nothing is above {baseline}, and one {unit} gives no p: {fix}"
    return f"{best.name} is ahead of {baseline}{margin(best, comparison)}, but one {unit} gives no p: {fix}"


def ruled(comparison: Comparison, tested: Sequence[LeaderboardRow]) -> str:
    """Return the verdict of tests: the best of the winners, or that there is none."""
    baseline, first = called(comparison.baseline), winner(comparison)
    worse = sorted(with_verdict(tested, "worse"), key=lambda row: effect(row, comparison))
    if first is None:
        unsure = [row for row in tested if row.vs_baseline and not significant(row.vs_baseline)]
        nothing = f"Nothing beats {baseline}{' beyond chance' if unsure else ''}"
        return f"{nothing}{lacking(unsure, comparison)}{harm(worse, comparison)}"
    also = [row.name for row in with_verdict(tested, "better") if row is not first]
    top = comparison.rows[0]
    unsure_top = f"; {top.name}, with the best mean, does not beyond chance" if undecided(top, comparison) else ""
    facts = ", ".join(filter(None, [p_of(first), runs_of(first, comparison), cost_of(first), pixels_of(comparison)]))
    told = f"{first.name} beats {baseline}{margin(first, comparison)} ({facts})"
    others = f"; so {agreeing(len(also), 'does', 'do')} {some(also)}" if also else ""
    harmed = f"; {some([row.name for row in worse])} {agreeing(len(worse), 'is', 'are')} worse" if worse else ""
    return told + others + harmed + unsure_top


def with_verdict(rows: Sequence[LeaderboardRow], verdict: str) -> list[LeaderboardRow]:
    """Return the rows of a verdict."""
    return [row for row in rows if row.vs_baseline and row.vs_baseline.verdict == verdict]


def undecided(row: LeaderboardRow, comparison: Comparison) -> bool:
    """Whether a strategy was compared with the baseline and may or may not differ from it."""
    return row.name != comparison.baseline and bool(row.vs_baseline) and not with_verdict([row], "better")


def harm(worse: Sequence[LeaderboardRow], comparison: Comparison) -> str:
    """Return which strategies are worse than the baseline, the worst by how much."""
    if not worse:
        return ""
    rest = f", and so {agreeing(len(worse) - 1, 'is', 'are')} {some([row.name for row in worse[1:]])}"
    facts = f"{p_of(worse[0])}, {runs_of(worse[0], comparison)}"
    return f"; {worse[0].name} is worse{margin(worse[0], comparison)} ({facts}){rest if worse[1:] else ''}"


def lacking(unsure: Sequence[LeaderboardRow], comparison: Comparison) -> str:
    """Return how many more seeds would tell whether the best of the strategies in doubt wins."""
    if not unsure:
        return ""
    best = max(unsure, key=lambda row: effect(row, comparison))
    found, unit = best.vs_baseline, unit_in(comparison)
    assert found, "they were compared"
    if effect(best, comparison) <= 0:
        return f"; the nearest, {best.name}, is not above it"
    if not found.sd:
        return (
            f"; {best.name} is ahead{margin(best, comparison)}, which {counted(found.n, unit)} cannot tell from chance"
        )
    so_far = f"{best.name} is ahead{margin(best, comparison)} over {counted(found.n, unit)}"
    if found.seeds_needed is None:
        return f"; {so_far}, and more than {counted(MOST_SEEDS, unit)} would be needed to tell"
    more = max(1, found.seeds_needed - found.n)
    return f"; {so_far}, and about {more:,} more {agreeing(more, unit)} would tell"


def some(names: Sequence[str]) -> str:
    """Return names, or how many others there are: "ra", "ra and tpe", "3 others"."""
    return " and ".join(names) if len(names) <= MOST_NAMED else f"{len(names):,} others"


def called(baseline: str) -> str:
    """Return what a baseline is called in a sentence: the strategy `none` is "no policy"."""
    return {"none": "no policy", "baseline": "the baseline"}.get(baseline, baseline)


def unit_in(comparison: Comparison) -> str:
    """Return what a difference is a mean over."""
    return "study" if len(comparison.studies) > 1 else "seed"


def margin(row: LeaderboardRow, comparison: Comparison) -> str:
    """Return the size of a difference: " by 2.5 ± 1.3 points" of accuracy, " by .12 ± .03 nats less nll"."""
    found, metric = row.vs_baseline, comparison.ruling
    assert found, "the callers chose those that were compared"
    points = metric.range == (0.0, 1.0)
    size, half = (100 if points else 1) * abs(found.difference), (100 if points else 1) * half_of(found)
    decimals = digits(half or size / 10, 1 if points else 0)
    shown = f"{size:.{decimals}f}" + (f" ± {half:.{decimals}f}" if half else "")
    unit = ("points" if shown != "1.0" else "point") if points else metric.unit
    less = "of" if comparison.maximize else "less" if found.difference < 0 else "more"
    of = "" if row_of(comparison.metric) == DEFAULT_ROW else f"{less} {metric.label}"
    each = f"in each of {counted(found.n, unit_in(comparison))}" if equal(found) else ""
    return " ".join(filter(None, [" by", shown if points or size >= 1 else bare(shown), unit, of, each]))


def half_of(found: Difference) -> float:
    """Return the wider half of the interval of a difference; 0 where there is none, or no width."""
    if found.low is None or found.high is None or equal(found):
        return 0.0
    return max(found.high - found.difference, found.difference - found.low)


def digits(half: float, least: int) -> int:
    """Return the decimals that show one digit of a half width, and two where it begins with 1; `least` or more."""
    if half <= 0:
        return least
    exponent = math.floor(math.log10(half))
    return min(max(least, (half / 10**exponent < 2) - exponent), 6)


def bare(figure: str) -> str:
    """Return figures without the zero before the point: ".12 ± .03"."""
    return " ".join(
        part.replace("0.", ".", 1) if part.lstrip("-").startswith("0.") else part for part in figure.split()
    )


def p_of(row: LeaderboardRow) -> str:
    """Return the corrected p: "p = .002", "p < .001"."""
    p = row.vs_baseline.p_holm if row.vs_baseline else None
    assert p is not None, "the callers chose those that were tested"
    return f"p = {bare(f'{p:.3f}')}" if p >= 0.001 else "p < .001"


def runs_of(row: LeaderboardRow, comparison: Comparison) -> str:
    """Return over how many runs a difference is a mean: "12 seeds"."""
    return counted(row.vs_baseline.n, unit_in(comparison)) if row.vs_baseline else ""


def cost_of(row: LeaderboardRow) -> str:
    """Return what a strategy has cost: "11 CPU-minutes of search", without the last words where nothing is searched.

    Empty where that was not measured.
    """
    if not row.gpu_seconds:
        return ""
    processor = unit_of([row.device]).removesuffix(" s")
    return f"{in_time(row.gpu_seconds, processor)}{' of search' if row.searches else ''}"


def in_time(seconds: float, processor: str) -> str:
    """Return a cost in the unit in which it is short: "40 CPU-seconds", "11 CPU-minutes", "3.5 GPU-hours"."""
    name, size = next((name, size) for name, size, below in TIMES if seconds < below)
    count = f"{seconds / size:.2g}" if seconds / size < 9.95 else f"{seconds / size:.0f}"
    return f"{count} {processor}-{name if count == '1' else plural(name)}"


TIMES = (("second", 1, 99.5), ("minute", 60, 5970), ("hour", 3600, math.inf))
"""Units of a cost: their seconds, and up to how many seconds they are used."""


def pixels_of(comparison: Comparison) -> str:
    """Return the size of the images that were trained on: "64 px", "48 x 64 px"; empty where it is not known."""
    definition = comparison.definition
    facts = definition.get("data", {}).get(definition.get("task", {}).get("data"), {})
    if facts.get("kind") != "images" or len(facts.get("pixels", ())) != 3:
        return ""
    _, height, width = facts["pixels"]
    return f"{height} px" if height == width else f"{height} x {width} px"
