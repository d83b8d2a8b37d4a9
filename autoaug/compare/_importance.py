"""How much each dimension of a search mattered, by Optuna's evaluator over a random forest (mean decrease in impurity).

Of Optuna's three it is the one for searches of tens of trials: with 20 trials PED-ANOVA mostly misses a choice by name
that decides everything, and functional ANOVA finds it as surely but takes ten times as long.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from autoaug.strategies.samplers import value_of

FEWEST_TRIALS = 10
"""Complete trials below which nothing is said."""

MOST_TRIALS = 500
"""Of more trials a random part is taken: the forest grows slowly, and its answer does not change."""

NULLS = 9
"""Dimensions that do nothing, added to measure what chance gives."""


@dataclass(frozen=True)
class Importance:
    """Hold the shares of the dimensions in what the values of a search depend on; they sum to one.

    Shares of noise sum to one too. So `chance` gives what the luckiest of nine random dimensions that do nothing gets
    beside them: a share that is not larger means nothing.

    >>> from autoaug.compare import Importance
    >>> importance = Importance({"ra": {"policy.m": 0.9, "policy.n": 0.1}}, chance={"ra": 0.15})
    >>> [name for name, share in importance.strategies["ra"].items() if share > importance.chance["ra"]]
    ['policy.m']
    """

    strategies: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """By strategy, the largest first; left out are those with less than ten complete trials or a single value."""
    pooled: Mapping[str, float] = field(default_factory=dict)
    """Over the trials of all strategies that have the dimensions that they share."""
    chance: Mapping[str, float] = field(default_factory=dict)
    """By strategy, as for `strategies`."""
    chance_pooled: float | None = None


def importances(searches: Mapping[str, Sequence[FrozenTrial]], maximize: bool) -> Importance:
    """Return the importance of each dimension per strategy, and of those that all strategies share, pooled.

    A trial counts by its rank within its own search, as a share of it: (rank - 1/2) / trials. So when strategies are
    pooled, one that is better, or that spreads more, does not make the region it sampled look good.

    Args:
        searches: by strategy, the trials of its search; those that are not complete are left out.
        maximize: whether more of the metric is better.

    Returns:
        Shares in [0, 1]; a search of less than `FEWEST_TRIALS` complete trials, or of equal values only, has none.

    >>> from optuna.distributions import FloatDistribution
    >>> from optuna.trial import create_trial
    >>> from autoaug.compare import importances
    >>> space = {"policy.m": FloatDistribution(0, 1)}
    >>> trials = [
    ...     create_trial(params={"policy.m": k / 20}, distributions=space, value=k / 20) for k in range(20)
    ... ]
    >>> importance = importances({"ra": trials}, maximize=True)
    >>> importance.strategies["ra"]["policy.m"] > importance.chance["ra"]
    True
    """
    complete = {
        name: [trial for trial in trials if trial.state == TrialState.COMPLETE and trial.params]
        for name, trials in searches.items()
    }
    ranked = {
        name: list(zip(trials, relative_ranks(trials, maximize), strict=True))
        for name, trials in complete.items()
        if trials
    }
    alone = {name: shares(each) for name, each in ranked.items() if enough(each)}
    pooled: dict[str, float] = {}
    chance_pooled = None
    if len(ranked) > 1:
        common = set.intersection(*(set(dimensions(each)) for each in complete.values() if each))
        all_of_them = [pair for each in ranked.values() for pair in each]
        if common and enough(all_of_them):
            pooled, chance_pooled = shares(all_of_them, common)
    return Importance(
        strategies={name: by_dimension for name, (by_dimension, _) in alone.items()},
        pooled=pooled,
        chance={name: chance for name, (_, chance) in alone.items()},
        chance_pooled=chance_pooled,
    )


def relative_ranks(trials: Sequence[FrozenTrial], maximize: bool) -> np.ndarray:
    """Return the rank of each trial over their number, in (0, 1): low is good. Equal values share a rank."""
    from scipy import stats  # here, because it takes half a second and a worker never needs it

    values = np.array([trial.value for trial in trials], dtype=float)
    return (stats.rankdata(-values if maximize else values) - 0.5) / len(trials)


Ranked = Sequence[tuple[FrozenTrial, float]]


def enough(ranked: Ranked) -> bool:
    """Whether there are enough trials, and values that differ."""
    return len(ranked) >= FEWEST_TRIALS and len({rank for _, rank in ranked}) > 1


def dimensions(trials: Sequence[FrozenTrial]) -> dict[str, BaseDistribution]:
    """Return the dimensions of trials, those that only some have among them, without what was not the same in all."""
    distributions = {name: rule for trial in trials for name, rule in trial.distributions.items()}
    return {
        name: rule
        for name, rule in distributions.items()
        if all(each.distributions.get(name, rule) == rule for each in trials)
    }


def shares(ranked: Ranked, only: set[str] | None = None) -> tuple[dict[str, float], float]:
    """Return the share of each dimension, the largest first, and what chance gives.

    A trial that lacks a conditional dimension counts as if it had the value in the middle.
    """
    # here, because it brings scikit-learn and pandas along, and only who compares needs it
    from optuna.importance import MeanDecreaseImpurityImportanceEvaluator, get_param_importances

    rng = np.random.default_rng(0)
    rules = dimensions([trial for trial, _ in ranked])
    rules = {name: rule for name, rule in rules.items() if only is None or name in only}
    nulls = {f"null {k}": FloatDistribution(0, 1) for k in range(NULLS)}
    copies = []
    chosen = rng.permutation(len(ranked))[:MOST_TRIALS]
    for trial, rank in (ranked[k] for k in sorted(chosen)):
        kept = {name: value_of(trial, name, rule) for name, rule in rules.items()}
        copies.append(
            create_trial(
                value=rank,
                params=kept | {name: float(rng.uniform()) for name in nulls},
                distributions=rules | nulls,
            )
        )
    study = optuna.create_study(direction="minimize")
    study.add_trials(copies)
    importance = get_param_importances(study, evaluator=MeanDecreaseImpurityImportanceEvaluator(seed=0))
    chance = max(importance.pop(name, 0.0) for name in nulls)
    total = sum(importance.values()) or 1.0
    return {name: float(share / total) for name, share in importance.items()}, float(chance / total)
