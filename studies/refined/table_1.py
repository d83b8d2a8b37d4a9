"""Do clean epochs at the end improve networks that were trained with strong augmentation?

Table 1 of He et al. 2019, "Data Augmentation Revisited": each method without refinement and with it, which adds clean
epochs after the augmented ones.

Paper     CIFAR-100, PreActResNet-18, 400 epochs and 50 of refinement: moderate 75.4 → 76.0, mixup 78.8 → 80.8,
          CutMix 79.8 → 80.6, AutoAugment 79.3 → 80.0
Small     `study`: 100 digits of 8 x 8 pixels, 40 epochs and 6 of refinement
Cost      8 arms x 20 seeds, about 5 CPU-minutes
Answer    not yet run
"""

from autoaug import Budget, Study, Task
from autoaug.strategies import Strategy, none, published
from autoaug.train import RECIPES

PUBLISHED = {
    "moderate": "75.4",
    "moderate-refined": "76.0",
    "mixup": "78.8",
    "mixup-refined": "80.8",
    "cutmix": "79.8",
    "cutmix-refined": "80.6",
    "autoaugment": "79.3",
    "autoaugment-refined": "80.0",
}
"""Test accuracy in percent, CIFAR-100."""

DIAGNOSED = ()
"""Diagnostics that its claims are about: rows of `autoaug.diagnose.DIAGNOSTICS`."""

METHODS = {
    "moderate": none(),
    "mixup": none().mixed("mixup", alpha=1.0),
    "cutmix": none().mixed("cutmix", alpha=1.0, probability=0.5),
    "autoaugment": published(),
}


def arms(refine_epochs: int) -> dict[str, Strategy]:
    """Return each method without refinement and with it."""
    without = {name: method.trained(refine_epochs=0) for name, method in METHODS.items()}
    refined = {f"{name}-refined": method.trained(refine_epochs=refine_epochs) for name, method in METHODS.items()}
    return {**without, **refined}


study = Study(
    name="refined-table-1",
    task=Task(data="digits-100", model="convnet", epochs=40, batch_size=25),
    strategies=arms(6),
    baseline="moderate",
    budget=Budget(trials=1),
    seeds=20,
)

paper = Study(
    name="refined-table-1-paper",
    task=Task(**RECIPES["he-2019-cifar"], data="cifar100", model="preactresnet-18"),
    strategies=arms(50),
    baseline="moderate",
    budget=Budget(trials=1),
    seeds=3,
)
