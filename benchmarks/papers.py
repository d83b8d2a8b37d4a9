"""What do the papers claim, and what is seen of it at a small size? Runs the studies of papers and writes the page.

`run` runs shipped studies, which go on where they were stopped, and keeps the scores of their final runs in
`benchmarks/results/papers/`, a file for each study. `pages` holds them against the rows of `CLAIMS`
(`benchmarks/claims/`) and writes `docs/papers/claims.md`, and against what each study says was published (its
`PUBLISHED`), as `docs/papers/tables.md`. Both pages are made of these files alone.

    python -m benchmarks.papers run refined/table_1 mixup/table_5 --storage sqlite:///papers.db
    python -m benchmarks.papers pages
"""

import argparse
import importlib
import importlib.metadata
import json
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autoaug import Study
from autoaug.compare import Interval, interval
from autoaug.data import public_name
from autoaug.data._distributed import TinyImageNet
from autoaug.data._taught import Corrupted, Reduced
from autoaug.diagnose import DiagnosisEvent, conduct_diagnosis, plan_diagnosis
from autoaug.execution import Options
from autoaug.executors import run
from autoaug.metrics import on_split
from autoaug.record import TrialKind
from autoaug.store import Diagnosis, Store, diagnoses
from autoaug.train import spelt
from benchmarks.claims import CLAIMS, Claim
from benchmarks.planted import processor
from benchmarks.strategies import say

RESULTS = Path(__file__).parent / "results" / "papers"
PAPERS = Path(__file__).parents[1] / "docs" / "papers"
UNKNOWN = "cannot be told at this size"
VERDICTS = {"agrees": "agree", "disagrees": "disagree", UNKNOWN: UNKNOWN}
WIDE = "---\nhide:\n  - toc\n---\n"
"""Leaves a page of wide tables more room."""

DIGITS = 6
"""Of figures that are kept."""


@dataclass(frozen=True)
class Result:
    """Hold what the final runs of a study came to."""

    study: str
    """As it is run: "refined/table_1"."""
    date: str
    commit: str
    versions: str
    data: str
    model: str
    epochs: int
    runs: Mapping[str, Mapping[str, Mapping[str, float]]]
    """By strategy and seed: the figures of a final run, such as "test_accuracy" and "gpu_seconds", and what diagnostics
    found of the same training, such as "white_box fgsm"."""
    metric: str = "test_accuracy"
    """Of the study, on the test split."""

    def metrics(self) -> list[str]:
        """Return the figures that its table shows: on the test split, of what was deployed too, and of diagnostics."""
        names = {name for runs in self.runs.values() for figures in runs.values() for name in figures}
        shown = ("test_accuracy", "test_nll", self.metric)
        return sorted(name for name in names if name.endswith(shown) or " " in name)

    def contrast(self, weights: Mapping[str, float], metric: str, before: str | None = None) -> list[float]:
        """Return the weighted sums of strategies' figures over the seeds that they share.

        Args:
            before: a figure that is taken off the metric in each run; None takes off nothing.
        """
        wanted = {metric: 1.0} if before is None else {metric: 1.0, before: -1.0}
        known = [self.runs.get(name, {}) for name in weights]
        seeds = set.intersection(*({seed for seed in each if wanted.keys() <= each[seed].keys()} for each in known))
        return [
            sum(
                weight * sign * runs[seed][name]
                for runs, weight in zip(known, weights.values(), strict=True)
                for name, sign in wanted.items()
            )
            for seed in sorted(seeds, key=int)
        ]


def shipped(study_ref: str) -> Study:
    """Return a study of `studies/` by its name, "refined/table_1" or "refined/table_1:paper"."""
    return getattr(module_of(study_ref), study_ref.partition(":")[2] or "study")


def module_of(study_ref: str) -> Any:
    """Return the module of a shipped study."""
    return importlib.import_module(f"studies.{study_ref.partition(':')[0].replace('/', '.')}")


