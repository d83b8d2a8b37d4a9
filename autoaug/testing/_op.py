"""Laws of an image operation.

B batch, C channels, H height, W width
"""

import itertools
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Generator, Tensor
from torch.autograd import grad, gradcheck

from autoaug.ops import Op, affine
from autoaug.testing._images import photographs

SIZES = ((8, 8), (7, 13), (12, 5), (2, 3), (1, 1))
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)
EXACTNESS = {torch.float32: 1e-5, torch.float64: 1e-12, torch.bfloat16: 1e-6}
"""How far strength 0 may be from the identity."""

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")


def seeded(seed: int = 0) -> Generator:
    """Return a generator on the CPU."""
    return Generator().manual_seed(seed)


def run(op: Op, images: Tensor, strength: float | Tensor, seed: int = 0) -> Tensor:
    """Apply with one strength for all or one each, and with fresh draws from the seed."""
    if not isinstance(strength, Tensor):
        strength = torch.full([len(images)], strength, dtype=images.dtype)
    return op(images, strength, seeded(seed))


def strengths(op: Op, images: Tensor, low: float = 0.1, high: float = 1.0) -> Tensor:
    """Return different strengths [B] over the batch, of both signs where the row has both."""
    steps = torch.linspace(low, high, len(images), dtype=images.dtype)
    return steps * (-1) ** torch.arange(len(images)) if op.signed else steps


def with_extremes(images: Tensor) -> Tensor:
    """Return the images with a black one and a white one in front, where there are two."""
    images = images.clone()
    images[:1], images[1:2] = 0, 1
    return images


def calm(batch: int = 3, channels: int = 3, height: int = 5, width: int = 6) -> Tensor:
    """Return float64 images that no moderate strength cuts at 0 or 1, and whose channels are never equal."""
    return 0.4 + 0.2 * photographs(batch, channels, height, width).double()


def round_window(size: int = 32) -> Tensor:
    """Return the pixels in the circle that touches the edges, bool [H, W].

    In the corners a square is nearer to itself at 90 degrees than at 45.
    """
    steps = torch.linspace(-1, 1, size)
    return torch.hypot(steps, steps[:, None]) <= 1


@contextmanager
def global_generators_unmoved() -> Iterator[None]:
    """Raise AssertionError where the block draws from torch's global generator."""
    before = torch.random.get_rng_state()
    yield
    assert torch.equal(before, torch.random.get_rng_state()), "it drew from torch's global generator"


