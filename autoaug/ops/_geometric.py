"""Operations that move pixels. All are one bilinear `affine` with one matrix per image, so they can be composed.

A matrix [B, 2, 3] maps a position in the output to the position in the input that is looked up there (the
inverse of the movement one sees), in the coordinates of `torch.nn.functional.affine_grid(align_corners=False)`:
x from -1 at the left edge of the image to 1 at the right edge, y from -1 at the top to 1 at the bottom, (0, 0) is
the centre. Outside the image is black (zero). Results equal torchvision v2 `rotate` and `affine` with bilinear
interpolation, to rounding. The gradient is exact in the amount and in the image (bilinear interpolation has kinks
where a position crosses a pixel centre).
"""

import torch
from torch import Generator, Tensor
from torch.nn.functional import grid_sample, pad

from autoaug.ops._contract import check_images, per_image, working_dtype


def affine(images: Tensor, matrix: Tensor) -> Tensor:
    """Return images of which every output pixel is looked up at `matrix @ (x, y, 1)`.

    Its six parameters per image all have exact gradients.
    images [B, C, H, W], matrix [B, 2, 3] in the coordinates above; the identity is [[1, 0, 0], [0, 1, 0]].
    It is a function and no row of the table: a row has one strength, and this has six (Jaderberg et al. 2015,
    "Spatial Transformer Networks"; Mounsaveng et al. 2021 learn them as identity + output of a network).

    Raises:
        ValueError: images are not floating [B, 1 or 3, H, W], or the matrix has another shape.
    """
    check_images(images)
    batch, _, height, width = images.shape
    if matrix.shape != (batch, 2, 3):
        raise ValueError(
            f"matrix must have shape [{batch}, 2, 3], got {list(matrix.shape)}: one 2 x 3 matrix per image"
        )
    dtype = working_dtype(images)
    sampled = grid_sample(images.to(dtype), _positions(matrix.to(dtype), height, width), align_corners=False)
    # Rounding can lift white by one unit in the last place. Cut behind the back of autograd: no gradient stops there.
    sampled.detach().clamp_(max=1)
    return sampled.to(images.dtype)


def compose(first: Tensor, second: Tensor) -> Tensor:
    """Return the matrix [B, 2, 3] of `affine` by `first`, then by `second`, with one interpolation.

    What leaves the image in the first movement and comes back in the second is kept, not black.
    """
    return torch.baddbmm(pad(first[:, :, 2:], (2, 0)), first[:, :, :2], second)


def unmoved(like: Tensor) -> Tensor:
    """Return the matrix [2, 3] that moves nothing, made on the device and with the dtype of `like`."""
    return torch.eye(2, 3, dtype=like.dtype, device=like.device)


def shear_x(images: Tensor, tangent: Tensor) -> Tensor:
    """Slide rows sideways: a row y pixels below the centre shows what was tangent * y pixels to its right."""
    return affine(images, shear_x_matrix(per_image(images, tangent), *images.shape[2:]))


def shear_y(images: Tensor, tangent: Tensor) -> Tensor:
    """Slide columns up or down: a column x pixels right of the centre shows what was tangent * x pixels below."""
    return affine(images, shear_y_matrix(per_image(images, tangent), *images.shape[2:]))


def translate_x(images: Tensor, fraction: Tensor) -> Tensor:
    """Move to the right by a fraction of the width (to the left where negative)."""
    return affine(images, translate_x_matrix(per_image(images, fraction), *images.shape[2:]))


