"""The table of networks, `MODELS`, and how one is made of a row, of a callable or of another library."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Generator, nn

from autoaug.lookup import lookup
from autoaug.models._badgan import badgan_cnn
from autoaug.models._convnet import convnet
from autoaug.models._densenet import densenet
from autoaug.models._mlp import mlp
from autoaug.models._normalisation import Normalisation, normalisation_for
from autoaug.models._preact_resnet import preact_resnet
from autoaug.models._resnet import resnet, resnext
from autoaug.models._shake_shake import shake_shake
from autoaug.models._small_resnet import small_resnet
from autoaug.models._speech import lenet_speech, vgg_speech
from autoaug.models._timm import timm_network, timm_normalisation
from autoaug.models._torchvision import torchvision_network, torchvision_normalisation
from autoaug.models._weights import figures_of, fit, is_file, read_weights
from autoaug.models._wide_resnet import wide_resnet

Architecture = Callable[..., nn.Module]
"""`(classes)` or `(classes, channels)` -> network; all rows of `MODELS` take `channels`, 3 by default. A row with a
parameter `size` that is given by name alone gets H and W of the images too."""

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
    "cifar-resnet-18": partial(resnet, depth=18, small=True),
    "resnext-101-32x4d": partial(resnext, groups=32, width=4),
    "resnext-101-64x4d": partial(resnext, groups=64, width=4),
    "badgan-cnn": badgan_cnn,
    "lenet-speech": lenet_speech,
    "vgg-11-speech": vgg_speech,
    "mlp": mlp,
}


class Library(NamedTuple):
    """Say how the networks of another library are made, and what their images are normalised by."""

    network: Callable[..., nn.Module]
    """(name, classes, channels, name of weights or None, and settings by name such as dropout) -> network on the CPU,
    drawn from the global generator."""
    normalisation: Callable[[str, str | None, int], Normalisation]
    """(name, name of weights or None, channels) -> mean and deviation."""


LIBRARIES: dict[str, Library] = {
    "torchvision": Library(torchvision_network, torchvision_normalisation),
    "timm": Library(timm_network, timm_normalisation),
}
"""By the prefix of a model's name: "torchvision:resnet50". Each is imported when a network of it is made."""


def library_of(model: str | Architecture) -> tuple[Library, str] | None:
    """Return the library that a name begins with, and the rest of the name; None for rows of `MODELS` and callables.

    Raises:
        ValueError: no library has this prefix.
    """
    if not isinstance(model, str) or model in MODELS or ":" not in model:
        return None
    prefix, _, name = model.partition(":")
    return lookup(LIBRARIES, prefix, f"library in model {model!r},"), name


def check_weights(model: str | Architecture, weights: str | None) -> None:
    """Refuse what can be seen to be wrong of a model and its weights without building anything.

    Raises:
        ValueError: the model's library is unknown, or weights are named of a model that has none of its own.
    """
    library = library_of(model)
    if weights is not None and not is_file(weights) and library is None:
        raise ValueError(
            f"weights {weights!r} are no file, and only models of {', '.join(LIBRARIES)} have weights with names: give "
            'a path, for one in this folder "./..."'
        )


