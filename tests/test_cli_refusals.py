"""What cannot work is one clear line, exit code 2, and nothing is trained or written."""

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import FIELDS, HEAD, POSTGRES, ROTAT, TASK, Call, calling, files, refused, study, task
from PIL import Image

from autoaug.store import Store


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    yield from calling(tmp_path, monkeypatch)


def images(folder: Path, **counts: int) -> None:
    """A folder of images: so many of each class."""
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for k in range(count):
            Image.new("RGB", (8, 8), (k, 0, 0)).save(folder / name / f"{k}.png")


BAD_STUDIES: dict[str, tuple[str, str]] = {
    "a file that raises": (HEAD + "x = {}['gone']\n", r"s.py, line 6: KeyError: 'gone'"),
    "a syntax error": (HEAD + "study = Study(\n", r"s.py, line 6: '\(' was never closed"),
    "a file without a study": (HEAD, r"s.py defines no study: write `study = Study\(...\)`"),
    "several studies": (
        study().replace("study =", "one =") + study().replace("study =", "two ="),
        r"s.py defines 2 studies: say which, s.py:one or s.py:two",
    ),
    "a dataset": (study(**task("cifr10")), r"unknown dataset 'cifr10': did you mean 'cifar10'"),
    "a folder that is not there": (study(**task("./none")), r"data './none': there is no such folder"),
    "a folder without images": (study(**task("empty")), r"no images in '.*empty/a': put some there"),
    "a folder without classes": (study(**task("bare")), r"'.*bare' has the class folders \[\]: give at least two"),
    "a folder with one class": (study(**task("one")), r"'.*one' has the class folders \['a'\]: give at least two"),
    "a class with one sample": (study(**task("single")), r"class 'b' of data 'single' has 1 training image"),
    "a model": (
        study(task="Task(data='digits-rotated', model='convnt')"),
        r"study 'tiny': unknown model 'convnt': did you mean 'convnet'\? \(tried: mix.alpha=0.1",
    ),
    "a model among choices": (
        study(space="{'task.model': CategoricalDistribution(['convnet', 'convnt'])}"),
        r"unknown model 'convnt'.*\(tried: task.model='convnt'\)",
    ),
    "an operation": (study(strategies=ROTAT), r"strategy 'x' of study 'tiny': .*unknown op 'rotat'.*'rotate'"),
    "a dimension": (
        study(space="{'task.epoch': IntDistribution(1, 2)}"),
        r"s.py, line 6: unknown dimension 'task.epoch' in study 'tiny': did you mean 'epochs'",
    ),
    "a dimension's noun": (study(space="{'tsk.lr': FloatDistribution(0, 1)}"), r"unknown dimension 'tsk.lr'.*task"),
    "a dimension that is no distribution": (
        study(space="{'mix.alpha': (0, 1)}"),
        r"dimension 'mix.alpha' in study 'tiny' is \(0, 1\): give one of Optuna's distributions",
    ),
    "a dimension that leaves the task": (
        study(space="{'task.epochs': IntDistribution(0, 2)}"),
        r"Task.epochs is 0: give a whole number of at least 1 \(tried: task.epochs=0",
    ),
    "a budget of zero": (study(budget="Budget(trials=0)"), r"line 6: Budget\(trials=0\) buys nothing: give a number"),
    "no budget": (study(budget="Budget()"), r"Budget\(\) sets no limit: give trials=, gpu_seconds= or wall_seconds="),
    "a budget that pays for no trial": (
        study(budget="Budget(gpu_seconds=1e-4)"),
        r"strategy 'none' of study 'tiny': a trial is expected to take .*, more than Budget\(gpu_seconds=0.0001\) pays",
    ),
    "no final runs": (study(seeds="0"), r"Study.seeds is 0: give the number of final runs, at least 1"),
    "a baseline": (study(baseline="'nonee'"), r"baseline 'nonee' is no strategy of study 'tiny': did you mean 'none'"),
    "a dimension of two spaces": (
        study(space="{'policy.m': FloatDistribution(0, 1)}", strategies="{'ra': randaugment()}"),
        r"'policy.m' is in the space of study 'tiny' and of strategy 'ra': keep one",
    ),
    "a pruner without epochs": (
        study(strategies="{'ra': randaugment().pruned('median')}"),
        r"strategy 'ra' of study 'tiny' has the pruner MedianPruner and trials of one epoch, which report nothing",
    ),
    "a proxy": (
        study(strategies="{'ra': randaugment().proxied(epochs=0)}"),
        r"the proxy of strategy 'ra' of study 'tiny': Task.epochs is 0: give a whole number of at least 1",
    ),
    "a broken budget": (
        study(budget="Budget(trials=1.5)"),
        r"Budget\(trials=1.5\) buys nothing: give a number of trials, whole",
    ),
    "a number in place of a budget": (study(budget="3"), r"Study.budget is 3: give Budget\(...\)"),
    "a strategy that was not called": (study(strategies="{'none': none}"), r"strategy 'none' .* a function: call it"),
    "a list of strategies": (study(strategies="[none()]"), r"Study.strategies is \[.*\]: give a dict by name"),
    "two strategies with one name": (
        study(strategies="{'a': none(), 'a': randaugment()}"),
        r"s.py, line 6: 'a' stands twice in one dict, and Python would drop the first: give each its own name",
    ),
    "a device": (study(task=TASK[:-1] + ", device='gpu')"), r"Task.device is 'gpu': give auto, cpu, cuda"),
    "a GPU that is not there": (
        study(task=TASK[:-1] + ", device='cuda:99')"),
        r"Task.device is 'cuda:99' and this machine has \d+ GPUs: give 'auto' or 'cpu'",
    ),
    "a precision": (
        study(task=TASK[:-1] + ", precision='fp8')"),
        r"Task.precision is 'fp8': give 'auto', 'float32' or 'bfloat16'",
    ),
}


