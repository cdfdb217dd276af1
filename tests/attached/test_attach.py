"""A process attaches to a peer and is the worker: what it is told, what it may say, and what its end means."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from swimstream import Worker
from swimstream.errors import SwimstreamError, WorkerStopped
from swimstream.model.identity import InstanceId
from swimstream.model.status import ErrorClass, InstanceState
from swimstream.runners.attached import GONE
from tests.attached.plain import Plain
from tests.attached.schema import check_heard
from tests.attached.stage import WAIT_S, job, peer_at, python_worker, table, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from swimstream.peer import Peer
    from swimstream.runtime.view import View

INSTANCE = InstanceId("job", "op", 0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "w4.sock"


@pytest.fixture
def peer(path: Path) -> Iterator[Peer]:
    made = peer_at(path)
    yield made
    with contextlib.suppress(WorkerStopped):
        made.stop(leave=False)


@pytest.fixture
def client(peer: Peer, path: Path) -> Iterator[Plain]:
    made = Plain(str(path))
    yield made
    made.close()


def attach(client: Plain, *kinds: str, capacity: int = 8) -> None:
    answer = client.ask("attach", protocol=1, kinds=list(kinds or ("count",)), capacity=capacity)
    assert answer["ok"], answer


def state_of(view: View) -> InstanceState | None:
    status = view.status_by_instance.get(INSTANCE)
    return None if status is None else status.state


def test_before_a_process_attaches_the_peer_says_that_it_waits(client: Plain) -> None:
    hello = client.ask("hello", protocol=1)
    assert (hello["attach"], hello["worker"]["name"], hello["worker"]["boot"]) == ("waiting", "w4", 0)
    refused = client.ask("members")
    assert (refused["ok"], refused["code"]) == (False, "ending")
    attach(client)
    assert client.ask("hello")["attach"] == "attached"


def test_an_instance_is_run_by_the_process_and_finishes(client: Plain) -> None:
    attach(client)
    assert client.ask("submit", job=table(job()))["ok"]
    order = client.order("start")
    assert (order["instance"], order["kind"], order["resume_from"]) == ("job/op[0]", "count", "")
    assert order["parameters"] == {"start": 5, "text": "é"}
    assert (order["guarantee"], order["fence_s"]) == ("at-least-one", None)
    copy = {"instance": order["instance"], "epoch": order["epoch"]}
    assert client.ask("report", **copy, state="running", endpoint="127.0.0.1:4000", progress=7)["ok"]
    assert client.ask("report", **copy, checkpoint="00ff")["ok"]
    assert client.ask("report", **copy, state="finished")["ok"]
    after = client.ask("report", **copy, progress=8)
    assert (after["ok"], after["code"]) == (False, "over")


def test_the_end_of_the_process_is_told_at_once_and_the_peer_leaves(path: Path, peer: Peer, client: Plain) -> None:
    attach(client)
    with python_worker("w1", seeds=(str(peer.address),)) as other:
        other.submit(job()).wait(WAIT_S)
        order = client.order("start")
        client.ask("report", instance=order["instance"], epoch=order["epoch"], state="running")
        until(other, lambda view: state_of(view) is InstanceState.RUNNING)
        client.close()
        until(other, lambda view: state_of(view) is InstanceState.FAILED)
        status = other.view().status_by_instance[INSTANCE]
        assert (status.cause, status.error) == (GONE, ErrorClass.INFRASTRUCTURE)
        until(other, lambda view: [each.state.name for each in view.members if each.run.name == "w4"] == ["LEFT"])
    with pytest.raises(WorkerStopped, match="the attached process is gone"):
        peer.stopped().wait(WAIT_S)


def test_any_number_of_large_answers_is_given_one_after_the_other(client: Plain) -> None:
    attach(client)
    asked = [client.send("snapshot") for _ in range(300)]
    assert all(client.answer(number)["ok"] for number in asked)


def test_who_leaves_is_answered_before_the_end_and_nobody_is_at_fault(path: Path, peer: Peer, client: Plain) -> None:
    attach(client)
    client.ask("submit", job=table(job()))
    order = client.order("start")
    asked = client.send("leave")
    stop = client.order("stop")
    assert (stop["instance"], stop["epoch"]) == (order["instance"], order["epoch"])
    client.ask("report", instance=order["instance"], epoch=order["epoch"], state="stopped")
    assert client.answer(asked)["ok"]
    peer.stopped().wait(WAIT_S)
    peer.stop()
    assert client.order("end")["reason"] == "the peer was told to stop"
    check_heard(client)


def test_a_process_that_may_not_join_is_told_why(path: Path, peer: Peer, client: Plain) -> None:
    attach(client)
    twin_path = path.with_name("twin.sock")
    twin = peer_at(twin_path, seeds=(str(peer.address),))
    second = Plain(str(twin_path))
    attach(second)
    with pytest.raises(SwimstreamError) as caught:
        twin.stopped().wait(WAIT_S)
    with pytest.raises(SwimstreamError):
        twin.stop()
    assert second.order("end")["reason"] == str(caught.value)
    second.close()


def test_a_worker_of_the_library_takes_no_process(path: Path) -> None:
    worker = Worker(name="w1", preset="local", control=path)
    with worker:
        client = Plain(str(path))
        assert client.ask("hello")["attach"] == "never"
        refused = client.ask("attach", protocol=1, kinds=["count"])
        assert refused["error"].startswith("verb: a process can attach to 'swimstream peer' only")
        client.close()
