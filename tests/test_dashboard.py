"""The native dashboard shows what was run, to this machine only, and changes nothing unless it was asked to."""

import json
import os
import re
import resource
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import optuna_dashboard
import pytest
from studies_for_tests import tiny

from autoaug import Budget, run
from autoaug.execution import Options, Scheduler
from autoaug.page import make_dashboard
from autoaug.page._guard import is_ours
from autoaug.store import Store
from autoaug.strategies import none, randaugment


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A storage with a finished study, which no test changes."""
    folder = tmp_path_factory.mktemp("dashboard")
    where = f"sqlite:///{folder / 'x.db'}"
    run(tiny(budget=Budget(trials=1), seeds=1), Store(where), options=Options(artifacts=folder / "artifacts"))
    return where


@contextmanager
def served(url: str, write: bool = False, host: str = "127.0.0.1", existing: bool = False, **how: Any) -> Iterator[int]:
    """The port of a dashboard that answers for as long as the block runs."""
    store = Store(url, 0.5, existing=existing)
    server = make_dashboard(store, host, 0, write, **{"figures": {}} | how)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield int(server.effective_port)
    finally:
        server.task_dispatcher.shutdown()  # its threads wake the server's after each answer
        with suppress(OSError):  # woken by an earlier answer it may be closed before it is woken for this
            server.trigger.pull_trigger(server.close)
        thread.join()
        store.close()


def ask(port: int, path: str, method: str = "GET", body: Any = None, **headers: str) -> tuple[int, Any]:
    """Status and JSON of an answer. Host is that of the server unless it is given."""
    connection = HTTPConnection("127.0.0.1", port)
    headers = {"Host": f"127.0.0.1:{port}", "Content-Type": "application/json"} | headers
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        text = answer.read()
    finally:
        connection.close()
    assert answer.getheader("X-Frame-Options") == "DENY"
    assert "frame-ancestors 'none'" in ", ".join(answer.headers.get_all("Content-Security-Policy") or ())
    return answer.status, json.loads(text) if text.startswith(b"{") else text


def studies(port: int) -> dict[str, int]:
    """Ids of the studies, by name."""
    _, found = ask(port, "/api/studies")
    return {study["study_name"]: study["study_id"] for study in found["study_summaries"]}


def test_it_answers_in_a_process_with_more_than_a_thousand_files(url: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with ExitStack() as files:
            while files.enter_context(open(os.devnull)).fileno() < 1100:
                pass
            with served(url) as port:
                assert set(studies(port)) == {"tiny/none", "tiny/ra", "tiny/leaderboard"}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_studies_are_listed_under_the_names_of_their_strategies(url: str) -> None:
    with served(url) as port:
        assert set(studies(port)) == {"tiny/none", "tiny/ra", "tiny/leaderboard"}
        status, page = ask(port, "/dashboard")
        assert status == 200
        assert b"<html" in page.lower()


def test_intermediate_values_and_attributes_of_a_trial_are_visible(url: str) -> None:
    with served(url) as port:
        _, study = ask(port, f"/api/studies/{studies(port)['tiny/ra']}")
    assert study["objective_names"] == ["val_accuracy"]
    (trial,) = study["trials"]
    steps = [each["step"] for each in trial["intermediate_values"]]
    assert steps in ([1, 2], [1, 2, 3]), "two augmented epochs, and none or one of refinement"
    assert {each["name"] for each in trial["params"]} == {"policy.n", "policy.m", "task.refine_epochs", "mix.alpha"}
    attributes = {each["key"]: each["value"] for each in trial["user_attrs"]}
    assert float(attributes.get("cpu_seconds") or attributes["gpu_seconds"]) > 0
    assert int(attributes["images"]) > 0
    assert int(attributes["epochs"]) == steps[-1]
    assert {"seed", "versions", "git_commit", "val_accuracy", "attempt"} <= set(attributes)
    assert "torch" in attributes["versions"]
    assert not any("test" in key for key in attributes), "a search never sees the test split"


def test_the_leaderboard_draws_cost_against_accuracy(url: str) -> None:
    with served(url) as port:
        _, study = ask(port, f"/api/studies/{studies(port)['tiny/leaderboard']}")
    assert [each["name"] for each in study["union_search_space"]] == ["strategy"], "seeds are not searched"
    assert study["directions"] == ["maximize", "minimize"]
    assert study["objective_names"] == ["test_accuracy", "gpu_seconds"]
    assert len(study["trials"]) == 2
    assert all(0 <= trial["values"][0] <= 1 < 1000 * trial["values"][1] for trial in study["trials"])


def test_every_page_says_what_its_trials_are(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    strategies = {"none": none(), "proxy": randaugment().proxied(epochs=1)}
    Scheduler(tiny(strategies=strategies), store)
    with served(store.storage_url) as port:
        pages = {name: ask(port, f"/api/studies/{number}")[1] for name, number in studies(port).items()}
    about = {name: page["user_attrs"] for name, page in pages.items()}
    assert [each["key"] for found in about.values() for each in found] == ["about"] * 4
    said = {name: found[0]["value"] for name, found in about.items()}
    assert "search on a proxy (epochs=1)" in said["tiny/proxy"]
    assert "trained again on the task itself" in said["tiny/proxy/full"]
    assert "reads the test split once. gpu_seconds are CPU-seconds where" in said["tiny/leaderboard"]
    axes = {name: page["objective_names"] for name, page in pages.items()}
    assert axes["tiny/proxy"] == ["val_accuracy (proxy)"], "not to be taken for a score of the task"
    assert axes["tiny/none"] == axes["tiny/proxy/full"] == ["val_accuracy"]


def test_final_runs_without_validation_scores_report_none(tmp_path: Path) -> None:
    """A training loss among the intermediate values would be taken for a score."""
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    study = tiny(strategies={"none": none()}, space={}, budget=Budget(trials=1), seeds=1, final_data="train+val")
    run(study, store, options=Options(artifacts=tmp_path / "artifacts"))
    assert [trial.intermediate_values for trial in store.trials("tiny", "leaderboard")] == [{}]
    assert list(store.trials("tiny", "none")[0].intermediate_values) == [1, 2]


FOREIGN = ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "", "[::1", "[::1]evil.example"]
FOREIGN += [
    "127.0.0.1@evil.example",
    "evil.example#127.0.0.1",
    "127.0.0.1:80:80",
    "[localhost]",
    "127.0.0.1,evil.example",
]


@pytest.mark.parametrize("host", FOREIGN)
def test_requests_for_a_foreign_name_are_refused(url: str, host: str) -> None:
    with served(url) as port:
        status, said = ask(port, "/api/studies", Host=host.format(port=port))
    assert status == 403
    assert "this dashboard is not" in said["reason"]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1:1"])
def test_requests_from_a_foreign_page_are_refused(url: str, origin: str) -> None:
    with served(url, write=True) as port:
        status, said = ask(port, "/api/studies", "DELETE", Origin=origin.format(port=port))
        assert status == 403
        assert said == {"reason": "this dashboard answers its own pages only"}
        assert ask(port, "/api/studies", Origin=f"http://127.0.0.1:{port}")[0] == 200


@pytest.mark.parametrize("host", ["localhost:{port}", "localhost:9999", "127.0.0.1", "10.1.2.3:80", "[::1]:8080"])
def test_an_address_or_our_own_name_is_answered_through_a_tunnel_too(url: str, host: str) -> None:
    with served(url) as port:
        assert ask(port, "/api/studies", Host=host.format(port=port))[0] == 200


def test_half_requests_hold_up_nobody(url: str) -> None:
    with served(url) as port, ExitStack() as slow:
        for _ in range(20):
            half = slow.enter_context(socket.create_connection(("127.0.0.1", port)))
            half.sendall(
                f"POST /api/studies HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 9\r\n\r\n{{".encode()
            )
        assert len(studies(port)) == 3


def test_names_of_this_machine_are_ours() -> None:
    names = {"localhost", "box"}
    assert is_ours("box:8080", names)
    assert is_ours("BOX", names), "host names have no case"
    assert not is_ours("boxer", names)
    assert not is_ours("user@evil.example", names)


def test_a_host_that_was_asked_for_is_answered_by_name(url: str) -> None:
    known = {"Authorization": "Bearer of-sixteen-signs"}
    with served(url, host="0.0.0.0", token="of-sixteen-signs") as port:
        assert ask(port, "/api/studies", Host=f"{socket.gethostname()}:{port}", **known)[0] == 200
        assert ask(port, "/api/studies", Host=f"evil.example:{port}", **known)[0] == 403


CHANGES = [
    ("DELETE", "/api/studies/{id}", None),
    ("POST", "/api/studies", {"study_name": "x", "directions": ["maximize"]}),
    ("PUT", "/api/studies/{id}/note", {"body": "x", "version": 1}),
]


@pytest.mark.parametrize(("method", "path", "body"), CHANGES)
def test_changes_are_refused(url: str, method: str, path: str, body: Any) -> None:
    with served(url) as port:
        before = studies(port)
        status, said = ask(port, path.format(id=before["tiny/ra"]), method, body)
        assert status == 403
        assert said == {"reason": "read-only: start it with `autoaug dashboard --write` to change studies"}
        assert studies(port) == before


def test_a_read_only_page_offers_no_change_and_says_why_one_is_refused(url: str) -> None:
    with served(url) as port:
        for path in ("/dashboard", "/dashboard/studies/1", "/dashboard/studies/1/trials"):
            status, page = ask(port, path, **{"If-Modified-Since": "Fri, 31 Dec 2100 00:00:00 GMT"})
            assert status == 200, "a page that the browser has kept is not this one"
            added = [each.decode() for each in re.findall(rb'(?:href|src)="(/autoaug/[^"]+)"', page)]
            assert len(added) == 2
        texts = {path: ask(port, path)[1].decode() for path in added}
    hidden = re.findall(r'="([\w ]+)"\]', texts["/autoaug/read_only.css"])
    assert {"delete study", "rename study", "AddBoxIcon"} <= set(hidden)
    code = (Path(optuna_dashboard.__file__).parent / "public" / "bundle.js").read_text(encoding="utf-8")
    for name in hidden:
        assert f'"{name.removesuffix("Icon")}"' in code, "Optuna Dashboard calls its buttons something else now"
    assert ".reason" in texts["/autoaug/read_only.js"]


def test_a_page_that_may_write_is_left_as_it_is(url: str) -> None:
    with served(url, write=True) as port:
        assert b"read_only" not in ask(port, "/dashboard")[1]
        assert b"autoaug-refused" not in ask(port, "/autoaug/read_only.css")[1]


def test_changes_are_made_where_they_were_allowed(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'x.db'}")
    store.open("s", "none", "maximize")
    with served(store.storage_url, write=True) as port:
        assert ask(port, "/api/studies", "POST", {"study_name": "made/here", "directions": ["maximize"]})[0] == 201
        assert set(studies(port)) == {"s/none", "made/here"}
        assert ask(port, f"/api/studies/{studies(port)['s/none']}", "DELETE", {})[0] == 204
        assert set(studies(port)) == {"made/here"}


def test_our_pages_are_beside_optunas(url: str) -> None:
    with served(url) as port:
        assert ask(port, "/autoaug")[0] == 308
        status, page = ask(port, "/autoaug/")
        assert (status, b"tiny" in page) == (200, True)


def test_requests_that_wait_for_a_moment_are_no_warning(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with served(url) as port, ThreadPoolExecutor(40) as visitors:
        answers = list(visitors.map(lambda _: ask(port, "/api/studies")[0], range(80)))
    assert answers == [200] * 80
    assert caplog.text == ""


def test_a_busy_port_is_an_error(url: str) -> None:
    with served(url) as port, pytest.raises(OSError, match="in use"):
        make_dashboard(Store(url), "127.0.0.1", port, write=False, figures={})
