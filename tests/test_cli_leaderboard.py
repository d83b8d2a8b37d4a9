"""The leaderboard on a terminal: bars beside the names, and no more lines of legend than are read."""

import io
from dataclasses import replace
from typing import Any

import pytest
from outcomes_for_tests import comparison, finals, searched
from rich.console import Console

from autoaug.cli._leaderboard import Leaderboard, axis, bar, bars
from autoaug.cli._next import last_lines
from autoaug.cli._output import program
from autoaug.compare import (
    ClassEffect,
    ClassEffects,
    Comparison,
    Difference,
    Interval,
    LeaderboardRow,
    brief_legend,
    interval,
    sentence,
)
from autoaug.compare._leaderboard import Doubt, OtherMetric, Rerun
from autoaug.compare._looks import Looks
from autoaug.policy import APPROXIMATION, apply, policy_tree


def difference(value: float, verdict: Any = "better") -> Difference:
    p = 0.4 if verdict == "not enough evidence" else 0.01
    return Difference(value, value - 0.02, value + 0.02, p, p_holm=p, n=3, sd=0.02, verdict=verdict, seeds_needed=9)


def row(name: str, effect: Difference | None, **more: Any) -> LeaderboardRow:
    given: dict[str, Any] = {"val_best": 0.9, "trials": 9, "pruned": 0, "failed": 0, "gpu_seconds": 7.0}
    given |= {"device": "cpu", "epochs": 5, "test": interval([0.8, 0.82, 0.84]), "rank": 1.5}
    return LeaderboardRow(name=name, vs_baseline=effect, **given | more)


