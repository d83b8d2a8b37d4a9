"""Which learning rate refines? Clean epochs after augmented ones, at several rates, from one and the same network.

He et al. 2019 ("Data Augmentation Revisited", algorithm 1) end a training with epochs without the augmentation, at the
learning rate that the last stage had, 1 % of the peak or so, at which a step schedule has trained for long; a cosine
gets there in its last steps. Here a network is trained with an augmentation, and what it is then is refined once at
each rate, which is a share of the schedule's peak, with the same order of the images: differences are paired.
".01" keeps the last rate of the cosine, 1 % of the peak. `Task.refine_lr` has its defaults by these tables.
With `--schedules` trainings by other schedules are refined: "linear" and "step" end at 1 % of the peak too, "constant"
at the peak itself, and "restart" begins at the peak and follows the schedule once more, as in an ablation of the paper.

Columns, means over seeds with their standard error: test accuracy before, in percent; what refinement at each rate adds
to it, in points, and (second table) to the test log-loss in nats, where less is better; n is the number of seeds.
The last row is the mean over the rows before it; its error is that of its seeds, not of other data.

Run from the root of the checkout. With `--keep` results are kept as they come, one line of JSON each, and the same
command goes on where it was stopped; delete that file after a change that alters results.

    python -m benchmarks.refinement --quick
    python -m benchmarks.refinement --cifar cifar10.npz --keep refinement.jsonl --write
    python -m benchmarks.refinement --schedules --keep schedules.jsonl

The .npz holds x_train, y_train, x_test and y_test, as `autoaug.data.npz` reads them: 2,000 images of 16 x 16 are used.
"""

import argparse
import copy
import datetime
import json
import math
import platform
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Generator

from autoaug.data import Data, load_data, resized, subset
from autoaug.mixing import MIXES
from autoaug.policy import Fixed, PolicyTree, ready
from autoaug.train import Task
from autoaug.train._loop import global_generators_guarded, one_epoch
from autoaug.train._run import TrainingRun
from benchmarks.planted import processor

SHARES = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 1.0)
"""Of the peak. The first is where the cosine ends."""


class Case(NamedTuple):
    """What is refined."""

    task: Task
    """Its `refine_epochs` are those that are compared with none."""
    policy: Callable[[], PolicyTree] = ready.none
    mix: str = "none"


def on_digits(data: str, lr: float = 0.2, **more: Any) -> Case:
    return Case(Task(data=data, model="convnet", epochs=20, refine_epochs=5, batch_size=50, lr=lr), **more)


randaugment = partial(ready.randaugment, 2, 0.3)

DIGITS = {
    "digits, mixup 1": on_digits("digits", mix="mixup"),
    "digits, mixup 1, peak .1": on_digits("digits", lr=0.1, mix="mixup"),
    "digits, mixup 1, Task()'s rate and batch": Case(
        Task(data="digits", model="convnet", epochs=20, refine_epochs=5), mix="mixup"
    ),
    "digits, CutMix 1": on_digits("digits", mix="cutmix"),
    "digits, RandAugment(2, .3)": on_digits("digits", policy=randaugment),
    "digits-100, mixup 1": on_digits("digits-100", mix="mixup"),
    "digits-100, RandAugment(2, .3)": on_digits("digits-100", policy=randaugment),
}


SCHEDULES = {
    f"{schedule}, {name}": Case(replace(case.task, schedule=schedule), case.policy, case.mix)
    for schedule in ("cosine", "linear", "step", "constant")
    for name, case in DIGITS.items()
    if name.startswith("digits-100")
}
"""By other schedules than the cosine, and by it once more for comparison with the restart."""


def cifar(path: str) -> dict[str, Case]:
    """2,000 training images at 16 x 16 with the standard crop and flip, which stays on."""
    data = resized(subset(path, train=2000, val=500), 16)
    task = Task(data=data, model="convnet", epochs=12, refine_epochs=3, batch_size=50, lr=0.2)
    cases = {"mixup 1": Case(task, mix="mixup"), "RandAugment(2, .3)": Case(task, randaugment)}
    return {f"cifar16-2000, {name}": case for name, case in cases.items()}


@dataclass(frozen=True)
class Seen:
    """One seed of one case: test accuracy and log-loss before refinement, and after it at each share."""

    case: str
    seed: int
    before: tuple[float, float]
    after: dict[str, tuple[float, float]]

    def gain(self, rate: str, figure: int) -> float:
        return self.after[rate][figure] - self.before[figure]


def measured(name: str, case: Case, data: Data, seed: int) -> Seen:
    """Train once, and go on from there at each rate, and by a restart."""
    run = TrainingRun(case.task, Fixed(case.policy()), MIXES[case.mix](), None, Generator().manual_seed(seed), data)
    before = trained(run, replace(case.task, refine_epochs=0))
    state = copy.deepcopy(run.state_dict())
    after = {}
    rates: dict[str, float | str] = {f"{share}": share * case.task.lr for share in SHARES}
    for rate, refine_lr in {**rates, "restart": "restart"}.items():
        run.load_state_dict(copy.deepcopy(state))
        after[rate] = trained(run, replace(case.task, refine_lr=refine_lr))
    return Seen(name, seed, before, after)


