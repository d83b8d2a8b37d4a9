"""Are learned transformations strong at the beginning of training, and nearer to the identity at its end?

Figure 3 of Mounsaveng et al. 2021, "Learning Data Augmentation with Online Bilevel Optimization": images as the
augmenter transformed them at different epochs. Every epoch of a run stores the policy as it stands, and the page of
`autoaug compare --html` draws it: `augmented_images` has rows of images and columns of epochs, `policy_over_time`
how far each amount reaches.

Paper     Tiny ImageNet, BACH and ImageNet: transformations tend to be strong at first, and approach the identity
          towards the end
Small     `study`: 100 digits of 8 x 8 pixels, 40 epochs of 4 steps, affine maps and colours: the published network,
          K = J = 1 and Adam at .003 (`table_1` says why), and half-widths, moved every 5 steps, which say themselves
          how far they reach
Cost      3 arms x 3 seeds: 62 seconds
Answer    3 runs each (2026-11-28). Against the paper transformations grow: the farther end of an operation's range, in
          the mean over operations, goes from .19 of its strength after one epoch to .29 after ten and .34 after forty,
          where the published network begins near nothing, and with half-widths from .30 to .18 in the fifth epoch and
          then to .39. Shear and rotation are the strongest at the end, hue and saturation stay, as grey digits have
          neither. Accuracy 94.8 ± 3.4 and 93.6 ± 4.4, without 93.3 ± 1.9
"""

from autoaug import Budget, Study, Task
from autoaug.strategies import none, truncated
from autoaug.train import RECIPES

PUBLISHED: dict[str, str] = {}
"""The figure is of images."""

DIAGNOSED = ()

study = Study(
    name="online-figure-3",
    task=Task(data="digits-100", model="convnet", epochs=40, batch_size=25),
    strategies={
        "baseline": none(),
        "ours-full": truncated("mlp", "affine+color", every=1, reuse_graph=True),
        "ours-full-range": truncated("range", "affine+color"),
    },
    baseline="baseline",
    budget=Budget(trials=1),
    deploy=(),
    seeds=3,
)


def large(name: str, task: Task, mirror: str = "flip") -> Study:
    """Return a training of the published augmenter on a dataset of the figure."""
    return Study(
        name=name,
        task=task,
        strategies={"ours-full": truncated("paper", "affine+color").trained(standard=mirror)},
        budget=Budget(trials=1),
        deploy=(),
        seeds=1,
    )


paper = large(
    "online-figure-3-paper",
    Task(
        **RECIPES["mounsaveng-2021-cifar"],
        data="data/tiny-imagenet",
        model="cifar-resnet-18",
        val_fraction=0.2,
        resplit="per_epoch",
    ),
)
bach = large(
    "online-figure-3-bach",
    Task(
        **RECIPES["mounsaveng-2021-bach"],
        data="data/bach",
        size=512,
        model="resnet-18",
        val_fraction=0.2,
        resplit="per_epoch",
    ),
    mirror="vflip",
)
