"""How fast do photos reach a network, and how much memory do trials on one machine share?

An epoch is prepared as it is for training: random resized crop, flip, TrivialAugment, minibatches of 128 in float32.
Ours comes from the cache of decoded photos, in the epoch after the one that fills it; beside it torchvision's
`ImageFolder` and a `DataLoader` with the same transforms, without and with a worker process. One torch thread each.
They take turns, and the figures are medians over the repeats.

    images/s      by the clock
    CPU           milliseconds of all processes for each image
    ratio         of the CPU time, to the DataLoader without workers, which one core can give at most

Memory is the proportional set size (PSS) of processes that hold the photos and have read all of them: what several
share counts once. That of the photos is of the cache's file, or of the buffer. Photos are those of a folder with
`train/<class>/`, or some that are made: 500 x 375 pixels, JPEG.

    python -m benchmarks.input FOLDER --write benchmarks/results/input-cpu.md
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy
import PIL

os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # before torch, as `autoaug run` does it

import torch
import torchvision
from PIL import Image
from torch import Generator
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from autoaug.mixing import MIXES
from autoaug.photos import cache_folder, clear_cache
from autoaug.policy import Fixed, ready
from autoaug.train import Task, TrainingRun, batches

BATCH = 128


class Cost(NamedTuple):
    seconds: float
    cpu_seconds: float
    images: int


def task(folder: Path, size: int, hold: str, device: str) -> Task:
    return Task(
        data=str(folder),
        size=size,
        hold=hold,
        model="convnet",
        standard="resized-crop+flip",
        batch_size=BATCH,
        device=device,
    )


def training(asked: Task) -> TrainingRun:
    rng = Generator().manual_seed(0)
    return TrainingRun(asked, Fixed(ready.trivialaugment()), MIXES["none"](), None, rng, asked.load())


def our_epoch(run: TrainingRun) -> int:
    """Prepare all minibatches of an epoch; returns how many images that were."""
    run.epoch, count = 1, 0
    for images, targets in run.data.train.minibatches(batches(run)):
        seen = run.augment(run.standard(images), targets).images
        count += len(seen)
    if run.device.type == "cuda":
        torch.cuda.synchronize()
    return count


def loader(folder: Path, size: int, workers: int) -> DataLoader:
    """Torchvision's way; with the images that ours trains on, as many as a tenth and a fifth leave."""
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(size),
            v2.RandomHorizontalFlip(),
            v2.TrivialAugmentWide(),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )
    photos = ImageFolder(str(folder / "train"), transform)
    return DataLoader(photos, BATCH, shuffle=True, num_workers=workers, drop_last=True)


def their_epoch(folder: Path, size: int, workers: int, device: str) -> int:
    """Load all minibatches of an epoch, by worker processes that end with it."""
    count = 0
    for images, _ in loader(folder, size, workers):
        count += len(images.to(device))
    if device != "cpu":
        torch.cuda.synchronize()
    return count


def cost(epoch: Callable[[], int]) -> Cost:
    """Return what an epoch takes: seconds, and CPU-seconds of this process and of those that ended meanwhile."""
    start, cpu = time.perf_counter(), cpu_seconds()
    images = epoch()
    return Cost(time.perf_counter() - start, cpu_seconds() - cpu, images)


