"""What a study came to, put into Optuna's own pages: figures, a note on every page, and pictures as artifacts.

A bare `optuna-dashboard URL` then answers who won, without autoaug's own pages.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

import optuna
from optuna_dashboard import get_note, save_note, save_plotly_graph_object

from autoaug.artifacts import Location
from autoaug.compare import Comparison, Figure, Table, legend, sentence, tables, verdict
from autoaug.page._artifacts import upload
from autoaug.page._report import draw
from autoaug.record import FULL, LEADERBOARD
from autoaug.store import Store, gallery_of, ids_by_name, pictures_of, system_attributes
from autoaug.text import LOG, shown

PUBLISHED = ("effect", "race", "pareto", "final")
"""Figures that stand in Optuna's page, by the names of their files: those of the first that are there."""

MOST_FIGURES = 3

MOST_BYTES = 30_000
"""Of a figure: a page of Optuna Dashboard asks for all of them every few seconds."""

GRAPH_ID = "autoaug-{}"
"""What a figure is called in Optuna: the next one of the same name takes its place."""

MOST_ROWS = 40
"""Of the table in a note."""


def publish(
    store: Store,
    comparison: Comparison,
    figures: Mapping[str, Figure],
    artifacts: Location,
) -> list[str]:
    """Put the result of a stored study into Optuna's pages; return what could not be done, a line each.

    Figures and pictures go to `<study>/leaderboard`, a note to every Optuna study of the study. It may be called again
    at any time: what has not changed is not written. Nothing is raised, for the study itself is finished and kept.

    Args:
        store: where the study is stored; one that may not be written is left as it is.
        comparison: of this study alone.
        figures: of a project, by name, as `load_figures` gives them.
        artifacts: the folder or URL where pictures are kept.
    """
    if store.read_only:
        return []
    name = comparison.studies[0]
    failed = []
    try:
        finals = store.leaderboard(name)
    except Exception as error:  # whatever storages and drivers raise
        return [f"Optuna's pages of {name} show no result: {shown(error)}"]
    for title, step in {
        "figures": lambda: save_figures(finals, comparison, figures),
        "notes": lambda: save_notes(store, comparison),
        "pictures": lambda: upload(finals, last_pictures(store, name), artifacts),
    }.items():
        try:
            step()
        except Exception as error:  # also what a user's figure raises
            failed.append(f"Optuna's pages of {name} show no new {title}: {shown(error)}")
    return failed


# Figures


def save_figures(finals: optuna.Study, comparison: Comparison, figures: Mapping[str, Figure]) -> None:
    """Save the figures that are small enough, each under a name of its own."""
    saved = 0
    for title in PUBLISHED:
        if title not in figures or saved == MOST_FIGURES:
            continue
        figure = draw(title, figures[title], comparison)
        if not figure.data:
            continue
        figure.update_layout(width=None, height=None, autosize=True)  # the page has a size of its own for all of them
        text = figure.to_json()
        if len(text) > MOST_BYTES:
            LOG.info("the figure %s has %d bytes: too many for Optuna's page", title, len(text))
            continue
        graph = GRAPH_ID.format(title.replace(" ", "-"))
        if stored_graph(finals, graph) != text:
            save_plotly_graph_object(finals, figure, graph_object_id=graph)
        saved += 1


def stored_graph(study: optuna.Study, graph: str) -> str:
    """Return the JSON of a figure that Optuna's page has; empty where it has none of this name."""
    prefix = f"dashboard:plot_data:{graph}:"
    parts = {
        int(key.removeprefix(prefix)): value
        for key, value in system_attributes(study).items()
        if key.startswith(prefix)
    }
    return "".join(parts[k] for k in sorted(parts))


# Pictures


def last_pictures(store: Store, name: str) -> dict[str, bytes]:
    """Return the pictures of a study's gallery by what they are called here: of each strategy those of its last policy.

    Raises:
        OSError: the gallery cannot be read here.
    """
    gallery = gallery_of(store, name)
    found = {}
    for strategy, sheets in gallery.strategies.items() if gallery else ():
        if sheets.images:
            found["images.webp"] = sheets.images.picture
        if sheets.by_epoch:
            found[f"images-by-{strategy}.webp"] = sheets.by_epoch[-1].picture
    contents = pictures_of(store, name, found.values())
    return {file: contents[picture] for file, picture in found.items()}


# Notes


def save_notes(store: Store, comparison: Comparison) -> None:
    """Write a note to every Optuna study of a study, or bring the one that is there up to date."""
    name, ids = comparison.studies[0], ids_of(store, comparison)
    for substudy in ids:
        study = optuna.load_study(study_name=f"{name}/{substudy}", storage=store.optuna)
        before = get_note(study)
        after = merged(before, note(comparison, substudy, ids))
        if after != before:
            save_note(study, after)


def ids_of(store: Store, comparison: Comparison) -> dict[str, int]:
    """Return the numbers of the Optuna studies that a study has, by the ends of their names, final runs first."""
    name = comparison.studies[0]
    ends = [LEADERBOARD, *(end for each in comparison.strategies for end in (each, f"{each}/{FULL}"))]
    numbers = ids_by_name(store, name)
    return {end: numbers[f"{name}/{end}"] for end in ends if f"{name}/{end}" in numbers}


