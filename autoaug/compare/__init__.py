"""Which strategy is better, by how much, how sure that is, and what it has cost."""

from autoaug.compare.anytime import Band, Step, anytime, bands
from autoaug.compare.figures import short, show_interval, show_p, show_seconds, show_value, unit_of
from autoaug.compare.leaderboard import Rerun, Row, failures, leaderboard
from autoaug.compare.legend import headline, legend, verdict
from autoaug.compare.statistics import Difference, Interval, interval
from autoaug.compare.stored import ALWAYS_ON, Comparison, stored_comparison, stored_leaderboard
from autoaug.compare.tables import Table, tables, to_csv, to_json

__all__ = [
    "ALWAYS_ON",
    "Band",
    "Comparison",
    "Difference",
    "Interval",
    "Rerun",
    "Row",
    "Step",
    "Table",
    "anytime",
    "bands",
    "failures",
    "headline",
    "interval",
    "leaderboard",
    "legend",
    "short",
    "show_interval",
    "show_p",
    "show_seconds",
    "show_value",
    "stored_comparison",
    "stored_leaderboard",
    "tables",
    "to_csv",
    "to_json",
    "unit_of",
    "verdict",
]
