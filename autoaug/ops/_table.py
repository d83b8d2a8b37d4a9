"""OPS, the table of image operations: one row per operation, and RANGES, the same rows with other largest amounts.

The lists elsewhere (what a policy may choose, what a paper searches, what is tested) are derived from this table.
A new operation is a function and a row here; the laws of `autoaug.testing.OpTestCase` then hold for it or fail.
"""

import math
from collections import ChainMap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from torch import Generator, Tensor

from autoaug.ops._clouds import fog, plasma_brightness, plasma_contrast, plasma_shadow
from autoaug.ops._contract import per_image
from autoaug.ops._discrete import auto_contrast, equalize, posterize, solarize
from autoaug.ops._geometric import (
    hflip,
    hflip_matrix,
    rotate,
    rotate_matrix,
    shear_x,
    shear_x_matrix,
    shear_y,
    shear_y_matrix,
    translate_x,
    translate_x_matrix,
    translate_y,
    translate_y_matrix,
    vflip,
    vflip_matrix,
    zoom,
    zoom_matrix,
    zoom_x,
    zoom_x_matrix,
    zoom_y,
    zoom_y_matrix,
)
from autoaug.ops._jpeg import jpeg
from autoaug.ops._kornia import elastic, gamma, gaussian_blur, motion_blur, perspective, planckian_jitter
from autoaug.ops._photometric import brightness, color, contrast, grayscale, hue, invert, saturation, sharpness
from autoaug.ops._stochastic import (
    channel_shuffle,
    crop,
    crop_matrix,
    cutout,
    gaussian_noise,
    random_erasing,
    salt_and_pepper,
)


@dataclass(frozen=True)
class Op:
    """Apply an image operation at a strength: how far it goes at strength 1, and what its gradient is, stand here.

    `op(images, strength, rng)` turns images [B, C, H, W] in [0, 1] into images of the same shape and dtype, with
    strengths [B] in [-1, 1] where `signed`, else in [0, 1]; strength 0 is the identity. It calls
    `function(images, strength * most)`, or `function(images, strength * most, rng)` where `random`, or
    `function(images)` where `most` is None: such an operation has no strength and ignores the one it is given.
    """

    name: str
    function: Callable[..., Tensor]
    most: float | None
    """The physical amount at strength 1, in `unit`."""
    unit: str
    signed: bool
    gradient: Literal["exact", "straight-through"]
    """What stands in for the derivative of a straight-through row is in the docstring of its function."""
    source: str
    random: bool = False
    matrix: Callable[[Tensor, int, int], Tensor] | None = None
    """Geometric rows: (amounts [B] in `unit`, H, W) -> [B, 2, 3], with which `affine(images, matrix)` is `function`.
    So images of one batch that need different geometric rows can share one `affine`, and consecutive rows can be
    joined by `compose`."""
    moves: Callable[[Tensor, int, int, Generator], Tensor] | None = None
    """Rows that move pixels by an affine map, but not through `affine`: (amounts [B] in `unit`, H, W, the generator in
    the state in which the row meets it) -> [B, 2, 3]. Masks and boxes follow it."""
    bends: bool = False
    """Rows that move pixels by what is no affine map: no box can follow."""

    def __call__(self, images: Tensor, strength: Tensor, rng: Generator | None = None) -> Tensor:
        """Apply to each image at its own strength; ValueError for wrong shapes and for a missing generator."""
        strength = per_image(images, strength, name=f"strength of {self.name}")
        return self.at(images, strength * (self.most or 0.0), rng)

    def at(self, images: Tensor, amount: Tensor, rng: Generator | None = None) -> Tensor:
        """Apply to each image at its own physical amount [B], in `unit`."""
        if self.most is None:
            return self.function(images)
        if not self.random:
            return self.function(images, amount)
        if rng is None:
            raise ValueError(f"{self.name} draws for each image: pass a torch.Generator as third argument")
        return self.function(images, amount, rng)


