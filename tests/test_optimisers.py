"""What moves the weights: optimisers of torch by name or by a function, their groups, and what surrounds a step."""

import math
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from studies_for_tests import tiny
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from autoaug import Budget, Study
from autoaug.artifacts import Folder
from autoaug.checkpoint import Checkpoint
from autoaug.data import Source, Split
from autoaug.mixing import MIXES
from autoaug.policy import Fixed, ready
from autoaug.record import Record
from autoaug.strategies import Strategy, madao, none, stn, truncated
from autoaug.study import preflight
from autoaug.study._knobs import BY_DESIGN, knobs
from autoaug.train import (
    OPTIMISERS,
    Task,
    TrainingRun,
    batches,
    evaluate,
    learning_rate,
    rate_caution,
    train,
    train_step,
)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def noise(root: Any) -> Source:
    rng = seeded()
    train, val = (Split(torch.rand(n, 1, 8, 8, generator=rng), torch.arange(n) % 3) for n in (40, 30))
    return Source(train=train, val=val, test=val, classes=("a", "b", "c"))


class Small(nn.Module):
    """A network with a layer of each kind that `decay_norms` asks for, smooth, without dropout."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4)
        self.group, self.act = nn.GroupNorm(2, 4), nn.GELU()
        self.flat = nn.Flatten()
        self.scale = nn.LayerNorm(4 * 36)
        self.last = nn.Linear(4 * 36, classes)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.last(self.scale(self.flat(self.act(self.group(self.norm(self.conv(images)))))))
        return logits


TASK = Task(data=noise, model=Small, epochs=2, refine_epochs=1, batch_size=10, lr=0.1, standard="none", device="cpu")
"""Four steps in each of three epochs."""


def made(build: Callable[[], nn.Module]) -> Any:
    """A layer with random weights, without a draw from the global generator."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build()


def network() -> Small:
    model: Small = made(lambda: Small(3, 1))
    return model


def run_of(task: Task) -> TrainingRun:
    return TrainingRun(task, Fixed(ready.none()), MIXES["none"](), None, seeded(), task.load())


def steps(run: TrainingRun, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Take steps of the library's; yield after each the images and targets that it saw."""
    run.epoch = 1
    run.model.train()
    for _, rows in zip(range(count), batches(run), strict=False):
        images, targets = run.data.train.taken(rows)
        train_step(run, images, targets)
        yield images, targets


def followed(task: Task, by: Callable[[nn.Module, torch.optim.Optimizer], Any] = lambda model, optimiser: None) -> None:
    """Assert that the library's steps are those of a loop of torch's own. `by` is called before its optimiser steps."""
    run, own = run_of(task), run_of(task)
    optimiser = own.optimiser
    for k, (images, targets) in enumerate(steps(run, 4)):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(task, k, run.steps_per_epoch) * group["lr_scale"]
        own.model.train()
        optimiser.zero_grad()
        F.cross_entropy(own.logits(images), targets).backward()
        by(own.model, optimiser)
        optimiser.step()
    torch.testing.assert_close(run.model.state_dict(), own.model.state_dict(), rtol=0, atol=0)


# By name


MADE: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": partial(torch.optim.SGD, lr=0.02, momentum=0.8, nesterov=True, weight_decay=0.01),
    "adam": partial(torch.optim.Adam, lr=0.02, weight_decay=0.01),
    "adamw": partial(torch.optim.AdamW, lr=0.02, weight_decay=0.01),
    "rmsprop": partial(torch.optim.RMSprop, lr=0.02, momentum=0.8, weight_decay=0.01),
    "nadam": partial(torch.optim.NAdam, lr=0.02, weight_decay=0.01),
    "radam": partial(torch.optim.RAdam, lr=0.02, weight_decay=0.01),
}
"""What each row is, written out."""


def test_every_row_is_written_out() -> None:
    assert set(OPTIMISERS) == set(MADE)


@pytest.mark.parametrize("name", MADE)
def test_a_row_makes_the_optimiser_of_torch_with_the_fields_of_the_task(name: str) -> None:
    task, model = replace(TASK, optimiser=name, lr=0.02, momentum=0.8, weight_decay=0.01), network()
    found, wanted = task.build_optimiser(model), MADE[name](model.parameters())
    assert type(found) is type(wanted)
    assert [dict(group, lr_scale=1.0) for group in wanted.param_groups] == found.param_groups
    followed(task)


