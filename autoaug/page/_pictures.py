"""The gallery of a study as a page shows it: pieces of a few pictures, each with what was applied written under it.

A picture is a grid; what is shown of it is a window on one of its cells, so that a browser loads each picture once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autoaug.gallery import Cell, Gallery, Images, Sheet, Sheets

Address = Callable[[str], str]
"""Where a browser finds a picture, by its name in the gallery."""

MOST_IN_STRIP = 6
"""Images on the first screen."""


@dataclass(frozen=True)
class Sprite:
    """Hold a picture that a browser loads, of several cells."""

    name: str
    address: str
    width: int
    """Of all of it, in pixels."""
    height: int


@dataclass(frozen=True)
class Window:
    """Hold what is shown of a sprite: one cell."""

    sprite: str
    left: int
    """Of the cell within the sprite, in pixels."""
    top: int
    width: int
    height: int
    alt: str
    """What it is, in words."""
    caption: str
    doubt: str = ""
    """What the finished network sees in it instead of its class; empty where it does not."""


@dataclass(frozen=True)
class Moment:
    """Hold the draws of a strategy for one image, as its policy was in one epoch."""

    epoch: int | None
    draws: Sequence[Window]


@dataclass(frozen=True)
class Column:
    """Hold a strategy of a gallery."""

    name: str
    hue: int
    epochs: Sequence[int | None]
    """Between which one may move; a policy that stays has one."""
    rows: Sequence[Sequence[Moment]]
    """By image, its moments in the order of the epochs."""


@dataclass(frozen=True)
class GalleryView:
    """Hold the gallery: rows of images, a column per strategy."""

    sprites: Sequence[Sprite]
    images: Sequence[Window]
    """The images themselves, with their classes."""
    columns: Sequence[Column]
    strip: Sequence[tuple[Window, Window]]
    """For the first screen: some images, each with a draw of the winner."""
    winner: str
    """Whose draws the strip shows."""
    notes: Sequence[str]
    """What one should know of it, such as why a strategy has no pictures."""

    @property
    def doubts(self) -> bool:
        """Whether a finished network sees another class in one of the pictures."""
        moments = (moment for column in self.columns for row in column.rows for moment in row)
        return any(draw.doubt for moment in moments for draw in moment.draws)


def gallery_view(gallery: Gallery, address: Address, hues: dict[str, int], ranked: Sequence[str]) -> GalleryView | None:
    """Return what a page shows of a gallery; None where there is nothing.

    Args:
        gallery: of the study.
        address: where a browser finds a picture.
        hues: colours of the strategies.
        ranked: the strategies, the best first: its images are shown, and a strategy that was given others is left out.
    """
    best_first = [name for name in ranked if name in gallery.strategies]
    shown = {name: gallery.strategies[name] for name in best_first}
    images = next((sheets.images for sheets in shown.values() if sheets.images), None)
    notes = [f"{name}: {sheets.note}" for name, sheets in shown.items() if sheets.note]
    if images is None:
        return GalleryView([], [], [], [], "", notes) if notes else None
    alike = {name: sheets for name, sheets in shown.items() if sheets.images == images and sheets.by_epoch}
    columns = [column(name, sheets, images, hues.get(name, 0)) for name, sheets in alike.items()]
    originals = [
        Window(images.picture, 0, row * images.height, images.width, images.height, f"image of class {name}", name)
        for row, name in enumerate(images.classes)
    ]
    every = [sprite_of(images.picture, address, images, (len(images.classes), 1))]
    for sheets in alike.values():
        for sheet in sheets.by_epoch:
            every.append(sprite_of(sheet.picture, address, images, (len(sheet.cells), widest(sheet))))
    sprites = {each.name: each for each in every}
    first = next(iter(columns), None)
    pairs = [(image, row[-1].draws[0]) for image, row in zip(originals, first.rows, strict=True)] if first else []
    if not any(sheets.checked for sheets in alike.values()):
        notes.append("no finished network has looked at these pictures")
    return GalleryView(
        list(sprites.values()), originals, columns, pairs[:MOST_IN_STRIP], first.name if first else "", notes
    )


def sprite_of(name: str, address: Address, images: Images, size: tuple[int, int]) -> Sprite:
    """Return a picture of so many rows and columns of cells."""
    rows, columns = size
    return Sprite(name, address(name), columns * images.width, rows * images.height)


def widest(sheet: Sheet) -> int:
    """Return how many cells a row of a sheet has."""
    return max((len(row) for row in sheet.cells), default=0)


def column(name: str, sheets: Sheets, images: Images, hue: int) -> Column:
    """Return what a strategy makes of each image, epoch by epoch."""
    rows = [
        [
            Moment(
                sheet.epoch,
                [window(sheet, images, row, at, cell, name) for at, cell in enumerate(sheet.cells[row])],
            )
            for sheet in sheets.by_epoch
        ]
        for row in range(len(images.classes))
    ]
    return Column(name, hue, [sheet.epoch for sheet in sheets.by_epoch], rows)


def window(sheet: Sheet, images: Images, row: int, at: int, cell: Cell, strategy: str) -> Window:
    """Return one draw."""
    seen = f"{images.classes[row]} under {strategy}: {cell.caption}"
    doubt = f"seen as {cell.doubt.predicted}, {100 * cell.doubt.confidence:.0f} %" if cell.doubt else ""
    return Window(
        sheet.picture, at * images.width, row * images.height, images.width, images.height, seen, cell.caption, doubt
    )
