"""Three ways to hold photos: which is chosen, that none matters to a training, and the cache that processes share."""

import errno
import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from photos_for_tests import draw_photos, load_photos

from autoaug.cli._data import data_command
from autoaug.data import Data, DataError, as_float, load_data, resized
from autoaug.data._load import _divided, _held
from autoaug.mixing import MIXES
from autoaug.mixing import _neighbours as neighbours
from autoaug.photos import Photos
from autoaug.photos import _cache as caching
from autoaug.photos import _choice as choice
from autoaug.photos._cache import Mapped
from autoaug.photos._cache_folder import cache_entries, cache_folder, clear_cache
from autoaug.photos._photos import Flat
from autoaug.photos._streaming import Streamed
from autoaug.policy import Fixed, ready
from autoaug.record import Record
from autoaug.strategies import madao, none
from autoaug.study import Budget, Loader, Study, data_facts, preflight, set_up
from autoaug.train import Task, train

HOLDERS = {"memory": Flat, "cache": Mapped, "stream": Streamed}


def forget() -> None:
    """Let go of what this process keeps of data that it has loaded."""
    _held.cache_clear()
    _divided.cache_clear()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and nothing kept in this process."""
    monkeypatch.setenv("AUTOAUG_CACHE", str(tmp_path / "cache"))
    forget()
    return cache_folder()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return draw_photos(tmp_path / "photos")


def left(cache: Path) -> list[str]:
    """What lies in the cache, without locks."""
    return [path.name for path in cache.glob("*") if path.suffix != ".lock"] if cache.is_dir() else []


def photos_of(data: Data) -> Photos:
    assert isinstance(data.train.images, Photos)
    return data.train.images


def trained(folder: Path, hold: str) -> list[Record]:
    task = Task(
        data=str(folder), size=40, hold=hold, model="convnet", epochs=2, refine_epochs=1, batch_size=4, val_fraction=0.2
    )
    return list(train(task, Fixed(ready.trivialaugment()), MIXES["none"](), test=True))


def test_the_same_is_trained_however_photos_are_held(folder: Path) -> None:
    """Not only nearly: the records are equal, but for what they cost."""
    records = {hold: trained(folder, hold) for hold in HOLDERS}
    results = {hold: [(each.metrics, each.images) for each in done] for hold, done in records.items()}
    assert results["memory"] == results["cache"] == results["stream"]
    data = {hold: load_photos(folder, size=40, hold=hold) for hold in HOLDERS}
    assert {hold: type(photos_of(each).holder) for hold, each in data.items()} == HOLDERS
    assert len({each.fingerprint for each in data.values()}) == 1
    assert len({(each.mean, each.std, each.train.names) for each in data.values()}) == 1
    seen = [as_float(each.train.images) for each in data.values()]
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])


def test_minibatches_that_are_brought_ahead_are_those_that_are_asked_for(folder: Path) -> None:
    parts = [torch.tensor([3, 0]), torch.tensor([1]), torch.tensor([2, 3, 1, 0])]
    for hold in HOLDERS:
        split = load_photos(folder, size=40, hold=hold).train
        begun = split.minibatches(parts)
        next(begun)
        asked = as_float(split.taken(parts[2])[0])  # while others are under way
        for part, (images, targets) in zip(parts, split.minibatches(parts), strict=True):
            assert torch.equal(as_float(images), as_float(split.taken(part)[0]))
            assert torch.equal(targets, split.targets[part])
        assert torch.equal(asked, as_float(split.images)[parts[2]])


def test_what_is_said_of_how_photos_are_held(folder: Path) -> None:
    small = load_photos(folder, size=40)
    assert small.holding == "18 images, 146 kB decoded, in the memory of each trial"
    assert " decoded, in the cache on disk, " in load_photos(folder, size=40, hold="cache").holding
    assert load_photos(folder, size=40, hold="stream").holding.endswith(
        ", decoded anew in every epoch, by other processes (as asked)"
    )


def test_what_is_large_goes_to_the_cache_and_without_room_elsewhere(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(choice, "SMALL_BYTES", 1000)
    assert isinstance(photos_of(load_photos(folder, size=40)).holder, Mapped)
    monkeypatch.setenv("AUTOAUG_CACHE", str(cache / "no" / "such" / "entry"))
    (cache / "no").write_text("a file, where a folder should be")
    forget()
    assert isinstance(photos_of(load_photos(folder, size=40)).holder, Flat)
    assert "cannot be written (Not a directory): set AUTOAUG_CACHE" in caplog.text
    forget()
    monkeypatch.setattr(choice, "free_memory", lambda: 1000.0)
    assert isinstance(photos_of(load_photos(folder, size=40)).holder, Streamed)


# The cache


def counting(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The entries that are built from now on."""
    built: list[Path] = []
    build = caching.build

    def noted(order: Any, path: Path) -> None:
        built.append(path)
        build(order, path)

    monkeypatch.setattr(caching, "build", noted)
    return built


