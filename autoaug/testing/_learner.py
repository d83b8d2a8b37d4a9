"""Laws of a learner, as the trainer calls it."""

import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn

from autoaug.checkpoint import Checkpoint
from autoaug.data import Source, Split
from autoaug.mixing import MIXES
from autoaug.policy import Fixed, ready
from autoaug.record import Record
from autoaug.train import Learner, Run, Task, train
from autoaug.train.loop import batches, global_generators_guarded, train_step

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
    """A small network with running statistics and dropout, so that a forward pass too many would be seen."""

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


def take_steps(run: Run) -> None:
    """Take the training steps of an epoch."""
    for rows in batches(run):
        train_step(run, run.data.train.images[rows], run.data.train.targets[rows])


class Watched:
    """A learner in whose steps somebody looks at what it touches."""

    def __init__(self, learner: Any) -> None:
        self.learner, self.steps, self.touched = learner, 0, set[str]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.learner, name)

    def step(self, run: Run) -> None:
        """Let the learner step, and note which parts of the training it changes."""
        before = copy.deepcopy(self.look(run))
        self.learner.step(run)
        self.steps += 1
        self.touched |= {name for name, value in self.look(run).items() if not same(value, before[name])}

    def look(self, run: Run) -> dict[str, Any]:
        """Return all of a training that no learner may touch."""
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


class LearnerTestCase:
    """The laws of a learner. Override `policy` and `learner`."""

    def policy(self) -> Any:
        """Override: make the policy that is moved, anew."""
        raise NotImplementedError

    def learner(self, policy: Any) -> Learner:
        """Override: make the learner of a policy. It should move it within four steps of ten images."""
        raise NotImplementedError

    def task(self) -> Task:
        """Override where it needs another training than the tiny one of `TASK`, or cannot refine."""
        return TASK

    def idle_task(self) -> Task | None:
        """Override: a task in which it would never move the policy, which its `preflight` refuses."""
        return None

    def epochs(self, seed: int = 0, mix: str = "none", **more: Any) -> Iterator[tuple[Record, Any]]:
        """Train; yield the record of each epoch, and the state of the policy after it."""
        policy = self.policy()
        for record in train(self.task(), policy, MIXES[mix](), self.learner(policy), seeded(seed), **more):
            yield record, copy.deepcopy(policy.state_dict())

    def under_way(self, learner: Any, policy: Any) -> Run:
        """Return a training in its first epoch."""
        task = self.task()
        run = Run(task, policy, MIXES["none"](), learner, seeded(), task.load())
        run.epoch = 1
        return run

    # The contract

    def test_it_has_what_the_trainer_calls(self) -> None:
        learner = self.learner(self.policy())
        for name in ("step", "metrics", "state_dict", "load_state_dict"):
            assert callable(getattr(learner, name, None)), f"it has no {name}"

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
        """Also in a step whose gradients the learner takes itself."""
        policy, still = self.policy(), self.policy()
        run, plain = self.under_way(self.learner(policy), policy), self.under_way(None, still)
        start = copy.deepcopy(policy.state_dict())
        for rows in batches(run):
            for each in (run, plain):
                with global_generators_guarded(each):
                    train_step(each, each.data.train.images[rows], each.data.train.targets[rows])
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
        interrupted = self.epochs(resume=Checkpoint(tmp_path / "1.pt", every_seconds=0))
        for _ in range(stop + 1):  # the state of an epoch is written once its record was taken
            next(interrupted)
        interrupted.close()  # type: ignore[attr-defined]
        rest = list(self.epochs(99, resume=Checkpoint(tmp_path / "2.pt", earlier=[tmp_path / "1.pt"])))
        assert [record.epoch for record, _ in rest] == list(range(stop + 1, self.task().total_epochs + 1))
        for (one, state), (two, wanted) in zip(rest, whole[stop:], strict=True):
            assert unmeasured(one) == unmeasured(two)
            assert same(state, wanted), f"the policy of epoch {one.epoch} is another"

    # What it refuses

    def test_a_policy_that_nothing_can_move_is_refused(self) -> None:
        with pytest.raises((ValueError, TypeError), match="Fixed"):
            self.learner(Fixed(ready.none()))

    def test_its_preflight_passes_what_can_be_trained_and_leaves_no_trace(self) -> None:
        policy = self.policy()
        learner: Any = self.learner(policy)
        if not hasattr(learner, "preflight"):
            pytest.skip("it has no preflight")
        run = self.under_way(None, policy)
        before = copy.deepcopy((policy.state_dict(), learner.state_dict()))
        with torch.random.fork_rng(devices=[]):
            learner.preflight(self.task(), run.data, None)
        assert same((policy.state_dict(), learner.state_dict()), before)

    def test_its_preflight_refuses_a_task_in_which_nothing_would_move(self) -> None:
        task, learner = self.idle_task(), self.learner(self.policy())
        if task is None:
            pytest.skip("there is no such task")
        with pytest.raises(ValueError, match=r"move|updates"):
            learner.preflight(task, task.load())  # type: ignore[attr-defined]
