"""A comparison as people and machines read it: tables, CSV, JSON."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from autoaug.compare._comparison import Comparison
from autoaug.compare._figures import (
    number,
    short,
    show_difference,
    show_interval,
    show_rank,
    show_seconds,
    show_starred,
    show_trials,
    show_value,
    unit_of,
)
from autoaug.compare._final_runs import SUMMARIES
from autoaug.compare._leaderboard import Doubt, LeaderboardRow, OtherMetric
from autoaug.compare._legend import headline, legend, other_metrics, verdict
from autoaug.compare._sentence import sentence
from autoaug.compare._statistics import Difference, Interval
from autoaug.learners import DEPLOYS
from autoaug.metrics import on_split, row_of
from autoaug.store import Diagnosis
from autoaug.table import Table
from autoaug.text import cell

NESTED: dict[str, type] = {"test": Interval, "vs_baseline": Difference}
"""The fields of a row that have fields of their own, and are there once more for each other metric."""


def to_csv(rows: Sequence[LeaderboardRow]) -> str:
    """Return a leaderboard as CSV: a line of headings, then one per strategy, the same columns for all of them.

    >>> from autoaug.compare import LeaderboardRow, interval, to_csv
    >>> row = LeaderboardRow("none", interval([0.70, 0.72]), 0.71, 2, 0, 0, 10.0, "cpu", 5, None)
    >>> headings, line = to_csv([row]).splitlines()
    >>> headings
    'strategy,test_mean,test_low,test_high,...'
    >>> line
    'none,0.71,...'
    """
    return as_csv(to_flat(row) for row in rows)


def as_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return flat rows as CSV, with a column for each name that any of them has."""
    text, flat = io.StringIO(), list(rows)
    headings = list(dict.fromkeys(name for each in flat for name in each)) or ["strategy"]
    writer = csv.DictWriter(text, fieldnames=headings, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: cell(value) for name, value in each.items()} for each in flat)
    return text.getvalue()


def to_flat(row: LeaderboardRow) -> dict[str, Any]:
    """Return a row without rows inside; None where there is nothing."""
    flat: dict[str, Any] = {"strategy": row.name}
    nested = NESTED | {f"{name}_{metric}": kind for name, kind in NESTED.items() for metric in row.others}
    for name, value in as_plain(row).items():
        if name == "retrained":
            for deploy in DEPLOYS:
                of = value.get(deploy) or {}
                flat |= {f"{name}_{deploy}_{each}": of.get(each) for each in ("mean", "low", "high", "n")}
        elif name == "validation":
            flat |= of_epochs(value)
        elif name == "doubt":
            flat |= {f"val_{each.name}": (value or {}).get(each.name) for each in fields(Doubt)}
        elif name in nested:
            flat |= {f"{name}_{each.name}": (value or {}).get(each.name) for each in fields(nested[name])}
            if seen := (value or {}).get("looks"):
                flat[f"{name}_looks"] = " ".join(map(str, seen["runs"]))
        elif name == "reruns":
            flat["proxy_value"] = value[0]["proxy"] if value else None
            flat["proxy_epochs"] = value[0]["proxy_epochs"] if value else None
        elif name != "name":
            flat[name] = value
    return flat