def test_photos_are_decoded_once_until_a_file_changes(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = counting(monkeypatch)
    for _ in range(2):
        data = load_photos(folder, size=40, hold="cache")
        forget()
    assert len(built) == 1
    os.utime(folder / "a" / "0.jpg", (0, 0))
    again = load_photos(folder, size=40, hold="cache")
    assert len(built) == 2
    assert again.fingerprint == data.fingerprint, "the pixels are the same"
    load_photos(folder, size=48, hold="cache")
    assert len(built) == 3
    assert sorted(left(cache)) == sorted(path.name for path in built)


def test_of_two_that_want_the_same_photos_one_waits(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    built, begun, waits = counting(monkeypatch), threading.Event(), threading.Event()
    write = caching.write

    def slowly(order: Any, path: Path) -> None:
        begun.set()
        assert waits.wait(20)
        write(order, path)

    class Waiting(caching.Lock):
        def acquire_patiently(self, mode: int, why: str) -> None:
            if begun.is_set():
                waits.set()
            super().acquire_patiently(mode, why)

    monkeypatch.setattr(caching, "write", slowly)
    monkeypatch.setattr(caching, "Lock", Waiting)
    results: list[Data] = []
    threads = [
        threading.Thread(target=lambda: results.append(load_photos(folder, size=40, hold="cache"))) for _ in range(2)
    ]
    threads[0].start()
    assert begun.wait(20)
    threads[1].start()
    for thread in threads:
        thread.join(30)
    assert len(results) == 2
    assert len(built) == 1
    assert torch.equal(*(as_float(data.train.images) for data in results))
    assert "waiting for another process, which decodes data" in caplog.text


KILLED = """
import os, sys
from autoaug.data import load_data
from autoaug.photos import _cache
save = _cache.numpy.save
_cache.numpy.save = lambda *given, **settings: os._exit(9)
load_data(sys.argv[1], size=40, hold="cache")
"""


def test_a_builder_that_is_killed_leaves_nothing_that_is_taken_for_whole(folder: Path, cache: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder)], timeout=120, check=False)
    assert done.returncode == 9
    assert [name.endswith(".building") for name in left(cache)] == [True]
    assert cache_entries(cache) == []
    data = load_photos(folder, size=40, hold="cache")
    assert torch.equal(as_float(data.train.images), as_float(load_photos(folder, size=40, hold="memory").train.images))
    assert [name.endswith(".building") for name in left(cache)] == [False]


