"""The gallery on a page: each window shows the cell that its caption is about, and a moving policy has a slider."""

import hashlib
import re
from dataclasses import replace
from pathlib import Path

from outcomes_for_tests import comparison, finals
from test_site import ask

from autoaug.gallery import Cell, Doubt, Gallery, Images, Sheet, Sheets
from autoaug.page._pictures import gallery_view
from autoaug.page._report import Pictures, report
from autoaug.page._site import Site
from autoaug.page._templates import pieces
from autoaug.page._view import study_view
from autoaug.store import Store, keep_sheets

NAMES = [f"{digit * 32}.webp" for digit in "0123"]
IMAGES = Images(NAMES[0], ("cat", "<dog>"), width=20, height=10)


def sheet(picture: str, epoch: int | None = None, doubt: Doubt | None = None) -> Sheet:
    cells = tuple(
        tuple(Cell(f"rotate {row}{at}", doubt if row and at else None) for at in range(3)) for row in range(2)
    )
    return Sheet(picture, epoch, cells)


def gallery() -> Gallery:
    moving = Sheets(IMAGES, (sheet(NAMES[2], 1), sheet(NAMES[3], 9)))
    return Gallery({"none": Sheets(IMAGES, (sheet(NAMES[1], None, Doubt("cat", 0.97)),), checked=True), "ra": moving})


def test_a_window_lies_over_the_cell_of_its_caption() -> None:
    view = gallery_view(gallery(), str, {"none": 0, "ra": 1}, ["ra", "none"])
    assert view is not None
    assert [(each.name, each.hue, each.epochs) for each in view.columns] == [("ra", 1, [1, 9]), ("none", 0, [None])]
    draw = view.columns[1].rows[1][0].draws[2]
    assert (draw.sprite, draw.left, draw.top, draw.caption) == (NAMES[1], 40, 10, "rotate 12")
    assert draw.doubt == "seen as cat, 97 %"
    sizes = {each.name: (each.width, each.height) for each in view.sprites}
    assert sizes == {NAMES[0]: (20, 20), **dict.fromkeys(NAMES[1:], (60, 20))}
    before, after = view.strip[1]
    assert (view.winner, before.caption, before.top, after.sprite) == ("ra", "<dog>", 10, NAMES[3])


def test_strategies_without_pictures_say_why_and_an_empty_gallery_is_none() -> None:
    assert gallery_view(Gallery({}), str, {}, ["ra"]) is None
    view = gallery_view(Gallery({"ra": Sheets(None, note="rows are no pictures")}), str, {}, ["ra"])
    assert view is not None
    assert (view.columns, view.notes) == ([], ["ra: rows are no pictures"])


def test_the_page_has_a_slider_for_a_policy_that_moves_and_text_under_each_picture() -> None:
    found = comparison([*finals("none", {0: 0.5, 1: 0.6}), *finals("ra", {0: 0.7, 1: 0.8})])
    parts = pieces(study_view(found, gallery=gallery(), address=lambda name: f"../{name}"), "../../")
    assert re.findall(r'data-epochs="([^"]*)"', parts["gallery"]) == ["1 9"]
    assert parts["gallery"].count("<figcaption>") == 2 + 3 * 2 * 3
    assert "&lt;dog&gt;" in parts["gallery"]
    assert "<dog>" not in parts["gallery"]
    assert parts["sprites"].count('<image id="') == 4
    assert "seen as cat, 97 %" in parts["gallery"]


def test_the_report_holds_its_pictures_whole() -> None:
    content = b"RIFF" + bytes(range(256)) * 20
    page = report(comparison(finals("none", {0: 0.5})), {}, Pictures(gallery(), dict.fromkeys(NAMES, content)))
    held = re.findall(r'href="data:image/webp;base64,([^"]*)"', page)
    assert len(held) == 4
    assert min(map(len, held)) > len(content), "nothing is left out in the middle"


def test_pictures_are_served_by_the_names_of_the_gallery_and_no_other(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    kept = {f"{hashlib.sha256(content).hexdigest()[:32]}.webp": content for content in (b"zero", b"one")}
    original, drawn = kept
    sheets = Sheets(replace(IMAGES, picture=original), (sheet(drawn),))
    keep_sheets(store, "s", "ra", sheets, kept, tmp_path / "artifacts")
    found = ask(site := Site(store, {}), f"picture/s/{drawn}")
    assert (found.status, found.body, found.headers["Content-Type"]) == (200, b"one", "image/webp")
    for other in (NAMES[3], "../x.db", "%2e%2e/x.db"):
        refused = ask(site, f"picture/s/{other}")
        assert (refused.status, "no picture" in refused.plain["reason"]) == (404, True)
