"""The text of an exported torchvision file comes from here: it is this module without what a policy does not use.

So everything below is ordinary code that is linted, typed and tested where it stands. It must not import autoaug, and
its lines must fit into 88 columns, the width that formatters expect of a file without a project. Comments between the
definitions are not exported; those inside them are.

    B batch, C channels, H height, W width
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import PIL.Image
import torch
from torch import Generator, Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F


@dataclass(frozen=True)
class Apply:
    """One operation, with a probability.

    The amount is fixed, or uniform between two bounds. With `mirror` half of the images
    get it with the other sign; `random` operations draw themselves, from a seed.
    """

    operation: Callable[..., Tensor]
    amount: float | tuple[float, float] | None = None
    probability: float = 1.0
    mirror: bool = False
    random: bool = False


@dataclass(frozen=True)
class InTurn:
    """Nodes one after the other; without any, nothing happens."""

    nodes: list["Node"]


@dataclass(frozen=True)
class OneOf:
    """One of several nodes, with a probability in proportion to its weight."""

    options: list[tuple[float, "Node"]]


Node = Apply | InTurn | OneOf


def warp(image: Tensor, **movement: Any) -> Tensor:
    """Move pixels: bilinear, black outside."""
    still = {"angle": 0.0, "translate": [0.0, 0.0], "scale": 1.0, "shear": [0.0, 0.0]}
    bilinear = v2.InterpolationMode.BILINEAR
    return F.affine(image, **still | movement, interpolation=bilinear).clamp(max=1)


def shear_x(image: Tensor, tangent: float) -> Tensor:
    """Slide rows sideways, about the centre."""
    return warp(image, shear=[math.degrees(math.atan(tangent)), 0.0])


def shear_y(image: Tensor, tangent: float) -> Tensor:
    """Slide columns up or down, about the centre."""
    return warp(image, shear=[0.0, math.degrees(math.atan(tangent))])


def translate_x(image: Tensor, fraction: float) -> Tensor:
    """Move to the right by a fraction of the width."""
    return warp(image, translate=[fraction * image.shape[2], 0.0])


def translate_y(image: Tensor, fraction: float) -> Tensor:
    """Move down by a fraction of the height."""
    return warp(image, translate=[0.0, fraction * image.shape[1]])


def rotate(image: Tensor, degrees: float) -> Tensor:
    """Turn about the centre, counter-clockwise."""
    return warp(image, angle=-degrees)


def invert(image: Tensor) -> Tensor:
    return 1 - image


def hflip(image: Tensor) -> Tensor:
    return F.horizontal_flip(image)


def vflip(image: Tensor) -> Tensor:
    return F.vertical_flip(image)


def on_levels(image: Tensor, operation: Callable[..., Tensor], *more: Any) -> Tensor:
    """Apply an operation to the nearest 8-bit levels."""
    levels = image.mul(255).round().to(torch.uint8)
    return operation(levels, *more).to(image.dtype) / 255


def auto_contrast(image: Tensor) -> Tensor:
    """Stretch each channel over all levels."""
    return on_levels(image, F.autocontrast)


def equalize(image: Tensor) -> Tensor:
    """Flatten the histogram of each channel."""
    return on_levels(image, F.equalize)


def posterize(image: Tensor, bits: float) -> Tensor:
    """Set the lowest bits of each level to zero, rounded to a whole number of bits."""
    removed = min(max(round(bits), 0), 8)
    return on_levels(image, F.posterize, 8 - removed) if removed else image


def solarize(image: Tensor, fraction: float) -> Tensor:
    """Invert the brightest fraction of the range."""
    # a pixel on the threshold is inverted, whatever the last bit of the fraction
    return F.solarize(image, 1 - fraction - 1e-6) if fraction > 0 else image


def blend(image: Tensor, pivot: Tensor | float, amount: float) -> Tensor:
    """Move away from the pivot by 1 + amount: -1 is the pivot, 0 the image."""
    return (image + amount * (image - pivot)).clamp(0, 1)


def grey(image: Tensor) -> Tensor:
    if image.shape[0] == 1:
        return image
    red, green, blue = image.split(1)
    return 0.299 * red + 0.587 * green + 0.114 * blue


def brightness(image: Tensor, amount: float) -> Tensor:
    return blend(image, 0.0, amount)


def contrast(image: Tensor, amount: float) -> Tensor:
    return blend(image, grey(image).mean(), amount)


def color(image: Tensor, amount: float) -> Tensor:
    return blend(image, grey(image), amount)


def sharpness(image: Tensor, amount: float) -> Tensor:
    return blend(image, F.adjust_sharpness(image, 0.0), amount)


def hue(image: Tensor, turn: float) -> Tensor:
    """Turn the hue by a fraction of the colour circle."""
    return F.adjust_hue(image, (turn + 0.5) % 1 - 0.5)


def saturation(image: Tensor, amount: float) -> Tensor:
    """Multiply the S of HSV by 1 + amount, at most to 1."""
    value = image.amax(0, keepdim=True)
    chroma = value - image.amin(0, keepdim=True)
    full = value / torch.where(chroma > 0, chroma, 1)
    return (value - (value - image) * full.clamp(max=1 + amount)).clamp(0, 1)


def uniform(seed: int) -> list[float]:
    """Return two numbers in [0, 1)."""
    return torch.rand(2, generator=Generator().manual_seed(seed)).tolist()


def cutout(image: Tensor, side: float, seed: int) -> Tensor:
    """Black out a square around a pixel; the side is a fraction of the shorter side."""
    covered = image.new_ones(())
    half = side * min(image.shape[1:]) / 2
    for axis, draw in zip((-1, -2), uniform(seed), strict=True):
        centre = int(draw * image.shape[axis])
        left = torch.arange(image.shape[axis], device=image.device)
        inside = (left + 1).clamp(max=centre + half) - left.clamp(min=centre - half)
        # a pixel that is covered in part is darkened in part
        covered = covered * inside.clamp(min=0).unsqueeze(-1 - axis).to(image.dtype)
    return image * (1 - covered)


def gaussian_noise(image: Tensor, deviation: float, seed: int) -> Tensor:
    """Add independent normal noise to every value."""
    noise = torch.randn(image.shape, generator=Generator().manual_seed(seed))
    return (image + deviation * noise.to(image)).clamp(0, 1)


def crop(image: Tensor, padding: float, seed: int) -> Tensor:
    """Pad with black by a fraction of the size, then crop to the old size anywhere."""
    _, height, width = image.shape
    across, down = round(padding * width), round(padding * height)
    x, y = uniform(seed)
    left, top = int(x * (2 * across + 1)), int(y * (2 * down + 1))
    return F.crop(F.pad(image, [across, down]), top, left, height, width)


POLICY: dict[int, Node] = {1: InTurn([])}


class DrawnOp(NamedTuple):
    """An operation with the arguments that were drawn for it."""

    operation: Callable[..., Tensor]
    arguments: tuple[float, ...]


def draw(node: Node, rng: Generator) -> list[DrawnOp]:
    """Return what happens to one image."""
    if isinstance(node, Apply):
        return draw_step(node, rng)
    if isinstance(node, InTurn):
        return [step for child in node.nodes for step in draw(child, rng)]
    weights = torch.tensor([w for w, _ in node.options], dtype=torch.double)
    _, chosen = node.options[int(torch.multinomial(weights, 1, generator=rng))]
    return draw(chosen, rng)


def draw_step(node: Apply, rng: Generator) -> list[DrawnOp]:
    """Return the operation where its gate is open, with amount, sign and seed."""
    gate, level, sign = torch.rand(3, generator=rng).tolist()
    if gate >= node.probability:
        return []
    if node.amount is None:
        return [DrawnOp(node.operation, ())]
    low, high = node.amount if isinstance(node.amount, tuple) else (node.amount,) * 2
    amount = low + (high - low) * level
    amount = -amount if node.mirror and sign < 0.5 else amount
    seed = (int(torch.randint(2**32, (), generator=rng)),) if node.random else ()
    return [DrawnOp(node.operation, (amount, *seed))]


@lru_cache(maxsize=1)
def generator(seed: int) -> Generator:
    """Return the generator of a process, from the seed that torch has there.

    DataLoader gives every worker a seed of its own, so no two workers draw the same,
    and torch's global generator is left alone. The constant keeps the numbers apart
    from those of the global generator, which has the same seed.
    """
    return Generator().manual_seed(seed ^ 0x5EED_0A06)


def to_tensor(inpt: Any) -> Tensor:
    """Return the images of an input, of any number of leading dimensions."""
    if isinstance(inpt, PIL.Image.Image):
        if inpt.mode not in ("L", "RGB"):
            raise ValueError(f"the image has mode {inpt.mode}: convert it to RGB or L")
        return F.pil_to_tensor(inpt).contiguous()
    if isinstance(inpt, tv_tensors.TVTensor) and not isinstance(inpt, tv_tensors.Image):
        kind = type(inpt).__name__
        raise TypeError(f"{kind} would not follow its image: this policy takes images")
    images = inpt.as_subclass(Tensor)
    known = images.dtype == torch.uint8 or images.is_floating_point()
    if not known or images.ndim < 3 or images.shape[-3] not in (1, 3):
        got = f"{images.dtype} {list(images.shape)}"
        layout = "uint8, or floats in [0, 1], of shape [..., 1 or 3, H, W]"
        raise ValueError(f"the images are {got}: give {layout}")
    return images


def to_floats(inpt: Any) -> Tensor:
    """Return the images of an input as new floats in [0, 1], [B, C, H, W]."""
    images = to_tensor(inpt)
    wide = torch.promote_types(images.dtype, torch.float32)
    largest = 255 if images.dtype == torch.uint8 else 1
    return images.to(wide).div(largest).reshape(-1, *images.shape[-3:])


def to_picture(image: Tensor) -> PIL.Image.Image:
    """Return an 8-bit image [C, H, W] as PIL's, which interleaves planes quickly."""
    planes = [PIL.Image.fromarray(plane.numpy()) for plane in image]
    return planes[0] if len(planes) == 1 else PIL.Image.merge("RGB", planes)


