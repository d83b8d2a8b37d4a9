"""A small loop of one's own, as the laws of a learner run it, and who watches the learner in it."""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch.nn import functional as F

from autoaug.data import as_float
from autoaug.models import build
from autoaug.train import Learner, Lesson, NullLearner
from autoaug.trial import Trial


def loop(trial: Trial) -> Iterator[dict[str, float]]:
    """Train the network of the trial's task on its data, and let its learner look at every step."""
    trial.seed_everything()  # of dropout
    task, train, val = trial.task, trial.split("train"), trial.split("val")
    model = build(task.model, 2, 1, trial.streams["weights"])
    optimiser = torch.optim.SGD(model.parameters(), lr=task.lr, momentum=0.9)
    validate, steps = (as_float(val.images), val.targets), len(train) // task.batch_size
    for _ in trial.epochs(task.epochs, steps=steps, model=model, optimiser=optimiser):
        order = torch.randperm(len(train), generator=trial.streams["order"])
        for rows in order[: steps * task.batch_size].split(task.batch_size):
            images, targets = as_float(train.images[rows]), train.targets[rows]
            mixed, soft = trial.augment(images, targets, 2)
            F.cross_entropy(model(mixed), soft).backward()
            optimiser.step()
            trial.learn(model, (images, targets), validate, optimiser)
            optimiser.zero_grad(set_to_none=True)  # after it, so that there are gradients which it must not touch
        yield {"val_accuracy": 0.0}


def beside(lesson: Lesson) -> dict[str, Any]:
    """Return all of a lesson that no learner may touch."""
    return {
        "weights and buffers": lesson.model.state_dict(),
        "gradients": [each.grad for each in lesson.model.parameters()],
        "mode": lesson.model.training,
        "optimiser": lesson.optimiser.state_dict(),
        "training images": list(lesson.train),
        "validation images": list(lesson.val()),
        "torch's global generator": torch.random.get_rng_state(),
    }


class WatchedInLoop(NullLearner):
    """Compare what a learner sees in a loop before and after it looks."""

    moves_policy = True

    def __init__(self, learner: Learner) -> None:
        self.learner, self.lessons = learner, 0
        self.joins_loss = learner.joins_loss
        self.found: list[tuple[str, Any, Any]] = []
        """What it was, before and after, of each call."""

    def looks_at(self, epoch: int, step: int) -> bool:
        """Ask the learner, and note its state."""
        before = copy.deepcopy(self.learner.state_dict())
        wanted = self.learner.looks_at(epoch, step)
        self.found.append(("its own state, when it was asked", before, copy.deepcopy(self.learner.state_dict())))
        return wanted

    def learn(self, lesson: Lesson) -> None:
        """Let the learner look, and note all that it may not touch."""
        before = copy.deepcopy(beside(lesson))
        self.learner.learn(lesson)
        self.lessons += 1
        self.found += [(name, before[name], copy.deepcopy(value)) for name, value in beside(lesson).items()]
