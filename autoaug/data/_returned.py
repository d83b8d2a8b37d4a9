"""What a user's function may return, as a Source."""

from collections.abc import Mapping
from typing import Any

import numpy
from torch import Tensor

from autoaug.data._files import SPLIT_FOLDERS
from autoaug.data._items import MapStyle
from autoaug.data._source import PARTS, Source, kind_of
from autoaug.data._splits import DataError, Split
from autoaug.data._torch_datasets import from_datasets


def as_source(returned: Any, data_name: str) -> Source:
    """Return what a user's function returned, as a Source.

    A Source stays as it is. A tuple is (train,), (train, val) or (train, val, test), each a Split, a pair
    (images, targets), a map-style dataset or None (val and test only); two tensors alone are the images and targets of
    `train`, and so is a map-style dataset alone. A mapping has these parts by name, as a Hugging Face DatasetDict does.
    """
    if isinstance(returned, Source):
        return returned
    if isinstance(returned, Mapping):
        return of_parts(named_parts(returned, data_name), data_name)
    if is_dataset(returned):
        return from_datasets(returned)
    if not isinstance(returned, tuple) or not 1 <= len(returned) <= 3:
        raise DataError(f"{data_name} returned {kind_of(returned)}: return a Source or a tuple (train, val, test)")
    parts = (returned,) if isinstance(returned[0], Tensor) else returned
    return of_parts(dict(zip(PARTS, parts, strict=False)), data_name)


def is_dataset(value: Any) -> bool:
    """Whether a value is a map-style dataset, and none of Python's or NumPy's own sequences, which have items too."""
    own = str | bytes | list | tuple | Mapping | Tensor | numpy.ndarray
    return isinstance(value, MapStyle) and not isinstance(value, own)


def named_parts(returned: Mapping[str, Any], data_name: str) -> dict[str, Any]:
    """Return the parts of a mapping by the names that they have in a Source."""
    parts: dict[str, Any] = {}
    for key, value in returned.items():
        meant = [part for part in PARTS if str(key).lower() in SPLIT_FOLDERS[part]]
        if not meant or meant[0] in parts:
            known = ", ".join(repr(name) for names in SPLIT_FOLDERS.values() for name in names)
            which = "twice the same part" if meant else f"a part {key!r}"
            raise DataError(
                f"{data_name} returned {which}, of {', '.join(map(repr, returned))}: return a dict with those alone "
                f"that are meant, called {known}"
            )
        parts[meant[0]] = value
    if "train" not in parts:
        raise DataError(f"{data_name} returned no part 'train', but {', '.join(map(repr, returned)) or 'none'}: add it")
    return parts


def of_parts(parts: Mapping[str, Any], data_name: str) -> Source:
    """Return a Source of parts that are all datasets, or all tensors."""
    if is_dataset(parts["train"]) and all(value is None or is_dataset(value) for value in parts.values()):
        return from_datasets(**parts)
    return Source(**{name: as_split(value, name, data_name) for name, value in parts.items()})


def as_split(value: Any, part: str, data_name: str) -> Any:
    """Return a part of what a user's function returned, as a Split."""
    if isinstance(value, Split) or (value is None and part != "train"):
        return value
    if isinstance(value, tuple) and len(value) == 2 and all(isinstance(tensor, Tensor) for tensor in value):
        return Split(*value)
    raise DataError(
        f"{data_name} returned {kind_of(value)} for {part}: return a Split or two tensors (images, targets)"
    )
