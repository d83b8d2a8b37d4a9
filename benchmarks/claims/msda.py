"""What is claimed of HMix, GMix and their relatives."""

from benchmarks.claims._claim import Claim

CLAIMS: tuple[Claim, ...] = ()
