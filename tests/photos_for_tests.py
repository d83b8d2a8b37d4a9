"""Photos that tests make: few and small, of different sizes."""

from pathlib import Path

import numpy
from PIL import Image

from autoaug.data import Data, load_data

SIZES = [(140, 190), (200, 150), (170, 170), (300, 150), (133, 160), (150, 220), (180, 180), (160, 140), (151, 149)]


def draw_photos(folder: Path, sizes: list[tuple[int, int]] = SIZES, classes: str = "ab") -> Path:
    """Photos of smooth colours, of these heights and widths, in a folder for each class."""
    random = numpy.random.default_rng(0)
    for number, (height, width) in enumerate(sizes * len(classes)):
        name = classes[number // len(sizes)]
        (folder / name).mkdir(parents=True, exist_ok=True)
        coarse = random.integers(0, 256, (5, 6, 3), dtype=numpy.uint8)
        image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        image.save(folder / name / f"{number}.jpg", quality=95)
    return folder


def load_photos(folder: Path, **settings: object) -> Data:
    """The photos of a folder, split three ways."""
    return load_data(folder, val_fraction=0.2, test_fraction=0.25, test=True, **settings)  # type: ignore[arg-type]
