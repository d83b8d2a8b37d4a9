"""The data of a study, read once for all that is tried, measured and shown before it runs."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from autoaug.data import Data, DataError, data_name
from autoaug.study._definition import Study
from autoaug.train import Task

if TYPE_CHECKING:
    from autoaug.study._observer import Rehearsal


class Loader:
    """Load each dataset that a study's tasks name, once; and keep what was seen of its own loop."""

    def __init__(self) -> None:
        self.loaded: list[tuple[Any, Data]] = []
        self.rehearsals: dict[tuple[Any, ...], tuple[Study, Rehearsal, float]] = {}
        """With the study, and the seconds that each could have taken."""

    def __call__(self, task: Task) -> Data:
        """Return what a search sees of the data of a task: no test images."""
        return replace(self.whole(task), test=None)

    def whole(self, task: Task) -> Data:
        """Return all splits. The test images are there to be counted and compared, before anything is trained."""
        names = ["data", "root", "val_fraction", "split_seed", "resplit", "standard", "size", "hold", "skip_bad"]
        key = [getattr(task, name) for name in names]
        data = next((data for known, data in self.loaded if known == key), None)
        if data is None:
            data = task.load(test=True)
            self.loaded.append((key, data))
        return data


def read_data(study: Study, load: Loader) -> None:
    """Read all data of a study, so that an error in them names the data and not a strategy.

    Raises:
        ValueError: some cannot be used; the message names them.
    """
    for task in tasks(study):
        try:
            load(task)
        except DataError:
            raise
        except Exception as error:  # whatever a user's function may raise
            cause = f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
            raise ValueError(f"{data_name(task.data)}: {cause}") from error


def tasks(study: Study) -> Iterator[Task]:
    """Yield the task of a study, and those that its strategies train and search on."""
    yield study.task
    yield from (study.full_task_of(name) for name, strategy in study.strategies.items() if strategy.task)
    yield from (study.task_of(name) for name, strategy in study.strategies.items() if strategy.proxy)
