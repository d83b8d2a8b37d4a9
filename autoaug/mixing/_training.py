"""Mixes that need more of a training than one minibatch: its network, its other images."""

from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, runtime_checkable

from torch import Generator, Tensor, nn

from autoaug.fields import short

Hidden = Callable[[nn.Module], AbstractContextManager[None]]
"""Makes a context in which a network mixes activations of its own: `with hidden(network): network(images)`."""


class Mixed(NamedTuple):
    """Hold what a training step makes of a minibatch."""

    images: Tensor
    """[B, C, H, W], as they enter the network."""
    targets: Tensor
    """Soft targets [B, K]."""
    hidden: Hidden | None = None
    """How the network mixes on its way; None where all was mixed before it."""


@dataclass(frozen=True, kw_only=True)
class TrainingBatch:
    """Hold what a mix may look at in a training of autoaug's own trainer."""

    images: Tensor
    """[B, C, H, W] in [0, 1], after the policy."""
    targets: Tensor
    """Soft targets [B, K]."""
    chosen: Tensor
    """Which of the training images they are: indices [B], int64, on the CPU."""
    model: nn.Module
    """The network as it trains."""
    losses: Callable[[Tensor, Tensor], Tensor]
    """Images as above and soft targets to the loss of each image, [B], with its graph. The pass is one of the network
    in its present mode: running statistics move, dropout draws."""
    others: Callable[[Tensor], tuple[Tensor, Tensor]]
    """Indices [B] of training images to these images as the training sees them in this epoch, after the standard
    augmentation and the policy, and their soft targets."""
    split: Hashable
    """An object that stands for all training images, and lives as long as they are the same."""
    all_images: Callable[[], Tensor]
    """Returns all training images before any augmentation, [N, C, H, W], bytes or floats in [0, 1]; of photos what an
    evaluation sees, at 64 pixels a side. Call it once for a `split`: it takes time and memory."""
    all_targets: Tensor
    """The class of each of them, [N], int64."""
    rng: Generator


@dataclass(frozen=True, kw_only=True)
class TrainingSetting:
    """Hold how a training is set up, as far as a mix may have to refuse it."""

    model: nn.Module
    """The network that will be trained."""
    size: tuple[int, int]
    """Height and width of an image as the network sees it, in pixels."""
    class_sizes: tuple[int, ...]
    """How many training images each of the K classes has."""
    in_parts: bool
    """A minibatch goes through the network part by part (`Task.micro_batch`)."""
    compiled: bool
    """The training step is compiled (`Task.compile`)."""
    resplit: bool
    """The training images are others in each epoch (`Task.resplit`)."""
    hold: Literal["tensor", "photos", "stream"]
    """How training images are held: as one tensor, or as photos of several sizes, which may be decoded at each use."""


@runtime_checkable
class TrainingMix(Protocol):
    """Combine samples by what a training knows beyond the minibatch, such as its network or its other images.

    It stands where a `Mix` stands (`Strategy.mixed`, `mix.kind`), in autoaug's own trainer alone: a loop of the user's
    own has a network and images that it does not know.
    """

    def check(self, setting: TrainingSetting) -> Sequence[str]:
        """Return what whoever starts the training should know, one sentence each.

        It is asked before any time is spent, and again as a training begins.

        Raises:
            ValueError: it cannot work in such a training; the message says what to change.
        """

    def mix_in_training(self, batch: TrainingBatch) -> Mixed:
        """Return the minibatch as a training step sees it. All randomness comes from `batch.rng`."""


def refuse_in_loops(mix: object) -> None:
    """Refuse a mix that a loop of the user's own cannot serve.

    Raises:
        ValueError: it is a `TrainingMix`.

    >>> from autoaug.mixing import manifold_mixup, mixup, refuse_in_loops
    >>> refuse_in_loops(mixup())
    >>> refuse_in_loops(manifold_mixup())
    Traceback (most recent call last):
    ValueError: ManifoldMixup(alpha=2.0...) mixes by the network, or by images beyond the batch...
    """
    if isinstance(mix, TrainingMix):
        raise ValueError(
            f"{short(mix)} mixes by the network, or by images beyond the batch, which autoaug's own trainer knows and "
            "a loop of one's own does not tell: use a mix of batches, such as mixup or cutmix, or leave out train="
        )
