"""Verbs of the control port about the council; `control.py` describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from swimstream.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from swimstream.model.council import CouncilReport, CouncilSeat
    from swimstream.runtime.control_json import JsonTable
    from swimstream.runtime.control_talk import Request
    from swimstream.runtime.controlled import Controlled

COMMITTED_S = 60.0
"""How long a command waits for a leader; then the one who asked should look whether there can be any."""


async def _council(worker: Controlled, _request: Request) -> JsonTable:
    return council_json(await worker.council())


async def _resize(worker: Controlled, request: Request) -> JsonTable:
    with trio.move_on_after(COMMITTED_S):
        await worker.resize_council(request.get("seats"))  # type: ignore[arg-type]  # it is checked there
        return {}
    raise UsageError(
        f"council: no leader has committed that within {COMMITTED_S:g} s; it is asked for on, until this worker stops"
    )


async def _transfer(worker: Controlled, request: Request) -> JsonTable:
    await worker.transfer_leadership(_text(request, "name"))
    return {}


async def _recover(worker: Controlled, request: Request) -> JsonTable:
    await worker.recover_council(parse_cluster_id(_text(request, "cluster")))
    return {}


COUNCIL: Mapping[str, Callable[[Controlled, Request], Awaitable[JsonTable]]] = {
    "council": _council,
    "council-resize": _resize,
    "council-transfer": _transfer,
    "council-recover": _recover,
}


def parse_cluster_id(text: str) -> int:
    """Return the id that `text` writes in 1 to 16 hexadecimal digits; raise `UsageError` otherwise."""
    if not 1 <= len(text) <= 16 or not set(text.lower()) <= set("0123456789abcdef"):
        raise UsageError(f"cluster: expected the cluster's id in hexadecimal digits, got {text!r}")
    return int(text, 16)


def council_json(report: CouncilReport) -> JsonTable:
    """Return the council with its seats; `cluster` is the id as people write it."""
    return {
        "cluster_id": report.cluster_id,
        "cluster": f"{report.cluster_id:016x}",
        "leader": report.leader,
        "term": report.term,
        "index": report.index,
        "last_index": report.last_index,
        "seats_wanted": report.seats_wanted,
        "majority": report.majority,
        "isolation_s": report.isolation_s,
        "able": report.is_able,
        "seats": [_seat_json(seat, report.lag_of(seat)) for seat in report.seats],
    }


def _seat_json(seat: CouncilSeat, lag: int | None) -> JsonTable:
    standing = seat.standing
    said: JsonTable | None = None
    if standing is not None:
        said = {
            "role": standing.role,
            "term": standing.term,
            "last_index": standing.last_index,
            "commit": standing.commit,
            "authority_age_s": standing.authority_age_s,
        }
    return {
        "name": seat.name,
        "site": seat.site,
        "state": seat.state.name.lower() if seat.state is not None else "unknown",
        "has_memory": seat.has_memory,
        "is_older": seat.is_older,
        "lag": lag,
        "standing": said,
    }


def _text(request: Request, field: str) -> str:
    value = request.get(field)
    if not isinstance(value, str):
        raise UsageError(f"{field}: expected text, got {value!r}")
    return value
