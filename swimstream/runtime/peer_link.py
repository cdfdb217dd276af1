"""What a worker and its peer's own process say to each other: pickled values, each behind its length.

Both ends are our own code of one version, one of them started by the other, over a pair of sockets that nobody else
holds; so what cannot be read is a bug, and pickle is as safe as calling a function. What comes from the network never
gets here undecoded.

Descriptors of operators' processes go by another pair, since ancillary data and a stream of frames do not mix well.
"""

from __future__ import annotations

import copyreg
import io
import pickle
import struct
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import attrs

from swimstream.core.effects import DumpStack, KeepWarm, RenewFence, StartInstance, StopInstance
from swimstream.events import Event
from swimstream.model.identity import Address, InstanceId, Run
from swimstream.model.talk import QueryResult
from swimstream.runtime.reports import Report
from swimstream.runtime.thread import PeerSettings
from swimstream.runtime.view_changes import ViewChanges

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


LENGTH = struct.Struct("!I")
CHUNK_BYTES = 262_144
NOTICE_BYTES_MAX = 4_096

Order = StartInstance | RenewFence | StopInstance | DumpStack | KeepWarm


# --- worker → peer --------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Begin:
    """The first message."""

    settings: PeerSettings
    """Its `saved` and `boot` are filled in by the peer, from the state directory."""
    state_dir: Path | None
    frozen_after_s: float
    kinds_apart: frozenset[str]
    """Their operators run in processes of their own."""
    log_level: int


@attrs.frozen
class Call:
    """Call this method of the node."""

    method: str
    arguments: tuple[object, ...]
    keywords: dict[str, object] = attrs.field(factory=dict)


@attrs.frozen
class Reported:
    """What the instances say of themselves."""

    reports: tuple[Report, ...]
    coalesced: int
    fences_missed: int


@attrs.frozen
class Halt:
    """End at once, without a goodbye. Without this the end of the worker is a crash."""


ToPeer = Begin | Call | Reported | Halt


# --- peer → worker --------------------------------------------------------------------------------


@attrs.frozen
class Started:
    """The peer is bound and driven."""

    run: Run
    address: Address


@attrs.frozen
class Refused:
    """It could not start."""

    error: Exception


@attrs.frozen
class Logged:
    """One record of its log."""

    name: str
    level: int
    text: str


@attrs.frozen(kw_only=True)
class News:
    """Everything since the last such message; the view first, so that who hears of something finds it there."""

    view: ViewChanges | None
    events: tuple[Event, ...]
    lost: int
    """So many events before these were dropped."""
    answers: tuple[tuple[int, str], ...]
    results: tuple[tuple[int, QueryResult], ...]
    orders: tuple[Order, ...]
    logged: tuple[Logged, ...]


@attrs.frozen
class Ended:
    """The last message: the peer has ended, by a fault if a cause is given."""

    cause: str


ToWorker = Started | Refused | News | Ended


def encode(message: ToPeer | ToWorker) -> bytes:
    """Return one frame."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = REDUCERS
    pickler.dump(message)
    data = buffer.getvalue()
    return LENGTH.pack(len(data)) + data


def _read_only(table: dict[str, object]) -> Mapping[str, object]:
    return MappingProxyType(table)  # by a function of ours, since pickle does not find this type by its name


REDUCERS = copyreg.dispatch_table | {MappingProxyType: lambda table: (_read_only, (dict(table),))}
"""Read-only views of tables, such as tags, cross as what they are; pickle alone refuses them."""


class Frames:
    """Takes bytes as they come; gives messages."""

    def __init__(self) -> None:
        """Begin empty."""
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[object]:
        """Yield every message that is complete with `data`."""
        self._buffer += data
        while len(self._buffer) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._buffer)
            end = LENGTH.size + length
            if len(self._buffer) < end:
                return
            with memoryview(self._buffer) as whole, whole[LENGTH.size : end] as part:
                message = pickle.loads(part)  # noqa: S301  # of our own process, see above
            del self._buffer[:end]
            yield message


@attrs.frozen
class OperatorProcess:
    """Goes with the descriptor of an operator's process that has just been started."""

    instance: InstanceId
    epoch: int
    pid: int
    """Its session's and group's number as well."""


def pack_process(notice: OperatorProcess) -> bytes:
    """Return it as one packet."""
    return pickle.dumps(notice)


def unpack_process(data: bytes) -> OperatorProcess:
    """Return what was packed."""
    notice = pickle.loads(data)  # noqa: S301  # of our own process, see above
    assert isinstance(notice, OperatorProcess)
    return notice
