"""Which arguments of Hugging Face's Trainer do not go with a trial, said before it trains."""

from typing import Any

from autoaug.trial import Trial

REFUSED = {
    "auto_find_batch_size": "a training that begins again would report its epochs twice: search 'train.batch_size'",
    "load_best_model_at_end": "a study goes by the last epoch: leave it out",
    "save_only_model": "an interrupted trial could not go on: leave it out",
}
"""What must be off, and why."""


def check_arguments(trial: Trial, args: Any, validates: bool) -> None:
    """Refuse TrainingArguments that would make of a trial something else.

    Args:
        validates: whether there are images for a strategy's learner to validate on.

    Raises:
        ValueError: the message names the argument, and what to give.
    """
    for name, why in REFUSED.items():
        if vars(args)[name]:
            raise ValueError(f"TrainingArguments({name}={vars(args)[name]!r}): {why}")
    if args.world_size > 1:
        raise ValueError(
            f"the Trainer is one of {args.world_size} processes, each of which would report: train in one, or run a "
            "script of several processes by Study(train=Command([...]))"
        )
    if args.seed != trial.seed:
        raise ValueError(
            f"TrainingArguments(seed={args.seed}) of a trial with the seed {trial.seed}: give seed=trial.seed, for "
            "else all seeds of a study see their images in the same order"
        )
    if args.max_steps > 0 or args.num_train_epochs < 1 or args.num_train_epochs != int(args.num_train_epochs):
        raise ValueError(
            f"TrainingArguments(num_train_epochs={args.num_train_epochs}, max_steps={args.max_steps}): a trial reports "
            "whole epochs: give num_train_epochs alone, a whole number of at least 1"
        )
    if args.device.type != trial.device.type:
        raise ValueError(
            f"the Trainer is on {args.device} and the policy on {trial.device}: give "
            f"TrainingArguments(use_cpu={trial.device.type == 'cpu'}), or the study "
            f"task=Task(device={args.device.type!r})"
        )
    if trial.learner.moves_policy and not validates:
        raise ValueError(
            "the strategy learns within the trial, from images that the policy never touches: give "
            "TrialTrainer(val=(images, classes))"
        )
