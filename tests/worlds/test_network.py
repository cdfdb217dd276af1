"""The simulated network keeps its own rules: a world that lies would prove nothing."""

from __future__ import annotations

from random import Random

import attrs
import pytest

from swimstream.core.effects import EntriesRecord, SnapshotRecord, VoteRecord
from swimstream.errors import StorageError
from swimstream.model.changes import Entry, Noop
from swimstream.model.identity import Address
from swimstream.model.plan import Plan
from swimstream.simulator.clock import Clock
from swimstream.simulator.disks import Disk
from swimstream.simulator.network import Links, Network
from swimstream.simulator.streams import CONNECT_TIMEOUT_S, STALL_S_MAX, Streams

LINKS = Links(delay_s=0.01, jitter_s=0.0)


@attrs.define(eq=False)
class Ear:
    """A process that only keeps what it hears."""

    name: str
    clock: Clock
    heard: list[tuple[float, object]] = attrs.field(factory=list)
    incoming: int = 0

    @property
    def address(self) -> Address:
        """Return one address for each name."""
        return Address(self.name, 1)

    def receive_packet(self, data: bytes, source: Address) -> None:
        """Keep a datagram."""
        self.heard.append((round(self.clock.now, 6), data))

    def packet_refused(self, to: Address) -> None:
        """Keep a refusal."""
        self.heard.append((round(self.clock.now, 6), ("refused", to)))

    def receive_frame(self, stream: int, data: bytes) -> None:
        """Keep a frame."""
        self.heard.append((round(self.clock.now, 6), (stream, data)))

    def stream_closed(self, stream: int) -> None:
        """Keep the end of a stream."""
        self.heard.append((round(self.clock.now, 6), (stream, "closed")))

    def number_incoming(self) -> int:
        """Return the next number."""
        self.incoming -= 1
        return self.incoming

    def words(self) -> list[object]:
        """Return what was heard, without the times."""
        return [what for _, what in self.heard]


class Moved(Ear):
    """A later process of the same host."""

    @property
    def address(self) -> Address:
        """Return another port."""
        return Address(self.name, 2)


@attrs.define
class Place:
    """Two processes and what lies between them."""

    clock: Clock
    network: Network
    streams: Streams
    one: Ear
    two: Ear


def make_place(links: Links = LINKS) -> Place:
    """Return two listening processes."""
    clock = Clock()
    network = Network(links, clock=clock, rng=Random(1))
    place = Place(clock, network, Streams(network, clock=clock), Ear("one", clock), Ear("two", clock))
    network.listen(place.one)
    network.listen(place.two)
    return place


def test_a_datagram_arrives_after_the_delay() -> None:
    """And unchanged."""
    place = make_place()
    place.network.send(place.one, place.two.address, b"hello")
    place.clock.run_until(1)
    assert place.two.heard == [(0.01, b"hello")]


def test_a_cut_works_one_way_only() -> None:
    """The other direction is open."""
    place = make_place()
    place.network.cut([("one", "two")])
    place.network.send(place.one, place.two.address, b"lost")
    place.network.send(place.two, place.one.address, b"heard")
    place.clock.run_until(1)
    assert (place.two.words(), place.one.words()) == ([], [b"heard"])


def test_overlapping_cuts_mend_one_by_one() -> None:
    """The link is open only when the last has been mended."""
    place = make_place()
    for _ in range(2):
        place.network.cut([("one", "two")])
    place.network.mend([("one", "two")])
    assert place.network.is_cut("one", "two")


def test_about_the_stated_share_is_lost() -> None:
    """A third of a thousand, give or take."""
    place = make_place(Links(loss=0.3))
    for _ in range(1_000):
        place.network.send(place.one, place.two.address, b"x")
    place.clock.run_until(1)
    assert 600 < len(place.two.heard) < 800


def test_reordering_lets_later_datagrams_overtake() -> None:
    """Sent in order, heard in another."""
    place = make_place(Links(delay_s=0.01, jitter_s=0, reordering=0.3))
    sent = [bytes([number]) for number in range(100)]
    for data in sent:
        place.network.send(place.one, place.two.address, data)
    place.clock.run_until(5)
    assert sorted(place.two.words()) == sent != place.two.words()  # type: ignore[type-var]