def result_of(study_ref: str, study: Study, store: Store) -> Result:
    """Return what is stored of the final runs of a study."""
    runs: dict[str, dict[str, dict[str, float]]] = {}
    for outcome in store.outcomes(study.name):
        if outcome.kind is TrialKind.FINAL and outcome.state == "COMPLETE":
            figures = {**outcome.metrics, "gpu_seconds": outcome.gpu_seconds}
            rounded = {name: float(f"{value:.{DIGITS}g}") for name, value in sorted(figures.items())}
            runs.setdefault(outcome.strategy, {})[str(outcome.seed)] = rounded
    for found in diagnoses(store, study.name):
        figures = runs.get(found.strategy, {}).get(str(found.seed), {})
        figures |= {diagnosed(found, name): float(f"{value:.{DIGITS}g}") for name, value in found.values.items()}
    return Result(
        study=study_ref,
        date=time.strftime("%Y-%m-%d"),
        commit=commit(),
        versions=", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "optuna")),
        data=in_words(study.task.data),
        model=as_text(study.task.model),
        epochs=study.task.epochs,
        metric=on_split("test", study.metric),
        runs={name: runs[name] for name in study.strategies if name in runs},
    )


def in_words(data: Any) -> str:
    """Return what the data of a study are called: "digits, 20 of each class, 50 % of the labels wrong"."""
    if isinstance(data, Corrupted):
        return f"{in_words(data.data)}, {100 * data.share:.0f} % of the labels wrong"
    if isinstance(data, Reduced):
        return f"{in_words(data.data)}, {data.per_class} of each class"
    return data.path.name if isinstance(data, TinyImageNet) else public_name(as_text(data))


def as_text(given: Any) -> str:
    """Return the name of data or of a network, which may be functions."""
    return spelt(given) if callable(given) else str(given)


def diagnosed(found: Diagnosis, value: str) -> str:
    """Return the name of a diagnostic's value among the figures of a run: "white_box fgsm", after refinement
    "white_box fgsm, refined"."""
    return f"{found.diagnostic} {value}{', refined' if found.phase == 'refine' else ''}"


def commit() -> str:
    """Return the short name of the checkout's commit."""
    return subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()


def file_of(study_ref: str) -> Path:
    """Return where the result of a study is kept."""
    return RESULTS / f"{study_ref.replace('/', '-').replace(':', '-')}.json"


def read_results() -> dict[str, Result]:
    """Return all results that are kept, by study."""
    found = (Result(**json.loads(path.read_text())) for path in sorted(RESULTS.glob("*.json")))
    return {result.study: result for result in found}


def contrasts(claim: Claim, result: Result) -> list[Interval]:
    """Return the interval of each difference that a claim is about; positive is as the paper says."""
    samples = [result.contrast(weights, claim.metric, claim.before) for weights in claim.contrasts]
    return [found for found in map(interval, samples) if found is not None]


def judged(claim: Claim, found: Iterable[Interval]) -> str:
    """Return whether differences agree with a claim: all of them must, and one that does not refutes it."""
    ends = [(each.low, each.high) for each in found]
    if not ends or any(low is None or high is None for low, high in ends):
        return UNKNOWN
    known = [(low, high) for low, high in ends if low is not None and high is not None]
    if claim.margin is not None:
        if all(-claim.margin < low and high < claim.margin for low, high in known):
            return "agrees"
        beyond = any(low > claim.margin or high < -claim.margin for low, high in known)
        return "disagrees" if beyond else UNKNOWN
    if all(low > 0 for low, _ in known):
        return "agrees"
    return "disagrees" if any(high < 0 for _, high in known) else UNKNOWN


