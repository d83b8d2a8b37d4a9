"""Copies between splits: exact ones by their pixels, near ones by what they look like, and nobody accused falsely."""

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from command_line import Call, calling, study
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn.functional import interpolate

from autoaug import Budget, Study, Task, run
from autoaug.data import Copies, Source, Split, copies, load_data, resized, subset
from autoaug.data._duplicates import LEAST_SIDE, MOST_PAIRS
from autoaug.execution import Options
from autoaug.metrics import half_width
from autoaug.store import Store
from autoaug.strategies import none
from autoaug.study import Loader, data_facts


def pictures(count: int, seed: int = 0, size: int = 48, channels: int = 3) -> Tensor:
    """Bytes of smooth random pictures, none like another: coarse noise, enlarged, and some fine noise on it."""
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 5, 5, generator=rng)
    smooth = interpolate(coarse, (size, size), mode="bicubic", align_corners=False)
    return (smooth + 0.03 * torch.randn(smooth.shape, generator=rng)).clamp(0.05, 0.85).mul(255).byte()


def jpeg(images: Tensor) -> Tensor:
    def again(image: Tensor) -> Tensor:
        file = io.BytesIO()
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=40)
        return torch.from_numpy(numpy.array(Image.open(file))).permute(2, 0, 1)

    return torch.stack([again(image) for image in images])


def lighter(images: Tensor) -> Tensor:
    return (images.float() * 1.1 + 5).clamp(max=255).byte()


def coarser(images: Tensor) -> Tensor:
    small = interpolate(images.float(), (24, 24), mode="area")
    return interpolate(small, (48, 48), mode="bilinear").byte()


def moved(images: Tensor) -> Tensor:
    return images.roll(1, dims=3)


def divided(train: Tensor, val: Tensor, test: Tensor | None = None, shift: int = 0) -> Source:
    """Two classes in turn; those of the validation images are moved by `shift`."""
    parts = {"train": train, "val": val, "test": test if test is not None else pictures(4, seed=99)}
    moved_by = {"train": 0, "val": shift, "test": 0}
    return Source(
        **{name: Split(images, (torch.arange(len(images)) + moved_by[name]) % 2) for name, images in parts.items()}
    )


def between(source: Source) -> dict[tuple[str, str], Copies]:
    found = load_data(lambda root: source, test=True)
    return {(each.split, each.among): each for each in copies(found)}


@pytest.mark.parametrize(("change", "least"), [(jpeg, 10), (lighter, 10), (coarser, 10), (moved, 6)])
def test_near_copies_are_found_and_exact_ones_are_told_apart(change: Callable[[Tensor], Tensor], least: int) -> None:
    train, own = pictures(60), pictures(20, seed=1)
    val = torch.cat([own, train[:3], change(train[10:20])])
    test = torch.cat([pictures(8, seed=2), val[:2]])
    found = between(divided(train, val, test))
    assert found["val", "train"].exact == 3
    assert least <= found["val", "train"].near <= 10
    assert found["val", "train"].examples[0] == "val 20 = train 0"
    assert (found["test", "val"].exact, found["test", "val"].near) == (2, 0)
    assert (found["test", "train"].exact, found["test", "train"].near) == (0, 0)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_of_other_things_are_no_copies(channels: int) -> None:
    train, val = pictures(600, channels=channels), pictures(400, seed=1, channels=channels)
    (found, *_) = between(divided(train, val, pictures(4, seed=2, channels=channels))).values()
    assert (found.exact, found.near) == (0, 0)


def test_a_copy_in_another_class_is_counted() -> None:
    train = pictures(20)
    found = between(divided(train, torch.cat([pictures(4, seed=1), train[:6]]), shift=1))["val", "train"]
    assert (found.exact, found.other_class) == (6, 6)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_tiny_images_have_exact_copies_only(dtype: torch.dtype) -> None:
    """Two digits of 8 x 8 pixels look alike without being copies."""
    pixels = torch.from_numpy(load_digits().images).unsqueeze(1)[:600]
    pixels = pixels.byte() if dtype == torch.uint8 else pixels.float() / 16
    train, val = pixels[:400], torch.cat([pixels[400:], pixels[5:7]])
    found = between(divided(train, val, pixels[:2]))
    assert (found["val", "train"].exact, found["val", "train"].near) == (2, 0)
    assert found["test", "train"].exact == 2
    assert pixels.shape[-1] < LEAST_SIDE


def test_drawings_on_an_even_ground_are_no_near_copies() -> None:
    """Enlarged digits have nothing but ground in most places."""
    digits = torch.from_numpy(load_digits().images).float().unsqueeze(1) / 16
    large = interpolate(torch.nn.functional.pad(digits, (4, 4, 4, 4)), (32, 32), mode="area")
    found = between(divided(large[:1000], large[1000:], large[:2]))["val", "train"]
    assert (found.exact, found.near) == (0, 0)


def test_equal_images_without_anything_in_them_are_exact_copies() -> None:
    found = between(divided(torch.zeros(20, 3, 32, 32), torch.zeros(6, 3, 32, 32), torch.ones(4, 3, 32, 32)))
    assert [(each.exact, each.near) for each in found.values()] == [(6, 0), (0, 0), (0, 0)]


