"""Trees: what they accept, what they refuse and how they say it, and what can be read off them."""

import re

import pytest
from pydantic import ValidationError

from autoaug.ops import OPS, RANGES
from autoaug.policy import (
    PolicyError,
    PolicyTree,
    apply,
    choice,
    op_masses,
    policy_tree,
    ready,
    schedule,
    sequence,
)

ROTATE = apply("rotate", 0.5)

REFUSED = {
    "misspelt op": (lambda: apply("rotat"), r"apply\(\) at op: unknown op 'rotat': did you mean 'rotate'"),
    "negative strength": (lambda: apply("rotate", -0.5), r"strength -0.5 of rotate .* \[0, 1\]; mirror=False"),
    "negative strength without a sign": (lambda: apply("solarize", -0.5, mirror=False), r"solarize .* \[0, 1\]"),
    "strength above 1": (lambda: apply("rotate", 1.5, mirror=False), r"1.5 of rotate is outside \[-1, 1\]"),
    "range above 1": (lambda: apply("rotate", (0.5, 1.01)), r"\(0.5, 1.01\) of rotate is outside"),
    "range upside down": (lambda: apply("rotate", (0.7, 0.2)), r"at strength: \(0.7, 0.2\) is neither .* low <= high"),
    "strength nan": (lambda: apply("rotate", float("nan")), "at strength: nan is neither"),
    "strength text": (lambda: apply("rotate", "0.5"), "at strength: '0.5' is neither"),
    "strength bool": (lambda: apply("rotate", True), "at strength: True is neither"),
    "probability above 1": (lambda: apply("rotate", 1, 1.01), "at probability: .* less than or equal to 1, got 1.01"),
    "probability below 0": (lambda: apply("rotate", 1, -0.1), "at probability: .* greater than or equal to 0"),
    "probability nan": (lambda: apply("rotate", 1, float("nan")), "at probability: .* finite number, got nan"),
    "most of an op without strength": (lambda: apply("invert", most=1.0), "most 1.0 is given to invert"),
    "most zero": (lambda: apply("rotate", most=0.0), "at most: .* greater than 0"),
    "empty choice": (lambda: choice([]), r"choice\(\) at options: this list is empty"),
    "negative weight": (lambda: choice([(1, ROTATE), (-1, ROTATE)]), r"options\[1\]\.weight: .* 0, got -1"),
    "infinite weight": (lambda: choice([(float("inf"), ROTATE)]), r"options\[0\]\.weight: .* finite"),
    "weights that sum to zero": (lambda: choice([(0, ROTATE), (0.0, ROTATE)]), "at options: the weights sum to 0.0"),
    "weights that sum to infinity": (lambda: choice([(1.7e308, ROTATE)] * 2), "at options: the weights sum to inf"),
    "no node": (lambda: sequence([ROTATE, 3]), r"sequence\(\) at nodes\[1\]: .* got 3"),
    "schedule that starts late": (lambda: schedule([(2, ROTATE)]), r"at steps: epochs \[2\] must begin with 1"),
    "schedule out of order": (lambda: schedule([(1, ROTATE), (5, ROTATE), (5, ROTATE)]), r"\[1, 5, 5\] .* increase"),
    "schedule in a sequence": (lambda: sequence([schedule([(1, ROTATE)])]), r"nodes\[0\]: .*'schedule'"),
    "misspelt ranges": (lambda: policy_tree(ROTATE, "wid"), "policy at ranges: unknown ranges 'wid': .* 'wide'"),
    "provenance of lists": (lambda: policy_tree(ROTATE, provenance={"seed": [1]}), r"provenance\.seed: \[1\]"),
    "provenance nan": (lambda: policy_tree(ROTATE, provenance={"loss": float("nan")}), r"provenance\.loss: nan"),
    "provenance too long": (lambda: policy_tree(ROTATE, provenance={"x": "y" * 2000}), "of up to 1000 characters"),
    "too many facts": (lambda: policy_tree(ROTATE, provenance={str(k): k for k in range(101)}), "at most 100"),
    "too many options": (lambda: choice([(1, ROTATE)] * 1001), "at options: .* at most 1000"),
    "too many nodes": (lambda: policy_tree(choice([(1, sequence([sequence()] * 11))] * 1000)), "more than 10000 nodes"),
    "too many stages": (lambda: policy_tree(sequence([ROTATE] * 101)), "meet 101 operations: allow at most 100"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_wrong_is_refused_in_one_line(name):
    build, message = REFUSED[name]
    with pytest.raises(PolicyError, match=message) as caught:
        build()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("levels", [20, 100_000])
def test_depth_is_bounded_without_recursion(levels):
    node = sequence()
    for _ in range(levels):
        node = sequence([node])
    with pytest.raises(PolicyError, match="more than 20 levels of nodes: flatten the tree"):
        policy_tree(node)
    while node.nodes:  # taken apart from the top, or the interpreter's own destructor would recurse
        node = node.nodes[0]


def test_a_tree_that_doubles_at_every_level_is_refused_quickly():
    node = sequence([ROTATE])
    for _ in range(18):
        node = choice([(1, node), (1, node)])
    with pytest.raises(PolicyError, match="more than 10000 nodes"):
        policy_tree(node)


def test_trees_are_values():
    one, two = ready.randaugment(2, 0.4), ready.randaugment(2, 0.4)
    assert one == two
    assert one != ready.randaugment(2, 0.5)
    with pytest.raises(ValidationError, match="frozen"):
        one.ranges = "wide"


@pytest.mark.parametrize("ranges", RANGES)
@pytest.mark.parametrize("name", OPS)
def test_a_tree_knows_its_physical_amounts(name, ranges):
    op = RANGES[ranges][name]
    tree = policy_tree(sequence([apply(name, 0.25), apply(name, (0.0, 0.5))]), ranges)
    fixed, uniform = tree.root.nodes
    if op.most is None:
        assert (fixed.amount, fixed.unit, uniform.amount) == (None, None, None)
    else:
        assert (fixed.amount, fixed.unit, uniform.amount) == (0.25 * op.most, op.unit, (0.0, 0.5 * op.most))


def test_a_physical_range_of_ones_own():
    assert policy_tree(apply("rotate", 0.5, most=90.0)).root.amount == 45.0


def test_masses_by_hand():
    node = sequence(
        [
            choice([(1, apply("rotate", 0.1, 0.5)), (3, sequence([apply("invert"), apply("rotate", 1.0, 0.2)]))]),
            apply("invert", probability=0.1),
            choice([(0, apply("solarize")), (2, sequence())]),
        ]
    )
    assert op_masses(policy_tree(node)) == pytest.approx(
        {"rotate": 0.25 * 0.5 + 0.75 * 0.2, "invert": 0.75 + 0.1, "solarize": 0.0}
    )


def test_masses_follow_the_schedule():
    tree = policy_tree(schedule([(1, ROTATE), (10, choice([(1, ROTATE), (1, sequence())]))]))
    assert op_masses(tree) == op_masses(tree, 9) == {"rotate": 1.0}
    assert op_masses(tree, 10) == {"rotate": 0.5}


def test_the_node_in_force():
    early, late = apply("invert"), apply("solarize", 0.5)
    tree = policy_tree(schedule([(1, early), (4, late)]))
    assert [tree.at(epoch).op for epoch in (1, 3, 4, 100)] == ["invert", "invert", "solarize", "solarize"]
    with pytest.raises(PolicyError, match="epoch 0: epochs count from 1"):
        tree.at(0)


def test_the_class_itself_refuses_too():
    with pytest.raises(ValueError, match=re.escape("unknown ranges 'wid'")):
        PolicyTree(root=ROTATE, ranges="wid")
