"""A whole node in virtual time, with no judge beside it: an endpoint of the simulated network that fires its timers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swimstream.core.effects import Effect
    from swimstream.core.node import Node
    from swimstream.model.identity import Address
    from swimstream.simulator.clock import Action, Clock


class NodeHost(ABC):
    """One process. Whoever derives from it says what an effect does, and may say when an input waits."""

    def __init__(self, node: Node, clock: Clock, *, name: str, address: Address) -> None:
        """Wrap a node that is made a member elsewhere."""
        self.node = node
        self.name = name
        self.address = address
        self.is_ended = False
        self._clock = clock
        self._armed_at = math.inf
        self._incoming = 0

    # --- the endpoint of the network --------------------------------------------------------------

    def receive_packet(self, data: bytes, source: Address) -> None:
        """Hand the node one datagram."""
        self._input(lambda: self.node.receive_packet(data, source=source, now=self._clock.now))

    def receive_frame(self, stream: int, data: bytes) -> None:
        """Hand the node one frame."""
        self._input(lambda: self.node.receive_frame(stream, data, now=self._clock.now))

    def packet_refused(self, to: Address) -> None:
        """Tell the node that nobody listens at `to`."""
        self._input(lambda: self.node.packet_refused(to, now=self._clock.now))

    def stream_closed(self, stream: int) -> None:
        """Tell the node that a stream has ended."""
        self._input(lambda: self.node.stream_closed(stream, now=self._clock.now))

    def number_incoming(self) -> int:
        """Return the next number from -1 down."""
        self._incoming -= 1
        return self._incoming

    # --- machinery --------------------------------------------------------------------------------

    def settle(self) -> None:
        """Carry out what the node asks for, then wait for its next timer."""
        for effect in self.node.take_effects():
            self._carry_out(effect)
        deadline = self.node.next_deadline()
        if deadline < self._armed_at:
            self._armed_at = deadline
            self._clock.at(deadline, self._wake)

    def _input(self, act: Action) -> None:
        if not self.is_ended:
            act()
            self.settle()

    def _wake(self) -> None:
        if self.is_ended or self._clock.now < self._armed_at:
            return  # an earlier timer came in between, and has armed the next
        self._armed_at = math.inf
        if self.node.next_deadline() <= self._clock.now:
            self.node.fire_timers(now=self._clock.now)
        self.settle()

    @abstractmethod
    def _carry_out(self, effect: Effect) -> None:
        """Do what the node asks for."""