class OpTestCase:
    """Test the laws of every operation. Override the fixture `op`."""

    @pytest.fixture
    def op(self) -> Op:
        """Override: return the operation, as a row of `OPS`."""
        raise NotImplementedError

    def treats_channels_alike(self, op: Op) -> bool:
        """Override where three equal channels need not stay equal, as with noise that each channel has of its own."""
        return True

    # The row

    def test_its_fields_make_sense(self, op: Op) -> None:
        assert op.name
        assert op.source, "say where the operation and its largest amount are from"
        assert op.gradient in ("exact", "straight-through")
        assert callable(op.function)
        assert op.most is None or (math.isfinite(op.most) and op.most > 0)
        assert op.most is not None or not (op.signed or op.random or op.unit), "these say something of an amount"

    def test_it_changes_images_and_its_strength_matters_where_it_has_one(self, op: Op) -> None:
        images = photographs()
        assert not torch.equal(run(op, images, 1.0), images)
        assert torch.equal(run(op, images, 0.0), run(op, images, 1.0)) == (op.most is None)

    # What it keeps

    def test_nothing_is_written_into_the_arguments(self, op: Op) -> None:
        images = with_extremes(photographs().double())
        for strength in (torch.zeros(6).double(), strengths(op, images)):
            before, strength_before = images.clone(), strength.clone()
            versions = images._version, strength._version
            result = run(op, images, strength)
            assert torch.equal(images, before)
            assert torch.equal(strength, strength_before)
            assert (images._version, strength._version) == versions, "written into, though with equal values"
            assert result.data_ptr() != images.data_ptr(), "the result is the images themselves, not new ones"

    def test_an_image_is_changed_by_its_strength_and_nothing_beside_it(self, op: Op) -> None:
        images = photographs()
        strength = strengths(op, images)
        together = run(op, images, strength)
        for k in range(len(images)):
            others, other_strengths = photographs(seed=1), strengths(op, images).flip(0)
            others[k], other_strengths[k] = images[k], strength[k]
            torch.testing.assert_close(run(op, others, other_strengths)[k], together[k], atol=1e-6, rtol=0)
            if not op.random:
                alone = run(op, images[k : k + 1], strength[k : k + 1])
                torch.testing.assert_close(alone[0], together[k], atol=1e-6, rtol=0)

    @pytest.mark.parametrize("dtype", DTYPES, ids=str)
    @pytest.mark.parametrize("channels", [1, 3])
    def test_size_channels_and_dtype_stay_and_values_stay_in_range(
        self, op: Op, channels: int, dtype: torch.dtype
    ) -> None:
        for (height, width), batch in itertools.product(SIZES, (1, 6)):
            images = with_extremes(photographs(batch, channels, height, width).to(dtype))
            result = run(op, images, strengths(op, images))
            assert result.shape == images.shape
            assert result.dtype == dtype
            assert result.isfinite().all()
            assert result.min() >= 0
            assert result.max() <= 1

    def test_an_empty_batch_stays_empty(self, op: Op) -> None:
        assert run(op, photographs()[:0], 0.5).shape == (0, 3, 32, 32)

    def test_white_stays_in_range_wherever_it_is_interpolated(self, op: Op) -> None:
        white = torch.ones(64, 1, 31, 57)  # a size at which the weights of grid_sample can sum to more than one
        assert run(op, white, strengths(op, white)).max() <= 1

    def test_bfloat16_is_the_float32_result_rounded(self, op: Op) -> None:
        if op.gradient != "exact":
            pytest.skip("a pixel that rounding moves over a step has another value")
        images = photographs().bfloat16()
        strength = strengths(op, images.float())
        wanted = run(op, images.float(), strength)
        torch.testing.assert_close(run(op, images, strength).float(), wanted, atol=2**-8, rtol=0)

    def test_memory_layout_does_not_matter(self, op: Op) -> None:
        images = photographs()
        strength = strengths(op, images)
        last = images.contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(run(op, last, strength), run(op, images, strength), atol=1e-6, rtol=0)

    def test_one_channel_is_treated_as_the_grey_image_it_is(self, op: Op) -> None:
        if not self.treats_channels_alike(op):
            pytest.skip("its channels are independent")
        single = photographs(channels=1)
        strength = strengths(op, single)
        triple = run(op, single.expand(-1, 3, -1, -1), strength)
        torch.testing.assert_close(triple, run(op, single, strength).expand(-1, 3, -1, -1), atol=1e-5, rtol=0)

    # Randomness

    def test_the_generator_decides_what_is_drawn(self, op: Op) -> None:
        images = photographs()
        strength = strengths(op, images)
        assert torch.equal(run(op, images, strength, seed=3), run(op, images, strength, seed=3))
        assert torch.equal(run(op, images, strength, seed=3), run(op, images, strength, seed=4)) != op.random

    def test_the_global_generator_is_left_alone(self, op: Op) -> None:
        with global_generators_unmoved():
            run(op, photographs(), 0.5)

    # Gradients

    @pytest.mark.parametrize("channels", [1, 3])
    def test_its_gradient_is_the_one_declared(self, op: Op, channels: int) -> None:
        """Compare exact ones with finite differences; straight-through ones are finite, and ask for no other pixels."""
        images = calm(channels=channels).requires_grad_()
        strength = strengths(op, images, 0.13, 0.47).requires_grad_()
        if op.gradient == "exact":
            assert gradcheck(lambda x, s: op(x, s, seeded(5)), (images, strength))
            return
        result = op(images, strength, seeded(5))
        assert torch.equal(result, op(images.detach(), strength.detach(), seeded(5)))
        live = [images, strength] if op.most is not None else [images]
        for passed in grad(result.square().sum(), live):
            assert passed.isfinite().all()
            assert passed.abs().max() > 0, "nothing stands in for the derivative"

    # On a GPU

    @needs_cuda
    def test_cuda_equals_cpu_with_the_same_draws(self, op: Op) -> None:
        images = photographs()
        strength = strengths(op, images)
        on_cuda = op(images.cuda(), strength.cuda(), seeded())  # the generator stays on the CPU
        off = (on_cuda.cpu() - run(op, images, strength)).abs()
        assert off.max() < 1e-4 if op.gradient == "exact" else (off > 1e-4).float().mean() < 0.01

    @needs_cuda
    def test_cuda_never_waits_for_a_value(self, op: Op) -> None:
        images, strength = photographs().cuda(), torch.full([6], 0.5, device="cuda")
        rng = torch.Generator("cuda").manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns that it is a prototype
            torch.cuda.set_sync_debug_mode("error")
        try:
            assert op(images, strength, rng).is_cuda
        finally:
            torch.cuda.set_sync_debug_mode("default")


