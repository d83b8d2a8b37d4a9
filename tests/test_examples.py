"""The examples of training loops: what they add to a script is counted, and the loop of the README trains."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from optuna.distributions import FloatDistribution
from test_docs import DOCS, ROOT, fences
from torch import Tensor, nn
from torch.nn import functional as F

from autoaug import Budget, Study
from autoaug.executors import run
from autoaug.store import Store
from autoaug.strategies import none, online_score, trivialaugment

EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))

MOST_LINES = 60
"""Of an example: more is no longer read."""


def added(path: Path) -> int:
    """How many lines of an example a script without a study has not: they are marked at their end."""
    return sum(line.endswith("# +") for line in path.read_text().splitlines())


def counted() -> dict[str, int]:
    """The lines that examples add, as the guide states them in its table."""
    rows = re.findall(r"^\| `examples/(\S+\.py)` \|.*\| (\d+) \|$", (DOCS / "how-to" / "own-loop.md").read_text(), re.M)
    return {name: int(count) for name, count in rows}


def test_the_guide_counts_the_lines_that_each_example_adds() -> None:
    found = {str(path.relative_to(ROOT / "examples")): added(path) for path in EXAMPLES}
    assert counted() == {name: count for name, count in found.items() if count}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_short(path: Path) -> None:
    code = [line for line in path.read_text().splitlines() if line.strip()]
    assert len(code) <= MOST_LINES


def sides(diff: str) -> tuple[str, str]:
    """What a diff is before, and after."""
    lines = diff.splitlines()
    return tuple("\n".join(line[1:] for line in lines if line[:1] in kinds) for kinds in (" -", " +"))  # type: ignore[return-value]


(README_DIFF,) = (found["text"] for found in fences(ROOT / "README.md", "diff"))


def script() -> dict[str, Any]:
    """What the script of the README has beside its loop: eight images in four classes, and a network for them."""
    rng = torch.Generator().manual_seed(0)
    images, targets = torch.rand(8, 1, 8, 8, generator=rng), torch.arange(8) % 4

    def make(lr: float) -> tuple[nn.Module, torch.optim.Optimizer]:
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
        return model, torch.optim.AdamW(model.parameters(), lr=lr)

    def step(model: nn.Module, optimiser: torch.optim.Optimizer, images: Tensor, targets: Tensor) -> None:
        optimiser.zero_grad()
        F.cross_entropy(model(images), targets).backward()
        optimiser.step()

    def scores(model: nn.Module, test: bool = False) -> dict[str, Tensor]:
        accuracy = (model(images).argmax(1) == targets).float().mean()
        return {"val_accuracy": accuracy, **({"test_accuracy": accuracy} if test else {})}

    names = {"make": make, "step": step, "scores": scores, "loader": [(images, targets)]}
    return {**names, "val_batch": (images, targets)}


def test_the_loop_of_the_readme_trains(store: Store, options: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The script before trains alone; with the lines that are new it is a loop of a study, for a learner too."""
    before, after = sides(README_DIFF)
    names = script()
    with torch.random.fork_rng():
        exec(before, names)
        names["train"]()
    assert capsys.readouterr().out.count("val_accuracy") == 20
    exec(after, names)
    study = Study(
        name="readme",
        train=names["train"],
        space={"train.lr": FloatDistribution(1e-3, 1e-2)},
        strategies={"none": none(), "trivialaugment": trivialaugment(), "online": online_score()},
        budget=Budget(trials=1),
        seeds=1,
    )
    run(study, store, options=options)
    assert [each.state for each in store.outcomes("readme")] == ["COMPLETE"] * 6
    assert sum(line.startswith("+") for line in README_DIFF.splitlines()) <= 6
