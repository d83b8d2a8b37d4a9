"""Is everything here that a study needs? One check for each thing that has gone wrong before, with its fix."""

import platform
import re
import shutil
import statistics
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from autoaug.processes import cores
from autoaug.text import counted

if TYPE_CHECKING:
    from autoaug.artifacts import Location, Place

Verdict = Literal["ok", "warn", "fail"]

PACKAGES = ("autoaug", "torch", "torchvision", "optuna", "optuna-dashboard", "ray", "sqlalchemy", "psycopg")

SLOW_REPORT = 0.5
"""Seconds at the 99th percentile. A training waits for each report, once per epoch."""

SKEW = 5.0
"""Seconds between two clocks. Leases go by the storage's own; start times of trials by the host's."""

SCARCE, SPENT = 5e9, 5e8
"""Bytes of free disk: a study of large networks keeps gigabytes of checkpoints, and any study some."""

SLOW_FSYNC = 0.25
"""Seconds. A checkpoint waits for it."""


@dataclass(frozen=True)
class Finding:
    """Report the result of a check."""

    finding: str
    verdict: Verdict = "ok"
    fix: str = ""
    """What to do about it; empty where all is well."""


@dataclass(frozen=True)
class Target:
    """Name the storage, folder and cluster that are examined."""

    storage: str
    """The URL of a storage, or where it is kept: URL, env:NAME or file:PATH."""
    artifacts: "Location"
    address: str | None = None
    """Of a running Ray cluster; None starts one."""


def examine(target: Target) -> Iterator[tuple[str, Callable[[], Finding]]]:
    """Yield every check by name, in the order in which one thing needs another."""
    for name, check in CHECKS.items():
        yield name, lambda check=check: guarded(check, target)  # type: ignore[misc]


def guarded(check: Callable[[Target], Finding], target: Target) -> Finding:
    """Return the finding of a check; one that raises is a failure."""
    try:
        return check(target)
    except ValueError as error:  # its message names value, field and fix
        problem, _, fix = str(error).partition(": ")
        return Finding(problem if fix else str(error), "fail", fix)
    except Exception as error:  # a check may meet any error, and the others still run
        return Finding(f"{type(error).__name__}: {error}".splitlines()[0], "fail", "reinstall what this check names")


def check_versions(target: Target) -> Finding:
    """Return the versions of Python and of the packages that a study runs on."""
    versions = {name: installed(name) for name in PACKAGES}
    listed = ", ".join(f"{name} {number}" for name, number in versions.items() if number)
    return Finding(f"Python {platform.python_version()}, {listed}")


def installed(name: str) -> str | None:
    """Return the version of a package, None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def check_torch_pair(target: Target) -> Finding:
    """Check that torch is the one that torchvision was built for: with another its operators are missing."""
    pins = (re.match(r"torch==([\d.]+)", requirement) for requirement in requires("torchvision") or ())
    required = next((pin[1] for pin in pins if pin), None)
    installed_torch = version("torch").partition("+")[0]
    pair = f"torch {installed_torch} and torchvision {version('torchvision')}"
    if required and required != installed_torch:
        return Finding(f"{pair}, which is built for torch {required}", "fail", f"pip install torch=={required}")
    return Finding(f"{pair} belong together")


def check_gpus(target: Target) -> Finding:
    """Multiply matrices on every GPU, and return their names and free memory."""
    import torch

    driver = nvidia_driver()
    if not torch.cuda.is_available():
        if driver:
            fix = "install the build of torch that fits the driver: https://pytorch.org/get-started"
            return Finding(f"driver {driver} is there, and torch {torch.__version__} sees no GPU", "fail", fix)
        return Finding("none: trials run on the CPU")
    gpus = []
    for index in range(torch.cuda.device_count()):
        torch.ones(8, 8, device=f"cuda:{index}").mm(torch.ones(8, 8, device=f"cuda:{index}")).sum().item()
        free, total = torch.cuda.mem_get_info(index)
        gpus.append(f"{torch.cuda.get_device_name(index)}, {free / 2**30:.0f} of {total / 2**30:.0f} GiB free")
    return Finding(f"{'; '.join(gpus)}; driver {driver or 'unknown'}, CUDA {torch.version.cuda}")


def nvidia_driver() -> str | None:
    """Return the version of NVIDIA's driver, None where there is none."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().partition("\n")[0] or None


def check_threads(target: Target) -> Finding:
    """Check that the cores that are seen may be used: more threads than cores make each other wait."""
    import torch

    usable, threads = cores(), torch.get_num_threads()
    counts = f"cores: {usable}, torch threads: {threads}; a trial takes as many as --cpus-per-trial says"
    quota = cpu_quota()
    if quota and quota < usable:
        fix = f"give Ray {max(1, int(quota))} CPUs (ray start --num-cpus), or the container more"
        return Finding(f"{counts}; the container may use {quota:g} of them", "warn", fix)
    return Finding(counts)


