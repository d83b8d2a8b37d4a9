"""The examples in the docstrings run as they stand, and every public constructor of a room has one."""

import doctest
import inspect
from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

import pytest

ROOMS: dict[str, set[str]] = {
    "autoaug.mixing": {
        "ManifoldMixup",
        "Mix",
        "Mixed",
        "NeighbourMix",
        "PuzzleMix",
        "TrainingBatch",
        "TrainingMix",
        "TrainingSetting",
        "Weakenable",
    },
    "autoaug.hypergrad": {"Hypergrad", "Solving"},
    "autoaug.strategies": {"Condition", "SeededByTrial"},
    "autoaug.compare": {
        "ClassEffect",
        "ClassEffects",
        "Figure",
        "OtherMetric",
        "Rerun",
        "across_csv",
        "across_json",
        "across_legend",
        "across_tables",
        "keep_policies",
        "stored_across",
        "stored_comparison",
        "stored_leaderboard",
        "winning_policy",
    },
    "autoaug.policy": {
        "AppliedAtTest",
        "Composed",
        "Policy",
        "PolicyError",
        "Apply",
        "Choice",
        "Choices",
        "Schedule",
        "Sequence",
    },
}
"""The packages whose examples run, and of each the public classes that need none: protocols and errors, and the nodes
of a tree and the draws of a batch, which a function makes that has one; what a strategy is asked with; parts of a row
of a leaderboard, what reads a study that was run, and what shows several of them, of which one example does for all."""


def examples() -> Iterator[doctest.DocTest]:
    """Every docstring with examples. Nothing is defined in them but what they import: they can be copied."""
    finder = doctest.DocTestFinder()
    for room in ROOMS:
        package = import_module(room)
        for name in [room, *(f"{room}.{module.name}" for module in iter_modules(package.__path__))]:
            module = import_module(name)
            yield from (test for test in finder.find(module, globs={}) if test.examples)


def constructors() -> Iterator[tuple[str, str]]:
    """The functions and classes that a package offers and this library defines."""
    for room, without in ROOMS.items():
        package = import_module(room)
        for name in sorted(set(package.__all__) - without):
            value = getattr(package, name)
            here = getattr(value, "__module__", "").startswith("autoaug")
            if here and (inspect.isfunction(value) or inspect.isclass(value)):
                yield room, name


@pytest.mark.parametrize("example", list(examples()), ids=lambda example: example.name)
def test_an_example_gives_what_it_shows(example: doctest.DocTest) -> None:
    lines: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert runner.run(example, out=lines.append).failed == 0, "".join(lines)


@pytest.mark.parametrize(("room", "name"), list(constructors()))
def test_a_public_constructor_has_an_example(room: str, name: str) -> None:
    value = getattr(import_module(room), name)
    assert ">>>" in (value.__doc__ or ""), f"{room}.{name} has no example"


@pytest.mark.parametrize("room", ROOMS)
def test_what_needs_no_example_is_offered(room: str) -> None:
    assert ROOMS[room] <= set(import_module(room).__all__)
