"""A study is one question: which strategy is best on this task, for equal cost?"""

import inspect
import math
import re
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, distribution_to_json
from torch import Generator

from autoaug.data import load_data
from autoaug.learners import DEPLOYS
from autoaug.lookup import lookup, suggest
from autoaug.mixing import MIXES, Mix
from autoaug.mixing import build as build_mix
from autoaug.models import build
from autoaug.policy import Policy
from autoaug.record import LEADERBOARD, Direction
from autoaug.strategies import Space, Strategy
from autoaug.train import Learner, Task

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""Names of studies and strategies become parts of paths and of Optuna's study names."""

METRICS: dict[str, Direction] = {"val_accuracy": "maximize", "val_nll": "minimize"}
"""What a study may optimise, and in which direction."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What each strategy may spend on its search, equal for all. Whichever limit is reached first ends it.

    Failed, pruned and interrupted work counts. Where there is no GPU, `gpu_seconds` limits CPU-seconds.
    """

    trials: int | None = None
    gpu_seconds: float | None = None

    def __post_init__(self) -> None:
        given = {name: value for name in ("trials", "gpu_seconds") if (value := getattr(self, name)) is not None}
        if not given:
            raise ValueError("Budget() sets no limit: give trials=, gpu_seconds= or both")
        for name, value in given.items():
            if not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ValueError(f"Budget({name}={value!r}) buys nothing: give a number above 0")
        if self.trials is not None and not isinstance(self.trials, int):
            raise ValueError(f"Budget(trials={self.trials!r}) counts no trials: give a whole number")

    def spent(self, trials: int, gpu_seconds: float) -> float:
        """The share of the budget that is used up; 1 or more is all of it."""
        shares = [trials / self.trials if self.trials else 0.0]
        shares.append(gpu_seconds / self.gpu_seconds if self.gpu_seconds else 0.0)
        return max(shares)


@dataclass(frozen=True, kw_only=True)
class Study:
    """One question. It is checked when it is made, before any time is spent."""

    name: str
    task: Task
    strategies: Mapping[str, Strategy]
    budget: Budget
    space: Space = field(default_factory=dict)
    """Dimensions that every strategy searches beside its own, such as `task.refine_epochs` and `mix.alpha`."""
    baseline: str | None = None
    """The strategy that the others are compared with; None is the first one."""
    seeds: int = 3
    """Final runs per strategy, each with a seed of its own that the strategies share."""
    seed: int = 0
    """Of the search: the same seed proposes the same points."""
    metric: str = "val_accuracy"
    deploy: tuple[str, ...] = ("last_policy",)
    """How the final runs of a strategy with a learner train again from scratch with the policy that was learned: rows
    of `DEPLOYS`. Its own network was told by the moving policy what the validation images are, so it proves little."""
    storage: str | None = None
    """A storage URL; None is what the command line or AUTOAUG_STORAGE says, else autoaug.db in this folder."""

    def __post_init__(self) -> None:
        check_name(self.name, "study")
        check_kinds(self)
        if not self.strategies:
            raise ValueError(f"study {self.name!r} has no strategies: give at least one")
        for name in self.strategies:
            check_name(name, f"strategy of study {self.name!r}")
        if self.reference not in self.strategies:
            known = suggest(self.reference, self.strategies)
            raise ValueError(f"baseline {self.baseline!r} is no strategy of study {self.name!r}: {known}")
        if not isinstance(self.seeds, int) or self.seeds < 1:
            raise ValueError(f"Study.seeds is {self.seeds!r}: give the number of final runs, at least 1")
        if self.metric not in METRICS:
            raise ValueError(f"unknown metric {self.metric!r} of study {self.name!r}: {suggest(self.metric, METRICS)}")
        for name in self.deploy:
            lookup(DEPLOYS, name, f"entry of Study.deploy of {self.name!r}")
        for name in self.strategies:
            check_space(self, name)

    @property
    def reference(self) -> str:
        return self.baseline if self.baseline is not None else next(iter(self.strategies))

    @property
    def direction(self) -> Direction:
        return METRICS[self.metric]

    def space_of(self, strategy: str) -> Space:
        """All dimensions that a strategy searches: the shared ones and its own."""
        return {**self.space, **self.strategies[strategy].space}

    def trials_of(self, strategy: str) -> int | None:
        """The number of trials a strategy may make; None where only cost limits it.

        A strategy with nothing to search needs one trial: the others would repeat it.
        """
        return self.budget.trials if self.space_of(strategy) else 1

    def describe(self) -> dict[str, Any]:
        """The study as plain data. Task, metric, seed and spaces may not change under a name; the rest may."""
        elsewhere = ("root", "device")  # where a study runs is not what it asks
        return {
            "task": {name: value for name, value in self.task.describe().items() if name not in elsewhere},
            "metric": self.metric,
            "seed": self.seed,
            "baseline": self.reference,
            "seeds": self.seeds,
            "budget": asdict(self.budget),
            "spaces": {
                strategy: {name: distribution_to_json(rule) for name, rule in sorted(self.space_of(strategy).items())}
                for strategy in self.strategies
            },
        }


