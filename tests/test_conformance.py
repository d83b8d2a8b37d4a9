"""The conformance suites fail what is broken: one example for each main law, beside one that passes them all."""

import itertools
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from broken_laws import broken_laws
from commands_for_tests import shell
from mixes_for_tests import TRAINING_MIX_FAULTS
from optuna.distributions import FloatDistribution
from optuna.samplers import RandomSampler
from torch import Generator, Tensor, nn
from torch.nn.functional import affine_grid, grid_sample

from autoaug import testing
from autoaug.execution import Event, Listen, Options, Scheduler, work
from autoaug.execution._recovery import Recovery
from autoaug.mixing import MIXES, Mix
from autoaug.ops import OPS, Op
from autoaug.ops._geometric import rotate_matrix
from autoaug.policy import PolicyTree, Relaxed, apply, policy_tree, ready, save
from autoaug.store import Store
from autoaug.study import Study
from autoaug.testing import (
    CommandTestCase,
    ExecutorTestCase,
    LearnerTestCase,
    MixTestCase,
    OpTestCase,
    PolicyTestCase,
    RandomOpTestCase,
    SamplerTestCase,
    StrengthTestCase,
    TrainingMixTestCase,
)
from autoaug.train import Lesson, MinibatchLoss, NullLearner, Task, TrainingRun

# Ops


def darken(images: Tensor, amount: Tensor) -> Tensor:
    return images * (1 - amount.view(-1, 1, 1, 1)).to(images.dtype)


DARKEN = Op("darken", darken, 0.5, "factor", False, "exact", "this file")


def changed(function: Callable[..., Tensor], **fields: Any) -> Op:
    return replace(DARKEN, function=function, **fields)


def in_place(images: Tensor, amount: Tensor) -> Tensor:
    return images.detach().mul_((1 - amount.view(-1, 1, 1, 1)).to(images.dtype))


def leaking(images: Tensor, amount: Tensor) -> Tensor:
    return darken(images, amount) * images.mean() if len(images) else images


def stopped_by_one(images: Tensor, amount: Tensor) -> Tensor:
    """Fails on a batch of one, as a batch normalisation does."""
    if len(images) == 1:
        raise ValueError("more than one image is needed")
    return darken(images, amount)


def of_a_size(images: Tensor, amount: Tensor) -> Tensor:
    return darken(images, amount)[..., :8, :8]


def noisy(images: Tensor, amount: Tensor, rng: Generator) -> Tensor:
    noise = torch.rand(len(images), generator=rng).to(images)
    return darken(images, amount * noise)


def global_noise(images: Tensor, amount: Tensor, rng: Generator) -> Tensor:
    return darken(images, amount * torch.rand(len(images)).to(images))


def one_draw(images: Tensor, amount: Tensor, rng: Generator) -> Tensor:
    return darken(images, amount * torch.rand((), generator=rng).to(images))


def drawing_more(images: Tensor, amount: Tensor, rng: Generator) -> Tensor:
    torch.rand(int(2 * amount.sum()) + 1, generator=rng)
    return noisy(images, amount, rng)


def without_generator(images: Tensor, amount: Tensor, rng: Generator) -> Tensor:
    return noisy(images, amount, rng)


class Careless(Op):
    """Makes a generator of its own where none is given."""

    def __call__(self, images: Tensor, strength: Tensor, rng: Generator | None = None) -> Tensor:
        return super().__call__(images, strength, rng or Generator().manual_seed(0))


class Squaring(Op):
    """Goes another part of the way than its strength says."""

    def __call__(self, images: Tensor, strength: Tensor, rng: Generator | None = None) -> Tensor:
        return super().__call__(images, strength**2, rng)


