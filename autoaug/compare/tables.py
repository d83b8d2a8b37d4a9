"""A comparison as people and machines read it: tables with a legend, CSV, JSON."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from autoaug.compare.leaderboard import Row, unequal_cost
from autoaug.compare.statistics import MOST_SEEDS, Difference, Interval
from autoaug.compare.stored import Comparison
from autoaug.learners import DEPLOYS
from autoaug.record import Outcome
from autoaug.text import cell

NOTHING = "–"
NESTED: dict[str, type] = {
    "test": Interval,
    "test_nll": Interval,
    "vs_baseline": Difference,
    "vs_baseline_nll": Difference,
}
"""The fields of a row that have fields of their own."""


def to_csv(rows: Sequence[Row]) -> str:
    """A leaderboard as one line per strategy, the same columns for all of them."""
    text = io.StringIO()
    flat = [to_flat(row) for row in rows]
    writer = csv.DictWriter(text, fieldnames=list(flat[0]) if flat else ["strategy"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: cell(value) for name, value in each.items()} for each in flat)
    return text.getvalue()


def to_flat(row: Row) -> dict[str, Any]:
    """A row without rows inside; None where there is nothing."""
    flat: dict[str, Any] = {"strategy": row.name}
    for name, value in asdict(row).items():
        if name == "retrained":
            flat |= {f"{name}_{deploy}_mean": (value.get(deploy) or {}).get("mean") for deploy in DEPLOYS}
        elif name in NESTED:
            flat |= {f"{name}_{each.name}": (value or {}).get(each.name) for each in fields(NESTED[name])}
            if seen := (value or {}).get("looks"):
                flat[f"{name}_looks"] = " ".join(map(str, seen["runs"]))
        elif name == "reruns":
            flat["proxy_value"] = value[0]["proxy"] if value else None
            flat["proxy_epochs"] = value[0]["proxy_epochs"] if value else None
        elif name != "name":
            flat[name] = value
    return flat


def to_json(found: Comparison) -> dict[str, Any]:
    """A comparison as plain data, for machines."""
    return {
        "study": found.studies[0],
        "studies": list(found.studies),
        "metric": found.metric,
        "baseline": found.baseline,
        "strategies": [{**asdict(row), "reruns": [asdict(each) for each in row.reruns]} for row in found.rows],
        "importance": asdict(found.importance),
        "provenance": dict(found.provenance),
        "legend": legend(found),
    }


@dataclass(frozen=True)
class Table:
    """Headings and cells; the first column names a strategy, the others hold figures."""

    headings: Sequence[str]
    cells: Sequence[Sequence[str]]


def tables(found: Comparison, wide: bool = False) -> list[Table]:
    """The result, then the search and its cost; with every interval where there is room: `wide`."""
    return [result_table(found, wide), search_table(found, wide)]


def result_table(found: Comparison, wide: bool) -> Table:
    """Test accuracy against the baseline: what the question was."""
    cells = []
    for row in found.rows:
        versus = ("baseline", "", "") if row.name == found.baseline else show_difference(row.vs_baseline, wide)
        cells.append([row.name, show_rank(row.rank), show_interval(row.test), *versus])
        for deploy, each in row.retrained.items():
            cells.append([f"· {deploy.replace('_', ' ')}", "", show_interval(each), "", "", ""])
    return Table(["strategy", "rank", "test accuracy", "difference", "p", "verdict"], cells)


def search_table(found: Comparison, wide: bool) -> Table:
    """Test log-likelihood, and what the search found and cost."""
    predicted = any(row.predicted_seconds is not None for row in found.rows)
    versus, unit = "difference" if wide else "delta", unit_of(row.device for row in found.rows)
    headings = ["strategy", "test nll", versus, f"best {short(found.metric)}", "epochs", "trials", unit]
    headings += ["predicted"] * predicted
    cells = []
    for row in found.rows:
        cells.append(
            [
                row.name,
                show_interval(row.test_nll) if wide or not row.test_nll else f"{row.test_nll.mean:.4f}",
                "baseline" if row.name == found.baseline else show_nll(row.vs_baseline_nll, wide),
                show_value(row.val_best),
                str(row.epochs),
                show_trials(row),
                show_seconds(row.gpu_seconds),
                *[show_seconds(row.predicted_seconds)] * predicted,
            ]
        )
        for label, value, epochs in show_reruns(row, wide):
            cells.append([label, "", "", value, epochs, *[""] * (len(headings) - 5)])
    return Table(headings, cells)


def show_reruns(row: Row, wide: bool) -> Iterator[tuple[str, str, str]]:
    """What the search had seen of the points that were trained in full: a name, values, epochs."""
    for each in row.reruns if wide else ():
        values = f"{show_value(each.proxy)} → {show_value(each.full)}"
        yield f"· trial {each.trial}: proxy → full", values, f"{each.proxy_epochs} → {each.full_epochs}"
    for each in () if wide else row.reruns[:1]:
        yield "· proxy", show_value(each.proxy), str(each.proxy_epochs)


def legend(found: Comparison) -> list[str]:
    """How the tables are to be read: only what concerns these."""
    repeated, compared = len(found.studies) > 1, [row for row in found.rows if row.vs_baseline]
    unit = "study" if repeated else "seed"
    return [
        *intervals(found.rows, "study" if repeated else "final run"),
        *differences_to(found.baseline, compared, unit),
        *missing_evidence(compared, unit),
        *unequal(found.rows),
        *marks(found.rows),
        *not_applied(found.outcomes),
        *([ONE_SEARCH] if not repeated and any(row.searches and row.test for row in found.rows) else []),
    ]


ONE_SEARCH = (
    "the final runs of a strategy share the point that its one search found: to judge searches, "
    "compare studies that differ in their seed"
)


def intervals(rows: Sequence[Row], unit: str) -> Iterator[str]:
    """What the intervals are, and over how many runs."""
    runs = {row.test.n: row.test.method for row in rows if row.test}
    if set(runs) == {1}:
        fix = "set Study(seeds=) to 3 or more" if unit == "final run" else "compare more studies"
        yield f"one {unit} each gives no interval and no p: {fix}"
    for method, said in INTERVALS.items():
        if counts := sorted(n for n, used in runs.items() if used == method):
            counted = " to ".join(map(str, dict.fromkeys((counts[0], counts[-1]))))
            means = "" if unit == "final run" else ", each the mean of its final runs"
            yield f"± {said}, over {counted} {plural(unit)}{means}"


INTERVALS = {
    "t": "half a 95 % interval by Student's t",
    "bootstrap": "the wider half of a 95 % interval by BCa bootstrap",
}


def differences_to(baseline: str, compared: Sequence[Row], unit: str) -> Iterator[str]:
    """What the differences and p are."""
    tests = sum(row.vs_baseline is not None and row.vs_baseline.p is not None for row in compared)
    if tests:
        corrected = f", Holm-corrected over {tests} strategies" if tests > 1 else ""
        yield f"difference to {baseline}, paired by {unit}; p of a paired t-test{corrected}"
        yield from looked(compared, unit)
        yield "rank: mean place by test accuracy over the final runs that all share"
    if any(row.vs_baseline_nll and significant(row.vs_baseline_nll) for row in compared):
        yield "* of the negative log-likelihood: more than chance, by the same test; less is better"


def looked(compared: Sequence[Row], unit: str) -> Iterator[str]:
    """What p and the intervals of differences are corrected for, where looks are counted."""
    unit = "final run" if unit == "seed" else unit
    for looks in dict.fromkeys(row.vs_baseline.looks for row in compared if row.vs_baseline and row.vs_baseline.looks):
        *most, last = map(str, looks.runs)
        at = f"{', '.join(most)} and {last}" if most else last
        said = "are corrected for them" if most else "leave room for looking again"
        yield (
            f"{counted(len(looks.runs), 'look')} at {at} {plural(unit)} ({looks.planned} planned): "
            f"p and the intervals of differences {said}"
        )


def missing_evidence(compared: Sequence[Row], unit: str) -> Iterator[str]:
    """Which strategies may or may not differ from the baseline, and how many seeds would tell."""
    lacking = [(row.name, row.vs_baseline) for row in compared if row.vs_baseline]
    said = [f"{name} ({needed(each, unit)})" for name, each in lacking if not significant(each)]
    if said:
        power = "; with so many, 80 % of such differences are found" if any("about" in each for each in said) else ""
        yield f"not enough evidence: {', '.join(said)}{power}"


def needed(found: Difference, unit: str) -> str:
    """With how many seeds a difference such as this one would be found."""
    if found.n == 1:
        return f"one {unit} has no spread"
    if not found.sd:
        return f"its {found.n} differences are all {found.difference:+.4f}"
    if found.seeds_needed is None:
        return f"more than {MOST_SEEDS:,} {plural(unit)}"
    return f"about {found.seeds_needed} {plural(unit)}"


def unequal(rows: Sequence[Row]) -> Iterator[str]:
    """That a strategy may look better because it spent more."""
    if short_of := unequal_cost(rows):
        most = max(rows, key=lambda row: row.gpu_seconds)
        spent = f"{show_seconds(most.gpu_seconds)} {unit_of(row.device for row in rows)} of {most.name}"
        said = ", ".join(f"{row.name} {trials:,}" for row, trials in short_of)
        yield f"unequal cost: for the {spent}, others could have made more trials: {said}"


def marks(rows: Sequence[Row]) -> Iterator[str]:
    """What the marks in the tables mean."""
    if any(row.pruned or row.failed for row in rows):
        yield "trials a/b: a of b ran to the end, the others were pruned or failed"
    if any(row.retrained for row in rows):
        yield "· a new network, trained from scratch with what the learner above it had found"
    if any(row.predicted_seconds is not None for row in rows):
        yield "predicted: what the search was expected to cost when it was started"
    if any(row.reruns for row in rows):
        yield "· proxy: what the search saw of the same point; only trainings of the whole task are ranked"


def not_applied(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Which dimensions were asked for in vain."""
    vain = Counter((each.strategy, name) for each in outcomes for name in each.unapplied)
    for (strategy, name), trials in vain.items():
        where = f"what {counted(trials, 'trial')} applied"
        yield f"warning: {name} of {strategy} is not seen in {where}: its value does nothing"


