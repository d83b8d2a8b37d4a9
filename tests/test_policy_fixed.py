"""Fixed: what is drawn has the distribution that the tree says, and what is drawn is what is done.

The statistical tests run whole policies. Their operations are replaced by probes, which write into the image which
operation came, in which order, and with what amount.
"""

from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
import torch
from scipy.stats import binomtest, chi2_contingency, chisquare, kstest

from autoaug.ops import OPS, RANGES, affine
from autoaug.policy import (
    Choice,
    Fixed,
    Policy,
    PolicyError,
    Sequence,
    apply,
    choice,
    op_masses,
    policy_tree,
    ready,
    schedule,
    sequence,
)
from autoaug.policy.execute import execute
from autoaug.policy.plan import draw

NAMES = list(OPS)
CODES = {name: code for code, name in enumerate(NAMES, start=1)}
MANY = 20_000
CHANCE = 1e-4


def mark(code, images, amount=None, rng=None):
    """Append the operation's code to the first channel, in base 32, and add the amount to the second."""
    path, total, last = images.unbind(1)
    amount = torch.zeros(len(images)) if amount is None else amount
    return torch.stack([path * 32 + code, total + amount.view(-1, 1, 1), last], 1)


@pytest.fixture
def probe(monkeypatch):
    """Run a node on images of zeros, and give the sequence of operations and the summed amount of every image."""
    table = {name: replace(OPS[name], function=partial(mark, CODES[name]), matrix=None) for name in NAMES}
    monkeypatch.setitem(RANGES, "probe", table)

    def run(node, rng, batch=MANY):
        policy = Fixed(policy_tree(node, "probe"))
        path, total, _ = policy(torch.zeros(batch, 3, 1, 1, dtype=torch.float64), rng).flatten(1).unbind(1)
        return [decoded(int(number)) for number in path], total

    return run


def decoded(number):
    """The names of operations that `mark` wrote."""
    names = []
    while number:
        number, code = divmod(number, 32)
        names.insert(0, NAMES[code - 1])
    return tuple(names)


def paths(node):
    """The probability of every sequence of operations, by enumeration: the oracle for the compiled tree."""
    if isinstance(node, Choice):
        total = sum(option.weight for option in node.options)
        mixed = Counter()
        for option in node.options:
            for path, probability in paths(option.node).items():
                mixed[path] += probability * option.weight / total
        return mixed
    if isinstance(node, Sequence):
        joined = Counter({(): 1.0})
        for child in node.nodes:
            following, joined_before = paths(child), joined
            joined = Counter()
            for path, probability in joined_before.items():
                for after, chance in following.items():
                    joined[path + after] += probability * chance
        return joined
    return Counter({(node.op,): node.probability, (): 1 - node.probability})


def assert_frequencies(drawn, expected):
    """Chi-square of what was drawn against probabilities; what is impossible must not come."""
    counts = Counter(drawn)
    possible = {path: probability for path, probability in expected.items() if probability > 0}
    assert set(counts) <= set(possible)
    observed = [counts[path] for path in possible]
    if len(possible) > 1:
        assert chisquare(observed, [len(drawn) * p for p in possible.values()]).pvalue > CHANCE


A, B, C, D = (apply(name) for name in ("solarize", "posterize", "invert", "hflip"))
NESTED = {
    "weights": choice([(1, A), (2.5, B), (0, C), (3, D)]),
    "zero weight at the end": choice([(1, A), (1, B), (0, C)]),
    "one option": choice([(0.3, A)]),
    "coins": sequence([apply("solarize", 1, 0.3), apply("invert", 1, 0.9), apply("posterize", 1, 0.0)]),
    "options of different length": choice([(1, sequence([A, B, C])), (1, B), (2, sequence())]),
    "choice in a choice": choice([(1, choice([(1, A), (3, B)])), (2, C), (1, choice([(5, D), (1, A)]))]),
    "choice after an action": sequence([A, choice([(1, sequence([B, choice([(1, C), (4, D)])])), (1, D)]), B]),
    "three levels": choice(
        [
            (1, choice([(1, choice([(1, A), (2, sequence([B, C]))])), (1, D)])),
            (1, sequence([choice([(1, A), (1, B)]), choice([(3, C), (1, apply("hflip", 1, 0.5))])])),
        ]
    ),
    "the same node twice": sequence([choice([(1, A), (1, B)])] * 2),
}


