"""Gradients of operations: exact ones against finite differences, straight-through ones against what they promise."""

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.autograd import grad, gradcheck
from torch.func import functional_call

from autoaug.ops import OPS, RANGES, Op, affine
from autoaug.testing import photographs

EXACT = {name: op for name, op in OPS.items() if op.gradient == "exact"}
WITH_STRENGTH = {name: op for name, op in OPS.items() if op.most is not None}
REACH = {
    "solarize": 1 / 8,
    "posterize": 1.0,
    "crop": 1 / 12,
    "jpeg": 10.0,
    "salt_and_pepper": 0.05,
}  # of the chord, as the docstrings promise


def calm(batch: int = 3, channels: int = 3, height: int = 5, width: int = 6) -> Tensor:
    """Images that no operation of moderate strength cuts at 0 or 1, and whose channels are never equal."""
    return 0.4 + 0.2 * photographs(batch, channels, height, width).double()


def drawn(op: Op, images: Tensor, strength: Tensor) -> Tensor:
    return op(images, strength, Generator().manual_seed(5))


def strengths(op: Op, images: Tensor) -> Tensor:
    steps = torch.linspace(0.13, 0.47, len(images), dtype=images.dtype)
    return steps * (-1) ** torch.arange(len(images)) if op.signed else steps


# ---- exact rows ----


@pytest.mark.parametrize(
    ("ranges", "name"),
    [(ranges, name) for ranges in ("wide", "extended") for name, op in RANGES[ranges].items() if op is not OPS[name]],
)
def test_exact_gradients_reach_as_far_as_the_ranges(ranges: str, name: str) -> None:
    op = RANGES[ranges][name]
    if op.gradient == "exact":
        strength = torch.tensor([0.9, -0.7, 0.83], dtype=torch.double, requires_grad=True)
        assert gradcheck(lambda s: drawn(op, calm(), s), (strength,))


def test_affine_has_gradients_in_all_six_parameters() -> None:
    rng = Generator().manual_seed(0)
    matrix = torch.eye(2, 3).double() + 0.2 * torch.randn(3, 2, 3, generator=rng, dtype=torch.double)
    assert gradcheck(affine, (calm().requires_grad_(), matrix.requires_grad_()))


def test_white_that_is_interpolated_keeps_its_gradient() -> None:
    white = torch.ones(64, 1, 31, 57, requires_grad=True)
    op = OPS["rotate"]
    result = op(white, strengths(op, white))
    (passed,) = grad(result.sum(), white)
    assert passed[..., 12:19, 22:35].min() > 0.5  # not cut where rounding reached above one


# ---- straight-through rows ----


@pytest.mark.parametrize(
    ("name", "factor"),
    [("invert", -1.0), ("posterize", 1.0), ("auto_contrast", 1.0), ("equalize", 1.0), ("jpeg", 1.0)],
)
def test_what_passes_to_the_image(name: str, factor: float) -> None:
    images = photographs().double().requires_grad_()
    weights = photographs(seed=1).double()
    (passed,) = grad((weights * OPS[name](images, torch.full([6], 0.5))).sum(), images)
    torch.testing.assert_close(passed, factor * weights)


def test_solarize_passes_the_sign_it_gave_each_pixel() -> None:
    images = photographs().requires_grad_()
    (passed,) = grad(OPS["solarize"](images, torch.full([6], 0.4)).sum(), images)
    assert torch.equal(passed, torch.where(images >= 0.6, -1.0, 1.0))


def test_crop_passes_to_the_image_what_was_kept() -> None:
    images = calm().requires_grad_()
    padding = torch.full([3], 0.7, dtype=torch.double)
    assert gradcheck(lambda x: drawn(OPS["crop"], x, padding), (images,))


@pytest.mark.parametrize("name", REACH)
def test_the_strength_moves_along_the_chord_of_the_operation(name: str) -> None:
    """For a loss that is linear in the pixels, the gradient is its central difference, to the last digits."""
    op = OPS[name]
    images, weights = photographs(height=12, width=12).double(), photographs(height=12, width=12, seed=1).double()
    strength = torch.tensor([0.3, 0.35, 0.4, 0.5, 0.6, 0.7], dtype=torch.double, requires_grad=True)

    def loss(strength: Tensor) -> Tensor:
        return (weights * drawn(op, images, strength)).sum((1, 2, 3))

    step = REACH[name] / op.most
    chord = (loss(strength + step) - loss(strength - step)) / (2 * step)
    (passed,) = grad(loss(strength).sum(), strength)
    torch.testing.assert_close(passed, chord.detach(), atol=1e-9, rtol=1e-9)
    assert passed.abs().min() > 1e-3


