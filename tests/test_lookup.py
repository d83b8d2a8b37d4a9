"""Names are looked up once; seeds follow from what they are for."""

import subprocess
import sys

import pytest

from autoaug.lookup import lookup, suggest
from autoaug.seeding import derive_seed


def test_an_unknown_name_answers_with_the_near_ones() -> None:
    assert lookup({"rotate": 1}, "rotate", "op") == 1
    with pytest.raises(ValueError, match=r"unknown op 'rotat': did you mean 'rotate'\?"):
        lookup({"rotate": 1, "invert": 2}, "rotat", "op")


def test_a_name_that_is_near_to_none_answers_with_all() -> None:
    assert suggest("xyz", ["b", "a"]) == "known are a, b"


def test_seeds_are_the_same_in_every_process() -> None:
    code = "from autoaug.seeding import derive_seed; print(derive_seed(0, 'search', 7))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(other.stdout) == derive_seed(0, "search", 7)


def test_seeds_differ_by_every_part_and_by_where_the_parts_are_cut() -> None:
    seeds = [derive_seed(*parts) for parts in [(0, "a"), (1, "a"), (0, "b"), ("0a",), (0, "a", 0), ("", "0", "a")]]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**32 for seed in seeds)
