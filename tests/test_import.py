"""Policies of other projects as trees, against examples worked out by hand and against the code that they came with."""

from typing import Any

import pytest
import torch
from torch import Generator
from torchvision.transforms import AutoAugment, AutoAugmentPolicy
from torchvision.transforms.v2 import functional as F

from autoaug.export import import_policy
from autoaug.ops import OPS
from autoaug.policy import Choice, Fixed, PolicyError, PolicyTree, Sequence, ready
from autoaug.testing import eight_bit, photographs


def one(name: str, level: Any, format: str = "fast-autoaugment", probability: float = 0.5) -> Any:
    """The only operation of a policy."""
    return nodes(import_policy([[[name, probability, level]]], format))[0]


def nodes(tree: PolicyTree, k: int = 0) -> tuple[Any, ...]:
    """The operations of a sub-policy."""
    assert isinstance(tree.root, Choice)
    row = tree.root.options[k].node
    assert isinstance(row, Sequence)
    return row.nodes


BY_HAND = [
    # name, level: op, strength, physical amount, random sign
    ("ShearX", 0.5, "shear_x", 0.0, 0.0, True),  # -0.3 + 0.5 * 0.6 = 0: the identity
    ("ShearX", 0.0, "shear_x", 1.0, 0.3, True),  # -0.3, and then mirrored at random
    ("ShearY", 1.0, "shear_y", 1.0, 0.3, True),
    ("TranslateX", 0.25, "translate_x", 0.5, 0.225, True),  # -0.45 + 0.25 * 0.9 = -0.225
    ("TranslateY", 0.75, "translate_y", 0.5, 0.225, True),
    ("Rotate", 0.9, "rotate", 0.8, 24.0, True),  # -30 + 0.9 * 60
    ("Contrast", 0.5, "contrast", 0.0, 0.0, False),  # the factor 0.1 + 0.5 * 1.8 = 1
    ("Color", 0.0, "color", -1.0, -0.9, False),  # the factor 0.1, never 1.9
    ("Brightness", 1.0, "brightness", 1.0, 0.9, False),
    ("Sharpness", 0.75, "sharpness", 0.5, 0.45, False),  # the factor 1.45
    ("Solarize", 0.0, "solarize", 1.0, 1.0, True),  # threshold 0 inverts everything
    ("Solarize", 0.5, "solarize", 1 - 128 / 255, 1 - 128 / 255, True),
    ("Solarize", 1.0, "solarize", 0.0, 0.0, True),  # threshold 256 inverts nothing
    ("Posterize", 0.0, "posterize", 1.0, 4.0, True),  # keeps 4 bits
    ("Posterize", 0.6, "posterize", 0.5, 2.0, True),  # keeps int(6.4) = 6 bits
    ("Posterize", 0.9, "posterize", 0.25, 1.0, True),  # keeps int(7.6) = 7 bits
    ("Posterize", 1.0, "posterize", 0.0, 0.0, True),  # keeps 8 bits
    ("Cutout", 0.5, "cutout", 0.5, 0.1, True),  # 0.5 * 0.2 of the side
    ("AutoContrast", 0.3, "auto_contrast", 1.0, None, True),
    ("Equalize", 0.3, "equalize", 1.0, None, True),
    ("Invert", 0.3, "invert", 1.0, None, True),
]


@pytest.mark.parametrize(("name", "level", "op", "strength", "amount", "mirror"), BY_HAND)
def test_levels_of_fast_autoaugment(
    name: str, level: float, op: str, strength: float, amount: float | None, mirror: bool
) -> None:
    found = one(name, level)
    assert (found.op, found.probability, found.mirror) == (op, 0.5, mirror)
    assert found.strength == pytest.approx(strength)
    assert found.amount == (None if amount is None else pytest.approx(amount))


def test_all_operations_of_fast_autoaugment_were_worked_out() -> None:
    assert {op for _, _, op, *_ in BY_HAND} == {*ready.MADAO_OPS, "cutout"}


@pytest.mark.parametrize("level", [k / 20 for k in range(21)])
def test_solarize_inverts_the_same_levels_as_fast_autoaugment(level: float) -> None:
    pixels = torch.arange(256).view(1, 1, 16, 16)
    theirs = pixels.where(pixels < 256 * level, 255 - pixels)  # as Pillow's, which its code calls
    ours = Fixed(import_policy([[["Solarize", 1.0, level]]], "fast-autoaugment"))(pixels / 255, Generator())
    torch.testing.assert_close(ours, theirs / 255)


