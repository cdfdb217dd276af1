"""One check for each sort of field: the value itself if it is what the field may hold, else `WireError`.

By hand and without a schema library: a small packet is checked in a few microseconds, and what each field
accepts can be read where it is decoded. A bool is never taken for an integer.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TypeVar

from swimstream.errors import WireError
from swimstream.model.changes import EVIDENCE_ITEMS_MAX
from swimstream.model.identity import NAME_PATTERN, Address, InstanceId, Run
from swimstream.model.job import PARALLELISM_MAX
from swimstream.model.member import MemberState
from swimstream.model.status import CHECKPOINT_BYTES_MAX, ENDPOINT_CHARS_MAX, ENDPOINT_PATTERN
from swimstream.model.talk import TOPIC_PATTERN

INT_MAX = 2**63 - 1
HASH_MAX = 2**64 - 1
HOST_CHARS_MAX = 253
REASON_BYTES_MAX = 1_024
"""Limit of a reason, of each item of evidence, and of a line of history."""

Key = TypeVar("Key", str, InstanceId, Run)

_LABELS_PATTERN = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*")
_OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_V4_PATTERN = re.compile(rf"{_OCTET}(\.{_OCTET}){{3}}")
_V6_PATTERN = re.compile(r"[0-9A-Fa-f:.]{2,45}(%[A-Za-z0-9._-]{1,15})?")


def integer(value: object, field: str, *, low: int = 0, high: int = INT_MAX) -> int:
    """Return `value` if it is an integer from `low` to `high`."""
    if type(value) is int and low <= value <= high:
        return value
    raise _refusal(value, field, f"an integer from {low} to {high}")


def boolean(value: object, field: str) -> bool:
    """Return `value` if it is true or false."""
    if value is True or value is False:
        return value
    raise _refusal(value, field, "a boolean")


def name(value: object, field: str) -> str:
    """Return `value` if it is a legal name of a worker, site, job, operator or kind."""
    if type(value) is str and NAME_PATTERN.fullmatch(value):
        return value
    raise _refusal(value, field, "a name")


def name_or_empty(value: object, field: str) -> str:
    """Return `value` if it is a legal name or the empty text."""
    return "" if value == "" else name(value, field)


def text(value: object, field: str, *, bytes_max: int) -> str:
    """Return `value` if it is text of at most `bytes_max` bytes of UTF-8."""
    if type(value) is str and len(value) <= bytes_max and len(value.encode()) <= bytes_max:
        return value
    raise _refusal(value, field, f"text of at most {bytes_max} bytes")


def endpoint(value: object, field: str) -> str:
    """Return `value` if it is visible ASCII of at most `ENDPOINT_CHARS_MAX`, or empty."""
    if type(value) is str and ENDPOINT_PATTERN.fullmatch(value):
        return value
    raise _refusal(value, field, f"at most {ENDPOINT_CHARS_MAX} visible ASCII characters")


def topic(value: object, field: str) -> str:
    """Return `value` if it is a topic: a name, or one of the library's own with an underscore before it."""
    if type(value) is str and TOPIC_PATTERN.fullmatch(value):
        return value
    raise _refusal(value, field, "a topic")


def payload(value: object, field: str, *, bytes_max: int) -> bytes:
    """Return `value` if it is at most so many bytes."""
    if type(value) is bytes and len(value) <= bytes_max:
        return value
    raise _refusal(value, field, f"at most {bytes_max} bytes")


def checkpoint(value: object, field: str) -> bytes:
    """Return `value` if it is a resume handle: at most `CHECKPOINT_BYTES_MAX` bytes."""
    return payload(value, field, bytes_max=CHECKPOINT_BYTES_MAX)


def items(value: object, field: str, *, low: int = 0, high: int) -> list[object]:
    """Return `value` if it is an array of `low` to `high` items."""
    if type(value) is list and low <= len(value) <= high:
        return value
    raise _refusal(value, field, f"an array of {low} to {high} items")


def record(value: object, field: str, *, length: int) -> list[object]:
    """Return `value` if it is an array of at least `length` items; newer peers may append to it."""
    if type(value) is list and len(value) >= length:
        return value
    raise _refusal(value, field, f"an array of {length} items or more")


def names(value: object, field: str, *, high: int) -> tuple[str, ...]:
    """Return the names of an array in which none comes twice."""
    found = tuple(name(each, field) for each in items(value, field, high=high))
    unique(found, field)
    return found


def unique(keys: tuple[object, ...], field: str) -> None:
    """Raise `WireError` if one of `keys` comes twice."""
    if len(set(keys)) < len(keys):
        raise WireError(f"{field}: expected no name twice")


def exactly(value: object, field: str, length: int) -> list[object]:
    """Return `value` if it is an array of `length` items."""
    return items(value, field, low=length, high=length)


def one_of_lengths(value: object, field: str, shortest: int, *longer: int) -> tuple[list[object], list[object]]:
    """Return the first `shortest` items of an array of one of these lengths, and the rest."""
    found = items(value, field, low=shortest, high=max(longer))
    if len(found) not in (shortest, *longer):
        raise WireError(f"{field}: expected an array of {shortest}, {', '.join(map(str, longer))} items")
    return found[:shortest], found[shortest:]


def ascending(keys: list[Key], field: str) -> None:
    """Raise `WireError` unless `keys` rise, so that none comes twice."""
    if keys != sorted(set(keys)):
        raise WireError(f"{field}: expected rising keys, none twice")


def evidence(value: object, field: str) -> tuple[str, ...]:
    """Return the lines of evidence of an array."""
    lines = items(value, field, high=EVIDENCE_ITEMS_MAX)
    return tuple(text(line, field, bytes_max=REASON_BYTES_MAX) for line in lines)


def run(label: object, boot: object, field: str) -> Run:
    """Return the run of that name and boot."""
    return Run(name(label, field), integer(boot, field))


def instance(job: object, operator: object, index: object, field: str) -> InstanceId:
    """Return the instance of that job, operator and index."""
    return InstanceId(name(job, field), name(operator, field), integer(index, field, high=PARALLELISM_MAX - 1))


def address(host: object, port: object, field: str) -> Address:
    """Return the address of an IP literal or host name and a port that can be sent to."""
    if type(host) is not str or not _is_host(host):
        raise _refusal(host, field, "an IP literal or a host name")
    return Address(host, integer(port, field, low=1, high=65_535))


def member_state(value: object, field: str, *, low: MemberState = MemberState.ALIVE) -> MemberState:
    """Return the member state of that number, `low` or worse."""
    return MemberState(integer(value, field, low=low, high=MemberState.LEFT))


def _is_host(host: str) -> bool:
    if len(host) > HOST_CHARS_MAX:
        return False
    if _V4_PATTERN.fullmatch(host):
        return True
    if ":" not in host:
        # Resolvers read a name that ends in a number as a short or octal IPv4 literal.
        return not host.rpartition(".")[2].isdigit() and _LABELS_PATTERN.fullmatch(host) is not None
    if _V6_PATTERN.fullmatch(host) is None:
        return False
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def _refusal(value: object, field: str, expected: str) -> WireError:
    """Return the error to raise; it tells the value itself only where that is short."""
    got = str(value) if type(value) in (int, bool) else type(value).__name__
    return WireError(f"{field}: expected {expected}, got {got}")