def test_sgd_without_momentum_has_no_nesterov() -> None:
    [group] = replace(TASK, momentum=0.0).build_optimiser().param_groups
    assert (group["momentum"], group["nesterov"]) == (0.0, False)


@pytest.mark.parametrize(
    ("name", "unread"),
    [("adamw", ["momentum", "nesterov"]), ("rmsprop", ["nesterov"]), ("sgd", [])],
)
def test_a_dimension_that_the_optimiser_does_not_read_is_named(name: str, unread: list[str]) -> None:
    space: dict[str, BaseDistribution] = {
        "task.momentum": FloatDistribution(0.5, 0.9),
        "task.nesterov": CategoricalDistribution([True, False]),
    }
    study = tiny(strategies={"x": none()}, space=space, task=replace(TASK, optimiser=name))
    assert [knob.dimension for knob in knobs(study) if knob.effect is False] == [f"task.{field}" for field in unread]


def test_a_point_holds_what_its_optimiser_reads() -> None:
    space: dict[str, BaseDistribution] = {
        "task.nesterov": CategoricalDistribution([True, False]),
        "task.momentum": FloatDistribution(0.0, 0.9),
        "task.optimiser": CategoricalDistribution(["sgd", "adamw", "rmsprop"]),
        "task.decay_norms": CategoricalDistribution([True, False]),
        "task.weight_decay": FloatDistribution(0.0, 0.1),
    }
    study = tiny(strategies={"x": none()}, space=space, task=replace(TASK, lr=0.01))
    order = list(study.space_of("x"))
    assert order.index("task.optimiser") < order.index("task.momentum") < order.index("task.nesterov")
    point = {"task.momentum": 0.9, "task.nesterov": True, "task.decay_norms": False, "task.weight_decay": 0.1}
    for name, taken in (("sgd", 5), ("rmsprop", 4), ("adamw", 3)):
        assert len(study.point_of("x", {**point, "task.optimiser": name})) == taken
    assert "task.decay_norms" not in study.point_of("x", {**point, "task.weight_decay": 0.0})
    preflight(study)


# By a function


def adamw(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=3e-3, betas=(0.8, 0.95))


def test_a_function_brings_the_peak_that_the_schedule_scales() -> None:
    task = replace(TASK, optimiser=adamw, lr=5.0)
    assert task.lr == 3e-3
    assert replace(task, lr=7.0).lr == 3e-3
    assert task.refining_lr == pytest.approx(3e-4)
    assert task.describe()["optimiser"] == "adamw"
    assert task.build_optimiser(network()).param_groups[0]["betas"] == (0.8, 0.95)
    followed(task)


def two_rates(parameters: Any) -> torch.optim.Optimizer:
    [group] = parameters
    first, *rest = group["params"]
    return torch.optim.SGD([{"params": [first], "lr": 0.02}, {"params": rest}], lr=0.2)


def test_groups_of_a_function_keep_their_ratio() -> None:
    task = replace(TASK, optimiser=two_rates)
    assert task.lr == 0.2
    run = run_of(task)
    list(steps(run, 3))
    assert [group["lr_scale"] for group in run.optimiser.param_groups] == pytest.approx([0.1, 1.0])
    at = learning_rate(task, 2, run.steps_per_epoch)
    assert [group["lr"] for group in run.optimiser.param_groups] == pytest.approx([0.1 * at, at])
    followed(task)


@pytest.mark.parametrize(
    ("optimiser", "message"),
    [
        (3, r"^Task.optimiser is 3: give the name of an optimiser, or a function of groups of parameters"),
        ("adamm", r"unknown optimiser 'adamm': did you mean 'adam'"),
        (lambda: 1, r"^Task.optimiser makes no optimiser: TypeError: .*takes 0 positional arguments"),
        (lambda parameters: 3, r"^Task.optimiser makes no optimiser: TypeError: it gives 3, which is no torch.optim"),
        (partial(torch.optim.SGD, lr=0.0), r"^Task.optimiser makes an optimiser with the learning rate 0: give one"),
        (partial(torch.optim.SGD, lr=0.1, momentum=-1), r"^Task.optimiser makes no optimiser: ValueError: Invalid mom"),
    ],
)
def test_what_is_no_optimiser_is_refused_when_the_task_is_made(optimiser: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TASK, optimiser=optimiser)


