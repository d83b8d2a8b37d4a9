"""What `autoaug launch` prints is what clusters take: scripts that run, manifests of the right form, and no secrets."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_sbatch
import jsonschema
import pytest
import typer
import yaml
from command_line import Call, calling, refused, study
from postgres_server import needs_postgres, postgres

from autoaug.cli import app
from autoaug.store import Store

HERE = Path(__file__).parent
BUCKET = ("--artifacts", "s3://bucket/artifacts")

EXAMPLES: dict[str, tuple[str, ...]] = {
    "slurm": ("--workers", "16", "--gpus", "2", "--time", "04:00:00"),
    "ray-slurm": ("--workers", "4", "--gpus", "8", "--gpus-per-trial", "0.25", "--time", "04:00:00"),
    "skypilot": (*BUCKET, "--gpus", "4"),
    "kuberay": (*BUCKET, "--workers", "8", "--gpus-per-trial", "0.5", "--image", "registry.example.org/flowers:1"),
    "ray-job": (*BUCKET, "--address", "http://127.0.0.1:8265"),
}
SCRIPTS = ("slurm", "ray-slurm", "ray-job")


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    yield from calling(tmp_path, monkeypatch)


def printed(call: Call, launcher: str, *more: str, study_ref: str = "s.py") -> str:
    """What a launcher prints on stdout, which is a file as it stands."""
    result = call("launch", launcher, study_ref, *(more or EXAMPLES[launcher]))
    assert result.exit_code == 0, result.stderr
    assert result.stderr, "what to do with it"
    return result.stdout


def command_in(text: str, launcher: str) -> str:
    """The line of a script or manifest that runs the study."""
    if launcher == "skypilot":
        return yaml.safe_load(text)["run"]
    if launcher == "kuberay":
        return yaml.safe_load(text)["spec"]["entrypoint"]
    return text.splitlines()[-1]


def program(folder: Path, name: str, text: str) -> None:
    """A program for the PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/bash\n{text}\n")
    (folder / name).chmod(0o755)


