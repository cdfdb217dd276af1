"""Verbs of the control port by which a program speaks through a worker; `control.py` describes them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from swimstream.errors import UsageError
from swimstream.model.keys import KeyChange

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from swimstream.model.talk import QueryResult
    from swimstream.runtime.control_json import Json, JsonTable
    from swimstream.runtime.controlled import Controlled

Request = dict[str, object]


async def _set_tags(worker: Controlled, request: Request) -> JsonTable:
    changes = request.get("changes")
    await worker.set_tags(changes)  # type: ignore[arg-type]  # it is checked there, with every field named
    return {}


async def _broadcast(worker: Controlled, request: Request) -> JsonTable:
    await worker.broadcast(_text(request, "topic"), _payload(request))
    return {}


async def _send(worker: Controlled, request: Request) -> JsonTable:
    await worker.send(_text(request, "to"), _text(request, "topic"), _payload(request))
    return {}


async def _query(worker: Controlled, request: Request) -> JsonTable:
    patience_s = request.get("patience_s", 5.0)
    names, tag = request.get("names", []), request.get("tag")
    if tag is not None and not isinstance(tag, list):
        raise UsageError(f"tag: expected a list of a key and a value, got {tag!r}")
    asked = worker.query(
        _text(request, "topic"),
        _payload(request),
        names=names,  # type: ignore[arg-type]  # it is checked there, with every field named
        tag=None if tag is None else tuple(tag),
        patience_s=patience_s,  # type: ignore[arg-type]  # likewise
    )
    return query_json(await asked)


async def _ping(worker: Controlled, request: Request) -> JsonTable:
    names, patience_s = request.get("names", []), request.get("patience_s", 5.0)
    return query_json(await worker.ping(names=names, patience_s=patience_s))  # type: ignore[arg-type]  # checked there


async def _logs(worker: Controlled, request: Request) -> JsonTable:
    page = await worker.logs(
        _text(request, "instance"),
        worker=_text({"worker": "", **request}, "worker"),
        start=request.get("start"),  # type: ignore[arg-type]  # it is checked there, with every field named
        tail=request.get("tail", 100),  # type: ignore[arg-type]  # likewise
        patience_s=request.get("patience_s", 5.0),  # type: ignore[arg-type]  # likewise
    )
    return {
        "instance": str(page.instance),
        "worker": page.worker,
        "former": list(page.former),
        "finished": page.is_finished,
        "epoch": page.kept.epoch,
        "running": page.kept.is_running,
        "start": page.kept.start,
        "next": page.kept.start + len(page.kept.data),
        "end": page.kept.end,
        "begun": page.kept.begun,
        "data": page.kept.data.hex(),
        "text": page.kept.data.decode(errors="replace"),
    }


async def _remove(worker: Controlled, request: Request) -> JsonTable:
    await worker.remove(_text(request, "name"))
    return {}


async def _keys(worker: Controlled, request: Request) -> JsonTable:
    change, force = request.get("change", "list"), request.get("force", False)
    if not isinstance(force, bool):
        raise UsageError(f"force: expected true or false, got {force!r}")
    match change:
        case "list":
            report = await worker.keys()
        case "install":
            report = await worker.install_key(_text(request, "key"))
        case "use":
            report = await worker.use_key(_text(request, "key"), force=force)
        case "remove":
            report = await worker.remove_key(_text(request, "key"), force=force)
        case _:
            known = ", ".join(each.value for each in KeyChange)
            raise UsageError(f"change: expected one of {known}, got {change!r}")
    return {
        "complete": report.is_complete,
        "keys": {worker: list(held) for worker, held in sorted(report.keys.items())},
        "refused": dict(sorted(report.refused.items())),
        "silent": list(report.silent),
        "away": list(report.away),
    }


TALK: Mapping[str, Callable[[Controlled, Request], Awaitable[JsonTable]]] = {
    "set-tags": _set_tags,
    "broadcast": _broadcast,
    "send": _send,
    "query": _query,
    "ping": _ping,
    "logs": _logs,
    "remove": _remove,
    "keys": _keys,
}


def tags_json(tags: Mapping[str, str]) -> JsonTable:
    """Return the tags of one worker."""
    return dict(tags)


def query_json(result: QueryResult) -> JsonTable:
    """Return what came back on a question; `text` only where an answer is text."""
    answers: list[Json] = []
    for name, payload in result.answers.items():
        row: JsonTable = {"worker": name, "payload": payload.hex()}
        with contextlib.suppress(UnicodeDecodeError):
            row["text"] = payload.decode()
        answers.append(row)
    return {"answers": answers, "silent": list(result.silent), "away": list(result.away)}


def _text(request: Request, field: str) -> str:
    value = request.get(field)
    if not isinstance(value, str):
        raise UsageError(f"{field}: expected text, got {value!r}")
    return value


def _payload(request: Request) -> bytes:
    """Return the payload of a request: `payload` is text, `payload_hex` anything."""
    if "payload_hex" not in request:
        try:
            return _text({"payload": "", **request}, "payload").encode()
        except UnicodeEncodeError:
            raise UsageError("payload: expected text that UTF-8 can hold; payload_hex takes anything") from None
    try:
        return bytes.fromhex(_text(request, "payload_hex"))
    except ValueError as error:
        raise UsageError(f"payload_hex: expected hexadecimal digits: {error}") from None
