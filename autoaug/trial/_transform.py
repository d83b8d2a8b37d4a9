"""The policy of a trial among the transforms of torchvision, for the workers of a DataLoader.

What an image meets is a function of the trial's seed, the epoch, and which image it is: never of how many workers there
are, or of the order in which they come to it.

B images, C channels, H height, W width
"""

from collections.abc import Sequence
from typing import Any
from zlib import crc32

import torch
from PIL.Image import Image
from torch import Generator, Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F
from torchvision.transforms.v2.functional import is_pure_tensor

from autoaug.export import to_torchvision
from autoaug.ops import affine_mask, affine_points
from autoaug.policy import APPROXIMATION, Composed, Fixed, Policy
from autoaug.seeding import derive_seed
from autoaug.trial._batches import check_range
from autoaug.trial._dataset import key_of_draw

XYXY = tv_tensors.BoundingBoxFormat.XYXY

GIVE = "PIL images, uint8, or floats in [0, 1], and normalise after it"
"""The images that a transform takes."""


class Present:
    """The present epoch, in memory that DataLoader workers share: they may live longer than an epoch.

    A copy of it is itself; one that was pickled by other means than those of `torch.multiprocessing` stays where it is.
    """

    def __init__(self) -> None:
        self.numbers = torch.tensor([0.0, 1.0], dtype=torch.float64).share_memory_()

    def enter(self, epoch: int, share: float) -> None:
        """Begin an epoch; 0 is before the first. The policy is applied to a share of its images, 0 while refining."""
        self.numbers.copy_(torch.tensor([epoch, share], dtype=torch.float64))

    def read(self) -> tuple[int, float]:
        """Return the epoch, and the share of its images that the policy is applied to."""
        epoch, share = self.numbers.tolist()
        return int(epoch), share

    def __deepcopy__(self, memo: dict[int, Any]) -> "Present":
        return self


class TrialTransform(v2.Transform):
    """Run the policy of a trial as a `torchvision.transforms.v2.Transform`; see `Trial.transform`."""

    def __init__(self, policy: Policy, seed: int, present: Present) -> None:
        super().__init__()
        self.policy = to_torchvision(policy, compose=isinstance(policy, Composed) and policy.compose)
        self.seed, self.present = seed, present

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draw what happens to the images of a sample, and to what goes with them; nothing while refining.

        While the policy is annealed that is for a part of the samples: those that meet it meet the draws of all.
        """
        epoch, share = self.present.read()
        images = [inpt for inpt in flat_inputs if not follows(inpt)]
        if not share or not flat_inputs:
            return {}
        check_images(images)
        self.policy.at(max(epoch, 1))
        key = key_of_draw() or digest(images)
        rng = self.generator(epoch, key)
        params = self.policy.draw(images, rng)
        if share < 1 and torch.rand((), generator=rng) >= share:
            return {}
        if len(images) < len(flat_inputs):
            params["movements"] = self.movements([inpt for inpt in flat_inputs if follows(inpt)], images, params)
        return params

    def generator(self, epoch: int, key: str) -> Generator:
        """Return the source of all that is drawn for a key in an epoch."""
        return Generator().manual_seed(derive_seed(self.seed, "transform", epoch, key))

    def movements(self, followers: Sequence[Any], images: Sequence[Any], params: dict[str, Any]) -> list[Tensor]:
        """Return the maps [2, 3] of the image that masks and boxes follow.

        Raises:
            ValueError: there is more than one image, or the sizes differ.
        """
        fixed, draws = self.policy.policy, params["draws"]
        if draws.bucket.shape[1] != 1:
            raise ValueError(
                f"masks and boxes were given with {draws.bucket.shape[1]} images: call the transform with one image "
                "and what goes with it, such as transform(image, target) in the dataset"
            )
        channels, *size = F.get_dimensions(images[0])
        for inpt in [*images[1:], *followers]:
            if list(F.get_size(inpt)) != size:
                raise ValueError(
                    f"the {type(inpt).__name__} is of {list(F.get_size(inpt))} pixels and its image of {size}: bring "
                    "them to one size before the policy"
                )
        return fixed.movements(draws, (channels, *size), Generator().manual_seed(params["seed"]))

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Apply what was drawn."""
        if not params:
            return inpt
        if isinstance(inpt, tv_tensors.Mask):
            return tv_tensors.wrap(follow_mask(inpt.as_subclass(Tensor), params["movements"]), like=inpt)
        if isinstance(inpt, tv_tensors.BoundingBoxes):
            return follow_boxes(inpt, params["movements"])
        return self.policy.transform(inpt, params)


