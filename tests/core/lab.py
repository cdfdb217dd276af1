"""A few real nodes on a table: virtual time, fixed delay, every fault set by hand. For stories of a handful of nodes.

Nothing is random but what the nodes draw from their own seeded generators, so a test replays exactly. Whole
clusters under random faults belong into the simulator. No cluster is founded here: the nodes wait for more
workers than a test ever adds, so that only membership speaks.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, TypeVar

import attrs

from swimstream.config import LOCAL, NodeConfig
from swimstream.core.effects import Answer, CloseStream, Notify, OpenStream, Persist, Saved, SendFrame, SendPacket
from swimstream.core.node import Node
from swimstream.events import Event, MemberChanged
from swimstream.model.identity import Address
from swimstream.wire.codec import decode_packet_untrusted
from swimstream.wire.messages import Message

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swimstream.config import Timing
    from swimstream.core.effects import Effect, Record
    from swimstream.model.member import Member, MemberState

M = TypeVar("M", bound="Message")

DELAY_S = 0.001
EXPECT_NEVER = 1_000
"""So many workers never come: no cluster is founded."""


@attrs.frozen
class Told:
    """One event or answer of one node."""

    at: float
    who: str
    what: Event | Answer


@attrs.frozen
class Sent:
    """One message that left a node by datagram."""

    at: float
    who: str
    to: Address
    message: Message


@attrs.define
class Seat:
    """One process on the table. A restart of it is another seat."""

    name: str
    address: Address
    node: Node
    is_paused: bool = False
    is_crashed: bool = False
    mailbox: list[Callable[[], None]] = attrs.field(factory=list)
    """What came in while it was paused; handled before any timer, as the driver does."""


class Lab:
    """The table, the clock and the notebook (`told`, `sent`)."""

    def __init__(self, *, timing: Timing = LOCAL) -> None:
        self.now = 0.0
        self.timing = timing
        self.told: list[Told] = []
        self.sent: list[Sent] = []
        self.stored: list[tuple[str, Record]] = []
        """Who had its disk remember what."""
        self.seats: dict[Address, Seat] = {}
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._streams: dict[tuple[Address, int], tuple[Address, int]] = {}
        self._streams_opened = 0
        self._cuts: set[tuple[Address, Address]] = set()
        self.refuses = False
        """Whether the host of a crashed process says that nobody listens there any more."""

    # --- processes --------------------------------------------------------------------------------

    def start(
        self,
        name: str,
        *,
        host: int | None = None,
        seeds: tuple[str, ...] = (),
        boot: int | None = None,
        kinds: int = 0,
        peers: tuple[Address, ...] = (),
    ) -> Node:
        """Start a worker at 10.0.0.`host` and let it join by the addresses of `seeds`."""
        address = Address(f"10.0.0.{host if host is not None else len(self.seats) + 1}", 7946)
        config = NodeConfig(
            name=name,
            advertise=address,
            expect=EXPECT_NEVER,
            seeds=tuple(self.seat(seed).address for seed in seeds),
            kinds=tuple(f"k{i:02}".ljust(64, "x") for i in range(kinds)),
            timing=self.timing,
        )
        number = boot if boot is not None else 1_000 + len(self.seats)
        node = Node(
            config, boot=number, saved=Saved(voter=number, peers=peers), rng=Random(f"{name}/{number}"), now=self.now
        )
        seat = Seat(name, address, node)
        before = self.seats.pop(address, None)
        if before is not None:
            before.is_crashed = True
        self.seats[address] = seat
        node.join(1, now=self.now)
        self._settle(seat)
        return node

    def start_group(self, names: str) -> list[Node]:
        """Start one worker a letter, the first as the seed of all others; return when all see each other."""
        nodes = [self.start(name, seeds=() if name == names[0] else (names[0],)) for name in names]
        self.run_until(lambda: all(len(self.live(name)) == len(names) for name in names))
        return nodes

    def seat(self, name: str) -> Seat:
        """Return the newest process of that name."""
        return [seat for seat in self.seats.values() if seat.name == name][-1]

    def node(self, name: str) -> Node:
        return self.seat(name).node

    def crash(self, name: str) -> None:
        self.seat(name).is_crashed = True

    def pause(self, name: str) -> None:
        self.seat(name).is_paused = True

    def resume(self, name: str) -> None:
        """Go on: first all that came in meanwhile, then the timers."""
        seat = self.seat(name)
        seat.is_paused = False
        mailbox, seat.mailbox = seat.mailbox, []
        for deliver in mailbox:
            deliver()
        self._fire(seat)

    def leave(self, name: str) -> None:
        self.node(name).leave(2, now=self.now)
        self._settle(self.seat(name))

    # --- the network ------------------------------------------------------------------------------

    def cut(self, source: str, target: str) -> None:
        """Lose what `source` sends to `target`; the other direction stays."""
        self._cuts.add((self.seat(source).address, self.seat(target).address))

    def isolate(self, name: str) -> None:
        """Lose what `name` sends and what is sent to it."""
        for other in {seat.name for seat in self.seats.values()} - {name}:
            self.cut(name, other)
            self.cut(other, name)

    def mend(self) -> None:
        self._cuts.clear()

    # --- time -------------------------------------------------------------------------------------

    def run_for(self, seconds: float) -> None:
        until = self.now + seconds
        while self._queue and self._queue[0][0] <= until:
            self._step()
        self.now = until

    def run_until(self, holds: Callable[[], bool], *, limit_s: float = 60.0) -> None:
        """Go on until `holds`; fail the test when it has not come to that after `limit_s` of virtual time."""
        limit = self.now + limit_s
        while not holds():
            assert self._queue, "nothing is left to happen"
            assert self._queue[0][0] <= limit, f"not reached within {limit_s} s of virtual time"
            self._step()

    # --- looking ----------------------------------------------------------------------------------

    def member(self, who: str, name: str) -> Member | None:
        """Return what `who` holds of `name`."""
        return {member.run.name: member for member in self.node(who).members()}.get(name)

    def state(self, who: str, name: str) -> MemberState | None:
        member = self.member(who, name)
        return member.state if member is not None else None

    def live(self, who: str) -> set[str]:
        return {member.run.name for member in self.node(who).members() if not member.state.is_gone}

    def entered(self, state: MemberState, name: str) -> list[Told]:
        """Return who saw `name` enter `state`, and when."""
        return [
            told
            for told in self.told
            if isinstance(told.what, MemberChanged)
            and told.what.member.run.name == name
            and told.what.member.state is state
        ]

    def messages(self, kind: type[M], who: str) -> list[M]:
        """Return the messages of one kind that `who` has sent by datagram."""
        return [sent.message for sent in self.sent if sent.who == who and isinstance(sent.message, kind)]

    # --- machinery --------------------------------------------------------------------------------

    def _step(self) -> None:
        self.now, _, act = heapq.heappop(self._queue)
        act()

    def _at(self, when: float, act: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._queue, (when, self._count, act))

    def _fire(self, seat: Seat) -> None:
        if not seat.is_crashed and not seat.is_paused and seat.node.next_deadline() <= self.now:
            seat.node.fire_timers(now=self.now)
            self._settle(seat)

    def _settle(self, seat: Seat) -> None:
        """Carry out the effects of a node and wait for its next deadline."""
        for effect in seat.node.take_effects():
            self._carry_out(seat, effect)
        deadline = seat.node.next_deadline()
        if deadline != float("inf"):
            self._at(max(deadline, self.now), lambda: self._fire(seat))

    def _carry_out(self, seat: Seat, effect: Effect) -> None:
        match effect:
            case SendPacket(to, payload):
                messages = decode_packet_untrusted(payload).messages
                self.sent += [Sent(self.now, seat.name, to, message) for message in messages]
                other = self.seats.get(to)
                if self.refuses and (other is None or other.is_crashed):
                    self._send(seat.address, lambda node: node.packet_refused(to, now=self.now))
                if (seat.address, to) not in self._cuts:
                    self._send(to, lambda node: node.receive_packet(payload, source=seat.address, now=self.now))
            case OpenStream(stream, to, frame):
                self._open(seat, stream, to, frame)
            case SendFrame(stream, frame):
                self._send_frame((seat.address, stream), frame)
            case Notify(what) | (Answer() as what):
                self.told.append(Told(self.now, seat.name, what))
            case Persist(record):
                self.stored.append((seat.name, record))
            case CloseStream():
                pass
            case _:
                raise AssertionError(f"not expected on this table: {effect}")

    def _open(self, seat: Seat, stream: int, to: Address, frame: bytes) -> None:
        other = self.seats.get(to)
        is_cut = {(seat.address, to), (to, seat.address)} & self._cuts
        if other is None or other.is_crashed or is_cut:
            self._send(seat.address, lambda node: node.stream_closed(stream, now=self.now))
            return
        self._streams_opened += 1
        near, far = (seat.address, stream), (to, -self._streams_opened)
        self._streams[near], self._streams[far] = far, near
        self._send_frame(near, frame)

    def _send_frame(self, end: tuple[Address, int], frame: bytes) -> None:
        far = self._streams.get(end)
        if far is not None and (end[0], far[0]) not in self._cuts:
            to, stream = far
            self._send(to, lambda node: node.receive_frame(stream, frame, now=self.now))

    def _send(self, to: Address, deliver: Callable[[Node], None]) -> None:
        """Hand something to whoever is at `to` one delay from now."""

        def arrive() -> None:
            seat = self.seats.get(to)
            if seat is None or seat.is_crashed:
                return
            if seat.is_paused:
                seat.mailbox.append(arrive)
                return
            deliver(seat.node)
            self._settle(seat)

        self._at(self.now + DELAY_S, arrive)


def story(lab: Lab) -> Iterator[str]:
    """Yield one readable line for each event and answer, in order."""
    for told in lab.told:
        yield f"{told.at:7.3f}  {told.who}  {_words(told.what)}"


def _words(what: Event | Answer) -> str:
    match what:
        case Answer(request=1, error=""):
            return "is a member"
        case Answer(error=error):
            return f"is refused: {error}" if error else "has left"
        case MemberChanged(member):
            seen_by = f" (seen by {', '.join(member.accusers)})" if member.accusers else ""
            return f"sees {member.run} {member.state.name.lower()}, incarnation {member.incarnation}{seen_by}"
        case _:
            return str(what)
