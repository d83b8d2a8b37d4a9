"""`autoaug export` and `autoaug show`: what they print, what they write, and what they refuse."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from command_line import Call, calling, refused
from PIL import Image

from autoaug.export import EXPORTERS
from autoaug.policy import Warp, load_tree, policy_tree, ready, save, schedule, sequence


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    save(ready.randaugment(2, 0.3), tmp_path / "p.json")
    yield from calling(tmp_path, monkeypatch)


@pytest.mark.parametrize("format", EXPORTERS)
def test_a_policy_file_is_printed_in_another_format(format: str, call: Call) -> None:
    result = call("export", "p.json", "--format", format, "--allow-lossy")
    report = EXPORTERS[format](load_tree("p.json"))
    assert result.stdout == report.text
    assert result.stderr == "".join(f"lost: {loss}\n" for loss in report.lost)
    assert result.exit_code == 0


def test_an_export_goes_into_a_file(call: Call) -> None:
    result = call("export", "p.json", "--format", "torchvision", "-o", "policy.py")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert Path("policy.py").read_text() == EXPORTERS["torchvision"](load_tree("p.json")).text


def test_a_study_exports_the_policy_that_it_found(call: Call) -> None:
    assert call("run", "s.py", "-q").exit_code == 0
    assert call("export", "s.py", "--strategy", "ra", "--format", "json", "-o", "found.json").exit_code == 0
    found = load_tree("found.json").provenance
    assert (found["study"], found["strategy"], found["data"]) == ("tiny", "ra", "digits-rotated")
    assert found["torch"]
    assert isinstance(found["point policy.n"], int)
    printed = call("compare", "tiny").stdout.splitlines()
    first = next(after for line, after in pairwise(printed) if line.startswith("strategy")).split()[0]
    result = call("export", "s.py", "--format", "json", "-o", "first.json")
    facts = load_tree("first.json").provenance
    assert facts["strategy"] == first
    said = f"{first}, trial {facts['trial']}, the first on the leaderboard; --strategy names another"
    assert result.stderr.splitlines() == [said, f"verdict: {facts['verdict']}", "always on: none"]
    assert facts["test_accuracy"].startswith("0.")
    refused(call("export", "s.py", "--strategy", "rb", "--format", "json"), "unknown strategy 'rb': .*'?ra'?")


def test_what_cannot_be_exported_is_refused(call: Call, tmp_path: Path) -> None:
    refused(call("export", "p.json", "--format", "kornia"), "kornia cannot say .*for each image.*--allow-lossy")
    refused(call("export", "p.json", "--format", "pytorch"), "unknown export format 'pytorch'")
    refused(call("export", "q.json", "--format", "json"), "cannot read q.json: No such file")
    refused(call("export", "p.json", "--format", "json", "--strategy", "ra"), "leave --strategy ra out")
    refused(call("export", "p.json", "--format", "json", "-o", "no/where.json"), "cannot write no/where.json")
    refused(call("export", "s.py", "--format", "json"), "there is no storage sqlite:///autoaug.db yet")
    (tmp_path / "bad.json").write_text("{}")
    refused(call("export", "bad.json", "--format", "json"), "bad.json at schema: None is not 'autoaug.policy/1'")


def test_a_policy_is_shown_on_a_sheet(call: Call) -> None:
    result = call("show", "p.json")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "sheet.png\n", "")
    with Image.open("sheet.png") as sheet:
        assert sheet.width > 2 * sheet.height  # two photographs, with eight draws of each and words below
    first = Path("sheet.png").read_bytes()
    call("show", "p.json", "-o", "again.png")
    assert Path("again.png").read_bytes() == first


def test_a_schedule_is_shown_as_it_is_in_an_epoch(call: Call) -> None:
    save(policy_tree(schedule([(1, sequence()), (5, ready.random_policy().root)])), Path("s.json"))
    for arguments in (["s.json", "-o", "1.png"], ["s.json", "--epoch", "5", "-o", "5.png"], ["s.json", "--epoch", "4"]):
        assert call("show", *arguments).exit_code == 0
    assert Path("1.png").read_bytes() == Path("sheet.png").read_bytes() != Path("5.png").read_bytes()
    refused(call("show", "s.json", "--epoch", "0"), "epoch 0: epochs count from 1")
    refused(call("show", "ops", "--epoch", "2"), "operations have no epochs: leave --epoch 2 out, or give a policy")


def test_a_tree_that_approximates_a_network_is_exported_with_a_warning(call: Call) -> None:
    save(Warp("affine"), Path("w.json"))
    refused(call("export", "w.json", "--format", "json"), "json cannot say this policy exactly: amounts of a network")
    result = call("export", "w.json", "--format", "torchvision", "--allow-lossy")
    assert result.exit_code == 0
    assert result.stderr.startswith("lost: amounts of a network are drawn independently")
    assert "# approximation: amounts of a network" in result.stdout


def test_every_operation_is_shown_on_a_folder_of_images(call: Call, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (50, 40), "red").save(tmp_path / "photos" / "a.png")
    assert call("show", "ops", "--images", "photos", "-o", "ops.png").exit_code == 0
    with Image.open("ops.png") as sheet:
        assert sheet.height > 20 * 100
        assert max(sheet.getcolors(2**20) or [])[1] in {(255, 0, 0), (255, 255, 255)}


def test_what_cannot_be_shown_is_refused(call: Call) -> None:
    refused(call("show", "ops", "--images", "nowhere"), "no folder of images at 'nowhere': give the path")
    refused(call("show", "p.json", "-o", "sheet.txt"), "unknown file extension: .txt")
    refused(call("show", "p.json", "-o", "no/where.png"), "cannot write no/where.png: No such file or directory")
    refused(call("show", "nope"), "unknown study 'nope'")