def refused_in(place: Place) -> list[tuple[float, object]]:
    """Return what the first hears after it has sent one datagram to the second."""
    place.network.send(place.one, place.two.address, b"hello")
    place.clock.run_until(1)
    return place.one.heard


def test_a_host_whose_process_has_gone_refuses_a_datagram_after_a_round_trip() -> None:
    """As the kernel does that is still there."""
    place = make_place()
    place.network.unlisten(place.two)
    assert refused_in(place) == [(0.02, ("refused", place.two.address))]


def test_a_host_that_has_crashed_refuses_nothing() -> None:
    """Nobody is there to answer."""
    place = make_place()
    place.network.unlisten(place.two, host_answers=False)
    assert refused_in(place) == []


def test_a_host_that_is_up_again_refuses_at_the_address_that_its_process_has_left() -> None:
    """It listens elsewhere now."""
    place = make_place()
    place.network.unlisten(place.two, host_answers=False)
    place.network.listen(Moved("two", place.clock))
    assert refused_in(place) == [(0.02, ("refused", place.two.address))]


def test_where_no_host_has_ever_been_nothing_refuses() -> None:
    """A datagram to nowhere is lost."""
    place = make_place()
    place.network.send(place.one, Address("nowhere", 1), b"hello")
    place.clock.run_until(1)
    assert place.one.heard == []


@pytest.mark.parametrize("pair", [("one", "two"), ("two", "one")])
def test_no_refusal_crosses_a_cut(pair: tuple[str, str]) -> None:
    """Whichever way it cuts: the datagram must get there and the answer back."""
    place = make_place()
    place.network.unlisten(place.two)
    place.network.cut([pair])
    assert refused_in(place) == []


def test_refusals_are_lost_like_datagrams() -> None:
    """So about half of them get through where seven in ten get through either way."""
    place = make_place(Links(loss=0.3))
    place.network.unlisten(place.two)
    for _ in range(1_000):
        place.network.send(place.one, place.two.address, b"x")
    place.clock.run_until(1)
    assert 400 < len(place.one.heard) < 580


def test_a_process_that_has_ended_hears_of_no_refusal() -> None:
    """Its socket is closed."""
    place = make_place()
    place.network.unlisten(place.two)
    place.network.send(place.one, place.two.address, b"hello")
    place.network.unlisten(place.one)
    place.clock.run_until(1)
    assert place.one.heard == []


def test_frames_arrive_in_order_after_a_round_trip_of_connecting() -> None:
    """Loss delays them, it neither loses nor reorders them."""
    place = make_place(Links(delay_s=0.01, jitter_s=0.005, loss=0.2))
    place.streams.open(place.one, 1, place.two.address, b"0")
    for number in range(1, 50):
        place.streams.send(place.one, 1, str(number).encode())
    place.clock.run_until(20)
    assert place.two.words() == [(-1, str(number).encode()) for number in range(50)]
    assert place.two.heard[0][0] >= 0.03


def test_both_sides_can_send_and_a_close_follows_what_was_sent() -> None:
    """The closer itself hears nothing more."""
    place = make_place()
    place.streams.open(place.one, 1, place.two.address, b"ask")
    place.clock.run_until(0.1)
    place.streams.send(place.two, -1, b"answer")
    place.streams.close(place.two, -1)
    place.clock.run_until(1)
    assert place.one.words() == [(1, b"answer"), (1, "closed")]
    assert place.two.words() == [(-1, b"ask")]
    assert place.streams.open_count(place.one) == place.streams.open_count(place.two) == 0


def test_a_connection_to_nobody_is_refused_after_a_round_trip() -> None:
    """The host is there, the process is not."""
    place = make_place()
    place.network.unlisten(place.two)
    place.streams.open(place.one, 1, place.two.address, b"ask")
    place.clock.run_until(1)
    assert place.one.heard == [(0.03, (1, "closed"))]


