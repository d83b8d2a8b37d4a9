"""What one hyper step looks at: a network with weights that can be swapped, two batches, and repeatable draws."""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from autoaug.hypergrad import Loss, Parts
from autoaug.models import Part, names_of
from autoaug.train import Criterion

Network = Callable[[Tensor], Tensor]
"""Images to logits."""

Weights = dict[str, Tensor]

ALL = slice(0, None)

MIXED = "mix/"
"""Before the names of a mix's parameters, beside which those of the policy stand: no name of a module's has a slash."""


class Batch(NamedTuple):
    """Hold images [B, C, H, W] in [0, 1] and their classes [B]."""

    images: Tensor
    targets: Tensor


Logits = Callable[[Tensor, Network], Tensor]
"""How images in [0, 1] go through a network: normalised, perhaps under autocast."""


def straight(images: Tensor, network: Network) -> Tensor:
    """Return the logits of a network that takes images in [0, 1] as they are."""
    return network(images)


@dataclass
class Problem:
    """Pose a bilevel problem at its present point: how the validation loss depends on the policy through the weights.

    It poses two losses as functions of weights and policy parameters: `val_loss`, and by `by_parts` a training loss.
    Whatever calls them, and however often, sees the same draws of the policy and of dropout. The model's buffers are
    not touched.
    """

    policy: nn.Module
    model: nn.Module
    train: Batch
    """Not yet transformed by the policy."""
    val: Batch
    """Never transformed by the policy."""
    rng: Generator
    """Of the policy's draws and of dropout: each call of a loss starts from the same state of it."""
    logits: Logits = straight
    micro_batch: int | None = None
    """Images that go through the network at once, of both batches; None is all of them."""
    criterion: Callable[[Tensor, Tensor], Tensor] = field(default_factory=Criterion)
    """The loss of each training image, from logits [B, K] and classes [B]. The validation loss is a cross-entropy."""
    part: Part | Collection[str] = "all"
    """What of the network the hypergradient goes through: a part, or names of parameters and modules. The rest is taken
    for constant."""
    still: Collection[str] = ()
    """Names of parameters that no optimiser has, so that they stay as they are though they ask for gradients."""
    clip_norm: float | None = None
    """What the norm of the gradient is clipped to in a step of training; None leaves it as it is."""
    mix: nn.Module | None = None
    """What mixes the training images after the policy, as a `Mix` does, and is moved beside it; None mixes nothing."""
    val_losses: list[Tensor] = field(default_factory=list)
    """What `outer` gave so far, each part of the images times its share of them."""

    def __post_init__(self) -> None:
        self.seed = int(torch.randint(2**62, (), generator=self.rng, device=self.rng.device))
        self.start = self.rng.get_state()
        self.chosen = chosen(self.model, self.part, self.trained)

    @property
    def trained(self) -> Weights:
        """Return the model's trainable parameters by name; those of a frozen backbone are not among them."""
        return {
            name: weight
            for name, weight in self.model.named_parameters()
            if weight.requires_grad and name not in self.still
        }

    @property
    def weights(self) -> Weights:
        """Return the trainable parameters that the hypergradient goes through, by name in the order of the model."""
        return {name: weight for name, weight in self.trained.items() if name in self.chosen}

    @property
    def hyper(self) -> Weights:
        """Return the trainable parameters of the policy by name, and those of the mix after `MIXED`."""
        return {name: value for name, value in hyper_of(self.policy, self.mix) if value.requires_grad}

    def show(self, hyper: Weights, images: Tensor, rng: Generator, *choices: object) -> tuple[Tensor, Tensor | None]:
        """Return images [B, C, H, W] as training shows them to the network, by these parameters of policy and mix.

        Args:
            choices: draws of the policy that were made before.

        Returns:
            The images, and the share [B, B] that each image of the batch has in each of them; None where nothing is
            mixed.
        """
        of_mix = {name.removeprefix(MIXED): value for name, value in hyper.items() if name.startswith(MIXED)}
        of_policy = {name: value for name, value in hyper.items() if not name.startswith(MIXED)}
        seen = functional_call(self.policy, of_policy, (images, rng, *choices))
        if self.mix is None:
            return seen, None
        own = torch.eye(len(images), dtype=seen.dtype, device=seen.device)
        mixed: tuple[Tensor, Tensor] = functional_call(self.mix, of_mix, (seen, own, rng))
        return mixed

    def repeat(self, first: int = 0) -> Generator:
        """Return the generator as it was when the step began, or seeded anew for the part from image `first` on."""
        return self.rng.manual_seed(self.seed + first) if first else self.rng.set_state(self.start)

    def predict(self, weights: Weights, images: Tensor, first: int = 0) -> Tensor:
        """Return logits [B, K] in the mode that the model is in; its buffers (running statistics) stay as they are.

        Parameters that are not given are the model's own, without a graph.
        """
        buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
        fixed = {name: weight.detach() for name, weight in self.model.named_parameters() if name not in weights}
        with global_generators_seeded(images.device, self.seed + first):
            return self.logits(images, lambda x: functional_call(self.model, {**fixed, **buffers, **weights}, (x,)))

    def train_loss(self, logits: Tensor, targets: Tensor, shares: Tensor | None = None) -> Tensor:
        """Return the mean training loss, a scalar, of logits [B, K], classes [B] and the shares of a mix [B, B]."""
        return self.train_losses(logits, targets, shares).mean()

    def train_losses(self, logits: Tensor, targets: Tensor, shares: Tensor | None = None) -> Tensor:
        """Return the training loss of each image, [B]."""
        if shares is None:
            return self.criterion(logits, targets)
        return self.criterion(logits, shares @ F.one_hot(targets, logits.shape[1]).to(shares))

    def val_loss(self, weights: Weights, hyper: object, rows: slice = ALL) -> Tensor:
        """Return the mean cross-entropy in nats on the validation batch, or on part of it, without the policy."""
        loss = F.cross_entropy(self.predict(weights, self.val.images[rows], rows.start), self.val.targets[rows])
        self.val_losses.append(loss.detach() * (len(self.val.targets[rows]) / len(self.val.targets)))
        return loss

    @property
    def outer(self) -> Loss:
        """Return the validation loss, by micro-batches where there are any."""
        return self.by_parts(self.val, lambda rows: lambda weights, hyper: self.val_loss(weights, hyper, rows))

    def by_parts(self, batch: Batch, loss: Callable[[slice], Loss]) -> Loss:
        """Return the mean over a batch of a loss that is given for some of its rows: as one, or in micro-batches."""
        total, parts = len(batch.targets), self.parts(batch)
        if len(parts) == 1:
            return loss(parts[0])
        return Parts([loss(rows) for rows in parts], [(rows.stop - rows.start) / total for rows in parts])

    def parts(self, batch: Batch) -> list[slice]:
        """Return the rows of a batch in parts of about the same size, of `micro_batch` at most."""
        total = len(batch.targets)
        count = -(-total // (self.micro_batch or total))
        edges = [k * total // count for k in range(count + 1)]
        return [slice(*pair) for pair in pairwise(edges)]


def hyper_of(policy: nn.Module, mix: nn.Module | None) -> Iterator[tuple[str, nn.Parameter]]:
    """Yield the parameters of a policy by name, and those of a mix, which is moved beside it, after `MIXED`."""
    yield from policy.named_parameters()
    if mix is not None:
        yield from ((f"{MIXED}{name}", value) for name, value in mix.named_parameters())


def chosen(model: nn.Module, part: Part | Collection[str], trained: Collection[str]) -> frozenset[str]:
    """Return the names of the parameters in a part of a model, or of those that are named, that train.

    Raises:
        ValueError: there are none, or a name stands for none.
    """
    kind = type(model).__name__
    if isinstance(part, str):
        found = names_of(model, part).intersection(trained)
        if not found:
            raise ValueError(f"nothing that trains is in part={part!r} of {kind}: give 'all'")
        return found
    parts = {name: names_of(model, [name]).intersection(trained) for name in part}
    for name, found in parts.items():
        if not found:
            raise ValueError(
                f"weights={list(part)!r}: {name!r} of {kind} does not train, as it is frozen or the optimiser does not "
                "have it: name what does"
            )
    if not parts:
        raise ValueError(f"weights={part!r} names nothing: give names of parameters or modules of {kind}")
    return frozenset().union(*parts.values())


@contextmanager
def global_generators_seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Seed torch's global generators, the only ones that dropout knows, and put them back afterwards."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
