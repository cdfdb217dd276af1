"""A group of real nodes in virtual time that has settled: everybody knows everybody, and no news is under way.

No cluster is founded, so that membership speaks alone. What the papers need besides is a member that is *blocked*:
whatever it sends or is sent waits until the block is over, while its timers go on. (A pause, which the simulator has,
stops the timers as well; then a node drains its mail before it judges anybody, and is harmless.)
"""

from __future__ import annotations

import math
from collections import Counter, deque
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import attrs

from chaos.host import NodeHost
from chaos.settlement import BOOT, EXPECT_NEVER, Settlement, claim_of
from swimstream.config import NodeConfig
from swimstream.core.effects import CloseStream, Notify, OpenStream, Saved, SendFrame, SendPacket
from swimstream.core.node import Node
from swimstream.events import MemberChanged
from swimstream.model.member import MemberState
from swimstream.simulator.network import Links

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream.config import Timing
    from swimstream.core.effects import Effect
    from swimstream.model.identity import Address
    from swimstream.simulator.clock import Action

HELD_MAX = 20_000
"""What waits at a blocked member, each way; more is dropped and counted."""


@attrs.frozen
class Sighting:
    """One node entered a member into a state: suspect or dead."""

    at: float
    observer: str
    member: str
    state: MemberState


class Agent(NodeHost):
    """One process of the group. While it is blocked, what it is handed waits."""

    def __init__(self, node: Node, group: Group, *, name: str, address: Address) -> None:
        """Wrap a node; `Group` makes it a member."""
        super().__init__(node, group.clock, name=name, address=address)
        self.is_blocked = False
        self._group = group
        self._mail: deque[Action] = deque()
        self._post: deque[Action] = deque()

    # --- fate -------------------------------------------------------------------------------------

    def block(self) -> None:
        """Hold back what it sends and what is sent to it from now on; its timers go on."""
        self.is_blocked = True

    def unblock(self) -> None:
        """Send what was held back, then hand over what came in, each in its order."""
        self.is_blocked = False
        post, self._post = self._post, deque()
        for act in post:
            act()
        mail, self._mail = self._mail, deque()
        for act in mail:
            self._input(act)

    def pause(self) -> None:
        """Stand still: nothing comes in or out, and no timer fires."""
        self.block()
        self._armed_at = math.inf  # what is set fires in vain

    def resume(self) -> None:
        """Go on, with nothing of what was sent meanwhile: a socket's buffer is short."""
        self._mail.clear()
        self.unblock()
        self.settle()

    def crash(self) -> None:
        """End without a word. Whoever has a stream to it hears nothing either."""
        self.is_ended = True
        self._group.network.unlisten(self, host_answers=False)
        self._group.streams.process_died(self, silent=True)

    # --- machinery --------------------------------------------------------------------------------

    def _input(self, act: Action) -> None:
        if self.is_ended:
            return
        if self.is_blocked:
            self._hold(self._mail, act)
        else:
            act()
            self.settle()

    def _hold(self, queue: deque[Action], act: Action) -> None:
        if len(queue) < HELD_MAX:
            queue.append(act)
        else:
            self._group.counters["held_dropped"] += 1

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, Notify):
            self._group.note(self, effect)
        elif self.is_blocked:
            self._hold(self._post, partial(self._send, effect))
        else:
            self._send(effect)

    def _send(self, effect: Effect) -> None:
        group = self._group
        match effect:
            case SendPacket():
                group.counters["packets"] += 1
                group.counters["packet_bytes"] += len(effect.payload)
                group.network.send(self, effect.to, effect.payload)
            case OpenStream() if group.datagrams_only:
                self._clock.after(0.0, partial(self.stream_closed, effect.stream))
            case OpenStream():
                group.streams.open(self, effect.stream, effect.to, effect.frame)
            case SendFrame() if not group.datagrams_only:
                group.streams.send(self, effect.stream, effect.frame)
            case CloseStream() if not group.datagrams_only:
                group.streams.close(self, effect.stream)
            case _:
                pass  # answers to the join, and streams that were never opened


class Group(Settlement[Agent]):
    """Everybody; `sightings` grows in order of time; `on_sighting` may be set."""

    def __init__(
        self,
        *,
        nodes: int,
        timing: Timing,
        seed: str,
        links: Links | None = None,
        datagrams_only: bool = False,
        fit: Callable[[Node], None] | None = None,
    ) -> None:
        """Build a group; `fit` may operate on each node. Without streams there are datagrams alone, as in SWIM."""
        super().__init__(links or Links(), seed=seed, look_every_s=0.25)
        self.datagrams_only = datagrams_only
        self.counters: Counter[str] = Counter()
        self.sightings: list[Sighting] = []
        self.on_sighting: Callable[[Sighting], None] | None = None
        claims = [claim_of(f"m{number:03}", number) for number in range(nodes)]
        for claim in claims:
            name, address = claim.run.name, claim.profile.address
            config = NodeConfig(name=name, advertise=address, expect=EXPECT_NEVER, timing=timing)
            rng = Random(f"{seed}/{name}")
            node = Node(config, boot=BOOT, saved=Saved(voter=BOOT), rng=rng, now=self.clock.now)
            if fit is not None:
                fit(node)
            self.hosts[name] = Agent(node, self, name=name, address=address)
        self._introduce_all(claims)

    def note(self, observer: Agent, notice: Notify) -> None:
        """Keep what a node says of a member, if it is no good news."""
        event = notice.event
        if isinstance(event, MemberChanged) and event.member.state in (MemberState.SUSPECT, MemberState.DEAD):
            sighting = Sighting(self.clock.now, observer.name, event.member.run.name, event.member.state)
            self.sightings.append(sighting)
            if self.on_sighting is not None:
                self.on_sighting(sighting)
