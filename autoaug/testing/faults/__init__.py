"""Chaos: small studies whose processes are killed at random moments, and the count of what was lost."""

from autoaug.testing.faults._audit import PROMISES, Audit, audit
from autoaug.testing.faults._rounds import FAULTS, ChaosPlan, Means, Round, run_round
from autoaug.testing.faults._studies import study_of

__all__ = ["FAULTS", "PROMISES", "Audit", "ChaosPlan", "Means", "Round", "audit", "run_round", "study_of"]
