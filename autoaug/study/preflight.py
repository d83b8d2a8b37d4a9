"""What a study needs, tried once and small before any time is spent."""

from collections.abc import Iterator
from typing import Any

import torch
from optuna.distributions import CategoricalDistribution
from torch import Generator

from autoaug.models import build
from autoaug.strategies import Space
from autoaug.study.definition import Study
from autoaug.study.loading import Loader, read_data
from autoaug.study.setup import Setup, set_up


def preflight(study: Study, load: Loader | None = None) -> None:
    """Try everything a study needs, once and small: its data, its models on two images, every strategy's policy.

    Raises:
        ValueError: something cannot work; the message names it. No time was spent and nothing was written.
    """
    load = load or Loader()
    read_data(study, load)
    for name, strategy in study.strategies.items():
        for point in probes(study.space_of(name)):
            try:
                try_out(set_up(study, name, point), load)
                if strategy.proxy:
                    try_out(set_up(study, name, point, search=True), load)
            except Exception as error:  # whatever a user's function may raise
                said = f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
                tried = f" (tried: {', '.join(f'{key}={value!r}' for key, value in point.items())})" if point else ""
                raise ValueError(f"strategy {name!r} of study {study.name!r}: {said}{tried}") from error


def probes(space: Space) -> Iterator[dict[str, Any]]:
    """Points that are cheap to try: the lowest, and from there every choice that is made by name."""
    yield lowest(space)
    for name, rule in space.items():
        for choice in rule.choices[1:] if isinstance(rule, CategoricalDistribution) else ():
            yield {**lowest(space), name: choice}


def try_out(setup: Setup, load: Loader) -> None:
    """Send two images of noise through the policy and the model."""
    task = setup.task
    data = load(task)
    model = build(task.model, len(data.classes), data.channels, Generator().manual_seed(0))
    images, rng = torch.rand(2, *data.train.images.shape[1:], generator=Generator().manual_seed(0)), Generator()
    try:
        logits = model.eval()(setup.policy(images, rng))
    except (RuntimeError, ValueError, TypeError) as error:
        shape = "x".join(map(str, images.shape[1:]))
        raise ValueError(f"{task.model} fails on two images of {shape}: {error}") from error
    if logits.shape != (2, len(data.classes)):
        raise ValueError(
            f"model {task.model} gives logits of shape {tuple(logits.shape)} for 2 images of {len(data.classes)} "
            "classes: its last layer must have one output per class"
        )
    if rehearse := getattr(setup.learner, "preflight", None):
        rehearse(task, data, model)


def lowest(space: Space) -> dict[str, Any]:
    """A point of the space that is cheap to try: low ends and first choices."""
    return {
        name: rule.choices[0] if isinstance(rule, CategoricalDistribution) else getattr(rule, "low", None)
        for name, rule in space.items()
    }
