"""AutoAugment: sub-policies of operations, their probabilities and strengths, found by black-box search.

Cubuk et al. 2019, "AutoAugment: Learning Augmentation Strategies from Data".
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import Parameter, Signature
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from autoaug.lookup import lookup
from autoaug.ops import OPS
from autoaug.policy import Fixed, apply, choice, policy_tree, published, sequence
from autoaug.policy.ready import MADAO_OPS, MAGNITUDES
from autoaug.strategies._space import Space
from autoaug.strategies._strategy import Condition, Strategy
from autoaug.strategies.samplers import SAMPLERS

FIELDS: dict[str, BaseDistribution] = {
    "op": CategoricalDistribution(MADAO_OPS),
    "probability": FloatDistribution(0.0, 1.0),
    "strength": FloatDistribution(0.0, 1.0),
}
"""What there is to choose of each operation."""


@dataclass(frozen=True)
class SubPolicies:
    """Build a policy of `sub_policies` x `length` operations from arguments such as `op_1_2` and `strength_1_2`."""

    sub_policies: int
    length: int

    def slots(self) -> Iterator[str]:
        """Return the names of the slots for operations, "sub-policy_operation", both counted from 1."""
        return (f"{k}_{j}" for k in range(1, self.sub_policies + 1) for j in range(1, self.length + 1))

    def names(self) -> dict[str, BaseDistribution]:
        """Return the arguments of a call and what each can be."""
        return {f"{field}_{slot}": rule for slot in self.slots() for field, rule in FIELDS.items()}

    @property
    def __signature__(self) -> Signature:
        return Signature([Parameter(name, Parameter.KEYWORD_ONLY) for name in self.names()])

    def __call__(self, **chosen: Any) -> Fixed:
        nodes = [
            apply(chosen[f"op_{slot}"], chosen.get(f"strength_{slot}", 1.0), chosen[f"probability_{slot}"])
            for slot in self.slots()
        ]
        rows = [nodes[k : k + self.length] for k in range(0, len(nodes), self.length)]
        return Fixed(policy_tree(choice([(1.0, sequence(row)) for row in rows])))

    def conditions(self) -> dict[str, Condition]:
        """Return when each strength means something: an operation such as invert has none."""
        return {
            f"policy.strength_{slot}": Condition((f"policy.op_{slot}",), partial(without_strength, f"policy.op_{slot}"))
            for slot in self.slots()
        }

    def cifar10_point(self) -> dict[str, Any]:
        """Return AutoAugment's sub-policies for CIFAR-10 as a point of the space.

        There are as many as the slots hold; where the published ones are fewer they are repeated, and where they have
        fewer operations the identity fills the slot.
        """
        point: dict[str, Any] = {}
        for slot in self.slots():
            k, j = (int(number) - 1 for number in slot.split("_"))
            row = published.CIFAR10[k % len(published.CIFAR10)]
            op, probability, magnitude = row[j] if j < len(row) else (MADAO_OPS[0], 0.0, 0)
            values = (op, probability, (magnitude or 0) / MAGNITUDES)
            point |= {f"policy.{field}_{slot}": value for field, value in zip(FIELDS, values, strict=True)}
        return point


def without_strength(name: str, point: Mapping[str, Any]) -> str:
    """Return why the operation under a name in a point has no strength; empty where it has one."""
    return "" if OPS[point[name]].most is not None else f"{point[name]} has no strength"


def autoaugment(controller: str = "tpe", *, sub_policies: int = 5, length: int = 2) -> Strategy:
    """Return AutoAugment (Cubuk et al. 2019): an image meets one of 5 sub-policies of 2 operations each.

    Each operation has a name among 14, a probability and a strength in [0, 1]: 30 dimensions, fewer where a name has
    no strength. The first point is the first of the five policies that were found for CIFAR-10. With
    `controller="ppo"` it is searched as in the paper, by a recurrent controller with 11 levels of probability and of
    strength (the paper has 11 and 10, and 16 operations).
    The paper concatenates the five best policies of a search; here the best one is used as it is.

    Args:
        controller: a row of `SAMPLERS`.
        sub_policies: of which an image meets one, drawn evenly.
        length: operations of each, one after the other.

    Raises:
        ValueError: there is no such controller, or a number is below 1.

    >>> from autoaug.strategies import autoaugment
    >>> strategy = autoaugment(sub_policies=1, length=1)
    >>> sorted(strategy.space)
    ['policy.op_1_1', 'policy.probability_1_1', 'policy.strength_1_1']
    >>> strategy.policy(op_1_1="rotate", probability_1_1=0.5, strength_1_1=1.0).tree().root.options[0].node.nodes[0].op
    'rotate'
    """
    for name, value in {"sub_policies": sub_policies, "length": length}.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"autoaugment({name}={value!r}): give a whole number of at least 1")
    policy = SubPolicies(sub_policies, length)
    space: Space = {f"policy.{name}": rule for name, rule in policy.names().items()}
    return Strategy(
        policy=policy,
        space=space,
        between=lookup(SAMPLERS, controller, "controller of autoaugment"),
        first=(policy.cifar10_point(),),
        conditions=policy.conditions(),
    )
