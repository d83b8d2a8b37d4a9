"""A study is one question: which strategy is best on this task, for equal cost?"""

from typing import TYPE_CHECKING

from autoaug.lazy import lazily

if TYPE_CHECKING:
    from autoaug.study._advice import Advice, advise
    from autoaug.study._applied import applied, unapplied
    from autoaug.study._budget import SECONDS, Budget, unit
    from autoaug.study._definition import Study
    from autoaug.study._facts import DataFacts, data_facts
    from autoaug.study._knobs import Knob, knob_warnings, knobs
    from autoaug.study._loading import Loader
    from autoaug.study._most_epochs import most_epochs
    from autoaug.study._plan import Line, by_the_clock, plan
    from autoaug.study._predict import Prediction, predict
    from autoaug.study._preflight import preflight
    from autoaug.study._price import gpu_weight, price
    from autoaug.study._probes import lowest
    from autoaug.study._setup import Setup, set_up
    from autoaug.study._versions import complete_definition
else:  # what a stored study says is read without torch
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "_advice": "Advice advise",
            "_applied": "applied unapplied",
            "_budget": "SECONDS Budget unit",
            "_definition": "Study",
            "_facts": "DataFacts data_facts",
            "_knobs": "Knob knob_warnings knobs",
            "_loading": "Loader",
            "_most_epochs": "most_epochs",
            "_plan": "Line by_the_clock plan",
            "_predict": "Prediction predict",
            "_preflight": "preflight",
            "_price": "gpu_weight price",
            "_probes": "lowest",
            "_setup": "Setup set_up",
            "_versions": "complete_definition",
        },
    )

__all__ = [
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
    "gpu_weight",
    "knob_warnings",
    "knobs",
    "lowest",
    "most_epochs",
    "plan",
    "predict",
    "preflight",
    "price",
    "set_up",
    "unapplied",
    "unit",
]
