"""Which strategy finds the best augmentation for equal CPU-seconds? All of them, on one dataset.

    digits-100      scikit-learn's digits, 8 x 8: 100 training images, 40 epochs. Weak RandAugment and mixup with a
                    small alpha help there, stronger ones hurt: there is something to find
    digits-rotated  400 upright training images, validated and tested rotated within 30 degrees, 20 epochs
    cifar10         `--images` of CIFAR-10 in `--size` x `--size` pixels, half as many to validate, 10,000 to test;
                    8 epochs of batches of 50
    photos          a folder of photos with train and test, seen at `--size` x `--size` pixels, a fifth of the training
                    images to validate; 12 epochs of batches of 50, photo-resnet-8 in place of convnet

Every strategy searches refinement epochs and mixup's alpha beside its own dimensions, spends the same, and its best
point is trained with `--seeds` fresh seeds, for each of which the test split is read once. The network is `convnet`,
17,754 parameters on digits, unless said otherwise. Run from the root of the checkout. All that is found is kept in the
storage, and the same command goes on where it was stopped.

    python -m benchmarks.strategies --data digits-100 --storage sqlite:///strategies.db
    python -m benchmarks.strategies --data cifar10 --path cifar10.npz --cpu-seconds 30 --storage sqlite:///strategies.db
    python -m benchmarks.strategies --data photos --path imagenette --size 96 --cpu-seconds 200 --seeds 3 \\
        --arms none trivialaugment randaugment-tpe madao --storage sqlite:///strategies.db

The .npz holds x_train, y_train, x_test and y_test, as `autoaug.data.npz` reads them. The report replaces the one of
an earlier run, but for what was written by hand under "What was learned".
"""

import argparse
import importlib.metadata
import platform
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from autoaug import Budget, Study, Task
from autoaug.compare import Comparison, Table, legend, stored_comparison, tables
from autoaug.data import resized, subset
from autoaug.execution import Event, Options
from autoaug.executors import run
from autoaug.store import Store
from autoaug.strategies import (
    Strategy,
    affine_grid,
    autoaugment,
    madao,
    none,
    one_epoch_top_k,
    online_score,
    published,
    randaugment,
    random_policy,
    standard,
    stn,
    trivialaugment,
    truncated,
    uniformaugment,
    validated_magnitude,
)
from benchmarks.planted import CONCLUSION, conclusion_of, processor
from search_spaces.mixing import mixup_alpha
from search_spaces.refinement import refine_epochs

ARMS: dict[str, Callable[[], Strategy]] = {
    "none": none,
    "standard": standard,
    "random-policy": random_policy,
    "trivialaugment": trivialaugment,
    "uniformaugment": uniformaugment,
    "autoaugment-cifar10": published,
    "randaugment-tpe": lambda: randaugment("tpe"),
    "randaugment-random": lambda: randaugment("random"),
    "randaugment-grid": lambda: randaugment("grid"),
    "randaugment-gp": lambda: randaugment("gp"),
    "randaugment-cmaes": lambda: randaugment("cmaes"),
    "randaugment-one-epoch": lambda: one_epoch_top_k(randaugment("random")),
    "validated-magnitude": validated_magnitude,
    "affine-grid": affine_grid,
    "autoaugment-tpe": lambda: autoaugment("tpe", sub_policies=2),
    "autoaugment-ppo": lambda: autoaugment("ppo", sub_policies=2),
    "online-score": online_score,
    "madao": madao,
    "truncated": truncated,
    "stn": stn,
}
BASELINE = "trivialaugment"

DIGITS = {
    "digits-100": Task(data="digits-100", model="convnet", epochs=40, batch_size=25, device="cpu"),
    "digits-rotated": Task(data="digits-rotated", model="convnet", epochs=20, batch_size=50, lr=0.2, device="cpu"),
}


