"""Whether the loop that runs the operators still turns: FROZEN is not dead.

A worker whose Python is stuck in a C call that keeps the GIL, or whose operator blocks the loop that it shares with
others, is alive, and its instances are neither lost nor running. Its operators' loop *ticks*: it counts in memory
that the peer sees, in whichever process that is. The peer looks at the age of the last tick.

Who looks may itself have stood still, together with the worker (a stopped container, a machine that slept). A peer in
a process of its own that was late to look says nothing of what it did not watch. A peer on a thread of the worker was
late because the worker was: it tells the gap that it finds when it gets to run again.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import attrs
import trio

from swimstream.model.status import InstanceState
from swimstream.runtime import clock
from swimstream.runtime.reports import Report

if TYPE_CHECKING:
    from swimstream.core.participant import Participant
    from swimstream.model.identity import InstanceId
    from swimstream.model.status import InstanceStatus
    from swimstream.runtime.reports import Reports

FROZEN_AFTER_S_MIN = 0.1
FROZEN_AFTER_S_MAX = 3_600.0
LOOKS = 4
"""So many ticks, and so many looks at them, in the time after which a worker counts as frozen."""
LATE_MULT = 2
"""A look that comes after so many pauses is late."""
PRIVATE = -1
"""The descriptor of memory that no other process sees."""
_COUNT = struct.Struct("=Q")
_LIVE = [state for state in InstanceState if state.name in ("STARTING", "RUNNING", "STALLED")]
_FROZEN = next((state for state in InstanceState if state.name == "FROZEN"), None)
"""None while the model has no such state: then freezes are counted and not told."""


class Ticks:
    """A counter in memory that two processes may share. One thread ticks; any thread of either process looks."""

    def __init__(self, descriptor: int = PRIVATE) -> None:
        """Map the memory behind `descriptor`, which is taken over."""
        self._memory = mmap.mmap(descriptor, _COUNT.size)
        self.descriptor = descriptor
        """To be inherited by a process that shall see the counter."""

    @classmethod
    def shared(cls) -> Self:
        """Return a counter in fresh memory that can be shared."""
        return cls(_fresh_memory())

    def close_descriptor(self) -> None:
        """Give up the descriptor; the counter stays."""
        if self.descriptor != PRIVATE:
            os.close(self.descriptor)
            self.descriptor = PRIVATE

    def tick(self) -> None:
        """Count one more turn of the loop."""
        _COUNT.pack_into(self._memory, 0, (self.count + 1) % 2**64)

    @property
    def count(self) -> int:
        """Return the count. One that is read while it is written is some other number, which is as good."""
        (count,) = _COUNT.unpack_from(self._memory)
        return int(count)


def _fresh_memory() -> int:
    if hasattr(os, "memfd_create"):
        with suppress(OSError):  # a sandbox may forbid it
            return _sized(os.memfd_create("swimstream-ticks"))
    with tempfile.TemporaryFile() as file:
        return _sized(os.dup(file.fileno()))


def _sized(descriptor: int) -> int:
    os.ftruncate(descriptor, _COUNT.size)
    return descriptor


class Pulse:
    """Judges one worker's ticks. Pure: the caller brings the counts and the time, in seconds."""

    def __init__(self, *, frozen_after_s: float, shares_fate: bool, now: float) -> None:
        """Begin as if there were a tick at `now`. With `shares_fate` a late look is no excuse: see above."""
        self._frozen_after_s = frozen_after_s
        self._shares_fate = shares_fate
        self._count = -1
        self._ticked_at = now
        self._looked_at = now

    def look(self, count: int, now: float) -> float:
        """Return for how long it has been frozen by now, in seconds, 0 if it is not; also when that has just ended."""
        assert now >= self._looked_at
        was_late = now - self._looked_at > LATE_MULT * self._frozen_after_s / LOOKS
        self._looked_at = now
        if was_late and not self._shares_fate:
            self._ticked_at = now
        age_s = now - self._ticked_at
        if count != self._count:
            self._count, self._ticked_at = count, now
            # it went on at some time since the last look: only who was late to look has missed a freeze as a whole
            age_s = age_s if was_late and self._shares_fate else 0.0
        return age_s if age_s > self._frozen_after_s else 0.0


@attrs.frozen
class _Frozen:
    """What an instance was before it froze."""

    epoch: int
    state: InstanceState


class FreezeWatch:
    """Reports the instances that run in a frozen worker as FROZEN, and as what they were once it goes on."""

    def __init__(
        self,
        ticks: Ticks,
        reports: Reports,
        *,
        frozen_after_s: float,
        shares_fate: bool,
        kinds_apart: frozenset[str] = frozenset(),
    ) -> None:
        """Watch `ticks`. Operators of `kinds_apart` run in processes of their own, which do not freeze with it."""
        self._ticks = ticks
        self._reports = reports
        self._frozen_after_s = frozen_after_s
        self._shares_fate = shares_fate
        self._kinds_apart = kinds_apart
        self._frozen: dict[InstanceId, _Frozen] = {}
        self._is_frozen = False

    async def run(self, node: Participant) -> None:
        """Watch until cancelled, on the loop that drives `node`."""
        pulse = Pulse(frozen_after_s=self._frozen_after_s, shares_fate=self._shares_fate, now=clock.now())
        while True:
            await trio.sleep(self._frozen_after_s / LOOKS)
            self.look(node, pulse.look(self._ticks.count, clock.now()))

    def look(self, node: Participant, frozen_s: float) -> None:
        """Act on what a look at the pulse has shown."""
        reports = self._reports
        if frozen_s:
            reports.freezes += not self._is_frozen
            reports.frozen_s_max = max(reports.frozen_s_max, frozen_s)
            self._freeze(node, f"its worker's loop has not turned for {frozen_s:.1f} s")
        elif self._is_frozen:
            self._thaw(node)
        self._is_frozen = frozen_s > 0

    def _freeze(self, node: Participant, cause: str) -> None:
        """Tell it of each that runs in the worker, and is not told yet."""
        if _FROZEN is None:
            return
        for status in node.statuses():
            if status.run == node.run and status.state in _LIVE and not self._runs_apart(node, status):
                self._frozen[status.instance] = _Frozen(status.epoch, status.state)
                self._reports.put(Report(instance=status.instance, epoch=status.epoch, state=_FROZEN, cause=cause))

    def _thaw(self, node: Participant) -> None:
        """Tell of each what it was; the worker's own word, which comes behind it or has come, stands above that."""
        told = {status.instance: status for status in node.statuses() if status.instance in self._frozen}
        for instance, before in self._frozen.items():
            status = told.get(instance)
            if status is not None and (status.epoch, status.state) == (before.epoch, _FROZEN):
                self._reports.put(Report(instance=instance, epoch=before.epoch, state=before.state, cause=""))
        self._frozen.clear()

    def _runs_apart(self, node: Participant, status: InstanceStatus) -> bool:
        job = node.plan.jobs.get(status.instance.job)
        names = {spec.name: spec.kind for spec in job.operators} if job is not None else {}
        return names.get(status.instance.operator) in self._kinds_apart
