"""Manifold mixup: blend what enters a layer of the network, which may be any layer that has a name.

B batch, K classes
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, Literal, Self

import torch
from torch import Tensor, nn

from autoaug.devices import to_device
from autoaug.fields import Matching, Within, check_fields
from autoaug.lookup import suggest
from autoaug.mixing._beta import draw_beta
from autoaug.mixing._pairs import as_mix, blend, check_batch, checked_alpha, checked_share, ever_mixed
from autoaug.mixing._training import Mixed, TrainingBatch, TrainingSetting

IMAGES = "input"
"""The name that stands for the images themselves."""

AUTO = "auto"
"""The layers of `usual_layers`."""

LAYERS = Matching(r"[^\s+]+(\+[^\s+]+)*", says='"auto", the name of a layer, "input", or several joined by "+"')


@dataclass(frozen=True)
class ManifoldMixup:
    """Make λ h_i + (1 - λ) h_j of what enters a layer, and λ y_i + (1 - λ) y_j of the targets; see `manifold_mixup`.

    Verma et al. 2019, section 2. Of several layers one is drawn for each minibatch, each as likely as any other.
    """

    alpha: Annotated[float | Tensor, checked_alpha] = 2.0
    """λ ~ Beta(α, α), at least 0; 0 is no mixing. A tensor gets a gradient and must be kept positive."""
    probability: Annotated[float, Within(0, 1)] = 1.0
    """The chance that a sample (or a batch) is mixed at all."""
    per: Literal["sample", "batch"] = "sample"
    """One λ and one chance for each sample, or for the whole batch as in the paper's code."""
    layer: Annotated[str, LAYERS] = AUTO
    """Names as in `network.named_modules()`, joined by "+"."""

    def __post_init__(self) -> None:
        check_fields(self, message=as_mix)

    @property
    def mixes(self) -> bool:
        """Whether it ever mixes anything."""
        return ever_mixed(self.alpha, self.probability)

    def weakened(self, share: float) -> Self:
        """Return the same mix at a share in [0, 1] of its α; at 0 it mixes nothing.

        Raises:
            ValueError: the share lies outside.
        """
        left = checked_share(share)
        return replace(self, alpha=self.alpha * left) if left else replace(self, probability=0.0)

    def check(self, setting: TrainingSetting) -> Sequence[str]:
        """Refuse layers that the network lacks, and trainings in which a layer does not meet the whole minibatch.

        Raises:
            ValueError: there is one.
        """
        names = layers_of(setting.model, self.layer)
        if names == (IMAGES,):
            return ()
        if setting.in_parts:
            raise ValueError(
                "manifold-mixup blends samples within the network, which meets a minibatch part by part: leave out "
                f"Task.micro_batch, or give mix.layer={IMAGES!r}"
            )
        if setting.compiled:
            raise ValueError(
                "manifold-mixup reaches into the network, and a compiled one cannot be: leave out Task.compile, or "
                f"give mix.layer={IMAGES!r}"
            )
        return ()

    def mix_in_training(self, batch: TrainingBatch) -> Mixed:
        """Return blended images, or the images as they are and how the network blends on its way; and the targets."""
        check_batch(batch.images, batch.targets)
        if not self.mixes:
            return Mixed(batch.images, batch.targets)
        names = layers_of(batch.model, self.layer)
        name = names[int(torch.randint(len(names), (), generator=batch.rng, device=batch.rng.device))]
        pair, weight = self.draw(batch)
        soft = with_partners(batch.targets, pair, weight)
        if name == IMAGES:
            return Mixed(with_partners(batch.images, pair, weight), soft)
        return Mixed(batch.images, soft, partial(blended_at, name, pair, weight))

    def draw(self, batch: TrainingBatch) -> tuple[Tensor, Tensor]:
        """Return the partner of each sample, [B], int64, and the weight of its own values, [B] or [1]; 1 is unmixed."""
        rng, device = batch.rng, batch.images.device
        count = len(batch.images) if self.per == "sample" else 1
        dtype = torch.promote_types(batch.images.dtype, torch.float32)
        lam = to_device(draw_beta(self.alpha, count, rng), device, dtype)
        chosen = to_device(torch.rand(count, generator=rng, device=rng.device) < self.probability, device)
        pair = to_device(torch.randperm(len(batch.images), generator=rng, device=rng.device), device)
        return pair, torch.where(chosen, lam, torch.ones_like(lam))


