"""A study whose trials are trained by a shell script: `autoaug run command.py` in this folder."""

from pathlib import Path

from optuna.distributions import FloatDistribution

from autoaug import Budget, Command, Study
from autoaug.strategies import none

study = Study(
    name="command",
    train=Command(["sh", "command.sh"], cwd=Path(__file__).parent),
    metric="val_error",
    minimize=True,
    space={"train.lr": FloatDistribution(0.01, 0.5)},
    strategies={"none": none()},
    budget=Budget(trials=4),
    seeds=2,
)
