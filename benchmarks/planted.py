"""Do gradient-based strategies find an augmentation that is known, and is what they find worth something by itself?

Images are trained on as they are, and validated and tested with a known random change: the digits of scikit-learn
(8 x 8, 400 training images, 160 steps) and, with `--cifar`, 2,000 images of CIFAR-10 at 16 x 16 (480 steps). Every arm
trains the same small network; the online ones move their policy on the way, 32 or 40 times unless they say otherwise.
The start policy, never moved, is the control that matters. Columns, means over seeds with the standard deviation:

    online     test accuracy of the network that was trained while its policy learned
    last       of a network trained from scratch with the policy as it was at the end
    schedule   of a network trained from scratch with the policy of each epoch in turn
    learned    of a relaxed policy: the operations with the largest expected share of images per stage, how often each
               came first, and the share of the most frequent one. Warps: between which amounts 90 % of the images were
               changed
    CPU s      of the online run
    n          seeds

The rows of `online_score` differ in what they say: the solver, or the estimator of the paper. Warps only move images,
so they are asked where the answer is a movement, or nothing; one with colours where it is brightness.

Run from the root of the checkout. With `--keep` results are kept as they come, one line of JSON each, and the same
command goes on where it was stopped; delete that file after a change that alters results.

    python -m benchmarks.planted --quick
    python -m benchmarks.planted --cifar cifar10.npz --keep planted.jsonl --write benchmarks/results/planted-cpu.md

The .npz holds x_train, y_train, x_test and y_test, as `autoaug.data.npz` reads them.
"""

import argparse
import json
import platform
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn

from autoaug.data import Source, Split, as_float, resized, subset
from autoaug.data._digits import SHIFTS, Shift, inverted, rotated
from autoaug.hypergrad import conjugate_gradient, identity, neumann
from autoaug.learners._replay import learned, replay
from autoaug.mixing import MIXES
from autoaug.policy import Fixed, PolicyTree, op_masses, ready
from autoaug.record import Record
from autoaug.strategies import (
    Strategy,
    madao,
    madao_cg,
    madao_first_order,
    none,
    online_score,
    random_policy,
    stn,
    truncated,
)
from autoaug.strategies._online import online
from autoaug.strategies._online_score import SCORE
from autoaug.train import Task, train


class Arm(NamedTuple):
    strategy: Callable[[], Strategy]
    point: dict[str, Any] | None = None
    """Of the learner, in place of the task's `every`; {} where the strategy scales it to the training itself."""


def still(strategy: Strategy) -> Strategy:
    """The policy that a learner begins with, never moved."""
    return strategy._replace(within=None)


ARMS: dict[str, Arm] = {
    "none": Arm(none),
    "random_policy": Arm(random_policy),
    "start policy, never moved": Arm(lambda: still(online_score())),
    "online_score()": Arm(online_score),
    "online_score, pathwise": Arm(lambda: online(identity, replace(SCORE, estimator="pathwise"))),
    "online_score, Neumann(5, 0.1)": Arm(lambda: online_score(partial(neumann, 5, 0.1))),
    "online_score, CG(5, 1)": Arm(lambda: online_score(partial(conjugate_gradient, 5, 1.0))),
    "madao()": Arm(madao, {}),
    "madao_cg()": Arm(madao_cg, {}),
    "madao_first_order()": Arm(madao_first_order, {}),
    # The paper's 30 epochs of warm-up are longer than these trainings.
    'madao("paper"), no warm-up': Arm(lambda: madao("paper"), {"warmup": 0}),
    'truncated("range"), never moved': Arm(lambda: still(truncated())),
    'truncated("range")': Arm(truncated),
    'truncated("range", "affine+color")': Arm(lambda: truncated("range", "affine+color")),
    'truncated("odd"), every step': Arm(lambda: truncated("odd"), {"every": 1}),
    'truncated("mlp"), every step': Arm(lambda: truncated("mlp"), {"every": 1}),
    "stn()": Arm(stn, {}),
}
ORACLE = "oracle"
"""The planted change itself as augmentation: what there is to gain."""

CONTROLS = ("none", "random_policy", "start policy, never moved", ORACLE)
CHEAP = ("online_score()", "online_score, pathwise")
PAPER = ("madao()", "madao_cg()", "madao_first_order()", 'madao("paper"), no warm-up')
ONLINE = (*CHEAP, "online_score, CG(5, 1)", *PAPER)
STILL, RANGE = 'truncated("range"), never moved', 'truncated("range")'
WARPS = (STILL, RANGE, 'truncated("odd"), every step', 'truncated("mlp"), every step', "stn()")


