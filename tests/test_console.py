"""What a person reads: it fits on 80 columns, says what it means, and starts from what is stored."""

import io
import json
from collections.abc import Sequence
from typing import Any

import pytest
from outcomes_for_tests import comparison
from rich.console import Console
from studies_for_tests import tiny

from autoaug import Budget, Study
from autoaug.cli._console import (
    LineProgress,
    LiveProgress,
    finite,
    json_line,
    plan_table,
    print_event,
    progress_block,
)
from autoaug.cli._leaderboard import Leaderboard
from autoaug.cli._output import alone_on_stdout
from autoaug.compare import (
    Comparison,
    Difference,
    Interval,
    LeaderboardRow,
    OtherMetric,
    Rerun,
    legend,
    show_p,
    show_seconds,
)
from autoaug.execution import Event, Job, Status, StrategyStatus
from autoaug.executors import Progress
from autoaug.record import Outcome, Record, TrialKind
from autoaug.store import Store, Unreachable
from autoaug.strategies import none, randaugment, random_policy, trivialaugment
from autoaug.study import Prediction, plan

NAMES = ("none", "random", "trivialaugment", "tpe-randaugment")


def four(**more: Any) -> Study:
    """A study with the names of the shipped one."""
    arms = dict(zip(NAMES, (none(), random_policy(), trivialaugment(), randaugment()), strict=True))
    return tiny(**{"strategies": arms, "budget": Budget(trials=12), "seeds": 3} | more)


def lines(picture: Any, width: int = 80) -> list[str]:
    """What is printed, line by line."""
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(picture)
    return [line.rstrip() for line in console.export_text().splitlines()]


def below(found: Sequence[str]) -> Sequence[str]:
    """The lines of a leaderboard from its title on."""
    return found[found.index("s: the leaderboard") :]


def difference(value: float, p: float, **more: Any) -> Difference:
    given: dict[str, Any] = {"p_holm": p, "n": 3, "method": "t", "sd": 0.02, "verdict": "better"}
    if p > 0.05:
        given |= {"verdict": "not enough evidence", "seeds_needed": 12}
    return Difference(value, value - 0.023, value + 0.023, p, **given | more)


def board(rows: Sequence[LeaderboardRow], metric: str = "val_accuracy") -> Comparison:
    return comparison(rows=rows, definition={"metric": metric})


def by_nll(versus: Difference | None) -> OtherMetric:
    return OtherMetric(Interval(0.4512, 0.4012, 0.5012, 3, "t"), versus)


def row(name: str, mean: float = 0.88, **more: Any) -> LeaderboardRow:
    given: dict[str, Any] = {
        "name": name,
        "test": Interval(mean, mean - 0.0221, mean + 0.0221, 3, "t"),
        "val_best": 0.8933,
        "trials": 12,
        "pruned": 0,
        "failed": 0,
        "gpu_seconds": 14.26,
        "device": "cpu",
        "epochs": 20,
        "vs_baseline": None if name == "none" else difference(0.077, 0.0199),
        "others": {"nll": by_nll(None if name == "none" else difference(-0.02, 0.2))},
        "rank": 2.5,
    }
    return LeaderboardRow(**given | more)


def fits(found: Sequence[str], names: Sequence[str] = NAMES, twice: bool = False) -> None:
    """No line is cut or folded: every name stands whole on a line of its own."""
    assert max(map(len, found)) <= 80
    assert not any("…" in line for line in found)
    assert [line.split()[0] for line in found if line.startswith(tuple(names))] == list(names) * (1 + twice)


