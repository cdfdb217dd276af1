"""What a running worker can be asked and told; `worker.py` adds how it starts and ends.

Views are immutable values of the newest moment and are never waited for. Commands return a `Reply`.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, TypeVar

from swimstream.core import council_service
from swimstream.core.keys import ask_item, report_of
from swimstream.errors import UsageError
from swimstream.job_commands import JobCommands
from swimstream.log_pages import logs_of
from swimstream.model.changes import COUNCIL_SIZES
from swimstream.model.council import COUNCIL_TOPIC
from swimstream.model.identity import check_name
from swimstream.model.keys import KEYS_TOPIC, KeyChange, KeysReport
from swimstream.model.talk import PING_TOPIC, AnswerTo, Ask, Say, Send, SetTags, check_topic
from swimstream.placing_commands import PlacingCommands
from swimstream.runtime.replies import Reply
from swimstream.wire.keyring import parse_key, parse_key_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from swimstream.model.council import CouncilReport
    from swimstream.model.identity import Address, InstanceId, Run
    from swimstream.model.logs import LogPage
    from swimstream.model.member import Member
    from swimstream.model.plan import Plan, PlanMark
    from swimstream.model.status import InstanceStatus
    from swimstream.model.talk import QueryResult, Question
    from swimstream.runtime.subscriptions import Subscription
    from swimstream.runtime.thread import PeerThread
    from swimstream.runtime.view import View

T = TypeVar("T")


class Commands(JobCommands, PlacingCommands):
    """The views and commands of a worker. Every method may be called from any thread, once the worker has started."""

    @abc.abstractmethod
    def _running(self) -> PeerThread:
        """Return the peer; raise `WorkerStopped` if there is none."""

    # --- what it knows: immutable values, never waited for ----------------------------------------

    @property
    def run(self) -> Run:
        """This life of the worker: its name and its boot."""
        return self._running().views.current.run

    @property
    def address(self) -> Address:
        """Where others reach it."""
        return self._running().address

    def view(self) -> View:
        """Return everything known, as of one moment."""
        return self._running().views.current

    def members(self) -> tuple[Member, ...]:
        """Return all members that are remembered, itself included, sorted by name."""
        return self.view().members

    def statuses(self) -> tuple[InstanceStatus, ...]:
        """Return the newest status of every instance of the cluster, sorted by instance."""
        return self.view().statuses

    def plan(self) -> Plan:
        """Return the committed plan as far as it is known here."""
        return self.view().plan

    def mark(self) -> PlanMark:
        """Return term, leader and index of the plan here."""
        return self.view().mark

    def tags(self, name: str = "") -> Mapping[str, str]:
        """Return the tags of the worker of that name, or its own; none of one that is not known."""
        return self.view().tags.get(name or self.run.name, {})

    def leader(self) -> str:
        """Return the name of the leader, or an empty text while none is known."""
        return self.view().mark.leader

    def counters(self) -> Mapping[str, int]:
        """Return what was sent, received and dropped so far, by name; up to 2 s old."""
        return self.view().counters

    def rtt_s(self, name: str, *, to: str | None = None) -> float | None:
        """Return the estimated round trip in seconds between a worker and this one, or `to`; None while unknown."""
        return self.view().rtt_s(name, to=to)

    def events(self, *, queued_max: int = 1_024) -> Subscription:
        """Return a subscription to everything from now on; what came before is in the views already."""
        return self._running().subscriptions.subscribe(queued_max=queued_max)

    def is_isolated(self) -> bool:
        """Return whether this worker can not prove that a quorum stands: what runs at most once does not run here."""
        return self.view().is_isolated

    # --- what applications say to each other ------------------------------------------------------

    def set_tags(self, changes: Mapping[str, str | None]) -> Reply[None]:
        """Change the worker's own tags: a value sets, None removes, other keys stay. Lost when the process ends.

        Settled once they are set here; everybody sees them soon after. `UsageError` beyond 64 keys or 4,096 B.
        """
        return self._running().say(SetTags(changes))

    def broadcast(self, topic: str, payload: bytes = b"") -> Reply[None]:
        """Tell every application of the cluster, this one included, by a `BroadcastReceived` event.

        At most 512 B, once to each run that is a member by now; settled once it is on its way. Who is cut off for
        some minutes, or while more than 512 others are said, misses it.
        """
        return self._running().say(Say(topic, payload))

    def send(self, to: str, topic: str, payload: bytes = b"") -> Reply[None]:
        """Send the worker of that name something, at most 64 KiB: a `MessageReceived` event there, at most once.

        Settled once it has arrived. `DeliveryFailed` when nobody of that name lives, or it has not confirmed within
        10 s; then it may have arrived or not.
        """
        return self._running().say(Send(to, topic, payload))

    def query(
        self,
        topic: str,
        payload: bytes = b"",
        *,
        names: Iterable[str] = (),
        tag: tuple[str, str] | None = None,
        patience_s: float = 5.0,
    ) -> Reply[QueryResult]:
        """Ask every application, this one included, by a `QueryReceived` event; or those of `names`, or with `tag`.

        Settled when all live workers that are asked have answered, or after `patience_s` (at most 600) with what has
        come back. `UsageError` for a name that no member has.
        """
        check_topic("topic", topic)
        said = Ask(topic=topic, payload=payload, names=names, tag=tag, patience_s=patience_s)
        return self._running().ask(said)

    def ping(self, *, names: Iterable[str] = (), patience_s: float = 5.0) -> Reply[QueryResult]:
        """Ask every worker, or those of `names`, for a sign of life, which no application needs to answer."""
        return self._running().ask(Ask(topic=PING_TOPIC, names=names, patience_s=patience_s))

    def answer(self, question: Question, payload: bytes = b"") -> Reply[None]:
        """Answer the question of a `QueryReceived` event, with at most 64 KiB. Settled once it is on its way.

        `UsageError` if this worker was not asked, has answered, or the asker does not wait any more.
        """
        return self._running().say(AnswerTo(question, payload))

    # --- what instances print -----------------------------------------------------------------------

    def logs(
        self,
        instance: InstanceId | str,
        *,
        worker: str = "",
        start: int | None = None,
        tail: int = 100,
        patience_s: float = 5.0,
    ) -> Reply[LogPage]:
        """Return what the process or command of `instance` printed: its last `tail` lines, or what is from `start` on.

        At most 48 KiB a page; go on with `start=page.kept.start + len(page.kept.data)`. Asks the worker that has the
        instance now, or the one named, such as a former one. `UsageError` says why there is nothing to be had.
        """
        return logs_of(self._running(), instance, worker=worker, start=start, tail=tail, patience_s=patience_s)

    # --- operating a cluster ----------------------------------------------------------------------

    def remove(self, name: str) -> Reply[None]:
        """Have everybody take a dead member for one that has left; nobody tries to reach it any more.

        Should it live, it comes back as a later run. `UsageError` if no dead member has that name.
        """
        return self._running().remove(name)

    def council(self, *, patience_s: float = 5.0) -> Reply[CouncilReport]:
        """Ask the workers on the council's seats how they stand. Settled when all answered, or after `patience_s`."""
        seats = {seat.name for seat in self.plan().council}
        names = sorted(member.run.name for member in self.members() if member.run.name in seats)

        def report(answers: Mapping[str, bytes]) -> Reply[CouncilReport]:
            view = self.view()
            return _settled(council_service.report_of(view.plan, view.mark, view.members, answers))

        if not names:
            return report({})
        asked = Ask(topic=COUNCIL_TOPIC, names=names, patience_s=patience_s)
        return self._running().ask(asked).then(lambda result: report(result.answers))

    def resize_council(self, seats: int) -> Reply[None]:
        """Have the council grow or shrink to 1, 3, 5 or 7 seats, one after the other.

        Settled once the wish is in the plan; `council()` shows how far it has come. `UsageError` if it is refused.
        """
        if isinstance(seats, bool) or seats not in COUNCIL_SIZES:
            raise UsageError(f"seats: expected one of {', '.join(map(str, COUNCIL_SIZES))}, got {seats!r}")
        return self._running().resize_council(seats)

    def transfer_leadership(self, name: str) -> Reply[None]:
        """Have the worker of that name lead. Settled once it does; `UsageError` if it has no seat or is not heard."""
        if not isinstance(name, str):
            raise UsageError(f"name: expected the name of a worker, got {name!r}")
        check_name("name", name)
        return self._running().transfer_leadership(name)

    def recover_council(self, cluster_id: int) -> Reply[None]:
        """Put this worker alone in the place of a council whose majority is lost for good; it then grows again.

        What was committed at the lost seats only is lost, and if they are not dead but cut off, two councils decide
        side by side: see "a majority is lost for good" in docs/council.md. `cluster_id` confirms that this very
        cluster is meant: the number, `plan().cluster_id`. `UsageError` while a leader is heard, a majority lives, or a
        live worker knows more.
        """
        if isinstance(cluster_id, bool) or not isinstance(cluster_id, int):
            raise UsageError(f"cluster_id: expected a number, as plan().cluster_id is, got {cluster_id!r}")
        return self._running().recover_council(cluster_id)

    def keys(self, *, patience_s: float = 5.0) -> Reply[KeysReport]:
        """Ask every worker which keys it holds. Settled when all have answered, or after `patience_s`."""
        return self._change_keys(KeyChange.LIST, b"", patience_s)

    def install_key(self, key: str, *, patience_s: float = 5.0) -> Reply[KeysReport]:
        """Have every worker open what is sealed with `key`, too: base64, as `swimstream keygen` makes them.

        First of three steps to change a cluster's keys. The report says who has which keys, and who was away.
        """
        return self._change_keys(KeyChange.INSTALL, parse_key(key, field="key"), patience_s)

    def use_key(self, key_id: str, *, force: bool = False, patience_s: float = 5.0) -> Reply[KeysReport]:
        """Have every worker seal with an installed key. Second step.

        `UsageError` names who could not read it then, or was not heard of; `force` goes on all the same.
        """
        return self._change_if(KeysReport.lacking, KeyChange.USE, key_id, force=force, patience_s=patience_s)

    def remove_key(self, key_id: str, *, force: bool = False, patience_s: float = 5.0) -> Reply[KeysReport]:
        """Have no worker open what is sealed with a key any more. Third step.

        `UsageError` names who may still seal with it: a worker that was away all the while would be locked out.
        """
        return self._change_if(KeysReport.sealing_with, KeyChange.REMOVE, key_id, force=force, patience_s=patience_s)

    def _change_if(
        self,
        find_victims: Callable[[KeysReport, str], tuple[str, ...]],
        change: KeyChange,
        key_id: str,
        *,
        force: bool,
        patience_s: float,
    ) -> Reply[KeysReport]:
        argument = parse_key_id(key_id)
        key_id = argument.hex()  # as reports tell it, however it was written

        def go_on(report: KeysReport) -> Reply[KeysReport]:
            victims = find_victims(report, key_id)
            if change is KeyChange.USE and not report.is_held(key_id):
                raise UsageError(f"key: no worker is known to hold {key_id}; install it first")
            if victims:
                why = "may not hold it" if change is KeyChange.USE else "may still seal with it"
                raise UsageError(
                    f"key: to {change.value} {key_id} would cut off {', '.join(victims)}, who {why}; bring them along, "
                    "have the dead ones removed, or force it"
                )
            return self._change_keys(change, argument, patience_s)

        return (
            self._change_keys(change, argument, patience_s) if force else self.keys(patience_s=patience_s).then(go_on)
        )

    def _change_keys(self, change: KeyChange, argument: bytes, patience_s: float) -> Reply[KeysReport]:
        asked = Ask(topic=KEYS_TOPIC, payload=ask_item(change, argument), patience_s=patience_s)
        return self._running().ask(asked).then(_report)


def _report(result: QueryResult) -> Reply[KeysReport]:
    return _settled(report_of(result))


def _settled(value: T) -> Reply[T]:
    reply: Reply[T] = Reply()
    reply.succeed(value)
    return reply
