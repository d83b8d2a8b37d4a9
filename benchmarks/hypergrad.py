"""What does a hyper step cost, in training steps and in memory?

A training step is what the trainer does: the policy on a batch, forward, backward, SGD with Nesterov momentum. A hyper
step is one `Bilevel.update` with as many training and validation images, or half as many of both. With "own graph"
it is `Bilevel.fused_backward`, part of a training step: of the time of both that of a training step is taken off.
All are timed in turn, round after round in one process, and compared within their round: CPU-seconds of one thread, or
CUDA events. The memory of each method is measured in a process of its own.

    ratio        time of a hyper step over that of a training step (median over the rounds, then the quartiles)
    every 60     training time with one hyper step in 60 training steps, over that without any (Hataya et al. 2022)
    every 1      the same with one after every training step (Mounsaveng et al. 2021)
    memory       peak of a training and a hyper step, over that of a training step, each above what lay there before

The cosine of the hypergradient of half a batch with that of all of it, with the same draws, is that on digits of a
network after 40 training steps, and its mean over eight batches.

Anchors: with a hyper step every 60 steps, Hataya et al. 2022 report 1.9x the time and 1.94x the memory; with one every
step, Mounsaveng et al. 2021 report 5.3x the time.

Run from the root of the checkout:

    python -m benchmarks.hypergrad --rounds 3
    python -m benchmarks.hypergrad --write
    python -m benchmarks.hypergrad --device cuda --write
"""

import argparse
import datetime
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from sklearn.datasets import load_digits
from torch import Generator, Tensor, nn
from torch.nn import functional

from autoaug.hypergrad import (
    Hypergrad,
    TwiceDifferentiable,
    conjugate_gradient,
    gauss_newton_cg,
    identity,
    neumann,
    unrolled,
)
from autoaug.hypergrad import _layers as layers
from autoaug.learners import Batch, Bilevel, Problem, Updates
from autoaug.learners._estimators import pathwise
from autoaug.models import build
from autoaug.policy import Policy, Relaxed, Warp

LR, CLASSES = 0.1, 10
SETTINGS = {"cpu": ("wrn-10-2", 32), "cuda": ("wrn-28-2", 128)}
"""Network and batch size by device."""
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Method:
    """A kind of hyper step."""

    hypergrad: Callable[[], Hypergrad]
    policy: Callable[[], Policy] = Relaxed
    estimator: str = "pathwise"
    share: float = 1.0
    """Images of a hyper step over those of a training step."""
    parts: int = 1
    """Micro-batches of a hyper step."""
    reuse: bool = False
    """The graph of the training step."""
    plain: bool = False
    """With the second derivatives that PyTorch has for convolution and batch normalisation."""


METHODS: dict[str, Method] = {
    "identity": Method(identity),
    "Neumann, 5": Method(lambda: neumann(5, 1e-3)),
    "Neumann, 5, PyTorch's second derivatives": Method(lambda: neumann(5, 1e-3), plain=True),
    "Neumann, 5, half batches": Method(lambda: neumann(5, 1e-3), share=0.5),
    "Neumann, 5, in 2 parts": Method(lambda: neumann(5, 1e-3), parts=2),
    "Neumann, 5, in 4 parts": Method(lambda: neumann(5, 1e-3), parts=4),
    "Neumann, 5, half batches in 2 parts": Method(lambda: neumann(5, 1e-3), share=0.5, parts=2),
    "Neumann, 5, score": Method(lambda: neumann(5, 1e-3), estimator="score"),
    "CG, 5": Method(lambda: conjugate_gradient(5, 1.0)),
    "Gauss-Newton CG, 5": Method(lambda: gauss_newton_cg(5, 1.0)),
    "unrolled, 1": Method(lambda: unrolled(1, LR)),
    "unrolled, 1, Warp": Method(lambda: unrolled(1, LR), policy=lambda: Warp("affine", "range")),
    "unrolled, 1, Warp, PyTorch's second derivatives": Method(
        lambda: unrolled(1, LR), policy=lambda: Warp("affine", "range"), plain=True
    ),
    "unrolled, 1, Warp, own graph": Method(lambda: unrolled(1, LR), policy=lambda: Warp("affine", "range"), reuse=True),
}

GOALS: tuple[tuple[str, str, float], ...] = (
    ("Neumann, 5", "every 60", 1.3),
    ("Neumann, 5", "memory", 2.0),
    ("Neumann, 5, half batches", "every 60", 1.15),
    ("Neumann, 5, half batches", "memory", 2.0),
    ("Neumann, 5, half batches", "memory", 1.5),
    ("Neumann, 5, half batches in 2 parts", "every 60", 1.3),
    ("Neumann, 5, half batches in 2 parts", "memory", 1.5),
    ("Neumann, 5, in 2 parts", "memory", 2.0),
    ("unrolled, 1, Warp", "every 1", 4.5),
    ("unrolled, 1, Warp, own graph", "every 1", 4.5),
    ("unrolled, 1, Warp, own graph", "every 1", 3.5),
)
"""Method, column, and what is not to be exceeded."""