def test_a_leaderboard_fits_on_a_terminal() -> None:
    found = lines(Leaderboard(board([row(name) for name in NAMES])))
    fits(found[2:], twice=True)
    assert found[:9] == [
        "random beats no policy by 7.7 ± 2.3 points (p = .020, 3 seeds, 14 CPU-seconds);",
        "so do trivialaugment and tpe-randaugment",
        "",
        "s: the leaderboard",
        "strategy                 rank    test accuracy        difference      p  verdict",
        "none             ▏        2.5  0.8800 ± 0.0221          baseline",
        "random           ██████   2.5  0.8800 ± 0.0221  +0.0770 ± 0.0230  0.020   better",
        "trivialaugment   ██████   2.5  0.8800 ± 0.0221  +0.0770 ± 0.0230  0.020   better",
        "tpe-randaugment  ██████   2.5  0.8800 ± 0.0221  +0.0770 ± 0.0230  0.020   better",
    ]
    assert found[9:] == [
        "",
        "strategy         test nll     delta  best val  epochs  trials  CPU s",
        "none               0.4512  baseline    0.8933      20      12   14.3",
        "random             0.4512   -0.0200    0.8933      20      12   14.3",
        "trivialaugment     0.4512   -0.0200    0.8933      20      12   14.3",
        "tpe-randaugment    0.4512   -0.0200    0.8933      20      12   14.3",
        "",
        "± half a 95 % interval (Student's t) over 3 final runs",
        "difference: paired by seed; p: t-test corrected for 3 strategies",
    ]


def test_a_leaderboard_with_predicted_cost_fits_too() -> None:
    """The widest table that a study of minutes has: names of the shipped one, and a re-run of a proxy."""
    rows = [row(name, predicted_seconds=123.4, reruns=(Rerun(3, 0.5, 1, 0.8, 20),)) for name in NAMES]
    found = lines(Leaderboard(board(rows)))
    fits(below(found), twice=True)
    assert ["·", "proxy", "0.5000", "1"] in [line.split() for line in found]


@pytest.mark.parametrize("width", [80, 120])
def test_the_widest_figures_are_not_cut(width: int) -> None:
    rows = [
        row("none", test=Interval(0.88, 0.77, 0.99, 40, "bootstrap"), predicted_seconds=98765.4),
        row(
            "tpe-randaugment",
            vs_baseline=difference(-0.1234, 0.06),
            others={"nll": by_nll(difference(-12.3456, 0.0001))},
            gpu_seconds=123456.7,
            trials=10000,
            failed=12,
            epochs=200,
        ),
    ]
    found = lines(Leaderboard(board(rows)), width)
    assert max(map(len, found)) <= width
    bar_and_rank = "████████████ 2.5" if width > 80 else "█████████"
    figures = f"tpe-randaugment {bar_and_rank} 0.8800 ± 0.0221 -0.1234 ± 0.0230 0.060 not enough"
    assert " ".join(below(found)[3].split()) == figures
    text = " ".join(found)
    for figure in ("-12.3456*", "9988/10000", "123457", "98765", "200"):
        assert f" {figure} " in text + " ", figure
    assert "…" not in text


def test_a_leaderboard_says_what_is_missing() -> None:
    one = Interval(0.8, None, None, 1)
    rows = [
        row("none", test=one),
        row("ra", test=one, vs_baseline=Difference(-0.01, None, None, None), device="cuda", rank=None),
        row(
            "broken",
            test=None,
            others={"nll": OtherMetric()},
            val_best=None,
            vs_baseline=None,
            pruned=2,
            failed=3,
        ),
    ]
    found = below(lines(Leaderboard(board(rows, "val_nll"))))
    assert found[3].split() == ["ra", "████████████", "–", "0.8000", "-0.0100", "–", "not", "enough"]
    assert found[4].split() == ["broken", "2.5", "–", "–", "–", "–"]
    assert "best val_nll" in found[6]
    assert found[6].split("  ")[-1] == "GPU s"
    assert found[9].split() == ["broken", "–", "–", "–", "20", "7/12", "14.3"]
    assert found[11:] == [
        "one final run each gives no interval and no p: set Study(seeds=) to 3 or more",
        "seeds to tell: ra ?",
        "a/b: a of b trials ended",
    ]


