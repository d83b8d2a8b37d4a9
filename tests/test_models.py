"""Networks: published sizes, He's initialisation, reproducible weights, and exact second derivatives."""

from functools import partial
from inspect import signature
from itertools import pairwise

import pytest
import torch
from scipy.stats import kstest, spearmanr
from torch import Generator, Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy
from torch.nn.utils.parametrizations import weight_norm

from autoaug.models import MODELS, Architecture, build, head_of, names_of
from autoaug.models._badgan import Noise, NormedConv
from autoaug.models._densenet import densenet
from autoaug.models._shake_shake import ShiftedShortcut, shake
from autoaug.models._small_resnet import small_resnet
from autoaug.models._wide_resnet import wide_resnet


def size(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def on_paper(name: str, classes: int = 10, channels: int = 3, **size: tuple[int, int]) -> nn.Module:
    """The network without memory for its weights; `size` is for those that must know it."""
    sized = size if "size" in signature(MODELS[name]).parameters else {}
    with torch.device("meta"):
        return MODELS[name](classes, channels, **sized)


def unused_shortcuts(width: int) -> int:
    """Parameters of the shortcuts that the reference code of Shake-Shake makes and never calls: three per stage."""
    return 3 * sum(channels * channels + 2 * channels for channels in (width, 2 * width, 4 * width))


# Counted in the reference implementations: (classes, channels, parameters); torchvision's are published for 1000.
PUBLISHED = {
    "convnet": [(10, 1, 17_754)],
    "resnet-8": [(10, 3, 78_042)],
    "photo-resnet-8": [(10, 3, 78_042 + (5 * 5 - 3 * 3) * 3 * 16)],
    "wrn-10-1": [(10, 3, 78_186)],
    "wrn-16-4": [(10, 3, 2_751_146)],
    "wrn-28-2": [(10, 3, 1_469_642), (100, 3, 1_481_252)],
    "wrn-28-10": [(10, 3, 36_489_290), (100, 3, 36_546_980)],
    "wrn-40-2": [(10, 3, 2_246_474), (100, 3, 2_258_084)],
    "preactresnet-18": [(10, 3, 11_171_274)],
    "preactresnet-34": [(10, 3, 21_279_434)],
    "preactresnet-50": [(10, 3, 23_509_194)],
    "preactresnet-101": [(10, 3, 42_501_322)],
    "preactresnet-152": [(10, 3, 58_144_970)],
    "densenet-bc-40-12": [(10, 3, 176_122)],
    "densenet-bc-190-40": [(10, 3, 25_624_430)],
    "shake-shake-26-2x32d": [(10, 3, 2_989_002 - unused_shortcuts(32))],
    "shake-shake-26-2x96d": [(10, 3, 26_777_546 - unused_shortcuts(96)), (100, 3, 26_812_196 - unused_shortcuts(96))],
    "shake-shake-26-2x112d": [(10, 3, 36_435_402 - unused_shortcuts(112))],
    "resnet-18": [(1000, 3, 11_689_512)],
    "resnet-50": [(1000, 3, 25_557_032)],
    "resnet-101": [(1000, 3, 44_549_160)],
    "resnext-101-32x4d": [(1000, 3, 44_177_704)],
    "resnext-101-64x4d": [(1000, 3, 83_455_272)],
    "cifar-resnet-18": [(10, 3, 11_689_512 - (7 * 7 - 3 * 3) * 3 * 64 - 513 * 990)],
    # every layer by hand: weights, biases, and of normalised ones a gain for each output
    "badgan-cnn": [
        (
            10,
            3,
            (9 * 3 + 2) * 96
            + 2 * (9 * 96 + 2) * 96
            + (9 * 96 + 2) * 192  # 3 -> 96 -> 96 -> 96 -> 192
            + 3 * (9 * 192 + 2) * 192
            + 2 * (192 + 2) * 192
            + (192 + 2) * 10,
        )
    ],
    "lenet-speech": [(30, 1, 26 * 20 + (25 * 20 + 1) * 20 + (16_280 + 1) * 1000 + 1001 * 30)],
    "vgg-11-speech": [
        (
            30,
            1,
            sum(9 * i * o + 3 * o for i, o in pairwise((1, 64, 128, 256, 256, 512, 512, 512, 512)))
            + (7_680 + 1) * 512
            + 513 * 30,
        )
    ],
    "mlp": [(10, 3, (3 * 32 * 32 + 1) * 128 + 129 * 128 + 129 * 10)],
}
SMALL = [name for name in MODELS if size(on_paper(name)) < 12_000_000]
TINY = [name for name in SMALL if size(on_paper(name)) < 500_000]


def batch(rng: Generator, channels: int = 3, side: int = 16) -> tuple[Tensor, Tensor]:
    return torch.randn(4, channels, side, side, generator=rng), torch.randint(10, (4,), generator=rng)


@pytest.mark.parametrize(("name", "row"), [(name, row) for name, rows in PUBLISHED.items() for row in rows])
def test_the_number_of_parameters_is_the_published_one(name: str, row: tuple[int, int, int]) -> None:
    classes, channels, parameters = row
    assert size(on_paper(name, classes, channels)) == parameters


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", MODELS)
def test_logits_have_one_column_per_class(name: str, channels: int) -> None:
    images = torch.empty(2, channels, 32, 48, device="meta")
    assert on_paper(name, 100, channels, size=(32, 48))(images).shape == (2, 100)


@pytest.mark.parametrize("side", [8, 13, 28, 32])
@pytest.mark.parametrize("name", [*TINY, "wrn-28-2"])
def test_small_images_of_any_size_will_do(name: str, side: int, rng: Generator) -> None:
    network = build(name, 10, 1, rng, size=(side, side)).eval()
    assert network(torch.randn(2, 1, side, side, generator=rng)).isfinite().all()


@pytest.mark.parametrize("name", MODELS)
def test_no_module_works_in_place(name: str) -> None:
    assert not any(getattr(module, "inplace", False) for module in on_paper(name).modules())


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_gets_a_gradient(name: str, rng: Generator) -> None:
    network, (images, labels) = build(name, 10, 3, rng, size=(16, 16)), batch(rng)
    with torch.random.fork_rng(devices=[]):
        cross_entropy(network(images), labels).backward()
    for key, weight in network.named_parameters():
        assert weight.grad is not None, key
        assert weight.grad.isfinite().all(), key
        assert weight.ndim == 1 or weight.grad.any(), key  # a bias before a normalisation has the gradient 0


@pytest.mark.parametrize("name", SMALL)
def test_evaluation_is_deterministic_and_the_memory_format_does_not_matter(name: str, rng: Generator) -> None:
    network, (images, _) = build(name, 10, 3, rng, size=(16, 16)).eval(), batch(rng)
    logits = network(images)
    assert torch.equal(network(images), logits)
    last = network.to(memory_format=torch.channels_last)(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(last, logits, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", [*TINY, "shake-shake-26-2x32d", "resnet-18", "badgan-cnn"])
def test_the_second_derivative_is_the_slope_of_the_first(name: str, rng: Generator) -> None:
    """Hessian times vector by double backward against a central difference of gradients, in float64.

    In training mode, except that Shake-Shake has a Hessian in evaluation only, and that noise and dropout are drawn
    anew. The step is small enough that no ReLU changes sides.
    """
    network = build(name, 10, 3, rng, size=(16, 16)).double().train(name not in ("shake-shake-26-2x32d", "badgan-cnn"))
    images, labels = batch(rng)
    weights = {key: weight.detach().requires_grad_() for key, weight in network.named_parameters()}
    direction = [torch.randn(weight.shape, generator=rng, dtype=weight.dtype) for weight in weights.values()]

    def gradient(step: float, create_graph: bool = False) -> tuple[Tensor, ...]:
        moved = {key: w + step * d for (key, w), d in zip(weights.items(), direction, strict=True)}
        loss = cross_entropy(functional_call(network, moved, images.double()), labels)
        return torch.autograd.grad(loss, list(weights.values()), create_graph=create_graph)

    exact = torch.autograd.grad(gradient(0.0, create_graph=True), list(weights.values()), grad_outputs=direction)
    slope = [(up - down) / 2e-10 for up, down in zip(gradient(1e-10), gradient(-1e-10), strict=True)]
    error = torch.cat([(e - s).flatten() for e, s in zip(exact, slope, strict=True)]).norm()
    assert error < 1e-4 * torch.cat([e.flatten() for e in exact]).norm()


def test_shake_shake_can_be_differentiated_twice_in_training(rng: Generator) -> None:
    network, (images, labels) = build("shake-shake-26-2x32d", 10, 3, rng), batch(rng)
    with torch.random.fork_rng(devices=[]):
        loss = cross_entropy(network(images), labels)
    first = torch.autograd.grad(loss, list(network.parameters()), create_graph=True)
    second = torch.autograd.grad(torch.cat([g.flatten() for g in first]).norm(), list(network.parameters()))
    assert all(gradient.isfinite().all() for gradient in second)


def test_shake_mixes_each_image_with_one_share_forward_and_another_backward() -> None:
    left, right = torch.ones(2000, 3, 2, 2, requires_grad=True), torch.zeros(2000, 3, 2, 2, requires_grad=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        mixed = shake(left, right)
    alpha, (beta, rest) = mixed[:, 0, 0, 0], torch.autograd.grad(mixed.sum(), [left, right])
    assert torch.equal(mixed, alpha[:, None, None, None].expand_as(mixed))
    torch.testing.assert_close(beta + rest, torch.ones_like(beta))
    shares = [alpha.detach().numpy(), beta[:, 0, 0, 0].numpy()]
    assert all(kstest(share, "uniform").pvalue > 1e-4 for share in shares)
    assert spearmanr(*shares).pvalue > 1e-4


def test_the_shortcut_of_shake_shake_sees_every_pixel_of_a_diagonal(rng: Generator) -> None:
    """At stride 2 one half takes the pixels (0, 0), (0, 2) …, the other (1, 1), (1, 3) …, by two weights of 1."""
    one = torch.ones(1, 1, 1, 1)
    shortcut = build(lambda classes: ShiftedShortcut(1, classes, stride=2), 2, 1, rng).eval()
    shortcut.load_state_dict({**shortcut.state_dict(), **dict.fromkeys(("straight.weight", "shifted.weight"), one)})
    image = torch.arange(16.0).view(1, 1, 4, 4)
    straight, shifted = shortcut(image)[0]
    torch.testing.assert_close(straight, torch.tensor([[0.0, 2.0], [8.0, 10.0]]), rtol=1e-4, atol=0)
    torch.testing.assert_close(shifted, torch.tensor([[5.0, 7.0], [13.0, 15.0]]), rtol=1e-4, atol=0)


@pytest.mark.parametrize("name", [name for name in SMALL if name != "mlp"])
def test_convolutions_start_as_he_proposes_and_biases_at_zero(name: str, rng: Generator) -> None:
    network = build(name, 10, 3, rng)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    deviations = [(2 / (c.out_channels * c.kernel_size[0] * c.kernel_size[1])) ** 0.5 for c in convolutions]
    pairs = zip(convolutions, deviations, strict=True)
    standard = torch.cat([(c.weight.detach() / deviation).flatten()[:5000] for c, deviation in pairs])
    assert kstest(standard.numpy(), "norm").pvalue > 1e-4
    assert not any(weight.any() for key, weight in network.named_parameters() if key.endswith("bias"))


@pytest.mark.parametrize("name", TINY)
def test_weights_follow_from_the_generator_alone(name: str) -> None:
    def weights(rng: Generator) -> Tensor:
        return torch.cat([weight.flatten() for weight in build(name, 10, 3, rng).parameters()])

    rng = torch.Generator().manual_seed(1)
    first, second = weights(rng), weights(rng)
    assert torch.equal(first, weights(torch.Generator().manual_seed(1)))
    assert not torch.equal(first, second)
    assert not torch.equal(first, weights(torch.Generator().manual_seed(2)))


def test_networks_are_built_on_the_cpu_whatever_the_default_device(rng: Generator) -> None:
    with torch.device("meta"):
        network = build("convnet", 10, 3, rng)
    expected = build("convnet", 10, 3, torch.Generator().manual_seed(0))
    assert all(torch.equal(w, e) for w, e in zip(network.parameters(), expected.parameters(), strict=True))


class Linear(nn.Linear):
    """A network of a user's, with an argument that is not the number of channels."""

    def __init__(self, classes: int, width: int = 7) -> None:
        super().__init__(width, classes)


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (Linear, 7),
        (lambda classes: nn.Linear(5, classes), 5),
        (lambda classes, channels: nn.Linear(channels, classes), 2),
        (lambda classes, inputs: nn.Linear(inputs, classes), 2),
        (lambda classes, *, width=6, channels=4: nn.Linear(width * channels, classes), 12),
        (lambda classes, **options: nn.Linear(5, classes, **options), 5),
    ],
)
def test_a_callable_gets_the_channels_where_it_takes_them(model: Architecture, inputs: int, rng: Generator) -> None:
    network = build(model, 10, 2, rng)
    assert isinstance(network, nn.Linear)
    assert (network.in_features, network.out_features) == (inputs, 10)


def test_a_callable_that_returns_no_network_is_named(rng: Generator) -> None:
    with pytest.raises(TypeError, match="returned int: return a torch"):
        build(lambda classes: classes, 10, 3, rng)


def test_an_unknown_name_proposes_near_ones(rng: Generator) -> None:
    with pytest.raises(ValueError, match=r"unknown model 'wrn-28-3': did you mean .*'wrn-28-2'"):
        build("wrn-28-3", 10, 3, rng)
    with pytest.raises(ValueError, match="unknown model '': known are badgan-cnn, cifar-resnet-18, convnet, "):
        build("", 10, 3, rng)


@pytest.mark.parametrize(
    ("architecture", "depth"),
    [
        (partial(wide_resnet, width=1), 11),
        (partial(wide_resnet, width=1), 4),
        (partial(densenet, growth=12), 41),
        (small_resnet, 9),
    ],
)
def test_an_impossible_depth_is_refused(architecture: Architecture, depth: int) -> None:
    with pytest.raises(ValueError, match=f"depth={depth} of a .*: use 6 n"):
        architecture(10, depth=depth)


@pytest.mark.parametrize("name", ["wrn-10-1", "preactresnet-18", "preactresnet-50"])
def test_dropout_acts_once_in_every_block(name: str) -> None:
    with torch.device("meta"):
        network = MODELS[name](10, dropout=0.3)
    dropped = [module.p for module in network.modules() if isinstance(module, nn.Dropout)]
    assert dropped == [0.3] * {"wrn-10-1": 3, "preactresnet-18": 8, "preactresnet-50": 16}[name]


@pytest.mark.parametrize(("name", "grid"), [("lenet-speech", (37, 22)), ("vgg-11-speech", (5, 3))])
def test_networks_for_speech_pool_nothing_more_at_the_size_of_the_paper(name: str, grid: tuple[int, int]) -> None:
    """161 x 101 leaves the grid that their linear layers have, so that the adaptive pooling is the identity."""
    sizes: list[torch.Size] = []
    network = on_paper(name, 30, 1)
    for module in network.modules():
        if isinstance(module, nn.AdaptiveAvgPool2d):
            module.register_forward_hook(lambda _, given, __: sizes.append(given[0].shape[2:]))
    assert network(torch.empty(2, 1, 161, 101, device="meta")).shape == (2, 30)
    assert sizes == [grid]
    assert network(torch.empty(2, 1, 81, 64, device="meta")).shape == (2, 30)


def test_lenet_is_two_convolutions_and_two_linear_layers() -> None:
    kinds = [type(module) for module in on_paper("lenet-speech").modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    assert kinds == [nn.Conv2d, nn.Conv2d, nn.Linear, nn.Linear]


def test_the_stem_for_small_images_keeps_their_size() -> None:
    """So that 32 x 32 come to the last mean as 4 x 4, where ImageNet's stem leaves a single pixel."""
    images = torch.empty(2, 3, 32, 32, device="meta")
    for name, side in (("cifar-resnet-18", 4), ("resnet-18", 1)):
        network, seen = on_paper(name), []
        network.avgpool.register_forward_hook(lambda _, given, __, seen=seen: seen.append(given[0].shape[2:]))
        network(images)
        assert seen == [(side, side)]


def test_normalised_weights_have_the_direction_of_one_parameter_and_the_norm_of_the_other(rng: Generator) -> None:
    """As torch's own parametrization computes it; at the start they are the weights that were drawn."""
    network = build("badgan-cnn", 10, 3, rng).eval()
    layer = next(module for module in network.modules() if isinstance(module, NormedConv))
    images = torch.randn(2, 3, 9, 9, generator=rng)
    plain = nn.functional.conv2d(images, layer.weight, layer.bias, padding=1)
    torch.testing.assert_close(layer(images), plain, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        layer.gain.mul_(3)
        layer.weight.mul_(0.5)  # whose length does not matter
    with torch.random.fork_rng(devices=[]):
        other = weight_norm(nn.Conv2d(3, 96, 3, padding=1))
    kept = {"bias": layer.bias, "parametrizations.weight.original0": layer.gain}
    other.load_state_dict({**kept, "parametrizations.weight.original1": layer.weight})
    torch.testing.assert_close(layer(images), other(images), rtol=1e-4, atol=1e-5)


def test_images_get_noise_in_training_alone(rng: Generator) -> None:
    noise, images = Noise(0.05), torch.zeros(100, 3, 32, 32)
    assert torch.equal(noise.eval()(images), images)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        seen = noise.train()(images)
    assert kstest(seen.flatten()[:5000].numpy() / 0.05, "norm").pvalue > 1e-4
    assert not images.any()


@pytest.mark.parametrize(
    ("name", "head", "block"),
    [
        ("cifar-resnet-18", "fc", {"fc", "layer4"}),
        ("badgan-cnn", "15", {"12", "15"}),
        ("vgg-11-speech", "head.4", {"head"}),
        ("lenet-speech", "12", {"9", "12"}),
        ("mlp", "5", {"3", "5"}),
        ("resnext-101-32x4d", "fc", {"fc", "layer4"}),
    ],
)
def test_the_head_and_the_last_block_are_found(name: str, head: str, block: set[str]) -> None:
    network = on_paper(name)
    assert head_of(network) == head
    assert {each.split(".")[0] for each in names_of(network, "last-block")} == block


def test_a_row_is_told_the_size_of_its_images_and_a_function_of_ones_own_is_not(
    rng: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert build("mlp", 3, 1, rng, size=(1, 7))[1].in_features == 7
    assert build(lambda classes, size=7: nn.Linear(size, classes), 3, 1, rng, size=(1, 5)).in_features == 7
    monkeypatch.setitem(MODELS, "flat", lambda classes, channels=3, *, size: nn.Linear(size[0] * size[1], classes))
    assert build("flat", 3, 1, rng, size=(2, 5)).in_features == 10
