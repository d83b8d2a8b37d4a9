"""Tables for papers: what they say, that no text is LaTeX, and that they compile."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Call, calling
from outcomes_for_tests import comparison, finals, searched
from test_across import CLEAR, of, on, stored

from autoaug.compare import Comparison, across, interval, leaderboard, to_latex
from autoaug.compare._latex import escape, figure, value
from autoaug.metrics import METRICS
from autoaug.record import Outcome
from autoaug.store import Store


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    yield from calling(tmp_path, monkeypatch)


TOKEN = re.compile(r"\\(?:[A-Za-z]+|.)|[{}$&#^_%~]|[^\\{}$&#^_%~]+", re.DOTALL)

COMMANDS = """
begin end usepackage centering small scriptsize setlength tabcolsep caption label toprule midrule bottomrule quad
textbf mathbf pm dagger textbackslash textasciitilde textasciicircum textasciigrave textless textgreater textbar dots
times cdot leq geq to alpha Omega mu i c v r
"""
"""All that tables use, of LaTeX itself and booktabs."""


def checked(latex: str) -> list[list[str]]:
    """The lines of a table, by cell. What LaTeX would stop at, or read otherwise than it was meant, fails."""
    assert latex.startswith("% \\usepackage{booktabs}\n")
    assert latex.isascii(), "every engine prints it without a package"
    body = latex.split("\n", 1)[1]
    depth, math, open_environments, commands = 0, False, [], set()
    tokens = TOKEN.findall(body)
    assert "".join(tokens) == body
    for token, following in zip(tokens, [*tokens[1:], ""], strict=True):
        depth += (token == "{") - (token == "}")
        assert depth >= 0, "a brace is closed that was not opened"
        if token == "$":
            math = not math
        assert token not in ("#", "%", "~"), f"{token} is a command here"
        assert token not in ("^", "_") or math, f"{token} stands outside of mathematics"
        assert token != "&" or depth == 0, "a cell ends within braces"
        if token == "\\\\":
            assert following.startswith("\n"), "what follows could be an argument of the end of the line"
            assert not re.match(r"\s*[\[*]", body.split(token, 1)[1]), "so could what the next line begins with"
        if re.fullmatch(r"\\[A-Za-z]+", token):
            commands.add(token[1:])
    assert (depth, math) == (0, False)
    for begin, name in re.findall(r"\\(begin|end)\{(\w+)\}", body):
        if begin == "begin":
            open_environments.append(name)
        else:
            assert open_environments.pop() == name
    assert open_environments == []
    assert commands <= set(COMMANDS.split())
    (columns,) = re.findall(r"\\begin\{tabular\}\{(l?r*)\}", body)
    inside = body.split("\\toprule")[1].split("\\bottomrule")[0]
    for line in inside.splitlines():
        assert not re.match(r"\s*[\[*]", line), "that would be an argument of the end of the line before it"
    lines = [line.strip() for line in re.sub(r"\\midrule", "", inside).split("\\\\\n") if line.strip()]
    found = [[cell.strip() for cell in re.split(r"(?<!\\)&", line)] for line in lines]
    assert {len(cells) for cells in found} == {len(columns)}, "every line has a cell for every column"
    return found


def outcomes(a: str = "a") -> list[Outcome]:
    """A strategy that is better, one that is worse, one that nobody can tell from the baseline, one without a test."""
    scores = {
        "none": [0.700, 0.710, 0.720, 0.730],
        a: [0.801, 0.812, 0.818, 0.831],
        "worse": [0.601, 0.612, 0.618, 0.631],
        "same": [0.690, 0.720, 0.710, 0.740],
    }
    return [
        *(each for name, mine in scores.items() for each in finals(name, dict(enumerate(mine)))),
        *(searched(name, 0, 0.5) for name in (*scores, "untested")),
    ]


def test_a_table_says_what_the_leaderboard_says() -> None:
    lines = checked(to_latex(comparison(outcomes())))
    headings, first, same, none, worse, untested = lines
    assert headings == ["strategy", r"test accuracy (\%)", "difference", "$p$", "CPU s"]
    row = leaderboard(outcomes(), "none")[0]
    assert row.test
    assert row.test.high is not None
    half = 100 * (row.test.high - row.test.mean)
    assert first[:2] == ["a", rf"$\mathbf{{{100 * row.test.mean:.2f} \pm {half:.2f}}}$"]
    assert row.vs_baseline
    assert first[2].startswith(f"${100 * row.vs_baseline.difference:+.2f} \\pm ")
    assert first[2].endswith("^{*}$")
    assert worse[2].endswith(r"^{\dagger}$")
    assert same[2].endswith("$")
    assert "^" not in same[2]
    assert (none[0], none[2:4]) == ("none", ["baseline", ""])
    assert untested[1:4] == ["--", "--", "--"]
    assert first[4] == "1.0"


def test_the_caption_says_how_it_was_tested() -> None:
    latex = to_latex(comparison(outcomes()))
    (caption,) = re.findall(r"\\caption\{(.*)\}\n", latex)
    for words in (
        "a beats no policy by",
        "Best mean in bold",
        r"$\pm$ half a 95 \% interval by Student's t, over 4 final runs",
        "p of a paired t-test, Holm-corrected over 3 strategies",
        r"{*} better, $\dagger$ worse than none beyond chance",
        "CPU s: cost of the search",
    ):
        assert words in caption, words
    assert "rank" not in caption, "there is no such column"
    unsure = to_latex(comparison([*finals("none", {0: 0.5, 1: 0.6}), *finals("a", {0: 0.5, 1: 0.61})]))
    assert r"\dagger" not in unsure, "what nothing is marked with needs no explanation"


EVIL = [
    r"\input{/etc/passwd}",
    "50% & #1 _x^2 $y$ ~z {a} \\\\",
    "[b]",
    "*",
    "a--b---c",
    "''quoted''",
    "``",
    "<|>",
    "α Ω µ é Å ç ï ž",
    "emoji 😀 中",
    "a\nb\x1b[31m",
    "\\",
    "}",
    "e\u0301\u0301",
]
"""What a strategy may be called, if nobody prevents it."""


@pytest.mark.parametrize("name", EVIL)
def test_a_name_is_never_latex(name: str) -> None:
    lines = checked(to_latex(comparison(outcomes(name))))
    assert lines[1][0] == escape(name)
    found = across([on(data, {"none": 0.7, name: 0.8}) for data in ("iris", name)])
    assert checked(to_latex(found))[0][1] == escape(name)


def test_characters_are_printed_as_they_are_read() -> None:
    assert escape("a_b 5% & {x}") == r"a\_b 5\% \& \{x\}"
    assert escape("tpe-randaugment") == "tpe-randaugment"
    assert escape("a--b") == "a-{}-b"
    assert escape("\\[*]") == r"\textbackslash{}{[}{*}{]}"
    assert escape("α Ω é ï ž Å Β ο") == r"$\alpha$ $\Omega$ \'{e} \" {\i} \v{z} \r{A} U+0392 U+03BF".replace(
        '" {', '"{'
    )
    assert escape("0.7 ± 0.1 – 3²") == r"0.7 $\pm$ 0.1 -- 3$^{2}$"
    assert escape("😀") == "U+1F600"


def test_values_have_the_unit_of_papers() -> None:
    accuracy, nll = METRICS["accuracy"], METRICS["nll"]
    assert figure(0.12345, accuracy) == "12.35"
    assert figure(0.12345, nll) == "0.1235"
    assert figure(-0.000001, accuracy, "+") == "0.00"
    assert figure(0.02, accuracy, "+") == "+2.00"
    assert value(interval([0.5]), accuracy) == "$50.00$"
    assert value(interval([0.5, 0.5]), accuracy, best=0.5) == r"$\mathbf{50.00}$"
    assert value(interval([float("nan")]), accuracy) == "nan"
    assert value(None, accuracy) == "--"


def test_over_data_sets_each_has_its_best_and_its_marks() -> None:
    means = [{"none": 0.7, "a": 0.9, "b": 0.6}, {"none": 0.9, "a": 0.9, "b": 0.8}, {"none": 0.5, "a": 0.4, "b": 0.3}]
    found = across([on(f"data_{k}", each, seeds=8) for k, each in enumerate(means)])
    headings, *lines, ranks = checked(to_latex(found))
    assert headings == ["data", "none", "a", "b"] == ["data", *found.strategies]
    assert [line[0] for line in lines] == [r"data\_0", r"data\_1", r"data\_2"]
    bold = [[r"\mathbf" in cell for cell in line[1:]] for line in lines]
    assert bold == [[False, True, False], [True, True, False], [True, False, False]]
    assert lines[0][2].endswith("^{*}$")
    assert lines[0][3].endswith(r"^{\dagger}$")
    assert ranks == ["mean rank", r"\textbf{1.50}", r"\textbf{1.50}", "3.00"]
    turned = checked(to_latex(of([[0.7, 0.9, 0.8]] * 2)))
    assert turned[0] == ["strategy", "data0", "data1", "mean rank"]
    assert turned[1][::3] == ["a", r"\textbf{1.00}"]


def test_what_has_no_room_is_smaller_or_left_out() -> None:
    def of_columns(count: int) -> str:
        return to_latex(of([[0.5 + k / 50 for k in range(count)]] * count, [f"s{k}" for k in range(count)], "s0"))

    assert r"\small" in of_columns(4)
    assert r"\scriptsize" in of_columns(6)
    assert all(r"\pm" in cell for line in checked(of_columns(6))[1:-1] for cell in line[1:])
    assert not any(r"\pm" in cell for line in checked(of_columns(7)) for cell in line)


def test_over_data_sets_the_caption_has_both_tests() -> None:
    (caption,) = re.findall(r"\\caption\{(.*)\}\n", to_latex(of(CLEAR)))
    assert "beats none over 9 data sets" in caption
    assert r"Test accuracy (\%), best mean in bold; " in caption
    assert "Friedman's test of all 3 strategies: chi$^{2}$ = " in caption
    assert "Wilcoxon's signed-rank test over data sets, exact, Holm-corrected over 3 pairs" in caption
    assert "won, tied" not in caption


def test_of_nothing_there_is_a_table_of_nothing() -> None:
    empty: Comparison = comparison()
    assert checked(to_latex(empty))[0][0] == "strategy"


def test_the_command_line_writes_it(call: Call, tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'autoaug.db'}")
    stored(store, "d0", "digits", {"none": 0.7, "ra": 0.8})
    stored(store, "r0", "digits-rotated", {"none": 0.6, "ra": 0.8})
    assert call("compare", "d0", "--latex", "one.tex").exit_code == 0
    assert call("compare", "d0", "r0", "--latex", "both.tex").exit_code == 0
    assert [line[0] for line in checked((tmp_path / "one.tex").read_text())] == ["strategy", "ra", "none"]
    assert checked((tmp_path / "both.tex").read_text())[0] == ["data", "ra", "none"]
    refused = call("compare", "d0", "--latex", "none/x.tex")
    assert refused.exit_code == 2
    assert "cannot write none/x.tex: No such file or directory; give another file" in refused.stderr


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
def test_it_compiles(tmp_path: Path) -> None:
    tables = [to_latex(comparison(outcomes(name))) for name in EVIL] + [to_latex(of(CLEAR))]
    text = "\n".join([r"\documentclass{article}\usepackage{booktabs}\begin{document}", *tables, r"\end{document}"])
    (tmp_path / "all.tex").write_text(text)
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
