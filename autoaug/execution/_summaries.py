"""What the epochs of a trial come to: the best value of each metric, and the median of its last ten.

Papers report the last epoch, the best one or the median of the last ten. Which of them are stored is no choice that
somebody makes once the scores are known: all are. They are values of the validation split: the test split is read once,
in the last epoch.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from statistics import median

from autoaug.execution._attempt import Attempt
from autoaug.metrics import METRICS, on_split
from autoaug.record import Record, ordinals
from autoaug.store import SUMMARY, Unreachable, epochs_of, id_of_trial

LAST = 10
"""Epochs that a median is of."""


def note_summary(attempt: Attempt, seen: Sequence[Record]) -> None:
    """Keep with a trial what its epochs come to.

    Args:
        seen: the epochs of the attempt. Those of earlier ones, which it went on from, are read from the storage; where
            that is away nothing is kept.
    """
    with suppress(Unreachable):
        earlier = stored_epochs(attempt) if attempt.job.attempt > 1 else []
        attempt.store.annotate(attempt.job.trial_id, **{SUMMARY: summarised([*earlier, *seen])})


def stored_epochs(attempt: Attempt) -> list[Record]:
    """Return the epochs of a trial that are stored, those of the attempts before this one first."""
    alike = attempt.store.lean_trials(attempt.study.name, attempt.job.substudy)
    roots = zip(alike, ordinals(trial.user_attrs for trial in alike), strict=True)
    return epochs_of(attempt.store, [id_of_trial(trial) for trial, root in roots if root == attempt.job.root])


def summarised(records: Iterable[Record]) -> dict[str, dict[str, float]]:
    """Return the "best" value and the "median" of the last ten of every row of `METRICS` on the validation split.

    Args:
        records: the epochs of all trainings of a trial. Of an epoch that is there twice, for an attempt was resumed and
            made it again, the later record counts.

    Returns:
        Rounded to six decimals. Values of a training from scratch are called after it, as in `Outcome.metrics`.
    """
    trainings: dict[str, dict[int, Mapping[str, float]]] = defaultdict(dict)
    for record in records:
        trainings[record.training][record.epoch] = record.metrics
    best, middle = {}, {}
    for training, epochs in trainings.items():
        in_order = [epochs[epoch] for epoch in sorted(epochs)]
        for row, metric in METRICS.items():
            name = on_split("val", row)
            values = [each[name] for each in in_order if name in each]
            if values:
                called = f"{training}_{name}" if training else name
                best[called] = round(max(values) if metric.maximize else min(values), 6)
                middle[called] = round(median(values[-LAST:]), 6)
    return {"best": best, "median": middle}
