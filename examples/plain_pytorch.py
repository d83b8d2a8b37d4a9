"""Train in plain PyTorch, on images of one's own: `autoaug run examples/plain_pytorch.py`.

Lines that a script without a study has not are marked with +.
"""

import torch
from optuna.distributions import FloatDistribution
from torch import nn
from torch.nn import functional as F

from autoaug import Budget, Study
from autoaug.strategies import none, online_score, trivialaugment


def shapes(count, most_degrees, seed):
    """Discs, squares, bars and crosses of 16 pixels, turned by up to so many degrees, in noise."""
    rng = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % 4
    angle = torch.deg2rad(most_degrees * (2 * torch.rand(count, 1, 1, generator=rng) - 1))
    y, x = torch.meshgrid(torch.linspace(-1, 1, 16), torch.linspace(-1, 1, 16), indexing="ij")
    u, v = (angle.cos() * x + angle.sin() * y).abs(), (angle.cos() * y - angle.sin() * x).abs()
    drawn = [u**2 + v**2 < 0.3, u.maximum(v) < 0.5, (u < 0.2) & (v < 0.8), (u.minimum(v) < 0.15) & (u.maximum(v) < 0.6)]
    images = torch.stack(drawn, 1)[torch.arange(count), targets, None].float()
    return (images + 0.5 * torch.randn(images.shape, generator=rng)).clamp(0, 1), targets


def network():
    layers = [nn.Conv2d(1, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 16, 4))


@torch.no_grad()
def accuracy(model, split):
    model.eval()
    return (model(split[0]).argmax(1) == split[1]).float().mean()


def finetune(trial):
    train, val = shapes(200, 15, seed=0), shapes(400, 90, seed=1)
    model = network()
    optimiser = torch.optim.AdamW(model.parameters(), lr=trial["lr"])  # +
    for epoch in trial.epochs(15, model=model, optimiser=optimiser):  # +
        model.train()
        for chosen in torch.randperm(200).split(40):
            images, targets = train[0][chosen], train[1][chosen]
            mixed, soft = trial.augment(images, targets)  # +
            optimiser.zero_grad()
            F.cross_entropy(model(mixed), soft).backward()
            optimiser.step()
            trial.learn(model, (images, targets), val, optimiser)  # +
        scores = {"val_accuracy": accuracy(model, val)}
        if trial.final and epoch == trial.total_epochs:  # +
            scores["test_accuracy"] = accuracy(model, shapes(1000, 90, seed=2))  # +
        yield scores  # +


study = Study(
    name="plain",
    train=finetune,
    space={"train.lr": FloatDistribution(1e-3, 1e-2, log=True)},
    strategies={"none": none(), "trivialaugment": trivialaugment(), "online_score": online_score()},
    budget=Budget(trials=2),
    seeds=3,
)
