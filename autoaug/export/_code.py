"""Python source text: expressions laid out so that a formatter leaves them as they are, and what stands above them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from textwrap import wrap

from autoaug.policy import AnyNode, PolicyTree, Schedule
from autoaug.text import shown

WIDTH = 88
"""Columns that formatters allow where a file stands alone."""


@dataclass(frozen=True)
class Brackets:
    """Parts between an opening and a closing: a call, a list, a tuple or a dict."""

    opening: str
    parts: tuple["Code", ...]
    closing: str


Code = str | Brackets


def call(function: str, *arguments: Code, **keywords: object) -> Brackets:
    """Return a call; the values of keywords are plain data or code in brackets."""
    named = tuple(prefixed(f"{name}=", literal(value)) for name, value in keywords.items())
    return Brackets(f"{function}(", arguments + named, ")")


def listing(parts: Iterable[Code]) -> Brackets:
    """Return a list."""
    return Brackets("[", tuple(parts), "]")


def pair(first: Code, second: Code) -> Brackets:
    """Return a tuple of two."""
    return Brackets("(", (first, second), ")")


def name(text: str) -> Brackets:
    """Return a name as the value of a keyword, where a plain text would be quoted."""
    return Brackets(text, (), "")


def prefixed(prefix: str, code: Code) -> Code:
    """Return code with a text before it."""
    return prefix + code if isinstance(code, str) else replace(code, opening=prefix + code.opening)


def literal(value: object) -> Code:
    """Return plain data as source: texts in double quotes, numbers without the last digits, which are rounding."""
    match value:
        case Brackets():
            return value
        case str():
            return json.dumps(value)
        case float():
            return repr(float(f"{value:.12g}") + 0.0)  # never -0.0
        case tuple():
            return Brackets("(", tuple(map(literal, value)), ")")
        case list():
            return listing(map(literal, value))
        case dict():
            return braces({json.dumps(key): literal(entry) for key, entry in value.items()})
        case _:
            return repr(value)


def braces(items: Mapping[str, Code]) -> Brackets:
    """Return a dict; its keys are code."""
    return Brackets("{", tuple(prefixed(f"{key}: ", value) for key, value in items.items()), "}")


def layout(code: Code, indent: int = 0) -> str:
    """Return code on one line where it fits, and else with one part per line, each with a comma.

    Formatters leave it so.
    """
    if isinstance(code, str):
        return code
    flat = flatten(code)
    if indent + len(flat) < WIDTH or not code.parts:
        return flat
    inner = " " * (indent + 4)
    lines = [f"{inner}{layout(part, indent + 4)},\n" for part in code.parts]
    return f"{code.opening}\n{''.join(lines)}{' ' * indent}{code.closing}"


def flatten(code: Code) -> str:
    """Return code on one line."""
    return code if isinstance(code, str) else f"{code.opening}{', '.join(map(flatten, code.parts))}{code.closing}"


def by_epoch(tree: PolicyTree) -> dict[int, AnyNode]:
    """Return the nodes of a policy by the epoch from which each is in force; most policies have one, from epoch 1."""
    root = tree.root
    return {step.epoch: step.node for step in root.steps} if isinstance(root, Schedule) else {1: root}


def assigned(target: str, code: Code) -> str:
    """Return an assignment as a statement."""
    return layout(prefixed(f"{target} = ", code))


def heading(tree: PolicyTree, doc: str, lost: tuple[str, ...] = ()) -> str:
    """Return the docstring of a file, and as comments what it cannot say, and where its policy comes from.

    The facts come out of a file that anybody can have written: as they are shown they stay in the comment.
    """
    facts = {"exported by autoaug": version("autoaug"), "ranges": tree.ranges} | tree.provenance
    lines = [f"{key}: {value}" for key, value in facts.items()]
    lines += ["not as in the policy:", *(f"- {loss}" for loss in lost)] if lost else []
    comments = [part for line in lines for part in wrap(shown(line), WIDTH - 2, subsequent_indent="    ")]
    return f'"""{doc}"""\n\n' + "".join(f"# {line}\n" for line in comments)
