"""The policy that a study found, with where it comes from."""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from autoaug.compare import (
    ALWAYS_ON,
    Comparison,
    LeaderboardRow,
    sentence,
    show_interval,
    stored_leaderboard,
    verdict,
)
from autoaug.compare._comparison import OWN_DATA, by_loop
from autoaug.data import Standard, public_name
from autoaug.learners import learned
from autoaug.lookup import lookup
from autoaug.policy import Apply, Choice, PolicyTree, Schedule, apply, decode, policy_tree, schedule, sequence
from autoaug.policy import Sequence as InTurn
from autoaug.record import Outcome, best_complete
from autoaug.store import Attempted, Store, epochs_of, id_of_trial, note_policies
from autoaug.study import Study, set_up
from autoaug.text import shown
from autoaug.train import resolved_standard, spelt


def winning_policy(
    study: Study, store: Store, strategy: str | None = None, *, with_standard: bool = True
) -> PolicyTree:
    """Return the policy of a strategy's best complete trial; without a strategy, of the first on the leaderboard.

    Where a learner moved the policy it is the last one of that trial. What the policy alone does not say, such as
    refinement epochs and mixing, stands in the provenance under `point`, and how sure it is under `verdict`.

    Args:
        study: the same that was run.
        store: where it was run.
        strategy: its name in the study.
        with_standard: begin with the standard augmentation that was always on. What was tested is both together; in a
            training that brings its own, such as that of a `Task`, it would be applied twice.

    Raises:
        ValueError: nothing was run under this name, the strategy is unknown, or none of its trials is complete.
    """
    if store.definition(study.name) is None:
        raise ValueError(f"study {study.name!r} was not run in {store.display_url}: run it, or give another --storage")
    comparison, attempts = read(study, store)
    rows = {row.name: row for row in comparison.rows}
    name = lookup(rows, strategy, "strategy").name if strategy else next(iter(rows), None)
    best = best_attempt(study, attempts, name)
    if best is None:
        raise ValueError(f"no trial of {name or 'any strategy'} of study {study.name!r} is complete yet: run the study")
    return tree_of(study, store, comparison, best, with_standard)


def keep_policies(study: Study, store: Store) -> None:
    """Keep the policy of every strategy that has a complete trial beside the study, for pages that show them.

    Args:
        study: the same that was run.
        store: where it was run.
    """
    comparison, attempts = read(study, store)
    best = {name: best_attempt(study, attempts, name) for name in study.strategies}
    trees = {name: tree_of(study, store, comparison, each) for name, each in best.items() if each}
    note_policies(store, study.name, {name: tree.model_dump(mode="json") for name, tree in trees.items()})


def read(study: Study, store: Store) -> tuple[Comparison, list[Attempted]]:
    """Return the leaderboard of a study that was run, and all attempts at its trials."""
    definition, ranked = stored_leaderboard(store, study.name)
    attempts = store.attempts(study.name)
    return Comparison((study.name,), definition, ranked, [attempt.outcome for attempt in attempts]), attempts


def best_attempt(study: Study, attempts: Sequence[Attempted], strategy: str | None) -> Attempted | None:
    """Return the attempt that was a strategy's best complete trial; None where it has none."""
    of_strategy = [attempt for attempt in attempts if attempt.outcome.strategy == strategy]
    best = best_complete((attempt.outcome for attempt in of_strategy), study.direction == "maximize")
    return next((attempt for attempt in of_strategy if attempt.outcome is best), None)


def tree_of(
    study: Study, store: Store, comparison: Comparison, best: Attempted, with_standard: bool = True
) -> PolicyTree:
    """Return the policy of a trial, with where it comes from and how sure it is."""
    row = next(row for row in comparison.rows if row.name == best.outcome.strategy)
    tree, attributes = policy_of(study, store, best.outcome, best.trial), best.trial.user_attrs
    facts = tree.provenance | provenance(study, best.outcome, attributes) | evidence(row, comparison)
    standard = Standard(**attributes["standard"]) if "standard" in attributes else None
    before = nodes_of(standard) if standard and with_standard else []
    facts[ALWAYS_ON] = told(standard, with_standard) if standard else untold(study)
    return policy_tree(with_nodes_before(before, tree.root) if before else tree.root, tree.ranges, facts)