EVIDENCE = {
    "about 12 seeds); with so many, 80 % of such differences are found": difference(0.01, 0.2),
    "(more than 1,000 seeds)": difference(0.01, 0.2, seeds_needed=None),
    "(its 3 differences are all +0.0100)": difference(0.01, 0.25, sd=0.0, seeds_needed=None),
}


@pytest.mark.parametrize("said", EVIDENCE)
def test_not_enough_evidence_is_an_answer_and_says_what_would_be(said: str) -> None:
    found = legend(board([row("none"), row("ra", vs_baseline=EVIDENCE[said])]))
    (line,) = [each for each in found if each.startswith("not enough evidence: ra (")]
    assert line.endswith(said)


def test_a_leaderboard_over_unequal_numbers_of_runs_says_so() -> None:
    mixed = [row("none"), row("ra", test=Interval(0.8, 0.7, 0.9, 2, "t"))]
    assert legend(board(mixed))[0] == "± half a 95 % interval by Student's t, over 2 to 3 final runs"
    many = row("rb", test=Interval(0.8, 0.7, 0.85, 40, "bootstrap"))
    found = legend(board([*mixed, many]))
    assert found[1] == "± the wider half of a 95 % interval by BCa bootstrap, over 40 final runs"
    assert "0.8000 ± 0.1000" in below(lines(Leaderboard(board([many]))))[2]


def test_final_runs_of_one_search_are_called_what_they_are() -> None:
    assert any(
        line.startswith("the final runs of a strategy share") for line in legend(board([row("ra", searches=True)]))
    )
    assert not any(line.startswith("the final runs") for line in legend(board([row("none")])))


def test_a_log_likelihood_that_differs_by_more_than_chance_has_a_star() -> None:
    found = board([row("none"), row("ra", others={"nll": by_nll(difference(0.3, 0.01, verdict="worse"))})])
    assert any(" +0.3000* " in line for line in lines(Leaderboard(found)))
    assert any(line.startswith("* of the negative log-likelihood") for line in legend(found))


def test_a_narrow_terminal_folds_names_and_keeps_numbers() -> None:
    rows = [row("none"), row("a-strategy-with-quite-a-long-name-of-its-own")]
    found = below(lines(Leaderboard(board(rows))))
    text = "".join(line.split()[0] for line in found[:6] if line.startswith(("a-str", "quite", "long")))
    assert max(map(len, found)) <= 80
    assert all("0.8800 ± 0.0221" in line for line in found[:6] if line.startswith(("none", "a-strat")))
    assert text.startswith("a-strategy-with")


def test_a_failed_baseline_stands_above_the_leaderboard() -> None:
    rows = [row("ra", vs_baseline=None), row("none", test=None, others={}, reason="diverged: in epoch 1")]
    found = lines(Leaderboard(board(rows)))
    assert found[0].startswith("No verdict: the baseline none failed (diverged: in epoch 1); ra has the best")
    assert any(line.startswith("the baseline 'none' failed: diverged: in epoch 1; how") for line in found[:3])
    assert "s: the leaderboard" in found[:6]


def test_a_large_budget_has_no_exponent() -> None:
    study = tiny(budget=Budget(gpu_seconds=2_000_000))
    assert "2 x 2,000,000 seconds" in " ".join(lines(plan_table(study, plan(study))))


def test_names_are_not_markup() -> None:
    assert any("[red]" in line for line in lines(Leaderboard(board([row("[red]x")]))))


@pytest.mark.parametrize(("p", "shown"), [(None, "–"), (0.5, "0.500"), (0.001, "0.001"), (0.0, "<0.001")])
def test_p_is_short(p: float | None, shown: str) -> None:
    assert show_p(p) == shown


@pytest.mark.parametrize(("seconds", "shown"), [(0.04, "0.0"), (999.94, "999.9"), (123456.7, "123457")])
def test_seconds_are_short(seconds: float, shown: str) -> None:
    assert show_seconds(seconds) == shown


