"""Operations that change colours pixel by pixel and are continuous: their gradients are exact.

`images` [B, C, H, W] in [0, 1], amounts [B]. Values are real numbers and are never rounded to 8 bits; they equal
torchvision v2 on float images. On 8-bit images torchvision and Pillow round the grey value or the blur to a level,
blend, and cut the fraction off; what they give differs from these values on no pixel by more than that explains.

Grey is ITU-R 601, 0.299 R + 0.587 G + 0.114 B, as in Pillow: the weights sum to one, so a grey image stays as it is.
(torchvision v2 has 0.2989 for red.) A one-channel image is its own grey: `color`, `hue` and `saturation`, which
change nothing on a grey image, leave it as it is.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import hardtanh, pad

from autoaug.ops._contract import check_images, unchanged, working, working_dtype


def brightness(images: Tensor, amount: Tensor) -> Tensor:
    """Multiply by 1 + amount, cut to [0, 1]: -1 is black."""
    x, a = working(images, amount)
    return _cut(x * (1 + a)).to(images.dtype)


def contrast(images: Tensor, amount: Tensor) -> Tensor:
    """Move away from the mean grey of the image by 1 + amount, cut to [0, 1]: -1 is one grey everywhere."""
    x, a = working(images, amount)
    return _cut((x * (1 + a)).sub_(a * grey(x.mean((2, 3), keepdim=True)))).to(images.dtype)


def color(images: Tensor, amount: Tensor) -> Tensor:
    """Move each pixel away from its own grey by 1 + amount, cut to [0, 1]: -1 is a grey image."""
    x, a = working(images, amount)
    return _cut(torch.lerp(grey(x), x, 1 + a)).to(images.dtype)


def sharpness(images: Tensor, amount: Tensor) -> Tensor:
    """Move away from a blurred image by 1 + amount, cut to [0, 1]: -1 is the blurred image.

    The blur is [1 1 1; 1 5 1; 1 1 1] / 13. The border of one pixel stays as it is, as in Pillow, and so does an
    image that is all border (less than 3 pixels high or wide).
    """
    x, a = working(images, amount)
    if min(x.shape[2:]) < 3:
        return unchanged(x, a).to(images.dtype)
    edges = _Edges.apply(x, True) if x.requires_grad else _edges(x)
    differentiated = edges.requires_grad or a.requires_grad
    return _cut(torch.addcmul(x, a / -13, edges, out=None if differentiated else edges)).to(images.dtype)


def saturation(images: Tensor, amount: Tensor) -> Tensor:
    """Multiply the S of HSV by 1 + amount, at most to 1; hue and value stay.

    Written without the conversion: each channel's distance from the largest is multiplied, until the smallest
    channel is zero (Mounsaveng et al. 2021 use this operation; `color` is Pillow's).
    """
    x, a = working(images, amount)
    value = x.amax(1, keepdim=True)
    chroma = value - x.amin(1, keepdim=True)
    fully_saturated = value / _nonzero(chroma)
    return (value - (value - x) * torch.minimum(1 + a, fully_saturated)).clamp(0, 1).to(images.dtype)


def hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the H of HSV by a fraction of the full colour circle; saturation and value stay. As torchvision's."""
    x, a = working(images, turn)
    if x.shape[1] == 1:
        return unchanged(x, a).to(images.dtype)
    value = x.amax(1, keepdim=True)
    chroma = value - x.amin(1, keepdim=True)
    sixths = _sixths_of_the_circle(x, value, chroma) + 6 * a
    turned = (sixths + torch.arange(5, 0, -2, device=x.device).view(1, 3, 1, 1)).remainder(6)
    below = torch.minimum(turned, 4 - turned).clamp(0, 1)
    return (value - chroma * below).to(images.dtype)


def invert(images: Tensor) -> Tensor:
    """Return 1 - image: the gradient of the image is -1."""
    check_images(images)
    return 1 - images


def grayscale(images: Tensor) -> Tensor:
    """Return each image without its colours, in as many channels as it has."""
    check_images(images)
    return grey(images.to(working_dtype(images))).to(images.dtype).expand_as(images).clone()


def grey(images: Tensor) -> Tensor:
    """Return brightness as the eye weighs it (ITU-R 601), [B, 1, H, W]; a one-channel image is its own."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, dim=1)
    return (0.299 * red).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def _cut(new: Tensor) -> Tensor:
    """Cut to [0, 1], in place. No gradient where it is cut."""
    return hardtanh(new, 0, 1, inplace=True)


class _Edges(torch.autograd.Function):
    """`_edges`, with what autograd would do in fifteen passes: its adjoint, which sets the border to zero first."""

    @staticmethod
    def forward(x: Tensor, direct: bool) -> Tensor:
        return _edges(x) if direct else _adjoint_edges(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, bool], output: Tensor) -> None:
        ctx.direct = inputs[1]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _Edges.apply(grad, not ctx.direct), None


def _edges(x: Tensor) -> Tensor:
    """Return the sum of the 3 x 3 pixels around each, minus nine times the pixel; zero on the border."""
    x = x.contiguous()
    edges, end = torch.zeros_like(x), x.shape[3] + 1
    _around(x.view(-1), x.shape[3], out=edges.view(-1)[end:-end])
    return edges.sub_(x, alpha=9).mul_(_inside(x))


def _adjoint_edges(x: Tensor) -> Tensor:
    """Return the adjoint of `_edges`, which sets the border to zero first."""
    inner, end = x * _inside(x), x.shape[3] + 1
    sums = torch.empty_like(inner, memory_format=torch.contiguous_format)
    _around(pad(inner.flatten(), (end, end)), x.shape[3], out=sums.view(-1))
    return sums.sub_(inner, alpha=9)


def _around(row: Tensor, width: int, out: Tensor) -> None:
    """Write sums of 3 x 3 pixels to `out`.

    All images lie in one row of numbers; at their borders the sums mean nothing.

    Long runs of numbers are added several times as fast as the short lines of an image.
    """
    columns = (row[: -2 * width] + row[width:-width]).add_(row[2 * width :])
    torch.add(columns[:-2], columns[1:-1], out=out).add_(columns[2:])


def _inside(x: Tensor) -> Tensor:
    """Return 1 inside and 0 on the border, [H, W]."""
    return pad(x.new_ones(x.shape[2] - 2, x.shape[3] - 2), (1, 1, 1, 1))


def _sixths_of_the_circle(x: Tensor, value: Tensor, chroma: Tensor) -> Tensor:
    """Return the hue from -1 to 5, of which 0 is red, 2 green and 4 blue; grey is red with a chroma of zero."""
    red, green, blue = x.split(1, dim=1)
    from_red, from_green, from_blue = green - blue, blue - red, red - green
    distance = torch.where(value == red, from_red, torch.where(value == green, from_green, from_blue))
    largest = torch.where(value == red, 0.0, torch.where(value == green, 2.0, 4.0))
    return distance / _nonzero(chroma) + largest


def _nonzero(chroma: Tensor) -> Tensor:
    """Return the chroma as a divisor: 1 where it is 0."""
    return torch.where(chroma > 0, chroma, 1)
