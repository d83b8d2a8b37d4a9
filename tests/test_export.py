"""Exports as text: what a formatter, a reader and an attacker meet, and the report of what is lost."""

import ast
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from policies_for_tests import EVERYTHING, READY, SAYABLE

from autoaug.export import EXPORTERS, LossyExport, export
from autoaug.export import _standalone as standalone
from autoaug.export._torchvision import PARTS
from autoaug.ops import OPS
from autoaug.policy import (
    Policy,
    PolicyError,
    SpatialTransformer,
    Warp,
    apply,
    decode,
    policy_tree,
    ready,
    schedule,
    sequence,
)


def test_ruff_accepts_what_is_exported(tmp_path: Path) -> None:
    trees = READY | {"schedule": policy_tree(schedule([(1, SAYABLE.root), (7, sequence())])), "everything": EVERYTHING}
    for name, tree in trees.items():
        for format in ("torchvision",) if tree is EVERYTHING else ("torchvision", "kornia", "albumentations"):
            (tmp_path / f"{name}_{format}.py").write_text(export(tree, format, allow_lossy=True).text)
    ruff = [sys.executable, "-m", "ruff"]
    for arguments in (
        ["check", "--select", "E,W,F,I,B,UP,SIM,RUF,C4,PT,NPY", "--target-version", "py310"],
        ["format", "--check"],
        ["format", "--check", "--line-length", "120"],
    ):
        done = subprocess.run([*ruff, *arguments, "--isolated", tmp_path], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout


def defined(text: str) -> set[str]:
    return {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_a_file_holds_what_its_policy_needs_and_no_more() -> None:
    nothing, all_of_it = (defined(export(tree, "torchvision").text) for tree in (READY["none"], EVERYTHING))
    assert not nothing & set(OPS)
    assert set(OPS) <= all_of_it
    assert {"Policy", "draw", "generator"} <= nothing
    assert defined(export(policy_tree(apply("shear_x")), "torchvision").text) - nothing == {"shear_x", "warp"}
    folder = Path(standalone.__file__).parent
    assert all_of_it == set().union(*(defined((folder / part).read_text()) for part in PARTS))


def test_a_file_names_a_choice_once_that_stands_in_many_places() -> None:
    text = export(ready.randaugment(3, 0.5), "torchvision").text
    assert text.count("Apply(rotate") == 1
    assert "InTurn([CHOICE_1, CHOICE_1, CHOICE_1])" in text


HOSTILE = {
    "study": 'quick"""\nimport os; os.abort()\n"""\r\x0cexit()',
    "x\nraise SystemExit\x00\u2029": "\u2028 \x00 coding: utf-7",
    "seed": 3,
}


@pytest.mark.parametrize("format", ["torchvision", "kornia", "albumentations"])
def test_provenance_stands_in_comments_and_never_becomes_code(format: str) -> None:
    text = export(policy_tree(apply("invert"), provenance=HOSTILE), format, allow_lossy=True).text
    plain = export(policy_tree(apply("invert")), format, allow_lossy=True).text
    assert ast.dump(ast.parse(text)) == ast.dump(ast.parse(plain))
    assert "# seed: 3\n" in text
    assert "# study: quick" in text
    assert text.isascii()


def test_a_file_imports_no_autoaug() -> None:
    for node in ast.walk(ast.parse(export(EVERYTHING, "torchvision").text)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert "autoaug" not in ast.unparse(node)


def test_an_operation_of_a_project_stays_in_its_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(OPS, "mine", replace(OPS["brightness"], name="mine"))
    tree = policy_tree(sequence([apply("rotate"), apply("mine")]))
    assert '"mine"' in export(tree, "json").text
    for format in ("torchvision", "kornia", "albumentations"):
        with pytest.raises(PolicyError, match=r"op 'mine' is not one of autoaug's own.*: export to json"):
            export(tree, format, allow_lossy=True)


# ---- reports ----


@pytest.mark.parametrize("format", ["json", "torchvision", "kornia", "albumentations"])
@pytest.mark.parametrize("policy", [Warp("color"), SpatialTransformer()])
def test_a_tree_that_only_approximates_a_policy_is_lossy_in_every_format(policy: Policy, format: str) -> None:
    tree = policy.tree()
    said = tree.provenance["approximation"]
    with pytest.raises(LossyExport, match=r"independently, uniform over their 5 to 95 % quantiles.*--allow-lossy"):
        export(tree, format)
    report = export(tree, format, allow_lossy=True)
    assert report.lost == (said, *EXPORTERS[format](tree).lost)
    assert str(said) in report.text.replace("\n#     ", " ")


def test_the_tree_of_learnt_half_widths_of_a_translation_is_exact() -> None:
    assert export(Warp("translation", "range").tree(), "torchvision").exact


@pytest.mark.parametrize("format", ["json", "torchvision"])
@pytest.mark.parametrize("name", READY)
def test_json_and_torchvision_lose_nothing(name: str, format: str) -> None:
    report = export(READY[name], format)
    assert report.exact
    assert report.lost == ()


def test_json_is_the_policy_file() -> None:
    for tree in READY.values():
        assert decode(export(tree, "json").text.encode()) == tree


@pytest.mark.parametrize("format", ["kornia", "albumentations", "timm"])
def test_a_lossy_export_is_refused_with_what_it_loses(format: str) -> None:
    lost = EXPORTERS[format](READY["randaugment"]).lost
    assert lost
    with pytest.raises(LossyExport) as caught:
        export(READY["randaugment"], format)
    assert all(loss in str(caught.value) for loss in lost)
    assert "--allow-lossy" in str(caught.value)
    report = export(READY["randaugment"], format, allow_lossy=True)
    assert report.lost == lost
    assert not report.exact


def test_an_unknown_format_answers_with_the_near_ones() -> None:
    with pytest.raises(ValueError, match="unknown export format 'torchvison': did you mean 'torchvision'"):
        export(READY["none"], "torchvison")
