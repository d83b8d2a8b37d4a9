"""A policy in the words of kornia.augmentation, as text: kornia is not imported."""

import math

from autoaug.export._code import Brackets, call
from autoaug.export._export import PIXELS, Export
from autoaug.export._target import ExportTarget, OpExport, kelvin, translate
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
CLOUD = "the clouds of plasma operations are drawn in another way"
ROUGH = (0.5, 0.5)
ANGLE = "shears draw an angle uniformly, not its tangent"


def to_kornia(tree: PolicyTree) -> Export:
    """Return a file of Python that defines the policy as nested `kornia.augmentation.ImageSequential`.

    Exact are operations in turn. A choice, and the sign of an amount that is fixed, is drawn once for a whole batch.
    """
    return translate(tree, KORNIA)


def degrees(low: float, high: float) -> tuple[float, float]:
    """Return angles from their tangents."""
    return math.degrees(math.atan(low)), math.degrees(math.atan(high))


def steps(low: float, high: float) -> list[int]:
    """Return the rows of kornia's colour temperatures, 3 000 K and every 500, between two amounts; at least one."""
    first, last = (round((kelvin(amount) - 3000) / 500) for amount in (low, high))
    return list(range(first, last + 1))


def jitter(argument: str) -> OpExport:
    """Make one of the adjustments of ColorJitter, which are torchvision's."""
    return OpExport(lambda low, high, p: call("K.ColorJitter", **{argument: (1 + low, 1 + high)}, p=p))


def stretch(axis: str) -> OpExport:
    """Make a magnification of one axis, "x" or "y"; the other keeps its size."""

    def code(low: float, high: float, p: float) -> Brackets:
        factors, one = (math.exp(low), math.exp(high)), (1.0, 1.0)
        return call("K.RandomAffine", degrees=0.0, scale=(*factors, *one) if axis == "x" else (*one, *factors), p=p)

    return OpExport(code, lost_in_ranges=f"zoom_{axis} draws a factor uniformly, not its logarithm")


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
    "zoom": OpExport(
        lambda low, high, p: call("K.RandomAffine", degrees=0.0, scale=(math.exp(low), math.exp(high)), p=p),
        lost_in_ranges="zoom draws a factor uniformly, not its logarithm",
    ),
    "zoom_x": stretch("x"),
    "zoom_y": stretch("y"),
    "perspective": OpExport(
        lambda low, high, p: call("K.RandomPerspective", distortion_scale=high, p=p),
        lost="perspective moves the centres of the pixels in the corners",
        lost_in_ranges="perspective has one distortion, the largest of the range",
    ),
    "random_erasing": OpExport(
        lambda low, high, p: call("K.RandomErasing", scale=(low * low, high * high), ratio=(0.3, 1 / 0.3), p=p),
        lost="random_erasing covers whole pixels, and draws its proportions uniformly, not their logarithm",
        lost_in_ranges="random_erasing draws an area uniformly, not its root",
    ),
    "jpeg": OpExport(
        lambda low, high, p: call("K.RandomJPEG", jpeg_quality=(100 - high, 100 - low), p=p),
        lost="jpeg rounds softly, so that it has a derivative",
    ),
    "salt_and_pepper": OpExport(
        lambda low, high, p: call("K.RandomSaltAndPepperNoise", amount=(low, high), salt_vs_pepper=(0.5, 0.5), p=p)
    ),
    "gamma": OpExport(
        lambda low, high, p: call("K.RandomGamma", gamma=(2**low, 2**high), p=p),
        lost_in_ranges="gamma draws a power uniformly, not its logarithm",
    ),
    "grayscale": OpExport(lambda low, high, p: call("K.RandomGrayscale", p=p)),
    "channel_shuffle": OpExport(
        lambda low, high, p: call("K.RandomChannelShuffle", p=p), lost="channel_shuffle goes all the way"
    ),
    "planckian_jitter": OpExport(
        lambda low, high, p: call("K.RandomPlanckianJitter", mode="blackbody", select_from=steps(low, high), p=p),
        lost="planckian_jitter has steps of 500 K, of which 6 500 K is a little reddish",
    ),
    "plasma_brightness": OpExport(
        lambda low, high, p: call("K.RandomPlasmaBrightness", roughness=ROUGH, intensity=(low, high), p=p), lost=CLOUD
    ),
    "plasma_contrast": OpExport(
        lambda low, high, p: call("K.RandomPlasmaContrast", roughness=ROUGH, p=p),
        lost=f"plasma_contrast goes all the way, and {CLOUD}",
    ),
    "plasma_shadow": OpExport(
        lambda low, high, p: call("K.RandomPlasmaShadow", roughness=ROUGH, shade_intensity=(-high, -low), p=p),
        lost=CLOUD,
    ),
}
REFUSED = {
    "elastic": PIXELS, "gaussian_blur": PIXELS, "motion_blur": PIXELS, "fog": "kornia has no fog",
}  # fmt: skip

KORNIA = ExportTarget(
    rows=ROWS,
    refused=REFUSED,
    whole=lambda code: call("in_turn", code),
    doc=DOC,
    imports=IMPORTS,
    lost_in_choices="choices, and the signs of fixed amounts, are drawn once for a batch, not for each image",
)
