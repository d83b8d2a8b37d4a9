"""A study is one question: which strategy is best on this task, for equal cost?"""

from autoaug.study._advice import Advice, advise
from autoaug.study._applied import applied, unapplied
from autoaug.study._budget import SECONDS, Budget, unit
from autoaug.study._definition import NAME, Study, most_epochs
from autoaug.study._facts import DataFacts, data_facts
from autoaug.study._knobs import Knob, knobs, sayings
from autoaug.study._loading import Loader
from autoaug.study._plan import Line, by_the_clock, plan
from autoaug.study._predict import Prediction, predict
from autoaug.study._preflight import preflight
from autoaug.study._probes import lowest
from autoaug.study._setup import Setup, set_up
from autoaug.study._versions import complete_definition

__all__ = [
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
    "complete_definition",
    "data_facts",
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