class Halves(torch.autograd.Function):
    """Of the older kind, which torch.func does not know."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values / 2

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad / 2


def rough_in_half(images: Tensor, amount: Tensor) -> Tensor:
    """Loses more of bfloat16 images than their rounding."""
    result = darken(images, amount)
    return (result * 16).round() / 16 if images.dtype == torch.bfloat16 else result


def unbounded(images: Tensor, degrees: Tensor) -> Tensor:
    """A rotation whose interpolation may round white up."""
    matrix = rotate_matrix(degrees, *images.shape[2:])
    grid = affine_grid(matrix, list(images.shape), align_corners=False)
    return grid_sample(images, grid.to(images.dtype), align_corners=False)


NOISY = replace(DARKEN, function=noisy, random=True)
FIELDS = {name: getattr(NOISY, name) for name in NOISY.__dataclass_fields__}

OP_FAULTS: dict[str, tuple[type, Op, str]] = {
    "works in place": (OpTestCase, changed(in_place), "nothing_is_written_into_the_arguments"),
    "leaks across the batch": (
        OpTestCase,
        changed(leaking),
        "an_image_is_changed_by_its_strength_and_nothing_beside_it",
    ),
    "needs two images": (
        OpTestCase,
        changed(stopped_by_one),
        "size_channels_and_dtype_stay_and_values_stay_in_range",
    ),
    "crops to a size": (OpTestCase, changed(of_a_size), "size_channels_and_dtype_stay_and_values_stay_in_range"),
    "leaves the range": (
        OpTestCase,
        changed(lambda images, amount: darken(images, -amount)),
        "size_channels_and_dtype_stay_and_values_stay_in_range",
    ),
    "makes NaN of black": (
        OpTestCase,
        changed(lambda images, amount: darken(images, amount) * images / images),
        "size_channels_and_dtype_stay_and_values_stay_in_range",
    ),
    "returns float32": (
        OpTestCase,
        changed(lambda images, amount: darken(images, amount).float()),
        "size_channels_and_dtype_stay_and_values_stay_in_range",
    ),
    "computes in bfloat16": (
        OpTestCase,
        changed(lambda images, amount: (images.to(torch.bfloat16) * 0.5).to(images.dtype) + 0 * amount.sum()),
        "its_gradient_is_the_one_declared",
    ),
    "is rough in bfloat16": (OpTestCase, changed(rough_in_half), "bfloat16_is_the_float32_result_rounded"),
    "rounds white up": (
        OpTestCase,
        changed(unbounded, most=30.0, signed=True),
        "white_stays_in_range_wherever_it_is_interpolated",
    ),
    "stands for no derivative": (
        OpTestCase,
        changed(lambda images, amount: darken(images, amount.detach()), gradient="straight-through"),
        "its_gradient_is_the_one_declared",
    ),
    "goes a part of its part": (
        StrengthTestCase,
        Squaring(**{name: getattr(DARKEN, name) for name in DARKEN.__dataclass_fields__}),
        "strength_is_a_part_of_the_largest_amount",
    ),
    "is unknown to torch.func": (
        StrengthTestCase,
        changed(lambda images, amount: darken(images, Halves.apply(amount))),
        "torch_func_sees_the_same_gradient",
    ),
    "has no gradient": (
        OpTestCase,
        changed(lambda images, amount: darken(images, amount).detach().requires_grad_()),
        "its_gradient_is_the_one_declared",
    ),
    "has half the gradient": (
        OpTestCase,
        changed(lambda images, amount: darken(images, amount / 2 + amount.detach() / 2)),
        "its_gradient_is_the_one_declared",
    ),
    "fails on no image": (
        OpTestCase,
        changed(lambda images, amount: darken(images, amount) * (images.flatten()[0] * 0 + 1)),
        "an_empty_batch_stays_empty",
    ),
    "looks at the memory": (
        OpTestCase,
        changed(lambda images, amount: darken(images, amount) * images.is_contiguous()),
        "memory_layout_does_not_matter",
    ),
    "favours a channel": (
        OpTestCase,
        changed(lambda images, amount: torch.cat([darken(images[:, :1], amount), images[:, 1:]], dim=1)),
        "one_channel_is_treated_as_the_grey_image_it_is",
    ),
    "does nothing": (
        OpTestCase,
        changed(lambda images, amount: darken(images, 0 * amount)),
        "it_changes_images_and_its_strength_matters_where_it_has_one",
    ),
    "has no source": (OpTestCase, replace(DARKEN, source=""), "its_fields_make_sense"),
    "has a negative amount": (OpTestCase, replace(DARKEN, most=-0.5), "its_fields_make_sense"),
    "uses the global generator": (
        OpTestCase,
        replace(NOISY, function=global_noise),
        "the_global_generator_is_left_alone",
    ),
    "ignores the generator": (OpTestCase, replace(NOISY, function=global_noise), "the_generator_decides_what_is_drawn"),
    "is not the identity at 0": (
        StrengthTestCase,
        changed(lambda images, amount: darken(images, amount + 0.1)),
        "strength_zero_is_the_identity",
    ),
    "goes backwards": (
        StrengthTestCase,
        changed(lambda images, amount: darken(images, 0.5 - amount)),
        "more_strength_is_never_closer_to_the_image",
    ),
    "has the matrix of another": (
        StrengthTestCase,
        replace(OPS["shear_x"], matrix=OPS["shear_y"].matrix),
        "its_matrix_moves_pixels_as_it_does",
    ),
    "has a slope that is infinite": (
        StrengthTestCase,
        changed(lambda images, amount: darken(images, amount.sqrt())),
        "its_gradient_is_finite_on_black_white_and_grey",
    ),
    "draws once for all": (RandomOpTestCase, replace(NOISY, function=one_draw), "it_draws_for_each_image"),
    "makes its own generator": (RandomOpTestCase, Careless(**FIELDS), "a_missing_generator_is_refused"),
    "draws as much as it changes": (
        RandomOpTestCase,
        replace(NOISY, function=drawing_more),
        "what_is_drawn_does_not_depend_on_the_strength",
    ),
    "draws in the dtype": (
        RandomOpTestCase,
        replace(
            NOISY,
            function=lambda images, amount, rng: darken(
                images, amount * torch.rand(len(images), generator=rng, dtype=images.dtype)
            ),
        ),
        "draws_do_not_depend_on_the_dtype",
    ),
}


@pytest.mark.parametrize(("suite", "op", "law"), OP_FAULTS.values(), ids=OP_FAULTS)
def test_an_op_that_is_broken_breaks_the_law(suite: type, op: Op, law: str) -> None:
    assert law in broken_laws(suite(), law, op=op)


@pytest.mark.parametrize("op", [DARKEN, NOISY], ids=["darken", "noisy"])
def test_an_op_that_is_right_breaks_none(op: Op) -> None:
    assert broken_laws(OpTestCase(), op=op) | broken_laws(StrengthTestCase(), op=op) == set()
    assert (broken_laws(RandomOpTestCase(), op=op) == set()) == op.random


# Mixes

Call = Callable[[Tensor, Tensor, Generator], tuple[Tensor, Tensor]]


def mixup_but(change: Callable[[Mix, float], Call]) -> Callable[..., Mix]:
    """Mixup with its call changed."""

    def mix(alpha: Any = 1.0, probability: float = 1.0, per: Any = "sample") -> Mix:
        return change(MIXES["mixup"](alpha, probability, per), alpha)

    return mix


def heavier(mix: Mix, alpha: float) -> Call:
    def call(images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        mixed, soft = mix(images, targets, rng)
        return mixed, soft * 1.01

    return call


def hard(mix: Mix, alpha: float) -> Call:
    def call(images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        mixed, soft = mix(images, targets, rng)
        return mixed, torch.eye(targets.shape[1]).to(targets)[soft.argmax(1)]

    return call


def into_images(mix: Mix, alpha: float) -> Call:
    def call(images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        mixed, soft = mix(images, targets, rng)
        return images.copy_(mixed), soft

    return call


def from_the_global_generator(mix: Mix, alpha: float) -> Call:
    return lambda images, targets, rng: mix(images, targets, torch.default_generator)


def seeded_by_itself(mix: Mix, alpha: float) -> Call:
    return lambda images, targets, rng: mix(images, targets, Generator().manual_seed(0))


def of_pairs(mix: Mix, alpha: float) -> Call:
    def call(images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        if len(images) % 2:
            raise ValueError("an even number of images is needed")
        return mix(images, targets, rng)

    return call


def always_on(mix: Mix, alpha: float) -> Call:
    return lambda images, targets, rng: MIXES["mixup"](alpha or 1.0)(images, targets, rng)


def labels_by_another_share(mix: Mix, alpha: float) -> Call:
    def call(images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        return mix(images, targets, rng)[0], mix(images, targets, rng)[1]

    return call


def with_the_next(mix: Mix, alpha: float) -> Call:
    def call(images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        share = torch.rand(len(images), generator=rng)
        weight = share[:, None, None, None]
        mixed = weight * images + (1 - weight) * images.roll(1, 0)
        return mixed, share[:, None] * targets + (1 - share[:, None]) * targets.roll(1, 0)

    return call


def targets_like_images(mix: Mix, alpha: float) -> Call:
    def call(images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        mixed, soft = mix(images, targets.to(images.dtype), rng)
        return mixed, soft.to(targets.dtype)

    return call


def any_alpha(alpha: Any = 1.0, probability: float = 1.0, per: Any = "sample") -> Mix:
    number = torch.as_tensor(alpha).item()
    return MIXES["mixup"](number if 0 <= number < 1e9 else 1.0, probability, per)


def one_share(alpha: Any = 1.0, probability: float = 1.0, per: Any = "sample") -> Mix:
    return MIXES["mixup"](alpha, probability, "batch")


@dataclass(frozen=True)
class Lasting:
    """Mixup that grows no weaker."""

    mix: Mix
    mixes: bool = True

    def __call__(self, images: Tensor, targets: Tensor, rng: Generator) -> tuple[Tensor, Tensor]:
        return self.mix(images, targets, rng)

    def weakened(self, share: float) -> "Lasting":
        return self


MIX_FAULTS: dict[str, tuple[Callable[..., Mix], str]] = {
    "targets sum to more than one": (mixup_but(heavier), "targets_stay_on_the_simplex_and_pixels_in_range"),
    "targets are hard": (mixup_but(hard), "targets_are_soft"),
    "writes into the images": (mixup_but(into_images), "shapes_and_dtypes_stay_and_inputs_too"),
    "uses the global generator": (mixup_but(from_the_global_generator), "the_global_generator_is_left_alone"),
    "ignores the generator": (mixup_but(seeded_by_itself), "the_generator_decides_everything"),
    "needs pairs": (mixup_but(of_pairs), "batches_of_one_and_of_odd_size_are_served"),
    "cannot be turned off": (
        mixup_but(always_on),
        "an_amount_of_zero_and_probability_zero_change_nothing_and_draw_nothing",
    ),
    "weighs labels by another share": (mixup_but(labels_by_another_share), "targets_are_weighed_as_the_pixels_were"),
    "mixes with the next image": (mixup_but(with_the_next), "every_partner_is_as_likely_as_any_other"),
    "mixes whatever the probability": (
        mixup_but(always_on),
        "the_probability_is_the_share_of_samples_that_are_mixed",
    ),
    "mixes every batch": (mixup_but(always_on), "the_probability_is_the_share_of_batches_that_are_mixed"),
    "rounds targets": (mixup_but(targets_like_images), "targets_of_half_precision_images_lose_nothing"),
    "takes a tensor for a number": (
        any_alpha,
        "a_tensor_of_zero_as_alpha_changes_nothing_and_has_a_finite_gradient",
    ),
    "has one share for all": (one_share, "shares_differ_between_samples_unless_one_is_drawn_for_the_batch"),
    "takes any alpha": (any_alpha, "an_impossible_amount_is_refused"),
    "detaches alpha": (any_alpha, "a_gradient_reaches_alpha"),
    "cannot be weakened": (
        mixup_but(lambda mix, alpha: Lasting(mix)),
        "weaker_mixes_mix_less_until_nothing_is_mixed",
    ),
    "cannot be pickled": (mixup_but(heavier), "it_travels_to_workers"),
}


@pytest.mark.parametrize(("mix", "law"), MIX_FAULTS.values(), ids=MIX_FAULTS)
def test_a_mix_that_is_broken_breaks_the_law(mix: Callable[..., Mix], law: str) -> None:
    assert law in broken_laws(MixTestCase(), law, mix=mix)


def test_a_mix_that_is_right_breaks_none() -> None:
    assert broken_laws(MixTestCase(), mix=MIXES["mixup"]) == set()


@pytest.mark.parametrize(("mix", "law"), TRAINING_MIX_FAULTS.values(), ids=TRAINING_MIX_FAULTS)
def test_a_mix_of_a_training_that_is_broken_breaks_the_law(mix: Callable[..., Any], law: str) -> None:
    assert law in broken_laws(TrainingMixTestCase(), law, mix=mix)


def test_a_mix_of_a_training_that_is_right_breaks_none() -> None:
    assert broken_laws(TrainingMixTestCase(), mix=MIXES["manifold-mixup"]) == set()


# Policies


class Brighten(nn.Module):
    """Images times a random factor from 1 - `most` to 1, which a gradient can move."""

    def __init__(self) -> None:
        super().__init__()
        self.most = nn.Parameter(torch.tensor(0.3))

    def factor(self, images: Tensor, rng: Generator) -> Tensor:
        share = torch.rand(len(images), generator=rng).to(images.device)
        return (1 - self.most * share).view(-1, 1, 1, 1).to(images.dtype)

    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        return images * self.factor(images, rng)

    def tree(self) -> PolicyTree:
        return policy_tree(apply("brightness", (-self.most.item() / 0.9, 0.0), mirror=False))

    def at(self, epoch: int) -> None: ...

    def save(self, path: str | Path) -> None:
        save(self, path)


class FromGlobal(Brighten):
    def factor(self, images: Tensor, rng: Generator) -> Tensor:
        return super().factor(images, torch.default_generator)


class Repeating(Brighten):
    """Draws the same in every call."""

    def factor(self, images: Tensor, rng: Generator) -> Tensor:
        return super().factor(images, Generator().manual_seed(0))


class OneDraw(Brighten):
    def factor(self, images: Tensor, rng: Generator) -> Tensor:
        return super().factor(images[:1], rng)


class Rewriting(Brighten):
    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        return images.mul_(self.factor(images, rng))


class Centring(Brighten):
    """Looks at the whole batch."""

    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        return super().forward(images, rng) * images.mean()


class Detached(Brighten):
    def factor(self, images: Tensor, rng: Generator) -> Tensor:
        return super().factor(images, rng).detach() + 0 * self.most


class Forgetful(Brighten):
    """Its state is kept, and not taken up again."""

    def load_state_dict(self, state: Any, strict: bool = True, assign: bool = False) -> Any:
        return None


class Unchanging(Brighten):
    """Its tree is that of its start."""

    def tree(self) -> PolicyTree:
        return policy_tree(apply("brightness", (-0.3, 0.0), mirror=False))


class Blank(Brighten):
    """Writes another tree than it says."""

    def save(self, path: str | Path) -> None:
        save(ready.none(), path)


class Brightening(Brighten):
    def factor(self, images: Tensor, rng: Generator) -> Tensor:
        return 2 - super().factor(images, rng)


class InFloat(Brighten):
    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        return super().forward(images.float(), rng)


class Averaging(Brighten):
    """Says the mean of what the last batch met, which an empty one has not."""

    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        factor = self.factor(images, rng)
        self.met = factor.detach().mean().item()
        return images * factor

    def tree(self) -> PolicyTree:
        return policy_tree(apply("brightness", self.met - 1, mirror=False))


class Unscheduled(Brighten):
    def at(self, epoch: int) -> None:
        self.schedule = [0.1, 0.2][epoch - 1]


class Sure(Brighten):
    """Says that each of its draws has the probability e."""

    def sample(self, count: int, rng: Generator) -> Tensor:
        return torch.rand(count, generator=rng)

    def log_probability(self, draws: Tensor) -> Tensor:
        return torch.ones(len(draws)) + 0 * self.most


class Headless(nn.Module):
    """An augmentation without the rest of a policy."""

    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        return images


POLICY_FAULTS: dict[str, tuple[Callable[[], Any], str]] = {
    "uses the global generator": (FromGlobal, "the_global_generator_is_left_alone"),
    "ignores the generator": (Repeating, "the_generator_decides_everything"),
    "repeats itself": (Repeating, "it_goes_on_with_a_generator_and_does_not_repeat_itself"),
    "draws once for all": (OneDraw, "every_image_has_a_draw_of_its_own"),
    "writes into the images": (Rewriting, "nothing_is_written_into_the_images"),
    "leaks across the batch": (Centring, "an_image_is_changed_by_its_draws_and_nothing_beside_it"),
    "passes no gradient": (Detached, "a_gradient_reaches_every_parameter"),
    "forgets its state": (Forgetful, "its_state_comes_back"),
    "has the tree of its start": (Unchanging, "its_tree_follows_its_parameters"),
    "saves another tree": (Blank, "its_tree_comes_back_from_its_file_and_runs_alike"),
    "leaves the range": (Brightening, "size_channels_and_dtype_stay_and_values_stay_in_range"),
    "changes the dtype": (InFloat, "size_channels_and_dtype_stay_and_values_stay_in_range"),
    "has no tree of an empty batch": (Averaging, "an_empty_batch_and_a_batch_of_one_are_served"),
    "ends after two epochs": (Unscheduled, "an_epoch_can_begin"),
    "has probabilities above one": (Sure, "draws_that_can_be_scored_have_a_gradient"),
    "is no policy": (Headless, "it_is_a_policy"),
}


class Approximate(PolicyTestCase):
    """The examples draw in another order than their trees."""

    def runs_its_tree(self, policy: Any) -> bool:
        return False


@pytest.mark.parametrize(("policy", "law"), POLICY_FAULTS.values(), ids=POLICY_FAULTS)
def test_a_policy_that_is_broken_breaks_the_law(policy: Callable[[], Any], law: str, tmp_path: Path) -> None:
    assert law in broken_laws(Approximate(), law, policy=policy, tmp_path=tmp_path)


def test_a_policy_that_is_right_breaks_none(tmp_path: Path) -> None:
    assert broken_laws(Approximate(), policy=Brighten, tmp_path=tmp_path) == set()
    assert broken_laws(PolicyTestCase(), policy=Relaxed, tmp_path=tmp_path) == set()


def test_a_tree_that_runs_otherwise_breaks_the_law(tmp_path: Path) -> None:
    """As the examples do, whose trees draw in another order."""
    law = "its_tree_comes_back_from_its_file_and_runs_alike"
    assert broken_laws(PolicyTestCase(), law, policy=Brighten, tmp_path=tmp_path) == {law}


# Samplers


class Outside(RandomSampler):
    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        drawn = super().sample_independent(study, trial, param_name, param_distribution)
        return drawn + 1 if isinstance(drawn, float) else drawn


class OfValues(RandomSampler):
    """Takes for granted that every trial has a value."""

    def before_trial(self, study: Any, trial: Any) -> None:
        sum(each.value for each in study.trials[: trial.number])


class OneAtATime(RandomSampler):
    def before_trial(self, study: Any, trial: Any) -> None:
        if any(not each.state.is_finished() for each in study.trials[: trial.number]):
            raise RuntimeError("another trial runs")


class OfTheMainThread(RandomSampler):
    """Keeps something that other threads may not use, as a connection to SQLite."""

    def before_trial(self, study: Any, trial: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("created in another thread")


class Remembering(RandomSampler):
    """Goes on from what this process did, whichever search it was for."""

    calls = itertools.count()

    def __init__(self, seed: int) -> None:
        super().__init__(next(self.calls))


class Pickling(RandomSampler):
    def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None: ...

    def before_trial(self, study: Any, trial: Any) -> None:
        study._storage.set_trial_system_attr(trial._trial_id, "kept", "gASVAA==")


class Relative(RandomSampler):
    """Proposes whole points, and no dimension alone."""

    def infer_relative_search_space(self, study: Any, trial: Any) -> Any:
        return {"x": FloatDistribution(0, 1), "y": FloatDistribution(0, 1)}

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> Any:
        drawn = super().sample_independent
        return {name: drawn(study, trial, name, rule) for name, rule in search_space.items()}

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        raise NotImplementedError


SAMPLER_FAULTS: dict[str, tuple[Callable[[int], Any], str]] = {
    "ignores the seed": (lambda seed: RandomSampler(0), "the_seed_and_the_stored_trials_decide_everything"),
    "has a seed of its own": (lambda seed: RandomSampler(), "the_seed_and_the_stored_trials_decide_everything"),
    "remembers in the process": (Remembering, "the_seed_and_the_stored_trials_decide_everything"),
    "goes on otherwise": (Remembering, "a_search_that_is_opened_again_goes_on_as_if_it_had_never_stopped"),
    "repeats itself": (lambda seed: RandomSampler(0), "proposals_differ"),
    "leaves the space": (Outside, "proposals_lie_inside_the_space"),
    "wants values": (OfValues, "failed_and_pruned_trials_are_no_end"),
    "fails on failures": (OfValues, "a_search_in_which_all_trials_fail_goes_on"),
    "serves one at a time": (OneAtATime, "trials_that_run_at_once_differ"),
    "serves one thread": (OfTheMainThread, "threads_that_ask_at_the_same_moment_are_all_served"),
    "keeps pickles": (Pickling, "what_it_keeps_in_the_storage_is_json"),
    "knows whole points only": (Relative, "a_dimension_that_is_asked_for_alone_is_proposed"),
}


@pytest.mark.parametrize(("sampler", "law"), SAMPLER_FAULTS.values(), ids=SAMPLER_FAULTS)
def test_a_sampler_that_is_broken_breaks_the_law(sampler: Callable[[int], Any], law: str, tmp_path: Path) -> None:
    assert law in broken_laws(SamplerTestCase(), law, sampler=sampler, tmp_path=tmp_path)


def test_a_sampler_that_is_right_breaks_none(tmp_path: Path) -> None:
    assert broken_laws(SamplerTestCase(), sampler=RandomSampler, tmp_path=tmp_path) == set()


# Learners


class Nudge(NullLearner):
    """Moves `Brighten` by a random walk with momentum."""

    moves_policy = True

    def __init__(self, policy: Any) -> None:
        if not isinstance(policy, Brighten):
            raise ValueError(f"a {type(policy).__name__} has nothing to nudge")
        self.policy, self.velocity = policy, 0.0

    def step(self, run: TrainingRun) -> None:
        self.nudge(self.stream(run))

    def learn(self, lesson: Lesson) -> None:
        self.nudge(lesson.rng)

    def nudge(self, rng: Generator) -> None:
        self.velocity = 0.9 * self.velocity + float(torch.randn((), generator=rng))
        with torch.no_grad():
            self.policy.most.add_(0.002 * self.velocity)

    def stream(self, run: Any) -> Generator:
        stream: Generator = run.streams["learner"]
        return stream

    def check(self, task: Task, train_images: int, val_images: int) -> None:
        if train_images < task.batch_size:
            raise ValueError("fewer images than a batch")

    def cautions(self, task: Task, train_images: int) -> Sequence[str]:
        return ["the policy hardly moves"] if self.expected_updates(task, train_images) < 3 else []

    def metrics(self) -> dict[str, float]:
        return {"velocity": self.velocity}

    def state_dict(self) -> dict[str, Any]:
        return {"velocity": self.velocity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.velocity = state["velocity"]


class Starting(Nudge):
    """Forgets on load what it had."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Gathering(Nudge):
    """Counts its moves in every epoch, and forgets on load how many there were in this one."""

    def __init__(self, policy: Any) -> None:
        super().__init__(policy)
        self.moves = 0

    def step(self, run: TrainingRun) -> None:
        super().step(run)
        self.moves += 1

    def metrics(self) -> dict[str, float]:
        moves, self.moves = self.moves, 0
        return {"moves": float(moves)}


