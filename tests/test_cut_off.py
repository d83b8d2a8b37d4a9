"""A training that is cut off again and again, within its epochs, equals one that nobody touched."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_problems import seeded
from torch import Tensor, nn

from autoaug.artifacts import Folder
from autoaug.checkpoint import Checkpoint
from autoaug.data import Source, Split
from autoaug.hypergrad import running
from autoaug.interruption import Interruption
from autoaug.learners import Bilevel, Updates
from autoaug.mixing import MIXES
from autoaug.policy import Fixed, policy_tree, ready, schedule
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
from autoaug.testing._learner import TASK, requesting, same, stripes
from autoaug.train import NullLearner, Task, TrainingRun, train, train_step
from autoaug.train import _loop as loop


def unsplit(root: Path) -> Source:
    """The same images without a validation split of their own."""
    found = stripes(root)
    assert found.val is not None
    images, targets = (
        torch.cat([getattr(each, name) for each in (found.train, found.val)]) for name in ("images", "targets")
    )
    return Source(train=Split(images, targets), test=found.test, classes=found.classes)


class AlwaysDrawing(nn.Module):
    """A network with dropout that is on in evaluations too, as an average over draws has it."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.last = nn.Linear(64 * channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(nn.functional.dropout(images.flatten(1), training=True))


def with_running_inverse() -> Strategy:
    """A learner whose hypergradient keeps something from update to update."""
    updates = Updates(every=2, hyper_batch=20, val_batch=20)
    return online_score()._replace(within=lambda policy: Bilevel(policy, running(0.1), updates))


def scheduled() -> Strategy:
    """A policy that is another one in every epoch."""
    steps = [(1, ready.none()), (2, ready.randaugment()), (3, ready.standard())]
    tree = policy_tree(schedule([(epoch, each.root) for epoch, each in steps]))
    return none()._replace(policy=lambda: Fixed(tree))


SHORT = replace(TASK, epochs=2)

CASES: dict[str, tuple[Callable[[], Strategy], str, Task]] = {
    "plain": (none, "none", SHORT),
    "policy and mixup": (random_policy, "mixup", SHORT),
    "annealed, after a warm-up": (random_policy, "mixup", replace(TASK, anneal=2, mix_warmup=1)),
    "cutmix": (none, "cutmix", SHORT),
    "schedule": (scheduled, "none", TASK),
    "crop and flip": (none, "none", replace(SHORT, standard="crop+flip")),
    "resplit": (none, "none", replace(SHORT, data=unsplit, resplit="per_epoch", val_fraction=0.3)),
    "resplit with a learner": (
        lambda: truncated("mlp", every=2),
        "none",
        replace(SHORT, data=unsplit, resplit="per_epoch", val_fraction=0.3),
    ),
    "micro-batches": (random_policy, "none", replace(SHORT, micro_batch=4)),
    "draws while it is evaluated": (none, "none", replace(SHORT, model=AlwaysDrawing)),
    "madao": (madao, "mixup", SHORT),
    "madao_cg": (madao_cg, "none", SHORT),
    "madao_first_order": (madao_first_order, "none", SHORT),
    "online_score": (online_score, "none", SHORT),
    "a running inverse": (with_running_inverse, "none", SHORT),
    "truncated": (lambda: truncated(every=2), "none", SHORT),
    "truncated, odd, of the training step": (lambda: truncated("odd", every=2, reuse_graph=True), "none", SHORT),
    "truncated, annealed, of the training step": (
        lambda: truncated("odd", every=2, reuse_graph=True),
        "none",
        replace(SHORT, anneal=1),
    ),
    "stn": (lambda: stn(width=4), "none", SHORT),
    "stn, at test": (lambda: stn(width=4, at_test=True), "none", SHORT),
}


def epochs(case: str, seed: int, **more: Any) -> Iterator[tuple[Record, Any]]:
    """Each epoch of a training, and the state of its policy after it."""
    make, mix, task = CASES[case]
    strategy = make()
    policy: Any = strategy.policy()
    learner = strategy.within(policy) if strategy.within else NullLearner()
    for record in train(task, policy, MIXES[mix](), learner, seeded(seed), test=True, **more):
        yield record, {name: value.clone() for name, value in policy.state_dict().items()}


def cut_off(case: str, folder: Path) -> Iterator[tuple[Record, Any]]:
    """The epochs of one attempt after the other, which ends after one, two or three steps or parts of an evaluation."""
    for attempt in range(1, 100):
        name, *earlier = [f"{number}.pt" for number in range(attempt, 0, -1)]
        interruption = Interruption()
        pulse = requesting(interruption, 1 + attempt % 3)
        given = {"resume": Checkpoint(Folder(folder), name, earlier), "pulse": pulse, "interruption": interruption}
        try:
            yield from epochs(case, attempt, **given)
            return
        except KeyboardInterrupt:
            assert (folder / name).exists()
    pytest.fail("it gets nowhere")


@pytest.mark.filterwarnings("ignore:.*cannot move a logit")
@pytest.mark.parametrize("case", CASES)
def test_a_training_that_is_cut_off_at_every_turn_equals_one_that_nobody_touched(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []

    def counted(run: TrainingRun, *batch: Tensor) -> Tensor:
        steps.append(run.step)
        return train_step(run, *batch)

    monkeypatch.setattr(loop, "train_step", counted)
    whole = list(epochs(case, 1))
    undisturbed = steps[:]
    steps.clear()
    for (one, state), (two, wanted) in zip(cut_off(case, tmp_path), whole, strict=True):
        assert unmeasured(one) == unmeasured(two)
        assert same(state, wanted), f"the policy of epoch {one.epoch} is another"
    assert steps == undisturbed, "each step was made once"


def unmeasured(record: Record) -> tuple[Any, ...]:
    metrics = {name: value for name, value in record.metrics.items() if not name.endswith("seconds")}
    return record.epoch, record.phase, record.policy, metrics


def test_a_crash_within_an_epoch_costs_what_came_after_the_last_checkpoint(tmp_path: Path) -> None:
    whole, pulses = [unmeasured(record) for record, _ in epochs("policy and mixup", 1)], list[None]()

    def crash() -> None:
        pulses.append(None)
        if len(pulses) == 8:  # four steps and an evaluation, and three steps of the second epoch
            raise RuntimeError("the power is out")

    first = Checkpoint(Folder(tmp_path), "1.pt", every_seconds=1e-9)
    with pytest.raises(RuntimeError, match="the power is out"):
        list(epochs("policy and mixup", 1, resume=first, pulse=crash))
    rest = list(epochs("policy and mixup", 2, resume=Checkpoint(Folder(tmp_path), "2.pt", ["1.pt"])))
    assert [unmeasured(record) for record, _ in rest] == whole[1:]
    assert rest[0][0].images == 20, "two of four steps of ten images"


def test_without_an_interval_there_is_no_checkpoint_within_an_epoch(tmp_path: Path) -> None:
    positions = list[Any]()

    class Noting(Checkpoint):
        def save(self, state: Callable[[], dict[str, Any]]) -> None:
            positions.append(state()["position"])

    list(epochs("plain", 1, resume=Noting(Folder(tmp_path), "1.pt", every_seconds=0)))
    assert positions == [None, None], "after each of three epochs but the last"
