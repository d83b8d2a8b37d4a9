"""Relaxed: what is drawn, what the draw is worth, and where its gradients come from."""

import copy
import itertools
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy.stats import binomtest, chisquare
from torch import Generator, Tensor

from autoaug.ops import OPS, RANGES
from autoaug.policy import Choices, Fixed, Policy, Relaxed, load_policy, op_masses
from autoaug.policy import _relaxed as relaxed
from autoaug.policy._compiled import Draws
from autoaug.policy.ready import MADAO_OPS
from autoaug.testing import PolicyTestCase

SMOOTH = ("brightness", "rotate", "color", "translate_x")


def spread(policy: Relaxed, seed: int = 0, far: float = 1.0) -> Relaxed:
    """The policy away from its start, where all operations are alike."""
    rng = Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.copy_(far * torch.randn(parameter.shape, generator=rng))
    return policy


def pictures(batch: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return 0.2 + 0.6 * torch.rand(batch, 3, 8, 8, generator=Generator().manual_seed(1), dtype=dtype)


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


FORMS: dict[str, Callable[[], Relaxed]] = {
    "madao": Relaxed,
    "smooth": partial(Relaxed, SMOOTH, stages=3),
    "wide": partial(Relaxed, ranges="wide"),
}


class TestRelaxed(PolicyTestCase):
    @pytest.fixture(params=FORMS.values(), ids=FORMS)
    def policy(self, request: pytest.FixtureRequest) -> Any:
        return request.param


def test_it_is_a_policy_that_starts_uniform_at_one_half() -> None:
    policy = Relaxed()
    assert isinstance(policy, Policy)
    assert set(policy.state_dict()) == {"selection", "probability", "strength"}
    stages = policy.tree().at(1)
    assert len(stages.nodes) == 2  # type: ignore[union-attr]
    for stage in stages.nodes:  # type: ignore[union-attr]
        assert [option.node.op for option in stage.options] == list(MADAO_OPS)  # type: ignore[union-attr]
        assert {option.weight for option in stage.options} == {1 / 14}  # type: ignore[union-attr]
        assert {(option.node.strength, option.node.probability) for option in stage.options} == {(0.5, 0.5)}  # type: ignore[union-attr]


def test_training_without_gradients_runs_exactly_the_tree() -> None:
    policy = spread(Relaxed(ranges="wide"))
    with torch.no_grad():
        drawn = policy(pictures(64), seeded())
    assert torch.equal(drawn, Fixed(policy.tree())(pictures(64), seeded()))


def test_the_tree_that_runs_follows_every_movement_of_the_parameters() -> None:
    policy = spread(Relaxed())
    images = pictures(64)
    with torch.no_grad():
        before = policy(images, seeded())
        policy.selection += 0.5 * torch.arange(14)
        assert torch.equal(policy(images, seeded()), Fixed(policy.tree())(images, seeded()))
        other = spread(Relaxed(), seed=5)
        policy.load_state_dict(other.state_dict())
        assert torch.equal(policy(images, seeded()), other(images, seeded()))
        assert torch.equal(copy.deepcopy(policy)(images, seeded()), other(images, seeded()))
        assert not torch.equal(policy(images, seeded()), before)
        swapped = {name: torch.zeros_like(value) for name, value in policy.named_parameters()}
        start = torch.func.functional_call(policy, swapped, (images, seeded()))
        assert torch.equal(start, Relaxed()(images, seeded()))
        assert torch.equal(policy(images, seeded()), other(images, seeded()))


def counted(option: Tensor, width: int) -> list[int]:
    return torch.bincount(option, minlength=width).tolist()


def test_sampled_operations_coins_and_signs_have_their_probabilities() -> None:
    policy = spread(Relaxed(("rotate", "invert", "brightness"), stages=2))
    choices = policy.sample(20_000, seeded())
    for stage in range(2):
        wanted = policy.selection[stage].softmax(0) * 20_000
        assert chisquare(counted(choices.option[stage], 3), wanted.tolist(), sum_check=False).pvalue > 1e-4
        for k, op in enumerate(policy.ops):
            met = choices.option[stage] == k
            heads = int(choices.gate[stage][met].sum())
            share = policy.probability[stage, k].sigmoid().item()
            assert binomtest(heads, int(met.sum()), share).pvalue > 1e-4
            negative = int((choices.sign[stage][met] < 0).sum())
            if op.signed:
                assert binomtest(negative, int(met.sum()), 0.5).pvalue > 1e-4
            else:
                assert negative == 0
    together = int((choices.gate[0] & choices.gate[1]).sum())
    shares = [(p.softmax(0) * q.sigmoid()).sum() for p, q in zip(policy.selection, policy.probability, strict=True)]
    assert binomtest(together, 20_000, (shares[0] * shares[1]).item()).pvalue > 1e-4, "stages are independent"


def test_the_relaxed_draw_selects_and_flips_with_the_same_probabilities(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Draws] = []

    def spying(ops: Any, images: Tensor, draws: Draws, rng: Generator) -> Tensor:
        seen.append(draws)
        return images

    monkeypatch.setattr(relaxed, "execute", spying)
    policy = spread(Relaxed(("rotate", "invert", "brightness"), stages=1, temperature=0.3))
    policy(torch.zeros(20_000, 1, 1, 1), seeded())
    [draws] = seen
    assert draws.gate is not None
    [bucket], [strength], [changed] = draws.bucket, draws.strength.detach(), draws.gate.detach()
    wanted = policy.selection[0].softmax(0) * 20_000
    assert (
        chisquare([int((bucket == policy.bucket[k]).sum()) for k in range(3)], wanted.tolist(), sum_check=False)[1]
        > 1e-4
    )
    for k in range(3):
        met = bucket == policy.bucket[k]
        share = policy.probability[0, k].sigmoid().item()
        assert binomtest(int((changed[met] > 0.5).sum()), int(met.sum()), share).pvalue > 1e-4
        assert torch.allclose(strength[met].abs(), policy.strength[0, k].sigmoid().detach())
    turned = strength[bucket == policy.bucket[0]]
    assert binomtest(int((turned < 0).sum()), len(turned), 0.5).pvalue > 1e-4
    assert bool((strength[bucket == policy.bucket[1]] > 0).all()), "invert has no sign"


def test_selection_is_hard_in_value_and_soft_in_gradient() -> None:
    """With sure gates, each image is what one operation at its strength makes of it, to the last bit."""
    policy = spread(Relaxed(SMOOTH, stages=1))
    with torch.no_grad():
        policy.probability.fill_(1e4)
    images = pictures(32)
    values = policy(images, seeded())
    met = set()
    strengths = policy.strength[0].sigmoid().detach()
    for image, value in zip(images, values.detach(), strict=True):
        candidates = {
            (name, sign): OPS[name](image[None], sign * strengths[k : k + 1])[0]
            for k, name in enumerate(SMOOTH)
            for sign in (1.0, -1.0)
        }
        [found] = [key for key, candidate in candidates.items() if torch.equal(candidate, value)]
        met.add(found[0])
    assert len(met) > 1
    values.square().sum().backward()
    assert policy.selection.grad is not None
    assert policy.strength.grad is not None
    assert bool((policy.selection.grad != 0).any())
    assert bool((policy.strength.grad != 0).any())


def test_a_coin_that_never_falls_leaves_images_alone() -> None:
    policy = spread(Relaxed())
    with torch.no_grad():
        policy.probability.fill_(-1e4)
    assert torch.equal(policy(pictures(16), seeded()).detach(), pictures(16))


def losses(policy: Relaxed, weight: Tensor, choices: Choices | None = None) -> Tensor:
    return (policy(pictures(64, torch.float64), seeded(), choices) * weight).sum()


@pytest.mark.parametrize("name", ["probability", "strength"])
def test_pathwise_gradients_equal_finite_differences_with_the_same_draws(name: str) -> None:
    policy = spread(Relaxed(SMOOTH, stages=2), far=0.3).double()
    weight = torch.randn(64, 3, 8, 8, generator=seeded(3), dtype=torch.float64)
    check_by_differences(policy, name, lambda: losses(policy, weight))


def test_gradients_of_strengths_with_hard_draws_equal_finite_differences() -> None:
    policy = spread(Relaxed(SMOOTH, stages=2), far=0.3).double()
    weight = torch.randn(64, 3, 8, 8, generator=seeded(3), dtype=torch.float64)
    choices = policy.sample(64, seeded(4))
    check_by_differences(policy, "strength", lambda: losses(policy, weight, choices))


def check_by_differences(policy: Relaxed, name: str, loss: Any) -> None:
    parameter = getattr(policy, name)
    [slope] = torch.autograd.grad(loss(), [parameter])
    assert float(slope.abs().min()) > 0, "every entry matters in this example"
    for entry in itertools.product(*map(range, parameter.shape)):
        ends = []
        for way in (1e-6, -1e-6):
            with torch.no_grad():
                parameter[entry] += way
            ends.append(float(loss().detach()))
            with torch.no_grad():
                parameter[entry] -= way
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(float(slope[entry]), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_the_gradient_of_the_selection_is_that_of_the_factor_u(temperature: float) -> None:
    """Hataya et al. 2022, eq. 9: the image times u/SG(u), whose derivative is the image times that of log u."""
    policy = spread(Relaxed(SMOOTH, stages=1, temperature=temperature)).double()
    weight = torch.randn(24, 3, 8, 8, generator=seeded(3), dtype=torch.float64)
    images = policy(pictures(24, torch.float64), seeded())
    [slope] = torch.autograd.grad((images * weight).sum(), [policy.selection])
    noise = torch.rand(1, 24, 6, generator=seeded())[0, :, :4].double()
    shares = ((policy.selection[0] + relaxed.gumbel(noise)) / temperature).softmax(1)
    one_hot = torch.nn.functional.one_hot(shares.argmax(1), 4)
    through = (images * weight).sum((1, 2, 3))
    assert torch.allclose(slope[0], through @ (one_hot - shares) / temperature, rtol=1e-9)


def by_definition(policy: Relaxed, images: Tensor, rng: Generator) -> Tensor:
    """Eq. 8 and 9 for one image after the other, in nothing but plain arithmetic."""
    stages, width = policy.selection.shape
    noise = torch.rand(stages, len(images), width + 2, generator=rng).double()
    done = []
    for image, numbers in zip(images.split(1), noise.unbind(1), strict=True):
        for stage, uniform in enumerate(numbers):
            u = ((policy.selection[stage] - (-uniform[:width].log()).log()) / policy.temperature).softmax(0)
            k = int(u.argmax())
            b = ((policy.probability[stage, k] + uniform[width].logit()) / relaxed.GATE_TEMPERATURE).sigmoid()
            sign = -1 if policy.ops[k].signed and uniform[width + 1] < 0.5 else 1
            changed = policy.ops[k](image, sign * policy.strength[stage, k].sigmoid()[None])
            image = u[k] / u[k].detach() * (b * changed + (1 - b) * image)
        done.append(image)
    return torch.cat(done)


@pytest.mark.parametrize("side", [8, 132])
def test_values_and_first_and_second_derivatives_are_those_of_the_definition(side: int) -> None:
    """Of small images and of large ones."""
    policy = spread(Relaxed(), far=0.5).double()
    images = torch.rand(
        40 if side == 8 else 5, 3, side, side, generator=seeded(1), dtype=torch.float64
    ).requires_grad_()
    slope = torch.randn(images.shape, generator=seeded(2), dtype=torch.float64)
    found = []
    for draw in (policy.relaxed, partial(by_definition, policy)):
        values = draw(images, seeded(7))
        first = torch.autograd.grad(values, [images, *policy.parameters()], slope, create_graph=True)
        second = torch.autograd.grad(
            sum(each.sin().sum() for each in first), [images, *policy.parameters()], materialize_grads=True
        )
        found.append([values, *first, *second])
    assert all(float(each.detach().abs().max()) > 0 for each in found[1])
    torch.testing.assert_close(found[0], found[1], rtol=1e-9, atol=1e-9)


def test_log_probabilities_belong_to_the_sampled_distribution() -> None:
    policy = spread(Relaxed(("rotate", "invert", "brightness"), stages=2)).double()
    every = torch.cartesian_prod(*[torch.arange(n) for n in (3, 3, 2, 2)]).T
    choices = Choices(every[:2], every[2:].bool(), torch.ones(2, every.shape[1]))
    chances = policy.log_probability(choices).exp()
    assert float(chances.sum().detach()) == pytest.approx(1)
    drawn = policy.sample(40_000, seeded())
    code = ((drawn.option[0] * 3 + drawn.option[1]) * 2 + drawn.gate[0].long()) * 2 + drawn.gate[1].long()
    assert chisquare(counted(code, 36), (chances * 40_000).tolist(), sum_check=False).pvalue > 1e-4


def test_discrete_operations_pass_gradients_straight_through() -> None:
    policy = Relaxed(("solarize", "posterize"), stages=1)
    policy(pictures(64), seeded()).square().sum().backward()
    assert policy.strength.grad is not None
    assert bool((policy.strength.grad != 0).all())


def test_the_expected_policy_travels_as_a_file(tmp_path: Path) -> None:
    policy = spread(Relaxed(SMOOTH, stages=3, ranges="wide"))
    policy.save(tmp_path / "policy.json")
    loaded = load_policy(tmp_path / "policy.json")
    assert loaded.tree() == policy.tree()
    with torch.no_grad():
        assert torch.equal(loaded(pictures(16), seeded()), policy(pictures(16), seeded()))
    shares = (policy.selection.softmax(1) * policy.probability.sigmoid()).sum(0)
    assert list(op_masses(policy.tree()).values()) == pytest.approx(shares.tolist(), rel=1e-5)


@pytest.mark.parametrize("name", [name for name, op in OPS.items() if not op.random])
def test_every_operation_that_does_not_draw_can_be_moved(name: str) -> None:
    policy = Relaxed((name,), stages=1)
    policy(pictures(8), seeded()).sum().backward()
    moved = {key for key, parameter in policy.named_parameters() if parameter.grad is not None}
    assert moved >= {"selection", "probability"}
    assert ("strength" in moved) == (OPS[name].most is not None)


@pytest.mark.parametrize("name", [name for name, op in OPS.items() if op.random])
def test_an_operation_that_draws_for_itself_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=rf"op '{name}' draws for itself.*leave it out of Relaxed\(ops="):
        Relaxed(("rotate", name))


def test_an_operation_without_a_gradient_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    dead: Any = "none"
    monkeypatch.setitem(RANGES, "autoaugment", {**OPS, "rotate": replace(OPS["rotate"], gradient=dead)})
    with pytest.raises(ValueError, match=r"op 'rotate' has no gradient: leave it out of Relaxed\(ops=\.\.\.\)"):
        Relaxed()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ops": ("rotat",)}, r"unknown op of Relaxed 'rotat': did you mean 'rotate'"),
        ({"ops": ("rotate", "rotate")}, r"op 'rotate' is given twice"),
        ({"ops": ()}, r"give at least one operation"),
        ({"stages": 0}, r"Relaxed\(stages=0\): give a whole number of at least 1"),
        ({"temperature": 0.0}, r"Relaxed\(temperature=0.0\): give a number above 0"),
        ({"ranges": "wid"}, r"unknown ranges of Relaxed 'wid': did you mean 'wide'"),
    ],
)
def test_what_cannot_be_built_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Relaxed(**wrong)