class NudgeFromGlobal(Nudge):
    def stream(self, run: Any) -> Generator:
        return torch.default_generator


class Unseeded(Nudge):
    def stream(self, run: Any) -> Generator:
        rng = Generator()
        rng.seed()
        return rng


class Intruding(Nudge):
    """Draws from the stream that orders the images."""

    def stream(self, run: Any) -> Generator:
        stream: Generator = run.streams["order"]
        return stream


class Decaying(Nudge):
    """Changes the network too."""

    def step(self, run: Any) -> None:
        super().step(run)
        with torch.no_grad():
            next(run.model.parameters()).mul_(0.99)


class LookingTwice(Nudge):
    """Sends images through the network, and its running statistics with them."""

    def step(self, run: Any) -> None:
        super().step(run)
        with torch.no_grad():
            run.logits(run.data.val.images)


class Doubling(Nudge):
    """Takes the gradients of every training step itself, and not as they are."""

    def backward(self, run: TrainingRun, loss: MinibatchLoss, images: Tensor, targets: Tensor) -> Tensor:
        total = loss.with_graph()
        (2 * total).backward()
        return total.detach()


class Halving(Nudge):
    """Returns another loss than it differentiates."""

    def backward(self, run: TrainingRun, loss: MinibatchLoss, images: Tensor, targets: Tensor) -> Tensor:
        return loss.backward() / 2


