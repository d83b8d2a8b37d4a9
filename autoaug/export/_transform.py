"""A policy among the transforms of torchvision: PIL images and tensors, alone or in batches, in DataLoader workers.

The exported file does the same without autoaug (`export`); this one runs whole batches at once.
"""

from typing import Any

import torch
from torch import Generator
from torchvision.transforms import v2

from autoaug.export._standalone import count_images, generator, in_form_of, to_floats, to_tensor
from autoaug.policy import Fixed, PolicyTree


class PolicyTransform(v2.Transform):
    """Run a policy as a `torchvision.transforms.v2.Transform` that can be pickled, with a draw for every image.

    It takes PIL images (RGB or L), and tensors of uint8 or of floats in [0, 1]: one image [C, H, W], or any batch of
    images [..., C, H, W], with 1 or 3 channels; inputs that go together, such as an image and its left-right partner,
    share their draws. It computes in float32 or wider, and rounds 8-bit images once, at the end.

    Randomness comes from a generator that each process makes for itself from `torch.initial_seed()`. A DataLoader
    gives its workers different seeds, so they draw differently; `torch.manual_seed` at the start repeats a run; and
    torch's global generator does not move. Setting the same seed twice in one process does not start anew.
    """

    def __init__(self, tree: PolicyTree, *, compose: bool = False) -> None:
        super().__init__()
        self.policy = Fixed(tree, compose=compose)

    def at(self, epoch: int) -> None:
        """Set the epoch, counted from 1, before its DataLoader workers are started."""
        self.policy.at(epoch)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw what happens to each image: buckets and strengths, and a seed for operations that draw themselves."""
        return self.draw(flat_inputs, generator(torch.initial_seed()))

    def draw(self, flat_inputs: list[Any], rng: Generator) -> dict[str, Any]:
        """Draw it from a generator on the CPU."""
        draws = self.policy.draw(count_images(flat_inputs), rng)
        return {"draws": draws, "seed": int(torch.randint(2**32, (), generator=rng))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Apply what was drawn; an input of the same shape meets the same again."""
        rng = Generator().manual_seed(params["seed"])
        if not len(self.policy.compiled(rng.device).base):
            return inpt
        images = to_tensor(inpt)
        images = images.reshape(-1, *images.shape[-3:]) if images.dtype == torch.uint8 else to_floats(inpt)
        return in_form_of(inpt, self.policy.apply_draws(images, params["draws"], rng))
