"""A comparison as people and machines read it: tables, CSV, JSON."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from autoaug.compare._figures import (
    number,
    short,
    show_difference,
    show_interval,
    show_nll,
    show_rank,
    show_seconds,
    show_trials,
    show_value,
    unit_of,
)
from autoaug.compare._leaderboard import Doubt, LeaderboardRow
from autoaug.compare._legend import headline, legend, verdict
from autoaug.compare._statistics import Difference, Interval
from autoaug.compare._stored import Comparison
from autoaug.learners import DEPLOYS
from autoaug.text import cell

NESTED: dict[str, type] = {
    "test": Interval,
    "test_nll": Interval,
    "vs_baseline": Difference,
    "vs_baseline_nll": Difference,
}
"""The fields of a row that have fields of their own."""


def to_csv(rows: Sequence[LeaderboardRow]) -> str:
    """A leaderboard as one line per strategy, the same columns for all of them."""
    text = io.StringIO()
    flat = [to_flat(row) for row in rows]
    writer = csv.DictWriter(text, fieldnames=list(flat[0]) if flat else ["strategy"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: cell(value) for name, value in each.items()} for each in flat)
    return text.getvalue()


def to_flat(row: LeaderboardRow) -> dict[str, Any]:
    """A row without rows inside; None where there is nothing."""
    flat: dict[str, Any] = {"strategy": row.name}
    for name, value in asdict(row).items():
        if name == "retrained":
            for deploy in DEPLOYS:
                of = value.get(deploy) or {}
                flat |= {f"{name}_{deploy}_{each}": of.get(each) for each in ("mean", "low", "high", "n")}
        elif name == "doubt":
            flat |= {f"val_{each.name}": (value or {}).get(each.name) for each in fields(Doubt)}
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
    unit = "study" if len(found.studies) > 1 else "final run"
    return {
        "study": found.studies[0],
        "studies": list(found.studies),
        "metric": found.metric,
        "baseline": found.baseline,
        "headline": headline(found),
        "strategies": [
            {
                **asdict(row),
                "reruns": [asdict(each) for each in row.reruns],
                "verdict": verdict(row, found.baseline, unit),
            }
            for row in found.rows
        ],
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
                show_interval(row.test_nll) if wide or not row.test_nll else number(row.test_nll.mean),
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


def show_reruns(row: LeaderboardRow, wide: bool) -> Iterator[tuple[str, str, str]]:
    """What the search had seen of the points that were trained in full: a name, values, epochs."""
    for each in row.reruns if wide else ():
        values = f"{show_value(each.proxy)} → {show_value(each.full)}"
        yield f"· trial {each.trial}: proxy → full", values, f"{each.proxy_epochs} → {each.full_epochs}"
    for each in () if wide else row.reruns[:1]:
        yield "· proxy", show_value(each.proxy), str(each.proxy_epochs)
