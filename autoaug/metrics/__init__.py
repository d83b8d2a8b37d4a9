"""What is measured of logits and targets, and which direction is better."""

from autoaug.metrics._measures import right_by_class
from autoaug.metrics._own import adopted, declare, facts_of, own_metrics, stored_table
from autoaug.metrics._table import (
    ANY_NUMBER,
    DEFAULT_METRIC,
    METRICS,
    SPLITS,
    Direction,
    Limits,
    Metric,
    applicable,
    half_width,
    label_of,
    metric_of,
    on_split,
    range_of,
    row_of,
    words_of,
)

__all__ = [
    "ANY_NUMBER",
    "DEFAULT_METRIC",
    "METRICS",
    "SPLITS",
    "Direction",
    "Limits",
    "Metric",
    "adopted",
    "applicable",
    "declare",
    "facts_of",
    "half_width",
    "label_of",
    "metric_of",
    "on_split",
    "own_metrics",
    "range_of",
    "right_by_class",
    "row_of",
    "stored_table",
    "words_of",
]
