"""From a point of a space to what is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from autoaug.mixing import Mix, takes
from autoaug.mixing import build as build_mix
from autoaug.policy import Policy
from autoaug.study._conditions import part
from autoaug.study._definition import Study
from autoaug.train import Learner, NullLearner, Task


@dataclass(frozen=True)
class Setup:
    """A point made real: what `train` takes."""

    task: Task
    policy: Policy
    mix: Mix
    learner: Learner
    """A `NullLearner` where the strategy has none."""


def set_up(study: Study, strategy: str, point: Mapping[str, Any], *, search: bool = False) -> Setup:
    """From a point of the space to what is trained; in a `search` on a proxy, that comes before the point's task."""
    chosen = study.strategies[strategy]
    policy = chosen.policy(**part("policy", point))
    learner = chosen.within(policy, **part("learner", point)) if chosen.within else NullLearner()
    task = replace(study.task, **part("task", point) | (dict(chosen.proxy) if search else {}))
    return Setup(task, policy, make_mix(**{**study.mix_of(strategy), **part("mix", point)}), learner)


def make_mix(kind: str | None = None, **parameters: Any) -> Mix:
    """The mix of a point: alpha or a probability alone means mixup, nothing at all means no mixing.

    A kind takes what is its own of what is fixed, and of points that were stored before they held only that.
    """
    kind = kind or ("mixup" if parameters else "none")
    return build_mix(kind, **{name: value for name, value in parameters.items() if name in takes(kind)})
