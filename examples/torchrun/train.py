"""Train one network by several processes, which torchrun starts; study.py searches around it."""

import torch
from torch import distributed, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

import autoaug


def stripes(count, rng):
    """Make images of 8 x 8 pixels with bright rows (class 0) or bright columns (class 1), under noise."""
    classes = torch.randint(2, (count,), generator=rng)
    rows = (torch.rand(count, 1, 8, 1, generator=rng) > 0.5).float().expand(-1, -1, -1, 8)
    images = torch.where(classes[:, None, None, None] == 0, rows, rows.transpose(2, 3))
    return (images + 0.7 * torch.rand(images.shape, generator=rng)) / 1.7, classes


def finetune(trial):
    """Train for four epochs; every rank trains on its share of each batch, and rank 0 reports."""
    distributed.init_process_group("gloo")  # "nccl" on GPUs
    rank, world = distributed.get_rank(), distributed.get_world_size()
    images, classes = stripes(512, torch.Generator().manual_seed(0))
    val_images, val_classes = stripes(256, torch.Generator().manual_seed(1))

    with torch.random.fork_rng():
        torch.manual_seed(trial.seed)  # the ranks begin with equal weights
        network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2))
    model = DistributedDataParallel(network.to(trial.device))
    optimiser = torch.optim.AdamW(model.parameters(), lr=trial["lr"])

    for epoch in trial.epochs(4, model=model, optimiser=optimiser):
        for batch in torch.randperm(512, generator=trial.streams["order"]).split(64):
            share = batch[rank::world]  # the order is the same in all ranks
            mixed, soft = trial.augment(images[share], classes[share], classes=2)
            loss = F.cross_entropy(model(mixed), soft)
            optimiser.zero_grad()
            loss.backward()  # the gradients are averaged over the ranks
            optimiser.step()
        with torch.no_grad():
            scores = {"val_accuracy": (network(val_images).argmax(1) == val_classes).float().mean()}
            if trial.final and epoch == trial.total_epochs:
                test_images, test_classes = stripes(1024, torch.Generator().manual_seed(2))
                scores["test_accuracy"] = (network(test_images).argmax(1) == test_classes).float().mean()
        yield scores
    distributed.destroy_process_group()


if __name__ == "__main__":
    autoaug.current().run(finetune)
