"""Relaxed: a policy whose selection, probabilities and strengths a gradient can move (Hataya et al. 2022, MADAO).

B images, S stages, K operations
"""

from collections.abc import Sequence as Listing
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from autoaug.devices import to_device
from autoaug.fields import above, at_least, checked
from autoaug.lookup import lookup
from autoaug.ops import RANGES, Op
from autoaug.policy._compiled import CompiledPolicy, Draws, compile_policy, draw
from autoaug.policy._execute import execute
from autoaug.policy._files import save
from autoaug.policy._nodes import Choice, apply, choice, sequence
from autoaug.policy._tree import PolicyTree, policy_tree
from autoaug.policy.ready import MADAO_OPS

GATE_TEMPERATURE = 0.1
"""Of the relaxed gate. MADAO's appendix is not public; Faster AutoAugment, which it builds on, has this one."""


class Choices(NamedTuple):
    """Hard draws for a batch, all [S, B]."""

    option: Tensor
    """Which operation, from 0 to K - 1."""
    gate: Tensor
    """Whether it is applied, bool."""
    sign: Tensor
    """1 or -1 for a signed operation, 1 for the others."""


class Relaxed(nn.Module):
    """Learn S stages in a row, at each of which every image meets one of K operations.

    Each operation has a probability and a strength. That of stage s is selected by softmax(`selection[s]`), applied
    with probability sigmoid(`probability`) and at strength sigmoid(`strength`), with a fair random sign where it is
    signed. The three parameters are [S, K] and start at 0: equal selection, probability 1/2, strength 1/2.

    Args:
        temperature: of the Gumbel softmax, where the selection is differentiated. Near 0 the gradient of most images
            vanishes; MADAO's code is not public, and 1 found more planted operations than 0.05.
        ranges: the table of `autoaug.ops.RANGES` that gives strengths their physical meaning.

    Raises:
        ValueError: an operation is unknown, given twice, without a gradient, or draws for itself.

    >>> import torch
    >>> from autoaug.policy import Relaxed
    >>> policy = Relaxed(["rotate", "solarize"], stages=1)
    >>> [(option.weight, option.node.op, option.node.strength) for option in policy.tree().root.nodes[0].options]
    [(0.5, 'rotate', 0.5), (0.5, 'solarize', 0.5)]
    >>> images = torch.linspace(0, 1, 64).view(1, 1, 8, 8).expand(20, -1, -1, -1)
    >>> loss = policy(images, torch.Generator().manual_seed(0)).square().mean()
    >>> grads = torch.autograd.grad(loss, [policy.selection, policy.probability, policy.strength])
    >>> all(grad.abs().min() > 0 for grad in grads)
    True
    """

    bucket: Tensor
    signed: Tensor

    @checked
    def __init__(
        self,
        ops: Listing[str] = MADAO_OPS,
        stages: Annotated[int, at_least(1)] = 2,
        temperature: Annotated[float, above(0)] = 1.0,
        ranges: str = "autoaugment",
    ) -> None:
        super().__init__()
        self.ops = movable(ops, ranges)
        self.temperature, self.ranges = temperature, ranges
        self.geometric_first = tuple(sorted(self.ops, key=lambda op: op.matrix is None))
        self.selection = nn.Parameter(torch.zeros(stages, len(self.ops)))
        self.probability = nn.Parameter(torch.zeros(stages, len(self.ops)))
        self.strength = nn.Parameter(torch.zeros(stages, len(self.ops)))
        buckets = [1 + self.geometric_first.index(op) for op in self.ops]
        self.register_buffer("bucket", torch.tensor(buckets), persistent=False)
        self.register_buffer("signed", torch.tensor([op.signed for op in self.ops]), persistent=False)
        self._compiled: tuple[list[Tensor], list[int], CompiledPolicy] | None = None

    def forward(self, images: Tensor, rng: Generator, choices: Choices | None = None) -> Tensor:
        """Return images of the same shape and dtype, from [B, C, H, W] in [0, 1], one draw for each.

        Without gradients, as in ordinary training, operations and gates are drawn as they are. With gradients on,
        the draw can be differentiated in all three parameters: see `relaxed`. Given `choices`, only the strengths
        can.
        """
        if choices is not None:
            return self.apply_draws(images, choices, rng)
        if torch.is_grad_enabled():
            return self.relaxed(images, rng)
        plan = self.compiled()
        plan = plan if rng.device.type == "cpu" else plan.to(rng.device)
        return execute(plan.ops, images, draw(plan, len(images), rng), rng)

    def relaxed(self, images: Tensor, rng: Generator) -> Tensor:
        """Return images after a draw with pathwise gradients (Hataya et al. 2022, eq. 8 and 9).

        One operation O per stage and image by the Gumbel softmax u, multiplied by u/SG(u), which is 1 and carries the
        gradient of the selection; b O(x; μ) + (1 - b) x with a relaxed gate b, which is mostly near 0 or 1.
        """
        stages, width = self.selection.shape
        noise = torch.rand(stages, len(images), width + 2, generator=rng, device=rng.device)
        noise = to_device(noise, self.selection.device, self.selection.dtype)
        selecting, flipping, sign = noise.split([width, 1, 1], dim=2)
        share = F.log_softmax((self.selection[:, None] + gumbel(selecting)) / self.temperature, dim=2)
        option = share.argmax(2)
        log_share = share.gather(2, option[..., None])[..., 0]
        logit = self.probability.gather(1, option) + logistic(flipping[..., 0])
        strength = self.strength.sigmoid().gather(1, option) * self._signs(option, sign[..., 0])
        draws = Draws(
            self.bucket[option],
            strength,
            gate=torch.sigmoid(logit / GATE_TEMPERATURE),
            factor=(log_share - log_share.detach()).exp(),
        )
        return execute(self.geometric_first, images, draws, rng)

    @torch.no_grad()
    def sample(self, batch: int, rng: Generator) -> Choices:
        """Return hard draws for a batch, for `forward` and `log_probability`."""
        numbers = torch.rand(3, len(self.selection), batch, generator=rng, device=rng.device)
        numbers = to_device(numbers, self.selection.device)
        edges = self.selection.double().softmax(1).cumsum(1).float()
        option = torch.searchsorted(edges, numbers[0].contiguous(), right=True).clamp(max=len(self.ops) - 1)
        return Choices(
            option, numbers[1] < self.probability.sigmoid().gather(1, option), self._signs(option, numbers[2])
        )

    def apply_draws(self, images: Tensor, choices: Choices, rng: Generator) -> Tensor:
        """Return images with these draws applied, differentiable in the strengths."""
        bucket = self.bucket[choices.option] * choices.gate
        strength = self.strength.sigmoid().gather(1, choices.option) * choices.sign
        return execute(self.geometric_first, images, Draws(bucket, strength), rng)

    def log_probability(self, choices: Choices) -> Tensor:
        """Return log q of each image's operations and gates, [B], differentiable in selection and probability."""
        selected = self.selection.log_softmax(1).gather(1, choices.option)
        logit = self.probability.gather(1, choices.option)
        return (selected + F.logsigmoid(torch.where(choices.gate, logit, -logit))).sum(0)

    def _signs(self, option: Tensor, uniform: Tensor) -> Tensor:
        return 1 - 2 * (self.signed[option] & (uniform < 0.5)).to(self.strength)

    def compiled(self) -> CompiledPolicy:
        """Return the tables of `tree()`, kept until a parameter moves."""
        parameters: list[Tensor] = list(self.parameters())
        versions = [parameter._version for parameter in parameters]  # no look at the values: a GPU would have to stop
        cached = self._compiled
        if cached and all(a is b for a, b in zip(cached[0], parameters, strict=True)) and cached[1] == versions:
            return cached[2]
        plan = compile_policy(self.tree().at(1), RANGES[self.ranges])
        self._compiled = parameters, versions, plan
        return plan

    @torch.no_grad()
    def _repr_html_(self) -> str:
        """Return the policy as it is now, as a notebook shows it."""
        return self.tree()._repr_html_()

    def tree(self) -> PolicyTree:
        """Return the policy as it is now: a sequence of S choices over K operations."""
        shares = [self.selection.double().softmax(1), self.probability.sigmoid(), self.strength.sigmoid()]
        stages = torch.stack([share.double() for share in shares], dim=2).tolist()
        return policy_tree(sequence([self._choice(rows) for rows in stages]), ranges=self.ranges)

    def _choice(self, rows: Listing[tuple[float, float, float]]) -> Choice:
        named = zip(self.ops, rows, strict=True)
        return choice([(share, apply(op.name, strength, probability)) for op, (share, probability, strength) in named])

    def at(self, epoch: int) -> None:
        """Do nothing: a policy that learns has no schedule, and every epoch begins with the parameters as they are."""

    def save(self, path: str | Path) -> None:
        """Write `tree()` as a policy file."""
        save(self, path)


def movable(names: Listing[str], ranges: str) -> tuple[Op, ...]:
    """Return the operations of these names, each of which must have a gradient."""
    table = lookup(RANGES, ranges, "ranges of Relaxed")
    ops = tuple(lookup(table, name, "op of Relaxed") for name in names)
    if not ops:
        raise ValueError("Relaxed(ops=()): give at least one operation")
    for k, op in enumerate(ops):
        if op in ops[:k]:
            raise ValueError(f"op {op.name!r} is given twice to Relaxed: once is enough, selection weighs it")
        if op.gradient not in ("exact", "straight-through"):
            raise ValueError(f"op {op.name!r} has no gradient: leave it out of Relaxed(ops=...)")
        if op.random:
            raise ValueError(
                f"op {op.name!r} draws for itself, so its draws can be neither repeated nor weighed: "
                "leave it out of Relaxed(ops=...)"
            )
    return ops


def gumbel(uniform: Tensor) -> Tensor:
    """Return draws of the standard Gumbel distribution from uniform ones in (0, 1)."""
    return -(-uniform.log()).log()


def logistic(uniform: Tensor) -> Tensor:
    """Return draws of the standard logistic distribution from uniform ones in (0, 1)."""
    return uniform.log() - torch.log1p(-uniform)
