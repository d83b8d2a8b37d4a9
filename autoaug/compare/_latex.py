"""A comparison as papers print it: a LaTeX table with a caption that says how it was tested."""

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from autoaug.compare._across import Across
from autoaug.compare._across_tables import across_headline, across_legend, mark
from autoaug.compare._comparison import Comparison
from autoaug.compare._figures import NOTHING, equal, show_p, show_seconds, significant, unit_of
from autoaug.compare._legend import differences_to, headline, intervals
from autoaug.compare._sentence import sentence
from autoaug.compare._statistics import ROUNDING, Difference, Interval
from autoaug.metrics import Metric
from autoaug.text import shown

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "±": r"$\pm$",
    "²": "$^{2}$",
    "µ": r"$\mu$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\to$",
    "−": "$-$",
    "–": "--",
    "—": "---",
    "…": r"\dots{}",
    "†": r"$\dagger$",
}
"""What a character of text is in LaTeX. Neither a bracket nor a star is an argument of the end of a line before it."""

LIGATURES = re.compile("-(?=[-–—])|'(?=')|,(?=,)")
"""Characters that would be another one together with the next."""

ACCENTS = {
    "\u0300": r"\`",
    "\u0301": r"\'",
    "\u0302": r"\^",
    "\u0303": r"\~",
    "\u0308": r"\"",
    "\u030a": r"\r",
    "\u030c": r"\v",
    "\u0327": r"\c",
}
"""Accents that stand after their letter where Unicode takes them apart."""

GREEK = re.compile(r"GREEK (SMALL|CAPITAL) LETTER (\w+)$")

LIKE_LATIN = {"ALPHA", "BETA", "EPSILON", "ZETA", "ETA", "IOTA", "KAPPA", "MU", "NU", "OMICRON", "RHO", "TAU", "CHI"}
"""Capital Greek letters that LaTeX has no command for."""

KNOWN_GREEK = LIKE_LATIN - {"OMICRON"} | {
    *("GAMMA", "DELTA", "THETA", "LAMBDA", "XI", "PI", "SIGMA", "UPSILON", "PHI", "PSI", "OMEGA")
}


def to_latex(found: Comparison | Across) -> str:
    r"""Return a comparison as a LaTeX table, which needs the package booktabs; all text is escaped.

    Metrics that lie in [0, 1] are printed in per cent. The best mean is bold; a star marks what is better than the
    baseline beyond chance, a dagger what is worse.

    Args:
        found: of one study, or of several: a line for each strategy. Over data sets: a column for each strategy, or a
            line where there are more strategies than data sets.

    >>> from autoaug.compare import Comparison, LeaderboardRow, interval, to_latex
    >>> row = LeaderboardRow("r&a", interval([0.70, 0.72]), 0.71, 2, 0, 0, 10.0, "cpu", 5, None)
    >>> latex = to_latex(Comparison(("s",), {"metric": "val_accuracy", "baseline": "none", "spaces": {}}, [row]))
    >>> print(latex.splitlines()[11].strip())
    r\&a & $\mathbf{71.00 \pm 12.71}$ & -- & -- & 10.0 \\
    """
    return over_data_sets(found) if isinstance(found, Across) else of_strategies(found)


def of_strategies(comparison: Comparison) -> str:
    """Return a leaderboard: the test value, the difference to the baseline, p, and the cost of the search."""
    metric, label = comparison.ruling, comparison.label(comparison.test_metric)
    best = best_of((row.test.mean for row in comparison.rows if row.test), metric)
    lines = []
    for row in comparison.rows:
        if row.name == comparison.baseline:
            versus = ["baseline", ""]
        else:
            versus = [difference(row.vs_baseline, metric), p_value(row.vs_baseline)]
        lines.append([escape(row.name), value(row.test, metric, best), *versus, show_seconds(row.gpu_seconds)])
        lines += [
            [rf"\quad {escape(deploy.replace('_', ' '))}", value(each, metric), "", "", ""]
            for deploy, each in row.retrained.items()
        ]
    unit = unit_of(row.device for row in comparison.rows)
    headings = ["strategy", escape(label) + in_percent(metric), "difference", "$p$", unit]
    caption = [sentence(comparison), headline(comparison), *how_tested(comparison), f"{unit}: cost of the search"]
    return table(comparison.studies, [escape(each) for each in caption if each], headings, lines)


