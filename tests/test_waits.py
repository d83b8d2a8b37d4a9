"""Where a GPU would have to be waited for, rehearsed on a pretended one: nowhere in a step, and seldom in an update."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pretend_device import GPU, PretendedGpu, TwoDevices, on_gpu, tensors
from small_problems import seeded
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from autoaug import Budget, Study
from autoaug.artifacts import Folder
from autoaug.checkpoint import Checkpoint
from autoaug.devices import Clock, Stopwatch, all_to_device, to_device
from autoaug.hypergrad import Hypergrad, conjugate_gradient, identity, neumann, running, unrolled
from autoaug.hypergrad._solvers import ConjugateGradient
from autoaug.learners import Bilevel, Joint, Updates
from autoaug.mixing import MIXES, Mix, takes
from autoaug.ops import OPS
from autoaug.policy import Fixed, Relaxed, SpatialTransformer, Warp, ready
from autoaug.strategies import none
from autoaug.study import preflight
from autoaug.train import Task, TrainingRun, train
from autoaug.train._loop import batches, evaluate, one_epoch, train_step


def photographs(root: Path) -> tuple[Tensor, Tensor]:
    """64 images of 3 x 12 x 12 in two classes, a darker and a brighter one."""
    noise = torch.rand(64, 3, 12, 12, generator=seeded())
    classes = torch.arange(64) % 2
    return ((noise + classes.view(-1, 1, 1, 1)) * 127).to(torch.uint8), classes


class Small(nn.Module):
    """A network with batch statistics and dropout."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(channels, 4, 3, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout())
        self.last = nn.Linear(64, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.net(images))


TASK = Task(
    data=photographs,
    model=Small,
    epochs=2,
    batch_size=8,
    val_fraction=0.25,
    standard="crop+flip",
    precision="float32",
    device="cuda",
)


@pytest.fixture
def gpu() -> Iterator[PretendedGpu]:
    with PretendedGpu() as machine:
        yield machine


def steps(
    gpu: PretendedGpu, policy: Any, mix: Mix | None = None, learner: Any = None, task: Task = TASK
) -> list[tuple[Counter, Counter]]:
    """The waits and the copies of each training step of an epoch but the first, which brings tables to the GPU."""
    run = TrainingRun(task, policy, mix or MIXES["none"](), learner, seeded(), task.load())
    run.epoch, found = 1, []
    run.to_training()
    for batch in batches(run):
        images, targets = run.data.train.taken(batch)
        gpu.take()
        with torch.random.fork_rng([]):
            train_step(run, images, targets)
        found.append(gpu.take())
    assert on_gpu(next(run.model.parameters()))
    return found[1:]


def counts(found: list[tuple[Counter, Counter]]) -> tuple[Counter, Counter]:
    waits, copies = zip(*found, strict=True)
    return sum(waits, Counter()), sum(copies, Counter())


@pytest.mark.parametrize("name", OPS)
def test_no_operation_stops_for_the_gpu_nor_does_its_derivative(name: str, gpu: PretendedGpu) -> None:
    images = torch.rand(4, 3, 12, 12, generator=seeded()).to("cuda").requires_grad_()
    strength = torch.full([4], 0.5, device="cuda", requires_grad=True)
    gpu.take()
    changed = OPS[name](images, strength, seeded())
    slopes = torch.autograd.grad(changed.square().sum(), [images, strength], allow_unused=True)
    assert all(map(on_gpu, tensors(changed, slopes)))
    assert gpu.take() == ({}, {})


def fixed(name: str) -> Fixed:
    return Fixed(getattr(ready, name)())


READY = ["none", "standard", "randaugment", "trivialaugment", "uniformaugment", "autoaugment_cifar10", "random_policy"]

POLICIES: dict[str, Callable[[], Any]] = {name: partial(fixed, name) for name in READY} | {
    "randaugment, joined": lambda: Fixed(ready.randaugment(), compose=True),
    "relaxed": Relaxed,
    "warp, range": partial(Warp, "affine+color", "range"),
    "warp, mlp": partial(Warp, "affine+color", "mlp"),
    "warp, odd": partial(Warp, "translation", "odd"),
    "stn": partial(SpatialTransformer, 8),
}


