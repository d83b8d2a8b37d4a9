"""A study whose trials are trained by two processes each: `autoaug run study.py` in this folder."""

import sys
from pathlib import Path

from optuna.distributions import FloatDistribution

from autoaug import Budget, Command, Study
from autoaug.strategies import none, trivialaugment

study = Study(
    name="torchrun",
    train=Command(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "train.py"],
        cwd=Path(__file__).parent,
    ),
    space={"train.lr": FloatDistribution(1e-3, 1e-1, log=True)},
    strategies={"none": none(), "trivialaugment": trivialaugment()},
    budget=Budget(trials=2),
    seeds=2,
)
