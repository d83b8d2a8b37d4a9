"""What is computed of logits and targets.

The class of a sample is its label, or that of the largest share of its target; the predicted one is that of the largest
logit. torch is imported when something is computed: a stored study is read without it.

N samples, K classes
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def classes_of(targets: "Tensor") -> "Tensor":
    """Return the class [N] of each sample."""
    return targets.argmax(1) if targets.ndim == 2 else targets


def correct(logits: "Tensor", targets: "Tensor") -> "Tensor":
    """Return of how many samples the largest logit is that of the target, or of its largest share."""
    return (logits.argmax(1) == classes_of(targets)).sum()


def correct_among_five(logits: "Tensor", targets: "Tensor") -> "Tensor":
    """Return of how many samples the class is among those of the five largest logits."""
    return (logits.topk(5).indices == classes_of(targets)[:, None]).sum()


def negative_log_likelihood(logits: "Tensor", targets: "Tensor") -> "Tensor":
    """Return the sum over samples of the cross-entropy of the targets, in nats."""
    from torch.nn.functional import cross_entropy

    return cross_entropy(logits, targets, reduction="sum")


def added_by_class(classes: "Tensor", each: "Tensor", count: int) -> "Tensor":
    """Return the sum over the samples of each class of a whole number [N], [K]: no order of adding up matters."""
    return each.new_zeros(count).scatter_add(0, classes, each)


def right_by_class(logits: "Tensor", targets: "Tensor") -> "tuple[Tensor, Tensor]":
    """Return how many samples of each class are predicted right, and how many there are: both [K], int64."""
    classes, count = classes_of(targets), logits.shape[1]
    right = (logits.argmax(1) == classes).to(classes.dtype)
    return added_by_class(classes, right, count), added_by_class(classes, right.new_ones(len(right)), count)


def balanced_accuracy(logits: "Tensor", targets: "Tensor") -> "Tensor":
    """Return the mean over classes of the share of their samples that is predicted right; absent classes do not count.

    Brodersen et al. 2010, "The balanced accuracy and its posterior distribution".
    """
    right, samples = right_by_class(logits, targets)
    return (right / samples.clamp(min=1)).sum() / (samples > 0).sum()


def macro_f1(logits: "Tensor", targets: "Tensor") -> "Tensor":
    """Return the mean over classes of F1 = 2 TP / (samples of the class + predictions of it).

    Classes that are neither present nor predicted do not count. This is the mean of F1 and not the F1 of mean precision
    and recall: Opitz and Burst 2019, "Macro F1 and Macro F1".
    """
    right, samples = right_by_class(logits, targets)
    predicted = logits.argmax(1)
    both = samples + added_by_class(predicted, samples.new_ones(len(predicted)), logits.shape[1])
    return (2 * right / both.clamp(min=1)).sum() / (both > 0).sum()


BINS = 15
"""Of the calibration error."""


def calibration_error(logits: "Tensor", targets: "Tensor") -> "Tensor":
    """Return the expected calibration error: sum over 15 bins B of |B| / N |accuracy(B) - confidence(B)|.

    Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3. Bin m holds the samples whose largest
    probability lies in ((m - 1) / 15, m / 15]. |B| / N times a difference of means over B is a difference of sums over
    N: no bin is divided by its size, and empty ones are nothing.
    """
    from torch import arange, where

    confidence, predicted = logits.float().softmax(1).max(1)
    lacking = confidence - (predicted == classes_of(targets)).float()
    bins = (confidence * BINS).ceil() - 1
    within = bins[:, None] == arange(BINS, device=logits.device)
    return where(within, lacking[:, None], 0.0).sum(0).abs().sum() / len(logits)
