"""Which dimensions of a point mean something: a point holds what its kinds use, and nothing is silently inert."""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from itertools import product
from typing import Any, NamedTuple

from optuna.distributions import BaseDistribution, CategoricalDistribution

from autoaug.learners import check_begun, check_learned
from autoaug.lookup import lookup, suggest
from autoaug.mixing import MIXES, takes
from autoaug.strategies import Condition, Space
from autoaug.train import MIX_WHEN, OPTIMISER_FIELDS, SCHEDULES, Task, divided, fields_read

AMOUNTS = ("alpha", "size", "sigma", "epsilon", "probability")
"""Parameters of a mix of which 0 is no mixing. One of mixup's without a kind means mixup."""

OF_ITS_CLASS, OF_NEIGHBOURS = ("class", "class-neighbours"), ("neighbours", "class-neighbours")
"""Partners whose label is a sample's own; partners that are among the nearest."""

Conditions = Mapping[str, Condition]


def mix_conditions(fixed: Mapping[str, Any]) -> dict[str, Condition]:
    """Return when each parameter of a mix means something: where its kind takes it, and anything is mixed at all.

    Args:
        fixed: what of the mix does not vary.
    """
    names = dict.fromkeys(name for kind in MIXES for name in (*AMOUNTS, *takes(kind), *MIX_WHEN))
    return {f"mix.{name}": mix_condition(name, fixed) for name in names}


def means(name: str, kind: str) -> bool:
    """Whether a parameter of a mix means anything to a kind: it is its own, or says when a mix is on."""
    return bool(takes(kind)) if name in MIX_WHEN else name in takes(kind)


def mix_condition(name: str, fixed: Mapping[str, Any]) -> Condition:
    """Return when one parameter of a mix means something; `fixed` is what of the mix does not vary."""
    amounts = AMOUNTS[: AMOUNTS.index(name)] if name in AMOUNTS else AMOUNTS
    deciders = (*amounts, *([BY_OTHER[name].decider] if name in BY_OTHER else []))

    def inert(point: Mapping[str, Any]) -> str:
        settings = {**fixed, **part("mix", point)}
        kind = settings.get("kind", "mixup")
        if not means(name, kind):
            return f"mix {kind!r} takes no {name}"
        zero = (f"mix.{amount} is 0" for amount in amounts if amount in takes(kind) and settings.get(amount) == 0)
        return next(zero, "") or by_other(name, kind, settings)

    return Condition(("mix.kind", *(f"mix.{decider}" for decider in deciders)), inert)


def by_other(name: str, kind: str, settings: Mapping[str, Any]) -> str:
    """Return why another parameter makes one meaningless; empty where none does, or where the kind has no such one."""
    rule = BY_OTHER.get(name)
    return rule.inert(settings.get(rule.decider, rule.usual)) if rule and rule.decider in takes(kind) else ""


class Other(NamedTuple):
    """Say by which other parameter of a mix one can be meaningless."""

    decider: str
    usual: Any
    """The value of that one where nobody sets it."""
    inert: Callable[[Any], str]
    """From its value to why; empty where the parameter means something."""


def of_one_label(partner: str) -> str:
    """Return why it means nothing whose label a mixed sample gets."""
    return "partners of the same class have the same label" if partner in OF_ITS_CLASS else ""


def not_nearest(partner: str) -> str:
    """Return why it means nothing how many neighbours there are."""
    return "" if partner in OF_NEIGHBOURS else f"mix.partner is {partner!r}, not one of the nearest"


def not_moved(transport: bool) -> str:
    """Return why it means nothing how blocks are moved."""
    return "" if transport else "mix.transport is False"


def not_attacked(chance: float) -> str:
    """Return why it means nothing how far pixels are moved against the network."""
    return "" if chance else "mix.adv_p is 0"


BY_OTHER: dict[str, Other] = {
    "labels": Other("partner", "batch", of_one_label),
    "k": Other("partner", "batch", not_nearest),
    "t_eps": Other("transport", True, not_moved),
    "t_size": Other("transport", True, not_moved),
    "adv_eps": Other("adv_p", 0.0, not_attacked),
}
"""Parameters that others make meaningless, and why."""


