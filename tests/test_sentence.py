"""The sentence at the top of everything: who won, by how much, how sure, at what cost, on what."""

import math
from dataclasses import replace
from typing import Any

import pytest
from outcomes_for_tests import comparison, finals, searched

from autoaug.compare import Comparison, leaderboard, sentence, winner, winner_in_words
from autoaug.metrics import stored_table
from autoaug.policy import ready
from autoaug.record import Outcome

SEEDS = range(6)
BASE = [0.70, 0.72, 0.71, 0.69, 0.73, 0.70]
"""Test accuracies of the baseline; others are so much above, with a spread of their own."""
SPREAD = [0.01, -0.01, 0.0, 0.005, -0.005, 0.0]

IMAGES = {"photos": {"kind": "images", "pixels": [3, 64, 64]}}


def above(name: str, effect: float, seeds: int = 6, spread: float = 1.0, **more: Any) -> list[Outcome]:
    """Final runs of a strategy that is better than the baseline by so much in the mean of all six."""
    scores = [base + effect + spread * noise for base, noise in zip(BASE, SPREAD, strict=True)]
    return finals(name, dict(zip(SEEDS[:seeds], scores, strict=False)), **more)


def told(*runs: list[Outcome], **more: Any) -> str:
    """The sentence of some final runs, of a study that has ended."""
    return sentence(found(*runs, **more))


def found(*runs: list[Outcome], **definition: Any) -> Comparison:
    outcomes = [outcome for each in runs for outcome in each]
    names = dict.fromkeys(outcome.strategy for outcome in outcomes)
    given = {"spaces": {name: {} for name in names}, "seeds": max(map(len, runs))} | definition
    return comparison(outcomes, definition=given)


NONE = above("none", 0.0, spread=0.0)


def test_a_winner_its_lead_how_sure_that_is_what_it_cost_and_on_what() -> None:
    outcomes = [*NONE, *above("ra", 0.05), searched("ra", 0, 0.8, gpu_seconds=660.0, device="cpu", point={"n": 1})]
    definition = {"task": {"data": "photos"}, "data": IMAGES, "seeds": 6}
    assert (
        sentence(comparison(outcomes, definition=definition))
        == "ra beats no policy by 5.0 ± 0.7 points (p < .001, 6 seeds, 11 CPU-minutes of search, 64 px)"
    )


COSTS = {
    0.0: "",
    0.2: ", 0.2 GPU-seconds",
    1.0: ", 1 GPU-second",
    59.6: ", 60 GPU-seconds",
    90.0: ", 90 GPU-seconds",
    120.0: ", 2 GPU-minutes",
    5900.0: ", 98 GPU-minutes",
    7200.0: ", 2 GPU-hours",
    360000.0: ", 100 GPU-hours",
}


@pytest.mark.parametrize("seconds", COSTS)
def test_a_cost_has_the_unit_in_which_it_is_short(seconds: float) -> None:
    told_of = found(NONE, above("ra", 0.05))
    rows = [replace(row, gpu_seconds=seconds, device="cuda") for row in told_of.rows]
    assert sentence(replace(told_of, rows=rows)).endswith(f"(p < .001, 6 seeds{COSTS[seconds]})")


@pytest.mark.parametrize(
    ("pixels", "kind", "said"),
    [([3, 64, 48], "images", ", 64 x 48 px)"), ([1, 40, 99], "spectrograms", "6 seeds)"), ([], "images", "6 seeds)")],
)
def test_pixels_are_said_of_images_alone(pixels: list[int], kind: str, said: str) -> None:
    data = {"digits": {"kind": kind, "pixels": pixels}}
    assert told(NONE, above("ra", 0.05), data=data).endswith(said)


def test_data_of_a_loops_own_have_no_pixels() -> None:
    assert told(NONE, above("ra", 0.05), task={"data": None}, train="loop", data={}).endswith("6 seeds)")


def test_other_winners_and_losers_follow() -> None:
    said = told(NONE, above("ra", 0.05), above("rb", 0.03), above("bad", -0.2))
    assert said.endswith("; so does rb; bad is worse")
    said = told(NONE, *(above(f"r{k}", 0.05 - k / 1000) for k in range(4)), above("bad", -0.1), above("sad", -0.2))
    assert said.startswith("r0 beats no policy by 5.0 ")
    assert said.endswith("; so do 3 others; sad and bad are worse")


def test_the_best_mean_without_evidence_does_not_win() -> None:
    """Its few final runs happen to be good; the winner is the best of those that differ by more than chance."""
    told_of = found(NONE, above("ra", 0.05), above("wild", 0.06, spread=20.0))
    assert told_of.rows[0].name == "wild"
    won = winner(told_of)
    assert won
    assert won.name == "ra"
    assert sentence(told_of).startswith("ra beats no policy by 5.0 ")
    assert sentence(told_of).endswith("; wild, with the best mean, does not beyond chance")


