"""How a study is executed. Nothing here may change what it finds."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from autoaug.fields import TEXT, above, at_least, check_fields, short
from autoaug.store import is_file, show_storage

ON_A_SERVER = "give a server, such as --storage env:NAME with postgresql+psycopg://user@host/database"


def as_option(kind: str, name: str, value: Any, fix: str) -> str:
    """How a refusal is said: as the command line spells the option."""
    shown = f"{value:g}" if isinstance(value, float) else short(value)
    return f"{name.replace('_', ' ')} is {shown}: give {fix}"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Where a study runs, and how wide."""

    only: tuple[Annotated[str, TEXT], ...] = ()
    """Run these strategies and no others; none named means all."""
    artifacts: Path = Path("artifacts")
    """Where checkpoints lie. Workers on other hosts must see the same folder."""
    project: Path | None = None
    """Root of the user's project, whose modules are sent to the workers."""
    cpus_per_trial: Annotated[float, above(0)] = 1.0
    """CPU cores, and so torch threads, of each trial."""
    gpus_per_trial: Annotated[float, at_least(0, says="0 or more, such as 0.25 to share one")] = 0.0
    """Share of a GPU for each trial; below 1, trials share one."""
    at_once: Annotated[int | None, at_least(1, says="at least 1 trial at a time")] = None
    """The most trials at the same time; None is as many as fit."""
    retest: bool = False
    """Where a better point was found after the final runs of a strategy, make final runs of it too. The test split is
    then read a second time, and that is recorded."""
    retry_failed: bool = False
    """Take up again, before anything else, the trials and final runs that failed."""
    address: Annotated[str | None, TEXT] = None
    """Of a running Ray cluster; None starts one on this machine."""
    insecure: bool = False
    """Use a Ray cluster of other hosts even where it lets in whoever can reach it."""
    checkpoint_seconds: Annotated[float, at_least(0)] = 10.0
    """The longest stretch of work that a crash can cost, to within one epoch; 0 writes a checkpoint at every epoch."""
    lease_seconds: Annotated[float, at_least(0.01)] = 10.0
    """How often a worker says that it still works on its trial."""
    grace_seconds: Annotated[float, at_least(0.01)] = 60.0
    """A worker that has said nothing for so long is dead, and its trial is given to another."""
    hang_seconds: Annotated[float, at_least(0.01)] = 1800.0
    """A training that has made no step for so long hangs, and is given up. The first step waits for the data."""
    retry_seconds: Annotated[float, at_least(0)] = 60.0
    """For so long a storage that does not answer is tried again, before a worker goes on without it."""

    def __post_init__(self) -> None:
        check_fields(self, said=as_option)
        if self.grace_seconds < 2 * self.lease_seconds:
            raise ValueError(
                f"grace seconds is {self.grace_seconds:g} and lease seconds is {self.lease_seconds:g}: give a grace of "
                "at least two leases, or a worker that is slow for a moment loses its trial"
            )


def is_remote(address: str | None) -> bool:
    """Whether a Ray cluster runs on other hosts: its address names one."""
    if address in (None, "", "auto", "local"):
        return False
    place = str(address).rpartition("://")[2]
    host = (place.rpartition(":")[0] or place).strip("[]")
    try:  # only an address of this host can be listened on
        kind, _, _, _, where = socket.getaddrinfo(host, 0)[0]
        with socket.socket(kind) as probe:
            probe.bind(where)
    except OSError:
        return True
    return False


def refuse_remote(options: Options, storage: str) -> None:
    """What a Ray cluster of other hosts must have: a storage that it can reach, and a lock on its door.

    Whoever reaches a cluster without authentication runs code on it, and reads what the workers know of the storage
    (CVE-2023-48022).
    """
    address = options.address or os.environ.get("RAY_ADDRESS")
    if not is_remote(address):
        return
    if is_file(storage):
        raise ValueError(
            f"storage {show_storage(storage)} is a file, and workers at {address} cannot open it: {ON_A_SERVER}"
        )
    if os.environ.get("RAY_AUTH_MODE") != "token" and not options.insecure:
        raise ValueError(
            f"the Ray cluster at {address} lets in whoever can reach it: start it with token authentication and set "
            "RAY_AUTH_MODE=token here (docs.ray.io: token authentication), or add --insecure on a network that you "
            "trust"
        )


def trials_at_once(executor: str, options: Options, has: Mapping[str, float]) -> int:
    """How many trials fit on a machine that has so many CPUs and GPUs."""
    if executor == "local":
        return 1
    wanted = {"CPU": options.cpus_per_trial, "GPU": options.gpus_per_trial}
    fits = min(int(has.get(name, 0) / each) for name, each in wanted.items() if each)
    return max(1, min(fits, options.at_once or fits))


def refuse_more_than(has: Mapping[str, float], options: Options, where: str) -> None:
    """A trial that asks for more than there is would wait forever."""
    for name, wanted in {"CPU": options.cpus_per_trial, "GPU": options.gpus_per_trial}.items():
        if wanted > has.get(name, 0):
            raise ValueError(
                f"each trial asks for {wanted:g} {name}s and {where} has {has.get(name, 0):g}: "
                f"lower --{name.lower()}s-per-trial, or give the --address of a larger cluster"
            )
