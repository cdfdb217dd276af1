"""The driver against a scripted node and real loopback sockets."""

from __future__ import annotations

import socket
import sys
import threading
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import trio

from swimstream.core.effects import (
    Answer,
    CloseStream,
    DumpStack,
    Effect,
    KeepWarm,
    Notify,
    OpenStream,
    Persist,
    QueryAnswered,
    Record,
    RenewFence,
    SendFrame,
    SendPacket,
    StartInstance,
    StopInstance,
    StoreKeys,
    VoteRecord,
)
from swimstream.errors import UsageError
from swimstream.events import Event, LeaderChanged
from swimstream.model.identity import Address, InstanceId, Run
from swimstream.model.plan import Plan
from swimstream.model.status import InstanceState
from swimstream.runtime import clock, streams
from swimstream.runtime import driver as driver_module
from swimstream.runtime.binding import BoundSockets, bind_pair
from swimstream.runtime.driver import COUNTERS_INTERVAL_S, DATAGRAMS_PER_BATCH, VIEW_INTERVAL_S, Driver
from swimstream.runtime.reports import Report, Reports
from swimstream.runtime.resolver import Resolver
from swimstream.runtime.udp import UdpSocket
from swimstream.runtime.view import View
from tests.runtime.fake_node import FakeNode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from swimstream.model.member import Member
    from swimstream.model.talk import QueryResult

LOOPBACK = Address("127.0.0.1", 0)
WAIT_S = 60.0
"""Only what hangs takes so long."""
VOTE = Persist(VoteRecord(1, "a"))


class Disk:
    """Remembers what was written, and lets a test hold a write up."""

    def __init__(self) -> None:
        self.written: list[tuple[Record, ...]] = []
        self.may_finish = threading.Event()
        self.may_finish.set()
        self.begun = threading.Event()

    def write(self, records: Sequence[Record]) -> None:
        self.begun.set()
        assert self.may_finish.wait(WAIT_S)
        self.written.append(tuple(records))


class Ears:
    """Everything that a driver tells its process, in order."""

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.views: list[View] = []
        self.more = trio.Event()

    def view_changed(self, view: View) -> None:
        self.views.append(view)
        self._hear(view)

    def store(self, keys: Sequence[bytes]) -> None:
        self._hear(StoreKeys(tuple(keys)))

    def told(self, event: Event) -> None:
        self._hear(event)

    def answered(self, request: int, error: str) -> None:
        self._hear(Answer(request, error))

    def query_answered(self, request: int, result: QueryResult) -> None:
        self._hear(QueryAnswered(request, result))

    def start(self, effect: StartInstance) -> None:
        self._hear(effect)

    def stop(self, effect: StopInstance) -> None:
        self._hear(effect)

    def renew(self, effect: RenewFence) -> None:
        self._hear(effect)

    def keep_warm(self, effect: KeepWarm) -> None: ...

    def dump(self, effect: DumpStack) -> None:
        self._hear(effect)

    def _hear(self, what: object) -> None:
        self.heard.append(what)
        self.more.set()


class Rig:
    """One driver with its parts."""

    def __init__(self) -> None:
        self.node = FakeNode()
        self.disk = Disk()
        self.ears = Ears()
        self.reports = Reports()
        self.bound: BoundSockets = bind_pair(LOOPBACK)
        self.address = self.bound.address
        self.udp = UdpSocket(self.bound.udp)
        self.driver = Driver(
            self.node,
            udp=self.udp,
            resolver=Resolver((), family=socket.AF_INET, own=self.address),
            key_store=self.ears,
            storage=self.disk,
            runner=self.ears,
            audience=self.ears,
            reports=self.reports,
            clock=clock.now,
        )

    def counter(self, name: str) -> int:
        return self.ears.views[-1].counters[name] if self.ears.views else 0

    async def turn(self) -> None:
        """Return after one more turn with an input."""
        done: list[float] = []
        self.driver.post(done.append)
        await self.until(lambda: bool(done))
        for _ in range(3):
            await trio.lowlevel.checkpoint()

    async def until(self, condition: Callable[[], bool]) -> None:
        with trio.fail_after(WAIT_S):
            while not condition():
                await trio.lowlevel.checkpoint()