def test_nothing_wins_and_how_many_seeds_would_tell() -> None:
    said = told(NONE, above("ra", 0.005, spread=2.0))
    needed = found(NONE, above("ra", 0.005, spread=2.0)).rows[0].vs_baseline
    assert needed
    assert needed.seeds_needed
    assert said == (
        "Nothing beats no policy beyond chance; ra is ahead by 0.5 ± 1.5 points over 6 seeds, "
        f"and about {needed.seeds_needed - 6} more seeds would tell"
    )
    assert told(NONE, above("ra", 0.00001, spread=2.0)).endswith("and more than 1,000 seeds would be needed to tell")
    assert told(NONE, above("ra", -0.001)).endswith("beyond chance; the nearest, ra, is not above it")
    same = told(NONE[:3], above("ra", 0.05, seeds=3, spread=0.0))
    assert same.endswith("; ra is ahead by 5.0 points in each of 3 seeds, which 3 seeds cannot tell from chance")


def test_what_is_worse_is_said() -> None:
    said = told(NONE, above("bad", -0.05), above("sad", -0.1), above("rb", 0.0, spread=2.0))
    assert said == (
        "Nothing beats no policy beyond chance; the nearest, rb, is not above it; "
        "sad is worse by 10.0 ± 0.7 points (p < .001, 6 seeds), and so is bad"
    )
    assert (
        told(NONE, above("bad", -0.05))
        == "Nothing beats no policy; bad is worse by 5.0 ± 0.7 points (p < .001, 6 seeds)"
    )


def test_equal_runs_that_win_say_so() -> None:
    assert told(NONE, above("ra", 0.05, spread=0.0)) == (
        "ra beats no policy by 5.0 points in each of 6 seeds (p = .031, 6 seeds)"
    )


def test_a_loss_is_told_in_its_own_unit_and_less_of_it_wins() -> None:
    told_of = found(NONE, above("ra", 0.05), metric="val_nll")
    assert sentence(told_of) == "ra beats no policy by .050 ± .007 nats less nll (p < .001, 6 seeds)"
    worse = found(NONE, above("ra", -0.05), metric="val_nll")
    assert sentence(worse) == "Nothing beats no policy; ra is worse by .050 ± .007 nats more nll (p < .001, 6 seeds)"


OWN = {
    "maximize": "ra beats no policy by 5.0 ± 0.7 of score (p < .001, 6 seeds)",
    "minimize": "Nothing beats no policy; ra is worse by 5.0 ± 0.7 more score (p < .001, 6 seeds)",
}


@pytest.mark.parametrize("direction", OWN)
def test_a_metric_of_ones_own_has_its_label(direction: Any) -> None:
    facts = {"direction": direction, "label": "score", "words": "", "range": [None, None], "proportion": False}
    scores = {"none": BASE, "ra": [each + 0.05 + noise for each, noise in zip(BASE, SPREAD, strict=True)]}
    runs = [
        outcome
        for name, each in scores.items()
        for seed, score in enumerate(each)
        for outcome in finals(name, {seed: score}, metrics={"test_score": 100 * score})
    ]
    table = stored_table({"metrics": {"score": facts}})
    definition = {"metric": "val_score", "metrics": {"score": facts}, "seeds": 6}
    rows = leaderboard(runs, "none", "val_score", table=table)
    assert sentence(comparison(runs, definition=definition, rows=rows)) == OWN[direction]


def test_one_seed_gives_a_lead_and_no_p() -> None:
    fix = "but one seed gives no p: set Study(seeds=) to 3 or more"
    assert told(NONE[:1], above("ra", 0.05, seeds=1)) == f"ra is ahead of no policy by 6.0 points, {fix}"
    assert told(NONE[:1], above("ra", -0.05, seeds=1)).startswith("Nothing is above no policy, and one seed gives no p")
    assert told(NONE[:1], finals("ra", {0: math.nan})).startswith("No verdict: the test values are no finite numbers")


def test_searches_that_are_repeated_are_counted_in_studies() -> None:
    runs = [replace(run, study=f"s{run.seed}") for run in [*NONE, *above("ra", 0.05)]]
    assert sentence(comparison(runs)) == "ra beats no policy by 5.0 ± 0.7 points (p < .001, 6 studies)"


def unseen(*runs: list[Outcome], **definition: Any) -> str:
    """The sentence of a study that is followed without a look at its differences."""
    told_of = found(*runs, **definition)
    return sentence(replace(told_of, rows=[replace(row, vs_baseline=None) for row in told_of.rows]))