def line(claim: Claim, results: Mapping[str, Result]) -> str:
    """Return the row of a claim."""
    if claim.study not in results:
        return f"| {claim.says} | {claim.where} | {claim.published} | not run |  | `{claim.study}` |"
    result = results[claim.study]
    found = contrasts(claim, result)
    return (
        f"| {claim.says} | {claim.where} | {claim.published} | {'; '.join(shown(each, claim) for each in found)} "
        f"| **{judged(claim, found)}** | `{claim.study}` |"
    )


def section(paper: str, claims: Iterable[Claim], results: Mapping[str, Result]) -> list[str]:
    """Return the claims of a paper as lines of the page."""
    rows = [line(claim, results) for claim in claims if claim.paper == paper]
    heading = ["| claim | of | published | here | verdict | study |", "| --- | --- | --- | --- | --- | --- |"]
    return [f"## {paper}", "", *heading, *rows, ""]


def verdicts_of(claims: Iterable[Claim], results: Mapping[str, Result]) -> list[str]:
    """Return the verdicts on the claims whose studies were run."""
    return [judged(claim, contrasts(claim, results[claim.study])) for claim in claims if claim.study in results]


def tallied(paper: str, claims: Iterable[Claim], results: Mapping[str, Result]) -> str:
    """Return the row with how many claims of a paper have which verdict."""
    own = [claim for claim in claims if claim.paper == paper]
    verdicts = verdicts_of(own, results)
    counts = [*(verdicts.count(each) for each in VERDICTS), len(own) - len(verdicts)]
    return f"| {paper} | {' | '.join(map(str, counts))} |"


def shown(found: Interval, claim: Claim) -> str:
    """Return a difference with its 95 % interval and the number of pairs."""
    scale, unit = (100, " points") if claim.metric.endswith("accuracy") else (1, "")
    if found.low is None or found.high is None:
        return f"{scale * found.mean:+.3g}{unit} (n={found.n})"
    return f"{scale * found.mean:+.2f} [{scale * found.low:+.2f}, {scale * found.high:+.2f}]{unit} (n={found.n})"


def claims_page(results: Mapping[str, Result], claims: Iterable[Claim] = CLAIMS) -> str:
    """Return the page of all claims."""
    claims = list(claims)
    papers = list(dict.fromkeys(claim.paper for claim in claims))
    verdicts = verdicts_of(claims, results)
    tally = ", ".join(f"{verdicts.count(each)} {said}" for each, said in VERDICTS.items())
    settings = [
        f"| `{name}` | {each.data} | {each.model}, {each.epochs} epochs | {len(each.runs)} "
        f"| {max((len(runs) for runs in each.runs.values()), default=0)} "
        f"| {each.date}, {each.commit}, {each.versions} |"
        for name, each in sorted(results.items())
    ]
    return "\n".join(
        [
            WIDE,
            "# What the papers claim, and what is seen of it here",
            "",
            f"{len(claims)} claims of five papers, each held against a shipped study of a small setting on two cores: "
            f"{tally}. A claim **agrees** where the 95 % interval of the difference lies on the side that the paper "
            "says, for a claim of no difference within the margin that is given; it **disagrees** where the interval "
            "lies on the other side. The differences are paired by seed, of final runs on the test split. Intervals "
            "are those of single claims: of so many that were all false one or two would look true by chance. A small "
            "setting is not the paper's: what disagrees at 8 x 8 pixels may hold at 32 x 32, and what agrees may not.",
            "",
            "The page is written by `python -m benchmarks.papers pages` from `benchmarks/results/papers/`. Each study "
            "is run by its name, `autoaug run refined/table_1`; its object `paper` has the setting of the paper, "
            "`autoaug run refined/table_1:paper --dry-run`. [What those cost](settings.md) is counted.",
            "",
            f"Measured on: {processor_line()}.",
            "",
            f"| paper | {' | '.join(VERDICTS)} | not run |",
            "| --- | ---: | ---: | ---: | ---: |",
            *(tallied(paper, claims, results) for paper in papers),
            "",
            *(row for paper in papers for row in section(paper, claims, results)),
            "## Settings",
            "",
            "| study | data | trained | arms | seeds | when, commit, versions |",
            "| --- | --- | --- | ---: | ---: | --- |",
            *settings,
            "",
        ]
    )