def test_a_damaged_entry_is_built_anew(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_photos(folder, size=40, hold="cache")
    forget()
    [entry] = cache_entries(cache)
    (entry.path / "pixels.bin").write_bytes(b"cut short")
    built = counting(monkeypatch)
    assert as_float(load_photos(folder, size=40, hold="cache").train.images).std() > 0.1
    assert len(built) == 1


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_fills_leaves_nothing_half_made(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("posix_fallocate", "fsync"):  # at the beginning, and when all is written
        with monkeypatch.context() as patched:
            patched.setattr(os, name, full)
            with pytest.raises(DataError, match=r"^146 kB are needed, and the disk of .* set AUTOAUG_CACHE to"):
                load_photos(folder, size=40, hold="cache")
        assert left(cache) == []
    assert isinstance(photos_of(load_photos(folder, size=40, hold="cache")).holder, Mapped)


def test_a_folder_that_cannot_be_written_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AUTOAUG_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=rf"'{tmp_path}/file/photos' cannot be written \(.*\): set AUTOAUG_CACHE to"):
        load_photos(folder, size=40, hold="cache")


@pytest.mark.parametrize("given", ["many", "-1", "inf", "nan"])
def test_a_limit_that_is_none(given: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOAUG_CACHE_GIB", given)
    with pytest.raises(DataError, match=f"^AUTOAUG_CACHE_GIB='{given}': give a number of GiB"):
        load_photos(folder, size=40, hold="cache")


def test_the_least_recently_used_make_room_and_what_is_used_stays(
    folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Data] = []
    for size in (40, 41, 42):
        data = load_photos(folder, size=size, hold="cache")
        kept += [data] if size == 40 else []
    del data
    forget()
    for age, entry in enumerate(sorted(cache_entries(cache), key=lambda entry: -entry.shorter)):
        os.utime(entry.path / "about.json", (1000 - age, 1000 - age))
    assert [entry.shorter for entry in cache_entries(cache)] == [46, 47, 48]
    total = sum(entry.bytes for entry in cache_entries(cache))
    monkeypatch.setenv("AUTOAUG_CACHE_GIB", str((total + 30_000) / 2**30))
    load_photos(folder, size=44, hold="cache")
    forget()
    assert [entry.shorter for entry in cache_entries(cache)] == [46, 48, 50], "46 is older than 47, but in use"
    assert as_float(kept[0].train.images).std() > 0.1
    monkeypatch.setenv("AUTOAUG_CACHE_GIB", "0.0000001")
    with pytest.raises(DataError, match=r"are in use; raise AUTOAUG_CACHE_GIB, or give Task.hold='stream'"):
        load_photos(folder, size=45, hold="cache")
    cleared, used = clear_cache(cache)
    assert ([entry.shorter for entry in cleared], [entry.shorter for entry in used]) == ([], [46])


def test_nothing_is_left_of_a_cache_that_is_cleared(folder: Path, cache: Path) -> None:
    load_photos(folder, size=40, hold="cache")
    forget()
    (cache / "1234.building").mkdir()
    cleared, used = clear_cache(cache)
    assert (len(cleared), used, list(cache.iterdir())) == (1, [], [])


# Files that cannot be read


@pytest.mark.parametrize("hold", HOLDERS)
def test_broken_files_stop_a_run_or_are_left_out_and_counted(folder: Path, cache: Path, hold: str) -> None:
    (folder / "a" / "2.jpg").write_bytes((folder / "a" / "2.jpg").read_bytes()[:900])
    (folder / "b" / "x.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r": 2 of 19 images cannot be read: 'a/2.jpg' \(.*\), 'b/x.jpg' \(empty\): "):
        load_photos(folder, size=40, hold=hold)
    assert left(cache) == []
    data = load_photos(folder, size=40, hold=hold, skip_bad=True)
    names = [name for split in (data.train, data.val, data.test) if split for name in split.names]
    assert len(names) == len(set(names)) == 17
    assert not {"a/2.jpg", "b/x.jpg"} & set(names)
    assert data.reading is not None
    assert [each.partition(" ")[0] for each in data.reading.left_out] == ["a/2.jpg", "b/x.jpg"]
    assert as_float(data.train.images).flatten(1).std(1).min() > 0.01


def test_a_class_of_which_nothing_can_be_read(folder: Path) -> None:
    for path in (folder / "a").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"^class 'a' of data .* has 0 training images"):
        load_photos(folder, size=40, skip_bad=True)


def test_a_photo_that_vanishes_while_it_is_streamed_is_named(folder: Path) -> None:
    data = load_photos(folder, size=40, hold="stream")
    first = data.train.names[0]
    (folder / first).unlink()
    with pytest.raises(DataError, match=rf"{first}' cannot be read any more \(No such file or directory\): it could"):
        as_float(data.train.images[:1])


# On the command line


def test_the_command_lists_what_is_kept_and_takes_it_away(
    folder: Path, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load_photos(folder, size=40, hold="cache")
    data_command(clear=True)
    assert "0 entries taken from" in capsys.readouterr().out, "this process uses it"
    forget()
    data_command(as_json=True)
    listed = json.loads(capsys.readouterr().out)
    assert listed["cache"] == str(cache.parent)
    [entry] = listed["entries"]
    assert (entry["data"], entry["images"], entry["shorter_side"]) == (f"data '{folder}'", 18, 46)
    data_command()
    assert f"1 entry in {cache.parent}, 0 MB" in capsys.readouterr().out
    data_command(clear=True)
    assert f"1 entry taken from {cache.parent}, 0 MB freed" in capsys.readouterr().out
    data_command()
    assert "nothing is kept" in capsys.readouterr().out


def test_tables_of_neighbours_are_listed_and_taken_away_with_the_photos(
    folder: Path, cache: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "WORTH_KEEPING", 0)
    load_photos(folder, size=40, hold="cache")
    images = torch.arange(50.0).view(10, 5)
    neighbours.kept(images, None, 3)
    forget()
    data_command(as_json=True)
    [photos, table] = json.loads(capsys.readouterr().out)["entries"]
    assert (table["data"], table["images"], table["shorter_side"]) == ("3 nearest neighbours", 10, None)
    assert table["bytes"] == 4 * 3 * 10 + 128, "a header of numpy's"
    data_command()
    assert "3 nearest neighbours" in capsys.readouterr().out
    room = photos["bytes"] + table["bytes"] + 60
    monkeypatch.setenv("AUTOAUG_CACHE_GIB", str(room / 2**30))
    neighbours.kept(images, None, 2)
    assert {entry.what for entry in cache_entries(cache)} == {"3 nearest neighbours", "2 nearest neighbours"}
    monkeypatch.setenv("AUTOAUG_CACHE_GIB", "0")
    assert torch.equal(neighbours.kept(images, None, 4), neighbours.nearest(images, None, 4)), "it is not kept"
    data_command(clear=True)
    data_command()
    assert "nothing is kept" in capsys.readouterr().out
    assert [each for each in cache.parent.rglob("*") if each.is_file()] == []


# In a study


def study_of(folder: Path, **settings: Any) -> Study:
    task = Task(data=str(folder), size=40, model="convnet", epochs=2, batch_size=4, val_fraction=0.2, **settings)
    strategies = {"none": none(), "madao": madao()}
    return Study(name="photos", task=task, strategies=strategies, budget=Budget(trials=1))


@pytest.mark.parametrize("hold", HOLDERS)
def test_a_study_of_photos_can_be_tried_and_searched(folder: Path, hold: str) -> None:
    study, load = study_of(folder, hold=hold), Loader()
    preflight(study, load)
    setup = set_up(study, "madao", {}, search=True)
    records = list(train(study.task, setup.policy, setup.mix, setup.learner, data=load(study.task)))
    assert records[-1].metrics["hyper_updates"] > 0


def test_the_plan_says_what_is_kept_of_photos_and_what_is_left_out(folder: Path) -> None:
    (folder / "b" / "x.jpg").write_bytes(b"")
    (facts,) = data_facts(study_of(folder, skip_bad=True), Loader())
    lines = facts.sentences()
    assert lines[1:5] == [
        "read from 18 files of 133 x 160 to 300 x 150 pixels",
        "left out, for they cannot be read: 1 file (b/x.jpg (empty))",
        "the shorter side of each resized to 46 pixels, smaller ones enlarged; seen at 40 x 40",
        "held: 19 images, 146 kB decoded, in the memory of each trial",
    ]
    assert lines[-1] == "always on: resized-crop+flip (colour photos of your own)"
    assert json.loads(json.dumps(asdict(facts)))["files"]["left_out"] == ["b/x.jpg (empty)"]


def test_how_photos_are_held_makes_no_other_study(folder: Path) -> None:
    held = [study_of(folder, hold=hold).describe() for hold in HOLDERS]
    assert held[0] == held[1] == held[2]
    assert "hold" not in held[0]["task"]
    assert replace(study_of(folder).task, size=48) != study_of(folder).task


def test_a_size_larger_than_what_data_are_resized_to_names_both(folder: Path) -> None:
    for data in (resized(str(folder), 32), resized("digits", 4)):
        side = 32 if data.size == 32 else 4
        with pytest.raises(DataError, match=rf"^Task.size=64 is larger than the {side} pixels that .* is resized to"):
            load_data(data, size=64)
    assert load_data(resized(str(folder), 32), test_fraction=0.3, val_fraction=0.3).train.images.shape[2:] == (32, 32)


@pytest.mark.parametrize(("size", "expected"), [(4, (4, 4)), (12, (12, 12)), (None, (8, 8))])
def test_tensors_are_resized_where_a_size_is_asked_for(size: int | None, expected: tuple[int, int]) -> None:
    data = load_data("digits-100", size=size)
    assert data.train.images.shape[2:] == expected
    assert 0 <= float(as_float(data.train.images).min()) < float(as_float(data.train.images).max()) <= 1