MARK = re.compile(
    r"\[//\]: # \(autoaug (?P<digest>[0-9a-f]{12})[^()\n]*\)\n\n(?P<ours>.*?)\n\n\[//\]: # \(autoaug ends\)", re.DOTALL
)
"""Our part of a note, between two lines that Markdown does not show; the first says what was written."""


def merged(note: str, ours: str) -> str:
    """Return a note with our part in it, in the place of the former one.

    What a user wrote around it stays, and so does all of a note whose part of ours a user has changed.
    """
    found = MARK.search(note)
    if found and digest(found["ours"]) != found["digest"]:
        return note
    marked = f"[//]: # (autoaug {digest(ours)}: replaced after each run)\n\n{ours}\n\n[//]: # (autoaug ends)"
    if found:
        return f"{note[: found.start()]}{marked}{note[found.end() :]}"
    return f"{note}\n\n{marked}" if note.strip() else marked


def digest(text: str) -> str:
    """Return twelve digits by which a text is known again."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def note(comparison: Comparison, substudy: str, ids: Mapping[str, int]) -> str:
    """Return what a page of Optuna is to say of a study, as GitHub's Markdown.

    Args:
        comparison: of the study.
        substudy: which of its Optuna studies the page shows, by the end of its name.
        ids: the numbers of all of them.
    """
    (name,) = comparison.studies
    row = next((each for each in comparison.rows if each.name == substudy.removesuffix(f"/{FULL}")), None)
    result, _ = tables(comparison)
    parts = [
        f"**{escaped(sentence(comparison))}**",
        f"{escaped(row.name)}: {escaped(verdict(row, comparison.baseline))}" if row else "",
        as_markdown(result),
        f"All of it: [/autoaug/study/{escaped(name)}/](/autoaug/study/{quote(name)}/) of `autoaug dashboard`.",
        " · ".join(links(substudy, ids)),
        "How to read this page:",
        "\n".join(f"- {escaped(line)}" for line in how_to_read(comparison, substudy)),
    ]
    return "\n\n".join(filter(None, parts))


def links(substudy: str, ids: Mapping[str, int]) -> Iterator[str]:
    """Return links to the other pages that Optuna has of a study."""
    for end, number in ids.items():
        yield f"**{escaped(end)}**" if end == substudy else f"[{escaped(end)}](/dashboard/studies/{number})"
    searches = [str(number) for end, number in ids.items() if end != LEADERBOARD and not end.endswith(f"/{FULL}")]
    if len(searches) > 1:
        yield f"[searches side by side](/dashboard/compare-studies?ids={','.join(searches)})"


def how_to_read(comparison: Comparison, substudy: str) -> list[str]:
    """Return what the trials and plots of a page of Optuna show, a sentence each."""
    metric, better = comparison.label(comparison.test_metric), "up" if comparison.maximize else "down"
    if substudy == LEADERBOARD:
        return [
            "each trial is a final run: the best point of a strategy, trained with a seed of its own",
            f"Pareto front: {metric} against seconds; better is {better} and to the left",
            "importance of strategy: how much of the spread of the final runs the choice of strategy explains",
            *legend(comparison),
        ]
    if substudy.endswith(f"/{FULL}"):
        return ["each trial is one of the best points of the search on a proxy, trained again on the task itself"]
    return [
        f"each trial is a point that {substudy} tried, scored on the validation split: no score here is a result",
        "intermediate values: one for each epoch; a trial that ends early was pruned",
    ]


def as_markdown(table: Table) -> str:
    """Return a table as Markdown, of which figures stand at the right."""
    headings = [escaped(each) for each in table.headings]
    rows = [[escaped(each) for each in row] for row in table.cells[:MOST_ROWS]]
    lines = [line(headings), line([":--", *["--:"] * (len(headings) - 1)]), *map(line, rows)]
    more = len(table.cells) - len(rows)
    return "\n".join(lines) + (f"\n\n{more} more rows: `autoaug compare`" if more > 0 else "")


def line(cells: Sequence[str]) -> str:
    """Return a row of a table."""
    return f"| {' | '.join(cells)} |"


SPECIAL = re.compile(r"[\\`*_{}\[\]|~]|^[-+#]|(?<=^\d)[.)](?= )|(?<=^\d\d)[.)](?= )")
"""What Markdown may read as something else than itself."""

HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
"""Read as HTML by a dashboard that was started with --allow-unsafe."""

ADDRESS = re.compile(r"(?<=:)(?=//)|(?i:(?<=www)(?=\.))|(?=@)")
"""Where an address is cut by a character that nobody sees: GitHub's Markdown makes links of whole ones."""


def escaped(text: object) -> str:
    """Return a text of somebody's own as Markdown that shows it, in a line: no markup, link, picture or table of it."""
    safe = "".join(HTML.get(each, each) for each in SPECIAL.sub(r"\\\g<0>", shown(text)))
    return ADDRESS.sub("\N{WORD JOINER}", safe)
