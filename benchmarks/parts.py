"""What does a hypergradient through a part of a network cost, and does it point where that through all of it does?

A network is pretrained on the digits 0 to 7 and fine-tuned on 48 images of the digits 8 and 9, with a new head. A hyper
step has these 48 images and 48 others to validate on. It goes through the whole network, through its last block and
head, or through its head alone (`Updates.part`); the rest is then taken for constant, though it trains.

    ratio        CPU-seconds of a hyper step over those of a training step on 48 images (median over the rounds)
    of all       the same over the hyper step through all of the network
    cosine       of the hypergradient with that through all of it, same batches and draws: mean and standard deviation
                 over `--batches` batches, with the new head and after 20 steps of fine-tuning

All kinds of step are timed in turn, round after round in one process, on one thread, and compared within their round.

Run from the root of the checkout:

    python -m benchmarks.parts
    python -m benchmarks.parts --write
"""

import argparse
import datetime
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Generator, nn
from torch.nn import functional

from autoaug.hypergrad import Hypergrad, identity, neumann, unrolled
from autoaug.learners import Batch, Bilevel, Problem, Updates
from autoaug.learners._estimators import pathwise
from autoaug.models import PARTS, Part, build, names_of
from autoaug.policy import Relaxed

LR, SIZE, STEPS = 0.02, 48, 20
METHODS: dict[str, Callable[[], Hypergrad]] = {
    "identity": identity,
    "Neumann, 5": lambda: neumann(5, 1e-3),
    "unrolled, 1": lambda: unrolled(1, LR),
}
RESULTS = Path(__file__).parent / "results"


def transformer(classes: int, channels: int) -> nn.Module:
    """A vision transformer of four layers, 64 wide, on patches of 8 x 8."""
    from torchvision.models import VisionTransformer

    network = VisionTransformer(32, 8, 4, 4, 64, 128, num_classes=classes)
    network.conv_proj = nn.Conv2d(channels, 64, 8, stride=8)
    return network


NETWORKS: dict[str, Any] = {"resnet-8": "resnet-8", "vision transformer": transformer}


def images_of(classes: Sequence[int]) -> Batch:
    """scikit-learn's digits of these classes, enlarged to 32 x 32 and counted from 0."""
    data = load_digits()
    rows = [k for k, target in enumerate(data.target) if target in classes]
    small = torch.tensor(data.images, dtype=torch.float32)[rows, None] / 16
    targets = torch.tensor([classes.index(data.target[k]) for k in rows])
    return Batch(functional.interpolate(small, size=(32, 32), mode="bilinear"), targets)


def some(given: Batch, rng: Generator, size: int = SIZE) -> Batch:
    rows = torch.randperm(len(given.targets), generator=rng)[:size]
    return Batch(given.images[rows], given.targets[rows])


def step(model: nn.Module, optimiser: torch.optim.Optimizer, given: Batch) -> None:
    optimiser.zero_grad(set_to_none=True)
    functional.cross_entropy(model(given.images), given.targets).backward()
    optimiser.step()


def trainer(model: nn.Module, lr: float = LR) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr, 0.9, weight_decay=5e-4, nesterov=True)


def pretrained(kind: Any, steps: int) -> nn.Module:
    """A network for the digits 8 and 9 whose backbone has seen the others."""
    rng, many = Generator().manual_seed(0), images_of(range(8))
    model = build(kind, 8, 1, rng).train()
    optimiser = trainer(model)
    for _ in range(steps):
        step(model, optimiser, some(many, rng, 128))
    fresh = build(kind, 2, 1, Generator().manual_seed(1))
    backbone = set(model.state_dict()) - names_of(model, "head")
    fresh.load_state_dict({name: model.state_dict()[name] for name in backbone}, strict=False)
    return fresh.train()


def posed(model: nn.Module, policy: Relaxed, train: Batch, val: Batch, part: Part, seed: int) -> Problem:
    return Problem(policy, model, train, val, Generator().manual_seed(seed), part=part)


def tuning() -> tuple[Batch, Batch]:
    """The images to fine-tune on, and all others of the same classes."""
    few = images_of((8, 9))
    order = torch.randperm(len(few.targets), generator=Generator().manual_seed(3))
    first, rest = order[:SIZE], order[SIZE:]
    return Batch(few.images[first], few.targets[first]), Batch(few.images[rest], few.targets[rest])


