"""More operations for exported torchvision files, under the rules of _standalone.py.

What it takes from there is in the exported file too; the import is not.

    C channels, H height, W width
"""

import math

import torch
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, interpolate, pad
from torchvision.transforms.v2 import functional as F

from autoaug.export._standalone import grey, warp


def zoom(image: Tensor, magnification: float) -> Tensor:
    """Magnify about the centre by exp(magnification)."""
    return warp(image, scale=math.exp(magnification))


def zoom_x(image: Tensor, magnification: float) -> Tensor:
    """Stretch the width about the centre by exp(magnification)."""
    return stretched(image, math.exp(-magnification), 1.0)


def zoom_y(image: Tensor, magnification: float) -> Tensor:
    """Stretch the height about the centre by exp(magnification)."""
    return stretched(image, 1.0, math.exp(-magnification))


def stretched(image: Tensor, across: float, down: float) -> Tensor:
    """Look pixels up so many times as far from the centre: bilinear, black outside.

    torchvision's affine has one scale for both axes.
    """
    matrix = torch.tensor([[[across, 0.0, 0.0], [0.0, down, 0.0]]], dtype=image.dtype)
    size = [1, *image.shape]
    places = affine_grid(matrix.to(image.device), size, align_corners=False)
    return grid_sample(image[None], places, align_corners=False)[0].clamp(max=1)


def numbers(seed: int, *size: int) -> Tensor:
    """Return numbers in [0, 1) of this shape."""
    return torch.rand(size, generator=Generator().manual_seed(seed))


def perspective(image: Tensor, distortion: float, seed: int) -> Tensor:
    """Move each corner inwards, by up to a fraction of half the width and height."""
    _, height, width = image.shape
    before = [[0, 0], [width, 0], [width, height], [0, height]]
    reach = torch.tensor([width, height], dtype=torch.double) / 2
    inwards = torch.tensor([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * reach
    draws = numbers(seed, 4, 2).double()
    after = torch.tensor(before) + min(distortion, 0.65) * draws * inwards
    return F.perspective(image, before, after.tolist()).clamp(max=1)


def smoothed(planes: Tensor, kernel: Tensor) -> Tensor:
    """Return planes [N, H, W] filtered along rows and columns, without padding."""
    planes = torch.conv2d(planes[:, None], kernel.view(1, 1, 1, -1))
    return torch.conv2d(planes, kernel.view(1, 1, -1, 1))[:, 0]


def gaussian(radius: int, deviation: float) -> Tensor:
    """Return the weights of a Gaussian, [2 radius + 1]; without a deviation a point."""
    places = torch.arange(-radius, radius + 1, dtype=torch.double)
    weights = torch.exp(-(places**2) / (2 * max(deviation, 1e-9) ** 2))
    return weights / weights.sum()


def edge_padded(image: Tensor, radius: int) -> Tensor:
    """Return an image with its edge repeated around it."""
    sides = [radius, radius, radius, radius]
    return pad(image[None], sides, mode="replicate")[0]


def gaussian_blur(image: Tensor, deviation: float) -> Tensor:
    """Blur by a Gaussian; its deviation is a fraction of the shorter side."""
    side = min(image.shape[1:])
    radius = math.ceil(side / 8)
    kernel = gaussian(radius, deviation * side).to(image)
    return smoothed(edge_padded(image, radius), kernel).clamp(0, 1)


def motion_blur(image: Tensor, length: float, seed: int) -> Tensor:
    """Average along a line at a random angle, as long as a part of the shorter side."""
    side = min(image.shape[1:])
    radius = math.ceil(side / 16)
    angle = math.pi * numbers(seed, 1)
    count = 4 * radius + 1
    end = 0.5 - 0.5 / count
    points = min(length * side, 2 * radius) * torch.linspace(-end, end, count)
    pixels = torch.arange(-radius, radius + 1)
    places = (points * angle.cos(), points * angle.sin())
    across, down = ((1 - (pixels - at[:, None]).abs()).clamp(min=0) for at in places)
    kernel = (down.T @ across / count).to(image)
    return torch.conv2d(edge_padded(image, radius)[:, None], kernel[None, None])[:, 0]


def elastic(image: Tensor, displacement: float, seed: int) -> Tensor:
    """Move pixels smoothly; the deviation is a part of the shorter side."""
    _, height, width = image.shape
    side = min(height, width)
    rows, columns = (round(29 * size / side) for size in (height, width))
    kernel = gaussian(12, 4.0).to(image)
    noise = numbers(seed, 2, rows, columns).to(image) * 2 - 1
    noise = smoothed(F.pad(noise, [12]), kernel) * math.sqrt(3) / (kernel**2).sum()
    field = interpolate(noise[None], (height, width), mode="bicubic")
    x = torch.linspace(1 / width - 1, 1 - 1 / width, width).to(image)
    y = torch.linspace(1 / height - 1, 1 - 1 / height, height).to(image)
    reach = 2 * side * displacement
    places = torch.stack(
        [x + reach / width * field[0, 0], y[:, None] + reach / height * field[0, 1]],
        dim=2,
    )
    moved = grid_sample(image[None], places[None], align_corners=False)
    return moved[0].clamp(0, 1)


def random_erasing(image: Tensor, side: float, seed: int) -> Tensor:
    """Black out a rectangle inside; side is the root of its part of the area."""
    _, height, width = image.shape
    shape, *draws = numbers(seed, 3).tolist()
    stretch = math.exp(math.log(1 / 0.3) * (shape - 0.5))
    length = side * math.sqrt(height * width)
    covered = image.new_ones(())
    wanted = (length / stretch, length * stretch)
    for axis, wished, draw in zip((-1, -2), wanted, draws, strict=True):
        size = image.shape[axis]
        long = min(wished, size)
        start = draw * (size - long)
        left = torch.arange(size, device=image.device, dtype=image.dtype)
        inside = (left + 1).clamp(max=start + long) - left.clamp(min=start)
        # a pixel that is covered in part is darkened in part
        covered = covered * inside.clamp(min=0).unsqueeze(-1 - axis)
    return image * (1 - covered)


LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99),
    (18, 21, 26, 66, 99, 99, 99, 99),
    (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99),
    *[(99,) * 8] * 4,
)
YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))


