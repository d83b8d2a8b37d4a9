"""Where a loop of one's own would have to wait for a GPU because of its trial, rehearsed on a pretended one."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import pytest
import torch
from pretend_device import PretendedGpu
from small_problems import batch, network
from torch import Tensor
from torch.nn import functional as F

from autoaug import Trial
from autoaug.hypergrad import identity, neumann, unrolled
from autoaug.learners import Bilevel, Joint, Updates
from autoaug.mixing import MIXES
from autoaug.policy import Fixed, Relaxed, SpatialTransformer, Warp, ready
from autoaug.train import NullLearner, Task
from autoaug.trial import records


@pytest.fixture
def gpu() -> Iterator[PretendedGpu]:
    with PretendedGpu() as machine:
        yield machine


OPS = ("rotate", "invert", "brightness")
ADAM = partial(torch.optim.Adam, lr=0.2, foreach=False)
"""With the arithmetic that it has on a CPU: the one for a GPU differs in the last bit."""

SIZES, READ, NORMS = "group sizes", "loss and norm", "two norms"


def updates(**more: Any) -> Updates:
    return Updates(**{"every": 2, "hyper_batch": 8, "val_batch": 8, "optimiser": ADAM} | more)


def unlearnt() -> tuple[Any, Any]:
    return Fixed(ready.randaugment()), NullLearner()


def score(*solver: Any) -> tuple[Any, Any]:
    policy = Relaxed(OPS)
    return policy, Bilevel(policy, solver[0] if solver else identity(), updates())


def pathwise() -> tuple[Any, Any]:
    policy = Warp("affine", "odd")
    return policy, Bilevel(policy, unrolled(1, 0.1), updates(estimator="pathwise"))


def joint() -> tuple[Any, Any]:
    policy = SpatialTransformer(8)
    return policy, Joint(policy)


class Counting:
    """A loop that keeps what each call of its trial stops for, and each report."""

    def __init__(self, gpu: PretendedGpu, policy: Any, learner: Any, device: str = "cuda", kind: Any = None) -> None:
        self.gpu, self.device, self.kind = gpu, device, kind or torch.float32
        self.trial = Trial({}, policy, MIXES["cutmix"](), learner, Task(data=None, device=device), 1)
        self.augments, self.lessons, self.reports = list[int](), list[int](), list[int]()

    def stops(self) -> int:
        """Waits and blocking copies since the last call."""
        return sum(each.total() for each in self.gpu.take())

    def loop(self, trial: Trial) -> Iterator[Mapping[str, Any]]:
        model = network().to(self.device)
        optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
        batches = [self.batch(seed) for seed in range(4)]
        for _ in trial.epochs(2, steps=4, model=model, optimiser=optimiser):
            for images, targets in batches:
                self.stops()
                mixed, soft = trial.augment(images, targets, 10)
                self.augments.append(self.stops())
                optimiser.zero_grad()
                (loss := F.cross_entropy(model(mixed), soft)).backward()
                optimiser.step()
                self.stops()
                trial.learn(model, (images, targets), batches[0], optimiser)
                self.lessons.append(self.stops())
            steps = torch.full([1], 4, device=self.device)
            yield {"val_accuracy": loss.detach(), "train_loss": loss, "half": loss.half(), "steps": steps, "one": 1}

    def batch(self, seed: int) -> tuple[Tensor, Tensor]:
        images, targets = batch(8, seed)
        images = images if self.kind is torch.float32 else (255 * images).to(self.kind)
        return images.to(self.device), targets.to(self.device)

    def run(self) -> list[dict[str, float]]:
        """The figures of each epoch, but for times."""
        with torch.random.fork_rng([]):
            found = []
            for record in records(self.loop, self.trial):
                self.reports.append(self.stops())
                found.append({name: value for name, value in record.metrics.items() if name != "hyper_seconds"})
        return found


LEARNERS: dict[str, tuple[Callable[[], Any], int, int, list[str], int]] = {
    "none": (unlearnt, 0, 0, [], 0),
    "score": (score, 1, 2, [SIZES, READ], 1),
    "score, neumann": (partial(score, neumann(3, 0.1)), 1, 2, [SIZES, READ, NORMS], 1),
    "pathwise": (pathwise, 0, 2, [READ], 2),
    "joint": (joint, 0, 1, [], 1),
}
"""Policy and learner; stops for tables of the policy; kinds of images that it looks at; what an update is told; stops
for the policy of a record."""


@pytest.mark.parametrize("name", LEARNERS)
def test_a_trial_stops_a_loop_for_its_looks_its_updates_and_its_reports_alone(name: str, gpu: PretendedGpu) -> None:
    make, tables, looks, told, snapshot = LEARNERS[name]
    counting = Counting(gpu, *make())
    counting.run()
    augments = [2 + tables, 0, tables, 0]
    assert counting.augments == augments * 2, "the first images and classes of an epoch, and what an update made"
    update, first = len(told), 1 if told else 0
    epoch = [0, update, 0, update]
    epoch[first] += looks
    assert counting.lessons == epoch * 2
    assert counting.reports == [1 + snapshot] * 2, "all figures and both clocks are read together"


def test_bytes_are_in_range_and_their_classes_alone_are_looked_at(gpu: PretendedGpu) -> None:
    counting = Counting(gpu, *unlearnt(), kind=torch.uint8)
    counting.run()
    assert counting.augments == [1, 0, 0, 0] * 2


def test_figures_of_a_gpu_are_read_as_those_of_a_cpu() -> None:
    with PretendedGpu() as gpu:
        there = Counting(gpu, *score()).run()
    here = Counting(PretendedGpu(), *score(), device="cpu").run()
    assert there == here
    assert [each["steps"] for each in there] == [4.0, 4.0]
