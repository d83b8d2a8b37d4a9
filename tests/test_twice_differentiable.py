"""Convolution and batch normalisation with derivatives in closed form, against PyTorch's own and differences."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from autoaug.hypergrad import Implicit, TwiceDifferentiable, conjugate_gradient, identity, neumann, unrolled
from autoaug.hypergrad import _layers as layers
from autoaug.models import build

CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "stride": {"stride": 2, "padding": 1},
    "dilation": {"padding": (1, 0), "dilation": (1, 2)},
    "groups": {"groups": 2},
}


def normal(*shape: int, rng: Generator, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=rng, dtype=dtype).requires_grad_()


def within(call: Callable[..., Tensor], *given: Any) -> Tensor:
    with TwiceDifferentiable():
        return call(*given)


def checked(call: Callable[..., Tensor], given: Sequence[Tensor]) -> None:
    """The values are PyTorch's to the bit; both derivatives are those of differences."""
    assert torch.equal(within(call, *given), call(*given))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        assert gradcheck(lambda *x: within(call, *x), given)
        assert gradgradcheck(lambda *x: within(call, *x), given)


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_convolutions(options: dict[str, Any], biased: bool, rng: Generator) -> None:
    weight = normal(4, 4 // options.get("groups", 1), 3, 2, rng=rng)
    given = [normal(2, 4, 5, 5, rng=rng), weight, *([normal(4, rng=rng)] if biased else [])]
    checked(lambda *x: F.conv2d(*x, **options), given)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(5, 3, 2, 4), (6, 3), (4, 3, 5)])
def test_batch_normalisation(shape: tuple[int, ...], affine: bool, rng: Generator) -> None:
    given = [normal(*shape, rng=rng), *([normal(3, rng=rng), normal(3, rng=rng)] if affine else [])]

    def call(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        return F.batch_norm(x, None, None, weight, bias, training=True)

    checked(call, given)


def test_running_statistics_move_as_they_do_otherwise(rng: Generator) -> None:
    images, ours, theirs = normal(8, 3, 4, 4, rng=rng), nn.BatchNorm2d(3).double(), nn.BatchNorm2d(3).double()
    for _ in range(3):
        within(ours, images)
        theirs(images)
    assert torch.equal(ours.running_mean, theirs.running_mean)  # type: ignore[arg-type]
    assert torch.equal(ours.running_var, theirs.running_var)  # type: ignore[arg-type]
    assert torch.equal(within(ours.eval(), images), theirs.eval()(images))


def test_what_is_not_in_closed_form_is_pytorchs_own(rng: Generator) -> None:
    image, weight = normal(2, 5, 5, rng=rng), normal(3, 2, 3, 3, rng=rng)
    checked(lambda x, w: F.conv2d(x, w, padding="same"), [image[None].detach().requires_grad_(), weight])
    checked(lambda x, w: F.conv2d(x, w), [image, weight])
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        within(nn.BatchNorm1d(3), torch.ones(1, 3))


def residual(dtype: torch.dtype = torch.float64) -> tuple[nn.Module, Any, Any]:
    """A residual network in channels_last, and losses that depend on the brightness of each of six images."""
    rng = Generator().manual_seed(0)
    model = build("wrn-10-1", 3, 3, rng).to(dtype).to(memory_format=torch.channels_last)
    images = torch.randn(6, 3, 8, 8, generator=rng, dtype=dtype).contiguous(memory_format=torch.channels_last)

    def loss(weights: dict[str, Tensor], hyper: list[Tensor]) -> Tensor:
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        outputs = functional_call(model, {**buffers, **weights}, (images * hyper[0].view(-1, 1, 1, 1),))
        return F.cross_entropy(outputs, torch.arange(6) % 3)

    return model, loss, lambda weights, hyper: loss(weights, [torch.ones(6, dtype=dtype)])


@pytest.mark.parametrize(
    "hypergrad", [identity(), neumann(3, 1e-3), conjugate_gradient(3, 1.0), unrolled(1, 0.1), unrolled(2, 0.1)]
)
def test_hypergradients_of_a_residual_network_are_the_same(
    hypergrad: Implicit, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, train_loss, val_loss = residual()
    hyper = [torch.linspace(0.5, 1.5, 6, dtype=torch.float64)]
    [found] = hypergrad(train_loss, val_loss, dict(model.named_parameters()), hyper)
    monkeypatch.setattr(layers, "LAYERS", {})
    [wanted] = hypergrad(train_loss, val_loss, dict(model.named_parameters()), hyper)
    assert not torch.equal(found, wanted), "else both went the same way"
    assert (found - wanted).norm() < 1e-10 * wanted.norm()


def test_a_pass_back_to_the_images_skips_the_weights(rng: Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    masks: list[list[bool]] = []
    original = layers.first_of_convolution

    def watched(*given: Any) -> Any:
        masks.append(given[-1])
        return original(*given)

    monkeypatch.setattr(layers, "first_of_convolution", watched)
    images, weight = normal(2, 3, 5, 5, rng=rng), normal(4, 3, 3, 3, rng=rng)
    out = within(F.conv2d, images * 1.0, weight * 1.0)
    torch.autograd.grad(out.sum(), images, retain_graph=True)
    torch.autograd.grad(out.sum(), weight, retain_graph=True)
    assert masks == [[True, False, False], [False, True, False]]
    grad = torch.autograd.grad(out.square().sum(), weight, create_graph=True)
    masks.clear()
    torch.autograd.grad(grad, images, torch.ones_like(weight))
    assert [False, True, False] not in masks, "no part of this is a grad of a weight"


def test_autocast_gives_what_it_gives_otherwise(rng: Generator) -> None:
    shapes = (4, 3, 6, 6), (5, 3, 3, 3), (5,)
    given = [normal(*shape, rng=rng, dtype=torch.float32) for shape in shapes]

    def call(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return F.batch_norm(F.conv2d(x, w, b), None, None, training=True)

    found, wanted = within(call, *given), call(*given)
    assert found.dtype == wanted.dtype == torch.bfloat16
    assert torch.equal(found, wanted)
    grads = [torch.autograd.grad(out.float().pow(3).sum(), given, create_graph=True) for out in (found, wanted)]
    for ours, theirs in zip(*grads, strict=True):
        assert ours.dtype == torch.float32
        assert torch.allclose(ours, theirs, rtol=0.02, atol=0.02 * float(theirs.detach().abs().max()) + 1e-3)
    seconds = [torch.autograd.grad(each[1].square().sum(), given[:2]) for each in grads]
    for ours, theirs in zip(*seconds, strict=True):
        assert torch.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > 0.99


def test_a_network_that_recomputes_its_activations_is_refused_with_the_cause(rng: Generator) -> None:
    layer, images = nn.BatchNorm2d(3).double(), normal(4, 3, 5, 5, rng=rng).detach()

    def loss(weights: Any, hyper: Any) -> Tensor:
        out = checkpoint(lambda x: functional_call(layer, weights, (x,)), images * hyper[0], use_reentrant=False)
        return out.pow(3).mean()

    hyper = [torch.tensor(0.7, dtype=torch.float64)]
    with pytest.raises(RuntimeError, match=r"no hypergradient: .* recomputes them: use it without checkpoints"):
        neumann(2, 1e-3)(loss, loss, dict(layer.named_parameters()), hyper)