def build(
    model: str | Architecture,
    classes: int,
    channels: int,
    rng: Generator,
    weights: str | None = None,
    *,
    size: tuple[int, int] | None = None,
    **settings: Any,
) -> nn.Module:
    """Return a network on the CPU. Its weights follow from `rng` alone; torch's global generator does not move.

    `model` is a row of `MODELS`, a name such as "torchvision:resnet50" or "timm:convnext_tiny", or a callable of yours.
    Yours is called with the number of classes, and with the number of channels as well where it has a parameter named
    `channels` or a second one without a default.

    Args:
        weights: a file (`read_weights`), or a name that the library of the model knows; the head stays as it is drawn
            where theirs is for other classes (`fit`). None draws all.
        size: H and W of the images, for the rows of `MODELS` that must know it, such as "mlp".
        settings: parameters of the network by name, such as `dropout=0.3`.

    Raises:
        ValueError: a name is unknown, the network does not take a setting, or the weights cannot be had or do not fit.
        TypeError: the callable returns no network.
    """
    check_weights(model, weights)
    seed = torch.randint(2**63 - 1, (), generator=rng, device=rng.device).item()
    named = None if weights is None or is_file(weights) else weights
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        # torch.manual_seed would reseed the CUDA generators too, which the fork does not restore
        torch.default_generator.manual_seed(int(seed))
        network = made(model, classes, channels, size, named, settings)
    if not isinstance(network, nn.Module):
        raise TypeError(f"model {model!r} returned {type(network).__name__}: return a torch.nn.Module")
    if weights is not None and named is None:
        fit(network, read_weights(weights), f"weights {weights!r}")
    return network


def made(
    model: str | Architecture,
    classes: int,
    channels: int,
    size: tuple[int, int] | None,
    weights: str | None,
    settings: Mapping[str, Any],
) -> nn.Module:
    """Return a network drawn from the global generator, with the named weights of its library, if any."""
    if library := library_of(model):
        check_settings(model, library[0].network, settings)
        return out_of_place(library[0].network(library[1], classes, channels, weights, **settings))
    architecture = lookup(MODELS, model, "model") if isinstance(model, str) else model
    check_settings(model, architecture, settings)
    sized = {"size": size} if size is not None and isinstance(model, str) and is_sized(architecture) else {}
    return call(partial(architecture, **sized, **settings), classes, channels)


def is_sized(architecture: Architecture) -> bool:
    """Whether a row has a parameter for H and W of its images, by name alone."""
    size = inspect.signature(architecture).parameters.get("size")
    return size is not None and size.kind is inspect.Parameter.KEYWORD_ONLY


def check_settings(model: str | Architecture, architecture: Callable[..., Any], settings: Iterable[str]) -> None:
    """Refuse settings that a network does not take; the message names the networks that do."""
    for setting in settings:
        if setting not in inspect.signature(architecture).parameters:
            able = [name for name, row in MODELS.items() if setting in inspect.signature(row).parameters]
            able += [
                f"{name}:..." for name, row in LIBRARIES.items() if setting in inspect.signature(row[0]).parameters
            ]
            raise ValueError(
                f"model {model if isinstance(model, str) else architecture!r} takes no {setting}: leave Task.{setting} "
                f"out, or give one of {', '.join(able)}"
            )


def out_of_place(network: nn.Module) -> nn.Module:
    """Return a network whose modules no longer work in place: a hyper step differentiates a second time."""
    for module in network.modules():
        if getattr(module, "inplace", False):  # of activations and dropout, as torch, torchvision and timm name it
            module.inplace = False  # type: ignore[assignment]
    return network


def normalisation(model: str | Architecture, weights: str | None, channels: int) -> Normalisation | None:
    """Return what images are normalised by before a network of these weights sees them; None for that of the data.

    Named weights bring theirs. Of a file it is what `save_weights` has kept in it, or else that of the library's
    default weights; a file without any, of a model of no library, leaves it to the data, as no weights do.
    """
    if weights is None:
        return None
    figures, library = figures_of(weights) if is_file(weights) else None, library_of(model)
    if figures is not None:
        return normalisation_for(channels, *figures)
    named = None if is_file(weights) else weights
    return library[0].normalisation(library[1], named, channels) if library else None


def call(architecture: Architecture, classes: int, channels: int) -> nn.Module:
    """Call the architecture with the channels where it takes them."""
    parameters = inspect.signature(architecture).parameters
    if "channels" in parameters:
        return architecture(classes, channels=channels)
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [p for p in parameters.values() if p.kind in positional and p.default is p.empty]
    return architecture(classes, channels) if len(required) > 1 else architecture(classes)