def plural(unit: str) -> str:
    return {"study": "studies"}.get(unit, f"{unit}s")


def counted(count: int, unit: str) -> str:
    return f"{count} {unit if count == 1 else plural(unit)}"


def short(metric: str) -> str:
    """`val` for val_accuracy: what else would be best on validation."""
    return metric.removesuffix("_accuracy")


def unit_of(devices: Iterable[str]) -> str:
    return "GPU s" if "cuda" in devices else "CPU s"


def show_interval(found: Interval | None) -> str:
    if found is None:
        return NOTHING
    return f"{found.mean:.4f}{show_half(found.mean, found.low, found.high)}"


def show_half(mean: float, low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ± {max(high - mean, mean - low):.4f}"


def show_difference(found: Difference | None, wide: bool) -> tuple[str, str, str]:
    """Difference, corrected p, verdict."""
    if found is None:
        return (NOTHING, NOTHING, NOTHING)
    return (
        f"{found.difference:+.4f}{show_half(found.difference, found.low, found.high)}",
        show_p(found.p_holm),
        found.verdict if wide else found.verdict.removesuffix(" evidence"),
    )


def verdict(row: Row, baseline: str) -> str:
    """What may be said of a strategy beside the baseline: in words, with its figures where there are any."""
    found = row.vs_baseline
    if row.name == baseline:
        return "this is the baseline"
    if row.test is None:
        return "not tested: no final run has ended"
    if found is None:
        return f"not compared: shares no final run with the baseline {baseline}"
    difference = f"{found.difference:+.4f}"
    if found.low is not None and found.high is not None:
        difference += f" [{found.low:+.4f}, {found.high:+.4f}]"
    p = "" if found.p_holm is None else f", p {show_p(found.p_holm)}"
    words = f"{found.verdict} than" if significant(found) else f"{found.verdict} of a difference to"
    return f"{words} {baseline}: {difference}{p}, over {found.n} {plural('final run') if found.n > 1 else 'final run'}"


def show_nll(found: Difference | None, wide: bool) -> str:
    """A difference whose sign says what is better; with a star where it is more than chance."""
    if found is None:
        return NOTHING
    star = "*" * significant(found)
    difference, p, _ = show_difference(found, wide)
    return f"{difference}{star}, p {p}" if wide else f"{found.difference:+.4f}{star}"


def significant(found: Difference) -> bool:
    return found.verdict != "not enough evidence"


def show_p(p: float | None) -> str:
    if p is None:
        return NOTHING
    return f"{p:.3f}" if p >= 0.001 else "<0.001"


def show_rank(rank: float | None) -> str:
    return NOTHING if rank is None else f"{rank:.1f}"


def show_value(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4f}"


def show_trials(row: Row) -> str:
    lost = row.pruned + row.failed
    return f"{row.trials - lost}/{row.trials}" if lost else str(row.trials)


def show_seconds(seconds: float | None) -> str:
    if seconds is None:
        return NOTHING
    return f"{seconds:.1f}" if seconds < 1000 else f"{seconds:.0f}"
