"""A module of Lightning in a study: `autoaug run examples/lightning_module.py`.

Lines that a script without a study has not are marked with +.
"""

import logging
import warnings

import lightning
import torch
from optuna.distributions import FloatDistribution
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from autoaug import Budget, Study, Task
from autoaug.data import as_float
from autoaug.integrations.lightning import fit_epochs
from autoaug.models import build
from autoaug.strategies import none, online_score, trivialaugment


class Digits(lightning.LightningModule):
    def __init__(self, trial, val):
        super().__init__()
        self.trial, self.val = trial, (as_float(val.images), val.targets)  # +
        self.net = build("convnet", 10, 1, trial.streams["weights"])

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=self.trial["lr"])  # +

    def training_step(self, batch):
        images, targets = self.trial.augment(*batch)  # +
        return F.cross_entropy(self.net(images), targets)

    def on_train_batch_end(self, outputs, batch, batch_idx):  # +
        self.trial.learn(self.net, batch, self.val, self.trainer.optimizers[0])  # +

    def validation_step(self, batch):
        self.log("val_accuracy", (self.net(batch[0]).argmax(1) == batch[1]).float().mean())

    def test_step(self, batch):
        self.log("test_accuracy", (self.net(batch[0]).argmax(1) == batch[1]).float().mean())


def finetune(trial):
    warnings.filterwarnings("ignore", module="lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    train, val = trial.split("train"), trial.split("val")
    shuffled = {"batch_size": 64, "shuffle": True, "generator": trial.streams["order"]}
    loaders = [DataLoader(TensorDataset(as_float(train.images), train.targets), **shuffled)]
    for split in (val, trial.split("test")) if trial.final else (val,):
        loaders.append(DataLoader(TensorDataset(as_float(split.images), split.targets), batch_size=512))
    off = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = lightning.Trainer(max_epochs=6, accelerator=trial.device.type, devices=1, **off)
    yield from fit_epochs(trial, trainer, Digits(trial, val), *loaders)  # +


task, space = Task(data="digits-rotated"), {"train.lr": FloatDistribution(1e-3, 1e-2, log=True)}
plans = {"none": none(), "trivialaugment": trivialaugment(), "online_score": online_score()}
study = Study(name="lightning", train=finetune, task=task, space=space, strategies=plans, budget=Budget(trials=3))
