"""policy.json: read with suspicion, written whole or not at all.

The file is data. Nothing in it is executed or imported: operations are names that are looked up in a table.
"""

import json
import re
from pathlib import Path
from typing import Any

from autoaug.checkpoint import write_atomically
from autoaug.fields import short
from autoaug.policy._errors import PolicyError, one_line
from autoaug.policy._protocol import Policy
from autoaug.policy._tree import MAX_DEPTH, SCHEMA, PolicyTree

MAX_BYTES = 1_000_000
MAX_NESTING = 3 * MAX_DEPTH + 10
"""Brackets within brackets. A choice in a choice is three deeper: a list, an option, a node."""

BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]', re.DOTALL)
"""A text, so that brackets in it do not count, or a bracket."""


def save(policy: Policy | PolicyTree, path: str | Path) -> None:
    """Write a policy to a file, which is replaced whole or not at all.

    Raises:
        PolicyError: the file would be larger than can be read back.
    """
    tree = policy if isinstance(policy, PolicyTree) else policy.tree()
    text = encode(tree).encode()
    if len(text) > MAX_BYTES:
        raise PolicyError(f"{path}: the policy takes {len(text)} bytes, more than {MAX_BYTES}: use fewer nodes")
    write_atomically(Path(path), lambda file: file.write(text))


def load_tree(path: str | Path) -> PolicyTree:
    """Read a policy file.

    Raises:
        PolicyError: the file is not a policy of a known version; the message names value, place and fix.
        OSError: there is no such file, or it cannot be read.
    """
    with Path(path).open("rb") as file:
        return decode(file.read(MAX_BYTES + 1), str(path))


def encode(tree: PolicyTree) -> str:
    """A tree as JSON that can be printed. Numbers and texts come back exactly."""
    written = tree.model_dump_json(exclude_none=True, indent=1) + "\n"
    return "".join(each if each.isprintable() or each == "\n" else json.dumps(each)[1:-1] for each in written)


def decode(text: bytes, place: str = "policy") -> PolicyTree:
    """JSON to a tree; `place` begins every error message."""
    if len(text) > MAX_BYTES:
        raise PolicyError(f"{place}: more than {MAX_BYTES} bytes: this is no policy, or it has far too many nodes")
    data = parse(text, place)
    if not isinstance(data, dict):
        raise PolicyError(f"{place}: {short(data)} is not an object: a policy begins with {{")
    if data.get("schema") != SCHEMA:
        raise PolicyError(
            f"{place} at schema: {short(data.get('schema'))} is not {SCHEMA!r}, the version that this autoaug reads: "
            "upgrade autoaug, or export the policy again"
        )
    with one_line(place):
        return PolicyTree.model_validate(data)


def parse(text: bytes, place: str) -> Any:
    """JSON to plain data, without recursion deeper than MAX_NESTING."""
    try:
        decoded = text.decode()
        if nesting(decoded) > MAX_NESTING:
            raise PolicyError(f"{place}: more than {MAX_NESTING} brackets within brackets: flatten the tree")
        return json.loads(decoded)
    except PolicyError:
        raise
    except ValueError as error:  # not UTF-8, not JSON, or a number of thousands of digits
        raise PolicyError(f"{place}: not a JSON file: {error}") from None


def nesting(text: str) -> int:
    """How deep brackets stand within brackets."""
    deepest = depth = 0
    for match in BRACKET.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match.group()[0], 0)
        deepest = max(deepest, depth)
    return deepest


def json_schema() -> dict[str, Any]:
    """The JSON Schema of policy.json, generated from the classes that check it."""
    return PolicyTree.model_json_schema(by_alias=True)
