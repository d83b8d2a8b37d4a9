"""What the trainings of a study are given, in plain facts that a plan shows."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from autoaug.data import Data, Kind, copies, is_named, is_too_much
from autoaug.metrics import metric_of, row_of
from autoaug.study._definition import Study
from autoaug.study._loading import Loader
from autoaug.text import agreeing, counted, enumerated
from autoaug.train import Task, spelt
from autoaug.trial import Loop


@dataclass(frozen=True)
class DataFacts:
    """Hold what is trained on, and what is always done to it."""

    data: str
    strategies: tuple[str, ...]
    """Those whose searches train on it as a proxy; empty: everything else that a study trains."""
    images: dict[str, int]
    """How many each split has: "train", "val" (what scores are measured on), "test", and "learner" where the images
    that a learner is judged by are others."""
    cut: tuple[str, ...]
    """The splits that were cut from the training images."""
    classes: int
    kind: Kind
    """What a network is given: images, spectrograms or rows of features."""
    pixels: tuple[int, int, int]
    """Its channels, height and width; of a row of features their number is the last."""
    files: dict[str, Any] | None
    """Of a folder of images: how many files, from which size to which, what was passed over and what was changed."""
    holding: str
    """How the images are held while they are trained on, in words."""
    frame: dict[str, int] | None
    """Of images that are decoded here: `shorter`, the side of what is kept of each, and `side`, what a network sees."""
    copies: tuple[dict[str, Any], ...]
    """Between which splits there are copies, how many, and a few of them."""
    only_exact: bool
    """Near copies were not looked for: that would take too long."""
    own_splits: tuple[str, ...]
    """The splits that the user divided, where the data are the user's own."""
    no_effect: tuple[str, ...]
    """Fields of the task that were given and do nothing, for the data bring validation images of their own."""
    validation: dict[str, float]
    """How wide the interval of a validation score is: `half_width` at a value of the study's metric, under its name.
    Empty where the value of a metric does not say how wide its interval is."""
    standard: dict[str, Any]
    """The augmentation that is always on: its name, what it does, and why it is that one."""

    def sentences(self) -> list[str]:
        """Return the facts as lines for people."""
        where = f" in the search of {', '.join(self.strategies)}" if self.strategies else ""
        files = read_from(self.files) if self.files else []
        resized = [brought_to(self.frame)] if self.frame else []
        return [
            f"data{where}: {self.counted()}",
            *files,
            *resized,
            *([f"held: {self.holding}"] if self.files else []),
            *(f"Task.{name} has no effect: the data bring validation images of their own" for name in self.no_effect),
            *(sentence(each) for each in self.copies),
            *(["near copies among the splits were not looked for: there are too many photos"] * self.only_exact),
            *([self.width()] if self.validation else []),
            f"always on{where}: {self.standard['name']} ({self.standard['reason']})",
        ]

    def warnings(self) -> list[str]:
        """Return what should be mended before time is spent: copies between splits that somebody divided on purpose."""
        avoidable = [each for each in self.copies if each["split"] in self.own_splits]
        return [f"data {self.data!r}: {sentence(each)}: take them out of one" for each in avoidable]

    def width(self) -> str:
        """Return how wide the interval of a validation score is, as a line for people."""
        score, half = self.validation.values()
        scored = counted(self.images["val"], f"validation {KINDS[self.kind][0]}")
        return f"{scored}: a score of {figure(score)} is ± {figure(half)}"

    def counted(self) -> str:
        """Return how many images of how many classes are in which split, and their size, in words."""
        parts = [f"{self.images[name]:,} {noun}" for name, noun in NOUNS.items() if name in self.images]
        cut = f" ({' and '.join(NOUNS[name] for name in self.cut)} cut from training)" if self.cut else ""
        noun, shape = KINDS[self.kind]
        return f"{', '.join(parts)} {noun}s{cut} of {counted(self.classes, 'class')}, {shape(*self.pixels)}"


KINDS: dict[Kind, tuple[str, Callable[[int, int, int], str]]] = {
    "images": ("image", lambda c, h, w: f"{h} x {w} pixels in {'colour' if c == 3 else 'one channel'}"),
    "spectrograms": ("spectrogram", lambda c, h, w: f"of {h} bands and {w} frames"),
    "features": ("row", lambda c, h, w: f"of {counted(c * h * w, 'feature')}"),
}
"""What one of each kind is called, and their shape, in words."""

TYPICAL = 0.85
"""A score to show the width of its interval at."""

OF_THE_SPLIT = ("val_fraction", "split_seed", "resplit")
"""Fields of a task that say how validation images are cut from the training images."""

NOUNS = {"train": "training", "learner": "for the learner", "val": "validation", "test": "test"}
"""What the splits are called."""


