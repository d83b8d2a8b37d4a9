"""Does the published setting of every study start, and what would it cost? Checked without a GPU and without its data.

Every study of `studies/` that is to be run as published is tried on made-up data: of the real sizes, classes and shapes
where those are known here (`PUBLISHED_SETS`), but of few images and noise. It goes through `preflight`, as
`autoaug run STUDY --dry-run` does, which makes the first steps of every arm. Then the floating-point operations of a
step, an update of the policy, the draws of a mix and a validation are counted, and scaled up to all trainings of the
study on the real number of images.

Counted are products of matrices and convolutions, two operations for each product and sum. A GPU-hour is taken as
`SUSTAINED` operations: what a GPU reaches depends on the network, the batch and the precision, and on a GPU at hand
`--dry-run` measures it.

Results are kept in `benchmarks/results/paper-settings.json`, and the page `docs/papers/settings.md` is made of them.

    python -m benchmarks.paper_settings [STUDY ...]
"""

import argparse
import contextlib
import json
import os
import tempfile
import time
import wave
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy
import torch
from PIL import Image
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from autoaug import Study, Task
from autoaug.data import DATASETS, Data, Source, Split
from autoaug.data._load import Reader
from autoaug.data._taught import Corrupted
from autoaug.data._torchvision_sets import ROWS
from autoaug.photos import ImageFiles, Photos
from autoaug.study import Loader, preflight, set_up
from autoaug.study._measure import Cost, Stopwatch, Work
from autoaug.study._middle import middle
from autoaug.study._predict import of_strategy
from autoaug.train import TrainingRun
from benchmarks.papers import PAPERS, WIDE, as_text, in_words, module_of, shipped

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "paper-settings.json"

SUSTAINED = 20e12
"""Operations in a second: about a fifteenth of what is printed on a data-centre GPU of 2020 for half precision."""

MADE = 6
"""Made-up images of each class to train on, of photos; and one to validate and to test on."""

CUT = 0.34
"""The share of them that validates, at least, where the data bring no validation images: one of each class."""

PATIENCE = 0.1
"""A few images are enough: operations grow with their number and have no noise."""


@dataclass(frozen=True)
class PublishedSet:
    """Hold how large a dataset is."""

    train: int
    classes: int
    side: int | None = None
    """Height and width of its images; None: they are photos of many sizes."""
    val: int | None = None
    """None: its makers have no such split."""


PUBLISHED_SETS = {
    "cifar10": PublishedSet(50_000, 10, 32),
    "cifar100": PublishedSet(50_000, 100, 32),
    "svhn": PublishedSet(73_257, 10, 32),
    "flowers102": PublishedSet(1_020, 102, val=1_020),
    "oxford-pets": PublishedSet(3_680, 37),
    "fgvc-aircraft": PublishedSet(3_334, 100, val=3_333),
    "stanford-cars": PublishedSet(8_144, 196),
    "imagenet": PublishedSet(1_281_167, 1_000),
    "data/imagenet-100": PublishedSet(126_689, 100),
    "data/tiny-imagenet": PublishedSet(100_000, 200, 64),
    "data/tiny-imagenet-200": PublishedSet(100_000, 200, 64),
    "data/bach": PublishedSet(200, 4),
    "speech-commands": PublishedSet(51_094, 30, val=6_798),
    "data/uci.npz": PublishedSet(120, 3),
}
"""What its makers say of each set. BACH's 400 photos are halved, as `online/table_3` says."""


@dataclass(frozen=True)
class Setting:
    """Hold what was found of one study as published."""

    study: str
    data: str
    model: str
    epochs: int
    arms: int
    seeds: int
    trainings: int
    """Of all arms and seeds, those of searches and of deployed policies with them."""
    operations: float | None
    """Floating-point operations of all trainings; None: its loop is its own, and nothing was counted."""


def settings() -> list[str]:
    """Return the studies that are to be run as published, "refined/table_1:paper": `paper` and all defined after it."""
    found = []
    for path in sorted(ROOT.glob("studies/*/*.py")):
        ref = path.relative_to(ROOT / "studies").with_suffix("").as_posix()
        names = [name for name, value in vars(module_of(ref)).items() if isinstance(value, Study)]
        found += [f"{ref}:{name}" for name in names[names.index("paper") :]]
    return found


