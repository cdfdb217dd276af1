"""The control port: a Unix socket for the `swimstream` command, for demos and for programs in other languages.

Newline-delimited JSON, protocol 1. One request a line, `{"verb": "members"}`; one answer a line, `{"ok": true, ...}`
or `{"ok": false, "code": "...", "error": "..."}`; any number of requests on one connection, answered in order; an
integer `id` of a request comes back with its answer::

    verb        answer, besides "ok"
    hello       worker: name, boot, address, site, version, protocol; attach: never, waiting, attached or ending
    members     members: name, boot, state, incarnation, for_s, address, site, kinds, capacity, accusers,
                evidence (what each accuser saw, in words), tags, rtt_ms (estimated, from here; null if unknown),
                mode ("" or cordoned, draining, leaving, quarantined)
    operators   jobs: name, operators, finished;  operators: instance, job, operator, index, kind, inputs, guarantee,
                hold_for_s, worker, boot, epoch, failures, finished, held, revoked, stopped_at, state, since_ms,
                progress, checkpoint (hex), endpoint, cause, error, watermark_ms, backlog, standbys;
                authority: isolated, age_s, lasts_s, drift, of this worker
    leader      leader: name ("" if unknown), state (of that worker), term, index, cluster_id, council
    decisions   decisions: index, term, what, reason, evidence; the newest 256, oldest first
    counters    counters: name → number
    tags        tags: worker → key → value, of every worker that has any
    snapshot    all of these
    submit      request {"verb": "submit", "job": {...}, "fresh": false}, the table of a job file, and whether one that
                was cancelled begins anew, which may be left out; job: its name, once committed
    set-tags    request {"verb": "set-tags", "changes": {"key": "value", "other": null}}; nothing; null removes a tag
    broadcast   request {"verb": "broadcast", "topic": "t", "payload": "text"}; nothing; for bytes `payload_hex`
    send        request {"verb": "send", "to": "w2", "topic": "t", "payload": "text"}; nothing, once it has arrived
    query       request {"verb": "query", "topic": "t", "payload": "text", "names": ["w2"], "tag": ["key", "value"],
                "patience_s": 5}, all but the topic may be left out; answers: worker, payload (hex), text (if it is);
                silent, away: names
    ping        request {"verb": "ping", "names": ["w2"], "patience_s": 5}; like query; each worker answers by itself
    logs        request {"verb": "logs", "instance": "job/op[0]", "worker": "", "start": null, "tail": 100,
                "patience_s": 5}, all but the instance may be left out; worker (who keeps it), former: names of workers
                that had it before, finished, epoch (of the newest execution there), running, data (hex, at most
                48 KiB), text (the same), start (position of its first byte), next (`start` of the next request), end,
                begun (where the newest execution begins)
    remove      request {"verb": "remove", "name": "w9"}, a dead member; nothing; it counts as one that has left
    council     cluster_id, cluster (in hexadecimal digits), leader, term, index, last_index, seats_wanted, majority,
                isolation_s, able (a majority answered); seats: name, site, state, has_memory, is_older (of a version
                that cannot answer), lag, standing (role, term, last_index, commit, authority_age_s; null if silent)
    council-resize    request {"verb": "council-resize", "seats": 5}; nothing, once it is in the plan (within 60 s)
    council-transfer  request {"verb": "council-transfer", "name": "w2"}; nothing, once w2 leads
    council-recover   request {"verb": "council-recover", "cluster": hex}; nothing, once this worker leads
    keys        request {"verb": "keys", "change": "list"}; or "install" with "key": base64; or "use" or "remove" with
                "key": id and "force": false; complete, keys: worker → ids; refused: worker → why; silent, away: names
    jobs        jobs: name, state, version, counts (state → number), why (the first that does not run as it should),
                operators (names), finished
    job         request {"verb": "job", "name": "j"}; job: as above, and instances: instance, state, worker, epoch,
                progress, is_outdated (runs as it was before an update or a restart), standbys (who keeps it warm), why
    update      request {"verb": "update", "job": {...}, "base": 3}, base may be left out; job, version
    scale       request {"verb": "scale", "job": "j", "operator": "o", "parallelism": 4}; nothing
    cancel      request {"verb": "cancel", "job": "j"}; nothing, once it is decided
    restart     request {"verb": "restart", "target": "j/o[0]"}, or "j/o", or "j"; nothing, once it is decided
    pardon      request {"verb": "pardon", "instance": "j/o[0]"}; nothing
    cordon, uncordon, drain    request {"verb": "drain", "name": "w2", "reason": "text"}, the reason may be left out;
                nothing, once it is decided
    drained     request {"verb": "drained", "name": "w2", "patience_s": 5}; left: the instances that w2 has still,
                after so long at most (600 s)
    assert-dead request {"verb": "assert-dead", "name": "w2"}; nothing: somebody's word that w2 is dead
    rebalance   request {"verb": "rebalance", "moves": 2}; nothing; 0: off
    explain     request {"verb": "explain", "instance": "job/operator[0]"}; instance, version, guarantee, state, worker,
                boot, epoch, since_ms, progress, cause, decision (or null), standbys, waits_for, candidates: worker,
                boot, able, why (the best 64; candidates_more), history: decisions
    what-if     request {"verb": "what-if", "kill": ["w2"], "site": ""}; moves: instance, from, to, reason, evidence;
                pending: instance, why; council: seats, left, able; nobody is killed
    dry-run     request {"verb": "dry-run", "job": {...}}; like what-if: where the job's instances would go;
                change: new, update (of a job that is there), or revival (of one that was cancelled)
    leave       nothing; answered once the others have been told; the worker then ends
    watch       a line {"ok": true, "event": "snapshot", ...}, then a line for each event, `event` being member,
                instance, leader, isolation, decision, superseded, foreign_cluster, forgotten, name_conflict, tags,
                broadcast, message, query or events_lost (read the snapshot again)
    attach      be the worker: docs/control-port.md

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
from swimstream.model.identity import Address, Run
from swimstream.runtime import clock
from swimstream.runtime.attached_process import AttachedProcess
from swimstream.runtime.attaching import Attachment
from swimstream.runtime.control_council import COUNCIL
from swimstream.runtime.control_explain import EXPLAIN
from swimstream.runtime.control_jobs import JOBS
from swimstream.runtime.control_json import (
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
from swimstream.runtime.control_lines import (
    LINE_BYTES_MAX,
    Lines,
    TooLate,
    parse_request,
    read_to_end,
    refusal,
    with_id,
    write_line,
)
from swimstream.runtime.control_socket import CONNECTIONS_MAX, bound_control
from swimstream.runtime.control_talk import TALK, tags_json
from swimstream.runtime.control_tcp import has_token
from swimstream.runtime.trio_thread import TrioThread

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from swimstream.model.member import Member
    from swimstream.runtime.attaching import Desk
    from swimstream.runtime.control_talk import Request
    from swimstream.runtime.control_tcp import TcpDoor
    from swimstream.runtime.controlled import Controlled
    from swimstream.runtime.view import View

PROTOCOL = 1
SUBMIT_S = 60.0
LAST_ANSWER_S = 0.5
STRANGERS_MAX = 16
"""Connections by TCP that may be asked for the token at a time."""
VERBS = {**TALK, **COUNCIL, **JOBS, **EXPLAIN}
HUNG_UP = (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError)


class ControlServer:
    """Serves one worker on one socket, on a thread of its own. `start` and `stop` block shortly."""

    def __init__(
        self,
        path: Path | None,
        worker: Controlled,
        *,
        name: str,
        site: str,
        desk: Desk | None = None,
        door: TcpDoor | None = None,
    ) -> None:
        """Prepare; nothing is bound before `start`. With a `desk` a process may attach; a `door` is by TCP."""
        self._path = path
        self._worker = worker
        self._name = name
        self._site = site
        self._desk = desk
        self._door = door
        self._attachment: Attachment | None = None
        self._thread = TrioThread(f"swimstream-control-{name}", self._main)
        self._scope = trio.CancelScope()
        self._connections = 0
        self._unknown = 0
        """Connections by TCP that have yet to show the token."""
        self._answering = 0
        self._ending = False
        self.refused = 0
        """Connections beyond `CONNECTIONS_MAX`."""
        self.strangers = 0
        """Connections by TCP that were closed for want of the token."""
        self.tcp_address: Address | None = None
        """Where the port is reached by TCP, if it is; final after `start`."""

    def start(self) -> None:
        """Bind and serve; raise `UsageError` naming `control` if the path cannot be used."""
        self._thread.start()

    def stop(self, *, reason: str = "the worker has stopped") -> None:
        """End every connection, after a moment for an answer under way, and remove the socket.

        An attached process is told the `reason`.
        """
        self._thread.post(lambda: self._end_soon(reason))
        self._thread.join(1.0)

    def _end_soon(self, reason: str) -> None:
        self._ending = True
        if self._attachment is not None:
            self._attachment.end(reason)
        self._scope.deadline = trio.current_time() + (LAST_ANSWER_S if self._answering else 0.0)

    async def _main(self, started: Callable[[], None]) -> None:
        with contextlib.ExitStack() as ending:
            if self._path is not None:
                by_path = ending.enter_context(bound_control(self._path))
            if self._door is not None:
                by_tcp = ending.enter_context(self._door.bind())
                self.tcp_address = Address(*by_tcp.getsockname()[:2])
            started()
            with self._scope:
                async with trio.open_nursery() as nursery:
                    if self._path is not None:
                        nursery.start_soon(trio.serve_listeners, self._serve, [_listener(by_path)])
                    if self._door is not None:
                        nursery.start_soon(trio.serve_listeners, self._serve_tcp, [_listener(by_tcp)])

    async def _serve_tcp(self, connection: trio.SocketStream) -> None:
        """Serve who shows the token; those who have not yet take no place of those who have."""
        assert self._door is not None
        lines = Lines(connection)
        known = False
        if self._unknown < STRANGERS_MAX:
            self._unknown += 1
            with contextlib.suppress(*HUNG_UP):
                known = await has_token(connection, lines, self._door.token)
            self._unknown -= 1
        if known:
            await self._serve(connection, lines)
        else:
            self.strangers += 1
            await trio.aclose_forcefully(connection)

    async def _serve(self, connection: trio.SocketStream, lines: Lines | None = None) -> None:
        if self._connections >= CONNECTIONS_MAX:
            self.refused += 1
            await trio.aclose_forcefully(connection)
            return
        self._connections += 1
        try:
            async with connection:
                await self._converse(connection, Lines(connection) if lines is None else lines)
        except* HUNG_UP:
            pass
        finally:
            self._connections -= 1

    async def _converse(self, connection: trio.SocketStream, lines: Lines) -> None:
        while (line := await lines.next()) is not None:
            self._answering += 1
            try:
                await self._answer_line(connection, lines, line)
            finally:
                self._answering -= 1
            if self._ending and not self._answering:
                self._scope.cancel()
        if lines.overlong:
            await write_line(connection, refusal(UsageError(f"expected lines of at most {LINE_BYTES_MAX} bytes")))
            # closing with unread bytes would reset the connection under the answer
            with trio.move_on_after(LAST_ANSWER_S):
                await read_to_end(connection)

    async def _answer_line(self, connection: trio.SocketStream, lines: Lines, line: bytes) -> None:
        request: Request = {}
        try:
            request = parse_request(line)
            if request.get("verb") == "watch":
                await self._watch(connection)
                return
            if request.get("verb") == "attach":
                await self._attach(connection, lines, request)
                return
            answer = await self._answer(request)
        except SwimstreamError as error:
            answer = refusal(error)
        await write_line(connection, with_id(answer, request))

    async def _attach(self, connection: trio.SocketStream, lines: Lines, request: Request) -> None:
        """Let the process on the other side be the worker, until either ends; the connection is closed after it."""
        if self._desk is None:
            raise UsageError("verb: a process can attach to 'swimstream peer' only; this worker runs its own operators")
        if self._attachment is not None:
            raise UsageError("verb: another process is attached already")
        attachment = Attachment(connection, lines, AttachedProcess.of(connection.socket), self._answer)
        self._attachment = attachment
        try:
            await attachment.run(self._desk, request)
        finally:
            attachment.process.close()
            self._attachment = None

    async def _answer(self, request: dict[str, object]) -> JsonTable:
        verb = request.get("verb")
        protocol = request.get("protocol")
        if verb == "hello" and protocol is not None and (isinstance(protocol, bool) or protocol != PROTOCOL):
            raise UsageError(f"protocol: expected {PROTOCOL}, got {protocol!r}")
        if verb == "hello" and self._desk is not None and self._desk.standing != "attached":
            return {"ok": True} | self._hello(None)
        if verb == "submit":
            job, fresh = job_from_table(request.get("job"), where="job"), request.get("fresh", False)
            if not isinstance(fresh, bool):
                raise UsageError(f"fresh: expected true or false, got {fresh!r}")
            with trio.move_on_after(SUBMIT_S):
                await self._worker.submit(job, fresh=fresh)
                return {"ok": True, "job": job.name}
            raise TooLate(f"job {job.name} was not committed within {SUBMIT_S} s; submit it again")
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
            known = ", ".join([*sections, "snapshot", "submit", *VERBS, "leave", "watch", "attach"])
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
            "counters": lambda view: {"counters": counters_json(view.counters) | self._counters()},
        }

    def _counters(self) -> JsonTable:
        return {"control_refused": self.refused, "control_strangers": self.strangers}

    def _snapshot(self) -> JsonTable:
        view = self._worker.view()
        whole: JsonTable = {}
        for section in self._sections().values():
            whole |= section(view)
        return whole

    def _hello(self, view: View | None) -> JsonTable:
        """Return who answers: with boot 0 and no address while no process has attached."""
        return {
            "worker": worker_json(
                Run(self._name, 0) if view is None else view.run,
                address="" if view is None else str(self._worker.address),
                site=self._site,
                version=_version(),
                protocol=PROTOCOL,
            ),
            "attach": "never" if self._desk is None else self._desk.standing,
        }

    async def _watch(self, connection: trio.SocketStream) -> None:
        """Write events until either side ends; closes the connection, since nothing can be asked on it any more."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_at_end, connection, nursery.cancel_scope)
            with self._worker.events() as events:
                snapshot = self._snapshot()
                await write_line(connection, snapshot | {"ok": True, "event": "snapshot"})
                async for event in events:
                    await write_line(connection, {"ok": True} | event_json(event, now=clock.now()))
            nursery.cancel_scope.cancel()
        await connection.aclose()


def _listener(bound: socket.socket) -> trio.SocketListener:
    return trio.SocketListener(trio.socket.from_stdlib_socket(bound))


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
    mode = view.plan.directives.mode_of_run(member.run)
    more: JsonTable = {"tags": tags_json(view.tags.get(name, {})), "rtt_ms": None, "mode": mode}
    if rtt_s is not None:
        more["rtt_ms"] = round(rtt_s * 1_000, 3)
    return member_json(member, now=now) | more


async def _cancel_at_end(connection: trio.SocketStream, scope: trio.CancelScope) -> None:
    await read_to_end(connection)
    scope.cancel()
