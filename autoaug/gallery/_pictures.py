"""Images as pictures of a browser: cells on one canvas, and a canvas as WebP.

N images, C channels, H height, W width
"""

import io
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from PIL.Image import Resampling
from torch import Tensor

from autoaug.gallery._limits import SIDE

QUALITIES = (85, 70, 50, 30, 10, 1)
"""Of lossy WebP, best first. Enlarged images are lossless where there is room: their pixels are seen."""


def picture(image: Tensor) -> Image.Image:
    """Return an image [C, H, W] in [0, 1], with 1 or 3 channels, as an 8-bit RGB picture."""
    levels = image.float().clamp(0, 1).mul(255).round().to(torch.uint8)
    return Image.fromarray(levels.expand(3, -1, -1).permute(1, 2, 0).cpu().numpy())


def cell_size(height: int, width: int) -> tuple[int, int]:
    """Return height and width of the cell of an image: a whole multiple of a small one, or at most `SIDE` pixels."""
    longer = max(height, width)
    if longer <= SIDE:
        times = SIDE // longer
        return height * times, width * times
    return max(1, round(height * SIDE / longer)), max(1, round(width * SIDE / longer))


def grid(cells: Sequence[Tensor]) -> Image.Image:
    """Return rows of images [N, C, H, W] as one picture without gaps: one row of cells for each of them."""
    height, width = cell_size(*cells[0].shape[2:])
    enlarged = height >= cells[0].shape[2] and width >= cells[0].shape[3]
    how = Resampling.NEAREST if enlarged else Resampling.LANCZOS
    canvas = Image.new("RGB", (width * len(cells[0]), height * len(cells)))
    for y, row in enumerate(cells):
        for x, image in enumerate(row):
            canvas.paste(picture(image).resize((width, height), how), (x * width, y * height))
    return canvas


def encoded(canvases: Sequence[Image.Image], most_bytes: int, lossless: bool) -> list[bytes]:
    """Return pictures as WebP in the best quality, one for all, in which they have at most so many bytes together.

    What is still too large in the least quality is given in that.

    Args:
        lossless: try it without loss first.
    """
    options: list[dict[str, Any]] = [{"lossless": True}] if lossless else []
    contents: list[bytes] = []
    for option in options + [{"quality": quality} for quality in QUALITIES]:
        contents = [webp(canvas, **option) for canvas in canvases]
        if sum(map(len, contents)) <= most_bytes:
            break
    return contents


def webp(canvas: Image.Image, **options: Any) -> bytes:
    """Return a picture as a WebP file."""
    buffer = io.BytesIO()
    canvas.save(buffer, "WEBP", method=4, **options)
    return buffer.getvalue()