_AUTOAUGMENT = "Cubuk et al. 2019, AutoAugment: Learning Augmentation Strategies from Data, table 6"
_STANDARD = "He et al. 2016, Deep Residual Learning for Image Recognition, section 4.2"
_ONLINE = "Mounsaveng et al. 2021, Learning Data Augmentation with Online Bilevel Optimization"
_ENTRIES = f"{_ONLINE}: the scale of one axis, an entry of an affine matrix; the amount is that of zoom"
_CUTOUT = "DeVries and Taylor 2017, Improved Regularization with Cutout: 16 of 32 pixels"
_NNUNET = "Isensee et al. 2021, nnU-Net: a self-configuring method, supplement: scaling up to 1.4, gamma up to 1.5"
_PERSPECTIVE = "the default of RandomPerspective in torchvision and kornia: distortion_scale 0.5"
_ELASTIC = "Simard et al. 2003, Best Practices for Convolutional Neural Networks: alpha 34 and sigma 4 on 29 pixels"
_ERASING = "Zhong et al. 2020, Random Erasing; the default of torchvision and kornia: a third of the area"
_CIFAR_C = "Hendrycks and Dietterich 2019, Benchmarking Neural Network Robustness, CIFAR-10-C, severity 5"
_IMAGENET_C = "Hendrycks and Dietterich 2019, Benchmarking Neural Network Robustness, ImageNet-C, severity 5"
_SIMCLR = "Chen et al. 2020, A Simple Framework for Contrastive Learning, appendix A"
_PLANCKIAN = "Zini et al. 2023, Planckian Jitter: 3 000 to 15 000 K"
_TORMENTOR = "Nicolaou et al. 2022, TorMentor, through kornia: half of its largest intensity"
_SHUFFLE = "RandomChannelShuffle in kornia, ChannelShuffle in albumentations"
_NOISE = "Zhang et al. 2018, mixup: Beyond Empirical Risk Minimization, table 5 (0.05, 0.1 and 0.2)"

# fmt: off
_CLASSIC = (
    #   name              function        most   unit                  signed gradient            source
    Op("shear_x",         shear_x,        0.3,   "tangent",            True,  "exact",            _AUTOAUGMENT,
       matrix=shear_x_matrix),
    Op("shear_y",         shear_y,        0.3,   "tangent",            True,  "exact",            _AUTOAUGMENT,
       matrix=shear_y_matrix),
    Op("translate_x",     translate_x,    0.45,  "of the width",       True,  "exact",            _AUTOAUGMENT,
       matrix=translate_x_matrix),
    Op("translate_y",     translate_y,    0.45,  "of the height",      True,  "exact",            _AUTOAUGMENT,
       matrix=translate_y_matrix),
    Op("rotate",          rotate,         30.0,  "degrees",            True,  "exact",            _AUTOAUGMENT,
       matrix=rotate_matrix),
    Op("invert",          invert,         None,  "",                   False, "exact",            _AUTOAUGMENT),
    Op("auto_contrast",   auto_contrast,  None,  "",                   False, "straight-through", _AUTOAUGMENT),
    Op("equalize",        equalize,       None,  "",                   False, "straight-through", _AUTOAUGMENT),
    Op("solarize",        solarize,       1.0,   "of the range",       False, "straight-through", _AUTOAUGMENT),
    Op("color",           color,          0.9,   "factor - 1",         True,  "exact",            _AUTOAUGMENT),
    Op("posterize",       posterize,      4.0,   "bits removed",       False, "straight-through", _AUTOAUGMENT),
    Op("contrast",        contrast,       0.9,   "factor - 1",         True,  "exact",            _AUTOAUGMENT),
    Op("brightness",      brightness,     0.9,   "factor - 1",         True,  "exact",            _AUTOAUGMENT),
    Op("sharpness",       sharpness,      0.9,   "factor - 1",         True,  "exact",            _AUTOAUGMENT),
    Op("hue",             hue,            0.5,   "turns",              True,  "exact",            _ONLINE),
    Op("saturation",      saturation,     0.9,   "factor - 1",         True,  "exact",            _ONLINE),
    Op("cutout",          cutout,         0.5,   "of the shorter side", False, "exact",           _CUTOUT,
       random=True),
    Op("hflip",           hflip,          None,  "",                   False, "exact",            _STANDARD,
       moves=hflip_matrix),
    Op("vflip",           vflip,          None,  "",                   False, "exact",            _ONLINE,
       moves=vflip_matrix),
    Op("gaussian_noise",  gaussian_noise, 0.2,   "standard deviation", False, "exact",            _NOISE,
       random=True),
    Op("crop",            crop,           0.125, "of the size, padded", False, "straight-through", _STANDARD,
       random=True, moves=crop_matrix),
)
_EXTENDED = (
    Op("zoom",            zoom,              0.336, "log of the scale",      True,  "exact",            _NNUNET,
       matrix=zoom_matrix),
    Op("zoom_x",          zoom_x,            0.336, "log of the scale",      True,  "exact",            _ENTRIES,
       matrix=zoom_x_matrix),
    Op("zoom_y",          zoom_y,            0.336, "log of the scale",      True,  "exact",            _ENTRIES,
       matrix=zoom_y_matrix),
    Op("perspective",     perspective,       0.5,   "of half the size",      False, "exact",            _PERSPECTIVE,
       random=True, bends=True),
    Op("elastic",         elastic,           0.048, "of the shorter side",   False, "exact",            _ELASTIC,
       random=True, bends=True),
    Op("random_erasing",  random_erasing,    0.577, "root of the area",      False, "exact",            _ERASING,
       random=True),
    Op("gaussian_blur",   gaussian_blur,     1/32,  "of the shorter side",   False, "exact",            _CIFAR_C),
    Op("motion_blur",     motion_blur,       0.09,  "of the shorter side",   False, "exact",            _IMAGENET_C,
       random=True),
    Op("jpeg",            jpeg,              60.0,  "points of quality",     False, "straight-through", _CIFAR_C),
    Op("salt_and_pepper", salt_and_pepper,   0.07,  "of the pixels",         False, "straight-through", _CIFAR_C,
       random=True),
    Op("gamma",           gamma,             0.585, "log2 of the power",     True,  "exact",            _NNUNET),
    Op("grayscale",       grayscale,         None,  "",                      False, "exact",            _SIMCLR),
    Op("channel_shuffle", channel_shuffle,   1.0,   "of the way",            False, "exact",            _SHUFFLE,
       random=True),
    Op("planckian_jitter", planckian_jitter, 1.0,   "of 3 000 or 15 000 K",  True,  "exact",            _PLANCKIAN),
    Op("plasma_brightness", plasma_brightness,0.5,   "of the range",          False, "exact",            _TORMENTOR,
       random=True),
    Op("plasma_contrast", plasma_contrast,   0.5,   "of the way to 0 or 4",  False, "exact",            _TORMENTOR,
       random=True),
    Op("plasma_shadow",   plasma_shadow,     0.5,   "of the range",          False, "exact",            _TORMENTOR,
       random=True),
    Op("fog",             fog,               1.5,   "of white",              False, "exact",            _CIFAR_C,
       random=True),
)
# fmt: on

