"""The proof of the knobs: a dimension whose value changes nothing is found before a study runs, and named.

Two points that differ in one dimension are made, from equal seeds, into what is trained; then what they lead to is
compared bit for bit, the cheapest first: the learning rates and updates that are due, what the policy and the mix make
of images, and the weights after a few steps of a small network. The first difference proves that the dimension is live.
"""

import hashlib
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, product
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from autoaug.data import Data, Split, as_float
from autoaug.study._conditions import extremes, never, others
from autoaug.study._definition import Study
from autoaug.study._loading import Loader
from autoaug.study._predict import midpoint
from autoaug.study._setup import Setup, set_up
from autoaug.train import (
    TrainingRun,
    criterion_of,
    epoch_order,
    global_generators_guarded,
    learning_rate,
    pick_device,
    train_step,
)

BY_DESIGN = {
    "task.compile": "it saves time and changes nothing else but the last digits",
    "task.micro_batch": "it saves memory and changes nothing else, except in layers that look at the batch",
    "task.precision": "'auto' is float32 on a CPU",
}
"""Dimensions that may change nothing, and why."""

BASES = 4
"""Points around which a dimension is varied, at most, before it counts as one that changes nothing."""

IMAGES, PIXELS, BATCH = 64, 16, 16
"""How many images the policy and the mix are shown; the side that larger images are reduced to; the batch of a step."""

MOST_IMAGES, MOST_LARGE = 2000, 500
"""Images of each split that a learner may draw from, small ones and larger ones."""

RATES = 2000
"""Learning rates of a schedule that are compared, at most."""


@dataclass(frozen=True)
class Knob:
    """Hold whether a dimension of a strategy changes what is trained."""

    strategy: str
    dimension: str
    effect: bool | None
    """True or False; None where neither was proved."""
    why: str = ""
    """Why it has no effect, or where it has none; empty where it simply works."""

    def __str__(self) -> str:
        if self.effect:
            return f"{self.dimension} {self.why or 'has an effect'}"
        return f"{self.dimension} {'has no effect' if self.effect is False else 'was not proved'}: {self.why}"


def knobs(
    study: Study,
    only: Iterable[str] = (),
    load: Loader | None = None,
    seconds: float = 8.0,
    say: Callable[[str], Any] = lambda name: None,
) -> list[Knob]:
    """Return whether each dimension of each strategy has an effect, by trying values of it.

    Dimensions of a single value are left out.

    Args:
        only: these strategies; none named means all.
        load: reads each dataset once.
        seconds: after so many, what is left is not tried, and its effect is None.
        say: is called with the name of each strategy before it is tried.
    """
    if study.train is not None:
        return []
    load, deadline, results = load or Loader(), time.monotonic() + seconds, []
    for name in list(only) or study.strategies:
        say(name)
        trials = [Bench(study, name, load, search=True)] if study.strategies[name].proxy else []
        full = Bench(study, name, load)
        for dimension, rule in study.space_of(name).items():
            if not rule.single():
                late = time.monotonic() > deadline
                results.append(
                    Knob(name, dimension, None, f"the {seconds:g} s for it were over")
                    if late
                    else judged(dimension, full, trials)
                )
    return results


def knob_warnings(results: Sequence[Knob]) -> list[str]:
    """Return a sentence for each dimension that is inert, unproved or out of the ordinary, each once.

    The strategies are named where the same dimension behaves differently in others.
    """
    alike: dict[str, list[str]] = {}
    for knob in results:
        alike.setdefault(knob.dimension, []).append(knob.strategy)
    strategies_by_text: dict[tuple[str, str], list[str]] = {}
    for knob in results:
        if not knob.effect or knob.why:
            strategies_by_text.setdefault((f"{knob}", knob.dimension), []).append(knob.strategy)
    return [
        text if strategies == alike[dimension] else f"{text} ({', '.join(strategies)})"
        for (text, dimension), strategies in strategies_by_text.items()
    ]


