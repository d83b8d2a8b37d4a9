"""Diagnostics: what trained networks do beside their score, by the figures and tables of the papers.

Each is a function of a network, its images and classes, with a source; `DIAGNOSTICS` is the table of those that
`autoaug diagnose` measures of a study.
"""

from autoaug.diagnose._conduct import DiagnosisEvent, conduct_diagnosis
from autoaug.diagnose._measures import (
    EPSILON,
    InBetween,
    Logits,
    cross_entropies,
    fgsm,
    gradient_products,
    in_between,
    input_gradients,
    iterated_fgsm,
    loss_gradients,
    misses,
    normalised,
    zoomed,
)
from autoaug.diagnose._plan import DiagnosisPlan, Retraining, plan_diagnosis
from autoaug.diagnose._subject import Subject, subject_of
from autoaug.diagnose._table import DIAGNOSTICS, Diagnostic, Measured

__all__ = [
    "DIAGNOSTICS",
    "EPSILON",
    "DiagnosisEvent",
    "DiagnosisPlan",
    "Diagnostic",
    "InBetween",
    "Logits",
    "Measured",
    "Retraining",
    "Subject",
    "conduct_diagnosis",
    "cross_entropies",
    "fgsm",
    "gradient_products",
    "in_between",
    "input_gradients",
    "iterated_fgsm",
    "loss_gradients",
    "misses",
    "normalised",
    "plan_diagnosis",
    "subject_of",
    "zoomed",
]
