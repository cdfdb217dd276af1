"""A town whose datagrams are lost, come twice and out of order, from one seed; and short ways to say things in it."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, TypeVar

from swimstream.core.effects import SendPacket
from tests.core.town import Town, address_of

if TYPE_CHECKING:
    from swimstream.core.effects import Effect
    from swimstream.events import Event
    from swimstream.model.talk import QueryResult, Utterance
    from tests.core.town import Citizen

E = TypeVar("E", bound="Event")


class RoughTown(Town):
    """Calm until `rough` is set: then a third of the datagrams is lost, a third comes twice, and some much later."""

    def __init__(self, names: str, *, seed: int = 0) -> None:
        self.rough = False
        self._rng = Random(seed)
        self._held: list[tuple[str, bytes, str]] = []
        self._requests = 100
        super().__init__(names)
        self.run_until(lambda: all(len(self.node(name).members()) == len(names) for name in names))

    def say(self, name: str, said: Utterance) -> int:
        """Have `name` say something; return the request."""
        self._requests += 1
        self.node(name).say(self._requests, said, now=self.now)
        self.carry_out()
        return self._requests

    def result(self, name: str, request: int) -> QueryResult:
        """Wait for what came back on a question."""
        self.run_until(lambda: request in self[name].results)
        return self[name].results[request]

    def answer(self, name: str, request: int) -> str:
        """Wait for the answer to a command."""
        self.run_until(lambda: request in self[name].answers)
        return self[name].answers[request]

    def heard(self, name: str, kind: type[E]) -> list[E]:
        """Return the events of a kind that the application of `name` was told."""
        return [event for event in self[name].events if isinstance(event, kind)]

    def _carry_out_one(self, citizen: Citizen, effect: Effect) -> None:
        if not self.rough or not isinstance(effect, SendPacket):
            super()._carry_out_one(citizen, effect)
            return
        for _ in range(self._rng.choice((0, 1, 2))):
            other = self._at(citizen, effect.to)
            if other is not None:
                self._held.append((other.name, effect.payload, citizen.name))
        self._rng.shuffle(self._held)
        while len(self._held) > 5:
            to, payload, sender = self._held.pop()
            if self[to].is_up and not {to, sender} & self.cut:
                self.node(to).receive_packet(payload, source=address_of(sender), now=self.now)