def check_name(name: object, what: str) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot name a {what}: use letters, digits, '.', '_' and '-', at most 100")
    if name == LEADERBOARD:
        raise ValueError(f"{name!r} cannot name a {what}: the final runs are stored under it")


def check_kinds(study: Study) -> None:
    """Each field holds what it is for; a function in place of what it returns is the usual slip."""
    kinds: dict[str, type] = {"task": Task, "budget": Budget, "strategies": Mapping, "space": Mapping}
    for name, kind in kinds.items():
        if not isinstance(getattr(study, name), kind):
            wanted = "a dict by name" if kind is Mapping else f"{kind.__name__}(...)"
            raise ValueError(f"Study.{name} is {reprlib.repr(getattr(study, name))}: give {wanted}")
    strategies: Mapping[str, Any] = study.strategies
    for name, strategy in strategies.items():
        if not isinstance(strategy, Strategy):
            fix = "call it" if callable(strategy) else "give a Strategy, such as autoaug.strategies.none()"
            raise ValueError(f"strategy {name!r} of study {study.name!r} is a {type(strategy).__name__}: {fix}")
        space: Mapping[str, Any] = {**study.space, **strategy.space}
        for dimension, rule in space.items():
            if not isinstance(rule, BaseDistribution):
                fix = "give one of Optuna's distributions, such as FloatDistribution(0, 1)"
                raise ValueError(f"dimension {dimension!r} in study {study.name!r} is {rule!r}: {fix}")


def check_space(study: Study, strategy: str) -> None:
    """Every dimension must set something that exists, and only one of the two spaces may set it."""
    twice = sorted(set(study.space) & set(study.strategies[strategy].space))
    if twice:
        raise ValueError(f"{twice[0]!r} is in the space of study {study.name!r} and of strategy {strategy!r}: keep one")
    settable = settable_names(study.strategies[strategy])
    for name in study.space_of(strategy):
        noun, _, what = name.partition(".")
        if noun not in settable:
            raise ValueError(
                f"unknown dimension {name!r} in study {study.name!r}: it starts with {' or '.join(settable)}"
            )
        if settable[noun] is not None and what not in settable[noun]:
            raise ValueError(f"unknown dimension {name!r} in study {study.name!r}: {suggest(what, settable[noun])}")


def settable_names(strategy: Strategy) -> dict[str, set[str]]:
    """What each noun of a point can set, for one strategy."""
    return {
        "policy": parameters(strategy.policy),
        "mix": {"kind"}.union(*(parameters(mix) for mix in MIXES.values())),
        "task": {field.name for field in fields(Task)},
        "learner": parameters(strategy.within) if strategy.within else set(),
    }


def parameters(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters)


@dataclass(frozen=True)
class Setup:
    """A point made real: what `train` takes."""

    task: Task
    policy: Policy
    mix: Mix
    learner: Learner | None


