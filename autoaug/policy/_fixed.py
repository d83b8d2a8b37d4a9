"""Fixed: a policy tree, executed."""

from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from autoaug.ops import RANGES
from autoaug.policy._compiled import CompiledPolicy, Draws, compile_policy, draw
from autoaug.policy._execute import as_floats, execute
from autoaug.policy._files import load_tree, save
from autoaug.policy._tree import PolicyTree, Schedule


class Fixed(nn.Module):
    """A policy that is written down as a tree and does not learn.

    Every image gets a draw of its own: its options, its gates, its strengths and its signs. The images of a batch
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
        self._compiled = {epoch: compile_policy(tree.at(epoch), RANGES[tree.ranges]) for epoch in steps}
        self._placed: dict[tuple[int, torch.device], CompiledPolicy] = {}
        self.epoch = 1

    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        """Images [B, C, H, W] in [0, 1] to images of the same shape and type; 8-bit images come back as float32.

        Images that meet no operation pass through untouched. The same state of the generator gives the same output;
        a generator on the CPU serves images on any device, and then nothing waits for that device.
        """
        if images.ndim != 4 or not (images.is_floating_point() or images.dtype == torch.uint8):
            given = f"{images.dtype} {list(images.shape)}"
            raise ValueError(f"images are {given}: give floats in [0, 1], or uint8, of shape [B, C, H, W]")
        if not len(self.compiled(rng.device).base):  # nothing is drawn either
            return as_floats(images)
        return self.apply_draws(images, self.draw(len(images), rng), rng)

    def draw(self, batch: int, rng: Generator) -> Draws:
        """Return what happens to each image of a batch: its operations, and the strength of each."""
        return draw(self.compiled(rng.device), batch, rng)

    def apply_draws(self, images: Tensor, draws: Draws, rng: Generator) -> Tensor:
        """Return images [B, C, H, W] after what was drawn for them; `rng` serves operations that draw themselves."""
        compiled = self.compiled(rng.device)
        if not len(compiled.base):
            return as_floats(images)
        return execute(compiled.ops, images, draws, rng, compose=self.compose)

    def compiled(self, device: torch.device) -> CompiledPolicy:
        """The compiled tree of this epoch, its tables on the device where the random numbers are drawn."""
        step = max(epoch for epoch in self._compiled if epoch <= self.epoch)
        if (step, device) not in self._placed:
            self._placed[step, device] = self._compiled[step].to(device)
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


def load_policy(path: str | Path) -> Fixed:
    """The policy of a file, ready to run.

    Raises:
        PolicyError: the file is not a policy of a known version; the message names value, place and fix.
    """
    return Fixed(load_tree(path))
