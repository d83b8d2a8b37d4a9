"""What is trained while processes are killed: a small study by autoaug's own trainer, a loop, or a command."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from optuna.distributions import FloatDistribution
from torch import nn
from torch.nn import functional as F

from autoaug.data import as_float
from autoaug.strategies import none, randaugment
from autoaug.study import Budget, Study
from autoaug.train import Task
from autoaug.trial import Command, Loop, Trial, current

TRAINED = "trained"
"""A file in the folder of a round: commands append to it which attempt they train, a line for each epoch."""

SHELL = f"""
told() {{ sed -n "s/^ *\\"$1\\": \\"*\\([^\\",]*\\)\\"*,*$/\\1/p" "$AUTOAUG_TRIAL" | head -n 1; }}
state="$(told folder)/state"
metrics="$(told metrics)"
total="$(told epochs)"
epoch=0
[ -f "$state" ] && read -r epoch < "$state"
trap 'exit 143' TERM
while [ "$epoch" -lt "$total" ]; do
  epoch=$((epoch + 1))
  sleep 0.05
  dirname "$AUTOAUG_TRIAL" >> {TRAINED}
  test=""
  if [ "$epoch" = "$total" ] && [ "$(told final)" = true ]; then test=", \\"test_accuracy\\": 0.5"; fi
  echo "{{\\"epoch\\": $epoch, \\"epochs\\": $total, \\"val_accuracy\\": 0.$epoch$test}}" >> "$metrics"
  echo "$epoch" > "$state.new" && mv "$state.new" "$state"
done
"""
"""A command that computes nothing, and keeps in which epoch it is."""


def finetune(trial: Trial) -> Iterator[dict[str, Any]]:
    """Train a network of one layer in plain PyTorch."""
    train, val = trial.split("train"), trial.split("val")
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    optimiser = torch.optim.SGD(model.parameters(), lr=trial["lr"], momentum=0.9)

    def accuracy(images: torch.Tensor, classes: torch.Tensor) -> float:
        return (model(as_float(images)).argmax(1) == classes).float().mean().item()

    for epoch in trial.epochs(model=model, optimiser=optimiser):
        for chosen in torch.randperm(len(train.targets)).split(100):
            images, soft = trial.augment(as_float(train.images[chosen]), train.targets[chosen])
            optimiser.zero_grad()
            F.cross_entropy(model(images), soft).backward()
            optimiser.step()
        scores = {"val_accuracy": accuracy(val.images, val.targets)}
        if trial.final and epoch == trial.total_epochs:
            test = trial.split("test")
            scores["test_accuracy"] = accuracy(test.images, test.targets)
        yield scores


def in_a_process(trial: Trial) -> Iterator[dict[str, Any]]:
    """Train as `finetune` does, and say after each epoch which attempt it is."""
    for scores in finetune(trial):
        with Path(TRAINED).open("a", encoding="utf-8") as file:
            print(Path(os.environ["AUTOAUG_TRIAL"]).parent, file=file)
        yield scores


def child() -> None:
    """Train the trial for which a study has started this process."""
    current().run(in_a_process)


STARTS_CHILD = f"from {__name__} import child; child()"

TRAINERS: dict[str, Callable[[Path], Loop | Command | None]] = {
    "fit": lambda folder: None,
    "loop": lambda folder: finetune,
    "python": lambda folder: Command([sys.executable, "-c", STARTS_CHILD], grace=10.0, cwd=folder),
    "shell": lambda folder: Command(["sh", "-c", SHELL], grace=10.0, cwd=folder),
}
"""By what a study of a round is trained: autoaug's own trainer, a loop in its worker, or a command in a folder."""


def study_of(train: str, folder: str, name: str, seed: int, epochs: int, finals: int, **budget: Any) -> Study:
    """Return the study of a round, on scikit-learn's digits, which need no download.

    Args:
        train: row of TRAINERS. A trial takes about a second with each.
        folder: in which commands run.
        budget: fields of `Budget`.
    """
    task: dict[str, Any] = {"data": "digits-rotated", "epochs": epochs, "device": "cpu"}
    own: dict[str, Any] = {"train": TRAINERS[train](Path(folder))}
    if train == "fit":
        task |= {"model": "convnet", "batch_size": 100, "lr": 0.2}
    else:
        own["space"] = {"train.lr": FloatDistribution(0.01, 0.1)}
    given: dict[str, Any] = {"space": {"mix.alpha": FloatDistribution(0, 1)}, **own}
    return Study(
        name=name,
        task=Task(**task),
        strategies={"none": none(), "randaugment": randaugment()},
        budget=Budget(**budget),
        seeds=finals,
        seed=seed,
        **given,
    )
