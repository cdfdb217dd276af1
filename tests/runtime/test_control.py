"""The control port: its protocol, its bounds and its file."""

from __future__ import annotations

import json
import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from swimstream.errors import UsageError
from swimstream.events import LeaderChanged
from swimstream.model.council import CouncilReport, CouncilSeat, SeatStanding
from swimstream.model.identity import Address, InstanceId, Run
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.keys import KeysReport
from swimstream.model.logs import KeptOutput, LogPage
from swimstream.model.member import MemberState
from swimstream.model.plan import Plan
from swimstream.model.talk import QueryResult
from swimstream.questions import Questions
from swimstream.runtime import control
from swimstream.runtime.control import ControlServer
from swimstream.runtime.control_client import ControlClient
from swimstream.runtime.control_lines import LINE_BYTES_MAX
from swimstream.runtime.replies import Reply
from swimstream.runtime.subscriptions import Subscription, Subscriptions
from swimstream.runtime.view import View
from tests.runtime.fake_jobs import FakeJobs

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

JOB = JobSpec(name="job", operators=(OperatorSpec(name="count", kind="k", parallelism=2),))
COUNCIL = CouncilReport(
    cluster_id=0xAB,
    leader="a",
    term=3,
    index=9,
    seats=(
        CouncilSeat(
            name="a",
            site="x",
            state=MemberState.ALIVE,
            has_memory=True,
            standing=SeatStanding(role="leader", term=3, last_index=10, commit=9, authority_age_s=0.25),
        ),
        CouncilSeat(
            name="b",
            site="y",
            state=MemberState.ALIVE,
            has_memory=True,
            standing=SeatStanding(role="follower", term=3, last_index=8, commit=8),
        ),
        CouncilSeat(name="c", site="", state=None, has_memory=False, standing=None),
    ),
    seats_wanted=3,
    isolation_s=6.0,
)


class FakeWorker(FakeJobs, Questions):
    """What the control port sees of a worker."""

    def __init__(self) -> None:
        self.address = Address("127.0.0.1", 7946)
        self.hub = Subscriptions()
        self.submitted: list[JobSpec] = []
        super().__init__()
        self.council_report = COUNCIL

    def view(self) -> View:
        return View(run=Run("w1", 5), plan=Plan(jobs={"job": JOB}), tags={"w2": {"zone": "x"}})

    def events(self) -> Subscription:
        return self.hub.subscribe()

    def submit(self, job: JobSpec, *, fresh: bool = False) -> Reply[None]:
        self.submitted.append(job)
        self.said.append(("fresh", fresh))
        return self._done()

    def leave(self) -> Reply[None]:
        return self._done()

    def set_tags(self, changes: Mapping[str, str | None]) -> Reply[None]:
        self.said.append(("tags", changes))
        return self._done()

    def broadcast(self, topic: str, payload: bytes = b"") -> Reply[None]:
        self.said.append(("broadcast", topic, payload))
        return self._done()

    def send(self, to: str, topic: str, payload: bytes = b"") -> Reply[None]:
        self.said.append(("send", to, topic, payload))
        return self._done()

    def query(
        self,
        topic: str,
        payload: bytes = b"",
        *,
        names: Iterable[str] = (),
        tag: tuple[str, str] | None = None,
        patience_s: float = 5.0,
    ) -> Reply[QueryResult]:
        self.said.append(("query", topic, payload, names, tag, patience_s))
        return self._result()

    def ping(self, *, names: Iterable[str] = (), patience_s: float = 5.0) -> Reply[QueryResult]:
        self.said.append(("ping", names, patience_s))
        return self._result()

    def logs(
        self,
        instance: InstanceId | str,
        *,
        worker: str = "",
        start: int | None = None,
        tail: int = 100,
        patience_s: float = 5.0,
    ) -> Reply[LogPage]:
        self.said.append(("logs", instance, worker, start, tail, patience_s))
        kept = KeptOutput(start=10, data=b"one\xff\n", end=20, begun=4, epoch=7, is_running=True)
        reply: Reply[LogPage] = Reply()
        reply.succeed(LogPage(instance=InstanceId("j", "o", 0), worker="w2", kept=kept, former=("w1",)))
        return reply

    def remove(self, name: str) -> Reply[None]:
        self.said.append(("remove", name))
        return self._done()

    def council(self, *, patience_s: float = 5.0) -> Reply[CouncilReport]:
        reply: Reply[CouncilReport] = Reply()
        reply.succeed(self.council_report)
        return reply

    def resize_council(self, seats: int) -> Reply[None]:
        self.said.append(("resize", seats))
        return self._done()

    def transfer_leadership(self, name: str) -> Reply[None]:
        self.said.append(("transfer", name))
        return self._done()

    def recover_council(self, cluster_id: int) -> Reply[None]:
        self.said.append(("recover", cluster_id))
        return self._done()

    def keys(self, *, patience_s: float = 5.0) -> Reply[KeysReport]:
        return self._report("keys", patience_s)

    def install_key(self, key: str, *, patience_s: float = 5.0) -> Reply[KeysReport]:
        return self._report("install", key, patience_s)

    def use_key(self, key_id: str, *, force: bool = False, patience_s: float = 5.0) -> Reply[KeysReport]:
        return self._report("use", key_id, force, patience_s)

    def remove_key(self, key_id: str, *, force: bool = False, patience_s: float = 5.0) -> Reply[KeysReport]:
        return self._report("remove-key", key_id, force, patience_s)

    def _report(self, *said: object) -> Reply[KeysReport]:
        self.said.append(said)
        reply: Reply[KeysReport] = Reply()
        reply.succeed(KeysReport(keys={"a": ("0a0b0c0d",)}, refused={"b": "full"}, silent=("c",), away=("d",)))
        return reply

    def _result(self) -> Reply[QueryResult]:
        reply: Reply[QueryResult] = Reply()
        reply.succeed(QueryResult(answers={"a": b"yes", "b": b"\xff"}, silent=("c",), away=("d",)))
        return reply

    def _done(self) -> Reply[None]:
        reply: Reply[None] = Reply()
        reply.succeed(None)
        return reply


