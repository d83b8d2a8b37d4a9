"""The proof of the knobs: a dimension whose value changes nothing is found before a study runs, and named.

Two points that differ in one dimension are made, from equal seeds, into what is trained; then what they lead to is
compared bit for bit, the cheapest first: the learning rates and updates that are due, what the policy and the mix make
of images, and the weights after a few steps of a small network. The first difference proves that the dimension is live.
Of a loop of the user's own the first steps are made, which say nothing of what it does later.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Generator
from torch.nn import functional as F

from autoaug.data import Data, Split, as_float
from autoaug.mixing import TrainingMix
from autoaug.study._bench import Bench, Evidence
from autoaug.study._conditions import never
from autoaug.study._definition import Study
from autoaug.study._knobs_of_loop import made_of, mixed_of, stages_of_loop, unread
from autoaug.study._loading import Loader
from autoaug.study._observer import STEPS
from autoaug.study._setup import Setup, set_up
from autoaug.train import (
    TrainingRun,
    criterion_of,
    epoch_order,
    global_generators_guarded,
    learning_rate,
    mix_share,
    pick_device,
    policy_share,
    train_step,
)
from autoaug.trial import Command

BY_DESIGN = {
    "task.compile": "it saves time and changes nothing else but the last digits",
    "task.micro_batch": "it saves memory and changes nothing else, except in layers that look at the batch",
    "task.precision": "'auto' is float32 on a CPU",
}
"""Dimensions that may change nothing, and why."""

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
    stages_of = stages_of_trainer if study.train is None else stages_of_loop
    load, deadline, results = load or Loader(), time.monotonic() + seconds, []
    for name in list(only) or study.strategies:
        say(name)
        trials = [Bench(study, name, stages_of(study, name, load, True))] if study.strategies[name].proxy else []
        full = Bench(study, name, stages_of(study, name, load))
        for dimension, rule in study.space_of(name).items():
            if not rule.single():
                late = time.monotonic() > deadline
                results.append(
                    Knob(name, dimension, None, f"the {seconds:g} s for it were over")
                    if late
                    else judged(dimension, full, trials, load)
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


def judged(dimension: str, full: Bench, trials: list[Bench], load: Loader) -> Knob:
    """Return whether one dimension has an effect; where a search has a proxy, in its trials as well."""
    study, strategy = full.study, full.strategy
    if reason := never(dimension, study.space_of(strategy), study.conditions_of(strategy)):
        return Knob(strategy, dimension, False, reason)
    own, steps = study.train is not None, "no step of a command is made for it"
    if not isinstance(study.train, Command):
        steps = f"{STEPS} steps of the loop come to the same, bit for bit"
    try:
        if own and unread(dimension, full, load):
            return Knob(strategy, dimension, False, f"the loop does not read it in its first {STEPS} steps")
        live = full.is_live(dimension)
        blind = live and not all(bench.is_live(dimension) for bench in trials)
    except Exception as error:  # whatever a user's function may raise: the trials that fail will say more
        return Knob(strategy, dimension, None, f"{type(error).__name__}: {error}")
    if blind:
        return Knob(
            strategy, dimension, True, "has an effect in re-runs and final runs only: the search's proxy has none"
        )
    if own and not live:
        return Knob(strategy, dimension, None, steps)
    alike = "whatever its value, what is trained is the same bit for bit"
    return Knob(strategy, dimension, live, "" if live else BY_DESIGN.get(dimension, alike))


def stages_of_trainer(study: Study, strategy: str, load: Loader, search: bool = False) -> list[Evidence]:
    """Return the kinds of evidence of a study that autoaug's own trainer trains.

    Args:
        search: as a trial of the search is trained, on its proxy.
    """
    reduced = Reduced()

    def evidence(stage: Stage, point: Mapping[str, Any], repeat: int) -> Iterator[Any]:
        setup = set_up(study, strategy, point, search=search)
        data = load(setup.task)
        return stage(setup, data, reduced.few(data))

    return [partial(evidence, stage) for stage in STAGES]


@dataclass
class Reduced:
    """Keep few and small images of data."""

    made: list[tuple[Split, Data]] = field(default_factory=list)

    def few(self, data: Data) -> Data:
        """Return few and small images of the data, made once."""
        reduced = next((few for train, few in self.made if train is data.train), None)
        if reduced is None:
            reduced = replace(data, train=few_of(data.train), val=few_of(data.val), test=None)
            self.made.append((data.train, reduced))
        return reduced


def due(setup: Setup, data: Data, few: Data) -> Iterator[Any]:
    """Yield what follows without a step: data and their order, learning rates, updates, the network, the weights."""
    task = setup.task
    steps = max(1, len(data.train) // task.batch_size)
    total = task.last_epoch * steps
    yield from (task.epochs, task.refine_epochs, task.batch_size, total, data.standard)
    yield min(task.freeze_epochs, task.last_epoch)
    for epoch in range(1, task.epochs + 1):
        yield policy_share(task, epoch, task.epochs), mix_share(task, epoch, task.epochs)
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
    yield from mixed_of(setup, shown.images, F.one_hot(shown.targets, len(data.classes)).float())


def made(setup: Setup, data: Data, few: Data) -> Iterator[Any]:
    """Yield what the policy makes of a few images."""
    yield from made_of(setup, spread(few.train, IMAGES).images)


def moved(setup: Setup, data: Data, few: Data) -> Iterator[Any]:
    """Yield losses, weights and the policy's parameters after a few steps of each phase, of a small network."""
    small: dict[str, Any] = {"compile": False, "device": "cpu"}
    if not isinstance(setup.mix, TrainingMix):  # which may name layers of the network
        small |= {"model": "convnet", "weights": None, "dropout": None}
    task = replace(setup.task, **small, batch_size=min(setup.task.batch_size, BATCH))
    learner = setup.learner.rehearsal(task, len(few.train), len(few.val), 1.0)  # when it is due, `due` compares
    run = TrainingRun(task, setup.policy, setup.mix, learner, Generator().manual_seed(0), few)
    run.steps_per_epoch = max(1, len(data.train) // setup.task.batch_size)
    for epoch in {1: None, task.epochs: None, task.last_epoch: None}:
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


Stage = Callable[[Setup, Data, Data], Iterator[Any]]
STAGES: tuple[Stage, ...] = (due, mixed, made, moved)
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
