"""A strategy is a product: what happens between trials, and what happens within one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler, TPESampler

from autoaug.data import described_data, whole_of
from autoaug.fields import as_field, check_value, rules_of
from autoaug.lookup import lookup, suggest
from autoaug.mixing import build as build_mix
from autoaug.mixing import takes
from autoaug.policy import Policy
from autoaug.strategies._pruners import PRUNERS
from autoaug.strategies._space import Space
from autoaug.train import MIX_WHEN, SAME_IN_ALL_TRIALS, Learner, Task


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
    task: Mapping[str, Any] = {}
    """Fields of the task that are this strategy's own, in the search and in final runs: see `trained`."""
    conditions: Mapping[str, Condition] = {}
    """Dimensions of its own that only some points have, by name. What the policy or the learner is built without must
    then have a default."""
    notes: Notes = no_notes
    """What a plan says of settings that follow the length of a training, such as MADAO's, one line each."""
    learns_mix: bool = False
    """Whether the learner moves the mix too: it is then given as `within(policy, mix=LearnedMix(...), ...)`, and begins
    as the mix of the strategy, the study and the point says, with mixup of α = 1 where none of them does."""

    def mixed(self, kind: str, **parameters: Any) -> "Strategy":
        """Return this strategy with a row of `MIXES` in every trial, such as `mixed("cutmix", alpha=1.0)`.

        Its `warmup` is how many epochs come before it (`Task.mix_warmup`), as in `mixed("mixup", alpha=0.2, warmup=5)`.

        Raises:
            ValueError: there is no such mix, or a parameter is not its own or out of range.
        """
        when = {name: value for name, value in parameters.items() if name in MIX_WHEN and takes(kind)}
        build_mix(kind, **{name: value for name, value in parameters.items() if name not in when})
        for name, value in when.items():
            check_value(rules_of(Task)[MIX_WHEN[name]], "mix", name, value, as_field)
        return self._replace(mix={"kind": kind, **parameters})

    def trained(self, **task_fields: Any) -> "Strategy":
        """Return this strategy with fields of the task of its own in every training, such as `trained(dropout=0.5)`.

        For arms that differ in how they train: with refinement epochs or without, with another weight decay. The data,
        the split and what else a score is measured on are the same for all strategies; but an arm may learn from
        another number of their images, `trained(data="cifar10:reduced=200")`, which asks what more data are worth.
        Strategies that train for different numbers of epochs cost differently: the plan warns of it.

        Raises:
            ValueError: not a field of `Task`, or one that is the same in all trials.
        """
        same = {name: what for name, what in SAME_IN_ALL_TRIALS.items() if name != "data"}
        data = task_fields.get("data")
        data = described_data(data) if isinstance(data, str) else data
        check_task_fields(
            "trained", task_fields, SAME_IN_ALL_TRIALS if data is None or whole_of(data) == data else same
        )
        return self._replace(task={**self.task, **task_fields})

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
        # data, and a size, of its own: none of its scores names a winner
        same = {name: what for name, what in SAME_IN_ALL_TRIALS.items() if name not in ("data", "size")}
        check_task_fields("proxied", task_fields, same)
        return self._replace(proxy={**self.proxy, **task_fields})


def check_task_fields(method: str, given: Mapping[str, Any], same: Mapping[str, str]) -> None:
    """Refuse what a strategy may not change of a task.

    Args:
        same: the fields that are the same in all trials, and what each says.

    Raises:
        ValueError: it is one of them, or no field of `Task`.
    """
    known = sorted({field.name for field in fields(Task)} - set(same))
    for name, value in given.items():
        if name in same:
            raise ValueError(f"{method}({name}={value!r}): {same[name]} is the same in all trials; leave it out")
        if name not in known:
            raise ValueError(f"{method}({name}={value!r}) is no field of a task: {suggest(name, known)}")