@asynccontextmanager
async def driving() -> AsyncIterator[Rig]:
    rig = Rig()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.driver.run, rig.bound.tcp)
        yield rig
        rig.driver.stop()
    rig.bound.close()


def stranger() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(WAIT_S)
    return sock


def address_of(sock: socket.socket) -> Address:
    return Address(*sock.getsockname())


async def test_every_queued_datagram_is_handled_before_a_due_timer() -> None:
    rig = Rig()
    sent = 3 * DATAGRAMS_PER_BATCH + 1
    with stranger() as other:
        for number in range(sent):
            other.sendto(str(number).encode(), (rig.address.host, rig.address.port))
    rig.node.deadline = clock.now() - 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.driver.run, rig.bound.tcp)
        await rig.until(lambda: ("timers",) in rig.node.log)
        rig.driver.stop()
    rig.bound.close()
    assert rig.node.log.index(("timers",)) == sent
    assert rig.node.log[:sent] == [("packet", str(number).encode()) for number in range(sent)]


async def test_a_datagram_that_arrives_during_a_write_is_handled_before_a_due_timer() -> None:
    async with driving() as rig:
        with stranger() as other:
            rig.disk.may_finish.clear()
            rig.node.on_packet = lambda data, _: [VOTE] if data == b"first" else []
            other.sendto(b"first", (rig.address.host, rig.address.port))
            await trio.to_thread.run_sync(rig.disk.begun.wait)
            rig.node.deadline = clock.now()
            other.sendto(b"second", (rig.address.host, rig.address.port))
            rig.disk.may_finish.set()
            await rig.until(lambda: ("timers",) in rig.node.log)
    assert rig.node.log.index(("packet", b"second")) < rig.node.log.index(("timers",))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux queues the errors of a datagram socket")
async def test_queued_datagrams_are_handled_before_a_refusal_and_both_before_a_due_timer() -> None:
    rig = Rig()
    gone = bind_pair(LOOPBACK)
    gone.close()
    rig.udp.send(gone.address, b"ping")
    with stranger() as other:
        for _ in range(DATAGRAMS_PER_BATCH + 1):
            other.sendto(b"ack", (rig.address.host, rig.address.port))
    rig.node.deadline = clock.now() - 1
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.driver.run, rig.bound.tcp)
        await rig.until(lambda: ("timers",) in rig.node.log)
        rig.driver.stop()
    rig.bound.close()
    acks = [("packet", b"ack")] * (DATAGRAMS_PER_BATCH + 1)
    assert rig.node.log == [*acks, ("refused", gone.address), ("timers",)]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux queues the errors of a datagram socket")
async def test_a_refusal_wakes_a_driver_that_sleeps_and_what_the_node_does_about_it_is_done() -> None:
    async with driving() as rig:
        with stranger() as other:
            gone = bind_pair(LOOPBACK)
            gone.close()
            rig.node.on_refused = lambda _: [SendPacket(address_of(other), b"where is it?")]
            rig.driver.post(lambda _: rig.node.effects.append(SendPacket(gone.address, b"ping")))
            assert await trio.to_thread.run_sync(other.recv, 100) == b"where is it?"
    assert ("refused", gone.address) in rig.node.log


async def test_no_packet_leaves_before_the_persist_ahead_of_it_is_durable() -> None:
    async with driving() as rig:
        with stranger() as other:
            rig.disk.may_finish.clear()
            to = address_of(other)
            rig.node.on_packet = lambda *_: [SendPacket(to, b"before"), VOTE, VOTE, SendPacket(to, b"after")]
            other.sendto(b"go", (rig.address.host, rig.address.port))
            await trio.to_thread.run_sync(rig.disk.begun.wait)
            assert other.recv(100) == b"before"
            other.setblocking(False)
            with pytest.raises(BlockingIOError):
                other.recv(100)
            rig.disk.may_finish.set()
            other.settimeout(WAIT_S)
            assert await trio.to_thread.run_sync(other.recv, 100) == b"after"
    assert rig.disk.written == [(VOTE.record, VOTE.record)], "consecutive records are one write"


