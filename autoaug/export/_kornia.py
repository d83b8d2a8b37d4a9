"""A policy in the words of kornia.augmentation, as text: kornia is not imported."""

import math

from autoaug.export._code import call
from autoaug.export._export import Export
from autoaug.export._target import ExportTarget, OpExport, translate
from autoaug.policy import PolicyTree

DOC = """An augmentation policy for kornia 0.8.2 or newer.

`policy`, or one of the `policies` by the first epoch of each, takes floats in [0, 1] of
shape [B, C, H, W], and draws from torch's global generator.
"""
IMPORTS = """import kornia.augmentation as K

in_turn = K.ImageSequential


def one_of(*options):
    weights, transforms = zip(*options, strict=True)
    return in_turn(*transforms, random_apply=1, random_apply_weights=weights)
"""
LEVELS = "equalize, auto_contrast and posterize read values between two 8-bit levels in their own way"
ANGLE = "shears draw an angle uniformly, not its tangent"


def to_kornia(tree: PolicyTree) -> Export:
    """Return a file of Python that defines the policy as nested `kornia.augmentation.ImageSequential`.

    Exact are operations in turn. A choice, and the sign of an amount that is fixed, is drawn once for a whole batch.
    """
    return translate(tree, KORNIA)


def degrees(low: float, high: float) -> tuple[float, float]:
    """Return angles from their tangents."""
    return math.degrees(math.atan(low)), math.degrees(math.atan(high))


def jitter(argument: str) -> OpExport:
    """Make one of the adjustments of ColorJitter, which are torchvision's."""
    return OpExport(lambda low, high, p: call("K.ColorJitter", **{argument: (1 + low, 1 + high)}, p=p))


ROWS: dict[str, OpExport] = {
    "shear_x": OpExport(
        lambda low, high, p: call("K.RandomShear", shear=(*degrees(low, high), 0.0, 0.0), p=p), lost_in_ranges=ANGLE
    ),
    "shear_y": OpExport(
        lambda low, high, p: call("K.RandomShear", shear=(0.0, 0.0, *degrees(low, high)), p=p), lost_in_ranges=ANGLE
    ),
    "translate_x": OpExport(lambda low, high, p: call("K.RandomTranslate", translate_x=(low, high), p=p)),
    "translate_y": OpExport(lambda low, high, p: call("K.RandomTranslate", translate_y=(low, high), p=p)),
    "rotate": OpExport(lambda low, high, p: call("K.RandomRotation", degrees=(low, high), p=p)),
    "invert": OpExport(lambda low, high, p: call("K.RandomInvert", p=p)),
    "auto_contrast": OpExport(lambda low, high, p: call("K.RandomAutoContrast", p=p), lost_between=LEVELS),
    "equalize": OpExport(lambda low, high, p: call("K.RandomEqualize", p=p), lost_between=LEVELS),
    "solarize": OpExport(
        lambda low, high, p: call("K.RandomSolarize", thresholds=(1 - high, 1 - low), additions=(0.0, 0.0), p=p)
    ),
    "color": jitter("saturation"),
    "posterize": OpExport(
        lambda low, high, p: call("K.RandomPosterize", bits=(8 - high, 8 - low), p=p), lost_between=LEVELS
    ),
    "contrast": jitter("contrast"),
    "brightness": jitter("brightness"),
    "sharpness": OpExport(lambda low, high, p: call("K.RandomSharpness", sharpness=(1 + low, 1 + high), p=p)),
    "hue": OpExport(lambda low, high, p: call("K.RandomHue", hue=(low, high), p=p)),
    "saturation": OpExport(lambda low, high, p: call("K.RandomSaturation", saturation=(1 + low, 1 + high), p=p)),
    "cutout": OpExport(
        lambda low, high, p: call("K.RandomErasing", scale=(low * low, high * high), ratio=(1.0, 1.0), p=p),
        lost="cutout's square lies wholly inside the image, and its side is right only where images are square",
        lost_in_ranges="cutout draws an area uniformly, not a side",
    ),
    "hflip": OpExport(lambda low, high, p: call("K.RandomHorizontalFlip", p=p)),
    "vflip": OpExport(lambda low, high, p: call("K.RandomVerticalFlip", p=p)),
    "gaussian_noise": OpExport(
        lambda low, high, p: call("K.RandomGaussianNoise", mean=0.0, std=(low + high) / 2, p=p),
        lost="gaussian_noise is not cut to [0, 1]",
        lost_in_ranges="gaussian_noise has one deviation, the middle of the range",
    ),
    "crop": OpExport(
        lambda low, high, p: call(
            "K.RandomTranslate", translate_x=(-high, high), translate_y=(-high, high), resample="NEAREST", p=p
        ),
        lost="crop reaches its outermost places half as often as the others",
        lost_in_ranges="crop has one padding, the largest of the range",
    ),
}

KORNIA = ExportTarget(
    rows=ROWS,
    whole=lambda code: call("in_turn", code),
    doc=DOC,
    imports=IMPORTS,
    lost_in_choices="choices, and the signs of fixed amounts, are drawn once for a batch, not for each image",
)
