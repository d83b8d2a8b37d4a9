"""Rows of a table as images of one line: standardised by the rows that are trained on, in [0, 1].

N rows, D features
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch import Tensor

from autoaug.data._listing import PassedOver
from autoaug.data._source import Reading, Source
from autoaug.data._splits import DataError, Split
from autoaug.data._standard import Standard
from autoaug.data._tensors import Tensors

CLIP = 20.0
"""Standard deviations from the mean that lie at 0 and 1. What is farther out is cut off."""

LEAST = 15
"""Rows of a class from which it can be in all three splits: a fifth are test rows, a tenth of the others validate."""

Pair = tuple[Any, Any]
"""Features [N, D] and classes [N], as tensors or arrays."""


@dataclass(frozen=True)
class ZScores:
    """Standardise each feature by the rows that are trained on, missing values by their mean.

    As scikit-learn's SimpleImputer and StandardScaler do; a feature that never varies is 0. Then one affine map takes
    [-CLIP, CLIP] to [0, 1] for all features, so that the normalisation of a trainer gives the z-scores back.
    """

    @property
    def mean(self) -> float:
        """Return what is 0 in z-scores."""
        return 0.5

    @property
    def std(self) -> float:
        """Return what is one standard deviation."""
        return 1 / (2 * CLIP)

    def fitted(self, images: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the map for these training rows [N, 1, 1, D], float64 with NaN where a value is missing."""
        centre = images.nanmean(0).nan_to_num(0.0)  # of a feature that no training row has
        deviation = filled(images, centre).std(0, correction=0)
        varies = deviation > 1e-12 * centre.abs()  # of equal numbers the mean may differ from them by rounding
        scale = (deviation.where(varies, 1) * 2 * CLIP).reciprocal()

        def standardise(rows: Tensor) -> Tensor:
            z = (filled(rows, centre) - centre) * scale * varies
            return (z + 0.5).clamp(0, 1).float()

        return standardise


def filled(rows: Tensor, values: Tensor) -> Tensor:
    """Return rows with values in the place of those that are missing."""
    return rows.where(~rows.isnan(), values)


def tabular(
    train: Pair,
    val: Pair | None = None,
    test: Pair | None = None,
    classes: Sequence[str] = (),
    *,
    categorical: Sequence[int] = (),
) -> Tensors:
    """Make a dataset of rows of features: `Task(data=tabular((x, y)), model="mlp")`.

    x is [N, D], numbers, NaN where a value is missing, and y [N], integers from 0 to K-1; both are arrays or tensors.
    A row becomes an image of one line, [1, 1, D], so that mixes, splits, training and studies work as they are.
    Parts that are missing are cut from `train`, and features are standardised by what is left of it (`ZScores`).

    Args:
        categorical: columns of x of which each value becomes a feature of its own, 0 or 1.

    Raises:
        DataError: x or y is no such array; the message says which.

    >>> import torch
    >>> from autoaug.data import load_data, tabular
    >>> x, y = torch.arange(120.0).reshape(40, 3), torch.arange(40) % 2
    >>> load_data(tabular((x, y))).train.images.shape
    torch.Size([29, 1, 1, 3])
    """
    given = {"train": train, "val": val, "test": test}
    pairs = {part: arrays_of(pair, part) for part, pair in given.items() if pair is not None}
    values = {column: known_values((x for x, _ in pairs.values()), column) for column in categorical}
    ready = {part: (spread(x, values), y) for part, (x, y) in pairs.items()}
    return Tensors(source_of(ready, tuple(map(str, classes))))


def arrays_of(pair: Any, part: str) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Return features as float64 and classes as they are; raise DataError where they are none."""
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise DataError(f"tabular(..., {part}=...) is no pair: give (features, classes)")
    x, y = (numpy.asarray(each) for each in pair)
    if x.ndim != 2 or x.dtype.kind not in "fiub" or not x.shape[1]:
        raise DataError(
            f"the {part} features are {x.dtype} of shape {x.shape}: give N x D numbers, NaN where one is missing"
        )
    if y.shape != x.shape[:1] or y.dtype.kind not in "iu":
        raise DataError(
            f"the {part} classes are {y.dtype} of shape {y.shape} for {len(x):,} rows: give an integer each"
        )
    if numpy.isinf(x).any():
        column = int(numpy.isinf(x).any(0).nonzero()[0][0])
        raise DataError(f"feature {column} of the {part} rows is infinite somewhere: give a number, or NaN for none")
    return x.astype(numpy.float64), y.astype(numpy.int64)


def known_values(tables: Iterable[numpy.ndarray], column: int) -> numpy.ndarray:
    """Return the values of a categorical column, in order."""
    columns = [x[:, column] for x in tables if 0 <= column < x.shape[1]]
    if not columns:
        raise DataError(f"categorical={column} is no column of the features: count them from 0")
    values = numpy.unique(numpy.concatenate(columns))
    return values[~numpy.isnan(values)]


def spread(x: numpy.ndarray, values: Mapping[int, numpy.ndarray]) -> numpy.ndarray:
    """Return features in which each value of a categorical column is a column of 0 and 1; NaN where it is missing."""
    parts = []
    for column in range(x.shape[1]):
        one = x[:, column : column + 1]
        parts.append(numpy.where(numpy.isnan(one), one, one == values[column]) if column in values else one)
    return numpy.concatenate(parts, axis=1)


def source_of(
    parts: Mapping[str, tuple[numpy.ndarray, numpy.ndarray]], classes: tuple[str, ...], reading: Reading | None = None
) -> Source:
    """Return features [N, D] and classes [N] as a source, to be standardised once it is known what is trained on."""
    splits: dict[str, Any] = {
        part: Split(torch.from_numpy(x)[:, None, None], torch.from_numpy(y)) for part, (x, y) in parts.items()
    }
    plain = Standard(pad=0, flip=False)
    return Source(**splits, classes=classes, standard=plain, kind="features", rule=ZScores(), reading=reading)


def common(parts: Mapping[str, tuple[numpy.ndarray, numpy.ndarray]], classes: tuple[str, ...], least: int) -> Source:
    """Return rows of those classes alone that have so many training rows; what is left out is in `Source.reading`."""
    counts = Counter(parts["train"][1].tolist())
    kept = [number for number in range(len(classes)) if counts[number] >= least]
    number_of = numpy.full(len(classes), -1)
    number_of[kept] = numpy.arange(len(kept))
    chosen = {part: (x[number_of[y] >= 0], number_of[y][number_of[y] >= 0]) for part, (x, y) in parts.items()}
    rare = [name for number, name in enumerate(classes) if number not in kept]
    rows = sum(len(y) for _, y in parts.values()) - sum(len(y) for _, y in chosen.values())
    reason = f"rows of classes with fewer than {least} training rows"
    passed = (PassedOver(reason, rows, tuple(f"class {name!r}" for name in rare[:3])),) if rows else ()
    width = parts["train"][0].shape[1]
    reading = Reading(files=1, smallest=(1, width), largest=(1, width), passed_over=passed)
    return source_of(chosen, tuple(classes[number] for number in kept), reading)
