"""The table `CLAIMS`: what the papers say, and by which shipped study it is asked here. A file for each paper."""

from benchmarks.claims import madao, mixup, msda, online, refined
from benchmarks.claims._claim import Claim, beats, less

__all__ = ["CLAIMS", "Claim", "beats", "less"]

CLAIMS: tuple[Claim, ...] = (*refined.CLAIMS, *madao.CLAIMS, *mixup.CLAIMS, *msda.CLAIMS, *online.CLAIMS)
