"""What is drawn has the distribution that the tree says.

The tests run whole policies. Their operations are replaced by probes, which write into the image which
operation came, in which order, and with what amount.
"""

from collections import Counter
from dataclasses import replace
from functools import partial

import pytest
import torch
from scipy.stats import binomtest, chi2_contingency, chisquare, kstest

from autoaug.ops import OPS, RANGES
from autoaug.policy import (
    Choice,
    Fixed,
    Sequence,
    apply,
    choice,
    op_masses,
    policy_tree,
    ready,
    sequence,
)
from autoaug.policy._compiled import compile_policy, draw_leaves

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
    "gates": sequence([apply("solarize", 1, 0.3), apply("invert", 1, 0.9), apply("posterize", 1, 0.0)]),
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


def test_strengths_and_signs_of_two_stages_are_independent(probe, rng):
    _, total = probe(sequence([apply("solarize", (0, 1))] * 2), rng)
    assert kstest(total, "triang", (0.5, 0, 2)).pvalue > CHANCE
    _, total = probe(sequence([apply("rotate")] * 2), rng)
    assert_frequencies(total.tolist(), {-60: 0.25, 0: 0.5, 60: 0.25})


@pytest.mark.parametrize("count", [2, 3, 7, 998])
def test_the_largest_random_number_draws_the_last_option_that_has_weight(count, rng):
    weights = (10 ** (6 * torch.rand(count, generator=rng) - 3)).tolist()
    node = choice([(0, C), *((weight, A) for weight in weights[:-1]), (weights[-1], B), (0, D)])
    plan = compile_policy(node, OPS)
    numbers = torch.tensor([[0.0, 1 - 2**-24]])
    drawn = [plan.ops[k - 1].name for k in plan.bucket[draw_leaves(plan, numbers)][0]]
    assert drawn == ["solarize", "posterize"]
