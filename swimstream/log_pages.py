"""Ask the worker that has an instance for what it printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.errors import UsageError, WireError
from swimstream.model.history import hosts_of
from swimstream.model.identity import InstanceId, check_name
from swimstream.model.logs import LOGS_TOPIC, TAIL_LINES_MAX, LogPage, LogRequest
from swimstream.model.talk import Ask
from swimstream.runtime.replies import Reply
from swimstream.wire.checks import INT_MAX
from swimstream.wire.log_codec import encode_log_request, read_kept_untrusted

if TYPE_CHECKING:
    from swimstream.model.talk import QueryResult
    from swimstream.runtime.thread import PeerThread
    from swimstream.runtime.view import View


def logs_of(
    peer: PeerThread, instance: InstanceId | str, *, worker: str, start: int | None, tail: int, patience_s: float
) -> Reply[LogPage]:
    """Return a page of the output of `instance`, asked of `worker` or of whoever has the instance now."""
    wanted = instance if isinstance(instance, InstanceId) else InstanceId.parse(instance)
    _check_count("tail", tail, TAIL_LINES_MAX)
    if start is not None:
        _check_count("start", start, INT_MAX)
    view = peer.views.current
    host = _host(view, wanted, worker)
    asked = LogRequest(instance=wanted, start=start, tail=tail)
    question = Ask(topic=LOGS_TOPIC, payload=encode_log_request(asked), names=(host,), patience_s=patience_s)

    def page(result: QueryResult) -> Reply[LogPage]:
        reply: Reply[LogPage] = Reply()
        reply.succeed(_page(peer.views.current, wanted, host, result, patience_s))
        return reply

    return peer.ask(question).then(page)


def _host(view: View, instance: InstanceId, worker: str) -> str:
    """Return whom to ask; raise `UsageError` if nobody can have an answer."""
    job = view.plan.jobs.get(instance.job)
    former = ", ".join(dict.fromkeys(hosts_of(view.plan.decisions, instance)))
    if worker:
        check_name("worker", worker)
    elif job is None or not job.has(instance):
        raise UsageError(f"instance: no job that is known here has an instance {instance}")
    held = view.plan.assignments.get(instance)
    if not worker and held is None:
        when = f"now; others can be asked by name, it was given to: {former}" if former else "yet"
        raise UsageError(f"logs: {instance} is given to no worker {when}")
    name = worker or (held.run.name if held is not None else "")
    member = next((each for each in view.members if each.run.name == name), None)
    if member is None:
        raise UsageError(f"logs: no member is named {name!r}; {instance} was given to: {former or 'nobody'}")
    if member.state.is_gone:
        raise UsageError(
            f"logs: {name} has {instance} and is {member.state.name.lower()}; what it printed is in the directory of "
            f"logs on that machine, and others can be asked by name; it was given to: {former or name}"
        )
    return name


def _page(view: View, instance: InstanceId, host: str, result: QueryResult, patience_s: float) -> LogPage:
    if host not in result.answers:
        is_away = host in result.away
        why = "is gone" if is_away else f"has not answered within {patience_s:g} s; is it of an older version?"
        raise UsageError(f"logs: {host} {why}")
    try:
        kept = read_kept_untrusted(result.answers[host])
    except WireError as error:
        raise UsageError(f"logs: {host} has answered what makes no sense: {error}") from None
    held = view.plan.assignments.get(instance)
    return LogPage(
        instance=instance,
        worker=host,
        kept=kept,
        former=tuple(dict.fromkeys(name for name in hosts_of(view.plan.decisions, instance) if name != host)),
        is_finished=held is not None and held.finished,
    )


def _check_count(field: str, value: object, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= high:
        raise UsageError(f"{field}: expected an integer from 0 to {high}, got {value!r}")
