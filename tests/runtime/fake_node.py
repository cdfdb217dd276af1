"""A node that does as a test says, so that the driver can be tested without the protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.effects import Answer, Effect
from swimstream.model.identity import Address, Run
from swimstream.model.member import Member, MemberState, Profile
from swimstream.model.plan import Plan, PlanMark

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from swimstream.model.changes import Command
    from swimstream.model.coordinate import Coordinate
    from swimstream.model.job import JobSpec
    from swimstream.model.report import Report
    from swimstream.model.status import InstanceStatus
    from swimstream.model.talk import Utterance

NEVER = float("inf")


class FakeNode:
    """Remembers what it was told, in order, and answers with the effects that a test has set."""

    def __init__(self, *, name: str = "w1") -> None:
        self.log: list[tuple[object, ...]] = []
        self.effects: list[Effect] = []
        self.deadline = NEVER
        self.on_packet: Callable[[bytes, Address], list[Effect]] = lambda *_: []
        self.on_refused: Callable[[Address], list[Effect]] = lambda _: []
        self.on_frame: Callable[[int, bytes], list[Effect]] = lambda *_: []
        self.on_command: Callable[[str, int], list[Effect]] = lambda _, request: [Answer(request, "")]
        self.on_timers: Callable[[], list[Effect]] = list
        self.known_plan = Plan()
        self.known_statuses: tuple[InstanceStatus, ...] = ()
        self.isolated = False
        self._run = Run(name, 1)

    def receive_packet(self, data: bytes, *, source: Address, now: float) -> None:
        self.log.append(("packet", data))
        self.effects += self.on_packet(data, source)

    def packet_refused(self, to: Address, *, now: float) -> None:
        self.log.append(("refused", to))
        self.effects += self.on_refused(to)

    def receive_frame(self, stream: int, data: bytes, *, now: float) -> None:
        self.log.append(("frame", stream, data))
        self.effects += self.on_frame(stream, data)

    def stream_closed(self, stream: int, *, now: float) -> None:
        self.log.append(("closed", stream))

    def fire_timers(self, *, now: float) -> None:
        self.log.append(("timers",))
        self.deadline = NEVER
        self.effects += self.on_timers()

    def next_deadline(self) -> float:
        return self.deadline

    def take_effects(self) -> list[Effect]:
        taken, self.effects = self.effects, []
        return taken

    def join(self, request: int, *, now: float) -> None:
        self._command("join", request)

    def submit(self, request: int, job: JobSpec, *, now: float) -> None:
        self._command("submit", request)

    def change(self, request: int, change: Command, *, now: float) -> None:
        self._command("change", request)

    def remove(self, request: int, name: str, *, now: float) -> None:
        self._command("remove", request)

    def resize_council(self, request: int, seats: int, *, now: float) -> None:
        self.log.append(("seats", seats))
        self._command("resize_council", request)

    def transfer_leadership(self, request: int, to: str, *, now: float) -> None:
        self.log.append(("to", to))
        self._command("transfer_leadership", request)

    def recover_council(self, request: int, cluster_id: int, *, now: float) -> None:
        self.log.append(("cluster", cluster_id))
        self._command("recover_council", request)

    def say(self, request: int, said: Utterance, *, now: float) -> None:
        self.log.append(("said", said))
        self._command("say", request)

    def withdraw(self, request: int, *, within_s: float, now: float) -> None:
        self.log.append(("withdraw", within_s))
        self._command("withdraw", request)

    def leave(self, request: int, *, now: float) -> None:
        self._command("leave", request)

    def report(self, said: Report, *, now: float) -> None:
        self.log.append(("report", said))

    @property
    def run(self) -> Run:
        return self._run

    @property
    def plan(self) -> Plan:
        return self.known_plan

    @property
    def mark(self) -> PlanMark:
        return PlanMark(term=0, leader="", index=self.known_plan.index)

    @property
    def is_isolated(self) -> bool:
        return self.isolated

    def authority_age_s(self, now: float) -> float:
        return NEVER

    @property
    def version(self) -> int:
        return len(self.log)

    def members(self) -> tuple[Member, ...]:
        profile = Profile(address=Address("127.0.0.1", 1))
        return (Member(run=self._run, incarnation=0, state=MemberState.ALIVE, profile=profile, since=0.0),)

    def coordinates(self) -> Mapping[str, Coordinate]:
        return {}

    def statuses(self) -> tuple[InstanceStatus, ...]:
        return self.known_statuses

    def tags(self) -> Mapping[str, Mapping[str, str]]:
        return {"w1": {"colour": "red"}}

    def counters(self) -> dict[str, int]:
        return {"fake": len(self.log)}

    def _command(self, verb: str, request: int) -> None:
        self.log.append((verb,))
        self.effects += self.on_command(verb, request)