def follows(inpt: Any) -> bool:
    """Whether an input goes where its image goes."""
    return isinstance(inpt, tv_tensors.Mask | tv_tensors.BoundingBoxes)


def follow_mask(mask: Tensor, movements: Sequence[Tensor]) -> Tensor:
    """Return a mask [..., H, W] after the movements of its image, each by the nearest value."""
    for matrix in movements:
        mask = affine_mask(mask, matrix)
    return mask


def follow_boxes(boxes: tv_tensors.BoundingBoxes, movements: Sequence[Tensor]) -> tv_tensors.BoundingBoxes:
    """Return boxes [N, 4] around their corners after the movements of the image, cut off at its border each time.

    Raises:
        ValueError: the boxes are rotated ones.
    """
    if tv_tensors.is_rotated_bounding_format(boxes.format):
        raise ValueError(f"boxes have the format {boxes.format.name}: give XYXY, XYWH or CXCYWH")
    if not movements:
        return boxes
    height, width = boxes.canvas_size
    edges = F.convert_bounding_box_format(boxes.as_subclass(Tensor).double(), boxes.format, XYXY)
    corners = edges[:, [[0, 1], [2, 1], [2, 3], [0, 3]]]
    for matrix in movements:
        corners = affine_points(corners, matrix, height, width)
        corners = corners.clamp(min=corners.new_zeros(2), max=corners.new_tensor([width, height]))
    around = F.convert_bounding_box_format(torch.cat(corners.aminmax(dim=1), dim=1), XYXY, boxes.format)
    around = around if boxes.is_floating_point() else around.round()
    return tv_tensors.wrap(around.to(boxes.dtype), like=boxes)


def check_images(images: Sequence[Any]) -> None:
    """Refuse masks and boxes without an image, and floats outside [0, 1].

    Raises:
        ValueError: says which.
    """
    if not images:
        raise ValueError("masks and boxes were given without their image: give trial.transform both in one call")
    for inpt in images:
        image = isinstance(inpt, tv_tensors.Image) or is_pure_tensor(inpt)
        if image and inpt.is_floating_point():
            check_range(inpt, "trial.transform was given an image", GIVE)


def digest(images: Sequence[Any]) -> str:
    """Return a key of what images hold, for datasets that do not say which item is read."""
    sums = []
    for image in images:
        tensor = F.pil_to_tensor(image) if isinstance(image, Image) else image.as_subclass(Tensor)
        held = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
        sums.append(f"{crc32(held.numpy())} of {tuple(tensor.shape)}")
    return f"image {sums}"


def transform_of(policy: Policy, moves_policy: bool, seed: int, present: Present) -> TrialTransform:
    """Return the transform of a trial.

    Raises:
        ValueError: a learner moves the policy, or no tree says what it does.
    """
    if moves_policy:
        raise ValueError(
            "trial.transform: a learner moves the policy while the network trains, and DataLoader workers would hold "
            "an old copy of it: call trial.augment(images, targets) on the batches instead"
        )
    if not isinstance(policy, Fixed) and APPROXIMATION in policy.tree().provenance:
        raise ValueError(
            f"trial.transform: no tree says all that a {type(policy).__name__} does: call "
            "trial.augment(images, targets) on the batches instead"
        )
    return TrialTransform(policy, seed, present)
