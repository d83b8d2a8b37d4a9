"""Convolution and batch normalisation whose second derivatives cost about as much as their first, and attention.

PyTorch composes the second derivative of batch normalisation of some twenty passes over the activations, which take 15
to 70 times as long as the first, and that of a convolution always with the part for the weights, by a convolution with
an image in the place of the kernel. In a hypergradient of a residual network these two are more than half of all time.

Here both are in closed form, of the kernels that the first derivative has. Values and first derivatives are PyTorch's
own. There is no third derivative.

PyTorch's fused kernels of attention have no second derivative at all. Here attention takes the one that is composed of
matrix products and a softmax, which has derivatives of every order. Its values differ by rounding, and its dropout
draws otherwise.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

first_of_convolution = torch.ops.aten.convolution_backward
first_of_batch_norm = torch.ops.aten.native_batch_norm_backward


class TwiceDifferentiable(TorchFunctionMode):
    """Replace `F.conv2d`, `F.batch_norm` and attention, and so all modules that call them, by those of this file.

    It does so while it is on; attention is `F.scaled_dot_product_attention`, also in `nn.MultiheadAttention`.
    Running statistics move as they do otherwise. What is computed within may be differentiated outside, twice at most.

    >>> import torch
    >>> from torch.nn.functional import conv2d
    >>> from autoaug.hypergrad import TwiceDifferentiable
    >>> image, kernel = torch.ones(1, 1, 1, 2), torch.tensor([[[[3.0, 4.0]]]], requires_grad=True)
    >>> with TwiceDifferentiable():
    ...     output = conv2d(image, kernel).square().sum()  # (a + b)^2
    >>> [first] = torch.autograd.grad(output, [kernel], create_graph=True)
    >>> torch.autograd.grad(first.sum(), [kernel])[0].flatten()  # each entry of the Hessian is 2
    tensor([4., 4.])
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return LAYERS.get(func, func)(*args, **kwargs or {})


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Return what `F.conv2d` returns; PyTorch's own where the padding is a word or the images are no batch."""
    if isinstance(padding, str) or input.dim() != 4:
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    settings = (*map(pair, (stride, padding, dilation)), False, [0, 0], groups)
    call: Callable[..., Tensor] = Convolution.apply
    # a view, because the engine only says of inner nodes whether it needs them
    return call(*cast(input, weight.view_as(weight), bias), settings)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Return what `F.batch_norm` returns; PyTorch's own where it does not take the statistics of a batch."""
    if not training or count(input) < 2:
        return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    call: Callable[..., Tensor] = BatchNorm.apply
    return call(input, weight, bias, running_mean, running_var, momentum, eps)


def scaled_dot_product_attention(*args: Any, **kwargs: Any) -> Any:
    """Return what `F.scaled_dot_product_attention` returns, by the kernel that has a second derivative."""
    with sdpa_kernel(SDPBackend.MATH):
        return F.scaled_dot_product_attention(*args, **kwargs)


def multi_head_attention_forward(*args: Any, **kwargs: Any) -> Any:
    """Return what `F.multi_head_attention_forward` returns, by the kernel that has a second derivative.

    It stands for a whole of PyTorch's functions: what it calls is not replaced one by one.
    """
    with sdpa_kernel(SDPBackend.MATH):
        return F.multi_head_attention_forward(*args, **kwargs)


LAYERS: dict[Any, Callable[..., Any]] = {
    F.conv2d: conv2d,
    F.batch_norm: batch_norm,
    F.scaled_dot_product_attention: scaled_dot_product_attention,
    F.multi_head_attention_forward: multi_head_attention_forward,
}


class Convolution(torch.autograd.Function):
    """A convolution whose first derivative is `ConvolutionGrads`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, settings: Any) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.settings, ctx.sizes = settings, None if bias is None else list(bias.shape)
        return torch.convolution(x, weight, bias, *settings)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        input_grads = ConvolutionGrads.apply(*grads, *ctx.saved_tensors, ctx.sizes, ctx.settings, needed(ctx))
        return *input_grads, None


class ConvolutionGrads(torch.autograd.Function):
    """The grads of a convolution by its input, weight and bias, bilinear in its grad g and the former two."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, weight: Tensor, sizes: Any, settings: Any, mask: list[bool]) -> Any:
        ctx.save_for_backward(g, x, weight)
        ctx.settings = settings
        ctx.set_materialize_grads(False)
        return first_of_convolution(g, x, weight, sizes, *settings, mask)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_x: Tensor | None, of_weight: Tensor | None, of_bias: Tensor | None) -> Any:
        g, x, weight = ctx.saved_tensors
        wanted = needed(ctx)
        by_g = by_x = by_weight = None
        if of_x is not None:
            by_g = torch.convolution(of_x, weight, None, *ctx.settings)
            if wanted[2]:
                by_weight = first_of_convolution(g, of_x, weight, None, *ctx.settings, [False, True, False])[1]
        if of_weight is not None:
            more = torch.convolution(x, of_weight, None, *ctx.settings)
            by_g = more if by_g is None else by_g.add_(more)
            if wanted[1]:
                by_x = first_of_convolution(g, x, of_weight, None, *ctx.settings, [True, False, False])[0]
        if of_bias is not None:
            more = of_bias.view(-1, 1, 1)
            by_g = more.expand_as(g) if by_g is None else by_g.add_(more)
        return by_g, by_x, by_weight, None, None, None


