"""Networks of timm, with its weights."""

from typing import Any

from torch import nn

from autoaug.lookup import lookup, suggest
from autoaug.models._normalisation import Normalisation, normalisation_for
from autoaug.models._parts import head_of

USUAL = "pretrained"
"""The name of the weights that timm takes by default, or of the tag in the model's own name."""


def timm_network(name: str, classes: int, channels: int, weights: str | None, dropout: float = 0.0) -> nn.Module:
    """Return a network of timm, with a head for so many classes and a stem for so many channels.

    Args:
        name: with or without a tag: "resnet18", "resnet18.a1_in1k".
        weights: "pretrained", or a tag such as "a1_in1k"; they are downloaded unless they lie in the cache of Hugging
            Face. None draws all by timm's own rules.
        dropout: before the head, and where else the network has its `drop_rate`.

    Raises:
        ValueError: timm is not installed or too old for it, there is no such network or tag, the weights cannot be
            downloaded, or the network has several heads.
    """
    timm, full = library(), tagged(name, weights)
    try:
        network: nn.Module = timm.create_model(
            full, pretrained=weights is not None, num_classes=classes, in_chans=channels, drop_rate=dropout
        )
    except OSError as error:  # the errors of the hub and of urllib are among these
        place = timm.get_pretrained_cfg(full).hf_hub_id
        raise ValueError(
            f"weights of timm:{full} cannot be downloaded ({str(error).partition(chr(10))[0]}): fetch "
            f"model.safetensors of https://huggingface.co/{place} elsewhere and give its path as weights, or fill the "
            "folder HF_HOME"
        ) from error
    head_of(network)
    return network


def timm_normalisation(name: str, weights: str | None, channels: int) -> Normalisation:
    """Return the mean and deviation that the configuration of a network says."""
    config = library().get_pretrained_cfg(tagged(name, weights))
    return normalisation_for(channels, config.mean, config.std)


def tagged(name: str, weights: str | None) -> str:
    """Return the name by which timm knows a network with these weights.

    Raises:
        ValueError: there is no such network, or no such tag of it.
    """
    timm = library()
    base, _, tag = name.partition(".")
    lookup(dict.fromkeys(timm.list_models()), base, "model of timm")
    if weights not in (None, USUAL) and tag not in ("", weights):
        raise ValueError(f"model timm:{name} names the weights {tag!r}, and weights are {weights!r}: keep one")
    tag = tag if weights in (None, USUAL) else str(weights)
    known = [each.partition(".")[2] for each in timm.list_pretrained(f"{base}.*")]
    if tag and tag not in known:
        raise ValueError(f"unknown weights {tag!r} of timm:{base}: {suggest(tag, [*known, USUAL])}")
    if weights is not None and not known:
        raise ValueError(f"timm has no weights of {base}: give a file, or None")
    return f"{base}.{tag}" if tag else base


def library() -> Any:
    """Return timm.

    Raises:
        ValueError: it is not installed.
    """
    try:
        import timm
    except ImportError as error:
        raise ValueError("models of timm need timm: pip install 'autoaug[timm]'") from error
    return timm