def test_a_study_that_runs_says_how_far_it_is_and_who_leads() -> None:
    search = [searched("none", 0, 0.9), searched("ra", 0, 0.948)]
    running = [searched("ra", 1, None, state="RUNNING")]
    spaces = {"none": {}, "ra": {}}
    before, leads = "No verdict before the last final run:", "ra leads on validation with .948"
    assert unseen(search, running, NONE[:3], spaces=spaces, seeds=6) == f"{before} 3 of 12 so far; {leads}"
    assert unseen(search, NONE[:3], spaces=spaces, seeds=6) == f"{before} 3 of 12 so far; {leads}"
    assert told(search, running, spaces=spaces) == f"{before} 2 trials so far; {leads}"
    assert told(search, running, spaces=spaces, metric="val_nll").endswith("none leads on validation with nll .900")
    assert unseen(NONE, above("ra", 0.05)) == (
        "All 12 final runs have ended: ra has the best mean, test accuracy .758; a comparison says how sure that is"
    )


def test_a_look_at_a_study_that_has_not_ended_says_so() -> None:
    said = told(NONE, above("ra", 0.05, seeds=4), seeds=6)
    assert said.startswith("So far (10 of 12 final runs): ra beats no policy by ")
    assert told(NONE, above("ra", -0.001, seeds=4), seeds=6).startswith("So far (10 of 12 final runs): nothing beats")


def test_before_anything_has_ended() -> None:
    assert sentence(comparison()) == "Nothing has run yet: 2 strategies to compare"
    first = [searched("none", 0, None, state="RUNNING")]
    assert (
        sentence(comparison(first))
        == "No verdict before the last final run: none of the trials of 2 strategies has ended"
    )


def test_failures_are_told_with_their_reason() -> None:
    lost = [searched(name, 0, None, reason="out of memory") for name in ("none", "ra")]
    assert sentence(comparison(lost)) == "Nothing to compare: all 2 trials failed, the last because: out of memory"
    assert sentence(comparison(lost[:1])).startswith("Nothing to compare: the only trial failed")
    search = [searched(name, 0, 0.9) for name in ("none", "ra")]
    failed = finals("ra", {0: 0.5}, state="FAIL", reason="no space left")
    said = sentence(comparison([*search, *failed]))
    assert said.startswith("No verdict: the only final run failed, the last because: no space left; none leads on")
    lone = sentence(comparison([*lost[:1], *finals("ra", {0: 0.8})]))
    assert lone == "No verdict: the baseline none failed (out of memory); ra has the best mean, test accuracy .800"


def test_what_cannot_be_compared() -> None:
    assert told(NONE, spaces={"none": {}}) == "Nothing to compare: no policy alone was tested, test accuracy .708"
    apart = [*finals("none", {0: 0.5, 1: 0.6}), *finals("ra", {2: 0.7, 3: 0.8})]
    assert sentence(comparison(apart, definition={"seeds": 2})) == (
        "No verdict: no strategy shares a final run with no policy; ra has the best mean, test accuracy .750"
    )


def test_a_baseline_of_another_name_keeps_it() -> None:
    runs = [replace(run, strategy="standard") for run in NONE]
    assert told(runs, above("ra", 0.05), baseline="standard").startswith("ra beats standard by 5.0 ")


def test_the_winner_is_told_in_words_with_the_settings_that_it_was_found_with() -> None:
    facts = {"point mix.alpha": 0.0769, "point task.refine_epochs": 3, "point policy.n": 2, "study": "s"}
    kept = {"ra": ready.randaugment(2, 0.5).model_copy(update={"provenance": facts}).model_dump(mode="json")}
    won = found(NONE, above("ra", 0.05))
    assert winner_in_words(won) == ""
    does = "ra: up to two of 13 operations per image, all alike, at 50 % of their strength"
    assert winner_in_words(replace(won, policies=kept)) == f"{does}; mix.alpha 0.077; task.refine_epochs 3"
    lost = found(NONE, above("ra", -0.05))
    assert winner_in_words(replace(lost, policies=kept)).startswith("ra: up to two"), "the first beside the baseline"
    long = "a" * 100
    told_of = replace(
        found(NONE, above(long, 0.05)), policies={long: ready.autoaugment_cifar10().model_dump(mode="json")}
    )
    assert len(winner_in_words(told_of)) <= 200


def test_rows_without_outcomes_are_enough() -> None:
    """As figures and tests make them by hand."""
    assert sentence(Comparison(("s",), {"metric": "val_accuracy", "baseline": "none", "spaces": {}}, [])).startswith(
        "Nothing has run yet"
    )
