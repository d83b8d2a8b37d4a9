"""How a study is executed. Nothing here may change what it finds."""

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
