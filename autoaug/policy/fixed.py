"""Fixed: a policy tree, executed."""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor, nn

from autoaug.ops import RANGES
from autoaug.policy.execute import as_floats, execute
from autoaug.policy.files import load_tree, save
from autoaug.policy.plan import Plan, compile_plan, draw
from autoaug.policy.tree import PolicyTree, Schedule

if TYPE_CHECKING:
    from autoaug.policy.transform import PolicyTransform


class Fixed(nn.Module):
    """A policy that is written down as a tree and does not learn.

    Every image gets a draw of its own: its options, its coins, its strengths and its signs. The images of a batch
    that meet the same operation at the same stage are gathered and pass through it together.

    Args:
        compose: join consecutive geometric operations of an image into one resampling: fewer interpolations, and the
            same as one after the other away from the borders. Off, pixels are what the operations give in turn.
    """

    def __init__(self, tree: PolicyTree, *, compose: bool = False) -> None:
        super().__init__()
        self._tree = tree
        self.compose = compose
        steps = [step.epoch for step in tree.root.steps] if isinstance(tree.root, Schedule) else [1]
        self._plans = {epoch: compile_plan(tree.at(epoch), RANGES[tree.ranges]) for epoch in steps}
        self._placed: dict[tuple[int, torch.device], Plan] = {}
        self.epoch = 1

    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        """Images [B, C, H, W] in [0, 1] to images of the same shape and type; 8-bit images come back as float32.

        Images that meet no operation pass through untouched. The same state of the generator gives the same output;
        a generator on the CPU serves images on any device, and then nothing waits for that device.
        """
        if images.ndim != 4 or not (images.is_floating_point() or images.dtype == torch.uint8):
            given = f"{images.dtype} {list(images.shape)}"
            raise ValueError(f"images are {given}: give floats in [0, 1], or uint8, of shape [B, C, H, W]")
        plan = self.plan(rng.device)
        if not len(plan.base):
            return as_floats(images)
        return execute(plan.ops, images, draw(plan, len(images), rng), rng, compose=self.compose)

    def plan(self, device: torch.device) -> Plan:
        """The compiled tree of this epoch, its tables on the device where the random numbers are drawn."""
        step = max(epoch for epoch in self._plans if epoch <= self.epoch)
        if (step, device) not in self._placed:
            self._placed[step, device] = self._plans[step].to(device)
        return self._placed[step, device]

    def at(self, epoch: int) -> None:
        """Say which epoch it is, counted from 1; a schedule then runs the tree that is in force."""
        self._tree.at(epoch)
        self.epoch = epoch

    def tree(self) -> PolicyTree:
        return self._tree

    def save(self, path: str | Path) -> None:
        """Write the tree as a policy file."""
        save(self, path)

    def to_torchvision(self) -> "PolicyTransform":
        """The same policy among torchvision's transforms, at this epoch; it can be pickled, and serves a DataLoader."""
        transform = to_torchvision(self._tree, compose=self.compose)
        transform.at(self.epoch)
        return transform


def to_torchvision(tree: PolicyTree, *, compose: bool = False) -> "PolicyTransform":
    """A policy tree as a transform of torchvision; see `autoaug.policy.transform.PolicyTransform`."""
    from autoaug.policy.transform import PolicyTransform  # here: torchvision takes long to import, and few need it

    return PolicyTransform(tree, compose=compose)


def load_policy(path: str | Path) -> Fixed:
    """The policy of a file, ready to run.

    Raises:
        PolicyError: the file is not a policy of a known version; the message names value, place and fix.
    """
    return Fixed(load_tree(path))
