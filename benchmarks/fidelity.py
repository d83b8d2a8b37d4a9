"""How close is each hypergradient to the truth, how noisy is it, and what does it cost?

A network is trained with full-batch gradient descent on augmented digits (scikit-learn's, 8 x 8). The eight
magnitudes of the augmentation are the hyperparameters. The truth is the derivative of the validation loss through
`--reference` more steps of the same training. Every estimator is compared with it, on all data and on mini-batches:

    cosine     with the truth; "64" of one mini-batch of 64 training and 64 validation samples, "64 x 10" of the mean of
               ten (mean over the runs)
    norm       length over that of the truth, on all data (median over the runs)
    variance   E |g - mean g|² / |mean g|² over mini-batches (median over the runs)
    cost       time of a call over that of one training step, both on 256 samples (median over the runs)

Run from the root of the checkout:

    python -m benchmarks.fidelity --quick
    python -m benchmarks.fidelity --write benchmarks/results/fidelity-cpu.md
    python -m benchmarks.fidelity --device cuda --model wrn-16-2 --write
"""

import argparse
import datetime
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import Generator, Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from autoaug.hypergrad import (
    Hypergrad,
    ModelLoss,
    conjugate_gradient,
    exact,
    gauss_newton_cg,
    identity,
    neumann,
    running,
    unrolled,
)
from autoaug.models import build

LR = 0.1
DAMPING = 0.01
WEIGHT_DECAY = 1e-3
WARM_CALLS = 20  # of estimators that carry something from call to call

