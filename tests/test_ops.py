"""Laws that every row of every range of operations obeys. A new row is tested by being added to the table."""

import itertools
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from autoaug.ops import OPS, RANGES, Op, affine, compose, grey
from autoaug.testing import OpTestCase, RandomOpTestCase, StrengthTestCase, photographs

ROWS = {
    f"{name}-{row}": op
    for name, table in RANGES.items()
    for row, op in table.items()
    if table is OPS or op is not OPS[row]
}
WITH_STRENGTH = {name: op for name, op in ROWS.items() if op.most is not None}
RANDOM = {name: op for name, op in ROWS.items() if op.random}
GEOMETRIC = {name: op for name, op in ROWS.items() if op.matrix is not None}


class TestEveryRow(OpTestCase):
    @pytest.fixture(params=ROWS.values(), ids=ROWS)
    def op(self, request: pytest.FixtureRequest) -> Any:
        return request.param

    def treats_channels_alike(self, op: Op) -> bool:
        return op.name not in ("gaussian_noise", "planckian_jitter")


class TestRowsWithAStrength(StrengthTestCase):
    @pytest.fixture(params=WITH_STRENGTH.values(), ids=WITH_STRENGTH)
    def op(self, request: pytest.FixtureRequest) -> Any:
        return request.param


class TestRowsThatDraw(RandomOpTestCase):
    @pytest.fixture(params=RANDOM.values(), ids=RANDOM)
    def op(self, request: pytest.FixtureRequest) -> Any:
        return request.param

    def fewest_results(self, op: Op) -> int:
        return 4 if op.name == "channel_shuffle" else 13  # of six orders


def run(op: Op, images: Tensor, strength: float) -> Tensor:
    return op(images, torch.full([len(images)], strength, dtype=images.dtype), Generator().manual_seed(0))


# ---- colour operations on one channel ----


@pytest.mark.parametrize("name", ["color", "hue", "saturation"])
def test_colour_operations_leave_grey_images_alone(name: str) -> None:
    single = photographs(channels=1)
    assert torch.equal(run(OPS[name], single, 1.0), single)
    triple = single.expand(-1, 3, -1, -1)
    torch.testing.assert_close(run(OPS[name], triple, 1.0), triple, atol=1e-6, rtol=0)


def test_grey_weighs_to_one() -> None:
    torch.testing.assert_close(grey(torch.ones(1, 3, 2, 2)), torch.ones(1, 1, 2, 2), atol=1e-7, rtol=0)


# ---- matrices ----


def test_geometric_rows_have_a_matrix() -> None:
    assert {op.name for op in GEOMETRIC.values()} == {
        "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "zoom", "zoom_x", "zoom_y",
    }  # fmt: skip


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