OPS: dict[str, Op] = {row.name: row for row in (*_CLASSIC, *_EXTENDED)}

EXTENDED: tuple[str, ...] = tuple(row.name for row in _EXTENDED)
"""The rows beyond those of AutoAugment and its successors. No published policy has them: who wants them names them."""


def _reaching(source: str, **most: float) -> Mapping[str, Op]:
    """Return OPS with other largest amounts for the rows named; a row that is added to OPS later is in it too."""
    return ChainMap({name: replace(OPS[name], most=amount, source=source) for name, amount in most.items()}, OPS)


RANGES: dict[str, Mapping[str, Op]] = {
    "autoaugment": OPS,
    # Posterize keeps 2 bits. The paper translates by 32 pixels whatever the image; here an amount is relative to
    # the image, so its value on the 32-pixel images it was made for holds at every size: the whole side.
    "wide": _reaching(
        "Müller and Hutter 2021, TrivialAugment, wide augmentation space, table 1",
        shear_x=0.99, shear_y=0.99, translate_x=1.0, translate_y=1.0, rotate=135.0, posterize=6.0,
        color=0.99, contrast=0.99, brightness=0.99, sharpness=0.99,
    ),
    # Like OPS, but the four blends reach their ends (factors 0 and 2) and posterize removes all bits. The code
    # itself never posterized and solarized backwards; these are the amounts it meant.
    "faster": _reaching(
        "Hataya et al. 2020, Faster AutoAugment, the authors' code",
        color=1.0, contrast=1.0, brightness=1.0, sharpness=1.0, posterize=8.0,
    ),
    # The rows of EXTENDED as far as the literature goes; the others are AutoAugment's. ImageNet-C's blur and motion
    # are no larger, relative to the image, than those of CIFAR-10-C and of OPS.
    "extended": _reaching(
        f"{_IMAGENET_C}; zoom Ghiasi et al. 2021, Simple Copy-Paste (up to 2); gamma up to 2; TorMentor in full",
        zoom=math.log(2), jpeg=93.0, salt_and_pepper=0.27, fog=3.0, gamma=1.0,
        plasma_brightness=1.0, plasma_contrast=1.0, plasma_shadow=1.0,
    ),
}  # fmt: skip
