"""A policy in the words of albumentations, as text: it is no dependency, and nobody maintains it since June 2025."""

import math

from autoaug.export._code import Brackets, call, listing
from autoaug.export._export import PIXELS as UNKNOWN_SIZE
from autoaug.export._export import Export
from autoaug.export._target import ExportTarget, OpExport, kelvin, translate
from autoaug.policy import PolicyTree

DOC = """An augmentation policy for albumentations 2.0.8, its last release.

`policy(image=image)["image"]`, or one of the `policies` by the first epoch of each,
takes an array [H, W, C] of uint8, or of float32 in [0, 1].
"""
IMPORTS = """import albumentations as A


def in_turn(*transforms):
    return A.Sequential(list(transforms), p=1.0)


def one_of(*options):
    # OneOf takes the p of its children as weights, and forces them to happen
    total = sum(weight for weight, _ in options)
    return A.OneOf([A.Sequential([each], p=w / total) for w, each in options], p=1.0)
"""
ANGLE = "shears draw an angle uniformly, not its tangent"
PIXELS = "translations are cut to whole pixels"
CLOUD = "the clouds of plasma operations are drawn in another way"
HISTOGRAM = "auto_contrast and equalize differ by a few 8-bit levels"


def to_albumentations(tree: PolicyTree) -> Export:
    """Return a file of Python that defines the policy as nested `OneOf` and `Sequential`.

    A choice is drawn for every image, so the structure is exact; what the operations lose is listed.
    """
    return translate(tree, ALBUMENTATIONS)


def jitter(argument: str, lost: str = "") -> OpExport:
    """Make one of the adjustments of ColorJitter, which are torchvision's; the others stay neutral."""

    def code(low: float, high: float, p: float) -> Brackets:
        limits = (low, high) if argument == "hue" else (1 + low, 1 + high)
        neutral: dict[str, object] = dict.fromkeys(("brightness", "contrast", "saturation"), (1, 1))
        return call("A.ColorJitter", **neutral | {"hue": (0, 0), argument: limits}, p=p)

    return OpExport(code, lost=lost)


def shear(axis: str) -> OpExport:
    """Make a shear along an axis, "x" or "y"."""
    neutral = {"x": (0.0, 0.0), "y": (0.0, 0.0)}

    def code(low: float, high: float, p: float) -> Brackets:
        angles = math.degrees(math.atan(low)), math.degrees(math.atan(high))
        return call("A.Affine", shear=neutral | {axis: angles}, p=p)

    return OpExport(code, lost_in_ranges=ANGLE)


def translation(axis: str) -> OpExport:
    """Make a translation along an axis, "x" or "y"."""
    neutral = {"x": (0.0, 0.0), "y": (0.0, 0.0)}
    return OpExport(
        lambda low, high, p: call("A.Affine", translate_percent=neutral | {axis: (low, high)}, p=p), lost=PIXELS
    )


def stretch(axis: str) -> OpExport:
    """Make a magnification of one axis, "x" or "y"; the other keeps its size."""
    neutral = {"x": (1.0, 1.0), "y": (1.0, 1.0)}
    return OpExport(
        lambda low, high, p: call("A.Affine", scale=neutral | {axis: (math.exp(low), math.exp(high))}, p=p),
        lost_in_ranges=f"zoom_{axis} draws a factor uniformly, not its logarithm",
    )


def posterize(low: float, high: float, p: float) -> Brackets:
    """Return Posterize, which counts the bits that are kept."""
    return call("A.Posterize", num_bits=(8 - round(high), 8 - round(low)), p=p)


def sharpness(low: float, high: float, p: float) -> Brackets:
    """Return Sharpen, the same kernel with another factor; below zero, a Gaussian of the same central weight."""
    if low >= 0:
        return call("A.Sharpen", alpha=(low / 13, high / 13), lightness=(1.0, 1.0), p=p)
    return call("A.GaussianBlur", blur_limit=(3, 3), sigma_limit=(deviation(-high), deviation(-low)), p=p)


def deviation(amount: float) -> float:
    """Return the deviation in pixels of a 3 x 3 Gaussian whose centre weighs 1 - 8/13 amount.

    So does the blur of `autoaug.ops.sharpness`.
    """
    side = (1 - math.sqrt(1 - 8 / 13 * amount)) / 2
    return math.sqrt(-0.5 / math.log(side / (1 - 2 * side))) if side > 1e-9 else 0.1


def quality(low: float, high: float, p: float) -> Brackets:
    """Return ImageCompression, whose quality is a whole number."""
    return call("A.ImageCompression", compression_type="jpeg", quality_range=(100 - round(high), 100 - round(low)), p=p)


def light(low: float, high: float, p: float) -> Brackets:
    """Return PlanckianJitter between two temperatures, between which 6 000 K must lie."""
    limits = min(round(kelvin(low)), 6000), max(round(kelvin(high)), 6000)
    return call("A.PlanckianJitter", mode="blackbody", temperature_limit=limits, sampling_method="uniform", p=p)


def plasma(argument: str) -> OpExport:
    """Make one of the two adjustments of PlasmaBrightnessContrast; the other stays neutral."""
    neutral: dict[str, object] = {"brightness_range": (0.0, 0.0), "contrast_range": (0.0, 0.0)}
    return OpExport(
        lambda low, high, p: call("A.PlasmaBrightnessContrast", **neutral | {argument: (low, high)}, p=p), lost=CLOUD
    )