BOLD = "Best mean in bold"


def how_tested(comparison: Comparison) -> Iterator[str]:
    """Yield what intervals, p and marks are: what a caption must say."""
    unit = "study" if len(comparison.studies) > 1 else "final run"
    compared = [row for row in comparison.rows if row.vs_baseline]
    yield BOLD
    yield from intervals(comparison.rows, unit)
    said = differences_to(comparison, compared, "seed" if unit == "final run" else unit)
    yield from (line for line in said if not line.startswith("rank"))  # there is no column of ranks
    if any(row.vs_baseline and significant(row.vs_baseline) for row in compared):
        yield f"* better, † worse than {comparison.baseline} beyond chance (corrected p below .05)"


def over_data_sets(across: Across) -> str:
    """Return the means on data sets, with intervals and marks, and the mean ranks below or beside them."""
    metric, data = across.ruling, list(across.comparisons)
    columns = min(len(data), len(across.strategies))
    best = {each: best_of((across.mean(each, name) for name in across.strategies), metric) for each in data}
    cells = {
        (each, name): value(shortened(across, each, name, columns), metric, best[each], mark(across, each, name))
        for each in data
        for name in across.strategies
    }
    first = min(across.ranks.values())
    ranks = [bold(f"{across.ranks[name]:.2f}", across.ranks[name] - first < ROUNDING) for name in across.strategies]
    names = [escape(name) for name in across.strategies]
    if len(data) >= len(names):
        lines = [[escape(each), *(cells[each, name] for name in across.strategies)] for each in data]
        headings, last = ["data", *names], ["mean rank", *ranks]
    else:
        lines = [
            [escape(name), *(cells[each, name] for each in data), rank]
            for name, rank in zip(across.strategies, ranks, strict=True)
        ]
        headings, last = ["strategy", *map(escape, data), "mean rank"], []
    label = across.first.label(across.first.test_metric)
    legend = [line for line in across_legend(across) if not line.startswith("won,")]  # there are no such columns
    bold_means = f"{escape(label[:1].upper() + label[1:])}{in_percent(metric)}, {BOLD[:1].lower()}{BOLD[1:]}"
    said = [escape(across_headline(across)), bold_means, *map(escape, legend)]
    studies = [name for comparison in across.comparisons.values() for name in comparison.studies]
    return table(studies, said, headings, lines, last)


ROOM, MOST_ROOM = 4, 6
"""Columns with intervals that the width of a page has room for, in small type and in the smallest."""


def shortened(across: Across, data: str, name: str, columns: int) -> Interval | None:
    """Return a strategy's test value on a data set, without its interval where there is no room for so many."""
    test = across.row(data, name).test
    return replace(test, low=None, high=None) if test and columns > MOST_ROOM else test


