"""A stand-in for Slurm's `sbatch`: refuses what Slurm would, and runs an array's tasks side by side on this machine."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

OPTIONS = {
    "array": r"0-\d+",
    "exclusive": "",
    "gpus-per-node": r"\d+",
    "gres": r"gpu:\d+",
    "job-name": r"[\w.-]+",
    "nodes": r"\d+",
    "ntasks": r"\d+",
    "ntasks-per-node": r"\d+",
    "open-mode": "append|truncate",
    "output": r"\S+",
    "requeue": "",
    "signal": r"B:TERM@\d+",
    "time": r"\d+:\d\d:\d\d",
}
"""The options that scripts of ours may have, and what Slurm takes as their values."""


def directives(text: str) -> dict[str, str]:
    """The options of a batch script, read as Slurm reads them: none counts any more after the first command."""
    first, *lines = text.splitlines()
    if not first.startswith("#!/"):
        raise SystemExit("sbatch: error: This does not look like a batch script: its first line is no #! interpreter")
    found, command = dict[str, str](), ""
    for line in lines:
        if line.startswith("#SBATCH"):
            if command:
                raise SystemExit(f"sbatch: {line} stands after the command {command}, and Slurm would not see it")
            name, _, value = line.removeprefix("#SBATCH --").partition("=")
            if name not in OPTIONS or not re.fullmatch(OPTIONS[name], value):
                raise SystemExit(f"sbatch: error: unrecognized option {line}")
            found[name] = value
        elif line.strip() and not line.startswith("#"):
            command = command or line
    return found


def main(script: Path) -> int:
    """Run the first two tasks of an array in this folder, from a copy of the script, as Slurm does."""
    options = directives(script.read_text())
    with tempfile.TemporaryDirectory() as spool:
        copy = shutil.copy(script, Path(spool) / "slurm_script")
        tasks = []
        for task in range(2):
            name = options["output"].replace("%x", options["job-name"]).replace("%A", "7").replace("%a", str(task))
            here = {"SLURM_JOB_ID": str(8 + task), "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(task)}
            with open(name, "a") as log:
                tasks.append(
                    subprocess.Popen(
                        ["bash", copy],
                        env={**os.environ, **here, "SLURM_ARRAY_TASK_COUNT": "2"},
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                    )
                )
        return max(task.wait() for task in tasks)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
