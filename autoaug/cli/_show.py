"""Contact sheets: what a policy draws, and what every operation does at rising strength, to be looked at.

N images, C channels, H height, W width
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Generator, Tensor

from autoaug.data import read_images, sample_images
from autoaug.gallery import caption, picture
from autoaug.lookup import lookup
from autoaug.ops import RANGES, Op
from autoaug.policy import Fixed, PolicyTree, applied

PLAIN = str.maketrans("×−", "x-")
"""Signs that the font of Pillow lacks, and what stands for them."""
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
GAP, LABEL, HEAD, TEXT = 4, 176, 24, 13
"""Pixels: between cells, of the column of labels, of the line of labels, and the height of a letter."""
CAPTION, LINE = 11, 13
"""Pixels: the height of a letter under a cell, and of its line."""
SIZE, COLUMNS = 112, 8
"""Of the sheets that the command line makes: pixels of an image's side, and draws for each."""


def contact_sheet(tree: PolicyTree | None, folder: Path | None = None, epoch: int = 1) -> Image.Image:
    """Return the picture of `autoaug show`: a policy as it is in an epoch, or without one every operation.

    The images are the first of a folder, or scikit-learn's two photographs. The draws are the same every time.
    """
    images, rng = read_images(folder, SIZE) if folder else sample_images(SIZE), Generator().manual_seed(0)
    if tree is None:
        if epoch != 1:
            raise ValueError(f"operations have no epochs: leave --epoch {epoch} out, or give a policy")
        return op_sheet(images[:2], rng)
    policy = Fixed(tree)
    policy.at(epoch)
    return sheet(policy, images, COLUMNS, rng)


@torch.no_grad()
def sheet(policy: Fixed, images: Tensor, columns: int, rng: Generator) -> Image.Image:
    """Return one row per image [N, C, H, W] in [0, 1]: the image itself, and `columns` draws of the policy.

    Under each draw stands what was applied, in physical amounts.
    """
    draws, met = applied(policy, images.repeat_interleave(columns, 0), rng)
    cells = torch.cat([images.unsqueeze(1), draws.unflatten(0, (len(images), columns))], dim=1)
    captions = [
        ["", *(caption(each).translate(PLAIN) for each in met[k : k + columns])] for k in range(0, len(met), columns)
    ]
    heads = ["original", *(f"draw {k}" for k in range(1, columns + 1))]
    return paste(cells, [""] * len(images), heads, captions)


@torch.no_grad()
def op_sheet(
    images: Tensor, rng: Generator, strengths: Sequence[float] = STRENGTHS, ranges: str = "autoaugment"
) -> Image.Image:
    """Return one row per operation: each image [N, C, H, W] in [0, 1] at each strength.

    Random operations repeat their draws. Signed operations show positive strengths. `ranges` is a name of
    `autoaug.ops.RANGES`.
    """
    ops = lookup(RANGES, ranges, "ranges")
    cells = torch.stack([op_row(op, images, strengths, rng) for op in ops.values()])
    heads = [f"{strength:g}" for strength in strengths] * len(images)
    return paste(cells, [op_label(op) for op in ops.values()], heads)


def op_row(op: Op, images: Tensor, strengths: Sequence[float], rng: Generator) -> Tensor:
    """Return one image after the other, each at all strengths."""
    columns = [op(images, images.new_full((len(images),), strength), rng.clone_state()) for strength in strengths]
    return torch.stack(columns, dim=1).flatten(0, 1)


def op_label(op: Op) -> str:
    """Return the name, and the amount at strength 1."""
    if op.most is None:
        return f"{op.name}\n(no strength)"
    return f"{op.name}\n{'±' if op.signed else ''}{op.most:g} {op.unit}"


def paste(
    cells: Tensor, rows: Sequence[str], columns: Sequence[str], captions: Sequence[Sequence[str]] = ()
) -> Image.Image:
    """Return cells [rows, columns, C, H, W] in [0, 1] on one canvas, with labels at the left and above.

    Args:
        captions: what stands under each cell; none leaves no room for it.
    """
    height, width = cells.shape[3:]
    font, small = ImageFont.load_default(TEXT), ImageFont.load_default(CAPTION)
    lines = [[wrapped(each, width, small) for each in row] for row in captions]
    room = LINE * max((len(each) for row in lines for each in row), default=0)
    left, across, down = LABEL if any(rows) else GAP, width + GAP, height + room + GAP
    canvas = Image.new("RGB", (left + len(columns) * across, HEAD + len(rows) * down), "white")
    pen = ImageDraw.Draw(canvas)
    for k, label in enumerate(columns):
        pen.text((left + k * across, GAP), label, "black", font)
    for j, label in enumerate(rows):
        pen.multiline_text((GAP, HEAD + j * down), label, "black", font)
        for k in range(len(columns)):
            x, y = left + k * across, HEAD + j * down
            canvas.paste(picture(cells[j, k]), (x, y))
            for n, line in enumerate(lines[j][k] if lines else ()):
                pen.text((x, y + height + n * LINE), line, "black", small)
    return canvas


def wrapped(text: str, width: int, font: Font) -> list[str]:
    """Return a caption in lines, each operation on new ones; only a word that is wider than `width` is cut by it."""
    lines = list[str]()
    for operation in text.split(", "):
        line = ""
        for word in operation.split():
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines += [line] if line else []
    return lines
