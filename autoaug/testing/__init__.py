"""Conformance suites for what others add: an op, a mix, a policy, a sampler, a learner, an executor.

A suite is a class whose test methods are laws. Inherit from it, or from several, in a test file, override the fixtures,
and run pytest:

    class TestDarken(OpTestCase, StrengthTestCase):
        @pytest.fixture
        def op(self) -> Op:
            return OPS["darken"]

A fixture with `params` runs the laws for every row of a table. Other methods that a suite says may be overridden tell
it what cannot be seen from outside. A suite is imported when it is first used: what else is here needs no pytest.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoaug.testing._executor import ExecutorTestCase
    from autoaug.testing._images import eight_bit, photographs
    from autoaug.testing._learner import LearnerTestCase
    from autoaug.testing._mix import MixTestCase
    from autoaug.testing._op import OpTestCase, RandomOpTestCase, StrengthTestCase
    from autoaug.testing._policy import PolicyTestCase
    from autoaug.testing._sampler import SamplerTestCase

HOMES = {
    "ExecutorTestCase": "_executor",
    "LearnerTestCase": "_learner",
    "MixTestCase": "_mix",
    "OpTestCase": "_op",
    "PolicyTestCase": "_policy",
    "RandomOpTestCase": "_op",
    "SamplerTestCase": "_sampler",
    "StrengthTestCase": "_op",
    "eight_bit": "_images",
    "photographs": "_images",
}

__all__ = [
    "ExecutorTestCase",
    "LearnerTestCase",
    "MixTestCase",
    "OpTestCase",
    "PolicyTestCase",
    "RandomOpTestCase",
    "SamplerTestCase",
    "StrengthTestCase",
    "eight_bit",
    "photographs",
]


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"module 'autoaug.testing' has no attribute {name!r}")
    module = f"autoaug.testing.{HOMES[name]}"
    if name.endswith("TestCase") and module not in sys.modules:
        import pytest  # here: images are of use without it

        pytest.register_assert_rewrite(module)  # else a law that is broken would not show the values
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return __all__
