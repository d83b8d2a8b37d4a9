"""The ready trees: the laws that all keep, and the published tables against torchvision's."""

import re
from functools import partial
from typing import Any

import pytest
from policies_for_tests import EVERYTHING
from torchvision.transforms import AutoAugment, AutoAugmentPolicy, RandAugment, TrivialAugmentWide

from autoaug.ops import OPS, RANGES
from autoaug.policy import Choice, Fixed, PolicyTree, Sequence, apply, op_masses, ready
from autoaug.testing import PolicyTestCase

TREES = {
    "none": ready.none,
    "standard": ready.standard,
    "randaugment": ready.randaugment,
    "randaugment of MADAO's": lambda: ready.randaugment(3, 1.0, ready.MADAO_OPS),
    "trivialaugment": ready.trivialaugment,
    "uniformaugment": ready.uniformaugment,
    "random_policy": ready.random_policy,
    "autoaugment_cifar10": ready.autoaugment_cifar10,
    "autoaugment_svhn": ready.autoaugment_svhn,
    "autoaugment_imagenet": ready.autoaugment_imagenet,
}


FIXED = {
    name + (", composed" if compose else ""): partial(Fixed, tree(), compose=compose)
    for name, tree in (TREES | {"everything": lambda: EVERYTHING}).items()
    for compose in (False, True)
}


class TestReadyPolicies(PolicyTestCase):
    @pytest.fixture(params=FIXED.values(), ids=FIXED)
    def policy(self, request: pytest.FixtureRequest) -> Any:
        return request.param

    def draws(self, policy: Any) -> bool:
        return bool(policy.args[0] != ready.none())

    def runs_its_tree(self, policy: Any) -> bool:
        return not policy.keywords["compose"]


def torchvision_name(name):
    return re.sub("(?<!^)(?=[A-Z])", "_", name).lower()


def test_the_operations_of_the_baselines_are_those_of_torchvision():
    ranges = {torchvision_name(name) for name in RandAugment()._augmentation_space(31, (32, 32))}
    assert set(ready.RANDAUGMENT_OPS) == ranges
    assert {torchvision_name(name) for name in TrivialAugmentWide()._augmentation_space(31)} == ranges
    found = {torchvision_name(name) for name in AutoAugment()._augmentation_space(10, (32, 32))}
    assert set(ready.MADAO_OPS) == found
    assert len(ready.MADAO_OPS) == len(ready.RANDAUGMENT_OPS) == 14


def physical(name, value, size):
    """One of torchvision's magnitudes in the units of our table, for images of this size."""
    if name.startswith("translate"):
        return value / size
    return {"solarize": 1 - value / 255, "posterize": 8 - value}.get(name, value)


@pytest.mark.parametrize("policy", list(AutoAugmentPolicy), ids=lambda policy: policy.value)
def test_published_policies_equal_torchvisions_operation_by_operation(policy):
    theirs = AutoAugment(policy)
    space = theirs._augmentation_space(10, (331, 331))
    ours = getattr(ready, f"autoaugment_{policy.value}")()
    assert len(ours.root.options) == len(theirs.policies) == 25
    assert {option.weight for option in ours.root.options} == {1.0}
    for option, row in zip(ours.root.options, theirs.policies, strict=True):
        for action, (their_name, probability, magnitude) in zip(option.node.nodes, row, strict=True):
            name, (values, signed) = torchvision_name(their_name), space[their_name]
            assert (action.op, action.probability) == (name, probability)
            if magnitude is None:
                assert action.amount is None
            else:
                wanted = physical(name, values[magnitude].item(), 331)
                assert action.amount == pytest.approx(wanted, abs=1e-6)
                assert (OPS[name].signed and action.mirror) == signed


def test_the_ranges_of_trivialaugment_are_torchvisions():
    ours = {
        option.node.op: option.node for option in ready.trivialaugment().root.options if option.node.kind == "apply"
    }
    theirs = TrivialAugmentWide()._augmentation_space(31)
    for their_name, (values, signed) in theirs.items():
        name = torchvision_name(their_name)
        if values.ndim:
            extremes = [physical(name, values[k].item(), 32) for k in (0, -1)]
            assert ours[name].amount == pytest.approx(extremes, abs=1e-6)
            assert OPS[name].signed == signed
    assert len(ready.trivialaugment().root.options) == len(theirs)


def test_randaugment_is_n_choices_at_one_strength():
    tree = ready.randaugment(3, 0.4)
    assert len(tree.root.nodes) == 3
    for stage in tree.root.nodes:
        assert isinstance(stage, Choice)
        assert {option.weight for option in stage.options} == {1.0}
        assert sum(option.node == Sequence(nodes=()) for option in stage.options) == 1
        assert {option.node.strength for option in stage.options if option.node.kind == "apply"} == {0.4}
    assert op_masses(tree) == pytest.approx({name: 3 / 14 for name in ready.RANDAUGMENT_OPS if name != "identity"})


def test_the_random_policy_gives_its_14_operations_equal_mass():
    assert op_masses(ready.random_policy()) == pytest.approx(dict.fromkeys(ready.MADAO_OPS, 1 / 14))


def test_uniformaugment_adds_a_small_cutout():
    masses = op_masses(ready.uniformaugment())
    assert masses == pytest.approx(dict.fromkeys((*ready.MADAO_OPS, "cutout"), 1 / 15))
    assert ready.uniformaugment().root.nodes[0].options[-1].node.amount == (0.0, 0.2)


def test_the_standard_augmentation():
    crop, flip = ready.standard().root.nodes
    assert (crop.op, crop.amount, flip) == ("crop", 4 / 32, apply("hflip", probability=0.5))
    assert [node.op for node in ready.standard(padding=0).root.nodes] == ["hflip"]


@pytest.mark.parametrize("name", TREES)
def test_ready_trees_are_trees_over_known_ranges(name):
    tree = TREES[name]()
    assert isinstance(tree, PolicyTree)
    assert tree.ranges in RANGES
    assert tree == TREES[name]()