def coded(planes: Tensor, table: tuple[tuple[int, ...], ...], scale: float) -> Tensor:
    """Return planes [P, H, W] with their cosine transforms of 8 x 8 pixels rounded."""
    waves = torch.arange(8, dtype=torch.double)[:, None]
    cosines = torch.cos((2 * waves.T + 1) * waves * math.pi / 16) / 2
    cosines = (cosines * torch.where(waves == 0, math.sqrt(0.5), 1.0)).to(planes)
    _, height, width = planes.shape
    blocks = planes.unflatten(1, (height // 8, 8)).unflatten(3, (width // 8, 8))
    steps = (torch.tensor(table).to(planes) * scale + 0.5).floor().clamp(1, 255)
    # ties of coefficients go away from zero and those of levels up, as in libjpeg
    coefficients = cosines @ blocks.transpose(2, 3) @ cosines.T / steps * (1 + 1e-5)
    levels = (cosines.T @ (coefficients.round() * steps) @ cosines + 1e-3).round()
    return levels.transpose(2, 3).reshape(planes.shape)


def converted(planes: Tensor, rows: tuple[tuple[float, ...], ...]) -> Tensor:
    """Return three planes as sums of three others."""
    first, second, third = planes.split(1)
    return torch.cat([a * first + b * second + c * third for a, b, c in rows])


def jpeg(image: Tensor, lost: float) -> Tensor:
    """Lose what JPEG of quality 100 - lost loses."""
    if lost <= 0:
        return image
    count, height, width = image.shape
    quality = max(100 - lost, 1.0)
    scale = 50 / quality if quality < 50 else 2 - quality / 50
    padding = (0, -width % 16, 0, -height % 16)
    levels = (255 * image[None]).round()
    levels = pad(levels, padding, mode="replicate")[0]
    if count == 3:
        levels = converted(levels, YCC).round()
        colour = avg_pool2d(levels[1:], 2).round()
        colour = coded(colour, CHROMA, scale)[None]
        colour = interpolate(colour, scale_factor=2, mode="bilinear")[0]
    levels = coded(levels[:1] - 128, LUMA, scale) + 128
    if count == 3:
        levels = converted(torch.cat([levels, colour]), RGB)
    return levels[:, :height, :width].round().clamp(0, 255) / 255


def salt_and_pepper(image: Tensor, share: float, seed: int) -> Tensor:
    """Make this share of the pixels white or black."""
    when, which = numbers(seed, 2, *image.shape[1:]).to(image.device)
    return torch.where(when < share, (which < 0.5).to(image.dtype), image)


def channel_shuffle(image: Tensor, share: float, seed: int) -> Tensor:
    """Put the channels in a random order, this share of the way."""
    order = numbers(seed, 3).argsort()
    return image.lerp(image[order], share) if len(image) == 3 else image


def gamma(image: Tensor, power: float) -> Tensor:
    """Raise every value to the power 2 ** power."""
    return torch.where(image < 1e-6, image, image ** (2**power))


def grayscale(image: Tensor) -> Tensor:
    return grey(image).expand_as(image)


# what red and blue are multiplied by at 3 000, 3 500 ... 15 000 K; 6 500 K is white
TEMPERATURES = (
    (1.599944, 0.003107),
    (1.415824, 0.377982),
    (1.294246, 0.553399),
    (1.206075, 0.68131),
    (1.138283, 0.783016),
    (1.083584, 0.867239),
    (1.038356, 0.938414),
    (1.0, 1.0),
    (0.966949, 1.053239),
    (0.93781, 1.099812),
    (0.912283, 1.141092),
    (0.889284, 1.177764),
    (0.868568, 1.210514),
    (0.84992, 1.239956),
    (0.832913, 1.266529),
    (0.817533, 1.290667),
    (0.803187, 1.312521),
    (0.789874, 1.332503),
    (0.777555, 1.3507),
    (0.766262, 1.367449),
    (0.755748, 1.383255),
    (0.74589, 1.397319),
    (0.736443, 1.410556),
    (0.727974, 1.422858),
    (0.719707, 1.434544),
)


def planckian_jitter(image: Tensor, way: float) -> Tensor:
    """Change the colour of the light: -1 is 3 000 K, 1 is 15 000 K."""
    if len(image) == 1:
        return image
    place = 7 + max(-1.0, min(way, 1.0)) * (17 if way > 0 else 7)
    below = min(int(place), 23)
    low, high = TEMPERATURES[below], TEMPERATURES[below + 1]
    red, blue = (a + (place - below) * (b - a) for a, b in zip(low, high, strict=True))
    return (image * torch.tensor([red, 1.0, blue]).to(image).view(3, 1, 1)).clamp(0, 1)


def cloud(image: Tensor, rng: Generator) -> Tensor:
    """Return a random cloud from 0 to 1, [H, W]: octaves of noise."""
    height, width = image.shape[1:]
    octaves = max(1, math.ceil(math.log2(max(height, width))))
    sides = [2**octave + 1 for octave in range(octaves)]
    draws = torch.rand(sum(side**2 for side in sides), generator=rng)
    total = torch.zeros(height, width)
    for octave, noise in enumerate(draws.split([side**2 for side in sides])):
        grid = noise.view(1, 1, sides[octave], sides[octave])
        grid = interpolate(grid, (height, width), mode="bilinear", align_corners=True)
        total = total + 0.5**octave * grid[0, 0]
    low, high = total.min(), total.max()
    return ((total - low) / torch.where(high > low, high - low, 1)).to(image)


def fog(image: Tensor, thickness: float, seed: int) -> Tensor:
    """Add a cloud."""
    haze = cloud(image, Generator().manual_seed(seed))
    return (image + thickness * haze) / (1 + thickness)


def plasma_brightness(image: Tensor, amount: float, seed: int) -> Tensor:
    """Make parts brighter and parts darker."""
    change = 2 * cloud(image, Generator().manual_seed(seed)) - 1
    return (image + amount * change).clamp(0, 1)


def plasma_contrast(image: Tensor, amount: float, seed: int) -> Tensor:
    """Move parts away from grey, and others towards it."""
    change = 4 * cloud(image, Generator().manual_seed(seed)) - 1
    return (0.5 + (image - 0.5) * (1 + amount * change)).clamp(0, 1)


def plasma_shadow(image: Tensor, darkness: float, seed: int) -> Tensor:
    """Darken where a cloud lies below a random height."""
    rng = Generator().manual_seed(seed)
    height = torch.rand((), generator=rng).to(image)
    shaded = (cloud(image, rng) < height).to(image.dtype)
    return (image - darkness * shaded).clamp(0, 1)
