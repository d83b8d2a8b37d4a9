"""Fixed: a policy tree, executed."""

from pathlib import Path

import torch
from torch import Generator, Tensor, nn

from autoaug.ops import RANGES
from autoaug.policy._compiled import CompiledPolicy, Draws, compile_policy, draw
from autoaug.policy._execute import as_floats, execute
from autoaug.policy._files import load_tree, save
from autoaug.policy._movements import movements
from autoaug.policy._tree import PolicyTree, Schedule


class Fixed(nn.Module):
    """Run a policy that is written down as a tree and does not learn.

    Every image gets a draw of its own: its options, its gates, its strengths and its signs. The images of a batch
    that meet the same operation at the same stage are gathered and pass through it together.

    Args:
        compose: join consecutive geometric operations of an image into one resampling: fewer interpolations, and the
            same as one after the other away from the borders. Off, pixels are what the operations give in turn.

    >>> import torch
    >>> from autoaug.policy import Fixed, apply, choice, policy_tree, sequence
    >>> policy = Fixed(policy_tree(choice([(0.5, apply("invert")), (0.5, sequence())])))
    >>> images = torch.full((6, 1, 1, 1), 0.25)
    >>> policy(images, torch.Generator().manual_seed(0)).flatten()  # each image has a draw of its own
    tensor([0.7500, 0.2500, 0.7500, 0.7500, 0.7500, 0.2500])
    """

    def __init__(self, tree: PolicyTree, *, compose: bool = False) -> None:
        super().__init__()
        self._tree = tree
        self.compose = compose
        steps = [step.epoch for step in tree.root.steps] if isinstance(tree.root, Schedule) else [1]
        self._compiled = {epoch: compile_policy(tree.at(epoch), RANGES[tree.ranges]) for epoch in steps}
        self._on_device: dict[tuple[int, torch.device], CompiledPolicy] = {}
        self.epoch = 1

    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        """Return images of the same shape and dtype, from [B, C, H, W] in [0, 1]; uint8 images come back as float32.

        Images that meet no operation pass through untouched. The same state of the generator gives the same output;
        a generator on the CPU serves images on any device, and then nothing waits for that device.
        """
        if images.ndim != 4 or not (images.is_floating_point() or images.dtype == torch.uint8):
            got = f"{images.dtype} {list(images.shape)}"
            raise ValueError(f"images are {got}: give floats in [0, 1], or uint8, of shape [B, C, H, W]")
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

    def movements(self, draws: Draws, shape: tuple[int, int, int], rng: Generator) -> list[Tensor]:
        """Return the affine maps [2, 3] that one image of shape (C, H, W) goes through in turn, for what goes with it.

        Args:
            draws: of a single image.
            rng: in the state in which `apply_draws` got it for the image.

        Raises:
            PolicyError: an operation of the policy moves pixels by what is no affine map.
        """
        return movements(self.compiled(rng.device).ops, draws, shape, rng, compose=self.compose)

    def compiled(self, device: torch.device) -> CompiledPolicy:
        """Return the compiled tree of this epoch, with its tables on the device where the random numbers are drawn."""
        step = max(epoch for epoch in self._compiled if epoch <= self.epoch)
        if (step, device) not in self._on_device:
            self._on_device[step, device] = self._compiled[step].to(device)
        return self._on_device[step, device]

    def at(self, epoch: int) -> None:
        """Set the epoch, counted from 1; a schedule then runs the tree that is in force."""
        self._tree.at(epoch)
        self.epoch = epoch

    def tree(self) -> PolicyTree:
        """Return the tree that is run."""
        return self._tree

    def _repr_html_(self) -> str:
        """Return the policy as a notebook shows it."""
        return self._tree._repr_html_()

    def save(self, path: str | Path) -> None:
        """Write the tree as a policy file."""
        save(self, path)


def load_policy(path: str | Path) -> Fixed:
    """Return the policy of a file, ready to run.

    Raises:
        PolicyError: the file is not a policy of a known version; the message names value, JSON path and fix.
        OSError: there is no such file, or it cannot be read.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from autoaug.policy import Fixed, load_policy, ready
    >>> with TemporaryDirectory() as folder:
    ...     Fixed(ready.trivialaugment()).save(Path(folder) / "policy.json")
    ...     policy = load_policy(Path(folder) / "policy.json")
    >>> policy.tree() == ready.trivialaugment()
    True
    """
    return Fixed(load_tree(path))
