"""Random boxes of resized crops: the distribution of torchvision's own, and laws that hold for each box."""

import pytest
import torch
from scipy.stats import ks_2samp
from torch import Generator, Tensor
from torchvision.transforms import RandomResizedCrop

from autoaug.photos import draw_boxes, resized_crop

IMAGENET = ((0.08, 1.0), (3 / 4, 4 / 3))

CASES = [
    ((64, 64), *IMAGENET),
    ((40, 90), *IMAGENET),
    ((30, 200), (0.3, 1.0), (3 / 4, 4 / 3)),  # no box fits for most draws: often the one in the middle
    ((50, 60), (0.05, 0.3), (0.2, 5.0)),  # the logarithm of the ratio is uniform, and the ratio far from it
]
"""Height and width of an image, scale and ratio."""


def drawn(size: tuple[int, int], scale: tuple[float, float], ratio: tuple[float, float], count: int) -> Tensor:
    return draw_boxes(torch.tensor([size]).expand(count, 2), scale, ratio, Generator().manual_seed(1))


def of_torchvision(size: tuple[int, int], scale: tuple[float, float], ratio: tuple[float, float], count: int) -> Tensor:
    image = torch.zeros(1, *size)
    with torch.random.fork_rng(devices=[]):  # it draws from the global generator
        torch.manual_seed(2)
        return torch.tensor([RandomResizedCrop.get_params(image, list(scale), list(ratio)) for _ in range(count)])


def facts(boxes: Tensor) -> dict[str, Tensor]:
    """What the distributions of boxes are compared by."""
    top, left, height, width = boxes.double().unbind(1)
    return {
        "top": top,
        "left": left,
        "height": height,
        "width": width,
        "area": height * width,
        "ratio": width / height,
        "bottom": top + height,
    }


def least_p(first: Tensor, second: Tensor) -> float:
    ours, theirs = facts(first), facts(second)
    return min(float(ks_2samp(ours[name].numpy(), theirs[name].numpy()).pvalue) for name in ours)


@pytest.mark.parametrize(("size", "scale", "ratio"), CASES)
def test_boxes_are_distributed_as_those_of_torchvision(
    size: tuple[int, int], scale: tuple[float, float], ratio: tuple[float, float]
) -> None:
    """Seven Kolmogorov-Smirnov tests for each case; that all 28 pass by chance has probability .997."""
    assert least_p(drawn(size, scale, ratio, 4000), of_torchvision(size, scale, ratio, 4000)) > 1e-4


def test_the_comparison_tells_other_distributions_apart() -> None:
    size, scale, ratio = CASES[-1]
    theirs = of_torchvision(size, scale, ratio, 4000)
    for other in ((size, (0.1, 0.3), ratio), (size, scale, (0.3, 5.0)), ((50, 52), scale, ratio)):
        assert least_p(drawn(*other, 4000), theirs) < 1e-4


@pytest.mark.parametrize("size", [(10, 10), (11, 30), (30, 11), (5, 40), (7, 7), (30, 5)])
def test_where_no_box_fits_it_is_the_largest_in_the_middle(size: tuple[int, int]) -> None:
    for ratio in ((3.0, 4.0), (0.1, 0.2), (1.0, 1.0)):
        (theirs,) = of_torchvision(size, (5.0, 9.0), ratio, 1).tolist()  # larger than the image
        (ours,) = drawn(size, (5.0, 9.0), ratio, 1).tolist()
        assert ours == theirs


def test_each_box_lies_in_its_own_image(rng: Generator) -> None:
    sizes = torch.randint(1, 300, (3000, 2), generator=rng)
    boxes = draw_boxes(sizes, *IMAGENET, rng)
    assert boxes.dtype == torch.int64
    assert (boxes[:, 2:] >= 1).all()
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= sizes).all()
    square = sizes.amax(1) <= 1.3 * sizes.amin(1)  # where the box in the middle has a ratio within the limits too
    height, width = boxes[square & (boxes[:, 2:].amin(1) >= 50), 2:].unbind(1)
    assert len(height) > 100
    assert ((width + 0.5) / (height - 0.5) >= 3 / 4).all()
    assert ((width - 0.5) / (height + 0.5) <= 4 / 3).all()


def test_the_draws_do_not_depend_on_the_images() -> None:
    """The state of the generator afterwards is the same, whether boxes fit or not."""
    states = []
    for scale in ((0.08, 1.0), (1.0, 1.0)):
        rng = Generator().manual_seed(0)
        draw_boxes(torch.tensor([[9, 40], [20, 20]]), scale, (3 / 4, 4 / 3), rng)
        states.append(rng.get_state())
    assert torch.equal(*states)


def test_a_crop_may_be_higher_than_wide(rng: Generator) -> None:
    images = torch.rand(2, 3, 9, 7, generator=rng)
    whole = torch.tensor([[0, 0, 9, 7]] * 2)
    torch.testing.assert_close(resized_crop(images, whole, (9, 7)), images)
    assert resized_crop(images, whole, (4, 11)).shape == (2, 3, 4, 11)
