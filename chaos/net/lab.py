"""The one interface to faults of the network, whatever makes them real. Hosts are numbers from 0.

A fault is one direction's: from a host to another, or from a host to everybody for whom it has no fault of its own.
Cuts lie over faults: when the last cut of a direction is healed, its fault is back. One thread only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from typing import TYPE_CHECKING

import attrs

from chaos.net.fault import NO_FAULT, Fault
from swimstream.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Self


Way = tuple[int, int | None]
"""From a host to another; to None: to all that have no way of their own."""


@attrs.frozen
class Change:
    """What is wrong with one way from now on. None: nothing of its own."""

    src: int
    dst: int | None
    fault: Fault | None


class Lab(ABC):
    """Hosts and the ways between them. Use it in a `with` block: nothing is left when that ends."""

    backend: str

    def __init__(self, *, hosts: int) -> None:
        """Prepare so many hosts; `__enter__` makes them."""
        self.hosts = hosts
        self._faults: dict[Way, Fault] = {}
        self._cuts: Counter[tuple[int, int]] = Counter()

    @abstractmethod
    def __enter__(self) -> Self:
        """Make the hosts, with nothing wrong between them."""

    @abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Remove all that was made."""

    @abstractmethod
    def counters(self) -> dict[str, int]:
        """Return what became of the packets so far, as far as the backend counts."""

    @abstractmethod
    def _apply(self, changes: Sequence[Change]) -> None:
        """Make the changes real, all at once or in this order. What is on its way still arrives."""

    def set(self, src: int, dst: int | None, fault: Fault | None) -> None:
        """Have this fault from `src` to `dst`, instead of the one before; see `set_all`."""
        self.set_all({(src, dst): fault})

    def set_all(self, faults: Mapping[Way, Fault | None]) -> None:
        """Have these faults, each on a way; None: the way has no fault of its own any more.

        Raise `UsageError` for a host that there is not, `LabError` if the backend cannot.
        """
        for src, dst in faults:
            self._known(src, dst)
        for way, fault in faults.items():
            if fault is None:
                self._faults.pop(way, None)
            else:
                self._faults[way] = fault
        self._apply([Change(src, dst, self._effective(src, dst)) for src, dst in faults])

    def cut(self, some: Iterable[int], others: Iterable[int], *, one_way: bool = False) -> None:
        """Let nothing through from any of `some` to any of `others`, nor back unless `one_way`. Cuts add up."""
        fresh = []
        for pair in self._pairs(some, others, one_way=one_way):
            self._cuts[pair] += 1
            if self._cuts[pair] == 1:
                fresh.append(pair)
        self._apply([Change(src, dst, self._effective(src, dst)) for src, dst in fresh])

    def heal(self, some: Iterable[int], others: Iterable[int], *, one_way: bool = False) -> None:
        """Take back one earlier `cut` of the same; the faults below it are back."""
        pairs = self._pairs(some, others, one_way=one_way)
        for src, dst in pairs:
            if self._cuts[src, dst] < 1:
                raise UsageError(f"heal: expected an earlier cut from {src} to {dst}")
        self._cuts.subtract(pairs)
        healed = [pair for pair in pairs if self._cuts[pair] == 0]
        self._apply([Change(src, dst, self._effective(src, dst)) for src, dst in healed])

    def is_cut(self, src: int, dst: int) -> bool:
        """Return whether nothing gets through from `src` to `dst` because of a cut."""
        return self._cuts[src, dst] > 0

    def clear(self) -> None:
        """Take back all faults and all cuts."""
        ways: list[Way] = [*self._faults, *(pair for pair, count in self._cuts.items() if count)]
        self._faults.clear()
        self._cuts.clear()
        self._apply([Change(src, dst, None) for src, dst in dict.fromkeys(ways)])

    def _effective(self, src: int, dst: int | None) -> Fault | None:
        own = self._faults.get((src, dst))
        if dst is None or self._cuts[src, dst] < 1:
            return own
        return (own or self._faults.get((src, None)) or NO_FAULT).cut()

    def _pairs(self, some: Iterable[int], others: Iterable[int], *, one_way: bool) -> list[tuple[int, int]]:
        ahead = [(src, dst) for src in sorted(set(some)) for dst in sorted(set(others))]
        pairs = ahead if one_way else [*ahead, *((dst, src) for src, dst in ahead)]
        for src, dst in pairs:
            self._known(src, dst)
        return list(dict.fromkeys(pairs))

    def _known(self, src: int, dst: int | None) -> None:
        for host in (src, dst):
            if host is not None and not 0 <= host < self.hosts:
                raise UsageError(f"host: expected 0 to {self.hosts - 1}, got {host}")
        if src == dst:
            raise UsageError(f"host: expected two different hosts, got {src} twice")
