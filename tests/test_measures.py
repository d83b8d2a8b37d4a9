"""The rows of `METRICS` against scikit-learn and against values by hand."""

import math
from contextlib import nullcontext

import pytest
import torch
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, log_loss, top_k_accuracy_score
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from autoaug.metrics import METRICS, applicable, right_by_class
from autoaug.train._evaluation import Evaluation

CPU = torch.device("cpu")


def samples(count: int, classes: int, present: int | None = None, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits that know a little of the labels, and labels of which only the first classes are present."""
    rng = Generator().manual_seed(seed)
    targets = torch.randint(present or classes, (count,), generator=rng)
    return 2 * torch.randn(count, classes, generator=rng) + 2 * one_hot(targets, classes), targets


def measured(logits: Tensor, targets: Tensor, part: int = 64) -> dict[str, float]:
    """What an evaluation in parts of so many samples gives."""
    evaluation = Evaluation(CPU, logits.shape[1])
    for some, goals in zip(logits.split(part), targets.split(part), strict=True):
        evaluation.add(some, goals)
    return evaluation.values()


@pytest.mark.parametrize(("count", "classes", "present"), [(500, 10, 10), (333, 10, 7), (60, 100, 100), (200, 6, 6)])
def test_every_row_is_what_scikit_learn_says(count: int, classes: int, present: int) -> None:
    logits, targets = samples(count, classes, present)
    labels, predicted, names = targets.numpy(), logits.argmax(1).numpy(), list(range(classes))
    assert set(labels) != set(names) or present == classes, "classes are absent where they should be"
    found = measured(logits, targets)
    with pytest.warns(UserWarning, match="y_pred contains classes") if set(predicted) - set(labels) else nullcontext():
        balanced = balanced_accuracy_score(labels, predicted)
    top5 = top_k_accuracy_score(labels, logits.numpy(), k=5, labels=names)
    expected = {
        "accuracy": accuracy_score(labels, predicted),
        "balanced_accuracy": balanced,
        "macro_f1": f1_score(labels, predicted, average="macro"),
        "top5": top5,
        "nll": log_loss(labels, logits.double().softmax(1).numpy(), labels=names),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5)


def calibration_by_hand(logits: Tensor, targets: Tensor, bins: int = 15) -> float:
    """Guo et al. 2017, equation 3, bin by bin in double precision."""
    confidence, predicted = logits.double().softmax(1).max(1)
    total = 0.0
    for m in range(1, bins + 1):
        inside = [k for k, each in enumerate(confidence.tolist()) if (m - 1) / bins < each <= m / bins]
        if inside:
            accuracy = sum(int(predicted[k] == targets[k]) for k in inside) / len(inside)
            mean = sum(confidence[k].item() for k in inside) / len(inside)
            total += len(inside) / len(logits) * abs(accuracy - mean)
    return total


@pytest.mark.parametrize("classes", [2, 10])
def test_the_calibration_error_is_that_of_fifteen_bins(classes: int) -> None:
    logits, targets = samples(400, classes)
    assert measured(logits, targets)["calibration_error"] == pytest.approx(
        calibration_by_hand(logits, targets), abs=1e-6
    )


def test_a_network_that_is_sure_and_right_half_of_the_time_is_off_by_a_half() -> None:
    logits = torch.tensor([[50.0, 0.0]] * 8)
    found = measured(logits, torch.tensor([0, 1] * 4))
    assert found["calibration_error"] == pytest.approx(0.5)
    assert found["accuracy"] == 0.5
    sure = measured(logits, torch.zeros(8, dtype=torch.int64))
    assert sure["calibration_error"] == pytest.approx(0.0, abs=1e-6)


def test_rare_classes_count_as_much_as_frequent_ones() -> None:
    """Ninety of one class, all right, and ten of another, all taken for the first: worked out by hand."""
    targets = torch.tensor([0] * 90 + [1] * 10)
    logits = torch.tensor([[1.0, 0.0, 0.0]] * 100)
    found = measured(logits, targets)
    assert found["accuracy"] == pytest.approx(0.9)
    assert found["balanced_accuracy"] == pytest.approx(0.5)
    # F1 of class 0 is 2 x 90 / (90 + 100); that of class 1 is 0; class 2 is neither present nor predicted
    assert found["macro_f1"] == pytest.approx((180 / 190) / 2)


def test_soft_targets_count_as_their_largest_share_and_the_likelihood_takes_all_of_them() -> None:
    logits, targets = samples(300, 10)
    soft = 0.7 * one_hot(targets, 10).float() + 0.03
    hard, found = measured(logits, targets), measured(logits, soft)
    assert {**found, "nll": 0.0} == {**hard, "nll": 0.0}
    expected = -(soft * logits.log_softmax(1)).sum(1).mean().item()
    assert found["nll"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("classes", "has"), [(2, False), (3, False), (5, False), (6, True)])
def test_five_guesses_say_nothing_of_five_classes(classes: int, has: bool) -> None:
    logits, targets = samples(50, classes)
    found = measured(logits, targets)
    assert ("top5" in found) is has
    assert list(found) == list(applicable(classes))
    assert all(math.isfinite(value) for value in found.values())


def test_parts_make_no_difference() -> None:
    logits, targets = samples(500, 10)
    whole, parts = measured(logits, targets, 500), measured(logits, targets, 7)
    assert parts == {**whole, "nll": pytest.approx(whole["nll"], rel=1e-5)}


def test_classes_are_counted_one_by_one() -> None:
    logits, targets = samples(200, 5, present=4)
    right, images = right_by_class(logits, targets)
    predicted = logits.argmax(1)
    for k in range(5):
        assert images[k] == sum(int(each == k) for each in targets)
        assert right[k] == sum(int(a == b == k) for a, b in zip(predicted, targets, strict=True))
    assert images[4] == 0
    assert right_by_class(logits, one_hot(targets, 5).float())[0].equal(right)


def test_values_stay_in_their_range() -> None:
    logits, targets = samples(100, 10)
    perfect, wrong = 30.0 * one_hot(targets, 10), 30.0 * one_hot((targets + 1) % 10, 10)
    for each in (perfect, wrong, logits):
        for name, value in measured(each.float(), targets).items():
            low, high = METRICS[name].range
            assert low <= value <= high, name
    assert measured(perfect.float(), targets)["macro_f1"] == measured(perfect.float(), targets)["top5"] == 1.0
