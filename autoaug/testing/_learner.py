"""Laws of a learner, as the trainer calls it."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from autoaug.artifacts import Folder
from autoaug.checkpoint import Checkpoint
from autoaug.data import Source, Split
from autoaug.interruption import Interruption
from autoaug.mixing import MIXES
from autoaug.policy import Fixed, ready
from autoaug.record import Record
from autoaug.testing._lessons import WatchedInLoop, loop
from autoaug.train import (
    Learner,
    MinibatchLoss,
    NullLearner,
    Task,
    TrainingRun,
    batches,
    global_generators_guarded,
    train,
    train_step,
)
from autoaug.trial import Trial, records

MEASURED = "seconds"
"""What figures that end like this say depends on the machine."""


def stripes(root: Path) -> Source:
    """Return grey noise [N, 1, 8, 8] with a bright stripe, down or across: 40 images to train on, 30 to validate."""
    rng = Generator().manual_seed(0)

    def split(count: int) -> Split:
        images, targets = 0.6 * torch.rand(count, 1, 8, 8, generator=rng), torch.arange(count) % 2
        images[targets == 0, :, 3:5] += 0.3
        images[targets == 1, :, :, 3:5] += 0.3
        return Split(images, targets)

    return Source(train=split(40), val=split(30), test=split(30), classes=("across", "down"))


class Network(nn.Module):
    """Classify small images, with running statistics and dropout: a forward pass too many would be seen."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout())
        self.last = nn.Linear(4 * 36, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [B, K] of images [B, C, 8, 8]."""
        logits: Tensor = self.last(self.net(images))
        return logits


TASK = Task(
    data=stripes, model=Network, epochs=3, refine_epochs=1, batch_size=10, lr=0.1, standard="none", device="cpu"
)
"""Four steps in each of three augmented epochs and one epoch of refinement."""


def seeded(seed: int = 0) -> Generator:
    """Return a generator on the CPU."""
    return Generator().manual_seed(seed)


def unmeasured(record: Record) -> dict[str, float]:
    """Return the metrics of an epoch that the machine has no part in."""
    return {name: value for name, value in record.metrics.items() if not name.endswith(MEASURED)}


def same(one: Any, two: Any) -> bool:
    """Whether two states are equal to the last bit: tensors in lists and dictionaries, and plain values."""
    if isinstance(one, Tensor):
        return isinstance(two, Tensor) and torch.equal(one, two)
    if isinstance(one, dict):
        return set(one) == set(two) and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(two) and all(map(same, one, two))
    return bool(one == two or (one != one and two != two))


def parameters(policy: Any) -> dict[str, Tensor]:
    """Return a copy of the parameters of a policy, by name."""
    return {name: value.detach().clone() for name, value in policy.named_parameters()}


def take_steps(run: TrainingRun) -> int:
    """Take the training steps of an epoch, and return how many of them moved the policy."""
    moves = 0
    for rows in batches(run):
        before = parameters(run.policy)
        train_step(run, *run.data.train.taken(rows))
        moves += not same(parameters(run.policy), before)
    return moves


def outside(run: TrainingRun) -> dict[str, Any]:
    """Return all of a training that no learner may touch in its step."""
    streams = {f"stream {name}": each.get_state() for name, each in run.streams.items() if name != "learner"}
    data = {f"{name} images": getattr(run.data, name).images for name in ("train", "val")}
    return {
        "weights and buffers": run.model.state_dict(),
        "gradients": [each.grad for each in run.model.parameters()],
        "mode": run.model.training,
        "optimiser": run.optimiser.state_dict(),
        **streams,
        **data,
    }


def everything(run: TrainingRun) -> dict[str, Any]:
    """Return all of a training that no question may touch."""
    return {
        **outside(run),
        "policy": run.policy.state_dict(),
        "stream learner": run.streams["learner"].get_state(),
    }


class Watched(NullLearner):
    """Compare the training before and after each step of a learner."""

    def __init__(self, learner: Learner) -> None:
        self.learner, self.steps, self.touched = learner, 0, set[str]()

    def wants_graph(self, run: TrainingRun) -> bool:
        """Ask the learner, and note what the question changes."""
        before = copy.deepcopy(everything(run))
        wanted = self.learner.wants_graph(run)
        self.note(before, everything(run))
        return wanted

    def backward(self, run: TrainingRun, loss: MinibatchLoss, images: Tensor, targets: Tensor) -> Tensor:
        """Leave it to the learner."""
        return self.learner.backward(run, loss, images, targets)

    def step(self, run: TrainingRun) -> None:
        """Let the learner step, and note which parts of the training it changes."""
        before = copy.deepcopy(outside(run))
        self.learner.step(run)
        self.steps += 1
        self.note(before, outside(run))

    def note(self, before: dict[str, Any], after: dict[str, Any]) -> None:
        """Add the names of what differs."""
        self.touched |= {name for name, value in after.items() if not same(value, before[name])}


def requesting(interruption: Interruption, after: int) -> Callable[[], None]:
    """Return a pulse that asks a training to end when it is called for the n-th time."""
    pulses: list[None] = []

    def pulse() -> None:
        pulses.append(None)
        if len(pulses) == after:
            interruption.request()

    return pulse


class LearnerTestCase:
    """Test the laws of a learner. Override `policy` and `learner`."""

    def policy(self) -> Any:
        """Override: make the policy that is moved, anew."""
        raise NotImplementedError

    def learner(self, policy: Any) -> Learner:
        """Override: make the learner of a policy. It should move it within four steps of ten images."""
        raise NotImplementedError

    def task(self) -> Task:
        """Override where it needs another training than the tiny one of `TASK`, or cannot refine."""
        return TASK

    def in_loops(self) -> bool:
        """Override where it has no `learn`, and so moves the policy in autoaug's own trainer alone."""
        return True

    def impossible(self) -> Sequence[tuple[Task, int, int]]:
        """Override: return tasks, with the images to train on and to validate, that `check` refuses."""
        return ()

    def pointless(self) -> Sequence[Task]:
        """Override: return tasks in which the policy would go nowhere, of which `cautions` warns."""
        return ()

    def epochs(self, seed: int = 0, mix: str = "none", **more: Any) -> Iterator[tuple[Record, Any]]:
        """Train; yield the record of each epoch, and the state of the policy after it."""
        policy = self.policy()
        for record in train(self.task(), policy, MIXES[mix](), self.learner(policy), seeded(seed), **more):
            yield record, copy.deepcopy(policy.state_dict())

    def lessons(self, seed: int = 0, **more: Any) -> Iterator[tuple[Record, Any]]:
        """Train by a loop of one's own; yield as `epochs` does."""
        if not self.in_loops():
            pytest.skip("it has no learn")
        policy = self.policy()
        for record in records(loop, self.trial(policy, self.learner(policy), seed, **more)):
            yield record, copy.deepcopy(policy.state_dict())

    def trial(self, policy: Any, learner: Learner, seed: int = 0, **more: Any) -> Trial:
        """Return what such a loop is given."""
        task = self.task()
        return Trial({}, policy, MIXES["none"](), learner, task, seed, data=task.load(), **more)

    def under_way(self, learner: Learner | None, policy: Any, task: Task | None = None) -> TrainingRun:
        """Return a training of the task in its first epoch; without one, of the suite's."""
        task = task or self.task()
        run = TrainingRun(task, policy, MIXES["none"](), learner, seeded(), task.load())
        run.epoch = 1
        return run

    # The contract

    def test_it_has_every_member_of_the_protocol(self) -> None:
        learner = self.learner(self.policy())
        members = {name for name in vars(Learner) if not name.startswith("_")}
        assert members <= set(dir(learner)), f"it lacks {sorted(members - set(dir(learner)))}"
        assert learner.moves_policy is True

    def test_it_moves_the_policy_while_augmenting_and_not_while_refining(self) -> None:
        policy, task = self.policy(), self.task()
        before, records = copy.deepcopy(policy.state_dict()), []
        trees = [policy.tree()]
        for record in train(task, policy, MIXES["none"](), self.learner(policy), seeded()):
            records.append(record)
            trees.append(policy.tree())
            state = copy.deepcopy(policy.state_dict())
            if record.phase == "augment":
                assert not same(state, before), f"the policy has not moved in epoch {record.epoch}"
            else:
                assert same(state, before), f"the policy has moved in epoch {record.epoch}, of refinement"
            before = state
        assert [record.policy for record in records] == [tree.model_dump(mode="json") for tree in trees[1:]]
        assert trees[task.epochs] != trees[0]

    @pytest.mark.parametrize("mix", ["none", "mixup"])
    def test_its_figures_are_finite_numbers_under_names_of_its_choice(self, mix: str) -> None:
        measured = [record.metrics for record, _ in self.epochs(mix=mix)]
        before_any_step = self.learner(self.policy()).metrics()
        for name, value in (pair for each in (before_any_step, *measured) for pair in each.items()):
            assert isinstance(name, str)
            assert math.isfinite(value), f"{name} is {value}: leave it out where it has no value"

    def test_a_step_touches_nothing_but_the_policy(self) -> None:
        policy = self.policy()
        learner = Watched(self.learner(policy))
        run = self.under_way(learner, policy)
        with torch.random.fork_rng(devices=[]):
            take_steps(run)
        assert learner.steps == run.steps_per_epoch
        assert learner.touched == set()

    def test_it_leaves_no_gradient_to_the_next_step(self) -> None:
        policy = self.policy()
        with torch.random.fork_rng(devices=[]):
            take_steps(self.under_way(self.learner(policy), policy))
        assert all(each.grad is None or not each.grad.any() for each in policy.parameters())

    def test_until_the_policy_moves_the_network_trains_as_without_it(self) -> None:
        """Test it also in a step whose gradients the learner takes itself: they and the loss are the minibatch's."""
        policy, still = self.policy(), self.policy()
        run, plain = self.under_way(self.learner(policy), policy), self.under_way(None, still)
        start = copy.deepcopy(policy.state_dict())
        for rows in batches(run):
            losses = []
            for each in (run, plain):
                with global_generators_guarded(each):
                    losses.append(train_step(each, *each.data.train.taken(rows)))
            torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-5)
            assert not losses[0].requires_grad, "backward returns a loss with its graph"
            for one, two in zip(run.model.parameters(), plain.model.parameters(), strict=True):
                torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)
            if not same(policy.state_dict(), start):
                return

    # Reproducible

    def test_the_generator_decides_everything(self) -> None:
        first, again, other = ([(unmeasured(r), r.policy) for r, _ in self.epochs(seed)] for seed in (1, 1, 2))
        assert first == again
        assert first != other

    def test_the_global_generator_is_left_alone(self) -> None:
        policy = self.policy()
        learner = self.learner(policy)
        run = self.under_way(learner, policy)
        run.model.eval()  # while training, its dropout draws from the global generator
        before = torch.random.get_rng_state()
        take_steps(run)
        learner.metrics()
        learner.state_dict()
        assert torch.equal(before, torch.random.get_rng_state()), "it drew from torch's global generator"

    @pytest.mark.parametrize("stop", [1, 2])
    def test_a_training_that_is_resumed_equals_one_that_never_stopped(self, stop: int, tmp_path: Path) -> None:
        whole = list(self.epochs())
        interrupted = self.epochs(resume=Checkpoint(Folder(tmp_path), "1.pt", every_seconds=0))
        for _ in range(stop + 1):  # the state of an epoch is written once its record was taken
            next(interrupted)
        interrupted.close()  # type: ignore[attr-defined]
        rest = list(self.epochs(99, resume=Checkpoint(Folder(tmp_path), "2.pt", earlier=["1.pt"])))
        assert [record.epoch for record, _ in rest] == list(range(stop + 1, self.task().last_epoch + 1))
        for (one, state), (two, wanted) in zip(rest, whole[stop:], strict=True):
            assert unmeasured(one) == unmeasured(two)
            assert same(state, wanted), f"the policy of epoch {one.epoch} is another"

    @pytest.mark.parametrize(("epoch", "share"), [(1, 0.5), (2, 0.3), (2, 1.0)], ids=["first", "second", "validation"])
    def test_a_training_that_is_cut_off_within_an_epoch_equals_one_that_never_stopped(
        self, epoch: int, share: float, tmp_path: Path
    ) -> None:
        """Test also that the rest of the epoch is trained, and no more."""
        pulses, cut, interruption = list[None](), list[tuple[Record, Any]](), Interruption()
        whole = list(self.epochs(pulse=lambda: pulses.append(None)))
        of_epoch = len(pulses) // len(whole)
        pulse = requesting(interruption, (epoch - 1) * of_epoch + max(1, round(share * of_epoch)))
        with suppress(KeyboardInterrupt):
            for each in self.epochs(
                resume=Checkpoint(Folder(tmp_path), "1.pt"), pulse=pulse, interruption=interruption
            ):
                cut.append(each)
        assert len(cut) == epoch - 1
        rest = list(self.epochs(99, resume=Checkpoint(Folder(tmp_path), "2.pt", earlier=["1.pt"])))
        assert rest[0][0].images < whole[epoch - 1][0].images
        for (one, state), (two, wanted) in zip([*cut, *rest], whole, strict=True):
            assert (one.epoch, unmeasured(one)) == (two.epoch, unmeasured(two))
            assert same(state, wanted), f"the policy of epoch {one.epoch} is another"

    # What it refuses

    def test_a_policy_that_nothing_can_move_is_refused(self) -> None:
        with pytest.raises((ValueError, TypeError), match="Fixed"):
            self.learner(Fixed(ready.none()))

    def test_check_passes_what_can_be_trained_and_changes_nothing(self) -> None:
        policy, task = self.policy(), self.task()
        learner, data = self.learner(policy), task.load()
        before = copy.deepcopy((policy.state_dict(), learner.state_dict()))
        learner.check(task, len(data.train), len(data.val))
        assert same((policy.state_dict(), learner.state_dict()), before)

    def test_check_refuses_what_cannot_work(self) -> None:
        if not self.impossible():
            pytest.skip("no such task is given")
        for task, train_images, val_images in self.impossible():
            with pytest.raises(ValueError, match=r"\w"):
                self.learner(self.policy()).check(task, train_images, val_images)

    # What it says before a training

    def test_cautions_are_sentences(self) -> None:
        task = self.task()
        cautions = self.learner(self.policy()).cautions(task, len(task.load().train))
        assert not isinstance(cautions, str), "one text: give a sequence of them"
        assert all(isinstance(each, str) and each for each in cautions)

    def test_cautions_warn_of_a_training_that_leads_nowhere(self) -> None:
        if not self.pointless():
            pytest.skip("no such task is given")
        for task in self.pointless():
            assert self.learner(self.policy()).cautions(task, len(task.load().train)), f"no caution of {task}"

    @pytest.mark.parametrize("share", [1.0, 0.7], ids=["batch", "smaller"])
    def test_expected_updates_is_how_often_the_policy_moves(self, share: float) -> None:
        """Count moves in batches of the task's size, and of a smaller one that leaves images over."""
        policy, task = self.policy(), replace(self.task(), batch_size=max(2, int(share * self.task().batch_size)))
        learner = self.learner(policy)
        run, moves = self.under_way(learner, policy, task), 0
        for run.epoch in range(1, task.epochs + 1):
            policy.at(run.epoch)
            with global_generators_guarded(run):
                moves += take_steps(run)
        assert learner.expected_updates(task, len(run.data.train)) == moves

    @pytest.mark.parametrize("share", [0.0, 1.0])
    def test_a_rehearsal_moves_the_policy_in_every_step(self, share: float) -> None:
        policy, task = self.policy(), self.task()
        learner, data = self.learner(policy), task.load()
        run = self.under_way(learner.rehearsal(task, len(data.train), len(data.val), share), policy)
        with global_generators_guarded(run):
            assert take_steps(run) == run.steps_per_epoch

    # In a loop of one's own

    def test_in_a_loop_it_moves_the_policy_while_augmenting_and_not_while_refining(self) -> None:
        before = copy.deepcopy(self.policy().state_dict())
        for record, state in self.lessons():
            augmented = record.phase == "augment"
            assert same(state, before) is not augmented, f"epoch {record.epoch}, {record.phase}"
            before = state

    def test_in_a_loop_it_touches_nothing_but_the_policy(self) -> None:
        if not self.in_loops():
            pytest.skip("it has no learn")
        policy, task = self.policy(), self.task()
        watched = WatchedInLoop(self.learner(policy))
        list(records(loop, self.trial(policy, watched)))
        assert watched.lessons == task.epochs * (len(task.load().train) // task.batch_size)
        assert {name for name, before, after in watched.found if not same(before, after)} == set()

    def test_in_a_loop_the_generator_decides_everything(self) -> None:
        first, again = ([(unmeasured(r), r.policy) for r, _ in self.lessons()] for _ in range(2))
        assert first == again

    @pytest.mark.parametrize("stop", [1, 2])
    def test_a_loop_that_is_resumed_equals_one_that_never_stopped(self, stop: int, tmp_path: Path) -> None:
        whole = list(self.lessons())
        interrupted = self.lessons(checkpoint=Checkpoint(Folder(tmp_path), "1.pt", every_seconds=0))
        for _ in range(stop + 1):
            next(interrupted)
        interrupted.close()  # type: ignore[attr-defined]
        rest = list(self.lessons(99, checkpoint=Checkpoint(Folder(tmp_path), "2.pt", earlier=["1.pt"])))
        assert [record.epoch for record, _ in rest] == list(range(stop + 1, self.task().last_epoch + 1))
        for (one, state), (two, wanted) in zip(rest, whole[stop:], strict=True):
            assert unmeasured(one) == unmeasured(two)
            assert same(state, wanted), f"the policy of epoch {one.epoch} is another"
