"""The figures and tables of diagnoses, and of a policy while it was learned: they draw what was found."""

import base64
import io
from html import unescape
from typing import Any

import pytest
import torch
from outcomes_for_tests import comparison, finals
from PIL import Image
from torchvision.transforms.v2.functional import pil_to_tensor

from autoaug.cli._project import load_figures, shipped_root
from autoaug.compare import Comparison, diagnosis_legend, diagnosis_tables, present_diagnoses, to_json
from autoaug.page import report
from autoaug.policy import Relaxed, apply, choice, policy_tree, sequence
from autoaug.record import Phase, Record, TrialKind
from autoaug.store import Diagnosis, Store, diagnoses, note_diagnosis
from autoaug.store._maintenance import delete_study

FIGURES = load_figures(shipped_root())


def found(
    strategy: str, diagnostic: str = "white_box", seed: int = 0, phase: Phase = "refine", **more: Any
) -> Diagnosis:
    given: dict[str, Any] = {"study": "s", "unit": "error", "says": f"what {diagnostic} says"}
    return Diagnosis(strategy=strategy, diagnostic=diagnostic, seed=seed, phase=phase, **given | more)


def test_what_was_found_comes_back_and_goes_where_its_study_goes(store: Store) -> None:
    one = found("ra", values={"fgsm": 0.25}, series={"map": [[0.0, 1.0]]}, point={"policy.m": 0.5})
    two = found("ra", seed=1, values={"fgsm": 0.5})
    store.define("s", {"task": {}, "metric": "val_accuracy", "seed": 0, "spaces": {"ra": {}}})
    for each in (one, two):
        note_diagnosis(store, each)
    assert diagnoses(store, "s") == [one, two]
    assert diagnoses(store, "other") == []
    again = found("ra", values={"fgsm": 0.75})
    note_diagnosis(store, again)
    assert diagnoses(store, "s") == [two, again], "it takes the place of what was found before"
    archived = store.archive("s")
    assert diagnoses(store, "s") == []
    assert [each.seed for each in diagnoses(store, archived)] == [1, 0]
    delete_study(store, archived)
    assert diagnoses(store, archived) == []


def test_a_table_has_the_mean_over_seeds_at_each_phase_in_the_order_of_the_study() -> None:
    given = [
        found("ra", seed=seed, phase=phase, values={"clean": 0.1, "fgsm": value + seed / 10})
        for seed in range(2)
        for phase, value in (("augment", 0.4), ("refine", 0.6))
    ]
    given += [found("none", phase="augment", values={"clean": 0.2, "fgsm": 0.9})]
    [table] = diagnosis_tables(comparison(diagnoses=given))
    columns = ["clean, augmented", "fgsm, augmented", "clean, refined", "fgsm, refined"]
    assert table.headings == ["white box, error", *columns]
    assert [row[0] for row in table.cells] == ["none", "ra"]
    assert table.cells[0] == ["none", "0.2000", "0.9000", "–", "–"]
    assert table.cells[1][1] == "0.1000 (2 equal)"
    assert table.cells[1][2].startswith("0.4500 ± ")
    assert table.cells[1][4].startswith("0.6500 ± ")


def test_a_table_of_one_phase_does_not_name_it() -> None:
    [table] = diagnosis_tables(comparison(diagnoses=[found("ra", phase="augment", values={"fgsm": 0.5}, unit="")]))
    assert table.headings == ["white box", "fgsm"]


def test_only_the_point_that_was_diagnosed_last_is_shown() -> None:
    old = found("ra", seed=1, point={"policy.m": 0.1}, values={"fgsm": 0.9})
    new, other = found("ra", point={"policy.m": 0.5}, values={"fgsm": 0.1}), found("none", values={"fgsm": 0.3})
    assert present_diagnoses([old, other, new]) == [other, new]
    [table] = diagnosis_tables(comparison(diagnoses=[old, other, new]))
    assert table.cells == [["none", "0.3000"], ["ra", "0.1000"]]


def test_the_legend_says_what_each_says_and_of_how_many_trainings() -> None:
    given = [
        found("none", values={"fgsm": 0.3}),
        *(found("ra", "crops", seed, values={"small": 0.5}) for seed in (0, 1)),
    ]
    first, second, last = diagnosis_legend(comparison(diagnoses=given))
    assert (first, second) == ("white box: what white_box says", "crops: what crops says")
    assert last.startswith("means over 1 to 2 trainings of each strategy")
    assert diagnosis_legend(comparison()) == []