def test_sub_policies_are_equally_likely_and_keep_their_order() -> None:
    data = [[("Rotate", 0.4, 0.2), ("Invert", 0.1, 0.0)], [("Color", 0.9, 0.5)], []]
    tree = import_policy(data, "fast-autoaugment")
    assert isinstance(tree.root, Choice)
    assert [option.weight for option in tree.root.options] == [1.0, 1.0, 1.0]
    assert [[node.op for node in nodes(tree, k)] for k in range(3)] == [["rotate", "invert"], ["color"], []]
    assert [node.probability for node in nodes(tree)] == [0.4, 0.1]
    assert tree.provenance == {"imported from": "Fast AutoAugment"}


TABLES = {
    AutoAugmentPolicy.CIFAR10: ready.autoaugment_cifar10,
    AutoAugmentPolicy.SVHN: ready.autoaugment_svhn,
    AutoAugmentPolicy.IMAGENET: ready.autoaugment_imagenet,
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_torchvision_become_the_published_policies(name: AutoAugmentPolicy) -> None:
    """But for translations: its magnitude 9 is 150 of 331 pixels, and so is ours."""
    assert import_policy(AutoAugment(name).policies, "torchvision").root == TABLES[name]().root


@pytest.mark.parametrize("name", [name for name in ready.MADAO_OPS if OPS[name].most])
def test_magnitudes_have_the_amounts_of_torchvision(name: str) -> None:
    """Its own table of amounts, at the size of the image; where it counts from the other end, so do we."""
    spaces = AutoAugment()._augmentation_space(10, (331, 331))
    camel = "".join(part.title() for part in name.split("_"))
    theirs, signed = spaces[camel]
    for magnitude in range(10):
        found, amount = one(camel, magnitude, "torchvision"), float(theirs[magnitude])
        assert found.mirror
        assert OPS[name].signed == signed
        if name.startswith("translate"):
            amount /= 331
        wanted = {"solarize": 1 - amount / 255, "posterize": 8 - amount}.get(name, amount)
        assert found.amount == pytest.approx(wanted, rel=1e-6, abs=1e-6)


def test_an_imported_policy_does_what_torchvision_does() -> None:
    images = eight_bit(photographs(4))
    tree = import_policy([[("Posterize", 1.0, 9), ("Equalize", 1.0, None)]], "torchvision")
    theirs = F.equalize(F.posterize(images, 4))
    torch.testing.assert_close(Fixed(tree)(images.float() / 255, Generator()), theirs.float() / 255)


@pytest.mark.parametrize(
    ("data", "format", "message"),
    [
        ([[["ShearZ", 0.5, 0.5]]], "fast-autoaugment", r"\[0\]\[0\]: unknown op 'ShearZ': did you mean 'Shear"),
        ([[["Invert", 0.5, 0.5], ["SamplePairing", 0.5, 0.5]]], "fast-autoaugment", r"\[0\]\[1\]: unknown op"),
        ([[["Cutout", 0.5, None]]], "torchvision", r"unknown op 'Cutout'"),
        ([[[7, 0.5, 0.5]]], "fast-autoaugment", r"unknown op 7"),
        ([[], [["Rotate", 0.5, 1.5]]], "fast-autoaugment", r"\[1\]\[0\]: level 1.5 is not a number in \[0, 1\]"),
        ([[["Rotate", 0.5, None]]], "fast-autoaugment", r"level None is not a number"),
        ([[["Rotate", 0.5, float("nan")]]], "fast-autoaugment", r"level nan is not a number"),
        ([[["Rotate", 1.5, 0.5]]], "fast-autoaugment", r"\[0\]\[0\]: apply\(\) at probability: .*1.5"),
        ([[["Rotate", "often", 0.5]]], "fast-autoaugment", r"\[0\]\[0\]: apply\(\) at probability: .*'often'"),
        ([[["Rotate", 0.5, 10]]], "torchvision", r"magnitude 10 of rotate: give a whole number from 0 to 9"),
        ([[["Rotate", 0.5, 0.5]]], "torchvision", r"magnitude 0.5 of rotate"),
        ([[["Rotate", 0.5, None]]], "torchvision", r"magnitude None of rotate"),
        ([[["Rotate", 0.5, True]]], "torchvision", r"magnitude True of rotate"),
        ([[["Invert", 0.5, 3]]], "torchvision", r"magnitude 3 of invert: give None, for it has no strength"),
        ([[["Rotate", 0.5]]], "torchvision", r"\[0\]\[0\]: \['Rotate', 0.5\] is no operation: give \[name, prob"),
        ([["Rotate", 0.5, 3]], "torchvision", r"\[0\]\[0\]: 'Rotate' is no operation"),
        (["Rotate"], "torchvision", r"\[0\]: 'Rotate' is no sub-policy"),
        ({}, "torchvision", r"\{\} is no policy: give a list of sub-policies"),
        ([], "torchvision", r"\[\] is no policy"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(data: Any, format: str, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        import_policy(data, format)


def test_an_unknown_format_answers_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown import format 'pba': known are fast-autoaugment, torchvision"):
        import_policy([], "pba")
