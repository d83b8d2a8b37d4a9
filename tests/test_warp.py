"""Warp: noise to parameters to images. Laws over the tables, exact oracles, and tests of what is drawn."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Generator, Tensor

from autoaug.ops import OPS, affine
from autoaug.policy import Fixed, PolicyError, Warp, load_policy, policy_tree, sequence
from autoaug.policy import _warp as warp
from autoaug.policy._warp import COLOURS, FORMS, MOVES, SIZES, START, TRANSFORMS, UNITS, matrix_of, read, recolour
from autoaug.testing import PolicyTestCase

EVERY = [(kind, form) for kind in TRANSFORMS for form in FORMS]
BOXES = ("translation", "affine", "color")


def seeded(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def pictures(count: int, channels: int = 3, size: int = 9) -> Tensor:
    return torch.rand(count, channels, size, size + 2, generator=seeded(1))


class TestEveryKindAndForm(PolicyTestCase):
    @pytest.fixture(params=[partial(Warp, *names) for names in EVERY], ids=map("-".join, EVERY))
    def policy(self, request: pytest.FixtureRequest) -> Any:
        return request.param

    def runs_its_tree(self, policy: Any) -> bool:
        return False

    def can_move(self, policy: Any, name: str) -> bool:
        return "odd" not in policy.args or name != "sampler.biases.2"  # the last, which cancels


@pytest.mark.parametrize(("kind", "form"), EVERY)
def test_every_image_has_another_draw(kind: str, form: str) -> None:
    images = pictures(1).repeat(16, 1, 1, 1)
    assert len(Warp(kind, form)(images, seeded()).flatten(1).unique(dim=0)) == 16


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("kind", "form"), EVERY)
def test_it_begins_near_the_identity(kind: str, form: str, size: str) -> None:
    found = Warp(kind, form, size).statistics()
    assert set(found) == set(TRANSFORMS[kind].names)
    for name, each in found.items():
        assert abs(each["mean"]) < UNITS[name]
        assert 0 < each["std"] < UNITS[name]


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_without_a_spread_it_is_the_identity(kind: str) -> None:
    flat, plain, images = Warp(kind, "range"), Warp(kind, "mlp"), pictures(8)
    with torch.no_grad():
        flat.sampler.raw.fill_(-60.0)
        plain.sampler.weights[-1].zero_()
    for policy in (flat, plain):
        torch.testing.assert_close(policy(images, seeded()), images, atol=2e-6, rtol=0)


def test_the_networks_are_as_large_as_published() -> None:
    shapes = {
        "small": [(6, 6), (60, 6), (6, 60)],
        "medium": [(64, 100), (32, 64), (6, 32)],
        "large": [(512, 100), (1024, 512), (124, 1024), (512, 124), (6, 512)],
    }
    for size, wanted in shapes.items():
        assert [tuple(weight.shape) for weight in Warp("affine", "mlp", size).sampler.weights] == wanted
    both = Warp("affine+color").sampler.weights
    assert [tuple(weight.shape) for weight in both] == [(10, 10), (100, 10), (10, 100)]


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_the_odd_form_is_odd_in_its_noise(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sampler, plain = Warp(kind, "odd").sampler, Warp(kind, "mlp").sampler
    there, pulled = sampler(50, seeded()), plain(50, seeded())
    uniform = warp.uniform
    monkeypatch.setattr(warp, "uniform", lambda *given: -uniform(*given))
    assert torch.equal(sampler(50, seeded()), -there)
    assert not torch.allclose(plain(50, seeded()), -pulled, atol=1e-2)


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_the_mean_output_of_the_odd_form_is_the_identity(kind: str) -> None:
    policy = Warp(kind, "odd")
    with torch.no_grad():
        policy.sampler.biases[-1].fill_(3.0)  # a constant warp, which the plain form would follow
        drawn = policy.sampler(20_000, seeded())
    assert min(stats.ttest_1samp(column.numpy(), 0).pvalue for column in drawn.unbind(1)) > 1e-4


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_the_range_form_draws_uniformly_within_its_half_widths(kind: str) -> None:
    policy = Warp(kind, "range")
    with torch.no_grad():
        policy.sampler.raw.add_(torch.arange(len(TRANSFORMS[kind].names)) / 4)
    amounts, ranges = policy.amounts(5_000, seeded()), policy.ranges()
    for k, (name, values) in enumerate(amounts.items()):
        low, high = ranges[name]
        assert low == -high
        if k == 0:
            assert high == pytest.approx(START * UNITS[name])
        assert stats.kstest(values.numpy(), stats.uniform(low, high - low).cdf).pvalue > 1e-4
    corr = torch.corrcoef(torch.stack(list(amounts.values()))).abs() - torch.eye(len(amounts))
    assert corr.max() < 0.07


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", BOXES)
def test_gradients_agree_with_finite_differences(kind: str, form: str) -> None:
    policy, images = Warp(kind, form).double(), pictures(6).double() * 0.6 + 0.2
    weigh = torch.rand(images.shape, generator=seeded(2), dtype=torch.float64)

    def loss() -> Tensor:
        return (policy(images, seeded()) * weigh).sum()

    parameters = list(policy.parameters())
    slopes = torch.autograd.grad(loss(), parameters)
    for parameter, slope in zip(parameters, slopes, strict=True):
        for k in range(0, parameter.numel(), 1 + parameter.numel() // 4):
            entry = parameter.data.view(-1)
            kept = entry[k].item()
            with torch.no_grad():
                entry[k] = kept + 1e-6
                above = loss()
                entry[k] = kept - 1e-6
                below = loss()
                entry[k] = kept
            difference = (above - below).item() / 2e-6
            assert slope.view(-1)[k].item() == pytest.approx(difference, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(
    ("values", "wanted"),
    [([3.0], [3.0, 0.0, 3.0, 3.0]), ([1.0, 3.0], [2.0, 2**0.5, 1.1, 2.9])],
    ids=["one value", "two values"],
)
def test_a_summary_is_mean_spread_and_quantiles(values: list[float], wanted: list[float]) -> None:
    assert warp.summary(torch.tensor(values)).tolist() == pytest.approx(wanted)


def test_a_matrix_is_read_as_the_movements_it_is_made_of() -> None:
    names, rng = MOVES, seeded()
    amounts = {name: UNITS[name] * (2 * torch.rand(50, generator=rng, dtype=torch.float64) - 1) for name in names}
    policy = Warp("affine", "range").sampler
    found = read(policy.matrix(torch.stack(list(amounts.values()), dim=1), 1, 1))
    for name in names:
        torch.testing.assert_close(found[name], amounts[name])


def test_a_network_moves_as_its_entries_say() -> None:
    images = pictures(1, size=8)[..., :8]
    policy = Warp("translation", "mlp")
    with torch.no_grad():
        policy.sampler.weights[-1].zero_()
        policy.sampler.biases[-1].copy_(torch.tensor([-0.5, 0.0]).atanh())
    torch.testing.assert_close(policy(images, seeded()), OPS["translate_x"].function(images, torch.tensor([0.25])))


def test_a_magnified_image_shows_its_middle() -> None:
    images = pictures(1, size=8)
    bigger = affine(images, matrix_of("zoom", torch.tensor([2.0]).log(), *images.shape[2:]))
    assert bigger.mean() == pytest.approx(images[:, :, 2:6, 2:8].mean().item(), abs=0.05)
    assert (bigger > 0).all()


def test_each_image_has_its_own_order_of_colour_operations() -> None:
    images = pictures(1).repeat(200, 1, 1, 1)
    amounts = torch.tensor([0.8, 0.5, -0.6, 0.2]).repeat(200, 1)
    distinct = recolour(images, amounts, seeded()).flatten(1).mul(1e4).round().unique(dim=0)
    assert 6 <= len(distinct) <= 24


@pytest.mark.parametrize("kind", BOXES)
def test_the_tree_of_half_widths_is_the_policy(kind: str) -> None:
    policy = Warp(kind, "range")
    with torch.no_grad():
        policy.sampler.raw.add_(1.5)  # beyond the table's largest amounts
        if kind == "color":
            policy.sampler.raw[1:] = -60.0  # one alone: the order of several is random here and fixed in a tree
    images = pictures(1).repeat(3_000, 1, 1, 1)
    weigh = torch.rand(images.shape[1:], generator=seeded(3)) - 0.5
    ours, theirs = policy(images, seeded()), Fixed(policy.tree(), compose=True)(images, seeded(5))
    pair = [(each.detach() * weigh).sum((1, 2, 3)).numpy() for each in (ours, theirs)]
    assert stats.ks_2samp(*pair).pvalue > 1e-4
    narrower = Fixed(policy_tree(sequence(policy.tree().root.nodes[:0])))(images, seeded(5))
    assert stats.ks_2samp(pair[0], (narrower * weigh).sum((1, 2, 3)).numpy()).pvalue < 1e-4


@pytest.mark.parametrize(("kind", "form"), EVERY)
def test_the_tree_holds_the_statistics_and_comes_back_from_its_file(kind: str, form: str, tmp_path: Path) -> None:
    policy = Warp(kind, form)
    policy.save(tmp_path / "policy.json")
    tree = load_policy(tmp_path / "policy.json").tree()
    assert tree == policy.tree()
    assert [node.op for node in tree.root.nodes] == list(TRANSFORMS[kind].names)
    for name, each in policy.statistics().items():
        assert tree.provenance[f"{name}.mean"] == each["mean"]
        assert each["low"] <= each["mean"] <= each["high"]
    for node in tree.root.nodes:
        low, high = policy.ranges()[node.op]
        reach = node.amount if not node.mirror else (-node.amount[1], node.amount[1])
        assert reach == (pytest.approx(low), pytest.approx(high))


@pytest.mark.parametrize("kind", TRANSFORMS)
def test_the_seed_decides_the_first_weights(kind: str) -> None:
    first, same, other = (Warp(kind, "mlp", seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["sampler.weights.0"], other["sampler.weights.0"])


def test_dropout_is_off_in_eval_mode() -> None:
    policy = Warp("affine", "mlp").eval()
    with torch.no_grad():
        policy.sampler.weights[0].zero_()  # the noise no longer reaches the output, so only dropout could vary it
        assert policy.sampler(20, seeded()).std(dim=0).max() < 1e-6
        assert policy.train().sampler(20, seeded()).std(dim=0).max() > 1e-3


def test_unknown_names_are_told() -> None:
    with pytest.raises(ValueError, match=r"unknown transforms of Warp 'afine': did you mean 'affine'"):
        Warp("afine")
    with pytest.raises(ValueError, match="unknown form of Warp 'even'"):
        Warp(form="even")
    with pytest.raises(ValueError, match="unknown size of Warp 'smal'"):
        Warp(size="smal")


def test_amounts_that_are_no_numbers_make_no_file() -> None:
    policy = Warp("color", "range")
    with torch.no_grad():
        policy.sampler.raw.fill_(float("nan"))
    with pytest.raises(PolicyError):
        policy.tree()


def test_the_names_of_colours_and_movements_are_those_of_the_operations() -> None:
    assert set(COLOURS) | set(MOVES) <= set(OPS)