def test_the_page_and_the_json_have_what_was_found() -> None:
    given = [found("ra", values={"<fgsm>": 0.125}, series={"map": [[1.0]]})]
    compared = comparison(diagnoses=given)
    page = report(compared, {})
    assert "<h2>Diagnostics</h2>" in page
    assert "<h3>white box, error</h3>" in page
    assert "&lt;fgsm&gt;" in page
    assert "0.1250" in page
    [plain] = to_json(compared)["diagnoses"]
    assert plain["values"] == {"<fgsm>": 0.125}
    assert "series" not in plain
    assert "Diagnostics" not in report(comparison(), {})


ALONG = {"share": [0.0, 0.5, 1.0], "misses": [0.0, 0.5, 0.0], "gradient": [1.0, 2.0, 1.0]}


def test_in_between_has_a_panel_of_misses_and_one_of_gradients() -> None:
    steeper = {**ALONG, "gradient": [3.0, 4.0, 3.0]}
    given = [found("ra", "in_between", seed, series=each) for seed, each in enumerate((ALONG, steeper))]
    given += [found("none", "in_between", series=ALONG), found("none", "in_between", phase="augment", series=steeper)]
    drawn = FIGURES["in between"](comparison(diagnoses=given))
    lines = {(line.name, line.yaxis): list(line.y) for line in drawn.data}
    assert lines["ra", "y2"] == [2.0, 3.0, 2.0], "means over trainings"
    assert lines["none", "y2"] == [1.0, 2.0, 1.0], "refined where it was refined"
    assert lines["none", "y"] == [0.0, 0.5, 0.0]
    assert (drawn.layout.yaxis.title.text, drawn.layout.yaxis2.title.text) == (
        "share of misses",
        "norm of the gradient",
    )
    assert [line.showlegend for line in drawn.data] == [True, True, False, False]


def test_crops_are_lines_over_the_size_of_objects() -> None:
    given = [found("ra", "crops", series={"zoom": [0.5, 1.0, 2.0], "accuracy": [0.1, 0.9, 0.3]})]
    [line] = FIGURES["crops"](comparison(diagnoses=given)).data
    assert (list(line.x), list(line.y)) == ([0.5, 1.0, 2.0], [0.1, 0.9, 0.3])


def test_there_is_a_map_for_each_strategy() -> None:
    maps = [[[0.0, 0.2], [0.2, 1.0]], [[0.2, 0.4], [0.4, 1.0]]]
    given = [found("ra", "gradient_map", seed, series={"map": each}) for seed, each in enumerate(maps)]
    given += [found("none", "gradient_map", series={"map": maps[0]})]
    drawn = FIGURES["gradient maps"](comparison(diagnoses=given))
    assert [title.text for title in drawn.layout.annotations] == ["none", "ra"]
    assert [list(map(list, each.z)) for each in drawn.data] == [maps[0], [[0.1, 0.3], [0.3, 1.0]]]


def learned(epoch: int, seed: int = 0, strategy: str = "ra", phase: Phase = "augment", **more: Any) -> Record:
    """An epoch at whose end the second operation has a weight of 1/(epoch + 1)."""
    first, second = apply("rotate", min(1.0, epoch / 10), 0.5), apply("invert", 1.0, 0.25)
    tree = policy_tree(choice([(epoch, first), (1, second)]))
    given: dict[str, Any] = {"study": "s", "kind": TrialKind.FINAL, "policy": tree.model_dump(mode="json")}
    return Record(strategy=strategy, trial=seed, epoch=epoch, phase=phase, **given | more)


def trajectories(*records: Record) -> Comparison:
    return comparison(records=records)


def test_trajectories_are_selection_probability_and_strength_by_epoch() -> None:
    epochs = [learned(epoch, seed) for seed in range(2) for epoch in (1, 2, 4)]
    ignored = [learned(3, phase="refine"), learned(3, kind=TrialKind.SEARCH), learned(3, training="last_policy")]
    drawn = FIGURES["policy over time"](trajectories(*epochs, *ignored))
    selection, probability, strength = drawn.data
    assert list(selection.x) == [1, 2, 4]
    by_op = {op: list(row) for op, row in zip(selection.y, selection.z, strict=True)}
    assert by_op == {"rotate": [0.5, 0.667, 0.8], "invert": [0.5, 0.333, 0.2]}
    assert {op: list(row) for op, row in zip(probability.y, probability.z, strict=True)}["invert"] == [0.25] * 3
    assert {op: list(row) for op, row in zip(strength.y, strength.z, strict=True)}["rotate"] == [0.1, 0.2, 0.4]
    assert drawn.layout.title.text == "What did ra learn?"


def test_each_stage_of_a_relaxed_policy_has_a_column() -> None:
    policy = Relaxed(["rotate", "solarize", "color"], stages=2)
    with torch.no_grad():
        policy.selection[1, 2] = 5.0
    moved = learned(1, policy=policy.tree().model_dump(mode="json"))
    drawn = FIGURES["policy over time"](trajectories(moved))
    assert len(drawn.data) == 6
    second = {op: row[0] for op, row in zip(drawn.data[1].y, drawn.data[1].z, strict=True)}
    assert second["color"] == pytest.approx(policy.selection[1].softmax(0)[2].item(), abs=1e-3)


