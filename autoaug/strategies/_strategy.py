"""A strategy is a product: what happens between trials, and what happens within one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler, TPESampler

from autoaug.lookup import lookup, suggest
from autoaug.mixing import build as build_mix
from autoaug.policy import Policy
from autoaug.strategies._pruners import PRUNERS
from autoaug.strategies._space import Space
from autoaug.train import SAME_IN_ALL_TRIALS, Learner, Task


class Condition(NamedTuple):
    """Say when a dimension means something. Where it does not, it is not asked for, and a point does not hold it."""

    on: tuple[str, ...]
    """The dimensions that decide. They are asked for first."""
    inert: Callable[[Mapping[str, Any]], str]
    """From a point, as far as it is known, to why the dimension changes nothing in it; empty where it does."""


Notes = Callable[[Task, int], Sequence[str]]
"""What a plan says of the settings of a strategy, from the task and its number of training images."""


def no_notes(task: Task, images: int) -> Sequence[str]:
    """Return no notes: the settings are those of every training."""
    return ()


class Strategy(NamedTuple):
    """Describe what is searched, and how.

    RandAugment with TPE is (TPE, nothing); MADAO is (TPE over its few remaining knobs, implicit gradient).

    >>> from optuna.distributions import FloatDistribution
    >>> from autoaug.policy import Fixed, ready
    >>> from autoaug.strategies import SAMPLERS, Strategy
    >>> strength = {"policy.m": FloatDistribution(0.0, 1.0)}
    >>> strategy = Strategy(lambda m: Fixed(ready.randaugment(2, m)), strength, between=SAMPLERS["random"])
    >>> len(strategy.policy(m=0.5).tree().root.nodes), strategy.within
    (2, None)
    >>> strategy.proxied(epochs=5).pruned("asha").proxy
    {'epochs': 5}
    """

    policy: Callable[..., Policy]
    """Built anew for each trial from the `policy.*` part of a point."""
    space: Space
    """The dimensions of this strategy's own, beside those that the study shares."""
    between: Callable[[int], BaseSampler] = lambda seed: TPESampler(seed=seed)
    """Seed to sampler: proposes a point from the finished trials."""
    within: Callable[..., Learner] | None = None
    """`(policy, **learner part of a point) -> Learner`; None where the policy stays as it was built."""
    pruner: BasePruner = NopPruner()
    """Stops trials that fall behind."""
    first: tuple[Mapping[str, Any], ...] = ()
    """Points to try before the sampler proposes any. What a point leaves open is sampled."""
    proxy: Mapping[str, Any] = {}
    """Fields of the task that are changed while searching, and only then, such as `{"epochs": 1}`."""
    mix: Mapping[str, Any] = {}
    """What of the mix does not vary, such as `{"kind": "cutmix", "alpha": 1.0}`: see `mixed`."""
    conditions: Mapping[str, Condition] = {}
    """Dimensions of its own that only some points have, by name. What the policy or the learner is built without must
    then have a default."""
    notes: Notes = no_notes
    """What a plan says of settings that follow the length of a training, such as MADAO's, one line each."""

    def mixed(self, kind: str, **parameters: Any) -> "Strategy":
        """Return this strategy with a row of `MIXES` in every trial, such as `mixed("cutmix", alpha=1.0)`.

        Raises:
            ValueError: there is no such mix, or a parameter is not its own or out of range.
        """
        build_mix(kind, **parameters)
        return self._replace(mix={"kind": kind, **parameters})

    def pruned(self, name: str) -> "Strategy":
        """Return this strategy with a row of `PRUNERS`.

        Early epochs favour weak augmentation, so that a pruner may throw away what would have been best.

        Raises:
            ValueError: there is no such pruner.
        """
        return self._replace(pruner=lookup(PRUNERS, name, "pruner")())

    def proxied(self, **task_fields: Any) -> "Strategy":
        """Return this strategy with a cheaper task to search on: fewer epochs, a smaller `model`, fewer images.

        The best points are trained on the study's own task before one of them wins. A field that is also a dimension
        of the space has the proxy's value while searching and the searched one afterwards.

        Raises:
            ValueError: not a field of `Task`, or one that has nothing to do with cost.
        """
        check_proxied(task_fields)
        return self._replace(proxy={**self.proxy, **task_fields})


def check_proxied(task_fields: Mapping[str, Any]) -> None:
    """Refuse what a proxy may not change. It may have data, and a size, of its own: none of its scores names a winner.

    Raises:
        ValueError: it is no field of `Task`, or one that is the same in all trials.
    """
    same = {name: what for name, what in SAME_IN_ALL_TRIALS.items() if name not in ("data", "size")}
    known = sorted({field.name for field in fields(Task)} - set(same))
    for name, value in task_fields.items():
        if name in same:
            raise ValueError(f"proxied({name}={value!r}): {same[name]} is the same in all trials; leave it out")
        if name not in known:
            raise ValueError(f"proxied({name}={value!r}) is no field of a task: {suggest(name, known)}")
