"""Does the search of an augmentation help where a pretrained network is fine-tuned on a few photos?

A network is trained on all classes of a folder of photos but the last two, and its weights are written to a file, as
nobody's weights can be had without a network. Then every strategy fine-tunes it on `--images` photos of the two classes
that it has never seen: it searches for how many epochs the head trains alone and how fast the rest follows beside its
own dimensions, spends the same, and its best point is trained with `--seeds` fresh seeds, for each of which the test
split is read once. The photos of the two classes that are not trained on serve to validate (50 a class) and to test.

    python -m benchmarks.fine_tuning --path imagenette --storage sqlite:///fine-tuning.db

The folder has train and test with a folder for each class. All that is found is kept in the storage, and the same
command goes on where it was stopped. Run from the root of the checkout. The report replaces the one of an earlier run,
but for what was written by hand under "What was learned".
"""

import argparse
from pathlib import Path

import torch

from autoaug import Budget, Study, Task
from autoaug.compare import stored_comparison
from autoaug.execution import Options
from autoaug.executors import run
from autoaug.mixing import none as unmixed
from autoaug.policy import Fixed, policy_tree, sequence
from autoaug.store import Store
from autoaug.strategies import madao, none, online_score, randaugment, trivialaugment
from autoaug.train import train
from benchmarks.planted import conclusion_of
from benchmarks.strategies import cost_of, page, say
from search_spaces.fine_tuning import fine_tuning

MODEL, VAL_PER_CLASS = "photo-resnet-8", 50


def link(photos: list[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for photo in photos:
        place = folder / f"{photo.parent.parent.name}-{photo.name}"
        if not place.is_symlink():
            place.symlink_to(photo.resolve())


def divide(path: Path, into: Path, images: int) -> tuple[Path, Path]:
    """Folders of links: the classes to pretrain on, and the last two to fine-tune on, with splits of their own."""
    many, few = into / "many", into / f"few-{images}"
    names = sorted(entry.name for entry in (path / "train").iterdir() if entry.is_dir())
    for name in names:
        train, test = (sorted((path / split / name).iterdir()) for split in ("train", "test"))
        if name in names[:-2]:
            link(train, many / "train" / name)
            link(test, many / "test" / name)
            continue
        first, second = images // 2, images // 2 + VAL_PER_CLASS
        link(train[:first], few / "train" / name)
        link(train[first:second], few / "val" / name)
        link([*train[second:], *test], few / "test" / name)
    return many, few


def pretrain(path: Path, size: int, epochs: int, weights: Path) -> str:
    """Train on the many classes, write the weights, and say how good the network is on its own classes."""
    task = Task(data=str(path), size=size, model=MODEL, epochs=epochs, batch_size=50, device="cpu")
    data, policy = task.load(test=True), Fixed(policy_tree(sequence()))
    for record in train(task, policy, unmixed(), test=True, data=data, finished=lambda run: run.save_weights(weights)):
        print(f"pretraining: epoch {record.epoch} of {epochs}", flush=True)
    accuracy = record.metrics["test_accuracy"]
    return f"{len(data.train):,} photos of {len(data.classes)} classes, {epochs} epochs: test accuracy {accuracy:.3f}"


def study_of(few: Path, given: argparse.Namespace, weights: Path) -> Study:
    return Study(
        name=f"fine-tuning-{given.images}",
        task=Task(
            data=str(few),
            size=given.size,
            model=MODEL,
            weights=str(weights),
            epochs=given.epochs,
            batch_size=25,
            lr=0.05,
            device="cpu",
        ),
        space=fine_tuning,
        strategies={
            "none": none(),
            "trivialaugment": trivialaugment(),
            "randaugment-tpe": randaugment("tpe"),
            "online-score": online_score(),
            "madao": madao(),
        },
        budget=Budget(gpu_seconds=given.cpu_seconds),
        seeds=given.seeds,
    )


def report(study: Study, store: Store, pretrained: str, images: int, conclusion: str) -> str:
    task = study.task
    said = (
        f"{task.model} at {task.size} x {task.size} pixels, pretrained on {pretrained}. Fine-tuned for {task.epochs} "
        f"epochs of batches of {task.batch_size}; {cost_of(study)} `benchmarks/fine_tuning.py` says what is trained on "
        "what."
    )
    found = stored_comparison([(store, study.name)])
    return page(f"Fine-tuning on {images} photos of two classes", said, found, conclusion)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--path", type=Path, required=True, help="a folder of photos")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--images", type=int, default=50, help="to fine-tune on, of both classes together")
    parser.add_argument("--pretrain-epochs", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=40, help="of fine-tuning")
    parser.add_argument("--seeds", type=int, default=5, help="final runs of each strategy")
    parser.add_argument("--cpu-seconds", type=float, default=40.0, help="of each search")
    parser.add_argument("--folder", type=Path, default=Path("fine-tuning"), help="for links and weights")
    parser.add_argument("--storage", default="sqlite:///fine-tuning.db")
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="where checkpoints lie on the way")
    parser.add_argument("--write", type=Path, metavar="MARKDOWN", help="where the report goes; else it is printed only")
    given = parser.parse_args()
    torch.set_num_threads(1)
    many, few = divide(given.path, given.folder, given.images)
    weights = given.folder.absolute() / f"{MODEL}-{given.size}.safetensors"
    said = weights.with_suffix(".txt")
    if not said.exists():
        said.write_text(pretrain(many, given.size, given.pretrain_epochs, weights))
    study, store = study_of(few, given, weights), Store(given.storage)
    run(study, store, options=Options(artifacts=given.artifacts), listen=say)
    text = report(study, store, said.read_text(), given.images, conclusion_of(given.write) if given.write else "")
    print(text)
    if given.write:
        given.write.write_text(text)
    store.close()


if __name__ == "__main__":
    main()