class Planted(NamedTuple):
    """A task whose answer is known, and who is asked."""

    task: Task
    shift: Shift | None
    """What was done to the validation and test images."""
    arms: tuple[str, ...]
    every: int = 5
    """Training steps from one update to the next, where the arm does not say."""
    amount: str = "rotate"
    """What is shown of a warp."""


def on_digits(name: str, arms: tuple[str, ...], amount: str = "rotate") -> Planted:
    task = Task(data=name, model="convnet", epochs=20, batch_size=50, lr=0.2)
    return Planted(task, SHIFTS.get(name), (*CONTROLS, *arms), amount=amount)


DIGITS = {
    "digits-rotated": on_digits("digits-rotated", (*ONLINE, "online_score, Neumann(5, 0.1)", *WARPS)),
    "digits-rotated-50": on_digits("digits-rotated-50", (*ONLINE, *WARPS)),
    "digits-translated": on_digits("digits-translated", (*ONLINE, *WARPS), "translate_x"),
    "digits-inverted": on_digits("digits-inverted", ONLINE),
    "digits-brightness": on_digits("digits-brightness", (*ONLINE, 'truncated("range", "affine+color")'), "brightness"),
    "digits": on_digits("digits", (*ONLINE, *WARPS)),
}

CIFAR: dict[str, Shift | None] = {"cifar16-inverted": inverted, "cifar16-rotated-60": rotated(60), "cifar16": None}


def cifar(path: str) -> dict[str, Planted]:
    """2,000 training, 1,000 validation and 10,000 test images of 16 x 16, with the standard crop and flip."""
    found = {}
    for name, shift in CIFAR.items():
        data = partial(shifted_cifar, path, name)
        task = Task(data=data, model="convnet", epochs=12, batch_size=50, lr=0.2)
        warps = () if name == "cifar16-inverted" else (STILL, RANGE)
        found[name] = Planted(task, shift, (*CONTROLS, *CHEAP, *warps), every=12)
    return found


@cache
def shifted_cifar(path: str, name: str, root: Path) -> Source:
    source = resized(subset(path, train=2000, val=1000), 16)(root)
    rng, shift = Generator().manual_seed(0), CIFAR[name]
    assert source.val is not None
    assert source.test is not None

    def changed(split: Split, shift: Shift | None) -> Split:
        images = as_float(split.images)
        return Split(images if shift is None else shift(images, rng), split.targets)

    return replace(
        source, train=changed(source.train, None), val=changed(source.val, shift), test=changed(source.test, shift)
    )


class Known(nn.Module):
    """The planted change as a policy."""

    def __init__(self, shift: Shift) -> None:
        super().__init__()
        self.shift = shift

    def forward(self, images: Tensor, rng: Generator) -> Tensor:
        return self.shift(images, rng)

    def tree(self) -> PolicyTree:
        return ready.none()

    def at(self, epoch: int) -> None:
        """Nothing depends on the epoch."""


@dataclass(frozen=True)
class Result:
    """One arm on one task with one seed."""

    data: str
    arm: str
    seed: int
    online: float
    seconds: float
    last: float | None = None
    schedule: float | None = None
    masses: dict[str, float] | None = None
    """Expected share of images per stage by operation."""
    amounts: tuple[float, float] | None = None
    """5 and 95 % quantiles of the amount that is shown of a warp."""


def records(task: Task, policy: Any, learner: Any, seed: int) -> list[Record]:
    return list(train(task, policy, MIXES["none"](), learner, Generator().manual_seed(seed), test=True))


def accuracy(found: list[Record]) -> float:
    return found[-1].metrics["test_accuracy"]


def result(data: str, planted: Planted, arm: str, seed: int) -> Result:
    policy, learner = set_up(planted, arm)
    start = time.process_time()
    found = records(planted.task, policy, learner, seed)
    first = Result(data, arm, seed, accuracy(found), time.process_time() - start)
    if learner is None:
        return first
    joined = getattr(policy, "compose", False)
    fixed = [Fixed(tree, compose=joined) for tree in (learned(found), replay(found))]
    anew = [accuracy(records(planted.task, each, None, seed)) for each in fixed]
    known = learned(found).provenance
    quantiles = [known.get(f"{planted.amount}.{end}") for end in ("low", "high")]
    return replace(
        first,
        last=anew[0],
        schedule=anew[1],
        masses=None if known else {name: mass / 2 for name, mass in op_masses(learned(found)).items()},
        amounts=None if None in quantiles else tuple(quantiles),
    )