def cpu_quota(file: Path = Path("/sys/fs/cgroup/cpu.max")) -> float | None:
    """Return how many cores the control group of this process may use; None where it has no limit."""
    try:
        quota, period = file.read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def check_ray(target: Target) -> Finding:
    """Start or reach a Ray cluster, and return how many trials it has room for."""
    from autoaug.execution import Options
    from autoaug.executors.ray import cluster, nodes, slots

    start = time.perf_counter()
    with cluster(Options(address=target.address)):
        seconds, room = time.perf_counter() - start, slots(nodes(), Options())
    answer = f"the cluster at {target.address} answers" if target.address else "a cluster of our own starts"
    return Finding(f"{answer} in {seconds:.1f} s, with room for {counted(room, 'trial')} of one CPU")


def check_storage(target: Target) -> Finding:
    """Write, read back and remove a study that trains nothing."""
    from autoaug.store import Store, round_trip, show_storage

    with trial_storage(target.storage) as storage_url:
        store = Store(storage_url)
        try:
            seconds = sorted(round_trip(store, f"doctor-{uuid.uuid4().hex[:12]}"))
        finally:
            store.close()
        median, slow = statistics.median(seconds), seconds[int(0.99 * len(seconds))]
        kind = store.engine.dialect.name
        speed = f"an epoch is reported in {1000 * median:.1f} ms (p50), {1000 * slow:.1f} ms (p99)"
    beside = f"{show_storage(target.storage)} (not there yet, tried beside it)"
    shown = store.display_url if storage_url == target.storage else beside
    if slow > SLOW_REPORT:
        fix = "use a local disk" if kind == "sqlite" else "use a server that is nearer, or less busy"
        return Finding(f"{shown}: {speed}", "warn", f"{fix}: a training waits for each report")
    return Finding(f"{shown}: {speed}")


@contextmanager
def trial_storage(storage_url: str) -> Iterator[str]:
    """Yield a storage to try: the one that was asked for, or one beside it that is removed, where it is new."""
    from autoaug.store import is_new, resolve

    if not is_new(storage_url):
        yield storage_url
        return
    file = Path(resolve(storage_url).partition(":///")[2].partition("?")[0])
    if not file.absolute().parent.is_dir():
        yield storage_url  # it cannot be opened, and its error says why
        return
    with tempfile.TemporaryDirectory(dir=file.absolute().parent, prefix=".doctor-") as folder:
        yield f"sqlite:///{folder}/trial.db"


def check_clock(target: Target) -> Finding:
    """Compare the storage's clock with this host's."""
    from autoaug.store import Store, is_new, server_time

    if is_new(target.storage):
        return Finding("the storage is a file of this host")
    store = Store(target.storage)
    try:
        before = time.time()
        storage_time = server_time(store)
        skew = storage_time - (before + time.time()) / 2
    finally:
        store.close()
    if abs(skew) > SKEW:
        return Finding(f"the storage's clock is {skew:+.1f} s off this host's", "warn", "let both hosts use NTP")
    return Finding(f"the storage's clock is {skew:+.2f} s off this host's")


def check_disk(target: Target) -> Finding:
    """Check that checkpoints can be kept, and that a folder has room for them."""
    from autoaug.artifacts import existing, place_of
    from autoaug.store import network_file_system

    place_of(target.artifacts).check()
    if isinstance(target.artifacts, str):
        return Finding(f"{target.artifacts} can be written, read and removed from")
    folder = existing(target.artifacts)
    free = shutil.disk_usage(folder).free
    network = network_file_system(folder.resolve())
    space = f"{target.artifacts}: {free / 1e9:.1f} GB free, {network or 'local'} file system"
    if free < SCARCE:
        return Finding(space, "fail" if free < SPENT else "warn", "make room, or give another --artifacts")
    return Finding(space)


def check_fsync(target: Target) -> Finding:
    """Time how long it takes until a checkpoint of 1 MB is safe."""
    seconds = []
    with trial_place(target.artifacts) as place:
        for _ in range(10):
            start = time.perf_counter()
            place.write("checkpoint", bytes(1_000_000))
            seconds.append(time.perf_counter() - start)
    median, most = statistics.median(seconds), max(seconds)
    where = "on disk" if isinstance(target.artifacts, Path) else f"at {target.artifacts}"
    speed = f"1 MB is safe {where} in {1000 * median:.0f} ms (p50), {1000 * most:.0f} ms at most"
    if median > SLOW_FSYNC:
        return Finding(speed, "warn", "put --artifacts on a faster disk or nearer, or write checkpoints less often")
    return Finding(speed)


@contextmanager
def trial_place(artifacts: "Location") -> Iterator["Place"]:
    """Yield a place to try inside artifacts, or beside a folder that is not there yet; it is removed."""
    from autoaug.artifacts import Folder, existing, place_of

    if isinstance(artifacts, Path):
        with tempfile.TemporaryDirectory(dir=existing(artifacts), prefix=".doctor-") as folder:
            yield Folder(Path(folder))
        return
    place = place_of(artifacts, 0.0).below(f"doctor-{uuid.uuid4().hex[:12]}")
    try:
        yield place
    finally:
        place.remove()


CHECKS: dict[str, Callable[[Target], Finding]] = {
    "versions": check_versions,
    "torch and torchvision": check_torch_pair,
    "GPUs": check_gpus,
    "threads": check_threads,
    "Ray": check_ray,
    "storage": check_storage,
    "clock": check_clock,
    "checkpoints": check_disk,
    "fsync": check_fsync,
}
"""What is examined, in this order."""