@pytest.mark.parametrize("name", POLICIES)
def test_no_step_with_a_policy_stops_for_the_gpu(name: str, gpu: PretendedGpu) -> None:
    assert counts(steps(gpu, POLICIES[name]())) == ({}, {})


@pytest.mark.parametrize("standard", ["resized-crop+flip+vflip", ("crop", ready.randaugment())], ids=["crop", "nodes"])
def test_no_step_with_a_standard_augmentation_stops_for_the_gpu(standard: Any, gpu: PretendedGpu) -> None:
    assert counts(steps(gpu, Fixed(ready.none()), task=replace(TASK, standard=standard))) == ({}, {})


@pytest.mark.parametrize("per", ["sample", "batch"])
@pytest.mark.parametrize("name", MIXES)
def test_no_step_with_a_mix_stops_for_the_gpu(name: str, per: Any, gpu: PretendedGpu) -> None:
    given = {"alpha": 0.4, "probability": 0.7, "per": per}
    mix = MIXES[name](**{parameter: value for parameter, value in given.items() if parameter in takes(name)})
    assert counts(steps(gpu, Fixed(ready.none()), mix)) == ({}, {})


def test_no_step_of_a_network_that_learns_to_move_images_stops_for_the_gpu(gpu: PretendedGpu) -> None:
    policy = SpatialTransformer(8)
    assert counts(steps(gpu, policy, learner=Joint(policy))) == ({}, {})


ADAM = partial(torch.optim.Adam, lr=0.2, foreach=False)
"""With the arithmetic that it has on a CPU: the one for a GPU differs in the last bit."""

SIZES, READ, NORMS, PLAN = "group sizes", "loss and norm", "two norms", "tables of the policy"
CURVATURES = [f"curvature {step}" for step in range(3)]

LEARNERS: dict[str, tuple[Callable[[], Any], Hypergrad, dict[str, Any], list[str]]] = {
    "score": (Relaxed, identity(), {}, [SIZES, READ]),
    "score, neumann": (Relaxed, neumann(5, 0.1), {}, [SIZES, READ, NORMS]),
    "score, conjugate gradients": (Relaxed, conjugate_gradient(3, 100.0), {}, [SIZES, READ, *CURVATURES]),
    "score, running": (Relaxed, running(0.1), {}, [SIZES, READ, NORMS]),
    "score, in three parts": (Relaxed, identity(), {"micro_batch": 4}, [SIZES, SIZES, SIZES, READ]),
    "pathwise": (Relaxed, identity(), {"estimator": "pathwise"}, [SIZES, READ]),
    "range": (partial(Warp, "affine+color", "range"), unrolled(1, 0.1), {"estimator": "pathwise"}, [READ]),
    "odd, two steps": (partial(Warp, "affine", "odd"), unrolled(2, 0.1), {"estimator": "pathwise"}, [READ]),
    "mlp on its own graph": (
        partial(Warp, "affine+color", "mlp"),
        unrolled(1, 0.1),
        {"estimator": "pathwise", "reuse_graph": True},
        [READ],
    ),
}
"""Policy, hypergradient, further settings, and what an update is told by the GPU."""


def learner_of(name: str) -> tuple[Any, Bilevel]:
    make, hypergrad, settings, _ = LEARNERS[name]
    policy = make()
    updates = Updates(**{"every": 2, "hyper_batch": 12, "val_batch": 10, "optimiser": ADAM} | settings)
    return policy, Bilevel(policy, hypergrad, updates)


@pytest.mark.parametrize("name", LEARNERS)
def test_an_update_is_told_what_it_decides_by_and_no_more(name: str, gpu: PretendedGpu) -> None:
    policy, learner = learner_of(name)
    with warnings.catch_warnings(action="ignore"):  # a rate is lowered
        found = steps(gpu, policy, learner=learner)
    assert learner.counts["updates"] == 2
    for (waits, copies), updates in zip(found, (True, False, True), strict=True):
        told = LEARNERS[name][3] if updates else [PLAN] if isinstance(policy, Relaxed) else []
        assert waits.total() == len(told), waits
        assert not copies


