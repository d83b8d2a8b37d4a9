"""What a loop gives to `augment` and `mixed` is looked at first; what is none of it is said with the fix."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from loops_for_tests import trial_of
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import skip_init

from autoaug import Trial

IMAGES = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
CLASSES = torch.tensor([2, 0, 1, 2])


def begun(**networks: nn.Module) -> Trial:
    """A trial in its first epoch, whose loop names these networks."""
    trial = trial_of(mix="mixup")
    next(iter(trial.epochs(1, **networks)))
    return trial


@pytest.mark.parametrize("kind", [torch.int64, torch.int32, torch.int16, torch.uint8])
def test_classes_may_be_integers_of_any_width(kind: torch.dtype) -> None:
    _, soft = trial_of().augment(IMAGES, CLASSES.to(kind), classes=3)
    assert torch.equal(soft, F.one_hot(CLASSES, 3).float())


@pytest.mark.parametrize("targets", [torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [1.0, 0.0]]), torch.ones(4, 1)])
def test_several_labels_of_one_image_and_figures_to_predict_need_no_number_of_classes(targets: torch.Tensor) -> None:
    assert torch.equal(trial_of().augment(IMAGES, targets)[1], targets)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (CLASSES.numpy(), r"a ndarray: give a tensor of classes \[B\]"),
        (CLASSES[:3], r"are \[3\] of torch.int64 for 4 images: give one for each"),
        (CLASSES[0], r"are \[\] of torch.int64 for 4 images: give one for each"),
        (F.one_hot(CLASSES), r"are \[4, 3\] of torch.int64 .* one-hot ones, are targets.float\(\)$"),
        (F.one_hot(CLASSES).bool(), r"are \[4, 3\] of torch.bool .* are targets.float\(\)$"),
        (CLASSES[:, None], r"are \[4, 1\] .* classes in a column are targets\[:, 0\]"),
        (CLASSES.float(), r"are \[4\] of torch.float32 .* to predict .* targets\[:, None\].float\(\)"),
        (torch.zeros(4, 8, 8, dtype=torch.long), r"are \[4, 8, 8\] .* masks follow their images by trial.transform"),
        (CLASSES + 1, "the class 3, and 3 are known, 0 to 2: count them from 0"),
        (CLASSES - 1, "the class -1, and 3 are known, 0 to 2"),
    ],
)
@pytest.mark.parametrize("name", ["augment", "mixed"])
def test_targets_that_are_none_are_refused_with_the_fix(name: str, targets: torch.Tensor, message: str) -> None:
    give: Callable[..., object] = getattr(trial_of(mix="mixup"), name)
    with pytest.raises(ValueError, match=message):
        give(IMAGES, targets, classes=3)


def test_one_output_wants_its_targets_in_a_column() -> None:
    with pytest.raises(ValueError, match=r"for a network of one output give targets\[:, None\].float\(\)"):
        begun(model=skip_init(nn.Linear, 4, 1)).augment(IMAGES, CLASSES)


def test_images_with_their_channels_last_are_refused_whatever_the_policy() -> None:
    with pytest.raises(ValueError, match=r"\[4, 8, 8, 3\], with their channels last: .*permute\(0, 3, 1, 2\)"):
        trial_of().augment(IMAGES.permute(0, 2, 3, 1), CLASSES, classes=3)


def test_networks_that_agree_say_how_many_classes_there_are() -> None:
    trial = begun(model=skip_init(nn.Linear, 4, 3), average=skip_init(nn.Linear, 4, 3), noise=nn.Dropout())
    assert trial.augment(IMAGES, CLASSES)[1].shape == (4, 3)


@pytest.mark.parametrize("order", [1, -1])
def test_a_body_and_a_head_of_other_outputs_say_nothing(order: int) -> None:
    parts = [("body", skip_init(nn.Linear, 4, 5)), ("head", skip_init(nn.Linear, 5, 3))][::order]
    with pytest.raises(ValueError, match=r"does not know how many classes there are: .* several of as many outputs"):
        begun(**dict(parts)).augment(IMAGES, CLASSES)


def test_values_are_looked_at_in_the_first_batch_of_an_epoch_alone() -> None:
    """A GPU would be waited for."""
    trial = trial_of()
    give = partial(trial.augment, classes=3)
    give(IMAGES, CLASSES)
    with pytest.raises(RuntimeError, match="smaller than num_classes"):
        give(IMAGES, CLASSES + 1)