def told(standard: Standard, with_standard: bool) -> str:
    """Return what was always on, and how much of it a policy begins with where it does."""
    if not with_standard or str(standard) == "none":
        return str(standard)
    if standard.scale is None:
        return f"{standard}, which this policy begins with"
    ratio = tuple(round(end, 4) for end in standard.ratio)
    crop = f"RandomResizedCrop(size, scale={standard.scale}, ratio={ratio})"
    rest = ", which begins with the rest" if nodes_of(standard) else ""
    return f"{standard}, of which torchvision's {crop} comes before this policy{rest}"


def untold(study: Study) -> str:
    """Return what was always on where a trial does not say it."""
    if study.train is not None:
        return by_loop(spelt(study.train))
    return "not recorded: the trial is of an earlier version"


Node = Apply | InTurn | Choice


def nodes_of(standard: Standard) -> list[Node]:
    """Return a standard augmentation as nodes of a policy, without a resized crop: no operation is one."""
    nodes: list[Node] = [apply("crop", most=standard.pad)] if standard.pad else []
    nodes += [apply("hflip", probability=0.5)] if standard.flip else []
    nodes += [apply("vflip", probability=0.5)] if standard.vflip else []
    if not standard.nodes:
        return nodes
    tree = decode(resolved_standard(standard).nodes.encode(), "standard")
    return [*in_turn(nodes, tree.at(1)).nodes]


def with_nodes_before(nodes: Sequence[Node], root: Node | Schedule) -> Node | Schedule:
    """Return a policy that begins with some operations, in every epoch."""
    if isinstance(root, Schedule):
        return schedule((step.epoch, in_turn(nodes, step.node)) for step in root.steps)
    return in_turn(nodes, root)


def in_turn(nodes: Sequence[Node], then: Node) -> InTurn:
    """Return a sequence of operations and what follows them."""
    return sequence([*nodes, *(then.nodes if isinstance(then, InTurn) else [then])])


MOST_OF_A_FACT = 900
"""Characters of a sentence that may name long strategies and reasons: a policy file takes facts of up to 1,000."""


def evidence(row: LeaderboardRow, comparison: Comparison) -> dict[str, str]:
    """Return what the final runs say of a strategy, and of the study, as facts of a policy file."""
    facts = {"verdict": verdict(row, comparison.baseline), "sentence": shown(sentence(comparison), MOST_OF_A_FACT)}
    return {comparison.test_metric: show_interval(row.test), **facts} if row.test else facts


def policy_of(study: Study, store: Store, best: Outcome, trial: FrozenTrial) -> PolicyTree:
    """Return the policy that a trial was trained with, or the last one that it learned."""
    if study.strategies[best.strategy].within is None:
        return set_up(study, best.strategy, best.point).policy.tree()
    return learned(epochs_of(store, [id_of_trial(trial)]))


def provenance(study: Study, best: Outcome, attributes: Mapping[str, Any]) -> dict[str, str | int | float]:
    """Return what one needs to know to find this policy again, as the facts of a policy file."""
    task = study.full_task_of(best.strategy).describe()
    facts: dict[str, Any] = {
        "study": study.name,
        "strategy": best.strategy,
        "trial": best.root,
        "seed": best.seed,
        study.metric: best.value,
        "data": OWN_DATA if study.task.data is None else public_name(task["data"]),
        **({"model": task["model"]} if study.train is None else {"train": spelt(study.train)}),
        "epochs": best.epochs,
        **{f"task {name}": value for name, value in study.own_fields(best.strategy).items()},
        **{f"point {name}": value for name, value in best.point.items()},
        "git_commit": attributes.get("git_commit", "unknown"),
        **attributes.get("versions", {}),
    }
    return {name: value if type(value) in (int, float) else str(value) for name, value in facts.items()}