@pytest.mark.parametrize("name", NESTED)
def test_sequences_of_operations_come_as_often_as_the_tree_says(name, probe, rng):
    drawn, _ = probe(NESTED[name], rng)
    assert_frequencies(drawn, paths(NESTED[name]))


@pytest.mark.parametrize("name", ["autoaugment_cifar10", "autoaugment_svhn", "autoaugment_imagenet"])
def test_published_policies_apply_operations_as_often_as_their_masses_say(name, probe, rng):
    tree = getattr(ready, name)()
    drawn, _ = probe(tree.root, rng)
    expected = paths(tree.root)
    assert_frequencies(drawn, expected)
    masses = Counter()
    for path, probability in expected.items():
        for op in path:
            masses[op] += probability
    assert op_masses(tree) == pytest.approx({op: masses[op] for op in op_masses(tree)})


def test_uniform_strengths_fill_their_range(probe, rng):
    _, amount = probe(apply("solarize", (0.2, 0.7)), rng)
    assert kstest(amount, "uniform", (0.2, 0.5)).pvalue > CHANCE
    assert 0.2 <= amount.min() < amount.max() <= 0.7


def test_strengths_are_independent_of_options_and_coins(probe, rng):
    node = choice([(1, apply("solarize", (0, 1), 0.5)), (1, apply("cutout", (0, 1), 0.5))])
    drawn, amount = probe(node, rng)
    for name in ("solarize", "cutout"):
        own = amount[torch.tensor([path == (name,) for path in drawn])]
        assert binomtest(len(own), MANY, 0.25).pvalue > CHANCE
        assert kstest(own / OPS[name].most, "uniform").pvalue > CHANCE


def test_fixed_strengths_are_exact(probe, rng):
    _, amount = probe(apply("solarize", 0.25), rng, 100)
    assert amount.unique().tolist() == [0.25]


def test_the_sign_of_a_signed_operation_is_fair_and_independent_of_its_strength(probe, rng):
    _, amount = probe(apply("rotate", (0.0, 1.0)), rng)
    assert binomtest(int((amount > 0).sum()), MANY).pvalue > CHANCE
    assert kstest(amount, "uniform", (-30, 60)).pvalue > CHANCE


def test_without_mirror_the_sign_is_that_of_the_strength(probe, rng):
    _, amount = probe(apply("rotate", (-0.5, 1.0), mirror=False), rng)
    assert kstest(amount, "uniform", (-15, 45)).pvalue > CHANCE
    _, amount = probe(apply("rotate", -0.5, mirror=False), rng, 100)
    assert amount.unique().tolist() == [-15]


def test_operations_without_a_sign_get_none(probe, rng):
    _, amount = probe(apply("solarize", 0.5, mirror=True), rng, 1000)
    assert (amount > 0).all()


def test_a_range_of_ones_own(probe, rng):
    both = choice([(1, apply("rotate", 1.0, most=90.0)), (1, apply("rotate", 1.0))])
    _, amount = probe(both, rng)
    assert_frequencies(amount.tolist(), {-90: 0.25, 90: 0.25, -30: 0.25, 30: 0.25})


def test_images_of_a_batch_and_stages_of_an_image_are_independent(probe, rng):
    stage = choice([(1, A), (1, B), (1, C)])
    drawn, _ = probe(sequence([stage, stage]), rng)
    first = [path[0] for path in drawn]
    for one, two in ((first[::2], first[1::2]), (first, [path[1] for path in drawn])):
        pairs = Counter(zip(one, two, strict=True))
        table = [[pairs[a.op, b.op] for b in (A, B, C)] for a in (A, B, C)]
        assert chi2_contingency(table).pvalue > CHANCE


