"""What a policy that moved leaves behind, run again."""

import pytest
import torch
from small_problems import batch, seeded

from autoaug.learners._replay import learned, replay
from autoaug.policy import Fixed, PolicyTree, Relaxed
from autoaug.record import Record


def moving(records: int) -> list[Record]:
    policy = Relaxed(("rotate", "invert"), stages=1)
    found = []
    for epoch in range(1, records + 1):
        with torch.no_grad():
            policy.selection[0, 0] += epoch > 2
        found.append(Record(epoch=epoch, phase="augment", policy=policy.tree().model_dump(mode="json")))
    refined = Record(epoch=records + 1, phase="refine", policy=Relaxed().tree().model_dump(mode="json"))
    return [*found, refined]


def test_the_last_policy_and_the_way_to_it_can_be_run_again() -> None:
    records = moving(5)
    trees = [PolicyTree.model_validate(record.policy) for record in records]
    assert learned(records) == trees[4]
    whole = replay(records)
    assert [step.epoch for step in whole.root.steps] == [1, 3, 4, 5]  # type: ignore[union-attr]
    for epoch in range(1, 6):
        assert whole.at(epoch) == trees[epoch - 1].root
    assert whole.at(99) == trees[4].root
    policy = Fixed(whole)
    policy.at(4)
    assert torch.equal(policy(batch(8, 1).images, seeded()), Fixed(trees[3])(batch(8, 1).images, seeded()))


def test_a_long_way_is_thinned_and_keeps_its_end() -> None:
    records = moving(40)
    thin = replay(records, most=10)
    steps = thin.root.steps  # type: ignore[union-attr]
    assert steps[0].epoch == 1
    assert len(steps) <= 10
    assert thin.at(40) == learned(records).root


def test_a_run_without_a_learner_left_no_policy() -> None:
    with pytest.raises(ValueError, match=r"no record of this run holds a policy"):
        learned([Record(epoch=1, phase="augment")])