def test_a_connection_to_a_host_that_has_crashed_times_out() -> None:
    """Nobody is there to refuse it."""
    place = make_place()
    place.network.unlisten(place.two, host_answers=False)
    place.streams.open(place.one, 1, place.two.address, b"ask")
    place.clock.run_until(10)
    assert place.one.words() == [(1, "closed")]
    assert place.one.heard[0][0] >= CONNECT_TIMEOUT_S


def test_a_connection_into_a_cut_times_out() -> None:
    """Nothing comes back, not even a refusal."""
    place = make_place()
    place.network.cut([("two", "one")])
    place.streams.open(place.one, 1, place.two.address, b"ask")
    place.clock.run_until(10)
    assert place.one.words() == [(1, "closed")]
    assert place.one.heard[0][0] >= CONNECT_TIMEOUT_S


def test_a_short_cut_only_delays_a_frame() -> None:
    """It is sent again until it gets through."""
    place = make_place()
    place.streams.open(place.one, 1, place.two.address, b"ask")
    place.clock.run_until(0.1)
    place.network.cut([("one", "two")])
    place.streams.send(place.one, 1, b"more")
    place.clock.run_until(2)
    place.network.mend([("one", "two")])
    place.clock.run_until(3)
    assert place.two.words() == [(-1, b"ask"), (-1, b"more")]


def test_a_long_cut_breaks_a_stream_on_both_sides() -> None:
    """The sender gives up."""
    place = make_place()
    place.streams.open(place.one, 1, place.two.address, b"ask")
    place.clock.run_until(0.1)
    place.network.cut([("one", "two")])
    place.streams.send(place.one, 1, b"more")
    place.clock.run_until(STALL_S_MAX + 2)
    assert place.one.words() == [(1, "closed")]
    assert place.two.words() == [(-1, b"ask"), (-1, "closed")]


@pytest.mark.parametrize("silent", [False, True])
def test_the_death_of_a_process_closes_its_streams(*, silent: bool) -> None:
    """At once if its host lives to reset them, else after a long silence."""
    place = make_place()
    place.streams.open(place.one, 1, place.two.address, b"ask")
    place.clock.run_until(0.1)
    place.network.unlisten(place.two)
    place.streams.process_died(place.two, silent=silent)
    place.clock.run_until(10)
    assert place.one.words() == [(1, "closed")]
    assert (place.one.heard[0][0] > 1) is silent


# --- disks ----------------------------------------------------------------------------------------


def entries(first: int, last: int, *, term: int = 1) -> tuple[Entry, ...]:
    """Return entries that change nothing."""
    return tuple(Entry(index=index, term=term, change=Noop()) for index in range(first, last + 1))


def test_a_disk_gives_back_what_was_written() -> None:
    """Vote and entries."""
    disk = Disk(voter=5)
    disk.write(VoteRecord(3, "b"))
    disk.write(EntriesRecord(1, entries(1, 3)))
    saved = disk.load()
    assert (saved.voter, saved.vote, saved.entries) == (5, VoteRecord(3, "b"), entries(1, 3))


def test_later_entries_replace_a_tail() -> None:
    """As Raft does with a conflict."""
    disk = Disk(voter=5)
    disk.write(EntriesRecord(1, entries(1, 5)))
    disk.write(EntriesRecord(3, entries(3, 3, term=2)))
    assert disk.load().entries == (*entries(1, 2), *entries(3, 3, term=2))


def test_a_snapshot_drops_what_it_covers() -> None:
    """And keeps what follows."""
    disk = Disk(voter=5)
    disk.write(EntriesRecord(1, entries(1, 5)))
    disk.write(SnapshotRecord(Plan().advance(entries(1, 3)), keeps_tail=True))
    assert (disk.load().plan.index, disk.load().entries) == (3, entries(4, 5))


def test_a_gap_is_refused() -> None:
    """No process could start from it."""
    disk = Disk(voter=5)
    with pytest.raises(StorageError, match="expected index 1, got 2"):
        disk.write(EntriesRecord(2, entries(2, 3)))


def test_a_term_that_goes_back_is_refused() -> None:
    """Raft's hard state only rises."""
    disk = Disk(voter=5)
    disk.write(VoteRecord(3, "b"))
    with pytest.raises(StorageError, match="expected at least 3, got 2"):
        disk.write(VoteRecord(2, ""))
