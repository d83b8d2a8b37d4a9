"""Small bilevel problems that several test files pose."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from autoaug.learners import Batch, Problem, Updates
from autoaug.policy import Relaxed
from autoaug.train import Task

TASK = Task(data="digits-rotated", model="convnet", epochs=3, batch_size=50, lr=0.2, device="cpu")
SMALL = Updates(every=4, hyper_batch=60, val_batch=60)
OPS = ("rotate", "invert", "brightness")


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def batch(size: int, seed: int, dtype: torch.dtype = torch.float32) -> Batch:
    rng = seeded(seed)
    return Batch(torch.rand(size, 1, 8, 8, generator=rng, dtype=dtype), torch.randint(10, (size,), generator=rng))


class Smooth(nn.Module):
    """A small network without batch statistics, kinks or noise."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 6), nn.Linear(6, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.first(images.flatten(1)).tanh())


class Noisy(nn.Module):
    """A network with running statistics and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout())
        self.last = nn.Linear(4 * 36, 10)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.net(images))


def network(kind: Callable[[], nn.Module] = Smooth) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind()


def spread(policy: Relaxed) -> Relaxed:
    rng = seeded(7)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=rng))
    return policy


def small_problem(policy: Relaxed, size: int = 2) -> Problem:
    double = torch.float64
    return Problem(policy.double(), network().double(), batch(size, 1, double), batch(20, 2, double), seeded(3))


class Brightened(nn.Module):
    """A policy without any randomness: each image times a factor."""

    def __init__(self, entries: int = 1) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(entries))

    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        return images * self.factor.to(images).repeat(len(images) // len(self.factor)).view(-1, 1, 1, 1)
