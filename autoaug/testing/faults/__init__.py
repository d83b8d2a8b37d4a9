"""Chaos: small studies whose processes are killed at random moments, and the count of what was lost."""

from autoaug.testing.faults._audit import PROMISES, Audit, audit
from autoaug.testing.faults._rounds import STRIKES, Plan, Round, play

__all__ = ["PROMISES", "STRIKES", "Audit", "Plan", "Round", "audit", "play"]