class Keeping(Nudge):
    """Returns the loss with its graph."""

    def backward(self, run: TrainingRun, loss: MinibatchLoss, images: Tensor, targets: Tensor) -> Tensor:
        total = loss.with_graph()
        total.backward()
        return total


class Asking(Nudge):
    """Draws a number where it is only asked."""

    def wants_graph(self, run: TrainingRun) -> bool:
        return bool(torch.rand((), generator=run.streams["learner"]) > 2)


class Still(Nudge):
    def step(self, run: Any) -> None: ...


class Late(Nudge):
    """Moves at the end of every epoch, of refinement too."""

    def metrics(self) -> dict[str, float]:
        with torch.no_grad():
            self.policy.most.add_(0.001)
        return {}


class NotANumber(Nudge):
    def metrics(self) -> dict[str, float]:
        return {"velocity": self.velocity or float("nan")}


class Untidy(Nudge):
    def step(self, run: Any) -> None:
        super().step(run)
        self.policy.most.grad = torch.ones(())


class AnyPolicy(Nudge):
    def __init__(self, policy: Any) -> None:
        self.policy, self.velocity = policy, 0.0


class Trying(Nudge):
    """Changes its state when it is only asked."""

    def check(self, task: Task, train_images: int, val_images: int) -> None:
        self.velocity = 1.0


