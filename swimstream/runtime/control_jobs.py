"""Verbs of the control port about jobs, and about which workers run them; `control.py` describes them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from swimstream.errors import UsageError
from swimstream.job_file import job_from_table
from swimstream.model.talk import PATIENCE_MS_MAX
from swimstream.runtime.control_json import job_json, jobs_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from swimstream.core.job_status import InstanceStanding
    from swimstream.runtime.control_json import JsonTable
    from swimstream.runtime.control_talk import Request
    from swimstream.runtime.controlled import Controlled
    from swimstream.runtime.replies import Reply

COMMITTED_S = 60.0
"""How long a command waits for a leader; then the one who asked should look whether there can be any."""
PATIENCE_S_MAX = PATIENCE_MS_MAX / 1_000


async def _jobs(worker: Controlled, _request: Request) -> JsonTable:
    return {"jobs": jobs_json(worker.view())}


async def _job(worker: Controlled, request: Request) -> JsonTable:
    view, name = worker.view(), _text(request, "name")
    status = view.jobs.get(name)
    if status is None:
        raise UsageError(f"name: no job is named {name!r} (there are: {', '.join(view.jobs) or 'none'})")
    return {"job": job_json(view, status) | {"instances": [_standing_json(each) for each in status.instances]}}


def _standing_json(standing: InstanceStanding) -> JsonTable:
    return {
        "instance": str(standing.instance),
        "state": standing.state,
        "worker": standing.worker,
        "epoch": standing.epoch,
        "progress": standing.progress,
        "is_outdated": standing.is_outdated,
        "standbys": list(standing.standbys),
        "why": standing.why,
    }


async def _update(worker: Controlled, request: Request) -> JsonTable:
    job = job_from_table(request.get("job"), where="job")
    await _committed(worker.update(job, base=request.get("base")))  # type: ignore[arg-type]  # it is checked there
    return {"job": job.name, "version": worker.view().plan.version_of(job.name)}


async def _scale(worker: Controlled, request: Request) -> JsonTable:
    parallelism = request.get("parallelism")
    job, operator = _text(request, "job"), _text(request, "operator")
    await _committed(worker.scale(job, operator, parallelism))  # type: ignore[arg-type]  # it is checked there
    return {}


async def _cancel(worker: Controlled, request: Request) -> JsonTable:
    await _committed(worker.cancel(_text(request, "job")))
    return {}


async def _restart(worker: Controlled, request: Request) -> JsonTable:
    await _committed(worker.restart(_text(request, "target")))
    return {}


async def _pardon(worker: Controlled, request: Request) -> JsonTable:
    await _committed(worker.pardon(_text(request, "instance")))
    return {}


async def _set_mode(mode: str, worker: Controlled, request: Request) -> JsonTable:
    act = {"cordon": worker.cordon, "uncordon": worker.uncordon, "drain": worker.drain}[mode]
    await _committed(act(_text(request, "name"), reason=_text({"reason": "", **request}, "reason")))
    return {}


async def _drained(worker: Controlled, request: Request) -> JsonTable:
    name, patience_s = _text(request, "name"), request.get("patience_s", 5)
    if isinstance(patience_s, bool) or not isinstance(patience_s, int | float) or not 0 < patience_s <= PATIENCE_S_MAX:
        raise UsageError(f"patience_s: expected a number above 0 and up to {PATIENCE_S_MAX:g}, got {patience_s!r}")
    with trio.move_on_after(patience_s):
        await worker.drained(name)
    return {"left": [str(each) for each in worker.view().assigned_to(name)]}


async def _assert_dead(worker: Controlled, request: Request) -> JsonTable:
    await _committed(worker.declare_dead(_text(request, "name")))
    return {}


async def _rebalance(worker: Controlled, request: Request) -> JsonTable:
    await _committed(worker.set_rebalancing(request.get("moves")))  # type: ignore[arg-type]  # it is checked there
    return {}


JOBS: Mapping[str, Callable[[Controlled, Request], Awaitable[JsonTable]]] = {
    "jobs": _jobs,
    "job": _job,
    "update": _update,
    "scale": _scale,
    "cancel": _cancel,
    "restart": _restart,
    "pardon": _pardon,
    "cordon": partial(_set_mode, "cordon"),
    "uncordon": partial(_set_mode, "uncordon"),
    "drain": partial(_set_mode, "drain"),
    "drained": _drained,
    "assert-dead": _assert_dead,
    "rebalance": _rebalance,
}


async def _committed(reply: Reply[None]) -> None:
    with trio.move_on_after(COMMITTED_S):
        await reply
        return
    raise UsageError(
        f"command: no leader has committed that within {COMMITTED_S:g} s; it is asked for on, until this worker stops"
    )


def _text(request: Mapping[str, object], field: str) -> str:
    value = request.get(field)
    if not isinstance(value, str):
        raise UsageError(f"{field}: expected text, got {value!r}")
    return value
