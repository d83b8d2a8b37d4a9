"""Train a network of timm in the style of its script: `autoaug run examples/timm_script.py`."""

# Lines that a script without a study has not are marked with +.

import torch
from optuna.distributions import FloatDistribution
from timm import create_model, data, loss, optim, scheduler, utils
from torch.utils.data import DataLoader, TensorDataset
from torchvision.transforms.functional import to_pil_image

from autoaug import Budget, Study, Task
from autoaug.integrations.timm import transform_of
from autoaug.strategies import none, trivialaugment

DIGITS = {"mean": (0.3,), "std": (0.35,)}


class Photos(TensorDataset):
    def __init__(self, split, transform):
        super().__init__(split.images, split.targets)
        self.transform = transform

    def __getitem__(self, k):
        return self.transform(to_pil_image(self.tensors[0][k])), self.tensors[1][k]


@torch.no_grad()
def accuracy(model, split):
    batches = DataLoader(Photos(split, data.create_transform((1, 16, 16), crop_pct=1.0, **DIGITS)), 512)
    return torch.cat([model(images).argmax(1) == targets for images, targets in batches]).float().mean()


def finetune(trial):
    trial.seed_everything()  # +
    model = create_model("test_resnet", in_chans=1, num_classes=10)
    optimiser = optim.create_optimizer_v2(model, opt="adamw", lr=trial["lr"], weight_decay=0.05)  # +
    schedule, epochs = scheduler.create_scheduler_v2(optimiser, sched="cosine", num_epochs=8)
    criterion, ema = loss.SoftTargetCrossEntropy(), utils.ModelEmaV3(model, decay=0.95)
    transform = transform_of(trial, (1, 16, 16), scale=(0.8, 1.0), hflip=0.0, **DIGITS)  # +
    loader = DataLoader(trial.dataset(Photos(trial.split("train"), transform)), 32, shuffle=True, drop_last=True)  # +
    for epoch in trial.epochs(epochs, model=model, optimiser=optimiser, schedule=schedule, ema=ema):  # +
        for images, targets in loader:
            mixed, soft = trial.mixed(images, targets)  # +
            optimiser.zero_grad()
            criterion(model(mixed), soft).backward()
            optimiser.step()
            ema.update(model)
        schedule.step(epoch)
        read = ["val", "test"] if trial.final and epoch == trial.total_epochs else ["val"]  # +
        yield {f"{name}_accuracy": accuracy(ema.module, trial.split(name)) for name in read}  # +


study = Study(
    name="timm",
    train=finetune,
    task=Task(data="digits-rotated", device="cpu"),
    space={"train.lr": FloatDistribution(1e-3, 1e-2, log=True)},
    strategies={"none": none(), "trivialaugment": trivialaugment()},
    budget=Budget(trials=2),
    seeds=3,
)