class Careful(Nudge):
    """Warns in one text, of nothing."""

    def cautions(self, task: Task, train_images: int) -> Sequence[str]:
        return ""


class Counting(Nudge):
    """Counts a last batch that is not full."""

    def expected_updates(self, task: Task, train_images: int) -> int:
        return task.epochs * -(-train_images // task.batch_size)


class Rare(Nudge):
    """Moves in every second step, and in a rehearsal no more often."""

    def step(self, run: TrainingRun) -> None:
        if run.step % 2 == 0:
            super().step(run)


class Modest(Nudge):
    """Says that it moves nothing."""

    moves_policy = False


class StillInLoops(Nudge):
    def learn(self, lesson: Lesson) -> None: ...


class DecayingInLoops(Nudge):
    """Changes the network too."""

    def learn(self, lesson: Lesson) -> None:
        super().learn(lesson)
        with torch.no_grad():
            next(lesson.model.parameters()).mul_(0.99)


class LookingTwiceInLoops(Nudge):
    """Sends images through the network, and its running statistics with them."""

    def learn(self, lesson: Lesson) -> None:
        super().learn(lesson)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            lesson.model(lesson.val()[0])


class ClearingInLoops(Nudge):
    """Takes the gradients away that the loop may still need."""

    def learn(self, lesson: Lesson) -> None:
        super().learn(lesson)
        lesson.optimiser.zero_grad()


class FromGlobalInLoops(Nudge):
    def learn(self, lesson: Lesson) -> None:
        self.nudge(torch.default_generator)


class UnseededInLoops(Nudge):
    def learn(self, lesson: Lesson) -> None:
        rng = Generator()
        rng.seed()
        self.nudge(rng)


class AskingInLoops(Nudge):
    """Changes where it is only asked."""

    def looks_at(self, epoch: int, step: int) -> bool:
        self.velocity *= 0.9
        return True


class Partial:
    """Has only what a training calls."""

    moves_policy = True

    def step(self, run: TrainingRun) -> None: ...

    def metrics(self) -> dict[str, float]:
        return {}


LEARNER_FAULTS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "forgets its state": (Starting, "a_training_that_is_resumed_equals_one_that_never_stopped"),
    "forgets what it gathered": (Gathering, "a_training_that_is_cut_off_within_an_epoch_equals_one_that_never_stopped"),
    "uses the global generator": (NudgeFromGlobal, "the_global_generator_is_left_alone"),
    "has a seed of its own": (Unseeded, "the_generator_decides_everything"),
    "draws from another stream": (Intruding, "a_step_touches_nothing_but_the_policy"),
    "changes weights": (Decaying, "a_step_touches_nothing_but_the_policy"),
    "changes running statistics": (LookingTwice, "a_step_touches_nothing_but_the_policy"),
    "draws when it is asked": (Asking, "a_step_touches_nothing_but_the_policy"),
    "trains the network otherwise": (Doubling, "until_the_policy_moves_the_network_trains_as_without_it"),
    "returns another loss": (Halving, "until_the_policy_moves_the_network_trains_as_without_it"),
    "returns a graph": (Keeping, "until_the_policy_moves_the_network_trains_as_without_it"),
    "moves nothing": (Still, "it_moves_the_policy_while_augmenting_and_not_while_refining"),
    "moves while refining": (Late, "it_moves_the_policy_while_augmenting_and_not_while_refining"),
    "measures NaN": (NotANumber, "its_figures_are_finite_numbers_under_names_of_its_choice"),
    "leaves a gradient": (Untidy, "it_leaves_no_gradient_to_the_next_step"),
    "takes any policy": (AnyPolicy, "a_policy_that_nothing_can_move_is_refused"),
    "changes when it checks": (Trying, "check_passes_what_can_be_trained_and_changes_nothing"),
    "refuses nothing": (Trying, "check_refuses_what_cannot_work"),
    "warns in one text": (Careful, "cautions_are_sentences"),
    "warns of nothing": (Careful, "cautions_warn_of_a_training_that_leads_nowhere"),
    "counts what is left over": (Counting, "expected_updates_is_how_often_the_policy_moves"),
    "says more than it moves": (Rare, "expected_updates_is_how_often_the_policy_moves"),
    "rehearses what it seldom does": (Rare, "a_rehearsal_moves_the_policy_in_every_step"),
    "moves nothing in a loop": (StillInLoops, "in_a_loop_it_moves_the_policy_while_augmenting_and_not_while_refining"),
    "moves while a loop refines": (Late, "in_a_loop_it_moves_the_policy_while_augmenting_and_not_while_refining"),
    "changes weights in a loop": (DecayingInLoops, "in_a_loop_it_touches_nothing_but_the_policy"),
    "changes running statistics in a loop": (LookingTwiceInLoops, "in_a_loop_it_touches_nothing_but_the_policy"),
    "clears gradients in a loop": (ClearingInLoops, "in_a_loop_it_touches_nothing_but_the_policy"),
    "uses the global generator in a loop": (FromGlobalInLoops, "in_a_loop_it_touches_nothing_but_the_policy"),
    "changes when a loop asks": (AskingInLoops, "in_a_loop_it_touches_nothing_but_the_policy"),
    "has a seed of its own in a loop": (UnseededInLoops, "in_a_loop_the_generator_decides_everything"),
    "forgets its state in a loop": (Starting, "a_loop_that_is_resumed_equals_one_that_never_stopped"),
    "says that it moves nothing": (Modest, "it_has_every_member_of_the_protocol"),
    "has no check": (lambda policy: Partial(), "it_has_every_member_of_the_protocol"),
}


