"""Which strategy is better, by how much, how sure that is, and what it has cost."""

from typing import TYPE_CHECKING

from autoaug.compare._across import Across, PairTest, across, stored_across
from autoaug.compare._across_tables import across_csv, across_headline, across_json, across_legend, across_tables
from autoaug.compare._anytime import Band, CurvePoint, anytime, bands
from autoaug.compare._brief import brief_legend
from autoaug.compare._classes import ClassCounts, ClassEffect, ClassEffects, class_effects
from autoaug.compare._comparison import ALWAYS_ON, OWN_DATA, Comparison, Figure
from autoaug.compare._diagnosed import PHASES, diagnosis_legend, diagnosis_tables, present_diagnoses
from autoaug.compare._figures import short, show_interval, show_limit, show_p, show_seconds, show_value, unit_of
from autoaug.compare._final_runs import FinalRun
from autoaug.compare._html import to_html
from autoaug.compare._importance import Importance, importances
from autoaug.compare._latex import to_latex
from autoaug.compare._leaderboard import LeaderboardRow, OtherMetric, Rerun, failures, leaderboard
from autoaug.compare._legend import headline, legend, verdict
from autoaug.compare._rank_tests import FriedmanTest
from autoaug.compare._sentence import leading, sentence, winner, winner_in_words
from autoaug.compare._statistics import Difference, Interval, interval
from autoaug.compare._stored import stored_comparison, stored_leaderboard
from autoaug.compare._tables import tables, to_csv, to_json
from autoaug.compare._worth import Arm, Worth, worth
from autoaug.lazy import lazily
from autoaug.table import Table, to_table

if TYPE_CHECKING:
    from autoaug.compare._winner import keep_policies, winning_policy
else:  # it makes a policy, and all else needs no torch
    __getattr__, __dir__ = lazily(__name__, {"_winner": "keep_policies winning_policy"})

__all__ = [
    "ALWAYS_ON",
    "OWN_DATA",
    "PHASES",
    "Across",
    "Arm",
    "Band",
    "ClassCounts",
    "ClassEffect",
    "ClassEffects",
    "Comparison",
    "CurvePoint",
    "Difference",
    "Figure",
    "FinalRun",
    "FriedmanTest",
    "Importance",
    "Interval",
    "LeaderboardRow",
    "OtherMetric",
    "PairTest",
    "Rerun",
    "Table",
    "Worth",
    "across",
    "across_csv",
    "across_headline",
    "across_json",
    "across_legend",
    "across_tables",
    "anytime",
    "bands",
    "brief_legend",
    "class_effects",
    "diagnosis_legend",
    "diagnosis_tables",
    "failures",
    "headline",
    "importances",
    "interval",
    "keep_policies",
    "leaderboard",
    "leading",
    "legend",
    "present_diagnoses",
    "sentence",
    "short",
    "show_interval",
    "show_limit",
    "show_p",
    "show_seconds",
    "show_value",
    "stored_across",
    "stored_comparison",
    "stored_leaderboard",
    "tables",
    "to_csv",
    "to_html",
    "to_json",
    "to_latex",
    "to_table",
    "unit_of",
    "verdict",
    "winner",
    "winner_in_words",
    "winning_policy",
    "worth",
]
