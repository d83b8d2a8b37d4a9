"""Chaos: small studies whose processes are killed at random moments, and the count of what was lost."""

from autoaug.chaos.audit import PROMISES, Audit, audit
from autoaug.chaos.play import STRIKES, Plan, Round, play

__all__ = ["PROMISES", "STRIKES", "Audit", "Plan", "Round", "audit", "play"]