class Nudged(LearnerTestCase):
    def __init__(self, learner: Callable[[Any], Any]) -> None:
        self.make = learner

    def policy(self) -> Any:
        return Brighten()

    def learner(self, policy: Any) -> Any:
        return self.make(policy)

    def impossible(self) -> list[tuple[Task, int, int]]:
        return [(self.task(), 9, 30)]

    def pointless(self) -> list[Task]:
        return [replace(self.task(), epochs=1, batch_size=40)]


@pytest.mark.parametrize(("learner", "law"), LEARNER_FAULTS.values(), ids=LEARNER_FAULTS)
def test_a_learner_that_is_broken_breaks_the_law(learner: Callable[[Any], Any], law: str, tmp_path: Path) -> None:
    assert law in broken_laws(Nudged(learner), law, tmp_path=tmp_path)


def test_a_learner_that_is_right_breaks_none(tmp_path: Path) -> None:
    assert broken_laws(Nudged(Nudge), tmp_path=tmp_path) == set()


# Executors


def local(
    study: Study, store: Store, options: Options, listen: Listen, most: int = 1000, again: int = 1, only: bool = True
) -> None:
    """What the local executor does, with ways to do it badly."""
    scheduler = Scheduler(study, store, options.only if only else ())
    for _ in range(most):
        job = scheduler.next()
        if job is None:
            return
        for _ in range(again):
            work(study, job, store, options, listen)


