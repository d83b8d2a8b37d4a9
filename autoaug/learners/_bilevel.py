"""Bilevel: moves a policy while the network trains, by the gradient of the validation loss (Hataya et al. 2022)."""

import copy
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor, nn

from autoaug.data import as_float
from autoaug.devices import Clock, Stopwatch
from autoaug.fields import short
from autoaug.hypergrad import Hypergrad, Stateful, TwiceDifferentiable, Unrolled, identity, partials
from autoaug.learners._checks import (
    HypergradientError,
    check_clipped,
    check_compile,
    check_policy,
    check_reuse,
    check_schedule,
    in_place_named,
    too_few,
)
from autoaug.learners._diagnose import alignment
from autoaug.learners._estimators import ESTIMATORS
from autoaug.learners._following import check_unrolled, with_optimiser_state
from autoaug.learners._lessons import (
    Length,
    check_epochs,
    check_loop,
    check_moves,
    compiled_named,
    length_of,
    problem_of,
)
from autoaug.learners._mix import LearnedMix
from autoaug.learners._problem import Batch, Problem, Weights, hyper_of
from autoaug.learners._updates import Scale, Updates
from autoaug.policy import Relaxed
from autoaug.train import epoch_order

if TYPE_CHECKING:
    from autoaug.data import Split
    from autoaug.train import Lesson, MinibatchLoss, Task, TrainingRun

PATIENCE = 10
"""Hypergradients in a row that are no numbers, before the training is given up."""