def cpu_seconds() -> float:
    return sum(
        used.ru_utime + used.ru_stime
        for used in (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def speed(folder: Path, sizes: list[int], device: str, repeats: int) -> Iterator[str]:
    """Yield the lines of the first table."""
    yield "| size | input | images/s | CPU ms/image | ratio of CPU |"
    yield "|---:|---|---:|---:|---:|"
    for size in sizes:
        first = cost(lambda size=size: decoded(task(folder, size, "cache", device)))
        run = training(task(folder, size, "cache", device))
        ways: dict[str, Callable[[], int]] = {
            "ours, from the cache": lambda run=run: our_epoch(run),
            "DataLoader, no worker": lambda size=size: their_epoch(folder, size, 0, device),
            "DataLoader, 1 worker": lambda size=size: their_epoch(folder, size, 1, device),
        }
        costs: dict[str, list[Cost]] = {name: [] for name in ways}
        for name in [name for _ in range(repeats) for name in ways]:
            costs[name].append(cost(ways[name]))
        per_image = {name: median(each.cpu_seconds / each.images for each in found) for name, found in costs.items()}
        for name, found in costs.items():
            rate = median(each.images / each.seconds for each in found)
            ratio = per_image["DataLoader, no worker"] / per_image[name]
            yield f"| {size} | {name} | {rate:,.0f} | {1000 * per_image[name]:.2f} | {ratio:.1f} |"
        yield f"| {size} | ours, once: all photos into the cache | | {1000 * per(first):.2f} | |"


def decoded(asked: Task) -> int:
    """Fill the cache; returns how many photos that were."""
    reading = asked.load(test=True).reading
    assert reading is not None
    return reading.files


def per(each: Cost) -> float:
    return each.cpu_seconds / each.images


# Memory


def hold_and_wait(folder: Path, size: int, hold: str) -> None:
    """Hold the photos and read all of them, as a trial does; then tell the memory as often as a line is read."""
    torch.set_num_threads(1)
    run = training(task(folder, size, hold, "cpu"))
    before = run.data.train.images
    total = sum(int(images.crops(whole(images), 8, 8).numel()) for images, _ in run.data.train.parts(BATCH))
    assert total == len(before) * 3 * 64
    print("ready", flush=True)
    for _ in sys.stdin:
        total, mapped = pss()
        print(total, mapped or len(before.holder.bytes), flush=True)


def whole(photos: object) -> torch.Tensor:
    """The boxes of whole photos."""
    sizes = photos.sizes  # type: ignore[attr-defined]
    return torch.cat([torch.zeros_like(sizes), sizes], 1)


def pss() -> tuple[int, int]:
    """Return the proportional set size of this process, and of the cache's files in it, in bytes."""
    rollup = Path("/proc/self/smaps_rollup").read_text()
    process = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    mapped, within = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split(" ")[0] and ":" not in line.split(" ")[0]:
            within = line.endswith("pixels.bin")
        elif within and line.startswith("Pss:"):
            mapped += int(line.split()[1])
    return process * 1024, mapped * 1024


def memory(folder: Path, size: int) -> Iterator[str]:
    """Yield the lines of the second table."""
    yield "| hold | processes | all memory, MB | photos, MB | photos, to one process |"
    yield "|---|---:|---:|---:|---:|"
    for hold in ("cache", "memory"):
        one = 0.0
        for count in (1, 4):
            found = measured(folder, size, hold, count)
            total, photos = (sum(each[k] for each in found) for k in (0, 1))
            one = one or photos
            yield f"| {hold} | {count} | {total / 1e6:,.0f} | {photos / 1e6:,.0f} | {photos / one:.2f} |"


def measured(folder: Path, size: int, hold: str, count: int) -> list[tuple[int, int]]:
    """Return the memory of so many processes that hold the photos at the same time."""
    command = [sys.executable, "-m", "benchmarks.input", str(folder), "--held", hold, "--sizes", str(size)]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        return [ask(process) for process in started]
    finally:
        for process in started:
            process.communicate()


def ask(process: "subprocess.Popen[str]") -> tuple[int, int]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    total, mapped = map(int, process.stdout.readline().split())
    return total, mapped


def make(folder: Path, count: int = 100) -> None:
    """Draw photos: smooth colours and some noise."""
    random = numpy.random.default_rng(0)
    for number in range(4 * count):
        path = folder / "train" / f"class {number % 4}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 256, (30, 40, 3), dtype=numpy.uint8))
        smooth = numpy.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC), dtype=numpy.int16)
        noisy = smooth + random.integers(-12, 13, smooth.shape)
        Image.fromarray(noisy.clip(0, 255).astype(numpy.uint8)).save(path, quality=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="with train/<class>/; else photos are made")
    parser.add_argument("--sizes", type=int, nargs="+", default=[96, 128, 224])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--write", type=Path, metavar="MARKDOWN", help="where the tables go; else they are printed only"
    )
    parser.add_argument("--held", help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.held:
        hold_and_wait(given.folder, given.sizes[0], given.held)
        return
    with tempfile.TemporaryDirectory() as name:
        os.environ["AUTOAUG_CACHE"] = f"{name}/cache"
        folder = given.folder or Path(name) / "photos"
        if not given.folder:
            make(folder)
        lines = []
        for line in report(folder, given.sizes, given.device, given.repeats):
            lines.append(line)
            print(line, flush=True)
    if given.write:
        given.write.write_text("\n".join(lines) + "\n")


def report(folder: Path, sizes: list[int], device: str, repeats: int) -> Iterator[str]:
    place = torch.cuda.get_device_name() if device != "cpu" else f"{platform.machine()} CPU"
    yield "# How fast photos reach a network, and what trials share"
    yield ""
    yield (
        f"torch {torch.__version__}, torchvision {torchvision.__version__}, Pillow {PIL.__version__}, Python "
        f"{platform.python_version()}, {place}, {time.strftime('%Y-%m-%d')}. Load average {os.getloadavg()[0]:.1f} on "
        f"{os.cpu_count()} cores. `benchmarks/input.py` says what the columns are."
    )
    yield ""
    yield from memory(folder, max(sizes))  # first: later this process would share the photos too
    clear_cache(cache_folder())
    yield ""
    yield from speed(folder, sizes, device, repeats)


if __name__ == "__main__":
    sys.exit(main())
