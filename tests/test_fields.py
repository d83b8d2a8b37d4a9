"""Every field of a configuration is checked for kind and range when it is made, and by one mechanism."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from autoaug import Budget, Study, Task
from autoaug.execution import Options
from autoaug.executors import run
from autoaug.fields import TEXT, Matching, Within, above, at_least, check_fields, checked, rules_of
from autoaug.learners import Updates
from autoaug.mixing import MIXES
from autoaug.policy import Relaxed, apply, choice, schedule, sequence
from autoaug.store import Store
from autoaug.strategies import affine_grid, none

TASK = Task(data="digits", model="convnet", epochs=1, batch_size=100)
MADE: tuple[Any, ...] = (
    TASK,
    Budget(trials=1),
    Study(name="s", task=TASK, strategies={"none": none()}, budget=Budget(trials=1)),
    Options(),
)
"""One of each class whose fields users give."""

EVERY_FIELD = [(each, field.name) for each in MADE for field in fields(each)]

IMPOSSIBLE = [-1, math.nan, math.inf, "a\0b", " ", b"x", 10**5000, [1], {1: 2}, object(), 1j, Fraction(-1, 3)]
"""What no field holds."""


@pytest.mark.parametrize(("made", "name"), EVERY_FIELD, ids=lambda value: str(getattr(value, "__name__", value))[:30])
def test_no_field_takes_what_it_cannot_hold(made: Any, name: str) -> None:
    possible = {"seed": [-1], "split_seed": [-1], "gpus": [[1]], "milestones": [[1]]}
    for value in IMPOSSIBLE:
        if value in possible.get(name, []):
            continue
        with pytest.raises(ValueError, match=rf"{name}|{name.replace('_', ' ')}") as error:
            replace(made, **{name: value})
        assert "give" in str(error.value) or "use letters" in str(error.value)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 400


@pytest.mark.parametrize(("made", "name"), EVERY_FIELD, ids=lambda value: str(getattr(value, "__name__", value))[:30])
def test_a_bool_is_no_number_and_nothing_else_is_a_bool(made: Any, name: str) -> None:
    """Of the field's own value: a flag takes only flags, and all others refuse them."""
    flag = isinstance(getattr(made, name), bool)
    for value in (True, np.True_):
        if flag:
            assert getattr(replace(made, **{name: value}), name) is True
        else:
            with pytest.raises(ValueError, match=r"give|use letters"):
                replace(made, **{name: value})
    if flag:
        for value in (1, "no", None):
            with pytest.raises(ValueError, match="give True or False"):
                replace(made, **{name: value})