def photo(path: Path, random: numpy.random.Generator, side: int | None) -> Path:
    """Write a photo of smooth noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = random.integers(0, 256, (4, 5, 3), dtype=numpy.uint8)
    size = (320, 280) if side is None else (side, side)
    Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR).save(path, quality=80)
    return path


def photos_of(folder: Path, known: PublishedSet) -> dict[str, Split]:
    """Return files of photos, `MADE` of each class to train on and one for each other split."""
    random = numpy.random.default_rng(0)
    counts = {"train": MADE, "test": 1} | ({} if known.val is None else {"val": 1})
    parts = {}
    for part, count in counts.items():
        targets = [at % known.classes for at in range(count * known.classes)]
        paths = tuple(photo(folder / part / f"{at}.jpg", random, known.side) for at in range(len(targets)))
        parts[part] = Split(ImageFiles(paths), torch.tensor(targets), tuple(path.name for path in paths))
    return parts


def arrays_of(known: PublishedSet, side: int) -> dict[str, Split]:
    """Return images of noise, [N, 3, side, side], five times as many of each class as of photos."""
    rng = torch.Generator().manual_seed(0)

    def split(count: int) -> Split:
        images = torch.randint(256, (count * known.classes, 3, side, side), generator=rng, dtype=torch.uint8)
        return Split(images, torch.arange(len(images)) % known.classes)

    return {"train": split(5 * MADE), "test": split(MADE)}


def made_up(name: str, known: PublishedSet) -> Reader:
    """Return a reader of a set of torchvision that makes its images up, and else does as the real one."""

    def read(root: Path) -> Source:
        parts = photos_of(root / name, known) if known.side is None else arrays_of(known, known.side)
        classes = tuple(f"class {at}" for at in range(known.classes))
        return Source(**parts, classes=classes, standard=ROWS[name].standard)

    return read


def write_folder(folder: Path, known: PublishedSet) -> None:
    """Write a folder of photos, `train/<class>/*.jpg` and `test/<class>/*.jpg`."""
    random = numpy.random.default_rng(0)
    for part, count in (("train", MADE), ("test", 1)):
        for at in range(count * known.classes):
            photo(folder / part / f"class-{at % known.classes:03}" / f"{at}.jpg", random, known.side)


def write_tiny_imagenet(folder: Path, known: PublishedSet) -> None:
    """Write a folder as Tiny-ImageNet's archive holds it."""
    random, lines = numpy.random.default_rng(0), []
    for at in range(known.classes):
        number = f"n{at:08}"
        for image in range(MADE):
            photo(folder / "train" / number / "images" / f"{number}_{image}.JPEG", random, known.side)
        shown = photo(folder / "val" / "images" / f"val_{at}.JPEG", random, known.side)
        lines.append(f"{shown.name}\t{number}\t0\t0\t9\t9\n")
    (folder / "val" / "val_annotations.txt").write_text("".join(lines))
    (folder / "words.txt").write_text("".join(f"n{at:08}\tclass {at}\n" for at in range(known.classes)))


def write_speech(folder: Path, known: PublishedSet) -> None:
    """Write a second of noise for each word of Google's Speech Commands, with the lists of its splits."""
    random, listed = numpy.random.default_rng(0), {"validation": [], "testing": []}
    for at in range(known.classes):
        (folder / f"word-{at:02}").mkdir(parents=True)
        for number in range(5 * MADE):
            name = f"word-{at:02}/{number}.wav"
            with wave.open(str(folder / name), "wb") as file:
                file.setparams((1, 2, 16_000, 16_000, "NONE", ""))
                file.writeframes(random.integers(-9_000, 9_000, 16_000, dtype=numpy.int16).tobytes())
            if number < len(listed):
                list(listed.values())[number].append(name)
    for part, names in listed.items():
        (folder / f"{part}_list.txt").write_text("\n".join(names))


