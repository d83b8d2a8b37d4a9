"""A page as a PDF, printed by a Chromium that is there."""

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
"""Commands that print a page without a window, the first one on PATH is taken."""

SECONDS = 120
"""That a browser may take. A page of fifteen figures takes a few."""


ON_PAPER = """<style>
@media print {
  @page { size: A4 landscape; margin: 12mm; }
  html { font-size: 11px; }
  main > section { margin-top: 2rem; }
  .chart, .scroll, .policy { break-inside: avoid; }
  .figures { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1rem 2rem; }
  .scroll { overflow: visible; }
  .scroll table { font-size: 9px; }
  .scroll th, .scroll td { padding: 2px 3px; white-space: normal; }
  .scroll th:first-child { max-width: none; }
  .legend::details-content { content-visibility: visible; block-size: auto; }
  .legend ul { columns: 2; max-width: none; }
  .modebar { display: none !important; }
}
</style>
"""
"""How a page lies on paper, where nothing can be scrolled, opened or pressed: A4 on its side, and small."""

WINDOW = "1050,800"
"""Pixels in which figures are drawn: the width of that paper."""


def find_browser() -> str:
    """Return the command of a browser that can print.

    Raises:
        ValueError: there is none; the message says what to install.
    """
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    raise ValueError(
        f"a PDF is printed by a browser, and none of {', '.join(BROWSERS)} is on PATH: "
        "install Chromium (apt install chromium, brew install --cask chromium), or write --html and print that"
    )


def write_pdf(page: str, path: Path, browser: str) -> None:
    """Print a page to a file.

    Args:
        page: the HTML; it needs no other file.
        path: of the PDF.
        browser: what `find_browser` found.

    Raises:
        ValueError: the browser fails, or takes longer than two minutes; the message has what it said.
    """
    with TemporaryDirectory(prefix="autoaug-pdf-") as folder:
        html, printed = Path(folder, "page.html"), Path(folder, "page.pdf")
        html.write_text(page.replace("</head>", f"{ON_PAPER}</head>", 1), encoding="utf-8")
        command = [
            browser,
            "--headless",
            "--disable-gpu",
            f"--user-data-dir={folder}/profile",
            f"--window-size={WINDOW}",
            "--no-pdf-header-footer",
            "--virtual-time-budget=10000",  # until the figures are drawn
            f"--print-to-pdf={printed}",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),  # which root has none of; the page is our own
            html.as_uri(),
        ]
        try:
            done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ValueError(f"{browser} does not print: {error}; {INSTEAD}") from None
        if done.returncode or not printed.is_file():
            said = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "it said nothing")
            raise ValueError(f"{browser} does not print (exit code {done.returncode}): {said}; {INSTEAD}")
        shutil.copyfile(printed, path)


INSTEAD = "write --html and print that"
