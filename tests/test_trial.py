"""A loop that is written by hand from what a trial offers equals autoaug's own trainer, to the last bit."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.distributions import FloatDistribution, IntDistribution
from torch.nn import functional as F

from autoaug import Budget, Study, Task, Trial
from autoaug.data import as_float
from autoaug.execution import Options
from autoaug.executors import run
from autoaug.models import build
from autoaug.store import Store
from autoaug.strategies import Strategy, none, randaugment, trivialaugment
from autoaug.train import learning_rate

RECIPE = Task(data="digits-rotated", model="convnet", epochs=2, batch_size=50, lr=0.2, device="cpu")
"""How autoaug's own trainer trains, and the loop."""


def by_hand(trial: Trial) -> Iterator[dict[str, Any]]:
    """Train by the recipe, as a script would."""
    recipe = replace(RECIPE, refine_epochs=trial.task.refine_epochs)
    train, val = trial.split("train"), trial.split("val")
    mean, std = (torch.tensor(value).view(1, -1, 1, 1) for value in (trial.data.mean, trial.data.std))
    model = build("convnet", 10, 1, trial.streams["weights"]).to(memory_format=torch.channels_last)
    optimiser = recipe.build_optimiser(model)
    steps, made = len(train) // recipe.batch_size, 0

    def logits(images: torch.Tensor) -> torch.Tensor:
        return model(((images - mean) / std).contiguous(memory_format=torch.channels_last))

    for epoch in trial.epochs(recipe.epochs, steps=steps, model=model, optimiser=optimiser):
        model.train()
        order, total = torch.randperm(len(train), generator=trial.streams["order"]), torch.zeros(())
        for chosen in order[: steps * recipe.batch_size].split(recipe.batch_size):
            optimiser.param_groups[0]["lr"] = learning_rate(recipe, made, steps)
            mixed, soft = trial.augment(trial.standard(train.images[chosen]), train.targets[chosen])
            loss = F.cross_entropy(logits(mixed), soft, reduction="none").mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total, made = total + loss.detach(), made + 1
        model.eval()
        scores = {"train_loss": total / steps} | measured(logits, val, "val")
        if trial.final and epoch == trial.total_epochs:
            scores |= measured(logits, trial.split("test"), "test")
        yield scores


@torch.no_grad()
def measured(logits: Any, split: Any, name: str) -> dict[str, torch.Tensor]:
    """The accuracy and the negative log-likelihood of a split."""
    found = logits(as_float(split.images))
    return {
        f"{name}_accuracy": (found.argmax(1) == split.targets).sum() / len(found),
        f"{name}_nll": F.cross_entropy(found, split.targets, reduction="sum") / len(found),
    }


STUDIES: dict[str, tuple[Strategy, dict[str, Any]]] = {
    "none": (none(), {}),
    "trivialaugment, mixup and refinement": (
        trivialaugment(),
        {"mix.alpha": FloatDistribution(0.1, 1), "task.refine_epochs": IntDistribution(1, 2)},
    ),
    "randaugment by tpe": (randaugment(sampler="tpe"), {}),
}


@pytest.mark.parametrize("name", STUDIES)
def test_a_loop_by_hand_equals_our_trainer_to_the_last_bit(name: str, tmp_path: Path) -> None:
    strategy, space = STUDIES[name]
    given: dict[str, Any] = {"name": "equal", "space": space, "strategies": {"x": strategy}, "seeds": 2}
    own = Study(train=by_hand, task=Task(data=RECIPE.data, device="cpu"), budget=Budget(trials=4), **given)
    ours = Study(task=RECIPE, budget=Budget(trials=4), **given)
    points, epochs = list[Any](), list[Any]()
    for k, study in enumerate((ours, own)):
        store = Store(f"sqlite:///{tmp_path / str(k)}.db")
        run(study, store, options=Options(artifacts=tmp_path / str(k)))
        points.append([(each.kind, each.state, each.seed, each.point, each.value) for each in store.outcomes("equal")])
        records = store.epochs("equal")
        epochs.append([(r.kind, r.trial, r.epoch, r.phase, r.images, figures(r.metrics)) for r in records])
        store.close()
    assert len(points[0]) == (3 if name == "none" else 6), "a point that cannot differ is tried once"
    assert {state for _, state, *_ in points[0]} == {"COMPLETE"}
    assert points[0] == points[1]
    assert epochs[0] == epochs[1]


def figures(metrics: Any) -> dict[str, float]:
    """What both measure."""
    wanted = ("train_loss", "val_accuracy", "val_nll", "test_accuracy", "test_nll")
    return {name: metrics[name] for name in wanted if name in metrics}
