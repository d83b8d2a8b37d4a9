"""Options of a command that are the fields of a dataclass: each is written once, where it is read."""

from collections.abc import Callable, Iterator
from dataclasses import fields
from inspect import Parameter, Signature, signature
from typing import Annotated, Any, TypeVar, get_origin, get_type_hints

import typer

from autoaug.artifacts import Location
from autoaug.options import Help

Command = TypeVar("Command", bound=Callable[..., Any])


def options_of(config: type) -> Callable[[Command], Command]:
    """Return a decorator that gives a command an option for each field of a dataclass that has a `Help`.

    The command takes their values as `**` arguments. In its help they stand before its keyword-only parameters.
    """

    def declare(command: Command) -> Command:
        parameters = signature(command).parameters.values()
        first = [parameter for parameter in parameters if parameter.kind is Parameter.POSITIONAL_OR_KEYWORD]
        last = [parameter for parameter in parameters if parameter.kind is Parameter.KEYWORD_ONLY]
        command.__dict__["__signature__"] = Signature([*first, *field_options(config), *last])
        return command

    return declare


def field_options(config: type) -> Iterator[Parameter]:
    """Return a parameter as typer reads it for each field that has a `Help`, in their order."""
    types, annotated = get_type_hints(config), get_type_hints(config, include_extras=True)
    for field in fields(config):
        texts = [note for note in getattr(annotated[field.name], "__metadata__", ()) if isinstance(note, Help)]
        for text in texts:
            hint, default = as_typer_takes_it(types[field.name], field.default)
            option = Annotated[hint, make_option(field.name, hint, text)]  # type: ignore[valid-type]
            yield Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=option)


def as_typer_takes_it(hint: Any, default: Any) -> tuple[Any, Any]:
    """Return a type and a default of a field in the terms of typer.

    For it, what may be repeated is a list, and a folder or a URL is a text. Items of a list come as texts too: the rule
    of the field reads them.
    """
    if get_origin(hint) is tuple:
        return list[str], []
    return (str, str(default)) if hint == Location else (hint, default)


def make_option(name: str, hint: Any, help: Help) -> typer.models.OptionInfo:
    """Return an option with the words of a field; that of a bool has no opposite such as `--no-fresh`."""
    flag = (f"--{name.replace('_', '-')}",) if hint is bool else ()
    return typer.Option(*flag, metavar=help.metavar, help=help.text, rich_help_panel=help.panel)
