"""Fine-tuning: a frozen backbone, a learning rate of its own, and hypergradients through a part of the network."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.distributions import CategoricalDistribution
from small_problems import Brightened, Noisy, Smooth, batch, network, seeded
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from autoaug import Budget, Study, Task
from autoaug.artifacts import Folder
from autoaug.checkpoint import Checkpoint
from autoaug.hypergrad import Hypergrad, exact, identity, neumann, running, unrolled
from autoaug.learners import Bilevel, Problem, Updates
from autoaug.learners import _diagnose as diagnose
from autoaug.learners._bilevel import with_optimiser_state
from autoaug.learners._estimators import pathwise
from autoaug.mixing import MIXES
from autoaug.models import build, save_weights
from autoaug.policy import Fixed, Warp, policy_tree, sequence
from autoaug.strategies import Space, madao, madao_cg, none, truncated
from autoaug.study import preflight
from autoaug.study._knobs import knobs
from autoaug.train import TrainingRun, train

TASK = Task(
    data="digits", model="resnet-8", epochs=3, refine_epochs=1, batch_size=200, lr=0.1, freeze_epochs=2, device="cpu"
)
IDLE = Fixed(policy_tree(sequence()))


def trained(task: Task, policy: Any = IDLE, learner: Any = None, **given: Any) -> tuple[list[Any], TrainingRun]:
    """The records of a training, and the training at its end."""
    kept: list[TrainingRun] = []
    records = list(train(task, policy, MIXES["none"](), learner, finished=kept.append, **given))
    return records, kept[0]


def states(task: Task) -> Iterator[dict[str, Tensor]]:
    """The state dict of the network before a training and after each of its epochs."""
    run = TrainingRun(task, IDLE, MIXES["none"](), None, seeded(), task.load())
    yield run.model.state_dict()
    for epochs in range(1, task.last_epoch + 1):
        short = replace(task, epochs=min(epochs, task.epochs), refine_epochs=max(0, epochs - task.epochs))
        yield trained(replace(short, schedule="constant"))[1].model.state_dict()


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_a_frozen_backbone_stays_as_it_was_bit_for_bit(optimiser: str) -> None:
    """Weights, running statistics and counts; neither decay nor momentum moves it, and the head learns."""
    task = replace(TASK, optimiser=optimiser, lr=0.1 if optimiser == "sgd" else 0.001)
    before, *after = states(task)
    head = {name for name in before if name.startswith("head.2.")}
    for epoch, state in enumerate(after, start=1):
        same = {name for name in before if torch.equal(before[name], state[name])}
        if epoch <= 2:
            assert same == before.keys() - head
        else:
            assert not same - {name for name in before if name.endswith("running_mean") and not before[name].any()}


def test_the_frozen_part_runs_as_in_evaluation_and_what_never_trained_stays_so() -> None:
    def model(classes: int) -> nn.Module:
        made = build("resnet-8", classes, 1, seeded())
        made.stem[0][0].weight.requires_grad_(False)
        return made

    run = TrainingRun(replace(TASK, model=model), IDLE, MIXES["none"](), None, seeded(), TASK.load())
    for epoch, frozen in ((1, True), (2, True), (3, False), (4, False)):
        run.epoch = epoch
        run.to_training()
        assert run.frozen is frozen
        training = {name for name, module in run.model.named_modules() if module.training}
        assert training == ({"head.2"} if frozen else {name for name, _ in run.model.named_modules()})
        moving = {name for name, parameter in run.model.named_parameters() if parameter.requires_grad}
        assert "stem.0.0.weight" not in moving
        assert (moving == {"head.2.weight", "head.2.bias"}) is frozen


def test_a_training_goes_on_within_its_frozen_epochs(tmp_path: Path) -> None:
    """Cut off after the first frozen epoch: what follows is bit for bit that of the training that was not."""
    whole, end = trained(TASK)
    place = Folder(tmp_path)
    steps = train(TASK, IDLE, MIXES["none"](), resume=Checkpoint(place, "a", every_seconds=0.0))
    next(steps)
    next(steps)  # the state after the first epoch is written by now
    steps.close()
    rest, again = trained(TASK, resume=Checkpoint(place, "b", earlier=["a"], every_seconds=0.0))
    assert [record.metrics for record in rest] == [record.metrics for record in whole[4 - len(rest) :]]
    assert 0 < len(rest) < 4
    for one, two in zip(end.model.state_dict().values(), again.model.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_the_backbone_has_its_own_learning_rate() -> None:
    """One step of plain SGD: the backbone moves a tenth as far as in a step with the same rate for all."""
    plain = replace(TASK, freeze_epochs=0, momentum=0.0, nesterov=False, weight_decay=0.0, epochs=1, refine_epochs=0)
    plain = replace(plain, batch_size=100_000, schedule="constant", warmup=0)
    start = TrainingRun(plain, IDLE, MIXES["none"](), None, seeded(), plain.load()).model.state_dict()
    moved = [trained(task)[1].model for task in (plain, replace(plain, backbone_lr=0.1))]
    for name, _ in moved[0].named_parameters():
        full, less = (model.state_dict()[name] - start[name] for model in moved)
        scale = 1.0 if name.startswith("head.2.") else 0.1
        torch.testing.assert_close(less, scale * full, rtol=1e-3, atol=1e-6)


def test_the_rate_keeps_its_ratio_along_the_schedule() -> None:
    run = TrainingRun(replace(TASK, backbone_lr=0.25), IDLE, MIXES["none"](), None, seeded(), TASK.load())
    backbone, head = run.optimiser.param_groups
    assert (backbone["lr_scale"], head["lr_scale"]) == (0.25, 1.0)
    assert [tuple(each.shape) for each in head["params"]] == [(10, 64), (10,)]
    assert len(backbone["params"]) + 2 == len(list(run.model.parameters()))
    both = TrainingRun(
        replace(TASK, backbone_lr=0.25, decay_norms=False), IDLE, MIXES["none"](), None, seeded(), TASK.load()
    )
    assert [group["lr_scale"] for group in both.optimiser.param_groups] == [0.25, 1.0, 0.25, 1.0]


def test_dimensions_of_fine_tuning_are_live_and_the_rate_only_where_the_backbone_trains(tmp_path: Path) -> None:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    path = str(tmp_path / "w.safetensors")
    save_weights(build("convnet", 10, 1, seeded()), path)
    space = {
        "task.weights": CategoricalDistribution([None, path]),
        "task.freeze_epochs": IntDistribution(0, 1),
        "task.backbone_lr": FloatDistribution(0.01, 1.0, log=True),
    }
    task = replace(TASK, model="convnet", epochs=2, refine_epochs=0, freeze_epochs=0)
    study = Study(name="s", task=task, strategies={"none": none()}, budget=Budget(trials=1), space=space)
    assert all(knob.effect for knob in knobs(study))
    assert not study.uses("none", "task.backbone_lr", {"task.freeze_epochs": 2})
    assert study.uses("none", "task.backbone_lr", {"task.freeze_epochs": 1})
    preflight(study)


# Hypergradients through a part


class Halves(nn.Module):
    """A network whose backbone and head may take turns at being constant."""

    def __init__(self, whole: nn.Module, trained: str) -> None:
        super().__init__()
        self.whole = whole
        for name, parameter in whole.named_parameters():
            parameter.requires_grad_(name.startswith(trained))

    def forward(self, images: Tensor) -> Tensor:
        return self.whole(images)


def posed(part: Any, model: nn.Module) -> Problem:
    double = torch.float64
    given = Brightened(2).double(), model.double(), batch(4, 1, double), batch(20, 2, double), seeded(3)
    return Problem(*given, part=part)


@pytest.mark.parametrize("hypergrad", [identity(), neumann(4, 0.1), exact(damping=0.5), unrolled(2, 0.3, momentum=0.9)])
def test_the_hypergradient_of_the_head_is_that_with_the_rest_fixed(hypergrad: Hypergrad) -> None:
    """Against a network in which everything else is no weight at all."""
    through = pathwise(hypergrad, posed("head", network()))
    expected = pathwise(hypergrad, posed("all", Halves(network(), "last")))
    whole = pathwise(hypergrad, posed("all", network()))
    torch.testing.assert_close(through["factor"], expected["factor"], rtol=1e-10, atol=1e-14)
    assert not torch.allclose(through["factor"], whole["factor"], rtol=0.01)


def test_the_hypergradient_through_the_head_is_the_slope_of_training_the_head() -> None:
    """Unrolled steps against central differences of the validation loss after real steps of the head alone."""
    hypergrad, lr, steps = unrolled(3, 0.5), 0.5, 3

    def after(factor: Tensor) -> float:
        problem = posed("head", network())
        weights = {name: weight.detach().clone() for name, weight in problem.weights.items()}
        assert set(weights) == {"last.weight", "last.bias"}
        for _ in range(steps):
            leaves = {name: weight.requires_grad_() for name, weight in weights.items()}
            images = functional_call(problem.policy, {"factor": factor}, (problem.train.images, problem.repeat()))
            loss = F.cross_entropy(problem.predict(leaves, images), problem.train.targets)
            grads = torch.autograd.grad(loss, list(leaves.values()))
            moved = zip(weights.items(), grads, strict=True)
            weights = {name: (weight - lr * grad).detach() for (name, weight), grad in moved}
        return float(problem.val_loss(weights, None))

    found = pathwise(hypergrad, posed("head", network()))["factor"]
    at, far = torch.ones(2, dtype=torch.float64), 1e-5
    for k in range(2):
        way = far * torch.eye(2, dtype=torch.float64)[k]
        slope = (after(at + way) - after(at - way)) / (2 * far)
        assert float(found[k]) == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("part", ["head", "last-block"])
def test_an_unrolled_part_takes_momentum_and_rate_of_its_own_weights(part: Any) -> None:
    model = network(Noisy)
    parameters = dict(model.named_parameters())
    groups = [{"params": list(parameters.values())[:3]}, {"params": list(parameters.values())[3:], "lr": 0.5}]
    optimiser = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    for k, parameter in enumerate(parameters.values()):
        optimiser.state[parameter]["momentum_buffer"] = torch.full_like(parameter, float(k))
    problem = Problem(Brightened(), model, batch(4, 1), batch(4, 2), seeded(), part=part)
    found: Any = with_optimiser_state(unrolled(1, 0.1), problem.weights, optimiser)
    places = [list(parameters).index(name) for name in problem.weights]
    assert len(places) == {"head": 2, "last-block": 6}[part]
    assert [float(each.buffers[0].flatten()[0]) for each in found.start] == places
    assert [rule.lr for rule in found.rule] == [0.1 if place < 3 else 0.5 for place in places]


@pytest.mark.parametrize("part", ["head", "last-block", "all"])
def test_the_step_itself_keeps_all_its_gradients(part: Any) -> None:
    """With `reuse_graph` the gradients of training are whole, whatever part the policy's goes through."""
    from autoaug.hypergrad import TwiceDifferentiable

    policy, model = Warp("translation", "range"), network()
    images, targets = batch(20, 1)
    updates = Updates(estimator="pathwise", reuse_graph=True, part=part)
    learner = Bilevel(policy, unrolled(1, 0.1), updates)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    with TwiceDifferentiable():
        loss = F.cross_entropy(model(policy(images, seeded(5))), targets)
        expected = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
        problem = Problem(policy, model, batch(20, 1), batch(20, 2), seeded(), part=part)
        learner.fused_backward(loss, problem, optimiser)
    for parameter, grad in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, grad)
    assert learner.counts["updates"] == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: madao(part="head"),
        lambda: madao_cg(part="last-block"),
        lambda: truncated(every=2, part="head"),
        lambda: truncated(every=2, part="last-block", reuse_graph=True),
    ],
)
def test_strategies_take_a_part(make: Any) -> None:
    strategy = make()
    learner = strategy.within(strategy.policy())
    part = learner.updates.part
    assert part in ("head", "last-block")
    task = replace(TASK, model="convnet", epochs=2, freeze_epochs=1)
    records, _ = trained(task, learner.policy, learner)
    assert learner.updates.part == part
    assert records[-1].metrics["hyper_updates"] >= 2


