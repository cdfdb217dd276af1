"""Carries out a schedule of faults on a world, and spares what no protocol could survive.

The council's memories may be lost only as long as a majority of them stays: beyond that, P4 promises nothing and the
cluster rightly stands still for ever. A fault that would go too far is made milder, never dropped in silence.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, assert_never

import attrs

from swimstream.model.changes import Seat
from swimstream.simulator import promises
from swimstream.simulator.ailments import OperatorFailure, Stall
from swimstream.simulator.ambushes import Ambush
from swimstream.simulator.disks import Disk
from swimstream.simulator.life import Life, Phase
from swimstream.simulator.schedule import (
    AMBUSH_S_MAX,
    ClockLeap,
    Crash,
    Cut,
    DecisionCrash,
    Fault,
    FlipFlop,
    LateJoin,
    Leave,
    LossPhase,
    MassLeave,
    MassRestart,
    Pause,
    Resize,
    Starve,
    Transfer,
    cuts_calm_at,
    draw_clock_step,
    links_calm_at,
)
from swimstream.simulator.wishes import Wish

if TYPE_CHECKING:
    from swimstream.model.identity import InstanceId, Run
    from swimstream.simulator.hosts import Host
    from swimstream.simulator.world import World

SEEDS_KEPT = 2
UNNOTICED_S = 5.0
"""For so long a leader may still count on a host that is lost, or be changing the council for a command."""
POISON_S = 0.25
POISONED_S = (0.1, 1.5)
DRAINED_FIRST = 0.5
MILDER_DOWN_S = 3.0
"""After how long a host comes back that should have stayed away, but is needed."""


class Striker:
    """Fate."""

    def __init__(self, world: World) -> None:
        """Stand ready; nothing is scheduled before `arm`."""
        self._world = world
        self._excuse_s = promises.excuse_s(world.scenario.timing, nodes=len(world.hosts))
        self._cuts_calm_at = cuts_calm_at(world.schedule)
        self._links_calm_at = links_calm_at(world.schedule)
        self._rng = world.random("striker")
        self._departures = world.random("departures")
        self._resized_at = -math.inf
        self._lost_bystander_at = -math.inf
        """When a memory without a vote was last lost: a leader that has not noticed may still give it a seat."""
        if world.scenario.is_gentle_when_whole:
            observer = world.observer
            observer.gentle_from = min(observer.gentle_from, self._cuts_calm_at + self._excuse_s)

    def arm(self) -> None:
        """Put every fault of the schedule on the world's clock."""
        for fault in self._world.schedule:
            self._world.trace.note(0.0, "faults", str(fault))
            self._world.clock.at(fault.at, partial(self._strike, fault))

    def _strike(self, fault: Fault) -> None:
        world = self._world
        match fault:
            case Crash():
                self._crash(fault)
            case DecisionCrash():
                self._lie_in_wait(fault)
            case Resize():
                self._resized_at = world.clock.now
                world.clients.resize(fault.seats, pick=fault.pick)
            case Transfer():
                world.clients.transfer(pick=fault.pick, to=fault.to)
            case Wish(sort="poison"):
                self._poison(fault, None)
            case Wish():
                world.clients.wish(fault)
            case MassRestart():
                self._restart_many(fault)
            case Cut():
                self._cut(fault.pairs, fault.for_s)
            case FlipFlop():
                self._flip_flop(fault)
            case Pause():
                self._stop(fault.pick, ((0.0, fault.for_s),))
            case Starve():
                self._stop(fault.pick, fault.stops)
            case ClockLeap():
                self._leap(fault)
            case LossPhase(loss=loss):
                self._note(f"{loss:.0%} more loss for {fault.for_s:.3f} s")
                world.network.loss_extra += loss
                world.clock.after(fault.for_s, partial(self._end_loss, loss))
            case Leave(pick=pick):
                self._leave(pick)
            case MassLeave():
                for _ in range(round(fault.share * sum(1 for _ in world.lives()))):
                    world.clock.after(self._rng.uniform(0, fault.over_s), partial(self._leave, self._rng.random()))
            case LateJoin(host=host):
                world.start(world.hosts[host])
            case OperatorFailure():
                self._fail_operator(fault)
            case Stall():
                self._stall(fault)
            case _:
                assert_never(fault)

    # --- crashes ----------------------------------------------------------------------------------

    def _crash(self, fault: Crash) -> None:
        lives = list(self._world.lives())
        leaders = [life for life in lives if life.node.is_leader]
        life = _pick(leaders if fault.leader and leaders else lives, fault.pick)
        if life is None:
            return
        host = self._host(life)
        self._strike_down(life, silent=fault.silent, effects_left=fault.effects_left, down_s=fault.down_s)
        self._change(host, keeps_disk=fault.keeps_disk, moves=fault.moves, clock_step_s=fault.clock_step_s)

    def _lie_in_wait(self, fault: DecisionCrash) -> None:
        ambush = Ambush(fault.moment, share=fault.share, spring=partial(self._spring, fault))
        self._world.ambushes.append(ambush)
        self._world.clock.after(AMBUSH_S_MAX, partial(self._give_up_waiting, fault, ambush))

    def _spring(self, fault: DecisionCrash, life: Life, effects_left: int) -> None:
        self._note(f"{life.name} meets its ambush ({fault.moment.name}), {effects_left} effects left")
        host = self._host(life)
        self._strike_down(life, silent=fault.silent, effects_left=effects_left, down_s=fault.down_s)
        self._change(host, keeps_disk=fault.keeps_disk, moves=False, clock_step_s=0.0)

    def _give_up_waiting(self, fault: DecisionCrash, ambush: Ambush) -> None:
        if ambush not in self._world.ambushes:
            return
        self._world.ambushes.remove(ambush)
        lives = list(self._world.lives())
        life = _pick([life for life in lives if life.node.is_leader] or lives, fault.pick)
        if life is not None:
            self._spring(fault, life, 0)

    def _strike_down(self, life: Life, *, silent: bool, effects_left: int, down_s: float) -> None:
        """Crash a process; its host stays away for good only if it can be spared."""
        host = self._host(life)
        if math.isinf(down_s) and not self._can_lose(host):
            down_s = MILDER_DOWN_S
        if math.isinf(down_s):
            self._lose(host)
            host.gone = True
        self._end(life, silent=silent, effects_left=effects_left, back_s=down_s)

    def _restart_many(self, fault: MassRestart) -> None:
        lives = list(self._world.lives())
        for life in self._rng.sample(lives, min(len(lives), math.ceil(fault.share * len(lives)))):
            after_s = self._rng.uniform(0, fault.over_s)
            back_s = self._rng.uniform(0, fault.down_s)
            self._world.clock.after(after_s, partial(self._restart_one, life, back_s, is_clean=fault.is_clean))

    def _restart_one(self, life: Life, back_s: float, *, is_clean: bool) -> None:
        if life.phase is Phase.ENDED:
            return
        host, faults = self._host(life), self._world.scenario.faults
        self._end(life, silent=False, effects_left=0, back_s=back_s)
        if not is_clean:
            self._change(
                host,
                keeps_disk=self._rng.random() >= faults.disk_losses,
                moves=self._rng.random() < faults.address_changes,
                clock_step_s=draw_clock_step(faults, rng=self._rng),
            )

    def _change(self, host: Host, *, keeps_disk: bool, moves: bool, clock_step_s: float) -> None:
        """Alter what the next process on `host` finds."""
        if not keeps_disk and self._can_lose_memory(host):
            self._lose(host)
            host.disk = Disk(voter=0)
        if moves and not host.is_seed:
            self._move(host)
        if clock_step_s:
            host.skew_ms += int(clock_step_s * 1_000)
            self._note(f"the calendar of {host.name} is set by {clock_step_s:+.3f} s")

    def _end(self, life: Life, *, silent: bool, effects_left: int, back_s: float) -> None:
        world = self._world
        host, run = self._host(life), life.run
        world.crashes += 1
        life.crash(silent=silent, effects_left=effects_left)
        self._expect_detection(run)
        if not math.isinf(back_s):
            world.clock.after(back_s, partial(self._restart, host, life))

    def _expect_detection(self, run: Run) -> None:
        """Have the bound of P1 checked: for the healthy once packets arrive, for all once nobody stands still."""
        world = self._world
        bound_s = promises.detection_s_max(world.scenario.timing, nodes=len(world.hosts))
        for calm_at, only_healthy in ((self._cuts_calm_at, True), (self._links_calm_at, False)):
            since = max(world.clock.now, calm_at)
            check = partial(world.observer.check_detected, run, since=since, only_healthy=only_healthy)
            world.clock.at(since + bound_s, check)

    def _restart(self, host: Host, former: Life) -> None:
        if former.phase is not Phase.ENDED:
            former.crash(silent=False, effects_left=0)
        self._world.start(host)

    def _move(self, host: Host) -> None:
        """Give the host's next process another address; nobody ever takes the old one. Seeds stay where they are."""
        host.address = attrs.evolve(host.address, port=host.address.port + 1)

    def _can_lose(self, host: Host) -> bool:
        """Return whether `host` may go for good. Two seeds must stay: whoever joins needs one besides itself."""
        seeds = [each for each in self._world.hosts if each.is_seed and not each.gone and each is not host]
        return len(seeds) >= SEEDS_KEPT and self._can_lose_memory(host)

    def _can_lose_memory(self, host: Host) -> bool:
        """Return whether the vote's memory of `host` may be lost. Before the founding, none may.

        Every council counts that some log tells of, since it may come to be the one that decides. And as the leader may
        just be giving a seat to a host of which it does not know yet that it is lost, there must be a majority for that
        as well.
        """
        if not any(
            plan.council for plan in (self._world.plan(), *(host.disk.load().plan for host in self._world.hosts))
        ):
            return False  # whoever is founding may hold the only copy, and all of `expect` may be needed for another
        councils = self._councils()
        now = self._world.clock.now
        is_changing = now < self._resized_at + UNNOTICED_S
        for council in councils:
            left = sum(self._survives(seat, without=host) for seat in council)
            may_grow = _seat(host) not in council or now < self._lost_bystander_at + UNNOTICED_S
            if left < _majority(len(council) + may_grow) + (_seat(host) in council and is_changing):
                return False
        return True

    def _councils(self) -> list[tuple[Seat, ...]]:
        """Return every council that is the newest one somewhere."""
        known = [self._world.plan().council, *(host.disk.council() for host in self._world.hosts if not host.gone)]
        return [council for council in dict.fromkeys(known) if council]

    def _survives(self, seat: Seat, *, without: Host) -> bool:
        """Return whether the memory behind a seat is still there, on another host than `without`."""
        return any(_seat(each) == seat for each in self._world.hosts if each is not without and not each.gone)

    def _lose(self, host: Host) -> None:
        """Take note that the memory of `host` is lost."""
        if any(_seat(host) not in council for council in self._councils()):
            self._lost_bystander_at = self._world.clock.now

    # --- the rest ---------------------------------------------------------------------------------

    def _cut(self, between: tuple[tuple[int, int], ...], for_s: float) -> None:
        hosts = self._world.hosts
        pairs = [(hosts[source].name, hosts[target].name) for source, target in between]
        self._note(f"cut for {for_s:.3f} s: {', '.join('→'.join(pair) for pair in pairs)}")
        self._world.network.cut(pairs)
        self._world.clock.after(for_s, partial(self._mend, pairs))

    def _mend(self, pairs: list[tuple[str, str]]) -> None:
        self._note(f"mended: {', '.join('→'.join(pair) for pair in pairs)}")
        self._world.network.mend(pairs)

    def _flip_flop(self, fault: FlipFlop) -> None:
        world = self._world
        if fault.host is not None:
            host = world.hosts[fault.host]
            host.excused_until = world.clock.now + fault.for_s + self._excuse_s
            if host.life is not None:
                host.life.watch.excuse(host.excused_until)
        offset_s = 0.0
        while offset_s < fault.for_s:
            for_s = min(fault.cut_s, fault.for_s - offset_s)
            world.clock.after(offset_s, partial(self._cut, fault.pairs, for_s))
            offset_s += fault.cut_s + fault.whole_s

    def _end_loss(self, loss: float) -> None:
        self._note(f"{loss:.0%} more loss ends")
        self._world.network.loss_extra = max(0.0, self._world.network.loss_extra - loss)

    def _stop(self, pick: float, stops: tuple[tuple[float, float], ...]) -> None:
        """Have one process stand still for a while, perhaps again and again: the rest must stay a majority."""
        lives = list(self._world.lives())
        now = self._world.clock.now
        able = [life for life in lives if life.phase is Phase.RUNNING and life.stops_until <= now]
        stopped = len(lives) - len(able)
        life = _pick(able, pick)
        if life is None or stopped + 1 > (len(lives) - 1) // 2:
            return
        life.stops_until = now + sum(stops[-1])
        life.watch.excused_until = max(life.watch.excused_until, life.stops_until + self._excuse_s)
        for offset_s, for_s in stops:
            self._world.clock.after(offset_s, partial(self._pause, life, for_s))

    def _pause(self, life: Life, for_s: float) -> None:
        if life.phase is Phase.RUNNING:
            life.pause()
            self._world.clock.after(for_s, life.resume)

    def _leap(self, fault: ClockLeap) -> None:
        life = _pick([life for life in self._world.lives() if life.phase is Phase.RUNNING], fault.pick)
        if life is not None:
            life.leap(fault.leap_s)

    def _leave(self, pick: float) -> None:
        running = [life for life in self._world.lives() if life.phase is Phase.RUNNING]
        able = [life for life in running if self._can_lose(self._host(life))]
        life = _pick(able, pick)
        if life is None or len(running) < 2:
            return
        self._lose(self._host(life))
        self._host(life).gone = True
        if self._world.scenario.faults.wishes and self._departures.random() < DRAINED_FIRST:
            self._world.withdraw(life)
            return  # when it says goodbye nobody knows
        self._world.leave(life)
        self._expect_detection(life.run)

    def _fail_operator(self, fault: OperatorFailure) -> None:
        running = self._running()
        if running:
            life, instance = running[min(int(fault.pick * len(running)), len(running) - 1)]
            life.bench.fail(instance, is_fatal=fault.is_fatal)

    def _stall(self, fault: Stall) -> None:
        watched = [each for each in self._running() if each[0].bench.copies[each[1]].spec.stall_after_s]
        if watched:
            life, instance = watched[min(int(fault.pick * len(watched)), len(watched) - 1)]
            self._note(f"{instance} is stuck on {life.name} for {fault.for_s:.3f} s")
            life.bench.stall(instance, fault.for_s)

    def _poison(self, wish: Wish, instance: InstanceId | None) -> None:
        """Have an instance take down each worker on which it has done something, until its time is over."""
        running = self._running()
        if instance is None and running:
            instance = running[int(wish.pick * len(running))][1]
        for life, each in running:
            if each == instance and life.bench.copies[each].ticks:
                self._strike_down(life, silent=False, effects_left=0, down_s=self._departures.uniform(*POISONED_S))
                break
        if self._world.clock.now < wish.at + wish.for_s:
            self._world.clock.after(POISON_S, partial(self._poison, wish, instance))

    def _running(self) -> list[tuple[Life, InstanceId]]:
        return [
            (life, instance)
            for life in self._world.lives()
            if life.phase is Phase.RUNNING
            for instance, copy in sorted(life.bench.copies.items())
            if copy.running
        ]

    def _host(self, life: Life) -> Host:
        return next(host for host in self._world.hosts if host.life is life)

    def _note(self, what: str) -> None:
        self._world.trace.note(self._world.clock.now, "faults", what)


def _seat(host: Host) -> Seat:
    return Seat(host.worker, host.disk.voter)


def _majority(seats: int) -> int:
    return seats // 2 + 1


def _pick(lives: list[Life], pick: float) -> Life | None:
    return lives[min(int(pick * len(lives)), len(lives) - 1)] if lives else None
