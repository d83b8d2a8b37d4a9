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
"""A value to the same in plain Python; raises `Refused`, or a ValueError that says all there is to say."""

Function = TypeVar("Function", bound=Callable[..., Any])
Narrowed = TypeVar("Narrowed", "Within", "Matching")

MOST_WHOLE = 2**31 - 1
"""Of a whole number whose rule names no upper end: what a column of a database holds."""


class Refused(ValueError):
    """What should stand there instead, as it follows the word "give"."""


@dataclass(frozen=True)
class Within:
    """Finite numbers from `low` to `high`."""

    low: float = -math.inf
    high: float = math.inf
    ends: Literal["[]", "[)", "(]", "()"] = "[]"
    """Square brackets belong to the range, round ones do not."""
    says: str = ""
    """What to give, where the range alone says too little."""

    def holds(self, value: float) -> bool:
        above = self.low <= value if self.ends[0] == "[" else self.low < value
        return above and (value <= self.high if self.ends[1] == "]" else value < self.high)

    def words(self, noun: str) -> str:
        """What to give: `noun` is "number" or "whole number"."""
        if self.says:
            return self.says
        if self.high == math.inf:
            return f"a {noun} {'of at least' if self.ends[0] == '[' else 'above'} {self.low:g}"
        if self.ends == "[]":
            return f"a {noun} from {self.low:g} to {self.high:g}"
        return f"a {noun} in {self.ends[0]}{self.low:g}, {self.high:g}{self.ends[1]}"


@dataclass(frozen=True)
class Matching:
    """Texts that match a regular expression as a whole."""

    pattern: str
    says: str

    def holds(self, value: Any) -> bool:
        return isinstance(value, str) and fullmatch(self.pattern, value) is not None


def among(*names: str) -> Matching:
    """One of these names."""
    return Matching("|".join(map(escape, names)), says=", ".join(names))


def at_least(low: float, says: str = "") -> Within:
    """Finite numbers from `low` on."""
    return Within(low, says=says)


def above(low: float, says: str = "") -> Within:
    """Finite numbers greater than `low`."""
    return Within(low, ends="()", says=says)


SEED = Within(-(2**63), 2**63 - 1, says="a whole number of at most 63 bits")
TEXT = Matching(r"[^\0]*[^\0\s][^\0]*", "a text that is not blank and holds no NUL")


def as_field(kind: str, name: str, value: Any, fix: str) -> str:
    """How a refusal of a field is said."""
    return f"{kind}.{name} is {short(value)}: give {fix}"


def as_argument(kind: str, name: str, value: Any, fix: str) -> str:
    """How a refusal of an argument is said."""
    return f"{kind}({name}={short(value)}): give {fix}"


def check_fields(config: Any, said: Callable[[str, str, Any, str], str] = as_field) -> None:
    """Check every field of a dataclass by its rule, and make its value plain Python.

    Args:
        said: the words of a refusal, from the name of the class, the field, its value and what to give.

    Raises:
        ValueError: it names the value, the field and what to give.
        TypeError: a field of the class has no rule.
    """
    kind: Any = type(config)
    for name, rule in rules_of(kind).items():
        given = getattr(config, name)
        found = check_value(rule, kind.__name__, name, given, said)
        if found is not given:
            object.__setattr__(config, name, found)


def checked(function: Function) -> Function:
    """Check the arguments of a function, or of an `__init__`, that are declared as fields are. The others pass.

    Raises:
        ValueError: when it is called; it names the value, the argument and what to give.
    """
    signature, rules = inspect.signature(function), rules_of_arguments(function)
    kind = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        for name in rules.keys() & given.arguments.keys():
            given.arguments[name] = check_value(rules[name], kind, name, given.arguments[name], as_argument)
        return function(*given.args, **given.kwargs)

    return cast(Function, call)


def check_value(rule: Rule, kind: str, name: str, given: Any, said: Callable[[str, str, Any, str], str]) -> Any:
    try:
        return rule(given)
    except Refused as refused:
        raise ValueError(said(kind, name, given, str(refused))) from None


@lru_cache
def rules_of(config: type) -> dict[str, Rule]:
    """The rule of each field of a dataclass, by name.

    Raises:
        TypeError: a field has none.
    """
    hints = get_type_hints(config, include_extras=True)
    names = [field.name for field in fields(config)]
    return {name: declared(hints[name], f"{config.__name__}.{name}") for name in names}