def test_what_a_running_inverse_keeps_begins_anew_when_the_backbone_is_freed() -> None:
    policy = madao().policy()
    learner = Bilevel(policy, running(0.1), Updates(estimator="pathwise", every=2, hyper_batch=20, val_batch=20))
    task = replace(TASK, model="convnet", refine_epochs=0)
    records, _ = trained(task, policy, learner)
    assert records[-1].metrics["hyper_updates"] > records[1].metrics["hyper_updates"] > 0
    assert len(learner.hypergrad.inverse) == len(learner.through or []) == 14
    fresh = Bilevel(madao().policy(), running(0.1), learner.updates)
    fresh.load_state_dict(learner.state_dict())
    assert fresh.through == learner.through


@pytest.mark.parametrize("frozen", [False, True])
def test_the_diagnosis_trains_all_that_trains(frozen: bool) -> None:
    """The finite differences are of training as it is: they do not depend on the part that a hypergradient sees."""
    found = []
    for part in ("all", "head"):
        model, policy = network(Smooth), Brightened()
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
        F.cross_entropy(model(batch(20, 1).images), batch(20, 1).targets).backward()
        optimiser.step()
        model.first.requires_grad_(not frozen)
        problem = Problem(policy, model, batch(20, 1), batch(20, 2), seeded(), part=part)  # type: ignore[arg-type]
        found.append(diagnose.objective(problem.hyper, problem, optimiser, steps=3))
        before = network(Smooth).first.weight
        assert not torch.equal(before, model.first.weight)
    assert found[0] == found[1]