@pytest.mark.parametrize(("resplit", "stops"), [("fixed", 3), ("per_epoch", 5)])
def test_an_epoch_stops_for_its_loss_its_validation_and_its_end(resplit: Any, stops: int, gpu: PretendedGpu) -> None:
    task = replace(TASK, resplit=resplit)
    run = TrainingRun(task, Fixed(ready.randaugment()), MIXES["mixup"](), None, seeded(), task.load())
    gpu.take()
    with torch.random.fork_rng([]):
        one_epoch(run, test=False)
        waits, copies = gpu.take()
        assert waits.total() == stops, "and twice for the classes, where images are divided anew"
        assert not copies
        evaluate(run, run.data.val, "val")
    assert gpu.take()[0].total() == 1


@pytest.mark.parametrize("name", ["score", "score, conjugate gradients", "odd, two steps", "mlp on its own graph"])
def test_a_training_on_the_gpu_equals_that_on_the_cpu(name: str) -> None:
    def trained(task: Task) -> list[dict[str, float]]:
        policy, learner = learner_of(name)
        records = list(train(replace(task, refine_epochs=1), policy, MIXES["cutmix"](), learner, seeded(), test=True))
        return [{key: value for key, value in each.metrics.items() if key != "hyper_seconds"} for each in records]

    here = trained(replace(TASK, device="cpu"))
    with PretendedGpu():
        there = trained(TASK)
    # conjugate gradients keep their scalars there, so that a product and a sum are rounded apart
    wanted = [pytest.approx(each, rel=1e-4) for each in here] if "conjugate" in name else here
    assert there == wanted


def test_updates_of_a_run_that_goes_on_are_told_no_more(gpu: PretendedGpu, tmp_path: Path) -> None:
    def run() -> TrainingRun:
        policy, learner = learner_of("score")
        return TrainingRun(TASK, policy, MIXES["none"](), learner, seeded(), TASK.load())

    with torch.random.fork_rng([]):
        first, second = run(), run()
        one_epoch(first, test=False)
        Checkpoint(Folder(tmp_path), "1.pt", every_seconds=0.0).save(first.state_dict)
        assert Checkpoint(Folder(tmp_path), "1.pt").load(second.restore)
        found = []
        for each in (first, second):
            gpu.take()
            one_epoch(each, test=False)
            found.append(gpu.take()[0].total())
    assert first.learner.counts == second.learner.counts  # type: ignore[union-attr]
    assert found[0] == found[1]


def test_the_seconds_of_updates_are_read_once_an_epoch(gpu: PretendedGpu) -> None:
    policy, learner = learner_of("range")
    steps(gpu, policy, learner=learner)
    assert learner.metrics()["hyper_seconds"] == pytest.approx(0.002), "two updates of a pretended millisecond"
    assert gpu.take()[0].total() == 1
    assert learner.metrics()["hyper_seconds"] == 0.0
    assert not gpu.take()[0]


def test_a_clock_waits_for_the_end_of_what_it_measures_and_no_longer(gpu: PretendedGpu) -> None:
    clock = Clock(GPU).stop()
    assert not gpu.take()[0]
    assert clock.seconds() == clock.seconds() == pytest.approx(0.001)
    assert gpu.take()[0].total() == 1
    assert Clock(torch.device("cpu")).seconds() >= 0


def test_a_stopwatch_that_nobody_reads_does_not_fill_up(gpu: PretendedGpu) -> None:
    watch = Stopwatch()
    for _ in range(5):
        watch.add(Clock(GPU))
        assert len(watch.under_way) == 1
        gpu.wait("something else")
    assert watch.take() == pytest.approx(0.005)
    assert watch.take() == 0


def test_tensors_arrive_whole_and_in_one_copy(gpu: PretendedGpu) -> None:
    graph = torch.rand(3, generator=seeded()).requires_grad_()
    given = [torch.arange(5, dtype=torch.int8), torch.rand(2, 3, generator=seeded()), graph, torch.arange(4)]
    found = all_to_device(given, GPU)
    assert all(map(on_gpu, found))
    for one, other in zip(given, found, strict=True):
        assert (one.dtype, one.tolist()) == (other.dtype, other.tolist())
    assert torch.autograd.grad(found[2].sum(), graph)[0].tolist() == [1, 1, 1]
    assert not gpu.take()[1]
    assert to_device(given[1], GPU, torch.float64).dtype == torch.float64
    assert all(one is other for one, other in zip(given, all_to_device(given, torch.device("cpu")), strict=True))