def read_from(files: dict[str, Any]) -> list[str]:
    """Return which files images were read from, and which were passed over, as lines for people."""
    (low, wide), (high, widest) = files["smallest"], files["largest"]
    sizes = f"{low} x {wide}" + (f" to {high} x {widest}" if (low, wide) != (high, widest) else "")
    summary = [
        f"read from {counted(files['files'], 'file')} of {sizes} pixels"
        + "".join(f"; {note}" for note in files["notes"])
    ]
    rows, left_out = files["passed_over"], files["left_out"]
    count = counted(len(left_out), "file")
    return [
        *summary,
        *([f"left out, for they cannot be read: {count} ({enumerated(left_out, len(left_out))})"] if left_out else []),
        *(
            f"passed over: {row['count']:,} {row['reason']} ({enumerated(row['examples'], row['count'])})"
            for row in rows
        ),
    ]


def brought_to(frame: dict[str, int]) -> str:
    """Return what was made of images when they were decoded, as a line for people."""
    side, shorter = frame["side"], frame["shorter"]
    if shorter <= side:
        return f"all resized to {side} x {side} pixels, of others than squares the centre"
    return f"the shorter side of each resized to {shorter} pixels, smaller ones enlarged; seen at {side} x {side}"


def sentence(copies: dict[str, Any]) -> str:
    """Return how many images of a split are in another too, in words."""
    kinds = [f"{copies[kind]:,} {kind}" for kind in ("exact", "near") if copies[kind]]
    count = copies["exact"] + copies["near"]
    noun = agreeing(count, "copy")
    wrong = f", {copies['other_class']:,} in another class" if copies["other_class"] else ""
    places = f"{NOUNS[copies['among']]} images among the {NOUNS[copies['split']]} images"
    return f"{' and '.join(kinds)} {noun} of {places}{wrong} ({enumerated(copies['examples'], count)})"


def figure(value: float) -> str:
    """Return a share with two digits: ".85"."""
    return f"{value:.2f}".removeprefix("0")


def data_facts(study: Study, load: Loader, only: Sequence[str] = ()) -> list[DataFacts]:
    """Return the facts of a study's data, and of the proxies that some of its strategies search on.

    There are none where a loop of the user's own has its own data.

    Args:
        load: reads the data, test images included: they are counted and compared.
        only: these strategies; none named means all.

    Raises:
        DataError: some data cannot be used.
    """
    if study.task.data is None:
        return []
    searches: dict[tuple[Any, ...], list[str]] = {}
    for name in list(only) or study.strategies:
        task = study.task_of(name)
        searches.setdefault((task.data, task.standard, task.size), []).append(name)
    main_data = (study.task.data, study.task.standard, study.task.size)
    proxies = [(study.task_of(names[0]), names) for key, names in searches.items() if key != main_data]
    return [of_task(task, names, load, study.metric, study.train) for task, names in [(study.task, []), *proxies]]


def width_at(metric: str, score: float, images: int) -> dict[str, float]:
    """Return a score under the name of its metric, and half of the width of its interval on so many images."""
    half = metric_of(metric).half_width(score, images)
    return {} if half is None else {row_of(metric): score, "half_width": round(half, 4)}


def of_task(task: Task, strategies: Sequence[str], load: Loader, metric: str, loop: Loop | None = None) -> DataFacts:
    """Return the facts of the data of one task, which the searches of these strategies train on; none is all else.

    Args:
        loop: of the user's own, that trains on them.
    """
    data = load.whole(task)
    cut = tuple(name for name, is_cut in {"val": data.val_is_cut, "test": data.test_is_cut}.items() if is_cut)
    held_out = {"learner": data.val} if data.selection else {}
    splits = {"train": data.train, **held_out, "val": data.scored, "test": data.test}
    channels, height, width = data.train.images.shape[1:]
    return DataFacts(
        data=str(task.describe()["data"]),
        strategies=tuple(strategies),
        images={name: len(split) for name, split in splits.items() if split},
        cut=cut,
        classes=len(data.classes),
        kind=data.kind,
        pixels=(channels, height, width),
        files=asdict(data.reading) if data.reading else None,
        holding=data.holding,
        frame=data.frame._asdict() if data.frame else None,
        copies=tuple(asdict(each) for each in copies(data) if each.exact or each.near),
        only_exact=any(is_too_much(split) for split in splits.values() if split),
        own_splits=() if is_named(task.data) else tuple(name for name in ("val", "test") if name not in cut),
        no_effect=() if data.val_is_cut else tuple(name for name in OF_THE_SPLIT if is_given(task, name)),
        validation=width_at(metric, TYPICAL, len(data.scored)),
        standard=standard_of(data) if loop is None else by_loop(loop),
    )


def is_given(task: Task, name: str) -> bool:
    """Whether a field of a task has another value than its default."""
    return bool(getattr(task, name) != getattr(Task(data=task.data), name))


def standard_of(data: Data) -> dict[str, Any]:
    """Return the augmentation that is always on for some data, as plain data."""
    return {"name": str(data.standard), **data.standard.plain(), "reason": data.standard_reason}


def by_loop(loop: Loop) -> dict[str, Any]:
    """Return what is always on where a loop of the user's own trains, as plain data."""
    return {"name": "what the loop does itself", "reason": f"train={spelt(loop)}"}