def test_a_learning_rate_beside_a_function_is_named() -> None:
    space: dict[str, BaseDistribution] = {"task.lr": FloatDistribution(0.1, 0.2)}
    study = tiny(strategies={"x": none()}, space=space, task=replace(TASK, optimiser=adamw))
    [knob] = knobs(study)
    assert f"{knob}" == "task.lr has no effect: the function in Task.optimiser takes no lr"


# Weight decay


def test_biases_and_norms_are_spared_the_weight_decay() -> None:
    model = network()
    decayed, spared = replace(TASK, decay_norms=False).build_optimiser(model).param_groups
    named = {id(parameter): name for name, parameter in model.named_parameters()}
    assert [named[id(each)] for each in decayed["params"]] == ["conv.weight", "last.weight"]
    assert {named[id(each)] for each in spared["params"]} == {
        *("conv.bias", "last.bias", "norm.weight", "norm.bias"),
        *("group.weight", "group.bias", "scale.weight", "scale.bias"),
    }
    assert (decayed["weight_decay"], spared["weight_decay"]) == (TASK.weight_decay, 0.0)
    assert decayed["momentum"] == spared["momentum"] == TASK.momentum


def test_attention_has_biases_under_other_names_and_a_network_of_norms_one_group() -> None:
    task = replace(TASK, decay_norms=False)
    decayed, spared = task.build_optimiser(made(lambda: nn.MultiheadAttention(4, 2))).param_groups
    assert [each.ndim for each in decayed["params"]] == [2, 2]
    assert [each.ndim for each in spared["params"]] == [1, 1]
    [only] = task.build_optimiser(nn.BatchNorm2d(3)).param_groups
    assert only["weight_decay"] == 0.0


@pytest.mark.parametrize("optimiser", ["sgd", "adamw", adamw])
def test_a_step_without_gradient_shows_what_decays(optimiser: Any) -> None:
    task = replace(TASK, optimiser=optimiser, decay_norms=False, weight_decay=0.1)
    run = run_of(task)
    before = {name: weight.detach().clone() for name, weight in run.model.named_parameters()}
    for weight in run.model.parameters():
        weight.grad = torch.zeros_like(weight)
    run.optimiser.step()
    shrunk = {name for name, weight in run.model.named_parameters() if not torch.equal(weight, before[name])}
    assert shrunk == {"conv.weight", "last.weight"}


def test_all_decay_unless_told_otherwise() -> None:
    model = network()
    [group] = TASK.build_optimiser(model).param_groups
    assert [id(each) for each in group["params"]] == [id(each) for each in model.parameters()]
    assert math.isclose(group["weight_decay"], 5e-4)


# The norm of the gradient


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
@pytest.mark.parametrize("most", [1e-3, 0.3, 1e6])
def test_a_gradient_is_clipped_over_all_weights_before_the_step(optimiser: str, most: float) -> None:
    task = replace(TASK, optimiser=optimiser, lr=0.01, clip_norm=most)
    followed(task, lambda model, made: nn.utils.clip_grad_norm_(model.parameters(), most))


def test_a_clipped_step_of_sgd_is_as_long_as_it_may_be() -> None:
    run = run_of(replace(TASK, clip_norm=0.01, momentum=0.0, weight_decay=0.0, warmup=0.0))
    before = torch.cat([weight.detach().reshape(-1) for weight in run.model.parameters()])
    list(steps(run, 1))
    after = torch.cat([weight.detach().reshape(-1) for weight in run.model.parameters()])
    assert (after - before).norm().item() == pytest.approx(0.01 * TASK.lr, rel=1e-3)


# The moving average