def set_up(planted: Planted, arm: str) -> tuple[Any, Any]:
    if arm == ORACLE:
        assert planted.shift is not None, "where nothing is planted, none is the oracle"
        return Known(planted.shift), None
    strategy, point = ARMS[arm].strategy(), ARMS[arm].point
    policy = strategy.policy()
    point = {"every": planted.every} if point is None else point
    return policy, strategy.within(policy, **point) if strategy.within else None


class Results:
    """What was measured, in a file of one JSON line each where one is given."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        lines = path.read_text().splitlines() if path and path.exists() else []
        self.found = [Result(**json.loads(line)) for line in lines]

    def add(self, found: Result) -> None:
        self.found.append(found)
        if self.path:
            with self.path.open("a") as file:
                file.write(json.dumps(asdict(found)) + "\n")

    def of(self, data: str, arm: str) -> list[Result]:
        return [each for each in self.found if (each.data, each.arm) == (data, arm)]

    def has(self, data: str, arm: str, seed: int) -> bool:
        return any(each.seed == seed for each in self.of(data, arm))


def row(arm: str, found: Sequence[Result]) -> str:
    scores = [spread([getattr(each, name) for each in found]) for name in ("online", "last", "schedule")]
    seconds = statistics.mean(each.seconds for each in found)
    return f"| {arm} | {' | '.join(scores)} | {what_was_learned(found)} | {seconds:.1f} | {len(found)} |"


def spread(found: Sequence[float | None]) -> str:
    values = [value for value in found if value is not None]
    if not values:
        return ""
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"


def what_was_learned(found: Sequence[Result]) -> str:
    if masses := [each.masses for each in found if each.masses]:
        first = Counter(max(each, key=lambda name: each[name]) for each in masses)
        [(name, _)] = first.most_common(1)
        share = statistics.mean(each[name] for each in masses)
        return ", ".join(f"{op} {count}" for op, count in first.most_common()) + f" ({share:.2f})"
    return ", ".join(f"{each.amounts[0]:.3g} to {each.amounts[1]:.3g}" for each in found if each.amounts)


CONCLUSION = "## What was learned\n"


def report(results: Results, tasks: Sequence[str], conclusion: str) -> str:
    lines = [
        "# Planted augmentations",
        "",
        f"{processor()}, 1 thread. torch {torch.__version__}, Python {platform.python_version()}. "
        f"{time.strftime('%Y-%m-%d')}. `benchmarks/planted.py` says what the columns are.",
        "",
        conclusion,
    ]
    for data in tasks:
        rows = [row(arm, found) for arm in (*ARMS, ORACLE) if (found := results.of(data, arm))]
        head = ["| arm | online | last | schedule | learned | CPU s | n |", "|---|---|---|---|---|---:|---:|"]
        lines += [f"## {data}", "", *head, *rows, ""] if rows else []
    return "\n".join(lines)


def conclusion_of(path: Path) -> str:
    """What a person wrote in an earlier report: it stays when the tables are written anew."""
    _, _, after = path.read_text().partition(CONCLUSION) if path.exists() else ("", "", "")
    return CONCLUSION + after.partition("\n## ")[0].rstrip("\n") + "\n" if after else ""


def processor() -> str:
    """The model of the processor where Linux says it, else its family."""
    info = Path("/proc/cpuinfo")
    names = [line.split(": ")[1] for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one task, three arms, one seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cifar", metavar="NPZ", help="CIFAR-10; without it only the digits are run")
    parser.add_argument("--data", nargs="+", help="tasks; all where none is given")
    parser.add_argument("--arms", nargs="+", choices=[*ARMS, ORACLE], default=[*ARMS, ORACLE], metavar="ARM")
    parser.add_argument("--keep", type=Path, metavar="JSONL", help="where results are kept, and found again")
    parser.add_argument("--write", type=Path, metavar="MARKDOWN", help="where the tables go")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    every = DIGITS | (cifar(given.cifar) if given.cifar else {})
    tasks = {name: every[name] for name in given.data or every}
    arms, seeds = given.arms, range(given.seeds)
    if given.quick:
        tasks = {"digits-rotated": every["digits-rotated"]}
        arms, seeds = ["none", "start policy, never moved", "online_score()"], range(1)
    results = Results(given.keep)
    for seed in seeds:  # outermost, so that a run that is stopped early has seen every arm
        for data, planted in tasks.items():
            for arm in arms:
                if arm not in planted.arms or results.has(data, arm, seed) or (arm == ORACLE and not planted.shift):
                    continue
                results.add(result(data, planted, arm, seed))
                print(results.found[-1], flush=True)
    text = report(results, list(every), conclusion_of(given.write) if given.write else "")
    print(text)
    if given.write:
        given.write.write_text(text)


if __name__ == "__main__":
    main()
