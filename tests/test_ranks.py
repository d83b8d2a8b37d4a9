"""Several processes that train one trial: two of gloo, which torchrun starts."""

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from commands_for_tests import alive, none_left, trial_in

from autoaug import Command
from autoaug.trial import Lost, records

TRAIN = """
import hashlib, os, signal

import torch
from torch import distributed, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

import autoaug

rank = int(os.environ["RANK"])
attempt = os.environ["AUTOAUG_TRIAL"].split("/")[-2]


def digest(*tensors):
    return hashlib.sha256(b"".join(each.detach().numpy().tobytes() for each in tensors)).hexdigest()


def finetune(trial):
    distributed.init_process_group("gloo")
    own = trial.folder / f"{attempt}-rank-{rank}"
    rng = torch.Generator().manual_seed(0)
    images, classes = torch.rand(64, 1, 8, 8, generator=rng), torch.randint(2, (64,), generator=rng)
    torch.manual_seed(trial.seed)
    model = DistributedDataParallel(nn.Sequential(nn.Flatten(), nn.Linear(64, 2)))
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01)
    try:
        for epoch in trial.epochs(4, model=model, optimiser=optimiser):
            mixed, soft = trial.augment(images[rank::2], classes[rank::2])
            optimiser.zero_grad()
            F.cross_entropy(model(mixed), soft).backward()
            optimiser.step()
            with own.open("a") as file:
                print(epoch, digest(*model.parameters()), digest(mixed), file=file)
            ACT
            yield {"val_accuracy": 0.5} if rank == 0 else None
    finally:
        with own.open("a") as file:
            print("closed", file=file)
    distributed.destroy_process_group()


if __name__ == "__main__":
    autoaug.current().run(finetune)
"""


def torchrun(folder: Path, act: str = "pass") -> Command:
    """Two ranks that do something at the end of an epoch."""
    folder.mkdir(exist_ok=True)
    (folder / "train.py").write_text(TRAIN.replace("ACT", act))
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "train.py"]
    return Command(words, cwd=folder, env={"OMP_NUM_THREADS": "1"})


def kept(folder: Path, attempt: int = 1) -> list[list[list[str]]]:
    """What each rank of an attempt has written of each epoch: its number, the weights and the augmented images."""
    paths = [folder / "command" / f"attempt-{attempt}-rank-{rank}" for rank in (0, 1)]
    return [[line.split() for line in path.read_text().splitlines()] for path in paths]


def reported(folder: Path, attempt: int = 1) -> list[int]:
    """The epochs that an attempt has reported, in turn."""
    text = (folder / "command" / f"attempt-{attempt}" / "metrics.jsonl").read_text()
    return [line["epoch"] for line in map(json.loads, text.splitlines()) if "epoch" in line]


@pytest.mark.slow
def test_two_ranks_are_one_trial_and_go_on_after_one_of_them_was_killed(tmp_path: Path) -> None:
    """Equal weights, images of their own, one report an epoch; resumed, both are where they would have been."""
    whole = tmp_path / "whole"
    assert [record.epoch for record in records(torchrun(whole), trial_in(whole))] == [1, 2, 3, 4]
    first, second = kept(whole)
    assert [line[:2] for line in first] == [line[:2] for line in second]
    assert len({line[1] for line in first[:4]}) == 4
    assert all(one[2] != other[2] for one, other in zip(first[:4], second[:4], strict=True))
    assert reported(whole) == [1, 2, 3, 4]

    cut = tmp_path / "cut"
    command = torchrun(cut, "if (rank, epoch, attempt) == (1, 3, 'attempt-1'): os.kill(os.getpid(), signal.SIGKILL)")
    with none_left(cut), pytest.raises(Lost, match="ended without a word"):
        list(records(command, trial_in(cut)))
    assert reported(cut) == [1, 2]
    assert [record.epoch for record in records(command, trial_in(cut, attempt=2))] == [3, 4]
    assert kept(cut, 2) == [first[2:], second[2:]]


@pytest.mark.slow
def test_pruning_closes_all_ranks(tmp_path: Path) -> None:
    command = torchrun(tmp_path, "import time; time.sleep(0.5)")
    with none_left(tmp_path), closing(records(command, trial_in(tmp_path))) as epochs:
        next(epochs)
        assert len(alive(tmp_path)) >= 3
    first, second = kept(tmp_path)
    assert first[-1] == second[-1] == ["closed"]
    assert len(first) == len(second) < 5


@pytest.mark.slow
def test_the_error_of_one_rank_is_that_of_the_trial(tmp_path: Path) -> None:
    command = torchrun(tmp_path, "if (rank, epoch) == (1, 2): raise LookupError('no such image')")
    with none_left(tmp_path), pytest.raises(RuntimeError, match=r"failed: LookupError: no such image \(train.py:\d+\)"):
        list(records(command, trial_in(tmp_path)))
    assert reported(tmp_path) == [1]


AGREE = """
import sys
from torch import distributed
from autoaug.trial._ranks import Ranks

rank = int(sys.argv[1])
distributed.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
ranks = Ranks(rank, 2)
print([ranks.agree(1, to_end=(rank, k) == (1, 1)) for k in range(3)])
try:
    ranks.agree(1 + rank, False)
except RuntimeError as error:
    print(error)
"""


def test_ranks_decide_together() -> None:
    """One that is to end ends all; in different epochs they cannot go on."""
    with TemporaryDirectory() as folder:
        words = [sys.executable, "-c", AGREE]
        pair = [
            subprocess.Popen([*words, str(rank), f"{folder}/meet"], stdout=subprocess.PIPE, text=True)
            for rank in (0, 1)
        ]
        said = [process.communicate()[0].splitlines() for process in pair]
    assert said[0] == said[1]
    assert said[0] == [
        "[False, True, False]",
        "the ranks yield in different epochs, [1, 2]: let each yield once in every epoch",
    ]
