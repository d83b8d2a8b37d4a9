"""What a policy that moved left behind: its end, and the way there.

The accuracy of a network that was trained while its policy learned says little about that policy: the weights carry
what validation images taught them on the way, and a published case fell from 59 to 11 percent when the learned policy
was used anew. So an online result counts twice: as trained, and from scratch with `Fixed(learned(records))` or, policy
by policy, with `Fixed(replay(records))`.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import TYPE_CHECKING

from autoaug.record import Record

if TYPE_CHECKING:
    from autoaug.policy import PolicyTree


def learned(records: Iterable[Record]) -> "PolicyTree":
    """Return the last policy of a run.

    Raises:
        ValueError: no record holds a policy, as in a run without a learner.
    """
    return trees(records)[-1][1]


def replay(records: Iterable[Record], most: int = 100) -> "PolicyTree":
    """Return the policies of a run as a schedule: in each epoch the one with which that epoch ended.

    Ranges and provenance are those of the last.

    Args:
        most: steps of the schedule; a longer run is thinned evenly, its last policy kept.

    Raises:
        ValueError: no record holds a policy, as in a run without a learner.
    """
    from autoaug.policy import policy_tree, schedule  # here, because it loads torch, and the names of DEPLOYS do not

    epochs = trees(records)
    changes = epochs[:1] + [new for old, new in pairwise(epochs) if old[1] != new[1]]
    stride = -(-len(changes) // most)
    kept = changes[::-1][::stride][::-1]
    steps = [(epoch if k else 1, tree.at(epoch)) for k, (epoch, tree) in enumerate(kept)]
    last = kept[-1][1]
    return policy_tree(schedule(steps), last.ranges, last.provenance)


DEPLOYS: "dict[str, Callable[[Iterable[Record]], PolicyTree]]" = {"last_policy": learned, "policy_schedule": replay}
"""What can be made of a policy that moved, for a training from scratch."""


def trees(records: Iterable[Record]) -> "list[tuple[int, PolicyTree]]":
    """Return (epoch, policy at its end) for each augmented epoch, in order; of an epoch that was repeated, the last.

    Raises:
        ValueError: no record holds a policy.
    """
    from autoaug.policy import PolicyTree

    policies = {
        record.epoch: PolicyTree.model_validate(record.policy)
        for record in records
        if record.policy is not None and record.phase == "augment"
    }
    if not policies:
        raise ValueError("no record of this run holds a policy: only runs with a learner record one")
    return sorted(policies.items(), key=lambda pair: pair[0])
