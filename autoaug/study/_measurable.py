"""Whether the data of a study can be measured by its metrics, tried before any time is spent.

N validation images, K classes
"""

import math
from typing import Any

import torch
from torch import Generator, Tensor

from autoaug.data import Data, data_name
from autoaug.metrics import Metric, applicable, metric_of, own_metrics
from autoaug.study._definition import Study
from autoaug.study._loading import Loader, tasks
from autoaug.text import counted, read

ROUNDING = 1e-5
"""By which a value in single precision may leave its range."""


def try_metrics(study: Study, load: Loader) -> None:
    """Measure logits of noise on the validation split of everything that a study trains on, by the rows of the user's.

    Raises:
        ValueError: the data have too few classes for the study's metric, or a row gives no number; the message names
            it.
    """
    for task in tasks(study):
        data = load(task)
        refuse_few_classes(study, data_name(task.data), len(data.classes))
        own = own_metrics().keys() & applicable(len(data.classes)).keys()
        for name in sorted(own):
            try_metric(name, data)


def refuse_few_classes(study: Study, data: str, classes: int) -> None:
    """Raise a ValueError where the metric of a study says nothing of data with so few classes."""
    least = metric_of(study.metric).least_classes
    if classes < least:
        raise ValueError(
            f"the metric {study.metric!r} of study {study.name!r} needs {counted(least, 'class')} or more, and {data} "
            f"has {classes}: give another Study(metric=)"
        )


def try_metric(name: str, data: Data) -> None:
    """Measure logits of noise, drawn with a fixed seed, by one row of `METRICS`.

    Raises:
        ValueError: it fails, changes the logits, or gives no finite number, or one that lies outside its range.
    """
    metric, targets = applicable(len(data.classes))[name], data.scored.targets
    logits = torch.randn(len(targets), len(data.classes), generator=Generator().manual_seed(0))
    before, where = logits.clone(), f"of logits {list(logits.shape)} and targets {list(targets.shape)}"
    try:
        with torch.no_grad():
            value = metric.function(logits, targets)
    except Exception as error:  # whatever a user's function may raise
        raise ValueError(f"the metric {name!r} fails {where}: {type(error).__name__}: {read(error)}") from error
    if not torch.equal(logits, before):
        raise ValueError(f"the metric {name!r} changes the logits, which other metrics are given: work on a copy")
    refuse_value(name, metric, value, len(targets), where)


def refuse_value(name: str, metric: Metric, value: Any, samples: int, where: str) -> None:
    """Raise a ValueError where what a metric gives is no finite number of its range."""
    if isinstance(value, Tensor) and value.numel() != 1:
        raise ValueError(f"the metric {name!r} gives a tensor {list(value.shape)} {where}: give one number")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"the metric {name!r} gives a {type(value).__name__} {where}: give a number") from None
    if not math.isfinite(number):
        raise ValueError(f"the metric {name!r} gives {number} {where}: give a finite number")
    mean, (low, high) = number / samples if metric.additive else number, metric.range
    if not low - ROUNDING <= mean <= high + ROUNDING:
        sums = ", divided by the samples since it is additive," if metric.additive else ""
        raise ValueError(f"the metric {name!r} gives {mean:g}{sums} {where}: its range is {low:g} to {high:g}")