def rules_of_arguments(function: Callable[..., Any]) -> dict[str, Rule]:
    hints = get_type_hints(function, include_extras=True)
    told = {name: hint for name, hint in hints.items() if get_origin(hint) in (Annotated, Literal) or hint is bool}
    return {name: declared(hint, name) for name, hint in told.items()}


def declared(hint: Any, place: str) -> Rule:
    """The rule that a type and its annotation declare."""
    try:
        return rule_of(hint)
    except TypeError as error:
        raise TypeError(f"{place}: {error}") from None


def rule_of(hint: Any, narrowed: Any = None) -> Rule:
    """The rule of a type that an annotation narrows: `Within`, `Matching`, or a function that is the whole rule."""
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
    """What the first rule that takes the value makes of it."""

    def rule(value: Any) -> Any:
        fixes = []
        for each in rules:
            try:
                return each(value)
            except Refused as refused:
                fixes.append(str(refused))
        raise Refused(" or ".join(dict.fromkeys(fixes)))

    return rule


def or_none(rule: Rule) -> Rule:
    def check(value: Any) -> Any:
        try:
            return None if value is None else rule(value)
        except Refused as refused:
            raise Refused(f"{refused}, or None") from None

    return check


def whole(hint: Any, narrowed: Any) -> Rule:
    """A whole number; neither a bool nor a float that happens to be whole."""
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
    """A finite number, as a float."""
    within = needed(Within, narrowed, hint)

    def rule(value: Any) -> float:
        number = finite(value)
        if number is None or not within.holds(number):
            raise Refused(within.words("number"))
        return number

    return of_plain(rule)


def text(hint: Any, narrowed: Any) -> Rule:
    matching = needed(Matching, narrowed, hint)

    def rule(value: Any) -> Any:
        if not matching.holds(value):
            raise Refused(matching.says)
        return value

    return of_plain(rule)


def flag(hint: Any, narrowed: Any) -> Rule:
    def rule(value: Any) -> bool:
        if not isinstance(value, bool):
            raise Refused("True or False")
        return value

    return of_plain(rule)


def one_of(hint: Any, narrowed: Any) -> Rule:
    """One of the texts of a `Literal`."""
    *most, last = map(repr, get_args(hint))
    fix = f"{', '.join(most)} or {last}" if most else last

    def rule(value: Any) -> str:
        if not isinstance(value, str) or value not in get_args(hint):
            raise Refused(fix)
        return value

    return of_plain(rule)


def path(hint: Any, narrowed: Any) -> Rule:
    def rule(value: Any) -> Path:
        place = str(value) if isinstance(value, Path) else value
        if not TEXT.holds(place):
            raise Refused("a path")
        return Path(place)

    return of_plain(rule)


def several(hint: Any, narrowed: Any) -> Rule:
    """A tuple, or a list in its place, of values that differ from each other and have a rule of their own."""
    each = rule_of(get_args(hint)[0])

    def rule(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise Refused("a tuple")
        found = tuple(map(each, value))
        if any(one in found[:k] for k, one in enumerate(found)):
            raise Refused("each of them once")
        return found

    return rule


def by_name(hint: Any, narrowed: Any) -> Rule:
    """A mapping from texts, of which a copy is kept."""

    def rule(value: Any) -> Any:
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise Refused("a dict by name")
        return {name: plain(each) for name, each in value.items()}

    return rule


def function(hint: Any, narrowed: Any) -> Rule:
    def rule(value: Any) -> Any:
        if not callable(value):
            raise Refused("a function")
        return value

    return rule


def instance(kind: type) -> Rule:
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
    if not isinstance(narrowed, kind):
        raise TypeError(f"{hint.__name__} has no rule: annotate it with {kind.__name__}(...)")
    return narrowed


def of_plain(rule: Rule) -> Rule:
    """The same rule, of what a scalar of numpy is in Python."""
    return lambda value: rule(plain(value))


def plain(value: Any) -> Any:
    """A scalar of numpy as Python's own; anything else as it is."""
    import numpy as np  # late: the help of the command line reads fields, and checks none

    scalar = isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0)
    return value.item() if scalar else value


def finite(value: Any) -> float | None:
    """A finite number as a float; None of anything else, a bool included."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    with suppress(OverflowError):  # a whole number beyond every float
        if math.isfinite(value):
            return float(value)
    return None


def short(value: Any) -> str:
    """A representation of bounded length, whatever the value."""
    shortener = Repr()
    shortener.maxstring = shortener.maxother = 80
    try:
        return " ".join(shortener.repr(value).split())
    except ValueError:  # Python writes no whole number of more than a few thousand digits
        return f"{type(value).__name__} of more digits than can be shown"
