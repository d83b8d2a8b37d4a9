"""What is claimed of the online augmenter."""

from benchmarks.claims._claim import Claim

CLAIMS: tuple[Claim, ...] = ()
