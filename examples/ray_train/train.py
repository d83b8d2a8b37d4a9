"""Train one network by two workers of Ray Train; study.py searches around it.

Lines that a script without a study has not are marked with +.
"""

import os

import ray
import torch
from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer, prepare_model
from torch import distributed, nn
from torch.nn import functional as F

import autoaug


def halves(count, seed):
    """Make images of 8 x 8 pixels whose left (class 0) or right half (class 1) is brighter, under noise."""
    rng = torch.Generator().manual_seed(seed)
    classes = torch.randint(2, (count,), generator=rng)
    right = torch.arange(8).ge(4).expand(count, 1, 8, 8)
    bright = (right == classes.bool()[:, None, None, None]).float()
    return (bright + 2 * torch.rand(bright.shape, generator=rng)) / 3, classes


def finetune(trial):
    """Train for four epochs; every worker trains on its share of each batch, and rank 0 reports."""
    rank, world = distributed.get_rank(), distributed.get_world_size()
    (images, classes), (val_images, val_classes), (test_images, test_classes) = map(halves, (512, 256, 1024), range(3))
    model = prepare_model(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)))
    optimiser = torch.optim.AdamW(model.parameters(), lr=trial["lr"])  # +

    def accuracy(images, classes):
        return (model.module(images).argmax(1) == classes).float().mean().item()

    for epoch in trial.epochs(4, model=model, optimiser=optimiser):  # +
        for batch in torch.randperm(512, generator=trial.streams["order"]).split(64):  # the same in all workers
            share = batch[rank::world]
            mixed, soft = trial.augment(images[share], classes[share], classes=2)  # +
            optimiser.zero_grad()
            F.cross_entropy(model(mixed), soft).backward()  # gradients are averaged over the workers
            optimiser.step()
        scores = {"val_accuracy": accuracy(val_images, val_classes)}
        if trial.final and epoch == trial.total_epochs:  # +
            scores["test_accuracy"] = accuracy(test_images, test_classes)
        yield scores  # +


def worker():
    autoaug.current().run(finetune)  # +


if __name__ == "__main__":
    told = {"AUTOAUG_TRIAL": os.environ["AUTOAUG_TRIAL"]}  # +
    ray.init(runtime_env={"env_vars": told})  # workers of a cluster have another environment
    TorchTrainer(worker, scaling_config=ScalingConfig(num_workers=2)).fit()
