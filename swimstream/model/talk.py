"""What applications say to each other through their workers: tags, broadcasts, messages and queries."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

import attrs

from swimstream.errors import UsageError
from swimstream.model.identity import NAME_PATTERN, Run, check_name

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
PING_TOPIC = "_ping"
"""Answered by every worker itself, with nothing: who answers can be reached both ways."""


def check_topic(field: str, value: object) -> str:
    """Return `value` if an application may use it as a topic: a name; else raise `UsageError`."""
    if not isinstance(value, str):
        raise UsageError(f"{field}: expected a name, got {value!r}")
    return check_name(field, value)


def check_payload(field: str, value: object, *, bytes_max: int) -> bytes:
    """Return `value` if it is at most so many bytes; else raise `UsageError`."""
    if not isinstance(value, bytes):
        raise UsageError(f"{field}: expected bytes, got {type(value).__name__}")
    if len(value) > bytes_max:
        raise UsageError(f"{field}: expected at most {bytes_max} B, got {len(value)} B")
    return value


def check_tags(field: str, value: object) -> dict[str, str]:
    """Return `value` if it is a mapping of names to short texts that a worker may have as tags; else `UsageError`."""
    if not isinstance(value, Mapping):
        raise UsageError(f"{field}: expected a table of texts, got {value!r}")
    for key in value:
        check_tag(f"{field}.{key}", key, value[key])
    tags = {key: str(value[key]) for key in sorted(value)}
    if len(tags) > TAG_KEYS_MAX:
        raise UsageError(f"{field}: expected at most {TAG_KEYS_MAX}, got {len(tags)}")
    size = sum(len(key) + len(text.encode()) for key, text in tags.items())
    if size > TAGS_BYTES_MAX:
        raise UsageError(f"{field}: expected keys and values of at most {TAGS_BYTES_MAX} B together, got {size} B")
    return tags


def check_tag(field: str, key: object, value: object) -> None:
    """Raise `UsageError` unless `key` is a name and `value` a short text."""
    if not isinstance(key, str):
        raise UsageError(f"{field}: expected text as a key, got {key!r}")
    check_name(field, key)
    if not isinstance(value, str):
        raise UsageError(f"{field}: expected text, got {value!r}")
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise UsageError(f"{field}: expected text that UTF-8 can hold, got {value!r}") from None
    if size > TAG_VALUE_BYTES_MAX:
        raise UsageError(f"{field}: expected at most {TAG_VALUE_BYTES_MAX} B, got {size} B")


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


# --- what an application asks of its worker; each is checked when it is built ---------------------------------


def _check_topic(_: object, attribute: attrs.Attribute[str], value: object) -> None:
    check_topic(attribute.name, value)


def _check_any_topic(_: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str) or not TOPIC_PATTERN.fullmatch(value):
        check_topic(attribute.name, value)


def _check_payload(bytes_max: int) -> Callable[[object, attrs.Attribute[bytes], bytes], None]:
    def check(_: object, attribute: attrs.Attribute[bytes], value: object) -> None:
        check_payload(attribute.name, value, bytes_max=bytes_max)

    return check


def _check_name(_: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str):
        raise UsageError(f"{attribute.name}: expected text, got {value!r}")
    check_name(attribute.name, value)


def _check_changes(_: object, attribute: attrs.Attribute[Mapping[str, str | None]], value: object) -> None:
    if not isinstance(value, Mapping):
        raise UsageError(f"{attribute.name}: expected a table of texts, got {value!r}")
    for key in value:
        check_tag(f"{attribute.name}.{key}", key, "" if value[key] is None else value[key])


def _copied(value: object) -> object:
    """Return a copy that the caller cannot change any more; what is no mapping is for the validator to refuse."""
    return dict(value) if isinstance(value, Mapping) else value


def _check_names(_: object, attribute: attrs.Attribute[tuple[str, ...]], value: tuple[str, ...]) -> None:
    for name in value:
        check_name(attribute.name, name)
    if len(value) > QUERY_NAMES_MAX:
        raise UsageError(f"{attribute.name}: expected at most {QUERY_NAMES_MAX}, got {len(value)}")


def _check_tag_filter(_: object, attribute: attrs.Attribute[tuple[str, str] | None], value: object) -> None:
    if value is None:
        return
    if not isinstance(value, tuple) or len(value) != 2:
        raise UsageError(f"{attribute.name}: expected a key and a value, got {value!r}")
    check_tag(attribute.name, value[0], value[1])


def _check_patience(_: object, attribute: attrs.Attribute[float], value: object) -> None:
    highest_s = PATIENCE_MS_MAX / 1_000
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.001 <= value <= highest_s:
        raise UsageError(f"{attribute.name}: expected 0.001 to {highest_s:g} s, got {value!r}")


def _check_question(_: object, attribute: attrs.Attribute[Question], value: object) -> None:
    if not isinstance(value, Question):
        raise UsageError(f"{attribute.name}: expected the question of a QueryReceived, got {value!r}")


def _sorted_names(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise UsageError(f"names: expected a list of names of workers, got {value!r}")
    names = tuple(value)
    if not all(isinstance(name, str) for name in names):
        raise UsageError(f"names: expected a list of names of workers, got {names!r}")
    return tuple(sorted(set(names)))


@attrs.frozen
class SetTags:
    """Change the worker's own tags: each key gets that value, or with None goes away."""

    changes: Mapping[str, str | None] = attrs.field(converter=_copied, validator=_check_changes)


@attrs.frozen
class Say:
    """Tell every application of the cluster something."""

    topic: str = attrs.field(validator=_check_topic)
    payload: bytes = attrs.field(validator=_check_payload(SHORT_PAYLOAD_BYTES_MAX))


@attrs.frozen
class Send:
    """Send one worker something."""

    to: str = attrs.field(validator=_check_name)
    topic: str = attrs.field(validator=_check_topic)
    payload: bytes = attrs.field(validator=_check_payload(PAYLOAD_BYTES_MAX))


@attrs.frozen(kw_only=True)
class Ask:
    """Ask every worker something, or those of some names, or with some tag; wait so long for answers.

    A topic of the library's own, which begins with an underscore, is answered without asking the applications.
    """

    topic: str = attrs.field(validator=_check_any_topic)
    payload: bytes = attrs.field(default=b"", validator=_check_payload(SHORT_PAYLOAD_BYTES_MAX))
    names: tuple[str, ...] = attrs.field(default=(), converter=_sorted_names, validator=_check_names)
    tag: tuple[str, str] | None = attrs.field(default=None, validator=_check_tag_filter)
    patience_s: float = attrs.field(default=5.0, validator=_check_patience)


@attrs.frozen
class AnswerTo:
    """Answer a question that this worker was asked."""

    question: Question = attrs.field(validator=_check_question)
    payload: bytes = attrs.field(validator=_check_payload(PAYLOAD_BYTES_MAX))


Utterance = SetTags | Say | Send | Ask | AnswerTo