def test_operations_that_are_all_applied_are_one_stage_whose_reach_is_drawn() -> None:
    def moved(epoch: int, reach: float) -> Record:
        tree = policy_tree(sequence([apply("rotate", (-reach, reach / 2), mirror=False), apply("zoom", (0.0, 0.25))]))
        return learned(epoch, policy=tree.model_dump(mode="json"))

    drawn = FIGURES["policy over time"](trajectories(moved(1, 0.5), moved(2, 0.75)))
    [strength] = drawn.data
    reached = {op: list(row) for op, row in zip(strength.y, strength.z, strict=True)}
    assert reached == {"rotate": [0.5, 0.75], "zoom": [0.25, 0.25]}
    assert [each.text for each in drawn.layout.annotations] == ["strength μ, stage 1"], "all else is always 1"


def test_a_long_training_is_thinned_with_its_last_epoch() -> None:
    drawn = FIGURES["policy over time"](trajectories(*(learned(epoch) for epoch in range(1, 201))))
    assert len(drawn.data[0].x) <= 60
    assert drawn.data[0].x[-1] == 200


def test_the_sheet_has_the_same_draws_under_each_policy() -> None:
    """Draws of one policy in two epochs are the same pictures; those of another policy are others."""
    same = [learned(1, policy=policy_tree(apply("invert", 1.0, 0.5)).model_dump(mode="json"))]
    same += [learned(2, policy=same[0].policy), learned(3, policy=policy_tree(apply("invert")).model_dump(mode="json"))]
    drawn = FIGURES["augmented images"](trajectories(*same))
    [picture] = drawn.data
    sheet = Image.open(io.BytesIO(base64.b64decode(picture.source.partition(",")[2])))
    side = sheet.height // 6
    assert sheet.width == 4 * side
    original, first, second, inverted = (sheet.crop((k * side, 0, (k + 1) * side, sheet.height)) for k in range(4))
    pixels = [pil_to_tensor(each).float() for each in (original, first, second, inverted)]
    assert (pixels[1] - pixels[2]).abs().mean() < 6, "but for the compression"
    assert (255 - pixels[0] - pixels[3]).abs().mean() < 6
    assert (pixels[0] - pixels[1]).abs().mean() > 10
    assert list(drawn.layout.xaxis.ticktext) == ["original", "1", "2", "3"]


def diagnosed(strategy: str, diagnostic: str, series: dict[str, Any]) -> Comparison:
    given = found(strategy, diagnostic, series=series)
    return comparison(diagnoses=[given], definition={"spaces": {"none": {}, strategy: {}}})


def mixed(**point: Any) -> Comparison:
    """Final runs whose mixes of pairs are known."""
    runs = finals("ra", {0: 0.5}, point={f"mix.{name}": value for name, value in point.items()})
    return comparison(runs)


SHOWN = {
    "in between": lambda name: diagnosed(name, "in_between", ALONG),
    "crops": lambda name: diagnosed(name, "crops", {"zoom": [0.5, 1.0, 2.0], "accuracy": [0.1, 0.9, 0.3]}),
    "gradient maps": lambda name: diagnosed(name, "gradient_map", {"map": [[0.0, 0.75]]}),
    "distance profile": lambda name: mixed(kind="cutmix", alpha=1.0),
    "policy over time": lambda name: trajectories(learned(1, strategy=name), learned(2, strategy=name)),
    "augmented images": lambda name: trajectories(learned(1, strategy=name), learned(2, strategy=name)),
}
"""A comparison of which each figure draws something, with a strategy of this name where one is diagnosed."""


@pytest.mark.parametrize("name", SHOWN)
def test_what_is_drawn_asks_a_question_and_says_in_words_what_is_seen(name: str) -> None:
    drawn = FIGURES[name](SHOWN[name]("<b>x</b>"))
    assert drawn.data
    assert drawn.layout.title.text.endswith("?")
    assert "<b>" not in drawn.layout.title.text
    assert all("<b>" not in (trace.name or "") for trace in drawn.data)
    assert len(unescape(drawn.layout.title.text)) <= 36
    alt = drawn.layout.meta["alt"]
    assert any(letter.isdigit() for letter in alt), "the numbers of what is seen"
    assert len(drawn.to_json()) <= 30_000
    assert drawn.layout.width is None


@pytest.mark.parametrize("name", ["in between", "crops", "gradient maps", "policy over time", "augmented images"])
def test_what_was_not_measured_is_an_empty_figure(name: str) -> None:
    assert not FIGURES[name](comparison(diagnoses=[found("ra", values={"fgsm": 0.1})])).data
