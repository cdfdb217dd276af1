"""The control port: a Unix socket for the `swimstream` command, for demos and for programs in other languages.

Newline-delimited JSON, protocol 1. One request a line, `{"verb": "members"}`; one answer a line, `{"ok": true, ...}`
or `{"ok": false, "error": "..."}`; any number of requests on one connection, answered in order::

    verb        answer, besides "ok"
    hello       worker: name, boot, address, site, version, protocol
    members     members: name, boot, state, incarnation, for_s, address, site, kinds, capacity, accusers,
                evidence (what each accuser saw, in words), tags, rtt_ms (estimated, from here; null if unknown)
    operators   jobs: name, operators, finished;  operators: instance, job, operator, index, kind, inputs, guarantee,
                hold_for_s, worker, boot, epoch, failures, finished, held, revoked, stopped_at, state, since_ms,
                progress, checkpoint (hex), endpoint, cause;  authority: isolated, age_s, lasts_s, drift, of this worker
    leader      leader: name ("" if unknown), state (of that worker), term, index, cluster_id, council
    decisions   decisions: index, term, what, reason, evidence; the newest 256, oldest first
    counters    counters: name → number
    tags        tags: worker → key → value, of every worker that has any
    snapshot    all of these
    submit      request {"verb": "submit", "job": {...}}, the table of a job file; job: its name, once committed
    set-tags    request {"verb": "set-tags", "changes": {"key": "value", "other": null}}; nothing; null removes a tag
    broadcast   request {"verb": "broadcast", "topic": "t", "payload": "text"}; nothing; for bytes `payload_hex`
    send        request {"verb": "send", "to": "w2", "topic": "t", "payload": "text"}; nothing, once it has arrived
    query       request {"verb": "query", "topic": "t", "payload": "text", "names": ["w2"], "tag": ["key", "value"],
                "patience_s": 5}, all but the topic may be left out; answers: worker, payload (hex), text (if it is);
                silent, away: names
    ping        request {"verb": "ping", "names": ["w2"], "patience_s": 5}; like query; each worker answers by itself
    remove      request {"verb": "remove", "name": "w9"}, a dead member; nothing; it counts as one that has left
    council     cluster_id, cluster (in hexadecimal digits), leader, term, index, last_index, seats_wanted, majority,
                isolation_s, able (a majority answered); seats: name, site, state, has_memory, is_older (of a version
                that cannot answer), lag, standing (role, term, last_index, commit, authority_age_s; null if silent)
    council-resize    request {"verb": "council-resize", "seats": 5}; nothing, once it is in the plan (within 60 s)
    council-transfer  request {"verb": "council-transfer", "name": "w2"}; nothing, once w2 leads
    council-recover   request {"verb": "council-recover", "cluster": hex}; nothing, once this worker leads
    keys        request {"verb": "keys", "change": "list"}; or "install" with "key": base64; or "use" or "remove" with
                "key": id and "force": false; complete, keys: worker → ids; refused: worker → why; silent, away: names
    explain     request {"verb": "explain", "instance": "job/operator[0]"}; instance, version, guarantee, state, worker,
                boot, epoch, since_ms, progress, cause, decision (or null), waits_for, candidates: worker, boot, able,
                why (the best 64; candidates_more), history: decisions
    what-if     request {"verb": "what-if", "kill": ["w2"], "site": ""}; moves: instance, from, to, reason, evidence;
                pending: instance, why; council: seats, left, able; nobody is killed
    dry-run     request {"verb": "dry-run", "job": {...}}; like what-if: where the job's instances would go
    leave       nothing; answered once the others have been told; the worker then ends
    watch       a line {"ok": true, "event": "snapshot", ...}, then a line for each event, `event` being member,
                instance, leader, isolation, decision, superseded, foreign_cluster, forgotten, name_conflict, tags,
                broadcast, message, query or events_lost (read the snapshot again)

Unknown keys of a request are ignored, and later versions add keys to answers; a reader ignores what it does not
know. Who may connect is decided by the file system: the socket is for its owner only. Served on a thread of its own.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
from typing import TYPE_CHECKING

import trio

from swimstream.errors import SwimstreamError, UsageError
from swimstream.job_file import job_from_table
from swimstream.runtime import clock
from swimstream.runtime.control_council import COUNCIL
from swimstream.runtime.control_explain import EXPLAIN
from swimstream.runtime.control_json import (
    Json,
    JsonTable,
    authority_json,
    counters_json,
    decision_json,
    event_json,
    jobs_json,
    leader_json,
    member_json,
    operators_json,
    worker_json,
)
from swimstream.runtime.control_socket import CONNECTIONS_MAX, bind_control
from swimstream.runtime.control_talk import TALK, tags_json
from swimstream.runtime.trio_thread import TrioThread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from swimstream.model.member import Member
    from swimstream.runtime.controlled import Controlled
    from swimstream.runtime.view import View

PROTOCOL = 1
LINE_BYTES_MAX = 1024 * 1024
WRITE_S = 30.0
SUBMIT_S = 60.0
LAST_ANSWER_S = 0.5
VERBS = {**TALK, **COUNCIL, **EXPLAIN}


class ControlServer:
    """Serves one worker on one socket, on a thread of its own. `start` and `stop` block shortly."""

    def __init__(self, path: Path, worker: Controlled, *, name: str, site: str) -> None:
        """Prepare; nothing is bound before `start`."""
        self._path = path
        self._worker = worker
        self._site = site
        self._thread = TrioThread(f"swimstream-control-{name}", self._main)
        self._scope = trio.CancelScope()
        self._connections = 0
        self._answering = 0
        self._ending = False
        self.refused = 0
        """Connections beyond `CONNECTIONS_MAX`."""

    def start(self) -> None:
        """Bind and serve; raise `UsageError` naming `control` if the path cannot be used."""
        self._thread.start()

    def stop(self) -> None:
        """End every connection, after a moment for an answer under way, and remove the socket."""
        self._thread.post(self._end_soon)
        self._thread.join(1.0)

    def _end_soon(self) -> None:
        self._ending = True
        self._scope.deadline = trio.current_time() + (LAST_ANSWER_S if self._answering else 0.0)

    async def _main(self, started: Callable[[], None]) -> None:
        bound = bind_control(self._path)
        inode = self._path.stat().st_ino
        try:
            listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(bound))]
            started()
            with self._scope:
                await trio.serve_listeners(self._serve, listeners)
        finally:
            bound.close()
            with contextlib.suppress(OSError):
                if self._path.stat().st_ino == inode:  # else a later worker has taken the path
                    self._path.unlink()

    async def _serve(self, connection: trio.SocketStream) -> None:
        if self._connections >= CONNECTIONS_MAX:
            self.refused += 1
            await trio.aclose_forcefully(connection)
            return
        self._connections += 1
        try:
            async with connection:
                await self._converse(connection)
        except* (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            pass
        finally:
            self._connections -= 1

    async def _converse(self, connection: trio.SocketStream) -> None:
        lines = _Lines(connection)
        while (line := await lines.next()) is not None:
            self._answering += 1
            try:
                await self._answer_line(connection, line)
            finally:
                self._answering -= 1
            if self._ending and not self._answering:
                self._scope.cancel()
        if lines.overlong:
            await _write(connection, {"ok": False, "error": f"expected lines of at most {LINE_BYTES_MAX} bytes"})
            # closing with unread bytes would reset the connection under the answer
            with trio.move_on_after(LAST_ANSWER_S):
                await _read_to_end(connection)

    async def _answer_line(self, connection: trio.SocketStream, line: bytes) -> None:
        try:
            request = _parse(line)
            if request.get("verb") == "watch":
                await self._watch(connection)
                return
            answer = await self._answer(request)
        except SwimstreamError as error:
            answer = {"ok": False, "error": str(error)}
        await _write(connection, answer)

    async def _answer(self, request: dict[str, object]) -> JsonTable:
        verb = request.get("verb")
        if verb == "submit":
            job = job_from_table(request.get("job"), where="job")
            with trio.move_on_after(SUBMIT_S):
                await self._worker.submit(job)
                return {"ok": True, "job": job.name}
            return {"ok": False, "error": f"job {job.name} was not committed within {SUBMIT_S} s; submit it again"}
        if verb == "leave":
            await self._worker.leave()
            return {"ok": True}
        if isinstance(verb, str) and verb in VERBS:
            return {"ok": True} | await VERBS[verb](self._worker, request)
        sections = self._sections()
        if verb == "snapshot":
            return {"ok": True} | self._snapshot()
        wanted = sections.get(verb) if isinstance(verb, str) else None
        if wanted is None:
            known = ", ".join([*sections, "snapshot", "submit", *VERBS, "leave", "watch"])
            raise UsageError(f"verb: expected one of {known}, got {json.dumps(verb)}")
        return {"ok": True} | wanted(self._worker.view())

    def _sections(self) -> dict[str, Callable[[View], JsonTable]]:
        return {
            "hello": self._hello,
            "members": _members,
            "operators": lambda view: {
                "jobs": jobs_json(view),
                "operators": operators_json(view),
                "authority": authority_json(view, now=clock.now()),
            },
            "leader": lambda view: {"leader": leader_json(view)},
            "decisions": lambda view: {"decisions": [decision_json(each) for each in view.plan.decisions]},
            "tags": lambda view: {"tags": {name: tags_json(tags) for name, tags in view.tags.items()}},
            "counters": lambda view: {"counters": counters_json(view.counters) | {"control_refused": self.refused}},
        }

    def _snapshot(self) -> JsonTable:
        view = self._worker.view()
        whole: JsonTable = {}
        for section in self._sections().values():
            whole |= section(view)
        return whole

    def _hello(self, view: View) -> JsonTable:
        return {
            "worker": worker_json(
                view.run,
                address=str(self._worker.address),
                site=self._site,
                version=_version(),
                protocol=PROTOCOL,
            )
        }

    async def _watch(self, connection: trio.SocketStream) -> None:
        """Write events until either side ends; closes the connection, since nothing can be asked on it any more."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_at_end, connection, nursery.cancel_scope)
            with self._worker.events() as events:
                snapshot = self._snapshot()
                await _write(connection, snapshot | {"ok": True, "event": "snapshot"})
                async for event in events:
                    await _write(connection, {"ok": True} | event_json(event, now=clock.now()))
            nursery.cancel_scope.cancel()
        await connection.aclose()