def test_the_average_is_that_of_weights_and_running_statistics_from_the_first_step_on() -> None:
    run, wanted = run_of(replace(TASK, ema=0.8)), dict[str, Tensor]()
    for k, _ in enumerate(steps(run, 4)):
        for name, value in run.model.state_dict().items():
            if value.is_floating_point():
                wanted[name] = value.clone() if k == 0 else 0.8 * wanted[name] + 0.2 * value
    found = run.evaluated.state_dict()
    assert {name for name in wanted if "running" in name} == {"norm.running_mean", "norm.running_var"}
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)
        assert not torch.equal(found[name], run.model.state_dict()[name])
    assert list(found) == list(run.model.state_dict())


def test_the_average_is_what_is_evaluated_and_training_does_not_see_it() -> None:
    plain, averaged = (run_of(replace(TASK, ema=ema)) for ema in (None, 0.9))
    list(zip(steps(plain, 4), steps(averaged, 4), strict=True))
    torch.testing.assert_close(plain.model.state_dict(), averaged.model.state_dict(), rtol=0, atol=0)
    assert plain.evaluated is plain.model
    split = averaged.data.val
    found = evaluate(averaged, split, "val")
    averaged.evaluated.eval()
    wanted = F.cross_entropy(averaged.evaluated(averaged.normalise(split.images)), split.targets).item()
    assert found["val_nll"] == pytest.approx(wanted, rel=1e-5)
    assert found["val_nll"] != evaluate(plain, split, "val")["val_nll"]
    assert averaged.model.training, "the network that is trained is left as it was"


def records(task: Task, seed: int = 0, **more: Any) -> Iterator[Record]:
    return train(task, Fixed(ready.randaugment()), MIXES["none"](), None, seeded(seed), test=True, **more)


@pytest.mark.parametrize(
    "changed",
    [
        {"ema": 0.9},
        {"ema": 0.9, "optimiser": "nadam", "lr": 0.01},
        {"optimiser": adamw, "clip_norm": 0.5, "decay_norms": False},
    ],
    ids=["average", "average, nadam", "function, clipped, groups"],
)
def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(changed: dict[str, Any], tmp_path: Path) -> None:
    task = replace(TASK, **changed)
    whole = list(records(task))
    interrupted = records(task, resume=Checkpoint(Folder(tmp_path), "1.pt", every_seconds=0))
    next(interrupted), next(interrupted)
    interrupted.close()
    rest = list(records(task, seed=9, resume=Checkpoint(Folder(tmp_path), "2.pt", earlier=["1.pt"])))
    assert [record.epoch for record in rest] == [2, 3]
    assert [record.metrics for record in rest] == [record.metrics for record in whole[1:]]


def test_what_surrounds_a_step_is_a_live_dimension_except_for_compiling() -> None:
    space: dict[str, BaseDistribution] = {
        "task.optimiser": CategoricalDistribution(list(OPTIMISERS)),
        "task.decay_norms": CategoricalDistribution([True, False]),
        "task.clip_norm": FloatDistribution(0.01, 1.0),
        "task.ema": FloatDistribution(0.9, 0.99),
        "task.compile": CategoricalDistribution([False, True]),
    }
    study = tiny(strategies={"x": none()}, space=space, task=TASK)
    found = {knob.dimension: (knob.effect, knob.why) for knob in knobs(study, seconds=600)}
    assert found.pop("task.compile") == (False, BY_DESIGN["task.compile"])
    assert found == {name: (True, "") for name in space if name != "task.compile"}


# Compiled


def eagerly(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """Compile a network as far as torch's graph of it goes, which takes no compiler of C."""
    compiled: Callable[[Tensor], Tensor] = COMPILE(network, backend="eager")
    return compiled


COMPILE = torch.compile


def test_training_steps_go_through_the_compiled_network_and_nothing_else_does(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, tuple[int, ...]]] = []

    def watched(network: nn.Module) -> Callable[[Tensor], Tensor]:
        def call(images: Tensor) -> Tensor:
            seen.append((network.training, tuple(images.shape)))
            logits: Tensor = network(images)
            return logits

        return call

    monkeypatch.setattr(torch, "compile", watched)
    plain, compiled = (
        [{**record.metrics} for record in records(replace(TASK, compile=on, micro_batch=5))] for on in (False, True)
    )
    assert seen == [(True, (5, 1, 8, 8))] * 24
    assert plain == compiled