def write_flowers(path: Path) -> None:
    """Write 150 rows of four features as the file of the six sets holds them."""
    random = numpy.random.default_rng(0)
    numpy.savez(path, iris_x=random.normal(size=(150, 4)), iris_y=numpy.arange(150) % 3)


@contextlib.contextmanager
def made_up_data() -> Iterator[None]:
    """Let every published dataset be made up, in a folder that is the current one meanwhile."""
    real, before = dict(DATASETS), Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        data = Path("data")
        for name, known in PUBLISHED_SETS.items():
            if name in ROWS:
                DATASETS[name] = made_up(name, known)
        for name in ("imagenet-100", "tiny-imagenet", "bach"):
            write_folder(data / name, PUBLISHED_SETS[f"data/{name}"])
        write_tiny_imagenet(data / "tiny-imagenet-200", PUBLISHED_SETS["data/tiny-imagenet-200"])
        write_speech(data / "speech_commands_v0.01", PUBLISHED_SETS["speech-commands"])
        write_flowers(data / "uci.npz")
        try:
            yield
        finally:
            DATASETS.clear()
            DATASETS.update(real)
            os.chdir(before)


def set_of(task: Task) -> PublishedSet | None:
    """Return how large the real data of a task are; None where nobody knows."""
    data = task.data.data if isinstance(task.data, Corrupted) else task.data
    name = str(data).partition(":")[0]
    relative = name[name.find("data/") :] if "data/" in name else name
    return PUBLISHED_SETS.get(relative)


def stretched(split: Split, count: int) -> Split:
    """Return a split of so many images, all of them the same: what is counted depends on their number alone."""
    images, targets = split.images, split.targets
    if isinstance(images, Photos):
        return Split(images[torch.arange(count) % len(images)], targets[:1].expand(count))
    return Split(images[:1].expand(count, *images.shape[1:]), targets[:1].expand(count))


def as_large(data: Data, val_fraction: float, known: PublishedSet) -> Data:
    """Return made-up data with as many images to train and to validate on as the real ones have."""
    cut = known.train * val_fraction if data.val_is_cut else 0
    val = known.val or round(cut)
    selection = None if data.selection is None else stretched(data.selection, val)
    sizes = {"train": stretched(data.train, known.train - round(cut)), "val": stretched(data.val, val)}
    return replace(data, **sizes, selection=selection, pool=None)


def operations_of(work: Work, size: int, run: TrainingRun) -> float:
    """Return the floating-point operations of `work(size)`."""
    with FlopCounterMode(display=False) as counter:
        work(size)
    return float(counter.get_total_flops())


def neighbours(images: Tensor, classes: Tensor | None, k: int) -> Tensor:
    """Return the first image as the neighbour of all, which are the same: to find them once is not counted."""
    return torch.zeros(len(images), k, dtype=torch.int32)


def tried(study: Study) -> Study:
    """Return a study whose validation images, where it cuts some, are one of each class of the few that are made up."""
    return replace(study, task=replace(study.task, val_fraction=max(study.task.val_fraction, CUT)))


def counted(study: Study, val_fraction: float) -> float | None:
    """Return the operations of all trainings of a study; None where its loop is its own.

    Args:
        val_fraction: of the training images, where none are made for it.

    Raises:
        ValueError: nobody knows how large its data are.
    """
    if study.train is not None:
        return None
    load, count = Loader(), Stopwatch(PATIENCE, operations_of)

    def measure(name: str, point: Mapping[str, Any], search: bool) -> Cost:
        setup = set_up(study, name, point, search=search)
        known = set_of(setup.task)
        if known is None:
            raise ValueError(f"{study.name}: how large are the data {setup.task.data}? Give PUBLISHED_SETS a row")
        return count(setup, as_large(load(setup.task), val_fraction, known))

    with mock.patch("autoaug.mixing._neighbours.kept", neighbours):
        costs = [(name, of_strategy(study, name, 1.0, measure)) for name in study.strategies]
    return sum(cost.search(study, name) + cost.finals(study) for name, cost in costs if cost is not None)


