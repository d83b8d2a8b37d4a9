"""Train one network by several processes, which torchrun starts; study.py searches around it.

Lines that a script without a study has not are marked with +.
"""

import torch
from torch import distributed, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

import autoaug


def stripes(count, seed):
    """Make images of 8 x 8 pixels with bright rows (class 0) or bright columns (class 1), under noise."""
    rng = torch.Generator().manual_seed(seed)
    classes = torch.randint(2, (count,), generator=rng)
    rows = (torch.rand(count, 1, 8, 1, generator=rng) > 0.5).float().expand(-1, -1, -1, 8)
    images = torch.where(classes[:, None, None, None] == 0, rows, rows.transpose(2, 3))
    return (images + 0.7 * torch.rand(images.shape, generator=rng)) / 1.7, classes


def finetune(trial):
    """Train for four epochs; every rank trains on its share of each batch, and rank 0 reports."""
    distributed.init_process_group("gloo")  # "nccl" on GPUs
    rank, world = distributed.get_rank(), distributed.get_world_size()
    (images, classes), (val_images, val_classes), (test_images, test_classes) = map(stripes, (512, 256, 1024), range(3))
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2))
    model = DistributedDataParallel(network)
    optimiser = torch.optim.AdamW(model.parameters(), lr=trial["lr"])  # +

    def accuracy(images, classes):
        return (network(images).argmax(1) == classes).float().mean().item()

    for epoch in trial.epochs(4, model=model, optimiser=optimiser):  # +
        for batch in torch.randperm(512, generator=trial.streams["order"]).split(64):  # the same in all ranks
            share = batch[rank::world]
            mixed, soft = trial.augment(images[share], classes[share], classes=2)  # +
            optimiser.zero_grad()
            F.cross_entropy(model(mixed), soft).backward()  # gradients are averaged over the ranks
            optimiser.step()
        scores = {"val_accuracy": accuracy(val_images, val_classes)}
        if trial.final and epoch == trial.total_epochs:  # +
            scores["test_accuracy"] = accuracy(test_images, test_classes)
        yield scores  # +
    distributed.destroy_process_group()


if __name__ == "__main__":
    autoaug.current().run(finetune)  # +
