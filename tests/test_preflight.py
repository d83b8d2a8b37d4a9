"""What would fail in a trial is refused before any runs: both ends of every dimension, and what training does."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from torch import Generator, Tensor, nn

from autoaug import Budget, Study, Task
from autoaug.models import build
from autoaug.policy import Fixed, apply, policy_tree, ready
from autoaug.strategies import Strategy, autoaugment, none, online_score
from autoaug.study import preflight
from autoaug.study._probes import probes
from autoaug.train import smallest_part

TASK = Task(data="digits", model="convnet", epochs=1, batch_size=64)


def study(task: Task = TASK, strategy: Strategy | None = None, **space: BaseDistribution) -> Study:
    named = {name.replace("__", "."): rule for name, rule in space.items()}
    arms = {"n": strategy or none()}
    return Study(name="x", task=task, space=named, strategies=arms, budget=Budget(trials=6), seeds=1)


def sized(channels: int) -> Any:
    def images(root: Path) -> Any:
        return torch.rand(128, channels, 8, 8, generator=Generator().manual_seed(0)), torch.arange(128) % 2

    return images


HIGH_ENDS = {
    "mix__probability": (FloatDistribution(0, 2), r"mix.probability is 2.0: use a number from 0 to 1"),
    "task__warmup": (FloatDistribution(0, 1, step=1.0), r"Task.warmup is 1.0: give a share of the steps"),
    "task__momentum": (FloatDistribution(0.5, 1), r"Task.momentum is 1.0: give a number in \[0, 1\)"),
    "task__batch_size": (IntDistribution(64, 2**40), r"Task.batch_size is 1099511627776: give a whole number"),
    "task__model": (CategoricalDistribution(("convnet", "convnt")), r"unknown model 'convnt'"),
}


@pytest.mark.parametrize("name", HIGH_ENDS)
def test_both_ends_and_every_choice_are_tried(name: str) -> None:
    rule, message = HIGH_ENDS[name]
    dimension = name.replace("__", ".")
    mixing = {"mix__alpha": FloatDistribution(0, 1)} if name.startswith("mix") else {}
    with pytest.raises(ValueError, match=rf"^strategy 'n' of study 'x': {message}.*\(tried: {dimension}="):
        preflight(study(**mixing, **{name: rule}))


def test_an_end_is_tried_where_its_dimension_means_something() -> None:
    """The ratio belongs to one of two mixes, and not to the first."""
    kinds = CategoricalDistribution(("mixup", "hmix"))
    space = {"mix__kind": kinds, "mix__alpha": FloatDistribution(0, 1), "mix__ratio": FloatDistribution(0, 2)}
    with pytest.raises(ValueError, match=r"mix.ratio is 2.0.*\(tried: mix.ratio=2.0, .*mix.kind='hmix'"):
        preflight(study(**space))


def test_the_points_that_are_tried_change_one_dimension_at_a_time() -> None:
    space = {"a": FloatDistribution(0, 1), "b": CategoricalDistribution(("x", "y", "z")), "c": IntDistribution(2, 2)}
    assert list(probes(space, {})) == [
        ("", {"a": 0, "b": "x", "c": 2}),
        ("a", {"a": 1, "b": "x", "c": 2}),
        ("b", {"a": 0, "b": "y", "c": 2}),
        ("b", {"a": 0, "b": "z", "c": 2}),
        ("", {"a": 1, "b": "x", "c": 2}),
    ]
    assert list(probes({}, {})) == [("", {})]


@pytest.mark.parametrize("model", ["preactresnet-18", "resnet-18"])
def test_parts_of_one_image_are_refused_where_a_network_cannot_train_on_them(model: str) -> None:
    task = replace(TASK, data=sized(1), model=model, micro_batch=1)
    with pytest.raises(ValueError, match=r"fails in training on a part of one image of 1x8x8 \(Task.micro_batch=1 of"):
        preflight(study(task))


def test_a_network_without_batch_statistics_may_train_on_one_image_at_a_time() -> None:
    def linear(classes: int, channels: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64 * channels, classes))

    preflight(study(replace(TASK, model=linear, micro_batch=1)))


@pytest.mark.parametrize(
    ("batch", "micro", "images", "smallest"),
    [(64, None, 100, 64), (64, None, 10, 10), (64, 1, 100, 1), (64, 63, 100, 32), (64, 21, 100, 16), (10, 3, 100, 2),
     (5, 2, 100, 1), (64, 100, 100, 64)],
)  # fmt: skip
def test_the_parts_of_a_minibatch_have_about_the_same_size(
    batch: int, micro: int | None, images: int, smallest: int
) -> None:
    assert smallest_part(replace(TASK, batch_size=batch, micro_batch=micro), images) == smallest


class Picky(nn.Module):
    """Fails in training only, or makes something else of it."""

    def __init__(self, classes: int, channels: int, wrong: str) -> None:
        super().__init__()
        self.net, self.wrong = build("convnet", classes, channels, Generator().manual_seed(0)), wrong

    def forward(self, images: Tensor) -> Tensor:
        logits = self.net(images)
        if self.training and self.wrong == "raises":
            raise RuntimeError("not in training")
        return logits * float("nan") if self.training and self.wrong == "nan" else logits


@pytest.mark.parametrize(
    ("wrong", "message"),
    [("raises", r"fails in training on two images of 1x8x8: not in training"), ("nan", r"begins with a loss of nan")],
)
def test_a_network_is_tried_in_training(wrong: str, message: str) -> None:
    def model(classes: int, channels: int) -> nn.Module:
        return Picky(classes, channels, wrong)

    with pytest.raises(ValueError, match=message):
        preflight(study(replace(TASK, model=model)))


class Careless(Fixed):
    """A policy of a user's own."""

    def __init__(self, wrong: str) -> None:
        super().__init__(ready.none())
        self.wrong = wrong

    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        return {"cut": images[:, :, 1:], "nan": images / 0 * 0, "none": None}[self.wrong]  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("cut", r"the policy makes \[8, 1, 7, 8\] of images \[8, 1, 8, 8\]: give back the same shape"),
        ("none", r"the policy makes a NoneType of images"),
        ("nan", r"the policy makes values that are NaN or infinite"),
    ],
)
def test_what_a_policy_makes_of_images_is_looked_at(wrong: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        preflight(study(strategy=Strategy(policy=lambda: Careless(wrong), space={})))


def test_a_network_is_tried_once_however_many_points_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """140 choices of operations, and one network; another one where a dimension chooses it."""
    built: list[Any] = []
    original = torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self, *a: built.append(self) or original(self, *a))
    preflight(study(strategy=autoaugment(), task__lr=FloatDistribution(0.1, 1)))
    assert len(built) == 1
    preflight(study(task__model=CategoricalDistribution(("convnet", "wrn-10-1"))))
    assert len(built) == 3


def test_images_and_weights_of_the_real_training_are_not_touched() -> None:
    images = torch.rand(60, 1, 8, 8, generator=Generator().manual_seed(0))
    before = images.clone()

    def data(root: Path) -> Any:
        return images, torch.arange(60) % 2

    tree = policy_tree(apply("rotate", 1.0))
    preflight(study(replace(TASK, data=data), Strategy(policy=lambda: Fixed(tree), space={})))
    assert torch.equal(images, before)


@pytest.mark.filterwarnings("ignore:.*cannot move a logit")
def test_a_learner_is_tried_at_both_ends_of_its_schedule() -> None:
    strategy = online_score()._replace(space={"learner.warmup": IntDistribution(0, 30)})
    with pytest.raises(ValueError, match=r"warmup=30 epochs of Task.epochs=2.*\(tried: learner.warmup=30\)"):
        preflight(study(replace(TASK, epochs=2), strategy))