async def test_a_turn_is_carried_through_although_its_sleep_has_ended_meanwhile() -> None:
    async with driving() as rig:
        with stranger() as other:
            rig.disk.may_finish.clear()
            to = address_of(other)
            rig.node.on_packet = lambda *_: [VOTE, SendPacket(to, b"one"), VOTE, SendPacket(to, b"two")]
            other.sendto(b"go", (rig.address.host, rig.address.port))
            await trio.to_thread.run_sync(rig.disk.begun.wait)
            rig.driver.wake()
            rig.disk.may_finish.set()
            assert await trio.to_thread.run_sync(other.recv, 100) == b"one"
            assert await trio.to_thread.run_sync(other.recv, 100) == b"two"
    assert len(rig.disk.written) == 2


async def test_a_deadline_that_comes_nearer_between_datagrams_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeNode, "version", 0)
    monkeypatch.setattr(driver_module, "COUNTERS_LATE_S", 1_000.0)  # nothing else wakes the driver
    async with driving() as rig:
        with stranger() as other:

            def bring_forward(*_: object) -> list[Effect]:
                rig.node.deadline = clock.now() + 0.01
                return []

            rig.node.deadline = clock.now() + 1_000
            await rig.turn()
            rig.node.on_packet = bring_forward
            other.sendto(b"go", (rig.address.host, rig.address.port))
            await rig.until(lambda: ("timers",) in rig.node.log)
    assert rig.node.log[0] == ("packet", b"go")


async def test_turns_that_change_nothing_make_no_view_until_counters_are_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeNode, "version", 0)
    async with driving() as rig:
        await rig.turn()
        now = rig.driver._view_at
        rig.driver._clock = lambda: now
        views = len(rig.ears.views)
        for _ in range(3):
            now += VIEW_INTERVAL_S
            await rig.turn()
        assert len(rig.ears.views) == views
        now += COUNTERS_INTERVAL_S
        await rig.turn()
        assert len(rig.ears.views) == views + 1


@pytest.mark.parametrize("changed", ["version", "known_plan", "_run"])
async def test_a_change_makes_a_view_within_the_interval(changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeNode, "version", 0)
    async with driving() as rig:
        await rig.turn()
        views, now = len(rig.ears.views), clock.now()
        rig.driver._clock = lambda: now
        new = {"version": 1, "known_plan": Plan(), "_run": Run("w1", 2)}[changed]
        monkeypatch.setattr(FakeNode if changed == "version" else rig.node, changed, new)
        now += VIEW_INTERVAL_S
        await rig.turn()
        assert len(rig.ears.views) == views + 1


async def test_what_the_last_turn_has_counted_is_shown_though_no_turn_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeNode, "version", 0)
    monkeypatch.setattr(driver_module, "COUNTERS_LATE_S", 0.0)
    monkeypatch.setattr(driver_module, "COUNTERS_INTERVAL_S", 0.01)
    async with driving() as rig:
        with stranger() as other:
            other.sendto(b"x", (rig.address.host, rig.address.port))
            await rig.until(lambda: rig.counter("datagrams_received") == 1)


async def test_what_has_ended_is_reported_before_a_goodbye_that_comes_with_it() -> None:
    rig = Rig()
    failed = Report(instance=InstanceId("j", "o", 0), epoch=1, state=InstanceState.FAILED)
    rig.driver.post(lambda _: rig.node.log.append(("goodbye",)))
    rig.reports.put(failed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.driver.run, rig.bound.tcp)
        await rig.until(lambda: len(rig.node.log) == 2)
        rig.driver.stop()
    rig.bound.close()
    assert rig.node.log == [("report", failed), ("goodbye",)]


