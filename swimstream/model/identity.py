"""Names of things: addresses, runs and instances. Values only; every room shares them."""

from __future__ import annotations

import re
from functools import total_ordering

import attrs

from swimstream.errors import UsageError

NAME_CHARS_MAX = 64
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NAME_WORDS = f"1 to {NAME_CHARS_MAX} letters, digits, '.', '_' or '-', starting with a letter or digit"
INSTANCE_PATTERN = re.compile(r"(?P<job>[^/\[\]]+)/(?P<operator>[^/\[\]]+)\[(?P<index>\d{1,5})\]")
BOOT_MAX = 2**63 - 1


def check_name(field: str, value: str) -> str:
    """Return `value` if it is a legal name of a worker, site, job, operator or kind; else raise `UsageError`."""
    if not NAME_PATTERN.fullmatch(value):
        raise UsageError(f"{field}: expected {NAME_WORDS}, got {value!r}")
    return value


@attrs.frozen(order=True)
class Address:
    """Where a peer listens: one port for both UDP and TCP. `host` is an IP literal once resolved."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str, *, field: str) -> Address:
        """Parse `host:port` or `[v6]:port`; raise `UsageError` naming `field` otherwise. Port 0 is allowed."""
        host, colon, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        bare = host[1:-1] if bracketed else host
        good = colon and bare and port.isascii() and port.isdigit() and int(port) <= 65_535
        if not good or (":" in bare and not bracketed):
            raise UsageError(f"{field}: expected 'host:port' with a port from 0 to 65535, got {text!r}")
        return cls(bare, int(port))


@attrs.frozen(order=True, cache_hash=True)
class Run:
    """One life of a worker's process. `boot` is its start in ms, above every earlier boot of that name."""

    name: str
    boot: int

    def __str__(self) -> str:
        return f"{self.name}@{self.boot}"


@total_ordering
@attrs.frozen(cache_hash=True)
class InstanceId:
    """One of an operator's `parallelism` copies, written `job/operator[index]`."""

    job: str
    operator: str
    index: int

    def __lt__(self, other: InstanceId) -> bool:  # by attrs it takes ten times as long, and leaders sort whole plans
        if other.__class__ is not InstanceId:
            return NotImplemented
        return (self.job, self.operator, self.index) < (other.job, other.operator, other.index)

    def __str__(self) -> str:
        return f"{self.job}/{self.operator}[{self.index}]"

    @classmethod
    def parse(cls, text: str, *, field: str = "instance") -> InstanceId:
        """Parse `job/operator[index]`; raise `UsageError` naming `field` otherwise."""
        match = INSTANCE_PATTERN.fullmatch(text)
        if match is None:
            raise UsageError(f"{field}: expected 'job/operator[index]', got {text!r}")
        return cls(match["job"], match["operator"], int(match["index"]))
