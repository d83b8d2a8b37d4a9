"""How a study is executed. Nothing here may change what it finds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Options:
    """Where a study runs, and how wide."""

    only: tuple[str, ...] = ()
    """Run these strategies and no others; none named means all."""
    artifacts: Path = Path("artifacts")
    """Where checkpoints lie. Workers on other hosts must see the same folder."""
    project: Path | None = None
    """Root of the user's project, whose modules are sent to the workers."""
    cpus_per_trial: float = 1.0
    """CPU cores, and so torch threads, of each trial."""
    gpus_per_trial: float = 0.0
    """Share of a GPU for each trial; below 1, trials share one."""
    at_once: int | None = None
    """The most trials at the same time; None is as many as fit."""
    address: str | None = None
    """Of a running Ray cluster; None starts one on this machine."""

    def __post_init__(self) -> None:
        if not 0 < self.cpus_per_trial < math.inf:
            raise ValueError(f"cpus per trial is {self.cpus_per_trial:g}: give a number above 0")
        if not 0 <= self.gpus_per_trial < math.inf:
            raise ValueError(f"gpus per trial is {self.gpus_per_trial:g}: give 0 or more, such as 0.25 to share one")
        if self.at_once is not None and self.at_once < 1:
            raise ValueError(f"at once is {self.at_once}: give at least 1 trial at a time")


def refuse_more_than(has: Mapping[str, float], options: Options, where: str) -> None:
    """A trial that asks for more than there is would wait forever."""
    for name, wanted in {"CPU": options.cpus_per_trial, "GPU": options.gpus_per_trial}.items():
        if wanted > has.get(name, 0):
            raise ValueError(
                f"each trial asks for {wanted:g} {name}s and {where} has {has.get(name, 0):g}: "
                f"lower --{name.lower()}s-per-trial, or give the --address of a larger cluster"
            )
