"""The transformation-invariant baseline: a network that looks at the image and at noise, and moves the image.

Jaderberg et al. 2015, "Spatial Transformer Networks", with noise as a second input, as Mounsaveng et al. 2021, section
4, compare with: it is trained by the training loss itself, together with the classifier, and no validation images
tell it anything.

    B images, C channels, H height, W width
"""

from itertools import pairwise
from pathlib import Path

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from autoaug.devices import to_device
from autoaug.ops import affine, unmoved
from autoaug.policy._files import save
from autoaug.policy._nodes import sequence
from autoaug.policy._tree import APPROXIMATION, PolicyTree, policy_tree
from autoaug.policy._warp import LOST, MOVES, SUMMARY, flat, read, span, summary

NOISE = 100
PLANE = 8
"""Side of the planes that the noise is turned into, before they are stretched to the image."""
POOLED = 4
"""Side of the features that the linear layers see, whatever the size of the image: 4 of 32 x 32 in the paper."""
DROPOUT = 0.5
FIRST_SPREAD = 0.1
"""The weights of the last layer begin at this share of torch's rule, so movements begin near the identity."""


class SpatialTransformer(nn.Module):
    """Move every image by an affine map that a network makes of the image and of 100 numbers of noise.

    Noise by a transposed convolution and the image by a convolution to `width` / 2 planes each, then convolutions of
    width, 2 width and 4 width channels, each with leaky ReLU and 2 x 2 max-pooling, then linear layers to the six
    numbers that are added to the identity. The published network (width 64) takes images of 32 x 32; here adaptive
    pooling takes any size, and a grey image counts as three equal channels.

    It is applied while training, and with `at_test` to the images of evaluations too (`AppliedAtTest`): once, with
    noise of its own for each image, the same in every epoch, and without dropout. The paper says that it is applied
    when testing, the authors' code does not do so. A tree, and what is trained from scratch with it, is for training
    alone.

    Args:
        seed: of the network's first weights.
        at_test: move the images that the network is validated and tested on.

    Raises:
        ValueError: the width is odd, or less than 2.

    >>> import torch
    >>> from autoaug.policy import SpatialTransformer
    >>> policy = SpatialTransformer(width=4)
    >>> policy.matrix(torch.ones(5, 3, 32, 32), torch.Generator().manual_seed(0)).shape  # one movement per image
    torch.Size([5, 2, 3])
    >>> list(policy.statistics())
    ['translate_x', 'translate_y', 'rotate', 'shear_x', 'zoom']
    """

    compose = True
    """Its movements are one resampling, so its tree is run by `Fixed(tree, compose=True)`: in turn they would blur."""
    seen: Tensor

    def __init__(self, width: int = 64, seed: int = 0, at_test: bool = False) -> None:
        super().__init__()
        self.at_test = at_test
        if width < 2 or width % 2:
            raise ValueError(f"width {width} of SpatialTransformer: give an even number of channels, at least 2")
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            torch.default_generator.manual_seed(seed)
            self.look = nn.Conv2d(3, width // 2, 3, padding=1)
            self.spread = nn.ConvTranspose2d(NOISE, width // 2, PLANE)
            self.body = nn.ModuleList(
                nn.Conv2d(width * k, width * n, 3, padding=1) for k, n in ((1, 1), (1, 2), (2, 4))
            )
            sizes = (4 * width * POOLED**2, 16 * width, width // 2)
            self.hidden = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in pairwise(sizes))
            self.last = nn.Linear(width // 2, 6)
        with torch.no_grad():
            self.last.weight.mul_(FIRST_SPREAD)
            self.last.bias.zero_()
        self.register_buffer("seen", torch.zeros(len(MOVES), 4))

    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        """Return moved images of the same shape and dtype, from [B, C, H, W] in [0, 1]; remember their statistics."""
        matrix = self.matrix(images, rng)
        if len(images):  # an empty batch leaves what was seen as it was
            amounts = read(matrix.detach())
            self.seen.copy_(torch.stack([summary(amounts[name].float()) for name in MOVES]))
        return affine(images, matrix)

    @torch.no_grad()
    def evaluated(self, images: Tensor, rng: Generator) -> Tensor:
        """Return moved images of the same shape and dtype, without dropout; the statistics stay those of training."""
        training = self.training
        try:
            return affine(images, self.eval().matrix(images, rng))
        finally:
            self.train(training)

    def matrix(self, images: Tensor, rng: Generator) -> Tensor:
        """Return the movement of each image, [B, 2, 3]."""
        colour = images.to(self.seen).expand(-1, 3, -1, -1)
        noise = torch.rand(len(images), NOISE, 1, 1, generator=rng, device=rng.device)
        noise = to_device(noise, colour.device, colour.dtype)
        planes = F.interpolate(self.spread(2 * noise - 1), colour.shape[2:], mode="bilinear", align_corners=False)
        features = torch.cat([self.look(colour), planes], dim=1)
        for layer in self.body:
            features = F.max_pool2d(F.leaky_relu(layer(features)), 2, ceil_mode=True)
        features = F.adaptive_avg_pool2d(features, POOLED).flatten(1)
        mask = torch.rand(features.shape, generator=rng, device=rng.device).to(features.dtype) >= DROPOUT
        mask = to_device(mask, features.device)
        features = features * mask / (1 - DROPOUT) if self.training else features
        for layer in self.hidden:
            features = F.leaky_relu(layer(features))
        return unmoved(features) + self.last(features).unflatten(1, (2, 3))

    def statistics(self) -> dict[str, dict[str, float]]:
        """Return mean, deviation and the 5 and 95 % quantiles of every amount in the last batch (see `Warp`)."""
        rows = zip(MOVES, self.seen.tolist(), strict=True)
        return {name: dict(zip(SUMMARY, row, strict=True)) for name, row in rows}

    def _repr_html_(self) -> str:
        """Return the policy as it is now, as a notebook shows it."""
        return self.tree()._repr_html_()

    def tree(self) -> PolicyTree:
        """Return the movements of the last batch as independent uniform amounts over the 5 to 95 % quantiles.

        A tree cannot look at images, so this is an approximation, and all that a file can hold. The provenance says
        so.
        """
        statistics = self.statistics()
        nodes = [span(name, row["low"], row["high"]) for name, row in statistics.items()]
        lost = ["movements do not depend on the image", LOST["amounts"], LOST["moves"]]
        lost += ["images are not moved when testing"] if self.at_test else []
        return policy_tree(sequence(nodes), provenance={APPROXIMATION: "; ".join(lost), **flat(statistics)})

    def at(self, epoch: int) -> None:
        """Do nothing: no movement depends on the epoch."""

    def save(self, path: str | Path) -> None:
        """Write `tree()` as a policy file. The network itself travels in the `state_dict`."""
        save(self, path)
