"""The Trainer of Hugging Face as the training loop of a study."""

from collections.abc import Callable, Iterator, Mapping
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PrinterCallback, ProgressCallback, Trainer, TrainingArguments
from transformers.trainer_utils import SaveStrategy, get_last_checkpoint, has_length
from transformers.utils.logging import disable_progress_bar

from autoaug.integrations._batches import normalised, pixels_of, soft_cross_entropy
from autoaug.integrations._folder import KeptFolder
from autoaug.integrations._reporting import Reporting
from autoaug.integrations._trainer_checks import check_arguments
from autoaug.integrations.accelerate import unwrapped
from autoaug.models import Normalisation
from autoaug.train import Labelled
from autoaug.trial import Report, Trial, called_back

__all__ = ["Reporting", "TrialTrainer", "soft_cross_entropy"]


class TrialTrainer(Trainer):
    """Train as the Trainer does, on images that the policy of a trial has augmented.

        def finetune(trial):
            trial.seed_everything()  # the weights of a new head are drawn from the global generator
            args = TrainingArguments(num_train_epochs=5, learning_rate=trial["lr"], seed=trial.seed)
            trainer = TrialTrainer(trial, model=..., args=args, train_dataset=..., eval_dataset=..., ...)
            yield from trainer.train_epochs()

    The policy meets each batch of a training step on the device, whatever has collated and loaded it; an evaluation
    never meets it. The loss is that of soft targets, `soft_cross_entropy`, unless `compute_loss_func` says another.

    Args:
        normalisation: that of the image processor, which is taken back for the policy and put on again; None where
            "pixel_values" are in [0, 1].
        val: images [B, C, H, W] in [0, 1] and their classes [B], or what gives them: for a strategy that learns.
        test: gives the dataset of the test split. It is called in the last epoch of a final run alone.
        args: with the seed of the trial.
        of_trainer: as `Trainer` is given it. The datasets give "pixel_values" [C, H, W] and "labels", a class.
    """

    def __init__(
        self,
        trial: Trial,
        *,
        args: TrainingArguments,
        normalisation: Normalisation | None = None,
        val: Labelled | Callable[[], Labelled] | None = None,
        test: Callable[[], Any] | None = None,
        **of_trainer: Any,
    ) -> None:
        args.output_dir = gettempdir()  # until `train_epochs`
        super().__init__(args=args, **{"compute_loss_func": soft_cross_entropy} | of_trainer)
        self.of_trial, self.val, self.test = trial, val, test
        self.normalisation = normalisation or Normalisation((0.0,), (1.0,))
        self.seen: list[Labelled] = []
        """The batches of the present step, before the policy."""
        for talkative in (PrinterCallback, ProgressCallback):  # the study says how far its trials are
            self.remove_callback(talkative)
        disable_progress_bar()

    def train_epochs(self) -> Iterator[Mapping[str, Any]]:
        """Train for `num_train_epochs`, and those of refinement after them, and yield the metrics of each epoch.

        The Trainer evaluates and saves after each, into a temporary folder in place of `output_dir`; what it saves goes
        into the checkpoint of the trial. "eval_accuracy" is reported as "val_accuracy".

        Raises:
            ValueError: an argument of the Trainer does not go with a trial.
        """
        trial, args = self.of_trial, self.args
        check_arguments(trial, args, self.val is not None)
        with TemporaryDirectory(prefix="autoaug-") as folder:
            args.output_dir, args.save_strategy = folder, SaveStrategy.NO
            kept = KeptFolder(lambda: get_last_checkpoint(folder), Path(folder), without=("training_args.bin",))

            def fit(report: Report) -> None:
                args.num_train_epochs = trial.total_epochs or args.num_train_epochs
                self.add_callback(Reporting(trial, report, self.learn, self.evaluate, self.test))
                self.train(resume_from_checkpoint=kept.found)

            yield from called_back(trial, fit, int(args.num_train_epochs), steps=self.steps(), trainer=kept)

    def steps(self) -> int | None:
        """Return the steps of the optimiser in an epoch; None where the dataset has no length."""
        loader = self.get_train_dataloader()
        return ceil(len(loader) / self.args.gradient_accumulation_steps) if has_length(loader) else None

    def training_step(self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Any = None) -> Tensor:
        """Return the loss of a batch that the policy has augmented, and leave its gradients in the model."""
        images, targets = (inputs[name].to(self.args.device) for name in ("pixel_values", "labels"))
        network: Any = self.model
        self.seen.append((pixels_of(images, self.normalisation), targets))
        mixed, soft = self.of_trial.augment(*self.seen[-1], network.config.num_labels)
        inputs = {**inputs, "pixel_values": normalised(mixed, self.normalisation), "labels": soft}
        return super().training_step(model, inputs, num_items_in_batch)

    def learn(self, optimiser: torch.optim.Optimizer) -> None:
        """Let a learner move the policy, after a step of the optimiser."""
        network: Any = self.model
        images, targets = (torch.cat(parts) for parts in zip(*self.seen, strict=True))
        self.seen.clear()

        val, clip_norm = self.val or (images, targets), self.args.max_grad_norm or None
        step = (network, (images, targets), val, unwrapped(optimiser))
        self.of_trial.learn(*step, logits=self.logits, clip_norm=clip_norm)

    def logits(self, images: Tensor, network: Any) -> Tensor:
        """Return what a network makes of images in [0, 1]."""
        found: Tensor = network(normalised(images, self.normalisation)).logits
        return found
