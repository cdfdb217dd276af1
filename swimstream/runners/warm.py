"""Processes that are ready to run an instance which is somebody else's still: started, imported, waiting.

A warm copy calls no function of an operator: it has no epoch, so it may not act. But most of what a start takes is
done: the interpreter runs, the module and all that it imports are there (and so what the module loads by itself). A
function that runs in the worker is warm anyhow, and nothing of a command can be prepared: a standby of such a kind is
no more than a place.

A warm copy that ends is begun again after `PAUSE_S`; that counts against nothing. Without one an instance starts cold.
"""

from __future__ import annotations

import logging
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

from swimstream.runners.frames import encode
from swimstream.runners.process import place_fields
from swimstream.runners.registry import InProcess
from swimstream.runners.spawned import MODULE, Spawned

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from swimstream.core.effects import StartInstance
    from swimstream.model.identity import InstanceId
    from swimstream.runners.registry import Registry

log = logging.getLogger(__name__)

PAUSE_S = 10.0
"""So long after a warm copy has ended by itself the next one is begun."""


class _Warm:
    """One instance that is kept warm."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.scope = trio.CancelScope()
        self.process: Spawned | None = None
        """None while there is none, and once it was handed over."""


class WarmProcesses:
    """The warm copies of one host. For the operators' loop only. At most one for each standby that the plan names."""

    def __init__(self, registry: Registry) -> None:
        """Begin with none."""
        self._registry = registry
        self._listed: dict[InstanceId, str] = {}
        self._kept: dict[InstanceId, _Warm] = {}

    def keep(
        self,
        copies: Iterable[tuple[InstanceId, str]],
        nursery: trio.Nursery,
        *,
        starting: Container[InstanceId] = (),
    ) -> None:
        """Keep these warm, with these kinds, and give up all others but those that are about to be started."""
        self._listed = {instance: kind for instance, kind in copies if isinstance(self._registry.find(kind), InProcess)}
        for instance in list(self._kept):
            if instance not in starting:
                self.settle(instance)
        for instance, kind in self._listed.items():
            if instance not in self._kept:
                warm = self._kept[instance] = _Warm(kind)
                nursery.start_soon(self._keep, instance, warm)

    def settle(self, instance: InstanceId) -> None:
        """Give up a warm copy that is not to be kept, now that nothing of the instance is about to be started."""
        warm = self._kept.get(instance)
        if warm is not None and self._listed.get(instance) != warm.kind:
            warm.scope.cancel()
            del self._kept[instance]

    def give_up(self) -> None:
        """Keep nothing any more."""
        self._listed = {}
        for instance in list(self._kept):
            self.settle(instance)

    def take(self, start: StartInstance, output: int | None) -> Spawned | None:
        """Return the warm process of an instance, which is the caller's from here on; None if there is no such one.

        What it prints goes to `output` once it runs the operator; None: on to where it goes.
        """
        warm = self._kept.pop(start.instance, None)
        if warm is None:
            return None
        process = warm.process
        if process is None or warm.kind != start.spec.kind or process.has_hung_up() or not _redirect(process, output):
            warm.scope.cancel()
            return None
        warm.process = None
        warm.scope.cancel()
        return process

    async def _keep(self, instance: InstanceId, warm: _Warm) -> None:
        registered = self._registry.find(warm.kind)
        assert isinstance(registered, InProcess)
        with warm.scope:
            while True:
                try:
                    warm.process = Spawned(MODULE, fence_at=None)
                    with suppress(ConnectionError):
                        warm.process.channel.sendall(encode("warm", place_fields(registered)))
                    await warm.process.wait_for_end()
                    log.warning("a warm copy has ended by itself instance=%s", instance)
                except OSError as error:
                    log.warning("no warm copy can be started instance=%s why=%s", instance, error)
                finally:
                    if warm.process is not None:
                        warm.process.reap()
                        warm.process.close()
                        warm.process = None
                await trio.sleep(PAUSE_S)


def _redirect(process: Spawned, output: int | None) -> bool:
    """Have a process print elsewhere from its start on; return False if it is gone."""
    if output is None:
        return True
    try:
        socket.send_fds(process.channel, [encode("output")], [output])
    except OSError:
        return False
    return True
