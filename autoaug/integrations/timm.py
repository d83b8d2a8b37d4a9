"""The policy of a trial in a training script in the style of timm.

Schedules, `ModelEmaV3` and optimisers of timm can be named in `Trial.epochs` as they are.
"""

from typing import Any

from timm.data import create_transform
from torchvision.transforms import Compose

from autoaug.trial import Trial

__all__ = ["transform_of"]

REFUSED = {
    "auto_augment": "the policy of the trial stands in its place: leave it out",
    "is_training": "an evaluation never meets the policy: give its loader timm's create_transform",
    "no_aug": "a transform without augmentation has no place for the policy: leave it out",
    "separate": "the parts are put together around the policy: leave it out",
    "tf_preprocessing": "it has no place for the policy: leave it out",
    "use_prefetcher": "the policy runs in the workers, and normalising comes after it: give create_loader "
    "use_prefetcher=False",
}
"""Settings of `create_transform` that leave no place for the policy, and what to do."""


def transform_of(trial: Trial, input_size: int | tuple[int, int, int], **settings: Any) -> Compose:
    """Return timm's transform for training, with the policy of a trial where its `auto_augment` would be.

    It is for the workers of a DataLoader: after the random crop and flip, and before what makes a normalised tensor.
    Crop and flip draw from the global generators, so a trial is repeatable where it begins with
    `trial.seed_everything()`. What timm's `Mixup` does in a script is `trial.mixed`:

        dataset.transform = transform_of(trial, 224, mean=..., std=...)
        for images, targets in DataLoader(trial.dataset(dataset), ...):
            mixed, soft = trial.mixed(images, targets)

    Args:
        input_size: of the images that the network takes: a side in pixels, or (C, H, W).
        settings: as in `timm.data.create_transform`, such as `scale`, `hflip`, `color_jitter` (here None unless given),
            `re_prob`, `mean` and `std`.

    Raises:
        ValueError: a setting leaves no place for the policy, or a learner moves it: then use `trial.augment`.
    """
    for name in settings.keys() & REFUSED.keys():
        raise ValueError(f"transform_of({name}={settings[name]!r}): {REFUSED[name]}")
    given = {"color_jitter": None} | settings
    geometric, photometric, final = create_transform(input_size, is_training=True, separate=True, **given)
    return Compose([geometric, photometric, trial.transform, final])
