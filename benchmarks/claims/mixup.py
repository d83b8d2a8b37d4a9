"""What is claimed of mixup."""

from benchmarks.claims._claim import Claim

CLAIMS: tuple[Claim, ...] = ()