class BatchNorm(torch.autograd.Function):
    """Batch normalisation by the statistics of the batch, whose first derivative is `BatchNormGrads`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Any, bias: Any, running_mean: Any, running_var: Any, momentum: float, eps: float
    ) -> Tensor:
        y, mean, scale = torch.native_batch_norm(x, weight, bias, running_mean, running_var, True, momentum, eps)
        ctx.save_for_backward(x, weight, mean, scale)
        ctx.eps, ctx.biased = eps, bias is not None
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        _, weight, *_ = ctx.saved_tensors
        by_x, by_weight, by_bias = BatchNormGrads.apply(*grads, *ctx.saved_tensors, ctx.eps)
        return by_x, None if weight is None else by_weight, by_bias if ctx.biased else None, None, None, None, None


class BatchNormGrads(torch.autograd.Function):
    """The grads of batch normalisation by its input, weight γ and bias, of which the grad of the output is g.

    With x̂ = s (x - m), the normalised activations of a channel, N their number, and P g = g - mean g - x̂ mean(g x̂)
    they are γ s P g, Σ g x̂ and Σ g. The derivative of <u, γ s P g> + a Σ g x̂ + b Σ g is γ s P u + a x̂ + b by g,
    s <u, P g> by γ, and by x

        -γ s²/N (<u, P g> x̂ + (Σ g x̂) P u + (Σ u x̂) P g) + a s P g,

    each of which is channel by channel a weighted sum of 1, x, u and g.
    """

    @staticmethod
    def forward(ctx: Any, g: Tensor, x: Tensor, weight: Any, mean: Tensor, scale: Tensor, eps: float) -> Any:
        grads = batch_norm_grads(g, x, weight, mean, scale, eps)
        ctx.save_for_backward(g, x, weight, mean, scale, *grads[1:])
        ctx.eps = eps
        return grads

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, u: Tensor, a: Tensor, b: Tensor) -> Any:
        g, x, weight, mean, scale, g_x, g_1 = ctx.saved_tensors
        size, gain = count(x), scale if weight is None else scale * weight
        by_g, u_x, u_1 = batch_norm_grads(u, x, weight, mean, scale, ctx.eps)
        inner = (u * g).sum([k for k in range(x.dim()) if k != 1], dtype=scale.dtype) - (u_1 * g_1 + u_x * g_x) / size

        bend = -gain * scale / size
        of_u, of_g = bend * g_x, bend * u_x + a * scale
        of_x = scale * (bend * inner - (of_u * u_x + of_g * g_x) / size)
        rest = -(of_u * u_1 + of_g * g_1) / size - of_x * mean
        by_x = per_channel(rest, (of_x, x), (of_u, u), (of_g, g))
        by_g = by_g + per_channel(b - a * scale * mean, (a * scale, x))
        return by_g, by_x, None if weight is None else scale * inner, None, None, None


def batch_norm_grads(
    g: Tensor, x: Tensor, weight: Tensor | None, mean: Tensor, scale: Tensor, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the grads by the input [B, C, ...], the weight [C] and the bias [C], from the grad g of the output."""
    grads: tuple[Tensor, Tensor, Tensor] = first_of_batch_norm(
        g, x, weight, None, None, mean, scale, True, eps, [True, True, True]
    )
    return grads


def per_channel(rest: Tensor, *terms: tuple[Tensor, Tensor]) -> Tensor:
    """Return rest + Σ factor x term, with the rest and the factors per channel, in the type of the terms."""
    [(_, like), *_] = terms
    shape = [1, -1] + [1] * (like.dim() - 2)
    total = rest.view(shape)
    for factor, term in terms:
        total = torch.addcmul(total, term, factor.view(shape), out=total if total.shape == term.shape else None)
    return total.to(like.dtype)


def count(x: Tensor) -> int:
    """Return the number of values per channel."""
    return x.numel() // x.shape[1]


def pair(value: Any) -> list[int]:
    """Return a setting of a convolution for both axes."""
    return [value, value] if isinstance(value, int) else list(value)


def cast(*tensors: Tensor | None) -> list[Tensor | None]:
    """Return the arguments of a convolution in the dtype that autocast gives them."""
    device = next(tensor.device.type for tensor in tensors if tensor is not None)
    if not torch.is_autocast_enabled(device):
        return list(tensors)
    kind = torch.get_autocast_dtype(device)
    return [None if tensor is None else tensor.to(kind) for tensor in tensors]


def needed(ctx: Any) -> list[bool]:
    """Return which of a function's first three inputs the backward pass under way wants a grad of.

    `needs_input_grad` says which could ever be wanted. A pass back to the images alone, or to the weights alone, needs
    half of that.
    """
    nodes = [node for node, _ in ctx.next_functions]  # of tensors, so there is none for a bias of None
    return [could and (k >= len(nodes) or reached(nodes[k])) for k, could in enumerate(ctx.needs_input_grad[:3])]


def reached(node: Any) -> bool:
    """Whether the backward pass under way goes through a node of the graph."""
    try:
        return bool(torch._C._will_engine_execute_node(node))
    except RuntimeError:  # a leaf, of which the engine does not say
        return True
