"""One run of a worker's process: drives its node exactly as the real driver does, on a clock of its own.

Each input is followed by `take_effects`; the effects are carried out in their order; then the next timer is set.
While the process is paused, all that arrives waits; when it resumes, everything that waits is handled before any
timer, as the real driver drains its sockets first.
"""

from __future__ import annotations

import enum
import math
from collections import deque
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import attrs

from swimstream.model.changes import Seat
from swimstream.model.report import Report
from swimstream.simulator import promises
from swimstream.simulator.clock import WorldOverrun
from swimstream.simulator.operators import Bench
from swimstream.simulator.orders import Orders
from swimstream.simulator.promises import PromiseBroken

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from swimstream.config import NodeConfig
    from swimstream.model.identity import Address, InstanceId, Run
    from swimstream.model.status import ErrorClass, InstanceState
    from swimstream.simulator.clock import Action
    from swimstream.simulator.disks import Disk
    from swimstream.simulator.operators import Copy
    from swimstream.simulator.orders import Surroundings
    from swimstream.simulator.participant import LocalClock, Maker

BACKLOG_MAX = 2_000
"""What waits for a paused process; more datagrams are dropped, as the kernel does."""
TIMER_LATE_S_MAX = 0.001
SPINS_MAX = 50
TORN_CRASH_S_MAX = 0.3
"""A crash in the midst of effects strikes by then, even if there are none."""


class Phase(enum.Enum):
    """Whether the process handles what arrives."""

    RUNNING = enum.auto()
    PAUSED = enum.auto()
    ENDED = enum.auto()