def cosines(model: nn.Module, make: Callable[[], Hypergrad], batches: int) -> dict[Part, list[float]]:
    """Of the hypergradients through each part with that through all, by the same draws and validation images."""
    rng, policy, (train, others) = Generator().manual_seed(2), Relaxed(), tuning()
    found: dict[Part, list[float]] = {part: [] for part in PARTS}
    for seed in range(batches):
        val = some(others, rng)
        grads = {part: pathwise(make(), posed(model, policy, train, val, part, seed)) for part in PARTS}
        flat = {part: torch.cat([each.flatten() for each in grad.values()]) for part, grad in grads.items()}
        for part in PARTS:
            found[part].append(float(functional.cosine_similarity(flat[part], flat["all"], dim=0)))
    return found


def fine_tune(model: nn.Module) -> None:
    train, optimiser = tuning()[0], trainer(model)
    for _ in range(STEPS):
        step(model, optimiser, train)


def seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def advance(learner: Bilevel, model: nn.Module, train: Batch, val: Batch, optimiser: torch.optim.Optimizer) -> None:
    learner.advance(posed(model, learner.policy, train, val, learner.updates.part, 0), optimiser)


def times(model: nn.Module, rounds: int) -> dict[tuple[str, Part], list[float]]:
    """Of every method and part, in every round: the time of its hyper step over that of the steps on either side."""
    optimiser, (train, others) = trainer(model), tuning()
    val = some(others, Generator().manual_seed(4))
    works: dict[tuple[str, Part], Callable[[], None]] = {}
    for name, make in METHODS.items():
        for part in PARTS:
            learner = Bilevel(Relaxed(), make(), Updates(estimator="pathwise", part=part))
            works[name, part] = partial(advance, learner, model, train, val, optimiser)
    found: dict[tuple[str, Part], list[float]] = {key: [] for key in works}
    for k in range(rounds + 1):
        for key, work in works.items():
            plain = partial(step, model, optimiser, train)
            before, hyper, after = (seconds(each) for each in (plain, work, plain))
            if k:  # the first round warms up
                found[key].append(2 * hyper / (before + after))
    return found


def spoken(values: Sequence[float]) -> str:
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"


def table(kind: Any, steps: int, rounds: int, batches: int) -> list[str]:
    """The rows of a network."""
    model = pretrained(kind, steps)
    sizes = {name: weight.numel() for name, weight in model.named_parameters()}
    share = {part: sum(sizes[name] for name in names_of(model, part)) for part in PARTS}
    new = {name: cosines(model, make, batches) for name, make in METHODS.items()}
    fine_tune(model)
    later = {name: cosines(model, make, batches) for name, make in METHODS.items()}
    took = times(model, rounds)
    lines = [
        "| hypergradient | through | weights | ratio | of all | cosine, new head | cosine, after 20 steps |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name in METHODS:
        whole = statistics.median(took[name, "all"])
        for part in PARTS:
            ratio = statistics.median(took[name, part])
            ends = [spoken(found[name][part]) if part != "all" else "1" for found in (new, later)]
            lines.append(
                f"| {name} | {part} | {share[part]:,} | {ratio:.2f} | {ratio / whole:.2f} | {' | '.join(ends)} |"
            )
    return lines


def page(title: str, about: str, of_network: Callable[[Any], list[str]]) -> str:
    """The table of every network, and on what it was measured; the tables are made here."""
    begun = os.getloadavg()[0]
    rows = [line for name, kind in NETWORKS.items() for line in [f"## {name}", "", *of_network(kind), ""]]
    return "\n".join(
        [
            f"# {title}",
            "",
            about,
            f"torch {torch.__version__}, Python {platform.python_version()}, CPU, 1 thread, {datetime.date.today()}. "
            f"Load of the machine when it began and ended: {begun:.1f} and {os.getloadavg()[0]:.1f}.",
            "",
            *rows,
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, default=8)
    parser.add_argument("--pretrain-steps", type=int, default=100)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/parts-cpu.md")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    about = (
        f"Pretrained for {chosen.pretrain_steps} steps on the digits 0 to 7 at 32 x 32, fine-tuned on {SIZE} "
        f"images of the digits 8 and 9. Two-stage `Relaxed` of 14 operations, pathwise, float32; {chosen.rounds} "
        f"rounds, {chosen.batches} batches. `benchmarks/parts.py` says what the columns are."
    )
    of_network = partial(table, steps=chosen.pretrain_steps, rounds=chosen.rounds, batches=chosen.batches)
    text = page("Hypergradients through a part of a network", about, of_network)
    print(text)
    if chosen.write:
        (RESULTS / "parts-cpu.md").write_text(text)


if __name__ == "__main__":
    main()
