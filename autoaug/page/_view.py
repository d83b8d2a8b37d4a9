"""What a page shows of a study, as plain data and words: templates only place it."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from shlex import quote
from types import MappingProxyType

from autoaug.compare import (
    OWN_DATA,
    ClassEffect,
    Comparison,
    Table,
    diagnosis_legend,
    diagnosis_tables,
    headline,
    legend,
    sentence,
    show_p,
    tables,
    winner,
    winner_in_words,
)
from autoaug.data import public_name
from autoaug.execution import Status, StrategyStatus
from autoaug.gallery import Gallery
from autoaug.page._chart import HUES, Chart, chart_of
from autoaug.page._pictures import Address, GalleryView, gallery_view
from autoaug.record import TrialKind, complete_by_value
from autoaug.study import SECONDS, unit
from autoaug.text import LONGEST_NAME, counted, shown

MOST_ROWS = 200
"""Of a table of the page."""

MINUTE, HOUR = 60, 3600


@dataclass(frozen=True)
class Told:
    """Hold the sentence in three parts: what is claimed, what it rests on, in parentheses, and the rest."""

    claim: str
    proof: str = ""
    rest: str = ""


@dataclass(frozen=True)
class StrategyView:
    """Hold a strategy as it is named on a page: with its colour, and where the native pages show it."""

    name: str
    hue: int
    native: int | None = None
    """Optuna's number of the study that holds its search; None where there is none, or nothing to link to."""
    spent: str = ""
    """Of its budget: "5.6 of 7 CPU-seconds"."""
    share: float | None = None
    """Of its budget that is spent, in [0, 1]; None where nothing limits it."""
    trials: str = ""
    """That have ended: "34 of 60 trials, 2 of 3 final runs"."""
    best: int | None = None
    """The best trial of its search, by Optuna's number; None where none is complete."""


@dataclass(frozen=True)
class StateView:
    """Hold how a study stands at this moment."""

    state: str
    """One of "finished", "running", "interrupted", "waiting"."""
    words: str
    """The same in a sentence: workers, trials, time left."""
    share: float | None
    """Of the work that is done, in [0, 1]; None where it is not known."""
    strategies: Sequence[StrategyView]


@dataclass(frozen=True)
class StudyView:
    """Hold everything that the page of a study, and its report, show."""

    name: str
    about: str
    """The question: what is trained on what."""
    sentence: Told
    """Who won, by how much, how sure that is, at what cost."""
    warning: str
    """What stands above everything, because nothing can be said without it; empty elsewhere."""
    winner: str
    """What the policy of the winner does, in words; empty where that is not known."""
    state: StateView | None
    """None in a report: it is sent away, and shows one moment."""
    strategies: Sequence[StrategyView]
    chart: Chart
    tables: Sequence[Table]
    legend: Sequence[str]
    gallery: GalleryView | None
    policies: "Sequence[PolicyView]"
    """The best first."""
    classes: "ClassesView | None"
    diagnosed: Sequence[Table]
    diagnosis_legend: Sequence[str]
    provenance: Mapping[str, str]
    reads: Sequence[tuple[str, int]]
    commands: Sequence[tuple[str, str]]
    """Lines for a terminal, and what each of them does."""

    def hue(self, name: str) -> int | None:
        """Return the colour of a strategy; None of a name that is none."""
        return next((each.hue for each in self.strategies if each.name == name), None)


@dataclass(frozen=True)
class PolicyView:
    """Hold what the best policy of a strategy does."""

    name: str
    hue: int
    words: str
    table: Table


@dataclass(frozen=True)
class ClassView:
    """Hold what the winner does to a class: figures in words, and a bar in per cent of half the width of its cell."""

    name: str
    images: str
    baseline: str
    accuracy: str
    difference: str
    p: str
    verdict: str
    bar: float
    """Its length, 0 to 50."""
    gains: bool


@dataclass(frozen=True)
class ClassesView:
    """Hold what the winner does to each class, the most helped first."""

    strategy: str
    baseline: str
    rows: Sequence[ClassView]


def study_view(
    comparison: Comparison,
    status: Status | None = None,
    native: Mapping[str, int] | None = None,
    gallery: Gallery | None = None,
    address: Address = str,
) -> StudyView:
    """Return what is shown of a comparison.

    Args:
        comparison: what is known of the study.
        status: how it stands; None in a report.
        native: by strategy, Optuna's number of the study that holds its search.
        gallery: of the study, where it has one.
        address: where a browser finds a picture of it.
    """
    complete = tables(comparison, wide=True, epochs=True)
    plain = [StrategyView(name, hue % HUES) for hue, name in enumerate(comparison.strategies)]
    state = state_view(status, comparison.strategies, native or {}, best_trials(comparison)) if status else None
    return StudyView(
        name=comparison.name,
        about=about(comparison),
        sentence=told(sentence(comparison)),
        warning=headline(comparison),
        winner=winner_in_words(comparison),
        state=state,
        strategies=state.strategies if state else plain,
        chart=chart_of(comparison),
        tables=[Table(table.headings, table.cells[:MOST_ROWS]) for table in complete],
        legend=[*left_out(complete), *legend(comparison, wide=True)],
        gallery=pictured(comparison, gallery, address) if gallery else None,
        policies=policy_views(comparison),
        classes=classes_view(comparison),
        diagnosed=[Table(table.headings, table.cells[:MOST_ROWS]) for table in diagnosis_tables(comparison)],
        diagnosis_legend=diagnosis_legend(comparison),
        provenance=comparison.provenance,
        reads=[(row.name, row.test_reads) for row in comparison.rows],
        commands=list(commands(comparison)),
    )


