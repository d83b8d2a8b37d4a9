"""The table of networks, `MODELS`, and how one is made of a row or of a callable."""

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Generator, nn

from autoaug.lookup import lookup
from autoaug.models._convnet import convnet
from autoaug.models._densenet import densenet
from autoaug.models._preact_resnet import preact_resnet
from autoaug.models._resnet import resnet
from autoaug.models._shake_shake import shake_shake
from autoaug.models._small_resnet import small_resnet
from autoaug.models._wide_resnet import wide_resnet

Architecture = Callable[..., nn.Module]
"""`(classes)` or `(classes, channels)` -> network; all rows of `MODELS` take `channels`, 3 by default."""

MODELS: dict[str, Architecture] = {
    "convnet": convnet,
    "resnet-8": partial(small_resnet, depth=8),
    "resnet-56": partial(small_resnet, depth=56),
    "photo-resnet-8": partial(small_resnet, depth=8, photos=True),
    "wrn-10-1": partial(wide_resnet, depth=10, width=1),
    "wrn-10-2": partial(wide_resnet, depth=10, width=2),
    "wrn-16-2": partial(wide_resnet, depth=16, width=2),
    "wrn-16-4": partial(wide_resnet, depth=16, width=4),
    "wrn-28-2": partial(wide_resnet, depth=28, width=2),
    "wrn-28-10": partial(wide_resnet, depth=28, width=10),
    "wrn-40-2": partial(wide_resnet, depth=40, width=2),
    "preactresnet-18": partial(preact_resnet, counts=(2, 2, 2, 2)),
    "preactresnet-34": partial(preact_resnet, counts=(3, 4, 6, 3)),
    "preactresnet-50": partial(preact_resnet, counts=(3, 4, 6, 3), deep=True),
    "preactresnet-101": partial(preact_resnet, counts=(3, 4, 23, 3), deep=True),
    "preactresnet-152": partial(preact_resnet, counts=(3, 8, 36, 3), deep=True),
    "densenet-bc-40-12": partial(densenet, depth=40, growth=12),
    "densenet-bc-190-40": partial(densenet, depth=190, growth=40),
    "shake-shake-26-2x32d": partial(shake_shake, width=32),
    "shake-shake-26-2x96d": partial(shake_shake, width=96),
    "shake-shake-26-2x112d": partial(shake_shake, width=112),
    "resnet-18": partial(resnet, depth=18),
    "resnet-50": partial(resnet, depth=50),
    "resnet-101": partial(resnet, depth=101),
}


def build(model: str | Architecture, classes: int, channels: int, rng: Generator, **settings: Any) -> nn.Module:
    """Return a network on the CPU. Its weights follow from `rng` alone; torch's global generator does not move.

    `model` is a row of `MODELS` or a callable of yours. Yours is called with the number of classes, and with
    the number of channels as well where it has a parameter named `channels` or a second one without a default.

    Args:
        settings: parameters of the network by name, such as `dropout=0.3`.

    Raises:
        ValueError: the name is unknown, or the network does not take a setting.
        TypeError: the callable returns no network.
    """
    architecture = lookup(MODELS, model, "model") if isinstance(model, str) else model
    check_settings(model, architecture, settings)
    seed = torch.randint(2**63 - 1, (), generator=rng, device=rng.device).item()
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        # torch.manual_seed would reseed the CUDA generators too, which the fork does not restore
        torch.default_generator.manual_seed(int(seed))
        network = call(partial(architecture, **settings), classes, channels)
    if not isinstance(network, nn.Module):
        raise TypeError(f"model {architecture!r} returned {type(network).__name__}: return a torch.nn.Module")
    return network


def check_settings(model: str | Architecture, architecture: Architecture, settings: Iterable[str]) -> None:
    """Refuse settings that a network does not take; the message names the networks that do."""
    for setting in settings:
        if setting not in inspect.signature(architecture).parameters:
            able = [name for name, row in MODELS.items() if setting in inspect.signature(row).parameters]
            raise ValueError(
                f"model {model if isinstance(model, str) else architecture!r} takes no {setting}: leave Task.{setting} "
                f"out, or give one of {', '.join(able)}"
            )


def call(architecture: Architecture, classes: int, channels: int) -> nn.Module:
    """Call the architecture with the channels where it takes them."""
    parameters = inspect.signature(architecture).parameters
    if "channels" in parameters:
        return architecture(classes, channels=channels)
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [p for p in parameters.values() if p.kind in positional and p.default is p.empty]
    return architecture(classes, channels) if len(required) > 1 else architecture(classes)
