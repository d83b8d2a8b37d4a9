"""How long the longest trial of a study is, as its space, its task and its proxies say."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoaug.study._definition import Study


def most_epochs(study: "Study", strategy: str, *, search: bool = False) -> int:
    """Return the epochs of the longest trial that a strategy can propose, refinement included.

    Args:
        search: count those of a trial of its search, which may run on a proxy.
    """
    space = study.space_of(strategy)
    task = study.full_task_of(strategy)
    fixed = study.strategies[strategy].proxy if search else {}
    longest = {
        name: getattr(space[f"task.{name}"], "high", getattr(task, name))
        if f"task.{name}" in space
        else getattr(task, name)
        for name in ("epochs", "refine_epochs")
    }
    return sum({**longest, **{name: fixed[name] for name in longest if name in fixed}}.values())