def task_conditions(task: Task) -> dict[str, Condition]:
    """Return when the fields of a task mean something that others can switch off."""

    def value(name: str, point: Mapping[str, Any]) -> Any:
        return point.get(f"task.{name}", getattr(task, name))

    def zero(decider: str, point: Mapping[str, Any]) -> str:
        return "" if value(decider, point) else f"{decider} is 0"

    def unread(name: str, point: Mapping[str, Any]) -> str:
        chosen = value("optimiser", point)
        kind = "the function in Task.optimiser" if callable(chosen) else f"optimiser {chosen!r}"
        return "" if name in fields_read(chosen) else f"{kind} takes no {name}"

    def undecayed(point: Mapping[str, Any]) -> str:
        return zero("weight_decay", point) if "weight_decay" in fields_read(value("optimiser", point)) else ""

    def lengths(point: Mapping[str, Any]) -> tuple[int, int]:
        epochs, refine_epochs = value("epochs", point), value("refine_epochs", point)
        return divided(epochs, refine_epochs, value("total_epochs", point), value("refine_share", point))

    def unrefined(point: Mapping[str, Any]) -> str:
        if lengths(point)[1]:
            return ""
        divides = value("total_epochs", point) is not None and value("refine_share", point) is not None
        return "refine_share leaves no epoch to refinement" if divides else "refine_epochs is 0"

    def set_by(decider: str, point: Mapping[str, Any]) -> str:
        total = value("total_epochs", point)
        known = total is not None and value(decider, point) is not None
        return f"it follows from total_epochs={total}" if known else ""

    def of_no_total(point: Mapping[str, Any]) -> str:
        return "total_epochs is None" if value("total_epochs", point) is None else ""

    def frozen(point: Mapping[str, Any]) -> str:
        left = sum(lengths(point)) - value("freeze_epochs", point)
        return "freeze_epochs leaves no epoch to the backbone" if left <= 0 else ""

    def nesterov(point: Mapping[str, Any]) -> str:
        return unread("nesterov", point) or zero("momentum", point)

    divides = ("task.total_epochs", "task.refine_share", "task.refine_epochs")
    read = {name: Condition(("task.optimiser",), partial(unread, name)) for name in OPTIMISER_FIELDS}
    others: dict[str, Condition] = {
        "epochs": Condition(("task.total_epochs",), partial(set_by, "total_epochs")),
        "refine_epochs": Condition(("task.total_epochs", "task.refine_share"), partial(set_by, "refine_share")),
        "refine_share": Condition(("task.total_epochs",), of_no_total),
        "refine_lr": Condition(divides, unrefined),
        "refine_standard": Condition(divides, unrefined),
        "warmup_from": Condition(("task.warmup",), partial(zero, "warmup")),
        "decay_norms": Condition(("task.optimiser", "task.weight_decay"), undecayed),
        "nesterov": Condition(("task.optimiser", "task.momentum"), nesterov),
        "backbone_lr": Condition(("task.freeze_epochs", "task.epochs", *divides), frozen),
    }
    fixed = {f"task.{name}": condition for name, condition in {**read, **others}.items()}
    return {**fixed, **schedule_conditions(task)}


def schedule_conditions(task: Task) -> dict[str, Condition]:
    """Return when the settings of a schedule mean something: where the schedule is one that reads them."""

    def inert(name: str, point: Mapping[str, Any]) -> str:
        chosen = point.get("task.schedule", task.schedule)
        if callable(chosen):
            return f"the function in Task.schedule takes no {name}"
        return "" if name in lookup(SCHEDULES, chosen, "schedule").reads else f"schedule {chosen!r} takes no {name}"

    names = dict.fromkeys(name for rule in SCHEDULES.values() for name in rule.reads)
    return {f"task.{name}": Condition(("task.schedule",), partial(inert, name)) for name in names}


def in_order(space: Space, conditions: Conditions) -> Space:
    """Return a space with the dimensions that decide before those that depend on them."""
    ordered: Space = {}

    def add(name: str) -> None:
        for decider in conditions[name].on if name in conditions else ():
            if decider in space and decider not in ordered:
                add(decider)
        ordered[name] = space[name]

    for name in space:
        if name not in ordered:
            add(name)
    return ordered


