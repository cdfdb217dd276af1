"""What all faults of a host have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self


class HostFaultError(Exception):
    """This machine cannot do it; the message says what is missing."""


class HostFault(ABC):
    """One fault, from the beginning of a `with` block to its end."""

    @abstractmethod
    def begin(self) -> None:
        """Have it begin; raise `HostFaultError`."""

    @abstractmethod
    def end(self) -> None:
        """Have it end. May be called again, and when it never began."""

    def __enter__(self) -> Self:
        """Have it begin; raise `HostFaultError` with nothing left changed."""
        try:
            self.begin()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Have it end."""
        self.end()