def stopping_early(study: Study, store: Store, options: Options, listen: Listen) -> None:
    local(study, store, options, listen, most=3)


def running_twice(study: Study, store: Store, options: Options, listen: Listen) -> None:
    local(study, store, options, listen, again=2)


def silent(study: Study, store: Store, options: Options, listen: Listen) -> None:
    local(study, store, options, lambda event: None)


def running_everything(study: Study, store: Store, options: Options, listen: Listen) -> None:
    local(study, store, options, listen, only=False)


def failing_with_a_trial(study: Study, store: Store, options: Options, listen: Listen) -> None:
    def stop(event: Event) -> None:
        listen(event)
        if event.state == "FAIL":
            raise RuntimeError(event.reason)

    local(study, store, options, stop)


def uninterruptible(study: Study, store: Store, options: Options, listen: Listen) -> None:
    for _ in range(2):
        with suppress(KeyboardInterrupt):
            local(study, store, options, listen)


def failing_what_is_interrupted(study: Study, store: Store, options: Options, listen: Listen) -> None:
    interrupted = []

    def hear(event: Event) -> None:
        try:
            listen(event)
        except KeyboardInterrupt:
            interrupted.append(event)
            raise RuntimeError("interrupted") from None

    local(study, store, options, hear)
    if interrupted:
        raise KeyboardInterrupt


def beginning_anew(study: Study, store: Store, options: Options, listen: Listen) -> None:
    """Takes a study for another one whenever it was begun before."""
    if store.definition(study.name):
        study = replace(study, seed=study.seed + 1, name=f"{study.name}-again")
    local(study, store, options, listen)


