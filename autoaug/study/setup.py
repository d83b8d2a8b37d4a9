"""From a point of a space to what is trained."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from autoaug.mixing import Mix
from autoaug.mixing import build as build_mix
from autoaug.policy import Policy
from autoaug.study.definition import Study
from autoaug.train import Learner, Task


@dataclass(frozen=True)
class Setup:
    """A point made real: what `train` takes."""

    task: Task
    policy: Policy
    mix: Mix
    learner: Learner | None


def set_up(study: Study, strategy: str, point: Mapping[str, Any], *, search: bool = False) -> Setup:
    """From a point of the space to what is trained; in a `search` on a proxy, that comes before the point's task."""
    chosen = study.strategies[strategy]
    part: dict[str, dict[str, Any]] = {"policy": {}, "mix": {}, "task": {}, "learner": {}}
    for name, value in point.items():
        noun, _, what = name.partition(".")
        part[noun][what] = value
    policy = chosen.policy(**part["policy"])
    learner = chosen.within(policy, **part["learner"]) if chosen.within else None
    task = replace(study.task, **part["task"] | (dict(chosen.proxy) if search else {}))
    return Setup(task, policy, make_mix(**part["mix"]), learner)


def make_mix(kind: str | None = None, **parameters: Any) -> Mix:
    """The mix of a point: an alpha alone means mixup, nothing at all means no mixing."""
    return build_mix(kind or ("mixup" if parameters else "none"), **parameters)
