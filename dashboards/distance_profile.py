"""How strongly a mix ties pixels together, by their distance: E[(1 - M)(1 - M)] over pairs of pixels, at 32 x 32.

It weighs products of input gradients in the loss (Park, Yun, Chun 2022): mixup's at all distances alike, CutMix's where
pixels are near. Drawn are the mixes of pairs of a study's final runs, one line for each; `of_all_masks` draws all rows.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import plotly.graph_objects as go

from autoaug.compare import Comparison
from autoaug.record import TrialKind
from dashboards.style import COLOURS, DASHES, Look, layout, looks, named

if TYPE_CHECKING:  # mixes need torch, and a study without them has no use for it
    from autoaug.mixing import PairMix

SIZE, DRAWS = 32, 1000
"""Pixels of a side, and masks that are drawn of each mix."""

MOST_MIXES = 12
"""That are drawn; a figure must stay readable."""


def figure(comparison: Comparison) -> go.Figure:
    """Return the profiles of the mixes of pairs that the final runs trained with; empty where there are none."""
    look, pairs, styles = looks(comparison), {}, {}
    for strategy, settings in trained(comparison)[:MOST_MIXES]:
        if mix := pair_mix(settings):
            name = f"{strategy}: {in_words(settings)}"
            pairs[name], styles[name] = mix, look[strategy]
    return profiles(pairs, styles) if pairs else go.Figure()


def of_all_masks(alpha: float = 1.0) -> go.Figure:
    """Return the profiles of all rows of `MIXES` that mix in pairs, at one α."""
    from autoaug.mixing import MIXES

    rows = {kind: pair_mix({"kind": kind, "alpha": alpha}) for kind in MIXES}
    return profiles({kind: mix for kind, mix in rows.items() if mix})


def profiles(mixes: "Mapping[str, PairMix]", styles: Mapping[str, Look] | None = None) -> go.Figure:
    """Return the profile of each mix as a line.

    Args:
        mixes: by the name in the legend.
        styles: of each, by the same name; one after the other of the table without.
    """
    from torch import Generator

    from autoaug.mixing import distance_profile

    lines, said = [], []
    for k, (name, mix) in enumerate(mixes.items()):
        heights = distance_profile(mix, SIZE, DRAWS, Generator().manual_seed(0)).tolist()
        look = styles[name] if styles else Look(COLOURS[k % len(COLOURS)], "circle", DASHES[k % len(DASHES)])
        line = {"color": look.colour, "dash": look.dash}
        heights = [round(height, 3) for height in heights]
        lines.append(go.Scatter(y=heights, name=named(name, 40), mode="lines", line=line))
        said.append(f"{name} from {heights[0]:.2f} to {heights[-1]:.2f}")
    alt = f"E[(1 - M)(1 - M)] from the nearest pixels to the farthest: {'; '.join(said)}."
    across = f"distance of two pixels of {SIZE} x {SIZE}"
    drawn = layout("What does a mix tie together?", across, "E[(1 - M)(1 - M)]", alt)
    return go.Figure(lines, drawn.update(yaxis={"rangemode": "tozero"}, showlegend=True))


def trained(comparison: Comparison) -> list[tuple[str, dict[str, object]]]:
    """Return the strategies whose final runs mixed, each with what is set of a mix: what is fixed, and its point."""
    fixed = comparison.definition.get("mixes", {})
    found: dict[str, tuple[str, dict[str, object]]] = {}
    for outcome in comparison.outcomes:
        if outcome.kind is TrialKind.FINAL and outcome.state == "COMPLETE":
            point = {name.partition(".")[2]: value for name, value in outcome.point.items() if name.startswith("mix.")}
            settings = {**fixed.get(outcome.strategy, {}), **point}
            if settings:
                found[f"{outcome.strategy} {settings}"] = (outcome.strategy, settings)
    return list(found.values())


def pair_mix(settings: Mapping[str, object]) -> "PairMix | None":
    """Return a mix as a trial makes it, where it mixes in pairs; an amount alone means mixup."""
    from autoaug.mixing import PairMix, build, takes

    kind = str(settings.get("kind", "mixup"))
    mix = build(kind, **{name: value for name, value in settings.items() if name in takes(kind)})
    return mix if isinstance(mix, PairMix) and mix.mixes else None


def in_words(settings: Mapping[str, object]) -> str:
    """Return what is set of a mix, in a few words."""
    more = [f"{name} {value:.3g}" for name, value in settings.items() if isinstance(value, float)]
    return " ".join([str(settings.get("kind", "mixup")), *more])