def waiting_for_the_dead(study: Study, store: Store, options: Options, listen: Listen) -> None:
    """Never asks whether a worker still lives."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recovery, "reconcile", lambda recovery: None)
        local(study, store, options, listen)


EXECUTOR_FAULTS: dict[str, tuple[Callable[..., None], str]] = {
    "stops early": (stopping_early, "every_job_is_run_once_and_heard_of"),
    "runs every job twice": (running_twice, "every_job_is_run_once_and_heard_of"),
    "says nothing": (silent, "every_job_is_run_once_and_heard_of"),
    "runs all strategies": (running_everything, "only_the_strategies_that_are_asked_for_are_run"),
    "fails with a trial": (failing_with_a_trial, "an_attempt_that_raises_fails_with_a_reason_and_the_others_go_on"),
    "goes on when interrupted": (uninterruptible, "an_interruption_stops_it_and_costs_nothing"),
    "loses what is interrupted": (failing_what_is_interrupted, "an_interruption_stops_it_and_costs_nothing"),
    "begins anew": (beginning_anew, "a_finished_study_runs_nothing_again"),
    "does not go on": (beginning_anew, "a_larger_budget_continues_a_finished_study"),
    "waits for the dead": (waiting_for_the_dead, "a_trial_whose_process_has_died_is_taken_up_again"),
    "has no workers": (local, "a_worker_that_dies_is_reported_and_its_trial_repeated"),
}


class WithWorkers(ExecutorTestCase):
    """Says that attempts run in processes of their own."""

    def has_workers(self) -> bool:
        return True


@pytest.mark.parametrize(("executor", "law"), EXECUTOR_FAULTS.values(), ids=EXECUTOR_FAULTS)
def test_an_executor_that_is_broken_breaks_the_law(executor: Callable[..., None], law: str, tmp_path: Path) -> None:
    assert law in broken_laws(WithWorkers(), law, executor=executor, tmp_path=tmp_path)


def test_an_executor_that_is_right_breaks_none(tmp_path: Path) -> None:
    """But for the laws of interruptions, which the local executor itself is tested by."""
    laws = ("every_job", "a_finished", "only", "an_attempt", "a_trial")
    broken = [broken_laws(ExecutorTestCase(), f"test_{law}", executor=local, tmp_path=tmp_path) for law in laws]
    assert set.union(*broken) == set()


# Commands

PACED = """
state="$(told folder)/state"
epoch=0
[ ! -f "$state" ] || epoch=$(cat "$state")
trap 'exit 143' TERM
while [ "$epoch" -lt 3 ]; do
  echo "$epoch" > "$state"
  epoch=$((epoch + 1))
  sleep 0.2
  test=""
  [ "$epoch" != 3 ] || [ "$(told final)" != true ] || test=', "test_accuracy": 0.5'
  say "{\\"epoch\\": $epoch, \\"epochs\\": 3, \\"val_accuracy\\": 0.$epoch$test}"
done
"""

COMMAND_FAULTS: dict[str, tuple[str, str, str]] = {
    "it does not say how many epochs there are": (
        '\\"epochs\\": 3, ',
        "",
        "it_reports_every_epoch_and_says_how_many_there_are",
    ),
    "it never gives the test metric": (
        '"$(told final)" != true',
        "1 = 1",
        "a_final_run_gives_the_test_metric_and_a_search_does_not",
    ),
    "it does not listen": ("'exit 143' TERM", "'' TERM", "it_ends_when_it_is_told_to"),
    "it draws from elsewhere": ("0.$epoch$test", "0.$$$test", "the_same_trial_gives_the_same_figures"),
    "it keeps nothing": ('echo "$epoch" > "$state"', ":", "it_goes_on_after_it_was_killed"),
}


@pytest.mark.parametrize(("old", "new", "law"), COMMAND_FAULTS.values(), ids=COMMAND_FAULTS)
def test_a_broken_command_is_found(old: str, new: str, law: str, tmp_path: Path) -> None:
    assert old in PACED
    command = shell(PACED.replace(old, new), grace=0.2)
    assert law in broken_laws(CommandTestCase(), law, command=command, tmp_path=tmp_path)


def test_a_command_that_is_right_breaks_none(tmp_path: Path) -> None:
    assert broken_laws(CommandTestCase(), command=shell(PACED), tmp_path=tmp_path) == set()


# All of them

EXAMPLES: dict[type, set[str]] = {
    **{suite: {law for of, _, law in OP_FAULTS.values() if of is suite} for suite, _, _ in OP_FAULTS.values()},
    MixTestCase: {law for _, law in MIX_FAULTS.values()},
    TrainingMixTestCase: {law for _, law in TRAINING_MIX_FAULTS.values()},
    PolicyTestCase: {law for _, law in POLICY_FAULTS.values()},
    SamplerTestCase: {law for _, law in SAMPLER_FAULTS.values()},
    LearnerTestCase: {law for _, law in LEARNER_FAULTS.values()},
    ExecutorTestCase: {law for _, law in EXECUTOR_FAULTS.values()},
    CommandTestCase: {law for *_, law in COMMAND_FAULTS.values()},
}


@pytest.mark.parametrize("suite", EXAMPLES)
def test_every_law_has_an_example_that_breaks_it(suite: type) -> None:
    """But for those that need a GPU."""
    laws = {name.removeprefix("test_") for name in dir(suite) if name.startswith("test_") and "cuda" not in name}
    assert laws == EXAMPLES[suite]


def test_every_suite_is_looked_at() -> None:
    assert {suite.__name__ for suite in EXAMPLES} == {name for name in testing.__all__ if name.endswith("TestCase")}


# With pytest, as others run them

OUTSIDE = """
import pytest
from autoaug.ops import Op
from autoaug.testing import OpTestCase, StrengthTestCase

def darken(images, amount):
    return images * (1 - amount.view(-1, 1, 1, 1)).to(images.dtype)

class TestDarken(OpTestCase, StrengthTestCase):
    @pytest.fixture(params=[(0.0, "here"), (0.1, "")], ids=["right", "wrong"])
    def op(self, request):
        more, source = request.param
        return Op("darken", lambda x, a: darken(x, a + more), 0.5, "factor", False, "exact", source)
"""


def test_a_project_of_ones_own_runs_a_suite_with_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_darken.py").write_text(OUTSIDE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "test_darken.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    failures = {line.split("::")[-1].split("]")[0] for line in done.stdout.splitlines() if line.startswith("FAILED")}
    dtypes = ("torch.float32", "torch.float64", "torch.bfloat16")
    wanted = {"test_its_fields_make_sense[wrong", *(f"test_strength_zero_is_the_identity[wrong-{d}" for d in dtypes)}
    assert failures == wanted, done.stdout
    assert "where '' = Op(" in done.stdout, "a broken law shows the values"