def test_of_too_many_pairs_a_part_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    train = pictures(64)
    whole = between(divided(train, jpeg(train)))["val", "train"]
    monkeypatch.setattr("autoaug.data._duplicates.CHUNK", 64 * 4)
    assert between(divided(train, jpeg(train)))["val", "train"] == whole
    monkeypatch.setattr("autoaug.data._duplicates.MOST_PAIRS", 64 * 16)
    assert MOST_PAIRS > 10**9
    assert between(divided(train, jpeg(train)))["val", "train"].near == whole.near / 4 == 16, "every fourth row"


# What is said of them


@pytest.fixture
def leaky(tmp_path: Path) -> Path:
    """A folder whose validation images hold one of the training images, and a lighter one."""
    for part, seed in (("train", 0), ("val", 1)):
        for name, first in (("cat", 0), ("dog", 6)):
            (tmp_path / part / name).mkdir(parents=True)
            for number, image in enumerate(pictures(12, seed)[first : first + 6]):
                Image.fromarray(image.permute(1, 2, 0).numpy()).save(tmp_path / part / name / f"{number}.png")
    shutil.copy(tmp_path / "train" / "cat" / "3.png", tmp_path / "val" / "dog" / "copy.png")
    return tmp_path


SAID = (
    "1 exact copy of training images among the validation images, 1 in another class "
    "(val/dog/copy.png = train/cat/3.png)"
)


def asked(data: Any, **fields: Any) -> Study:
    task = {"model": "convnet", "epochs": 1, "batch_size": 5}
    return Study(
        name="s", task=Task(data=data, **task | fields), strategies={"none": none()}, budget=Budget(trials=1), seeds=1
    )


def test_copies_across_splits_of_ones_own_are_a_warning_with_the_names_of_files(leaky: Path) -> None:
    (facts,) = data_facts(asked(str(leaky)), Loader())
    assert SAID in facts.sentences()
    assert facts.warnings() == [f"data {str(leaky)!r}: {SAID}: take them out of one"]


def test_copies_in_images_that_we_divide_are_said_and_no_warning(tmp_path: Path, leaky: Path) -> None:
    whole = tmp_path / "whole"
    shutil.copytree(leaky / "train", whole)
    for number in range(6):
        shutil.copy(whole / "cat" / f"{number}.png", whole / "cat" / f"again {number}.png")
        shutil.copy(whole / "dog" / f"{number}.png", whole / "dog" / f"again {number}.png")
    (facts,) = data_facts(asked(str(whole), val_fraction=0.3), Loader())
    assert sum(each["exact"] for each in facts.copies) > 0
    assert facts.warnings() == []


@pytest.mark.parametrize("data", ["digits", subset("digits", train=100, val=50), resized("digits", 4)])
def test_datasets_with_a_name_are_nobodys_to_mend(data: Any) -> None:
    (facts,) = data_facts(asked(data), Loader())
    assert facts.own_splits == ()


def test_a_run_warns_and_keeps_what_was_read_with_the_study(
    leaky: Path, store: Store, options: Options, caplog: pytest.LogCaptureFixture
) -> None:
    run(asked(str(leaky)), store, options=options)
    assert [record.getMessage() for record in caplog.records] == [f"data {str(leaky)!r}: {SAID}: take them out of one"]
    kept = (store.definition("s") or {})["data"][str(leaky)]
    assert (kept["images"], kept["copies"][0]["exact"]) == ({"train": 10, "val": 13, "test": 2}, 1)
    run(asked(str(leaky)), store, options=options)
    assert len(caplog.records) == 2, "again, as long as it is so"
    assert list((store.definition("s") or {})["data"]) == [str(leaky)]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    yield from calling(tmp_path, monkeypatch)


def test_the_command_line_warns_on_stderr_and_the_plan_has_the_width_of_a_score(call: Call, leaky: Path) -> None:
    (leaky / "s.py").write_text(
        study(task=f"Task(data={str(leaky)!r}, model='convnet', epochs=1, batch_size=5)", seeds="1", space="{}")
    )
    plan = " ".join(call("run", "s.py", "--dry-run").stdout.split())
    assert SAID in plan
    assert "13 validation images: a score of .85 is ± .19" in plan
    (facts,) = json.loads(call("run", "s.py", "--dry-run", "--json").stdout)["data"]
    assert facts["validation"] == {"accuracy": 0.85, "half_width": pytest.approx(half_width(0.85, 13), abs=1e-4)}
    result = call("run", "s.py", "-q")
    assert result.exit_code == 0
    assert result.stderr == f"warning: data {str(leaky)!r}: {SAID}: take them out of one\n"


@pytest.mark.parametrize(("accuracy", "images", "wide"), [(0.85, 80, 0.078), (0.5, 100, 0.096), (1.0, 10, 0.139)])
def test_the_width_of_a_score_is_that_of_wilsons_interval(accuracy: float, images: int, wide: float) -> None:
    from scipy.stats import binomtest

    low, high = binomtest(round(accuracy * images), images).proportion_ci(method="wilson")
    assert half_width(accuracy, images) == pytest.approx(wide, abs=5e-4)
    assert half_width(accuracy, images) == pytest.approx((high - low) / 2, abs=1e-9)