@pytest.mark.parametrize("what", BAD_STUDIES)
def test_a_study_that_cannot_run_is_one_line_and_nothing_is_written(call: Call, tmp_path: Path, what: str) -> None:
    text, message = BAD_STUDIES[what]
    (tmp_path / "s.py").write_text(text)
    (tmp_path / "bare").mkdir()
    images(tmp_path / "empty", a=0, b=0)
    images(tmp_path / "one", a=5)
    images(tmp_path / "single", a=9, b=1)
    before = files(tmp_path)
    refused(call("run", "s.py"), message)
    assert files(tmp_path) == before
    refused(call("run", "s.py", "--dry-run"), message)


BAD_CALLS = {
    "run quickstrt": r"unknown study 'quickstrt': did you mean 'quickstart'\? \(a file's path works too\)",
    "run none.py": r"there is no study file none.py: check the path",
    "run s.py:studie": r"unknown study 'studie' in s.py: did you mean 'study'\?",
    "run s.py --only rra": r"unknown strategy 'rra' of study 'tiny': did you mean 'ra'\?",
    "run s.py --executor rai": r"unknown executor 'rai': did you mean 'ray'\?",
    "run s.py --storage mydb": r"'mydb' is no storage URL: write sqlite:///study.db",
    "run s.py --storage foo://x": r"storage foo://x cannot be opened: studies are stored in sqlite or postgresql only",
    "run s.py --storage sqlite:////no/such/x.db": r"cannot be opened: there is no folder /no/such: make it first",
    "run s.py --storage sqlite:///s.py": r"storage sqlite:///s.py cannot be opened: file is not a database",
    "run s.py --storage env:NOT_SET": r"the environment variable NOT_SET is not set: export it",
    "run s.py --storage file:none": r"none holds no URL \(FileNotFoundError\): write it there",
    f"run s.py --storage {POSTGRES}": r"me:\*\*\*@127.0.0.1:1/nowhere: a password on the command line .* give env:NAME",
    "run s.py --storage postgresql://me@h/d?password=hunter2": r"password=\*\*\*: a password on the command line",
    "run s.py --storage postgresql+psycopg://me@127.0.0.1:1/d": r"me@127.0.0.1:1/d cannot be opened: .*port 1",
    "run s.py --storage postgresql+nix://me@h/d": r"me@h/d .* driver is not installed: pip install",
    "run s.py --storage postgresql://me:hun@ter2@h/d": r"more than one @: write the one in the password as %40",
    "run s.py --artifacts s.py": r"no checkpoints can be kept in .*s.py: .* is no folder to write to",
    "run s.py --at-once 0": r"at once is 0: give at least 1 trial at a time",
    "run s.py --cpus-per-trial 0": r"cpus per trial is 0: give a number above 0",
    "run s.py --cpus-per-trial nan": r"cpus per trial is nan",
    "run s.py --cpus-per-trial 9999": r"each trial asks for 9999 CPUs and this machine has \d+: lower --cpus-per-trial",
    "run s.py --gpus-per-trial -1": r"gpus per trial is -1: give 0 or more",
    "run s.py --gpus-per-trial 99": r"each trial asks for 99 GPUs and this machine has \d+: lower --gpus-per-trial",
    "run s.py --gpus-per-trial 99 --executor ray": r"each trial asks for 99 GPUs and this machine has \d+",
    "run s.py --address 10.0.0.1:6379": r"--address 10.0.0.1:6379 is of a Ray cluster: add --executor ray",
    "compare s.py": r"there is no storage sqlite:///autoaug.db yet: run a study first",
    "compare tiny": r"there is no storage sqlite:///autoaug.db yet: run a study first",
    "dashboard": r"there is no storage sqlite:///autoaug.db yet: run a study first",
    "new .": r". already has studies/: give another folder, nothing was copied",
}