def with_path(folder: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", **more}


@pytest.mark.parametrize("launcher", EXAMPLES)
def test_what_is_printed_is_what_was_read_and_approved(call: Call, launcher: str) -> None:
    (golden,) = (HERE / "golden" / "launch").glob(f"{launcher}.*")
    assert printed(call, launcher) == golden.read_text()


@pytest.mark.parametrize("launcher", EXAMPLES)
def test_the_command_in_it_is_one_of_the_command_line(call: Call, launcher: str) -> None:
    for options in (EXAMPLES[launcher], (*EXAMPLES[launcher], "--storage", "env:ELSEWHERE")):
        words = shlex.split(command_in(printed(call, launcher, *options), launcher))
        words = words[words.index("autoaug") :]
        run = typer.main.get_command(app).commands["run"]
        parsed = run.make_context("run", words[2:]).params
        assert words[1] == "run"
        assert parsed["study"] == "s.py"
        assert parsed["storage"] == ("env:ELSEWHERE" if "env:ELSEWHERE" in options else "env:AUTOAUG_STORAGE")


@pytest.mark.parametrize("launcher", SCRIPTS)
def test_scripts_are_bash(call: Call, launcher: str, tmp_path: Path) -> None:
    (tmp_path / "script").write_text(printed(call, launcher))
    subprocess.run(["bash", "-n", "script"], cwd=tmp_path, check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", "script"], cwd=tmp_path, check=True)


@pytest.mark.parametrize("launcher", ["slurm", "ray-slurm"])
def test_slurm_would_read_every_option(call: Call, launcher: str) -> None:
    found = fake_sbatch.directives(printed(call, launcher))
    assert found["job-name"] == "tiny"
    assert found["time"] == "04:00:00"
    assert "requeue" in found
    without = fake_sbatch.directives(printed(call, launcher, "--gpus", "0"))
    assert not {"time", "gres", "gpus-per-node"} & set(without)


def test_the_stand_in_for_slurm_refuses_what_slurm_would(call: Call) -> None:
    script = printed(call, "slurm")
    for broken, why in (
        (script.partition("\n")[2], "does not look like a batch script"),
        (f"{script}#SBATCH --requeue\n", "stands after the command set -eu"),
        (script.replace("--requeue", "--requeued"), "unrecognized option #SBATCH --requeued"),
    ):
        with pytest.raises(SystemExit, match=why):
            fake_sbatch.directives(broken)


@pytest.mark.slow
@needs_postgres
def test_a_printed_array_runs_a_study_whose_trials_are_all_run_once(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "programs"
    program(folder, "autoaug", f'exec {shlex.quote(sys.executable)} -m autoaug "$@"')
    program(folder, "sbatch", f'exec {shlex.quote(sys.executable)} {shlex.quote(str(HERE / "fake_sbatch.py"))} "$@"')
    (tmp_path / "my study.py").write_text(study(strategies="{'none': none()}", budget="Budget(trials=3)", seeds="1"))
    (tmp_path / "run.sbatch").write_text(printed(call, "slurm", "--gpus", "0", study_ref="my study.py"))
    with postgres() as server:
        environment = with_path(folder, AUTOAUG_STORAGE=server.url, PYTHONPATH=str(HERE.parent))
        done = subprocess.run(["sbatch", "run.sbatch"], env=environment)
        logs = "\n".join(path.read_text() for path in sorted(tmp_path.glob("tiny-7_*.log")))
        assert done.returncode == 0, logs
        assert logs.count("tiny: the leaderboard") == 2, "each driver ends when all is done"
        store = Store(server.url)
        outcomes = store.outcomes("tiny")
        store.close()
    assert [(o.name, o.state, o.attempt) for o in outcomes] == [
        (name, "COMPLETE", 1) for name in ("trial 0", "trial 1", "trial 2", "final run 0")
    ]


def test_the_driver_of_a_slurm_task_is_the_process_that_slurm_tells_to_end(call: Call, tmp_path: Path) -> None:
    told = "trap 'touch told; exit 130' TERM; touch begun; while :; do sleep 0.05; done"
    program(tmp_path / "programs", "autoaug", told)
    (tmp_path / "script").write_text(printed(call, "slurm"))
    batch = subprocess.Popen(["bash", "script"], cwd=tmp_path, env=with_path(tmp_path / "programs"))
    end = time.monotonic() + 60
    while not (tmp_path / "begun").exists() and time.monotonic() < end:
        time.sleep(0.02)
    batch.send_signal(signal.SIGTERM)
    assert batch.wait(timeout=60) == 130
    assert (tmp_path / "told").exists()


def test_the_token_of_a_ray_cluster_is_made_for_one_job_and_nobody_else_reads_it(call: Call, tmp_path: Path) -> None:
    folder = tmp_path / "programs"
    program(folder, "scontrol", 'printf "first\\nsecond\\n"')
    program(folder, "srun", 'stat -c %a "$RAY_AUTH_TOKEN_PATH"; cat "$RAY_AUTH_TOKEN_PATH"; echo; printf "%s\\n" "$@"')
    (tmp_path / "script").write_text(printed(call, "ray-slurm"))
    (tmp_path / ".ray-token-7").write_text("of a job before")
    environment = with_path(folder, SLURM_JOB_ID="7", SLURM_JOB_NODELIST="first,second")
    runs = [
        subprocess.run(["bash", "script"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    (mode, token, *words), (_, other, *_) = (run.stdout.splitlines() for run in runs)
    assert mode == "600"
    assert len(token) == len(other) == 64
    assert token != other
    assert words[:7] == ["ray", "symmetric-run", "--address", "first:6379", "--min-nodes", "4", "--"]
    assert words[7:10] == ["autoaug", "run", "s.py"]
    assert not (tmp_path / ".ray-token-7").exists()


@pytest.mark.parametrize("launcher", ["slurm", "skypilot"])
def test_whatever_a_study_is_called_it_reaches_the_command_line(call: Call, launcher: str, tmp_path: Path) -> None:
    name = """it's "a" $HOME `study` #1 ü.py"""
    (tmp_path / name).write_text(study())
    text = printed(call, launcher, study_ref=name)
    program(tmp_path / "programs", "autoaug", 'printf "%s\\n" "$@"')
    ran = yaml.safe_load(text)["run"] if launcher == "skypilot" else text
    done = subprocess.run(["bash", "-c", ran], env=with_path(tmp_path / "programs"), capture_output=True, text=True)
    assert done.stdout.splitlines()[:2] == ["run", name]


def test_ray_takes_the_commands_that_are_given_to_it(call: Call) -> None:
    from ray.dashboard.modules.job.cli import submit
    from ray.scripts.symmetric_run import symmetric_run

    words = shlex.split(printed(call, "ray-job").partition("exec ")[2].replace("\\\n", " "))
    assert words[:3] == ["ray", "job", "submit"]
    parsed = submit.make_context("submit", words[3:]).params
    assert parsed["address"] == "http://127.0.0.1:8265"
    assert parsed["working_dir"] == "."
    assert parsed["no_wait"]
    assert ".git" in json.loads(parsed["runtime_env_json"])["excludes"]
    assert parsed["entrypoint"][:3] == ("autoaug", "run", "s.py")
    words = shlex.split(printed(call, "ray-slurm").partition("srun ")[2].replace("\\\n", " "))
    assert words[:2] == ["ray", "symmetric-run"]
    parsed = symmetric_run.make_context("symmetric-run", words[2:]).params
    assert parsed["min_nodes"] == 4
    assert parsed["ray_args_and_entrypoint"][:3] == ("autoaug", "run", "s.py"), "no options of `ray start`"


TEXT, WHOLE = {"type": "string", "minLength": 1}, {"type": "integer", "minimum": 0}


def form(needed: str, **properties: Any) -> dict[str, Any]:
    """The schema of a mapping that has these fields and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": needed.split() or list(properties),
        "additionalProperties": False,
    }


def pods(name: str) -> dict[str, Any]:
    quantities = {"type": "object", "additionalProperties": TEXT}
    secret = form("", secretKeyRef=form("", name=TEXT, key=TEXT))
    container = form(
        "",
        name={"const": name},
        image=TEXT,
        env={"type": "array", "items": form("", name=TEXT, valueFrom=secret)},
        resources=form("", requests=quantities, limits=quantities),
    )
    return form("", spec=form("", containers={"type": "array", "items": container, "minItems": 1, "maxItems": 1}))


START = {"type": "object", "additionalProperties": TEXT}
RAY_JOB = form(
    "",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=form("", name={"type": "string", "pattern": "^[a-z]([-a-z0-9]{0,45}[a-z0-9])?$"}),
    spec=form(
        "",
        entrypoint=TEXT,
        backoffLimit=WHOLE,
        shutdownAfterJobFinishes={"type": "boolean"},
        ttlSecondsAfterFinished=WHOLE,
        rayClusterSpec=form(
            "",
            authOptions=form("", mode={"enum": ["token", "disabled"]}),
            enableInTreeAutoscaling={"type": "boolean"},
            headGroupSpec=form("", rayStartParams=START, template=pods("ray-head")),
            workerGroupSpecs={
                "type": "array",
                "items": form(
                    "",
                    groupName=TEXT,
                    replicas=WHOLE,
                    minReplicas=WHOLE,
                    maxReplicas=WHOLE,
                    rayStartParams=START,
                    template=pods("ray-worker"),
                ),
            },
        ),
    ),
)
"""The fields of KubeRay's RayJob that are used, with their types."""

SKY_TASK = form(
    "",
    name={"type": "string", "pattern": "^[a-zA-Z][a-zA-Z0-9._-]*$"},
    workdir=TEXT,
    resources=form(
        "use_spot job_recovery",
        accelerators={"type": "string", "pattern": r"^\w+:\d+$"},
        cpus=TEXT,
        use_spot={"const": True},
        job_recovery=form("", strategy={"enum": ["FAILOVER", "EAGER_NEXT_REGION"]}, max_restarts_on_errors=WHOLE),
    ),
    secrets={"type": "object", "additionalProperties": {"type": "null"}},
    setup=TEXT,
    run=TEXT,
)
"""The fields of a SkyPilot task that are used, with their types."""


@pytest.mark.parametrize(("launcher", "schema"), [("kuberay", RAY_JOB), ("skypilot", SKY_TASK)])
def test_manifests_have_the_fields_of_their_kind(call: Call, launcher: str, schema: dict[str, Any]) -> None:
    on_cpus = (*BUCKET, "--gpus", "0", *(("--image", "x") if launcher == "kuberay" else ()))
    for options in (EXAMPLES[launcher], on_cpus):
        jsonschema.validate(yaml.safe_load(printed(call, launcher, *options)), schema)


def test_a_kuberay_cluster_has_its_gpus_in_workers_and_its_storage_from_a_secret(call: Call) -> None:
    spec = yaml.safe_load(printed(call, "kuberay"))["spec"]["rayClusterSpec"]
    head = spec["headGroupSpec"]["template"]["spec"]["containers"][0]
    (workers,) = spec["workerGroupSpecs"]
    worker = workers["template"]["spec"]["containers"][0]
    assert "nvidia.com/gpu" not in head["resources"]["limits"]
    assert spec["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}
    assert worker["resources"]["limits"] == {"cpu": "2", "memory": "16Gi", "nvidia.com/gpu": "1"}
    assert (workers["replicas"], workers["minReplicas"], workers["maxReplicas"]) == (8, 0, 8)
    secret = {"secretKeyRef": {"name": "autoaug-storage", "key": "url"}}
    assert head["env"] == worker["env"] == [{"name": "AUTOAUG_STORAGE", "valueFrom": secret}]


REFUSALS = {
    ("cobalt", "s.py"): "unknown launcher 'cobalt': known are kuberay, ray-job, ray-slurm, skypilot, slurm",
    ("slurm", "nowhere.py"): "there is no study file nowhere.py",
    ("slurm", "s.py", "--time", "4h"): "time is '4h': give hours, minutes and seconds, such as 04:00:00",
    ("slurm", "s.py", "--time", "00:02:00"): "time is 00:02:00: give more than 120 s",
    ("slurm", "s.py", "--workers", "0"): "workers is 0: give",
    (
        "slurm",
        "s.py",
        "--gpus",
        "4",
        "--gpus-per-trial",
        "2",
    ): "a driver of slurm gives each trial one GPU or a share: give",
    ("ray-slurm", "s.py", "--gpus-per-trial", "2"): "each trial asks for 2 GPUs and each worker has 1: lower",
    ("slurm", "s.py", "--image", "x"): "--image means nothing to slurm: leave it out; it is of kuberay",
    ("ray-job", "s.py", *BUCKET): "ray-job needs --address: give where jobs are submitted",
    ("skypilot", "s.py"): "skypilot needs --artifacts: .* such as s3://bucket/artifacts",
    ("slurm", "s.py", "--artifacts", "s3://key:hunter2@bucket"): "artifacts holds a password",
    ("slurm", "s.py", "--storage", "postgresql+psycopg://me:hunter2@h/d"): r"me:\*\*\*@h/d would stand in the script",
    ("slurm", "s.py", "--storage", "env:SQLITE"): "storage env:SQLITE is SQLite, a file of one host",
    ("skypilot", "s.py", *BUCKET, "--storage", "file:/url"): "file:/url is a file that machines there do not have",
    ("skypilot", "/s.py", *BUCKET): "there is no study file",
    ("ray-job", "it's.py", *EXAMPLES["ray-job"]): "would not reach a job of Ray as it is",
    ("slurm", "two\nlines.py"): "cannot stand in a script: it has characters that are not printable",
    ("kuberay", "../outside.py", *EXAMPLES["kuberay"]): "outside.py lies outside this folder",
}


@pytest.mark.parametrize("arguments", REFUSALS, ids=lambda arguments: " ".join(arguments).replace("\n", " "))
def test_what_could_not_run_is_refused_with_the_fix(
    call: Call, arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("SQLITE", "sqlite:///x.db")
    for name in ("s.py", "it's.py", "two\nlines.py", "../outside.py"):
        (folder / name).write_text(study())
    result = call("launch", *arguments)
    refused(result, REFUSALS[arguments])
    assert "hunter2" not in result.stderr


def test_the_storage_of_a_study_is_named_and_a_password_in_it_is_not_shown(call: Call, tmp_path: Path) -> None:
    (tmp_path / "s.py").write_text(study(storage="'env:LAB'"))
    assert "--storage env:LAB " in printed(call, "slurm")
    assert "  LAB: null\n" in printed(call, "skypilot")
    (tmp_path / "s.py").write_text(study(storage="'postgresql+psycopg://me:hunter2@h/d'"))
    refused(call("launch", "slurm", "s.py"), r"storage postgresql\+psycopg://me:\*\*\*@h/d would stand in the script")
    (tmp_path / "s.py").write_text(study(storage="'sqlite:///x.db'"))
    refused(call("launch", "slurm", "s.py"), "storage sqlite:///x.db would stand in the script")