class StrengthTestCase:
    """Test the laws of an operation with a strength, beside those of `OpTestCase`. Override the fixture `op`."""

    @pytest.fixture
    def op(self) -> Op:
        """Override: return the operation, as a row of `OPS`."""
        raise NotImplementedError

    def test_strength_is_a_part_of_the_largest_amount(self, op: Op) -> None:
        assert op.most is not None, "without a largest amount it has no strength: use OpTestCase"
        images = photographs()
        strength = strengths(op, images)
        rest = (seeded(),) if op.random else ()
        assert torch.equal(run(op, images, strength), op.function(images, strength * op.most, *rest))

    @pytest.mark.parametrize("dtype", EXACTNESS, ids=str)
    def test_strength_zero_is_the_identity(self, op: Op, dtype: torch.dtype) -> None:
        for height, width in SIZES:
            images = with_extremes(photographs(height=height, width=width).to(dtype))
            torch.testing.assert_close(run(op, images, 0.0), images, atol=EXACTNESS[dtype], rtol=0)

    def test_more_strength_is_never_closer_to_the_image(self, op: Op) -> None:
        images, seen = photographs(batch=64), round_window()
        for sign in (1, -1) if op.signed else (1,):
            changes = [(run(op, images, sign * strength) - images).abs() for strength in (0, 0.2, 0.4, 0.6, 0.8, 1)]
            distances = [change[..., seen].mean().item() for change in changes]
            assert all(near <= far + 1e-6 for near, far in itertools.pairwise(distances)), distances
            assert distances[-1] > 0.01, distances

    def test_its_matrix_moves_pixels_as_it_does(self, op: Op) -> None:
        if op.matrix is None:
            pytest.skip("it is no movement by a matrix")
        images = photographs(height=20, width=33)
        amounts = strengths(op, images) * (op.most or 0.0)
        assert torch.equal(affine(images, op.matrix(amounts, 20, 33)), op.function(images, amounts))

    def test_its_gradient_is_finite_on_black_white_and_grey(self, op: Op) -> None:
        images = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1, 1).repeat(1, 3, 6, 7).requires_grad_()
        for start in (0.0, 0.5, 1.0):
            strength = torch.full([3], start, requires_grad=True)
            for passed in grad(op(images, strength, seeded(5)).sum(), (images, strength)):
                assert passed.isfinite().all()

    def test_torch_func_sees_the_same_gradient(self, op: Op) -> None:
        images = photographs()
        strength = strengths(op, images, 0.13, 0.47)

        def loss(strength: Tensor) -> Tensor:
            return op(images, strength, seeded(5)).square().sum()

        live = strength.clone().requires_grad_()
        torch.testing.assert_close(torch.func.grad(loss)(strength), grad(loss(live), live)[0])


class RandomOpTestCase:
    """Test the laws of an operation that draws, beside those of the other two suites. Override the fixture `op`."""

    @pytest.fixture
    def op(self) -> Op:
        """Override: return the operation, as a row of `OPS`."""
        raise NotImplementedError

    def fewest_results(self, op: Op) -> int:
        """Override where chance makes few different images: how many of 16 draws at strength 1 surely differ."""
        return 13

    def test_it_draws_for_each_image(self, op: Op) -> None:
        assert op.random, "say so in its row, else it is given no generator"
        same = photographs(batch=1).expand(16, -1, -1, -1)
        assert len(run(op, same, 1.0).flatten(1).unique(dim=0)) >= self.fewest_results(op)

    def test_a_missing_generator_is_refused(self, op: Op) -> None:
        with pytest.raises(ValueError, match=op.name):
            op(photographs(), torch.full([6], 0.5))

    def test_draws_do_not_depend_on_the_dtype(self, op: Op) -> None:
        images = photographs()
        torch.testing.assert_close(run(op, images.double(), 1.0).float(), run(op, images, 1.0), atol=1e-5, rtol=0)

    def test_what_is_drawn_does_not_depend_on_the_strength(self, op: Op) -> None:
        after = []
        for strength in (0.0, 0.5, 1.0):
            rng = seeded()
            op(photographs(), torch.full([6], strength), rng)
            after.append(rng.get_state())
        assert all(torch.equal(after[0], state) for state in after)
