"""The table `RECIPES`: how papers trained, as fields of a `Task`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Recipe(Mapping[str, Any]):
    """Hold the fields of a task as a source gives them: `Task(**RECIPES["he-2019-cifar"], data=..., model=...)`.

    Data, model and augmentation are none of them.
    """

    source: str
    fields: Mapping[str, Any]
    unsaid: str = ""
    """What the source leaves open, and what stands here for it; empty where it says all."""

    def __getitem__(self, name: str) -> Any:
        return self.fields[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def but(self, source: str, unsaid: str = "", **fields: Any) -> "Recipe":
        """Return a recipe that differs in some fields."""
        return Recipe(source, {**self.fields, **fields}, unsaid)


PLAIN = {"optimiser": "sgd", "momentum": 0.9, "nesterov": False, "warmup": 0}
"""What most sources mean by SGD; each field is a default of `Task` or differs from it."""

STEPS = {**PLAIN, "schedule": "step", "step_factor": 0.1}
COSINE = {**PLAIN, "schedule": "cosine", "final_lr": 0.0}

ADAM = {"optimiser": "adam", "nesterov": False, "weight_decay": 0.0, "warmup": 0}

MOMENTUM = "The momentum is not given: .9, without Nesterov's rule."

HE = "He et al. 2019, Data Augmentation Revisited"
MIXUP = "Zhang et al. 2018, mixup"
HATAYA = "Hataya et al. 2022, Meta Approach to Data Augmentation Optimization"
MOUNSAVENG = "Mounsaveng et al. 2021, Learning Data Augmentation with Online Bilevel Optimization"
LIM = "Lim et al. 2019, Fast AutoAugment"

he_cifar = Recipe(
    f"{HE}, CIFAR, PreActResNet-18",
    STEPS
    | {"batch_size": 128, "epochs": 400, "lr": 0.1, "milestones": (150, 275), "weight_decay": 1e-4}
    | {"refine_epochs": 50, "refine_lr": 1e-3},
    MOMENTUM,
)
he_wide = he_cifar.but(
    f"{HE}, CIFAR, WRN-28-10",
    MOMENTUM,
    lr=0.2,
    milestones=(120, 240, 320),
    step_factor=0.2,
    weight_decay=5e-4,
    refine_lr=0.2 * 0.2**3,
)
he_wide_autoaugment = Recipe(
    f"{HE}, CIFAR, WRN-28-10 with AutoAugment",
    COSINE | {"batch_size": 128, "epochs": 400, "lr": 0.2, "weight_decay": 5e-4, "dropout": 0.3, "refine_epochs": 50},
    f'{MOMENTUM} The rate while refining is "reasonably small": that of `Task`.',
)
he_shake = Recipe(
    f"{HE}, CIFAR, Shake-Shake 26 2x96d",
    COSINE | {"batch_size": 128, "epochs": 1800, "lr": 0.01, "weight_decay": 1e-3, "refine_epochs": 200},
    f'{MOMENTUM} The rate while refining is "reasonably small": that of `Task`.',
)
he_imagenet = Recipe(
    f"{HE}, ImageNet with mixup",
    STEPS
    | {"batch_size": 256, "epochs": 200, "lr": 0.1, "milestones": (60, 120, 180), "weight_decay": 1e-4}
    | {"refine_epochs": 20, "refine_lr": 1e-4},
    f"{MOMENTUM} The weight decay is not given: 1e-4.",
)
mixup_cifar = Recipe(
    f"{MIXUP}, section 3.2, PreActResNet-18 and DenseNet-BC-190",
    STEPS | {"batch_size": 128, "epochs": 200, "lr": 0.1, "milestones": (100, 150), "weight_decay": 1e-4},
    f"{MOMENTUM} Without mixup 5e-4 is the better weight decay (section 3.8).",
)
mixup_imagenet = Recipe(
    f"{MIXUP}, section 3.1, 90 epochs",
    STEPS
    | {"batch_size": 1024, "epochs": 90, "lr": 0.4, "milestones": (30, 60, 80), "weight_decay": 1e-4}
    | {"warmup": 5, "warmup_from": 0.25},
    f"{MOMENTUM} The weight decay is not given: 1e-4.",
)
mixup_speech = Recipe(
    f"{MIXUP}, section 3.3, LeNet and VGG-11 on Google commands",
    ADAM
    | {"schedule": "step", "step_factor": 0.1, "milestones": (10, 20)}
    | {"batch_size": 100, "epochs": 30, "lr": 3e-3},
    "The weight decay is not given: none. That the first five epochs are without mixup is a setting of the mix.",
)
mixup_tabular = Recipe(
    f"{MIXUP}, section 3.6, UCI datasets",
    ADAM | {"schedule": "constant", "batch_size": 16, "epochs": 10, "lr": 1e-3},
    "The weight decay is not given: none.",
)
hataya_cifar = Recipe(
    f"{HATAYA}, section 4.1, CIFAR",
    COSINE
    | {"batch_size": 128, "epochs": 300, "lr": 0.1, "weight_decay": 5e-4, "nesterov": True}
    | {"warmup": 5, "warmup_from": 0.25},
    "Only the epochs are given; all else is of the code that the authors published for Faster AutoAugment.",
)
mounsaveng_cifar = Recipe(
    f"{MOUNSAVENG}, published code, CIFAR",
    STEPS
    | {"batch_size": 128, "epochs": 201, "lr": 0.1, "milestones": (60, 120, 160), "step_factor": 0.2}
    | {"weight_decay": 5e-4},
)
mounsaveng_imagenet = Recipe(
    f"{MOUNSAVENG}, published code, ImageNet with affine maps",
    PLAIN | {"schedule": "constant", "batch_size": 800, "epochs": 90, "lr": 0.1, "weight_decay": 1e-4},
    "The code has no schedule for its network: constant. With colour maps its weight decay is 5e-4.",
)
lim_wide = Recipe(
    f"{LIM}, published code, WRN-40-2 on CIFAR",
    COSINE
    | {"batch_size": 128, "epochs": 200, "lr": 0.1, "weight_decay": 2e-4, "nesterov": True, "warmup": 5}
    | {"clip_norm": 5.0},
    "In the code the cosine begins after the warm-up and is as long as the training, so that its end is cut off: here "
    "it ends with the training.",
)

RECIPES: dict[str, Recipe] = {
    "he-2019-cifar": he_cifar,
    "he-2019-cifar-wrn-28-10": he_wide,
    "he-2019-cifar-wrn-28-10-autoaugment": he_wide_autoaugment,
    "he-2019-cifar-shake-shake": he_shake,
    "he-2019-tiny-imagenet": he_cifar.but(f"{HE}, Tiny-ImageNet, PreActResNet-18", MOMENTUM),
    "he-2019-imagenet-mixup": he_imagenet,
    "he-2019-imagenet-autoaugment-resnet-50": he_imagenet.but(
        f"{HE}, ImageNet with AutoAugment, ResNet-50",
        he_imagenet.unsaid,
        epochs=300,
        milestones=(75, 150, 225),
    ),
    "he-2019-imagenet-autoaugment-resnet-101": he_imagenet.but(
        f"{HE}, ImageNet with AutoAugment, ResNet-101",
        f"{he_imagenet.unsaid} The milestones are not given: those of 200 epochs with mixup.",
    ),
    "mixup-2018-cifar": mixup_cifar,
    "mixup-2018-cifar-wrn-28-10": mixup_cifar.but(
        f"{MIXUP}, section 3.2, WRN-28-10", mixup_cifar.unsaid, milestones=(60, 120, 180)
    ),
    "mixup-2018-imagenet-90": mixup_imagenet,
    "mixup-2018-imagenet-200": mixup_imagenet.but(
        f"{MIXUP}, section 3.1, 200 epochs", mixup_imagenet.unsaid, epochs=200, milestones=(60, 120, 180)
    ),
    "mixup-2018-speech": mixup_speech,
    "mixup-2018-tabular": mixup_tabular,
    "hataya-2022-cifar": hataya_cifar,
    "hataya-2022-svhn": hataya_cifar.but(f"{HATAYA}, section 4.1, SVHN", hataya_cifar.unsaid, epochs=160),
    "hataya-2022-imagenet": hataya_cifar.but(f"{HATAYA}, section 4.2, ResNet-50", hataya_cifar.unsaid, epochs=180),
    "hataya-2022-fine-grained": hataya_cifar.but(
        f"{HATAYA}, section 4.3, fine-grained data, ResNet-18", hataya_cifar.unsaid, epochs=200
    ),
    "mounsaveng-2021-cifar": mounsaveng_cifar,
    "mounsaveng-2021-bach": mounsaveng_cifar.but(
        f"{MOUNSAVENG}, published code, BACH", batch_size=16, epochs=40, milestones=(6, 10, 20), step_factor=0.1
    ),
    "mounsaveng-2021-imagenet": mounsaveng_imagenet,
    "lim-2019-cifar-wrn-40-2": lim_wide,
    "lim-2019-cifar-wrn-28-10": lim_wide.but(
        f"{LIM}, published code, WRN-28-10 on CIFAR", lim_wide.unsaid, weight_decay=5e-4
    ),
    "lim-2019-cifar-shake-shake": lim_wide.but(
        f"{LIM}, published code, Shake-Shake on CIFAR", lim_wide.unsaid, epochs=1800, lr=0.01, weight_decay=1e-3
    ),
    "lim-2019-imagenet-resnet-50": Recipe(
        f"{LIM}, published code, ResNet-50",
        STEPS
        | {"batch_size": 128, "epochs": 270, "lr": 0.05, "milestones": (90, 180, 240), "weight_decay": 1e-4}
        | {"nesterov": True, "warmup": 5},
        "Batch and rate are those of one GPU: the code multiplies both by their number. It counts the milestones from "
        "the end of the warm-up.",
    ),
}
"""By paper, year and what was trained. The augmentation is another thing: `Task.standard`, a strategy and a mix."""
