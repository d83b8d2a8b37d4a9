"""A study whose trials are trained by two workers of Ray Train each: `autoaug run study.py` in this folder."""

import sys
from pathlib import Path

from optuna.distributions import FloatDistribution

from autoaug import Budget, Command, Study
from autoaug.strategies import none, trivialaugment

study = Study(
    name="ray_train",
    train=Command([sys.executable, "train.py"], cwd=Path(__file__).parent),
    space={"train.lr": FloatDistribution(1e-3, 1e-1, log=True)},
    strategies={"none": none(), "trivialaugment": trivialaugment()},
    budget=Budget(trials=2),
    seeds=2,
)
