"""Does mixup steady the training of a generative adversarial network?

Section 3.7 and figure 5 of Zhang et al. 2018, "mixup": a discriminator that tells λ from λ x + (1 - λ) g(z), in place
of one that tells real points from generated ones, on two sets of points in the plane. The text does not say which sets
these are: here eight Gaussians on a ring (`study`) and a spiral (`spiral_study`).

Paper     α = .2, networks of 3 x 512 units, Adam, 20,000 minibatches of 128, five for each step of the generator; the
          figure alone says how good the points are. Here the minibatches are those of the discriminator.
Small     `study` and `spiral_study`: 3 x 64 units, 2,500 minibatches
Cost      2 arms x 10 seeds, about 3 CPU-seconds a run: 1 to 2 CPU-minutes for each set of points
Answer    energy distance of 10 runs, 95 % intervals (2026-11-27). The ring: gan .264 ± .222, mixup .057 ± .024, paired
          difference -.207 ± .214, p = .056, on the side of the paper without enough evidence. The spiral: gan
          .090 ± .043, mixup .051 ± .035, paired difference -.040 ± .032, p = .021, which agrees with it. Runs of mixup
          differ less from each other in both.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from optuna.distributions import CategoricalDistribution
from torch import Generator, Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as error

from autoaug import Budget, Study, Task, Trial
from autoaug.strategies import Space, Strategy, none

PUBLISHED: dict[str, str] = {}
"""Of the arms: the paper shows points, and no figures."""

DIAGNOSED = ()
"""Diagnostics that its claims are about: none, for its loop is its own."""

BATCH = 128
PER_GENERATOR = 5
"""Steps of the discriminator for each one of the generator."""
JUDGED = 2_000
"""Points, generated and real ones, that a score is measured on."""


def ring(count: int, rng: Generator) -> Tensor:
    """Return points of eight Gaussians on a circle of radius 1, deviation .05: [count, 2]."""
    angle = torch.randint(8, (count,), generator=rng) * (math.pi / 4)
    return torch.stack([angle.cos(), angle.sin()], dim=1) + 0.05 * torch.randn(count, 2, generator=rng)


def spiral(count: int, rng: Generator) -> Tensor:
    """Return points along one and a half turns of a spiral, from its centre to radius 1, deviation .02: [count, 2]."""
    way = torch.rand(count, generator=rng).sqrt()
    angle = 3 * math.pi * way
    line = torch.stack([way * angle.cos(), way * angle.sin()], dim=1)
    return line + 0.02 * torch.randn(count, 2, generator=rng)


POINTS: dict[str, Callable[[int, Generator], Tensor]] = {"ring": ring, "spiral": spiral}


def network(width: int, outputs: int) -> nn.Sequential:
    """Return three hidden layers of ReLU units on points of the plane."""
    layers = [nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, outputs))


def shares(alpha: float, count: int) -> Tensor:
    """Return λ ~ Beta(α, α), [count, 1]; for α = 0 its limit, 0 or 1 with the same probability: the plain game.

    torch draws from its global generator, which a trial seeds and keeps.
    """
    if alpha == 0:
        return torch.randint(2, (count, 1)).float()
    return torch.distributions.Beta(alpha, alpha).sample((count, 1))


def energy_distance(first: Tensor, second: Tensor) -> Tensor:
    """Return 2 E|X - Y| - E|X - X'| - E|Y - Y'| of samples [N, 2] and [M, 2], without bias.

    Its mean is 0 where both are drawn from one distribution, and more where they are not.

    Source: Székely and Rizzo 2013, Energy statistics.
    """

    def within(points: Tensor) -> Tensor:
        return torch.cdist(points, points).sum() / (len(points) * (len(points) - 1))

    return 2 * torch.cdist(first, second).mean() - within(first) - within(second)


def gan(trial: Trial) -> Iterator[dict[str, Tensor]]:
    """Train a generator and a discriminator, and yield how far generated points are from fresh ones."""
    draw, rng, device = POINTS[trial["points"]], trial.streams["order"], trial.device
    generator, discriminator = (network(trial["width"], outputs).to(device) for outputs in (2, 1))
    theirs, ours = (torch.optim.Adam(each.parameters()) for each in (generator, discriminator))

    def generated(count: int) -> Tensor:
        made: Tensor = generator(torch.randn(count, 2, generator=rng).to(device))
        return made

    def distance() -> Tensor:
        with torch.no_grad():
            return energy_distance(generated(JUDGED).cpu(), draw(JUDGED, rng))

    kept: dict[str, Any] = {"generator": generator, "discriminator": discriminator, "theirs": theirs, "ours": ours}
    for epoch in trial.epochs(**kept):
        for step in range(trial["steps"]):
            lam = shares(trial["alpha"], BATCH).to(device)
            mixed = lam * draw(BATCH, rng).to(device) + (1 - lam) * generated(BATCH).detach()
            ours.zero_grad()
            error(discriminator(mixed), lam).backward()
            ours.step()
            if step % PER_GENERATOR == PER_GENERATOR - 1:
                theirs.zero_grad()
                error(discriminator(generated(BATCH)), torch.ones(BATCH, 1, device=device)).backward()
                theirs.step()
        test = {"test_energy_distance": distance()} if trial.final and epoch == trial.total_epochs else {}
        yield {"val_energy_distance": distance(), **test}


def always(**values: float | str) -> Space:
    """Return dimensions of one value each: what the loop reads and nothing searches."""
    return {f"train.{name}": CategoricalDistribution((value,)) for name, value in values.items()}


def arm(alpha: float) -> Strategy:
    """Return the game with this α."""
    return none()._replace(space=always(alpha=alpha))


def setting(name: str, points: str, width: int, epochs: int, seeds: int) -> Study:
    """Return a study of one set of points; an epoch is 250 minibatches."""
    return Study(
        name=name,
        train=gan,
        task=Task(data=None, epochs=epochs),
        space=always(points=points, width=width, steps=250),
        strategies={"gan": arm(0.0), "mixup": arm(0.2)},
        baseline="gan",
        metric="val_energy_distance",
        minimize=True,
        budget=Budget(trials=1),
        seeds=seeds,
    )


study = setting("mixup-gan", "ring", width=64, epochs=10, seeds=10)
spiral_study = setting("mixup-gan-spiral", "spiral", width=64, epochs=10, seeds=10)
paper = setting("mixup-gan-paper", "ring", width=512, epochs=80, seeds=10)
spiral_paper = setting("mixup-gan-spiral-paper", "spiral", width=512, epochs=80, seeds=10)
