"""A whole cluster in virtual time, from one seed: hosts, their processes, jobs, faults, and the judge of it all."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING

import attrs

from swimstream.config import LOCAL, Timing
from swimstream.core.boots import boot_above
from swimstream.core.node import Node
from swimstream.model.changes import Seat
from swimstream.model.plan import Plan
from swimstream.simulator import promises
from swimstream.simulator.agreement import disagreements, member_disagreements
from swimstream.simulator.clients import Clients
from swimstream.simulator.clock import Clock, WorldOverrun
from swimstream.simulator.disks import Disk
from swimstream.simulator.faults import Faults
from swimstream.simulator.hosts import Host, build_hosts, configure
from swimstream.simulator.life import Life, Phase
from swimstream.simulator.network import Links, Network
from swimstream.simulator.observer import Observer
from swimstream.simulator.operators import draw_jobs
from swimstream.simulator.orders import Surroundings
from swimstream.simulator.participant import LocalClock, Maker
from swimstream.simulator.promises import PromiseBroken
from swimstream.simulator.report import Report
from swimstream.simulator.scenarios import LOSS_LASTING_MAX, Scenario
from swimstream.simulator.schedule import Fault, calm_at, draw_schedule
from swimstream.simulator.streams import Streams
from swimstream.simulator.striker import Striker
from swimstream.simulator.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swimstream.simulator.ambushes import Ambush

START_S_MAX = 0.5
RESTART_AFTER_REFUSAL_S = 1.0
POLL_S = 0.25
POLLS_AGREED = 4
"""So many looks in a row must find agreement: one alone may be luck."""
PACKETS_PER_NODE_S_MAX = 4_000
EPOCH_MS = 1_760_000_000_000
OFFSET_S_MAX = 100_000.0
JOIN_REQUEST = 1
LEAVE_REQUEST = 2
WITHDRAW_REQUEST = 3
WITHDRAW_S = 4.0


class World:
    """One world. `run` once; equal scenarios and schedules give equal worlds, bit for bit."""

    def __init__(self, scenario: Scenario, schedule: tuple[Fault, ...], *, maker: Maker = Node) -> None:
        """Build a world whose hosts have not started yet."""
        self.scenario = scenario
        self.schedule = schedule
        self.clock = Clock()
        self.trace = Trace()
        self.network = Network(scenario.links, clock=self.clock, rng=self.random("network"))
        self.streams = Streams(self.network, clock=self.clock)
        self.observer = Observer(
            seed=scenario.seed,
            gentle=scenario.is_gentle,
            clock=self.clock,
            timing=scenario.timing,
            faults=scenario.faults,
        )
        self.crashes = 0
        self.ambushes: list[Ambush] = []
        self._maker = maker
        self._around = Surroundings(
            clock=self.clock,
            network=self.network,
            streams=self.streams,
            observer=self.observer,
            trace=self.trace,
            timing=scenario.timing,
            ambushes=self.ambushes,
            unsynced=scenario.faults.unsynced,
        )
        rng = self.random("hosts")
        self.hosts = build_hosts(scenario, rng=rng, namesake_rng=self.random("namesakes"))
        jobs = draw_jobs(
            scenario.jobs,
            notes=scenario.notes,
            rng=rng,
            guarantee_rng=self.random("guarantees") if scenario.has_guarantees else None,
            demand_rng=self.random("demands") if scenario.has_demands else None,
            has_conflicts=scenario.has_conflicts,
        )
        self.clients = Clients(self, jobs, rng=self.random("submit"))
        self._packets_before = 0
        self._calm = 0.0
        """When the last fault has ended, and the last job been submitted."""

    def random(self, purpose: str) -> Random:
        """Return the stream of randomness for one purpose. Streams do not disturb each other."""
        return Random(f"{self.scenario.seed}/{purpose}")

    def lives(self) -> Iterator[Life]:
        """Yield the processes that have not ended, in the order of their hosts."""
        for host in self.hosts:
            if host.life is not None:
                yield host.life

    def plan(self) -> Plan:
        """Return the newest plan that any live node knows."""
        return max((life.node.plan for life in self.lives()), key=lambda plan: plan.index, default=Plan())

    # --- processes --------------------------------------------------------------------------------

    def start(self, host: Host) -> None:
        """Start a process on `host`, unless one runs there or the host is gone. It joins at once."""
        if host.life is not None or host.gone:
            return
        scenario = self.scenario
        host.starts += 1
        calendar_ms = EPOCH_MS + host.skew_ms + int(self.clock.now * 1_000)
        if host.disk.voter == 0:
            host.disk = Disk(voter=calendar_ms)
        seed = f"{scenario.seed}/{host.name}/{host.starts}"
        host.life = Life(
            self._around,
            maker=self._maker,
            host=host.name,
            config=configure(scenario, host, self.hosts),
            boot=boot_above(host.disk.load(), name=host.worker, now_ms=calendar_ms),
            disk=host.disk,
            local=draw_clock(scenario.faults, rng=Random(f"{seed}/clock")),
            seed=seed,
            on_answer=self._on_answer,
            on_end=self._on_end,
        )
        host.life.watch.excuse(host.excused_until)
        node = host.life.node
        host.life.command(lambda now: node.join(JOIN_REQUEST, now=now))

    def leave(self, life: Life) -> None:
        """Have a worker say goodbye; its process exits once that is answered."""
        life.goes = True
        life.command(lambda now: life.node.leave(LEAVE_REQUEST, now=now))

    def withdraw(self, life: Life, *, within_s: float = WITHDRAW_S) -> None:
        """Have others take over what a worker runs; it says goodbye once that is answered."""
        life.command(lambda now: life.node.withdraw(WITHDRAW_REQUEST, within_s=within_s, now=now))

    def _on_end(self, life: Life) -> None:
        for host in self.hosts:
            if host.life is life:
                host.life = None
                if life.is_superseded and self._is_shared(host.worker):
                    host.gone = True
                elif life.is_superseded:  # by an earlier life at another address, to which it may have given way
                    self.clock.after(RESTART_AFTER_REFUSAL_S, partial(self.start, host))

    def _on_answer(self, life: Life, request: int, error: str) -> None:
        if life.phase is Phase.ENDED:
            return
        host = next(host for host in self.hosts if host.life is life)
        if request == LEAVE_REQUEST:
            life.exit()
        elif request == WITHDRAW_REQUEST:
            self.clock.after(0.0, partial(self._leave_after, life))
        elif request == JOIN_REQUEST:
            if error:
                self.network.counters["joins_refused"] += 1
                life.exit()
                # somebody sees in the end that the name is taken; until then it tries again
                host.gone = self.clock.now >= self._calm and self._is_shared(host.worker)
                self.clock.after(RESTART_AFTER_REFUSAL_S, partial(self.start, host))
        else:
            self.clients.hear(life, request, error)

    def _leave_after(self, life: Life) -> None:
        """Leave once all is handed over; a process that stands still does it later, one that has ended never."""
        if life.phase is Phase.PAUSED:
            self.clock.after(POLL_S, partial(self._leave_after, life))
        elif life.phase is Phase.RUNNING:
            self.leave(life)

    def _is_shared(self, worker: str) -> bool:
        return sum(host.worker == worker for host in self.hosts) > 1

    # --- the course of it -------------------------------------------------------------------------

    def run(self) -> Report:
        """Live through it all; return the figures, or raise `PromiseBroken` with the trace."""
        try:
            return self._run()
        except PromiseBroken as broken:
            broken.trace = self.trace.render()
            raise
        except WorldOverrun as error:
            overrun = PromiseBroken(promises.BOUNDED, self.clock.now, self.scenario.seed, str(error))
            overrun.trace = self.trace.render()
            raise overrun from error

    def _run(self) -> Report:
        rng = self.random("starts")
        first_late = self.scenario.nodes - self.scenario.faults.late_joins
        for host in self.hosts[:first_late]:
            self.clock.at(rng.uniform(0, START_S_MAX), partial(self.start, host))
        submitted_at = self.clients.arm(rng)
        Striker(self).arm()
        self._calm = calm = max(calm_at(self.schedule), self.scenario.faults.window_s[0], submitted_at)
        self.clock.at(calm, self._calm_links)
        agreed, settled, members_settled = 0, calm, calm
        while agreed < POLLS_AGREED or self.clock.now < self.scenario.lasts_s:
            self.clock.run_until(self.clock.now + POLL_S)
            self._look()
            if self.clock.now < calm:
                continue
            strays = self._strays()
            problems = strays or self._problems()
            agreed = 0 if problems else agreed + 1
            settled = self.clock.now if problems else settled
            members_settled = self.clock.now if strays else members_settled
            self._check_patience(problems, only_members=bool(strays))
        self.clients.check_history()
        return self._report(settled_s=settled - calm, members_settled_s=members_settled - calm)

    def _calm_links(self) -> None:
        """Let answers come in time from now on: else somebody is always suspected, and views agree by luck alone."""
        if self.scenario.is_too_slow:
            usual = Links()
            self.network.links = attrs.evolve(self.network.links, delay_s=usual.delay_s, jitter_s=usual.jitter_s)
        if self.network.links.loss > LOSS_LASTING_MAX:
            self.network.links = attrs.evolve(self.network.links, loss=LOSS_LASTING_MAX)

    def _check_patience(self, problems: list[str], *, only_members: bool) -> None:
        """Views of the members must agree sooner than all the rest, which follows from them."""
        patience_s = self.scenario.settling_s_max
        if only_members:
            patience_s = promises.members_settling_s_max(self.scenario.timing, nodes=len(self.hosts))
        if problems and self.clock.now > self._calm + patience_s:
            self.observer.broken(promises.AGREEMENT, f"{patience_s:.0f} s after the last fault: {_first(problems)}")

    def _look(self) -> None:
        """Check what is too dear to check at every step."""
        self.observer.sample()
        packets = self.network.counters["packets"]
        if packets - self._packets_before > PACKETS_PER_NODE_S_MAX * POLL_S * self.scenario.nodes:
            self.observer.broken(promises.BOUNDED, f"{packets - self._packets_before} packets within {POLL_S} s")
        self._packets_before = packets

    def _strays(self) -> list[str]:
        """Return what is not yet right about the members: whom somebody holds wrongly, and whose name nobody bears."""
        present = {life.run.name for life in self.lives()}
        missing = {host.worker for host in self.hosts if self._is_shared(host.worker)} - present
        return [f"nobody bears the name {name}, two tried" for name in sorted(missing)] + member_disagreements(
            [life.node for life in self.lives()]
        )

    def _problems(self) -> list[str]:
        waiting = self.clients.waiting()
        if waiting:
            return [f"not answered yet: {', '.join(waiting)}"]
        lives = list(self.lives())
        return disagreements(
            [life.node for life in lives],
            running={life.run: {copy.instance: copy.epoch for copy in life.bench.copies.values()} for life in lives},
            jobs=sorted(self.clients.accepted),
            index_min=len(self.observer.decisions),
        ) + (self._empty_seats() if self.scenario.replaces_seats else [])

    def _empty_seats(self) -> list[str]:
        """Return what is not yet right about the council: its size, and seats whose memory is gone."""
        plan = self.plan()
        present = {Seat(host.worker, host.disk.voter) for host in self.hosts if host.life is not None}
        wanted = plan.seats_wanted or len(plan.council)
        if len(present) < max(wanted, len(plan.council)):
            return []  # nobody is there to sit
        found = [f"the seat of {seat.name} is empty" for seat in plan.council if seat not in present]
        size = len(plan.council)
        return found + ([f"the council has {size} seats, {wanted} were asked for"] if size != wanted else [])

    def _report(self, *, settled_s: float, members_settled_s: float) -> Report:
        counters = self.network.counters
        findings = self.observer.findings
        return Report(
            seed=self.scenario.seed,
            nodes=len(self.hosts),
            digest=self.trace.digest(),
            lasted_s=self.clock.now,
            settled_s=max(0.0, settled_s),
            members_settled_s=max(0.0, members_settled_s),
            actions=self.clock.actions_done,
            crashes=self.crashes,
            detection_s=tuple(findings.detection_s),
            reexecution_s=tuple(findings.reexecution_s),
            false_deaths=findings.false_deaths,
            leader_changes=max(0, len(self.observer.leaders) - 1),
            decisions=len(self.observer.decisions),
            packets=counters["packets"],
            packet_bytes=counters["packet_bytes"],
            frames=counters["frames"],
            frame_bytes=counters["frame_bytes"],
            counters=dict(sorted(counters.items())),
        )


def simulate(
    *,
    nodes: int,
    seed: int,
    faults: Faults | None = None,
    timing: Timing = LOCAL,
    links: Links | None = None,
    jobs: int = 2,
    sites: int = 1,
    lasts_s: float = 20.0,
    schedule: tuple[Fault, ...] | None = None,
    maker: Maker = Node,
) -> Report:
    """Run one world; return its figures, or raise `PromiseBroken`.

    The schedule of the faults is drawn from the seed unless one is given. Equal arguments give equal reports.
    """
    scenario = Scenario(
        nodes=nodes,
        seed=seed,
        timing=timing,
        links=links or Links(),
        faults=faults or Faults(),
        jobs=jobs,
        sites=sites,
        lasts_s=lasts_s,
    )
    return live_through(scenario, schedule=schedule, maker=maker)


def live_through(scenario: Scenario, *, schedule: tuple[Fault, ...] | None = None, maker: Maker = Node) -> Report:
    """Run the world of `scenario`; return its figures, or raise `PromiseBroken`. As `simulate`."""
    rng = Random(f"{scenario.seed}/faults")
    drawn = draw_schedule(scenario.faults, nodes=scenario.nodes, rng=rng)
    return World(scenario, drawn if schedule is None else schedule, maker=maker).run()


def draw_clock(faults: Faults, *, rng: Random) -> LocalClock:
    """Return a process's monotonic clock: wrong by up to `clock_drift`, and now and then by all of it."""
    offset_s, error = rng.uniform(0, OFFSET_S_MAX), rng.uniform(-faults.clock_drift, faults.clock_drift)
    if faults.extreme_clocks and rng.random() < faults.extreme_clocks:
        error = rng.choice((-faults.clock_drift, faults.clock_drift))
    return LocalClock(offset_s=offset_s, rate=1 + error)


def _first(problems: list[str]) -> str:
    more = f" (and {len(problems) - 5} more)" if len(problems) > 5 else ""
    return "; ".join(problems[:5]) + more
