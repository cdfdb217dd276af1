"""Carries out a schedule of faults on a world, and spares what no protocol could survive.

The council's memories may be lost only as long as a majority of them stays: beyond that, P4 promises nothing and the
cluster rightly stands still for ever. A fault that would go too far is made milder, never dropped in silence.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, assert_never

import attrs

from swimstream.simulator import promises
from swimstream.simulator.disks import Disk
from swimstream.simulator.faults import (
    Blackout,
    Crash,
    Cut,
    Fault,
    LateJoin,
    Leave,
    LossPhase,
    OperatorFailure,
    Pause,
    links_calm_at,
)
from swimstream.simulator.life import Life, Phase

if TYPE_CHECKING:
    from swimstream.model.identity import Run
    from swimstream.simulator.world import Host, World

SEEDS_KEPT = 2
MILDER_DOWN_S = 3.0
"""After how long a host comes back that should have stayed away, but is needed."""


class Striker:
    """Fate."""

    def __init__(self, world: World) -> None:
        """Stand ready; nothing is scheduled before `arm`."""
        self._world = world
        self._excuse_s = promises.detection_s_max(world.scenario.timing, nodes=world.scenario.nodes)
        self._links_calm_at = links_calm_at(world.schedule)
        self._rng = world.random("striker")

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
            case Blackout(down_s=down_s):
                for life in list(world.lives()):
                    self._end(life, silent=False, effects_left=0, back_s=self._rng.uniform(0, down_s))
            case Cut():
                pairs = [(world.hosts[source].name, world.hosts[target].name) for source, target in fault.pairs]
                self._note(f"cut for {fault.for_s:.3f} s: {', '.join('→'.join(pair) for pair in pairs)}")
                world.network.cut(pairs)
                world.clock.after(fault.for_s, partial(self._mend, pairs))
            case Pause():
                self._pause(fault)
            case LossPhase(loss=loss):
                self._note(f"{loss:.0%} more loss for {fault.for_s:.3f} s")
                world.network.loss_extra += loss
                world.clock.after(fault.for_s, partial(self._end_loss, loss))
            case Leave(pick=pick):
                self._leave(pick)
            case LateJoin(host=host):
                world.start(world.hosts[host])
            case OperatorFailure(pick=pick):
                self._fail_operator(pick)
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
        back_s = fault.down_s
        spares = self._can_lose_memory(host)
        if math.isinf(back_s) and not self._can_lose(host):
            back_s = MILDER_DOWN_S
        if math.isinf(back_s):
            host.gone = True
        self._end(life, silent=fault.silent, effects_left=fault.effects_left, back_s=back_s)
        if not fault.keeps_disk and spares:
            host.disk = Disk(voter=0)
        if fault.moves and not host.is_seed:
            self._move(host)

    def _end(self, life: Life, *, silent: bool, effects_left: int, back_s: float) -> None:
        world = self._world
        host, run = self._host(life), life.run
        world.crashes += 1
        life.crash(silent=silent, effects_left=effects_left)
        bound_s = promises.detection_s_max(world.scenario.timing, nodes=world.scenario.nodes)
        since = max(world.clock.now, self._links_calm_at)
        world.clock.at(since + bound_s, partial(self._check_detected, run, since))
        if not math.isinf(back_s):
            world.clock.after(back_s, partial(self._restart, host, life))

    def _check_detected(self, run: Run, since: float) -> None:
        self._world.observer.check_detected(run, since=since)

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
        """Return whether the vote's memory of `host` may be lost. Before the founding, none may."""
        world = self._world
        council = world.plan().council
        if not council:
            return False
        by_name = {each.name: each for each in world.hosts}
        lost = 0
        for seat in council:
            holder = by_name[seat.name]
            lost += holder is host or holder.gone or holder.disk.voter != seat.voter
        return lost <= (len(council) - 1) // 2

    # --- the rest ---------------------------------------------------------------------------------

    def _mend(self, pairs: list[tuple[str, str]]) -> None:
        self._note(f"mended: {', '.join('→'.join(pair) for pair in pairs)}")
        self._world.network.mend(pairs)

    def _end_loss(self, loss: float) -> None:
        self._note(f"{loss:.0%} more loss ends")
        self._world.network.loss_extra = max(0.0, self._world.network.loss_extra - loss)

    def _pause(self, fault: Pause) -> None:
        lives = list(self._world.lives())
        running = [life for life in lives if life.phase is Phase.RUNNING]
        paused = len(lives) - len(running)
        life = _pick(running, fault.pick)
        if life is None or paused + 1 > (len(lives) - 1) // 2:
            return
        life.watch.excused_until = self._world.clock.now + fault.for_s + self._excuse_s
        life.pause()
        self._world.clock.after(fault.for_s, life.resume)

    def _leave(self, pick: float) -> None:
        running = [life for life in self._world.lives() if life.phase is Phase.RUNNING]
        able = [life for life in running if self._can_lose(self._host(life))]
        life = _pick(able, pick)
        if life is None or len(running) < 2:
            return
        self._host(life).gone = True
        self._world.leave(life)

    def _fail_operator(self, pick: float) -> None:
        running = [
            (life, instance)
            for life in self._world.lives()
            if life.phase is Phase.RUNNING
            for instance, copy in sorted(life.bench.copies.items())
            if copy.running
        ]
        if running:
            life, instance = running[min(int(pick * len(running)), len(running) - 1)]
            life.bench.fail(instance)

    def _host(self, life: Life) -> Host:
        return next(host for host in self._world.hosts if host.life is life)

    def _note(self, what: str) -> None:
        self._world.trace.note(self._world.clock.now, "faults", what)


def _pick(lives: list[Life], pick: float) -> Life | None:
    return lives[min(int(pick * len(lives)), len(lives) - 1)] if lives else None