@pytest.mark.filterwarnings("default")  # of torch's compiler about itself
@pytest.mark.parametrize("real", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_compiled_steps_are_those_of_the_plain_network(real: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not real:
        monkeypatch.setattr(torch, "compile", eagerly)
    elif shutil.which("c++") is None and shutil.which("g++") is None:
        pytest.skip("no compiler")
    with torch.random.fork_rng():
        plain, compiled = (run_of(replace(TASK, compile=on)) for on in (False, True))
        list(zip(steps(plain, 4), steps(compiled, 4), strict=True))
    assert list(plain.state_dict()["model"]) == list(compiled.state_dict()["model"])
    torch.testing.assert_close(compiled.model.state_dict(), plain.model.state_dict(), rtol=1e-4, atol=1e-5)


def test_a_machine_that_cannot_compile_is_found_before_a_study_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(network: nn.Module) -> Callable[[Tensor], Tensor]:
        def call(images: Tensor) -> Tensor:
            raise RuntimeError("no working C++ compiler")

        return call

    monkeypatch.setattr(torch, "compile", failing)
    study = tiny(strategies={"x": none()}, space={}, task=replace(TASK, compile=True))
    with pytest.raises(ValueError, match=r"Small fails in training .* compiled as Task.compile says: no working C\+\+"):
        preflight(study)
    preflight(replace(study, task=replace(study.task, compile=False)))


@pytest.mark.parametrize("strategy", [truncated(), madao()], ids=["truncated", "madao"])
def test_compiling_is_refused_where_a_step_is_differentiated_twice(strategy: Strategy) -> None:
    study = tiny(strategies={"x": strategy}, space={}, task=replace(TASK, compile=True, epochs=20))
    with pytest.raises(ValueError, match=r"Bilevel differentiates .* compiled network has no second derivative: leave"):
        preflight(study)


def test_compiling_is_refused_where_parts_of_a_minibatch_share_the_graph_of_a_policy() -> None:
    strategy = stn()
    policy = strategy.policy()
    assert strategy.within
    learner = strategy.within(policy)
    learner.check(replace(TASK, compile=True), 40, 30)
    with pytest.raises(ValueError, match=r"one part alone: leave out Task.compile or Task.micro_batch"):
        learner.check(replace(TASK, compile=True, micro_batch=5), 40, 30)


@pytest.mark.parametrize(
    ("optimiser", "lr", "said"),
    [
        ("sgd", 0.1, []),
        ("adamw", 0.001, []),
        (
            "adamw",
            0.1,
            ["Task.lr=0.1 is a learning rate of SGD: a step of 'adamw' moves each weight by about as much, and torch's "
             "default for it is 0.001"],
        ),
        (partial(torch.optim.Adam, lr=0.1), 0.1, []),
    ],
)  # fmt: skip
def test_a_learning_rate_of_sgd_is_warned_of_where_the_optimiser_is_another(
    optimiser: Any, lr: float, said: list[str]
) -> None:
    assert rate_caution(Task(data="digits", optimiser=optimiser, lr=lr)) == said


def test_it_is_said_once_before_a_study_runs() -> None:
    task = Task(data="digits-100", model="convnet", epochs=1, optimiser="adamw", device="cpu")
    study = Study(name="s", task=task, strategies={"a": none(), "b": none()}, budget=Budget(trials=1))
    with pytest.warns(UserWarning, match=r"Task.lr=0.1 is a learning rate of SGD") as caught:
        preflight(study)
    assert len(caught) == 1


def test_looking_ahead_through_a_part_is_refused_where_the_norm_of_the_whole_gradient_clips() -> None:
    strategy = truncated(part="head")
    asked = Task(data="digits-100", model="convnet", epochs=20, clip_norm=1.0)
    learner = strategy.within(strategy.policy())  # type: ignore[misc]
    with pytest.raises(ValueError, match=r"^Task.clip_norm=1 clips by the norm of the whole gradient, .*part='head'"):
        learner.check(asked, 100, 100)
    learner.check(replace(asked, clip_norm=None), 100, 100)