def trainings_of(study: Study, name: str) -> int:
    """Return how many trainings an arm makes: of its search, final runs, and what learned policies are deployed in."""
    learns = set_up(study, name, middle(study.space_of(name))).learner.moves_policy
    searched = (study.trials_of(name) or 0) + study.reruns_of(name)
    return searched + study.seeds * (1 + len(study.deploy) * learns)


def found_of(ref: str) -> Setting:
    """Return what is found of a study as published.

    Raises:
        ValueError: it cannot start.
    """
    published = shipped(ref)
    study = tried(published)
    preflight(study)
    operations = counted(study, published.task.val_fraction)
    return Setting(
        study=ref,
        data=in_words(study.task.data) if study.train is None else "",
        model=as_text(study.task.model) if study.train is None else "its own",
        epochs=study.task.epochs,
        arms=len(study.strategies),
        seeds=study.seeds,
        trainings=sum(trainings_of(study, name) for name in study.strategies),
        operations=None if operations is None else float(f"{operations:.4g}"),
    )


def read_settings() -> dict[str, Setting]:
    """Return what was found of all studies as published, by study."""
    return {name: Setting(**each) for name, each in json.loads(RESULTS.read_text()).items()} if RESULTS.exists() else {}


def settings_page(found: Mapping[str, Setting]) -> str:
    """Return the page of what the published settings are and cost."""
    rows = [
        f"| `{name}` | {each.data} | {each.model}, {each.epochs} epochs | {each.arms} x {each.seeds} "
        f"| {each.trainings} | {exa(each)} | {hours(each)} |"
        for name, each in sorted(found.items())
    ]
    return "\n".join(
        [
            WIDE,
            "# The settings of the papers, and what they cost",
            "",
            f"Each of these {len(found)} studies has the published recipe, data, network and seeds, and is started by "
            "its name, `autoaug run refined/table_1:paper`. None was run as published: no GPU was at hand. Each was "
            "tried on made-up data of its real shapes and classes, as `--dry-run` tries it: the data are read, and "
            "every arm makes its first steps with every network, mix and learner.",
            "",
            "The floating-point operations of steps, updates of policies, mixes and validations are counted, two for "
            "each product and sum in convolutions and products of matrices, and scaled up to all trainings on the real "
            f"number of images. **The GPU-hours are a prediction: those operations at {SUSTAINED / 1e12:.0f} "
            "TFLOP/s**, an assumption. What your GPU sustains depends on the network, the minibatch and the precision, "
            "and small networks on images of 32 pixels sustain less. On a GPU `--dry-run` measures it: trust that. "
            "Final runs that train on the validation images too are counted as if they did not. Written by "
            "`python -m benchmarks.paper_settings`.",
            "",
            "| study | data | trained | arms x seeds | trainings | EFLOP | GPU-hours |",
            "| --- | --- | --- | ---: | ---: | ---: | ---: |",
            *rows,
            "",
        ]
    )


def exa(setting: Setting) -> str:
    """Return operations in EFLOP, 10^18."""
    return "" if setting.operations is None else f"{setting.operations / 1e18:,.3g}"


def hours(setting: Setting) -> str:
    """Return the predicted GPU-hours."""
    if setting.operations is None:
        return "minutes on a CPU"
    found = setting.operations / SUSTAINED / 3600
    return "< .1" if found < 0.1 else f"{found:,.3g}" if found < 1000 else f"{found:,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", metavar="STUDY", help="none named means all that are not done")
    given = parser.parse_args()
    found = read_settings()
    with made_up_data():  # before any study is imported: some name their folders from the current one
        for ref in given.studies or [each for each in settings() if each not in found]:
            began = time.monotonic()
            try:
                found[ref] = found_of(ref)
            except ValueError as error:
                print(f"{ref}: {error}", flush=True)
                continue
            RESULTS.write_text(json.dumps({name: asdict(found[name]) for name in sorted(found)}, indent=1) + "\n")
            print(f"{ref}: {exa(found[ref]) or '?'} EFLOP, tried in {time.monotonic() - began:.0f} s", flush=True)
    (PAPERS / "settings.md").write_text(settings_page(found))


if __name__ == "__main__":
    main()
