"""Datasets that are made of others, as a text: "cifar10:reduced=100,corrupted=0.2"."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from autoaug.data._derived import Resized
from autoaug.data._load import DATASETS
from autoaug.data._source import Reader
from autoaug.data._splits import DataError
from autoaug.data._taught import Corrupted, LongTailed, Reduced
from autoaug.lookup import suggest

SPEC = re.compile(r"(?P<data>.+):(?P<steps>[a-z][a-z-]*=[^:/\\]*)")


class Step(NamedTuple):
    """What a word of a text does to the dataset before it."""

    made: Callable[[str | Path | Reader, float, int], Reader]
    """Of a dataset, the number behind the word, and a seed."""
    is_count: bool
    """Whether the number is a whole one."""


STEPS = {
    "reduced": Step(lambda data, number, seed: Reduced(data, int(number), seed), is_count=True),
    "long-tailed": Step(LongTailed, is_count=False),
    "corrupted": Step(Corrupted, is_count=False),
    "resized": Step(lambda data, number, seed: Resized(data, int(number)), is_count=True),
}
"""From left to right each is made of what stands before it. "seed=1" is that of all of them."""


def described_data(text: str) -> str | Reader:
    """Return the dataset that a text describes: `corrupted(reduced("cifar10", 100), 0.2)` for the one above.

    Words are those of STEPS, and "seed". A text without them, the name of a dataset, and a path that is there come back
    as they are.

    Raises:
        DataError: a word is unknown, or its number is none.
    """
    match = SPEC.fullmatch(text)
    if not match or text in DATASETS or Path(text).expanduser().exists():
        return text
    words = [word.partition("=") for word in match["steps"].split(",")]
    numbers = [(name.strip(), read_number(name.strip(), given, text)) for name, _, given in words]
    seeds = [int(number) for name, number in numbers if name == "seed"]
    data: str | Reader = match["data"]
    for name, number in numbers:
        if name != "seed":
            data = STEPS[name].made(data, number, seeds[0] if seeds else 0)
    return data


def read_number(name: str, given: str, text: str) -> float:
    """Return the number behind a word."""
    if name not in STEPS and name != "seed":
        raise DataError(f"unknown word {name!r} in data {text!r}: {suggest(name, [*STEPS, 'seed'])}")
    is_count = name == "seed" or STEPS[name].is_count
    if not re.fullmatch(r"\s*\d+\s*" if is_count else r"\s*(\d+\.?\d*|\.\d+)\s*", given, re.ASCII):
        raise DataError(f"{name}={given} in data {text!r}: give a {'whole ' if is_count else ''}number of 0 or more")
    return float(given)