def table(
    studies: Sequence[str],
    caption: Sequence[str],
    headings: Sequence[str],
    lines: Sequence[Sequence[str]],
    last: Sequence[str] = (),
) -> str:
    """Return a table of cells that are LaTeX already; `last` is a line below a rule of its own."""
    label = re.sub(r"[^A-Za-z0-9]+", "-", "-".join(studies)).strip("-")[:60]
    size, gap = ("small", 5) if len(headings) <= 1 + ROOM else ("scriptsize", 3)
    below = [r"    \midrule", f"    {' & '.join(last)} \\\\"] if last else []
    return "\n".join(
        [
            r"% \usepackage{booktabs}",
            r"\begin{table}[t]",
            r"  \centering",
            rf"  \{size}",
            rf"  \setlength{{\tabcolsep}}{{{gap}pt}}",
            f"  \\caption{{{caption[0]}. {'; '.join(caption[1:])}.}}",
            f"  \\label{{tab:{label}}}",
            f"  \\begin{{tabular}}{{l{'r' * (len(headings) - 1)}}}",
            r"    \toprule",
            f"    {' & '.join(headings)} \\\\",
            r"    \midrule",
            *(f"    {' & '.join(line)} \\\\" for line in lines),
            *below,
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def best_of(values: Iterable[float], metric: Metric) -> float | None:
    """Return the best of some values; None of none."""
    return (max if metric.maximize else min)((each for each in values if math.isfinite(each)), default=None)


def in_percent(metric: Metric) -> str:
    """Return what stands after the name of a metric that is printed in per cent; nothing elsewhere."""
    return r" (\%)" if metric.range == (0.0, 1.0) else ""


def figure(number: float, metric: Metric, sign: str = "") -> str:
    """Return a value as it is printed, in per cent with two decimals or with four. What rounds to zero has no sign."""
    scale, decimals = (100, 2) if metric.range == (0.0, 1.0) else (1, 4)
    rounded = round(scale * number, decimals) + 0.0
    return f"{rounded:{sign if rounded else ''}.{decimals}f}"


def value(test: Interval | None, metric: Metric, best: float | None = None, mark: str = "") -> str:
    """Return a mean with half of its interval, bold where it is the best."""
    if test is None:
        return escape(NOTHING)
    if not math.isfinite(test.mean):
        return str(test.mean)
    said = f"{figure(test.mean, metric)}{half(test, test.mean, metric)}"
    if best is not None and abs(test.mean - best) < ROUNDING:
        said = rf"\mathbf{{{said}}}"
    return f"${said}{MARKS.get(mark, '')}$"


def difference(versus: Difference | None, metric: Metric) -> str:
    """Return a difference with half of its interval, and a mark where it is more than chance."""
    if versus is None:
        return escape(NOTHING)
    if not math.isfinite(versus.difference):
        return str(versus.difference)
    sure = MARKS[{"better": "*", "worse": "†"}[versus.verdict]] if significant(versus) else ""
    return f"${figure(versus.difference, metric, '+')}{half(versus, versus.difference, metric)}{sure}$"


MARKS = {"*": "^{*}", "†": r"^{\dagger}"}


def half(estimate: Interval | Difference, mean: float, metric: Metric) -> str:
    """Return half of an interval; nothing where there is none, or where it has no width."""
    if estimate.low is None or estimate.high is None or equal(estimate):
        return ""
    return rf" \pm {figure(max(estimate.high - mean, mean - estimate.low), metric)}"


def p_value(versus: Difference | None) -> str:
    """Return the corrected p."""
    said = show_p(versus.p_holm if versus else None)
    return escape(said) if said == NOTHING else f"${said}$"


def bold(said: str, yes: bool) -> str:
    """Return a figure, bold where it is the best."""
    return rf"\textbf{{{said}}}" if yes else said


def escape(text: object) -> str:
    """Return a text of which nothing is LaTeX, and which pdfLaTeX, XeLaTeX and LuaLaTeX all print without a package.

    What they cannot print without one becomes its code: U+1F600.
    """
    plain = unicodedata.normalize("NFC", shown(text, MOST_OF_A_TEXT))
    apart = {match.start() for match in LIGATURES.finditer(plain)}
    return "".join(escaped(each) + "{}" * (at in apart) for at, each in enumerate(plain))


MOST_OF_A_TEXT = 10_000
"""Characters of a name, or of a line of a caption that may name every strategy."""


def escaped(character: str) -> str:
    """Return a character in LaTeX."""
    if character in SPECIAL:
        return SPECIAL[character]
    if character.isascii():
        return character
    if letter := GREEK.match(unicodedata.name(character, "")):
        size, name = letter.groups()
        small = size == "SMALL"
        if name in KNOWN_GREEK and (small or name not in LIKE_LATIN):
            return rf"$\{name.lower() if small else name.capitalize()}$"
    base, *accents = list(unicodedata.normalize("NFD", character))
    if base.isascii() and base.isalpha() and len(accents) == 1 and accents[0] in ACCENTS:
        dotless = rf"\{base}" if base in "ij" and accents[0] != "\u0327" else base
        return rf"{ACCENTS[accents[0]]}{{{dotless}}}"
    return f"U+{ord(character):04X}"
