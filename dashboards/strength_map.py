"""What each strategy's best policy does to images: which operations, how strongly, and to how many of them.

A row for each operation, a column for each strategy. Bright is strong: the mean strength over the images that meet the
operation, as a share of the largest amount that a policy of the figure could give it, so that a row can be read across
strategies with ranges of their own. In a cell stand that mean as a physical amount, and the share of images that meet
the operation at least once. What has no strength, such as invert, is grey. Of a schedule of policies it is the mean
over the epochs of a training.

The operations that most images meet come first. Strategies without a policy, and those that augment nothing, are left
out, and so is what two strategies mix: see the figure of distance profiles.
"""

from collections.abc import Callable, Mapping

import plotly.graph_objects as go

from autoaug.compare import Comparison
from dashboards.style import POOLED, layout, named
from dashboards.trees import Use, physical, uses

SCALE = "Viridis"
GREY = [[0, POOLED], [1, POOLED]]
"""Of operations without a strength: of the same brightness throughout."""

MOST_STRATEGIES, MOST_OPS = 10, 24
"""That are drawn: the first on the leaderboard, and the operations that most images meet."""

WIDE = 4
"""Strategies up to which a cell has room for amount and share side by side."""

Policies = Mapping[str, Mapping[str, Use]]
"""What the policy of each strategy makes of each operation."""


def figure(comparison: Comparison) -> go.Figure:
    """Return the map of operations and strategies; an empty figure where no policy was kept that augments."""
    found = augmenting(comparison)
    if not found:
        return go.Figure()
    names, ops = list(found), most_met(found)
    wide = len(names) <= WIDE
    places = list(range(len(names)))  # two names may look the same once they are shown
    shown = layout("What does each policy do to images?", "", "", told(found, ops)).update(
        height=(22 if wide else 32) * len(ops) + (230 if wide else 285),
        margin={"t": 85 if wide else 140, "b": 100},
        xaxis={
            "tickvals": places,
            "ticktext": [named(name, 20) for name in names],
            "tickangle": 0 if wide else -40,
            "tickfont": {"size": 11},
            "side": "top",
            "showgrid": False,
            "zeroline": False,
        },
        yaxis={
            "autorange": "reversed",
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
            "tickfont": {"size": 11},
            "dtick": 1,
        },
    )
    subtitle = {"text": "in a cell: mean amount, share of images that meet it", "font": {"size": 11}}
    shown.update(title={"y": 1, "yanchor": "top", "pad": {"t": 16}, "subtitle": subtitle})
    shown.update(yaxis={"categoryorder": "array", "categoryarray": ops})
    strong = cells(found, ops, lambda use: use.amount is not None)
    strong.update(zmin=0, zmax=1, colorscale=SCALE, colorbar=BAR)
    plain = cells(found, ops, lambda use: use.amount is None).update(colorscale=GREY, showscale=False)
    return go.Figure([strong, plain], shown)


BAR = {
    "title": {"text": "strength, of the largest amount of a row", "side": "top", "font": {"size": 11}},
    "orientation": "h",
    "y": 0,
    "yanchor": "top",
    "ypad": 25,
    "thickness": 10,
    "outlinewidth": 0,
    "tickformat": ".0%",
}


def cells(found: Policies, ops: list[str], drawn: Callable[[Use], bool]) -> go.Heatmap:
    """Return the cells of those uses of operations that are to be drawn."""
    reach = {op: max((uses[op].most or 0.0 for uses in found.values() if op in uses), default=0.0) for op in ops}
    rows = [[found[name].get(op) for name in found] for op in ops]
    kept = [[use if use and drawn(use) else None for use in row] for row in rows]
    apart = " in " if len(found) <= WIDE else "<br>"
    return go.Heatmap(
        z=[[bright(use, reach[op]) for use in row] for op, row in zip(ops, kept, strict=True)],
        x=list(range(len(found))),
        y=ops,
        text=[[apart.join(filter(None, words(use))) for use in row] for row in kept],
        customdata=[[hover(use) for use in row] for row in kept],
        texttemplate="%{text}",
        textfont={"size": 10},
        hovertemplate="%{y}: %{customdata}<extra></extra>",
        hoverongaps=False,
        xgap=2,
        ygap=2,
    )


def augmenting(comparison: Comparison) -> dict[str, dict[str, Use]]:
    """Return what the policies make of operations, by strategy in the order of the leaderboard."""
    ranked = dict.fromkeys([*(row.name for row in comparison.rows), *comparison.strategies])
    found = {}
    for name in ranked:
        if tree := comparison.policies.get(name):
            task = {**comparison.definition["task"], **comparison.definition.get("tasks", {}).get(name, {})}
            used = {op: use for op, use in uses(tree, task["epochs"]).items() if use.share > 0}
            if used:
                found[name] = used
    return dict(list(found.items())[:MOST_STRATEGIES])


def most_met(found: Policies) -> list[str]:
    """Return the operations of some policies, those that most images meet in the mean over strategies first."""
    total: dict[str, float] = {}
    for used in found.values():
        for op, use in used.items():
            total[op] = total.get(op, 0.0) + use.share
    return sorted(total, key=lambda op: -total[op])[:MOST_OPS]


def bright(use: Use | None, reach: float) -> float | None:
    """Return the mean strength as a share of the largest that the figure knows of the operation; None without a use."""
    if use is None:
        return None
    if use.amount is None:
        return 1.0
    return round(use.amount / reach, 3) if reach else 0.0


def words(use: Use | None) -> tuple[str, str]:
    """Return the amount of an operation and the share of images that meet it, as they stand in a cell."""
    if use is None:
        return "", ""
    return physical(use.amount, use.unit), f"{100 * use.share:.0f} %" if use.share >= 0.01 else "< 1 %"


def hover(use: Use | None) -> str:
    """Return the same in full."""
    if use is None:
        return ""
    amount, share = words(use)
    far = f"by {amount} {use.unit if '°' not in amount else ''}".rstrip() + " in the mean, " if amount else ""
    return f"{far}{share} of the images"


def told(found: Policies, ops: list[str]) -> str:
    """Return in words what each policy does most."""
    said = []
    for name, used in found.items():
        op = max(used, key=lambda op: (used[op].share, used[op].strength))
        amount, share = words(used[op])
        said.append(f"{name} {op}{' by ' + amount if amount else ''} ({share} of the images)")
    return f"{len(ops)} operations by strategy. What most images meet: {', '.join(said)}."
