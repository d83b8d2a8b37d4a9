"""Laws that every row of every range of operations obeys. A new row is tested by being added to the table."""

import itertools
import warnings

import pytest
import torch
from pictures import photographs
from torch import Generator, Tensor

from autoaug.ops import OPS, RANGES, Op, affine, compose, grey

ROWS = {
    f"{name}-{row}": op
    for name, table in RANGES.items()
    for row, op in table.items()
    if table is OPS or op is not OPS[row]
}
GEOMETRIC = {name: op for name, op in ROWS.items() if op.matrix is not None}
SIZES = [(8, 8), (7, 13), (12, 5), (2, 3), (1, 1)]

every_row = pytest.mark.parametrize("op", ROWS.values(), ids=ROWS)
every_strength = pytest.mark.parametrize(
    "op", [op for op in ROWS.values() if op.most is not None], ids=[name for name, op in ROWS.items() if op.most]
)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")


def seeded(seed: int = 0) -> Generator:
    return torch.Generator().manual_seed(seed)


def run(op: Op, images: Tensor, strength: float | Tensor, seed: int = 0) -> Tensor:
    """Apply with one strength for all or one each, and with fresh draws from the seed."""
    if not isinstance(strength, Tensor):
        strength = torch.full([len(images)], strength, dtype=images.dtype)
    return op(images, strength, seeded(seed))


def strengths(op: Op, images: Tensor) -> Tensor:
    """Different strengths over the batch, of both signs where the row has both."""
    steps = torch.linspace(0.1, 1, len(images), dtype=images.dtype)
    return steps * (-1) ** torch.arange(len(images)) if op.signed else steps


def round_window(size: int = 32) -> Tensor:
    """The pixels in the circle that touches the edges. In the corners a square is nearer to itself at 90 than at 45."""
    steps = torch.linspace(-1, 1, size)
    return torch.hypot(steps, steps[:, None]) <= 1


# ---- what strength means ----


@every_strength
def test_strength_is_a_part_of_the_largest_amount(op: Op) -> None:
    images = photographs()
    strength = strengths(op, images)
    rest = (seeded(),) if op.random else ()
    assert torch.equal(run(op, images, strength), op.function(images, strength * op.most, *rest))


@every_strength
@pytest.mark.parametrize(
    ("dtype", "error"), [(torch.float32, 1e-5), (torch.float64, 1e-12), (torch.bfloat16, 1e-6)], ids=str
)
def test_strength_zero_is_the_identity(op: Op, dtype: torch.dtype, error: float) -> None:
    for height, width in SIZES:
        images = photographs(height=height, width=width).to(dtype)
        images[0], images[1] = 0, 1  # black and white too
        torch.testing.assert_close(run(op, images, 0.0), images, atol=error, rtol=0)


@every_strength
def test_more_strength_is_never_closer_to_the_image(op: Op) -> None:
    images, seen = photographs(batch=64), round_window()
    for sign in (1, -1) if op.signed else (1,):
        changes = [(run(op, images, sign * strength) - images).abs() for strength in (0, 0.2, 0.4, 0.6, 0.8, 1)]
        distances = [change[..., seen].mean().item() for change in changes]
        assert all(near <= far + 1e-6 for near, far in itertools.pairwise(distances)), distances
        assert distances[-1] > 0.01, distances


@pytest.mark.parametrize("name", [name for name, op in OPS.items() if op.most is None])
def test_rows_without_a_strength_ignore_it(name: str) -> None:
    images = photographs()
    assert torch.equal(run(OPS[name], images, 0.0), run(OPS[name], images, 1.0))
    assert not torch.equal(run(OPS[name], images, 0.0), images)


# ---- what every operation keeps ----


@every_row
def test_nothing_is_written_into_the_arguments(op: Op) -> None:
    images = photographs().double()
    images[:2] = torch.tensor([0.0, 1.0], dtype=torch.double).view(2, 1, 1, 1)
    for strength in (torch.zeros(6).double(), strengths(op, images)):
        before, amount_before = images.clone(), strength.clone()
        versions = images._version, strength._version
        result = run(op, images, strength)
        assert (images._version, strength._version) == versions
        assert torch.equal(images, before)
        assert torch.equal(strength, amount_before)
        assert result.data_ptr() != images.data_ptr()


@every_row
def test_an_image_is_changed_by_its_own_strength_and_nothing_beside_it(op: Op) -> None:
    images = photographs()
    strength = strengths(op, images)
    together = run(op, images, strength)
    for place in range(len(images)):
        others, other_strengths = photographs(seed=1), strengths(op, images).flip(0)
        others[place], other_strengths[place] = images[place], strength[place]
        torch.testing.assert_close(run(op, others, other_strengths)[place], together[place], atol=1e-6, rtol=0)
        if not op.random:
            alone = run(op, images[place : place + 1], strength[place : place + 1])
            torch.testing.assert_close(alone[0], together[place], atol=1e-6, rtol=0)


@every_row
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_size_channels_and_dtype_stay_and_values_stay_in_range(op: Op, dtype: torch.dtype, channels: int) -> None:
    for height, width in SIZES:
        images = photographs(channels=channels, height=height, width=width).to(dtype)
        images[0], images[1] = 0, 1
        result = run(op, images, strengths(op, images))
        assert result.shape == images.shape
        assert result.dtype == dtype
        assert result.min() >= 0
        assert result.max() <= 1  # and neither is NaN


@every_row
def test_white_stays_in_range_wherever_it_is_interpolated(op: Op) -> None:
    white = torch.ones(64, 1, 31, 57)  # a size at which the weights of grid_sample can sum to more than one
    assert run(op, white, strengths(op, white)).max() <= 1


