"""What a machine or a cluster must have for a study to run there with these options."""

import os
import socket
from collections.abc import Mapping

from autoaug.options import Options
from autoaug.store import is_file, show_storage

ON_A_SERVER = "give a server, such as --storage env:NAME with postgresql+psycopg://user@host/database"


def is_remote(address: str | None) -> bool:
    """Whether a Ray cluster runs on other hosts: its address names one."""
    if address in (None, "", "auto", "local"):
        return False
    host_and_port = str(address).rpartition("://")[2]
    host = (host_and_port.rpartition(":")[0] or host_and_port).strip("[]")
    try:  # only an address of this host can be listened on
        kind, _, _, _, where = socket.getaddrinfo(host, 0)[0]
        with socket.socket(kind) as probe:
            probe.bind(where)
    except OSError:
        return True
    return False


def refuse_remote(options: Options, storage: str) -> None:
    """Refuse a Ray cluster of other hosts that cannot reach the storage, or lets in whoever reaches it.

    Whoever reaches a cluster without authentication runs code on it, and reads what the workers know of the storage
    (CVE-2023-48022).

    Raises:
        ValueError: it says which of the two, and what would be right.
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


def places(options: Options) -> tuple[int | None, ...]:
    """Return the GPU of each process in which the local executor runs trials; None is one without a GPU of its own.

    There is none where it runs them in this process. Those that share a GPU are far apart: with few, each has its own.
    """
    sharing = max(1, int(1 / (options.gpus_per_trial or 1.0)))
    on_gpus: tuple[int | None, ...] = options.gpus * sharing
    return (on_gpus or (None,) * (options.processes or 0))[: options.at_once]


def trials_at_once(executor: str, options: Options, has: Mapping[str, float]) -> int:
    """Return how many trials fit on a machine that `has` so many CPUs and GPUs; at least 1."""
    if executor == "local":
        return max(1, len(places(options)))
    wanted = {"CPU": options.cpus_per_trial, "GPU": options.gpus_per_trial}
    fits = min(int(has.get(name, 0) / each) for name, each in wanted.items() if each)
    return max(1, min(fits, options.at_once or fits))


def refuse_misplaced(executor: str, options: Options, device: str, has: Mapping[str, float]) -> None:
    """Refuse processes of the local executor on GPUs that are not there, and more of them than the machine can serve.

    Args:
        device: `Task.device`.
        has: the machine's CPUs and GPUs.

    Raises:
        ValueError: it names what was asked for, what there is, and the fix.
    """
    if not places(options):
        return
    gpus, cpus, wanted = int(has["GPU"]), int(has["CPU"]), (options.processes or 0) * options.cpus_per_trial
    asked = f"--gpus {','.join(map(str, options.gpus))}" if options.gpus else f"--processes {options.processes}"
    elsewhere = {f"is of the local executor: leave it out, or --executor {executor}": executor != "local"}
    any_gpu = device in ("auto", "cuda", "cuda:0")  # each process has one, the first that it sees
    on_gpus = {
        f"names a GPU that is not there: this machine has {gpus}, counted from 0": max(options.gpus, default=0) >= gpus,
        f"and Task.device {device!r} contradict each other: give 'auto' there": not any_gpu,
        "gives each process one GPU: give --gpus-per-trial 1 or less": options.gpus_per_trial > 1,
    }
    on_cpus = {
        "would share the first GPU: name GPUs by --gpus, or give Task.device 'cpu'": gpus > 0 and device != "cpu",
        f"needs {wanted:g} CPUs and this machine has {cpus}: give fewer, or lower --cpus-per-trial": wanted > cpus,
    }
    for what, wrong in {**elsewhere, **(on_gpus if options.gpus else on_cpus)}.items():
        if wrong:
            raise ValueError(f"{asked} {what}")


def refuse_more_than(has: Mapping[str, float], options: Options, where: str) -> None:
    """Refuse trials that ask for more CPUs or GPUs than there are: they would wait forever.

    Raises:
        ValueError: it says of what, and how many there are.
    """
    for name, wanted in {"CPU": options.cpus_per_trial, "GPU": options.gpus_per_trial}.items():
        if wanted > has.get(name, 0):
            raise ValueError(
                f"each trial asks for {wanted:g} {name}s and {where} has {has.get(name, 0):g}: "
                f"lower --{name.lower()}s-per-trial, or give the --address of a larger cluster"
            )
