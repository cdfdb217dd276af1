"""Real nodes in virtual time that have long been a cluster: council, plan and an instance or two on everyone.

Clock, network and streams are the simulator's. The plan stands in everybody's state directory from the start, as if all
had been restarted at once; what a runner would do with an instance is done here, without any work in it.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import attrs

from chaos.host import NodeHost
from chaos.settlement import BOOT, EXPECT_NEVER, Settlement, claim_of
from swimstream.config import LAN, LOCAL, WAN, NodeConfig
from swimstream.core.effects import (
    CloseStream,
    OpenStream,
    RenewFence,
    Saved,
    SendFrame,
    SendPacket,
    StartInstance,
    StopInstance,
    VoteRecord,
)
from swimstream.core.node import Node
from swimstream.model.changes import Assign, Change, Entry, Found, Seat, SetAuthority, SubmitJob
from swimstream.model.identity import Address, InstanceId, Run
from swimstream.model.job import AT_LEAST_ONE, AT_MOST_ONE, JobSpec, OperatorSpec
from swimstream.model.plan import Plan
from swimstream.model.report import Report
from swimstream.model.status import InstanceState
from swimstream.simulator.network import Links

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swimstream.config import Timing
    from swimstream.core.effects import Effect

KIND = "work"
JOB = "job"
ONCE, LEAST = "once", "least"
SEATS = 5
STOP_S = 0.01
"""An instance that is asked to stop has ended so long after."""
PACES: dict[str, tuple[Timing, Links]] = {
    "local": (LOCAL, Links(delay_s=0.0001, jitter_s=0.0004)),
    "lan": (LAN, Links(delay_s=0.0005, jitter_s=0.002, loss=0.001)),
    "wan": (WAN, Links(delay_s=0.04, jitter_s=0.04, loss=0.01)),
}
"""Presets, and the network that each is for."""


@attrs.frozen
class Started:
    """A host was told to run an instance."""

    at: float
    host: str
    instance: InstanceId
    epoch: int


@attrs.frozen
class Ended:
    """An at-most-one instance that nobody took from its host has ended there: asked to stop, or by its fence."""

    at: float
    host: str
    instance: InstanceId
    by_fence: bool


class Host(NodeHost):
    """One worker: a node, and what a runner would do for it."""

    def __init__(self, node: Node, town: Town, *, name: str, address: Address) -> None:
        """Wrap a node; `Town` makes it a member."""
        super().__init__(node, town.clock, name=name, address=address)
        self.traffic: Counter[str] = Counter()
        self.running: dict[InstanceId, int] = {}
        """Epoch of what runs here."""
        self._fences: dict[InstanceId, float] = {}
        self._town = town

    def receive_packet(self, data: bytes, source: Address) -> None:
        """Hand the node one datagram, and count it."""
        self.traffic["packets_in"] += 1
        self.traffic["bytes_in"] += len(data)
        super().receive_packet(data, source)

    # --- fate, and views --------------------------------------------------------------------------

    def crash(self) -> None:
        """End without a word, and the whole machine with it."""
        self.is_ended = True
        self.running.clear()
        self._town.network.unlisten(self, host_answers=False)
        self._town.streams.process_died(self, silent=True)

    @property
    def authority_age_s(self) -> float:
        """Return how old the newest proof of a quorum is that this worker may use."""
        return self.node.authority_age_s(self._clock.now)

    # --- machinery --------------------------------------------------------------------------------

    def _carry_out(self, effect: Effect) -> None:
        town = self._town
        match effect:
            case SendPacket():
                self.traffic["packets_out"] += 1
                self.traffic["bytes_out"] += len(effect.payload)
                town.network.send(self, effect.to, effect.payload)
            case OpenStream():
                town.streams.open(self, effect.stream, effect.to, effect.frame)
            case SendFrame():
                town.streams.send(self, effect.stream, effect.frame)
            case CloseStream():
                town.streams.close(self, effect.stream)
            case StartInstance():
                self._start(effect)
            case StopInstance():
                self._clock.after(STOP_S, partial(self._end, effect.instance, effect.epoch, by_fence=False))
            case RenewFence():
                self._renew(effect.until)
            case _:
                pass  # there is no disk, and no application

    # --- the runner -------------------------------------------------------------------------------

    def _start(self, effect: StartInstance) -> None:
        self.running[effect.instance] = effect.epoch
        self._town.started.append(Started(self._clock.now, self.name, effect.instance, effect.epoch))
        if effect.fence_at is not None:
            self._fences[effect.instance] = effect.fence_at
            self._clock.at(max(effect.fence_at, self._clock.now), partial(self._look_at_fence, effect.instance))
        self._clock.after(0.0, partial(self._report, effect.instance, effect.epoch, InstanceState.RUNNING))

    def _renew(self, until: float) -> None:
        for instance, fence_at in self._fences.items():
            if until > fence_at:
                self._fences[instance] = until

    def _look_at_fence(self, instance: InstanceId) -> None:
        epoch = self.running.get(instance)
        if self.is_ended or epoch is None:
            return
        if self._clock.now < self._fences[instance]:
            self._clock.at(self._fences[instance], partial(self._look_at_fence, instance))
        else:
            self._end(instance, epoch, by_fence=True)

    def _end(self, instance: InstanceId, epoch: int, *, by_fence: bool) -> None:
        if self.is_ended or self.running.get(instance) != epoch:
            return
        del self.running[instance]
        if self._fences.pop(instance, None) is not None and self._is_ours(instance, epoch):
            self._town.ended.append(Ended(self._clock.now, self.name, instance, by_fence))
        self._report(instance, epoch, InstanceState.STOPPED)

    def _is_ours(self, instance: InstanceId, epoch: int) -> bool:
        held = self.node.plan.assignments.get(instance)
        return held is not None and (held.run, held.epoch) == (self.node.run, epoch)

    def _report(self, instance: InstanceId, epoch: int, state: InstanceState) -> None:
        self._input(lambda: self.node.report(Report(instance=instance, epoch=epoch, state=state), now=self._clock.now))


class Town(Settlement[Host]):
    """Everybody; the first `SEATS` have a seat. `started` and `ended` grow in order of time."""

    host_type: type[Host] = Host

    def __init__(self, *, workers: int, pace: str, seed: str, operators: Iterable[str] = (ONCE,)) -> None:
        """Build a town in which everybody runs one instance of each operator."""
        self.timing, links = PACES[pace]
        super().__init__(links, seed=seed, look_every_s=0.1)
        self.started: list[Started] = []
        self.ended: list[Ended] = []
        claims = [claim_of(f"w{number:04}", number, kinds=(KIND,)) for number in range(workers)]
        plan = plan_of([claim.run for claim in claims], self.timing, tuple(operators))
        for claim in claims:
            name, address = claim.run.name, claim.profile.address
            config = NodeConfig(name=name, advertise=address, expect=EXPECT_NEVER, kinds=(KIND,), timing=self.timing)
            saved = Saved(voter=BOOT, plan=plan, vote=VoteRecord(plan.term, ""))
            node = Node(config, boot=BOOT, saved=saved, rng=Random(f"{seed}/{name}"), now=self.clock.now)
            self.hosts[name] = self.host_type(node, self, name=name, address=address)
        self._introduce_all(claims)

    @property
    def council(self) -> list[Host]:
        """Return those that have a seat."""
        return list(self.hosts.values())[:SEATS]

    def leader(self) -> Host | None:
        """Return who leads the newest term."""
        leading = [host for host in self.live() if host.node.is_leader]
        return max(leading, key=lambda host: host.node.mark.term, default=None)

    def all_run(self) -> bool:
        """Return whether every instance of the plan runs somewhere."""
        running = {instance for host in self.live() for instance in host.running}
        (job,) = self.live()[0].node.plan.jobs.values()
        return running == set(job.instances())

    def cut_off(self, host: Host) -> list[tuple[str, str]]:
        """Cut every way from and to `host`; return what `network.mend` takes back."""
        others = [name for name in self.hosts if name != host.name]
        pairs = [(name, host.name) for name in others] + [(host.name, name) for name in others]
        self.network.cut(pairs)
        return pairs


def instance_at(operator: str, number: int) -> InstanceId:
    """Return the instance that worker `number` begins with."""
    return InstanceId(JOB, operator, number)


def plan_of(runs: list[Run], timing: Timing, operators: tuple[str, ...]) -> Plan:
    """Return the plan in which each run has one instance of each operator."""
    guarantees = {ONCE: AT_MOST_ONE}
    specs = tuple(
        OperatorSpec(name=name, kind=KIND, parallelism=len(runs), instances=guarantees.get(name, AT_LEAST_ONE))
        for name in operators
    )
    changes: list[Change] = [
        Found(cluster_id=7, council=tuple(Seat(run.name, BOOT) for run in runs[:SEATS])),
        SetAuthority(isolation_ms=round(1_000 * timing.isolation_timeout_s), drift_ppm=round(1e6 * timing.clock_drift)),
        SubmitJob(job=JobSpec(name=JOB, operators=specs)),
    ]
    changes += [
        Assign(instance=instance_at(name, number), run=run, failures=0, resume_from=b"", reason="", evidence=())
        for name in operators
        for number, run in enumerate(runs)
    ]
    return Plan().advance(Entry(index=index, term=1, change=change) for index, change in enumerate(changes, start=1))
