"""The figures of what policies do to images, and of how they learned it: they draw what the policies say."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from outcomes_for_tests import comparison, finals

from autoaug.cli._project import load_figures, shipped_root
from autoaug.compare import Comparison
from autoaug.policy import PolicyTree, apply, choice, op_masses, policy_tree, ready, schedule, sequence
from autoaug.record import Phase, Record, TrialKind
from autoaug.store import Diagnosis
from dashboards.trees import Use, mean_size, met, physical, share_met, uses

FIGURES = load_figures(shipped_root())


def plain(tree: PolicyTree) -> Mapping[str, Any]:
    return tree.model_dump(mode="json")


NESTED = policy_tree(
    sequence(
        [
            choice(
                [
                    (3.0, sequence([apply("rotate", 0.5, 0.5), apply("invert", 1.0, 0.25)])),
                    (1.0, choice([(1.0, apply("rotate", (0.0, 1.0))), (1.0, sequence([]))])),
                ]
            ),
            apply("rotate", (-0.5, 1.0), 0.5, mirror=False),
            apply("solarize", 0.0, 0.75),
        ]
    )
)

TREES = {
    "nested": NESTED,
    "identity": policy_tree(sequence([])),
    "randaugment": ready.randaugment(n=2, m=0.4),
    "trivialaugment": ready.trivialaugment(),
    "autoaugment": ready.autoaugment_cifar10(),
}


# What a policy does


def outcomes(node: Mapping[str, Any]) -> Iterator[tuple[float, tuple[str, ...]]]:
    """Everything that can happen to an image below a node: how likely, and which operations are applied."""
    if node["kind"] == "apply":
        yield node["probability"], (node["op"],)
        yield 1 - node["probability"], ()
    elif node["kind"] == "choice":
        total = sum(option["weight"] for option in node["options"])
        for option in node["options"]:
            for share, ops in outcomes(option["node"]):
                yield share * option["weight"] / total, ops
    else:
        for each in product(*(list(outcomes(child)) for child in node["nodes"])):
            likely, met_by = 1.0, ()
            for share, ops in each:
                likely, met_by = likely * share, met_by + ops
            yield likely, met_by


@pytest.mark.parametrize("name", TREES)
def test_the_share_of_images_is_that_of_all_that_can_happen(name: str) -> None:
    root = plain(TREES[name])["root"]
    everything = list(outcomes(root))
    assert sum(share for share, _ in everything) == pytest.approx(1)
    for op in {each.op for each in met(root)}:
        expected = sum(share for share, ops in everything if op in ops)
        assert share_met(root, op) == pytest.approx(expected, abs=1e-12), op


@pytest.mark.parametrize("name", TREES)
def test_applications_add_up_to_the_masses_of_the_policy(name: str) -> None:
    found: dict[str, float] = {}
    for each in met(plain(TREES[name])["root"]):
        found[each.op] = found.get(each.op, 0.0) + each.applied
    assert found == pytest.approx(op_masses(TREES[name]))


@pytest.mark.parametrize("ends", [(0.0, 1.0), (0.25, 0.25), (-0.5, 1.0), (-1.0, -0.25), (-0.75, 0.0)])
def test_the_mean_size_of_a_range_is_its_integral(ends: tuple[float, float]) -> None:
    low, high = ends
    middles = [low + (high - low) * (k + 0.5) / 10_000 for k in range(10_000)]
    assert mean_size(list(ends)) == pytest.approx(sum(map(abs, middles)) / 10_000, abs=1e-6)


def test_the_strength_of_an_operation_is_its_mean_over_applications() -> None:
    rotate = uses(plain(NESTED), 1)["rotate"]
    applied = [0.75 * 0.5, 0.25 * 0.5, 0.5]
    sizes = [0.5, 0.5, (0.25 + 1) / 3]
    expected = sum(share * size for share, size in zip(applied, sizes, strict=True)) / sum(applied)
    assert rotate.strength == pytest.approx(expected)
    assert rotate.amount == pytest.approx(30 * expected)
    assert (rotate.unit, rotate.most) == ("degrees", pytest.approx(30))


def test_of_a_schedule_it_is_the_mean_over_the_epochs_of_the_training() -> None:
    steps = [(1, sequence([])), (3, apply("rotate", 0.5, 0.5)), (5, apply("rotate", 1.0)), (11, apply("invert"))]
    tree = plain(policy_tree(schedule(steps)))
    used = uses(tree, 10)
    assert list(used) == ["rotate"], "the last step is never in force"
    assert used["rotate"].share == pytest.approx((2 * 0.5 + 6 * 1.0) / 10)
    assert used["rotate"].strength == pytest.approx((2 * 0.5 * 0.5 + 6 * 1.0) / 7)
    assert list(uses(tree, 1)) == []
    assert uses(tree, 20)["invert"].share == pytest.approx(0.5)


def test_an_operation_that_is_never_applied_has_no_share_and_still_a_strength() -> None:
    never = uses(plain(policy_tree(choice([(0.0, apply("rotate", 0.5)), (1.0, apply("invert"))]))), 1)
    assert never["rotate"] == Use(0.0, 0.5, 15.0, "degrees", 30.0)
    assert never["invert"].amount is None


@pytest.mark.parametrize(
    ("amount", "unit", "said"),
    [(0.021, "of the width", "2.1 %"), (12.6, "points of quality", "13 points"), (3.0, "bits removed", "3 bits")],
)
def test_an_amount_is_said_in_its_unit(amount: float, unit: str, said: str) -> None:
    assert physical(amount, unit) == said


# The map of strengths


def of(policies: Mapping[str, PolicyTree], **more: Any) -> Comparison:
    spaces: dict[str, Any] = {name: {} for name in policies}
    definition = {"spaces": {"none": {}, **spaces}, "task": {"epochs": 10}, **more}
    scores = {name: 0.5 + k / 100 for k, name in enumerate(["none", *policies])}
    runs = [run for name, score in scores.items() for run in finals(name, {0: score, 1: score + 0.01})]
    trees = {name: plain(tree) for name, tree in policies.items()}
    return comparison(runs, definition=definition, policies=trees)


def cells_of(drawn: Any) -> dict[tuple[str, str], tuple[float, str]]:
    """Brightness and text by operation and strategy."""
    names = drawn.layout.xaxis.ticktext
    found = {}
    for trace in drawn.data:
        for op, row, texts in zip(trace.y, trace.z, trace.text, strict=True):
            for name, z, text in zip(names, row, texts, strict=True):
                if z is not None:
                    found[op, name] = (z, text)
    return found


def test_the_map_has_the_amount_and_the_share_of_each_operation_in_each_policy() -> None:
    drawn = FIGURES["strength map"](
        of(
            {
                "a": policy_tree(choice([(1.0, apply("rotate", 0.5)), (3.0, apply("invert"))])),
                "b": policy_tree(apply("rotate", (0.0, 1.0), 0.125), ranges="wide"),
            }
        )
    )
    assert cells_of(drawn) == {
        ("rotate", "b"): (0.5, "68° in 12 %"),
        ("rotate", "a"): (round(15 / 135, 3), "15° in 25 %"),
        ("invert", "a"): (1.0, "75 %"),
    }
    assert list(drawn.layout.yaxis.categoryarray) == ["invert", "rotate"], "what most images meet is first"
    assert list(drawn.layout.xaxis.ticktext) == ["b", "a"], "as on the leaderboard"
    assert "a invert (75 % of the images)" in drawn.layout.meta["alt"]


def test_strategies_that_augment_nothing_have_no_column() -> None:
    assert not FIGURES["strength map"](comparison()).data
    assert not FIGURES["strength map"](of({"a": policy_tree(sequence([]))})).data
    both = FIGURES["strength map"](of({"a": policy_tree(sequence([])), "b": policy_tree(apply("invert"))}))
    assert list(both.layout.xaxis.ticktext) == ["b"]


def test_a_schedule_is_drawn_over_the_epochs_of_its_strategy() -> None:
    tree = policy_tree(schedule([(1, sequence([])), (6, apply("rotate", 0.5))]))
    own = FIGURES["strength map"](of({"a": tree}, tasks={"a": {"epochs": 20}}))
    assert cells_of(own)["rotate", "a"][1] == "15° in 75 %"
    assert cells_of(FIGURES["strength map"](of({"a": tree})))["rotate", "a"][1] == "15° in 50 %"


def test_a_name_with_markup_is_text_and_many_policies_stay_small() -> None:
    many = {f"<b>s{k}</b>": ready.autoaugment_cifar10() for k in range(30)}
    drawn = FIGURES["strength map"](of(many))
    assert drawn.layout.xaxis.ticktext[0] == "&lt;b&gt;s29&lt;/b&gt;"
    assert len(drawn.layout.xaxis.ticktext) == 10
    assert len(drawn.to_json()) <= 30_000
    assert json.loads(drawn.to_json())["layout"].get("width") is None


# How the final runs trained


def trained(strategy: str, epochs: int, refined: int = 0, seeds: int = 2, **more: Any) -> list[Record]:
    """Final runs whose losses tell phase and seed: training 1 + seed while augmented, 0.1 refined."""
    return [
        Record(
            study="s",
            strategy=strategy,
            trial=seed,
            epoch=number,
            phase="augment" if number <= epochs else "refine",
            kind=TrialKind.FINAL,
            metrics={
                "val_accuracy": number / 1000 + seed / 10,
                "val_nll": 0.5,
                "train_loss": 1.0 + seed if number <= epochs else 0.1,
                **more,
            },
        )
        for seed in range(seeds)
        for number in range(1, epochs + refined + 1)
    ]


def lines_of(drawn: Any, axis: str) -> dict[tuple[str, str], Any]:
    """Lines with points on an axis, by name and dash."""
    return {
        (line.name, line.line.dash): line for line in drawn.data if line.name and line.yaxis == axis and any(line.x)
    }


def test_the_training_loss_is_dashed_while_augmented_and_dotted_while_refined() -> None:
    drawn = FIGURES["learning curves"](comparison(records=[*trained("none", 3), *trained("ra", 3, 2)]))
    losses = lines_of(drawn, "y2")
    assert list(losses["ra", "dash"].x) == [1, 2, 3]
    assert list(losses["ra", "dash"].y) == [1.5] * 3, "the mean over seeds"
    assert (list(losses["ra", "dot"].x), list(losses["ra", "dot"].y)) == ([4, 5], [0.1, 0.1])
    assert list(losses["ra", "solid"].y) == [0.5] * 5
    assert ("none", "dot") not in losses
    assert {line.marker.symbol for line in losses.values()} == {"circle", "square"}, "known without colours"
    [shaded] = {(shape.x0, shape.x1) for shape in drawn.layout.shapes}
    assert shaded == (3.5, 5.5)
    words = [line.name for line in drawn.data if line.yaxis == "y2" and not any(line.x)]
    assert words == ["loss: validation", "loss: training, augmented images", "loss: training, clean images"]
    assert "ra 0.055 (0.053 before refinement)" in drawn.layout.meta["alt"]


def test_without_refinement_nothing_is_shaded_and_without_losses_there_is_one_panel() -> None:
    assert not FIGURES["learning curves"](comparison(records=trained("ra", 3))).layout.shapes
    bare = [Record(strategy="ra", epoch=1, phase="augment", kind=TrialKind.FINAL, metrics={"val_accuracy": 0.5})]
    drawn = FIGURES["learning curves"](comparison(records=bare))
    assert [line.yaxis for line in drawn.data] == ["y"]


def test_long_trainings_of_many_strategies_stay_small_and_keep_the_border_of_refinement() -> None:
    names = [f"strategy-{k}" for k in range(30)]
    records = [each for name in names for each in trained(name, 97, 7, seeds=1)]
    drawn = FIGURES["learning curves"](comparison(records=records, definition={"spaces": {"none": {}}}))
    assert len(drawn.to_json()) <= 30_000
    assert len({line.name for line in lines_of(drawn, "y").values()}) == 7, "and the baseline, which has no run"
    assert {97, 104} <= set(lines_of(drawn, "y")["strategy-3", "solid"].x)


# How far apart the losses are


def diagnosis(strategy: str, phase: Phase, seed: int = 0, **values: float) -> Diagnosis:
    named = {name.replace("_", " "): value for name, value in values.items()}
    given: dict[str, Any] = {"study": "s", "diagnostic": "cross_entropy", "unit": "nats"}
    return Diagnosis(strategy=strategy, phase=phase, seed=seed, values=named, **given)


def bars_of(drawn: Any) -> list[tuple[list[float], list[str], list[str]]]:
    """Losses, symbols and words of each bar."""
    return [(list(bar.x), list(bar.marker.symbol), list(bar.customdata)) for bar in drawn.data if bar.customdata]


def test_the_gap_is_what_was_diagnosed_before_and_after_refinement() -> None:
    found = [diagnosis("ra", "augment", seed, as_trained=1.0 + seed, clean=0.25) for seed in range(2)]
    found += [diagnosis("ra", "refine", as_trained=0.125, clean=0.0625), diagnosis("none", "augment", clean=0.5)]
    drawn = FIGURES["gap"](comparison(diagnoses=found, records=trained("ra", 3, 2)))
    assert bars_of(drawn) == [
        ([0.5], ["circle-open"], ["clean, before refinement"]),
        (
            [1.5, 0.25],
            ["diamond-open", "circle-open"],
            ["as a step sees them, before refinement", "clean, before refinement"],
        ),
        ([0.125, 0.0625], ["diamond", "circle"], ["as a step sees them, after refinement", "clean, after refinement"]),
    ]
    assert drawn.layout.title.subtitle.text == "cross-entropy on training images, by autoaug diagnose"
    assert list(drawn.layout.yaxis.ticktext) == ["none", "ra"]
    assert "ra 1.5 and 0.25, then 0.125 and 0.0625" in drawn.layout.meta["alt"]


def test_what_was_not_diagnosed_has_the_losses_of_the_last_epochs_and_says_so() -> None:
    drawn = FIGURES["gap"](comparison(records=trained("ra", 3, 2)))
    assert [losses for losses, _, _ in bars_of(drawn)] == [[1.5, 0.5], [0.1, 0.5]]
    assert bars_of(drawn)[0][2] == ["training, before refinement", "validation, before refinement"]
    assert drawn.layout.title.subtitle.text.endswith("not diagnosed")
    assert [line.name for line in drawn.data if not line.customdata] == [
        f"{loss}, {when} refinement" for when in ("before", "after") for loss in ("training", "validation")
    ]
    assert not FIGURES["gap"](comparison(records=trained("ra", 3, train_loss=1.0)[:0])).data


def test_a_loss_of_zero_is_drawn_too() -> None:
    drawn = FIGURES["gap"](comparison(diagnoses=[diagnosis("ra", "augment", clean=0.0, as_trained=0.5)]))
    assert drawn.layout.xaxis.type is None, "and not log"


# Hypergradients


def moving(norms: list[float], seed: int = 0, **more: float) -> list[Record]:
    given: dict[str, Any] = {"study": "s", "strategy": "ra", "trial": seed, "kind": TrialKind.FINAL}
    return [
        Record(
            epoch=k,
            phase="augment",
            metrics={"hypergradient_norm": norm, "hyper_seconds": 0.5, "hyper_skipped": 0.0, **more},
            **given,
        )
        for k, norm in enumerate(norms, start=1)
    ]


def titles_of(drawn: Any) -> list[str]:
    return [drawn.layout[name].title.text for name in sorted(drawn.layout.to_plotly_json()) if name[:5] == "yaxis"]


def test_norm_and_seconds_of_hypergradients_are_means_over_final_runs() -> None:
    ignored = [replace(moving([9.0])[0], phase="refine"), replace(moving([9.0])[0], kind=TrialKind.SEARCH)]
    drawn = FIGURES["hypergradient"](comparison(records=[*moving([1.0, 0.5]), *moving([3.0, 0.25], 1), *ignored]))
    assert [list(line.y) for line in drawn.data] == [[2.0, 0.375], [0.5, 0.5]]
    assert titles_of(drawn) == ["norm", "seconds"]
    assert drawn.layout.yaxis.type == "log"
    assert "ra from 2 to 0.38 in 1 seconds. No update was skipped." in drawn.layout.meta["alt"]


def test_skipped_updates_and_cosines_have_panels_where_there_are_any() -> None:
    drawn = FIGURES["hypergradient"](comparison(records=moving([1.0, 2.0], hyper_skipped=3, hypergradient_cosine=0.5)))
    assert titles_of(drawn) == ["norm", "seconds", "updates skipped", "cosine"]
    assert [list(line.y) for line in drawn.data[2:]] == [[3, 3], [0.5, 0.5]]
    assert drawn.layout.meta["alt"].endswith("with a mean cosine of 0.50.")
    assert not FIGURES["hypergradient"](comparison(records=trained("ra", 3))).data


def test_figures_of_many_long_trainings_are_small() -> None:
    norms = {"hypergradient_norm": 0.123, "hyper_seconds": 1.234, "hyper_skipped": 7, "hypergradient_cosine": -0.123}
    records = [each for k in range(30) for each in trained(f"<b>s{k}</b>", 104, 6, seeds=1, **norms)]
    for name in ("gap", "hypergradient"):
        drawn = FIGURES[name](comparison(records=records))
        assert len(drawn.to_json()) <= 30_000, name
        assert "<b>" not in drawn.to_json().replace("\\u003c", "<").replace(json.dumps(drawn.layout.meta), ""), name
