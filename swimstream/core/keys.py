"""Changes of the cluster's keys: asked of every worker by a query, done by each for itself (Serf's key rotation).

The question is `[what, argument]`, the answer `[why not, ids]` in CBOR; the argument of an installation is the key
itself, so such a question must never travel unsealed, and cannot: who has no keys does not ask, and nobody
without a key of the cluster can.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.effects import StoreKeys
from swimstream.errors import UsageError, WireError
from swimstream.model.keys import KeyChange, KeysReport
from swimstream.wire import checks
from swimstream.wire.cbor import decode_item_untrusted, encode_item
from swimstream.wire.keyring import KEY_BYTES, KEY_ID_BYTES, KEYS_MAX

if TYPE_CHECKING:
    from collections import Counter

    from swimstream.core.outbox import Outbox
    from swimstream.model.identity import Run
    from swimstream.model.talk import QueryResult, Question
    from swimstream.wire.keyring import KeyRing

ERROR_BYTES_MAX = 512


class KeyService:
    """What one worker does when the cluster's keys are changed. `ring` is None for a worker without keys."""

    def __init__(self, ring: KeyRing | None, outbox: Outbox, *, counters: Counter[str]) -> None:
        """Serve `ring`."""
        self._ring = ring
        self._outbox = outbox
        self._counters = counters

    def answer(self, question: Question, _sender: Run, _now: float) -> bytes:
        """Do what is asked; return the answer. A changed ring is stored before the answer leaves."""
        ring = self._ring
        if ring is None:
            return encode_item(["this worker has no keys: it talks unsealed", []])
        version, error = ring.version, ""
        try:
            _apply(ring, question.payload)
        except (UsageError, WireError) as refusal:
            error = str(refusal)
        if ring.version != version:
            self._counters["key_changes"] += 1
            self._outbox.put(StoreKeys(ring.keys))
        return encode_item([error, list(ring.ids)])


def _apply(ring: KeyRing, payload: bytes) -> None:
    what, argument, *_ = checks.record(decode_item_untrusted(payload), "keys", length=2)
    match what:
        case KeyChange.LIST.value:
            pass
        case KeyChange.INSTALL.value:
            ring.install(_sized(argument, KEY_BYTES))
        case KeyChange.USE.value:
            ring.use(_sized(argument, KEY_ID_BYTES))
        case KeyChange.REMOVE.value:
            ring.remove(_sized(argument, KEY_ID_BYTES))
        case _:
            raise UsageError(f"keys: expected one of {', '.join(each.value for each in KeyChange)}")


def _sized(argument: object, size: int) -> bytes:
    argument = checks.payload(argument, "keys", bytes_max=size)
    if len(argument) != size:
        raise UsageError(f"key: expected {size} bytes, got {len(argument)}")
    return argument


def ask_item(change: KeyChange, argument: bytes) -> bytes:
    """Return the payload that asks for a change: the argument is a key to install, or the id of another change's."""
    return encode_item([change.value, argument])


def report_of(result: QueryResult) -> KeysReport:
    """Return what the answers to such a question say; an answer that makes no sense counts as a refusal."""
    keys: dict[str, tuple[str, ...]] = {}
    refused: dict[str, str] = {}
    for worker, payload in result.answers.items():
        try:
            error, ids = _read_answer(payload)
        except WireError as fault:
            error, ids = str(fault), ()
        if error:
            refused[worker] = error
        if ids:
            keys[worker] = ids
    return KeysReport(keys=keys, refused=refused, silent=result.silent, away=result.away)


def _read_answer(payload: bytes) -> tuple[str, tuple[str, ...]]:
    error, ids, *_ = checks.record(decode_item_untrusted(payload), "keys", length=2)
    held = checks.items(ids, "keys.ids", high=KEYS_MAX)
    return (
        checks.text(error, "keys.error", bytes_max=ERROR_BYTES_MAX),
        tuple(checks.payload(each, "keys.ids", bytes_max=KEY_ID_BYTES).hex() for each in held),
    )
