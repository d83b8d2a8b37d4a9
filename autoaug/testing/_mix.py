"""Laws of a mix."""

import inspect
import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scipy.stats import binomtest
from torch import Generator, Tensor

from autoaug.mixing import Mix, Weakenable

CHANCE = 1e-4
"""Probability that a right mix fails a statistical law. Seeds are fixed, so it does so always or never."""

each_per = pytest.mark.parametrize("per", ["sample", "batch"])


def seeded(seed: int = 0) -> Generator:
    """Return a generator on the CPU."""
    return Generator().manual_seed(seed)


def batch(count: int = 64, side: int = 16, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Return noise [count, 3, side, side + 8] in [0, 1] and one-hot targets of ten classes."""
    rng = seeded(1)
    images = torch.rand(count, 3, side, side + 8, generator=rng).to(dtype)
    return images, torch.eye(10)[torch.randint(10, (count,), generator=rng)].to(dtype)


def ones_and_zeros(count: int, side: int = 16) -> tuple[Tensor, Tensor]:
    """Return images of ones with class 0 and images of zeros with class 1: pixels tell what targets should say."""
    labels = torch.arange(count) % 2
    return (1.0 - labels)[:, None, None, None].expand(count, 3, side, side + 8), torch.eye(2)[labels]


class MixTestCase:
    """Test the laws of a mix. Override the fixture `mix`, and what below does not hold of it."""

    @pytest.fixture
    def mix(self) -> Callable[..., Mix]:
        """Override: return what makes the mix from an amount, and from `probability` and `per` where it takes them."""
        raise NotImplementedError

    def amounts(self, mix: Callable[..., Mix]) -> tuple[str, float, float, float]:
        """Override where it is not `alpha`: the parameter of which 0 is no mixing, and a small, usual and large one."""
        return "alpha", 0.01, 1.0, 32.0

    def changes(self, mix: Callable[..., Mix]) -> bool:
        """Override where it never changes anything, whatever its parameters."""
        return True

    def combines(self, mix: Callable[..., Mix]) -> bool:
        """Override where it combines no samples: then nothing is asked about partners and mixed targets."""
        return True

    def in_pairs(self, mix: Callable[..., Mix]) -> bool:
        """Override where it combines more than two samples: then nothing is asked that holds of one partner only."""
        return True

    def draws(self, mix: Callable[..., Mix]) -> bool:
        """Override where it changes all samples alike and draws nothing."""
        return True

    def has_gradient(self, mix: Callable[..., Mix]) -> bool:
        """Override where no gradient reaches a tensor that is given as `alpha`."""
        return True

    def made(self, mix: Callable[..., Mix], level: int = 2, **more: Any) -> Mix:
        """Return the mix with no, a small, usual or large amount (0 to 3); skip a law of what it does not take."""
        name, *amounts = self.amounts(mix)
        for parameter in more:
            if parameter not in inspect.signature(mix).parameters:
                pytest.skip(f"it takes no {parameter}")
        return mix(**{name: [0.0, *amounts][level]}, **more)

    def need_changes(self, mix: Callable[..., Mix]) -> None:
        """Skip a law of what is changed where nothing is."""
        if not self.changes(mix):
            pytest.skip("it never changes anything")

    def need_partners(self, mix: Callable[..., Mix]) -> None:
        """Skip a law of partners and mixed targets where samples are not combined."""
        self.need_changes(mix)
        if not self.combines(mix):
            pytest.skip("it combines no samples")

    def need_pairs(self, mix: Callable[..., Mix]) -> None:
        """Skip a law of the one partner of a sample where there are more."""
        self.need_partners(mix)
        if not self.in_pairs(mix):
            pytest.skip("it combines more than two samples")

    def need_alpha(self, mix: Callable[..., Mix]) -> None:
        """Skip a law of tensors as α where there is no α."""
        if self.amounts(mix)[0] != "alpha":
            pytest.skip("it takes no alpha")

    def of(self, mix: Callable[..., Mix], per: str) -> dict[str, Any]:
        """Return `per` as a parameter; nothing for one per sample, which all are."""
        return {} if per == "sample" else {"per": per}

    # What comes out

    @each_per
    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
    def test_shapes_and_dtypes_stay_and_inputs_too(self, mix: Callable[..., Mix], per: str, dtype: torch.dtype) -> None:
        images, targets = batch(dtype=dtype)
        before = images.clone(), targets.clone()
        mixed, soft = self.made(mix, **self.of(mix, per))(images, targets, seeded())
        assert torch.equal(images, before[0]), "it writes into the images"
        assert torch.equal(targets, before[1]), "it writes into the targets"
        assert (mixed.shape, mixed.dtype, soft.shape, soft.dtype) == (images.shape, dtype, targets.shape, dtype)

    @each_per
    @pytest.mark.parametrize("level", [1, 2, 3])
    def test_targets_stay_on_the_simplex_and_pixels_in_range(
        self, mix: Callable[..., Mix], per: str, level: int
    ) -> None:
        mixed, soft = self.made(mix, level, **self.of(mix, per))(*batch(), seeded())
        torch.testing.assert_close(soft.sum(1), torch.ones(64))
        assert soft.min() >= 0
        assert mixed.min() >= 0
        assert mixed.max() <= 1
        assert mixed.isfinite().all()

    @each_per
    @pytest.mark.parametrize("count", [1, 7])
    def test_batches_of_one_and_of_odd_size_are_served(self, mix: Callable[..., Mix], per: str, count: int) -> None:
        images, targets = batch(count)
        mixed, soft = self.made(mix, **self.of(mix, per))(images, targets, seeded())
        assert (mixed.shape, soft.shape) == (images.shape, targets.shape)
        torch.testing.assert_close(soft.sum(1), torch.ones(count))
        if count == 1 and self.combines(mix):  # its partner is itself
            torch.testing.assert_close(mixed, images)
            torch.testing.assert_close(soft, targets)

    def test_targets_are_soft(self, mix: Callable[..., Mix]) -> None:
        self.need_partners(mix)
        _, soft = mix(alpha=32.0)(torch.zeros(64, 1, 16, 16), torch.eye(64), seeded())
        assert ((soft > 0.01) & (soft < 0.99)).any(1).float().mean() > 0.5

    @each_per
    @pytest.mark.parametrize("alpha", [0.1, 1.0, 8.0])
    def test_targets_are_weighed_as_the_pixels_were(self, mix: Callable[..., Mix], per: str, alpha: float) -> None:
        self.need_partners(mix)
        mixed, soft = mix(alpha=alpha, per=per)(*ones_and_zeros(64), seeded())
        torch.testing.assert_close(mixed.mean(dim=(1, 2, 3)), soft[:, 0], rtol=0, atol=1e-5)

    def test_targets_of_half_precision_images_lose_nothing(self, mix: Callable[..., Mix]) -> None:
        images, targets = batch()
        full = self.made(mix)(images.bfloat16().float(), targets, seeded(4))
        half = self.made(mix)(images.bfloat16(), targets, seeded(4))
        torch.testing.assert_close(half[1], full[1], rtol=0, atol=0)
        torch.testing.assert_close(half[0].float(), full[0], rtol=0, atol=2**-7)

    # Randomness

    def test_the_generator_decides_everything(self, mix: Callable[..., Mix]) -> None:
        images, targets = batch()
        first, again, other = (self.made(mix)(images, targets, seeded(seed)) for seed in (1, 1, 2))
        assert torch.equal(first[0], again[0])
        assert torch.equal(first[1], again[1])
        assert torch.equal(first[0], other[0]) != (self.changes(mix) and self.draws(mix))

    def test_the_global_generator_is_left_alone(self, mix: Callable[..., Mix]) -> None:
        before = torch.random.get_rng_state()
        self.made(mix)(*batch(), seeded())
        assert torch.equal(before, torch.random.get_rng_state())

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
    def test_cuda_equals_cpu_with_the_same_draws(self, mix: Callable[..., Mix]) -> None:
        images, targets = batch()
        on_cpu = self.made(mix)(images, targets, seeded())
        on_cuda = self.made(mix)(images.cuda(), targets.cuda(), seeded())  # the generator stays on the CPU
        for one, two in zip(on_cpu, on_cuda, strict=True):
            torch.testing.assert_close(two.cpu(), one, rtol=0, atol=1e-4)

    # Parameters

    @pytest.mark.parametrize("off", ["amount", "whole", "probability"])
    def test_an_amount_of_zero_and_probability_zero_change_nothing_and_draw_nothing(
        self, mix: Callable[..., Mix], off: str
    ) -> None:
        images, targets = batch()
        rng = seeded()
        nothing = {
            "amount": lambda: self.made(mix, 0),
            "whole": lambda: mix(**{self.amounts(mix)[0]: 0}),
            "probability": lambda: self.made(mix, probability=0.0),
        }
        mixed, soft = nothing[off]()(images, targets, rng)
        assert torch.equal(mixed, images)
        assert torch.equal(soft, targets)
        assert torch.equal(rng.get_state(), seeded().get_state())

    def test_a_tensor_of_zero_as_alpha_changes_nothing_and_has_a_finite_gradient(self, mix: Callable[..., Mix]) -> None:
        self.need_alpha(mix)
        alpha = torch.tensor(0.0, requires_grad=True)
        images, targets = batch()
        mixed, soft = mix(alpha=alpha)(images, targets, seeded())
        assert torch.equal(mixed, images)
        assert torch.equal(soft, targets)
        if self.has_gradient(mix):
            (gradient,) = torch.autograd.grad(mixed.square().sum() + soft.square().sum(), alpha)
            assert gradient.isfinite()

    def test_a_gradient_reaches_alpha(self, mix: Callable[..., Mix]) -> None:
        self.need_alpha(mix)
        if not self.has_gradient(mix):
            pytest.skip("it is not differentiable in alpha")
        alpha = torch.tensor(0.4, requires_grad=True)
        mixed, soft = mix(alpha=alpha)(*batch(), seeded())
        for value in (mixed.square().sum(), soft.square().sum()):
            (gradient,) = torch.autograd.grad(value, alpha, retain_graph=True)
            assert gradient.isfinite()
            assert gradient != 0

    @pytest.mark.parametrize("amount", [-1.0, math.nan, math.inf])
    def test_an_impossible_amount_is_refused(self, mix: Callable[..., Mix], amount: float) -> None:
        name = self.amounts(mix)[0]
        for value in (amount, torch.tensor(amount)) if name == "alpha" else (amount,):
            with pytest.raises(ValueError, match=f"{name} is {amount}"):
                mix(**{name: value})

    def test_the_probability_is_the_share_of_samples_that_are_mixed(self, mix: Callable[..., Mix]) -> None:
        self.need_changes(mix)
        images, targets = torch.rand(2000, 1, 16, 16, generator=seeded(1)), torch.ones(2000, 1)
        mixed, _ = self.made(mix, 3, probability=0.3)(images, targets, seeded())
        changed = int((mixed != images).flatten(1).any(1).sum())
        assert binomtest(changed, 2000, 0.3).pvalue > CHANCE, f"{changed} of 2000 are mixed"

    def test_the_probability_is_the_share_of_batches_that_are_mixed(self, mix: Callable[..., Mix]) -> None:
        self.need_changes(mix)
        whole, rng = self.made(mix, 3, probability=0.3, per="batch"), seeded()
        images, targets = batch(count=8)
        changed = sum(bool((whole(images, targets, rng)[0] != images).any()) for _ in range(500))
        assert binomtest(changed, 500, 0.3).pvalue > CHANCE, f"{changed} of 500 are mixed"

    def test_shares_differ_between_samples_unless_one_is_drawn_for_the_batch(self, mix: Callable[..., Mix]) -> None:
        self.need_pairs(mix)

        def shares(per: str) -> Tensor:
            soft = mix(alpha=8.0, per=per)(torch.zeros(64, 1, 32, 32), torch.eye(64), seeded())[1]
            return soft.diagonal()[soft.diagonal() < 0.999]  # a sample paired with itself keeps its target

        assert len(shares("sample").unique()) > 5, "a mask of whole columns has few"
        assert shares("batch").unique().numel() == 1

    def test_every_partner_is_as_likely_as_any_other(self, mix: Callable[..., Mix]) -> None:
        """Count over many batches of three: each sample meets itself and the two others a third of the time."""
        self.need_pairs(mix)
        pairs, rng, partner = mix(alpha=32.0), seeded(), []
        for _ in range(400):
            soft = pairs(torch.zeros(3, 1, 8, 8), torch.eye(3), rng)[1]
            partner.append(int((soft[0] - torch.tensor([soft[0, 0].item(), 0, 0])).argmax()))
        assert binomtest(partner.count(1), 400, 1 / 3).pvalue > CHANCE
        assert binomtest(partner.count(2), 400, 1 / 3).pvalue > CHANCE

    def test_weaker_mixes_mix_less_until_nothing_is_mixed(self, mix: Callable[..., Mix]) -> None:
        whole, images, targets = self.made(mix), torch.full((200, 1, 8, 8), 0.5), torch.eye(200)
        if not isinstance(whole, Weakenable):
            pytest.skip("it does not say how it is weakened")

        def strength(share: float) -> float:
            """Of equal images and a class for each: how soft targets are, and how far from what they were images."""
            mixed, soft = whole.weakened(share)(images, targets, seeded())
            return float(1 - soft.max(1).values.mean() + (mixed - images).abs().mean())

        for one, two in zip(
            whole.weakened(1)(images, targets, seeded()), whole(images, targets, seeded()), strict=True
        ):
            assert torch.equal(one, two)
        assert (strength(1) > strength(0.5) > strength(0.1) > 1e-6) == self.changes(mix)
        rng = seeded()
        assert torch.equal(whole.weakened(0)(images, targets, rng)[1], targets)
        assert torch.equal(rng.get_state(), seeded().get_state())
        assert (whole.mixes, whole.weakened(0).mixes) == (self.changes(mix), False)
        for share in (-0.1, 1.1, math.nan):
            with pytest.raises(ValueError, match=rf"weakened\(share={share}\): give a number from 0 to 1"):
                whole.weakened(share)

    # Processes

    def test_it_travels_to_workers(self, mix: Callable[..., Mix]) -> None:
        images, targets = batch()
        wanted = self.made(mix)(images, targets, seeded(3))
        arrived: Mix = pickle.loads(pickle.dumps(self.made(mix)))  # what was dumped in this line, nothing from outside
        for one, two in zip(arrived(images, targets, seeded(3)), wanted, strict=True):
            assert torch.equal(one, two)
