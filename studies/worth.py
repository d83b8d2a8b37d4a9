"""How many more images would it take to gain as much as augmentation does?

Forty of scikit-learn's 8x8 digits, four of every class, tested on 797 others. Beside the strategies stand arms of the
baseline that learn from twice, four times and eight times as many images: a learning curve. Where the best strategy
meets it says what it is worth; `dashboards/worth.py` draws that.

Compared  none, trivialaugment and tpe-randaugment at three trials each; none-2x, none-4x and none-8x are `none` with
          more images. All take 320 steps, so that arms differ in images and not in how long they train.
Cost      6 strategies x up to 3 trials, 6 final seeds each: 80 CPU-seconds
Answer    tpe-randaugment .882 is worth 1.9x the images [1.6, 2.2]: none reaches .817 with 40, .886 with 80, .968 with
          160 and .977 with 320; trivialaugment .856 (n=6 each; 2 busy CPU cores, 2026-11-28). All runs of an arm learn
          from the same images, so the interval is that of training and not of which digits they happen to be.
"""

from autoaug import Budget, Study, Task
from autoaug.strategies import none, randaugment, trivialaugment

FEW, EPOCHS = 4, 80
"""Images of every class that the strategies learn from, and for how many epochs."""


def more(times: int) -> str:
    """Return the data of an arm with so many times as many images."""
    return f"digits:reduced={times * FEW}"


study = Study(
    name="worth",
    task=Task(data=more(1), model="convnet", epochs=EPOCHS, batch_size=10, lr=0.05),
    strategies={
        "none": none(),
        "trivialaugment": trivialaugment(),
        "tpe-randaugment": randaugment(sampler="tpe"),
        **{f"none-{k}x": none().trained(data=more(k), epochs=EPOCHS // k) for k in (2, 4, 8)},
    },
    budget=Budget(trials=3),
    seeds=6,
)
