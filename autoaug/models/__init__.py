"""Networks that map images [B, C, H, W] to logits [B, K]: one file per architecture, one table.

A row is called as `MODELS[name](classes, channels=3)` and, like torch's layers, draws its weights from
torch's global generator; `build` draws them from a generator of yours. In training mode dropout and
Shake-Shake draw from the global generator too: a trainer guards and seeds it (`torch.random.fork_rng`).
"""

from autoaug.models._table import MODELS, Architecture, build

__all__ = ["MODELS", "Architecture", "build"]