class Bilevel:
    """Move a policy along a hypergradient, the derivative of the validation loss by the policy, while a network trains.

    The trainer calls it in every step (see `autoaug.train.Learner`); in a loop of one's own `update` makes one update:

        learner = Bilevel(policy, neumann(5, 0.1))
        for images, targets in batches:
            ...                                                      # train on policy(images, rng) under no_grad
            learner.update(model, (images, targets), (val_images, val_targets), rng)

    Neither the model, its buffers and gradients, nor its optimiser, nor torch's global generators are touched. The
    model is run in the mode it is in, which while training is with the statistics of the batch. The training loss of
    an update is that of the task, with its smoothed targets and its weights of classes, on images transformed by the
    policy. They are mixed where the learner moves the `mix`, and in no other case, whatever the training mixes: by the
    whole mix, also while that of the training warms up or fades. The validation loss is a plain cross-entropy of images
    that are neither transformed nor mixed.

    In the loop of a study's `train=`, which calls `Trial.learn`, an update has the training batch of the step that was
    just made and the validation images that are given: `Updates.hyper_batch` and `val_batch` have no part, nor has
    `reuse_graph`, as the graph of that step is gone. An `unrolled` hypergradient looks ahead from the weights after it.
    Where there is a `scale`, no update is made before the steps of an epoch are known (`Trial.epochs`).

    Args:
        policy: an `nn.Module` with parameters, such as `Relaxed` or `Warp`.
        hypergrad: how the derivative is taken; None is `identity()`. An `unrolled` one takes the steps that the model's
            optimiser, SGD or AdamW, would take next, where it is given: from its buffers, with its current settings.
        updates: when and how the policy is moved; None is `Updates()`.
        scale: where the settings follow the length of the training: `check` takes them in place of `updates`, from
            which they may differ in `every`, `warmup` and the learning rate.
        mix: moved along the same hypergradient as the policy, by the same optimiser. A training must be given it as its
            mix; in a loop of one's own train on `mix.plain()`.

    Raises:
        ValueError: the policy has no parameters, or `reuse_graph` does not fit the hypergradient.
        TypeError: the policy lacks what the estimator needs.

    Source: Hataya et al. 2022, "Meta Approach to Data Augmentation Optimization", algorithm 1; for `unrolled`
    Mounsaveng et al. 2021, "Learning Data Augmentation with Online Bilevel Optimization", eq. 8.
    """

    moves_policy = True
    joins_loss = False

    def __init__(
        self,
        policy: Any,
        hypergrad: Hypergrad | None = None,
        updates: Updates | None = None,
        scale: Scale | None = None,
        mix: LearnedMix | None = None,
    ) -> None:
        self.policy, self.hypergrad, self.updates = policy, hypergrad or identity(), updates or Updates()
        self.mix = mix
        self.scale, self.unscaled = scale, self.updates
        self.length: Length | None = None
        self.looked = False
        check_policy(policy, self.updates.estimator)
        self.optimiser = self.built_optimiser()
        self.estimate = ESTIMATORS[self.updates.estimator]
        check_reuse(self.hypergrad, self.updates)
        self.begun = copy.deepcopy(self.hypergrad.state_dict()) if isinstance(self.hypergrad, Stateful) else {}
        self.through: list[str] | None = None
        self.counts = {"updates": 0, "skipped": 0, "skipped_in_a_row": 0}
        self.last = {"hyper_val_loss": math.nan, "hypergradient_norm": math.nan}
        self.watch = Stopwatch()

    def built_optimiser(self) -> torch.optim.Optimizer:
        """Return the optimiser of what is moved, by the present settings."""
        return self.updates.optimiser([parameter for _, parameter in hyper_of(self.policy, self.mix)])

    def step(self, run: "TrainingRun") -> None:
        """Make an update where one is due, on batches of its own, unless `backward` has made it."""
        if self.updates.reuse_graph or not self.due(run.epoch, run.step):
            return
        rng, train, val = run.streams["learner"], run.data.train, run.data.val
        chosen, seen = pick_trained(run, self.updates.hyper_batch, rng), pick(len(val), self.updates.val_batch, rng)
        images, targets = train.taken(chosen)
        hyper = Batch(run.standard(images, rng), targets)
        self.advance(self.problem(run, hyper, batch_of(val, seen)), run.optimiser)

    def looks_at(self, epoch: int, step: int) -> bool:
        """Return whether an update is due with this step of a loop, or may be, as its length is not known."""
        return self.waits or self.due(epoch, step)

    def learn(self, lesson: "Lesson") -> None:
        """Make an update where one is due, on the batch of the step that was made and images of the user's.

        Raises:
            ValueError: the policy would never move in this loop, its optimiser cannot be followed, or weights that were
                chosen do not train.
            RuntimeError: the network has no second derivatives, as one that is compiled.
        """
        self.look_at_loop(lesson)
        if not self.waits and self.due(lesson.epoch, lesson.step):
            with compiled_named(lesson):
                self.advance(problem_of(self.policy, lesson, self.updates, self.mix), lesson.optimiser)

    @property
    def waits(self) -> bool:
        """Whether the settings are to be fitted to the length of a loop, and that is not known yet."""
        return self.scale is not None and self.length is None

    def look_at_loop(self, lesson: "Lesson") -> None:
        """Refuse a loop that cannot work when it begins, and fit the settings to its length as soon as it is known."""
        first, self.looked = not self.looked, True
        length = length_of(lesson) if self.length is None else None
        if first:
            check_loop(lesson, self.hypergrad, self.updates)
        if length is not None:
            self.fit(length)
        if first:
            check_epochs(self.updates, lesson.epochs, self.waits)
        if length is not None:
            check_moves(self.updates, length, lesson.epoch if self.scale else 1)

    def fit(self, length: Length | None) -> None:
        """Take the settings for a loop of this length; None are those before it was known."""
        self.length = length
        if self.scale is not None:
            self.updates = self.unscaled if length is None else self.scale(length.task, length.images)
            self.optimiser = self.built_optimiser()

    def wants_graph(self, run: "TrainingRun") -> bool:
        """Return whether an update is due in the coming step that differentiates this very step."""
        return self.updates.reuse_graph and self.due(run.epoch, run.step + 1)

    def backward(self, run: "TrainingRun", loss: "MinibatchLoss", images: Tensor, targets: Tensor) -> Tensor:
        """Leave the gradients in the model's parameters; where `wants_graph`, update the policy by the same graph."""
        if not self.wants_graph(run):
            with in_place_named(run.model):
                return loss.backward()
        with TwiceDifferentiable():
            total, rng = loss.with_graph(), run.streams["learner"]
            val = batch_of(run.data.val, pick(len(run.data.val), self.updates.val_batch, rng))
            self.fused_backward(total, self.problem(run, Batch(images, targets), val), run.optimiser)
        return total.detach()

    def problem(self, run: "TrainingRun", train: Batch, val: Batch) -> Problem:
        """Return the bilevel problem of a training at its present weights, on two batches.

        Raises:
            ValueError: the learner moves another mix than that of the training.
        """
        if self.mix is not None and run.mix is not self.mix:
            raise ValueError(
                f"the learner moves a mix, and the training mixes by {short(run.mix)}: give the training the same "
                "LearnedMix"
            )
        micro_batch, rng = self.updates.micro_batch or run.task.micro_batch, run.streams["learner"]
        seen = (self.policy, run.model, train, val, rng, run.logits, micro_batch)
        part, clip_norm = self.updates.part, run.task.clip_norm
        return Problem(*seen, criterion=run.criterion, part=part, clip_norm=clip_norm, mix=self.mix)

    def due(self, epoch: int, step: int) -> bool:
        """Whether the policy moves with this training step, both counted from 1."""
        return epoch > self.updates.warmup and step % self.updates.every == 0

    def update(
        self,
        model: nn.Module,
        train: tuple[Tensor, Tensor],
        val: tuple[Tensor, Tensor],
        rng: Generator,
        optimiser: torch.optim.Optimizer | None = None,
    ) -> None:
        """Move the policy once. Where images are normalised before they enter the model, see `advance`.

        Args:
            train: images [B, C, H, W] in [0, 1], before the policy, and classes [B].
            val: images that the policy never touches, and their classes.
            optimiser: the model's, for an `unrolled` hypergradient.

        Raises:
            RuntimeError: the model has no second derivatives; the message names the modules that work in place.
            HypergradientError: ten hypergradients in a row were no finite numbers.
        """
        batches, settings = (Batch(*train), Batch(*val)), self.updates
        problem = Problem(
            self.policy, model, *batches, rng, micro_batch=settings.micro_batch, part=settings.part, mix=self.mix
        )
        self.advance(problem, optimiser)

    def advance(self, problem: Problem, optimiser: torch.optim.Optimizer | None = None) -> None:
        """Move the policy once, as `update` does, by a problem that also says how images go through the model."""
        clock = Clock(problem.train.images.device)
        self.forget_other_weights(problem)
        hypergrad = with_optimiser_state(self.hypergrad, problem.weights, optimiser, problem.clip_norm)
        with in_place_named(problem.model):
            hypergradient = self.estimate(hypergrad, problem)
        self.descend(hypergradient, problem, optimiser)
        self.watch.add(clock)

    def fused_backward(self, loss: Tensor, problem: Problem, optimiser: torch.optim.Optimizer) -> None:
        """Make `loss.backward()` and an update in one, by the derivative through the step that `optimiser` takes next.

            with TwiceDifferentiable():                                  # of autoaug.hypergrad: the same in less time
                loss = F.cross_entropy(model(policy(images, rng)), targets)
                problem = Problem(policy, model, Batch(images, targets), Batch(*val), rng)
                learner.fused_backward(loss, problem, optimiser)
            optimiser.step()

        The seconds that it records are what it takes beyond the backward pass of training.

        Args:
            loss: of a training batch, with its graph, which begins with the parameters of model and policy.
        """
        weights = problem.weights
        hypergrad = with_optimiser_state(self.hypergrad, weights, optimiser, problem.clip_norm)
        assert isinstance(hypergrad, Unrolled), "check_reuse has seen to that"
        trained = problem.trained
        with in_place_named(problem.model):
            grads = dict(zip(trained, partials(loss, list(trained.values())), strict=True))
            clock = Clock(loss.device)
            through = [grads[name] for name in weights]
            hypergradient = hypergrad.fused_backward(through, problem.outer, weights, problem.hyper)
        for name, weight in trained.items():
            grad = grads[name]
            weight.grad = None if grad is None else grad.detach()
        self.descend(hypergradient, problem, optimiser)
        self.watch.add(clock)

    def forget_other_weights(self, problem: Problem) -> None:
        """Let what the hypergradient keeps between calls begin anew where other weights train than before.

        A backbone that is no longer frozen brings such a change.
        """
        names = list(problem.weights)
        if isinstance(self.hypergrad, Stateful) and self.through not in (None, names):
            self.hypergrad.load_state_dict(self.begun)
        self.through = names

    def descend(self, hypergradient: Weights, problem: Problem, optimiser: torch.optim.Optimizer | None) -> None:
        """Measure a hypergradient and move the policy along it, or skip it where its norm is no finite number."""
        val_loss = torch.stack(problem.val_losses).sum()
        norms = [grad.double().norm() for grad in hypergradient.values()]
        norm = torch.stack([each.to(norms[0].device) for each in norms]).norm()
        both = torch.stack([val_loss.double(), norm]).tolist()  # a GPU stops for it, and once is enough
        self.last["hyper_val_loss"], self.last["hypergradient_norm"] = both
        if self.updates.diagnose and optimiser and self.counts["updates"] % self.updates.diagnose == 0:
            self.last["hypergradient_cosine"] = alignment(hypergradient, problem, optimiser)
        if math.isfinite(self.last["hypergradient_norm"]):
            self.move(hypergradient)
        else:
            self.skip(self.last["hypergradient_norm"])

    def move(self, grads: Weights) -> None:
        """Make a step of the policy's optimiser along a hypergradient."""
        for name, parameter in hyper_of(self.policy, self.mix):
            parameter.grad = grads.get(name)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.mix is not None:
            self.mix.keep_within()
        self.counts["updates"] += 1
        self.counts["skipped_in_a_row"] = 0

    def skip(self, norm: float) -> None:
        """Count a hypergradient that is not used.

        Raises:
            HypergradientError: it is the tenth in a row.
        """
        self.counts["skipped"] += 1
        self.counts["skipped_in_a_row"] += 1
        if self.counts["skipped_in_a_row"] >= PATIENCE:
            raise HypergradientError(
                f"{PATIENCE} hypergradients in a row have the norm {norm}: lower the learning rate of the training or "
                "of the hypergradient's series, or add damping"
            )

    def check(self, task: "Task", train_images: int, val_images: int) -> None:
        """Refuse a training in which the policy would never move, or whose optimiser cannot be unrolled.

        The settings of `scale` are then those of this training, with an optimiser that has not begun.

        Raises:
            ValueError: no update is due, there are no validation images, the network is compiled, or an `unrolled`
                hypergradient meets another optimiser than plain SGD or AdamW of torch, or knows a part of the gradient
                that is clipped.
        """
        if self.scale is not None:
            self.updates = self.scale(task, train_images)
            self.optimiser = self.built_optimiser()
        check_schedule(self.expected_updates(task, train_images), self.updates, task, val_images)
        check_compile(task, type(self).__name__)
        if isinstance(self.hypergrad, Unrolled):
            check_unrolled(task.build_optimiser())
            check_clipped(task, self.updates)

    def cautions(self, task: "Task", train_images: int) -> list[str]:
        """Return a caution where a `Relaxed` policy gets too few updates to select anything."""
        if not isinstance(self.policy, Relaxed):
            return []
        optimiser = self.updates_of(task, train_images).optimiser(self.policy.parameters())
        return too_few(self.expected_updates(task, train_images), optimiser)

    def expected_updates(self, task: "Task", train_images: int) -> int:
        """Return how many updates a training of the task on so many images brings."""
        return self.updates_of(task, train_images).expected(task, train_images)

    def updates_of(self, task: "Task", train_images: int) -> Updates:
        """Return the settings of a training of the task on so many images."""
        return self.updates if self.scale is None else self.scale(task, train_images)

    def rehearsal(self, task: "Task", train_images: int, val_images: int, share: float) -> "Bilevel":
        """Return a learner that updates the same policy in every step, from a share of its images of both kinds.

        With the share 0 these are four images, or so many that a part of them is as small as the smallest in training:
        layers such as batch normalisation fail on one image alone. Policy, optimiser and hypergradient are shared.
        """
        micro_batch = self.updates.micro_batch or task.micro_batch
        wanted = (train_images, self.updates.hyper_batch), (val_images, self.updates.val_batch or val_images)
        hyper, val = (shrunk(min(total, batch), share, micro_batch) for total, batch in wanted)
        twin = copy.copy(self)
        usual, twin.scale = self.updates_of(task, train_images), None
        twin.updates = replace(usual, every=1, warmup=0, hyper_batch=max(2, hyper), val_batch=max(1, val))
        twin.counts, twin.last, twin.watch = dict(self.counts), dict(self.last), Stopwatch()
        return twin

    def metrics(self) -> dict[str, float]:
        """Return what happened since the last call, for the record of an epoch.

            hypergradient_norm      of the last update, and with `Updates.diagnose` hypergradient_cosine in [-1, 1]
            hyper_val_loss          validation loss of the last update, in nats
            hyper_updates           made so far; hyper_skipped: those left out, as their hypergradient was no number
            hyper_seconds           of all updates since the last call
            mix_alpha, mix_ratio    of the mix as it stands, where it is moved

        What has no value is left out: before the first update, of one that was skipped, a cosine with a zero vector.
        """
        counts = {f"hyper_{name}": float(self.counts[name]) for name in ("updates", "skipped")}
        measured = {name: value for name, value in self.last.items() if math.isfinite(value)}
        mixing = {} if self.mix is None else self.mix.metrics()
        return {**measured, **counts, "hyper_seconds": self.watch.take(), **mixing}

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the policy's optimiser, the counts, and what the hypergradient keeps between calls.

        And the length of a loop of the user's own, where the settings were fitted to it, and the mix that is moved.
        """
        kept = self.hypergrad.state_dict() if isinstance(self.hypergrad, Stateful) else {}
        state = {"optimiser": self.optimiser.state_dict(), "counts": self.counts, "last": self.last}
        length = None if self.length is None else list(self.length)
        mixing = {} if self.mix is None else {"mix": self.mix.state_dict()}
        return {**state, "hypergrad": kept, "through": self.through if kept else None, "length": length, **mixing}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        length = None if state["length"] is None else Length(*state["length"])
        if length != self.length:
            self.fit(length)
        self.optimiser.load_state_dict(state["optimiser"])
        self.counts, self.last = dict(state["counts"]), dict(state["last"])
        self.through = state["through"]
        if isinstance(self.hypergrad, Stateful) and state["hypergrad"]:
            self.hypergrad.load_state_dict(state["hypergrad"])
        if self.mix is not None:
            self.mix.load_state_dict(state["mix"])


def pick(total: int, wanted: int | None, rng: Generator) -> Tensor:
    """Return indices of `wanted` of `total` images without repetition; all in order where that is as many or None."""
    if wanted is None or wanted >= total:
        return torch.arange(total)
    return torch.randperm(total, generator=rng, device=rng.device)[:wanted]


def pick_trained(run: "TrainingRun", wanted: int | None, rng: Generator) -> Tensor:
    """Return indices of `wanted` training images, of every class equally often where the training sees them so."""
    if run.task.balanced == "sample":
        return epoch_order(run.task, run.data.train.targets, rng)[:wanted]
    return pick(len(run.data.train), wanted, rng)


def batch_of(split: "Split", chosen: Tensor) -> Batch:
    """Return the images [B, C, H, W] of these indices as floats in [0, 1], and their classes."""
    images, targets = split.taken(chosen)
    return Batch(as_float(images), targets)


def shrunk(total: int, share: float, micro_batch: int | None) -> int:
    """Return a share of `total` images, but four at least, or fewer where they go through the network in parts.

    A smallest part of one image stays one: `micro_batch + 1` images make such a part too.
    """
    part = total // -(-total // (micro_batch or total)) if total else 0
    fewest = min(4, part) if part > 1 or not micro_batch else min(total, micro_batch + 1)
    return max(fewest, round(share * total))