def manifold_mixup(
    alpha: float | Tensor = 2.0,
    probability: float = 1.0,
    per: Literal["sample", "batch"] = "sample",
    *,
    layer: str = AUTO,
) -> ManifoldMixup:
    """Make a mix of what enters a layer of the network (Verma et al. 2019). It is differentiable in α.

    The paper uses α = 2 on CIFAR, and one layer drawn for each minibatch: the images, or what enters the second or the
    third stage, which is what "auto" means (`usual_layers`). Its code minimises a binary cross-entropy of softmax
    outputs; here `Task.loss` decides. The ablation of Zhang et al. 2018 (table 5) mixes at one fixed layer: its "Layer
    1" to "Layer 5" are stage1 to stage4 and head of "preactresnet-18".

    Args:
        layer: the name of a module of the network, whose input is blended; "input" for the images, which is mixup; or
            several joined by "+", such as "input+stage2+stage3".

    >>> from autoaug.mixing import manifold_mixup
    >>> manifold_mixup(alpha=1.0, layer="stage2").layer
    'stage2'
    """
    return ManifoldMixup(alpha, probability, per, layer)


def layers_of(network: nn.Module, layer: str) -> tuple[str, ...]:
    """Return the layers that a text names: "input" or names of modules of a network.

    Raises:
        ValueError: the network has no such module; the message has the near names.
    """
    if layer == AUTO:
        return usual_layers(network)
    names = tuple(layer.split("+"))
    known = [name for name, _ in network.named_modules() if name]
    for name in names:
        if name != IMAGES and name not in known:
            near = suggest(name, [IMAGES, *usual_layers(network), *(each for each in known if "." not in each)])
            raise ValueError(f"mix.layer is {layer!r}, and the network has no layer {name!r}: {near}")
    return names


def usual_layers(network: nn.Module) -> tuple[str, ...]:
    """Return "input" and the names of the second and the third stage of a network.

    Stages are the children of a module, in their order: those that hold a matrix of weights, but for the first and the
    last of the network itself, its stem and its head. Where one alone is left, or none, its own children are the
    stages, or those of the largest. Of a network with one stage alone it is that one.

    >>> import torch
    >>> from autoaug.mixing import usual_layers
    >>> from autoaug.models import build
    >>> usual_layers(build("wrn-10-1", 10, 3, torch.Generator()))
    ('input', 'stage2', 'stage3')
    """
    heavy = with_matrices(network, "")
    stages = heavy[1:-1]
    while len(stages) < 2:
        name, module = max(stages or heavy, key=lambda pair: weights_in(pair[1]), default=("", network))
        inner = with_matrices(module, name)
        if not inner:
            break
        stages = heavy = inner
    found = [name for name, _ in stages[1:3] or stages or heavy]
    return (IMAGES, *found)


def with_matrices(module: nn.Module, name: str) -> list[tuple[str, nn.Module]]:
    """Return the children of a module that hold a matrix of weights, each after its name in the network."""
    children = ((f"{name}.{child}" if name else child, inner) for child, inner in module.named_children())
    return [(path, inner) for path, inner in children if any(each.dim() > 1 for each in inner.parameters())]


def weights_in(module: nn.Module) -> int:
    """Return how many numbers the parameters of a module hold."""
    return sum(each.numel() for each in module.parameters())


@contextmanager
def blended_at(name: str, pair: Tensor, weight: Tensor, network: nn.Module) -> Iterator[None]:
    """Blend what enters a layer of the network, once, in a forward pass within the block.

    Args:
        name: of the module.
        pair: the partner of each sample, [B], int64.
        weight: of its own values, [B] or [1].
        network: it is as it was after the block, however that ends.

    Raises:
        ValueError: the layer is not met, or twice; or what enters it holds something else than one row for each sample.
    """
    met = 0

    def hook(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        nonlocal met
        met += 1
        values = inputs[0] if inputs else None
        if not isinstance(values, Tensor) or len(values) != len(pair):
            what = list(values.shape) if isinstance(values, Tensor) else f"a {type(values).__name__}"
            raise ValueError(
                f"mix.layer: {what} enters {name!r} for {len(pair)} samples, and its first argument has to be a tensor "
                "with a row for each: name another layer"
            )
        return with_partners(values, pair, weight), *inputs[1:]

    handle = network.get_submodule(name).register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()
    if met != 1:
        raise ValueError(
            f"mix.layer: the network goes through {name!r} {met} times in a pass, and has to once: name another layer"
        )


def with_partners(values: Tensor, pair: Tensor, weight: Tensor) -> Tensor:
    """Return weight * values + (1 - weight) * values[pair], row by row, in the dtype of `values` [B, ...].

    Args:
        values: one row for each sample.
        pair: the partner of each, [B], int64.
        weight: [B] or [1].
    """
    return blend(values, pair, weight.view(-1, *(1 for _ in values.shape[1:])))
