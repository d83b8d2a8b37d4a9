"""What the trainings of a study are given, in plain facts that a plan shows."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from autoaug.data import Data
from autoaug.study.definition import Study
from autoaug.study.preflight import Loader
from autoaug.train import Task


@dataclass(frozen=True)
class DataFacts:
    """What is trained on, and what is always done to it."""

    data: str
    strategies: tuple[str, ...]
    """Those whose searches train on it as a proxy; empty: everything else that a study trains."""
    standard: dict[str, Any]
    """The augmentation that is always on: its name, what it does, and why it is that one."""

    def sentences(self) -> list[str]:
        """The facts as lines for people."""
        where = f" in the search of {', '.join(self.strategies)}" if self.strategies else ""
        return [f"always on{where}: {self.standard['name']} ({self.standard['reason']})"]


def data_facts(study: Study, load: Loader, only: Sequence[str] = ()) -> list[DataFacts]:
    """The facts of a study's data, and of the proxies that some of its strategies search on.

    Args:
        only: these strategies; none named means all.
    """
    searches: dict[tuple[Any, str], list[str]] = {}
    for name in list(only) or study.strategies:
        task = study.task_of(name)
        searches.setdefault((task.data, task.standard), []).append(name)
    own = (study.task.data, study.task.standard)
    proxies = [(study.task_of(names[0]), names) for key, names in searches.items() if key != own]
    return [of_task(task, names, load) for task, names in [(study.task, []), *proxies]]


def of_task(task: Task, strategies: Sequence[str], load: Loader) -> DataFacts:
    data = load(task)
    return DataFacts(
        data=str(task.describe()["data"]),
        strategies=tuple(strategies),
        standard=standard_of(data),
    )


def standard_of(data: Data) -> dict[str, Any]:
    return {"name": str(data.standard), **asdict(data.standard), "reason": data.standard_reason}
