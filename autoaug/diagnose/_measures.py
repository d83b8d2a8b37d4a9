"""What is measured of a network by itself: functions of its logits, images and targets.

A network is a function from images [B, C, H, W] in [0, 1] to logits [B, K], in evaluation mode: one that normalises its
images does so within. B images, C channels, H height, W width, K classes.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

Logits = Callable[[Tensor], Tensor]
"""A network: images [B, C, H, W] in [0, 1] to logits [B, K]."""

EPSILON = 4 / 255
"""The most that an attack changes a pixel by (Zhang et al. 2018, "mixup", section 3.5: 4 of 255 levels)."""

STEPS = 10
"""Of the iterated attack, of equal size (Zhang et al. 2018, section 3.5)."""


def cross_entropies(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the cross-entropy of each image in nats, [B]; of soft targets [B, K] that of the shares.

    He et al. 2019, "Data Augmentation Revisited", Table 2, compares its means on clean and on augmented images.
    """
    return F.cross_entropy(logits.float(), targets, reduction="none")


def misses(logits: Tensor, targets: Tensor) -> Tensor:
    """Return of each image whether the largest logit is that of another class than its own [B]: [B], bool."""
    return logits.argmax(1) != targets


def input_gradients(network: Logits, images: Tensor, scalars: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the gradient of one scalar of each image with respect to that image, [B, C, H, W].

    Args:
        scalars: from the logits [B, K] to a scalar of each image, [B]. An image must not depend on another one, as it
            would in batch normalisation in training mode.
    """
    pixels = images.detach().requires_grad_()
    with torch.enable_grad():
        [gradients] = torch.autograd.grad(scalars(network(pixels)).sum(), pixels)
    return gradients.detach()


def loss_gradients(network: Logits, images: Tensor, targets: Tensor) -> Tensor:
    """Return the gradient of each image's cross-entropy with respect to the image, [B, C, H, W]."""
    return input_gradients(network, images, lambda logits: cross_entropies(logits, targets))


def fgsm(network: Logits, images: Tensor, targets: Tensor, epsilon: float = EPSILON) -> Tensor:
    """Return images in [0, 1] that the fast gradient sign method has changed by `epsilon` in each pixel at most.

    x' = clip(x + epsilon sign(grad_x CE)): Goodfellow et al. 2015, "Explaining and Harnessing Adversarial Examples".
    """
    return (images + epsilon * loss_gradients(network, images, targets).sign()).clamp(0, 1)


def iterated_fgsm(
    network: Logits, images: Tensor, targets: Tensor, epsilon: float = EPSILON, steps: int = STEPS
) -> Tensor:
    """Return images in [0, 1] after `steps` steps of `fgsm`, each of epsilon/steps, no pixel further than `epsilon`.

    Kurakin et al. 2017, "Adversarial examples in the physical world"; equal steps as in Zhang et al. 2018, section 3.5.
    """
    changed = images
    for _ in range(steps):
        stepped = fgsm(network, changed, targets, epsilon / steps)
        changed = stepped.maximum(images - epsilon).minimum(images + epsilon).clamp(0, 1)
    return changed


class InBetween(NamedTuple):
    """Hold what a network does between pairs of images."""

    miss: Tensor
    """Whether the prediction is neither of the two classes: [L, B], bool, for L shares of the first image."""
    gradient: Tensor
    """The norm of the gradient of the loss with respect to the image, [L, B]; pixels in [0, 1], the loss in nats."""


def in_between(
    network: Logits, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], shares: Sequence[float]
) -> InBetween:
    """Probe a network at lam x_i + (1 - lam) x_j (Zhang et al. 2018, Figure 2).

    The loss is the cross-entropy of the target lam y_i + (1 - lam) y_j: the paper says "the gradients of the model" and
    speaks of the gradient of the loss where it draws on the figure (section 3.5).

    Args:
        first: images [B, C, H, W] in [0, 1] and their classes [B].
        second: as many others.
        shares: lam, of the first image, in [0, 1].
    """
    (images, classes), (others, their_classes) = first, second
    missed, norms = [], []
    for share in shares:
        between = share * images + (1 - share) * others
        seen: list[Tensor] = []

        def losses(logits: Tensor, share: float = share, seen: list[Tensor] = seen) -> Tensor:
            seen.append(logits.detach())
            return share * cross_entropies(logits, classes) + (1 - share) * cross_entropies(logits, their_classes)

        norms.append(input_gradients(network, between, losses).flatten(1).norm(dim=1))
        missed.append(misses(seen[0], classes) & misses(seen[0], their_classes))
    return InBetween(torch.stack(missed), torch.stack(norms))


def gradient_products(network: Logits, images: Tensor, classes: Tensor, reach: int) -> Tensor:
    """Return for each offset p the largest |d_v f| |d_(v+p) f| over images and pixels v: [2 reach + 1, 2 reach + 1].

    f is the logit of the image's class, and |d_v f| the norm over the channels of its gradient at pixel v. Offsets go
    from -reach to reach, down and to the right, the middle is p = 0. An offset that no two pixels of the image have is
    0. `normalised` makes the map of the source: "HMix and GMix", "regularized input gradients", Figure 4.
    """
    gradients = input_gradients(network, images, lambda logits: logits.float().gather(1, classes[:, None]).squeeze(1))
    norms = gradients.norm(dim=1)
    height, width = norms.shape[1:]
    products = norms.new_zeros(2 * reach + 1, 2 * reach + 1)
    for down in range(min(reach, height - 1) + 1):
        for right in range(-min(reach, width - 1), min(reach, width - 1) + 1):
            if down == 0 and right < 0:
                continue  # p and -p are the same pairs of pixels
            here = norms[:, : height - down, max(0, -right) : width - max(0, right)]
            there = norms[:, down:, max(0, right) : width + min(0, right)]
            largest = (here * there).max()
            products[reach + down, reach + right] = largest
            products[reach - down, reach - right] = largest
    return products


def normalised(products: Tensor) -> Tensor:
    """Return products by their largest, which is that of the middle; all zeros where no pixel has a gradient."""
    return products / products.max().clamp(min=torch.finfo(products.dtype).tiny)


def zoomed(images: Tensor, factor: float, fill: Tensor) -> Tensor:
    """Return images [B, C, H, W] whose objects are `factor` times as large, of the same size and in [0, 1].

    Above 1 the middle is cut out, 1/factor of each side, and resized (bilinear): a small crop, with large objects.
    Below 1 the image is shrunk (mean over areas) and laid in the middle of `fill`: what a large crop shows, small
    objects; no image shows what lies around it. "HMix and GMix", scenarios 1 and 2.

    Args:
        fill: colour [C] in [0, 1] of what no pixel is known of.
    """
    height, width = images.shape[2:]
    if factor == 1:
        return images
    if factor > 1:
        inner = max(1, round(height / factor)), max(1, round(width / factor))
        top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
        middle = images[:, :, top : top + inner[0], left : left + inner[1]]
        return F.interpolate(middle, (height, width), mode="bilinear", align_corners=False)
    inner = max(1, round(height * factor)), max(1, round(width * factor))
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    canvas = fill.to(images).view(1, -1, 1, 1).expand_as(images).clone()
    canvas[:, :, top : top + inner[0], left : left + inner[1]] = F.interpolate(images, inner, mode="area")
    return canvas
