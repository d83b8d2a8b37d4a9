"""Exports to kornia, albumentations and timm: what they claim to say exactly they do, and what they lose they list."""

import ast
import math
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from policies_for_tests import READY
from scipy.stats import binomtest, chisquare, kstest
from torch import Generator, Tensor

from autoaug.export import EXPORTERS
from autoaug.export._albumentations import ALBUMENTATIONS, deviation
from autoaug.export._kornia import KORNIA
from autoaug.export._target import LIMITS, ExportTarget
from autoaug.ops import OPS
from autoaug.policy import (
    Fixed,
    PolicyError,
    PolicyTree,
    apply,
    choice,
    policy_tree,
    ready,
    schedule,
    sequence,
)
from autoaug.testing import eight_bit, photographs


@pytest.fixture
def seeded() -> Iterator[None]:
    """kornia draws from torch's global generator."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def run(tree: PolicyTree, format: str) -> dict[str, Any]:
    """What the exported text defines."""
    names: dict[str, Any] = {}
    exec(EXPORTERS[format](tree).text, names)
    return names


def kornia(tree: PolicyTree) -> Any:
    return run(tree, "kornia")["policy"]


TARGETS = {"kornia": KORNIA, "albumentations": ALBUMENTATIONS}


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_every_operation_can_be_said_or_is_refused(target: ExportTarget) -> None:
    assert list(target.rows) == [name for name in OPS if name not in target.refused]
    assert set(target.refused) <= set(OPS)


@pytest.mark.parametrize(("format", "name"), [(format, name) for format in TARGETS for name in TARGETS[format].refused])
def test_a_refusal_names_the_operation_the_reason_and_what_holds_it(format: str, name: str) -> None:
    tree = policy_tree(sequence([apply("hflip"), apply(name)]))
    with pytest.raises(PolicyError, match=f"op '{name}' cannot be said: .*; export to json or torchvision") as caught:
        EXPORTERS[format](tree)
    assert TARGETS[format].refused[name] in str(caught.value)
    assert EXPORTERS["torchvision"](tree).exact


# ---- kornia ----


@pytest.mark.parametrize("name", KORNIA.rows)
def test_kornia_gives_the_same_pixels_where_nothing_is_lost(name: str, seeded: None) -> None:
    images, random = eight_bit(photographs(4, 3, 24, 32)).float() / 255, OPS[name].random
    for strength in (0.0, 0.3, 1.0, -0.6, -1.0) if OPS[name].signed else (0.0, 0.3, 1.0):
        tree = policy_tree(apply(name, strength, mirror=False))
        theirs = kornia(tree)(images)
        if random or KORNIA.rows[name].lost:
            assert theirs.shape == images.shape
            assert torch.equal(theirs, images) == (strength == 0)
        else:
            assert EXPORTERS["kornia"](tree).exact
            ours = Fixed(tree)(images, Generator())
            torch.testing.assert_close(theirs, ours, atol=1 / 255, rtol=0)


@pytest.mark.parametrize("name", READY)
def test_kornia_draws_every_ready_policy(name: str, seeded: None) -> None:
    policy, images = kornia(READY[name]), photographs(4)
    for _ in range(5):
        out = policy(images)
        assert out.shape == images.shape
        assert out.isfinite().all()


def test_kornia_draws_probabilities_amounts_and_signs_for_each_image(seeded: None) -> None:
    tree = policy_tree(sequence([apply("brightness", (0.0, 1.0)), apply("hflip", probability=0.3)]))
    assert EXPORTERS["kornia"](tree).exact
    ramp = torch.linspace(0.1, 0.4, 8).expand(3000, 1, 2, 8)
    out = kornia(tree)(ramp)
    flipped = out[:, 0, 0, 0] > out[:, 0, 0, 7]
    assert binomtest(int(flipped.sum()), 3000, 0.3).pvalue > 1e-4
    factors = out.amin((1, 2, 3)) / 0.1
    assert kstest(factors.numpy(), "uniform", (0.1, 1.8)).pvalue > 1e-4


def test_kornia_draws_choices_and_fixed_signs_for_a_batch_and_says_so(seeded: None) -> None:
    tree = policy_tree(choice([(3.0, apply("invert")), (0.0, apply("vflip")), (1.0, apply("brightness", 0.5))]))
    report, policy = EXPORTERS["kornia"](tree), kornia(tree)
    assert any("drawn once for a batch, not for each image" in loss for loss in report.lost)
    counts = {0.75: 0, 0.25 * 1.45: 0, 0.25 * 0.55: 0}
    for _ in range(800):
        values = policy(torch.full((3, 1, 4, 4), 0.25)).unique()
        assert len(values) == 1
        counts[next(each for each in counts if abs(each - float(values)) < 1e-6)] += 1
    assert chisquare(list(counts.values()), [600, 100, 100]).pvalue > 1e-4


def test_kornia_is_exact_where_nothing_is_chosen_and_not_elsewhere() -> None:
    def lost(node: Any) -> str:
        return " ".join(EXPORTERS["kornia"](policy_tree(node)).lost)

    assert lost(sequence()) == ""
    assert lost(apply("rotate", (0.0, 0.7))) == ""
    assert lost(apply("solarize", 0.7)) == ""
    assert lost(choice([(1.0, apply("invert")), (0.0, apply("hflip"))])) == ""
    assert lost(apply("equalize")) == ""
    assert "signs of fixed amounts" in lost(apply("rotate", 0.7))
    assert "signs of fixed amounts" in lost(apply("rotate", (0.2, 0.7)))
    assert "not its tangent" in lost(apply("shear_x", (0.0, 0.7)))
    assert "between two 8-bit levels" in lost(sequence([apply("color", (0.0, 0.5)), apply("equalize")]))
    assert "inside the image" in lost(apply("cutout"))
    assert "one deviation" in lost(apply("gaussian_noise", (0.0, 1.0)))
    assert "outermost" in lost(apply("crop"))
    assert "brightness goes no further than (-1.0, inf)" in lost(apply("brightness", (0.0, 1.0), most=2.0))
    assert lost(apply("brightness", (0.0, 1.0), mirror=False, most=2.0)) == ""


@pytest.mark.parametrize("name", LIMITS)
def test_amounts_that_kornia_refuses_are_cut(name: str, seeded: None) -> None:
    tree = policy_tree(apply(name, (0.0, 1.0), most=12.0))
    assert kornia(tree)(photographs(2)).isfinite().all()
    assert name in " ".join(EXPORTERS["kornia"](tree).lost)


def test_kornia_has_a_policy_for_each_step_of_a_schedule(seeded: None) -> None:
    policies = run(policy_tree(schedule([(1, sequence()), (3, apply("invert"))])), "kornia")["policies"]
    assert list(policies) == [1, 3]
    assert torch.equal(policies[1](photographs()), photographs())
    torch.testing.assert_close(policies[3](photographs()), 1 - photographs())


# ---- albumentations, which is not installed: a stand-in keeps what it is called with ----


@pytest.fixture
def albumentations(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = ModuleType("albumentations")

    def keep(function: str) -> Any:
        def kept(*arguments: Any, **keywords: Any) -> SimpleNamespace:
            return SimpleNamespace(function=function, parts=arguments[0] if arguments else (), **keywords)

        return kept

    stand_in.__getattr__ = keep  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "albumentations", stand_in)


def said(node: Any) -> Any:
    """The one transform inside Compose."""
    whole = run(policy_tree(node), "albumentations")["policy"]
    assert whole.function == "Compose"
    (inner,) = whole.parts
    return inner


KNOWN = {
    "Affine", "AutoContrast", "ChannelShuffle", "CoarseDropout", "ColorJitter", "Compose", "Equalize", "Erasing",
    "GaussNoise", "GaussianBlur", "HorizontalFlip", "ImageCompression", "InvertImg", "OneOf", "Perspective",
    "PlanckianJitter", "PlasmaBrightnessContrast", "PlasmaShadow", "Posterize", "RandomGamma", "SaltAndPepper",
    "Sequential", "Sharpen", "Solarize", "ToGray", "VerticalFlip",
}  # fmt: skip
"""Of albumentations 2.0.8."""


SAID = READY | {
    "all": policy_tree(sequence([apply(name, (0.1, 0.7), probability=0.5) for name in ALBUMENTATIONS.rows]))
}


@pytest.mark.parametrize("name", SAID)
def test_albumentations_is_python_that_calls_what_there_is(name: str, albumentations: None) -> None:
    text = EXPORTERS["albumentations"](SAID[name]).text
    called = {node.attr for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Attribute)}
    assert called <= KNOWN
    assert run(SAID[name], "albumentations")["policy"].function == "Compose"


def test_albumentations_nests_as_the_policy_does(albumentations: None) -> None:
    flips = sequence([apply("hflip", probability=0.5), apply("vflip", probability=0.25)])
    one_of = said(choice([(3.0, apply("invert", probability=0.5)), (1.0, flips)]))
    assert (one_of.function, one_of.p) == ("OneOf", 1.0)
    assert [(option.function, option.p) for option in one_of.parts] == [("Sequential", 0.75), ("Sequential", 0.25)]
    (invert,), (in_turn,) = (option.parts for option in one_of.parts)
    assert (invert.function, invert.p) == ("InvertImg", 0.5)
    assert (in_turn.function, in_turn.p) == ("Sequential", 1.0)
    assert [(each.function, each.p) for each in in_turn.parts] == [("HorizontalFlip", 0.5), ("VerticalFlip", 0.25)]


def test_albumentations_draws_a_fixed_sign_for_each_image(albumentations: None) -> None:
    one_of = said(apply("rotate", 0.5, 0.3))
    assert [option.p for option in one_of.parts] == [0.5, 0.5]
    assert [option.parts[0].rotate for option in one_of.parts] == [(15.0, 15.0), (-15.0, -15.0)]
    assert [option.parts[0].p for option in one_of.parts] == [0.3, 0.3]
    assert said(apply("rotate", (0.0, 0.5), 0.3)).rotate == (-15.0, 15.0)
    assert said(apply("rotate", (-0.5, 1.0), mirror=False)).rotate == (-15.0, 30.0)
    assert said(apply("rotate", 0.0)).parts == []


def test_albumentations_takes_our_amounts_in_its_units(albumentations: None) -> None:
    tangent = math.degrees(math.atan(0.15))
    for node, wanted in {
        apply("shear_x", 0.5, mirror=False): {"shear": {"x": (tangent, tangent), "y": (0.0, 0.0)}},
        apply("translate_y", 1.0, mirror=False): {"translate_percent": {"x": (0.0, 0.0), "y": (0.45, 0.45)}},
        apply("solarize", (0.1, 0.3)): {"threshold_range": (0.7, 0.9)},
        apply("posterize", (0.25, 1.0)): {"num_bits": (4, 7)},
        apply("color", 0.5, mirror=False): {"saturation": (1.45, 1.45), "contrast": (1, 1), "hue": (0, 0)},
        apply("hue", (0.0, 0.5)): {"hue": (-0.25, 0.25), "brightness": (1, 1)},
        apply("sharpness", 0.5, mirror=False): {"alpha": (0.45 / 13, 0.45 / 13), "lightness": (1.0, 1.0)},
        apply("gaussian_noise", 0.5): {"std_range": (0.1, 0.1)},
        apply("zoom", 1.0, mirror=False): {"scale": (math.exp(0.336), math.exp(0.336))},
        apply("zoom_y", 1.0, mirror=False): {"scale": {"x": (1.0, 1.0), "y": (math.exp(0.336), math.exp(0.336))}},
        apply("jpeg", (0.5, 1.0)): {"quality_range": (40, 70)},
        apply("random_erasing", 1.0): {"scale": (0.577**2, 0.577**2), "ratio": (0.3, 1 / 0.3)},
        apply("gamma", 1.0, mirror=False): {"gamma_limit": (100 * 2**0.585, 100 * 2**0.585)},
        apply("planckian_jitter", (-1.0, 1.0), mirror=False): {"temperature_limit": (3000, 15000)},
        apply("salt_and_pepper", 1.0): {"amount": (0.07, 0.07)},
        apply("plasma_shadow", 0.5): {"shadow_intensity_range": (0.25, 0.25)},
    }.items():
        found = said(node)
        for name, value in wanted.items():
            assert flat(getattr(found, name)) == pytest.approx(flat(value), rel=1e-9)


def flat(value: Any) -> list[float]:
    return [part for one in value.values() for part in one] if isinstance(value, dict) else list(value)


def test_sharpness_below_zero_is_a_blur_of_the_same_weight_in_its_centre(albumentations: None) -> None:
    sharp, blur = (option.parts[0] for option in said(apply("sharpness", 1.0)).parts)
    assert (sharp.function, blur.function) == ("Sharpen", "GaussianBlur")
    sigma = blur.sigma_limit[0]
    kernel = torch.exp(-(torch.tensor([-1.0, 0.0, 1.0]) ** 2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    assert float(kernel[1] ** 2) == pytest.approx(1 - 8 / 13 * 0.9, abs=1e-6)
    low, high = said(apply("sharpness", (-1.0, 0.5), mirror=False)).parts
    assert low.p == pytest.approx(2 / 3)
    assert (low.parts[0].function, high.parts[0].function) == ("GaussianBlur", "Sharpen")
    assert deviation(0.0) == 0.1


def test_albumentations_says_what_it_loses() -> None:
    def lost(node: Any) -> str:
        return " ".join(EXPORTERS["albumentations"](policy_tree(node)).lost)

    exact = ("invert", "hflip", "vflip", "rotate", "solarize", "color", "contrast", "brightness", "grayscale")
    assert all(lost(apply(name, 0.5)) == "" for name in exact)
    assert "rounded after every operation" in lost(sequence([apply("color"), apply("rotate")]))
    assert "rounded" not in lost(choice([(1.0, apply("color")), (1.0, apply("rotate"))]))
    in_ranges = ("shear_x", "shear_y", "posterize", "zoom", "zoom_x", "zoom_y", "gamma")
    for name in set(ALBUMENTATIONS.rows) - {*exact, *in_ranges}:
        assert lost(apply(name, 0.5)) != ""
    for name in in_ranges:
        assert lost(apply(name, 0.5)) == ""
        assert lost(apply(name, (0.0, 0.5))) != ""


# ---- timm ----


def uniform(*names: str, strength: Any = 0.5, probability: float = 1.0, n: int = 2) -> Any:
    return sequence([ready.any_of(names, strength, probability)] * n)


@pytest.mark.parametrize(
    ("root", "text"),
    [
        (ready.randaugment(2, 0.9).root, "rand-m9-n2-p1-inc1"),
        (ready.randaugment(1, 1.0).root, "rand-m10-n1-p1-inc1"),
        (uniform(*ready.MADAO_OPS, strength=(0.0, 0.4), probability=0.5, n=3), "rand-m4-n3-p0.5-mstd101-inc1"),
        (uniform(*ready.MADAO_OPS, strength=0.26).nodes[0], "rand-m3-n1-p1-inc1"),
        (uniform(*ready.MADAO_OPS, probability=0.00001), "rand-m5-n2-p0.00001-inc1"),
    ],
)
def test_timm_strings(root: Any, text: str) -> None:
    assert EXPORTERS["timm"](policy_tree(root)).text == f"{text}\n"


def test_timm_loses_its_own_table_of_operations() -> None:
    lost = EXPORTERS["timm"](ready.randaugment(2, 0.25)).lost
    assert "timm adds its operation SolarizeAdd" in lost
    assert "timm adds invert" in lost
    assert "timm has no identity among the operations" in lost
    assert "the strength 0.25 is rounded to tenths" in lost
    own = EXPORTERS["timm"](policy_tree(uniform(*ready.MADAO_OPS, strength=0.3))).lost
    assert not any("invert" in loss or "identity" in loss or "strength" in loss for loss in own)


TWO_KINDS = choice([(1.0, apply("rotate", 0.5)), (1.0, apply("invert", probability=0.5))])


@pytest.mark.parametrize(
    ("tree", "why"),
    [
        (READY["none"], "its root is not one choice, n times the same"),
        (READY["standard"], "its root is not one choice"),
        (READY["trivialaugment"], "timm's shear_x reaches 0.3 tangent, its own 0.99"),
        (READY["uniformaugment"], "timm's string cannot draw cutout"),
        (READY["autoaugment_svhn"], "an option of its choice is not a single operation"),
        (policy_tree(sequence([TWO_KINDS, TWO_KINDS])), "always draws auto_contrast too"),
        (policy_tree(sequence([uniform("rotate").nodes[0], uniform("invert").nodes[0]])), "not one choice"),
        (policy_tree(uniform(*ready.MADAO_OPS, "rotate")), "cannot draw rotate twice as often"),
        (policy_tree(uniform(*ready.MADAO_OPS, strength=(0.2, 0.4))), "its strengths begin at 0.2"),
        (policy_tree(schedule([(1, sequence())])), "not one choice"),
        (
            policy_tree(choice([(1.0 + (name == "invert"), apply(name)) for name in ready.MADAO_OPS])),
            "different weights",
        ),
        (
            policy_tree(choice([(1.0, apply(name, 0.5 + (name == "color") / 4)) for name in ready.MADAO_OPS])),
            "different strengths",
        ),
        (
            policy_tree(choice([(1.0, apply(name, 0.5, 0.5 + (name == "color") / 4)) for name in ready.MADAO_OPS])),
            "different probabilities",
        ),
        (
            policy_tree(choice([(1.0, apply(name, 0.5, mirror=name != "color")) for name in ready.MADAO_OPS])),
            "timm gives color a random sign",
        ),
    ],
)
def test_timm_says_why_it_cannot_say_a_policy(tree: PolicyTree, why: str) -> None:
    with pytest.raises(PolicyError, match="timm can say RandAugment only, and this policy is none") as caught:
        EXPORTERS["timm"](tree)
    assert why in str(caught.value)


def test_an_operation_without_strength_may_have_any(rng: Generator) -> None:
    options = [(1.0, apply(name, 0.9 if name == "invert" else 0.5)) for name in ready.MADAO_OPS]
    assert EXPORTERS["timm"](policy_tree(choice(options))).text == "rand-m5-n1-p1-inc1\n"
    images: Tensor = photographs()
    assert torch.equal(Fixed(policy_tree(apply("invert", 0.1)))(images, rng), 1 - images)