@pytest.mark.parametrize("name", REACH)
def test_below_strength_zero_the_chord_sees_the_identity(name: str) -> None:
    op, step = OPS[name], REACH[name] / OPS[name].most
    images, weights = photographs(height=12, width=12).double(), photographs(height=12, width=12, seed=1).double()
    strength = torch.zeros(6, dtype=torch.double, requires_grad=True)
    (passed,) = grad((weights * drawn(op, images, strength)).sum(), strength)
    half_a_chord = (weights * (drawn(op, images, strength.detach() + step) - images)).sum((1, 2, 3)) / (2 * step)
    torch.testing.assert_close(passed, half_a_chord, atol=1e-9, rtol=1e-9)


def test_a_threshold_that_meets_no_pixel_does_not_move() -> None:
    strength = torch.tensor([0.2], requires_grad=True)
    (passed,) = grad(OPS["solarize"](torch.full((1, 3, 8, 8), 0.3), strength).sum(), strength)
    assert passed == 0


# ---- through a network ----


def network() -> nn.Module:
    """Small and smooth, with fixed weights."""
    layers = nn.Sequential(
        nn.Conv2d(3, 4, 3, device="meta"), nn.SiLU(), nn.Conv2d(4, 4, 3, device="meta"), nn.SiLU(), nn.Flatten()
    )
    net = nn.Sequential(layers, nn.Linear(4 * 8 * 8, 5, device="meta")).to_empty(device="cpu").double()
    rng = Generator().manual_seed(0)
    for weights in net.parameters():
        weights.data.normal_(0, 0.3, generator=rng)
    return net


@pytest.fixture
def net() -> nn.Module:
    return network()


def weight_gradient(net: nn.Module, op: Op, images: Tensor, strength: Tensor, create_graph: bool) -> Tensor:
    """The training loss differentiated in the weights along a fixed direction: what a hypergradient starts from."""
    weights = dict(net.named_parameters())
    loss = nn.functional.cross_entropy(
        functional_call(net, weights, drawn(op, images, strength)), torch.arange(len(images)) % 5
    )
    parts = grad(loss, list(weights.values()), create_graph=create_graph)
    rng = Generator().manual_seed(1)
    return sum((part * torch.randn(part.shape, generator=rng, dtype=part.dtype)).sum() for part in parts)


@pytest.mark.parametrize("op", WITH_STRENGTH.values(), ids=WITH_STRENGTH)
def test_the_mixed_second_derivative_of_weights_and_strength_exists(op: Op, net: nn.Module) -> None:
    images = photographs(height=12, width=12).double()
    strength = strengths(op, images).requires_grad_()
    (mixed,) = grad(weight_gradient(net, op, images, strength, create_graph=True), strength)
    assert mixed.isfinite().all()
    assert mixed.abs().max() > 1e-6


@pytest.mark.parametrize("name", [name for name in EXACT if name in WITH_STRENGTH])
def test_the_mixed_second_derivative_is_the_finite_difference(name: str, net: nn.Module) -> None:
    op, images = OPS[name], calm(height=12, width=12)
    strength = strengths(op, images).requires_grad_()
    (mixed,) = grad(weight_gradient(net, op, images, strength, create_graph=True), strength)
    for place in range(len(images)):
        step = torch.zeros_like(strength).index_fill_(0, torch.tensor(place), 1e-5)
        up, down = (weight_gradient(net, op, images, strength + s, create_graph=False) for s in (step, -step))
        assert mixed[place].item() == pytest.approx((up - down).item() / 2e-5, rel=1e-4, abs=1e-6)


def test_a_gradient_passes_through_two_operations(net: nn.Module) -> None:
    """The strength of the first is felt through the second, whichever it is."""
    images = photographs(height=12, width=12).double()
    for second in OPS.values():
        strength = torch.full([6], 0.4, dtype=torch.double, requires_grad=True)
        once = drawn(OPS["rotate"], images, strength)
        (passed,) = grad(net(drawn(second, once, torch.full([6], 0.5))).square().sum(), strength)
        assert passed.abs().min() > 0, second.name


@pytest.mark.parametrize("name", ["color", "hue", "saturation"])
def test_a_colour_strength_on_one_channel_has_the_gradient_zero_not_none(name: str) -> None:
    strength = torch.full([6], 0.5, requires_grad=True)
    (passed,) = grad(OPS[name](photographs(channels=1), strength).sum(), strength)
    assert torch.equal(passed, torch.zeros(6))


@pytest.mark.parametrize("op", WITH_STRENGTH.values(), ids=WITH_STRENGTH)
def test_bfloat16_images_have_gradients_close_to_those_of_float32(op: Op) -> None:
    if op.gradient != "exact":
        pytest.skip("a pixel that rounding moves over a step has another chord")
    images = (photographs() * 0.5 + 0.25).bfloat16()
    strength = strengths(op, images.float()).requires_grad_()
    (low,) = grad(drawn(op, images, strength).float().square().sum(), strength)
    (high,) = grad(drawn(op, images.float(), strength).square().sum(), strength)
    torch.testing.assert_close(low, high, atol=0.02 * high.abs().max().item(), rtol=0.02)