ESTIMATORS: dict[str, Callable[[], Hypergrad]] = {
    "`identity()`": identity,
    f"`neumann(5, {LR})`": lambda: neumann(5, LR),
    f"`neumann(20, {LR})`": lambda: neumann(20, LR),
    f"`conjugate_gradient(5, {DAMPING})`": lambda: conjugate_gradient(5, DAMPING),
    f"`conjugate_gradient(20, {DAMPING})`": lambda: conjugate_gradient(20, DAMPING),
    f"`gauss_newton_cg(5, {DAMPING})`": lambda: gauss_newton_cg(5, DAMPING),
    f"`gauss_newton_cg(20, {DAMPING})`": lambda: gauss_newton_cg(20, DAMPING),
    f"`running({LR})`, call {WARM_CALLS + 1} on": lambda: running(LR),
    f"`unrolled(1, {LR})`": lambda: unrolled(1, LR),
    f"`unrolled(5, {LR})`": lambda: unrolled(5, LR),
}
QUICK = {"seeds": 1, "steps": 300, "reference": 100, "draws": 10}
ORACLE = f"`exact({DAMPING})`"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The size of the experiment."""

    model: str
    device: str
    seeds: int
    steps: int
    reference: int
    draws: int
    """Mini-batches per size, a multiple of ten."""

    @property
    def activations(self) -> tuple[str, ...]:
        return ("silu", "relu") if self.model == "mlp" else ("relu",)


@dataclass(frozen=True)
class Samples:
    """B images [B, 1, H, W] with labels [B], and the fixed random numbers that augment them.

    `uniform` [B, 7] is in [-1, 1], `normal` [B, 1, H, W].
    """

    images: Tensor
    labels: Tensor
    uniform: Tensor
    normal: Tensor

    def take(self, indices: Tensor) -> "Samples":
        return Samples(self.images[indices], self.labels[indices], self.uniform[indices], self.normal[indices])

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True)
class Problem:
    """A network at trained weights, the magnitudes that it was trained with, and its data."""

    net: nn.Module
    weights: dict[str, Tensor]
    magnitudes: Tensor
    train: Samples
    val: Samples

    def train_loss(self, samples: Samples) -> ModelLoss:
        def logits(weights: dict[str, Tensor], hyper: list[Tensor]) -> tuple[Tensor, Tensor]:
            decay = 0.5 * WEIGHT_DECAY * torch.stack([w.square().sum() for w in weights.values()]).sum()
            return self.forward(weights, augmented(samples, hyper[0])), decay

        return ModelLoss(logits, lambda outputs, decay: functional.cross_entropy(outputs, samples.labels) + decay)

    def val_loss(self, samples: Samples) -> Callable[[dict[str, Tensor], list[Tensor]], Tensor]:
        return lambda weights, _: functional.cross_entropy(self.forward(weights, samples.images), samples.labels)

    def forward(self, weights: dict[str, Tensor], images: Tensor) -> Tensor:
        buffers = {name: buffer.clone() for name, buffer in self.net.named_buffers()}  # running statistics stay
        return functional_call(self.net, weights | buffers, (images,))

    def estimate(self, hypergrad: Hypergrad, train: Samples, val: Samples) -> Tensor:
        return hypergrad(self.train_loss(train), self.val_loss(val), self.weights, [self.magnitudes])[0]


def augmented(samples: Samples, magnitudes: Tensor) -> Tensor:
    """Rotate (radians), translate x and y, shear, zoom (log), brightness, contrast (factor - 1), noise (deviation)."""
    *amounts, bright, contrast = (samples.uniform * magnitudes[:7]).unbind(1)
    grid = functional.affine_grid(affine(*amounts), list(samples.images.shape), align_corners=False)
    moved = functional.grid_sample(samples.images, grid, align_corners=False)
    bright, contrast = bright[:, None, None, None], contrast[:, None, None, None]
    return (moved - 0.3) * (1 + contrast) + 0.3 + bright + samples.normal * magnitudes[7]


def affine(angle: Tensor, x: Tensor, y: Tensor, shear: Tensor, zoom: Tensor) -> Tensor:
    """[B, 2, 3]."""
    cos, sin = angle.cos() * zoom.exp(), angle.sin() * zoom.exp()
    rows = torch.stack([cos, shear * cos - sin, x]), torch.stack([sin, shear * sin + cos, y])
    return torch.stack(rows).permute(2, 0, 1)


def samples(indices: Tensor, settings: Settings, rng: Generator) -> Samples:
    dtype = torch.float64 if settings.model == "mlp" else torch.float32
    digits = load_digits()
    images = torch.tensor(digits.images, dtype=dtype)[indices, None] / 16
    if settings.model != "mlp":
        images = functional.interpolate(images, size=(32, 32), mode="bilinear")
    uniform = 2 * torch.rand(len(images), 7, generator=rng, dtype=dtype) - 1
    normal = torch.randn(images.shape, generator=rng, dtype=dtype)
    found = images, torch.tensor(digits.target)[indices], uniform, normal
    return Samples(*(tensor.to(settings.device) for tensor in found))


def mlp(activation: str, classes: int) -> nn.Module:
    bend = {"silu": nn.SiLU, "relu": nn.ReLU}[activation]
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), bend(), nn.Linear(32, classes)).double()


def network(settings: Settings, activation: str, seed: int) -> nn.Module:
    model = partial(mlp, activation) if settings.model == "mlp" else settings.model
    return build(model, 10, 1, Generator().manual_seed(seed)).to(settings.device)


def trained(settings: Settings, activation: str, seed: int) -> Problem:
    """The network after `steps` steps of gradient descent on 200 digits, each under four draws of the augmentation."""
    rng = Generator().manual_seed(seed)
    order = torch.randperm(1797, generator=rng)
    train, val = samples(order[:200].repeat(4), settings, rng), samples(order[200:600], settings, rng)
    magnitudes = torch.full((8,), 0.1, dtype=train.images.dtype, device=settings.device)
    net = network(settings, activation, seed)
    problem = Problem(net, dict(net.named_parameters()), magnitudes, train, val)
    for _ in range(settings.steps):
        problem = replace(problem, weights=descended(problem, train))
    return problem


def descended(problem: Problem, train: Samples) -> dict[str, Tensor]:
    """The weights after one step of gradient descent."""
    weights = {name: tensor.detach().requires_grad_() for name, tensor in problem.weights.items()}
    loss = problem.train_loss(train)(weights, [problem.magnitudes])
    slopes = torch.autograd.grad(loss, list(weights.values()))
    return {name: (weights[name] - LR * slope).detach() for name, slope in zip(weights, slopes, strict=True)}


def mini_batches(problem: Problem, size: int, rng: Generator) -> Iterator[tuple[Samples, Samples]]:
    while True:
        train, val = (torch.randperm(len(part), generator=rng)[:size] for part in (problem.train, problem.val))
        yield problem.train.take(train), problem.val.take(val)


def noisy(problem: Problem, make: Callable[[], Hypergrad], size: int, draws: int) -> Tensor:
    """Estimates on `draws` mini-batches [draws, 8]."""
    hypergrad, batches = make(), mini_batches(problem, size, Generator().manual_seed(size))
    warm(hypergrad, lambda: problem.estimate(hypergrad, *next(batches)))
    return torch.stack([problem.estimate(hypergrad, *next(batches)) for _ in range(draws)])


def full(problem: Problem, make: Callable[[], Hypergrad]) -> Tensor:
    hypergrad = make()
    warm(hypergrad, lambda: problem.estimate(hypergrad, problem.train, problem.val))
    return problem.estimate(hypergrad, problem.train, problem.val)


def warm(hypergrad: Hypergrad, call: Callable[[], object]) -> None:
    for _ in range(WARM_CALLS if hasattr(hypergrad, "state_dict") else 0):
        call()


def seconds(call: Callable[[], object], device: str, repeats: int = 7) -> float:
    """Median time of a call, after one that is not counted. On a CPU that may be shared, CPU-seconds."""
    clock = gpu_clock if device == "cuda" else time.process_time
    times = []
    for _ in range(repeats + 1):
        start = clock()
        call()
        times.append(clock() - start)
    return statistics.median(times[1:])


def gpu_clock() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def cosine(estimate: Tensor, truth: Tensor) -> float:
    return float(functional.cosine_similarity(estimate, truth, dim=0))


def card(problem: Problem, make: Callable[[], Hypergrad], truth: Tensor, settings: Settings) -> dict[str, float]:
    """One run's numbers of one estimator."""
    found = on_all_data(problem, make, truth)
    for size in (64, 256):
        single = noisy(problem, make, size, settings.draws)
        mean, tens = single.mean(0), single.reshape(-1, 10, len(truth)).mean(1)
        found[f"{size}"] = statistics.mean(cosine(row, truth) for row in single)
        found[f"{size} x 10"] = statistics.mean(cosine(row, truth) for row in tens)
        found[f"variance {size}"] = float((single - mean).square().sum(1).mean() / mean.square().sum())
    found["cost"] = cost(problem, make(), settings.device)
    return found


