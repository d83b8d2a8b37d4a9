"""What the trainings of a study are given, in plain facts that a plan shows."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from autoaug.data import Data, enumerated
from autoaug.study.definition import Study
from autoaug.study.loading import Loader
from autoaug.train import Task


@dataclass(frozen=True)
class DataFacts:
    """What is trained on, and what is always done to it."""

    data: str
    strategies: tuple[str, ...]
    """Those whose searches train on it as a proxy; empty: everything else that a study trains."""
    images: dict[str, int]
    """How many each split has: "train", "val" (what scores are measured on), "test", and "learner" where the images
    that a learner is judged by are others."""
    cut: tuple[str, ...]
    """The splits that were cut from the training images."""
    classes: int
    pixels: tuple[int, int, int]
    """Channels, height and width of what a network is given."""
    files: dict[str, Any] | None
    """Of a folder of images: how many files, from which size to which, what was passed over and what was changed."""
    standard: dict[str, Any]
    """The augmentation that is always on: its name, what it does, and why it is that one."""

    def sentences(self) -> list[str]:
        """The facts as lines for people."""
        where = f" in the search of {', '.join(self.strategies)}" if self.strategies else ""
        files = read_from(self.files) if self.files else []
        return [
            f"data{where}: {self.counted()}",
            *files,
            f"always on{where}: {self.standard['name']} ({self.standard['reason']})",
        ]

    def counted(self) -> str:
        """How many images of how many classes in which split, and of which size."""
        parts = [f"{self.images[name]:,} {noun}" for name, noun in NOUNS.items() if name in self.images]
        channels, height, width = self.pixels
        cut = f" ({' and '.join(NOUNS[name] for name in self.cut)} cut from training)" if self.cut else ""
        colour = "colour" if channels == 3 else "one channel"
        return f"{', '.join(parts)} images{cut} of {self.classes} classes, {height} x {width} pixels in {colour}"


NOUNS = {"train": "training", "learner": "for the learner", "val": "validation", "test": "test"}
"""What the splits are called."""


def read_from(files: dict[str, Any]) -> list[str]:
    """Which files images were read from, and which were passed over, as lines for people."""
    (low, wide), (high, widest) = files["smallest"], files["largest"]
    sizes = f"{low} x {wide}" + (f" to {high} x {widest}" if (low, wide) != (high, widest) else "")
    said = [f"read from {files['files']:,} files of {sizes} pixels" + "".join(f"; {note}" for note in files["notes"])]
    rows = files["passed_over"]
    return [*said, *(f"passed over: {row['count']:,} {row['reason']} ({of(row)})" for row in rows)]


def of(row: dict[str, Any]) -> str:
    return enumerated(row["examples"], row["count"])


def data_facts(study: Study, load: Loader, only: Sequence[str] = ()) -> list[DataFacts]:
    """The facts of a study's data, and of the proxies that some of its strategies search on.

    Args:
        only: these strategies; none named means all.
    """
    searches: dict[tuple[Any, str], list[str]] = {}
    for name in list(only) or study.strategies:
        task = study.task_of(name)
        searches.setdefault((task.data, task.standard), []).append(name)
    own = (study.task.data, study.task.standard)
    proxies = [(study.task_of(names[0]), names) for key, names in searches.items() if key != own]
    return [of_task(task, names, load) for task, names in [(study.task, []), *proxies]]


def of_task(task: Task, strategies: Sequence[str], load: Loader) -> DataFacts:
    data = load.whole(task)
    held_out = {"learner": data.val} if data.selection else {}
    splits = {"train": data.train, **held_out, "val": data.scored, "test": data.test}
    channels, height, width = data.train.images.shape[1:]
    return DataFacts(
        data=str(task.describe()["data"]),
        strategies=tuple(strategies),
        images={name: len(split) for name, split in splits.items() if split},
        cut=tuple(name for name, is_cut in {"val": data.val_is_cut, "test": data.test_is_cut}.items() if is_cut),
        classes=len(data.classes),
        pixels=(channels, height, width),
        files=asdict(data.reading) if data.reading else None,
        standard=standard_of(data),
    )


def standard_of(data: Data) -> dict[str, Any]:
    return {"name": str(data.standard), **asdict(data.standard), "reason": data.standard_reason}
