"""The pages of studies: what they say of any state of a study, and that they follow it without work in vain."""

import html
import json
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from studies_for_tests import tiny
from waiting_for_tests import until

from autoaug import Budget, run
from autoaug.compare import Comparison, keep_policies
from autoaug.execution import Event, Options
from autoaug.page._chart import HUES
from autoaug.page._site import Site
from autoaug.record import TrialKind
from autoaug.store import Store
from autoaug.strategies import none
from dashboards.style import COLOURS

NAME = "tiny"


def question(comparison: Comparison) -> go.Figure:
    return go.Figure(go.Bar(x=comparison.strategies, y=[1] * len(comparison.strategies)))


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def plain(self) -> Any:
        return json.loads(self.body)


def ask(site: Site, path: str, query: str = "", **environ: str) -> Reply:
    """An answer of a site, without a server."""
    found: list[Any] = []
    given = {"PATH_INFO": f"/autoaug/{path}".encode().decode("latin-1"), "QUERY_STRING": query, "REQUEST_METHOD": "GET"}
    parts = site(given | environ, lambda status, headers: found.extend((status, headers)))
    return Reply(int(found[0][:3]), dict(found[1]), b"".join(parts))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A storage with a finished study, which no test changes."""
    folder = tmp_path_factory.mktemp("site")
    store = Store(f"sqlite:///{folder / 'x.db'}")
    study = tiny(budget=Budget(trials=1))
    run(study, store, options=Options(artifacts=folder / "artifacts"))
    keep_policies(study, store)
    return store


@pytest.fixture(scope="module")
def site(finished: Store) -> Site:
    return Site(finished, {"question": question})


def test_the_list_says_of_each_study_how_it_stands(site: Site) -> None:
    page = ask(site, "")
    assert page.status == 200
    assert 'href="study/tiny/">tiny</a>' in page.text
    assert "finished" in page.text
    assert "of 1 trial" not in page.text, "what it has cost is on the list, trials are on its page"


def test_the_page_of_a_study_needs_no_script_for_its_tables(site: Site) -> None:
    page = ask(site, f"study/{NAME}/").text
    without = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    for told in ("Result on the test split", "Search and its cost", "ra", "git commit", "autoaug run"):
        assert told in without


def test_every_address_on_a_page_is_relative(site: Site) -> None:
    for path in ("", f"study/{NAME}/"):
        for address in re.findall(r'(?:href|src|data-api|data-figure)="([^"]*)"', ask(site, path).text):
            assert not address.startswith(("/", "http")), address


def test_no_script_or_style_stands_within_a_page(site: Site) -> None:
    for path in ("", f"study/{NAME}/", "study/unknown/"):
        page = ask(site, path)
        assert "<style" not in page.text
        assert " style=" not in page.text
        assert not re.search(r"\son[a-z]+=", page.text)
        assert re.findall(r"<script[^>]*>(.*?)</script>", page.text) in ([], [""], ["", ""])
        assert "script-src 'self';" in page.headers["Content-Security-Policy"]


def test_links_lead_to_the_native_pages(site: Site, finished: Store) -> None:
    ids = [int(each) for each in re.findall(r"/dashboard/studies/([0-9]+)\"", ask(site, f"study/{NAME}/").text)]
    names = {study._study_id: study.study_name for study in finished.optuna.get_all_studies()}
    assert {names[each] for each in ids} == {f"{NAME}/none", f"{NAME}/ra", f"{NAME}/leaderboard"}


def test_what_has_not_changed_is_not_sent_again(site: Site) -> None:
    for path in (f"api/study/{NAME}.json", "api/studies.json", f"figure/{NAME}/question.json", "static/page.css", ""):
        first = ask(site, path)
        again = ask(site, path, HTTP_IF_NONE_MATCH=first.headers["ETag"])
        assert (first.status, again.status, again.body) == (200, 304, b""), path


def test_the_parts_of_a_page_are_those_that_are_followed(site: Site) -> None:
    page = ask(site, f"study/{NAME}/").text
    on_page = dict(re.findall(r'data-part="([^"]+)" data-mark="([^"]+)"', page))
    followed = ask(site, f"api/study/{NAME}.json").plain
    assert on_page == {name: part["mark"] for name, part in followed["parts"].items()}
    assert f'data-stamp="{followed["stamp"]}"' in page
    for part in followed["parts"].values():
        assert part["html"] in page


def test_a_figure_is_sent_when_it_is_asked_for(site: Site) -> None:
    figure = ask(site, f"figure/{NAME}/question.json").plain
    assert figure["data"][0]["x"] == ["none", "ra"]
    wrong = ask(site, f"figure/{NAME}/other.json")
    assert (wrong.status, wrong.plain) == (
        404,
        {"reason": "there is no figure 'other' in dashboards/: there are question"},
    )


def test_a_figure_does_not_wait_for_the_importance_of_dimensions(finished: Store) -> None:
    def mattered(comparison: Comparison) -> go.Figure:
        return go.Figure(go.Bar(x=list(comparison.importance.strategies), y=[1]))

    may_end, site = threading.Event(), Site(finished, {"mattered": mattered})
    measured = site.studies.measure
    site.studies.measure = lambda name, known: may_end.wait() and measured(name, known)  # type: ignore[method-assign]
    first = ask(site, f"figure/{NAME}/mattered.json")
    assert first.headers["Retry-After"] == "3"
    may_end.set()
    until(lambda: "Retry-After" not in ask(site, f"figure/{NAME}/mattered.json").headers)


def test_files_of_a_study_can_be_taken_along(site: Site) -> None:
    table = ask(site, f"download/{NAME}/leaderboard.csv")
    assert table.text.startswith("strategy,test_mean,")
    assert table.headers["Content-Disposition"] == 'attachment; filename="leaderboard.csv"'
    tree = ask(site, f"download/{NAME}/policy.json", query="strategy=ra")
    assert tree.plain["provenance"]["strategy"] == "ra"
    assert "import" in ask(site, f"download/{NAME}/policy.py", query="strategy=ra").text
    missing = ask(site, f"download/{NAME}/policy.json", query="strategy=other")
    assert (missing.status, "no policy of other is kept" in missing.text) == (404, True)


def test_a_running_study_is_followed_without_a_look_at_differences(tmp_path: Path) -> None:
    store, during = Store(f"sqlite:///{tmp_path / 'x.db'}"), []
    site = Site(store, {"question": question})

    def look(event: Event) -> None:
        if event.record and event.record.epoch == 1 and event.job.kind is TrialKind.FINAL:
            during.append(ask(site, "api/study/tiny.json").plain)
            looks.append(len(store.looks("tiny")))

    looks: list[int] = []
    study = tiny(space={}, strategies={"none": none(), "ra": none()}, budget=Budget(trials=1), seeds=3)
    run(study, store, options=Options(artifacts=tmp_path / "artifacts"), listen=look)
    assert set(looks) == {0}
    first, *_, last = during
    assert first["stamp"] != last["stamp"]
    assert ">running</span>" in first["parts"]["state"]["html"]
    assert "Difference to none" not in last["parts"]["chart"]["html"], "while final runs are missing nobody looks"
    ended = ask(site, "api/study/tiny.json").plain
    assert ">finished</span>" in ended["parts"]["state"]["html"]
    assert "Difference to none" in ended["parts"]["chart"]["html"]
    changed = {name for name, part in ended["parts"].items() if part["mark"] != last["parts"][name]["mark"]}
    assert {"answer", "state", "chart", "leaderboard", "searches"} <= changed
    assert not {"diagnostics", "policies"} & changed


def test_a_comparison_is_made_once_for_each_state_of_a_storage(
    site: Site, finished: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask(site, f"study/{NAME}/")
    monkeypatch.setattr("autoaug.page._known.stored_comparison", None)
    for path in ("", f"study/{NAME}/", f"api/study/{NAME}.json", "api/studies.json"):
        assert ask(site, path).status == 200, "what was known is still true"


def test_a_study_of_a_newer_version_says_so_among_the_others(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    study = tiny()
    store.define("old", study.describe())
    store.define("new", study.describe() | {"version": 10_000})
    site = Site(store, {})
    cards = ask(site, "api/studies.json").plain["parts"]
    assert "Nothing has run yet" in cards["old"]["html"]
    assert ">waiting</span>" in cards["old"]["html"]
    assert "version" in cards["new"]["html"]
    assert 'class="warning"' in cards["new"]["html"]
    page = ask(site, "study/new/")
    assert (page.status, "version" in page.text) == (422, True)
    assert ask(site, "study/old/").status == 200


def test_an_empty_storage_says_what_comes_first(tmp_path: Path) -> None:
    page = ask(Site(Store(f"sqlite:///{tmp_path / 'x.db'}"), {}), "")
    assert "autoaug run studies/quickstart.py" in page.text


def test_a_figure_that_fails_is_said_in_its_place(finished: Store) -> None:
    broken = ask(Site(finished, {"mine": lambda _: 1 / 0}), f"figure/{NAME}/mine.json")
    assert broken.status == 422
    assert "the figure 'mine' fails: ZeroDivisionError" in broken.plain["reason"]


def test_colours_are_those_of_the_figures() -> None:
    css = (Path(__file__).parent.parent / "autoaug" / "page" / "static" / "page.css").read_text()
    found = re.findall(r"\.hue-([0-9]+) { --hue: (#[0-9a-f]{6}); }", css)
    assert found == [(str(k), colour) for k, colour in enumerate(COLOURS)]
    assert len(COLOURS) == HUES


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("study/tinyy/", f"did you mean {NAME!r}"),
        ("study/../../etc/passwd/", "unknown study"),
        ("static/../page.css", "there is no file '../page.css' here"),
        ("download/tiny/x.pdf", "there is no file 'x.pdf' of a study"),
        ("somewhere", "there is no page 'somewhere' here"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(site: Site, path: str, said: str) -> None:
    page = ask(site, path)
    assert page.status == 404
    assert said in html.unescape(page.text)
