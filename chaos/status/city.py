"""A town whose workers hold many instances each, and which has long agreed on the status of every one of them.

Everybody begins with all statuses, since to tell 20,000 of them to 1,000 workers is another experiment than this one.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from chaos.authority.town import LEAST, Host, Town
from swimstream.core.effects import Notify, OpenStream, SendFrame
from swimstream.events import InstanceChanged
from swimstream.model.status import InstanceState, InstanceStatus

if TYPE_CHECKING:
    from swimstream.core.effects import Effect
    from swimstream.core.node import Node
    from swimstream.core.status.table import StatusTable
    from swimstream.model.identity import Address, InstanceId

TOLD = 2
"""How often each worker has told of each instance: STARTING, then RUNNING."""


class Citizen(Host):
    """One worker, which notes when it hears that an instance runs under which epoch."""

    def __init__(self, node: Node, town: Town, *, name: str, address: Address) -> None:
        """Wrap a node; `City` makes it a member."""
        super().__init__(node, town, name=name, address=address)
        self.heard: dict[InstanceId, tuple[int, float]] = {}
        """Instance → newest epoch of which it heard that it runs, and when."""

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Notify(event=InstanceChanged(status=status)) if status.state is InstanceState.RUNNING:
                self.heard[status.instance] = (status.epoch, self._clock.now)
            case OpenStream(frame=frame) | SendFrame(frame=frame):
                self.traffic["stream_bytes_out"] += len(frame)
            case _:
                pass
        super()._carry_out(effect)

    def receive_frame(self, stream: int, data: bytes) -> None:
        """Hand the node one frame, and count it."""
        self.traffic["stream_bytes_in"] += len(data)
        super().receive_frame(stream, data)


class City(Town):
    """Every worker holds one instance of each of so many operators."""

    host_type = Citizen

    def __init__(self, *, workers: int, instances: int, pace: str, seed: str) -> None:
        """Build it; takes some seconds for each hundred workers."""
        operators = [f"{LEAST}{number:02}" for number in range(instances)]
        super().__init__(workers=workers, pace=pace, seed=seed, operators=operators)
        self._tell_all()

    def _tell_all(self) -> None:
        """Put the status of every instance into every table."""
        first, *others = self.hosts.values()
        table = _table_of(first)
        for held in first.node.plan.assignments.values():
            table.merge(
                InstanceStatus(
                    instance=held.instance,
                    epoch=held.epoch,
                    run=held.run,
                    seq=TOLD,
                    state=InstanceState.RUNNING,
                    since_ms=1,
                )
            )
        for host in others:
            copy_table(table, _table_of(host))

    def citizens(self) -> list[Citizen]:
        """Return who has not crashed."""
        return [host for host in self.live() if isinstance(host, Citizen)]

    def traffic(self) -> Counter[str]:
        """Return what all that live have sent and received so far."""
        return sum((host.traffic for host in self.citizens()), Counter[str]())


def _table_of(host: Host) -> StatusTable:
    return host.node._rooms.statuses  # noqa: SLF001  # else each would have to be told of each


def copy_table(table: StatusTable, into: StatusTable) -> None:
    """Fill an empty table with the records of another, sharing what does not change."""
    into._records = dict(table._records)  # noqa: SLF001  # as above
    into._owned = {owner: set(instances) for owner, instances in table._owned.items()}  # noqa: SLF001  # as above
    into._hashes, into._lasting = dict(table._hashes), dict(table._lasting)  # noqa: SLF001  # as above
