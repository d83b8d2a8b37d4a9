"""What a dry run measures: little, once for all strategies, and scaled up as the study asks."""

import io
from dataclasses import replace
from typing import Any

import pytest
import torch
from rich.console import Console
from studies_for_tests import tiny
from torch import Tensor, nn

from autoaug import Budget, Study
from autoaug.cli._console import plan_table
from autoaug.data import resized
from autoaug.execution import Options, trials_at_once
from autoaug.strategies import none, online_score, randaugment, trivialaugment
from autoaug.study import Loader, Prediction, advise, by_the_clock, plan, predict, set_up
from autoaug.study._measure import LEAST, Stopwatch
from autoaug.study._middle import middle
from autoaug.text import by_clock
from autoaug.train import Task

SEEN: list[int] = []
"""How many images each pass through the network had, by its mode: below zero in evaluation."""


class Counted(nn.Module):
    """A network that says what it is given."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.LazyLinear(classes))
        self.layers(torch.zeros(1, channels, 8, 8))

    def forward(self, images: Tensor) -> Tensor:
        SEEN.append(len(images) if self.training else -len(images))
        return self.layers(images)


def counted(classes: int, channels: int) -> nn.Module:
    with torch.random.fork_rng():
        return Counted(classes, channels)


ARMS = {"none": none(), "ta": trivialaugment(), "ra": randaugment()}


def study(**more: Any) -> Study:
    task = Task(data="digits-rotated", model=counted, epochs=2, batch_size=50)
    return tiny(**{"task": task, "space": {}, "strategies": ARMS} | more)


def test_where_there_is_no_time_a_few_images_are_enough() -> None:
    SEEN.clear()
    found = predict(study(), patience=0.0)
    assert set(found) == set(ARMS)
    assert {abs(count) for count in SEEN} == {LEAST}, "and no policy needs the network"
    assert len(SEEN) == 2 * 2, "training and validation, each once to warm up: strategies share both"


def test_with_time_it_is_as_many_images_as_a_step_has() -> None:
    SEEN.clear()
    predict(study(strategies={"none": none()}), patience=1e6)
    assert max(SEEN) == 50
    assert min(SEEN) == -600


@pytest.mark.filterwarnings("ignore:.*cannot move a logit")
def test_the_updates_of_a_learner_are_measured_on_a_share_of_their_images() -> None:
    asked = study(strategies={"online": online_score()})
    setup = set_up(asked, "online", middle(asked.space_of("online")))
    hyper = setup.learner.updates.hyper_batch  # type: ignore[union-attr]
    SEEN.clear()
    cost = Stopwatch(patience=0.0)(setup, Loader()(setup.task))
    assert cost.whole >= cost.alone > 0
    assert max(map(abs, SEEN)) < hyper / 4


def test_two_networks_are_two_measurements() -> None:
    watch, load = Stopwatch(patience=0.0), Loader()
    for model in ("convnet", "mlp-that-is-counted", "convnet"):
        task = Task(data="digits-rotated", model=counted if "mlp" in model else model, epochs=1)
        setup = set_up(tiny(task=task, space={}, strategies={"none": none()}), "none", {})
        watch(setup, load(task))
    assert len(watch.known) == 2


def test_a_plan_says_how_long_all_of_it_takes() -> None:
    asked = tiny(space={}, strategies={"none": none(), "ra": randaugment()}, budget=Budget(trials=10), seeds=3)
    costs = {name: Prediction(600.0, 600.0, 0.0, "CPU-seconds") for name in asked.strategies}
    lines = plan(asked, costs)
    assert by_the_clock(lines) == 600 * (1 + 10 + 2 * 3)
    assert by_the_clock(lines, at_once=4, share=0.25) == by_the_clock(lines)
    assert by_the_clock(plan(asked, {"ra": costs["ra"]})) is None, "not all of it is known"
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(plan_table(asked, lines, at_once=2))
    assert "all of it: about 85 min by the clock, 2 trials at a time" in console.export_text()


def test_a_plan_that_is_too_large_for_a_cpu_comes_with_one_that_fits() -> None:
    """What fits is measured: the seconds of a small network, where the network of the plan was said to take hours."""
    task = Task(data=resized("digits", 8), model="wrn-28-10", epochs=2, batch_size=50, device="cpu")
    asked = tiny(task=task, space={}, strategies={"none": none()}, budget=Budget(trials=1), seeds=3)
    lines, load = plan(asked, {"none": Prediction(7200.0, 7200.0, 0.0, "CPU-seconds")}), Loader()
    found = advise(asked, lines, load)
    assert found
    assert (found.model, found.pixels, found.budget_seconds) == ("resnet-8", 8, 0.0)
    assert 0 < found.seconds < 3600
    said = "on this CPU model='resnet-8' and images of 8 x 8 pixels would take about 20 min"
    assert str(replace(found, seconds=1200.0)) == said
    quick = plan(asked, {"none": Prediction(60.0, 60.0, 0.0, "CPU-seconds")})
    assert advise(asked, quick, load) is None, "minutes need no advice"
    on_a_gpu = plan(asked, {"none": Prediction(7200.0, 7200.0, 0.0, "GPU-seconds")})
    assert advise(asked, on_a_gpu, load) is None


@pytest.mark.parametrize(("seconds", "said"), [(40, "40 s"), (720, "12 min"), (5940, "99 min"), (46800, "13 h")])
def test_a_time_has_a_unit_that_people_count_in(seconds: float, said: str) -> None:
    assert by_clock(seconds) == said


def test_how_many_trials_run_at_once() -> None:
    has = {"CPU": 8, "GPU": 1}
    assert trials_at_once("local", Options(cpus_per_trial=2), has) == 1
    assert trials_at_once("ray", Options(cpus_per_trial=2), has) == 4
    assert trials_at_once("ray", Options(gpus_per_trial=0.5), has) == 2
    assert trials_at_once("ray", Options(at_once=3), has) == 3
