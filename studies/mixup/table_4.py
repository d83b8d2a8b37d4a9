"""Does mixup lower the error on spoken words, of a small network and of a larger one?

Figure 4 of Zhang et al. 2018, "mixup", which its section 3.3 calls table 4: Google commands as spectrograms, the first
five of thirty epochs without mixup.

Paper     errors on the test set without mixup, with α = .1, and with α = .2: LeNet 10.3, 10.8, 11.3; VGG-11 4.6, 3.8,
          3.4. "The effect is more pronounced for high capacity models"
Small     `study`: words that are made here, two of six tones one after the other in noise, 36 classes of which a test
          word is one; 300 to train on, 21 x 31 pixels. A LeNet and four normalised convolutions of the same kind as
          VGG's stand for the two networks. `fsdd`: spoken digits of six people from data/fsdd.npz, the same networks
Cost      6 arms x 10 seeds, 3 CPU-minutes; `fsdd` 6 x 4, 12 CPU-minutes
Answer    errors in percent of 10 runs with 95 % intervals (2026-11-28), without mixup, with α = .1 and with .2: LeNet
          17.4 ± 2.8, 14.9 ± 2.5, 14.4 ± 3.1; the larger network 20.3 ± 2.1, 20.8 ± 2.2, 21.3 ± 2.3. Against the paper
          it is the small network that gains, by 4.1 points of [2.6, 5.5] more than the larger one, for which mixup may
          do nothing at all (-1.0 of [-2.4, .4] with α = .2). `fsdd` (4 runs): LeNet 40.7 ± 5.5, 40.3 ± 6.2, 42.0 ± 5.1,
          the larger one 55.6 ± 4.3, 57.9 ± 5.1, 57.1 ± 4.3: nothing is seen of mixup
"""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from autoaug import Budget, Study, Task
from autoaug.data import Spectrogram
from autoaug.strategies import Strategy, none
from autoaug.train import RECIPES

PUBLISHED = {
    "lenet": "10.3",
    "lenet-mixup-0.1": "10.8",
    "lenet-mixup-0.2": "11.3",
    "vgg": "4.6",
    "vgg-mixup-0.1": "3.8",
    "vgg-mixup-0.2": "3.4",
}
"""Error on the test set in percent, Google commands."""

DIAGNOSED = ()
"""Diagnostics that its claims are about: rows of `autoaug.diagnose.DIAGNOSTICS`."""

TONES = (150.0, 210.0, 280.0, 370.0, 480.0, 620.0)
"""Hertz, of the syllables of words."""
FORM = Spectrogram(rate=2_000, seconds=0.3)
NOISE = 1.5
"""Deviation, for tones of amplitude 1."""


def spoken(first: int, second: int, rng: Generator) -> Tensor:
    """Return a word of two syllables of about .1 seconds: samples in [-1, 1]. Pitch, length and phase vary."""
    parts = []
    for tone in (first, second):
        pitch, length, phase = torch.rand(3, generator=rng).tolist()
        time = torch.arange(int((0.08 + 0.05 * length) * FORM.rate)) / FORM.rate
        parts.append((2 * math.pi * (TONES[tone] * (0.95 + 0.1 * pitch) * time + phase)).sin())
    word = torch.cat(parts)
    return (word + NOISE * torch.randn(len(word), generator=rng)) / (1 + 5 * NOISE)


def tones(root: Path) -> tuple[tuple[Tensor, Tensor], None, tuple[Tensor, Tensor]]:
    """Return 400 words to train and validate on, and 720 to test; always the same ones."""
    rng = Generator().manual_seed(0)
    count = len(TONES)

    def words(number: int) -> tuple[Tensor, Tensor]:
        classes = torch.arange(number) % count**2
        return FORM([spoken(int(each) // count, int(each) % count, rng) for each in classes]), classes

    return words(400), None, words(720)


def small_lenet(classes: int, channels: int) -> nn.Module:
    """Return two convolutions with pooling and two linear layers, without normalisation."""
    convolutions = [nn.Conv2d(channels, 8, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(8, 16, 5), nn.ReLU()]
    return nn.Sequential(
        *convolutions,
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(16 * 4 * 4, 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    )


def arms(lenet: Any, vgg: Any) -> dict[str, Strategy]:
    """Return two networks, each without mixup and with two α."""
    plain = {"lenet": none().trained(model=lenet), "vgg": none().trained(model=vgg)}
    mixed = {
        f"{name}-mixup-{alpha}": arm.mixed("mixup", alpha=alpha, warmup=5)
        for name, arm in plain.items()
        for alpha in (0.1, 0.2)
    }
    return {**plain, **mixed}


def small(name: str, data: Any, seeds: int) -> Study:
    """Return a study of small networks, by the paper's recipe in smaller minibatches."""
    return Study(
        name=name,
        task=Task(**{**RECIPES["mixup-2018-speech"], "batch_size": 25}, data=data, model="convnet", standard="none"),
        strategies=arms(small_lenet, "convnet"),
        baseline="lenet",
        budget=Budget(trials=1),
        seeds=seeds,
    )


study = small("mixup-table-4", tones, 10)
fsdd = small("mixup-table-4-fsdd", "data/fsdd.npz:reduced=20", 4)
paper = Study(
    name="mixup-table-4-paper",
    task=Task(**RECIPES["mixup-2018-speech"], data="speech-commands", model="lenet-speech"),
    strategies=arms("lenet-speech", "vgg-11-speech"),
    baseline="lenet",
    budget=Budget(trials=1),
    seeds=3,
)
