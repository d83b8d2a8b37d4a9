"""The augmentation that is always on, applied to minibatches, and every form in which a task may ask for it.

B batch, C channels, H height, W width
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from torch import Generator, Tensor

from autoaug.data import STANDARDS, Data, Standard, as_float, standard_named
from autoaug.devices import to_device
from autoaug.fields import Refused
from autoaug.ops import OPS, RANGES
from autoaug.photos import Photos, draw_boxes, heights_and_widths, resized_crop
from autoaug.policy import AnyNode, Apply, Choice, Fixed, PolicyTree, Schedule, Sequence, decode, encode, policy_tree

Nodes = AnyNode | PolicyTree | Mapping[str, Any]
"""Nodes of a policy, its tree, or either as plain data."""

AlwaysOn = str | Standard | Nodes | tuple[str | Standard, Nodes]
"""What `Task.standard` takes."""

PLAIN = Standard(pad=0, flip=False)


def standard_text(given: Any) -> str:
    """Return the value of `Task.standard`: "auto", or the text of a standard augmentation, the same for equal ones."""
    match given:
        case "auto":
            return "auto"
        case str() | Standard():
            return resolved_standard(given).text
        case Apply() | Sequence() | Choice() | Schedule() | PolicyTree() | Mapping():
            return replace(PLAIN, nodes=text_of_nodes(given)).text
        case (str() | Standard()) as first, nodes:
            return replace(resolved_standard(first), nodes=text_of_nodes(nodes)).text
    raise Refused(f"auto, {', '.join(STANDARDS)}, Standard(...), or nodes of a policy")


def resolved_standard(given: str | Standard) -> Standard:
    """Return the standard augmentation of a text or a value, whose policy tree was checked.

    Raises:
        ValueError: it is none, or its policy tree cannot be run; the message is what to give instead.
    """
    try:
        standard = standard_named(given) if isinstance(given, str) else given
    except ValueError:
        raise Refused(f"auto, {', '.join(STANDARDS)}") from None
    return replace(standard, nodes=text_of_nodes(json.loads(standard.nodes))) if standard.nodes else standard


def text_of_nodes(given: Any) -> str:
    """Return nodes of a policy as the text that `Standard.nodes` holds.

    Each operation says its largest amount, so that the text means the same beside a policy of other ranges.
    """
    tree = as_tree(given)
    if isinstance(tree.root, Schedule):
        raise Refused("nodes that are the same in all epochs: a schedule is not always on")
    root = with_most(json.loads(encode(tree))["root"], tree.ranges)
    plain = json.loads(encode(policy_tree(root)))
    return json.dumps({name: plain[name] for name in ("schema", "root")})


def as_tree(given: Any) -> PolicyTree:
    """Return nodes of a policy, or their plain data, as a tree."""
    try:
        if isinstance(given, PolicyTree):
            return given
        if isinstance(given, Mapping) and "root" in given:
            return decode(json.dumps(given).encode(), "nodes")
        return policy_tree(given)
    except (ValueError, TypeError) as error:  # of plain data: no policy, or not even JSON
        raise Refused(f"nodes of a policy: {error}") from None


def with_most(node: Any, ranges: str) -> Any:
    """Return a node, as plain data, whose operations say their largest amounts, and leave their amounts to it."""
    if isinstance(node, list):
        return [with_most(child, ranges) for child in node]
    if not isinstance(node, dict):
        return node
    if "op" not in node:
        return {name: with_most(child, ranges) for name, child in node.items()}
    most = node.get("most", RANGES[ranges][node["op"]].most)
    kept = {name: value for name, value in node.items() if name not in ("amount", "unit")}
    return kept if most is None else {**kept, "most": most}


def shown_size(data: Data) -> tuple[int, int]:
    """Return the height and width of the images that a network is given, in pixels."""
    height, width = data.train.images.shape[2:]
    return height, width


def apply_standard(standard: Standard, images: Tensor | Photos, size: tuple[int, int], rng: Generator) -> Tensor:
    """Return images with a standard augmentation, each with draws of its own: [B, C, H, W], float32 in [0, 1].

    Args:
        standard: what is applied.
        images: [B, C, H, W], bytes or floats in [0, 1], or photos, as the data hold them.
        size: height and width of the result of a resized crop.
        rng: of the draws, on the CPU.
    """
    if standard.scale is not None:
        boxes = draw_boxes(heights_and_widths(images), standard.scale, standard.ratio, rng)
        images = resized_crop(images, boxes, size)
    if standard.pad or isinstance(images, Photos):
        images = as_float(images)
    if standard.pad:
        images = OPS["crop"].function(images, images.new_full((len(images),), standard.pad), rng)
    if standard.flip:
        images = mirrored(images, 3, rng)
    if standard.vflip:
        images = mirrored(images, 2, rng)
    images = as_float(images)  # not before: mirror images of bytes take a quarter of the time
    return fixed(standard.nodes)(images, rng) if standard.nodes else images


def mirrored(images: Tensor, axis: int, rng: Generator) -> Tensor:
    """Return images of which each is mirrored along an axis half of the time."""
    heads = (torch.rand(len(images), generator=rng) < 0.5).nonzero().squeeze(1)
    chosen = to_device(heads, images.device)  # half of the images are moved, where `where` would read all twice
    return images.index_copy(0, chosen, images.index_select(0, chosen).flip(axis))


@lru_cache(maxsize=16)
def fixed(nodes: str) -> Fixed:
    """Return the policy of the text of a tree, compiled once. It holds no state, so that trainings may share it."""
    return Fixed(decode(nodes.encode(), "standard"))
