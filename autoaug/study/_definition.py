"""A study as it is asked: checked when it is made, before any time is spent."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Annotated, Any, Literal

from optuna.distributions import distribution_to_json

from autoaug.artifacts import NAME
from autoaug.fields import SEED, TEXT, at_least, check_fields, short
from autoaug.learners import DEPLOYS
from autoaug.lookup import lookup, suggest
from autoaug.metrics import (
    DEFAULT_METRIC,
    METRICS,
    Direction,
    Metric,
    adopted,
    facts_of,
    metric_of,
    on_split,
    own_metrics,
)
from autoaug.record import LEADERBOARD
from autoaug.strategies import Condition, Space, Strategy
from autoaug.study._budget import Budget
from autoaug.study._checks import check_kinds, check_strategy
from autoaug.study._conditions import in_order, mix_conditions, never, task_conditions
from autoaug.study._dimensions import in_plain_python
from autoaug.study._known import first_points
from autoaug.study._loops import check_command, check_task, loop_of, make_row
from autoaug.study._versions import described, without_defaults
from autoaug.train import Task, spelt
from autoaug.trial import Loop, fit


def check_name(name: object, what: str) -> str:
    """Return a name of a study or strategy as it is.

    Raises:
        ValueError: it has other characters than `NAME` allows, or is reserved.
    """
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"{short(name)} cannot name a {what}: use letters, digits, '.', '_' and '-', at most 100")
    if name == LEADERBOARD:
        raise ValueError(f"{name!r} cannot name a {what}: the final runs are stored under it")
    return name


def name_of_study(name: object) -> str:
    """Return a `Study.name` as it is; raise ValueError where it cannot be one."""
    return check_name(name, "study")


def name_of_metric(metric: object) -> str:
    """Return the name of a `Study.metric`: a name as it is, and that of a `Metric`, which becomes a row of `METRICS`.

    Raises:
        ValueError: it is neither; of a function alone nobody knows which direction is better.
    """
    if isinstance(metric, Metric):
        return on_split("val", adopted(metric))
    if isinstance(metric, str) and TEXT.holds(metric):
        return metric
    fix = f"give the name of a row on validation, such as {DEFAULT_METRIC!r}, or a Metric"
    if callable(metric):
        fix = 'say which direction is better: Metric(function=..., direction="minimize", label="cost")'
    raise ValueError(f"Study.metric is {short(metric)}: {fix}")


def storage_url(storage: object) -> str:
    """Return a `Study.storage` as it is.

    Raises:
        ValueError: it is no text. What is refused may hold a password and is not shown.
    """
    if isinstance(storage, str) and TEXT.holds(storage):
        return storage
    raise ValueError(f"Study.storage is a {type(storage).__name__} that is no storage URL: give a URL as {TEXT.says}")


@dataclass(frozen=True, kw_only=True)
class Study:
    """Describe one question: what is trained, what is searched, and at what cost; checked before any time is spent.

    Raises:
        ValueError: a field, a dimension, a strategy or its proxy cannot be used; the message names it.
    """

    name: Annotated[str, name_of_study]
    task: Task = field(default_factory=lambda: Task(data=None))
    """What is trained. A loop of one's own reads of it what is in `READ_BY_LOOPS`, and needs none where it has its own
    data and says itself how many epochs there are."""
    strategies: Mapping[str, Strategy]
    budget: Budget
    space: Space = field(default_factory=dict)
    """Dimensions that every strategy searches beside its own, such as `task.refine_epochs` and `mix.alpha`."""
    mix: Mapping[str, Any] = field(default_factory=dict)
    """The mix of every strategy that has none of its own, such as `{"kind": "cutmix", "alpha": 1.0}`. What varies of it
    stands in the space."""
    baseline: Annotated[str | None, TEXT] = None
    """The strategy that the others are compared with; None is the first one."""
    seeds: Annotated[int, at_least(1, says="the number of final runs, at least 1")] = 3
    """Final runs per strategy, each with a seed of its own that the strategies share."""
    rerun: Annotated[int, at_least(1, says="the number of points to train in full, at least 1")] = 3
    """How many of the best points of a strategy that searches on a proxy are trained on the task itself, before the
    best of them is named. They are part of the search's cost."""
    seed: Annotated[int, SEED] = 0
    """Of the search: the same seed proposes the same points."""
    train: Annotated[Loop | None, loop_of] = None
    """The training loop, a generator function of a `Trial` that yields the metrics of each epoch; None is autoaug's own
    trainer. Its dimensions are called "train." and a name, and `trial[name]` is their value."""
    metric: Annotated[str, name_of_metric] = DEFAULT_METRIC
    """A row of `autoaug.metrics.METRICS` on the validation split, which the search goes by. Final runs are ranked,
    tested and drawn by the same row on the test split. Given a `Metric`, the study makes a row of it, called after its
    label, and this is its name: "val_cost" of `Metric(function=cost, direction="minimize", label="cost")`."""
    minimize: bool | None = None
    """Which direction of the metric is better, where it is one that the loop alone knows: it needs no row then."""
    deploy: tuple[Annotated[str, TEXT], ...] = ("last_policy",)
    """How the final runs of a strategy with a learner train again from scratch with the policy that was learned: rows
    of `DEPLOYS`. The network that was trained while the policy moved has learned from it what the validation images
    are, so its score proves little."""
    final_data: Literal["train", "train+val"] = "train"
    """What the final runs train on. With "train+val" they report no validation scores. A learner needs images to be
    judged by, so its own network still trains on the training images alone, and what is deployed of it on both."""
    storage: Annotated[str | None, storage_url] = None
    """A storage URL; None is what the command line or AUTOAUG_STORAGE says, else autoaug.db in this folder."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.minimize is not None:
            make_row(self.metric, self.minimize, self.train)
        check_kinds(self)
        check_task(self.name, self.task, self.train, self.final_data)
        check_command(self.name, self.strategies, self.train)
        object.__setattr__(self, "space", in_plain_python(self.space))
        plain = {name: each._replace(space=in_plain_python(each.space)) for name, each in self.strategies.items()}
        object.__setattr__(self, "strategies", plain)
        if not self.strategies:
            raise ValueError(f"study {self.name!r} has no strategies: give at least one")
        for name in self.strategies:
            check_name(name, f"strategy of study {self.name!r}")
        if self.baseline_name not in self.strategies:
            known = suggest(self.baseline_name, self.strategies)
            raise ValueError(f"baseline {self.baseline!r} is no strategy of study {self.name!r}: {known}")
        searchable = [on_split("val", name) for name in METRICS]
        if self.metric not in searchable:
            known = suggest(self.metric, searchable)
            own = "" if self.train is None else "; if the loop of train= gives it, say minimize=True or minimize=False"
            raise ValueError(f"unknown metric {self.metric!r} of study {self.name!r}: {known}{own}")
        for name in self.deploy:
            lookup(DEPLOYS, name, f"entry of Study.deploy of {self.name!r}")
        for name in self.strategies:
            check_strategy(self, name)

    @property
    def baseline_name(self) -> str:
        """Return the name of the strategy that the others are compared with."""
        return self.baseline if self.baseline is not None else next(iter(self.strategies))

    @property
    def loop(self) -> Loop:
        """Return the training loop: the user's, or that of autoaug's own trainer."""
        return self.train or fit

    @property
    def direction(self) -> Direction:
        """Return which values of the study's metric are better."""
        return metric_of(self.metric).direction

    def space_of(self, strategy: str) -> Space:
        """Return all dimensions that a strategy searches, the shared ones and its own, in the order of asking."""
        return in_order({**self.space, **self.strategies[strategy].space}, self.conditions_of(strategy))

    def mix_of(self, strategy: str) -> dict[str, Any]:
        """Return what of a strategy's mix does not vary."""
        return dict(self.strategies[strategy].mix or self.mix)

    def conditions_of(self, strategy: str) -> dict[str, Condition]:
        """Return, for each dimension that means something in some points only, when it does."""
        declared = self.strategies[strategy].conditions
        return {**mix_conditions(self.mix_of(strategy)), **task_conditions(self.full_task_of(strategy)), **declared}

    def uses(self, strategy: str, name: str, point: Mapping[str, Any]) -> bool:
        """Whether a dimension means something in a point, as far as that is known."""
        rule = self.conditions_of(strategy).get(name)
        return rule is None or not rule.inert(point)

    def point_of(self, strategy: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of the values that mean something: points for which they are equal are the same point."""
        return {name: value for name, value in values.items() if self.uses(strategy, name, values)}

    def varied(self, strategy: str) -> list[str]:
        """Return the dimensions along which the points of a strategy differ."""
        space, rules = self.space_of(strategy), self.conditions_of(strategy)
        return [name for name, rule in space.items() if not (rule.single() or never(name, space, rules))]

    def first_of(self, strategy: str) -> tuple[dict[str, Any], ...]:
        """Return the points that a search tries first: known defaults. A search takes of them what it asks for."""
        return first_points(self.strategies[strategy], self.full_task_of(strategy), self.space)

    def trials_of(self, strategy: str) -> int | None:
        """Return the number of trials a strategy may make; None where only cost limits it.

        A space of one point needs one trial: the others would repeat it.
        """
        return self.budget.trials if self.varied(strategy) else 1

    def reruns_of(self, strategy: str) -> int:
        """Return how many points of a strategy are trained again, in full; 0 where its search trains in full."""
        if not self.strategies[strategy].proxy:
            return 0
        return self.rerun if self.varied(strategy) else 1

    def full_task_of(self, strategy: str) -> Task:
        """Return what a strategy trains: the task, with the fields that are its own (`Strategy.trained`)."""
        return replace(self.task, **self.strategies[strategy].task)

    def task_of(self, strategy: str) -> Task:
        """Return what the trials of a search are trained on: `full_task_of`, with the changes of its proxy."""
        return replace(self.full_task_of(strategy), **self.strategies[strategy].proxy)

    def describe(self) -> dict[str, Any]:
        """Return the study as it is stored: plain data, without what has its default (`_versions.py`).

        Baseline, seeds, budget and strategies may change under a name; the rest may not.
        """
        return without_defaults(
            {
                "task": described(self.task),
                "train": None if self.train is None else spelt(self.train),
                "metric": self.metric,
                "metrics": {name: facts_of(metric) for name, metric in own_metrics().items()},
                "final_data": self.final_data,
                "seed": self.seed,
                "baseline": self.baseline_name,
                "seeds": self.seeds,
                "budget": asdict(self.budget),
                "spaces": {
                    name: {
                        dimension: distribution_to_json(rule) for dimension, rule in sorted(self.space_of(name).items())
                    }
                    for name in self.strategies
                },
                "varied": {name: self.varied(name) for name in self.strategies},
                "mixes": {name: self.mix_of(name) for name in self.strategies if self.mix_of(name)},
                "tasks": {name: self.own_fields(name) for name in self.strategies if self.own_fields(name)},
                "proxies": {name: self.proxy_of(name) for name in self.strategies if self.proxy_of(name)},
            },
            described(type(self.task)(data="any")),
        )

    def _repr_html_(self) -> str:
        """Return what is asked, and the plan, as a notebook shows them."""
        from autoaug.study._html import to_html  # it reads studies

        return to_html(self)

    def own_fields(self, strategy: str) -> dict[str, Any]:
        """Return the fields of the task that are a strategy's own, as plain data; empty where it has none."""
        own = self.full_task_of(strategy).describe()
        return {name: own[name] for name in self.strategies[strategy].task}

    def proxy_of(self, strategy: str) -> dict[str, Any]:
        """Return what the proxy of a strategy changes of the task, as plain data; empty where it has none."""
        changed = self.task_of(strategy).describe()
        return {name: changed[name] for name in self.strategies[strategy].proxy}