PROOF = re.compile(r"(?P<claim>.*?) (?P<proof>\(p [=<][^()]*\))(?P<rest>.*)", re.DOTALL)


def told(sentence: str) -> Told:
    """Return a sentence in its parts; one without a p is a claim.

    >>> told("ra beats no policy by 2 points (p = .002); so does tpe")
    Told(claim='ra beats no policy by 2 points', proof='(p = .002)', rest='; so does tpe')
    """
    parts = PROOF.fullmatch(sentence)
    return Told(**parts.groupdict()) if parts else Told(sentence)


def best_trials(comparison: Comparison) -> dict[str, int]:
    """Return the best complete trial of each search, by Optuna's number."""
    searched = [each for each in comparison.outcomes if each.kind is TrialKind.SEARCH]
    by_strategy = {name: [each for each in searched if each.strategy == name] for name in comparison.strategies}
    best = {name: complete_by_value(each, comparison.maximize)[:1] for name, each in by_strategy.items()}
    return {name: first.trial for name, found in best.items() for first in found}


def state_view(
    status: Status,
    strategies: Sequence[str],
    native: Mapping[str, int] = MappingProxyType({}),
    best: Mapping[str, int] = MappingProxyType({}),
) -> StateView:
    """Return how a study stands, in words.

    Args:
        status: how it stands.
        strategies: in the order in which the study defines them.
        native: by strategy, Optuna's number of the study that holds its search.
        best: by strategy, the best trial of its search.
    """
    state = state_of(status)
    done = sum(each.done + each.finals_done for each in status.strategies)
    left = f", about {duration(status.ends_in_seconds)} left" if status.ends_in_seconds is not None else ""
    ended = counted(done, "training")
    words = {
        "finished": ended,
        "running": f"{counted(max(status.workers, 1), 'worker')}, {ended}{left}",
        "interrupted": f"{ended}, and nothing works on it: autoaug run continues it",
        "waiting": "nothing has begun",
    }[state]
    known = {each.strategy: each for each in status.strategies}
    views = [
        replace(strategy_view(known[name], hue % HUES), native=native.get(name), best=best.get(name))
        for hue, name in enumerate(strategies)
        if name in known
    ]
    shares = [share for each in status.strategies if (share := progress(each)) is not None]
    share = 1.0 if state == "finished" else sum(shares) / len(shares) if shares else None
    return StateView(state, words, share, views)


def state_of(status: Status) -> str:
    """Return whether a study is finished, running, interrupted, or waits for its first trial."""
    begun = any(each.done or each.failed or each.running or each.finals_done for each in status.strategies)
    if begun and status.finished:
        return "finished"
    if status.workers or status.idle:
        return "running"
    return "interrupted" if begun else "waiting"


def strategy_view(each: StrategyStatus, hue: int) -> StrategyView:
    """Return how a strategy stands, in words."""
    limits = [(each.spent[name] / limit, name, limit) for name, limit in each.limits.items() if limit]
    device = "cuda" if each.unit.startswith("GPU") else "cpu"
    spent = f"{amount(each.spent['gpu_seconds'])} {each.unit}"
    share: float | None = None
    if limits:
        share, name, limit = max(limits)
        spent = f"{amount(each.spent[name])} of {amount(limit)} {unit(name, device)}"
    elif each.trials:
        share = each.done / each.trials
    trials = f"{each.done:,} of {counted(each.trials, 'trial')}" if each.trials else counted(each.done, "trial")
    finals = f", {each.finals_done} of {counted(each.finals, 'final run')}" if each.finals else ""
    failed = f", {each.failed:,} failed" if each.failed else ""
    return StrategyView(each.strategy, hue, spent=spent, share=bounded(share), trials=f"{trials}{finals}{failed}")


def progress(each: StrategyStatus) -> float | None:
    """Return which share of a strategy's work is done, by what it has cost and is expected still to cost."""
    if each.finished:
        return 1.0
    spent = each.spent[SECONDS[0]]
    return None if each.remaining_seconds is None else bounded(spent / max(spent + each.remaining_seconds, 1e-9))


