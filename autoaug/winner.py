"""The policy that a study found, with where it comes from."""

from collections.abc import Mapping
from typing import Any

from autoaug.compare import stored_leaderboard
from autoaug.learners import learned
from autoaug.lookup import lookup
from autoaug.policy import PolicyTree, policy_tree
from autoaug.record import Outcome, best_complete
from autoaug.store import Store
from autoaug.study import Study, set_up


def winning_policy(study: Study, store: Store, strategy: str | None = None) -> PolicyTree:
    """The policy of a strategy's best complete trial; without a strategy, of the first on the leaderboard.

    Where a learner moved the policy it is the last one of that trial. What the policy alone does not say, such as
    refinement epochs and mixing, stands in the provenance under `point`.

    Raises:
        ValueError: nothing was run under this name, the strategy is unknown, or none of its trials is complete.
    """
    if store.definition(study.name) is None:
        raise ValueError(f"study {study.name!r} was not run in {store.shown}: run it, or give another --storage")
    rows = {row.name: row for row in stored_leaderboard(store, study.name)[1]}
    name = lookup(rows, strategy, "strategy").name if strategy else next(iter(rows), None)
    mine = [outcome for outcome in store.outcomes(study.name) if outcome.strategy == name]
    best = best_complete(mine, study.direction == "maximize")
    if name is None or best is None:
        raise ValueError(f"no trial of {name or 'any strategy'} of study {study.name!r} is complete yet: run the study")
    tree = policy_of(study, store, best)
    facts = tree.provenance | provenance(study, best, store.trials(study.name, best.place)[best.trial].user_attrs)
    return policy_tree(tree.root, tree.ranges, facts)


def policy_of(study: Study, store: Store, best: Outcome) -> PolicyTree:
    """The policy that a trial was trained with, or the last one that it learned."""
    if study.strategies[best.strategy].within is None:
        return set_up(study, best.strategy, best.point).policy.tree()
    attempt = (best.place, best.trial)
    return learned(each for each in store.epochs(study.name) if (each.place, each.trial) == attempt)


def provenance(study: Study, best: Outcome, attributes: Mapping[str, Any]) -> dict[str, str | int | float]:
    """What one needs to know to find this policy again, as the facts of a policy file."""
    task = study.task.describe()
    facts: dict[str, Any] = {
        "study": study.name,
        "strategy": best.strategy,
        "trial": best.root,
        "seed": best.seed,
        study.metric: best.value,
        "data": task["data"],
        "model": task["model"],
        "epochs": best.epochs,
        **{f"point {name}": value for name, value in best.point.items()},
        "git_commit": attributes.get("git_commit", "unknown"),
        **attributes.get("versions", {}),
    }
    return {name: value if type(value) in (int, float) else str(value) for name, value in facts.items()}