def test_a_part_that_does_not_train_is_refused() -> None:
    model = network()
    model.last.requires_grad_(False)
    with pytest.raises(ValueError, match="nothing that trains is in part='head' of Smooth: give 'all'"):
        Problem(Brightened(), model, batch(4, 1), batch(4, 2), seeded(), part="head")
    with pytest.raises(ValueError, match=r"Updates.part is 'tail': give 'all', 'head' or 'last-block'"):
        Updates(part="tail")  # type: ignore[arg-type]


def test_weights_among_which_a_study_chooses_have_whole_paths(tmp_path: Path) -> None:
    def choosing(*choices: str | None) -> Study:
        space: Space = {"task.weights": CategoricalDistribution(choices)}
        task = Task(data="digits-100", model="convnet", epochs=1)
        return Study(name="s", task=task, space=space, strategies={"none": none()}, budget=Budget(trials=1))

    whole = str(tmp_path / "a.safetensors")
    assert choosing(None, whole).space["task.weights"] == CategoricalDistribution((None, whole))
    message = (
        r"^dimension 'task.weights' in study 's' has the choice 'b/a.pt', which is another file .*: give the whole "
    )
    with pytest.raises(ValueError, match=message + re.escape(f"path, {str(Path('b/a.pt').absolute())!r}") + "$"):
        choosing(None, "b/a.pt")
