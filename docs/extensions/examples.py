"""Shows the examples of docstrings as code: Markdown would read `>>>` as quotations and `[0]` as links."""

import re
from typing import Any

from griffe import Extension, Object

EXAMPLE = re.compile(r"^(?P<indent> *)>>> .*(?:\n(?P=indent)(?! *$).*)*", re.MULTILINE)
"""A prompt and the lines below it, up to an empty one."""


def fenced(example: re.Match[str]) -> str:
    """Return the lines of an example between fences of a Python console."""
    indent = example["indent"]
    return f"{indent}```pycon\n{example[0]}\n{indent}```"


class Examples(Extension):
    """Puts every example of a docstring between fences."""

    def on_instance(self, *, obj: Object, **_: Any) -> None:
        """Rewrite the docstring of whatever was read."""
        if obj.docstring and ">>> " in obj.docstring.value:
            obj.docstring.value = EXAMPLE.sub(fenced, obj.docstring.value)
