"""The peer's own thread, with a scripted node: start-up errors, commands, endings."""

from __future__ import annotations

import logging
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from swimstream.config import NodeConfig
from swimstream.core.boots import boot_above
from swimstream.core.effects import (
    Answer,
    DumpStack,
    Effect,
    KeepWarm,
    Notify,
    Persist,
    QueryAnswered,
    Record,
    RenewFence,
    Saved,
    StartInstance,
    StopInstance,
    VoteRecord,
)
from swimstream.errors import DeliveryFailed, JoinFailed, StorageError, UsageError, WorkerStopped
from swimstream.events import ForeignCluster, NameConflict, Superseded
from swimstream.model.identity import Address, InstanceId, Run
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.plan import Plan
from swimstream.model.status import InstanceState
from swimstream.model.talk import Ask, QueryResult, Say, Send
from swimstream.runtime import thread
from swimstream.runtime.replies import Found, Reply
from swimstream.runtime.reports import Report, Reports
from swimstream.runtime.storage import MemoryStorage
from swimstream.runtime.thread import PeerSettings, PeerThread
from tests.runtime.fake_node import FakeNode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from swimstream.runtime.faces import Durable

WAIT_S = 60.0
"""Only what hangs takes so long."""
JOB = JobSpec(name="job", operators=(OperatorSpec(name="count", kind="k"),))
INSTANCE = InstanceId("job", "count", 0)
LOOPBACK = Address("127.0.0.1", 0)


class Idle:
    """A runner of instances that runs none."""

    def start(self, effect: StartInstance) -> None: ...
    def stop(self, effect: StopInstance) -> None: ...
    def renew(self, effect: RenewFence) -> None: ...
    def keep_warm(self, effect: KeepWarm) -> None: ...

    def dump(self, effect: DumpStack) -> None: ...


class FullDisk:
    """A disk that cannot be written to."""

    def write(self, records: Sequence[Record]) -> None:
        raise StorageError("state: no space left")


def settings(*, bind: Address = LOOPBACK, advertise: Address | None = None) -> PeerSettings:
    node = NodeConfig(name="w1", advertise=bind)
    return PeerSettings(bind=bind, advertise=advertise, node=node, boot=1, saved=Saved(voter=1))


class Rig:
    """One peer thread around a fake node."""

    def __init__(self, chosen: PeerSettings | None = None, *, storage: Durable | None = None) -> None:
        self.node = FakeNode()
        self.reports = Reports()
        self.peer = PeerThread(
            chosen or settings(),
            storage=storage or MemoryStorage(1),
            runner=Idle(),
            reports=self.reports,
            build=lambda *_: self.node,
        )

    def effects(self, *effects: Answer | Notify) -> None:
        """Have the node emit `effects` at the next command."""
        self.node.on_command = lambda *_: list(effects)


@pytest.fixture
def make() -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def started(*arguments: PeerSettings, storage: Durable | None = None) -> Rig:
        rigs.append(Rig(*arguments, storage=storage))
        rigs[-1].peer.start()
        return rigs[-1]

    yield started
    for rig in rigs:
        rig.peer.stop()
        assert rig.peer.join_thread(WAIT_S)


def test_a_start_that_fails_raises_where_it_was_started() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        rig = Rig(settings(bind=Address(*taken.getsockname())))
        with pytest.raises(UsageError, match="already in use"):
            rig.peer.start()
        with pytest.raises(WorkerStopped):
            rig.peer.submit(JOB).wait(WAIT_S)


def test_the_advertised_address_has_the_bound_port_unless_told_otherwise(make: Callable[..., Rig]) -> None:
    plain = make().peer.address
    assert plain.host == "127.0.0.1"
    assert plain.port > 0
    assert make(settings(advertise=Address("192.0.2.7", 0))).peer.address.port > 0
    assert make(settings(advertise=Address("192.0.2.7", 99))).peer.address == Address("192.0.2.7", 99)


def test_listening_everywhere_needs_an_address_to_advertise() -> None:
    with pytest.raises(UsageError, match=r"^advertise: expected an address that others can reach"):
        Rig(settings(bind=Address("0.0.0.0", 0))).peer.start()


