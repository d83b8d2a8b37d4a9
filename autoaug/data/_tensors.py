"""A dataset of tensors that are there already: `Task(data=tensors((images, targets)))`."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from autoaug.data._source import Source
from autoaug.data._splits import DataError, Split

Pair = tuple[Tensor, Tensor]
"""Images [N, C, H, W] and their classes [N]."""


@dataclass(frozen=True, eq=False, repr=False)
class Tensors:
    """Give tensors as a dataset; see `tensors`."""

    source: Source

    def __repr__(self) -> str:
        """Return its sizes and a digest, by which a study knows whether its data are those that it began with."""
        digest = hashlib.sha256()
        for split in self.source.parts().values():
            for tensor in (split.images, split.targets):
                digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(tensor.cpu().contiguous().numpy().data)
        sizes = ", ".join(f"{name}={len(split)}" for name, split in self.source.parts().items())
        return f"tensors({sizes}, digest={digest.hexdigest()[:16]})"

    def __call__(self, root: Path) -> Source:
        """Return the dataset. `root` is not used."""
        return self.source


def tensors(train: Pair, val: Pair | None = None, test: Pair | None = None, classes: Sequence[str] = ()) -> Tensors:
    """Make a dataset of tensors: `Task(data=tensors((images, targets), test=(others, theirs)))`.

    Images are [N, C, H, W], uint8 or floats in [0, 1], and targets [N], integers from 0 to K-1. Parts that are missing
    are cut from `train` by `load_data`. The tensors travel to workers with the study: for more than some hundred
    megabytes write an .npz file, see `npz`.

    Raises:
        DataError: a part is no pair of tensors.
    """
    parts = {"train": train, "val": val, "test": test}
    for name, pair in parts.items():
        if pair is None and name != "train":
            continue
        if not (isinstance(pair, tuple) and len(pair) == 2 and all(isinstance(each, Tensor) for each in pair)):
            raise DataError(f"tensors(..., {name}=...) is no pair of tensors: give (images, targets)")
    splits: dict[str, Any] = {name: Split(*pair) for name, pair in parts.items() if pair is not None}
    return Tensors(Source(**splits, classes=tuple(map(str, classes))))
