"""The client and the waits, against a small worker that answers by a script."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from connect import connect_client, initial_snapshot
from connect.apply import Ready, apply, remove_with_slot
from connect.connect_client import ConnectClient, cause, until_running
from olist.errors import BadInput, ServerTrouble, Stopped
from olist.settings import Settings

CONFIG = {"name": "shop", "connector.class": "a.b.Plugin", "x": "1"}
Answer = tuple[int, Any]


class Script:
    """Answers by method and path: the last one again and again. `asked` is what came."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {
            "GET /connector-plugins": [(200, [{"class": "a.b.Plugin"}])],
            "PUT /connector-plugins/Plugin/config/validate": [(200, {"configs": []})],
        }
        self.asked: list[str] = []

    def answer(self, request: str) -> Answer:
        self.asked.append(request)
        left = self.answers.get(request, [(404, {"message": "not there"})])
        return left.pop(0) if len(left) > 1 else left[0]


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def client(script: Script) -> Iterator[ConnectClient]:
    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            code, body = script.answer(f"{self.command} {self.path}")
            content = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_DELETE = _serve

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield ConnectClient(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


def status(*states: str, trace: str = "") -> Answer:
    connector, *tasks = ({"state": state, "worker_id": "w", "trace": trace} for state in states)
    return 200, {"name": "shop", "connector": connector, "tasks": [{"id": i, **t} for i, t in enumerate(tasks)]}


def test_a_worker_that_is_not_there_is_named_with_the_way_to_start_it() -> None:
    with pytest.raises(ServerTrouble, match="does not answer") as raised:
        ConnectClient("http://127.0.0.1:9").connectors()
    assert "olist up" in raised.value.hint


def test_a_request_during_a_rebalance_is_made_again(script: Script, client: ConnectClient) -> None:
    script.answers["GET /connectors"] = [(409, {"message": "rebalance"}), (200, ["b", "a"])]
    assert client.connectors() == ["a", "b"]


def test_a_rebalance_that_does_not_end_is_told(
    script: Script, client: ConnectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect_client, "PATIENCE_S", 0.0)
    script.answers["GET /connectors"] = [(409, {"message": "rebalancing"})]
    with pytest.raises(ServerTrouble, match="rebalancing"):
        client.connectors()


def test_a_refused_request_is_the_users_move(script: Script, client: ConnectClient) -> None:
    script.answers["PUT /connectors/shop/config"] = [(400, {"message": "Connector name mismatch"})]
    with pytest.raises(BadInput, match="name mismatch"):
        client.put(CONFIG)


def test_what_is_not_there_is_none(client: ConnectClient) -> None:
    assert client.config("shop") is None
    assert client.status("shop") is None


def test_waiting_ends_when_connector_and_task_run(script: Script, client: ConnectClient) -> None:
    started = [status("UNASSIGNED"), status("RUNNING"), status("RUNNING", "UNASSIGNED"), status("RUNNING", "RUNNING")]
    script.answers["GET /connectors/shop/status"] = [(404, {}), *started]
    until_running(client, "shop")
    assert len(script.asked) == 5


def test_a_failed_task_ends_the_wait_with_its_trace(script: Script, client: ConnectClient) -> None:
    script.answers["GET /connectors/shop/status"] = [status("RUNNING", "FAILED", trace="PSQLException: no such role")]
    with pytest.raises(ServerTrouble, match="no such role") as raised:
        until_running(client, "shop")
    assert "restart" in raised.value.hint


def test_the_trace_from_before_a_restart_is_not_told_while_the_worker_has_not_begun_it(
    script: Script, client: ConnectClient
) -> None:
    old, new = status("RUNNING", "FAILED", trace="old"), status("RUNNING", "RUNNING")
    script.answers["GET /connectors/shop/status"] = [old, old, status("RUNNING", "RESTARTING"), new]
    until_running(client, "shop", past="old")
    assert len(script.asked) == 4


@pytest.mark.parametrize("answers", [("old", "", "old"), ("old", "another")])
def test_a_restart_that_fails_is_told_at_once_in_the_same_words_or_in_others(
    script: Script, client: ConnectClient, answers: tuple[str, ...]
) -> None:
    states = {"": status("RUNNING", "RUNNING", "UNASSIGNED")}
    script.answers["GET /connectors/shop/status"] = [
        states.get(trace, status("RUNNING", "FAILED", trace=trace)) for trace in answers
    ]
    with pytest.raises(ServerTrouble, match=f"failed: {answers[-1]}"):
        until_running(client, "shop", past="old")
    assert len(script.asked) == len(answers)


def test_the_trace_from_before_a_restart_is_told_when_nothing_else_follows(
    script: Script, client: ConnectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect_client, "PAST_S", 0.0)
    script.answers["GET /connectors/shop/status"] = [status("RUNNING", "FAILED", trace="old")]
    with pytest.raises(ServerTrouble, match="failed: old"):
        until_running(client, "shop", past="old")


def test_the_innermost_cause_of_a_trace_is_told_first() -> None:
    trace = "a.Wrapper: failed\n\tat x\nCaused by: b.Inner: no\n\tat y\nCaused by: c.Root: role is missing\n\tat z"
    assert cause(trace) == "c.Root: role is missing"
    assert cause("a.Alone: said") == "a.Alone: said"
    assert cause("") == ""


def test_a_wait_that_takes_too_long_says_what_it_last_saw(
    script: Script, client: ConnectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect_client, "WITHIN_S", 0.0)
    script.answers["GET /connectors/shop/status"] = [status("RUNNING")]
    with pytest.raises(ServerTrouble, match="connector RUNNING, no task"):
        until_running(client, "shop")


def test_apply_creates_a_connector_after_the_plugin_has_agreed(script: Script, client: ConnectClient) -> None:
    script.answers["PUT /connectors/shop/config"] = [(201, {})]
    script.answers["PUT /connectors/shop/resume"] = [(202, {})]
    script.answers["GET /connectors/shop/status"] = [status("RUNNING", "RUNNING")]
    said: list[str] = []
    apply(client, CONFIG, said.append, lambda: True)
    order = [request for request in script.asked if request.startswith("PUT")]
    assert order[:2] == ["PUT /connector-plugins/Plugin/config/validate", "PUT /connectors/shop/config"]
    assert "+ x = 1" in said[0]


def source_that_goes_on(script: Script) -> Ready:
    """It is made ready in its turn, and what the worker remembers of it still holds."""

    def ready() -> bool:
        script.asked.append("PUT /connectors/ready")
        return False

    return ready


def test_apply_creates_a_connector_at_rest_whose_slot_is_missing_and_forgets_where_it_stood(
    script: Script, client: ConnectClient
) -> None:
    script.answers |= {
        "POST /connectors": [(201, {})],
        "DELETE /connectors/shop/offsets": [(200, {})],
        "PUT /connectors/shop/config": [(200, {})],
        "PUT /connectors/shop/resume": [(202, {})],
        "GET /connectors/shop/status": [status("STOPPED"), status("RUNNING", "RUNNING")],
    }
    apply(client, CONFIG, lambda _text: None, lambda: True, lambda: True)
    changing = [request for request in script.asked if not request.startswith(("GET", "PUT /connector-plugins"))]
    assert changing == [
        "POST /connectors",
        "DELETE /connectors/shop/offsets",
        "PUT /connectors/shop/config",
        "PUT /connectors/shop/resume",
    ]


def test_apply_stops_a_connector_before_it_changes_the_source_and_then_it(
    script: Script, client: ConnectClient
) -> None:
    script.answers |= {
        "GET /connectors/shop/config": [(200, {**CONFIG, "x": "0"})],
        "PUT /connectors/shop/stop": [(202, {})],
        "PUT /connectors/shop/config": [(200, {})],
        "PUT /connectors/shop/resume": [(202, {})],
        "GET /connectors/shop/status": [status("RUNNING", "RUNNING"), status("STOPPED"), status("RUNNING", "RUNNING")],
    }
    apply(client, CONFIG, lambda _text: None, lambda: True, source_that_goes_on(script))
    steps = [request.rpartition("/")[2] for request in script.asked if request.startswith("PUT /connectors")]
    assert steps == ["stop", "ready", "config", "resume"]


def test_apply_again_changes_nothing(script: Script, client: ConnectClient) -> None:
    script.answers["GET /connectors/shop/config"] = [(200, CONFIG)]
    script.answers["GET /connectors/shop/status"] = [status("RUNNING", "RUNNING")]
    said: list[str] = []
    apply(client, CONFIG, said.append, lambda: pytest.fail("asked for nothing"))
    assert said == ["shop: nothing to change"]
    assert not [request for request in script.asked if request.startswith("PUT /connectors/")]


def test_apply_again_resumes_what_an_apply_that_was_cut_off_left_stopped(script: Script, client: ConnectClient) -> None:
    script.answers |= {
        "GET /connectors/shop/config": [(200, CONFIG)],
        "PUT /connectors/shop/resume": [(202, {})],
        "GET /connectors/shop/status": [status("STOPPED"), status("STOPPED"), status("RUNNING", "RUNNING")],
    }
    apply(client, CONFIG, lambda _text: None, lambda: pytest.fail("asked for nothing"))
    assert [request for request in script.asked if request.startswith("PUT /connectors/")] == [
        "PUT /connectors/shop/resume"
    ]


def test_apply_again_leaves_a_paused_connector_paused_and_says_how_to_resume_it(
    script: Script, client: ConnectClient
) -> None:
    script.answers["GET /connectors/shop/config"] = [(200, CONFIG)]
    script.answers["GET /connectors/shop/status"] = [status("PAUSED", "PAUSED")]
    with pytest.raises(Stopped, match="shop is paused") as raised:
        apply(client, CONFIG, lambda _text: None, lambda: True)
    assert raised.value.hint == "`olist connect resume`"
    assert not [request for request in script.asked if request.startswith("PUT /connectors/")]


def test_apply_changes_nothing_when_the_user_does_not_agree(script: Script, client: ConnectClient) -> None:
    apply(client, CONFIG, lambda _text: None, lambda: False)
    assert not [request for request in script.asked if request.startswith("PUT /connectors/")]


def test_every_setting_that_the_plugin_refuses_is_named_before_anything_changes(
    script: Script, client: ConnectClient
) -> None:
    refused = [{"value": {"name": "x", "errors": ["is wrong"]}}, {"value": {"name": "y", "errors": ["is missing"]}}]
    script.answers["PUT /connector-plugins/Plugin/config/validate"] = [(200, {"configs": refused})]
    with pytest.raises(BadInput, match=r"x: is wrong\n  y: is missing"):
        apply(client, CONFIG, lambda _text: None, lambda: True)
    assert "PUT /connectors/shop/config" not in script.asked


def test_a_connector_that_is_not_installed_is_named(script: Script, client: ConnectClient) -> None:
    with pytest.raises(BadInput, match=r"has no a\.b\.Other"):
        apply(client, {**CONFIG, "connector.class": "a.b.Other"}, lambda _text: None, lambda: True)


@pytest.fixture
def source(script: Script, monkeypatch: pytest.MonkeyPatch) -> Script:
    """What is done to the source, among what is asked of the worker; there is no slot."""
    monkeypatch.setattr(
        initial_snapshot, "forget_snapshots", lambda _settings: script.asked.append("forget what was read")
    )

    def drop(_settings: Settings, name: str) -> bool:
        script.asked.append(f"drop {name}")
        return False

    monkeypatch.setattr("connect.apply.drop", drop)
    return script


def test_what_was_read_is_forgotten_before_all_else_and_the_slot_dropped_last(
    source: Script, client: ConnectClient
) -> None:
    source.answers |= {
        "GET /connectors/shop/config": [(200, CONFIG)],
        "GET /connectors/shop/status": [status("STOPPED"), (404, {})],
        "PUT /connectors/shop/stop": [(202, {})],
        "DELETE /connectors/shop/offsets": [(200, {})],
        "DELETE /connectors/shop": [(204, {})],
    }
    assert remove_with_slot(Settings(), client, "shop") == (True, False)
    assert [step for step in source.asked if not step.startswith("GET")] == [
        "forget what was read",
        "PUT /connectors/shop/stop",
        "DELETE /connectors/shop/offsets",
        "DELETE /connectors/shop",
        "drop olist_shop",
    ]


def test_the_slot_of_a_connector_that_is_gone_can_still_be_dropped(source: Script, client: ConnectClient) -> None:
    assert remove_with_slot(Settings(), client, "shop") == (False, False)
    assert source.asked == ["forget what was read", "GET /connectors/shop/config", "drop olist_shop"]
