"""From a point of a space to what is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from autoaug.learners import LearnedMix
from autoaug.mixing import Mix, TrainingMix, takes
from autoaug.mixing import build as build_mix
from autoaug.policy import Policy
from autoaug.study._conditions import means_mixup, part
from autoaug.study._definition import Study
from autoaug.train import MIX_WHEN, Learner, NullLearner, Task


@dataclass(frozen=True)
class Setup:
    """Hold what `train` takes, as it is made of a point."""

    task: Task
    policy: Policy
    mix: Mix | TrainingMix
    learner: Learner
    """A `NullLearner` where the strategy has none."""
    params: Mapping[str, Any] = field(default_factory=dict)
    """What the point sets of the dimensions of a loop of the user's own, by name without "train."."""


def set_up(study: Study, strategy: str, point: Mapping[str, Any], *, search: bool = False) -> Setup:
    """Return what is trained at a point of the space.

    Args:
        search: on the strategy's proxy, whose fields go before those that the point sets of the task.
    """
    chosen = study.strategies[strategy]
    policy = chosen.policy(**part("policy", point))
    settings = {**study.mix_of(strategy), **part("mix", point)}
    when = {MIX_WHEN[name]: settings.pop(name) for name in MIX_WHEN if name in settings}
    mix = LearnedMix(make_mix(**(settings or {"kind": "mixup"}))) if chosen.learns_mix else make_mix(**settings)
    more = {"mix": mix} if isinstance(mix, LearnedMix) else {}
    learner = chosen.within(policy, **more, **part("learner", point)) if chosen.within else NullLearner()
    changed = when | part("task", point) | (dict(chosen.proxy) if search else {})
    task = replace(study.full_task_of(strategy), **changed)
    return Setup(task, policy, mix, learner, part("train", point))


def make_mix(kind: str | None = None, **parameters: Any) -> Mix | TrainingMix:
    """Return the mix of a point: alpha or a probability alone means mixup, nothing at all means no mixing.

    Parameters that the kind does not take are left out: what is fixed may serve several kinds, and points that were
    stored by earlier releases hold them.
    """
    kind = kind or ("mixup" if means_mixup(parameters) else "none")
    return build_mix(kind, **{name: value for name, value in parameters.items() if name in takes(kind)})