def translate_y(images: Tensor, fraction: Tensor) -> Tensor:
    """Move down by a fraction of the height (up where negative)."""
    return affine(images, translate_y_matrix(per_image(images, fraction), *images.shape[2:]))


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Turn about the centre, counter-clockwise where positive. Angles stay angles on images that are not square."""
    return affine(images, rotate_matrix(per_image(images, degrees), *images.shape[2:]))


def zoom(images: Tensor, magnification: Tensor) -> Tensor:
    """Magnify about the centre by exp(amount): above 0 closer, below 0 farther away, with black around."""
    return affine(images, zoom_matrix(per_image(images, magnification), *images.shape[2:]))


def zoom_x(images: Tensor, magnification: Tensor) -> Tensor:
    """Stretch the width about the centre by exp(amount): above 0 wider, below 0 narrower, with black beside it."""
    return affine(images, zoom_x_matrix(per_image(images, magnification), *images.shape[2:]))


def zoom_y(images: Tensor, magnification: Tensor) -> Tensor:
    """Stretch the height about the centre by exp(amount): above 0 taller, below 0 lower, with black above and below."""
    return affine(images, zoom_y_matrix(per_image(images, magnification), *images.shape[2:]))


def shear_x_matrix(tangent: Tensor, height: int, width: int) -> Tensor:
    """Return matrices [B, 2, 3] of `shear_x`, from the tangent [B] of the angle."""
    one, zero = torch.ones_like(tangent), torch.zeros_like(tangent)
    return _matrix(one, tangent * (height / width), zero, zero, one, zero)


def shear_y_matrix(tangent: Tensor, height: int, width: int) -> Tensor:
    """Return matrices [B, 2, 3] of `shear_y`, from the tangent [B] of the angle."""
    one, zero = torch.ones_like(tangent), torch.zeros_like(tangent)
    return _matrix(one, zero, zero, tangent * (width / height), one, zero)


def translate_x_matrix(fraction: Tensor, height: int, width: int) -> Tensor:
    """Return matrices [B, 2, 3] of `translate_x`; the image is 2 wide in these coordinates, whatever its size."""
    return translation(-2 * fraction, torch.zeros_like(fraction))


def translate_y_matrix(fraction: Tensor, height: int, width: int) -> Tensor:
    """Return matrices [B, 2, 3] of `translate_y`; the image is 2 high in these coordinates, whatever its size."""
    return translation(torch.zeros_like(fraction), -2 * fraction)


def translation(across: Tensor, down: Tensor) -> Tensor:
    """Return matrices [B, 2, 3] that look so far to the right and below, in these coordinates."""
    one, zero = torch.ones_like(across), torch.zeros_like(across)
    return _matrix(one, zero, across, zero, one, down)


def rotate_matrix(degrees: Tensor, height: int, width: int) -> Tensor:
    """Return matrices [B, 2, 3] of `rotate`, from degrees [B]."""
    angle = torch.deg2rad(degrees)
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros_like(angle)
    return _matrix(cos, -sin * (height / width), zero, sin * (width / height), cos, zero)


def zoom_matrix(magnification: Tensor, height: int, width: int) -> Tensor:
    """Return matrices [B, 2, 3] of `zoom`, from the logarithm [B] of the magnification."""
    factor, zero = torch.exp(-magnification), torch.zeros_like(magnification)
    return _matrix(factor, zero, zero, zero, factor, zero)


def zoom_x_matrix(magnification: Tensor, height: int, width: int) -> Tensor:
    """Return matrices [B, 2, 3] of `zoom_x`, from the logarithm [B] of the magnification."""
    factor, one, zero = torch.exp(-magnification), torch.ones_like(magnification), torch.zeros_like(magnification)
    return _matrix(factor, zero, zero, zero, one, zero)


def zoom_y_matrix(magnification: Tensor, height: int, width: int) -> Tensor:
    """Return matrices [B, 2, 3] of `zoom_y`, from the logarithm [B] of the magnification."""
    factor, one, zero = torch.exp(-magnification), torch.ones_like(magnification), torch.zeros_like(magnification)
    return _matrix(one, zero, zero, zero, factor, zero)


def hflip(images: Tensor) -> Tensor:
    """Mirror every image left and right. Whether to flip at all is the probability of the policy."""
    check_images(images)
    return images.flip(3)


def vflip(images: Tensor) -> Tensor:
    """Mirror every image top and bottom."""
    check_images(images)
    return images.flip(2)


def hflip_matrix(amount: Tensor, height: int, width: int, rng: Generator) -> Tensor:
    """Return matrices [B, 2, 3] of `hflip`, which has no amount and draws nothing."""
    one, zero = torch.ones_like(amount), torch.zeros_like(amount)
    return _matrix(-one, zero, zero, zero, one, zero)


def vflip_matrix(amount: Tensor, height: int, width: int, rng: Generator) -> Tensor:
    """Return matrices [B, 2, 3] of `vflip`, which has no amount and draws nothing."""
    one, zero = torch.ones_like(amount), torch.zeros_like(amount)
    return _matrix(one, zero, zero, zero, -one, zero)


def _matrix(*entries: Tensor) -> Tensor:
    """Return matrices [B, 2, 3] from six entries [B], row by row."""
    return torch.stack(entries, dim=1).view(-1, 2, 3)


def _positions(matrix: Tensor, height: int, width: int) -> Tensor:
    """Return where each output pixel looks, [B, H, W, 2]: `affine_grid` as the sum of a row and a column.

    x and y are kept apart.

    It is many times faster than `affine_grid` on a CPU, and `grid_sample` reads separate planes as fast.
    """
    entries = matrix.unsqueeze(3)
    x, y = pixel_centres(width, matrix), pixel_centres(height, matrix).unsqueeze(1)
    return (entries[:, :, :1] * x + (entries[:, :, 1:2] * y + entries[:, :, 2:])).permute(0, 2, 3, 1)


def pixel_centres(size: int, like: Tensor) -> Tensor:
    """Return the coordinates of the pixel centres along an axis, [size]."""
    return torch.linspace(1 / size - 1, 1 - 1 / size, size, dtype=like.dtype, device=like.device)
