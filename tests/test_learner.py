"""The protocol of learners: all that the library asks of one, asked in the order of the documentation."""

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from torch import Generator, Tensor, nn

from autoaug import Budget, Study, Task
from autoaug.artifacts import Folder
from autoaug.checkpoint import Checkpoint
from autoaug.execution import Options
from autoaug.executors import run
from autoaug.mixing import MIXES
from autoaug.policy import Fixed, SpatialTransformer, Warp, ready
from autoaug.record import TrialKind
from autoaug.store import Store
from autoaug.strategies import Strategy, none, stn, truncated
from autoaug.study import knobs, plan, predict, preflight, set_up
from autoaug.train import OPTIMISERS, Learner, Lesson, MinibatchLoss, NullLearner, TrainingRun, train, train_step

TASK = Task(data="digits-rotated", model="convnet", epochs=2, refine_epochs=1, batch_size=100, device="cpu")
RATE: dict[str, BaseDistribution] = {"learner.rate": FloatDistribution(0.5, 1.5)}

MEMBERS = {name for name in vars(Learner) if not name.startswith("_")}


class Minimal:
    """Has the members of the protocol and no others: to ask for any other is an error that no default hides."""

    def __init__(self, policy: Warp, rate: float = 1.0) -> None:
        self._policy, self._rate, self._steps, self._calls = policy, rate, 0, list[str]()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AssertionError(f"the protocol has no {name}")

    moves_policy = True

    def check(self, task: Task, train_images: int, val_images: int) -> None:
        self._calls.append("check")
        if self._rate > 1.4:
            raise ValueError(f"rate={self._rate} is too large for {train_images} and {val_images} images")

    def cautions(self, task: Task, train_images: int) -> Sequence[str]:
        return ["it only widens"] if task.epochs == 1 else []

    def expected_updates(self, task: Task, train_images: int) -> int:
        return task.epochs * max(1, train_images // task.batch_size)

    def rehearsal(self, task: Task, train_images: int, val_images: int, share: float) -> "Minimal":
        assert 0 <= share <= 1
        return self

    def wants_graph(self, run: TrainingRun) -> bool:
        self._calls.append("wants_graph")
        return False

    def backward(self, run: TrainingRun, loss: MinibatchLoss, images: Tensor, targets: Tensor) -> Tensor:
        self._calls.append("backward")
        assert images.shape[1:] == (1, 8, 8)
        assert targets.shape == images.shape[:1]
        return loss.backward()

    joins_loss = False

    def looks_at(self, epoch: int, step: int) -> bool:
        return False

    def learn(self, lesson: Lesson) -> None:
        self._calls.append("learn")

    def step(self, run: TrainingRun) -> None:
        self._calls.append("step")
        self._steps += 1
        self._policy.sampler.raw.data.add_(0.01 * self._rate)  # type: ignore[operator, union-attr]

    def metrics(self) -> dict[str, float]:
        self._calls.append("metrics")
        return {"steps": self._steps}

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._steps = state["steps"]


def study(strategy: Strategy | None = None, **task: Any) -> Study:
    arm = strategy or Strategy(policy=lambda: Warp("affine", "range"), space={}, within=Minimal)
    return Study(name="x", task=replace(TASK, **task), strategies={"arm": arm}, budget=Budget(trials=1), seeds=1)


def records(learner: Any, policy: Any, seed: int = 0, **more: Any) -> Iterator[Any]:
    return train(TASK, policy, MIXES["mixup"](), learner, Generator().manual_seed(seed), **more)


def test_the_minimal_learner_has_exactly_the_members_of_the_protocol() -> None:
    members = {name for name in vars(Minimal) if not name.startswith("_")}
    assert members == MEMBERS == {name for name in vars(NullLearner) if not name.startswith("_")}
    learner: Learner = Minimal(Warp())
    assert learner.moves_policy


def test_every_member_of_the_protocol_is_documented() -> None:
    for name in MEMBERS:
        assert inspect.getdoc(vars(Learner)[name]), name


def test_a_training_calls_them_in_the_order_of_the_documentation() -> None:
    policy = Warp("affine", "range")
    learner = Minimal(policy)
    found = list(records(learner, policy))
    augmented = [*["wants_graph", "backward", "step"] * 4, "metrics"]
    assert learner._calls == ["check", *augmented * 2, "metrics"], "refinement has no policy for it to move"
    assert [record.metrics["steps"] for record in found] == [4, 8, 8]
    assert all(record.policy is not None for record in found)
    assert found[0].policy != found[1].policy == found[2].policy


def test_its_state_goes_on_where_it_was(tmp_path: Path) -> None:
    def fresh(seed: int, **more: Any) -> Iterator[Any]:
        policy = Warp("affine", "range")
        return records(Minimal(policy), policy, seed, **more)

    whole = list(fresh(0))
    interrupted = fresh(0, resume=Checkpoint(Folder(tmp_path), "1.pt", every_seconds=0))
    list(islice(interrupted, 2))
    interrupted.close()
    rest = list(fresh(9, resume=Checkpoint(Folder(tmp_path), "2.pt", earlier=["1.pt"])))
    assert [(each.metrics, each.policy) for each in rest] == [(each.metrics, each.policy) for each in whole[1:]]


def test_it_is_preflighted_planned_predicted_and_proved() -> None:
    asked = study(study().strategies["arm"]._replace(space={"learner.rate": FloatDistribution(0.5, 1.0)}))
    preflight(asked)
    found = predict(asked, patience=0.0)
    assert found["arm"].full > 0
    assert found["arm"].deployed > 0
    assert plan(asked, found)[0].search_seconds
    assert [(knob.dimension, knob.effect) for knob in knobs(asked, seconds=1000.0)] == [("learner.rate", True)]


def test_it_runs_in_a_study_and_what_it_moved_is_trained_anew(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    run(study(), store, options=Options(artifacts=tmp_path / "artifacts"))
    assert {outcome.state for outcome in store.outcomes("x")} == {"COMPLETE"}
    trainings = {record.training for record in store.epochs("x") if record.kind is TrialKind.FINAL}
    assert trainings == {"", *study().deploy}


def test_a_caution_is_a_warning_of_the_preflight_and_of_nothing_else() -> None:
    with pytest.warns(UserWarning, match=r"^it only widens$") as shown:
        preflight(study(epochs=1))
    assert len(shown) == 1
    policy = Warp("affine", "range")
    list(train(replace(TASK, epochs=1), policy, MIXES["none"](), Minimal(policy)))


def test_what_its_check_refuses_is_refused_at_the_point_and_before_a_training() -> None:
    strategy = study().strategies["arm"]._replace(space=RATE)
    message = r"strategy 'arm' of study 'x': rate=1.5 is too large for 400 and 600 images \(tried: learner.rate=1.5\)"
    with pytest.raises(ValueError, match=message):
        preflight(study(strategy))
    policy = Warp("affine", "range")
    steps: list[None] = []
    with pytest.raises(ValueError, match=r"^rate=1.5 is too large"):
        list(records(Minimal(policy, 1.5), policy, pulse=lambda: steps.append(None)))
    assert steps == []


# What fails in the first step fails in the preflight


class Failing(NullLearner):
    """Fails where it is asked to."""

    moves_policy = True

    def __init__(self, policy: Any, where: str) -> None:
        self.where = where

    def wants_graph(self, run: TrainingRun) -> bool:
        self.fail("wants_graph", run)
        return self.where == "graph"

    def backward(self, run: TrainingRun, loss: MinibatchLoss, images: Tensor, targets: Tensor) -> Tensor:
        self.fail("backward", run)
        return loss.backward()

    def step(self, run: TrainingRun) -> None:
        self.fail("step", run)

    def fail(self, where: str, run: TrainingRun) -> None:
        assert run.model.training
        assert run.phase == "augment"
        if self.where == where:
            raise RuntimeError(f"not in {where}")


@pytest.mark.parametrize("where", ["wants_graph", "backward", "step"])
def test_a_learner_that_fails_in_its_first_step_is_refused(where: str) -> None:
    arm = Strategy(policy=lambda: Warp("affine", "range"), space={}, within=lambda policy: Failing(policy, where))
    message = rf"^strategy 'arm' of study 'x': convnet with Failing fails in training on two images .*: not in {where}$"
    with pytest.raises(ValueError, match=message):
        preflight(study(arm))


class OnceDifferentiable(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        return images.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        raise RuntimeError("no gradient of these images")


class Untrainable(SpatialTransformer):
    """A policy that transforms images, and of which there is no gradient."""

    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        return OnceDifferentiable.apply(super().forward(images, rng))  # type: ignore[no-any-return]


def test_a_policy_that_only_fails_in_the_backward_pass_is_refused() -> None:
    arm = stn(8)._replace(policy=lambda: Untrainable(8))
    with pytest.raises(ValueError, match=r"convnet with Joint fails in training .*: no gradient of these images"):
        preflight(study(arm))


class Refining(nn.Module):
    """Fails on images that no policy has darkened."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64 * channels, classes))

    def forward(self, images: Tensor) -> Tensor:
        if self.training and images.std() > 0.01:
            raise RuntimeError("too much contrast")
        return self.net(images)


class Grey(Fixed):
    """A policy that leaves nothing of an image."""

    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        return images * 0 + 0.5


def test_both_phases_are_rehearsed() -> None:
    arm = Strategy(policy=lambda: Grey(ready.none()), space={})
    preflight(study(arm, model=Refining, refine_epochs=0))
    with pytest.raises(ValueError, match=r"Refining fails in refining on two images of 1x8x8: too much contrast"):
        preflight(study(arm, model=Refining))


# An optimiser is one row


@pytest.fixture
def adam(monkeypatch: pytest.MonkeyPatch) -> Task:
    """A task with an optimiser that somebody has just added to the table."""
    monkeypatch.setitem(OPTIMISERS, "mine", lambda parameters, lr: torch.optim.Adam(parameters, lr=lr))
    return replace(TASK, optimiser="mine", lr=1e-3)


def test_a_new_row_trains_and_may_be_searched(adam: Task) -> None:
    training = TrainingRun(adam, Fixed(ready.none()), MIXES["none"](), None, Generator().manual_seed(0), adam.load())
    assert isinstance(training.optimiser, torch.optim.Adam)
    assert len(list(train(adam, Fixed(ready.none()), MIXES["none"]()))) == 3
    either = CategoricalDistribution(["sgd", "mine"])
    preflight(replace(study(none()), space={"task.optimiser": either}))


def test_an_unknown_optimiser_is_refused_with_near_names() -> None:
    with pytest.raises(ValueError, match="unknown optimiser 'sdg': did you mean 'sgd'"):
        replace(TASK, optimiser="sdg")
    with pytest.raises(ValueError, match=r"Task.optimiser is 3: give the name of an optimiser"):
        replace(TASK, optimiser=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("reuse_graph", [False, True])
def test_truncated_with_an_optimiser_that_it_cannot_follow_is_refused_before_anything_runs(
    reuse_graph: bool, adam: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Any] = []
    monkeypatch.setattr("autoaug.train._run.build", lambda *given: built.append(given))
    message = r"^strategy 'arm' of study 'x': an unrolled .* SGD or AdamW of torch.optim, not Adam: give Task"
    with pytest.raises(ValueError, match=message):
        preflight(replace(study(truncated(reuse_graph=reuse_graph)), task=adam))
    assert built == [], "no model was built for it"


# The null learner


def test_a_strategy_without_a_learner_has_the_null_learner() -> None:
    setup = set_up(study(none()), "arm", {})
    assert type(setup.learner) is NullLearner
    assert not setup.learner.moves_policy
    assert setup.learner.expected_updates(TASK, 400) == 0


def test_its_training_equals_one_without_any() -> None:
    without, null = (
        list(train(TASK, Fixed(ready.randaugment()), MIXES["mixup"](), learner, Generator().manual_seed(0)))
        for learner in (None, NullLearner())
    )
    assert [each.metrics for each in without] == [each.metrics for each in null]
    assert all(each.policy is None for each in null)


@pytest.mark.parametrize("wanted", [False, True])
def test_the_policy_has_a_graph_where_the_learner_wants_it(wanted: bool) -> None:
    class Watching(NullLearner):
        def wants_graph(self, run: TrainingRun) -> bool:
            return wanted

        def backward(self, run: TrainingRun, loss: MinibatchLoss, images: Tensor, targets: Tensor) -> Tensor:
            seen.append((loss.images.requires_grad, images.requires_grad))
            total = loss.with_graph()
            total.backward()
            return total.detach()

    seen: list[tuple[bool, bool]] = []
    policy = Warp("affine", "range")
    run = TrainingRun(TASK, policy, MIXES["none"](), Watching(), Generator().manual_seed(0), TASK.load())
    for run.epoch in (1, TASK.last_epoch):
        with torch.random.fork_rng([]):
            train_step(run, run.data.train.images[:8], run.data.train.targets[:8])
    assert seen == [(wanted, False)], "while refining it is not asked"
    assert (policy.sampler.raw.grad is not None) == wanted  # type: ignore[union-attr]


@pytest.mark.parametrize("micro_batch", [None, 3])
def test_the_loss_of_a_minibatch_is_the_same_by_parts_and_with_its_graph(micro_batch: int | None) -> None:
    """Two ways to the gradients of the mean loss of eight images."""
    task = replace(TASK, model=lambda classes, channels: linear(), micro_batch=micro_batch)
    run = TrainingRun(task, Fixed(ready.none()), MIXES["none"](), None, Generator().manual_seed(0), task.load())
    images, soft = torch.rand(8, 1, 8, 8, generator=Generator().manual_seed(0)), torch.eye(10)[:8]
    loss = MinibatchLoss(run, images, soft)
    value = loss.backward()
    grads = [weight.grad.clone() for weight in run.model.parameters() if weight.grad is not None]
    total = loss.with_graph()
    wanted = torch.nn.functional.cross_entropy(run.logits(images), soft)
    torch.testing.assert_close(value, wanted.detach())
    torch.testing.assert_close(total, wanted)
    torch.testing.assert_close(grads, list(torch.autograd.grad(total, list(run.model.parameters()))))


def linear() -> nn.Module:
    with torch.random.fork_rng([]):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
