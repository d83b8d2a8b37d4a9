"""The studies of papers: what every file of them has, and how their answers become the page of claims."""

import importlib
import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from autoaug import Study
from autoaug.diagnose import DIAGNOSTICS
from benchmarks.claims import CLAIMS, Claim, beats, less
from benchmarks.papers import PAPERS, Result, contrasts, judged, line, pages, shipped, table_of

ROOT = Path(__file__).parents[1]
FILES = sorted(path.relative_to(ROOT / "studies").with_suffix("").as_posix() for path in ROOT.glob("studies/*/*.py"))
SECTIONS = ("Paper", "Small", "Cost", "Answer")


@pytest.mark.parametrize("name", FILES)
def test_a_study_of_a_paper_has_a_small_and_a_paper_setting_and_says_what_it_found(name: str) -> None:
    module = importlib.import_module(f"studies.{name.replace('/', '.')}")
    assert isinstance(module.study, Study)
    assert isinstance(module.paper, Study)
    text = module.__doc__ or ""
    assert text.splitlines()[0].endswith("?"), "the first line is the question"
    assert all(re.search(rf"^{section}\s+\S", text, re.MULTILINE) for section in SECTIONS)
    assert module.study.name.startswith(name.replace("/", "-").replace("_", "-"))
    assert set(module.PUBLISHED) <= set(module.paper.strategies), "what was published of an arm that is none"
    assert set(module.DIAGNOSED) <= set(DIAGNOSTICS)
    names = [value.name for value in vars(module).values() if isinstance(value, Study)]
    assert len(names) == len(set(names)), "two settings would be stored as one"


def test_every_claim_names_a_study_and_strategies_that_exist() -> None:
    for claim in CLAIMS:
        study = shipped(claim.study)
        assert {name for weights in claim.contrasts for name in weights} <= set(study.strategies), claim.says
        sums = [sum(weights.values()) for weights in claim.contrasts]
        assert claim.before or sums == pytest.approx([0] * len(sums)), "it would not be a difference"
        assert not claim.says.endswith(".")
    assert len({claim.says for claim in CLAIMS}) == len(CLAIMS)


def test_the_pages_are_what_the_results_make_of_them() -> None:
    for name, text in pages().items():
        assert (PAPERS / name).read_text() == text, "write them anew: python -m benchmarks.papers pages"


def result(**runs: list[float]) -> Result:
    scores = {name: {f"{k}": {"test_accuracy": value} for k, value in enumerate(runs[name])} for name in runs}
    return Result("s", "2026-01-01", "abc", "torch 2", "digits", "convnet", 3, scores)


def claim(*weights: dict[str, float], margin: float | None = None) -> Claim:
    return Claim("p", "table 1", "It is so", "1 → 2", "s", weights, margin=margin)


def test_a_claim_agrees_where_the_whole_interval_is_on_its_side() -> None:
    found = result(a=[0.1, 0.2, 0.3], b=[0.2, 0.31, 0.39], c=[0.2, 0.1, 0.5])
    assert judged(claim(*beats("b", "a")), contrasts(claim(*beats("b", "a")), found)) == "agrees"
    assert judged(claim(*beats("a", "b")), contrasts(claim(*beats("a", "b")), found)) == "disagrees"
    assert judged(claim(*less("a", "b")), contrasts(claim(*less("a", "b")), found)) == "agrees"
    assert "cannot" in judged(claim(*beats("c", "a")), contrasts(claim(*beats("c", "a")), found))
    both = claim(*beats("b", "a", "c"))
    assert "cannot" in judged(both, contrasts(both, found)), "better than one of two is not better than both"
    [interval] = contrasts(claim(*beats("b", "a")), found)
    assert interval.n == 3
    assert interval.mean == pytest.approx(0.1)


def test_a_claim_of_no_difference_needs_an_interval_within_its_margin() -> None:
    found = result(a=[0.1, 0.2, 0.3], b=[0.101, 0.2, 0.3], c=[0.2, 0.31, 0.39])
    for arm, margin, verdict in (("b", 0.01, "agrees"), ("b", 1e-4, "cannot"), ("c", 0.01, "disagrees")):
        asked = claim(*beats(arm, "a"), margin=margin)
        assert judged(asked, contrasts(asked, found)).startswith(verdict)


def test_what_changes_within_a_run_is_the_difference_of_two_of_its_figures() -> None:
    runs = {"a": {f"{k}": {"before": 1.0 + k, "after": 0.5 + k} for k in range(3)}, "b": {"0": {"after": 1.0}}}
    found = replace(result(), runs=runs)
    fall = replace(claim({"a": -1.0}), metric="after", before="before")
    [interval] = contrasts(fall, found)
    assert (interval.mean, interval.n) == (0.5, 3)
    assert not contrasts(replace(fall, contrasts=({"b": -1.0},)), found), "what has one of the figures has no change"


def test_runs_that_one_arm_lacks_do_not_count_and_one_run_proves_nothing() -> None:
    found = result(a=[0.1, 0.2, 0.3], b=[0.9])
    asked = claim(*beats("b", "a"))
    assert [each.n for each in contrasts(asked, found)] == [1]
    assert not contrasts(claim(*beats("c", "a")), found), "of a study that was stopped an arm may have no runs"
    assert "cannot" in judged(asked, contrasts(asked, found))
    assert "+80 points (n=1)" in line(asked, {"s": found})
    assert "not run" in line(asked, {})


def test_a_table_has_what_was_published_beside_what_was_measured() -> None:
    found = result(moderate=[0.1, 0.2], mixup=[0.3])
    assert table_of("refined/table_1", found)[4:] == [
        "| arm | published | test accuracy | CPU s of a run | n |",
        "| --- | --- | ---: | ---: | ---: |",
        "| moderate | 75.4 | 15 ± 64 |  | 2 |",
        "| mixup | 78.8 | 30 |  | 1 |",
    ]


def test_a_result_reads_as_it_was_written() -> None:
    found = result(a=[0.1, 0.2])
    assert Result(**json.loads(json.dumps(asdict(found)))) == found