def cutout(low: float, high: float, p: float) -> Brackets:
    """Return CoarseDropout with one black hole."""
    side = (low, high)
    return call("A.CoarseDropout", num_holes_range=(1, 1), hole_height_range=side, hole_width_range=side, fill=0, p=p)


ROWS: dict[str, OpExport] = {
    "shear_x": shear("x"),
    "shear_y": shear("y"),
    "translate_x": translation("x"),
    "translate_y": translation("y"),
    "rotate": OpExport(lambda low, high, p: call("A.Affine", rotate=(low, high), p=p)),
    "invert": OpExport(lambda low, high, p: call("A.InvertImg", p=p)),
    "auto_contrast": OpExport(lambda low, high, p: call("A.AutoContrast", cutoff=0, method="pil", p=p), lost=HISTOGRAM),
    "equalize": OpExport(lambda low, high, p: call("A.Equalize", mode="pil", p=p), lost=HISTOGRAM),
    "solarize": OpExport(lambda low, high, p: call("A.Solarize", threshold_range=(1 - high, 1 - low), p=p)),
    "color": jitter("saturation"),
    "posterize": OpExport(posterize, lost_in_ranges="posterize draws all numbers of bits equally often"),
    "contrast": jitter("contrast"),
    "brightness": jitter("brightness"),
    "sharpness": OpExport(
        sharpness,
        lost="sharpness changes the border too, and below zero it is a Gaussian blur of about the same strength",
        splits=True,
    ),
    "hue": jitter("hue", lost="hue has 180 steps on 8-bit images"),
    "saturation": jitter("saturation", lost="saturation is that of color, not of HSV"),
    "cutout": OpExport(
        cutout,
        lost="cutout lies wholly inside the image, and is square only where the image is",
        lost_in_ranges="cutout draws height and width apart",
    ),
    "hflip": OpExport(lambda low, high, p: call("A.HorizontalFlip", p=p)),
    "vflip": OpExport(lambda low, high, p: call("A.VerticalFlip", p=p)),
    "gaussian_noise": OpExport(
        lambda low, high, p: call("A.GaussNoise", std_range=(low, high), p=p),
        lost="gaussian_noise is about 2 % weaker on 8-bit images",
    ),
    "crop": OpExport(
        lambda low, high, p: call("A.Affine", translate_percent={"x": (-high, high), "y": (-high, high)}, p=p),
        lost="crop does not reach its outermost places, and leaves the image where it is twice as often",
        lost_in_ranges="crop has one padding, the largest of the range",
    ),
    "zoom": OpExport(
        lambda low, high, p: call("A.Affine", scale=(math.exp(low), math.exp(high)), p=p),
        lost_in_ranges="zoom draws a factor uniformly, not its logarithm",
    ),
    "zoom_x": stretch("x"),
    "zoom_y": stretch("y"),
    "perspective": OpExport(
        lambda low, high, p: call("A.Perspective", scale=(low / 4, high / 4), fit_output=False, keep_size=True, p=p),
        lost="perspective draws its corners from a normal distribution, and cuts what lies outside of them",
    ),
    "random_erasing": OpExport(
        lambda low, high, p: call("A.Erasing", scale=(low * low, high * high), ratio=(0.3, 1 / 0.3), fill=0, p=p),
        lost="random_erasing covers whole pixels",
        lost_in_ranges="random_erasing draws an area uniformly, not its root",
    ),
    "jpeg": OpExport(quality, lost="jpeg has a quality that is a whole number"),
    "salt_and_pepper": OpExport(
        lambda low, high, p: call("A.SaltAndPepper", amount=(low, high), salt_vs_pepper=(0.5, 0.5), p=p),
        lost="salt_and_pepper has a fixed number of pixels, not a probability of each",
    ),
    "gamma": OpExport(
        lambda low, high, p: call("A.RandomGamma", gamma_limit=(100 * 2**low, 100 * 2**high), p=p),
        lost_in_ranges="gamma draws a power uniformly, not its logarithm",
    ),
    "grayscale": OpExport(lambda low, high, p: call("A.ToGray", p=p)),
    "channel_shuffle": OpExport(
        lambda low, high, p: call("A.ChannelShuffle", p=p), lost="channel_shuffle goes all the way"
    ),
    "planckian_jitter": OpExport(light, lost="planckian_jitter has a table of its own, and draws from 6 000 K on"),
    "plasma_brightness": plasma("brightness_range"),
    "plasma_contrast": plasma("contrast_range"),
    "plasma_shadow": OpExport(
        lambda low, high, p: call("A.PlasmaShadow", shadow_intensity_range=(low, high), p=p),
        lost=f"plasma_shadow darkens by degrees, and {CLOUD}",
    ),
}
REFUSED = {
    "elastic": UNKNOWN_SIZE,
    "gaussian_blur": UNKNOWN_SIZE,
    "motion_blur": UNKNOWN_SIZE,
    "fog": "albumentations draws its fog as circles",
}

ALBUMENTATIONS = ExportTarget(
    rows=ROWS,
    refused=REFUSED,
    whole=lambda code: call("A.Compose", listing([code])),
    doc=DOC,
    imports=IMPORTS,
    lost_between="8-bit images are rounded after every operation",
)
