"""What a study came to stands in Optuna's own pages, and nothing that a user wrote there is lost."""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bottle
import optuna
import optuna_dashboard
import plotly.graph_objects as go
import pytest
from optuna.artifacts import get_all_artifact_meta, upload_artifact
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna_dashboard import get_note, save_note
from studies_for_tests import tiny

from autoaug import Budget, run
from autoaug.artifacts import Folder
from autoaug.compare import Comparison, sentence, stored_comparison
from autoaug.execution import Options
from autoaug.gallery import Images, Sheet, Sheets, name_of
from autoaug.page import publish
from autoaug.page._artifacts import OURS, PlaceArtifacts, StoredArtifacts
from autoaug.page._publish import MOST_BYTES, escaped, merged, note
from autoaug.store import Store, keep_sheets

PICTURES = {f"{OURS}images.webp": b"images", f"{OURS}images-by-ra.webp": b"images that ra changed"}
"""What `illustrate` keeps, by what Optuna calls it."""


def illustrate(store: Store, where: Path, by_ra: bytes = b"images that ra changed") -> None:
    """Keep a gallery of the strategy ra, of two epochs."""
    images, early = b"images", b"early"
    pictures = {name_of(content): content for content in (images, early, by_ra)}
    by_epoch = tuple(Sheet(name_of(content), epoch, ((),)) for epoch, content in ((1, early), (2, by_ra)))
    sheets = Sheets(Images(name_of(images), ("cat",), 8, 8), by_epoch)
    keep_sheets(store, "tiny", "ra", sheets, pictures, where)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a storage of a finished study, which no test changes."""
    folder = tmp_path_factory.mktemp("published")
    store = Store(f"sqlite:///{folder / 'x.db'}")
    run(tiny(budget=Budget(trials=1), seeds=1), store, options=Options(artifacts=folder / "artifacts"))
    with store.engine.begin() as connection:  # tests make galleries of their own
        connection.exec_driver_sql("DELETE FROM autoaug_galleries")
    store.close()
    return folder


@pytest.fixture
def store(ran: Path, tmp_path: Path) -> Iterator[Store]:
    """A copy of it."""
    for file in ran.glob("x.db*"):
        shutil.copy(file, tmp_path)
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    yield store
    store.close()


@pytest.fixture
def comparison(store: Store) -> Comparison:
    return stored_comparison([(store, "tiny")], with_importance=False)


def drawn(points: int) -> Callable[[Comparison], go.Figure]:
    """A figure of so many points."""
    return lambda comparison: go.Figure(go.Scatter(y=list(range(points)))).update_layout(height=900, width=1200)


def ask(store: Store, path: str) -> tuple[str, bytes]:
    """What a bare Optuna Dashboard over a storage answers."""
    app: bottle.Bottle = optuna_dashboard.wsgi(store.optuna, artifact_store=StoredArtifacts(store))
    said: list[str] = []
    environment = {"REQUEST_METHOD": "GET", "PATH_INFO": path, "wsgi.errors": None, "SERVER_NAME": "x"}
    body = b"".join(app(environment, lambda status, headers, *_: said.append(status)))
    return said[0], body


def page_of(store: Store, substudy: str) -> dict[str, Any]:
    """What the page of an Optuna study is drawn from."""
    study = optuna.load_study(study_name=f"tiny/{substudy}", storage=store.optuna)
    return json.loads(ask(store, f"/api/studies/{study._study_id}")[1])


def written(store: Store) -> int:
    """How many bytes of attributes Optuna's studies have."""
    return sum(len(json.dumps(each.system_attrs)) for each in store.optuna.get_all_studies())


def test_a_bare_dashboard_shows_figures_note_and_pictures(store: Store, comparison: Comparison, tmp_path: Path) -> None:
    figures = {"race": drawn(5), "final": drawn(3), "a figure of the user's": drawn(2)}
    illustrate(store, tmp_path / "a")
    assert publish(store, comparison, figures, tmp_path / "a") == []
    page = page_of(store, "leaderboard")
    graphs = {each["id"]: json.loads(each["graph_object"]) for each in page["plotly_graph_objects"]}
    assert set(graphs) == {"autoaug-race", "autoaug-final"}
    assert graphs["autoaug-race"]["layout"].keys() & {"height", "width"} == set()
    assert sentence(comparison) in page["note"]["body"].replace("\\", "")
    assert {each["filename"] for each in page["artifacts"]} == set(PICTURES)
    assert {each["mimetype"] for each in page["artifacts"]} == {"image/webp"}
    assert page["objective_names"] == ["test_accuracy", "gpu_seconds"], "two of them draw the native Pareto front"
    study = store.leaderboard("tiny")
    for each in page["artifacts"]:
        status, body = ask(store, f"/artifacts/{study._study_id}/{each['artifact_id']}")
        assert (status[:3], body) == ("200", PICTURES[each["filename"]])


