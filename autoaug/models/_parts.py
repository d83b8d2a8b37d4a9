"""The head of a network, its last block, and which of its weights are theirs.

The head is the layer that makes the logits: what is drawn anew where weights come from other classes, what trains alone
while the rest is frozen, and what `Task.backbone_lr` does not slow down. All else is called the backbone.
"""

from collections.abc import Collection, Iterator
from typing import Literal, Protocol, get_args, runtime_checkable

from torch import nn

from autoaug.lookup import suggest

Part = Literal["all", "head", "last-block"]
"""Which weights of a network a hypergradient goes through."""

PARTS: tuple[Part, ...] = get_args(Part)

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


@runtime_checkable
class Headed(Protocol):
    """Say which layer makes the logits: a method of all networks of timm, and of one's own where it is not the last.

    >>> import torch
    >>> from autoaug.models import Headed, head_of
    >>> class Reversed(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.logits, self.features = torch.nn.Linear(4, 2), torch.nn.Linear(9, 4)
    ...     def forward(self, images):
    ...         return self.logits(self.features(images.flatten(1)))
    ...     def get_classifier(self):
    ...         return self.logits
    >>> isinstance(Reversed(), Headed), head_of(Reversed())
    (True, 'logits')
    """

    def get_classifier(self) -> nn.Module:
        """Return the layer, a module of this network."""


def head_of(network: nn.Module) -> str:
    """Return the name of the head of a network.

    It is what `get_classifier` returns where the network is `Headed`, or else the last linear layer in the order of
    `named_modules`; where there is none, the last convolution.

    Raises:
        ValueError: the network has no such layer, or several.

    >>> from autoaug.models import MODELS, head_of
    >>> head_of(MODELS["resnet-8"](10))
    'head.2'
    """
    modules = dict(network.named_modules())
    if isinstance(network, Headed):
        head = network.get_classifier()
        named = [name for name, module in modules.items() if module is head and has_weights(module)]
        if not named:
            raise ValueError(
                f"get_classifier of {type(network).__name__} gives a {type(head).__name__} that is no layer of the "
                "network: give a network with one layer for its logits"
            )
        return named[0]
    for kinds in ((nn.Linear,), CONVOLUTIONS):
        layers = [name for name, module in modules.items() if isinstance(module, kinds)]
        if layers:
            return layers[-1]
    raise ValueError(
        f"{type(network).__name__} has no linear layer and no convolution, so that its head is not known: give the "
        "network a method get_classifier that returns the layer of its logits"
    )


def names_of(network: nn.Module, part: Part | Collection[str]) -> frozenset[str]:
    """Return the names of the parameters of a part of a network, or of those that are named, alone or by their module.

    "last-block" is the head and all that comes after the body's last block but one: of a residual network its last
    block, of a transformer its last layer and the normalisation behind it. The block is found from the end: the last
    module with a matrix of weights, and within it, as long as it is a chain or holds a series of blocks of one class,
    the last again.

    Raises:
        ValueError: the head is not known (`head_of`), or a name is; the message has the near matches.

    >>> from autoaug.models import MODELS, names_of
    >>> sorted(names_of(MODELS["convnet"](10), "head"))
    ['12.bias', '12.weight']
    >>> sorted({name.split(".")[0] for name in names_of(MODELS["convnet"](10), "last-block")}, key=int)
    ['7', '8', '12']
    >>> sorted(names_of(MODELS["convnet"](10), ["7.weight", "12"]))
    ['12.bias', '12.weight', '7.weight']
    """
    every = [name for name, _ in network.named_parameters()]
    if not isinstance(part, str):
        return frozenset().union(*(named(network, name, every) for name in part))
    if part not in PARTS:
        raise ValueError(
            f"{part!r} is no part of a network, which are {', '.join(map(repr, PARTS))}: give names of parameters or "
            f"modules in a list, as in [{part!r}]"
        )
    if part == "all":
        return frozenset(every)
    head = head_of(network)
    of_head = {name for name in every if within(name, head)}
    if part == "head":
        return frozenset(of_head)
    blocks = list(from_the_end(network, "", head))
    return frozenset(of_head | {name for name in every if any(within(name, block) for block in blocks)})


def named(network: nn.Module, name: str, every: Collection[str]) -> frozenset[str]:
    """Return which of all parameters a name means: one of them, or those of a module.

    Raises:
        ValueError: the network has neither.
    """
    found = frozenset(each for each in every if name and within(each, name))
    if not found:
        modules = [module for module, inner in network.named_modules() if module and has_weights(inner)]
        raise ValueError(f"{type(network).__name__} has no weights {name!r}: {suggest(name, [*every, *modules])}")
    return found


def within(name: str, module: str) -> bool:
    """Whether a parameter belongs to a module; the empty name is the whole network."""
    return not module or name == module or name.startswith(f"{module}.")


def from_the_end(module: nn.Module, name: str, head: str) -> Iterator[str]:
    """Yield the names of the modules from the end of a network to its last block, but for the head."""
    for child, inner in reversed(list(module.named_children())):
        path = f"{name}.{child}" if name else child
        if path == head or not has_weights(inner):
            continue
        if within(head, path) and not has_matrix(inner, path, head):  # what is beside the head
            yield from from_the_end(inner, path, head)
        elif not has_matrix(inner, path, head):
            yield path
        elif is_a_series(inner):
            yield from from_the_end(inner, path, head)
            return
        else:
            yield path
            return


def has_weights(module: nn.Module) -> bool:
    """Whether a module has any parameters."""
    return next(module.parameters(), None) is not None


def has_matrix(module: nn.Module, name: str, head: str) -> bool:
    """Whether a module has a parameter of two dimensions or more outside of the head."""
    return any(p.dim() > 1 and not within(f"{name}.{inner}", head) for inner, p in module.named_parameters())


def is_a_series(module: nn.Module) -> bool:
    """Whether a module is a chain of others, or holds two blocks or more of one class in a row."""
    if isinstance(module, nn.Sequential | nn.ModuleList):
        return True
    for chain in module.modules():
        if isinstance(chain, nn.Sequential | nn.ModuleList):
            kinds = [type(block) for block in chain if is_block(block)]
            if len(kinds) > len(set(kinds)):
                return True
    return False


def is_block(module: nn.Module) -> bool:
    """Whether a module is made of others, but is no chain."""
    return not isinstance(module, nn.Sequential | nn.ModuleList) and next(module.children(), None) is not None
