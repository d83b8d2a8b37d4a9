"""The augmentation that is always on, in plain facts: who reads a storage needs its name, and no torch.

It is written as a text, "resized-crop(0.35-1)+flip", or as a value, `Standard(scale=(0.35, 1))`: two forms of the same.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Annotated, Any

from autoaug.fields import Refused, Within, above, as_argument, at_least, check_fields, finite, plain
from autoaug.lookup import suggest

SCALE = (0.08, 1.0)
"""Of a resized crop that does not say otherwise, as in Szegedy et al. 2015 and in torchvision."""

RATIO = (3 / 4, 4 / 3)
"""Of a resized crop that does not say otherwise, from the same places."""

MOST_NAMED = 3
"""Operations of a policy tree that the name of a standard augmentation lists."""


def interval(given: Any, within: Within) -> tuple[float, float] | None:
    """Return a pair (low, high) of numbers within a range as floats; None for anything else."""
    if not isinstance(given, list | tuple) or len(given) != 2:
        return None
    low, high = (finite(plain(end)) for end in given)
    held = low is not None and high is not None and within.holds(low) and within.holds(high) and low <= high
    return (low, high) if held else None  # type: ignore[return-value]


def scale_interval(given: Any) -> tuple[float, float]:
    """Return the value of `Standard.scale`."""
    if (pair := interval(given, Within(0, 1, "(]"))) is None:
        raise Refused("a pair (low, high) of shares of the area with 0 < low <= high <= 1")
    return pair


def ratio_interval(given: Any) -> tuple[float, float]:
    """Return the value of `Standard.ratio`."""
    if (pair := interval(given, above(0))) is None:
        raise Refused("a pair (low, high) of width / height with 0 < low <= high")
    return pair


def tree_text(given: Any) -> str:
    """Return the value of `Standard.nodes`: a JSON object on one line, or nothing."""
    fix = "the JSON text of a policy tree, as autoaug.policy.encode writes it"
    if not isinstance(given, str):
        raise Refused(fix)
    try:
        found = json.loads(given) if given else {}
    except ValueError:
        raise Refused(fix) from None
    if not isinstance(found, dict) or (given and "root" not in found):
        raise Refused(fix)
    return json.dumps(found, separators=(",", ":")) if found else ""


@dataclass(frozen=True, repr=False)
class Standard:
    """The augmentation that is always on for a dataset, as is usual in the papers: a crop and a flip.

    A crop, then mirrors, then the nodes of a policy tree; each may be missing, and every image has draws of its own.
    The crop is one of two. Small images are padded and cropped to their size at a random place (`pad`). Photos are cut
    to a box of random size, shape and place, which is resized (`scale`); then there is no pad.

    Raises:
        ValueError: a field has an impossible value, or the fields contradict each other.

    >>> from autoaug.data import Standard
    >>> str(Standard()), str(Standard(pad=0.25, flip=False)), str(Standard(scale=(0.35, 1)))
    ('crop+flip', 'crop(0.25)', 'resized-crop(0.35-1)+flip')
    """

    pad: Annotated[float, at_least(0)] = 0.125
    """Zeros around the image before the crop, as a fraction of its size: 4 pixels of 32. 0: no padded crop."""
    flip: bool = True
    """Mirror left and right, half of the time."""
    vflip: bool = False
    """Mirror top and bottom, half of the time."""
    scale: Annotated[tuple[float, float] | None, scale_interval] = None
    """The share of the area that a resized crop keeps, uniform in this interval; None: no resized crop."""
    ratio: Annotated[tuple[float, float], ratio_interval] = RATIO
    """Width / height of a resized crop, of which the logarithm is uniform in this interval."""
    nodes: Annotated[str, tree_text] = ""
    """The policy tree that follows, as the JSON text of its file; empty: none. `Task.standard` takes the nodes."""

    def __post_init__(self) -> None:
        check_fields(self, as_argument)
        if self.scale is None and self.ratio != RATIO:
            raise ValueError(f"Standard(ratio={self.ratio}) has no resized crop to shape: give scale={SCALE} too")
        if self.scale is not None:
            if self.pad not in (0, Standard.pad):
                raise ValueError(f"Standard(pad={self.pad:g}, scale={self.scale}) has two crops: give one of them")
            object.__setattr__(self, "pad", 0.0)

    def __repr__(self) -> str:
        """Return how it is written, of later fields those that say something.

        The texts of functions that hold one stand in the definitions of studies, and must stay as they are.
        """
        return f"Standard({', '.join(f'{name}={value!r}' for name, value in self.plain().items())})"

    def __str__(self) -> str:
        """Return its name: "crop+flip", "crop(0.25)", "resized-crop(0.35-1)+flip", "none".

        Of a policy tree the name lists the first operations: "crop+nodes(color, rotate)". `text` has it whole.
        """
        return "+".join([*self.parts(), *([self.shown_nodes()] if self.nodes else [])]) or "none"

    @property
    def text(self) -> str:
        """Return the text from which `standard_named` makes it again: its name, with a policy tree whole as JSON."""
        return "+".join([*self.parts(), *([self.nodes] if self.nodes else [])]) or "none"

    def parts(self) -> list[str]:
        """Return the names of its parts but the policy tree, in the order in which they are applied."""
        crop = f"resized-crop{self.intervals()}" if self.scale else "crop"
        if self.pad not in (0, Standard.pad):
            crop = f"crop({number(self.pad)})"
        return [crop] * (self.pad > 0 or self.scale is not None) + ["flip"] * self.flip + ["vflip"] * self.vflip

    def intervals(self) -> str:
        """Return the intervals of a resized crop in brackets; nothing for the usual ones."""
        pairs = [self.scale, self.ratio] if self.ratio != RATIO else [self.scale]
        shown = ", ".join(f"{number(pair[0])}-{number(pair[1])}" for pair in pairs if pair)
        return "" if (self.scale, self.ratio) == (SCALE, RATIO) else f"({shown})"

    def shown_nodes(self) -> str:
        """Return a policy tree in short: the operations that it names first."""
        ops = list(dict.fromkeys(named_ops(json.loads(self.nodes))))
        return f"nodes({', '.join(ops[:MOST_NAMED])}{', ...' if len(ops) > MOST_NAMED else ''})"

    def plain(self) -> dict[str, Any]:
        """Return its fields for a record, of which `Standard(**...)` makes it again.

        Later fields are left out where they have their defaults, so that earlier releases read what they know.
        """
        kept = ("pad", "flip")
        return {
            field.name: value
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default or field.name in kept
        }


def number(value: float) -> str:
    """Return a number with all its digits and without an exponent: "0.35", "1"."""
    return f"{Decimal(repr(value)):f}".removesuffix(".0")


def named_ops(node: Any) -> Iterator[str]:
    """Yield the operations of a policy tree, as plain data, in their order."""
    if isinstance(node, dict):
        yield from [str(node["op"])] if "op" in node else []
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from named_ops(child)


STANDARDS: dict[str, Standard] = {
    str(each): each
    for each in (
        Standard(),
        Standard(flip=False),
        Standard(vflip=True),
        Standard(scale=SCALE),
        Standard(scale=SCALE, flip=False),
        Standard(scale=SCALE, vflip=True),
        Standard(pad=0),
        Standard(pad=0, flip=False, vflip=True),
        Standard(pad=0, vflip=True),
        Standard(pad=0, flip=False),
    )
}
"""The common standard augmentations by name. `standard_named` reads all others too: "crop(0.25)+flip"."""

DIGITS = r"\d+(?:\.\d+)?"
PART = re.compile(
    r"(?P<mirror>flip|vflip)"
    rf"|crop(?:\((?P<pad>{DIGITS})\))?"
    rf"|(?P<resized>resized-crop)(?:\((?P<scale>{DIGITS}-{DIGITS})(?:, ?(?P<ratio>{DIGITS}-{DIGITS}))?\))?"
)
"""A part of a name: "flip", "crop", "crop(0.25)", "resized-crop(0.35-1)", "resized-crop(0.35-1, 0.5-2)"."""


def standard_named(text: str) -> Standard:
    """Return the standard augmentation of a text: a name of STANDARDS, or parts of your own joined by "+".

    Raises:
        ValueError: it is none; the message says what to give.

    >>> from autoaug.data import standard_named
    >>> standard_named("resized-crop(0.35-1)+vflip").scale
    (0.35, 1.0)
    """
    if text in STANDARDS:
        return STANDARDS[text]
    name, brace, rest = text.partition("{")
    name = name.removesuffix("+") if brace else name
    parts = name.split("+") if name else []
    matches = [match for part in parts if (match := PART.fullmatch(part))]
    found: dict[str, Any] = {"pad": 0.0, "flip": False, "nodes": brace + rest}
    for match in matches:
        found |= fields_of(match)
    standard = Standard(**found) if len(matches) == len(parts) else None
    if standard is None or not text or len(standard.parts()) != len(parts):  # a part twice, or two crops
        raise ValueError(f"unknown standard augmentation {text!r}: {suggest(text, STANDARDS)}")
    return standard


def fields_of(part: "re.Match[str]") -> dict[str, Any]:
    """Return the fields that a part of a name gives."""
    if part["mirror"]:
        return {part["mirror"]: True}
    if part["resized"]:
        return {"scale": ends(part["scale"]) or SCALE, "ratio": ends(part["ratio"]) or RATIO}
    return {"pad": float(part["pad"]) if part["pad"] else Standard.pad}


def ends(interval: str | None) -> tuple[float, ...]:
    """Return both ends of an interval, "0.35-1"; nothing where there is none."""
    return tuple(map(float, interval.split("-"))) if interval else ()