def policy_views(comparison: Comparison) -> list[PolicyView]:
    """Return what each strategy found, as far as it was kept."""
    if not comparison.policies:
        return []
    from autoaug.policy import PolicyError, PolicyTree, in_words, policy_table  # torch

    hues, views = {name: k for k, name in enumerate(comparison.strategies)}, []
    ranked = [row.name for row in comparison.rows if row.name in comparison.policies]
    for name in ranked:
        try:
            tree = PolicyTree.model_validate(comparison.policies[name])
            whole = policy_table(tree)
            table, words = Table(whole.headings, whole.cells[:MOST_ROWS]), in_words(tree)
        except (PolicyError, ValueError) as error:  # of a later version, or with an operation that is not here
            table, words = Table([], []), f"cannot be read here: {error}"
        views.append(PolicyView(name, hues.get(name, 0) % HUES, words, table))
    return views


def pictured(comparison: Comparison, gallery: Gallery, address: Address) -> GalleryView | None:
    """Return the gallery with the winner's column first, and the others as they rank."""
    first, names = winner(comparison), [row.name for row in comparison.rows]
    subject = first.name if first else next((name for name in names if name != comparison.baseline), "")
    ranked = [*dict.fromkeys([subject, *names, *comparison.strategies])]
    return gallery_view(gallery, address, {name: k % HUES for k, name in enumerate(comparison.strategies)}, ranked)


def bounded(share: float | None) -> float | None:
    """Return a share that is 1 at most."""
    return None if share is None else min(max(share, 0.0), 1.0)


def amount(seconds: float) -> str:
    """Return seconds with as many digits as one reads: "5.6", "420", "1,250"."""
    return f"{seconds:.1f}".removesuffix(".0") if seconds < 100 else f"{seconds:,.0f}"


def duration(seconds: float) -> str:
    """Return a time in the unit in which it is short: "40 s", "5 min", "2.5 h"."""
    if seconds < 1.5 * MINUTE:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < 1.5 * HOUR else f"{seconds / HOUR:.1f} h"


def left_out(complete: Iterable[Table]) -> list[str]:
    """Return that rows of tables are not on the page, and where they are; nothing where none is missing."""
    longest = max(len(table.cells) for table in complete)
    if longest <= MOST_ROWS:
        return []
    more = counted(longest - MOST_ROWS, "further row")
    return [f"the first {MOST_ROWS} rows of each table; {more} at most: autoaug compare --csv writes every strategy"]


def about(comparison: Comparison) -> str:
    """Return the question in a line: what is trained on what, for how long, and what is always done to it."""
    task = comparison.definition["task"]
    own, epochs = shown(comparison.loop, LONGEST_NAME), counted(task["epochs"], "epoch")
    facts = [
        f"{own or task['model']} on {'data ' + OWN_DATA if comparison.own_data else public_name(task['data'])}",
        counted_images(comparison.definition.get("data", {}).get(task["data"], {}).get("images", {})),
        f"always on: {comparison.always_on}" if comparison.always_on else "",
        epochs if not own else "",
        f"optimising {comparison.metric}",
    ]
    return ", ".join(filter(None, facts))


def counted_images(splits: Mapping[str, int]) -> str:
    """Return how many images each split has; empty where that was not recorded."""
    return " + ".join(f"{count:,} {name}" for name, count in splits.items()) + " images" if splits else ""


def classes_view(comparison: Comparison) -> ClassesView | None:
    """Return what the winner does to each class; None where that is not known."""
    if (effects := comparison.classes) is None:
        return None
    ordered = sorted(effects.classes, key=lambda each: -each.difference)[:MOST_ROWS]
    most = max((abs(each.difference) for each in ordered), default=0.0) or 1.0
    return ClassesView(effects.strategy, effects.baseline, [class_view(each, most) for each in ordered])


def class_view(effect: ClassEffect, most: float) -> ClassView:
    """Return what the winner does to a class, in points."""
    points = [f"{100 * value:+.1f}" for value in (effect.difference, effect.low, effect.high)]
    return ClassView(
        name=effect.name,
        images=f"{effect.images:,}",
        baseline=f"{100 * effect.baseline:.1f}",
        accuracy=f"{100 * effect.accuracy:.1f}",
        difference=f"{points[0]} [{points[1]}, {points[2]}]",
        p=show_p(effect.p_holm),
        verdict=effect.verdict,
        bar=round(50 * abs(effect.difference) / most, 1),
        gains=effect.difference >= 0,
    )


def commands(comparison: Comparison) -> Iterator[tuple[str, str]]:
    """Return the lines that make the study again, and what comes next."""
    names = " ".join(quote(name) for name in comparison.studies)
    for name in comparison.studies:
        yield "run it again, or continue it", f"autoaug run {quote(name)}"
    yield "print this comparison", f"autoaug compare {names}"
    if len(comparison.studies) == 1 and any(row.test for row in comparison.rows):
        yield "take the best policy to torchvision", f"autoaug export {names} --format torchvision -o policy.py"