@pytest.mark.parametrize("line", BAD_CALLS)
def test_a_call_that_cannot_work_is_one_line_and_nothing_is_written(call: Call, tmp_path: Path, line: str) -> None:
    (tmp_path / "studies").mkdir()
    before = files(tmp_path)
    result = call(*line.split())
    refused(result, BAD_CALLS[line])
    assert "hunter2" not in result.stderr
    assert "ter2" not in result.stderr
    assert files(tmp_path) == before
    assert "ray" not in sys.modules or "ray" not in line or not sys.modules["ray"].is_initialized()


def test_a_space_that_changed_is_refused_with_old_and_new(call: Call, tmp_path: Path) -> None:
    choices = "{{'mix.kind': CategoricalDistribution({})}}"
    (tmp_path / "s.py").write_text(study(space=choices.format("['none', 'mixup']"), strategies="{'none': none()}"))
    assert call("run", "s.py", "-q").exit_code == 0
    outcomes = Store("sqlite:///autoaug.db").outcomes("tiny")
    more = "{'new': none(), 'none': none()}"
    (tmp_path / "s.py").write_text(study(space=choices.format("['none', 'cutmix']"), strategies=more))
    refused(
        call("run", "s.py"),
        r"study 'tiny' was run with the space of 'none', mix.kind = "
        r"CategoricalDistribution\(choices=\['none', 'mixup'\]\), and now has "
        r"CategoricalDistribution\(choices=\['none', 'cutmix'\]\): .*--fresh \(what was run is kept\)",
    )
    assert Store("sqlite:///autoaug.db").outcomes("tiny") == outcomes
    assert Store("sqlite:///autoaug.db").strategies("tiny") == ["none"]


def test_a_strategy_that_is_added_later_must_work_before_it_is_written(call: Call, tmp_path: Path) -> None:
    assert call("run", "s.py", "-q").exit_code == 0
    (tmp_path / "s.py").write_text(study(strategies=f"{FIELDS['strategies']} | {ROTAT}"))
    refused(call("run", "s.py"), r"unknown op 'rotat'")
    assert Store("sqlite:///autoaug.db").strategies("tiny") == ["none", "ra"]


def test_the_dashboard_on_a_busy_port_is_one_line(call: Call) -> None:
    Store("sqlite:///autoaug.db")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused(
            call("dashboard", "--port", str(port)),
            rf"cannot listen on 127.0.0.1:{port}: port {port} is in use, and [0-9]+ is free; give another --port",
        )
    refused(call("dashboard", "--port", "99999"), r"cannot listen on 127.0.0.1:99999: .*0-65535; give another --port")
    refused(call("dashboard", "--host", "192.0.2.1"), r"cannot listen on 192.0.2.1:8080: .*; give another --port or")