def drawn(found: Comparison, width: int = 100, encoding: str = "utf-8") -> list[str]:
    """The lines on a terminal of some width and encoding."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="replace")
    Console(file=file, width=width, legacy_windows=False).print(Leaderboard(found))
    file.seek(0)
    return [line.rstrip() for line in file.read().splitlines()]


FOUR = comparison(
    rows=[
        row("first", difference(0.08)),
        row("second", difference(0.01, "not enough evidence")),
        row("none", None),
        row("last", difference(-0.04, "worse")),
    ]
)


def test_bars_share_one_scale_and_the_place_of_the_baseline() -> None:
    found = bars(FOUR, 12)
    assert {name: text.plain for name, text in found.items()} == {
        "first": "    ████████",
        "second": "    █       ",
        "last": "████        ",
        "none": "    ▏       ",
    }
    assert {name: str(text.style) for name, text in found.items()} == {
        "first": "green",
        "second": "dim",
        "last": "red",
        "none": "dim",
    }


def test_where_less_is_better_the_bars_turn_round() -> None:
    turned = comparison(rows=FOUR.rows, definition={"metric": "val_nll"})
    assert bars(turned, 12)["first"].plain == "████████    "
    assert bars(turned, 12)["last"].plain == "        ████"


@pytest.mark.parametrize("width", [4, 7, 12])
@pytest.mark.parametrize("effects", [[0.5], [-0.5], [0.5, -1e-6], [1e-6, -0.5], [0.0], [0.3, -0.2]])
def test_every_bar_is_as_wide_as_its_column_and_on_its_own_side(width: int, effects: list[float]) -> None:
    zero, scale = axis(effects, width)
    for effect in effects:
        for ascii_only in (False, True):
            shown = bar(effect * scale, zero, width, ascii_only)
            assert len(shown) == width
            assert shown.strip()
        shown = bar(effect * scale, zero, width)
        assert not shown[zero:].strip() if effect < 0 else not shown[:zero].strip()


def test_a_terminal_without_blocks_gets_signs() -> None:
    found = [line for line in drawn(FOUR, encoding="ascii") if line.startswith(("first", "last", "none"))]
    assert [line.split()[1] for line in found] == ["beats", "========", "|", "====", *["0.9000"] * 3]
    assert not any("█" in line or "?====" in line for line in found)


@pytest.mark.parametrize(("width", "rank"), [(70, False), (80, True), (120, True)])
def test_bars_take_the_place_of_ranks_where_there_is_no_room_for_both(width: int, rank: bool) -> None:
    found = drawn(FOUR, width)
    assert any("█" in line for line in found)
    assert any("rank" in line for line in found) == rank
    assert max(map(len, found)) <= width


def test_without_room_for_bars_the_table_is_whole() -> None:
    found = drawn(FOUR, 62)
    assert not any("█" in line for line in found)
    assert any("rank" in line for line in found)


def test_without_a_difference_there_are_no_bars() -> None:
    assert bars(comparison(rows=[row("none", None)]), 12) == {}
    assert bars(comparison(rows=[row("none", None), row("ra", difference(float("nan")))]), 12) == {}


def test_the_sentence_stands_first() -> None:
    assert drawn(FOUR, 200)[0].startswith(
        "first beats no policy by 8.0 ± 2.0 points (p = .010, 3 seeds, 7 CPU-seconds)"
    )


def everything() -> Comparison:
    """A comparison of which everything is to be said."""
    looked = Looks((3, 6), 6)
    versus = {"looks": looked, "sd": 0.02}
    more: dict[str, Any] = {
        "doubt": Doubt(600, 0.02, 3, 4),
        "others": {"nll": OtherMetric(Interval(0.4, 0.3, 0.5, 6, "t"), difference(-0.2))},
        "pruned": 2,
        "reruns": (Rerun(1, 0.5, 1, 0.8, 20),),
        "retrained": {"last_policy": Interval(0.8, 0.8, 0.8, 6, "t")},
        "predicted_seconds": 7.0,
        "searches": True,
    }
    names = [f"a-strategy-with-a-name-{k}" for k in range(12)]
    rows = [
        row(name, Difference(0.01 * k, -0.02, 0.3, 0.3, p_holm=1.0, n=6, seeds_needed=40, **versus), **more)
        for k, name in enumerate(names)
    ]
    bootstrap = Interval(0.8, 0.7, 0.9, 40, "bootstrap")
    rows = [row("none", None, test=bootstrap), row("one", None, test=Interval(0.8, None, None, 1)), *rows]
    rows[2] = row(names[0], difference(0.2), **more | {"gpu_seconds": 900.0})
    classes = [ClassEffect(f"c{k}", 9, 0.5, 0.6, 0.1, 0.0, 0.2, 0.01, 0.01, v) for k, v in enumerate(VERDICTS)]
    return comparison(
        [searched(name, 0, 0.9, unapplied=("task.lr", "mix.alpha")) for name in names],
        rows=rows,
        classes=ClassEffects(names[0], "none", 6, 12, tuple(classes)),
        provenance={"always on": "flip"},
        definition={"train": "own", "task": {"data": None, "model": "", "epochs": 1}},
    )


VERDICTS: list[Any] = ["helped"] * 5 + ["harmed"] * 5 + ["not enough evidence"] * 5


def test_a_legend_has_ten_lines_at_most() -> None:
    found = brief_legend(everything())
    assert len(found) == 10
    assert max(map(len, found)) <= 200, "and none that names every strategy"


def test_a_line_of_the_legend_is_there_only_where_it_applies() -> None:
    assert brief_legend(FOUR) == [
        "± half a 95 % interval (Student's t) over 3 final runs",
        "difference: paired by seed; p: t-test corrected for 3 strategies",
        "seeds to tell: second 9",
    ]
    one = comparison(finals("none", {0: 0.5}))
    assert brief_legend(one) == ["one final run each gives no interval and no p: set Study(seeds=) to 3 or more"]
    assert brief_legend(comparison()) == []


PLAIN = policy_tree(apply("rotate", 0.5)).model_dump(mode="json")
LOSSY = policy_tree(apply("rotate", 0.5), provenance={APPROXIMATION: "of a network"}).model_dump(mode="json")

TAKEN: dict[str, tuple[Comparison, str]] = {
    "torchvision takes it": (
        replace(FOUR, policies={"first": PLAIN}),
        "take it: {program} export 's tudy.py' --format torchvision -o policy.py --storage x",
    ),
    "JSON takes what torchvision would lose": (
        replace(FOUR, policies={"first": LOSSY}),
        "take it: {program} export 's tudy.py' --format json -o policy.json --storage x",
    ),
    "a winner that is not first is named": (
        replace(FOUR, rows=[FOUR.rows[1], FOUR.rows[0], FOUR.rows[2]], policies={"first": PLAIN}),
        "take it: {program} export 's tudy.py' --format torchvision --strategy first -o policy.py --storage x",
    ),
    "one that is ahead without evidence": (
        replace(FOUR, rows=FOUR.rows[1:], policies={"second": PLAIN}),
        "take it: {program} export 's tudy.py' --format torchvision -o policy.py --storage x",
    ),
    "no policy was kept": (FOUR, ""),
    "the baseline is first": (replace(FOUR, rows=FOUR.rows[2:], policies={"last": PLAIN}), ""),
}


@pytest.mark.parametrize("case", TAKEN)
def test_the_last_lines_are_the_verdict_and_the_commands_that_come_next(case: str) -> None:
    found, said = TAKEN[case]
    lines = list(last_lines(found, "s tudy.py", " --storage x"))
    assert lines[0] == sentence(found)
    assert lines[-1] == f"details: {program()} dashboard --storage x"
    taken = [line for line in lines if line.startswith("take it")]
    assert taken == [each.format(program=program()) for each in [said] if each]
    kept = next(iter(found.policies), "nothing")
    told = [line for line in lines if line.startswith(f"{kept}: every image: ")]
    assert len(told) == bool(found.policies)
    assert not [line for line in last_lines(found, None, "") if line.startswith("take it")], "of other data"
