"""Image operations: differentiable, batched, with one strength per image.

`OPS[name](images, strength, rng)` is what a policy uses; the functions of the same names take physical amounts.
`RANGES` holds the table with the largest amounts of other papers. See `_table.py` for the rows, and `_contract.py`
for what every operation accepts.
"""

from autoaug.ops._discrete import auto_contrast, equalize, posterize, solarize
from autoaug.ops._geometric import (
    affine,
    compose,
    hflip,
    rotate,
    shear_x,
    shear_y,
    translate_x,
    translate_y,
    unmoved,
    vflip,
)
from autoaug.ops._photometric import brightness, color, contrast, grey, hue, invert, saturation, sharpness
from autoaug.ops._stochastic import crop, cutout, gaussian_noise
from autoaug.ops._table import OPS, RANGES, Op

__all__ = [
    "OPS",
    "RANGES",
    "Op",
    "affine",
    "auto_contrast",
    "brightness",
    "color",
    "compose",
    "contrast",
    "crop",
    "cutout",
    "equalize",
    "gaussian_noise",
    "grey",
    "hflip",
    "hue",
    "invert",
    "posterize",
    "rotate",
    "saturation",
    "sharpness",
    "shear_x",
    "shear_y",
    "solarize",
    "translate_x",
    "translate_y",
    "unmoved",
    "vflip",
]
