"""How often should the policy be moved, and what does it cost?

Figure 2 of Hataya et al. 2022, "Meta Approach to Data Augmentation Optimization": cost and test error against s, the
training steps between two updates of the policy. `s-inf` never moves it; `no-da` augments nothing.

Paper     CIFAR-10, WRN-28-2, 300 epochs: least error at s = 60 (4.0 %), which takes 1.9 hours for the 1.0 of s = ∞. The
          other points of the figure are drawn and not written down; `paper` has values around 60
Small     `study`: 400 upright digits that are validated and tested rotated by up to 30 degrees, 20 epochs of 8 steps.
          s = 2 is what `madao()` takes of such a training: 72 updates. As in the paper the learning rate of the policy
          is the same for every s, that of `madao()` at s = 2
Cost      5 arms x 5 seeds, 1.6 CPU-minutes. s = 1 was left out: the plan predicts 15 CPU-seconds for each of its runs
Answer    Accuracy in percent and CPU-seconds of a training (n = 5, 2026-11-27): no DA 79.7 ± 1.8 and .8; s = ∞ 85.7 ±
          2.7 and 1.2; s = 20 88.2 ± 2.2 and 1.9; s = 5 91.4 ± 5.7 and 3.7; s = 2 90.1 ± 3.3 and 7.8. A policy that is
          moved every other step is better than the same policy left as it begins by 4.4 (1.2 to 7.6), and each finer
          step costs more, as in the paper. Which s is best cannot be told: s = 2 and s = 20 are apart by 1.9 (-1.0 to
          4.9). 72 updates take the training from 1.2 to 7.8 seconds, 6.5 times as long, where the paper's s = 60 takes
          1.9 times: there they are one in 60 steps, here one in 2
"""

from optuna.distributions import FloatDistribution, IntDistribution

from autoaug import Budget, Study, Task
from autoaug.policy import Fixed, Relaxed
from autoaug.strategies import Strategy, madao, none
from autoaug.train import RECIPES

PUBLISHED = {"s-inf": "1.0 hour", "s-60": "error 4.0, 1.9 hours"}
"""Test error in percent and the duration of a training, CIFAR-10 and WRN-28-2."""

DIAGNOSED = ()

NEVER = Strategy(policy=lambda: Fixed(Relaxed().tree()), space={})
"""The policy that MADAO begins with, which the paper calls nearly RandAugment of strength 1/2."""


def every(steps: int, preset: str = "scaled", **fixed: float) -> Strategy:
    """Return MADAO with an update every so many steps, and other settings that do not vary."""
    space = {
        "learner.every": IntDistribution(steps, steps),
        **{f"learner.{name}": FloatDistribution(value, value) for name, value in fixed.items()},
    }
    return madao(preset, search=tuple(space))._replace(space=space)


study = Study(
    name="madao-figure-2",
    task=Task(data="digits-rotated", model="convnet", epochs=20, batch_size=50, lr=0.2),
    strategies={
        "no-da": none(),
        "s-inf": NEVER,
        **{f"s-{steps}": every(steps, lr=0.0468) for steps in (20, 5, 2)},
    },
    baseline="s-2",
    budget=Budget(trials=1),
    deploy=(),
    seeds=5,
)

paper = Study(
    name="madao-figure-2-paper",
    task=Task(**RECIPES["hataya-2022-cifar"], data="cifar10", model="wrn-28-2", val_fraction=0.1),
    strategies={
        "no-da": none().trained(standard="none"),
        "s-inf": NEVER,
        **{f"s-{steps}": every(steps, "paper") for steps in (240, 120, 60, 30, 10)},
    },
    baseline="s-60",
    budget=Budget(trials=1),
    deploy=(),
    seeds=3,
)
