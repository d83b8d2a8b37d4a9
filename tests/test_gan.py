"""The mixup GAN of the shipped studies: its points, its shares, its score, and what the two losses are."""

import math

import numpy
import pytest
import torch
from scipy.stats import kstest
from torch import Generator, Tensor

from autoaug import Study
from autoaug.metrics import METRICS
from autoaug.mixing import MIXES
from autoaug.policy import Fixed, ready
from autoaug.train import NullLearner, Task
from autoaug.trial import Trial
from studies.mixup import gan

METRICS.pop("energy_distance", None)  # of its study; other files of tests count the rows that are shipped


@pytest.mark.parametrize("name", gan.POINTS)
def test_points_lie_in_the_plane_and_follow_from_the_generator(name: str, rng: Generator) -> None:
    points = gan.POINTS[name](500, rng)
    assert points.shape == (500, 2)
    assert torch.equal(points, gan.POINTS[name](500, Generator().manual_seed(0)))
    assert float(points.norm(dim=1).max()) < 1.3


def test_a_ring_has_eight_modes_of_equal_weight(rng: Generator) -> None:
    points = gan.ring(4_000, rng)
    modes = (torch.atan2(points[:, 1], points[:, 0]) / (math.pi / 4)).round().long() % 8
    assert torch.bincount(modes).sub(500).abs().max() < 100
    centres = torch.stack([points[modes == k].mean(0) for k in range(8)])
    assert centres.norm(dim=1).sub(1).abs().max() < 0.02


def test_the_distance_of_samples_is_that_of_its_definition_and_tells_distributions_apart(rng: Generator) -> None:
    x, y = torch.randn(7, 2, generator=rng), torch.randn(5, 2, generator=rng)
    far = [[float((a - b).norm()) for b in y] for a in x]
    same = [
        numpy.mean([float((a - b).norm()) for i, a in enumerate(s) for j, b in enumerate(s) if i != j]) for s in (x, y)
    ]
    assert float(gan.energy_distance(x, y)) == pytest.approx(2 * numpy.mean(far) - sum(same), rel=1e-4)
    alike = [float(gan.energy_distance(gan.ring(300, rng), gan.ring(300, rng))) for _ in range(20)]
    other = float(gan.energy_distance(gan.ring(300, rng), gan.spiral(300, rng)))
    assert abs(numpy.mean(alike)) < 4 * numpy.std(alike) / math.sqrt(20)  # without bias
    assert other > 10 * max(map(abs, alike))


def test_shares_are_beta_and_their_limit_is_a_fair_coin() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        coins, mixed = gan.shares(0.0, 2_000), gan.shares(0.2, 2_000)
    assert coins.shape == (2_000, 1)
    assert set(coins.flatten().tolist()) == {0.0, 1.0}
    assert abs(float(coins.mean()) - 0.5) < 0.05
    assert kstest(mixed.flatten().numpy(), "beta", args=(0.2, 0.2)).pvalue > 1e-4


def trial_of(alpha: float, steps: int, epochs: int = 1, seed: int = 0, final: bool = False) -> Trial:
    params = {"points": "ring", "width": 16, "steps": steps, "alpha": alpha}
    task = Task(data=None, epochs=epochs, device="cpu")
    policy, mix = Fixed(ready.none()), MIXES["none"]()
    return Trial(params, policy, mix, NullLearner(), task, seed, metric="val_energy_distance", final=final)


@pytest.mark.parametrize("alpha", [0.0, 0.2])
def test_the_discriminator_learns_shares_and_the_generator_to_pass_for_real(
    alpha: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five steps of the one for each of the other, and a test score in the last epoch of a final run alone."""
    asked: list[Tensor] = []
    loss = gan.error

    def watched(logits: Tensor, targets: Tensor) -> Tensor:
        asked.append(targets)
        return loss(logits, targets)

    monkeypatch.setattr(gan, "error", watched)
    monkeypatch.setattr(gan, "JUDGED", 50)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, last = gan.gan(trial_of(alpha, steps=10, epochs=2, final=True))
    assert (set(first), set(last) - set(first)) == ({"val_energy_distance"}, {"test_energy_distance"})
    theirs = asked[5::6]
    ours = [targets for k, targets in enumerate(asked) if k % 6 != 5]
    assert (len(ours), len(theirs)) == (20, 4)
    assert all(bool((targets == 1).all()) for targets in theirs)
    inside = [bool(((targets > 0) & (targets < 1)).any()) for targets in ours]
    assert inside == [alpha > 0] * 20


def test_what_is_interrupted_draws_from_generators_that_a_trial_keeps() -> None:
    """Two games of one seed are one, and games of two seeds are two."""

    def end(seed: int) -> float:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            *_, last = gan.gan(trial_of(0.2, steps=5, seed=seed))
        return float(last["val_energy_distance"])

    assert end(1) == end(1) != end(2)


def test_settings_differ_in_size_alone_and_are_stored_apart() -> None:
    studies = [value for value in vars(gan).values() if isinstance(value, Study)]
    assert len({study.name for study in studies}) == len(studies) == 4
    assert all(list(study.strategies) == ["gan", "mixup"] for study in studies)
    steps = gan.paper.task.epochs * gan.paper.space["train.steps"].choices[0]  # type: ignore[attr-defined]
    assert steps == 20_000
