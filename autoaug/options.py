"""How a study is executed: what Python, the command line and the workers pass on.

Nothing here may change what a study finds. The module imports nothing heavy, for `autoaug run --help` reads the fields.
"""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

from autoaug.artifacts import Location, location
from autoaug.fields import TEXT, Refused, above, at_least, check_fields, short
from autoaug.interruption import Interruption


@dataclass(frozen=True)
class Help:
    """The text of a field in `autoaug run --help`. A field without it is no option of the command."""

    text: str
    metavar: str | None = None
    """What stands for the value; None is the name of its type."""
    panel: str | None = None
    """The heading under which the option stands; None is that of most options."""


def recovery(text: str) -> Help:
    """Return the help of an option that few ever need: what happens when something dies, hangs or is away."""
    return Help(text, "SECONDS", "Recovery")


def as_option(kind: str, name: str, value: Any, fix: str) -> str:
    """Return the message of a refusal, with the option spelt as people read it: "cpus per trial is 0: give ..."."""
    shown = f"{value:g}" if isinstance(value, float) else short(value)
    return f"{name.replace('_', ' ')} is {shown}: give {fix}"


def numbers(value: Any) -> tuple[int, ...]:
    """Return numbers of GPUs, which may be given as texts with commas between them.

    Raises:
        Refused: one is no whole number from 0 on, or stands twice.
    """
    given = value if isinstance(value, list | tuple) else [value]
    texts = [text for item in given for text in (item if isinstance(item, str) else short(item)).split(",")]
    found = tuple(int(text) for text in texts if re.fullmatch(r"\s*[0-9]{1,4}\s*", text))
    if len(found) < len(texts) or len(set(found)) < len(found):
        raise Refused("numbers of GPUs, each once, such as 0,1,2,3")
    return found


@dataclass(frozen=True, kw_only=True)
class Options:
    """Choose where a study runs, how wide, and what happens when something dies.

    A field with a `Help` is an option of `autoaug run`: its name, type, default and order are those here.

    Raises:
        ValueError: a value is out of its range, two of them contradict each other, or a lease expires sooner than two
            signs of life are apart.
    """

    only: Annotated[tuple[Annotated[str, TEXT], ...], Help("Run this one; may be repeated.", "STRATEGY")] = ()
    """Strategies to run; none named means all."""
    cpus_per_trial: Annotated[float, above(0), Help("CPU cores, and so torch threads, of a trial.")] = 1.0
    gpus_per_trial: Annotated[
        float,
        at_least(0, says="0 or more, such as 0.25 to share one"),
        Help("Share of a GPU; below 1, trials share one."),
    ] = 0.0
    at_once: Annotated[
        int | None,
        at_least(1, says="at least 1 trial at a time"),
        Help("The most trials at the same time."),
    ] = None
    """None is as many as fit."""
    gpus: Annotated[tuple[int, ...], numbers, Help("Run local trials on these, a process for each.", "0,1,...")] = ()
    """As torch counts them here. The local executor runs trials in this process where it is given neither these nor
    `processes`."""
    processes: Annotated[
        int | None,
        at_least(1, says="at least 1 process"),
        Help("Run local trials on the CPU in so many processes."),
    ] = None
    address: Annotated[str | None, TEXT, Help("Of a running Ray cluster.")] = None
    """None starts one on this machine."""
    autoscaling: Annotated[bool, Help("Wait for nodes that the Ray cluster starts when they are asked for.")] = False
    """Elsewhere trials that fit on no node are refused."""
    accelerator: Annotated[str | None, TEXT, Help("Kind of GPU in a Ray cluster, such as A100.", "KIND")] = None
    """As Ray calls it; None is any."""
    insecure: Annotated[bool, Help("Use a remote Ray cluster without a token.")] = False
    """Use a Ray cluster of other hosts even where it lets in whoever can reach it."""
    artifacts: Annotated[Location, location, Help("Where checkpoints lie: a folder or a URL.", "FOLDER|URL")] = Path(
        "artifacts"
    )
    """A Path is a folder, which workers on other hosts must see too; a text is a URL."""
    local: Path = Path("artifacts")
    """Keeps what cannot lie at a URL: logs, and writes that wait for the storage. A folder of artifacts is this too."""
    project: Path | None = None
    """Root of the user's project, whose modules are sent to the workers."""
    checkpoint_seconds: Annotated[
        float, at_least(0), recovery("Work that a crash may cost; 0: a checkpoint at every epoch.")
    ] = 10.0
    """The longest stretch of work that a crash can cost. With 0 there is one after every epoch, and none within one."""
    lease_seconds: Annotated[float, at_least(0.01), recovery("Between two signs of life of a worker.")] = 10.0
    """How often a worker says that it still works on its trial."""
    expiry_seconds: Annotated[
        float, at_least(0.01), recovery("Without a sign of life, a trial is given to another worker.")
    ] = 60.0
    """A lease that was not renewed for so long has expired: its worker is dead."""
    hang_seconds: Annotated[float, at_least(0.01), recovery("Without a training step, a trial is given up.")] = 1800.0
    """The first step waits for the data."""
    retry_seconds: Annotated[
        float, at_least(0), recovery("Without an answer, a worker goes on without the storage.")
    ] = 60.0
    """For so long a storage that does not answer is tried again."""
    grace: Annotated[float, at_least(0.1), recovery("After SIGTERM or Ctrl-C, to save and end.")] = 30.0
    """What a cluster gives a process between SIGTERM and SIGKILL. A training saves at its next step and goes."""
    retest: Annotated[bool, Help("Test the better points that were found after the final runs, too.")] = False
    """The final runs of such a point read the test split a second time, and that is recorded."""
    retry_failed: Annotated[bool, Help("Take up again what failed, and say why it had.")] = False
    """The trials and final runs that failed come before anything else."""
    interruption: Interruption = field(default_factory=Interruption, repr=False, compare=False)
    """By which a run that is under way in this process can be asked to save and end."""

    def __post_init__(self) -> None:
        check_fields(self, message=as_option)
        if isinstance(self.artifacts, Path):
            object.__setattr__(self, "local", self.artifacts)
        if self.gpus and self.processes:
            gpus = ",".join(map(str, self.gpus))
            raise ValueError(
                f"gpus is {gpus} and processes is {self.processes}: give one of them; each GPU has a process, and "
                "several where gpus per trial is below 1"
            )
        if self.accelerator and not self.gpus_per_trial:
            raise ValueError(f"accelerator is {self.accelerator} and gpus per trial is 0: give a share of a GPU, or 1")
        if self.expiry_seconds < 2 * self.lease_seconds:
            raise ValueError(
                f"expiry seconds is {self.expiry_seconds:g} and lease seconds is {self.lease_seconds:g}: give "
                "an expiry of at least two leases, or a worker that is slow for a moment loses its trial"
            )

    def anchored(self) -> "Options":
        """Return the same with folders that mean the same in every process, whatever folder it runs in."""
        local = self.local.absolute()
        return replace(self, local=local, artifacts=local if isinstance(self.artifacts, Path) else self.artifacts)
