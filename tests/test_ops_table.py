"""The table of operations: which rows there are, how far they go, and what they refuse."""

from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor

from autoaug.ops import OPS, RANGES, Op, affine, crop, rotate, shear_x
from autoaug.policy import Fixed, Relaxed, apply, encode, policy_tree
from autoaug.policy import decode as load
from autoaug.testing import photographs

MADAO = {
    *("shear_x", "shear_y", "translate_x", "translate_y", "rotate", "invert", "auto_contrast", "equalize"),
    *("solarize", "color", "posterize", "contrast", "brightness", "sharpness"),
}


def seeded() -> Generator:
    return torch.Generator().manual_seed(0)


def test_the_table_holds_the_fourteen_operations_of_madao_and_the_standard_ones() -> None:
    assert MADAO | {"hue", "saturation", "cutout", "hflip", "vflip", "gaussian_noise", "crop"} <= set(OPS)


def test_every_range_holds_every_row_under_its_own_name() -> None:
    assert set(RANGES) == {"autoaugment", "wide", "faster", "extended"}
    assert RANGES["autoaugment"] is OPS
    for table in RANGES.values():
        assert list(table) == [op.name for op in table.values()] == list(OPS)


def test_a_row_that_is_added_is_in_every_range_with_its_own_largest_amount(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = Op("dim", lambda images, amount: images * (1 - amount.view(-1, 1, 1, 1)), 0.7, "", False, "exact", "here")
    monkeypatch.setitem(OPS, "dim", mine)
    for ranges, table in RANGES.items():
        assert list(table) == list(OPS)
        tree = policy_tree(apply("dim", 0.5), ranges=ranges)
        assert tree.root.amount == 0.35  # type: ignore[union-attr]
        torch.testing.assert_close(Fixed(tree)(photographs(), seeded()), 0.65 * photographs())
        learnt = Relaxed(("dim", "rotate"), ranges=ranges)
        assert learnt.ops == (mine, table["rotate"])
        assert load(encode(learnt.tree()).encode()) == learnt.tree()


def test_ranges_differ_from_the_table_in_how_far_they_go_and_in_nothing_else() -> None:
    for table in RANGES.values():
        for name, op in table.items():
            base = OPS[name]
            assert (op.function, op.unit, op.signed, op.gradient, op.random, op.matrix, op.moves, op.bends) == (
                base.function, base.unit, base.signed, base.gradient, base.random, base.matrix,
                base.moves, base.bends,
            )  # fmt: skip
            assert (op.most is None) == (base.most is None)


@pytest.mark.parametrize(
    ("table", "amounts"),
    [
        (
            "autoaugment",
            {"shear_x": 0.3, "translate_y": 0.45, "rotate": 30, "color": 0.9, "solarize": 1, "posterize": 4},
        ),
        ("wide", {"shear_x": 0.99, "translate_y": 1, "rotate": 135, "color": 0.99, "solarize": 1, "posterize": 6}),
        ("faster", {"shear_x": 0.3, "translate_y": 0.45, "rotate": 30, "color": 1, "solarize": 1, "posterize": 8}),
    ],
)
def test_strength_one_is_the_amount_of_the_paper(table: str, amounts: dict[str, float]) -> None:
    assert {name: RANGES[table][name].most for name in amounts} == amounts


# ---- errors name the value and the fix ----


def test_a_wrong_strength_is_refused() -> None:
    images = photographs()
    for strength in (torch.zeros(5), torch.zeros(6, 1), torch.tensor(0.5), torch.zeros(6).long()):
        for op in OPS.values():
            with pytest.raises(ValueError, match=rf"strength of {op.name} must be a floating tensor of shape \[6\]"):
                op(images, strength, seeded())
    with pytest.raises(ValueError, match=r"amount must be .* got 30\.0: torch\.full\(\[6\]"):
        rotate(images, 30.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(3, 8, 8),
        torch.zeros(2, 4, 8, 8),
        torch.zeros(2, 3, 8, 8, dtype=torch.uint8),
    ],
    ids=["no batch", "four channels", "8-bit"],
)
def test_images_that_are_no_images_are_refused(images: Tensor) -> None:
    for op in OPS.values():
        with pytest.raises(ValueError, match=r"images must be floating \[B, 1 or 3, H, W\]"):
            op(images, torch.zeros(len(images)), seeded())


def test_a_missing_generator_is_refused() -> None:
    with pytest.raises(ValueError, match=r"cutout draws for each image: pass a torch\.Generator"):
        OPS["cutout"](photographs(), torch.zeros(6))


def test_a_matrix_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"matrix must have shape \[6, 2, 3\], got \[6, 3, 3\]"):
        affine(photographs(), torch.eye(3).expand(6, 3, 3))


def test_the_functions_refuse_like_the_rows() -> None:
    with pytest.raises(ValueError, match="images must be floating"):
        shear_x(torch.zeros(2, 3, 8, 8, dtype=torch.long), torch.zeros(2))
    with pytest.raises(ValueError, match=r"shape \[2\]"):
        crop(torch.zeros(2, 3, 8, 8), torch.zeros(3), seeded())


# ---- the page ----


def test_the_page_says_what_the_tables_do() -> None:
    page = (Path(__file__).parent.parent / "docs" / "reference" / "ops.md").read_text()

    def amount(op: Op) -> str:
        return "" if op.most is None else f"{'±' if op.signed else ''}{op.most:g} {op.unit}"

    rows = [f"| `{op.name}` | {amount(op)} | {op.gradient} | {'yes' if op.random else ''} |" for op in OPS.values()]
    assert "\n".join(rows) in page
    for name, table in RANGES.items():
        farther = ", ".join(f"`{row}` {amount(op)}" for row, op in table.items() if op is not OPS[row])
        assert not farther or f"| `{name}` | {farther} |" in page
