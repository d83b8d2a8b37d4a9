"""At which rate, on which images and how suddenly should refinement begin?

The ablation studies of He et al. 2019, "Data Augmentation Revisited", which are sentences without a table: a small rate
against a large one that decays, the standard augmentation on or off while refining, and augmentation that fades
(α of mixup, the probability of CutMix and AutoAugment) against refinement.

Paper     CIFAR-100, PreActResNet-18, 400 epochs and 50 of refinement: a large rate is worse than a small one, fading
          makes no significant difference, and refining a network of the standard augmentation without any brings .6
          points. `paper` fades over the last 50 of 450 epochs; the paper does not say over how many
Small     `study`: 100 digits of 8 x 8 pixels, always cropped, 40 epochs and 6 of refinement; what fades does so over
          the last 6 of 46. "last" is 1 % of the peak, where the cosine ends, and "tenth", of the peak, the default
Cost      13 arms x 12 seeds, 4 CPU-minutes
Answer    test accuracy of 12 runs with 95 % intervals (2026-11-28): standard 92.8 ± .6, refined without any 93.1 ± .7,
          with it 92.9 ± .8; mixup 93.8 ± .6, refined at the last rate 94.0 ± .5, at a tenth of the peak 94.0 ± .7, at a
          large rate that decays 93.4 ± .6, without the crop 94.5 ± .5; refined (at a tenth) and fading mixup 94.0 ± .7
          and 94.2 ± .7, CutMix 94.8 ± .3 and 94.5 ± .4, AutoAugment 92.6 ± .6 and 92.3 ± .6. Agrees: the large rate is
          worse than the last one, by .6 points of [.3, .9]. That fading is as good to half a point (.2 of [-.2, .6],
          -.3 of [-.8, .2], -.3 of [-1.0, .5]), and that the standard augmentation gains without any (.2 of [-.1, .5]),
          cannot be told
"""

from autoaug import Budget, Study, Task
from autoaug.strategies import Strategy
from studies.refined.table_1 import METHODS, as_published

PUBLISHED = {"moderate": "75.4", "moderate-bare": "76.0", "mixup": "78.8", "mixup-last": "80.8"}
"""Test accuracy in percent, CIFAR-100; of the other arms the paper has words only."""

DIAGNOSED = ()
"""Diagnostics that its claims are about: rows of `autoaug.diagnose.DIAGNOSTICS`."""

FADING = ("mixup", "cutmix", "autoaugment")


def arms(epochs: int, refine_epochs: int) -> dict[str, Strategy]:
    """Return the ablations; all but those without refinement train for the same total."""
    moderate, mixup = (METHODS[name].trained(refine_epochs=refine_epochs) for name in ("moderate", "mixup"))
    refined = {f"{name}-refined": METHODS[name].trained(refine_epochs=refine_epochs) for name in FADING[1:]}
    fading = {
        f"{name}-fading": METHODS[name].trained(epochs=epochs + refine_epochs, refine_epochs=0, anneal=refine_epochs)
        for name in FADING
    }
    return {
        "moderate": METHODS["moderate"].trained(refine_epochs=0),
        "moderate-bare": moderate,
        "moderate-longer": moderate.trained(refine_standard=True),
        "mixup": METHODS["mixup"].trained(refine_epochs=0),
        "mixup-last": mixup.trained(refine_lr="last"),
        "mixup-tenth": mixup.trained(refine_lr=0.01),
        "mixup-restart": mixup.trained(refine_lr="restart"),
        "mixup-bare": mixup.trained(refine_standard=False),
        **refined,
        **fading,
    }


study = Study(
    name="refined-ablations",
    task=Task(data="digits-100", model="convnet", standard="crop", epochs=40, batch_size=25),
    strategies=arms(40, 6),
    baseline="mixup",
    budget=Budget(trials=1),
    seeds=12,
)

paper = as_published("refined-ablations-paper", "he-2019-cifar", arms(400, 50), baseline="mixup")
