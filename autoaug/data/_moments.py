"""What all images of a dataset together are: their mean and deviation, and a digest by which they are known again."""

import hashlib

import torch
from torch import Tensor

from autoaug.data._splits import Split
from autoaug.photos import Photos, as_float


def moments(images: Tensor | Photos) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of each channel over all pixels in [0, 1]; the deviation is at least 1/255."""
    if isinstance(images, Photos):
        return moments_of_photos(images)
    # A few images at a time stay in the processor's cache; their sums are added up in float64.
    parts = (as_float(part) for part in images.split(256))
    powers = ((part, part.square()) for part in parts)
    sums = torch.stack([torch.stack([power.sum((2, 3)).double().sum(0) for power in pair]) for pair in powers]).sum(0)
    mean, square = sums / (images.numel() // images.shape[1])
    return mean_and_deviation(mean, square)


def moments_of_photos(photos: Photos) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return what `moments` does, over what an evaluation sees: the sums were made when each photo was decoded."""
    known, pixels = photos.known, photos.side**2 * len(photos)
    sums, squares = (torch.from_numpy(known[name].sum(0).astype("f8")) for name in ("sum", "squares"))
    return mean_and_deviation(sums / (255 * pixels), squares / (255**2 * pixels))


def mean_and_deviation(mean: Tensor, square: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and deviation of each channel from the means [C] of its values and of their squares."""
    # A channel that never varies would be divided by zero.
    deviation = (square - mean.square()).clamp(min=0).sqrt().clamp(min=1 / 255)
    return tuple(mean.tolist()), tuple(deviation.tolist())


def fingerprint(*splits: Split) -> str:
    """Return 16 hexadecimal digits over types, shapes, pixels and targets, wherever they lie.

    Of photos the pixels are known by a digest of each, which was made when it was decoded.
    """
    digest = hashlib.sha256()
    for split in splits:
        if isinstance(split.images, Photos):
            digest.update(f"photos {tuple(split.images.shape)}".encode())
            digest.update(split.images.known["digest"].tobytes())
        tensors = (split.targets,) if isinstance(split.images, Photos) else (split.images, split.targets)
        for tensor in tensors:
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.cpu().contiguous().numpy().data)
    return digest.hexdigest()[:16]
