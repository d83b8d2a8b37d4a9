"""A real browser opens every page: what is there is drawn, nothing fails, nothing is asked of another machine."""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from browser_for_tests import DARK, LIGHT, PATIENCE, PHONE, browsing, needs_browser, tab
from studies_for_tests import tiny
from test_dashboard import served

from autoaug import Budget, Task, run
from autoaug.cli._project import load_figures, shipped_root
from autoaug.compare import keep_policies, stored_comparison
from autoaug.execution import Event, Options
from autoaug.page import publish, report
from autoaug.record import TrialKind
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


def test_a_study_is_followed_from_its_first_trial_to_its_verdict_without_a_reload(browser: Any, tmp_path: Path) -> None:
    """It waits in its first trial, and before its last final run, until the page has shown that."""
    file, seen = tmp_path / "x.db", {kind: threading.Event() for kind in (TrialKind.SEARCH, TrialKind.FINAL)}
    study = tiny(strategies={"none": none(), "ra": randaugment()}, budget=Budget(trials=2), seeds=2)

    def wait(event: Event) -> None:
        if event.record and event.record.epoch == 1 and event.job.kind in seen:
            seen[event.job.kind].wait(PATIENCE / 1000)

    def work() -> None:
        with closing(Store(f"sqlite:///{file}")) as store:
            run(study, store, options=Options(artifacts=tmp_path / "artifacts"), listen=wait)
            keep_policies(study, store)

    with closing(Store(f"sqlite:///{file}")) as store:
        store.define(study.name, study.describe())
    with served(f"sqlite:///{file}", figures=FIGURES) as port, tab(browser) as opened:
        opened.go(f"http://127.0.0.1:{port}/autoaug/")
        opened.wait_for(says, [".badge", "waiting"])
        opened.go(f"http://127.0.0.1:{port}/autoaug/study/tiny/")
        opened.page.evaluate("window.stayed = true")
        assert "Nothing has run yet" in opened.page.locator(".sentence").inner_text()
        thread = threading.Thread(target=work)
        thread.start()
        try:
            opened.wait_for(says, [".badge", "running"])
            opened.wait_for(says, [".sentence", "none of the trials of 2 strategies has ended"])
            assert len(opened.draw_all()) < 3, "there is hardly anything to draw yet"
            seen[TrialKind.SEARCH].set()
            opened.wait_for(says, [".sentence", "leads on validation with"])
            opened.wait_for(says, [".chart", "Best val accuracy of each search so far"])
        finally:
            for each in seen.values():
                each.set()
            thread.join()
        opened.wait_for(says, [".badge", "finished"])
        opened.wait_for(says, [".sentence", "no policy"])
        opened.wait_for(says, [".chart", "Difference to none"])
        opened.wait_for(says, ["#policies", "operations"])
        opened.wait_for("() => [...document.querySelectorAll('figure[data-figure]')].filter(e => !e.hidden).length > 6")
        assert min(opened.draw_all().values()) > 0
        assert opened.page.evaluate("window.stayed")
        assert opened.barriers() == []


def test_states_that_show_little_are_said_on_cards_and_pages(browser: Any, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    with closing(Store(url)) as store:
        study = tiny(
            name="broken",
            space={},
            task=Task(data="digits", epochs=2),
            train=broken,
            strategies={"none": none()},
            budget=Budget(trials=1),
            seeds=1,
        )
        run(study, store, options=Options(artifacts=tmp_path / "artifacts"))
        store.define("newer", tiny().describe() | {"version": 10_000})
    with served(url, figures=FIGURES) as port, tab(browser, PHONE) as opened:
        opened.go(f"http://127.0.0.1:{port}/autoaug/")
        for said in ("Nothing to compare", "the lens cap was on", "version 10000"):
            assert said in opened.page.locator("#studies").inner_text()
        assert opened.barriers() == []
        for name, said in (("broken", "the lens cap was on"), ("newer", "version 10000"), ("brokn", "'broken'")):
            opened.go(f"http://127.0.0.1:{port}/autoaug/study/{name}/")
            assert said in opened.page.locator("main").inner_text()
            assert not opened.overflows()
            assert opened.barriers() == []
        assert len(opened.errors) == 2
        opened.errors.clear()  # Chromium notes the answers 422 and 404


def broken(trial: Any) -> Iterator[dict[str, float]]:
    """A loop that fails once its first epoch is over, which is all that is tried before a run."""
    yield {"val_accuracy": 0.5} | ({"test_accuracy": 0.5} if trial.final else {})
    raise RuntimeError("the lens cap was on")


says = "([place, said]) => document.querySelector(place)?.innerText.toLowerCase().includes(said.toLowerCase())"
"""In JavaScript: whether a place of a page says something; capitals are the style sheet's."""
