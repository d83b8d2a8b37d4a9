"""A short text for values of any kind, equal for equal ones, bit for bit."""

import hashlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor


def digest(values: Iterable[Any]) -> str:
    """Return one text for all values: equal for equal ones, bit for bit."""
    hasher = hashlib.sha256()
    for value in values:
        if isinstance(value, Tensor):
            hasher.update(repr(tuple(value.shape)).encode())
            hasher.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        else:
            hasher.update(repr(value).encode())
    return hasher.hexdigest()
