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


def trials_at_once(executor: str, options: Options, has: Mapping[str, float]) -> int:
    """Return how many trials fit on a machine that `has` so many CPUs and GPUs; at least 1."""
    if executor == "local":
        return 1
    wanted = {"CPU": options.cpus_per_trial, "GPU": options.gpus_per_trial}
    fits = min(int(has.get(name, 0) / each) for name, each in wanted.items() if each)
    return max(1, min(fits, options.at_once or fits))


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
