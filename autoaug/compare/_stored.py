"""The answer of stored studies: one, or several that repeat it with other seeds."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

from optuna.trial import FrozenTrial

from autoaug.compare._classes import ClassCounts, class_effects
from autoaug.compare._comparison import ALWAYS_ON, Comparison
from autoaug.compare._final_runs import FinalRun
from autoaug.compare._importance import Importance, importances
from autoaug.compare._leaderboard import LeaderboardRow, leaderboard, lost_runs, shared_runs
from autoaug.compare._looks import Looks
from autoaug.compare._records import StoredRecords, StoredStudy
from autoaug.data import Standard
from autoaug.metrics import metric_of, stored_table
from autoaug.processes import process_name
from autoaug.record import Outcome, TrialKind
from autoaug.store import Attempted, Look, Store, diagnoses, differences, policies
from autoaug.study import complete_definition
from autoaug.text import counted


def stored_metric(definition: Mapping[str, Any]) -> str:
    """Return the metric of a stored study.

    Raises:
        ValueError: it is neither one of this release nor described with the study.
    """
    name = str(definition["metric"])
    metric_of(name, "metric in the table autoaug_studies of the storage,", stored_table(definition))
    return name


def stored_leaderboard(store: Store, name: str) -> tuple[dict[str, Any], list[LeaderboardRow]]:
    """Return the definition of a study that was run, and its leaderboard, the best strategy first.

    Whoever asks has looked at it: that is recorded, and p and intervals are corrected for it.

    Args:
        store: where the study is stored.
        name: of the study; it must have been run there.

    Raises:
        ValueError: its metric is none of this release.
    """
    definition = defined(store, name)
    return definition, rows_of([(store, name)], [definition], store.outcomes(name))


def rows_of(
    studies: Sequence[StoredStudy],
    definitions: Sequence[Mapping[str, Any]],
    outcomes: Sequence[Outcome],
    look: bool = True,
) -> list[LeaderboardRow]:
    """Return the leaderboard of stored studies, with predicted costs of searches and reads of the test split.

    Args:
        studies: where each is stored, and its name there.
        definitions: of each.
        outcomes: of all of them.
        look: compare with the baseline, which is recorded. Nobody learns anything about differences otherwise.
    """
    predicted: Counter[str] = Counter()
    reads: Counter[str] = Counter()
    for (store, name), definition in zip(studies, definitions, strict=True):
        predicted.update(definition["predicted_seconds"])
        reads.update(store.test_reads_by_strategy(name))
    baseline, metric = definitions[0]["baseline"], stored_metric(definitions[0])
    looks = looks_until_now(studies, definitions, outcomes) if look else {}
    first = definitions[0]
    rows = leaderboard(
        outcomes,
        baseline,
        metric,
        predicted,
        reads,
        looks,
        one_point=one_point(first),
        other_data=with_other_data(first),
        table=stored_table(first),
    )
    return rows if look else [unseen(row) for row in rows]


def unseen(row: LeaderboardRow) -> LeaderboardRow:
    """Return a row without its differences to the baseline."""
    others = {name: replace(other, vs_baseline=None) for name, other in row.others.items()}
    return replace(row, vs_baseline=None, others=others)


def defined(store: Store, name: str) -> dict[str, Any]:
    """Return what a study that was run is, whichever release stored it."""
    definition = store.definition(name)
    assert definition is not None, "the callers know that it is there"
    return complete_definition(definition)


def stored_comparison(studies: Sequence[StoredStudy], with_importance: bool = True, look: bool = True) -> Comparison:
    """Return the comparison of studies that were run. Its epochs are read when they are first asked for.

    Whoever asks has looked at it: that is recorded, and p and intervals are corrected for it.

    Args:
        studies: where each is stored, and its name there; the first one's baseline is that of all.
        with_importance: measure how much each dimension mattered, which takes a second or two.
        look: give False to follow a study that still runs: nothing is recorded, and there are neither
            differences to the baseline nor effects on classes.

    Raises:
        ValueError: the studies do not ask the same question, two of them have the same seed, or their metric is none of
            this release.
    """
    definitions = [defined(store, name) for store, name in studies]
    names = tuple(name for _, name in studies)
    refuse_unlike(names, definitions)
    first = definitions[0]
    maximize = metric_of(stored_metric(first), table=stored_table(first)).maximize
    attempts = [store.attempts(name) for store, name in studies]
    together = [attempt for each in attempts for attempt in each]
    outcomes = [attempt.outcome for attempt in together]
    rows = rows_of(studies, definitions, outcomes, look)
    counts = counts_by_class(studies, outcomes) if look else {}
    return Comparison(
        studies=names,
        definition=first,
        rows=rows,
        outcomes=outcomes,
        records=StoredRecords(studies, attempts, maximize),
        importance=importances(searches(together), maximize) if with_importance else Importance(),
        classes=class_effects(rows, first["baseline"], counts, len(studies) > 1),
        diagnoses=[found for store, name in studies for found in diagnoses(store, name)],
        policies=policies(*studies[0]),
        provenance=dict(provenance(definitions, [attempt.trial.user_attrs for attempt in together])),
    )


def counts_by_class(
    studies: Sequence[StoredStudy], outcomes: Sequence[Outcome]
) -> dict[str, dict[FinalRun, ClassCounts]]:
    """Return how the complete final runs of each strategy predicted each class, as far as they kept it."""
    found: dict[str, dict[FinalRun, ClassCounts]] = defaultdict(dict)
    for store, name in studies:
        kept = store.by_class(name)
        for outcome in outcomes:
            complete = (outcome.study, outcome.kind, outcome.state) == (name, TrialKind.FINAL, "COMPLETE")
            if complete and (plain := kept.get(outcome.trial)):
                counts = ClassCounts(*(tuple(plain[part]) for part in ("names", "images", "right")))
                found[outcome.strategy][FinalRun(name, outcome.seed)] = counts
    return found


def searches(attempts: Iterable[Attempted]) -> dict[str, list[FrozenTrial]]:
    """Return the trials of each search, by strategy."""
    found: dict[str, list[FrozenTrial]] = defaultdict(list)
    for outcome, trial in attempts:
        if outcome.kind is TrialKind.SEARCH:
            found[outcome.strategy].append(trial)
    return found


def one_point(definition: Mapping[str, Any]) -> list[str]:
    """Return the strategies of which a space has a single point; of studies of earlier versions that is not known."""
    return [name for name, dimensions in definition["varied"].items() if not dimensions]


def with_other_data(definition: Mapping[str, Any]) -> list[str]:
    """Return the strategies with data of their own: they learn from another number of images than the baseline."""
    own: Mapping[str, Mapping[str, Any]] = definition["tasks"]
    return [name for name, fields in own.items() if "data" in fields and name != definition["baseline"]]


def looks_until_now(
    studies: Sequence[StoredStudy], definitions: Sequence[Mapping[str, Any]], outcomes: Sequence[Outcome]
) -> dict[str, Looks]:
    """Record a look at a comparison; return by strategy at how many runs there was one, the present one last.

    A look at several studies, which repeat a search, counts for every comparison of several that has one of them.
    """
    names, baseline = [name for _, name in studies], definitions[0]["baseline"]
    runs, lost = shared_runs(outcomes, baseline, definitions[0]["metric"]), lost_runs(outcomes, baseline)
    seeds = definitions[0].get("seeds", 0)
    planned = {name: count if len(names) > 1 else max(count, seeds - lost[name]) for name, count in runs.items()}
    now, who = Look(names, runs, planned), process_name()
    if any(count > 1 for name, count in runs.items() if name != baseline):  # or nothing could have been found
        for store, name in studies:
            store.note_look(name, now, who)
    before = [
        look for store, name in studies for look in store.looks(name) if (len(look.compared) > 1) == (len(names) > 1)
    ]
    looks = {}
    for name, count in runs.items():
        if count > 1:
            looks_of_strategy = [look for look in before if look.runs.get(name, 0) > 1]
            first = next((look.planned[name] for look in looks_of_strategy), planned[name])
            earlier = {look.runs[name] for look in looks_of_strategy if look.runs[name] < count}
            looks[name] = Looks((*sorted(earlier), count), first)
    return looks


def refuse_unlike(names: Sequence[str], definitions: Sequence[Mapping[str, Any]]) -> None:
    """Raise a ValueError unless several studies ask the same question with different seeds."""
    for name, count in Counter(names).items():
        if count > 1:
            raise ValueError(f"study {name!r} is named {count} times: name each study once")
    for (one, first), (other, second) in combinations(zip(names, definitions, strict=True), 2):
        for entry, here, there in differences({**first, "seed": None}, {**second, "seed": None}):
            raise ValueError(
                f"studies {one!r} and {other!r} ask different questions, {entry} {here} and {there}: "
                "compare studies that differ in their seed only"
            )
    baseline = definitions[0]["baseline"]
    for name, definition in zip(names, definitions, strict=True):
        if baseline not in definition["spaces"]:
            raise ValueError(
                f"the baseline {baseline!r} of {names[0]!r} is no strategy of {name!r}: name another study first"
            )
    seeds = Counter(definition["seed"] for definition in definitions)
    for seed, count in seeds.items():
        if count > 1:
            same = " and ".join(repr(n) for n, d in zip(names, definitions, strict=True) if d["seed"] == seed)
            raise ValueError(
                f"studies {same} have the same seed {seed}, so one repeats the other's draws: "
                "run them with different Study(seed=)"
            )


FACTS = {"git_commit": "git commit", "data": "data fingerprint", "device": "device", "standard": ALWAYS_ON}
"""User attributes of a trial that say where it comes from, beside its versions, and how they are called in print."""


def provenance(
    definitions: Sequence[Mapping[str, Any]], attributes: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    """Return facts about how the trials were made; where trials differ, each value with the number of trials."""
    yield "seed", ", ".join(str(definition["seed"]) for definition in definitions)
    facts: dict[str, Counter[str]] = {}
    for each in attributes:
        known = {shown: each[name] for name, shown in FACTS.items() if name in each}
        if ALWAYS_ON in known:
            known[ALWAYS_ON] = Standard(**known[ALWAYS_ON])
        for name, value in {**known, **each.get("versions", {})}.items():
            facts.setdefault(name, Counter())[str(value)] += 1
    if len(facts.get(FACTS["device"], ())) > 1:
        weights = [f"{kind} {weight:g}" for kind, weight in definitions[0]["budget"]["gpu_weights"].items()]
        yield "seconds", f"of several kinds of device, {'weighed: ' if weights else 'not weighed'}{', '.join(weights)}"
    for name, values in facts.items():
        several = len(values) > 1
        yield (
            name,
            ", ".join(
                f"{value} ({counted(count, 'trial')})" if several else value for value, count in values.most_common()
            ),
        )
