"""Verbs of the control port that change nothing: explain, what-if and dry-run; `control.py` describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.errors import UsageError
from swimstream.job_file import job_from_table
from swimstream.runtime.control_json import decision_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from swimstream.core.explaining import Explanation
    from swimstream.core.recovery.candidates import Rated
    from swimstream.core.supposing import Move, Outcome
    from swimstream.runtime.control_json import JsonTable
    from swimstream.runtime.control_talk import Request
    from swimstream.runtime.controlled import Controlled

CANDIDATES_MAX = 64
"""So many workers are told of one instance: the best, and those after them."""


async def _explain(worker: Controlled, request: Request) -> JsonTable:
    instance = request.get("instance")
    if not isinstance(instance, str):
        raise UsageError(f"instance: expected 'job/operator[index]', got {instance!r}")
    return explanation_json(worker.explain(instance))


async def _what_if(worker: Controlled, request: Request) -> JsonTable:
    kill, site = request.get("kill", []), request.get("site", "")
    if not isinstance(kill, list) or not all(isinstance(name, str) for name in kill):
        raise UsageError(f"kill: expected a list of names of workers, got {kill!r}")
    if not isinstance(site, str):
        raise UsageError(f"site: expected text, got {site!r}")
    return outcome_json(worker.what_if(kill=kill, site=site))


async def _dry_run(worker: Controlled, request: Request) -> JsonTable:
    outcome = worker.dry_run(job_from_table(request.get("job"), where="job"))
    return outcome_json(outcome) | {"change": outcome.change}


EXPLAIN: Mapping[str, Callable[[Controlled, Request], Awaitable[JsonTable]]] = {
    "explain": _explain,
    "what-if": _what_if,
    "dry-run": _dry_run,
}


def explanation_json(told: Explanation) -> JsonTable:
    """Return an explanation; times and numbers of its status are those of the verb `operators`."""
    status = told.status
    return {
        "instance": str(told.instance),
        "version": told.version,
        "guarantee": told.guarantee,
        "state": told.state,
        "worker": told.run.name if told.run is not None else "",
        "boot": told.run.boot if told.run is not None else 0,
        "epoch": told.epoch,
        "since_ms": status.since_ms if status is not None else 0,
        "progress": status.progress if status is not None else 0,
        "cause": status.cause if status is not None else "",
        "decision": decision_json(told.decision) if told.decision is not None else None,
        "standbys": [run.name for run in told.standbys],
        "waits_for": told.waits_for,
        "candidates": [_rated_json(each) for each in told.candidates[:CANDIDATES_MAX]],
        "candidates_more": max(0, len(told.candidates) - CANDIDATES_MAX),
        "history": [decision_json(each) for each in told.history],
    }


def _rated_json(rated: Rated) -> JsonTable:
    return {"worker": rated.run.name, "boot": rated.run.boot, "able": rated.score is not None, "why": rated.why}


def outcome_json(outcome: Outcome) -> JsonTable:
    """Return where things would come to rest."""
    return {
        "moves": [_move_json(each) for each in outcome.moves],
        "pending": [{"instance": str(which), "why": why} for which, why in outcome.pending],
        "council": {"seats": outcome.seats, "left": outcome.seats_left, "able": outcome.is_able},
    }


def _move_json(move: Move) -> JsonTable:
    return {
        "instance": str(move.instance),
        "from": move.before.name if move.before is not None else "",
        "to": move.after.name,
        "reason": move.reason,
        "evidence": list(move.evidence),
    }