@pytest.mark.parametrize(("last", "steps"), [(-1.0, 3), (1.0, 4)])
def test_conjugate_gradients_end_on_the_gpu_where_they_end_on_the_cpu(last: float, steps: int) -> None:
    diagonal = torch.tensor([3.0, 2.0, 1.0, last], dtype=torch.float64)
    vector = torch.tensor([1.0, 1.0, 1.0, 0.3], dtype=torch.float64)

    def solved(device: str) -> list[float]:
        matrix = diagonal.to(device)
        [found] = ConjugateGradient(9)(lambda v: [matrix * v[0]], [vector.to(device)])
        return found.tolist()

    here = solved("cpu")
    with PretendedGpu() as gpu:
        assert solved("cuda") == pytest.approx(here, rel=1e-9)
        assert gpu.waits.total() == steps + 1, "one per step, and the result"


# What the rehearsal itself finds: policies that are wrong on purpose, and what CUDA allows and refuses.


class Wrong(nn.Module):
    """A policy with a fault."""

    def __init__(self, fault: Callable[[Tensor, Generator], Any]) -> None:
        super().__init__()
        self.fault = fault

    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        self.fault(images, rng)
        return images

    def tree(self) -> Any:
        return ready.none()

    def at(self, epoch: int) -> None: ...


class ReadBackwards(torch.autograd.Function):
    """A backward pass that reads a number."""

    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:
        return images.clone()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return slope * slope.sum().item()


class MixedBackwards(ReadBackwards):
    """A backward pass that mixes devices."""

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return slope * torch.ones(slope.shape)


def slope_of(function: Any) -> Callable[[Tensor, Generator], Any]:
    def fault(images: Tensor, rng: Generator) -> Any:
        with torch.enable_grad():
            given = images.detach().requires_grad_()
            return torch.autograd.grad(function.apply(given).sum(), given)

    return fault


WAITING: dict[str, Callable[[Tensor, Generator], Any]] = {
    "item": lambda images, rng: images.mean().item(),
    "float": lambda images, rng: float(images.mean()),
    "a branch": lambda images, rng: images if images.max() > 2 else None,
    "a list": lambda images, rng: images.mean(1).tolist(),
    "the CPU": lambda images, rng: images.cpu(),
    "to the CPU, called non-blocking": lambda images, rng: images.to("cpu", non_blocking=True),
    "into memory of the CPU": lambda images, rng: torch.empty(images.shape).copy_(images),
    "a mask": lambda images, rng: images[images.mean((1, 2, 3)) > 0.5],
    "nonzero": lambda images, rng: (images > 0.5).nonzero(),
    "unique": lambda images, rng: images.unique(),
    "equal": lambda images, rng: torch.equal(images, images),
    "synchronize": lambda images, rng: torch.cuda.synchronize(),
    "classes are counted": lambda images, rng: F.one_hot(images.argmax(3)),
    "backwards": slope_of(ReadBackwards),
}
COPYING: dict[str, Callable[[Tensor, Generator], Any]] = {
    "to": lambda images, rng: torch.rand(len(images), generator=rng).to(images.device),
    "cuda": lambda images, rng: torch.rand(len(images), generator=rng).cuda(),
    "like another": lambda images, rng: torch.rand(len(images), generator=rng).to(images),
    "not pinned": lambda images, rng: torch.rand(len(images), generator=rng).to(images.device, non_blocking=True),
    "pinned, but blocking": lambda images, rng: torch.rand(len(images), generator=rng).pin_memory().to(images.device),
    "a list": lambda images, rng: torch.tensor([1.0, 2.0], device=images.device),
    "a list, like another": lambda images, rng: images.new_tensor([1.0, 2.0]),
    "into it": lambda images, rng: torch.empty_like(images).copy_(torch.rand(images.shape, generator=rng)),
    "an index": lambda images, rng: images[torch.randperm(len(images), generator=rng)],
}
REFUSED: dict[str, Callable[[Tensor, Generator], Any]] = {
    "a sum": lambda images, rng: images + torch.rand(images.shape, generator=rng),
    "in place": lambda images, rng: torch.rand(images.shape, generator=rng).add_(images),
    "a product": lambda images, rng: images @ torch.eye(12),
    "stack": lambda images, rng: torch.stack([images.mean(), torch.zeros(())]),
    "a look-up": lambda images, rng: torch.ones(13)[images.argmax(3)],
    "where": lambda images, rng: torch.where(images > 0.5, images, torch.zeros(images.shape)),
    "a generator": lambda images, rng: torch.rand(images.shape, generator=rng, device=images.device),
    "a generator in place": lambda images, rng: torch.empty_like(images).uniform_(generator=rng),
    "numpy": lambda images, rng: images.numpy(),
    "backwards": slope_of(MixedBackwards),
}


