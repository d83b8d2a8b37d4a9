"""Networks that map images [B, C, H, W] to logits [B, K]: one file per architecture, one table.

A row is called as `MODELS[name](classes, channels=3)` and, like torch's layers, draws its weights from
torch's global generator; `build` draws them from a generator of yours. In training mode dropout and
Shake-Shake draw from the global generator too: a trainer guards and seeds it (`torch.random.fork_rng`).

Networks of torchvision and timm have names with a prefix, "torchvision:resnet50" and "timm:convnext_tiny", and all may
begin from weights: see `build`, `save_weights`, and for what a head is `head_of`.
"""

from autoaug.models._normalisation import Normalisation
from autoaug.models._parts import PARTS, Headed, Part, head_of, names_of
from autoaug.models._table import LIBRARIES, MODELS, Architecture, Library, build, check_weights, normalisation
from autoaug.models._weights import is_file, save_weights

__all__ = [
    "LIBRARIES",
    "MODELS",
    "PARTS",
    "Architecture",
    "Headed",
    "Library",
    "Normalisation",
    "Part",
    "build",
    "check_weights",
    "head_of",
    "is_file",
    "names_of",
    "normalisation",
    "save_weights",
]