def tables_page(results: Mapping[str, Result]) -> str:
    """Return the page with the arms of every study: what was published beside what was measured."""
    parts = [
        WIDE,
        "# Tables of the papers, published and measured",
        "",
        "Each study of `studies/` asks a table or a figure of a paper in a small setting. Figures are means over final "
        "runs on the test split with 95 % intervals; what stands beside them is the paper's, at its own size. Written "
        "by `python -m benchmarks.papers pages`.",
        "",
    ]
    for name, result in sorted(results.items()):
        parts += [*table_of(name, result), ""]
    return "\n".join(parts)


def table_of(name: str, result: Result) -> list[str]:
    """Return the table of one study."""
    module = module_of(name)
    question, metrics = (module.__doc__ or "").splitlines()[0], result.metrics()
    rows = [
        f"| {arm} | {module.PUBLISHED.get(arm, '')} | {' | '.join(mean_of(runs, metric) for metric in metrics)} "
        f"| {mean_of(runs, 'gpu_seconds')} | {len(runs)} |"
        for arm, runs in result.runs.items()
    ]
    return [
        f"## {name}",
        "",
        f"{question} {result.data}, {result.model}, {result.epochs} epochs; {result.date}, commit {result.commit}.",
        "",
        f"| arm | published | {' | '.join(map(readable, metrics))} | CPU s of a run | n |",
        f"| --- | --- | {'---: | ' * len(metrics)}---: | ---: |",
        *rows,
    ]


def readable(metric: str) -> str:
    """Return the name of a metric as a heading."""
    return metric.replace("_", " ")


def mean_of(runs: Mapping[str, Mapping[str, float]], metric: str) -> str:
    """Return the mean of a figure over runs with its 95 % interval, accuracies in percent."""
    found = interval(figures[metric] for figures in runs.values() if metric in figures)
    if found is None:
        return ""
    scale = 100 if metric.endswith("accuracy") else 1
    if found.low is None or found.high is None:
        return f"{scale * found.mean:.4g}"
    return f"{scale * found.mean:.4g} ± {scale * (found.high - found.low) / 2:.2g}"


def processor_line() -> str:
    """Return what the studies were measured on."""
    path = RESULTS / "processor.txt"
    return path.read_text().strip() if path.exists() else "not measured yet"


def pages() -> dict[str, str]:
    """Return the pages that are made of the results, by the name of their file."""
    results = read_results()
    return {"claims.md": claims_page(results), "tables.md": tables_page(results)}


def say_found(event: DiagnosisEvent) -> None:
    """Print what was found of a training, or why nothing was."""
    if event.found or event.failed:
        print(time.strftime("%H:%M:%S"), event.training, event.failed or event.found, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=["run", "pages"])
    parser.add_argument("studies", nargs="*", metavar="STUDY")
    parser.add_argument("--storage", default="sqlite:///papers.db")
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="where checkpoints lie on the way")
    given = parser.parse_args()
    if given.do == "pages":
        for name, text in pages().items():
            (PAPERS / name).write_text(text)
        return
    RESULTS.mkdir(exist_ok=True)
    store = Store(given.storage)
    for study_ref in given.studies:
        study = shipped(study_ref)
        run(study, store, options=Options(artifacts=given.artifacts), listen=say)
        if wanted := module_of(study_ref).DIAGNOSED:
            conduct_diagnosis(plan_diagnosis(study, store, only=wanted, seeds=study.seeds), store, say_found)
        file_of(study_ref).write_text(json.dumps(asdict(result_of(study_ref, study, store)), indent=1) + "\n")
        (RESULTS / "processor.txt").write_text(f"{processor()}, 1 thread\n")
    store.close()


if __name__ == "__main__":
    main()