def test_a_plan_says_what_will_be_done_and_the_most_it_can_cost() -> None:
    study = four()
    found = lines(plan_table(study, plan(study)))
    fits(found)
    assert found[0] == "tiny: the plan"
    assert found[2].split() == ["none", "12", "≤", "3", "3", "task.refine_epochs,", "mix.alpha"]
    # 4 strategies x 12 trials x 3 epochs, and 4 x 3 final runs x 3 epochs
    assert found[-1] == "cost: searches at most 144 epochs; final runs at most 36 epochs"


def test_a_plan_shows_what_is_expected_of_searches_re_runs_and_final_runs() -> None:
    study = tiny(
        space={}, strategies={"none": none(), "ra": randaugment().proxied(epochs=1)}, rerun=3, budget=Budget(trials=9)
    )
    found = lines(plan_table(study, plan(study, {"ra": Prediction(1.0, 4.0, 0.0, "CPU-seconds")})))
    assert " ".join(found[1].split()) == "strategy trials epochs final runs CPU s searches"
    assert found[2].split()[-2:] == ["–", "nothing"]
    assert " ".join(found[3].split()) == "ra 9 + 3 ≤ 1 2 21.0 + 8.0 policy.n, policy.m"
    assert found[-2:] == [
        "trials a + b: a search of a trials on a proxy, b of its points in full",
        "CPU s a + b: expected of search and final runs, from a few measured steps",
    ]


def test_a_re_run_counts_no_trial_and_alone_says_what_is_best() -> None:
    study = tiny(strategies={"p": randaugment().proxied(epochs=1)})
    watch = Progress(study, [])
    for k, (value, kind) in enumerate([(0.9, TrialKind.SEARCH), (0.7, TrialKind.RERUN)]):
        ran = Job("p", k, k, {}, 1, k, kind)
        watch.see(Event(ran, record=Record(epoch=1, phase="augment", metrics={"val_accuracy": value})))
        watch.see(Event(ran, state="COMPLETE"))
    assert (watch.strategies["p"].trials, watch.strategies["p"].best) == (1, 0.7)


def test_a_plan_by_budget_says_the_seconds() -> None:
    study = tiny(space={}, budget=Budget(gpu_seconds=20))
    found = " ".join(lines(plan_table(study, plan(study))))
    assert "by budget" in found
    assert "nothing" in found
    assert "2 x 20 seconds (of a GPU, or of a CPU where there is none); final runs at most 8 epochs" in found


def job(strategy: str = "none", number: int = 0, **more: Any) -> Job:
    given = {"trial_id": 10 * number + len(strategy), "point": {}, "attempt": 1, "root": number}
    return Job(strategy=strategy, number=number, **given | more)


def final_run(number: int, seed: int, **more: Any) -> Job:
    return job("none", number, kind=TrialKind.FINAL, final_seed=seed, **more)


def measured(number: int, value: float, seconds: float = 0.5, **more: Any) -> Record:
    metrics = {"val_accuracy": value, "val_nll": 1 - value} | more.pop("metrics", {})
    return Record(epoch=number, phase="augment", metrics=metrics, gpu_seconds=seconds, **more)


def trial(job: Job, *values: float, state: str = "COMPLETE", **more: Any) -> list[Event]:
    """The events of a trial from its begin to its end."""
    epochs = [Event(job, record=measured(k, value, **more)) for k, value in enumerate(values, 1)]
    return [Event(job, state="RUNNING"), *epochs, Event(job, state=state)]


def watched(study: Study, events: Sequence[Event], outcomes: Sequence[Outcome] = (), **more: Any) -> Progress:
    watch = Progress(study, outcomes, **more)
    for event in events:
        watch.see(event)
    return watch


