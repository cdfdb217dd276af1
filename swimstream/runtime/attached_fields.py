"""Fields of the requests of an attached process: each fault is a `UsageError` that begins with the field's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import attrs

from swimstream.errors import UsageError
from swimstream.model.identity import Address, InstanceId, check_name
from swimstream.model.job import STALL_AFTER_S_MAX
from swimstream.model.member import CAPACITY_MAX, KINDS_MAX
from swimstream.model.status import (
    CHECKPOINT_BYTES_MAX,
    ENDPOINT_CHARS_MAX,
    ENDPOINT_PATTERN,
    PROGRESS_MAX,
    ErrorClass,
    InstanceState,
    cut_cause,
)
from swimstream.runtime.ticks import FROZEN_AFTER_S_MAX, FROZEN_AFTER_S_MIN

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
ERRORS = {each.name.lower(): each for each in ErrorClass}


@attrs.frozen
class Wish:
    """What a process attaches with."""

    kinds: tuple[str, ...]
    capacity: int | None
    """None: as the peer was configured."""
    frozen_after_s: float | None
    """Without a tick for so long its copies are FROZEN; None: it does not promise to tick."""

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
        frozen_after_s = request.get("frozen_after_s")
        if frozen_after_s is not None:
            frozen_after_s = _seconds(frozen_after_s, "frozen_after_s", FROZEN_AFTER_S_MIN, FROZEN_AFTER_S_MAX)
        return cls(tuple(sorted(kinds)), capacity, frozen_after_s)


@attrs.frozen
class Said:
    """What a process reports of one copy; None is what it does not speak of."""

    state: InstanceState | None
    progress: int | None
    checkpoint: bytes | None
    endpoint: str | None
    cause: str | None
    error: ErrorClass | None
    watermark_ms: int | None
    backlog: int | None
    busy_s: float | None
    """From now on it may make no progress for so long."""
    backpressured: bool | None

    @classmethod
    def read(cls, request: Mapping[str, object]) -> Self:
        """Return the report, all of it checked; raise `UsageError`."""
        state = request.get("state")
        if state is not None and (not isinstance(state, str) or state not in REPORTED):
            raise UsageError(f"state: expected one of {', '.join(REPORTED)}, got {state!r}")
        busy_s = request.get("busy_s")
        said = cls(
            state=None if state is None else REPORTED[state],
            progress=_count(request, "progress"),
            checkpoint=_checkpoint(request.get("checkpoint")),
            endpoint=_endpoint(request.get("endpoint")),
            cause=_cause(request.get("cause")),
            error=_error(request.get("error"), state),
            watermark_ms=_count(request, "watermark_ms"),
            backlog=_count(request, "backlog"),
            busy_s=None if busy_s is None else _seconds(busy_s, "busy_s", 0, STALL_AFTER_S_MAX),
            backpressured=_flag(request.get("backpressured"), "backpressured"),
        )
        if all(each is None for each in attrs.astuple(said)):
            raise UsageError(f"state: expected at least one of {', '.join(each.name for each in attrs.fields(cls))}")
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


def _count(request: Mapping[str, object], field: str) -> int | None:
    value = request.get(field)
    return None if value is None else _whole(value, field, PROGRESS_MAX)


def _seconds(value: object, field: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise UsageError(f"{field}: expected a number from {low:g} to {high:.0f}, got {value!r}")
    return value


def _flag(value: object, field: str) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise UsageError(f"{field}: expected true or false, got {value!r}")
    return value


def _error(value: object, state: str | None) -> ErrorClass | None:
    if value is None:
        return None
    if not isinstance(value, str) or value not in ERRORS:
        raise UsageError(f"error: expected one of {', '.join(ERRORS)}, got {value!r}")
    if state != "failed":
        raise UsageError("error: expected together with state = failed only")
    return ERRORS[value]


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
