"""Evidence of points of a study with a loop of the user's own: what policy, mix and the loop's first steps come to."""

from collections.abc import Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Generator, Tensor

from autoaug.mixing import TrainingMix
from autoaug.study._bench import BASES, Bench, Evidence
from autoaug.study._definition import Study
from autoaug.study._draws import noise
from autoaug.study._loading import Loader
from autoaug.study._rehearse import rehearsed
from autoaug.study._setup import Setup, set_up
from autoaug.trial import Command

IMAGES, SHAPE, CLASSES = 16, (3, 16, 16), 10
"""Of the noise that the policy and the mix are shown: the loop has images of its own, or looks at the task's itself."""


def stages_of_loop(study: Study, strategy: str, load: Loader, search: bool = False) -> list[Evidence]:
    """Return the kinds of evidence of a study with a loop of the user's own, the cheapest first.

    Args:
        search: as a trial of the search is trained, on its proxy.
    """

    def mixed(point: Mapping[str, Any], repeat: int) -> Iterator[Any]:
        setup = set_up(study, strategy, point, search=search)
        yield from mixed_of(setup, *shown())
        yield setup.task.mix_warmup, setup.task.anneal  # later than the first steps; the trial applies them

    def made(point: Mapping[str, Any], repeat: int) -> Iterator[Any]:
        return made_of(set_up(study, strategy, point, search=search), shown()[0])

    def trained(point: Mapping[str, Any], repeat: int) -> Iterator[Any]:
        yield rehearsed(study, strategy, point, load, search=search, repeat=repeat).evidence

    return [mixed, made] if isinstance(study.train, Command) else [mixed, made, trained]


def shown() -> tuple[Tensor, Tensor]:
    """Return a few images of noise and soft targets, the same each time."""
    return noise(IMAGES, SHAPE, CLASSES, Generator().manual_seed(0))


def mixed_of(setup: Setup, images: Tensor, targets: Tensor) -> Iterator[Any]:
    """Yield what the mix makes of images and their soft targets; of one that needs a training, what it is made of.

    Such a mix holds nothing else, and draws from more than few images and steps can show.
    """
    if isinstance(setup.mix, TrainingMix):
        yield repr(setup.mix)
        return
    yield from setup.mix(images, targets, Generator().manual_seed(0))


def made_of(setup: Setup, images: Tensor) -> Iterator[Any]:
    """Yield what the policy makes of images, in the first and in the last epoch that has it."""
    setup.policy.to(torch.device("cpu"))
    for epoch in {1: None, setup.task.epochs: None}:
        setup.policy.at(epoch)
        yield setup.policy(images, Generator().manual_seed(0))


def unread(dimension: str, bench: Bench, load: Loader) -> bool:
    """Whether the loop does not read one of its own dimensions in its first steps, whatever the others are."""
    name = dimension.removeprefix("train.")
    seen = partial(rehearsed, bench.study, bench.strategy, load=load)
    own = name != dimension and not isinstance(bench.study.train, Command)
    return own and not any(name in seen(base).read for base in islice(bench.bases(dimension), BASES))
