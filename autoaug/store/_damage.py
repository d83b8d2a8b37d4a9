"""What is wrong with a storage that cannot be read, in one sentence, with the table and what to do."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from autoaug.metrics import stored_table
from autoaug.store._retrying import Unreachable, cause
from autoaug.text import read

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

RESTORE = "restore a copy of the storage, or give another --storage"


class Damaged(ValueError):
    """Say that a storage holds what no autoaug has written, or no longer holds what one has."""


class Named(Protocol):
    """Describe what belongs to a storage that can be named."""

    @property
    def display_url(self) -> str: ...


def reporting_damage(
    what: str, *but: type[Exception]
) -> Callable[[Callable[Concatenate[Any, Given], Answer]], Callable[Concatenate[Any, Given], Answer]]:
    """Return a decorator of methods that read `what`: rows that make no sense, or a missing table, raise `Damaged`.

    Args:
        but: what the method raises by itself.
    """

    passed: tuple[type[Exception], ...] = (Damaged, Unreachable, *but)

    def wrap(method: Callable[Concatenate[Any, Given], Answer]) -> Callable[Concatenate[Any, Given], Answer]:
        @wraps(method)
        def reading(self: Named, *args: Given.args, **kwargs: Given.kwargs) -> Answer:
            try:
                return method(self, *args, **kwargs)
            except passed:
                raise
            except (LookupError, TypeError, ValueError, AttributeError, SQLAlchemyError, StorageInternalError) as error:
                raise Damaged(
                    f"storage {self.display_url} is damaged: {what} cannot be read ({reason(error)}): {RESTORE}"
                ) from error

        return reading

    return wrap


def reason(error: BaseException) -> str:
    """Return the first line of the database's message, or of what Python says of a value."""
    first = cause(error) or error
    text = read(first.orig) if isinstance(first, DBAPIError) else f"{type(first).__name__}: {read(first)}"
    return text.partition("\n")[0]


DEFINED = {"task": Mapping, "metric": str, "seed": int, "spaces": Mapping}
"""What every definition of a study holds, and of which kind."""


def checked_definition(definition: Any) -> Any:
    """Return a definition as it was stored; None where there is none.

    Raises:
        TypeError: it is not what a study writes.
    """
    if definition is None:
        return None
    for name, kind in DEFINED.items():
        if not isinstance(definition[name], kind):
            raise TypeError(f"{name} is {definition[name]!r}")
    if type(version := definition.get("version", 1)) is not int or version < 1:
        raise TypeError(f"version is {version!r}")
    stored_table(definition)
    spaces = definition["spaces"]
    if not all(isinstance(space, Mapping) for space in spaces.values()):
        raise TypeError(f"spaces is {spaces!r}")
    if definition.get("baseline", next(iter(spaces), None)) not in [*spaces, None]:
        raise TypeError(f"the baseline {definition['baseline']!r} is no strategy")
    return definition


NUMBERS = ("epoch", "trial", "attempt", "seed", "gpu_seconds", "wall_seconds", "images")
"""Columns of an epoch."""


def checked_epoch(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an epoch as it was stored.

    Raises:
        TypeError: it is not what a training writes.
    """
    for name in NUMBERS:
        if name in row and not isinstance(row[name], int | float):
            raise TypeError(f"{name} is {row[name]!r}")
    if not isinstance(row["metrics"], Mapping):
        raise TypeError(f"metrics is {row['metrics']!r}")
    for name, value in row["metrics"].items():
        if not isinstance(value, int | float):
            raise TypeError(f"the metric {name!r} is {value!r}")
    return row
