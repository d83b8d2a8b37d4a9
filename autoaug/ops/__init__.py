"""Image operations: differentiable, batched, with one strength per image.

`OPS[name](images, strength, rng)` is what a policy uses; the functions of the same names take physical amounts.
`RANGES` holds the table with the largest amounts of other papers. See `_table.py` for the rows, and `_contract.py`
for what every operation accepts.
"""

from autoaug.ops._clouds import fog, plasma_brightness, plasma_contrast, plasma_shadow
from autoaug.ops._discrete import auto_contrast, equalize, posterize, solarize
from autoaug.ops._followers import affine_mask, affine_points
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
    zoom,
    zoom_x,
    zoom_y,
)
from autoaug.ops._jpeg import jpeg
from autoaug.ops._kornia import elastic, gamma, gaussian_blur, motion_blur, perspective, planckian_jitter
from autoaug.ops._photometric import brightness, color, contrast, grayscale, grey, hue, invert, saturation, sharpness
from autoaug.ops._stochastic import channel_shuffle, crop, cutout, gaussian_noise, random_erasing, salt_and_pepper
from autoaug.ops._table import EXTENDED, OPS, RANGES, Op

__all__ = [
    "EXTENDED",
    "OPS",
    "RANGES",
    "Op",
    "affine",
    "affine_mask",
    "affine_points",
    "auto_contrast",
    "brightness",
    "channel_shuffle",
    "color",
    "compose",
    "contrast",
    "crop",
    "cutout",
    "elastic",
    "equalize",
    "fog",
    "gamma",
    "gaussian_blur",
    "gaussian_noise",
    "grayscale",
    "grey",
    "hflip",
    "hue",
    "invert",
    "jpeg",
    "motion_blur",
    "perspective",
    "planckian_jitter",
    "plasma_brightness",
    "plasma_contrast",
    "plasma_shadow",
    "posterize",
    "random_erasing",
    "rotate",
    "salt_and_pepper",
    "saturation",
    "sharpness",
    "shear_x",
    "shear_y",
    "solarize",
    "translate_x",
    "translate_y",
    "unmoved",
    "vflip",
    "zoom",
    "zoom_x",
    "zoom_y",
]
