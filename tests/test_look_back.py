"""The derivative through the training step itself, by the graph that it has anyway, against a look-ahead of its own."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from small_problems import TASK, Brightened, Noisy, batch, network, seeded
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from autoaug.artifacts import Folder
from autoaug.checkpoint import Checkpoint
from autoaug.hypergrad import TwiceDifferentiable, identity, unrolled
from autoaug.learners import Batch, Bilevel, Problem, Updates
from autoaug.learners._bilevel import with_optimiser_state
from autoaug.learners._estimators import pathwise
from autoaug.mixing import MIXES
from autoaug.policy import Relaxed, Warp
from autoaug.record import Record
from autoaug.strategies import truncated
from autoaug.train import MinibatchLoss, Task, TrainingRun, train

ON = Updates(estimator="pathwise", every=1, val_batch=100, reuse_graph=True)
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "all": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "adamw": {"kind": torch.optim.AdamW, "eps": 1e-3, "weight_decay": 0.1},
}


class Still(Warp):
    """A warp that draws the same for every step."""

    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        return super().forward(images, seeded(7))


def normalised() -> nn.Module:
    layers = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.AvgPool2d(3), nn.Flatten(), nn.Linear(16, 10)
    return nn.Sequential(*layers).double()


def posed(settings: dict[str, Any], warm: int, clip: float | None = None) -> tuple[Problem, torch.optim.Optimizer]:
    """A problem in float64 whose network was trained for some steps, so that there are momentum buffers."""
    double = torch.float64
    model = network(normalised)
    given = {"kind": torch.optim.SGD, **settings}
    optimiser = given.pop("kind")(model.parameters(), lr=0.3, **given)
    for k in range(warm):
        images, targets = batch(20, 10 + k, double)
        optimiser.zero_grad()
        F.cross_entropy(model(images), targets).backward()
        optimiser.step()
    policy = Still("affine", "mlp").double()
    given = batch(20, 1, double), batch(30, 2, double)
    return Problem(policy, model, *given, seeded(), clip_norm=clip), optimiser


def found_by(learner: Bilevel, call: Callable[[], None]) -> dict[str, Tensor]:
    """The hypergradient that a call would have moved the policy along."""
    seen: list[dict[str, Tensor]] = []
    learner.move = seen.append  # type: ignore[method-assign, assignment]
    call()
    return seen[0]


@pytest.mark.parametrize("cheap", [False, True])
@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.parametrize("warm", [0, 3])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_it_equals_the_look_ahead_from_the_same_weights_on_the_same_batch(
    settings: dict[str, Any], warm: int, clip: float | None, cheap: bool
) -> None:
    problem, optimiser = posed(settings, warm, clip)
    ahead = with_optimiser_state(unrolled(1, lr=99.0), problem.weights, optimiser, clip)
    wanted = pathwise(ahead, problem)
    learner = Bilevel(problem.policy, unrolled(1, lr=99.0), ON)

    def step() -> None:
        with TwiceDifferentiable() if cheap else torch.enable_grad():
            images = problem.policy(problem.train.images, problem.rng)
            loss = F.cross_entropy(problem.model(images), problem.train.targets)
            learner.fused_backward(loss, problem, optimiser)

    found = found_by(learner, step)
    for name, slope in wanted.items():
        assert slope.abs().max() > 1e-5
        assert (found[name] - slope).norm() < 1e-10 * slope.norm()


def test_the_model_gets_the_gradients_that_it_gets_otherwise() -> None:
    problem, optimiser = posed(SETTINGS["all"], 2)
    unused = nn.Parameter(torch.ones(2, dtype=torch.float64))
    problem.model.register_parameter("unused", unused)
    optimiser = torch.optim.SGD(problem.model.parameters(), lr=0.1)
    twin, images = deepcopy(problem.model), problem.policy(problem.train.images, problem.rng)
    F.cross_entropy(twin(images.detach()), problem.train.targets).backward()
    before = deepcopy(list(problem.model.parameters()))
    Bilevel(problem.policy, unrolled(1, lr=0.0), ON).fused_backward(
        F.cross_entropy(problem.model(images), problem.train.targets), problem, optimiser
    )
    for one, two, old in zip(problem.model.parameters(), twin.parameters(), before, strict=True):
        assert torch.equal(one, old), "the step itself is the optimiser's"
        assert (one.grad is None) == (two.grad is None) == (one is unused)
        assert one.grad is None or two.grad is None or torch.allclose(one.grad, two.grad, rtol=1e-12, atol=1e-14)
        assert one.grad is None or one.grad.grad_fn is None
    assert torch.equal(problem.model[1].running_mean, twin[1].running_mean)  # type: ignore[index]
    assert all(parameter.grad is None for parameter in problem.policy.parameters())


def records(updates: Updates | None, task: Task = TASK, **more: Any) -> list[Record]:
    policy = Warp("affine", "range")
    learner = Bilevel(policy, unrolled(1, lr=0.0), updates) if updates else None
    return list(train(task, policy, MIXES["mixup"](), learner, seeded(), **more))


@pytest.mark.parametrize("micro_batch", [None, 20])
def test_the_network_trains_the_same_until_the_policy_first_moves(micro_batch: int | None) -> None:
    task = replace(TASK, model=lambda classes, channels: Noisy(), micro_batch=micro_batch, refine_epochs=1)
    still = replace(ON, optimiser=partial(torch.optim.SGD, lr=0.0))
    plain, wants_graph = (records(updates, task) for updates in (None, still))
    for one, two in zip(plain, wants_graph, strict=True):
        assert two.metrics["train_loss"] == pytest.approx(one.metrics["train_loss"], rel=1e-4)  # up to rounding
        assert two.metrics["val_nll"] == pytest.approx(one.metrics["val_nll"], rel=1e-3)
    assert wants_graph[-1].metrics["hyper_updates"] == 24
    assert wants_graph[0].metrics["hypergradient_norm"] > 0


def test_only_steps_that_are_due_are_differentiated_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = Warp("affine", "range")
    learner = Bilevel(policy, unrolled(1, lr=0.0), replace(ON, every=5, warmup=1))
    steps: list[tuple[int, int, tuple[int, ...]]] = []
    plain = learner.backward

    def backward(run: TrainingRun, loss: MinibatchLoss, images: Tensor, targets: Tensor) -> Tensor:
        if learner.wants_graph(run):
            steps.append((run.epoch, run.step + 1, tuple(images.shape)))
        return plain(run, loss, images, targets)

    monkeypatch.setattr(learner, "backward", backward)
    last = list(train(replace(TASK, refine_epochs=1), policy, MIXES["none"](), learner, seeded()))[-1]
    assert steps == [(2, 10, (50, 1, 8, 8)), (2, 15, (50, 1, 8, 8)), (3, 20, (50, 1, 8, 8))]
    assert last.metrics["hyper_updates"] == learner.expected_updates(TASK, 400) == 3


def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(tmp_path: Path) -> None:
    strategy = truncated(every=2, reuse_graph=True)
    task = replace(TASK, model=lambda classes, channels: Noisy())

    def run(seed: int, **more: Any) -> Any:
        policy = strategy.policy()
        assert strategy.within
        return train(task, policy, MIXES["none"](), strategy.within(policy), seeded(seed), **more)

    whole = list(run(0))
    interrupted = run(0, resume=Checkpoint(Folder(tmp_path), "1.pt", every_seconds=0))
    list(islice(interrupted, 2))
    interrupted.close()
    rest = list(run(9, resume=Checkpoint(Folder(tmp_path), "2.pt", earlier=["1.pt"])))
    for one, two in zip(rest, whole[-len(rest) :], strict=True):
        assert one.policy == two.policy
        assert {**one.metrics, "hyper_seconds": 0} == {**two.metrics, "hyper_seconds": 0}
    assert len(rest) == 2
    assert whole[0].policy != whole[1].policy


def test_diagnosis_goes_with_it_and_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoaug.learners._diagnose.DIRECTIONS", 2)
    plain, looked = (records(replace(ON, diagnose=n), replace(TASK, epochs=1))[0] for n in (0, 4))
    assert -1 <= looked.metrics["hypergradient_cosine"] <= 1
    assert plain.policy == looked.policy


@pytest.mark.parametrize(
    ("hypergrad", "changed", "message"),
    [
        (unrolled(2, 0.1), {}, r"reuse_graph needs unrolled\(1, lr\).*steps=2"),
        (identity(), {}, r"reuse_graph needs unrolled\(1, lr\).*Identity"),
        (unrolled(1, 0.1), {"estimator": "score"}, r"reuse_graph needs estimator='pathwise', not 'score'"),
    ],
)
def test_what_has_no_graph_to_reuse_is_refused(hypergrad: Any, changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Bilevel(Relaxed(), hypergrad, replace(ON, **changed))


def test_a_module_that_works_in_place_is_named() -> None:
    class Doubling(nn.Module):
        inplace = True

        def forward(self, x: Tensor) -> Tensor:
            y = x.exp()
            y *= 2
            return y

    model = network(lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 8), Doubling(), nn.Linear(8, 10)))
    policy, given = Brightened(), batch(8, 1)
    learner = Bilevel(policy, unrolled(1, 0.1), ON)
    problem = Problem(policy, model, given, Batch(*batch(8, 2)), seeded())
    loss = F.cross_entropy(model(policy(given.images, seeded())), given.targets)
    with pytest.raises(RuntimeError, match=r"Sequential has no second derivative: 2\. no hypergradient"):
        learner.fused_backward(loss, problem, torch.optim.SGD(model.parameters(), 0.1))