def test_progress_fits_on_a_terminal() -> None:
    watch = watched(
        four(budget=Budget(trials=12, gpu_seconds=20)),
        [
            *trial(job("random"), 0.5, 0.8),
            *trial(job("trivialaugment"), 0.5, state="FAIL"),
            *trial(job("tpe-randaugment", 11), 0.5, 0.85)[:-1],
            *trial(final_run(7, 2), 0.3, 0.4)[:-1],
        ],
    )
    found = lines(progress_block(watch))
    fits(found)
    assert found[0].split() == ["strategy", "trials", "best", "val", "CPU", "s", "failed", "now"]
    assert found[1].split()[2:] == ["0/12", "–", "0.0/20", "final", "run", "2", "epoch", "2"]
    assert found[2].split()[2:] == ["1/12", "0.8000", "1.0/20"]
    assert found[3].split()[2:] == ["1/12", "–", "0.5/20", "1"]
    assert found[4].split()[-7:] == ["0/12", "–", "1.0/20", "trial", "11", "epoch", "2"]
    assert found[5:] == ["0 s elapsed · random leads on validation with .800", "Ctrl-C keeps what is there"]


def test_progress_starts_from_what_is_stored() -> None:
    stored = [
        Outcome(study="tiny", strategy="none", trial=0, root=0, state="FAIL", gpu_seconds=1.0),
        Outcome(study="tiny", strategy="none", trial=1, root=0, attempt=2, state="COMPLETE", value=0.6, gpu_seconds=2),
        Outcome(study="tiny", strategy="none", trial=2, root=1, state="WAITING", gpu_seconds=0.5),
        Outcome(
            study="tiny", strategy="none", trial=0, root=0, state="COMPLETE", kind=TrialKind.FINAL, gpu_seconds=9.0
        ),
        Outcome(study="tiny", strategy="gone", trial=0, root=0, state="COMPLETE", value=0.9),
    ]
    lane = watched(tiny(), [], stored).strategies["none"]
    assert (lane.trials, lane.failed, lane.best, lane.seconds, lane.finals) == (1, 0, 0.6, 3.5, 1)
    assert lane.searched


def test_progress_keeps_the_best_by_the_direction_of_the_metric() -> None:
    events = [*trial(job(), 0.5, 0.6), *trial(job("none", 1), 0.9, 0.4), *trial(job("none", 2), 0.99, state="PRUNED")]
    assert watched(tiny(), events).strategies["none"].best == 0.6
    assert watched(tiny(metric="val_nll"), events).strategies["none"].best == pytest.approx(0.4)


def forecast(seconds: float | None, workers: int = 1) -> Status:
    """What the storage says of a study of four: each strategy has so much to do."""
    counts = dict.fromkeys(
        ("done", "reruns", "reruns_done", "finals", "finals_done", "running", "waiting", "failed"), 0
    )
    each: dict[str, Any] = {"spent": {}, "limits": {}, "unit": "CPU-seconds", "finished": False, **counts}
    strategies = [
        StrategyStatus(strategy=name, trials=12, remaining_seconds=seconds, remaining_wall_seconds=seconds, **each)
        for name in NAMES
    ]
    return Status("tiny", strategies, [], workers, 1, 0, finished=False, ends_in_seconds=None)


@pytest.mark.parametrize(
    ("seconds", "workers", "only", "said"),
    [
        (30.0, 1, (), "0 s elapsed · about 120 s left"),
        (30.0, 2, (), "0 s elapsed · about 60 s left"),
        (30.0, 0, ("none",), "0 s elapsed · about 30 s left"),
        (900.0, 1, (), "0 s elapsed · about 60 min left"),
        (None, 1, (), "0 s elapsed"),
    ],
)
def test_how_long_it_should_take_is_what_the_storage_says(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float | None,
    workers: int,
    only: tuple[str, ...],
    said: str,
) -> None:
    clock, asked = [100.0], []
    monkeypatch.setattr("autoaug.executors._progress.time.monotonic", lambda: clock[0])
    monkeypatch.setattr(
        "autoaug.executors._progress.status", lambda *given: asked.append(given) or forecast(seconds, workers)
    )
    watch = Progress(four(), only=only, store=store)
    assert watch.summary() == "0 s elapsed"
    watch.see(Event(job(), state="RUNNING"))
    assert watch.summary() == said.replace("120 s", "2 min")
    clock[0] += 1.0
    watch.see(Event(job(), state="COMPLETE"))
    assert len(asked) == 1, "not again after a second"
    clock[0] += 1.0
    watch.see(Event(job(), state="RUNNING"))
    assert asked == [(store, "tiny")] * 2
    clock[0] += 1e6
    assert watch.summary().partition(" · ")[2] == "", "what should have ended says no more when it will"


