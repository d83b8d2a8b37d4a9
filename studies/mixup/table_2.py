"""Does mixup keep a network from memorising wrong labels, and better than dropout does?

Table 2 of Zhang et al. 2018, "mixup": 20, 50 and 80 % of the training labels replaced by random ones, of which a tenth
comes out right by chance; test labels intact.

Paper     CIFAR-10, PreActResNet-18, 200 epochs, last test error at 20 / 50 / 80 %: 16.6 / 44.6 / 73.9; with dropout
          10.4 / 15.5 / 35.1; mixup 6.4 / 12.7 / 30.9; mixup with dropout, told for 80 % alone, 24.8. At 50 %, training
          errors on real / corrupted labels: .26 / .64, dropout 12.71 / 86.98, mixup 5.84 / 85.71. α of {1, 2, 8, 32}
          and the probability of dropout are chosen by the test images, and the best errors of a training are told too
Small     `study` (50 %), `few` (20 %) and `most` (80 %): 200 digits of 8 x 8 pixels, WRN-10-1, which has dropout within
          blocks as the paper's network has; test accuracy of the last epoch. α as in the paper. Dropout is .5, the
          least that the paper tried: its .8 leaves blocks of 16 channels untrained (validation .10 in the one run that
          was tried). Nothing else was chosen
Cost      5 arms x 6 seeds of 2 CPU-seconds, trained twice, about 2 CPU-minutes each
Answer    50 %, last test errors of 6 runs with 95 % intervals (2026-11-27): erm 43.2 ± 1.4, dropout 27.3 ± 2.7, mixup
          with α = 8 42.5 ± .9 and 32 41.2 ± 2.3, mixup with dropout 24.8 ± 3.4. Agrees: mixup memorises less (training
          error on wrong labels 0 → 9.0 ± 1.5 with α = 32) and fits real labels better than dropout (1.1 and 3.3).
          Disagrees: dropout, by 14.0 points of [9.3, 18.6], is better than mixup, which memorises nine of ten wrong
          labels here. That it helps at all (2.0 points of [-.05, 4.07]), and that adding it to dropout does (2.4 of
          [-.45, 5.34]), cannot be told. 200 images make few pairs and are met 40 times each; whether that is why was
          not tested. `few` (20 %), 2026-11-28: erm 16.1 ± 2.5, dropout 8.6 ± 2.4, mixup 14.4 ± 1.6 and 14.1 ± 1.9, with
          dropout 9.3 ± .8: here α = 32 helps, by 2.1 points of [.3, 3.9]. `most` (80 %): erm 74.7 ± 1.8, dropout 61.5 ±
          4.8, mixup 74.1 ± 1.3 and 75.6 ± 2.7, with dropout 64.2 ± 1.9: it does nothing. Dropout is better than mixup
          in both
"""

from autoaug import Budget, Study, Task
from autoaug.strategies import Strategy, none
from autoaug.train import RECIPES

PUBLISHED = {
    "erm": "16.6 (20 %), 44.6 (50 %), 73.9 (80 %)",
    "dropout": "10.4 (20 %), 15.5 (50 %), 35.1 (80 %)",
    "mixup-8": "6.4 (20 %)",
    "mixup-32": "12.7 (50 %), 30.9 (80 %)",
    "mixup-dropout": "24.8 (80 %)",
}
"""Test error of the last epoch in percent, by the share of wrong labels; α is the one that was best for each."""

DIAGNOSED = ("corrupted_labels",)
"""Diagnostics that its claims are about: rows of `autoaug.diagnose.DIAGNOSTICS`."""


def arms(dropout: float) -> dict[str, Strategy]:
    """Return the rows of the table, with this probability of dropout where there is no mixup."""
    return {
        "erm": none(),
        "dropout": none().trained(dropout=dropout),
        "mixup-8": none().mixed("mixup", alpha=8.0),
        "mixup-32": none().mixed("mixup", alpha=32.0),
        "mixup-dropout": none().mixed("mixup", alpha=8.0).trained(dropout=0.3),
    }


def small(name: str, share: float) -> Study:
    """Return the small study of a share of wrong labels."""
    return Study(
        name=name,
        task=Task(data=f"digits:reduced=20,corrupted={share}", model="wrn-10-1", epochs=40, batch_size=50),
        strategies=arms(0.5),
        baseline="erm",
        budget=Budget(trials=1),
        seeds=6,
    )


def large(name: str, share: float, dropout: float) -> Study:
    """Return the paper's study of a share of wrong labels, with the dropout that was the best for it."""
    return Study(
        name=name,
        task=Task(
            **RECIPES["mixup-2018-cifar"], data=f"cifar10:corrupted={share}", model="preactresnet-18", dropout=0.0
        ),
        strategies=arms(dropout),
        baseline="erm",
        budget=Budget(trials=1),
        seeds=1,
    )


study = small("mixup-table-2", 0.5)
few = small("mixup-table-2-20", 0.2)
most = small("mixup-table-2-80", 0.8)
paper = large("mixup-table-2-paper", 0.5, 0.8)
paper_few = large("mixup-table-2-paper-20", 0.2, 0.7)
paper_most = large("mixup-table-2-paper-80", 0.8, 0.8)
