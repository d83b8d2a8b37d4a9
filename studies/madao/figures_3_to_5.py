"""How do selection, probability and strength of the operations move during training, and is it the data that decides?

Figures 3 to 5 of Hataya et al. 2022, "Meta Approach to Data Augmentation Optimization": the selection of the operations
on seven datasets (3 and 4), and their probability and strength on SVHN (5). Every epoch of a run stores the policy as
it stands, and the page of `autoaug compare --html` draws it: `policy_over_time` has all three values of both stages,
`augmented_images` what the policy made of the same images.

Paper     ResNet-18 on four fine-grained datasets, 200 epochs; WRN-28-2 on CIFAR-10 and SVHN. Every dataset has
          operations of its own, the two stages differ, probabilities and strengths diverge as the training goes on, and
          nothing moves in the first 30 epochs
Small     `study`: 400 upright digits that are validated and tested rotated by up to 30 degrees, 20 epochs of which 2
          are warm-up: rotate should be selected, and strong. `inverted`: the same digits, validated and tested white
          for black, where it should be invert
Cost      `study` and `inverted` 3 runs each, 40 to 50 seconds
Answer    3 runs each (2026-11-28). Nothing moves before the third epoch, and the stages end differently; the most
          selected operations are others in every run. Of rotate, what was planted in `study`, the probability ends at
          .74 and the strength at .77 in the mean over runs and stages, both from .5, its selection at .05, from .07. Of
          invert in `inverted` the probability ends at .87, the selection at .10, .27 in one stage of one run where it
          leads. Probabilities end between .07 and .91, strengths between .14 and .95: they diverge, as on SVHN in the
          paper. What the data need is seen in probability and strength, and hardly in the selection
"""

from autoaug import Budget, Study, Task
from autoaug.strategies import madao
from autoaug.train import RECIPES

PUBLISHED: dict[str, str] = {}
"""The figures are curves."""

DIAGNOSED = ()


def small(name: str, data: str) -> Study:
    """Return runs of MADAO on digits that were changed in a known way."""
    return Study(
        name=name,
        task=Task(data=data, model="convnet", epochs=20, batch_size=50, lr=0.2),
        strategies={"madao": madao()},
        budget=Budget(trials=1),
        deploy=(),
        seeds=3,
    )


study = small("madao-figures-3-to-5", "digits-rotated")
inverted = small("madao-figures-3-to-5-inverted", "digits-inverted")


def as_published(recipe: str, data: str, model: str) -> Study:
    """Return runs of MADAO on a dataset of the figures."""
    return Study(
        name=f"madao-figures-3-to-5-{data}",
        task=Task(**RECIPES[recipe], data=data, model=model, val_fraction=0.1),
        strategies={"madao": madao("paper")},
        budget=Budget(trials=1),
        deploy=(),
        seeds=3,
    )


paper = as_published("hataya-2022-svhn", "svhn", "wrn-28-2")
cifar10 = as_published("hataya-2022-cifar", "cifar10", "wrn-28-2")
flowers = as_published("hataya-2022-fine-grained", "flowers102", "resnet-18")
pets = as_published("hataya-2022-fine-grained", "oxford-pets", "resnet-18")
aircraft = as_published("hataya-2022-fine-grained", "fgvc-aircraft", "resnet-18")
cars = as_published("hataya-2022-fine-grained", "stanford-cars", "resnet-18")
