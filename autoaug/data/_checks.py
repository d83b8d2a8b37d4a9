"""The checks that every dataset passes before anything is trained on it."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from autoaug.data._source import PARTS, Source
from autoaug.data._splits import DataError, Split, class_counts
from autoaug.photos import Encoded
from autoaug.text import counted


def checked(source: Source, data_name: str) -> Source:
    """Return the source with bytes or float32 in [0, 1], int64 targets and named classes.

    Every class has enough images for a part of its own in each split that is to be cut from `train`.

    Raises:
        DataError: something is wrong with the images, targets or classes; the message begins with what and `data_name`.
    """
    parts: dict[str, Any] = source.parts()
    raw = source.rule is not None
    parts = {name: _checked_split(split, f"the {name} images of {data_name}", raw) for name, split in parts.items()}
    classes = source.classes or _numbered(parts["train"].targets, f"the train targets of {data_name}")
    for name, split in parts.items():
        _check_targets(split.targets, len(classes), f"the {name} targets of {data_name}")
    _check_kinds(parts, data_name)
    check_counts(parts, classes, data_name)
    return replace(source, **parts, classes=classes)


def _numbered(targets: Tensor, where: str) -> tuple[str, ...]:
    """Return the classes "0" to "K-1" of targets that have no names."""
    most = int(targets.max())
    if most >= len(targets):  # before as many names are made as a stray number says
        raise DataError(f"{where} run up to {most} for {counted(len(targets), 'image')}: give 0 to K-1")
    return tuple(str(label) for label in range(most + 1))


def _checked_split(split: Split, where: str, raw: bool = False) -> Split:
    """Return a split whose images and targets fit each other; `raw` values are brought into [0, 1] by a rule later."""
    images, targets = split.images, split.targets
    if isinstance(images, Encoded):
        return replace(split, targets=checked_targets(targets, len(images), where))
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise DataError(f"{where} have shape {tuple(images.shape)}: give N x C x H x W with 1 or 3 channels C")
    if targets.ndim != 1 or len(targets) != len(images):
        raise DataError(f"{where} have shape {tuple(images.shape)} and targets {tuple(targets.shape)}: give one each")
    if images.numel() == 0:
        raise DataError(f"{where} are none: give at least one image of every class")
    pixels = images if raw else _checked_pixels(images, where)
    return replace(split, images=pixels, targets=_checked_labels(targets, where))


def checked_targets(targets: Tensor, images: int, where: str) -> Tensor:
    """Return the targets of images that are not decoded yet."""
    if targets.ndim != 1 or len(targets) != images:
        raise DataError(f"{where} are {images:,}, with targets {tuple(targets.shape)}: give one each")
    if images == 0:
        raise DataError(f"{where} are none: give at least one image of every class")
    return _checked_labels(targets, where)


def _checked_pixels(images: Tensor, where: str) -> Tensor:
    """Return images as bytes or float32 in [0, 1]."""
    if images.dtype == torch.uint8:
        return images
    if not images.is_floating_point():
        raise DataError(f"{where} are {images.dtype}: give uint8, or floats in [0, 1]")
    least, most = float(images.min()), float(images.max())
    if not (least >= 0 and most <= 1):
        raise DataError(f"{where} lie in [{least:g}, {most:g}]: give uint8, or floats in [0, 1]")
    return images.float()


def _checked_labels(targets: Tensor, where: str) -> Tensor:
    """Return targets as int64."""
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        raise DataError(f"{where} have targets of {targets.dtype}: give integers from 0 to K-1")
    return targets.long()


def _check_targets(targets: Tensor, classes: int, where: str) -> None:
    """Raise DataError unless targets lie in 0 to K-1."""
    least, most = int(targets.min()), int(targets.max())
    if least < 0 or most >= classes:
        raise DataError(f"{where} run from {least} to {most}: give 0 to {classes - 1} for {classes} classes")


def _check_kinds(parts: dict[str, Split], data: str) -> None:
    """Raise DataError unless all splits have images of one shape and type."""
    tensors = {name: split.images for name, split in parts.items() if not isinstance(split.images, Encoded)}
    kinds = [(name, tuple(images.shape[1:]), images.dtype) for name, images in tensors.items()]
    for (one, shape, dtype), (other, other_shape, other_dtype) in pairwise(kinds):
        if (shape, dtype) != (other_shape, other_dtype):
            raise DataError(
                f"the images of {data} differ: {one} has {shape} {dtype}, {other} has {other_shape} {other_dtype}: "
                "give all splits the same shape and type"
            )


def check_counts(parts: dict[str, Split], classes: tuple[str, ...], data_name: str) -> None:
    """Raise DataError unless there are two classes, each with images enough for every split that is to be cut."""
    if len(classes) < 2:
        raise DataError(f"{data_name} has the one class {classes[0]!r}: give at least two to tell apart")
    missing = [name for name in PARTS if name not in parts]
    needed = 1 + len(missing)
    for name, count in zip(classes, class_counts(parts["train"], len(classes)).tolist(), strict=True):
        if count < needed:
            cut = f" (training; {' and '.join(missing)} are cut from it)" if missing else ""
            raise DataError(
                f"class {name!r} of {data_name} has {counted(count, 'training image')}: it needs at least {needed}{cut}"
            )
