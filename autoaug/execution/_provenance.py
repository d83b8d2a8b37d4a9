"""What one needs to know of a trial to make its number again."""

import gc
import hashlib
import json
import resource
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from typing import Any

import torch

from autoaug.data import Data
from autoaug.devices import device_name
from autoaug.execution._job import Job
from autoaug.processes import process_name
from autoaug.study import Study


def of_attempt(study: Study, job: Job) -> dict[str, Any]:
    """Return where a trial comes from, as far as it is known before the trial begins."""
    return {
        "seed": job.seed(study.seed),
        "attempt": job.attempt,
        "root": job.root,
        "worker": process_name(),
        "driver": job.driver,
        "versions": versions(),
        "git_commit": git_commit(),
        "space": fingerprint(study.describe()["spaces"][job.strategy]),
    }


def of_training(data: Data | None, device: torch.device, own_loop: bool = False) -> dict[str, Any]:
    """Return what a training sees and what it runs on, known once the data are loaded; of None the loop's own are.

    Args:
        own_loop: a loop of the user's own trains, which decides itself what is always on.
    """
    if data is None:
        return {"device": device_name(device)}
    facts = {"device": device_name(device), "data": data.fingerprint, "val_images": len(data.scored)}
    return facts if own_loop else {**facts, "standard": data.standard.plain()}


def fingerprint(plain: Any) -> str:
    """Return 16 hexadecimal digits over plain data."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:16]


def reset_peak_memory(device: torch.device) -> None:
    """Begin to measure anew, where that can be done: without what a loop of the user's own has left in a cycle."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory(device: torch.device) -> dict[str, int]:
    """Return the most memory held at once, in bytes: of a GPU by this trial, without one by this process so far."""
    if device.type == "cuda":
        return {"peak_gpu_bytes": torch.cuda.max_memory_allocated(device)}
    kilobytes = 1 if sys.platform == "darwin" else 1024
    return {"peak_process_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilobytes}


@cache
def versions() -> dict[str, str]:
    """Return the version of Python, of this library and of those that what is trained depends on."""
    names = ("autoaug", "torch", "torchvision", "optuna", "ray")
    return {"python": sys.version.split()[0], **{name: version(name) for name in names}}


@cache
def git_commit() -> str:
    """Return the commit of the project that the study is run from, with a `+` where it has uncommitted changes."""
    try:
        commit = run_git("rev-parse", "HEAD")
        return commit[:12] + ("+" if run_git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return "none"


def run_git(*arguments: str) -> str:
    """Return what a git command prints in the folder that the study is run from."""
    command = ["git", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