def on_all_data(problem: Problem, make: Callable[[], Hypergrad], truth: Tensor) -> dict[str, float]:
    estimate = full(problem, make)
    return {"all data": cosine(estimate, truth), "norm": float(estimate.norm() / truth.norm())}


def cost(problem: Problem, hypergrad: Hypergrad, device: str) -> float:
    train, val = next(mini_batches(problem, 256, Generator().manual_seed(0)))
    plain = seconds(lambda: descended(problem, train), device)
    return seconds(lambda: problem.estimate(hypergrad, train, val), device) / plain


def cards(settings: Settings, activation: str, seed: int) -> dict[str, dict[str, float]]:
    """One run's numbers of all estimators."""
    problem = trained(settings, activation, seed)
    truth = full(problem, lambda: replace(unrolled(settings.reference, LR), recompute=True))
    found = {name: card(problem, make, truth, settings) for name, make in ESTIMATORS.items()}
    if settings.model == "mlp":
        found[ORACLE] = on_all_data(problem, lambda: exact(DAMPING), truth)
    return found


COLUMNS: dict[str, Callable[[Sequence[float]], float]] = {
    "all data": statistics.mean,
    "norm": statistics.median,
    "64": statistics.mean,
    "64 x 10": statistics.mean,
    "256": statistics.mean,
    "256 x 10": statistics.mean,
    "variance 64": statistics.median,
    "variance 256": statistics.median,
    "cost": statistics.median,
}
"""The table's columns, and how the numbers of several runs become one."""

LEGEND = """
Columns: cosine with the truth on all data, and length over that of the truth; mean cosine of one mini-batch of 64 (256)
training and as many validation samples, and of the mean of ten; variance E |g - mean g|² / |mean g|² over mini-batches;
time over that of one training step. Cosines are means over the runs, the others medians.
"""


def table(runs: Sequence[Mapping[str, Mapping[str, float]]]) -> str:
    lines = ["| estimator | " + " | ".join(COLUMNS) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for name in runs[0]:
        cells = [shown(column, [run[name][column] for run in runs if column in run[name]]) for column in COLUMNS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def shown(column: str, values: Sequence[float]) -> str:
    return f"{COLUMNS[column](values):.3g}" if values else ""


def report(settings: Settings, runs: Sequence[Mapping[str, Mapping[str, float]]]) -> str:
    device = torch.cuda.get_device_name() if settings.device == "cuda" else f"CPU, {torch.get_num_threads()} thread(s)"
    nets = f"{settings.model} ({', '.join(settings.activations)}) x {settings.seeds} seed(s)"
    setting = (
        f"{nets}: {settings.steps} steps at lr {LR}, weight decay {WEIGHT_DECAY}; the truth goes through "
        f"{settings.reference} more; {settings.draws} mini-batches per size."
    )
    versions = f"torch {torch.__version__}, Python {platform.python_version()}, {device}, {datetime.date.today()}."
    return "\n".join(["# Fidelity of hypergradients", "", setting, versions, LEGEND, table(runs), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mlp", help='"mlp" or a name of autoaug.models')
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=1200, help="training steps before the comparison")
    parser.add_argument("--reference", type=int, default=400, help="training steps that the truth goes through")
    parser.add_argument("--draws", type=int, default=30, help="mini-batches per size, a multiple of ten")
    parser.add_argument("--quick", action="store_true", help="one seed, 300 steps, 100 for the truth, ten mini-batches")
    parser.add_argument("--write", type=Path, nargs="?", const=Path(__file__).parent / "results" / "fidelity.md")
    chosen = vars(parser.parse_args())
    path, quick = chosen.pop("write"), chosen.pop("quick")
    settings = Settings(**chosen | (QUICK if quick else {}))
    warnings.simplefilter("once")
    runs = [cards(settings, activation, seed) for activation in settings.activations for seed in range(settings.seeds)]
    text = report(settings, runs)
    print(text)
    if path:
        path.write_text(text)


if __name__ == "__main__":
    main()
