"""A few nodes that talk without delay, in one thread and by one clock. `cut` names who is cut off from all others."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from swimstream.config import LAN, NodeConfig
from swimstream.core.effects import (
    Answer,
    CloseStream,
    DumpStack,
    KeepWarm,
    Notify,
    OpenStream,
    Persist,
    QueryAnswered,
    RenewFence,
    Saved,
    SendFrame,
    SendPacket,
    StartInstance,
    StopInstance,
    StoreKeys,
)
from swimstream.core.node import Node
from swimstream.model.identity import Address, Run
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.report import Report
from swimstream.model.status import InstanceState
from tests.core.council.peers import FakeDisk

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream.core.effects import Effect
    from swimstream.events import Event
    from swimstream.model.talk import QueryResult

STEPS_MAX = 20_000


def address_of(name: str) -> Address:
    return Address(f"10.0.0.{ord(name[0]) - ord('a') + 1}", 7_000)


def job(name: str = "job", *, kind: str = "map", parallelism: int = 1) -> JobSpec:
    return JobSpec(name=name, operators=(OperatorSpec(name="op", kind=kind, parallelism=parallelism),))


class Citizen:
    """One node with its disk. What it was told to start runs at once, and stops when told to."""

    def __init__(
        self, town: Town, name: str, *, boot: int, disk: FakeDisk, expect: int, seeds: tuple[str, ...]
    ) -> None:
        self.name = name
        self.disk = disk
        self.answers: dict[int, str] = {}
        self.keys: tuple[bytes, ...] = ()
        """What its key file holds since the keys were changed."""
        self.results: dict[int, QueryResult] = {}
        self.events: list[Event] = []
        self.running: dict[str, int] = {}
        self.warm: list[str] = []
        self.incoming: dict[int, tuple[str, int]] = {}
        """Streams that others opened, by this node's number: who, and that node's number."""
        self.started: list[StartInstance] = []
        self.fenced_until = 0.0
        """What it was told last of how long its at-most-one instances may run."""
        self.is_up = True
        config = NodeConfig(
            name=name,
            advertise=address_of(name),
            kinds=("map",),
            expect=expect,
            seeds=tuple(address_of(seed) for seed in seeds),
            timing=LAN,
        )
        self.node = Node(config, boot=boot, saved=disk.saved(), rng=Random(f"{name}/{boot}"), now=town.now)
        self.node.join(0, now=town.now)


class Town:
    """The world of a test. `run_until` lets time pass from deadline to deadline."""

    def __init__(self, names: str, *, expect: int | None = None) -> None:
        self.now = 1_000.0
        self.cut: set[str] = set()
        self.boots = 100
        self.citizens: dict[str, Citizen] = {}
        self.expect = len(names) if expect is None else expect
        for name in names:
            self.settle_in(name)

    def __getitem__(self, name: str) -> Citizen:
        return self.citizens[name]

    def node(self, name: str) -> Node:
        return self.citizens[name].node

    def settle_in(self, name: str, *, disk: FakeDisk | None = None) -> Citizen:
        """Start a process under that name, from an empty disk unless given one."""
        self.boots += 1
        seeds = tuple(each for each in sorted(self.citizens) if each != name)[:1]
        disk = disk or FakeDisk(Saved(voter=self.boots))
        self.citizens[name] = Citizen(self, name, boot=self.boots, disk=disk, expect=self.expect, seeds=seeds)
        self.carry_out()
        return self.citizens[name]

    def crash(self, name: str) -> None:
        self.citizens[name].is_up = False

    def carry_out(self) -> None:
        """Carry out all effects, and what comes of them."""
        busy = True
        while busy:
            busy = False
            for citizen in list(self.citizens.values()):
                for effect in citizen.node.take_effects():
                    busy = True
                    if citizen.is_up:
                        self._carry_out_one(citizen, effect)

    def run_for(self, seconds: float) -> None:
        end_at = self.now + seconds
        self.run_until(lambda: self.now >= end_at, limit_s=seconds, must=False)

    def run_until(self, reached: Callable[[], bool], *, limit_s: float = 120.0, must: bool = True) -> None:
        """Go from deadline to deadline until `reached`; fail when that takes longer than `limit_s`."""
        end_at = self.now + limit_s
        for _ in range(STEPS_MAX):
            self.carry_out()
            if reached():
                return
            up = [citizen for citizen in self.citizens.values() if citizen.is_up]
            due_at = min((citizen.node.next_deadline() for citizen in up), default=end_at)
            if due_at > end_at:
                self.now = end_at
                assert not must or reached(), f"not reached within {limit_s} s"
                return
            self.now = max(self.now, due_at)
            for citizen in up:
                if citizen.node.next_deadline() <= self.now:
                    citizen.node.fire_timers(now=self.now)
        raise AssertionError("the clock moves on")

    def leader(self) -> str:
        """Return the name of the one leader among those who can be reached, or nothing."""
        names = [name for name, citizen in self.citizens.items() if citizen.is_up and name not in self.cut]
        leading = [name for name in names if self.node(name).is_leader]
        return leading[0] if len(leading) == 1 else ""

    def run_until_led(self) -> str:
        """Wait until everybody who can be reached follows one leader with one plan."""

        def agreed() -> bool:
            name = self.leader()
            if not name:
                return False
            mark = self.node(name).mark
            reached = [name for name, citizen in self.citizens.items() if citizen.is_up and name not in self.cut]
            return mark.index > 1 and all(self.node(each).mark == mark for each in reached)

        self.run_until(agreed)
        return self.leader()

    def submit(self, name: str, spec: JobSpec, *, request: int = 1) -> None:
        self.node(name).submit(request, spec, now=self.now)
        self.carry_out()

    # --- effects ----------------------------------------------------------------------------------

    def _carry_out_one(self, citizen: Citizen, effect: Effect) -> None:
        match effect:
            case SendPacket(to=to, payload=payload):
                other = self._at(citizen, to)
                if other is not None:
                    other.node.receive_packet(payload, source=address_of(citizen.name), now=self.now)
            case OpenStream(stream=stream, to=to, frame=frame):
                self._open(citizen, stream, to, frame)
            case SendFrame(stream=stream, frame=frame):
                self._send_frame(citizen, stream, frame)
            case Persist(record=record):
                citizen.disk.write(record)
            case StartInstance():
                citizen.started.append(effect)
                citizen.running[str(effect.instance)] = effect.epoch
                citizen.node.report(
                    Report(instance=effect.instance, epoch=effect.epoch, state=InstanceState.RUNNING), now=self.now
                )
            case KeepWarm(copies=copies):
                citizen.warm = [str(instance) for instance, _ in copies]
            case RenewFence(until=until):
                citizen.fenced_until = until
            case StopInstance(instance=instance, epoch=epoch):
                if citizen.running.get(str(instance)) == epoch:
                    del citizen.running[str(instance)]
                    citizen.node.report(
                        Report(instance=instance, epoch=epoch, state=InstanceState.STOPPED), now=self.now
                    )
            case Answer(request=request, error=error):
                assert request not in citizen.answers, "a request is answered once"
                citizen.answers[request] = error
            case StoreKeys(keys=keys):
                citizen.keys = keys
            case QueryAnswered(request=request, result=result):
                citizen.results[request] = result
            case Notify(event=event):
                citizen.events.append(event)
            case CloseStream() | DumpStack():
                pass

    def _at(self, sender: Citizen, to: Address) -> Citizen | None:
        for name, citizen in self.citizens.items():
            if address_of(name) == to and citizen.is_up and not {name, sender.name} & self.cut:
                return citizen
        return None

    def _open(self, citizen: Citizen, stream: int, to: Address, frame: bytes) -> None:
        other = self._at(citizen, to)
        if other is None:
            citizen.node.stream_closed(stream, now=self.now)
            return
        number = -1 - len(other.incoming)
        other.incoming[number] = (citizen.name, stream)
        other.node.receive_frame(number, frame, now=self.now)

    def _send_frame(self, citizen: Citizen, stream: int, frame: bytes) -> None:
        if stream < 0:
            name, number = citizen.incoming[stream]
            self.citizens[name].node.receive_frame(number, frame, now=self.now)
            return
        for other in self.citizens.values():
            for number, opened in other.incoming.items():
                if opened == (citizen.name, stream):
                    other.node.receive_frame(number, frame, now=self.now)
                    return


def run_in(members: Node, name: str) -> Run:
    """Return which run a node holds under that name."""
    return next(member.run for member in members.members() if member.run.name == name)