async def test_an_event_is_heard_after_the_view_that_shows_it() -> None:
    async with driving() as rig:
        news = LeaderChanged("a", 1)

        def learn(_: float) -> None:
            rig.node.known_plan = Plan(index=5)
            rig.node.effects += [Notify(news), Answer(7, "")]

        rig.driver.post(learn)
        await rig.until(lambda: Answer(7, "") in rig.ears.heard)
    place = rig.ears.heard.index(news)
    before = [heard for heard in rig.ears.heard[:place] if isinstance(heard, View)]
    assert before[-1].plan.index == 5
    assert rig.ears.heard[place + 1] == Answer(7, "")


async def test_views_that_cost_much_are_paced_and_no_news_is_lost() -> None:
    rig = Rig()
    began_at, spent_s = clock.now(), 0.0
    rig.driver._clock = lambda: began_at + spent_s

    def costly() -> tuple[Member, ...]:
        nonlocal spent_s
        spent_s += 0.05
        return ()

    rig.node.members = costly  # type: ignore[method-assign]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.driver.run, rig.bound.tcp)
        for term in range(20):
            rig.node.effects.append(Notify(LeaderChanged("a", term)))
            rig.driver.post(lambda _: None)
            for _ in range(5):
                await trio.lowlevel.checkpoint()
        spent_s += VIEW_INTERVAL_S
        rig.driver.wake()
        await rig.until(lambda: LeaderChanged("a", 19) in rig.ears.heard)
        rig.driver.stop()
    rig.bound.close()
    told = [heard.term for heard in rig.ears.heard if isinstance(heard, LeaderChanged)]
    assert told == list(range(20))
    assert len(rig.ears.views) < 10


async def test_news_that_wait_for_a_view_are_told_before_the_end() -> None:
    async with driving() as rig:
        rig.driver._view_at = clock.now()
        rig.driver._view_pause_s = 1_000
        rig.driver.post(lambda _: rig.node.effects.append(Notify(LeaderChanged("a", 1))))
        await rig.until(lambda: bool(rig.driver._news))
    assert LeaderChanged("a", 1) in rig.ears.heard


async def test_frames_travel_both_ways_between_two_drivers() -> None:
    async with driving() as a, driving() as b:
        large = bytes(200_000)
        b.node.on_frame = lambda stream, data: [SendFrame(stream, data + b"!"), CloseStream(stream)]
        a.driver.post(lambda _: a.node.effects.append(OpenStream(1, b.address, large)))
        await a.until(lambda: ("closed", 1) in a.node.log)
    assert ("frame", -1, large) in b.node.log
    assert a.node.log.index(("frame", 1, large + b"!")) < a.node.log.index(("closed", 1))
    assert ("closed", -1) not in b.node.log, "who closes is not told of the end"


async def test_a_stream_that_cannot_be_opened_is_reported_closed() -> None:
    async with driving() as rig:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            nobody = address_of(unused)
            rig.driver.post(lambda _: rig.node.effects.append(OpenStream(1, nobody, b"x")))
            await rig.until(lambda: ("closed", 1) in rig.node.log)


async def test_a_host_name_that_the_user_did_not_give_is_never_looked_up() -> None:
    async with driving() as rig:
        name = Address("localhost", rig.address.port)
        rig.driver.post(lambda _: rig.node.effects.extend([SendPacket(name, b"x"), OpenStream(1, name, b"y")]))
        await rig.until(lambda: ("closed", 1) in rig.node.log)
        await rig.until(lambda: rig.counter("datagrams_unresolved") == 1)
    assert rig.counter("datagrams_sent") == 0


async def test_an_announced_length_beyond_the_limit_ends_the_connection() -> None:
    async with driving() as rig:
        connection = await trio.open_tcp_stream(rig.address.host, rig.address.port)
        async with connection:
            await connection.send_all(b"\xff\xff\xff\xff")
            with trio.fail_after(WAIT_S):
                assert await connection.receive_some(1) == b""
        await rig.until(lambda: rig.counter("streams_oversized") == 1)
    assert ("closed", -1) in rig.node.log


