"""What is known about one question: the noun that tables, sentences, pages and figures are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from autoaug.compare._classes import ClassEffects
from autoaug.compare._figures import show_value
from autoaug.compare._importance import Importance
from autoaug.compare._leaderboard import LeaderboardRow
from autoaug.metrics import Direction, Metric, label_of, metric_of, on_split, stored_table
from autoaug.record import Outcome, Record
from autoaug.store import Diagnosis
from autoaug.text import LONGEST_NAME, shown

ALWAYS_ON = "always on"
"""The fact that says which augmentation every training had, whatever its strategy."""

OWN_DATA = "of the loop's own, as are the splits"
"""What is said of data that a loop of the user's own brought."""


@dataclass(frozen=True, repr=False)
class Comparison:
    """Hold what is known about one question; `stored_comparison` makes it of stored studies.

    >>> from autoaug.compare import Comparison
    >>> definition = {"metric": "val_nll", "baseline": "none", "spaces": {"none": {}, "ra": {}}}
    >>> comparison = Comparison(("s",), definition, rows=[])
    >>> comparison.strategies, comparison.test_metric, comparison.maximize
    (['none', 'ra'], 'test_nll', False)
    """

    studies: tuple[str, ...]
    definition: Mapping[str, Any]
    """Of the first study. The others differ from it in their seed, and may in budget and number of final runs."""
    rows: Sequence[LeaderboardRow]
    outcomes: Sequence[Outcome] = ()
    records: Sequence[Record] = ()
    """Epochs in the order in which they are stored. Of stored studies of more than 20,000 epochs those of the final
    runs and of the best 25 trials of each search, and of every other trial the last one, with the cost of all."""
    importance: Importance = field(default_factory=Importance)
    classes: ClassEffects | None = None
    """What the first strategy does to each class of the test images, against the baseline; None where the baseline is
    the first itself, or where fewer than two final runs tell."""
    diagnoses: Sequence[Diagnosis] = ()
    """What `autoaug diagnose` found of trainings of the winners, in the order in which it was found."""
    policies: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The policy that each strategy found, as plain data of a `PolicyTree`; of several studies those of the first. What
    was not kept is left out: it is at the end of `autoaug run`."""
    provenance: Mapping[str, str] = field(default_factory=dict)
    """Commits, versions, seeds and data, as they can be printed."""

    def __repr__(self) -> str:
        """Return one line: epochs and trials are too many to print."""
        return f"Comparison({self.name!r}, {self.test_metric} of {', '.join(map(short_row, self.rows)) or 'nothing'})"

    @property
    def name(self) -> str:
        """Return the names of the studies, with commas between them."""
        return ", ".join(self.studies)

    @property
    def metric(self) -> str:
        """Return the metric that the study is searched, ranked and tested by, on the validation split: "val_nll"."""
        return self.definition["metric"]

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Return the rows of `METRICS`, and those that the study has of its own: its file need not be there."""
        return stored_table(self.definition)

    @property
    def ruling(self) -> Metric:
        """Return the row of the study's metric."""
        return metric_of(self.metric, table=self.metrics)

    @property
    def baseline(self) -> str:
        """Return the name of the strategy that the others are compared with."""
        return self.definition["baseline"]

    @property
    def always_on(self) -> str:
        """Return the augmentation that every training had, whatever its strategy; empty where that was not recorded."""
        return by_loop(self.loop) if self.loop else self.provenance.get(ALWAYS_ON, "")

    @property
    def loop(self) -> str:
        """Return the name of the training loop of the user's own; empty where autoaug's own trainer trained."""
        return self.definition.get("train") or ""

    @property
    def own_data(self) -> bool:
        """Whether the loop brought the data and their splits, of which nothing is known here."""
        return bool(self.loop) and self.definition.get("task", {}).get("data") is None

    @property
    def strategies(self) -> list[str]:
        """Return the names of the strategies, in the order in which the study defines them."""
        begun, measured = [each.strategy for each in self.outcomes], [each.strategy for each in self.records]
        return list(dict.fromkeys([*self.definition["spaces"], *begun, *measured]))

    @property
    def other_data(self) -> list[str]:
        """Return the strategies that learn from other images than the rest: nothing of theirs is compared."""
        return [row.name for row in self.rows if row.other_data]

    @property
    def test_metric(self) -> str:
        """Return the study's metric on the test split: "test_nll"."""
        return on_split("test", self.metric)

    @property
    def direction(self) -> Direction:
        """Return which direction of the metric is better: "maximize" or "minimize"."""
        return self.ruling.direction

    @property
    def maximize(self) -> bool:
        """Whether more of the metric is better."""
        return self.ruling.maximize

    def _repr_html_(self) -> str:
        """Return the leaderboard as a notebook shows it."""
        from autoaug.compare._html import to_html  # it reads comparisons

        return to_html(self)

    def label(self, name: str) -> str:
        """Return what stands over a column, or along an axis, for a measured value: "test nll" of "test_nll"."""
        return label_of(name, self.metrics)


def short_row(row: LeaderboardRow) -> str:
    """Return a strategy with the mean of its final runs: "none 0.8800"."""
    return f"{row.name} {show_value(row.test.mean if row.test else None)}"


class Figure(Protocol):
    """Draw a comparison: what a file of `dashboards/` defines under the name `figure`.

    It takes what it needs from the comparison, such as `records`, `outcomes`, `rows`, `importance`, `metric`,
    `maximize`, `label` and `strategies`.
    """

    def __call__(self, comparison: Comparison, /) -> Any:
        """Return the comparison as a `plotly.graph_objects.Figure`."""
        ...


def by_loop(name: str) -> str:
    """Return what is always on where a loop of the user's own trains; of a long text in place of a name the ends."""
    return f"what the loop {shown(name, LONGEST_NAME)} does itself"
