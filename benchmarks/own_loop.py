"""What does the door cost beside the bare loop?

The same plain PyTorch loop, with the same images in the same order, trains an epoch bare, and one behind the door, as a
loop of a study that has neither policy nor mix, so that what is called is all that it costs: the clocks, the global
generators that are exchanged, the counted steps, `trial.augment`, `trial.learn`, and the checks and the record of each
epoch. What a study does with a record then, whoever trains, is the matter of `benchmarks/overhead.py`.

    bare, door   CPU-seconds of this process for one epoch, or seconds on the wall with a GPU, for whose end each epoch
                 waits; medians over pairs of epochs that follow each other
    more         median of the differences of the pairs, with the range of the middle half of them

Two lengths of an epoch tell what it costs for each step and for each epoch. **Measured are short epochs of a tiny
network**, in which that can be seen: none of it grows with the network, and with the images only the look at the first
batch of an epoch does. What it is of an epoch of 30 seconds is computed from that, for steps that take 10 ms and 100
ms. Run from the root of the checkout.

    python -m benchmarks.own_loop --write benchmarks/results/own-loop-cpu.md
    python -m benchmarks.own_loop --device cuda
"""

import argparse
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from autoaug import Task, Trial
from autoaug.mixing import MIXES
from autoaug.strategies import none
from autoaug.train import NullLearner
from autoaug.trial import records

BATCH, EPOCH_SECONDS, LIMIT = 16, 30.0, 0.01
"""Images of a step; an epoch that the overhead is compared with, and the share of it that the door may cost."""
STEP_SECONDS = 0.01, 0.1
"""Steps that such an epoch may have."""
CLOCKS = {"cpu": time.process_time, "cuda": time.perf_counter}


def network(device: torch.device) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A tiny network, and its optimiser."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).to(device)
    return model, torch.optim.AdamW(model.parameters(), lr=1e-3)


def batches(steps: int, device: str) -> list[tuple[Tensor, Tensor]]:
    """Images of 8 x 8 pixels, and their classes."""
    rng = torch.Generator().manual_seed(0)
    images = [torch.rand(BATCH, 1, 8, 8, generator=rng) for _ in range(steps)]
    return [(each.to(device), torch.randint(10, (BATCH,), generator=rng).to(device)) for each in images]


def bare(train: list[tuple[Tensor, Tensor]]) -> Iterator[dict[str, float]]:
    """Train epoch after epoch, as a script does."""
    model, optimiser = network(train[0][0].device)
    while True:
        for images, targets in train:
            soft = F.one_hot(targets, 10).float()
            loss = F.cross_entropy(model(images), soft)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        yield {"val_accuracy": 0.5, "train_loss": loss.item()}


def behind(trial: Trial, train: list[tuple[Tensor, Tensor]]) -> Iterator[dict[str, float]]:
    """Train the same as a loop of a study."""
    model, optimiser = network(trial.device)
    for _ in trial.epochs(10**6, steps=len(train), model=model, optimiser=optimiser):
        for images, targets in train:
            mixed, soft = trial.augment(images, targets)
            loss = F.cross_entropy(model(mixed), soft)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            trial.learn(model, (images, targets), train[0], optimiser)
        yield {"val_accuracy": 0.5, "train_loss": loss.item()}


class Cost(NamedTuple):
    """Seconds of an epoch of so many steps."""

    steps: int
    bare: float
    door: float
    more: float
    low: float
    high: float

    def row(self) -> str:
        more = f"{1e3 * self.more:+.2f} ms ({1e3 * self.low:+.2f} to {1e3 * self.high:+.2f})"
        return f"| {self.steps} | {self.bare:.4f} | {self.door:.4f} | {more} | {self.more / self.bare:.2%} |"


def timed(epochs: Iterator[Any], clock: Callable[[], float]) -> float:
    """Seconds of the next epoch; it reads its loss at its end, for which it waits."""
    begin = clock()
    next(epochs)
    return clock() - begin


def measure(steps: int, pairs: int, device: str) -> Cost:
    """Train epochs bare and behind the door by turns; who is first takes turns too."""
    train, strategy, clock = batches(steps, device), none(), CLOCKS[device]
    trial = Trial({}, strategy.policy(), MIXES["none"](), NullLearner(), Task(data=None, device=device), 0)
    both = [bare(train), records(lambda trial: behind(trial, train), trial)]
    for epochs in both:
        next(epochs)
    found = list[tuple[float, float]]()
    for k in range(pairs):
        first, second = both if k % 2 else both[::-1]
        times = timed(first, clock), timed(second, clock)
        found.append(times if k % 2 else times[::-1])
    differences = [door - alone for alone, door in found]
    low, more, high = statistics.quantiles(differences, n=4)
    alone, door = (statistics.median(each) for each in zip(*found, strict=True))
    return Cost(steps, alone, door, more, low, high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs=2, default=[20, 200], help="of the two kinds of epochs")
    parser.add_argument("--pairs", type=int, default=101, help="of epochs, of each kind")
    parser.add_argument("--write", type=Path, metavar="MARKDOWN", help="where the table goes; else it is printed only")
    parser.add_argument("--device", default="cpu", choices=list(CLOCKS))
    given = parser.parse_args()
    if given.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch sees no GPU here; leave --device out to measure on the CPU")
    torch.set_num_threads(1)
    short, long = (measure(steps, given.pairs, given.device) for steps in given.steps)
    per_step = (long.more - short.more) / (long.steps - short.steps)
    per_epoch = short.more - short.steps * per_step
    shares = [per_epoch / EPOCH_SECONDS + per_step / step for step in STEP_SECONDS]
    said = " and ".join(
        f"{share:.2%} where a step takes {1e3 * step:g} ms" for share, step in zip(shares, STEP_SECONDS, strict=True)
    )
    kind = "CPU-seconds" if given.device == "cpu" else f"seconds on the wall, {torch.cuda.get_device_name()}"
    lines = [
        "# What a loop of one's own pays for the door",
        "",
        f"torch {torch.__version__}, Python {platform.python_version()}, 1 thread, {time.strftime('%Y-%m-%d')}. Load "
        f"average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores. Batches of {BATCH} images of 8 × 8; medians "
        f"over {given.pairs} pairs, {kind}. `benchmarks/own_loop.py` says what is compared.",
        "",
        "| steps of an epoch | bare | door | more (middle half of the pairs) | share |",
        "|---:|---:|---:|---:|---:|",
        short.row(),
        long.row(),
        "",
        f"That is {1e3 * per_epoch:.2f} ms an epoch and {1e6 * per_step:.0f} µs a step. Computed from it, not "
        f"measured: of an epoch of {EPOCH_SECONDS:g} s the door takes {said}. The goal is {LIMIT:.0%}.",
    ]
    print("\n".join(lines))
    if given.write:
        given.write.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
