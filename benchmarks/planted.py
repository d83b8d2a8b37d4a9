"""Do gradient-based strategies find an augmentation that is known, and is what they find worth something by itself?

Digits (scikit-learn's, 8 x 8) are trained as they are, and validated and tested with a known random change. Every arm
trains the same small network for 20 epochs of 8 steps; the online ones move their policy on the way. The start policy
of MADAO, never moved, is the control that matters. Columns, means over seeds with the standard deviation:

    online     test accuracy of the network that was trained while its policy learned
    last       of a network trained from scratch with the policy as it was at the end
    schedule   of a network trained from scratch with the policy of each epoch in turn
    top        the operations with the largest expected share of images per stage, where there are operations, and how
               often each came first
    CPU s      of the online run

Run from the root of the checkout:

    python -m benchmarks.planted --quick
    python -m benchmarks.planted --write benchmarks/results/planted-cpu.md
"""

import argparse
import platform
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Generator

from autoaug.hypergrad import neumann
from autoaug.learners.replay import learned, replay
from autoaug.mixing import MIXES
from autoaug.policy import Fixed, Policy, PolicyTree, op_masses
from autoaug.record import Record
from autoaug.strategies import Strategy, madao, madao_cg, none, random_policy, truncated
from autoaug.strategies.madao import online
from autoaug.train import Task, train

DATA = ("digits-rotated", "digits-rotated-50", "digits-inverted", "digits-translated", "digits-brightness", "digits")

ARMS: dict[str, Callable[[], Strategy]] = {
    "none": none,
    "random_policy": random_policy,
    "madao, never moved": lambda: madao()._replace(within=None),
    'madao("short")': madao,
    'madao("pathwise")': lambda: madao("pathwise"),
    "madao, Neumann(5, 0.1)": lambda: online("short", partial(neumann, 5, 0.1), ()),
    "madao_cg()": madao_cg,
    'madao("paper"), no warm-up': lambda: without_warmup(madao("paper")),
    'truncated("range")': truncated,
    'truncated("odd")': lambda: truncated("odd"),
    'truncated("mlp")': lambda: truncated("mlp"),
}
QUICK = ("none", "madao, never moved", 'madao("short")')


class Result(NamedTuple):
    online: float
    last: float | None
    schedule: float | None
    masses: dict[str, float]
    seconds: float


def without_warmup(strategy: Strategy) -> Strategy:
    """The paper's 30 epochs of warm-up are longer than this training."""
    assert strategy.within is not None
    return strategy._replace(within=partial(strategy.within, warmup=0))


def task(data: str) -> Task:
    return Task(data=data, model="convnet", epochs=20, batch_size=50, lr=0.2)


def records(data: str, policy: Policy, learner: Any, seed: int) -> list[Record]:
    rng = Generator().manual_seed(seed)
    return list(train(task(data), policy, MIXES["none"](), learner, rng, test=True))


def anew(data: str, tree: PolicyTree, seed: int) -> float:
    """Test accuracy of a network trained from scratch with a fixed policy."""
    return records(data, Fixed(tree), None, seed)[-1].metrics["test_accuracy"]


def result(arm: str, data: str, seed: int) -> Result:
    strategy = ARMS[arm]()
    policy = strategy.policy()
    learner = strategy.within(policy) if strategy.within else None
    start = time.process_time()
    found = records(data, policy, learner, seed)
    seconds = time.process_time() - start
    accuracy = found[-1].metrics["test_accuracy"]
    if learner is None:
        return Result(accuracy, None, None, {}, seconds)
    trees = learned(found), replay(found)
    masses = op_masses(trees[0])
    return Result(accuracy, anew(data, trees[0], seed), anew(data, trees[1], seed), masses, seconds)


def row(arm: str, results: Sequence[Result]) -> str:
    scores = [spread([getattr(each, name) for each in results]) for name in ("online", "last", "schedule")]
    seconds = statistics.mean(each.seconds for each in results)
    return f"| {arm} | {' | '.join(scores)} | {tops([each.masses for each in results])} | {seconds:.1f} |"


def spread(found: Sequence[float | None]) -> str:
    values = [value for value in found if value is not None]
    if not values:
        return ""
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"


def tops(masses: Sequence[dict[str, float]]) -> str:
    """The operations that came first, and the mean share of images per stage (of two) of the most frequent one."""
    first = Counter(max(each, key=lambda name: each[name]) for each in masses if len(each) > 10)
    if not first:
        return ""
    [(name, _)] = first.most_common(1)
    share = statistics.mean(each[name] / 2 for each in masses)
    return ", ".join(f"{op} {count}" for op, count in first.most_common()) + f" ({share:.2f})"


def table(data: str, arms: Sequence[str], seeds: int) -> list[str]:
    lines = [f"### {data}", "", "| arm | online | last | schedule | top | CPU s |", "|---|---|---|---|---|---|"]
    for arm in arms:
        lines.append(row(arm, [result(arm, data, seed) for seed in range(seeds)]))
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one dataset, three arms, one seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", nargs="+", default=list(DATA))
    parser.add_argument("--write", type=Path, help="a Markdown file for the tables")
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    arms, seeds, data = (QUICK, 1, DATA[:1]) if given.quick else (tuple(ARMS), given.seeds, given.data)
    lines = [
        f"{seeds} seeds, one thread, {platform.machine()}, torch {torch.__version__}. See `benchmarks/planted.py`.",
        "",
    ]
    for name in data:
        found = table(name, arms, seeds)
        print("\n".join(found), flush=True)
        lines += found
        if given.write:
            given.write.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
