"""What the strategies share that move a `Relaxed` policy by hypergradients while the network trains."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from autoaug.hypergrad import Hypergrad
from autoaug.learners import Bilevel, LearnedMix, Updates
from autoaug.lookup import lookup
from autoaug.models import PARTS, Part
from autoaug.policy import Relaxed
from autoaug.strategies._space import Space
from autoaug.strategies._strategy import Condition, Notes, Strategy, no_notes
from autoaug.train import Task


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Say when and how the policy moves: all of an online strategy but the solver of its hypergradient."""

    estimator: str
    every: int
    warmup: int
    optimiser: Callable[..., torch.optim.Optimizer]
    lr: float
    hyper_batch: int
    val_batch: int | None
    temperature: float
    part: Part = "all"

    def updates(self) -> Updates:
        """Return these settings as the learner takes them."""
        shared = {
            name: getattr(self, name) for name in ("estimator", "every", "warmup", "hyper_batch", "val_batch", "part")
        }
        return Updates(optimiser=partial(self.optimiser, lr=self.lr), **shared)


Scaling = Callable[[Settings, Mapping[str, Any], Task, int], Settings]
"""Fits settings to a training: (settings, those of them that are given and stay, task, training images)."""

SEARCHABLE: dict[str, BaseDistribution] = {
    "learner.warmup": IntDistribution(0, 10),
    "learner.every": IntDistribution(2, 60, log=True),
    "learner.lr": FloatDistribution(0.01, 0.4, log=True),
    "learner.part": CategoricalDistribution(PARTS),
    "policy.temperature": FloatDistribution(0.05, 2.0, log=True),
}
"""What Optuna may search around an online strategy. Each dimension costs trials, so none is searched unless asked."""


def online(
    hypergrad: Callable[[], Hypergrad],
    settings: Settings,
    search: Sequence[str] = (),
    scaling: Scaling | None = None,
    notes: Notes = no_notes,
    part: Part = "all",
    mix: bool = False,
    **relaxed: Any,
) -> Strategy:
    """Return the strategy of a `Relaxed` policy and the learner that moves it.

    Args:
        hypergrad: makes the solver anew for each trial.
        search: rows of `SEARCHABLE` that vary between trials.
        scaling: fits what a point does not set to the length of the training; None leaves the settings as they are.
        notes: what a plan says of the settings.
        part: what of the network a hypergradient goes through (`Updates.part`), unless a point says otherwise.
        mix: whether the mix is moved along the same hypergradient (`LearnedMix`).
        relaxed: arguments of `Relaxed`.
    """
    start: dict[str, Any] = {} if scaling else {name: getattr(settings, name) for name in ("warmup", "every", "lr")}

    def policy(temperature: float = relaxed.pop("temperature", settings.temperature)) -> Relaxed:
        return Relaxed(temperature=temperature, **relaxed)

    def learner(
        policy: Relaxed,
        mix: LearnedMix | None = None,
        *,
        warmup: int | None = start.get("warmup"),
        every: int | None = start.get("every"),
        lr: float | None = start.get("lr"),
        part: Part = part,
    ) -> Bilevel:
        point, through = {"warmup": warmup, "every": every, "lr": lr}, replace(settings, part=part)
        given: dict[str, Any] = {name: value for name, value in point.items() if value is not None}
        scale = partial(scaled_updates, scaling=scaling, settings=through, given=given) if scaling else None
        return Bilevel(policy, hypergrad(), replace(through, **given).updates(), scale, mix)

    space: Space = {name: lookup(SEARCHABLE, name, "dimension of an online strategy") for name in search}
    unused = {"policy.temperature": Condition((), lambda point: "estimator='score' draws operations without it")}
    conditions = unused if settings.estimator == "score" and "policy.temperature" in search else {}
    return Strategy(policy=policy, space=space, within=learner, conditions=conditions, notes=notes, learns_mix=mix)


def scaled_updates(
    task: Task, images: int, *, scaling: Scaling, settings: Settings, given: Mapping[str, Any]
) -> Updates:
    """Return what the learner takes for a training of the task on so many images."""
    return scaling(settings, given, task, images).updates()
