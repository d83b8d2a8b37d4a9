"""What augmentation is worth in images: the baseline's learning curve, and where the best strategy meets it.

Of a study in which arms of the baseline learn from more images than the strategies, such as `studies/worth.py`. Between
two numbers of images the curve is a straight line in log n; beyond the largest nothing is said but "more".
"""

import plotly.graph_objects as go

from autoaug.compare import Comparison, Worth, show_value, worth
from dashboards.style import INK, POOLED, layout, looks, named, pale


def figure(comparison: Comparison) -> go.Figure:
    """Return the curve with the strategy beside it; an empty figure where the baseline has one number of images."""
    found = worth(comparison)
    if found is None:
        return go.Figure()
    own, other = looks(comparison)[found.strategy], looks(comparison)[found.baseline]
    x, end = [arm.images for arm in found.curve], found.curve[-1].images
    curve = go.Scatter(
        x=x,
        y=[round(arm.mean, 4) for arm in found.curve],
        name=f"{named(found.baseline)}, more images",
        mode="lines+markers",
        line={"color": other.colour, "dash": other.dash},
        marker={"color": other.colour, "symbol": other.symbol, "size": 9},
    )
    met = end if found.factor is None else found.factor * found.images
    reach = go.Scatter(
        x=[found.images, round(met, 1)],
        y=[round(found.mean, 4)] * 2,
        name=named(found.strategy),
        mode="lines+markers",
        line={"color": own.colour, "dash": "dot", "width": 1.5},
        marker={"color": own.colour, "symbol": [own.symbol, "arrow-right" if found.factor is None else "line-ns-open"]},
        marker_size=[11, 12],
        marker_opacity=1,
        marker_line={"width": [0, 2], "color": own.colour},
    )
    shown = layout(
        named(f"{found.words[0].upper()}{found.words[1:]}", 60),
        "training images",
        comparison.label(comparison.test_metric),
        told(found),
    )
    shown.update(
        xaxis={"type": "log", "tickvals": x, "ticktext": [f"{images:,}" for images in x]},
        shapes=interval(found, own.colour),
    )
    return go.Figure([curve, reach], shown)


def interval(found: Worth, colour: str) -> list[dict[str, object]]:
    """Return the interval as a strip along the axis of images, and a line where the answer is."""
    if found.low is None:
        return []
    end = found.curve[-1].images
    low, high = found.low * found.images, end if found.high is None else found.high * found.images
    strip = {"type": "rect", "yref": "paper", "y0": 0, "y1": 1, "line": {"width": 0}, "layer": "below"}
    shapes: list[dict[str, object]] = [{**strip, "x0": round(low, 1), "x1": round(high, 1)}]
    shapes[0]["fillcolor"] = pale(colour, 0.15)
    shapes[0]["label"] = {"text": "95 % interval", "textposition": "bottom center", "font": {"size": 10, "color": INK}}
    if found.factor is not None:
        x, line = round(found.factor * found.images, 1), {"color": POOLED, "width": 1, "dash": "dot"}
        shapes.append({"type": "line", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1, "line": line})
    return shapes


def told(found: Worth) -> str:
    """Return the answer in words, with the curve."""
    curve = ", ".join(f"{show_value(arm.mean)} with {arm.images:,}" for arm in found.curve)
    return (
        f"{found.strategy} reaches {show_value(found.mean)} with {found.images:,} training images: {found.words}. "
        f"{found.baseline} reaches {curve}. Over {found.runs} final runs, with a 95 % interval."
    )
