"""A study with a loop of one's own, which kills its process within an epoch, once in each training, where it may.

It draws from every global generator, as scripts do that have none of their own.
"""

import hashlib
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from autoaug import Budget, Study, Task, Trial
from autoaug.data import as_float
from autoaug.policy import stages
from autoaug.strategies import none, online_score, trivialaugment

AT = 2, 3
"""The epoch and the step in it at which a process is killed."""


def digest(model: nn.Module) -> float:
    """Some 48 bits of a hash over all weights, which a float holds exactly."""
    found = hashlib.sha256()
    for value in model.state_dict().values():
        found.update(value.numpy().tobytes())
    return float(int.from_bytes(found.digest()[:6], "big"))


def kill_once(trial: Trial) -> None:
    """Do as `kill -9` does, unless this training was killed before."""
    training = f"{trial.seed}-{trial.final}-{trial.learner.moves_policy}-{stages(trial.policy.tree().root)}"
    killed = Path(f"killed-{training}")
    if Path("deadly").exists() and not killed.exists():
        killed.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def script(trial: Trial) -> Iterator[dict[str, Any]]:
    """Train as a script does: it seeds everything, and draws wherever it likes."""
    trial.seed_everything()
    train, val = trial.split("train"), trial.split("val")
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Dropout(0.1), nn.ReLU(), nn.Linear(32, 10))
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 4)
    images, val_images = as_float(train.images), as_float(val.images)
    for epoch in trial.epochs(4, model=model, optimiser=optimiser, schedule=schedule):
        model.train()
        for k, chosen in enumerate(torch.randperm(len(images)).split(64)):
            if (epoch, k) == AT:
                kill_once(trial)
            seen = images[chosen] * (1 - 0.1 * random.random())
            mixed, soft = trial.augment(seen, train.targets[chosen])
            loss = F.cross_entropy(model(mixed + 0.01 * np.random.rand()), soft)  # noqa: NPY002
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            trial.learn(model, (seen, train.targets[chosen]), (val_images, val.targets), optimiser)
        schedule.step()
        model.eval()
        with torch.no_grad():
            right = model(val_images).argmax(1) == val.targets
        scores = {"val_accuracy": right.float().mean(), "train_loss": loss, "weights": digest(model)}
        yield scores | ({"test_accuracy": 0.5} if trial.final and epoch == trial.total_epochs else {})


study = Study(
    name="killed",
    train=script,
    task=Task(data="digits-rotated", device="cpu"),
    strategies={
        "none": none(),
        "trivialaugment": trivialaugment().mixed("mixup", alpha=0.4),
        "online_score": online_score(),
    },
    budget=Budget(trials=1),
    seeds=1,
)