def cifar(path: str, size: int, images: int) -> Task:
    few = subset(path, train=images, val=images // 2)
    data = resized(few, size) if size < 32 else few
    return Task(data=data, model="convnet", epochs=8, batch_size=50, lr=0.2, device="cpu")


def photos(path: str, size: int) -> Task:
    return Task(data=path, size=size, model="photo-resnet-8", epochs=12, batch_size=50, val_fraction=0.2, device="cpu")


def task_of(given: argparse.Namespace) -> Task:
    if given.data == "cifar10":
        return cifar(given.path, given.size, given.images)
    return photos(given.path, given.size) if given.data == "photos" else DIGITS[given.data]


def label_of(given: argparse.Namespace) -> str:
    if given.data == "photos":
        return f"{Path(given.path).name}-{given.size}"
    return f"cifar{given.size}-{given.images}" if given.data == "cifar10" else str(given.data)


def report(found: Comparison, study: Study, conclusion: str) -> str:
    said = (
        f"{study.task.model}, {study.task.epochs} epochs of batches of {study.task.batch_size}; {cost_of(study)} "
        "`benchmarks/strategies.py` says what the data is." + missing(study)
    )
    return page(f"Strategies on {study.name}", said, found, conclusion)


def cost_of(study: Study) -> str:
    shared = ", ".join(f"`{name}`" for name in study.space)
    return (
        f"{study.budget.gpu_seconds:g} CPU-seconds for each search, which also moves {shared}; {study.seeds} final "
        "runs."
    )


def page(title: str, said: str, found: Comparison, conclusion: str) -> str:
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("autoaug", "torch", "optuna"))
    return "\n".join(
        [
            f"# {title}",
            "",
            f"{processor()}, 1 thread. {versions}, Python {platform.python_version()}. {time.strftime('%Y-%m-%d')}.",
            "",
            said,
            "",
            conclusion or CONCLUSION,
            "## Results",
            "",
            *(line for table in tables(found, wide=True) for line in markdown(table)),
            *(f"- {line}" for line in legend(found)),
            "",
        ]
    )


def missing(study: Study) -> str:
    arms = [name for name in ARMS if name not in study.strategies]
    return f" Not run: {', '.join(arms)}." if arms else ""


def markdown(table: Table) -> list[str]:
    rows = [table.headings, ["---", *["---:"] * (len(table.headings) - 1)], *table.cells]
    return [*(f"| {' | '.join(row)} |" for row in rows), ""]


def say(event: Event) -> None:
    if event.state not in (None, "RUNNING"):
        print(time.strftime("%H:%M:%S"), event.job, event.state, event.reason, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=[*DIGITS, "cifar10", "photos"], default="digits-100")
    parser.add_argument("--path", help="the .npz of CIFAR-10, or the folder of photos")
    parser.add_argument("--size", type=int, default=16, help="pixels of CIFAR-10's images, or of photos")
    parser.add_argument("--images", type=int, default=2000, help="training images of CIFAR-10")
    parser.add_argument("--seeds", type=int, default=5, help="final runs of each strategy")
    parser.add_argument("--cpu-seconds", type=float, default=15.0, help="of each search")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS), metavar="ARM")
    parser.add_argument("--storage", default="sqlite:///strategies.db")
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="where checkpoints lie on the way")
    parser.add_argument("--write", type=Path, metavar="MARKDOWN", help="where the report goes; else it is printed only")
    given = parser.parse_args()
    if given.data not in DIGITS and not given.path:
        parser.error(f"--data {given.data} needs --path to its file or folder")
    study = Study(
        name=label_of(given),
        task=task_of(given),
        space=refine_epochs | mixup_alpha,
        strategies={name: ARMS[name]() for name in ARMS if name in {BASELINE, *given.arms}},
        baseline=BASELINE,
        budget=Budget(gpu_seconds=given.cpu_seconds),
        seeds=given.seeds,
    )
    store = Store(given.storage)
    run(study, store, options=Options(artifacts=given.artifacts), listen=say)
    found = stored_comparison([(store, study.name)])
    found = replace(found, rows=[row for row in found.rows if row.name in study.strategies])
    text = report(found, study, conclusion_of(given.write) if given.write else "")
    print(text)
    if given.write:
        given.write.write_text(text)
    store.close()


if __name__ == "__main__":
    main()