def trained(run: TrainingRun, task: Task) -> tuple[float, float]:
    """Test accuracy and log-loss after the task's last epoch, from wherever the run is."""
    run.task = task
    metrics: Mapping[str, float] = {}
    while run.epoch < task.last_epoch:
        with global_generators_guarded(run):
            metrics = one_epoch(run, test=True, validate=False).metrics
    return metrics["test_accuracy"], metrics["test_nll"]


def kept(path: Path | None) -> list[Seen]:
    """What an earlier run of the same command found."""
    lines = path.read_text().splitlines() if path and path.exists() else []
    return [Seen(**json.loads(line)) for line in lines]


def measure(cases: Mapping[str, Case], seeds: Mapping[str, int], path: Path | None) -> Iterator[Seen]:
    """All seeds of all cases, those first that were kept."""
    there = kept(path)
    yield from there
    for name, case in cases.items():
        data = load_data(case.task.data, root=case.task.root, val_fraction=0.1, seed=0, test=True)
        for seed in range(seeds[name]):
            if any((seen.case, seen.seed) == (name, seed) for seen in there):
                continue
            seen = measured(name, case, data, seed)
            if path:
                with path.open("a") as file:
                    file.write(json.dumps(vars(seen)) + "\n")
            yield seen


def mean(values: Sequence[float], digits: int) -> str:
    """Mean and standard error."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return f"{statistics.mean(values):+.{digits}f} ± {error:.{digits}f}"


def table(found: Sequence[Seen], figure: int, scale: float, digits: int) -> str:
    """One row for each case, one column for each rate; `figure` 0 is accuracy, 1 log-loss."""
    rates = list(found[0].after)
    lines = [
        "| case | before | " + " | ".join(rate.lstrip("0").removesuffix(".0") for rate in rates) + " | n |",
        "|---|" + "---:|" * (len(rates) + 2),
    ]
    for name in dict.fromkeys(seen.case for seen in found):
        rows = [seen for seen in found if seen.case == name]
        before = statistics.mean(seen.before[figure] for seen in rows) * scale
        cells = [mean([scale * seen.gain(rate, figure) for seen in rows], digits) for rate in rates]
        lines.append(f"| {name} | {before:.{digits}f} | " + " | ".join(cells) + f" | {len(rows)} |")
    return "\n".join([*lines, "| mean of the rows | | " + " | ".join(overall(found, figure, scale, digits)) + " | |"])


def overall(found: Sequence[Seen], figure: int, scale: float, digits: int) -> Iterable[str]:
    """The mean over the cases, each with the same weight, and its standard error."""
    cases = [[seen for seen in found if seen.case == name] for name in dict.fromkeys(seen.case for seen in found)]
    for rate in found[0].after:
        gains = [[scale * seen.gain(rate, figure) for seen in rows] for rows in cases]
        errors = [statistics.variance(each) / len(each) if len(each) > 1 else math.nan for each in gains]
        middle = statistics.mean(map(statistics.mean, gains))
        yield f"{middle:+.{digits}f} ± {math.sqrt(sum(errors)) / len(cases):.{digits}f}"


def report(found: Sequence[Seen]) -> str:
    threads = f"{processor()}, {torch.get_num_threads()} thread(s)"
    versions = f"{threads}. torch {torch.__version__}, Python {platform.python_version()}. {datetime.date.today()}"
    return "\n\n".join(
        [
            "# Refinement at several learning rates",
            f"{versions}. `benchmarks/refinement.py` says what the columns are.",
            "## Test accuracy",
            table(found, 0, 100, 2),
            "## Test log-loss",
            table(found, 1, 1, 3) + "\n",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=24, help="of each case of digits")
    parser.add_argument("--cifar", help="an .npz with the images of CIFAR-10")
    parser.add_argument("--cifar-seeds", type=int, default=8)
    parser.add_argument("--schedules", action="store_true", help="other schedules instead, on digits-100")
    parser.add_argument("--quick", action="store_true", help="two seeds of the first case")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--write", type=Path, nargs="?", const=Path(__file__).parent / "results" / "refinement-cpu.md")
    chosen = parser.parse_args()
    first = next(iter(DIGITS))
    cases = {first: DIGITS[first]} if chosen.quick else DIGITS | (cifar(chosen.cifar) if chosen.cifar else {})
    cases = SCHEDULES if chosen.schedules else cases
    seeds = {name: chosen.cifar_seeds if name.startswith("cifar") else chosen.seeds for name in cases}
    text = report(list(measure(cases, dict.fromkeys(cases, 2) if chosen.quick else seeds, chosen.keep)))
    print(text)
    if chosen.write:
        chosen.write.write_text(text)


if __name__ == "__main__":
    main()
