"""The clusters that `autoaug launch` prints something for: `LAUNCHERS`, and what can be chosen there."""

from dataclasses import dataclass, fields
from typing import Annotated
from urllib.parse import urlsplit

from autoaug.fields import TEXT, Matching, above, at_least, check_fields
from autoaug.options import Help, as_option

NOTICE = 120
"""Seconds before the end of a Slurm job at which its driver is told to save and go."""

SPOT_NOTICE = 30
"""Seconds between SIGTERM and the end of a spot machine or of a pod, where nobody says otherwise."""

NEEDED = {
    "artifacts": "its machines share no folder, give a URL that all of them reach, such as s3://bucket/artifacts",
    "image": "give one that holds Ray, autoaug and the project, such as registry.example.org/flowers:1",
    "address": "give where jobs are submitted, such as http://127.0.0.1:8265",
}
"""By option, what one that a launcher needs is to be."""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Choose how wide and how long a study runs on a cluster. What is None is left to the launcher.

    Raises:
        ValueError: a value is out of its range, or a URL holds a password.
    """

    workers: Annotated[
        int | None, at_least(1), Help("Drivers of an array, spot machines, nodes or pods. Else 4.", "N")
    ] = None
    gpus: Annotated[int | None, at_least(0), Help("GPUs of each of them. Else 1.", "N")] = None
    gpus_per_trial: Annotated[
        float | None, above(0), Help("Share of a GPU; below 1, trials share one. Else 1.", "SHARE")
    ] = None
    time: Annotated[
        str | None,
        Matching(r"\d{1,3}:[0-5]\d:[0-5]\d", "hours, minutes and seconds, such as 04:00:00"),
        Help("Limit of a Slurm job. Else that of the partition.", "HH:MM:SS"),
    ] = None
    artifacts: Annotated[
        str | None, TEXT, Help("Where checkpoints lie, for all machines. Else artifacts/ here.", "URL")
    ] = None
    image: Annotated[
        str | None,
        Matching(r"[\w.:/@-]+", "the name of an image, such as registry.example.org/flowers:1"),
        Help("Of the pods (kuberay).", "IMAGE"),
    ] = None
    address: Annotated[
        str | None,
        Matching(r"https?://\S+", "where jobs are submitted, such as http://127.0.0.1:8265"),
        Help("Of a running Ray cluster (ray-job).", "URL"),
    ] = None

    def __post_init__(self) -> None:
        check_fields(self, message=as_option)
        for name in ("artifacts", "address"):
            if urlsplit(getattr(self, name) or "").password is not None:
                raise ValueError(f"{name} holds a password, which would stand in the script: leave it out of the URL")
        if self.time is not None and seconds_of(self.time) <= NOTICE:
            raise ValueError(
                f"time is {self.time}: give more than {NOTICE} s, for so long before its end a job is told to go"
            )


def seconds_of(time: str) -> int:
    """Return a time HH:MM:SS in seconds."""
    hours, minutes, seconds = map(int, time.split(":"))
    return 3600 * hours + 60 * minutes + seconds


@dataclass(frozen=True)
class Launcher:
    """Describe one kind of cluster: its template, which options mean something there, and what is done with the file.

    Hints are formatted with what the template is rendered with.
    """

    template: str
    takes: frozenset[str]
    needs: tuple[str, ...] = ()
    executor: tuple[str, ...] = ()
    """Options of `autoaug run` that choose the executor; none of them is the local one."""
    grace: int | None = None
    """Seconds in which a driver that is told to end must have; None is the default of `autoaug run`."""
    shares_folder: bool = True
    """Whether its machines see the folder in which the file is submitted. Others get a copy of it."""
    storage_in: tuple[str, ...] = ("env", "file")
    """Where its machines can read the URL of a storage."""
    hints: tuple[str, ...] = ()

    @property
    def is_ray_job(self) -> bool:
        """Whether the driver is submitted as a job of Ray, which quotes the words of its command anew."""
        return "--address" in self.executor and not self.shares_folder


RAY_THERE = ("--executor", "ray", "--address", "auto")

LAUNCHERS: dict[str, Launcher] = {
    "slurm": Launcher(
        "slurm.sh",
        frozenset({"workers", "gpus", "gpus_per_trial", "time", "artifacts"}),
        grace=NOTICE - 30,
        hints=("submit it with: sbatch FILE",),
    ),
    "ray-slurm": Launcher(
        "ray-slurm.sh",
        frozenset({"workers", "gpus", "gpus_per_trial", "time", "artifacts"}),
        executor=RAY_THERE,
        hints=("submit it with: sbatch FILE",),
    ),
    "skypilot": Launcher(
        "skypilot.yaml",
        frozenset({"workers", "gpus", "gpus_per_trial", "artifacts"}),
        needs=("artifacts",),
        grace=SPOT_NOTICE - 10,
        shares_folder=False,
        storage_in=("env",),
        hints=(
            'launch them with: for k in $(seq {workers}); do sky jobs launch -y -d -n "{name}-$k" --secret {variable} '
            "FILE; done",
            "for one machine that stays: sky launch --down -i 10 --secret {variable} FILE, which ends it when idle",
        ),
    ),
    "kuberay": Launcher(
        "kuberay.yaml",
        frozenset({"workers", "gpus", "gpus_per_trial", "artifacts", "image"}),
        needs=("image", "artifacts"),
        executor=(*RAY_THERE, "--autoscaling"),
        grace=SPOT_NOTICE - 10,
        shares_folder=False,
        storage_in=("env",),
        hints=(
            'once: printf %s "${variable}" | kubectl create secret generic {secret} --from-file=url=/dev/stdin',
            "submit it with: kubectl create -f FILE",
        ),
    ),
    "ray-job": Launcher(
        "ray-job.sh",
        frozenset({"gpus_per_trial", "artifacts", "address"}),
        needs=("address", "artifacts"),
        executor=RAY_THERE,
        shares_folder=False,
        hints=("submit it with: bash FILE", "the cluster's nodes must know the storage: {storage}"),
    ),
}
"""By name, what `autoaug launch` prints something for."""


def refuse_unfit(name: str, launcher: Launcher, wanted: Launch) -> None:
    """Refuse an option that would mean nothing there, and the lack of one that is needed.

    Raises:
        ValueError: it names the option, and what would be right.
    """
    for field in fields(wanted):
        option, given = f"--{field.name.replace('_', '-')}", getattr(wanted, field.name) is not None
        if given and field.name not in launcher.takes:
            others = ", ".join(other for other, row in LAUNCHERS.items() if field.name in row.takes)
            raise ValueError(f"{option} means nothing to {name}: leave it out; it is of {others}")
        if not given and field.name in launcher.needs:
            raise ValueError(f"{name} needs {option}: {NEEDED[field.name]}")
    gpus = 1 if wanted.gpus is None else wanted.gpus
    if "gpus" in launcher.takes and (wanted.gpus_per_trial or 0) > gpus:
        raise ValueError(
            f"each trial asks for {wanted.gpus_per_trial:g} GPUs and each worker has {gpus}: lower --gpus-per-trial, "
            "or give more --gpus"
        )
    if not launcher.executor and (wanted.gpus_per_trial or 0) > 1:
        raise ValueError(
            f"gpus per trial is {wanted.gpus_per_trial:g}: a driver of {name} gives each trial one GPU or a share: "
            "give 1 or less"
        )
