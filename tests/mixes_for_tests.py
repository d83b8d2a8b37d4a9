"""Mixes that need the training and break one law each, beside the law."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Generator, nn

from autoaug.mixing import MIXES, Mixed, TrainingBatch, TrainingSetting

Whole = Callable[[TrainingBatch], Mixed]
"""What the right mix does."""


@dataclass(frozen=True)
class Altered:
    """Manifold mixup of the first stage of a network, with one thing done otherwise."""

    mix: Any
    alter: Callable[[TrainingBatch, Whole], Mixed]

    def check(self, setting: TrainingSetting) -> Sequence[str]:
        return ()

    @property
    def mixes(self) -> bool:
        return bool(self.mix.mixes)

    def weakened(self, share: float) -> "Altered":
        return replace(self, mix=self.mix.weakened(share))

    def mix_in_training(self, batch: TrainingBatch) -> Mixed:
        return self.alter(batch, self.mix.mix_in_training)


class Lasting(Altered):
    """Grows no weaker."""

    def weakened(self, share: float) -> "Altered":
        return self


def with_running_statistics(batch: TrainingBatch, mix: Whole) -> Mixed:
    batch.losses(batch.images.float(), batch.targets.float())
    return mix(batch)


def heavier(batch: TrainingBatch, mix: Whole) -> Mixed:
    made = mix(batch)
    return made._replace(targets=made.targets * 1.1)


def seeded_by_itself(batch: TrainingBatch, mix: Whole) -> Mixed:
    return mix(replace(batch, rng=Generator().manual_seed(0)))


def drawing_always(batch: TrainingBatch, mix: Whole) -> Mixed:
    torch.rand(1, generator=batch.rng)
    return mix(batch)


def leaving_a_hook(batch: TrainingBatch, mix: Whole) -> Mixed:
    @contextmanager
    def hidden(network: nn.Module) -> Iterator[None]:
        network[1].register_forward_pre_hook(lambda module, inputs: (2 * inputs[0],))  # type: ignore[index]
        yield

    return mix(batch)._replace(hidden=hidden)


def detached(batch: TrainingBatch, mix: Whole) -> Mixed:
    made = mix(batch)
    return made._replace(images=made.images.detach().requires_grad_())


def faulty(alter: Callable[[TrainingBatch, Whole], Mixed], kind: type[Altered] = Altered) -> Callable[..., Altered]:
    """Return what makes the altered mix as a row of `MIXES` does."""
    return lambda **given: kind(MIXES["manifold-mixup"](layer="1", **given), alter)


TRAINING_MIX_FAULTS: dict[str, tuple[Callable[..., Any], str]] = {
    "moves running statistics": (faulty(with_running_statistics), "shapes_stay_and_what_it_is_given_too"),
    "targets sum to more than one": (faulty(heavier), "targets_stay_on_the_simplex_and_pixels_in_range"),
    "ignores the generator": (faulty(seeded_by_itself), "the_generator_decides_everything"),
    "draws where nothing is mixed": (
        faulty(drawing_always),
        "alpha_zero_and_probability_zero_change_nothing_and_draw_nothing",
    ),
    "leaves a hook": (faulty(leaving_a_hook), "the_network_is_as_before_once_a_pass_ends_or_fails"),
    "cuts the graph": (faulty(detached), "a_gradient_reaches_what_the_images_are_made_of"),
    "cannot be weakened": (
        faulty(lambda batch, mix: mix(batch), Lasting),
        "it_can_be_weakened_until_nothing_is_mixed",
    ),
    "cannot be pickled": (faulty(lambda batch, mix: mix(batch)), "it_travels_to_workers"),
}