class Work(NamedTuple):
    """A network under training, and both kinds of step."""

    train: Callable[[], None]
    hyper: Callable[[], None]


def work(method: Method, device: str) -> Work:
    """The steps of one method, on random images of 32 x 32."""
    name, size = SETTINGS[device]
    rng = Generator().manual_seed(0)
    model = build(name, CLASSES, 3, rng).to(device).to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.SGD(model.parameters(), LR, 0.9, weight_decay=5e-4, nesterov=True)
    policy: Any = method.policy()
    policy.to(torch.device(device))
    learner = Bilevel(policy, method.hypergrad(), Updates(estimator=method.estimator, reuse_graph=method.reuse))
    train, val = (batch(size, device, rng) for _ in range(2))
    few = int(size * method.share)
    part, seen = (Batch(images[:few], targets[:few]) for images, targets in (train, val))

    def hyper() -> None:
        problem = Problem(policy, model, part, seen, rng, forward, few // method.parts)
        with second_derivatives(method.plain):
            if method.reuse:
                followed_step(learner, problem, optimiser)
            else:
                learner.advance(problem, optimiser)

    return Work(lambda: training_step(model, optimiser, policy, train, rng), hyper)


def batch(size: int, device: str, rng: Generator) -> Batch:
    images = torch.rand(size, 3, 32, 32, generator=rng)
    return Batch(images.to(device), torch.randint(CLASSES, (size,), generator=rng).to(device))


def forward(images: Tensor, network: Callable[[Tensor], Tensor]) -> Tensor:
    """As in the trainer."""
    return network(images.contiguous(memory_format=torch.channels_last))


def training_step(
    model: nn.Module, optimiser: torch.optim.Optimizer, policy: Policy, given: Batch, rng: Generator
) -> None:
    with torch.no_grad():
        images = policy(given.images, rng)
    optimiser.zero_grad(set_to_none=True)
    functional.cross_entropy(forward(images, model), given.targets).backward()
    optimiser.step()


def followed_step(learner: Bilevel, problem: Problem, optimiser: torch.optim.Optimizer) -> None:
    """A training step and the hyper step that uses its graph."""
    optimiser.zero_grad(set_to_none=True)
    with TwiceDifferentiable():
        images = problem.policy(problem.train.images, problem.rng)
        loss = functional.cross_entropy(forward(images, problem.model), problem.train.targets)
        learner.fused_backward(loss, problem, optimiser)
    optimiser.step()


@contextmanager
def without(table: dict[Any, Any]) -> Iterator[None]:
    """A table that is empty for a while."""
    kept = dict(table)
    table.clear()
    yield
    table.update(kept)


def second_derivatives(plain: bool) -> Any:
    return without(layers.LAYERS) if plain else nullcontext()


def cosine_of_half(device: str, steps: int = 40, draws: int = 8) -> float:
    """Of the hypergradient (Neumann, 5) of half a batch with that of all of it, whose other half has other draws."""
    name, size = SETTINGS[device]
    rng, policy = Generator().manual_seed(0), Relaxed()
    policy.to(torch.device(device))
    model = build(name, CLASSES, 3, rng).to(device).to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.SGD(model.parameters(), 0.05, 0.9, weight_decay=5e-4, nesterov=True)
    for _ in range(steps):
        training_step(model, optimiser, policy, digits(size, device, rng), rng)
    found = []
    for _ in range(draws):
        train, val, state = digits(size, device, rng), digits(size, device, rng), rng.get_state()
        both = []
        for few in (size // 2, size):
            rng.set_state(state)
            part, seen = (Batch(images[:few], targets[:few]) for images, targets in (train, val))
            grads = pathwise(neumann(5, 1e-3), Problem(policy, model, part, seen, rng, forward, size // 2))
            both.append(torch.cat([grad.flatten() for grad in grads.values()]))
        found.append(float(functional.cosine_similarity(both[0], both[1], dim=0)))
    return statistics.mean(found)


def digits(size: int, device: str, rng: Generator) -> Batch:
    """scikit-learn's, enlarged to 32 x 32."""
    data = load_digits()
    rows = torch.randperm(len(data.images), generator=rng)[:size]
    small = torch.tensor(data.images, dtype=torch.float32)[rows, None].expand(-1, 3, -1, -1) / 16
    images = functional.interpolate(small, size=(32, 32), mode="bilinear")
    return Batch(images.to(device), torch.tensor(data.target)[rows].to(device))


def seconds(call: Callable[[], None], device: str) -> float:
    """CPU-seconds of this process, or the time between two events on the GPU."""
    if device == "cpu":
        start = time.process_time()
        call()
        return time.process_time() - start
    first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    first.record()
    call()
    last.record()
    torch.cuda.synchronize()
    return first.elapsed_time(last) / 1000


def ratios(device: str, rounds: int) -> dict[str, list[float]]:
    """Of every method, in every round: the time of its hyper step over that of the training steps on either side."""
    works = {name: work(method, device) for name, method in METHODS.items()}
    for each in works.values():  # memory pools, kernels that are chosen by trial
        each.train()
        each.hyper()
    found: dict[str, list[float]] = {name: [] for name in METHODS}
    for _ in range(rounds):
        for name, each in works.items():
            before, hyper, after = (seconds(step, device) for step in (each.train, each.hyper, each.train))
            found[name].append(2 * hyper / (before + after) - METHODS[name].reuse)
    return found


def peak(name: str, device: str) -> float:
    """Mebibytes that one training and one hyper step of a method take at most; "plain" is two training steps."""
    each = work(METHODS[name] if name in METHODS else Method(identity), device)
    before = resident(device)
    each.train()
    (each.hyper if name in METHODS else each.train)()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else most) - before


def resident(device: str) -> float:
    """Mebibytes in use now."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / 2**20
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_elsewhere(name: str, device: str) -> float:
    """`peak` in a process of its own, whose allocator gives memory back at once."""
    command = [sys.executable, "-m", "benchmarks.hypergrad", "--device", device, "--peak", name]
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout))


def columns(times: dict[str, list[float]], memory: dict[str, float]) -> dict[str, dict[str, float]]:
    """The numbers of every method."""
    medians = {name: statistics.median(values) for name, values in times.items()}
    return {
        name: {
            "ratio": ratio,
            "every 60": 1 + ratio / 60,
            "every 1": 1 + ratio,
            "memory": memory[name] / memory["plain"],
        }
        for name, ratio in medians.items()
    }


def table(times: dict[str, list[float]], found: dict[str, dict[str, float]]) -> str:
    lines = ["| hyper step | ratio | quartiles | every 60 | every 1 | memory |", "|---|---:|---:|---:|---:|---:|"]
    for name, row in found.items():
        low, _, high = statistics.quantiles(times[name], n=4)
        cells = [f"{row['ratio']:.2f}", f"{low:.2f} to {high:.2f}", f"{row['every 60']:.3f}", f"{row['every 1']:.2f}"]
        lines.append(f"| {name} | " + " | ".join([*cells, f"{row['memory']:.2f}"]) + " |")
    return "\n".join(lines)


def goals(found: dict[str, dict[str, float]]) -> str:
    lines = ["| goal | at most | measured | |", "|---|---:|---:|---|"]
    for name, column, most in GOALS:
        value = found[name][column]
        lines.append(f"| {name}: {column} | {most:.2f} | {value:.2f} | {'reached' if value <= most else 'missed'} |")
    return "\n".join(lines)


def report(device: str, times: dict[str, list[float]], memory: dict[str, float], cosine: float, load: str) -> str:
    machine = torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} thread"
    name, size = SETTINGS[device]
    rounds = len(next(iter(times.values())))
    setting = (
        f"{name}, batches of {size} images of 32 x 32, float32, two-stage `Relaxed` of 14 operations unless said; "
        f"{rounds} rounds; a training step takes {memory['plain']:.0f} MiB above what lies there."
    )
    versions = f"torch {torch.__version__}, Python {platform.python_version()}, {machine}, {datetime.date.today()}."
    versions += f" Load of the machine when it began and ended: {load}." if device == "cpu" else ""
    half = f"Cosine of the hypergradient of half a batch with that of the whole: {cosine:.2f} (Neumann, 5)."
    found = columns(times, memory)
    lines = ["# Cost of hyper steps", "", setting, versions, "", table(times, found), "", half, "", goals(found), ""]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=list(SETTINGS))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/hypergrad-DEVICE.md")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if chosen.peak:
        print(json.dumps(peak(chosen.peak, chosen.device)))
        return
    memory = {name: peak_elsewhere(name, chosen.device) for name in ("plain", *METHODS)}
    before = os.getloadavg()[0]
    times, cosine = ratios(chosen.device, chosen.rounds), cosine_of_half(chosen.device)
    text = report(chosen.device, times, memory, cosine, f"{before:.1f} and {os.getloadavg()[0]:.1f}")
    print(text)
    if chosen.write:
        (RESULTS / f"hypergrad-{chosen.device}.md").write_text(text)


if __name__ == "__main__":
    main()
