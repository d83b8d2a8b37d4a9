"""Train with Accelerate in a plain loop: `autoaug run examples/accelerate_loop.py`.

Lines that a script without a study has not are marked with +.
"""

import torch
from optuna.distributions import FloatDistribution
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from autoaug import Budget, Study, Task
from autoaug.data import as_float
from autoaug.integrations.accelerate import accelerator_of, learn
from autoaug.models import build
from autoaug.strategies import none, online_score, trivialaugment


def loader(split, size, **more):
    return DataLoader(TensorDataset(as_float(split.images), split.targets), batch_size=size, **more)


def finetune(trial):
    accelerator = accelerator_of(trial, gradient_accumulation_steps=2)  # +
    model = build("convnet", 10, 1, trial.streams["weights"])
    optimiser = torch.optim.AdamW(model.parameters(), lr=trial["lr"])  # +
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=8)
    train = loader(trial.split("train"), 32, shuffle=True, generator=trial.streams["order"])
    model, optimiser, train, scored = accelerator.prepare(model, optimiser, train, loader(trial.split("val"), 512))

    def accuracy(batches):
        model.eval()
        with torch.no_grad():
            right = [model(images).argmax(1) == targets for images, targets in batches]
        return accelerator.gather(torch.cat(right)).float().mean()

    for epoch in trial.epochs(8, model=model, optimiser=optimiser, schedule=schedule):  # +
        model.train()
        for images, targets in train:
            with accelerator.accumulate(model):
                mixed, soft = trial.augment(images, targets)  # +
                accelerator.backward(F.cross_entropy(model(mixed), soft))
                optimiser.step()
                learn(trial, accelerator, model, (images, targets), scored.dataset.tensors, optimiser)  # +
                optimiser.zero_grad()
        schedule.step()
        scores = {"val_accuracy": accuracy(scored)}
        if trial.final and epoch == trial.total_epochs:  # +
            scores["test_accuracy"] = accuracy(accelerator.prepare(loader(trial.split("test"), 512)))  # +
        yield scores  # +


study = Study(
    name="accelerate",
    train=finetune,
    task=Task(data="digits-rotated"),
    space={"train.lr": FloatDistribution(1e-3, 1e-2, log=True)},
    strategies={"none": none(), "trivialaugment": trivialaugment(), "online_score": online_score()},
    budget=Budget(trials=2),
    seeds=3,
)
