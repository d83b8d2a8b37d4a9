"""What a gallery is: the pictures of a study, what is written under each, and where they lie. Plain data, no torch."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

PICTURE = re.compile(r"[0-9a-f]{32}\.webp")
"""Names of pictures: a digest of their bytes, so that a name never stands for another picture."""


@dataclass(frozen=True)
class Doubt:
    """That the finished network sees another class in a picture, and is sure of it."""

    predicted: str
    """The class that it sees."""
    confidence: float
    """Its softmax, in [0, 1]."""


@dataclass(frozen=True)
class Cell:
    """One draw for one image."""

    caption: str
    """What was applied, such as "rotate −13°, brightness ×1.3", or "nothing"."""
    doubt: Doubt | None = None


@dataclass(frozen=True)
class Sheet:
    """The draws of one strategy, as its policy was in one epoch: a picture that is a grid of cells.

    The cell in row r and column c lies c * `width` and r * `height` pixels from the left and the top of the picture.
    """

    picture: str
    """Name of the WebP file."""
    epoch: int | None
    """Of a policy that moves; None: the policy of all epochs."""
    cells: tuple[tuple[Cell, ...], ...]
    """One row per image, in each one cell per draw."""


@dataclass(frozen=True)
class Images:
    """The images themselves: a picture of a single column, one row per image."""

    picture: str
    """Name of the WebP file."""
    classes: tuple[str, ...]
    """Class of each image."""
    width: int
    """Of a cell, in pixels, as below. All sheets of the images have cells of this size."""
    height: int


@dataclass(frozen=True)
class Sheets:
    """What one strategy makes of images."""

    images: Images | None
    """None where none can be shown: `note` says why."""
    by_epoch: tuple[Sheet, ...] = ()
    """Sheets of several epochs have the same random numbers: what changes is the policy."""
    note: str = ""
    """What one should know of it."""
    checked: bool = False
    """Whether a finished network has looked at the pictures; without one there is no `Doubt`."""

    @property
    def pictures(self) -> set[str]:
        """Return the names of all pictures."""
        return ({self.images.picture} if self.images else set()) | {sheet.picture for sheet in self.by_epoch}

    def plain(self) -> dict[str, Any]:
        """Return it as data that JSON can hold; see `sheets_of`."""
        return asdict(self)


@dataclass(frozen=True)
class Gallery:
    """What the strategies of a study make of some of the images that they were trained on."""

    strategies: Mapping[str, Sheets]
    """By strategy, in the order in which they were defined."""

    def __contains__(self, picture: object) -> bool:
        """Whether a picture of this name is part of it."""
        return any(picture in sheets.pictures for sheets in self.strategies.values())


def name_of(content: bytes) -> str:
    """Return the name of a picture by its bytes."""
    return f"{hashlib.sha256(content).hexdigest()[:32]}.webp"


def sheets_of(plain: Mapping[str, Any]) -> Sheets:
    """Return what `Sheets.plain` made plain.

    Raises:
        ValueError: it is something else.
    """
    try:
        images = plain["images"]
        found = Sheets(
            images=None if images is None else Images(**{**images, "classes": tuple(images["classes"])}),
            by_epoch=tuple(sheet_of(each) for each in plain["by_epoch"]),
            note=plain["note"],
            checked=plain["checked"],
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"no gallery, or one of another version: {error}") from None
    if strange := [name for name in sorted(found.pictures) if not PICTURE.fullmatch(name)]:
        raise ValueError(f"a gallery names a picture {strange[0]!r}: that is no name of one")
    return found


def sheet_of(plain: Mapping[str, Any]) -> Sheet:
    """Return a sheet that was made plain."""
    rows = tuple(tuple(cell_of(each) for each in row) for row in plain["cells"])
    return Sheet(plain["picture"], plain["epoch"], rows)


def cell_of(plain: Mapping[str, Any]) -> Cell:
    """Return a cell that was made plain."""
    doubt = plain["doubt"]
    return Cell(plain["caption"], None if doubt is None else Doubt(**doubt))
