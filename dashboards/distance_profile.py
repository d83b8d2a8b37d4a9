"""How strongly a mix ties pixels together, by their distance: E[(1 - M)(1 - M)] over pairs of pixels, at 32 x 32.

It weighs products of input gradients in the loss (Park, Yun, Chun 2022): mixup's at all distances alike, CutMix's where
pixels are near. Drawn are the mixes of a study's final runs, one line per strategy; for other mixes use `profiles`.
"""

from collections.abc import Mapping

import plotly.graph_objects as go
from torch import Generator

from autoaug.compare import Comparison
from autoaug.mixing import MIXES, Mix, PairMix, TrainingMix, build, distance_profile, takes
from autoaug.record import TrialKind
from dashboards.style import colours, layout

SIZE, DRAWS = 32, 2000
"""Pixels of a side, and masks that are drawn of each mix."""


def figure(comparison: Comparison) -> go.Figure:
    """Return the profiles of the mixes of pairs that the final runs trained with; empty where there are none."""
    used = {f"{strategy}: {named(settings)}": (strategy, made(settings)) for strategy, settings in trained(comparison)}
    colour = colours(comparison)
    pairs = {name: mix for name, (_, mix) in used.items() if isinstance(mix, PairMix) and mix.mixes}
    return profiles(pairs, {name: colour[used[name][0]] for name in pairs}) if pairs else go.Figure()


def of_all_masks(alpha: float = 1.0) -> go.Figure:
    """Return the profiles of all rows of `MIXES` that mix in pairs, at one α."""
    rows = {name: build(name, alpha=alpha) for name in MIXES if {"alpha", "partner"} <= set(takes(name))}
    return profiles({name: mix for name, mix in rows.items() if isinstance(mix, PairMix)})


def profiles(mixes: Mapping[str, PairMix], colour: Mapping[str, str] | None = None) -> go.Figure:
    """Return the profile of each mix as a line, by its name.

    Args:
        colour: of each, by its name; one after the other of Plotly's own without.
    """
    lines = []
    for name, mix in mixes.items():
        heights = distance_profile(mix, SIZE, DRAWS, Generator().manual_seed(0))
        style = {"color": colour[name]} if colour else {}
        lines.append(go.Scatter(y=[round(each, 4) for each in heights.tolist()], name=name, mode="lines", line=style))
    drawn = layout("What a mix ties together", f"distance of two pixels of {SIZE} x {SIZE}", "E[(1 - M)(1 - M)]")
    return go.Figure(lines, drawn.update(yaxis={"rangemode": "tozero"}))


def trained(comparison: Comparison) -> list[tuple[str, dict[str, object]]]:
    """Return the strategies whose final runs mixed, each with what is set of a mix: what is fixed, and its point."""
    fixed = comparison.definition.get("mixes", {})
    found: dict[str, tuple[str, dict[str, object]]] = {}
    for outcome in comparison.outcomes:
        if outcome.kind is TrialKind.FINAL and outcome.state == "COMPLETE":
            point = {name.partition(".")[2]: value for name, value in outcome.point.items() if name.startswith("mix.")}
            settings = {**fixed.get(outcome.strategy, {}), **point}
            found[f"{outcome.strategy} {settings}"] = (outcome.strategy, settings)
    return list(found.values())


def made(settings: Mapping[str, object]) -> Mix | TrainingMix:
    """Return a mix as a trial makes it: an amount alone means mixup."""
    kind = str(settings.get("kind", "mixup" if settings else "none"))
    return build(kind, **{name: value for name, value in settings.items() if name in takes(kind)})


def named(settings: Mapping[str, object]) -> str:
    """Return what is set of a mix, in a few words."""
    more = [f"{name} {value:.3g}" for name, value in settings.items() if isinstance(value, float)]
    return " ".join([str(settings.get("kind", "mixup")), *more])
