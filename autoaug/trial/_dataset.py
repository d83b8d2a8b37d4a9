"""A dataset that says which of its items is being read, so that what is drawn for an item depends on nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, SupportsIndex, runtime_checkable

from torch.utils.data import Dataset


class Reading:
    """The item that a dataset is being asked for, and how many draws were made for it."""

    def __init__(self, index: object) -> None:
        self.index, self.draws = index, 0

    def next_key(self) -> str:
        """Return what the next draw for the item goes by: views of one image have draws of their own."""
        self.draws += 1
        return f"item {self.index}, draw {self.draws}"


READING: ContextVar[Reading | None] = ContextVar("READING", default=None)
"""The item that is being read; None where the dataset is none of `Trial.dataset`."""


@runtime_checkable
class Items(Protocol):
    """Whatever has items by number."""

    def __getitem__(self, index: Any, /) -> Any: ...

    def __len__(self) -> int: ...


class NumberedItems(Dataset[Any]):
    """Read a dataset so that the transform knows the number of the item. `dataset` is the one that is read."""

    def __init__(self, dataset: Items) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: Any) -> Any:
        with reading(plain(index, len(self))):
            return self.dataset[index]


def key_of_draw() -> str | None:
    """Return what the next draw for the item that is being read goes by."""
    reading = READING.get()
    return None if reading is None else reading.next_key()


@contextmanager
def reading(index: object) -> Iterator[None]:
    """Let draws in the block be those of an item."""
    token = READING.set(Reading(index))
    try:
        yield
    finally:
        READING.reset(token)


def numbered(dataset: Items) -> NumberedItems:
    """Return a dataset that knows which item is read; raise TypeError where there are no items by number."""
    if not isinstance(dataset, Items):
        raise TypeError(
            f"trial.dataset was given a {type(dataset).__name__}, which has no __len__ and __getitem__: give a "
            "map-style dataset, or leave trial.dataset out, then what an image holds decides what it meets"
        )
    return NumberedItems(dataset)


def plain(index: Any, count: int) -> object:
    """Return the same number for the same item, whatever type it has and from whichever end it counts."""
    if not isinstance(index, SupportsIndex):
        return index
    number = index.__index__()
    return number + count if number < 0 else number
