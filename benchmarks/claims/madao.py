"""What is claimed of MADAO."""

from benchmarks.claims._claim import MADAO, Claim, beats

RANDAUGMENTS = ("randaugment", "randaugment-2", "randaugment-3", "randaugment-4")
"""One and the same search with other draws."""


CLAIMS: tuple[Claim, ...] = (
    Claim(
        MADAO,
        "table 2",
        "MADAO is better than the standard augmentation alone",
        "CIFAR-10 error 4.9 → 4.0",
        "madao/table_2",
        beats("madao", "standard"),
    ),
    Claim(
        MADAO,
        "table 2",
        "MADAO is better than RandAugment that was searched as long",
        "CIFAR-10 error 4.4 → 4.0",
        "madao/table_2",
        ({"madao": 1.0, **dict.fromkeys(RANDAUGMENTS, -0.25)},),
    ),
    Claim(
        MADAO,
        "table 2",
        "RandAugment, the better of two random strengths, is better than the standard augmentation alone",
        "CIFAR-10 error 4.9 → 4.4",
        "madao/table_2",
        ({"standard": -1.0, **dict.fromkeys(RANDAUGMENTS, 0.25)},),
    ),
    Claim(
        MADAO,
        "figure 2",
        "A policy that MADAO moves is better than the same policy left as it begins",
        "least error at s = 60",
        "madao/figure_2",
        beats("s-2", "s-inf"),
    ),
    Claim(
        MADAO,
        "figure 2",
        "A policy that is moved too rarely is worse: strategies are hardly explored",
        "least error at s = 60",
        "madao/figure_2",
        beats("s-2", "s-20"),
    ),
    Claim(
        MADAO,
        "figure 2",
        "The more often the policy is moved, the more a training costs",
        "1.9 hours at s = 60, 1.0 at s = ∞",
        "madao/figure_2",
        ({"s-20": 1.0, "s-inf": -1.0}, {"s-5": 1.0, "s-20": -1.0}, {"s-2": 1.0, "s-5": -1.0}),
        metric="gpu_seconds",
    ),
    Claim(
        MADAO,
        "table 5",
        "The Neumann series makes a better policy than conjugate gradients",
        "CIFAR-10 error 4.0 against 4.4",
        "madao/table_5",
        beats("madao", "madao-cg"),
    ),
    Claim(
        MADAO,
        "table 5",
        "The Neumann series makes a better policy than the identity in place of the inverse Hessian",
        "CIFAR-10 error 4.0 against 4.4",
        "madao/table_5",
        beats("madao", "madao-fo"),
    ),
    Claim(
        MADAO,
        "section 5.3",
        "The Neumann series and conjugate gradients take equally long (within two seconds)",
        "no significant difference",
        "madao/table_5",
        beats("madao", "madao-cg"),
        metric="gpu_seconds",
        margin=2.0,
    ),
)