class Life:
    """One run of a process, from its start to its crash or exit."""

    def __init__(
        self,
        surroundings: Surroundings,
        *,
        maker: Maker,
        host: str,
        config: NodeConfig,
        boot: int,
        disk: Disk,
        local: LocalClock,
        seed: str,
        on_answer: Callable[[Life, int, str], None],
        on_end: Callable[[Life], None],
    ) -> None:
        """Start a process: its node is built from the disk, listens, and is watched; it has not joined yet."""
        self.name = host
        """The host it runs on; two may bear the same worker's name."""
        self.is_superseded = False
        self.goes = False
        """Whether it is about to end in good order, and so stops what it runs."""
        self.stops_until = 0.0
        """Until when it stands still now and again."""
        self.address = config.advertise
        self.phase = Phase.RUNNING
        self._around = surroundings
        self._clock = surroundings.clock
        self._trace = surroundings.trace
        self._observer = surroundings.observer
        self._local = local
        self._rng = Random(f"{seed}/process")
        self._on_end = on_end
        self._backlog: deque[Action] = deque()
        self._refusals: list[Action] = []
        self._armed_at = math.inf
        self._spins = 0
        self._incoming = 0
        self._dies_silently = False
        node_rng = Random(f"{seed}/node")
        self.node = maker(config, boot=boot, saved=disk.load(), rng=node_rng, now=local.read(self._clock.now))
        self.bench = Bench(self, rng=Random(f"{seed}/bench"))
        self.watch = self._observer.begin(self.node, place=f"{host} at {self.address}", disk=disk)
        seat = Seat(config.name, disk.voter)
        self._observer.council.register(seat, disk)
        self._orders = Orders(
            self, surroundings, disk=disk, seat=seat, rng=Random(f"{seed}/disk"), on_answer=partial(on_answer, self)
        )
        surroundings.network.listen(self)
        self._trace.note(self._clock.now, self.name, f"starts as {self.node.run} at {self.address}")
        self._settle()

    @property
    def is_going_on(self) -> bool:
        """Return whether it has not ended."""
        return self.phase is not Phase.ENDED

    @property
    def terms_led(self) -> Collection[int]:
        """Return the terms of which the world has seen a leader."""
        return self._observer.leaders.keys()

    def when(self, local: float) -> float:
        """Return the world's time at which this process's clock shows `local`."""
        return self._local.when(local)

    @property
    def run(self) -> Run:
        """Return who lives here."""
        return self.node.run

    # --- the endpoint of the network --------------------------------------------------------------

    def receive_packet(self, data: bytes, source: Address) -> None:
        """Hand the node one datagram."""
        if self.phase is not Phase.RUNNING:
            if len(self._backlog) < BACKLOG_MAX:
                self._hold(partial(self.receive_packet, data, source))
            else:
                self._around.network.counters["backlog_dropped"] += 1
            return
        self._trace.note(self._clock.now, self.name, f"← {source}", data)
        self._orders.causes.learn(data)
        now = self._local.read(self._clock.now)
        self._input(partial(self.node.receive_packet, data, source=source, now=now))

    def packet_refused(self, to: Address) -> None:
        """Tell the node that nobody listens at `to`; after a pause, behind all the datagrams that wait."""
        if self.phase is Phase.PAUSED and len(self._refusals) < BACKLOG_MAX:
            self._refusals.append(partial(self.packet_refused, to))
        if self.phase is Phase.RUNNING:
            self._trace.note(self._clock.now, self.name, f"← nobody listens at {to}")
            self.command(lambda now: self.node.packet_refused(to, now=now))

    def receive_frame(self, stream: int, data: bytes) -> None:
        """Hand the node one frame."""
        if self.phase is not Phase.RUNNING:
            self._hold(partial(self.receive_frame, stream, data))
            return
        self._trace.note(self._clock.now, self.name, f"← stream {stream}", data)
        self._orders.causes.learn(data)
        self.command(lambda now: self.node.receive_frame(stream, data, now=now))

    def stream_closed(self, stream: int) -> None:
        """Tell the node that a stream has ended."""
        if self.phase is not Phase.RUNNING:
            self._hold(partial(self.stream_closed, stream))
            return
        self._trace.note(self._clock.now, self.name, f"stream {stream} has closed")
        self.command(lambda now: self.node.stream_closed(stream, now=now))

    def number_incoming(self) -> int:
        """Return the next number from -1 down."""
        self._incoming -= 1
        return self._incoming

    # --- the process of the operators -------------------------------------------------------------

    def later(self, delay_s: float, action: Action) -> None:
        """Have `action` done in this process after `delay_s`: not if it has ended, and not while it is paused."""
        self._clock.after(delay_s, partial(self._do, action))

    def apart(self, delay_s: float, action: Action) -> None:
        """Have `action` done after `delay_s`, also while this process is paused: not if it has ended."""
        self._clock.after(delay_s, partial(self._do_apart, action))

    def at_local(self, local: float, action: Action) -> None:
        """Have `action` done when the host's clock shows `local`, also while this process is paused."""
        self._clock.at(self._local.when(local), partial(self._do_apart, action))

    def came_up(self, copy: Copy) -> None:
        """Tell the observer that a copy runs."""
        self._trace.note(self._clock.now, self.name, f"{copy.instance} in epoch {copy.epoch} comes up")
        self._observer.copies.come_up(self.watch, copy.instance, copy.epoch, guarantee=copy.spec.instances)

    def went_down(self, copy: Copy) -> None:
        """Tell the observer that a copy has ended."""
        self._trace.note(self._clock.now, self.name, f"{copy.instance} in epoch {copy.epoch} has ended")
        self._observer.copies.go_down(self.watch, copy.instance, copy.epoch)

    def report(
        self,
        instance: InstanceId,
        epoch: int,
        *,
        state: InstanceState | None = None,
        progress: int | None = None,
        checkpoint: bytes | None = None,
        cause: str | None = None,
        error: ErrorClass | None = None,
        backlog: int | None = None,
    ) -> None:
        """Hand the node an operator's report."""
        said = f"{state.name if state is not None else ''} {progress if progress is not None else ''} {cause or ''}"
        self._trace.note(self._clock.now, self.name, f"{instance} in epoch {epoch} reports {said}")
        if progress is not None:
            self._observer.operators.progress(instance, epoch)
        told = Report(
            instance=instance,
            epoch=epoch,
            state=state,
            progress=progress,
            checkpoint=checkpoint,
            cause=cause,
            error=error,
            backlog=backlog,
        )
        self.command(lambda now: self.node.report(told, now=now))

    # --- commands and fate ------------------------------------------------------------------------

    def command(self, call: Callable[[float], None]) -> None:
        """Call the node with its own time, then carry out what it asks for. The process must be running."""
        now = self._local.read(self._clock.now)
        self._input(partial(call, now))

    def pause(self) -> None:
        """Stand still."""
        self.phase = Phase.PAUSED
        self._trace.note(self._clock.now, self.name, "is paused")

    def resume(self) -> None:
        """Handle all that waits, then the timers that are due."""
        if self.phase is not Phase.PAUSED:
            return
        self.phase = Phase.RUNNING
        self._trace.note(self._clock.now, self.name, f"resumes, {len(self._backlog)} inputs wait")
        self._backlog.extend(self._refusals)
        self._refusals.clear()
        while self._backlog and self.phase is Phase.RUNNING:
            self._backlog.popleft()()
        self._armed_at = math.inf
        if self.phase is Phase.RUNNING:
            self._arm()

    def crash(self, *, silent: bool, effects_left: int) -> None:
        """End without a word: now, or in the midst of the effects of a coming step, after so many of them."""
        if effects_left == 0 or self.phase is Phase.PAUSED:
            self._end(crashed=True, silent=silent)
            return
        self._orders.effects_left = effects_left
        self._dies_silently = silent
        self._clock.after(TORN_CRASH_S_MAX, partial(self._crash_now, silent=silent))

    def leap(self, by_s: float) -> None:
        """Have this process's monotonic clock jump ahead, as after a suspend that it counts."""
        self._local = attrs.evolve(self._local, offset_s=self._local.offset_s + by_s)
        self._trace.note(self._clock.now, self.name, f"finds its clock {by_s:.3f} s further")
        self._armed_at = math.inf
        self.bench.clock_leapt()
        if self.phase is Phase.RUNNING:
            self._arm()

    def exit(self) -> None:
        """End in good order."""
        self._end(crashed=False, silent=False)

    def give_way(self) -> None:
        """End, since a later worker has taken the name over."""
        if self.phase is not Phase.ENDED:
            self.is_superseded = True
            self.exit()

    # --- inside -----------------------------------------------------------------------------------

    def _crash_now(self, *, silent: bool) -> None:
        if self.phase is not Phase.ENDED:
            self._end(crashed=True, silent=silent)

    def _end(self, *, crashed: bool, silent: bool) -> None:
        self.phase = Phase.ENDED
        self._backlog.clear()
        self._trace.note(self._clock.now, self.name, "crashes" if crashed else "exits")
        self._around.network.unlisten(self, host_answers=not silent)
        self._around.streams.process_died(self, silent=silent)
        running = {instance: copy.epoch for instance, copy in sorted(self.bench.copies.items())}
        self.bench.die()
        self._observer.end(self.watch, crashed=crashed, running=running)
        self._on_end(self)

    def _do_apart(self, action: Action) -> None:
        if self.phase is not Phase.ENDED:
            action()

    def _do(self, action: Action) -> None:
        if self.phase is Phase.RUNNING:
            action()
        else:
            self._hold(partial(self._do, action))

    def _hold(self, action: Action) -> None:
        if self.phase is Phase.PAUSED:
            self._backlog.append(action)

    def _input(self, call: Action) -> None:
        try:
            call()
        except (PromiseBroken, WorldOverrun):
            raise
        except Exception as error:
            words = f"{self.name} raised {type(error).__name__}: {error}"
            raise PromiseBroken(promises.BOUNDED, self._clock.now, self._observer.court.seed, words) from error
        self._settle()

    def _settle(self) -> None:
        """Carry out what the last input asked for, let the observer look, and set the timer."""
        is_whole = self._orders.carry_out(self.node.take_effects())
        if not is_whole:
            self._crash_now(silent=self._dies_silently)  # unless an effect of this very step has ended it already
        if self.phase is Phase.RUNNING:
            self._observer.step(self.watch)
            self._arm()

    def _arm(self) -> None:
        due = self.node.next_deadline()
        if due == math.inf:
            return
        at = max(self._local.when(due), self._clock.now) + TIMER_LATE_S_MAX * self._rng.random() + 1e-6
        if at < self._armed_at:
            self._armed_at = at
            self._clock.at(at, partial(self._wake, at))

    def _wake(self, at: float) -> None:
        if at != self._armed_at:
            return
        if self.phase is not Phase.RUNNING:
            return
        self._armed_at = math.inf
        now = self._local.read(self._clock.now)
        if self.node.next_deadline() > now:
            self._arm()
            return
        self._trace.note(self._clock.now, self.name, "timer")
        self._input(partial(self.node.fire_timers, now=now))
        self._spins = self._spins + 1 if self.node.next_deadline() <= now else 0
        if self._spins > SPINS_MAX:
            self._observer.broken(promises.BOUNDED, f"{self.name} fires timers for ever: its deadline stays due")
