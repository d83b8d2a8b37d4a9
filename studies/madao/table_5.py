"""Does the Neumann series make a better policy than conjugate gradients, or than no inverse Hessian at all?

Table 5 of Hataya et al. 2022, "Meta Approach to Data Augmentation Optimization": MADAO with three ways to apply the
inverse Hessian to the gradient of the validation loss. With its 5 steps of 0.001 the series is nearly the identity.

Paper     CIFAR-10, WRN-28-2, 300 epochs, error in percent: MADAO 4.0, MADAO-CG 4.4, MADAO-FO 4.4. Steps and damping of
          the conjugate gradients are not given
Small     `study`: 400 upright digits that are validated and tested rotated by up to 30 degrees, 20 epochs: the policy
          that helps is known. `start` is the policy that all begin with, never moved: what the hypergradient adds is
          the difference to it
Cost      4 arms x 4 seeds, 1.7 CPU-minutes
Answer    Accuracy in percent and CPU-seconds of a training (n = 4, 2026-11-27): the start 85.7 ± 4.0 and 1.3, MADAO
          91.7 ± 1.9 and 8.1, MADAO-CG 94.5 ± 2.5 and 7.8, MADAO-FO 90.2 ± 4.2 and 3.6. The paper's order cannot be
          told: the series is apart from conjugate gradients by -2.9 (-6.1 to .3), which is rather against the paper,
          and from the identity by 1.4 (-2.1 to 4.9). Series and conjugate gradients take equally long, to .3 seconds
          (-.2 to .7), as the paper says; the identity takes less than half
"""

from autoaug import Budget, Study, Task
from autoaug.policy import Fixed, Relaxed
from autoaug.strategies import Strategy, madao, madao_cg, madao_first_order
from autoaug.train import RECIPES

PUBLISHED = {"madao": "error 4.0", "madao-cg": "error 4.4", "madao-fo": "error 4.4"}
"""Test error in percent, CIFAR-10 and WRN-28-2."""

DIAGNOSED = ()

START = Strategy(policy=lambda: Fixed(Relaxed().tree()), space={})

study = Study(
    name="madao-table-5",
    task=Task(data="digits-rotated", model="convnet", epochs=20, batch_size=50, lr=0.2),
    strategies={"start": START, "madao": madao(), "madao-cg": madao_cg(), "madao-fo": madao_first_order()},
    baseline="madao",
    budget=Budget(trials=1),
    deploy=(),
    seeds=4,
)

paper = Study(
    name="madao-table-5-paper",
    task=Task(**RECIPES["hataya-2022-cifar"], data="cifar10", model="wrn-28-2", val_fraction=0.1),
    strategies={
        "madao": madao("paper"),
        "madao-cg": madao_cg("paper"),
        "madao-fo": madao_first_order("paper"),
    },
    baseline="madao",
    budget=Budget(trials=1),
    deploy=(),
    seeds=3,
)
