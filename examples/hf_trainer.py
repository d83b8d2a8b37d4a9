"""Fine-tune with the Trainer of Hugging Face: `autoaug run examples/hf_trainer.py`.

Lines that a script without a study has not are marked with +.
"""

from optuna.distributions import FloatDistribution
from transformers import ResNetConfig, ResNetForImageClassification, TrainingArguments

from autoaug import Budget, Study, Task
from autoaug.data import Split, as_float
from autoaug.integrations.transformers import TrialTrainer
from autoaug.models import Normalisation
from autoaug.strategies import none, trivialaugment

DIGITS = Normalisation(mean=(0.3,), std=(0.35,))


def examples(split: Split):
    """A split as models of Hugging Face take it."""
    images = (as_float(split.images) - DIGITS.mean[0]) / DIGITS.std[0]
    return [{"pixel_values": image, "labels": label} for image, label in zip(images, split.targets, strict=True)]


def accuracy(predicted):
    return {"accuracy": (predicted.predictions.argmax(1) == predicted.label_ids).mean()}


def finetune(trial):
    trial.seed_everything()  # +
    sizes = {"embedding_size": 16, "hidden_sizes": [32, 64], "depths": [1, 1], "layer_type": "basic"}
    model = ResNetForImageClassification(ResNetConfig(num_channels=1, num_labels=10, **sizes))
    args = TrainingArguments(
        num_train_epochs=8,
        per_device_train_batch_size=32,
        learning_rate=trial["lr"],  # +
        seed=trial.seed,  # +
        use_cpu=True,
    )
    trainer = TrialTrainer(  # +
        trial,  # +
        normalisation=DIGITS,  # +
        test=lambda: examples(trial.split("test")),  # +
        model=model,
        args=args,
        train_dataset=examples(trial.split("train")),
        eval_dataset=examples(trial.split("val")),
        compute_metrics=accuracy,
    )
    yield from trainer.train_epochs()  # +


study = Study(
    name="hf-trainer",
    train=finetune,
    task=Task(data="digits-rotated", device="cpu"),
    space={"train.lr": FloatDistribution(3e-3, 2e-2, log=True)},
    strategies={"none": none(), "trivialaugment": trivialaugment()},
    budget=Budget(trials=2),
    seeds=3,
)
