"""Stored studies as one comparison: what may be compared, and where its numbers come from."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import Call, calling, refused
from optuna.trial import TrialState, create_trial
from scipy import stats
from studies_for_tests import tiny

from autoaug import Study, Task
from autoaug.compare import Importance, stored_comparison, stored_leaderboard, to_json
from autoaug.compare._looks import Looks
from autoaug.record import LEADERBOARD, Record, TrialKind
from autoaug.store import Store
from autoaug.store._maintenance import delete_study
from autoaug.strategies import none, randaugment


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    yield from calling(tmp_path, monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(f"sqlite:///{tmp_path / 'autoaug.db'}")


def write(store: Store, study: Study, accuracy: dict[str, float], trials: int = 10) -> None:
    """A study as a run leaves it: complete trials, and final runs that have read the test split."""
    store.define(study.name, study.describe() | {"predicted_seconds": dict.fromkeys(accuracy, 7.0)})
    for strategy, score in accuracy.items():
        search = store.open(study.name, strategy, study.direction)
        for number in range(trials):
            m = (number + 0.5) / trials
            own = {"policy.n": 1, "policy.m": m} if strategy == "ra" else {}
            given: dict[str, Any] = {"params": {"task.refine_epochs": number % 2, "mix.alpha": (7 * m) % 1.0} | own}
            commit = "abc" if number else "def"
            attributes = {"seed": 1, "git_commit": commit, "versions": {"torch": "2.0", "autoaug": "0.1.0"}}
            given |= {
                "distributions": study.space_of(strategy),
                "user_attrs": attributes,
                "value": score - 0.2 + m / 10,
            }
            search.add_trial(create_trial(state=TrialState.COMPLETE, **given))
            trial = store.trials(study.name, strategy)[-1]
            store.write_epoch(trial._trial_id, record(study, strategy, number, score - 0.2 + m / 10))
        for seed in range(2):
            store.enqueue_final(study.name, strategy, seed, {}, 0)
            trial = store.trials(study.name, LEADERBOARD)[-1]
            store.claim(trial._trial_id)
            done = record(study, strategy, trial.number, score + seed / 100, kind=TrialKind.FINAL)
            store.write_epoch(trial._trial_id, done)
            store.note_test_read(trial._trial_id, study.name, strategy, seed, trial.number)
            store.finish(trial._trial_id, TrialState.COMPLETE, [score, 1.0])


def record(study: Study, strategy: str, trial: int, accuracy: float, **more: Any) -> Record:
    metrics = {"val_accuracy": accuracy, "test_accuracy": accuracy, "test_nll": 1 - accuracy}
    return Record(
        study=study.name,
        strategy=strategy,
        trial=trial,
        epoch=1,
        phase="augment",
        metrics=metrics,
        gpu_seconds=1,
        **more,
    )


def test_a_stored_study_with_all_that_is_known_about_it(store: Store) -> None:
    study = tiny()
    write(store, study, {"none": 0.7, "ra": 0.8})
    found = stored_comparison([(store, "tiny")])
    assert (found.name, found.metric, found.baseline, found.maximize) == ("tiny", "val_accuracy", "none", True)
    ra, plain = found.rows
    assert (ra.name, ra.predicted_seconds, ra.test_reads, ra.gpu_seconds) == ("ra", 7.0, 2, 10.0)
    assert plain.vs_baseline is None
    assert len(found.records) == 24
    assert next(iter(found.importance.strategies["ra"])) == "policy.m"
    assert set(found.importance.pooled) == {"task.refine_epochs", "mix.alpha"}
    assert dict(found.provenance) == {
        "seed": "0",
        "git commit": "abc (18 trials), def (2 trials)",
        "torch": "2.0",
        "autoaug": "0.1.0",
    }
    assert json.loads(json.dumps(to_json(found), allow_nan=False))["importance"]["pooled"] == found.importance.pooled
    quick = stored_comparison([(store, "tiny")], with_importance=False)
    assert (quick.importance, quick.rows) == (Importance(), found.rows)


def test_a_stored_leaderboard_has_the_rows_of_the_comparison(store: Store) -> None:
    study = tiny()
    write(store, study, {"none": 0.7, "ra": 0.8})
    store.enqueue_final("tiny", "ra", 0, {}, 0, retest=True)
    again = store.trials("tiny", LEADERBOARD)[-1]
    assert store.note_test_read(again._trial_id, "tiny", "ra", 0, again.number, retest=True)
    definition, rows = stored_leaderboard(store, "tiny")
    costs = {row.name: (row.test_reads, row.predicted_seconds) for row in rows}
    assert costs == {"none": (2, 7.0), "ra": (3, 7.0)}, "two final runs each, one of them tested again"
    comparison = stored_comparison([(store, "tiny")])
    assert (definition, rows) == (comparison.definition, comparison.rows)


def test_studies_that_repeat_the_search_are_one_comparison(call: Call, store: Store, tmp_path: Path) -> None:
    for seed, advantage in enumerate((0.1, 0.11, 0.105)):
        write(store, tiny(name=f"tiny{seed}", seed=seed), {"none": 0.7, "ra": 0.7 + advantage})
    names = ("tiny0", "tiny1", "tiny2")
    shown = call("compare", *names, "--csv", "all.csv", "--html", "all.html")
    assert shown.exit_code == 0, shown.stderr
    assert shown.stdout.startswith("ra beats no policy by 10.5 ± 1.3 points (p < .001, 3 studies, ")
    assert "tiny0, tiny1, tiny2: the leaderboard" in shown.stdout
    assert "over 3 studies" in " ".join(shown.stdout.split("leaderboard")[1].split())
    (line,) = [
        each for each in csv.DictReader((tmp_path / "all.csv").read_text().splitlines()) if each["strategy"] == "ra"
    ]
    assert (line["test_n"], line["vs_baseline_verdict"], line["trials"]) == ("3", "better", "30")
    assert float(line["vs_baseline_difference"]) == pytest.approx(0.105)
    assert (float(line["predicted_seconds"]), line["test_reads"]) == (21.0, "6")
    page = (tmp_path / "all.html").read_text()
    assert "ra (3 searches)" in page, "the anytime curves have a band"
    assert "0, 1, 2" in page
    told = json.loads(call("compare", *names, "--json").stdout)
    assert (told["study"], told["studies"]) == ("tiny0", list(names))
    assert told["provenance"]["seed"] == "0, 1, 2"


REFUSED: dict[str, tuple[Study, str]] = {
    "metric": (
        tiny(name="b", seed=1, metric="val_nll"),
        r"studies 'a' and 'b' ask different questions, metric val_accuracy and val_nll: compare studies that differ",
    ),
    "task": (
        tiny(name="b", seed=1, task=Task(data="digits-rotated", model="convnet", epochs=9, batch_size=100, lr=0.2)),
        "ask different questions, task epochs = 2 and 9: compare studies that differ in their seed only",
    ),
    "space": (
        tiny(name="b", seed=1, space={}),
        "ask different questions, the space of 'none', mix.alpha =",
    ),
    "seed": (
        tiny(name="b"),
        r"studies 'a' and 'b' have the same seed 0, so one repeats the other's draws: run them with different Study",
    ),
    "baseline": (
        tiny(name="b", seed=1, strategies={"ra": randaugment()}),
        "the baseline 'none' of 'a' is no strategy of 'b': name another study first",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_studies_that_ask_different_questions_are_not_compared(
    call: Call, store: Store, tmp_path: Path, what: str
) -> None:
    other, message = REFUSED[what]
    first = tiny(name="a")
    for study in (first, other):
        store.define(study.name, study.describe())
    refused(call("compare", "a", "b", "--html", "x.html"), message)
    assert not (tmp_path / "x.html").exists()


def test_a_study_is_named_once(call: Call, store: Store) -> None:
    store.define("a", tiny(name="a", strategies={"none": none()}).describe())
    refused(call("compare", "a", "a"), "study 'a' is named 2 times: name each study once")


def test_a_study_of_which_nothing_has_run_yet_has_an_empty_leaderboard(call: Call, store: Store) -> None:
    store.define("a", tiny(name="a").describe())
    shown = call("compare", "a")
    assert shown.exit_code == 0
    assert shown.stdout.split("\n")[0].strip() == "Nothing has run yet: 2 strategies to compare"
    assert "a: the leaderboard" in shown.stdout
    assert json.loads(call("compare", "a", "--json").stdout)["strategies"] == []


def more_finals(store: Store, study: Study, scores: dict[str, list[float]]) -> None:
    """Final runs with these test accuracies, after those that are there."""
    store.define(study.name, study.describe())
    for strategy, mine in scores.items():
        there = sum(
            outcome.kind is TrialKind.FINAL and outcome.strategy == strategy for outcome in store.outcomes(study.name)
        )
        for seed, score in enumerate(mine, start=there):
            store.enqueue_final(study.name, strategy, seed, {}, 0)
            trial = store.trials(study.name, LEADERBOARD)[-1]
            store.claim(trial._trial_id)
            store.write_epoch(trial._trial_id, record(study, strategy, trial.number, score, kind=TrialKind.FINAL))
            store.finish(trial._trial_id, TrialState.COMPLETE, [score, 1.0])


def test_more_final_runs_after_a_look_are_a_second_look(call: Call, store: Store) -> None:
    """Seeds are raised because of a p: it is counted, said, and corrected for."""
    more_finals(store, tiny(seeds=3), {"none": [0.7, 0.7, 0.7], "ra": [0.74, 0.70, 0.75]})
    for _ in range(2):
        (once,) = [row.vs_baseline for row in stored_comparison([(store, "tiny")]).rows if row.name == "ra"]
    assert once
    assert once.looks == Looks((3,), 3)
    assert once.p_holm == pytest.approx((once.p or 0) / 0.9), "one look at what was planned costs next to nothing"
    more_finals(store, tiny(seeds=5), {"none": [0.7, 0.7], "ra": [0.75, 0.74]})
    shown = call("compare", "tiny")
    said = " ".join(shown.stdout.split())
    assert "t-test corrected for 2 looks" in said
    assert call("compare", "tiny").stdout == shown.stdout, "nothing new is seen twice"
    told = json.loads(call("compare", "tiny", "--json").stdout)
    (ra,) = [each["vs_baseline"] for each in told["strategies"] if each["name"] == "ra"]
    assert ra["looks"] == {"runs": [3, 5], "planned": 3}
    assert ra["p"] == pytest.approx(stats.ttest_1samp([0.04, 0.0, 0.05, 0.05, 0.04], 0).pvalue)
    assert (ra["p"] < 0.05, ra["verdict"]) == (True, "not enough evidence")
    assert ra["p_holm"] == ra["p_looks"] == pytest.approx(Looks((3, 5), 3).corrected(ra["p"]))


def test_a_look_on_the_way_goes_by_what_was_planned_then(store: Store) -> None:
    more_finals(store, tiny(seeds=6), {"none": [0.7] * 3, "ra": [0.74, 0.70, 0.75]})
    stored_comparison([(store, "tiny")])
    more_finals(store, tiny(seeds=9), {"none": [0.7], "ra": [0.75]})
    (ra,) = [row.vs_baseline for row in stored_comparison([(store, "tiny")]).rows if row.name == "ra"]
    assert ra
    assert ra.looks == Looks((3, 4), 6)


def test_final_runs_that_failed_are_not_waited_for(store: Store) -> None:
    """Of five planned one is lost: four are all that there will be, and may spend what five might."""
    more_finals(store, tiny(seeds=5), {"none": [0.7] * 5, "ra": [0.74, 0.70, 0.75, 0.76]})
    store.enqueue_final("tiny", "ra", 4, {}, 0)
    store.finish(store.trials("tiny", LEADERBOARD)[-1]._trial_id, TrialState.FAIL, reason="boom")
    (ra,) = [row.vs_baseline for row in stored_comparison([(store, "tiny")]).rows if row.name == "ra"]
    assert ra
    assert ra.looks == Looks((4,), 4)


def test_one_final_run_each_shows_no_p_and_is_no_look(store: Store) -> None:
    more_finals(store, tiny(seeds=1), {"none": [0.7], "ra": [0.74]})
    stored_comparison([(store, "tiny")])
    assert store.looks("tiny") == []


def test_whoever_may_only_read_may_look(store: Store, tmp_path: Path) -> None:
    more_finals(store, tiny(seeds=3), {"none": [0.7] * 3, "ra": [0.74, 0.70, 0.75]})
    store.close()
    reader = Store(f"sqlite:///file:{tmp_path / 'autoaug.db'}?mode=ro&uri=true", existing=True)
    assert [row.name for row in stored_comparison([(reader, "tiny")]).rows] == ["ra", "none"]
    assert reader.read_only
    assert store.looks("tiny") == []


def test_looks_belong_to_their_study(store: Store) -> None:
    for seed in range(3):
        name = f"tiny{seed}"
        more_finals(store, tiny(name=name, seed=seed, seeds=2), {"none": [0.7] * 2, "ra": [0.74, 0.70 + seed / 100]})
        stored_comparison([(store, name)])
    places = [(store, f"tiny{seed}") for seed in range(3)]
    found = stored_comparison(places[:2])
    assert [row.vs_baseline and row.vs_baseline.looks for row in found.rows if row.name == "ra"] == [Looks((2,), 2)]
    found = stored_comparison(places)
    assert [row.vs_baseline and row.vs_baseline.looks for row in found.rows if row.name == "ra"] == [Looks((2, 3), 2)]
    assert [look.compared for look in store.looks("tiny2")] == [["tiny2"], ["tiny0", "tiny1", "tiny2"]]
    archived = store.archive("tiny2")
    assert (store.looks("tiny2"), len(store.looks(archived))) == ([], 2)
    delete_study(store, archived)
    assert store.looks(archived) == []
    assert len(store.looks("tiny0")) == 3
