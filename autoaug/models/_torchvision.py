"""Networks of torchvision, with its weights."""

from typing import Any

import torch
from torch import nn

from autoaug.lookup import lookup
from autoaug.models._normalisation import Normalisation, normalisation_for
from autoaug.models._weights import fit

AUXILIARY = ("googlenet", "inception_v3")
"""Networks that give three sets of logits while they train."""


def torchvision_network(name: str, classes: int, channels: int, weights: str | None) -> nn.Module:
    """Return a network for classification of torchvision, with a head for so many classes.

    Args:
        weights: the name of some of torchvision's, such as "IMAGENET1K_V2" or "DEFAULT", which are downloaded unless
            they lie in the folder of `torch.hub`; None draws all by torchvision's own rules.

    Raises:
        ValueError: there is no such network or there are no such weights, or they cannot be downloaded.
    """
    from torchvision import models

    check_name(name)
    network = models.get_model(name, weights=None, num_classes=classes)
    if channels != 3:
        renew_stem(network, channels)
    if weights is not None:
        chosen = weights_named(name, weights)
        fit(network, downloaded(chosen, name), f"weights {weights!r} of torchvision:{name}")
    return network


def torchvision_normalisation(name: str, weights: str | None, channels: int) -> Normalisation:
    """Return the mean and deviation of the named weights, and of the default ones for None."""
    from torchvision import models

    check_name(name)
    chosen = models.get_model_weights(name).DEFAULT if weights is None else weights_named(name, weights)
    rule: Any = chosen.transforms()
    return normalisation_for(channels, rule.mean, rule.std)


def check_name(name: str) -> None:
    """Raise ValueError where torchvision has no such network for classification, or one with several heads."""
    from torchvision import models

    lookup(dict.fromkeys(models.list_models(module=models)), name, "model of torchvision")
    if name in AUXILIARY:
        raise ValueError(f"torchvision:{name} gives three sets of logits while it trains: take timm:inception_v3")


def weights_named(name: str, weights: str) -> Any:
    """Return the entry of torchvision's for the weights of a network.

    Raises:
        ValueError: there is none; the message has the names.
    """
    from torchvision import models

    rows = dict(models.get_model_weights(name).__members__)
    return lookup(rows, weights, f"weights of torchvision:{name}")


def downloaded(weights: Any, name: str) -> dict[str, torch.Tensor]:
    """Return the state dict of weights of torchvision, from the folder of `torch.hub` or the network.

    Raises:
        ValueError: they cannot be had; the message says where to put the file.
    """
    try:
        state: dict[str, torch.Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    except OSError as error:  # urllib's errors are among these
        file = f"{torch.hub.get_dir()}/checkpoints/{weights.url.rpartition('/')[2]}"
        raise ValueError(
            f"weights {weights.name!r} of torchvision:{name} cannot be downloaded ({error}): fetch {weights.url} "
            f"elsewhere and put it to {file}, or give its path as weights"
        ) from error
    return state


def renew_stem(network: nn.Module, channels: int) -> None:
    """Put a convolution for so many channels in the place of the first one, in place, drawn as torch draws them."""
    name, old = next((name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d))
    new = nn.Conv2d(
        channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]
        old.stride,  # type: ignore[arg-type]
        old.padding,  # type: ignore[arg-type]
        bias=old.bias is not None,
    )
    network.set_submodule(name, new)