@pytest.mark.parametrize(("made", "name"), EVERY_FIELD, ids=lambda value: str(getattr(value, "__name__", value))[:30])
def test_numbers_of_numpy_become_pythons(made: Any, name: str) -> None:
    value = getattr(made, name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    kinds: tuple[Any, ...] = (np.int64, np.int16, np.array) if isinstance(value, int) else (np.float64, np.array)
    for kind in kinds:
        found = getattr(replace(made, **{name: kind(value)}), name)
        assert (type(found), found) == (type(value), value)


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: replace(TASK, momentum=5.0), r"^Task.momentum is 5.0: give a number in \[0, 1\)$"),
    (lambda: replace(TASK, momentum=1), r"^Task.momentum is 1: give a number in \[0, 1\)$"),
    (lambda: replace(TASK, weight_decay=math.nan), r"^Task.weight_decay is nan: give a number from 0 to 1$"),
    (
        lambda: replace(TASK, refine_lr=-1),
        r"^Task.refine_lr is -1: give .* above 0, 'last' or 'restart', or None$",
    ),
    (lambda: replace(TASK, nesterov="no"), r"^Task.nesterov is 'no': give True or False$"),
    (lambda: replace(TASK, epochs=True), r"^Task.epochs is True: give a whole number of at least 1$"),
    (lambda: replace(TASK, epochs=np.float64(2)), r"^Task.epochs is np.float64\(2.0\): give a whole number"),
    (lambda: replace(TASK, epochs=10**10), r"^Task.epochs is 10000000000: give .* 1, and at most 2147483647$"),
    (
        lambda: replace(TASK, val_fraction=1),
        r"^Task.val_fraction is 1: give a share of the training images",
    ),
    (lambda: replace(TASK, data=5), r"^Task.data is 5: give the name of a dataset, a path, or a function"),
    (lambda: replace(TASK, model=5), r"^Task.model is 5: give the name of a model or a function$"),
    (lambda: replace(TASK, root=5), r"^Task.root is 5: give the path of a folder$"),
    (lambda: replace(TASK, device="cuda:x"), r"^Task.device is 'cuda:x': give auto, cpu, cuda"),
    (lambda: replace(MADE[2], seeds=True), r"^Study.seeds is True: give the number of final runs, at least 1$"),
    (lambda: replace(MADE[2], seed=1.5), r"^Study.seed is 1.5: give a whole number"),
    (
        lambda: replace(MADE[2], seed=2**63),
        r"^Study.seed is 9223372036854775808: give a whole number of at most 63 bits",
    ),
    (lambda: replace(MADE[2], deploy="last_policy"), r"^Study.deploy is 'last_policy': give a tuple$"),
    (lambda: replace(MADE[2], deploy=["last_policy"] * 2), r"^Study.deploy is \[.*: give each of them once$"),
    (lambda: replace(MADE[2], space={1: FloatDistribution(0, 1)}), r"^Study.space is \{1: .*: give a dict by name$"),
    (lambda: Budget(trials=True), r"^Budget\(trials=True\) buys nothing: give a number of trials"),
    (lambda: Budget(gpu_seconds=math.inf), r"^Budget\(gpu_seconds=inf\) buys nothing: give a number above 0"),
    (lambda: MIXES["mixup"](alpha=True), r"^mix.alpha is True: use a finite number of at least 0"),
    (lambda: MIXES["mixup"](probability="no"), r"^mix.probability is 'no': use a number from 0 to 1$"),
    (lambda: MIXES["hmix"](ratio=None), r"^mix.ratio is None: use a number from 0 to 1$"),
    (lambda: Relaxed(stages=True), r"^Relaxed\(stages=True\): give a whole number of at least 1$"),
    (lambda: Relaxed(temperature=math.nan), r"^Relaxed\(temperature=nan\): give a number above 0$"),
    (lambda: affine_grid(reach="far"), r"^affine_grid\(reach='far'\): give a number above 0 and up to 1$"),
    (lambda: Updates(every=True), r"^Updates.every is True: give a whole number of at least 1$"),
    (lambda: Options(only="none"), r"^only is 'none': give a tuple$"),
    (lambda: Options(retest=1), r"^retest is 1: give True or False$"),
    (lambda: apply("rotate", np.float32(math.nan)), r"^apply\(\) at strength: nan is neither"),
    (lambda: apply("rotate", np.True_), r"^apply\(\) at strength: True is neither"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_a_refusal_names_the_value_the_place_and_the_fix(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_storage_that_is_refused_is_not_shown() -> None:
    with pytest.raises(ValueError, match=r"^Study.storage is a str that is no storage URL: give a URL") as error:
        replace(MADE[2], storage="postgresql://process_name:hunter2@h/d\0")
    assert "hunter2" not in str(error.value)
    with pytest.raises(ValueError, match=r"^Study.storage is a int that is no storage URL"):
        replace(MADE[2], storage=5)


def test_paths_are_taken_for_texts_and_texts_for_paths(tmp_path: Path) -> None:
    assert replace(TASK, data=tmp_path).data == str(tmp_path)
    assert replace(TASK, data=Path("digits")).data == "./digits", "a folder, not the dataset of that name"
    assert replace(TASK, root=tmp_path).root == str(tmp_path)
    assert Options(artifacts=str(tmp_path), project="x", only=["a"]) == Options(
        artifacts=tmp_path, project=Path("x"), only=("a",)
    )


def test_a_tree_takes_numbers_of_numpy() -> None:
    assert apply("rotate", np.float32(0.5), np.float16(0.5), mirror=np.True_, most=np.int64(30)) == apply(
        "rotate", 0.5, 0.5, mirror=True, most=30
    )
    assert apply("rotate", (np.float64(0.25), np.int8(1))).strength == (0.25, 1.0)
    assert choice([(np.int64(1), sequence())]).options[0].weight == 1.0
    assert schedule([(np.int64(1), sequence())]).steps[0].epoch == 1


def test_choices_of_numpy_are_searched_and_stored_as_pythons(store: Store, options: Options) -> None:
    with pytest.warns(UserWarning, match="persistent storage but contains"):
        sizes, kinds = (CategoricalDistribution(np.array(each)) for each in ([50, 100], ["none", "mixup"]))
    study = Study(
        name="s",
        task=TASK,
        space={"task.batch_size": sizes},
        strategies={"none": none()._replace(space={"mix.kind": kinds})},
        budget=Budget(trials=np.int64(2)),
        seeds=np.int64(1),
    )
    assert {type(each) for rule in study.space_of("none").values() for each in rule.choices} == {int, str}
    run(study, store, options=options)
    assert {outcome.state for outcome in store.outcomes("s")} == {"COMPLETE"}
    assert {type(outcome.point["task.batch_size"]) for outcome in store.outcomes("s")} == {int}
    run(study, store, options=options)


@pytest.mark.parametrize("end", [math.nan, math.inf])
def test_a_range_ends_at_numbers(end: float) -> None:
    with pytest.raises(ValueError, match=r"^dimension 'task.lr' in study 's' is Float.*: give finite ends$"):
        replace(MADE[2], space={"task.lr": FloatDistribution(0.1, end)})


# The mechanism


@pytest.mark.parametrize("kind", [int, float, str, int | None, tuple[int, ...], Any])
def test_a_field_without_a_rule_is_an_error_of_the_class(kind: Any) -> None:
    @dataclass(frozen=True)
    class Careless:
        wild: kind = 1

        def __post_init__(self) -> None:
            check_fields(self)

    with pytest.raises(TypeError, match=r"^Careless.wild: .*has no rule: annotate it"):
        Careless()


@pytest.mark.parametrize("made", MADE, ids=lambda made: type(made).__name__)
def test_every_field_has_a_rule(made: Any) -> None:
    assert list(rules_of(type(made))) == [field.name for field in fields(made)]


@pytest.mark.parametrize(
    ("within", "inside", "outside", "words"),
    [
        (Within(0, 1), (0, 0.5, 1), (-0.1, 1.1), "a number from 0 to 1"),
        (Within(0, 1, "[)"), (0, 0.5), (-0.1, 1), "a number in [0, 1)"),
        (Within(0, 1, "(]"), (0.5, 1), (0, 1.1), "a number in (0, 1]"),
        (above(2), (2.1, 1e300), (2, -1), "a number above 2"),
        (at_least(2), (2, 1e300), (1.9,), "a number of at least 2"),
    ],
)
def test_a_range_holds_its_square_ends(within: Within, inside: Any, outside: Any, words: str) -> None:
    assert all(map(within.holds, inside))
    assert not any(map(within.holds, outside))
    assert within.words("number") == words


@checked
def called(
    count: Annotated[int, at_least(1)],
    name: Annotated[str | None, TEXT] = None,
    *,
    code: Annotated[str, Matching("[a-z]{3}", says="three letters")] = "abc",
    anything: Any = None,
) -> tuple[Any, ...]:
    return count, name, code, anything


def test_arguments_are_checked_as_fields_are() -> None:
    assert called(np.int64(3), anything=np.int64(1)) == (3, None, "abc", np.int64(1))
    assert type(called(np.int64(3))[0]) is int
    with pytest.raises(ValueError, match=r"^called\(count=0\): give a whole number of at least 1$"):
        called(0)
    with pytest.raises(ValueError, match=r"^called\(name=' '\): give a text that is not blank .*, or None$"):
        called(1, " ")
    with pytest.raises(ValueError, match=r"^called\(code='a1'\): give three letters$"):
        called(1, code="a1")
    with pytest.raises(TypeError, match="missing"):
        called()