def in_form_of(inpt: Any, images: Tensor) -> Any:
    """Return new images [B, C, H, W] as the input was: PIL, 8-bit levels, or floats."""
    is_picture = isinstance(inpt, PIL.Image.Image)
    if is_picture or inpt.dtype == torch.uint8:
        images = images.mul_(255).round_().to(torch.uint8)
    if is_picture:
        return to_picture(images[0])
    images = images.reshape(inpt.shape).to(inpt.dtype)
    wrapped = isinstance(inpt, tv_tensors.TVTensor)
    return tv_tensors.wrap(images, like=inpt) if wrapped else images


def batch_size(inpt: Any) -> int:
    if isinstance(inpt, PIL.Image.Image):
        return 1
    return math.prod(to_tensor(inpt).shape[:-3])


def count_images(flat_inputs: list[Any]) -> int:
    """Return the number of images; inputs that go together share their draws."""
    counts = {batch_size(inpt) for inpt in flat_inputs}
    if len(counts) > 1:
        raise ValueError(f"batches of {sorted(counts)} images cannot share their draws")
    return max(counts, default=0)


class Policy(v2.Transform):
    """Run the policy as a transform, with a draw of its own for every image.

    It takes PIL images (RGB or L), and tensors of uint8 or of floats in [0, 1]: one
    image [C, H, W] or any batch [..., C, H, W], with 1 or 3 channels. It computes in
    float32, and rounds 8-bit images once, to the nearest level at the end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.epoch = 1

    def at(self, epoch: int) -> None:
        """Set the epoch, counted from 1, before its workers are started."""
        if epoch < 1:
            raise ValueError(f"epoch {epoch}: epochs count from 1")
        self.epoch = epoch

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw what happens to each image."""
        node = POLICY[max(first for first in POLICY if first <= self.epoch)]
        rng = generator(torch.initial_seed())
        return {"steps": [draw(node, rng) for _ in range(count_images(flat_inputs))]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Apply what was drawn."""
        images = to_floats(inpt)
        for k, steps in enumerate(params["steps"]):
            for operation, arguments in steps:
                images[k] = operation(images[k], *arguments)
        return in_form_of(inpt, images)
