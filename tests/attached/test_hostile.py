"""Whatever is said on the control port, the peer and the attached process's connection live on."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swimstream.errors import WorkerStopped
from swimstream.runtime import attaching
from swimstream.runtime.control import VERBS
from swimstream.runtime.control_lines import LINE_BYTES_MAX
from tests.attached.plain import Plain
from tests.attached.schema import check_heard, is_request
from tests.attached.stage import WAIT_S, job, peer_at, table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from swimstream.peer import Peer


def next_answer(client: Plain) -> dict[str, Any]:
    """Return the next line that is no order."""
    while "order" in (message := client.read()):
        client.orders.append(message)
    return message


LEFT_OUT = {"leave", "attach", "watch", "query", "ping", "council", "keys", "council-resize", "council-transfer"}
"""They end it, or wait for seconds when nothing is wrong with them."""
ASKED = sorted({*VERBS, "hello", "members", "operators", "report", "tick", "locate", "finished", "submit"} - LEFT_OUT)
FIELDS = (
    "instance", "epoch", "state", "progress", "checkpoint", "endpoint", "cause", "neighbour", "other_than", "job",
    "changes", "topic", "payload", "payload_hex", "to", "name", "names", "tag", "patience_s", "kinds", "capacity",
    "protocol", "token", "cluster", "error", "watermark_ms", "backlog", "busy_s", "backpressured", "frozen_after_s",
    "target", "operator", "parallelism", "base", "moves", "reason", "kill", "site", "start", "tail", "worker",
)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["job/op[0]", "running", "127.0.0.1:1", "00ff", "w4", "\ud800", "a" * 5_000])
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
)
REQUESTS = st.builds(
    lambda verb, fields: fields | {"verb": verb},
    st.sampled_from(ASKED) | VALUES,
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=8),
)


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    path = tmp_path_factory.mktemp("hostile") / "w4.sock"
    made = peer_at(path)
    yield made
    with contextlib.suppress(WorkerStopped):
        made.stop(leave=False)


@pytest.fixture(scope="module")
def client(peer: Peer) -> Iterator[Plain]:
    made = Plain(str(peer.config.control))
    assert made.ask("attach", protocol=1, kinds=["count"])["ok"]
    assert made.ask("submit", job=table(job()))["ok"]
    yield made
    made.close()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(REQUESTS)
def test_any_request_is_answered_with_its_id_and_faults_are_named(client: Plain, request_: dict[str, Any]) -> None:
    number = next(client.numbers)
    client.write(request_ | {"id": number, "wait": False})
    answer = client.answer(number)
    assert answer["ok"] or answer["error"]
    if answer["ok"] and request_["verb"] in ("report", "locate"):
        assert is_request(request_ | {"id": number, "wait": False}), "what the peer takes, the schema takes"
    assert client.ask("tick")["ok"]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200).map(lambda data: data.replace(b"\n", b" ")))
def test_any_line_is_answered(client: Plain, line: bytes) -> None:
    client.socket.sendall(line + b"\n")
    answer = next_answer(client)
    assert (answer["ok"], answer["code"]) == (False, "usage")
    assert client.ask("tick")["ok"]


@pytest.mark.parametrize("number", [None, "7", -1, 2**53, 1.5, True, [1]])
def test_a_request_without_a_usable_id_is_refused_by_that_field(client: Plain, number: object) -> None:
    client.socket.sendall(json.dumps({"verb": "tick", "id": number}).encode() + b"\n")
    answer = next_answer(client)
    assert "id" not in answer
    assert answer["error"].startswith("id: expected an integer")


def test_another_process_cannot_attach_beside_the_first(peer: Peer, client: Plain) -> None:
    other = Plain(str(peer.config.control))
    answer = other.ask("attach", protocol=1, kinds=["count"])
    assert (answer["code"], answer["error"]) == ("usage", "verb: another process is attached already")
    assert other.ask("members")["ok"], "but it may ask"
    other.close()
    assert client.ask("tick")["ok"]


def test_waits_are_bounded(peer: Peer, client: Plain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attaching, "REQUESTS_MAX", 3)
    copy = {"instance": "job/op[0]", "epoch": client.order("start")["epoch"], "neighbour": "job/op[1]"}
    waiting = [client.send("finished", **copy) for _ in range(3)]
    refused = client.ask("finished", **copy)
    assert refused["error"].startswith("id: expected at most 3 requests")
    assert client.ask("report", instance=copy["instance"], epoch=copy["epoch"], state="stopped")["ok"]
    assert [client.answer(number)["code"] for number in waiting] == ["over"] * 3
    check_heard_but_noise(client)


def check_heard_but_noise(client: Plain) -> None:
    """Check the newest of what was said with an id; noise has none."""
    with_id = [(mark, each) for mark, each in client.heard if isinstance(each.get("id"), int)]
    first = with_id[-20][1]["id"]
    client.heard = [(mark, each) for mark, each in with_id if each["id"] >= first]
    check_heard(client)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({}, "protocol: expected 1, got None"),
        ({"protocol": 2}, "protocol: expected 1, got 2"),
        ({"protocol": True}, "protocol: expected 1"),
        ({"protocol": 1}, "kinds: expected a list of 1 to 64 names"),
        ({"protocol": 1, "kinds": []}, "kinds: expected a list of 1 to 64 names"),
        ({"protocol": 1, "kinds": [1]}, "kinds[0]: expected text"),
        ({"protocol": 1, "kinds": ["a b"]}, "kinds[0]: expected 1 to 64 letters"),
        ({"protocol": 1, "kinds": ["a", "a"]}, "kinds: expected each kind once"),
        ({"protocol": 1, "kinds": ["a"], "capacity": -1}, "capacity: expected an integer from 0 to 1024"),
        ({"protocol": 1, "kinds": ["a"], "capacity": 1025}, "capacity: expected an integer from 0 to 1024"),
        ({"protocol": 1, "kinds": ["a"], "frozen_after_s": 0}, "frozen_after_s: expected a number from 0.1 to 3600"),
        ({"protocol": 1, "kinds": ["a"], "frozen_after_s": True}, "frozen_after_s: expected a number"),
    ],
)
def test_who_attaches_wrongly_may_try_again(tmp_path: Path, fields: dict[str, object], fault: str) -> None:
    peer = peer_at(tmp_path / "w4.sock")
    client = Plain(str(tmp_path / "w4.sock"))
    answer = client.ask("attach", **fields)
    assert (answer["ok"], answer["code"]) == (False, "usage")
    assert answer["error"].startswith(fault)
    assert client.ask("hello")["attach"] == "waiting"
    client.close()
    peer.stop()


def test_a_line_beyond_the_bound_ends_the_connection_with_a_reason(tmp_path: Path) -> None:
    peer = peer_at(tmp_path / "w4.sock")
    client = Plain(str(tmp_path / "w4.sock"))
    assert client.ask("attach", protocol=1, kinds=["count"])["ok"]
    client.socket.sendall(b" " * (LINE_BYTES_MAX + 500_000))
    assert client.order("end")["reason"] == f"expected lines of at most {LINE_BYTES_MAX} bytes"
    client.close()
    with pytest.raises(WorkerStopped):
        peer.stopped().wait(WAIT_S)
    with contextlib.suppress(WorkerStopped):
        peer.stop()


def test_a_process_that_does_not_read_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swimstream.runtime.control_lines.WRITE_S", 0.3)
    peer = peer_at(tmp_path / "w4.sock")
    client = Plain(str(tmp_path / "w4.sock"))
    assert client.ask("attach", protocol=1, kinds=["count"])["ok"]
    with contextlib.suppress(OSError):
        for number in range(1_000_000):
            client.socket.sendall(json.dumps({"verb": "snapshot", "id": number}).encode() + b"\n")
    with pytest.raises(WorkerStopped, match="the attached process is gone"):
        peer.stopped().wait(WAIT_S)
    client.close()
    with contextlib.suppress(WorkerStopped):
        peer.stop()
