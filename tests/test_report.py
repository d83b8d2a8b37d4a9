"""The page of a study, and the figures of the reference project."""

from typing import Any

import pytest

from autoaug.compare import Row, leaderboard, to_flat
from autoaug.project import load_figures, shipped_root
from autoaug.record import Outcome, Record
from autoaug.report import report

FIGURES = load_figures(shipped_root())


def records() -> list[Record]:
    given: dict[str, Any] = {"study": "s", "phase": "augment", "gpu_seconds": 1.0}
    search = [
        Record(strategy=name, trial=trial, epoch=epoch, metrics={"val_accuracy": value + epoch / 10}, **given)
        for name, start in (("none", 0.1), ("ra", 0.2))
        for trial, value in enumerate((start, start + 0.3, start))
        for epoch in (1, 2)
    ]
    finals = [
        Record(
            strategy="ra",
            trial=seed,
            epoch=epoch,
            metrics={"val_accuracy": seed / 10 + epoch / 10},
            final=True,
            **given,
        )
        for seed in (0, 2)
        for epoch in (1, 2)
    ]
    return search + finals


def final(strategy: str, seed: int, **metrics: float) -> Outcome:
    return Outcome(
        study="s", strategy=strategy, trial=seed, root=seed, state="COMPLETE", seed=seed, metrics=metrics, final=True
    )


def rows() -> list[Row]:
    outcomes = [final("none", seed, test_accuracy=0.5 + seed / 100) for seed in range(3)]
    learned = [
        final("<b>madao</b>", seed, test_accuracy=0.9, last_policy_test_accuracy=0.6 + seed / 10) for seed in range(3)
    ]
    return leaderboard(outcomes + learned, "none")


def test_a_strategy_that_learned_is_also_judged_by_what_a_new_network_makes_of_it() -> None:
    learned, plain = rows()
    assert learned.test
    assert learned.test.mean == pytest.approx(0.9)
    assert learned.retrained["last_policy"].mean == pytest.approx(0.7)
    assert plain.retrained == {}
    assert to_flat(learned)["retrained_last_policy_mean"] == pytest.approx(0.7)
    assert to_flat(plain).keys() == to_flat(learned).keys()


def test_the_page_stands_alone_and_shows_names_as_text() -> None:
    definition = {
        "metric": "val_accuracy",
        "baseline": "none",
        "task": {"model": "convnet", "data": "digits", "epochs": 2},
    }
    page = report("s", definition, rows(), records(), FIGURES)
    assert "<b>madao" not in page
    assert "&lt;b&gt;madao&lt;/b&gt;" in page
    assert "0.9000" in page
    assert "0.7000" in page
    assert page.count("plotly.js v") == 1, "Plotly's JavaScript is inside, once"
    assert 'src="http' not in page


def test_the_anytime_curve_rises_at_what_had_been_spent() -> None:
    none, ra = FIGURES["anytime"](records()).data
    assert (none.name, list(none.x), list(none.y)) == ("none", [2, 4, 6], [0.3, 0.6, 0.6])
    assert (ra.name, list(ra.x), list(ra.y)) == ("ra", [2, 4, 6], [0.4, 0.7, 0.7])


def test_a_learning_curve_is_the_mean_over_final_runs() -> None:
    (line,) = FIGURES["learning curves"](records()).data
    assert (line.name, list(line.x), list(line.y)) == ("ra", [1, 2], [0.2, 0.3])


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_of_nothing_is_empty_and_one_of_a_study_is_small(name: str) -> None:
    assert len(FIGURES[name]([]).data) == 0
    assert len(FIGURES[name](records()).to_json()) < 30_000, "a figure in Optuna's storage must stay small"
