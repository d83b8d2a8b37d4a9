"""A training by Lightning in a study: `yield from fit_epochs(trial, trainer, ...)` in place of `trainer.fit(...)`."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from autoaug.integrations._in_memory import KEPT, InMemory
from autoaug.trial import Report, Trial, called_back, check_kept

__all__ = ["fit_epochs"]


def fit_epochs(
    trial: Trial,
    trainer: Trainer,
    module: LightningModule,
    train: Any = None,
    val: Any = None,
    test: Any = None,
    *,
    datamodule: LightningDataModule | None = None,
    steps: int | None = None,
) -> Iterator[Mapping[str, Any]]:
    """Train as `trainer.fit` does, and yield what the module has logged by the end of each epoch, validation included.

    `training_step` calls `trial.augment`, and `on_train_batch_end` calls `trial.learn` where a learner may move the
    policy. An interrupted trial goes on from its last epoch, with all that a checkpoint of Lightning holds.

    Args:
        trainer: for one process on `trial.device`. Its `max_epochs` are those with the policy on; epochs of refinement
            are added to it.
        train: as in `Trainer.fit`, like `val` and `datamodule`.
        test: on what a final run, and no other, is tested after its last epoch.
        steps: as in `Trial.epochs`.

    Raises:
        ValueError: the trainer would start processes, train elsewhere than the policy, or leave epochs without
            validation; or its checkpoint cannot be kept, as when `save_hyperparameters` holds more than plain data.
    """
    check(trial, trainer)
    checkpoint = InMemory(trainer)

    def fit(report: Report) -> None:
        trainer.callbacks.insert(0, ReportEpochs(trial, report, checkpoint))  # type: ignore[attr-defined]
        trainer.fit_loop.max_epochs = trial.total_epochs
        path = KEPT if checkpoint.content else None
        interruptible(trainer.fit, module, train, val, datamodule=datamodule, ckpt_path=path)
        metrics = dict(trainer.callback_metrics)
        if trial.final and (test is not None or datamodule is not None):
            interruptible(trainer.test, module, test, datamodule=datamodule, verbose=False)
            metrics |= trainer.callback_metrics
        report(metrics)

    yield from called_back(trial, fit, trainer.max_epochs, steps=steps, trainer=checkpoint)


def check(trial: Trial, trainer: Trainer) -> None:
    """Raise a ValueError where a trainer cannot train a trial."""
    if trainer.world_size > 1 or trainer.strategy.launcher is not None:
        raise ValueError(
            f"the Trainer starts processes ({trainer.world_size}, by a {type(trainer.strategy).__name__}): give "
            "Trainer(devices=1, strategy='auto'), or run a script of several processes by Study(train=Command([...]))"
        )
    if (device := trainer.strategy.root_device.type) != trial.device.type:
        raise ValueError(
            f"the Trainer trains on {device}, and the trial is on {trial.device.type}: give "
            f"Trainer(accelerator={trial.device.type!r}, devices=1)"
        )
    if trainer.check_val_every_n_epoch != 1:
        raise ValueError(
            f"Trainer(check_val_every_n_epoch={trainer.check_val_every_n_epoch}) leaves epochs without validation, and "
            "each is judged: give 1"
        )
    if trainer.max_steps != -1:
        raise ValueError(f"Trainer(max_steps={trainer.max_steps}) ends within an epoch: give max_epochs alone")


def interruptible(run: Callable[..., object], *args: Any, **more: Any) -> None:
    """Call what turns Ctrl-C and SIGTERM into an exit of the process, and raise KeyboardInterrupt in its place."""
    try:
        run(*args, **more)
    except SystemExit as end:
        if isinstance(end, SIGTERMException) or isinstance(end.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from end
        raise


class ReportEpochs(Callback):
    """Report each epoch but the last where the next begins: by then schedules have moved, and gradients are on."""

    def __init__(self, trial: Trial, report: Report, checkpoint: InMemory) -> None:
        self.trial, self.report, self.checkpoint = trial, report, checkpoint
        self.on_sigterm = signal.getsignal(signal.SIGTERM)
        self.streams = {name: stream.get_state() for name, stream in trial.streams.items()}
        self.generators = trial.generators.state_dict()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget what was drawn while all was set up, perhaps again."""
        for name, stream in self.trial.streams.items():
            stream.set_state(self.streams[name])
        self.trial.generators.load_state_dict(self.generators)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse a checkpoint that cannot be kept, and leave SIGTERM to autoaug, which saves at the end of an epoch."""
        check_kept({"trainer": self.checkpoint})
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self.on_sigterm)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report the epoch that has ended. One that goes on from a checkpoint begins as any other does."""
        if trainer.current_epoch == self.trial.epoch:
            self.report(dict(trainer.callback_metrics))
        trainer.fit_loop.restarting = False