def _version() -> str:
    try:
        return importlib.metadata.version("swimstream")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"  # a checkout that is not installed


def _members(view: View) -> JsonTable:
    now = clock.now()
    return {"members": [_member(each, view, now) for each in view.members]}


def _member(member: Member, view: View, now: float) -> JsonTable:
    name = member.run.name
    rtt_s = view.rtt_s(name)
    more: JsonTable = {"tags": tags_json(view.tags.get(name, {})), "rtt_ms": None}
    if rtt_s is not None:
        more["rtt_ms"] = round(rtt_s * 1_000, 3)
    return member_json(member, now=now) | more


class _Lines:
    """Lines from a stranger, one at a time, each bounded."""

    def __init__(self, connection: trio.SocketStream) -> None:
        self._connection = connection
        self._buffer = bytearray()
        self.overlong = False

    async def next(self) -> bytes | None:
        """Return the next line, or None at the end or after a line beyond the bound."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > LINE_BYTES_MAX:
                self.overlong = True
                return None
            more = await self._connection.receive_some(65_536)
            if not more:
                return None
            self._buffer += more
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line


def _parse(line: bytes) -> dict[str, object]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise UsageError('expected one JSON object a line, such as {"verb": "hello"}') from None
    if not isinstance(request, dict):
        raise UsageError('expected a JSON object, such as {"verb": "hello"}')
    return request


async def _write(connection: trio.SocketStream, answer: dict[str, Json]) -> None:
    with trio.fail_after(WRITE_S):
        await connection.send_all(json.dumps(answer, separators=(",", ":")).encode() + b"\n")


async def _cancel_at_end(connection: trio.SocketStream, scope: trio.CancelScope) -> None:
    await _read_to_end(connection)
    scope.cancel()


async def _read_to_end(connection: trio.SocketStream) -> None:
    """Return when the other side hangs up; what it says until then is of no interest."""
    with contextlib.suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while await connection.receive_some(65_536):
            pass
