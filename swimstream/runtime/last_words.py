"""What a peer does when its worker is gone: say so in its place, at once, so that nobody needs to wait for a time-out.

What ran in the worker has ended with it: the kernel says that the process is gone with all its threads. What ran in
processes of its own is killed by the kernel too (PR_SET_PDEATHSIG), and its end is waited for: the peer holds a
descriptor of each, handed over by the worker before anybody could have reaped it, so that no other process can be
meant. Only then is an at-most-one instance reported as FAILED, since others take that for the proof that they may
start it (rule 11 of authority). One whose end cannot be proven is not reported; the goodbye then waits for its fence.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import attrs
import trio

from swimstream.model.job import AT_MOST_ONE
from swimstream.model.report import Report
from swimstream.model.status import ErrorClass, InstanceState
from swimstream.runtime import clock
from swimstream.runtime.peer_link import NOTICE_BYTES_MAX, OperatorProcess, unpack_process

if TYPE_CHECKING:
    from swimstream.core.participant import Participant
    from swimstream.model.identity import InstanceId
    from swimstream.model.status import InstanceStatus
    from swimstream.runtime.driver import Driver

log = logging.getLogger(__name__)

RECENT_S = 1.0
"""A process that ended so shortly ago has ended with its worker, and no other has got its number since."""
WATCHED_MAX = 4_096
"""Of more processes the end of the oldest is forgotten: it cannot be proven then, which is safe."""
ENDING_S = 1.0
"""Killed processes end within milliseconds, unless they hang in the kernel."""
GOODBYE_S = 5.0
"""How long the goodbye may take beyond the time for which an unproven fence makes it wait."""
REQUEST = 0
"""The number of the goodbye's request; the worker's own count from 1."""


@attrs.define
class _Watched:
    """One process of an operator."""

    notice: OperatorProcess
    ended: trio.Event = attrs.field(factory=trio.Event)
    ended_at: float = float("inf")


class OperatorProcesses:
    """The processes of operators that the worker has told of: the newest of each instance."""

    def __init__(self, channel: socket.socket | None) -> None:
        """Hear of them through `channel`; None where descriptors of processes cannot be had."""
        self._channel = channel
        self._watched: dict[InstanceId, _Watched] = {}
        self._heard_all = trio.Event()

    async def watch(self) -> None:
        """Take over each process and wait for its end, until cancelled."""
        async with trio.open_nursery() as nursery:
            while self._channel is not None:
                await trio.lowlevel.wait_readable(self._channel)
                try:
                    data, descriptors, _, _ = socket.recv_fds(
                        self._channel, NOTICE_BYTES_MAX, 1, socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
                    )
                except BlockingIOError:
                    continue
                except ConnectionError:
                    data, descriptors = b"", []
                if not data:
                    break
                watched = _Watched(unpack_process(data))
                self._remember(watched)
                nursery.start_soon(_wait_for_end, watched, descriptors[0])
            self._heard_all.set()

    def _remember(self, watched: _Watched) -> None:
        self._watched.pop(watched.notice.instance, None)
        self._watched[watched.notice.instance] = watched
        if len(self._watched) > WATCHED_MAX:
            oldest = next((each for each, held in self._watched.items() if held.ended.is_set()), None)
            if oldest is not None:  # else they all live: as many as the worker could start
                del self._watched[oldest]

    async def end(self) -> None:
        """Kill what is left of them with whatever they have started, and wait for their ends, for a bounded time.

        Only for a worker that is gone, and at once then: as long as a process lives, or has only just ended, its group
        is its own. What ended before had its group killed by the worker.
        """
        with trio.move_on_after(ENDING_S):
            await self._heard_all.wait()
            for watched in self._watched.values():
                if watched.ended_at + RECENT_S < clock.now():
                    continue
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(watched.notice.pid, signal.SIGKILL)
            for watched in self._watched.values():
                await watched.ended.wait()

    def has_ended(self, instance: InstanceId, epoch: int) -> bool:
        """Return whether the process of that very copy is known to have ended."""
        watched = self._watched.get(instance)
        return watched is not None and watched.notice.epoch == epoch and watched.ended.is_set()


async def _wait_for_end(watched: _Watched, descriptor: int) -> None:
    try:
        await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)
    watched.ended_at = clock.now()
    watched.ended.set()


async def speak(
    node: Participant, driver: Driver, processes: OperatorProcesses, *, cause: str, kinds_apart: frozenset[str]
) -> None:
    """Report what has ended with the worker, say goodbye, and return when the goodbye took too long."""
    limit_s = node.plan.isolation_ms / 1_000 + GOODBYE_S
    signal.alarm(int(limit_s + 2 * ENDING_S + GOODBYE_S))  # whatever goes wrong here: no orphan stays
    await processes.end()

    def is_proven(status: InstanceStatus) -> bool:
        kind, guarantee = _kind_and_guarantee(node, status.instance)
        runs_apart = kind in kinds_apart
        return not runs_apart or guarantee != AT_MOST_ONE or processes.has_ended(status.instance, status.epoch)

    def act(now: float) -> None:
        for status in node.statuses():
            if status.run == node.run and not status.state.is_over and is_proven(status):
                said = Report(
                    instance=status.instance,
                    epoch=status.epoch,
                    state=InstanceState.FAILED,
                    cause=cause,
                    error=ErrorClass.INFRASTRUCTURE,
                )
                node.report(said, now=now)
        node.leave(REQUEST, now=now)

    driver.post(act)
    await trio.sleep(limit_s)
    log.warning("nobody has heard the last words of this worker")
    driver.stop()


def _kind_and_guarantee(node: Participant, instance: InstanceId) -> tuple[str, str]:
    """Return what the plan says of an instance; of one that it does not know, the worst."""
    job = node.plan.jobs.get(instance.job)
    for spec in job.operators if job is not None else ():
        if spec.name == instance.operator:
            return spec.kind, spec.instances
    return "", AT_MOST_ONE
