"""The figure of distance profiles draws the mixes that a study's final runs trained with, and needs no torch before."""

import subprocess
import sys

import pytest

from autoaug.compare import Comparison
from autoaug.mixing import MIXES, takes
from autoaug.record import Outcome, TrialKind
from dashboards import distance_profile


def comparison(points: dict[str, dict[str, object]], mixes: dict[str, dict[str, object]]) -> Comparison:
    definition = {"metric": "val_accuracy", "baseline": "none", "spaces": {name: {} for name in points}, "mixes": mixes}
    finals = [
        Outcome(study="s", strategy=name, trial=seed, root=seed, state="COMPLETE", point=point, kind=TrialKind.FINAL)
        for name, point in points.items()
        for seed in (0, 1)
    ]
    return Comparison(("s",), definition, rows=[], outcomes=finals)


def test_each_mix_of_the_final_runs_is_a_line_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distance_profile, "DRAWS", 50)
    points: dict[str, dict[str, object]] = {
        "none": {},
        "own": {"policy.n": 2},
        "a": {"mix.alpha": 0.5},
        "b": {"mix.kind": "hmix", "mix.ratio": 0.25},
        "off": {"mix.alpha": 0.0},
        "smooth": {"mix.kind": "label-smoothing"},
        "layer": {"mix.kind": "manifold-mixup"},
    }
    drawn = distance_profile.figure(comparison(points, {"own": {"kind": "cutmix", "alpha": 1.0}}))
    lines = {line.name: line for line in drawn.data}
    assert set(lines) == {"own: cutmix alpha 1", "a: mixup alpha 0.5", "b: hmix ratio 0.25"}
    flat, falling = lines["a: mixup alpha 0.5"].y, lines["own: cutmix alpha 1"].y
    assert max(flat) - min(flat) < 1e-6
    assert falling[0] > falling[10] > falling[30]


def test_a_study_without_mixes_has_no_such_figure() -> None:
    assert not distance_profile.figure(comparison({"none": {}, "a": {"policy.n": 2}}, {})).data


def test_all_rows_that_mix_in_pairs_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distance_profile, "DRAWS", 20)
    wanted = [kind for kind in MIXES if {"alpha", "partner"} <= set(takes(kind))]
    assert [line.name for line in distance_profile.of_all_masks().data] == wanted


def test_it_is_read_without_torch() -> None:
    code = "import sys; import dashboards.distance_profile; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
