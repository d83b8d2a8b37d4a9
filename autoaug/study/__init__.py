"""A study is one question: which strategy is best on this task, for equal cost?"""

from autoaug.study.advice import Advice, advise
from autoaug.study.applied import applied, unapplied
from autoaug.study.budget import SECONDS, Budget, unit
from autoaug.study.definition import METRICS, NAME, Study, most_epochs
from autoaug.study.facts import DataFacts, data_facts
from autoaug.study.knobs import Knob, knobs, sayings
from autoaug.study.loading import Loader
from autoaug.study.plan import Line, by_the_clock, plan
from autoaug.study.predict import Prediction, predict
from autoaug.study.preflight import preflight
from autoaug.study.probes import lowest
from autoaug.study.setup import Setup, set_up
from autoaug.study.width import half_width

__all__ = [
    "METRICS",
    "NAME",
    "SECONDS",
    "Advice",
    "Budget",
    "DataFacts",
    "Knob",
    "Line",
    "Loader",
    "Prediction",
    "Setup",
    "Study",
    "advise",
    "applied",
    "by_the_clock",
    "data_facts",
    "half_width",
    "knobs",
    "lowest",
    "most_epochs",
    "plan",
    "predict",
    "preflight",
    "sayings",
    "set_up",
    "unapplied",
    "unit",
]