def of_epochs(validation: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Return what epochs of final runs come to, by metric, without rows inside: mean and ends of intervals."""
    return {
        f"final_val_{metric}_{each}_{end}": summaries.get(each, {}).get(end)
        for metric, summaries in validation.items()
        for each in SUMMARIES
        for end in ("mean", "low", "high")
    }


def as_plain(row: LeaderboardRow) -> dict[str, Any]:
    """Return a row as plain data; by the other metrics `test` and `vs_baseline` are `test_nll`, `vs_baseline_nll`."""
    plain = asdict(row)
    others = plain.pop("others")
    named: dict[str, Any] = {}
    for name, value in plain.items():
        named[name] = value
        if name in NESTED:
            named |= {f"{name}_{metric}": other[name] for metric, other in others.items()}
    return named


def to_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain data that `json.dumps` takes, for machines.

    >>> from autoaug.compare import Comparison, LeaderboardRow, interval, to_json
    >>> row = LeaderboardRow("none", interval([0.70, 0.72]), 0.71, 2, 0, 0, 10.0, "cpu", 5, None)
    >>> plain = to_json(Comparison(("s",), {"metric": "val_accuracy", "baseline": "none", "spaces": {}}, [row]))
    >>> plain["direction"], plain["strategies"][0]["verdict"]
    ('maximize', 'this is the baseline')
    """
    unit = "study" if len(comparison.studies) > 1 else "final run"
    return {
        "study": comparison.studies[0],
        "studies": list(comparison.studies),
        "metric": comparison.metric,
        "direction": comparison.direction,
        "baseline": comparison.baseline,
        "sentence": sentence(comparison),
        "headline": headline(comparison),
        "strategies": [
            {
                **as_plain(row),
                "reruns": [asdict(each) for each in row.reruns],
                "verdict": verdict(row, comparison.baseline, unit),
            }
            for row in comparison.rows
        ],
        "classes": asdict(comparison.classes) if comparison.classes else None,
        "diagnoses": [plain_diagnosis(each) for each in comparison.diagnoses],
        "importance": asdict(comparison.importance),
        "provenance": dict(comparison.provenance),
        "legend": legend(comparison, wide=True),
    }


def plain_diagnosis(found: Diagnosis) -> dict[str, Any]:
    """Return what a diagnostic found as plain data, without what only figures draw."""
    return {name: value for name, value in asdict(found).items() if name != "series"}


def tables(comparison: Comparison, wide: bool = False, epochs: bool = False) -> list[Table]:
    """Return two tables: the result, then the search and its cost; and a third where `epochs` are asked for.

    Args:
        comparison: what the tables show.
        wide: with every metric and interval, where there is room.
        epochs: add what the epochs of the final runs come to, where that is known.

    >>> from autoaug.compare import Comparison, LeaderboardRow, interval, tables
    >>> row = LeaderboardRow("none", interval([0.70, 0.72]), 0.71, 2, 0, 0, 10.0, "cpu", 5, None)
    >>> result, search = tables(Comparison(("s",), {"metric": "val_accuracy", "baseline": "none", "spaces": {}}, [row]))
    >>> result.cells
    [['none', '–', '0.7100 ± 0.1271', 'baseline', '', '']]
    >>> search.headings
    ['strategy', 'best val', 'epochs', 'trials', 'CPU s']
    """
    known = epochs and any(row.validation for row in comparison.rows)
    return [
        result_table(comparison, wide),
        search_table(comparison, wide),
        *([epochs_table(comparison)] if known else []),
    ]


def result_table(comparison: Comparison, wide: bool) -> Table:
    """Return the study's metric on the test split against the baseline: what the question was."""
    cells = []
    for row in comparison.rows:
        versus = ("baseline", "", "") if row.name == comparison.baseline else show_difference(row.vs_baseline, wide)
        cells.append([row.name, show_rank(row.rank), show_interval(row.test), *versus])
        for deploy, each in row.retrained.items():
            cells.append([f"· {deploy.replace('_', ' ')}", "", show_interval(each), "", "", ""])
    return Table(["strategy", "rank", comparison.label(comparison.test_metric), "difference", "p", "verdict"], cells)


def search_table(comparison: Comparison, wide: bool) -> Table:
    """Return the test values by other metrics, and what the search found and cost."""
    predicted = any(row.predicted_seconds is not None for row in comparison.rows)
    versus, unit = "difference" if wide else "delta", unit_of(row.device for row in comparison.rows)
    others = other_metrics(comparison.rows, wide)
    headings = ["strategy", *(text for name in others for text in (comparison.label(on_split("test", name)), versus))]
    headings += [f"best {short(comparison.metric)}", "epochs", "trials", unit, *["predicted"] * predicted]
    cells = []
    for row in comparison.rows:
        cells.append(
            [
                row.name,
                *(text for name in others for text in show_other(row, name, comparison.baseline, wide)),
                show_value(row.val_best),
                str(row.epochs),
                show_trials(row),
                show_seconds(row.gpu_seconds),
                *[show_seconds(row.predicted_seconds)] * predicted,
            ]
        )
        for label, value, epochs in show_reruns(row, wide):
            before = [""] * (2 * len(others))
            cells.append([label, *before, value, epochs, *[""] * (len(headings) - len(before) - 3)])
    return Table(headings, cells)


def epochs_table(comparison: Comparison) -> Table:
    """Return the study's metric on the validation split as the final runs ended, at its best, and in the median."""
    name, row_name = comparison.label(comparison.metric), row_of(comparison.metric)
    cells = [
        [row.name, *(show_interval(row.validation.get(row_name, {}).get(each)) for each in SUMMARIES)]
        for row in comparison.rows
    ]
    return Table(["final runs", *(f"{name}, {words}" for words in SUMMARIES.values())], cells)


def show_other(row: LeaderboardRow, metric: str, baseline: str, wide: bool) -> tuple[str, str]:
    """Return the test value and the difference to the baseline by another metric than the study's."""
    other = row.others.get(metric, OtherMetric())
    value = show_interval(other.test) if wide or not other.test else number(other.test.mean)
    return value, "baseline" if row.name == baseline else show_starred(other.vs_baseline, wide)


def show_reruns(row: LeaderboardRow, wide: bool) -> Iterator[tuple[str, str, str]]:
    """Return what the search had seen of the points that were trained in full: a name, values, epochs."""
    for each in row.reruns if wide else ():
        values = f"{show_value(each.proxy)} → {show_value(each.full)}"
        yield f"· trial {each.trial}: proxy → full", values, f"{each.proxy_epochs} → {each.full_epochs}"
    for each in () if wide else row.reruns[:1]:
        yield "· proxy", show_value(each.proxy), str(each.proxy_epochs)