def judged(dimension: str, full: "Bench", trials: "list[Bench]") -> Knob:
    """Return whether one dimension has an effect; where a search has a proxy, in its trials as well."""
    study, strategy = full.study, full.strategy
    if reason := never(dimension, study.space_of(strategy), study.conditions_of(strategy)):
        return Knob(strategy, dimension, False, reason)
    try:
        live = full.is_live(dimension)
        blind = live and not all(bench.is_live(dimension) for bench in trials)
    except Exception as error:  # whatever a user's function may raise: the trials that fail will say more
        return Knob(strategy, dimension, None, f"{type(error).__name__}: {error}")
    if blind:
        return Knob(
            strategy, dimension, True, "has an effect in re-runs and final runs only: the search's proxy has none"
        )
    alike = "whatever its value, what is trained is the same bit for bit"
    return Knob(strategy, dimension, live, "" if live else BY_DESIGN.get(dimension, alike))


@dataclass
class Bench:
    """Make points of a strategy into evidence, each once."""

    study: Study
    strategy: str
    load: Loader
    search: bool = False
    """As a trial of the search is trained, on its proxy."""
    known: dict[tuple[int, str, int], str] = field(default_factory=dict)
    reduced: list[tuple[Split, Data]] = field(default_factory=list)

    def is_live(self, dimension: str) -> bool:
        """Whether a change of a dimension changes anything: any at the first point that uses it, one at a few more."""
        rule = self.study.space_of(self.strategy)[dimension]
        return any(
            self.differ(base, {**base, dimension: value})
            for k, base in enumerate(islice(self.bases(dimension), BASES))
            for value in islice(others(rule, base[dimension]), 1 if k else None)
        )

    def bases(self, dimension: str) -> Iterator[dict[str, Any]]:
        """Yield points that use a dimension: the middle of the space, where its deciders say so, and others."""
        space = self.study.space_of(self.strategy)
        middle = {name: midpoint(rule) for name, rule in space.items()}
        deciders = self.study.conditions_of(self.strategy)
        names = [name for name in deciders[dimension].on if name in space] if dimension in deciders else []
        decided = product(*((midpoint(space[name]), *extremes(space[name])) for name in names))
        points = [{**middle, **dict(zip(names, values, strict=True))} for values in decided]
        points += [{**middle, name: value} for name, rule in space.items() for value in extremes(rule)]
        seen: list[dict[str, Any]] = []
        for point in points:
            if self.study.uses(self.strategy, dimension, point) and point not in seen:
                seen.append(point)
                yield point

    def differ(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        """Whether two points lead to different evidence, by a kind of it that is the same twice at one point."""
        return any(
            self.evidence(stage, one) != self.evidence(stage, other)
            and self.evidence(stage, one) == self.evidence(stage, one, repeat=1)
            for stage in range(len(STAGES))
        )

    def evidence(self, stage: int, point: Mapping[str, Any], repeat: int = 0) -> str:
        """Return a digest of one kind of evidence at a point; `repeat` counts the makings from the same seed."""
        key = (stage, repr(sorted(point.items())), repeat)
        if key not in self.known:
            with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
                warnings.simplefilter("ignore")  # preflight has shown them
                torch.manual_seed(0)
                setup = set_up(self.study, self.strategy, point, search=self.search)
                data = self.load(setup.task)
                self.known[key] = digest(STAGES[stage](setup, data, self.few(data)))
        return self.known[key]

    def few(self, data: Data) -> Data:
        """Return few and small images of the data, made once."""
        reduced = next((few for train, few in self.reduced if train is data.train), None)
        if reduced is None:
            reduced = replace(data, train=few_of(data.train), val=few_of(data.val), test=None)
            self.reduced.append((data.train, reduced))
        return reduced


def due(setup: Setup, data: Data, few: Data) -> Iterator[Any]:
    """Yield what follows without a step: data and their order, learning rates, updates, the network, the weights."""
    task = setup.task
    steps = max(1, len(data.train) // task.batch_size)
    total = task.total_epochs * steps
    yield from (task.epochs, task.refine_epochs, task.batch_size, total, data.standard)
    yield min(task.freeze_epochs, task.total_epochs)
    yield from (learning_rate(task, k, steps) for k in range(0, total, max(1, total // RATES)))
    unscheduled = replace(task, schedule="constant", warmup=0)  # which fits any number of epochs
    first_epochs = (replace(unscheduled, epochs=k) for k in range(1, task.epochs + 1))
    yield from (setup.learner.expected_updates(each, len(data.train)) for each in first_epochs)
    fast = "bfloat16" if pick_device(task.device).type == "cuda" else "float32"
    yield (repr(task.model), task.weights, task.dropout, fast if task.precision == "auto" else task.precision)
    yield epoch_order(task, data.train.targets, Generator().manual_seed(0))
    yield criterion_of(task, data.train, len(data.classes)).weights


def mixed(setup: Setup, data: Data, few: Data) -> Iterator[Any]:
    """Yield what the mix makes of a few images and their targets."""
    shown = spread(few.train, IMAGES)
    targets = F.one_hot(shown.targets, len(data.classes)).float()
    yield from setup.mix(shown.images, targets, Generator().manual_seed(0))


def made(setup: Setup, data: Data, few: Data) -> Iterator[Any]:
    """Yield what the policy makes of a few images, in the first and in the last epoch that has it."""
    images = spread(few.train, IMAGES).images
    setup.policy.to(torch.device("cpu"))
    for epoch in {1: None, setup.task.epochs: None}:
        setup.policy.at(epoch)
        yield setup.policy(images, Generator().manual_seed(0))


def moved(setup: Setup, data: Data, few: Data) -> Iterator[Any]:
    """Yield losses, weights and the policy's parameters after a few steps of each phase, of a small network."""
    small: dict[str, Any] = {"model": "convnet", "weights": None, "dropout": None, "compile": False, "device": "cpu"}
    task = replace(setup.task, **small, batch_size=min(setup.task.batch_size, BATCH))
    learner = setup.learner.rehearsal(task, len(few.train), len(few.val), 1.0)  # when it is due, `due` compares
    run = TrainingRun(task, setup.policy, setup.mix, learner, Generator().manual_seed(0), few)
    run.steps_per_epoch = max(1, len(data.train) // setup.task.batch_size)
    for epoch in {1: None, task.epochs: None, task.total_epochs: None}:
        run.epoch, run.step = epoch, (epoch - 1) * run.steps_per_epoch
        run.to_training()
        run.policy.at(epoch)
        with global_generators_guarded(run):
            for k in range(2):
                chosen = torch.arange(k * task.batch_size, (k + 1) * task.batch_size) % len(few.train)
                yield train_step(run, few.train.images[chosen], few.train.targets[chosen])
    yield from run.model.state_dict().values()
    yield from run.evaluated.state_dict().values()
    yield from run.policy.state_dict().values()


Evidence = Callable[[Setup, Data, Data], Iterator[Any]]
STAGES: tuple[Evidence, ...] = (due, mixed, made, moved)
"""Kinds of evidence, the cheapest first."""


def few_of(split: Split) -> Split:
    """Return some images of a split, as floats and small. Of large ones there are fewer: each has to be made small."""
    large = max(split.images.shape[2:]) > PIXELS
    some = spread(split, MOST_LARGE if large else MOST_IMAGES)
    if not large:
        return Split(as_float(some.images), some.targets)
    parts = (as_float(images) for images, _ in some.parts(100))
    return Split(torch.cat([F.interpolate(part, size=(PIXELS, PIXELS), mode="area") for part in parts]), some.targets)


def spread(split: Split, most: int) -> Split:
    """Return so many images of a split at most, evenly taken."""
    return split.at(torch.linspace(0, len(split) - 1, min(most, len(split))).long())


def digest(values: Iterable[Any]) -> str:
    """Return one text for all values: equal for equal ones, bit for bit."""
    hasher = hashlib.sha256()
    for value in values:
        if isinstance(value, Tensor):
            hasher.update(repr(tuple(value.shape)).encode())
            hasher.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        else:
            hasher.update(repr(value).encode())
    return hasher.hexdigest()
