"""Whether a change of a dimension changes anything: what points that differ in it alone come to, bit for bit."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any

import torch

from autoaug.study._conditions import extremes, others
from autoaug.study._definition import Study
from autoaug.study._digest import digest
from autoaug.study._middle import midpoint

BASES = 4
"""Points around which a dimension is varied, at most, before it counts as one that changes nothing."""

Evidence = Callable[[Mapping[str, Any], int], Iterable[Any]]
"""Gives what a point comes to, as tensors and plain data; the number counts the makings of the same point."""


@dataclass
class Bench:
    """Make points of a strategy into evidence, each once."""

    study: Study
    strategy: str
    stages: Sequence[Evidence]
    """Kinds of evidence, the cheapest first."""
    known: dict[tuple[int, str, int], str] = field(default_factory=dict)

    def is_live(self, dimension: str) -> bool:
        """Whether a change of a dimension changes anything: any at the first point that uses it, one at a few more."""
        rule = self.study.space_of(self.strategy)[dimension]
        return any(
            self.differ(base, {**base, dimension: value})
            for k, base in enumerate(islice(self.bases(dimension), BASES))
            for value in islice(others(rule, base[dimension]), 1 if k else None)
        )

    def bases(self, dimension: str) -> Iterator[dict[str, Any]]:
        """Yield points that use a dimension: the middle of the space, where its deciders say so, and others."""
        space = self.study.space_of(self.strategy)
        middle = {name: midpoint(rule) for name, rule in space.items()}
        deciders = self.study.conditions_of(self.strategy)
        names = [name for name in deciders[dimension].on if name in space] if dimension in deciders else []
        decided = product(*((midpoint(space[name]), *extremes(space[name])) for name in names))
        points = [{**middle, **dict(zip(names, values, strict=True))} for values in decided]
        points += [{**middle, name: value} for name, rule in space.items() for value in extremes(rule)]
        seen: list[dict[str, Any]] = []
        for point in points:
            if self.study.uses(self.strategy, dimension, point) and point not in seen:
                seen.append(point)
                yield point

    def differ(self, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
        """Whether two points lead to different evidence, by a kind of it that is the same twice at one point."""
        return any(
            self.evidence(stage, one) != self.evidence(stage, other)
            and self.evidence(stage, one) == self.evidence(stage, one, repeat=1)
            for stage in range(len(self.stages))
        )

    def evidence(self, stage: int, point: Mapping[str, Any], repeat: int = 0) -> str:
        """Return a digest of one kind of evidence at a point; `repeat` counts the makings from the same seed."""
        key = (stage, repr(sorted(point.items())), repeat)
        if key not in self.known:
            with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
                warnings.simplefilter("ignore")  # preflight has shown them
                torch.manual_seed(0)
                self.known[key] = digest(self.stages[stage](point, repeat))
        return self.known[key]