@pytest.fixture
def worker() -> FakeWorker:
    return FakeWorker()


@pytest.fixture
def path(tmp_path: Path, worker: FakeWorker) -> Iterator[Path]:
    path = tmp_path / "own" / "w1.sock"
    server = ControlServer(path, worker, name="w1", site="edge")
    server.start()
    yield path
    server.stop()
    assert not path.exists(), "removed at the end"


def raw(path: Path, data: bytes) -> list[dict[str, object]]:
    """Return the answers to `data`, sent as it is."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(60)
        sock.connect(os.fspath(path))
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        with sock.makefile("rb") as file:
            return [json.loads(line) for line in file]


def test_the_socket_is_for_its_owner_only(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_hello_says_who_answers(path: Path) -> None:
    with ControlClient(path) as client:
        said = client.ask("hello")["worker"]
    assert (said["name"], said["boot"], said["site"], said["protocol"]) == ("w1", 5, "edge", 1)


def test_a_snapshot_holds_every_section(path: Path) -> None:
    with ControlClient(path) as client:
        snapshot = client.ask("snapshot")
    assert set(snapshot) == {
        "ok", "worker", "attach", "members", "jobs", "operators", "authority", "leader", "decisions", "counters",
        "tags",
    }  # fmt: skip
    assert [row["state"] for row in snapshot["operators"]] == ["pending", "pending"]


def test_a_submitted_job_reaches_the_worker_as_it_was_sent(path: Path, worker: FakeWorker) -> None:
    table = {"name": "job", "operators": [{"name": "count", "kind": "k", "parallelism": 2}]}
    with ControlClient(path) as client:
        assert client.ask("submit", job=table)["job"] == "job"
    assert worker.submitted == [JOB]


def test_what_is_said_reaches_the_worker(path: Path, worker: FakeWorker) -> None:
    with ControlClient(path) as client:
        assert client.ask("tags")["tags"] == {"w2": {"zone": "x"}}
        client.ask("set-tags", changes={"a": "1", "b": None})
        client.ask("broadcast", topic="t", payload="é")
        client.ask("send", to="w2", topic="t", payload_hex="00ff")
        result = client.ask("query", topic="t", names=["w2"], tag=["a", "1"], patience_s=2)
        assert client.ask("ping") == result
    assert worker.said == [
        ("tags", {"a": "1", "b": None}),
        ("broadcast", "t", "é".encode()),
        ("send", "w2", "t", b"\x00\xff"),
        ("query", "t", b"", ["w2"], ("a", "1"), 2),
        ("ping", [], 5.0),
    ]
    assert result["answers"] == [{"worker": "a", "payload": "796573", "text": "yes"}, {"worker": "b", "payload": "ff"}]
    assert (result["silent"], result["away"]) == (["c"], ["d"])


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"payload": "x"}, "topic: expected text, got None"),
        ({"topic": "t", "payload": 1}, "payload: expected text, got 1"),
        ({"topic": "t", "payload": "\ud800"}, "payload: expected text that UTF-8 can hold"),
        ({"topic": "t", "payload_hex": "x"}, "payload_hex: expected hexadecimal digits"),
        ({"topic": "t", "tag": "a=1"}, "tag: expected a list of a key and a value"),
    ],
)
def test_a_bad_question_is_refused_with_the_field(
    path: Path, worker: FakeWorker, fields: dict[str, object], fault: str
) -> None:
    with ControlClient(path) as client, pytest.raises(UsageError, match=fault):
        client.ask("query", **fields)
    assert worker.said == []


def test_a_bad_job_is_refused_with_the_field(path: Path, worker: FakeWorker) -> None:
    with ControlClient(path) as client, pytest.raises(UsageError, match="job: operators: expected a value"):
        client.ask("submit", job={"name": "job"})
    assert worker.submitted == []


@pytest.mark.parametrize("line", [b"{", b"[1]", b"\xff\xfe", b'{"verb": 3}', b'{"verb": "dance"}', b"", b"[" * 9_999])
def test_a_bad_request_is_answered_and_the_connection_goes_on(path: Path, line: bytes) -> None:
    bad, good = raw(path, line + b'\n{"verb": "hello"}\n')
    assert bad["ok"] is False
    assert "expected" in str(bad["error"])
    assert good["ok"] is True


def test_a_line_beyond_the_bound_ends_the_connection(path: Path) -> None:
    (answer,) = raw(path, b" " * (LINE_BYTES_MAX + 100_000))
    assert "lines of at most" in str(answer["error"])


def test_connections_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "CONNECTIONS_MAX", 2)
    held = [ControlClient(path), ControlClient(path)]
    for client in held:
        client.ask("hello")
    assert raw_or_nothing(path) == []
    assert held[0].ask("counters")["counters"]["control_refused"] == 1
    for client in held:
        client.close()


def raw_or_nothing(path: Path) -> list[dict[str, object]]:
    try:
        return raw(path, b'{"verb": "hello"}\n')
    except (BrokenPipeError, ConnectionResetError):
        return []


def test_watch_gives_a_snapshot_and_then_events(path: Path, worker: FakeWorker) -> None:
    with ControlClient(path) as client:
        lines = client.watch(timeout_s=60)
        assert next(lines)["event"] == "snapshot"
        worker.hub.publish(LeaderChanged("a", 4))
        assert next(lines) == {"ok": True, "event": "leader", "name": "a", "term": 4}
        worker.hub.end()
        assert list(lines) == []


def test_a_watcher_that_hangs_up_is_forgotten(path: Path, worker: FakeWorker) -> None:
    client = ControlClient(path)
    next(client.watch(timeout_s=60))
    (reader,) = worker.hub._open
    client.close()
    assert list(reader) == [], "iteration ends once the server has closed the subscription"
    assert worker.hub._open == ()


def test_the_socket_of_a_dead_process_is_replaced(tmp_path: Path, worker: FakeWorker) -> None:
    path = tmp_path / "w1.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(path))
    server = ControlServer(path, worker, name="w1", site="edge")
    server.start()
    with ControlClient(path) as client:
        assert client.ask("hello")["ok"]
    server.stop()


def test_the_socket_of_a_live_process_is_left_alone(path: Path, worker: FakeWorker) -> None:
    with pytest.raises(UsageError, match=r"^control: .*w1.sock is in use by a live process$"):
        ControlServer(path, worker, name="w1", site="edge").start()
    with ControlClient(path) as client:
        assert client.ask("hello")["ok"]


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path, worker: FakeWorker) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(UsageError, match="exists and is not a socket"):
        ControlServer(path, worker, name="w1", site="edge").start()
    assert path.read_text() == "data"


def test_a_client_says_when_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^control: no worker listens at "):
        ControlClient(tmp_path / "none.sock")


def test_the_council_is_told_with_each_seat_and_null_for_who_is_silent(path: Path) -> None:
    with ControlClient(path) as client:
        answer = client.ask("council")
    seats = answer.pop("seats")
    assert answer == {
        "ok": True,
        "cluster_id": 0xAB,
        "cluster": "00000000000000ab",
        "leader": "a",
        "term": 3,
        "index": 9,
        "last_index": 10,
        "seats_wanted": 3,
        "majority": 2,
        "isolation_s": 6.0,
        "able": True,
    }
    assert seats[1] == {
        "name": "b",
        "site": "y",
        "state": "alive",
        "has_memory": True,
        "is_older": False,
        "lag": 2,
        "standing": {"role": "follower", "term": 3, "last_index": 8, "commit": 8, "authority_age_s": None},
    }
    assert (seats[2]["state"], seats[2]["lag"], seats[2]["standing"]) == ("unknown", None, None)


@pytest.mark.parametrize(
    ("verb", "fields", "said"),
    [
        ("council-resize", {"seats": 5}, ("resize", 5)),
        ("council-transfer", {"name": "b"}, ("transfer", "b")),
        ("council-recover", {"cluster": "Ab"}, ("recover", 0xAB)),
    ],
)
def test_the_council_is_changed_as_it_was_asked(
    path: Path, worker: FakeWorker, verb: str, fields: dict[str, object], said: tuple[object, ...]
) -> None:
    with ControlClient(path) as client:
        assert client.ask(verb, **fields) == {"ok": True}
    assert worker.said == [said]


@pytest.mark.parametrize("cluster", ["", "0x1", "g", "1" * 17, " 1", "-1", 171, None])
def test_a_council_is_not_recovered_by_what_is_no_id(path: Path, worker: FakeWorker, cluster: object) -> None:
    with ControlClient(path) as client, pytest.raises(UsageError, match="cluster: expected"):
        client.ask("council-recover", cluster=cluster)
    assert worker.said == []


@pytest.mark.parametrize(
    ("request_fields", "said"),
    [
        ({}, ("keys", 5.0)),
        ({"change": "list"}, ("keys", 5.0)),
        ({"change": "install", "key": "text"}, ("install", "text", 5.0)),
        ({"change": "use", "key": "0a0b0c0d"}, ("use", "0a0b0c0d", False, 5.0)),
        ({"change": "remove", "key": "0a0b0c0d", "force": True}, ("remove-key", "0a0b0c0d", True, 5.0)),
    ],
)
def test_keys_are_changed_and_who_did_what_is_told(
    path: Path, worker: FakeWorker, request_fields: dict[str, object], said: tuple[object, ...]
) -> None:
    with ControlClient(path) as client:
        answer = client.ask("keys", **request_fields)
    assert worker.said == [said]
    told = {"keys": {"a": ["0a0b0c0d"]}, "refused": {"b": "full"}, "silent": ["c"], "away": ["d"], "complete": False}
    assert told.items() <= answer.items()


@pytest.mark.parametrize(
    ("request_fields", "field"),
    [({"change": "burn"}, "change"), ({"change": "use"}, "key"), ({"change": "use", "key": "x", "force": 1}, "force")],
)
def test_a_wrong_change_of_keys_is_refused_by_the_field(
    path: Path, worker: FakeWorker, request_fields: dict[str, object], field: str
) -> None:
    with ControlClient(path) as client, pytest.raises(UsageError, match=f"^{field}: expected"):
        client.ask("keys", **request_fields)
    assert worker.said == []


def test_a_dead_member_is_removed(path: Path, worker: FakeWorker) -> None:
    with ControlClient(path) as client:
        client.ask("remove", name="w9")
    assert worker.said == [("remove", "w9")]
