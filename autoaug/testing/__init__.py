"""Conformance suites for what others add: an op, a mix, a policy, a sampler, a learner, an executor or a command.

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
from typing import TYPE_CHECKING

from autoaug.lazy import lazily

if TYPE_CHECKING:
    from autoaug.testing._command import CommandTestCase
    from autoaug.testing._executor import ExecutorTestCase
    from autoaug.testing._images import eight_bit, photographs
    from autoaug.testing._learner import LearnerTestCase
    from autoaug.testing._mix import MixTestCase
    from autoaug.testing._mix_in_training import TrainingMixTestCase
    from autoaug.testing._op import OpTestCase, RandomOpTestCase, StrengthTestCase
    from autoaug.testing._policy import PolicyTestCase
    from autoaug.testing._sampler import SamplerTestCase
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "_command": "CommandTestCase",
            "_executor": "ExecutorTestCase",
            "_images": "eight_bit photographs",
            "_learner": "LearnerTestCase",
            "_mix": "MixTestCase",
            "_mix_in_training": "TrainingMixTestCase",
            "_op": "OpTestCase RandomOpTestCase StrengthTestCase",
            "_policy": "PolicyTestCase",
            "_sampler": "SamplerTestCase",
        },
    )

__all__ = [
    "CommandTestCase",
    "ExecutorTestCase",
    "LearnerTestCase",
    "MixTestCase",
    "OpTestCase",
    "PolicyTestCase",
    "RandomOpTestCase",
    "SamplerTestCase",
    "StrengthTestCase",
    "TrainingMixTestCase",
    "eight_bit",
    "photographs",
]

if "pytest" in sys.modules:  # only then a suite is run, and a law that is broken shows its values
    sys.modules["pytest"].register_assert_rewrite(
        *(
            f"{__name__}.{suite}"
            for suite in ("_command", "_executor", "_learner", "_mix", "_mix_in_training", "_op", "_policy", "_sampler")
        )
    )
