"""What does `trial.learn(..., weights=...)` cost in a fine-tuning loop, and where does it point?

The networks and images are those of `benchmarks/parts.py`: pretrained on the digits 0 to 7, with a new head for 8 and
9. A plain loop trains them by AdamW, whose head has a learning rate of its own, on batches of 24 of 48 images. After
every step of it each hypergradient is taken through the whole network, its last block and its head, by a trial of its
own with the same draws and the same 48 validation images. The policy stays where it begins.

    ratio        CPU-seconds of `trial.learn` over those of the training step before it (median over the steps)
    of all       the same over that of the whole network in the same step
    cosine       of the hypergradient with that through the whole network: mean and standard deviation over the first
                 and the last third of the steps

All is timed in one process on one thread, each step's kinds in turn.

Run from the root of the checkout:

    python -m benchmarks.parts_in_a_loop
    python -m benchmarks.parts_in_a_loop --write
"""

import argparse
import itertools
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from autoaug import Task
from autoaug.hypergrad import Hypergrad, identity, neumann, unrolled
from autoaug.learners import Batch, Bilevel, Updates
from autoaug.mixing import none as unmixed
from autoaug.models import PARTS, Part, names_of
from autoaug.policy import Relaxed
from autoaug.trial import Trial
from benchmarks.parts import RESULTS, SIZE, page, pretrained, seconds, some, spoken, step, tuning

SMALL = 24
RATE, HEAD_RATE = 1e-3, 1e-2
METHODS: dict[str, Callable[[], Hypergrad]] = {
    "identity (madao_first_order)": identity,
    "Neumann, 5 (madao)": lambda: neumann(5, 1e-3),
    "unrolled, 1 (truncated)": lambda: unrolled(1, 0.0),
}
Kind = tuple[str, Part]


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    head = names_of(model, "head")
    split: dict[bool, list[Tensor]] = {False: [], True: []}
    for name, weight in model.named_parameters():
        split[name in head].append(weight)
    return torch.optim.AdamW([{"params": split[False], "lr": RATE}, {"params": split[True], "lr": HEAD_RATE}])


def trial_of(make: Callable[[], Hypergrad]) -> Trial:
    """A trial whose policy moves by its hypergradient in every step."""
    updates = Updates(estimator="pathwise", every=1, optimiser=partial(torch.optim.SGD, lr=1.0))
    policy = Relaxed()
    return Trial({}, policy, unmixed(), Bilevel(policy, make(), updates), Task(data=None, device="cpu"), 0)


def flat(policy: nn.Module) -> Tensor:
    return torch.cat([value.detach().flatten() for value in policy.parameters()])


def taught(trial: Trial, seed: int, learn: Callable[..., None]) -> tuple[Tensor, float]:
    """The hypergradient that `trial.learn` moves the policy by, and the CPU-seconds of it; the policy goes back."""
    trial.streams["learner"].manual_seed(seed)
    before = {name: value.clone() for name, value in trial.policy.state_dict().items()}
    start = flat(trial.policy)  # type: ignore[arg-type]
    took = seconds(partial(learn, trial))
    found = start - flat(trial.policy)  # type: ignore[arg-type]
    trial.policy.load_state_dict(before)
    return found, took


def batches(given: Batch, steps: int) -> Iterator[Batch]:
    rng = Generator().manual_seed(5)
    for _ in range(steps):
        yield some(given, rng, SMALL)


def fine_tuned(model: nn.Module, steps: int) -> Iterator[dict[Kind, tuple[Tensor, float]]]:
    """Of each step of the loop the hypergradients, and their seconds over those of the step."""
    optimiser, (train, others) = adamw(model), tuning()
    trials = {kind: trial_of(METHODS[kind[0]]) for kind in itertools.product(METHODS, PARTS)}
    rng = Generator().manual_seed(6)
    with ExitStack() as stack:
        for trial in trials.values():
            stack.enter_context(trial.steps.watched())
        for k, each in enumerate(batches(train, steps)):
            val, trained = some(others, rng), seconds(partial(step, model, optimiser, each))
            found: dict[Kind, tuple[Tensor, float]] = {}
            for (method, part), trial in trials.items():

                def learn(trial: Trial, each: Batch = each, val: Batch = val, part: Part = part) -> None:
                    trial.learn(model, each, val, optimiser, weights=part)

                grad, took = taught(trial, k, learn)
                found[method, part] = grad, took / trained
            yield found


def table(kind: Any, pretrain_steps: int, steps: int) -> list[str]:
    """The rows of a network."""
    model = pretrained(kind, pretrain_steps)
    sizes = {name: weight.numel() for name, weight in model.named_parameters()}
    share = {part: sum(sizes[name] for name in names_of(model, part)) for part in PARTS}
    cosines: dict[Kind, list[float]] = defaultdict(list)
    ratios: dict[Kind, list[float]] = defaultdict(list)
    of_all: dict[Kind, list[float]] = defaultdict(list)
    for found in fine_tuned(model, steps + 1):
        for (method, part), (grad, ratio) in found.items():
            whole, most = found[method, "all"]
            cosines[method, part].append(float(functional.cosine_similarity(grad, whole, dim=0)))
            ratios[method, part].append(ratio)
            of_all[method, part].append(ratio / most)
    lines = [
        "| hypergradient | weights= | of them | ratio | of all | cosine, first third | cosine, last third |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    third = steps // 3
    for method, part in itertools.product(METHODS, PARTS):
        key = method, part
        medians = [statistics.median(each[key][1:]) for each in (ratios, of_all)]  # the first step warms up
        ends = [spoken(each) if part != "all" else "1" for each in (cosines[key][:third], cosines[key][-third:])]
        numbers = [f"{share[part]:,}", *(f"{median:.2f}" for median in medians), *ends]
        lines.append(f"| {method} | {part} | {' | '.join(numbers)} |")
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--pretrain-steps", type=int, default=100)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/parts-in-a-loop-cpu.md")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    about = (
        f"`trial.learn(..., weights=...)` after each of {chosen.steps} steps of AdamW (head {HEAD_RATE:g}, rest "
        f"{RATE:g}) on {SMALL} of {SIZE} images of the digits 8 and 9 at 32 x 32, pretrained for "
        f"{chosen.pretrain_steps} steps on the others. Two-stage `Relaxed` of 14 operations, pathwise, float32. "
        "`benchmarks/parts_in_a_loop.py` says what the columns are."
    )
    of_network = partial(table, pretrain_steps=chosen.pretrain_steps, steps=chosen.steps)
    text = page("Hypergradients through a part of the weights in a loop of one's own", about, of_network)
    print(text)
    if chosen.write:
        (RESULTS / "parts-in-a-loop-cpu.md").write_text(text)


if __name__ == "__main__":
    main()
