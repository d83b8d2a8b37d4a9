"""Mixes: combine samples and their targets. Most rows of the table are one mechanism, `PairMix`, with a mask each.

Rows in pairs take `alpha`, `probability`, `per`, `partner`, `labels` and `smoothing`; see `PairMix`. Differences from
the papers' code, all on purpose: one λ and one mask for each sample (`per="batch"` gives theirs), and labels weighted
by the mask that was drawn. `Cutout`, `GaussianNoise` and `LabelSmoothing` combine nothing: mixes are compared with
them.
"""

from autoaug.mixing._alone import Cutout, GaussianNoise, LabelSmoothing
from autoaug.mixing._layers import ManifoldMixup, manifold_mixup, usual_layers
from autoaug.mixing._masks import Mask
from autoaug.mixing._neighbours import NeighbourMix, smote
from autoaug.mixing._pairs import Mix, PairMix, Weakenable, smooth
from autoaug.mixing._profile import distance_profile
from autoaug.mixing._puzzle import PuzzleMix, puzzlemix
from autoaug.mixing._several import DirichletMixup
from autoaug.mixing._table import MIXES, build, cutmix, described, gmix, hmix, mixup, mixup_or_cutmix, none, takes
from autoaug.mixing._training import Hidden, Mixed, TrainingBatch, TrainingMix, TrainingSetting, refuse_in_loops

__all__ = [
    "MIXES",
    "Cutout",
    "DirichletMixup",
    "GaussianNoise",
    "Hidden",
    "LabelSmoothing",
    "ManifoldMixup",
    "Mask",
    "Mix",
    "Mixed",
    "NeighbourMix",
    "PairMix",
    "PuzzleMix",
    "TrainingBatch",
    "TrainingMix",
    "TrainingSetting",
    "Weakenable",
    "build",
    "cutmix",
    "described",
    "distance_profile",
    "gmix",
    "hmix",
    "manifold_mixup",
    "mixup",
    "mixup_or_cutmix",
    "none",
    "puzzlemix",
    "refuse_in_loops",
    "smooth",
    "smote",
    "takes",
    "usual_layers",
]
