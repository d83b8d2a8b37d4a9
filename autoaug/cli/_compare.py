"""What studies have found: printed, and written for a browser, paper, a spreadsheet, LaTeX and machines."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autoaug.cli._arguments import find_stored
from autoaug.cli._commands import StorageOption, app, print_leaderboard, tell_failed
from autoaug.cli._output import Output, say, usage_errors, writing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from autoaug.compare import Across, Comparison
    from autoaug.store import Store

StudiesArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="STUDY...", help="A name, a file, or FILE.py:NAME; repeated with other seeds, or on other data."
    ),
]


@app.command()
def compare(
    studies: StudiesArgument,
    storage: StorageOption = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a page with the figures too.")] = None,
    pdf: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write that page as PDF, where a Chromium is there.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the leaderboard as CSV.")] = None,
    latex: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the leaderboard as papers print it, with booktabs.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
    epochs: Annotated[
        bool, typer.Option("--epochs", help="Show the last epoch, the best one, and the median of the last ten.")
    ] = False,
) -> None:
    """Print the leaderboard of a study: its metric on the test split, the difference to the baseline, cost.

    Several studies of the same data are one comparison of repeated searches: they differ in their seed. Studies of
    several data sets are compared over these: mean ranks, and which strategies are told apart.
    """
    with usage_errors():
        stored = [find_stored(study, storage) for study in studies]
        browser = printing_browser() if pdf else ""
        from autoaug.compare import Across, stored_across

        found = stored_across(stored, with_importance=as_json or bool(html or pdf))
        if csv:
            write_csv(csv, found)
        if latex:
            write_latex(latex, found)
        if html or pdf:
            write_page(page_of(found, stored), html, pdf, browser)
    if isinstance(found, Across):
        print_across(found, Output(as_json))
        return
    print_leaderboard(found, Output(as_json), epochs)
    if found.diagnoses and not as_json:
        from autoaug.cli._diagnosis_block import diagnosis_block

        say("")
        Output().show(diagnosis_block(found), {})


def print_across(across: "Across", output: Output) -> None:
    """Print what several data sets say together, and what failed on any of them."""
    from autoaug.cli._console import across_table
    from autoaug.compare import across_json

    output.show(across_table(across), across_json(across))
    for comparison in across.comparisons.values():
        tell_failed(comparison)


def write_csv(path: Path, found: "Comparison | Across") -> None:
    """Write the leaderboard to a file, or those of all data sets."""
    from autoaug.compare import Across, across_csv, to_csv

    try:
        path.write_text(across_csv(found) if isinstance(found, Across) else to_csv(found.rows), encoding="utf-8")
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror}; give another --csv") from None


def write_latex(path: Path, found: "Comparison | Across") -> None:
    """Write a table for a paper to a file."""
    from autoaug.compare import to_latex

    with writing(path):
        path.write_text(to_latex(found), encoding="utf-8")


def printing_browser() -> str:
    """Return the browser that prints, or raise ValueError before anybody has looked at a study."""
    from autoaug.page import find_browser

    return find_browser()


def write_page(page: str, html: Path | None, pdf: Path | None, browser: str) -> None:
    """Write leaderboards and figures as one page, for a browser or printed by one."""
    from autoaug.page import write_pdf

    if html:
        with writing(html):
            html.write_text(page, encoding="utf-8")
    if pdf:
        with writing(pdf):
            write_pdf(page, pdf, browser)


def page_of(found: "Comparison | Across", stored: "Sequence[tuple[Store, str]]") -> str:
    """Return the page, with the figures of this folder's project, else the shipped ones, and the first gallery."""
    from autoaug.cli._project import figures_root, load_diagram, load_figures
    from autoaug.compare import Across
    from autoaug.page import across_report, report, whole_gallery

    root = figures_root()
    if isinstance(found, Across):
        return across_report(found, load_diagram(root))
    return report(found, load_figures(root), whole_gallery(*stored[0]))
