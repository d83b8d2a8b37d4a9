"""The recurrent controller of AutoAugment, trained by proximal policy optimisation.

Cubuk et al. 2019, "AutoAugment: Learning Augmentation Strategies from Data", section 4, which takes it from Zoph et
al. 2018, "Learning Transferable Architectures for Scalable Image Recognition"; PPO is Schulman et al. 2017, eq. 7.

    B trials, D decisions of a trial, L levels of the decision that has most
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.distributions import Categorical
from torch.nn import functional as F


@dataclass(frozen=True, kw_only=True)
class Ppo:
    """Say how the controller learns.

    The papers train for thousands of trials at a learning rate of 0.00035 with an entropy weight of 0.00001. These
    values learn within a few hundred.
    """

    batch: int = 10
    """Trials from one update to the next."""
    passes: int = 10
    """Gradient steps of an update."""
    lr: float = 0.003
    """Of Adam."""
    clip: float = 0.2
    """How far the probability of a decision may move in an update, as a share of what it was."""
    entropy: float = 0.01
    """Weight of the entropy, in nats per decision, that keeps the controller exploring."""
    memory: float = 0.8
    """Share of the old baseline that is kept at each update: an exponential mean of the rewards."""


class Controller(nn.Module):
    """Decide one thing after the other by an LSTM, whose input is the decision before.

    All decisions are equally likely before the first update.

    Args:
        sizes: the number of levels of each decision.
    """

    mask: Tensor

    def __init__(self, sizes: Sequence[int], embedding: int = 32, hidden: int = 100) -> None:
        super().__init__()
        decisions, most = len(sizes), max(sizes)
        self.token = nn.Parameter(torch.zeros(decisions, most, embedding))
        self.start = nn.Parameter(torch.zeros(embedding))
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True, device="meta").to_empty(device="cpu")  # draws nothing
        self.head = nn.Parameter(torch.zeros(decisions, most, hidden))
        self.bias = nn.Parameter(torch.zeros(decisions, most))
        rng = Generator().manual_seed(0)
        for weight in (self.token, self.start, *self.lstm.parameters()):
            nn.init.uniform_(weight, -0.1, 0.1, generator=rng)
        levels = torch.arange(most).expand(decisions, most)
        self.register_buffer("mask", torch.where(levels < torch.tensor(sizes)[:, None], 0.0, -torch.inf))

    def forward(self, taken: Tensor) -> Tensor:
        """Return the logits [B, D, L] of every decision, given the decisions [B, D] before it."""
        previous = self.token[torch.arange(taken.shape[1] - 1), taken[:, :-1]]
        states, _ = self.lstm(torch.cat([self.start.expand(len(taken), 1, -1), previous], 1))
        return torch.einsum("bdh,dlh->bdl", states, self.head) + self.bias + self.mask

    @torch.no_grad()
    def sample(self, rng: Generator) -> list[int]:
        """Return the decisions of a new trial, D numbers of levels."""
        taken: list[int] = []
        previous: Tensor = self.start
        state = None
        for d in range(len(self.mask)):
            out, state = self.lstm(previous[None, None], state)
            logits = self.head[d] @ out[0, 0] + self.bias[d] + self.mask[d]
            taken.append(int(torch.multinomial(logits.softmax(0), 1, generator=rng)))
            previous = self.token[d, taken[-1]]
        return taken


class ControllerTraining:
    """Train a controller, and hold what the training remembers: its optimiser, and mean and spread of the rewards."""

    def __init__(self, sizes: Sequence[int], settings: Ppo) -> None:
        self.settings = settings
        self.controller = Controller(sizes)
        self.optimiser = torch.optim.Adam(self.controller.parameters(), lr=settings.lr)
        self.baseline: float | None = None
        self.spread = 0.0

    def update(self, taken: Tensor, rewards: Tensor) -> None:
        """Learn from trials: their decisions [B, D], and rewards [B] of which higher ones are better."""
        rule = self.settings
        mean, spread = rewards.mean().item(), rewards.std(correction=0).item()
        self.spread = spread if self.baseline is None else rule.memory * self.spread + (1 - rule.memory) * spread
        baseline = mean if self.baseline is None else self.baseline
        self.baseline = rule.memory * baseline + (1 - rule.memory) * mean
        if self.spread == 0:
            return
        advantage = ((rewards - baseline) / self.spread)[:, None]
        with torch.no_grad():
            before = Categorical(logits=self.controller(taken), validate_args=False).log_prob(taken)
        for _ in range(rule.passes):
            decided = Categorical(logits=self.controller(taken), validate_args=False)
            ratio = (decided.log_prob(taken) - before).exp()
            clipped = ratio.clamp(1 - rule.clip, 1 + rule.clip)
            gain = torch.minimum(ratio * advantage, clipped * advantage).sum(1).mean()
            loss = -gain - rule.entropy * entropy(decided.logits).sum(1).mean()
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()


def entropy(logits: Tensor) -> Tensor:
    """Return the entropy of each decision [B, D] in nats; impossible levels count nothing."""
    log_p = F.log_softmax(logits, 2)
    return -(log_p.exp() * log_p.masked_fill(log_p.isinf(), 0.0)).sum(2)