async def test_strangers_cannot_hold_more_than_the_bound_of_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "INCOMING_MAX", 3)
    async with driving() as rig:
        held = [await trio.open_tcp_stream(rig.address.host, rig.address.port) for _ in range(3)]
        for each in held:
            await each.send_all(b"\x00\x00\x00\x01x")
        await rig.until(lambda: sum(entry[0] == "frame" for entry in rig.node.log) == 3)
        extra = await trio.open_tcp_stream(rig.address.host, rig.address.port)
        with trio.fail_after(WAIT_S), suppress(trio.BrokenResourceError):  # by a reset or an end, as the kernel likes
            assert await extra.receive_some(1) == b""
        await rig.until(lambda: rig.counter("streams_refused") == 1)
        for each in [*held, extra]:
            await trio.aclose_forcefully(each)


async def test_one_address_cannot_shut_out_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "INCOMING_PER_HOST_MAX", 2)
    async with driving() as rig:

        async def frame_from(host: str) -> trio.SocketStream:
            heard = sum(entry[0] == "frame" for entry in rig.node.log)
            connection = await trio.open_tcp_stream(rig.address.host, rig.address.port, local_address=host)
            await connection.send_all(b"\x00\x00\x00\x01x")
            await rig.until(lambda: sum(entry[0] == "frame" for entry in rig.node.log) == heard + 1)
            return connection

        held = [await frame_from("127.0.0.1") for _ in range(2)]
        extra = await trio.open_tcp_stream(rig.address.host, rig.address.port, local_address="127.0.0.1")
        await rig.until(lambda: rig.counter("streams_refused") == 1)
        other = await frame_from("127.0.0.2")
        await trio.aclose_forcefully(held.pop())
        await rig.until(lambda: any(entry[0] == "closed" for entry in rig.node.log))
        held.append(await frame_from("127.0.0.1"))
        for each in [*held, extra, other]:
            await trio.aclose_forcefully(each)


async def test_a_silent_connection_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "IDLE_S", 0.01)
    async with driving() as rig, await trio.open_tcp_stream(rig.address.host, rig.address.port):
        await rig.until(lambda: ("closed", -1) in rig.node.log)


async def test_lateness_is_measured() -> None:
    async with driving() as rig:
        rig.node.deadline = clock.now() - 3
        rig.driver.wake()
        await rig.until(lambda: rig.counter("lateness_us_max") >= 3_000_000)


async def test_an_error_of_our_own_code_ends_the_driver() -> None:
    rig = Rig()

    def bug(_: float) -> None:
        raise AssertionError("a bug")

    rig.driver.post(bug)
    with pytest.RaisesGroup(pytest.RaisesExc(AssertionError, match="a bug")):
        await rig.driver.run(rig.bound.tcp)
    rig.bound.close()


@pytest.mark.parametrize(("kind", "word"), [(socket.SOCK_DGRAM, "udp"), (socket.SOCK_STREAM, "tcp")])
def test_a_port_in_use_is_named_with_its_protocol(kind: socket.SocketKind, word: str) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=rf"^bind: 127.0.0.1:{port} is already in use \({word}\)$"):
            bind_pair(Address("127.0.0.1", port))


def test_an_address_of_another_host_cannot_be_bound() -> None:
    with pytest.raises(UsageError, match=r"^bind: 192.0.2.1 is not an address of this host$"):
        bind_pair(Address("192.0.2.1", 0))


def test_port_zero_picks_one_port_for_both() -> None:
    bound = bind_pair(LOOPBACK)
    assert bound.udp.getsockname() == bound.tcp.getsockname() == ("127.0.0.1", bound.address.port)
    bound.close()


def test_ipv6_is_bound_too() -> None:
    bound = bind_pair(Address("::1", 0))
    assert bound.udp.getsockname()[:2] == ("::1", bound.address.port)
    bound.close()
