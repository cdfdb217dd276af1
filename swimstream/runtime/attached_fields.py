"""Fields of the requests of an attached process: each fault is a `UsageError` that begins with the field's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import attrs

from swimstream.errors import UsageError
from swimstream.model.identity import Address, InstanceId, check_name
from swimstream.model.member import CAPACITY_MAX, KINDS_MAX
from swimstream.model.status import (
    CHECKPOINT_BYTES_MAX,
    ENDPOINT_CHARS_MAX,
    ENDPOINT_PATTERN,
    PROGRESS_MAX,
    InstanceState,
    cut_cause,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

ATTACH_PROTOCOL = 1
EPOCH_MAX = 2**63 - 1
REPORTED = {
    "running": InstanceState.RUNNING,
    "stopped": InstanceState.STOPPED,
    "finished": InstanceState.FINISHED,
    "failed": InstanceState.FAILED,
}
"""What a process may say that a copy is; STARTING and STOPPING its peer says."""


@attrs.frozen
class Wish:
    """What a process attaches with."""

    kinds: tuple[str, ...]
    capacity: int | None
    """None: as the peer was configured."""

    @classmethod
    def read(cls, request: Mapping[str, object]) -> Self:
        """Return the wish; raise `UsageError`."""
        protocol = request.get("protocol")
        if isinstance(protocol, bool) or protocol != ATTACH_PROTOCOL:
            raise UsageError(f"protocol: expected {ATTACH_PROTOCOL}, got {protocol!r}")
        given = request.get("kinds")
        if not isinstance(given, list) or not 1 <= len(given) <= KINDS_MAX:
            raise UsageError(f"kinds: expected a list of 1 to {KINDS_MAX} names, got {given!r}")
        kinds = []
        for position, kind in enumerate(given):
            if not isinstance(kind, str):
                raise UsageError(f"kinds[{position}]: expected text, got {kind!r}")
            kinds.append(check_name(f"kinds[{position}]", kind))
        if len(set(kinds)) < len(kinds):
            raise UsageError("kinds: expected each kind once")
        capacity = request.get("capacity")
        if capacity is not None:
            capacity = _whole(capacity, "capacity", CAPACITY_MAX)
        return cls(tuple(sorted(kinds)), capacity)


@attrs.frozen
class Said:
    """What a process reports of one copy; None is what it does not speak of."""

    state: InstanceState | None
    progress: int | None
    checkpoint: bytes | None
    endpoint: str | None
    cause: str | None

    @classmethod
    def read(cls, request: Mapping[str, object]) -> Self:
        """Return the report, all of it checked; raise `UsageError`."""
        state = request.get("state")
        if state is not None and (not isinstance(state, str) or state not in REPORTED):
            raise UsageError(f"state: expected one of {', '.join(REPORTED)}, got {state!r}")
        progress = request.get("progress")
        said = cls(
            state=None if state is None else REPORTED[state],
            progress=None if progress is None else _whole(progress, "progress", PROGRESS_MAX),
            checkpoint=_checkpoint(request.get("checkpoint")),
            endpoint=_endpoint(request.get("endpoint")),
            cause=_cause(request.get("cause")),
        )
        if all(each is None for each in attrs.astuple(said)):
            raise UsageError("state: expected at least one of state, progress, checkpoint, endpoint and cause")
        return said


def copy_in(request: Mapping[str, object]) -> tuple[InstanceId, int]:
    """Return the copy that a request is of: instance and epoch."""
    return instance_in(request, "instance"), _whole(request.get("epoch"), "epoch", EPOCH_MAX)


def instance_in(request: Mapping[str, object], field: str) -> InstanceId:
    """Return an instance; raise `UsageError`."""
    value = request.get(field)
    if not isinstance(value, str):
        raise UsageError(f"{field}: expected 'job/operator[index]', got {value!r}")
    return InstanceId.parse(value, field=field)


def wait_in(request: Mapping[str, object]) -> tuple[bool, Address | None]:
    """Return whether to wait for an address, and which one is not meant."""
    wait, other_than = request.get("wait", False), request.get("other_than")
    if not isinstance(wait, bool):
        raise UsageError(f"wait: expected true or false, got {wait!r}")
    if other_than is None:
        return wait, None
    if not wait:
        raise UsageError("other_than: expected together with wait = true only")
    if not isinstance(other_than, str):
        raise UsageError(f"other_than: expected 'host:port', got {other_than!r}")
    return wait, Address.parse(other_than, field="other_than")


def _whole(value: object, field: str, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= high:
        raise UsageError(f"{field}: expected an integer from 0 to {high}, got {value!r}")
    return value


def _checkpoint(value: object) -> bytes | None:
    if value is None:
        return None
    words = f"checkpoint: expected at most {CHECKPOINT_BYTES_MAX} bytes, two hexadecimal digits each"
    if not isinstance(value, str):
        raise UsageError(f"{words}, got {value!r}")
    try:
        handle = bytes.fromhex(value)
    except ValueError:
        raise UsageError(f"{words}, got {value!r}") from None
    if 2 * len(handle) != len(value):  # Python would skip spaces
        raise UsageError(f"{words} and nothing between them")
    if len(handle) > CHECKPOINT_BYTES_MAX:
        raise UsageError(f"{words} (a name or an offset, not the data), got {len(handle)} bytes")
    return handle


def _endpoint(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not ENDPOINT_PATTERN.fullmatch(value):
        raise UsageError(f"endpoint: expected 'host:port' in at most {ENDPOINT_CHARS_MAX} characters, got {value!r}")
    if not Address.parse(value, field="endpoint").port:
        raise UsageError(f"endpoint: expected a port from 1 to 65535, got {value!r}")
    return value


def _cause(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise UsageError(f"cause: expected text, got {value!r}")
    shown = "".join(each if each.isprintable() else " " for each in value[:1_000])
    return cut_cause(" ".join(shown.split()))
