"""policy.json: read with suspicion, written whole or not at all.

The file is data. Nothing in it is executed or imported: operations are names that are looked up in a table.
"""

import json
import re
from pathlib import Path
from typing import Any

from autoaug.artifacts import write_atomically
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
        OSError: it cannot be written.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from autoaug.policy import load_tree, ready, save
    >>> with TemporaryDirectory() as folder:
    ...     save(ready.randaugment(), Path(folder) / "policy.json")
    ...     load_tree(Path(folder) / "policy.json") == ready.randaugment()
    True
    """
    tree = policy if isinstance(policy, PolicyTree) else policy.tree()
    text = encode(tree).encode()
    if len(text) > MAX_BYTES:
        raise PolicyError(f"{path}: the policy takes {len(text)} bytes, more than {MAX_BYTES}: use fewer nodes")
    write_atomically(Path(path), lambda file: file.write(text))


def load_tree(path: str | Path) -> PolicyTree:
    """Return the tree of a policy file.

    Raises:
        PolicyError: the file is not a policy of a known version; the message names value, JSON path and fix.
        OSError: there is no such file, or it cannot be read.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from autoaug.policy import load_tree, ready, save
    >>> with TemporaryDirectory() as folder:
    ...     save(ready.trivialaugment(), Path(folder) / "policy.json")
    ...     load_tree(Path(folder) / "policy.json").ranges
    'wide'
    """
    with Path(path).open("rb") as file:
        return decode(file.read(MAX_BYTES + 1), str(path))


def encode(tree: PolicyTree) -> str:
    """Return a tree as JSON of printable characters. Numbers and texts come back exactly from `decode`.

    >>> from autoaug.policy import apply, decode, encode, policy_tree
    >>> tree = policy_tree(apply("rotate", 0.1), provenance={"study": "quickstart"})
    >>> decode(encode(tree).encode()) == tree
    True
    """
    text = tree.model_dump_json(exclude_none=True, indent=1) + "\n"
    return "".join(
        character if character.isprintable() or character == "\n" else json.dumps(character)[1:-1] for character in text
    )


def decode(text: bytes, source: str = "policy") -> PolicyTree:
    """Return the tree in the JSON text of a policy file; `source` begins every error message.

    Raises:
        PolicyError: the text is no policy of a known version, or is too large.

    >>> from autoaug.policy import apply, decode, encode, policy_tree
    >>> decode(encode(policy_tree(apply("rotate", 0.5))).encode()).root.amount
    15.0
    """
    if len(text) > MAX_BYTES:
        raise PolicyError(f"{source}: more than {MAX_BYTES} bytes: this is no policy, or it has far too many nodes")
    data = parse(text, source)
    if not isinstance(data, dict):
        raise PolicyError(f"{source}: {short(data)} is not an object: a policy begins with {{")
    if data.get("schema") != SCHEMA:
        raise PolicyError(
            f"{source} at schema: {short(data.get('schema'))} is not {SCHEMA!r}, the version that this autoaug reads: "
            "upgrade autoaug, or export the policy again"
        )
    with one_line(source):
        return PolicyTree.model_validate(data)


def parse(text: bytes, source: str) -> Any:
    """Return the data of a JSON text; one that is nested deeper than MAX_NESTING is refused before it is parsed."""
    try:
        decoded = text.decode()
        if nesting(decoded) > MAX_NESTING:
            raise PolicyError(f"{source}: more than {MAX_NESTING} brackets within brackets: flatten the tree")
        return json.loads(decoded)
    except PolicyError:
        raise
    except ValueError as error:  # not UTF-8, not JSON, or a number of thousands of digits
        raise PolicyError(f"{source}: not a JSON file: {error}") from None


def nesting(text: str) -> int:
    """Return how deep brackets stand within brackets."""
    deepest = depth = 0
    for match in BRACKET.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match.group()[0], 0)
        deepest = max(deepest, depth)
    return deepest


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of policy.json, generated from the classes that check it.

    >>> from autoaug.policy import json_schema
    >>> json_schema()["$id"]
    'autoaug.policy/1'
    """
    return PolicyTree.model_json_schema(by_alias=True)
