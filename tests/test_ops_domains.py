"""The sets of operations for kinds of images: their names are rows, their reasons hold, and policies can be made."""

import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Generator

from autoaug.ops import OPS
from autoaug.policy import op_masses
from autoaug.strategies import madao, randaugment, random_policy, trivialaugment
from autoaug.testing import photographs

FILES = sorted(path.stem for path in (Path(__file__).parent.parent / "search_spaces").glob("ops_*.py"))


@pytest.fixture(params=FILES)
def domain(request: pytest.FixtureRequest) -> ModuleType:
    return import_module(f"search_spaces.{request.param}")


def ops_of(domain: ModuleType) -> tuple[str, ...]:
    ops: tuple[str, ...] = getattr(domain, domain.__name__.partition(".")[2].upper())
    return ops


def left_out(domain: ModuleType) -> set[str]:
    """The operations that the first words of the list in its docstring name."""
    bullets = re.findall(r"^- (.*?):", domain.__doc__ or "", re.MULTILINE | re.DOTALL)
    return {name for bullet in bullets for name in re.findall(r"`(\w+)`", bullet)}


def test_there_are_five() -> None:
    assert FILES == ["ops_documents", "ops_medical", "ops_microscopy", "ops_photos", "ops_satellite"]


def test_a_set_holds_rows_once_and_none_that_it_says_it_leaves_out(domain: ModuleType) -> None:
    ops = ops_of(domain)
    assert len(set(ops)) == len(ops) >= 10
    assert set(ops) <= set(OPS)
    assert left_out(domain)
    assert left_out(domain) <= set(OPS)
    assert not left_out(domain) & set(ops)


def test_a_set_makes_policies_that_run(domain: ModuleType) -> None:
    ops = ops_of(domain)
    images = photographs(batch=2 * len(ops), height=20, width=24)
    for strategy, point in (
        (randaugment(ops=ops), {"n": 2, "m": 0.5}),
        (trivialaugment(ops), {}),
        (random_policy(ops), {}),
    ):
        policy = strategy.policy(**point)
        assert set(op_masses(policy.tree())) == set(ops)
        changed = policy(images, Generator().manual_seed(0))
        assert changed.shape == images.shape
        assert changed.isfinite().all()
        assert not torch.equal(changed, images)


def test_what_draws_nothing_of_a_set_can_be_learnt(domain: ModuleType) -> None:
    movable = [name for name in ops_of(domain) if not OPS[name].random]
    assert [op.name for op in madao(ops=movable).policy().ops] == movable


@pytest.mark.parametrize("make", [randaugment, random_policy, trivialaugment])
def test_an_unknown_operation_is_refused_when_the_strategy_is_made(make) -> None:
    with pytest.raises(ValueError, match="unknown op 'gausian_blur': did you mean 'gaussian_blur'"):
        make(ops=("rotate", "gausian_blur"))
    with pytest.raises(ValueError, match="at least one"):
        make(ops=())
