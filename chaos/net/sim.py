"""The lab of the simulator: faults between the hosts of a world, in virtual time.

The same models decide as in the emulator. What differs, because the simulator knows datagrams and streams, not packets:

- A datagram with a flipped bit is dropped, as a checksum would have it.
- A stream suffers delay, loss (as a retransmission), rate and limit; it hides duplicates and order, as TCP does. A
  frame of it counts as one packet, whatever its size.
- A loss of 100 % is a cut of the simulator's own, so streams stall and break.

There are no namespaces, interfaces or MTUs, and the usual weather of the world (`Links`) is not on ways with a fault.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import attrs

from chaos.net.lab import Lab
from chaos.net.model import FRAME_BYTES, HEADERS_BYTES, Counters, Model
from swimstream.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from chaos.net.fault import Fault
    from chaos.net.lab import Change, Way
    from swimstream.simulator.network import Network


class SimLab(Lab):
    """Faults between hosts of a simulated network, which are known by their names."""

    backend = "sim"

    def __init__(self, network: Network, names: Sequence[str], *, seed: int = 1) -> None:
        """Take the network of a world; host 0 has the first name. The seed decides what befalls which packet."""
        super().__init__(hosts=len(names))
        if len(set(names)) != len(names):
            raise UsageError(f"names: expected different ones, got {', '.join(names)}")
        self._network = network
        self._names = list(names)
        self._seed = seed
        self._ways: dict[Way, _Checksummed] = {}
        self._changes = 0
        self._is_cut: set[tuple[int, int]] = set()
        self._counters = Counters()

    def __enter__(self) -> Self:
        """Return itself: the hosts are there."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take back all faults and cuts."""
        self.clear()

    def counters(self) -> dict[str, int]:
        """Return what became of the packets that went a way with a fault."""
        return attrs.asdict(self._counters)

    def _apply(self, changes: Sequence[Change]) -> None:
        for change in changes:
            before = self._ways.pop((change.src, change.dst), None)
            if change.fault is not None:
                way = self._way(change.src, change.dst, change.fault)
                if before is not None:
                    way.model.follow(before.model)
                self._ways[change.src, change.dst] = way
            for dst in range(self.hosts) if change.dst is None else [change.dst]:
                if dst != change.src:
                    self._show(change.src, dst)

    def _way(self, src: int, dst: int | None, fault: Fault) -> _Checksummed:
        self._changes += 1
        rng = Random(f"{self._seed} {src} {dst} {self._changes}")
        model = Model(fault, rng=rng, counters=self._counters, overhead_bytes=FRAME_BYTES + HEADERS_BYTES)
        return _Checksummed(model)

    def _show(self, src: int, dst: int) -> None:
        """Have the network do what is set for this pair now."""
        way = self._ways.get((src, dst)) or self._ways.get((src, None))
        pair = self._names[src], self._names[dst]
        self._network.set_way(*pair, way)
        wants_cut, is_cut = way is not None and way.model.fault.loss == 100, (src, dst) in self._is_cut
        if wants_cut and not is_cut:
            self._is_cut.add((src, dst))
            self._network.cut([pair])
        elif is_cut and not wants_cut:
            self._is_cut.remove((src, dst))
            self._network.mend([pair])


@attrs.frozen
class _Checksummed:
    """A model whose damaged packets nobody gets to see."""

    model: Model

    def carry(self, packet: bytes, now: float) -> list[tuple[float, bytes]]:
        return [(at, data) for at, data in self.model.carry(packet, now) if data == packet]
