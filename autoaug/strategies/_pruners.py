"""Pruners: rules that end a trial early because others were better at the same epoch."""

import warnings
from collections.abc import Callable

from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner, SuccessiveHalvingPruner, WilcoxonPruner


def wilcoxon() -> BasePruner:
    """Return a pruner that makes a signed-rank test against the best trial, over the epochs that both have seen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return WilcoxonPruner(p_threshold=0.1, n_startup_steps=4)


PRUNERS: dict[str, Callable[[], BasePruner]] = {
    "none": NopPruner,
    # Worse than the median of five earlier trials at the same epoch.
    "median": lambda: MedianPruner(n_startup_trials=5),
    # Asynchronous successive halving (Li et al. 2020): of four trials that reach a rung one goes on.
    "asha": lambda: SuccessiveHalvingPruner(min_resource=1, reduction_factor=4),
    # Several such ladders that start at different epochs (Li et al. 2018).
    "hyperband": lambda: HyperbandPruner(min_resource=1, max_resource="auto", reduction_factor=3),
    "wilcoxon": wilcoxon,
}
"""All rest on epochs that are cut short, which favours weak augmentation: see `Strategy.pruned`."""