@pytest.mark.parametrize("name", WAITING)
def test_a_policy_that_waits_is_found(name: str, gpu: PretendedGpu) -> None:
    waits, _ = counts(steps(gpu, Wrong(WAITING[name])))
    assert waits.total() == 3, "once a step"
    assert all("train/_run.py" in where for _, where in waits), "the innermost line of the library"


@pytest.mark.parametrize("name", COPYING)
def test_a_policy_whose_copies_block_is_found(name: str, gpu: PretendedGpu) -> None:
    waits, copies = counts(steps(gpu, Wrong(COPYING[name])))
    assert (waits.total(), copies.total()) == (0, 3)


@pytest.mark.parametrize("name", REFUSED)
def test_a_policy_that_mixes_devices_is_found(name: str, gpu: PretendedGpu) -> None:
    with pytest.raises(TwoDevices):
        steps(gpu, Wrong(REFUSED[name]))


ALLOWED: dict[str, Callable[[Tensor], Any]] = {
    "a number": lambda images: images * 2 + 1,
    "a single number of the CPU": lambda images: (
        torch.where(images > 0.5, images, torch.tensor(2.0)) * torch.tensor(2.0)
    ),
    "made there": lambda images: torch.arange(4, device=images.device) + torch.zeros(4, device="cuda"),
    "like it": lambda images: torch.zeros_like(images) + images.new_ones(12),
    "written by a mask": lambda images: images.clone().masked_fill_(images > 0.5, 0.0),
    "sorted, stretched, sampled": lambda images: F.interpolate(images.sort(0).values, (5, 5), mode="bilinear"),
    "a quantile": lambda images: images.flatten().quantile(0.5),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_what_cuda_allows_is_allowed_and_stops_nothing(name: str, gpu: PretendedGpu) -> None:
    images = torch.rand(4, 3, 12, 12, generator=seeded()).to("cuda")
    gpu.take()
    found = ALLOWED[name](images)
    assert all(each.device == GPU and each.is_cuda for each in tensors(found))
    assert gpu.take() == ({}, {})


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_what_fails_on_the_gpu_alone_is_said_before_any_time_is_spent(device: str, gpu: PretendedGpu) -> None:
    def study(fault: Callable[[Tensor, Generator], Any]) -> Study:
        strategies = {"mine": none()._replace(policy=lambda: Wrong(fault))}
        return Study(
            name="x", task=replace(TASK, device=device), strategies=strategies, budget=Budget(trials=1), seeds=1
        )

    preflight(study(WAITING["item"]))
    with pytest.raises(ValueError, match=r"strategy 'mine' of study 'x': .* on cuda: .*on the GPU together with those"):
        preflight(study(REFUSED["a sum"]))


def test_nothing_of_the_pretence_stays(rng: Generator) -> None:
    before = torch.cuda.is_available()
    with PretendedGpu():
        assert torch.cuda.is_available()
        images = torch.rand(3, generator=rng).to("cuda")
    assert torch.cuda.is_available() is before
    assert images.device == torch.device("cpu")
    assert torch.equal(images + torch.ones(3), 1 + images)
