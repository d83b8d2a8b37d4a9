"""Weights in files: read without running code, fitted to a network or refused with the layers that do not fit."""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from autoaug.artifacts import write_atomically
from autoaug.models._parts import head_of, within
from autoaug.text import enumerated

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar")
"""By which a text is taken for a file of weights, and not for the name of some."""

WRAPPERS = ("state_dict", "model", "model_state")
"""Keys under which training scripts keep the state dict of a network beside other things."""

State = dict[str, Tensor]


def is_file(weights: str) -> bool:
    """Whether a value of `Task.weights` is a path: it has a separator, or ends like a file of weights.

    >>> from autoaug.models import is_file
    >>> is_file("IMAGENET1K_V2"), is_file("runs/best"), is_file("mine.safetensors")
    (False, True, True)
    """
    separators = [each for each in (os.sep, os.altsep, "/") if each]
    return any(each in weights for each in separators) or weights.endswith(SUFFIXES)


def save_weights(
    network: nn.Module, path: str | Path, mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> None:
    """Write the parameters and buffers of a network to a .safetensors file, for `Task.weights` of another training.

    A crash leaves the old file or the new one, never half of one. Nothing of the network changes.

    Args:
        path: ends in .safetensors; its folder is made where it is missing.
        mean: of each channel of the images that it was trained on, in [0, 1]; with `std` it is kept in the file, and
            who loads it normalises by both.
        std: the standard deviations, above 0.

    Raises:
        ValueError: the path has another ending, or one of mean and std is missing.

    >>> import tempfile, torch
    >>> from autoaug.models import MODELS, build, save_weights
    >>> file = f"{tempfile.mkdtemp()}/convnet.safetensors"
    >>> save_weights(MODELS["convnet"](classes=8), file, mean=[0.5] * 3, std=[0.25] * 3)
    >>> network = build("convnet", 2, 3, torch.Generator(), weights=file)  # of 2 classes: with a new head
    """
    from safetensors.torch import save

    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"weights are written as .safetensors, not to {str(path)!r}: give a path that ends so")
    if (mean is None) != (std is None):
        raise ValueError("save_weights needs mean and std, or neither: give both")
    figures = {} if mean is None or std is None else {"mean": list(mean), "std": list(std)}
    # clones, because the format refuses tensors that share memory
    state = {name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()}
    data = save(state, metadata={name: json.dumps(value) for name, value in figures.items()})
    write_atomically(path, lambda file: file.write(data))


def read_weights(path: str) -> State:
    """Return the state dict of a network in a file, on the CPU: .safetensors, or what `torch.save` wrote.

    Raises:
        ValueError: there is no such file, it is none of these, or it holds anything else than tensors by name.
    """
    try:
        if path.endswith(".safetensors"):
            from safetensors.torch import load_file

            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ValueError(f"no file of weights at {path!r}, seen from {os.getcwd()}: give the path of one") from None
    except Exception as error:  # each format has errors of its own
        first = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"weights {path!r} cannot be read ({type(error).__name__}: {first}): give a .safetensors file, or a state "
            "dict written by torch.save(network.state_dict(), path)"
        ) from error
    return named_tensors(found, path)


def named_tensors(found: Any, path: str) -> State:
    """Return the state dict in what a file held: all of it, or the only entry that is one.

    The prefix "module." of networks that trained on several devices is taken away.
    """
    for name in ("", *WRAPPERS):
        state = found.get(name) if name and isinstance(found, Mapping) else found
        if isinstance(state, Mapping) and state and all(isinstance(value, Tensor) for value in state.values()):
            return {re.sub(r"^module\.", "", str(key)): value for key, value in state.items()}
    holds = enumerated(list(map(str, found)), len(found)) if isinstance(found, Mapping) else type(found).__name__
    raise ValueError(
        f"weights {path!r} hold no tensors by name ({holds}): save network.state_dict(), alone or as 'state_dict'"
    )


def figures_of(path: str) -> tuple[list[float], list[float]] | None:
    """Return the mean and deviation that `save_weights` keeps in a file; None where there are none."""
    if not path.endswith(".safetensors"):
        return None
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    if "mean" not in metadata or "std" not in metadata:
        return None
    return json.loads(metadata["mean"]), json.loads(metadata["std"])


def fit(network: nn.Module, state: State, source: str) -> None:
    """Put weights into a network, in place; its head stays as it is where theirs has other shapes.

    Where the network has one channel and the weights three, the first convolution is summed over its channels: the
    network then sees a grey image as the other would see it three times over.

    Args:
        source: what the weights are of, for errors.

    Raises:
        ValueError: other layers are missing, unknown or of other shapes; the message names them. Nothing was changed.
    """
    own = network.state_dict()
    state = summed_channels(network, own, state)
    drawn = {name for name in own if name.endswith("num_batches_tracked") and name not in state}
    drawn |= unfit_head(network, own, state)
    given = {name: value for name, value in state.items() if name in own and name not in drawn}
    misfits = {
        "missing": sorted(own.keys() - given.keys() - drawn),
        "unknown": sorted(name for name in state.keys() - own.keys() if not within(name, head_of(network))),
        "of another shape": [
            f"{name} ({spoken(value)}, the network has {spoken(own[name])})"
            for name, value in given.items()
            if value.shape != own[name].shape
        ],
    }
    if any(misfits.values()):
        parts = [f"{what}: {enumerated(names, len(names))}" for what, names in misfits.items() if names]
        raise ValueError(
            f"{source} do not fit {type(network).__name__}, {len(given)} of whose {len(own)} tensors they have: "
            f"{'; '.join(parts)}. Give the weights of this very network"
        )
    with torch.no_grad():
        for name, value in given.items():
            own[name].copy_(value)


def unfit_head(network: nn.Module, own: Mapping[str, Tensor], state: State) -> set[str]:
    """Return the names of the head's tensors where weights have none for it, or others in shape; else none."""
    names = {name for name in own if within(name, head_of(network))}
    fits = any(name in state for name in names) and all(
        own[name].shape == state[name].shape for name in names if name in state
    )
    return set() if fits else names


def summed_channels(network: nn.Module, own: Mapping[str, Tensor], state: State) -> State:
    """Return weights whose first convolution is for one channel where the network's is and theirs is for three."""
    layers: Iterable[str] = (f"{name}.weight" for name, module in network.named_modules() if is_convolution(module))
    first = next(iter(layers), "")
    if first not in own or first not in state:
        return state
    wanted, given = own[first].shape, state[first].shape
    if len(given) != 4 or wanted[1] != 1 or given[1] != 3 or (wanted[0], *wanted[2:]) != (given[0], *given[2:]):
        return state
    return {**state, first: state[first].sum(1, keepdim=True)}


def is_convolution(module: nn.Module) -> bool:
    """Whether a module is a convolution of images."""
    return isinstance(module, nn.Conv2d)


def spoken(tensor: Tensor) -> str:
    """Return a shape in words: 64x3x7x7; of a scalar, "a number"."""
    return "x".join(map(str, tensor.shape)) or "a number"