def test_strengths_coins_and_signs_of_the_two_stages_are_independent(probe, rng):
    _, one = probe(sequence([apply("rotate", (0, 1)), apply("rotate", (0, 1))]), rng)
    squares = one.square().mean() / 30**2  # Var(U[-1, 1]) is 1/3 each; dependence would double or cancel the sum
    assert abs(squares - 2 / 3) < 0.02


def test_images_that_are_equal_are_augmented_differently(rng):
    images = torch.rand(1, 3, 16, 16, generator=rng).repeat(32, 1, 1, 1)
    out = Fixed(ready.trivialaugment())(images, rng)
    assert len(out.flatten(1).unique(dim=0)) > 16


DETERMINISTIC = ["none", "randaugment", "trivialaugment", "random_policy", "autoaugment_svhn"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_a_batch_equals_its_images_one_by_one(name, dtype, rng):
    images = torch.rand(40, 3, 9, 12, generator=rng).to(dtype)
    plan = Fixed(getattr(ready, name)()).plan(rng.device)
    draws = draw(plan, len(images), rng)
    together = execute(plan.ops, images, draws, rng)
    for k, image in enumerate(images):
        alone = image[None]
        for bucket, strength in zip(draws.bucket[:, k].tolist(), draws.strength[:, k], strict=True):
            alone = plan.ops[bucket - 1](alone, strength[None]) if bucket else alone
        torch.testing.assert_close(together[k], alone[0], rtol=0, atol=0)


def test_images_that_meet_nothing_pass_untouched(rng):
    images = torch.rand(1000, 1, 4, 4, generator=rng)
    out = Fixed(policy_tree(apply("invert", probability=0.25)))(images, rng)
    untouched = (out == images).flatten(1).all(1)
    assert torch.equal(out[~untouched], 1 - images[~untouched])
    assert binomtest(int(untouched.sum()), 1000, 0.75).pvalue > CHANCE


@pytest.mark.parametrize("compose", [False, True])
def test_the_same_generator_state_gives_the_same_pixels(compose, rng):
    images = torch.rand(64, 3, 8, 8, generator=rng)
    policy = Fixed(ready.uniformaugment(), compose=compose)
    state = rng.get_state()
    one, two = policy(images, rng), policy(images, rng)
    assert torch.equal(one, policy(images, rng.set_state(state)))
    assert not torch.equal(one, two)


def test_the_random_numbers_taken_do_not_depend_on_what_is_drawn():
    images = torch.rand(16, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    after = []
    for probability in (0.0, 0.5, 1.0):
        rng = torch.Generator().manual_seed(2)
        Fixed(ready.random_policy(probability=probability))(images, rng)
        after.append(torch.rand((), generator=rng).item())
    assert len(set(after)) == 1


def test_an_empty_batch_and_a_batch_of_one(rng):
    for batch in (0, 1):
        images = torch.rand(batch, 3, 8, 8, generator=rng)
        assert Fixed(ready.uniformaugment())(images, rng).shape == images.shape


@pytest.mark.parametrize(
    "images", [torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.zeros(3, 8, 8)], ids=["uint8", "no batch"]
)
def test_wrong_images_are_refused(images, rng):
    with pytest.raises(ValueError, match=r"give floats in \[0, 1\], \[B, C, H, W\]"):
        Fixed(ready.none())(images, rng)


def test_a_schedule_runs_the_tree_in_force(rng):
    images = torch.rand(8, 1, 4, 4, generator=rng)
    policy = Fixed(policy_tree(schedule([(1, sequence()), (3, apply("invert")), (5, apply("hflip"))])))
    wanted = {1: images, 2: images, 3: 1 - images, 4: 1 - images, 5: images.flip(3), 99: images.flip(3)}
    assert policy.epoch == 1
    for epoch, expected in wanted.items():
        policy.at(epoch)
        assert torch.equal(policy(images, rng), expected)
    policy.at(1)
    assert torch.equal(policy(images, rng), images)
    with pytest.raises(PolicyError, match="epochs count from 1"):
        policy.at(0)


def smooth(size=64):
    """A picture without detail finer than a few pixels, so that interpolating it costs little."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    return (0.5 + 0.2 * torch.sin(4 * x + 1) + 0.2 * torch.cos(3 * y + 2 * x))[None, None]


def inside(images):
    """Pixels that no rotation by up to 20 degrees brings in from outside."""
    return images[:, :, 16:-16, 16:-16]


def turn(degrees):
    return apply("rotate", degrees / 30, mirror=False)


def test_two_composed_rotations_are_one(rng):
    image = smooth()
    twice, once = policy_tree(sequence([turn(10), turn(10)])), policy_tree(turn(20))
    one = Fixed(once)(image, rng)
    joined, in_turn = Fixed(twice, compose=True)(image, rng), Fixed(twice)(image, rng)
    torch.testing.assert_close(joined, one, rtol=0, atol=1e-5)  # the same single resampling, borders included
    torch.testing.assert_close(inside(in_turn), inside(one), rtol=0, atol=2e-3)  # two resamplings
    assert (inside(in_turn) - inside(one)).abs().max() > 1e-5


def test_composition_keeps_the_order(rng):
    image = smooth()
    nodes = [turn(20), apply("shear_x", 0.5, mirror=False), apply("translate_y", 0.2, mirror=False)]
    for order in (nodes, nodes[::-1]):
        tree = policy_tree(sequence(order))
        joined, in_turn = Fixed(tree, compose=True)(image, rng), Fixed(tree)(image, rng)
        torch.testing.assert_close(inside(joined), inside(in_turn), rtol=0, atol=5e-3)
    backwards = Fixed(policy_tree(sequence(nodes)), compose=True)(image, rng)
    assert (inside(joined) - inside(backwards)).abs().max() > 0.05


def test_something_in_between_is_not_composed_over(rng):
    image = smooth()
    tree = policy_tree(sequence([turn(10), apply("solarize", 0.5), turn(10)]))
    assert torch.equal(Fixed(tree, compose=True)(image, rng), Fixed(tree)(image, rng))


def test_composition_skips_stages_at_which_nothing_happens(rng):
    image = smooth()
    nothing = apply("invert", probability=0.0)
    tree = policy_tree(sequence([turn(10), nothing, turn(5), nothing]))
    matrix = OPS["rotate"].matrix(torch.tensor([15.0]), 64, 64)
    torch.testing.assert_close(Fixed(tree, compose=True)(image, rng), affine(image, matrix), rtol=0, atol=1e-5)


def test_composition_mixes_with_the_rest_image_by_image(rng):
    images = smooth(32).repeat(200, 1, 1, 1)
    stage = choice([(1, apply("rotate", (0, 0.3))), (1, apply("invert")), (1, apply("translate_x", (0, 0.1)))])
    plan = Fixed(policy_tree(sequence([stage] * 3))).plan(rng.device)
    draws = draw(plan, len(images), rng)
    joined = execute(plan.ops, images, draws, rng, compose=True)
    in_turn = execute(plan.ops, images, draws, rng)
    torch.testing.assert_close(joined[:, :, 12:-12, 12:-12], in_turn[:, :, 12:-12, 12:-12], rtol=0, atol=1e-2)


def test_fixed_is_a_policy_and_so_is_any_module_like_it():
    policy = Fixed(ready.none())
    assert isinstance(policy, Policy)
    assert policy.tree() == ready.none()
    assert not list(policy.parameters())
    assert policy.state_dict() == {}
    assert not isinstance(torch.nn.Identity(), Policy)


def test_gradients_reach_the_images(rng):
    images = torch.rand(6, 1, 8, 8, generator=rng, requires_grad=True)
    Fixed(policy_tree(sequence([turn(10), apply("invert")])))(images, rng).sum().backward()
    assert images.grad is not None
    assert (images.grad[:, :, 3:5, 3:5] < 0).all()