def test_a_storage_that_is_away_leaves_the_time_unsaid(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> Status:
        raise Unreachable("away")

    monkeypatch.setattr("autoaug.executors._progress.status", away)
    watch = Progress(four(), store=store)
    watch.see(Event(job(), state="RUNNING"))
    assert watch.summary() == "0 s elapsed"


def test_progress_shows_only_what_runs() -> None:
    assert list(watched(tiny(), [], only=("ra",)).strategies) == ["ra"]


def test_bars_show_the_limit_that_ends_a_search_first() -> None:
    def bar(budget: Budget, events: Sequence[Event], **more: Any) -> float:
        return watched(tiny(budget=budget, **more), events).used("none")

    events = [*trial(job(), 0.5), *trial(job("none", 1), 0.5)]  # two trials, one second
    assert bar(Budget(trials=4), events) == 0.5
    assert bar(Budget(trials=4, gpu_seconds=1.25), events) == 0.8
    assert bar(Budget(trials=8), events, space={}) == 1.0, "one trial is enough where nothing is searched"
    assert bar(Budget(trials=4), [*events, *trial(final_run(0, 0), 0.5)]) == 1.0


def test_where_there_is_no_terminal_each_trial_is_a_line() -> None:
    file = io.StringIO()
    watch = Progress(tiny(), [])
    listen = LineProgress(Console(file=file, width=20), watch)
    last = measured(2, 0.7, metrics={"test_accuracy": 0.65})
    final = final_run(5, 1, attempt=2)
    reason = "ValueError: [red]no[/red] such thing, and a long story about it"
    for event in [
        *trial(job(), 0.5, 0.61),
        Event(job("ra", 3), state="FAIL", reason=reason),
        Event(final, record=last),
        Event(final, state="COMPLETE"),
    ]:
        listen(event)
    assert file.getvalue().splitlines() == [
        "none trial 0: complete, val_accuracy 0.6100, 1.0 CPU s so far",
        f"ra trial 3: fail, 0.0 CPU s so far, {reason}",
        "none final run 1, attempt 2: complete, test_accuracy 0.6500",
    ]


def test_on_a_terminal_one_block_is_drawn_again_and_leaves_nothing() -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=True, legacy_windows=False)
    with LiveProgress(console, Progress(four(), [])) as listen:
        for event in trial(job(), 0.5, 0.61, device="cuda"):
            listen(event)
    drawn = file.getvalue()
    assert "0.6100" in drawn
    assert "GPU s" in drawn
    after = drawn.rpartition("Ctrl-C keeps what is there")[2]
    assert after.count("\x1b[2K") == len(NAMES) + 3, "the block, its heading and its last lines are erased"


def test_a_machine_reads_strict_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_event(Event(job(), record=measured(1, float("nan"))))
    printed = capsys.readouterr().out
    found = json.loads(printed, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert printed.count("\n") == 1
    assert found["record"]["metrics"]["val_accuracy"] is None
    assert found["job"]["strategy"] == "none"
    assert "state" not in found, "what says nothing is left out"
    assert json_line({"a": [float("inf"), 1], "b": (0.5, "x")}) == '{"a": [null, 1], "b": [0.5, "x"]}'
    assert finite({"n": None, "t": True}) == {"n": None, "t": True}


def test_with_json_a_library_that_prints_does_not_break_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with alone_on_stdout() as listen:
        print("(raylet) A worker died")
        listen(Event(job(), state="RUNNING"))
    said = capsys.readouterr()
    assert json.loads(said.out)["state"] == "RUNNING"
    assert said.err == "(raylet) A worker died\n"