def test_every_page_of_the_study_has_a_note_that_leads_to_the_others(
    store: Store, comparison: Comparison, tmp_path: Path
) -> None:
    publish(store, comparison, {}, tmp_path / "a")
    numbers = {each.study_name: each._study_id for each in store.optuna.get_all_studies()}
    for substudy in ("leaderboard", "none", "ra"):
        text = page_of(store, substudy)["note"]["body"]
        others = {number for name, number in numbers.items() if name != f"tiny/{substudy}"}
        assert all(f"](/dashboard/studies/{number})" in text for number in others)
        assert f"](/dashboard/studies/{numbers[f'tiny/{substudy}']})" not in text
        assert f"?ids={numbers['tiny/none']},{numbers['tiny/ra']})" in text
        assert "](/autoaug/study/tiny/)" in text
        assert text.count("\n| ") == 4, "headings, their line, two strategies"
    assert "ra: " in page_of(store, "ra")["note"]["body"]


def test_what_has_not_changed_is_not_written_again(
    store: Store, comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = {"race": drawn(5)}
    illustrate(store, tmp_path / "a")
    publish(store, comparison, figures, tmp_path / "a")
    before = written(store)
    writes: list[str] = []
    monkeypatch.setattr(store.optuna, "set_study_system_attr", lambda study, key, value: writes.append(key))
    monkeypatch.setattr(Folder, "write", lambda place, name, content: writes.append(name))
    assert publish(store, comparison, figures, tmp_path / "a") == []
    assert writes == []
    assert written(store) == before


def shown_by(store: Store) -> dict[str, bytes]:
    """The artifacts that the page of the final runs shows."""
    number = store.leaderboard("tiny")._study_id
    found = page_of(store, "leaderboard")["artifacts"]
    return {each["filename"]: ask(store, f"/artifacts/{number}/{each['artifact_id']}")[1] for each in found}


def test_pictures_that_changed_are_replaced_and_old_ones_go(
    store: Store, comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, study = tmp_path / "a", store.leaderboard("tiny")
    theirs = tmp_path / "mine.png"
    theirs.write_bytes(b"of a user")
    upload_artifact(artifact_store=PlaceArtifacts(Folder(where)), file_path=str(theirs), study_or_trial=study)
    illustrate(store, where)
    publish(store, comparison, {}, where)
    illustrate(store, where, b"other images")
    publish(store, comparison, {}, where)
    assert shown_by(store) == PICTURES | {"mine.png": b"of a user", f"{OURS}images-by-ra.webp": b"other images"}
    with monkeypatch.context() as without:
        without.setattr("autoaug.page._publish.gallery_of", lambda store, name: None)
        publish(store, comparison, {}, where)
    assert shown_by(store) == {"mine.png": b"of a user"}
    assert len(list((where / "optuna").iterdir())) == 1


def test_a_place_that_cannot_be_written_is_a_line_and_leaves_no_broken_picture(
    store: Store, comparison: Comparison, tmp_path: Path
) -> None:
    illustrate(store, tmp_path / "gallery")
    (tmp_path / "a").write_text("a file where the folder should be")
    (said,) = publish(store, comparison, {}, tmp_path / "a")
    assert said.startswith("Optuna's pages of tiny show no new pictures: ")
    assert page_of(store, "leaderboard")["artifacts"] == []
    assert "| ra" in page_of(store, "leaderboard")["note"]["body"], "the rest is there"


def test_a_figure_that_fails_is_a_line(store: Store, comparison: Comparison, tmp_path: Path) -> None:
    def broken(comparison: Comparison) -> Any:
        raise KeyError("mine")

    (said,) = publish(store, comparison, {"race": broken}, tmp_path / "a")
    assert "the figure 'race' fails: KeyError: 'mine'" in said


def test_figures_that_are_large_or_empty_are_left_out(store: Store, comparison: Comparison, tmp_path: Path) -> None:
    figures = {"effect": lambda comparison: go.Figure(), "final": drawn(MOST_BYTES), "race": drawn(5)}
    assert publish(store, comparison, figures, tmp_path / "a") == []
    (graph,) = page_of(store, "leaderboard")["plotly_graph_objects"]
    assert graph["id"] == "autoaug-race"


def test_a_storage_that_may_only_be_read_stays_as_it_is(
    store: Store, comparison: Comparison, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = written(store)
    illustrate(store, tmp_path / "gallery")
    monkeypatch.setattr(store, "read_only", "it lies on a medium that takes no writes")
    assert publish(store, comparison, {"race": drawn(5)}, tmp_path / "a") == []
    assert written(store) == before
    assert not (tmp_path / "a").exists()


def test_what_a_user_wrote_beside_our_part_stays(store: Store, comparison: Comparison, tmp_path: Path) -> None:
    study = store.leaderboard("tiny")
    save_note(study, "# Mine\n\nFirst thoughts.")
    publish(store, comparison, {}, tmp_path / "a")
    save_note(study, f"{get_note(study)}\n\nAfterthoughts.")
    renewed = replace(comparison, rows=comparison.rows[:1])
    publish(store, renewed, {}, tmp_path / "a")
    text = get_note(study)
    assert text.startswith("# Mine\n\nFirst thoughts.\n\n")
    assert text.endswith("\n\nAfterthoughts.")
    assert note(renewed, "leaderboard", {}).splitlines()[0] in text
    assert text.count("autoaug ends") == 1


def test_a_note_whose_part_of_ours_was_changed_by_hand_stays() -> None:
    first = merged("", "we say **this**")
    assert merged(first, "and now that") != first
    changed = first.replace("this", "something else")
    assert merged(changed, "and now that") == changed


@pytest.mark.parametrize(
    ("given", "shows"),
    [
        ("a | b", r"a \| b"),
        ("`code`", r"\`code\`"),
        ("[x](javascript:alert(1))", r"\[x\](javascript:alert(1))"),
        ("![x](http://a.b/c.png)", "!\\[x\\](http:\N{WORD JOINER}//a.b/c.png)"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("&lt;b&gt;", "&amp;lt;b&amp;gt;"),
        ("two\nlines\r\n# title", "two lines # title"),
        ("# title", r"\# title"),
        ("- item", r"\- item"),
        ("1. item", r"1\. item"),
        ("0.95 ± 0.01", "0.95 ± 0.01"),
        ("*a* _b_ ~c~ \\", r"\*a\* \_b\_ \~c\~ \\"),
        ("www.a.b or me@a.b", "www\N{WORD JOINER}.a.b or me\N{WORD JOINER}@a.b"),
        ("\x1b[31m", r"\\x1b\[31m"),
    ],
)
def test_names_and_reasons_are_no_markup(given: str, shows: str) -> None:
    assert escaped(given) == shows


def test_a_name_with_a_bar_takes_no_cell_of_its_own(comparison: Comparison) -> None:
    rows = [replace(row, name=f"{row.name} | <img src=x onerror=alert(1)>") for row in comparison.rows]
    text = note(replace(comparison, rows=rows), "leaderboard", {"leaderboard": 1})
    lines = [line.replace(r"\|", "") for line in text.splitlines() if line.startswith("| ")]
    assert len({line.count("|") for line in lines}) == 1
    assert "<img" not in text


def test_a_long_table_says_how_much_of_it_is_elsewhere(comparison: Comparison) -> None:
    rows = [replace(comparison.rows[0], name=f"s{k}") for k in range(50)]
    text = note(replace(comparison, rows=rows), "leaderboard", {"leaderboard": 1})
    assert "10 more rows: `autoaug compare`" in text


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/b", "", ".hidden", "x" * 500])
def test_no_id_leads_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactNotFound):
        PlaceArtifacts(Folder(tmp_path)).open_reader(name)


def test_an_artifact_that_is_gone_is_not_found(store: Store, comparison: Comparison, tmp_path: Path) -> None:
    illustrate(store, tmp_path / "gallery")
    publish(store, comparison, {}, tmp_path / "a")
    shutil.rmtree(tmp_path / "a")
    (first, *_) = get_all_artifact_meta(study_or_trial=store.leaderboard("tiny"))
    served = StoredArtifacts(store)
    for artifact_id in (first.artifact_id, "0" * 8):
        with pytest.raises(ArtifactNotFound):
            served.open_reader(artifact_id)
    publish(store, comparison, {}, tmp_path / "a")
    assert served.open_reader(first.artifact_id).read() in PICTURES.values(), "the next run brings it back"
