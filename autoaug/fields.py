"""What a field or an argument may hold: declared by its type and a rule, and checked when the value is given.

    @dataclass(frozen=True)
    class Recipe:
        epochs: Annotated[int, at_least(1)] = 30
        momentum: Annotated[float, Within(0, 1, "[)")] = 0.9
        nesterov: bool = True

        def __post_init__(self) -> None:
            check_fields(self)

The type says the kind, and its rule the range. Scalars of numpy become Python's; a bool is no number, and neither are
NaN and infinity; None is allowed where the type says so. A number or a text without a rule is an error of the class.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import lru_cache, wraps
from numbers import Real
from pathlib import Path
from re import escape, fullmatch
from reprlib import Repr
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

Rule = Callable[[Any], Any]
"""A value to the same in plain Python; raises `Refused`, or a ValueError with a message of its own."""

Function = TypeVar("Function", bound=Callable[..., Any])
Narrowed = TypeVar("Narrowed", "Within", "Matching")

MOST_WHOLE = 2**31 - 1
"""Of a whole number whose rule names no upper end: what a column of a database holds."""


class Refused(ValueError):
    """A value that a rule does not take; the message is what to give instead, as it follows the word "give"."""


@dataclass(frozen=True)
class Within:
    """Take finite numbers from `low` to `high`."""

    low: float = -math.inf
    high: float = math.inf
    ends: Literal["[]", "[)", "(]", "()"] = "[]"
    """Square brackets belong to the range, round ones do not."""
    says: str = ""
    """What to give, where the range alone says too little."""

    def holds(self, value: float) -> bool:
        """Whether a number lies in the range."""
        above = self.low <= value if self.ends[0] == "[" else self.low < value
        return above and (value <= self.high if self.ends[1] == "]" else value < self.high)

    def words(self, noun: str) -> str:
        """Return what to give: `noun` is "number" or "whole number"."""
        if self.says:
            return self.says
        if self.high == math.inf:
            return f"a {noun} {'of at least' if self.ends[0] == '[' else 'above'} {self.low:g}"
        if self.ends == "[]":
            return f"a {noun} from {self.low:g} to {self.high:g}"
        return f"a {noun} in {self.ends[0]}{self.low:g}, {self.high:g}{self.ends[1]}"


@dataclass(frozen=True)
class Matching:
    """Take texts that match a regular expression as a whole."""

    pattern: str
    says: str

    def holds(self, value: Any) -> bool:
        """Whether this is a text that matches."""
        return isinstance(value, str) and fullmatch(self.pattern, value) is not None


def among(*names: str) -> Matching:
    """Return a rule that takes one of these names."""
    return Matching("|".join(map(escape, names)), says=", ".join(names))


def at_least(low: float, says: str = "") -> Within:
    """Return a range of finite numbers from `low` on."""
    return Within(low, says=says)


def above(low: float, says: str = "") -> Within:
    """Return a range of finite numbers greater than `low`."""
    return Within(low, ends="()", says=says)


SEED = Within(-(2**63), 2**63 - 1, says="a whole number of at most 63 bits")
TEXT = Matching(r"[^\0]*[^\0\s][^\0]*", "a text that is not blank and holds no NUL")


def as_field(kind: str, name: str, value: Any, fix: str) -> str:
    """Return the message of a refusal of a field: "Recipe.epochs is 0: give ..."."""
    return f"{kind}.{name} is {short(value)}: give {fix}"


def as_argument(kind: str, name: str, value: Any, fix: str) -> str:
    """Return the message of a refusal of an argument: "Recipe(epochs=0): give ..."."""
    return f"{kind}({name}={short(value)}): give {fix}"


def check_fields(config: Any, message: Callable[[str, str, Any, str], str] = as_field) -> None:
    """Check every field of a dataclass by its rule, and make its value plain Python.

    Args:
        message: the words of a refusal, from the name of the class, the field, its value and what to give.

    Raises:
        ValueError: it names the value, the field and what to give.
        TypeError: a field of the class has no rule.
    """
    kind: Any = type(config)
    for name, rule in rules_of(kind).items():
        value = getattr(config, name)
        checked_value = check_value(rule, kind.__name__, name, value, message)
        if checked_value is not value:
            object.__setattr__(config, name, checked_value)


def checked(function: Function) -> Function:
    """Check the arguments of a function, or of an `__init__`, that are declared as fields are. The others pass.

    Raises:
        ValueError: when it is called; it names the value, the argument and what to give.
    """
    signature, rules = inspect.signature(function), rules_of_arguments(function)
    kind = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        for name in rules.keys() & bound.arguments.keys():
            bound.arguments[name] = check_value(rules[name], kind, name, bound.arguments[name], as_argument)
        return function(*bound.args, **bound.kwargs)

    return cast(Function, call)


def check_value(rule: Rule, kind: str, name: str, value: Any, message: Callable[[str, str, Any, str], str]) -> Any:
    """Return what a rule makes of a value; raise ValueError with the message of a refusal."""
    try:
        return rule(value)
    except Refused as refused:
        raise ValueError(message(kind, name, value, str(refused))) from None


@lru_cache
def rules_of(config: type) -> dict[str, Rule]:
    """Return the rule of each field of a dataclass, by name.

    Raises:
        TypeError: a field has none.
    """
    hints = get_type_hints(config, include_extras=True)
    names = [field.name for field in fields(config)]
    return {name: declared(hints[name], f"{config.__name__}.{name}") for name in names}


def rules_of_arguments(function: Callable[..., Any]) -> dict[str, Rule]:
    """Return the rule of each argument that is declared as fields are."""
    hints = get_type_hints(function, include_extras=True)
    ruled = {name: hint for name, hint in hints.items() if get_origin(hint) in (Annotated, Literal) or hint is bool}
    return {name: declared(hint, name) for name, hint in ruled.items()}


def declared(hint: Any, name: str) -> Rule:
    """Return the rule that a type and its annotation declare; `name` begins the error where there is none."""
    try:
        return rule_of(hint)
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None


def rule_of(hint: Any, narrowed: Any = None) -> Rule:
    """Return the rule of a type that an annotation narrows.

    It is narrowed by `Within`, by `Matching`, or by a function that is the whole rule.
    """
    if get_origin(hint) is Annotated:
        return rule_of(hint.__origin__, hint.__metadata__[0])
    if get_origin(hint) in (Union, UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not NoneType]
        rule = narrowed if callable(narrowed) else any_of([rule_of(kind, narrowed) for kind in kinds])
        return or_none(rule) if NoneType in get_args(hint) else rule
    if callable(narrowed):
        return cast(Rule, narrowed)
    make = next((make for kind, make in KINDS.items() if kind in (hint, get_origin(hint))), None)
    if make is None and (hint is Any or not isinstance(hint, type)):
        raise TypeError(f"{hint} has no rule: annotate it with one")
    return make(hint, narrowed) if make else instance(hint)


def any_of(rules: list[Rule]) -> Rule:
    """Return a rule that is the first of several to take a value."""

    def rule(value: Any) -> Any:
        fixes = []
        for alternative in rules:
            try:
                return alternative(value)
            except Refused as refused:
                fixes.append(str(refused))
        raise Refused(" or ".join(dict.fromkeys(fixes)))

    return rule


def or_none(rule: Rule) -> Rule:
    """Return a rule that takes None too."""

    def check(value: Any) -> Any:
        try:
            return None if value is None else rule(value)
        except Refused as refused:
            raise Refused(f"{refused}, or None") from None

    return check


def whole(hint: Any, narrowed: Any) -> Rule:
    """Return the rule of a whole number; neither a bool nor a float that happens to be whole is one."""
    within = needed(Within, narrowed, hint)
    most = MOST_WHOLE if within.high == math.inf else within.high

    def rule(value: Any) -> int:
        fix = within.words("whole number")
        if isinstance(value, bool) or not isinstance(value, int) or not within.holds(value):
            raise Refused(fix)
        if value > most:
            raise Refused(f"{fix}, and at most {most}")
        return value

    return of_plain(rule)


def real(hint: Any, narrowed: Any) -> Rule:
    """Return the rule of a finite number, which becomes a float."""
    within = needed(Within, narrowed, hint)

    def rule(value: Any) -> float:
        number = finite(value)
        if number is None or not within.holds(number):
            raise Refused(within.words("number"))
        return number

    return of_plain(rule)


def text(hint: Any, narrowed: Any) -> Rule:
    """Return the rule of a text."""
    matching = needed(Matching, narrowed, hint)

    def rule(value: Any) -> Any:
        if not matching.holds(value):
            raise Refused(matching.says)
        return value

    return of_plain(rule)


def flag(hint: Any, narrowed: Any) -> Rule:
    """Return the rule of a bool."""

    def rule(value: Any) -> bool:
        if not isinstance(value, bool):
            raise Refused("True or False")
        return value

    return of_plain(rule)


def one_of(hint: Any, narrowed: Any) -> Rule:
    """Return the rule of a `Literal`: one of its texts."""
    *most, last = map(repr, get_args(hint))
    fix = f"{', '.join(most)} or {last}" if most else last

    def rule(value: Any) -> str:
        if not isinstance(value, str) or value not in get_args(hint):
            raise Refused(fix)
        return value

    return of_plain(rule)


def path(hint: Any, narrowed: Any) -> Rule:
    """Return the rule of a path, or a text that is one."""

    def rule(value: Any) -> Path:
        text = str(value) if isinstance(value, Path) else value
        if not TEXT.holds(text):
            raise Refused("a path")
        return Path(text)

    return of_plain(rule)


def several(hint: Any, narrowed: Any) -> Rule:
    """Return the rule of a tuple, or a list instead, of values that differ and have a rule of their own."""
    item_rule = rule_of(get_args(hint)[0])

    def rule(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise Refused("a tuple")
        items = tuple(map(item_rule, value))
        if any(item in items[:k] for k, item in enumerate(items)):
            raise Refused("each of them once")
        return items

    return rule


def by_name(hint: Any, narrowed: Any) -> Rule:
    """Return the rule of a mapping from texts, of which a copy is kept."""

    def rule(value: Any) -> Any:
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise Refused("a dict by name")
        return {name: plain(entry) for name, entry in value.items()}

    return rule


def function(hint: Any, narrowed: Any) -> Rule:
    """Return the rule of what can be called."""

    def rule(value: Any) -> Any:
        if not callable(value):
            raise Refused("a function")
        return value

    return rule


def instance(kind: type) -> Rule:
    """Return the rule of instances of a class."""

    def rule(value: Any) -> Any:
        if not isinstance(value, kind):
            raise Refused(f"{kind.__name__}(...)")
        return value

    return rule


KINDS: dict[Any, Callable[[Any, Any], Rule]] = {
    bool: flag,
    int: whole,
    float: real,
    str: text,
    Literal: one_of,
    Path: path,
    tuple: several,
    Mapping: by_name,
    dict: by_name,
    Callable: function,
}
"""What makes the rule of a type; of a generic one, what it is made of."""


def needed(kind: type[Narrowed], narrowed: Any, hint: Any) -> Narrowed:
    """Return what narrows a type; raise TypeError where it is missing or of another kind."""
    if not isinstance(narrowed, kind):
        raise TypeError(f"{hint.__name__} has no rule: annotate it with {kind.__name__}(...)")
    return narrowed


def of_plain(rule: Rule) -> Rule:
    """Return the same rule, applied to what a scalar of numpy is in Python."""
    return lambda value: rule(plain(value))


def plain(value: Any) -> Any:
    """Return a scalar of numpy as Python's own; anything else as it is."""
    import numpy as np  # late: the help of the command line reads fields, and checks none

    scalar = isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0)
    return value.item() if scalar else value


def finite(value: Any) -> float | None:
    """Return a finite number as a float; None for anything else, a bool included."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    with suppress(OverflowError):  # a whole number beyond every float
        if math.isfinite(value):
            return float(value)
    return None


def short(value: Any) -> str:
    """Return a representation of bounded length, whatever the value."""
    shortener = Repr()
    shortener.maxstring = shortener.maxother = 80
    try:
        return " ".join(shortener.repr(value).split())
    except ValueError:  # Python writes no whole number of more than a few thousand digits
        return f"{type(value).__name__} of more digits than can be shown"