@pytest.mark.parametrize("op", [op for op in ROWS.values() if op.gradient == "exact"], ids=lambda op: op.name)
def test_bfloat16_is_the_float32_result_rounded(op: Op) -> None:
    images = photographs().bfloat16()
    strength = strengths(op, images.float())
    exact = run(op, images.float(), strength)
    torch.testing.assert_close(run(op, images, strength).float(), exact, atol=2**-8, rtol=0)


@every_row
def test_the_same_draws_give_the_same_result(op: Op) -> None:
    images = photographs()
    strength = strengths(op, images)
    assert torch.equal(run(op, images, strength, seed=3), run(op, images, strength, seed=3))
    assert torch.equal(run(op, images, strength, seed=3), run(op, images, strength, seed=4)) != op.random


@pytest.mark.parametrize("op", [op for op in ROWS.values() if op.random], ids=lambda op: op.name)
def test_random_rows_draw_for_each_image(op: Op) -> None:
    same = photographs(batch=1).expand(16, -1, -1, -1)
    assert len(run(op, same, 1.0).flatten(1).unique(dim=0)) > 12


@pytest.mark.parametrize("op", [op for op in ROWS.values() if op.random], ids=lambda op: op.name)
def test_draws_do_not_depend_on_the_dtype(op: Op) -> None:
    images = photographs()
    torch.testing.assert_close(run(op, images.double(), 1.0).float(), run(op, images, 1.0), atol=1e-5, rtol=0)


@every_row
def test_memory_layout_does_not_matter(op: Op) -> None:
    images = photographs()
    strength = strengths(op, images)
    last = images.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(run(op, last, strength), run(op, images, strength), atol=1e-6, rtol=0)


@every_row
def test_an_empty_batch_stays_empty(op: Op) -> None:
    assert run(op, photographs()[:0], 0.5).shape == (0, 3, 32, 32)


@needs_cuda
@every_row
def test_cuda_equals_cpu_with_the_same_draws(op: Op) -> None:
    images = photographs()
    strength = strengths(op, images)
    there = op(images.cuda(), strength.cuda(), seeded())  # the generator stays on the CPU
    off = (there.cpu() - run(op, images, strength)).abs()
    assert off.max() < 1e-4 if op.gradient == "exact" else (off > 1e-4).float().mean() < 0.01


@needs_cuda
@every_row
def test_cuda_never_waits_for_a_value(op: Op) -> None:
    images, strength = photographs().cuda(), torch.full([6], 0.5, device="cuda")
    rng = torch.Generator("cuda").manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that it is a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        assert op(images, strength, rng).is_cuda
    finally:
        torch.cuda.set_sync_debug_mode("default")


# ---- colour operations on one channel ----


@pytest.mark.parametrize("name", ["color", "hue", "saturation"])
def test_colour_operations_leave_grey_images_alone(name: str) -> None:
    single = photographs(channels=1)
    assert torch.equal(run(OPS[name], single, 1.0), single)
    triple = single.expand(-1, 3, -1, -1)
    torch.testing.assert_close(run(OPS[name], triple, 1.0), triple, atol=1e-6, rtol=0)


@every_row
def test_one_channel_is_treated_as_the_grey_image_it_is(op: Op) -> None:
    if op.name == "gaussian_noise":
        pytest.skip("noise is independent in each channel")
    single = photographs(channels=1)
    strength = strengths(op, single)
    triple = run(op, single.expand(-1, 3, -1, -1), strength)
    torch.testing.assert_close(triple, run(op, single, strength).expand(-1, 3, -1, -1), atol=1e-5, rtol=0)


def test_grey_weighs_to_one() -> None:
    torch.testing.assert_close(grey(torch.ones(1, 3, 2, 2)), torch.ones(1, 1, 2, 2), atol=1e-7, rtol=0)


# ---- matrices ----


@pytest.mark.parametrize("op", GEOMETRIC.values(), ids=GEOMETRIC)
def test_geometric_rows_are_affine_by_their_matrix(op: Op) -> None:
    images = photographs(height=20, width=33)
    amounts = strengths(op, images) * op.most
    assert torch.equal(affine(images, op.matrix(amounts, 20, 33)), op.function(images, amounts))


def test_geometric_rows_have_a_matrix() -> None:
    assert {op.name for op in GEOMETRIC.values()} == {"shear_x", "shear_y", "translate_x", "translate_y", "rotate"}


@pytest.mark.parametrize(("first", "second"), list(itertools.product(GEOMETRIC, GEOMETRIC)))
def test_composed_matrices_do_one_thing_after_the_other(first: str, second: str) -> None:
    """Checked near the centre of a ramp, which is interpolated without error."""
    size = 41
    across = torch.linspace(0.2, 0.6, size, dtype=torch.double)
    ramp = (across + 0.5 * across[:, None]).expand(1, 1, size, size)
    centre = slice(size // 2 - 2, size // 2 + 3)
    one, two = ROWS[first], ROWS[second]
    amount = torch.full([1], 0.2, dtype=torch.double)
    in_turn = run(two, run(one, ramp, 0.2), 0.2)
    matrix = compose(one.matrix(amount * one.most, size, size), two.matrix(amount * two.most, size, size))
    at_once = affine(ramp, matrix)
    torch.testing.assert_close(at_once[..., centre, centre], in_turn[..., centre, centre], atol=1e-9, rtol=0)


def test_composition_has_an_order() -> None:
    images = photographs(batch=1)
    turn = OPS["rotate"].matrix(torch.tensor([30.0]), 32, 32)
    move = OPS["translate_x"].matrix(torch.tensor([0.3]), 32, 32)
    assert not torch.allclose(affine(images, compose(turn, move)), affine(images, compose(move, turn)), atol=0.01)
