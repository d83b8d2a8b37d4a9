"""Accelerate in a plain loop of a study: where its devices, networks and optimisers meet the trial's.

B batch, C channels, H height, W width, K classes
"""

from typing import Any

from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from torch import nn
from torch.optim import Optimizer

from autoaug.trial import Trial

__all__ = ["accelerator_of", "learn", "unwrapped"]


def accelerator_of(trial: Trial, **settings: Any) -> Accelerator:
    """Return an Accelerator on the device of a trial.

    The rest of the loop stays as it is: `trial.augment` after a batch was loaded, and what `Accelerator.prepare` has
    returned named in `trial.epochs`.

        def finetune(trial):
            accelerator = accelerator_of(trial)
            model, optimiser, loader = accelerator.prepare(model, optimiser, loader)
            for epoch in trial.epochs(5, model=model, optimiser=optimiser):
                for images, targets in loader:
                    mixed, soft = trial.augment(images, targets)
                    accelerator.backward(F.cross_entropy(model(mixed), soft))
                    ...
                yield {"val_accuracy": ...}

    Args:
        settings: as `Accelerator` is given them, such as `gradient_accumulation_steps`.

    Raises:
        ValueError: its device is another one.
    """
    accelerator = Accelerator(**{"cpu": trial.device.type == "cpu"} | settings)
    if accelerator.device.type != trial.device.type:
        raise ValueError(
            f"the Accelerator is on {accelerator.device} and the policy on {trial.device}: give the study "
            f"task=Task(device={accelerator.device.type!r}), or leave cpu= and the device out of the Accelerator"
        )
    return accelerator


def learn(
    trial: Trial, accelerator: Accelerator, model: nn.Module, train: Any, val: Any, optimiser: Optimizer, **more: Any
) -> None:
    """Let a strategy's learner move the policy, as `Trial.learn` does, by way of what was prepared.

    To be called after `optimiser.step()`. Within `accelerator.accumulate` nothing happens after a micro-batch that made
    no step.

    Args:
        train: the images before `augment`, and their classes, as in `Trial.learn`, like all that follows. Of a step of
            several micro-batches those of the last will do.
    """
    trial.learn(accelerator.unwrap_model(model), train, val, unwrapped(optimiser), **more)


def unwrapped(optimiser: Optimizer) -> Optimizer:
    """Return the optimiser of torch that Accelerate has wrapped; any other as it is."""
    inner: Optimizer = optimiser.optimizer if isinstance(optimiser, AcceleratedOptimizer) else optimiser
    return inner