def set_up(study: Study, strategy: str, point: Mapping[str, Any]) -> Setup:
    """From a point of the space to what is trained."""
    chosen = study.strategies[strategy]
    part: dict[str, dict[str, Any]] = {"policy": {}, "mix": {}, "task": {}, "learner": {}}
    for name, value in point.items():
        noun, _, what = name.partition(".")
        part[noun][what] = value
    policy = chosen.policy(**part["policy"])
    learner = chosen.within(policy, **part["learner"]) if chosen.within else None
    return Setup(replace(study.task, **part["task"]), policy, make_mix(**part["mix"]), learner)


def make_mix(kind: str | None = None, **parameters: Any) -> Mix:
    """The mix of a point: an alpha alone means mixup, nothing at all means no mixing."""
    return build_mix(kind or ("mixup" if parameters else "none"), **parameters)


def preflight(study: Study) -> None:
    """Try everything a study needs, once and small: its data, its models on two images, every strategy's policy.

    Raises:
        ValueError: something cannot work; the message names it. No time was spent and nothing was written.
    """
    for name in study.strategies:
        for point in probes(study.space_of(name)):
            try:
                try_out(set_up(study, name, point))
            except Exception as error:  # whatever a user's function may raise
                said = f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
                tried = f" (tried: {', '.join(f'{key}={value!r}' for key, value in point.items())})" if point else ""
                raise ValueError(f"strategy {name!r} of study {study.name!r}: {said}{tried}") from error


def probes(space: Space) -> Iterator[dict[str, Any]]:
    """Points that are cheap to try: the lowest, and from there every choice that is made by name."""
    yield lowest(space)
    for name, rule in space.items():
        for choice in rule.choices[1:] if isinstance(rule, CategoricalDistribution) else ():
            yield {**lowest(space), name: choice}


def try_out(setup: Setup) -> None:
    """Load the data, and send two images of noise through the policy and the model."""
    task = setup.task
    data = load_data(task.data, root=task.root, val_fraction=task.val_fraction, seed=task.split_seed)
    model = build(task.model, len(data.classes), data.channels, Generator().manual_seed(0))
    images, rng = torch.rand(2, *data.train.images.shape[1:], generator=Generator().manual_seed(0)), Generator()
    try:
        logits = model.eval()(setup.policy(images, rng))
    except (RuntimeError, ValueError, TypeError) as error:
        shape = "x".join(map(str, images.shape[1:]))
        raise ValueError(f"{task.model} fails on two images of {shape}: {error}") from error
    if logits.shape != (2, len(data.classes)):
        raise ValueError(
            f"model {task.model} gives logits of shape {tuple(logits.shape)} for 2 images of {len(data.classes)} "
            "classes: its last layer must have one output per class"
        )
    if rehearse := getattr(setup.learner, "preflight", None):
        rehearse(task, data, model)


def lowest(space: Space) -> dict[str, Any]:
    """A point of the space that is cheap to try: low ends and first choices."""
    return {
        name: rule.choices[0] if isinstance(rule, CategoricalDistribution) else getattr(rule, "low", None)
        for name, rule in space.items()
    }


@dataclass(frozen=True)
class Line:
    """What a plan says of one strategy."""

    strategy: str
    dimensions: tuple[str, ...]
    trials: int | None
    """None: as many as the budget buys."""
    epochs: int
    """Of one trial at most."""
    final_runs: int


def plan(study: Study) -> list[Line]:
    """What a study will do, without doing any of it."""
    return [
        Line(name, tuple(study.space_of(name)), study.trials_of(name), most_epochs(study, name), study.seeds)
        for name in study.strategies
    ]


def most_epochs(study: Study, strategy: str) -> int:
    """The epochs of the longest trial that a strategy can propose."""
    space = study.space_of(strategy)
    longest = {
        name: getattr(space[f"task.{name}"], "high", getattr(study.task, name))
        if f"task.{name}" in space
        else getattr(study.task, name)
        for name in ("epochs", "refine_epochs")
    }
    return sum(longest.values())
