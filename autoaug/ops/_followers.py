"""What goes with an image through an affine movement: masks, and points such as the corners of boxes.

The matrix [2, 3] is that of `affine`: it says for a position in the output which position in the input is shown there.
"""

from torch import Tensor

from autoaug.ops._geometric import pixel_centres


def affine_mask(masks: Tensor, matrix: Tensor) -> Tensor:
    """Return masks [..., H, W] of any type moved as their image is: the nearest value, and 0 outside.

    No value is made that was not there.
    """
    height, width = masks.shape[-2:]
    x, y = pixel_centres(width, matrix), pixel_centres(height, matrix)[:, None]
    across, down = (row[0] * x + row[1] * y + row[2] for row in matrix)
    columns, rows = (((across + 1) * width - 1) / 2).round().long(), (((down + 1) * height - 1) / 2).round().long()
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    index = rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)
    found = masks.flatten(-2)[..., index.flatten().to(masks.device)].unflatten(-1, (height, width))
    return found.masked_fill(~inside.to(masks.device), 0)


def affine_points(points: Tensor, matrix: Tensor, height: int, width: int) -> Tensor:
    """Return where points [..., 2] of an image are after it was moved.

    Args:
        points: x and y in pixels from the left upper corner of the image, floats; its other corner is (width, height).

    Raises:
        ValueError: the movement squeezes the image onto a line.
    """
    size = points.new_tensor([width, height])
    looked_up, offset = matrix.to(points).split([2, 1], dim=1)
    if not looked_up.det():
        raise ValueError(f"the matrix {matrix.tolist()} cannot be inverted: points have no place after it")
    return ((points * 2 / size - 1 - offset[:, 0]) @ looked_up.inverse().T + 1) * size / 2
