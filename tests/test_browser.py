"""A real browser opens every page: what is there is drawn, nothing fails, nothing is asked of another machine."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from browser_for_tests import DARK, LIGHT, PHONE, browsing, needs_browser, tab
from studies_for_tests import tiny
from test_dashboard import served

from autoaug import Budget, run
from autoaug.cli._project import load_figures, shipped_root
from autoaug.compare import keep_policies, stored_comparison
from autoaug.execution import Options
from autoaug.page import publish, report
from autoaug.store import Store
from autoaug.strategies import none, randaugment, truncated

pytestmark = needs_browser

FIGURES = load_figures(shipped_root())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the storage of a finished study, whose second strategy moved its policy, and with its report."""
    folder = tmp_path_factory.mktemp("browser")
    store = Store(f"sqlite:///{folder / 'x.db'}")
    strategies = {"none": none(), "moving": truncated(), "ra": randaugment()}
    study = tiny(strategies=strategies, budget=Budget(trials=2), seeds=2)
    run(study, store, options=Options(artifacts=folder / "artifacts"))
    keep_policies(study, store)
    comparison = stored_comparison([(store, "tiny")])
    assert publish(store, comparison, FIGURES, folder / "artifacts") == []
    (folder / "report.html").write_text(report(comparison, FIGURES), encoding="utf-8")
    store.close()
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    with served(f"sqlite:///{folder / 'x.db'}", figures=FIGURES) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing() as opened:
        yield opened


@pytest.mark.parametrize("look", [LIGHT, DARK, PHONE], ids=["light", "dark", "phone"])
def test_every_page_draws_and_keeps_nobody_out(browser: Any, address: str, look: tuple[str, int]) -> None:
    with tab(browser, look) as opened:
        opened.go(f"{address}/autoaug/")
        assert opened.page.get_by_role("link", name="tiny").first.is_visible()
        assert not opened.overflows()
        assert opened.barriers() == []
        opened.page.get_by_role("link", name="tiny").first.click()
        opened.page.wait_for_url("**/study/tiny/")
        assert "no policy" in opened.page.locator(".sentence").inner_text()
        drawn = opened.draw_all()
        assert len(drawn) >= 9
        assert min(drawn.values()) > 0, drawn
        assert not opened.overflows()
        assert opened.barriers() == []


def test_the_way_to_a_trial_and_back(browser: Any, address: str) -> None:
    with tab(browser) as opened:
        opened.go(f"{address}/autoaug/study/tiny/")
        opened.page.get_by_role("link", name="best trial").first.click()
        opened.page.wait_for_url("**/dashboard/studies/*/trials?numbers=*")
        opened.page.get_by_text("val_accuracy").first.wait_for()
        opened.page.go_back()
        opened.page.get_by_role("link", name="Final runs in Optuna").click()
        opened.page.wait_for_url("**/dashboard/studies/*")
        opened.page.get_by_text("Study Artifacts").wait_for()
        assert not opened.page.get_by_text("Upload a New File").is_visible(), "it would be refused"
        opened.page.get_by_role("link", name="Note").click()
        opened.page.get_by_role("link", name="/autoaug/study/tiny/").click()
        opened.page.wait_for_url("**/autoaug/study/tiny/")
        assert opened.page.get_by_role("heading", name="Leaderboard").is_visible()


def test_the_report_opens_from_a_file(browser: Any, folder: Path) -> None:
    with tab(browser, DARK) as opened:
        opened.go((folder / "report.html").as_uri())
        drawn = opened.draw_all()
        assert len(drawn) >= 9
        assert min(drawn.values()) > 0, drawn
        assert opened.barriers() == []
    assert (folder / "report.html").stat().st_size < 6_000_000


def test_the_page_follows_its_storage_without_a_reload(browser: Any, folder: Path, tmp_path: Path) -> None:
    """It shows what is new, says that the storage is away, and goes on by itself once it is back."""
    file = tmp_path / "y.db"
    with closing(sqlite3.connect(folder / "x.db")) as one, closing(sqlite3.connect(file)) as other:
        one.backup(other)
    with served(f"sqlite:///{file}", figures=FIGURES) as port, tab(browser) as opened:
        opened.go(f"http://127.0.0.1:{port}/autoaug/study/tiny/")
        opened.page.evaluate("window.stayed = true")
        before = opened.page.locator("#provenance").inner_text()
        os.rename(file, tmp_path / "away.db")
        opened.wait_for("() => document.querySelector('#away').checkVisibility()")
        os.rename(tmp_path / "away.db", file)
        opened.wait_for("() => !document.querySelector('#away').checkVisibility()")
        assert opened.page.locator("#provenance").inner_text() == before
        assert opened.page.evaluate("window.stayed")
        opened.errors.clear()  # Chromium notes each answer 503