def never(name: str, space: Space, conditions: Conditions) -> str:
    """Return why a dimension changes nothing in any point of its space; empty where it can."""
    if name not in conditions:
        return ""
    deciders = [decider for decider in conditions[name].on if decider in space]
    reasons = [
        conditions[name].inert(dict(zip(deciders, values, strict=True)))
        for values in product(*(extremes(space[decider]) for decider in deciders))
    ]
    return "" if "" in reasons else reasons[0]


def extremes(rule: BaseDistribution) -> tuple[Any, ...]:
    """Return every choice of a dimension, or both ends of its range."""
    if isinstance(rule, CategoricalDistribution):
        return tuple(rule.choices)
    return rule.low, rule.high  # type: ignore[attr-defined]


def others(rule: BaseDistribution, value: Any) -> Iterator[Any]:
    """Return the choices, or the ends, of a dimension that are not this value."""
    return (other for other in reversed(extremes(rule)) if other != value or type(other) is not type(value))


def part(noun: str, point: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a point sets of one noun, without the noun."""
    return {name.partition(".")[2]: value for name, value in point.items() if name.startswith(f"{noun}.")}


def kinds(space: Space, fixed: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the mixes that a space and what is fixed can make.

    It is mixup where only an amount is given, and none where nothing is.
    """
    if "mix.kind" in space:
        return extremes(space["mix.kind"])
    if "kind" in fixed:
        return (fixed["kind"],)
    return ("mixup",) if means_mixup({*fixed, *part("mix", space)}) else ()


def means_mixup(names: Collection[str]) -> bool:
    """Whether parameters without a kind are those of mixup: one of them must be an amount of it."""
    return any(name in AMOUNTS and name in takes("mixup") for name in names)


def refuse_useless_mix(space: Space, fixed: Mapping[str, Any]) -> None:
    """Refuse a parameter of a mix that none of the kinds that can come up takes, or that is set twice.

    Raises:
        ValueError: there is one, or no such mix; the message names it.
    """
    possible = kinds(space, fixed)
    for kind in possible:
        lookup(MIXES, kind, "mix")
    for name in mix_parameters(space, fixed):
        if name in fixed and f"mix.{name}" in space:
            raise ValueError(f"'mix.{name}' is fixed at {fixed[name]!r} and a dimension of the space: keep one")
        if name != "kind" and not any(means(name, kind) for kind in possible):
            raise ValueError(f"'mix.{name}' would change nothing: {useful(name, possible)}")


def refuse_unlearned_mix(space: Space, fixed: Mapping[str, Any]) -> None:
    """Refuse a mix that a learner is to move and cannot, of those that a space and what is fixed can make.

    Raises:
        ValueError: there is one, or a parameter may begin where no gradient moves it.
    """
    for kind in kinds(space, fixed):
        check_learned(kind)
        for name in (each for each in mix_parameters(space, fixed) if each != "kind" and each in takes(kind)):
            given = (
                (fixed[name],) if name in fixed else extremes(space[f"mix.{name}"]) if f"mix.{name}" in space else ()
            )
            for value in given:
                check_begun(kind, name, value)


def mix_parameters(space: Space, fixed: Mapping[str, Any]) -> Iterator[str]:
    """Yield the parameters of a mix: those that are fixed, then those of the space."""
    yield from fixed
    yield from part("mix", space)


def useful(name: str, possible: tuple[Any, ...]) -> str:
    """Return how a parameter of a mix could mean something."""
    mixes = [kind for kind in MIXES if means(name, kind)]
    if not mixes:
        return f"no mix takes it: {suggest(name, {*MIX_WHEN, *(each for kind in MIXES for each in takes(kind))})}"
    if possible:
        return f"{', '.join(map(repr, possible))} takes no {name}, which is of {', '.join(map(repr, mixes))}"
    alone = ", or 'mix.alpha' for mixup" if "mixup" in mixes else ""
    return f"no mix is named. Give 'mix.kind', or Strategy.mixed(\"{mixes[0]}\", ...){alone}"
