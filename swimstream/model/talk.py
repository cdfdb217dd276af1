"""What applications say to each other through their workers: tags, broadcasts, messages and queries."""

from __future__ import annotations

import re
from collections.abc import Mapping

import attrs

from swimstream.errors import UsageError
from swimstream.model.identity import NAME_PATTERN, Run

TAG_KEYS_MAX = 64
"""Different keys that one run may ever use, removed ones included."""
TAG_VALUE_BYTES_MAX = 512
TAGS_BYTES_MAX = 4_096
"""Keys and values of one worker together, UTF-8."""
SHORT_PAYLOAD_BYTES_MAX = 512
"""Payload of what rides on gossip: broadcasts and queries."""
PAYLOAD_BYTES_MAX = 65_536
"""Payload of what goes straight to one worker: messages, and answers to queries."""
QUERY_NAMES_MAX = 16
PATIENCE_MS_MAX = 600_000
TOPIC_PATTERN = re.compile(r"_?" + NAME_PATTERN.pattern)
"""Topics of the library itself begin with an underscore."""


def check_topic(field: str, value: object) -> str:
    """Return `value` if an application may use it as a topic: a name; else raise `UsageError`."""
    if not isinstance(value, str) or not NAME_PATTERN.fullmatch(value):
        raise UsageError(f"{field}: expected 1 to 64 letters, digits, '.', '_' or '-', got {value!r}")
    return value


def check_payload(field: str, value: object, *, bytes_max: int) -> bytes:
    """Return `value` if it is at most so many bytes; else raise `UsageError`."""
    if not isinstance(value, bytes):
        raise UsageError(f"{field}: expected bytes, got {type(value).__name__}")
    if len(value) > bytes_max:
        raise UsageError(f"{field}: expected at most {bytes_max} B, got {len(value)} B")
    return value


@attrs.frozen(kw_only=True)
class Question:
    """One query as it was asked. `origin` and `number` name it."""

    origin: Run
    number: int
    topic: str
    payload: bytes = b""
    patience_ms: int = 5_000
    """How long the asker waits for answers, from when it asked."""
    names: tuple[str, ...] = ()
    """Workers that are asked, sorted; empty: all."""
    tag: tuple[str, str] | None = None
    """Only workers whose tag of that key has that value are asked."""


@attrs.frozen(kw_only=True)
class QueryResult:
    """What came back by the time the asker stopped waiting."""

    answers: Mapping[str, bytes]
    """Worker → what it answered; by name."""
    silent: tuple[str, ...]
    """Live members that were asked and have not answered, sorted."""
    away: tuple[str, ...]
    """Members that were asked for but are held dead, sorted."""
