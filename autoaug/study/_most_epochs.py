"""How long the trials of a study are, as its space, its task and its proxies say."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from autoaug.study._conditions import extremes
from autoaug.train import divided

if TYPE_CHECKING:
    from autoaug.study._definition import Study

LENGTHS = ("epochs", "refine_epochs", "total_epochs")
"""Fields of a task that say how long a training is."""


def most_epochs(study: "Study", strategy: str, *, search: bool = False) -> int:
    """Return the epochs of the longest trial that a strategy can propose, refinement included.

    Args:
        search: count those of a trial of its search, which may run on a proxy.
    """
    return epochs_at(max, study, strategy, search=search)


def least_epochs(study: "Study", strategy: str) -> int:
    """Return the epochs of the shortest trial that a strategy can propose, refinement included, in full."""
    return epochs_at(min, study, strategy)


def epochs_at(end: Callable[[Iterable[int]], int], study: "Study", strategy: str, *, search: bool = False) -> int:
    """Return the epochs of a training of which each length is at an end of its dimension, where it is one."""
    space = study.space_of(strategy)
    lengths: dict[str, Any] = {name: getattr(study.full_task_of(strategy), name) for name in LENGTHS}
    for name in LENGTHS:
        if f"task.{name}" in space:
            numbers = [value for value in extremes(space[f"task.{name}"]) if isinstance(value, int)]
            lengths[name] = end(numbers) if numbers else lengths[name]
    fixed: Mapping[str, Any] = study.strategies[strategy].proxy if search else {}
    lengths |= {name: fixed[name] for name in LENGTHS if name in fixed}
    return sum(divided(lengths["epochs"], lengths["refine_epochs"], lengths["total_epochs"], None))


def check_lengths(study: "Study", strategy: str) -> None:
    """Refuse lengths that could not matter: a share of no total, and a proxy of epochs that a total sets.

    Raises:
        ValueError: the message names the dimension or the field, and what to give instead.
    """
    space, proxy, task = study.space_of(strategy), study.strategies[strategy].proxy, study.full_task_of(strategy)
    if "task.refine_share" in space and task.total_epochs is None and "task.total_epochs" not in space:
        raise ValueError(
            f"dimension 'task.refine_share' in study {study.name!r} is a share of no total: give Task(total_epochs=...)"
        )
    total = proxy.get("total_epochs", task.total_epochs)
    searched = "task.refine_share" in space and "refine_share" not in proxy
    shared = searched or proxy.get("refine_share", task.refine_share) is not None
    for name in proxy if total is not None else ():
        if name == "epochs" or (name == "refine_epochs" and shared):
            raise ValueError(
                f"the proxy of strategy {strategy!r} of study {study.name!r} sets {name}={proxy[name]!r}, which "
                f"follows from total_epochs={total}: give proxied(total_epochs=...), or take the total away from the "
                "search by proxied(total_epochs=None, refine_share=None)"
            )