def test_a_command_is_answered(make: Callable[..., Rig]) -> None:
    make().peer.submit(JOB).wait(WAIT_S)


def test_the_council_is_changed_by_what_the_node_is_told(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.peer.resize_council(5).wait(WAIT_S)
    rig.peer.transfer_leadership("w2").wait(WAIT_S)
    rig.peer.recover_council(7).wait(WAIT_S)
    told = [entry for entry in rig.node.log if entry[0] in ("seats", "to", "cluster")]
    assert told == [("seats", 5), ("to", "w2"), ("cluster", 7)]
    rig.node.on_command = lambda verb, request: [Answer(request, f"no {verb}")]
    with pytest.raises(UsageError, match="no recover_council"):
        rig.peer.recover_council(7).wait(WAIT_S)


def test_a_refused_command_raises_what_it_should(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.node.on_command = lambda verb, request: [Answer(request, f"no {verb}")]
    with pytest.raises(UsageError, match="no submit"):
        rig.peer.submit(JOB).wait(WAIT_S)
    with pytest.raises(JoinFailed, match="no join"):
        rig.peer.join().wait(WAIT_S)


def test_what_is_said_reaches_the_node_and_a_refusal_is_raised(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.peer.say(Say("t", b"")).wait(WAIT_S)
    assert ("said", Say("t", b"")) in rig.node.log
    rig.node.on_command = lambda _, request: [Answer(request, "no")]
    with pytest.raises(UsageError, match="no"):
        rig.peer.say(Say("t", b"")).wait(WAIT_S)
    with pytest.raises(DeliveryFailed, match="no"):
        rig.peer.say(Send("b", "t", b"")).wait(WAIT_S)
    with pytest.raises(UsageError, match="no"):
        rig.peer.ask(Ask(topic="t")).wait(WAIT_S)


def test_a_question_returns_what_came_back_or_fails_with_the_peer(make: Callable[..., Rig]) -> None:
    rig = make()
    result = QueryResult(answers={"b": b"x"}, silent=(), away=())
    rig.node.on_command = lambda _, request: [QueryAnswered(request, result)]
    assert rig.peer.ask(Ask(topic="t")).wait(WAIT_S) == result
    rig.node.on_command = lambda *_: []
    open_one = rig.peer.ask(Ask(topic="t"))
    rig.peer.stop()
    with pytest.raises(WorkerStopped):
        open_one.wait(WAIT_S)


def test_the_number_of_unanswered_questions_is_bounded(
    make: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread, "COMMANDS_MAX", 1)
    rig = make()
    rig.node.on_command = lambda *_: []
    rig.peer.ask(Ask(topic="t"))
    with pytest.raises(UsageError, match="at most 1 queries"):
        rig.peer.ask(Ask(topic="t"))


def test_the_number_of_unanswered_commands_is_bounded(
    make: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thread, "COMMANDS_MAX", 3)
    rig = make()
    rig.effects()
    waiting = [rig.peer.submit(JOB) for _ in range(3)]
    with pytest.raises(UsageError, match="at most 3 commands"):
        rig.peer.submit(JOB)
    rig.peer.stop()
    for reply in waiting:
        with pytest.raises(WorkerStopped):
            reply.wait(WAIT_S)


def test_a_goodbye_ends_the_peer(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.peer.leave().wait(WAIT_S)
    rig.peer.ended.wait(WAIT_S)


def test_being_superseded_ends_the_peer_and_says_by_whom(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.effects(Notify(Superseded(Run("w1", 9), Address("127.0.0.1", 5))))
    events = rig.peer.subscriptions.subscribe()
    waiting = rig.peer.submit(JOB)
    assert isinstance(events.take(WAIT_S), Superseded)
    for reply in (waiting, rig.peer.ended):
        with pytest.raises(WorkerStopped, match=r"w1@9, took over at 127.0.0.1:5"):
            reply.wait(WAIT_S)


def test_the_log_tells_of_a_namesake_and_of_a_worker_of_another_cluster(
    make: Callable[..., Rig], caplog: pytest.LogCaptureFixture
) -> None:
    rig = make()
    events = rig.peer.subscriptions.subscribe()
    rig.effects(Notify(NameConflict(Run("w1", 9))), Notify(ForeignCluster(Run("x", 3), 255)))
    rig.peer.submit(JOB)
    assert [type(events.take(WAIT_S)) for _ in range(2)] == [NameConflict, ForeignCluster]
    rig.peer.stop()
    rig.peer.join_thread(WAIT_S)
    assert "goes by this worker's name run=w1@9" in caplog.text
    assert "another cluster was refused run=x@3 cluster=ff" in caplog.text


def test_a_disk_that_fails_ends_the_peer_and_says_why(
    make: Callable[..., Rig], caplog: pytest.LogCaptureFixture
) -> None:
    rig = make(storage=FullDisk())
    rig.node.on_command = lambda *_: [Persist(VoteRecord(1, "a"))]
    with caplog.at_level(logging.CRITICAL), pytest.raises(WorkerStopped, match=r"StorageError: state: no space left"):
        rig.peer.submit(JOB).wait(WAIT_S)
    assert "the peer crashed" in caplog.text


def test_views_stay_readable_and_waits_fail_after_the_end(make: Callable[..., Rig]) -> None:
    rig = make()
    never: Reply[None] = rig.peer.views.when(lambda _: None)
    rig.peer.stop()
    with pytest.raises(WorkerStopped):
        never.wait(WAIT_S)
    assert rig.peer.views.current.run == Run("w1", 1)


def test_readers_never_wait_for_a_peer_that_is_busy(make: Callable[..., Rig]) -> None:
    rig = make()
    busy, may_go_on = threading.Event(), threading.Event()

    def block(_: str, request: int) -> list[Effect]:
        busy.set()
        assert may_go_on.wait(WAIT_S)
        return [Answer(request, "")]

    rig.node.on_command = block
    reply = rig.peer.submit(JOB)
    assert busy.wait(WAIT_S)
    assert rig.peer.views.current.run == Run("w1", 1)
    rig.peer.subscriptions.subscribe().close()
    assert not reply.is_settled
    may_go_on.set()
    reply.wait(WAIT_S)


def test_reports_reach_the_node_in_order(make: Callable[..., Rig]) -> None:
    rig = make()
    for state in (InstanceState.STARTING, InstanceState.RUNNING, InstanceState.FINISHED):
        rig.reports.put(Report(instance=INSTANCE, epoch=3, state=state))
    rig.peer.submit(JOB).wait(WAIT_S)
    told = [entry[1] for entry in rig.node.log if entry[0] == "report"]
    states = (InstanceState.STARTING, InstanceState.RUNNING, InstanceState.FINISHED)
    assert told == [Report(instance=INSTANCE, epoch=3, state=state) for state in states]


def test_a_progress_report_alone_reaches_the_node_too(make: Callable[..., Rig]) -> None:
    rig = make()
    rig.reports.put(Report(instance=INSTANCE, epoch=3, progress=5))
    seen = rig.peer.views.when(lambda _: found_progress(rig))
    seen.wait(WAIT_S)


def found_progress(rig: Rig) -> Found[None] | None:
    return Found(None) if ("report", Report(instance=INSTANCE, epoch=3, progress=5)) in rig.node.log else None


@pytest.mark.parametrize(
    ("saved", "now_ms", "boot"),
    [
        (Saved(voter=100), 100, 100),
        (Saved(voter=100), 200, 200),
        (Saved(voter=300), 200, 301),
        (Saved(voter=100, plan=Plan(evicted={"w1": 500})), 200, 501),
        (Saved(voter=100, plan=Plan(evicted={"other": 500})), 200, 200),
    ],
)
def test_a_boot_is_above_every_earlier_one_even_when_the_clock_was_set_back(
    saved: Saved, now_ms: int, boot: int
) -> None:
    assert boot_above(saved, name="w1", now_ms=now_ms) == boot
