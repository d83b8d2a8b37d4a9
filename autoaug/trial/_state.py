"""What a loop of the user's own keeps in its checkpoint, and which of it no checkpoint may hold."""

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from autoaug.fields import short

PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.device, torch.dtype)
"""What is read back without running code, beside tensors and containers of both."""

NAMED, LISTED = (dict, OrderedDict, Counter), (list, tuple, set, torch.Size)
"""The containers that are read back so; no subclass of them is."""


@runtime_checkable
class Kept(Protocol):
    """What may be named in `Trial.epochs`: a network, an optimiser, a schedule, a scaler, anything with such a state.

    >>> import torch
    >>> from autoaug.trial import Kept
    >>> isinstance(torch.nn.Linear(2, 2), Kept), isinstance({"best": 0.5}, Kept)
    (True, False)
    """

    def state_dict(self) -> dict[str, Any]:
        """Return what is kept: tensors and plain data."""

    def load_state_dict(self, state: dict[str, Any]) -> object:
        """Go on from what `state_dict` returned."""


def check_kept(named: Mapping[str, Any]) -> None:
    """Refuse what cannot be kept, or not without running code when it is read.

    Raises:
        ValueError: the message says which, and where in it.
    """
    for name, part in named.items():
        if not isinstance(part, Kept):
            raise ValueError(
                f"trial.epochs({name}={short(part)}): a {type(part).__name__} has no state_dict and load_state_dict, "
                "so that it cannot be kept: leave it out, or name something that has them"
            )
        check_plain(name, part.state_dict())


def check_plain(name: str, state: Any) -> None:
    """Raise a ValueError where a state holds anything but tensors, plain data and containers of them."""
    for path, value in strange(state):
        raise ValueError(
            f"trial.epochs({name}=...) cannot be kept: its state_dict{path} is a {type(value).__name__}, and a "
            "checkpoint holds tensors, numbers and texts alone, for reading anything else may run code: leave it out "
            "of the state_dict, or this name out of trial.epochs"
        )


def strange(state: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield where a state holds what a checkpoint may not, and what is there."""
    if type(state) in NAMED:
        for key, value in state.items():
            if type(key) not in PLAIN:
                yield f"{path} (a key)", key
            yield from strange(value, f"{path}[{key!r}]")
    elif type(state) in LISTED:
        for k, value in enumerate(state):
            yield from strange(value, f"{path}[{k}]")
    elif not isinstance(state, Tensor) and type(state) not in PLAIN:
        yield path, state
