"""One participant: packets, commands and `now` in; effects out. Read this file first.

The node joins the rooms of the core, which do not know each other: membership (who is alive), status (what
runs where), council (who decides), recovery (what to do) and talk (what applications say). It never blocks,
reads no clock, opens no socket.
Two nodes built from equal arguments and fed equal inputs emit equal effects.

Every input that is not dropped ends in `_settle`, which lets each room see what the others have changed: a death
brings an election forward, a committed assignment starts an instance, a failed instance makes the leader decide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.boots import boot_after
from swimstream.core.council_commands import COMMAND
from swimstream.core.effects import Answer, BootRecord, Effect, Notify
from swimstream.core.hosting import Hosting
from swimstream.core.leadership import Leadership
from swimstream.core.leaving import Leaving
from swimstream.core.membership.claims import goodbye_of
from swimstream.core.membership.joining import JoinState
from swimstream.core.reception import Reception
from swimstream.core.rooms import open_rooms
from swimstream.core.views import NodeViews
from swimstream.core.withdrawing import Withdrawal
from swimstream.events import Decided, Event, MemberChanged, MemberForgotten, Superseded
from swimstream.model.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from swimstream.config import NodeConfig
    from swimstream.core.effects import Saved
    from swimstream.model.changes import Command
    from swimstream.model.identity import Address
    from swimstream.model.job import JobSpec
    from swimstream.model.report import Report
    from swimstream.model.talk import Utterance

FOREVER = float("inf")


class Node(NodeViews):
    """One participant. Not thread-safe: one driver calls it, and calls `take_effects` after every input."""

    def __init__(self, config: NodeConfig, *, boot: int, saved: Saved, rng: Random, now: float) -> None:
        """Build a node that is not yet a member. `boot` is the calendar time of the start in ms.

        Raise `UsageError` when the worker's kinds are too many to be told in one datagram.
        """
        self._config = config
        self._rng = rng
        self._now = now
        self._rooms = open_rooms(config, boot=boot, saved=saved, rng=rng, now=now)
        self._reception = Reception(self._rooms, tell_members=self._tell_members)
        self._remembered = saved.peers
        """Addresses of members that the disk remembers: tried like seeds as long as this node is alone."""
        self._leadership = Leadership(self._rooms, config.timing)
        self._hosting = Hosting(self._rooms, timing=config.timing, rng=rng, now=now)
        self._join_request = 0
        self._leaving = Leaving(self._rooms, self._hosting, config.timing)
        self._withdrawal = Withdrawal(self._rooms)
        self._seen_plan = self.plan
        self._is_stopped = False
        self._deadline: float | None = None
        """What `next_deadline` found, until an input has been settled."""
        if self.plan.is_evicted(self.run):
            self._begin_new_run(above=self.plan.evicted[config.name])
        self._rooms.outbox.identify(self.run, self.plan.cluster_id)

    # --- inputs -----------------------------------------------------------------------------------

    def receive_packet(self, data: bytes, *, source: Address, now: float) -> None:  # noqa: ARG002  # see below
        """Take one datagram. Hostile bytes are dropped and counted, never raised.

        Nothing is sent to `source`, which can be forged: answers go to the addresses that members give themselves.
        """
        self._receive(data, None, now)

    def packet_refused(self, to: Address, *, now: float) -> None:
        """Take evidence that no process listens at `to`; it accuses nobody, since it can be forged."""
        self._advance(now)
        if not self._is_stopped:
            self._rooms.detector.packet_refused(to, now)
            self._settle()

    def receive_frame(self, stream: int, data: bytes, *, now: float) -> None:
        """Take one frame. Streams that the node opened are positive; the driver numbers incoming ones from -1 down."""
        self._receive(data, stream, now)

    def stream_closed(self, stream: int, *, now: float) -> None:
        """The other side closed, the connection broke, or it could never be made."""
        self._advance(now)
        self._rooms.syncer.stream_closed(stream)
        self._rooms.joining.stream_closed(stream, now)
        self._rooms.detector.stream_closed(stream, now)
        self._settle()

    def fire_timers(self, *, now: float) -> None:
        """Act on every timer due by `now`. Calling late is safe; early is a no-op."""
        self._advance(now)
        if self._is_stopped:
            return
        self._rooms.joining.fire_timers(now)
        self._rooms.membership.fire_timers(now)
        self._rooms.detector.fire_timers(now)
        is_alone = self._rooms.membership.table.live_count <= 1
        self._rooms.syncer.fire_timers(now, seeds=self._config.seeds + (self._remembered if is_alone else ()))
        self._rooms.addresses.fire_timers(now)
        self._rooms.council.fire_timers(now)
        if self._rooms.founding.next_deadline() <= now:  # else the live members need not be gathered for it
            self._rooms.founding.consider(self._rooms.membership.table.live(), now)
        for status in self._rooms.local.fire_timers(now):
            self._rooms.tell_status(status)
        self._rooms.requests.fire_timers(now)
        self._rooms.conversation.fire_timers(now)
        self._hosting.fire_timers(now)
        if self._leadership.review_at() <= now:
            self._rooms.must_decide = True
        if self._leaving.is_over(now):
            self._stop()
        self._settle()

    def next_deadline(self) -> float:
        """Return when `fire_timers` wants to be called next, on the clock of `now`. Cheap to ask again."""
        if self._deadline is None:
            self._deadline = FOREVER if self._is_stopped else self._earliest()
        return self._deadline

    def _earliest(self) -> float:
        return min(
            self._rooms.joining.next_deadline(),
            self._rooms.membership.next_deadline(),
            self._rooms.detector.next_deadline(),
            self._rooms.syncer.next_deadline(),
            self._rooms.addresses.next_deadline(),
            self._rooms.council.next_deadline(),
            self._rooms.founding.next_deadline(),
            self._rooms.local.next_deadline(),
            self._rooms.requests.next_deadline(),
            self._rooms.conversation.next_deadline(),
            self._leadership.review_at(),
            self._hosting.next_deadline(),
            self._leaving.next_deadline(),
        )

    def take_effects(self) -> list[Effect]:
        """Return, and forget, the effects since the last call. The caller owns the list; order matters."""
        return self._rooms.outbox.take()

    # --- commands ---------------------------------------------------------------------------------

    def join(self, request: int, *, now: float) -> None:
        """Become a member. Answered when a seed has answered (or there is none), or with why it was refused."""
        self._advance(now)
        self._join_request = request
        self._rooms.joining.start(now)
        self._settle()

    def submit(self, request: int, job: JobSpec, *, now: float) -> None:
        """Have `job` committed. Answered once it is in the plan here, or with why it was refused. Idempotent."""
        self._advance(now)
        self._rooms.submissions.add(request, job, now)
        self._settle()

    def change(self, request: int, change: Command, *, now: float) -> None:
        """Have a change of the plan committed. Answered once it is in the plan here, or with why it was refused."""
        self._command(request, lambda: self._rooms.changes.add(request, change, now), now)

    def remove(self, request: int, name: str, *, now: float) -> None:
        """Have everybody take a dead member for one that has left. Answered at once, or with why not."""
        self._advance(now)
        if self._is_stopped or not self._rooms.membership.is_announced:
            self._rooms.outbox.put(Answer(request, "name: this worker itself is no member, and nobody listens to it"))
            return
        self._rooms.outbox.put(Answer(request, self._rooms.membership.remove(name, now)))
        self._settle()

    def say(self, request: int, said: Utterance, *, now: float) -> None:
        """Say something for the application; see `Conversation.carry_out` for when it is answered."""
        self._advance(now)
        self._rooms.conversation.carry_out(request, said, now)
        self._settle()

    def resize_council(self, request: int, seats: int, *, now: float) -> None:
        """Have the council get so many seats, 1, 3, 5 or 7. Answered once that is in the plan here, or with why not."""
        self._command(request, lambda: self._rooms.commands.resize(request, seats, now), now)

    def transfer_leadership(self, request: int, to: str, *, now: float) -> None:
        """Have the worker `to` lead. Answered once it does as far as this node knows, or with why not."""
        self._command(request, lambda: self._rooms.commands.transfer(request, to, now), now)

    def recover_council(self, request: int, cluster_id: int, *, now: float) -> None:
        """Go on alone: the council's majority is lost for good, says who repeats the cluster's id. Answered at once.

        For what this gives up see `council/recovering.py`. No other command can lose what was committed.
        """
        self._command(request, lambda: self._rooms.commands.recover(request, cluster_id, now), now)

    def _command(self, request: int, carry_out: Callable[[], None], now: float) -> None:
        self._advance(now)
        if self._is_stopped:
            self._rooms.outbox.put(Answer(request, COMMAND.takes_no_part))
            return
        carry_out()
        self._settle()

    def withdraw(self, request: int, *, within_s: float, now: float) -> None:
        """Have others take over what runs here, and lead in this node's place, before it leaves.

        Answered when that is done, when nobody could take over what is left, or after `within_s`; see `withdrawing.py`.
        """
        self._command(request, lambda: self._withdrawal.begin(request, within_s=within_s, now=now), now)

    def leave(self, request: int, *, now: float) -> None:
        """Stop the at-most-one instances, have another lead if this node does, then say goodbye.

        Answered when enough live members were told; then the driver may stop.
        """
        self._advance(now)
        if self._is_stopped or not self._rooms.membership.is_announced:
            self._rooms.outbox.put(Answer(request, ""))
            return
        self._leaving.begin(request, now)
        self._settle()

    def report(self, said: Report, *, now: float) -> None:
        """Say how an instance on this worker fares. Ignored for an epoch not held here.

        Raise `UsageError` for a value that a status cannot hold. A cause is cut to `CAUSE_BYTES_MAX`.
        """
        said.check()
        self._advance(now)
        status = self._rooms.local.report(said, now)
        if status is not None:
            self._rooms.tell_status(status)
        self._settle()

    # --- joining the rooms ------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        assert now >= self._now, "the clock may stall but must not go back"
        self._now = now

    def _receive(self, data: bytes, stream: int | None, now: float) -> None:
        self._advance(now)
        if not self._is_stopped and self._reception.receive(data, stream, now):
            self._settle()

    def _settle(self) -> None:
        """Let every room see what the others have changed, until nothing changes any more."""
        self._deadline = None
        while not self._is_stopped:
            self._settle_join()
            self._settle_members()
            self._leadership.settle(self._now)
            self._rooms.submissions.settle(self._now)
            self._rooms.changes.settle(self._now)
            is_plan_new = self._settle_plan()
            self._rooms.requests.settle(self._now)
            if is_plan_new:
                continue
            self._hosting.settle(self._now)
            if not self._leaving.settle(self._now) and not self._leadership.decide(self._now):
                self._rooms.detector.wake_gossip(self._now)
                break

    def _settle_join(self) -> None:
        if self._rooms.joining.state is JoinState.REFUSED:
            self._rooms.outbox.put(Answer(self._join_request, self._rooms.joining.refusal))
            self._stop()
        elif self._rooms.joining.state is JoinState.JOINED and not self._rooms.membership.is_announced:
            self._rooms.outbox.identify(self.run, self.plan.cluster_id)
            self._rooms.outbox.persist(BootRecord(self.run.boot))
            # before the run itself: gossip tells the newest first
            self._rooms.conversation.tagging.begin_run()
            self._rooms.membership.announce(self._now)
            self._rooms.detector.start(self._now)
            self._rooms.syncer.start(self._now)
            self._rooms.addresses.start(self._now)
            if self._rooms.joining.seed is not None:
                self._rooms.syncer.ask(self._rooms.joining.seed, self._now)
            grace_s = 2 * self._config.timing.probe_interval_s if self._rooms.joining.seed is not None else 0.0
            self._rooms.founding.begin_new_run(self.run)
            self._rooms.founding.start(self._now + grace_s)
            self._rooms.outbox.put(Answer(self._join_request, ""))

    def _tell_members(self) -> None:
        """Tell the application and the other rooms who has entered another state."""
        changes, self._rooms.membership.changes = self._rooms.membership.changes, []
        for member in changes:
            self._notify(MemberChanged(member))
            self._rooms.conversation.meet(member, self._now)
            self._rooms.must_decide = True
            if member.state.is_gone or member.run.name in self._rooms.membership.replaced:
                self._rooms.council.leader_is_gone(member.run.name, self._now)
        self._rooms.membership.replaced.clear()

    def _settle_members(self) -> None:
        self._tell_members()
        forgotten, self._rooms.membership.forgotten = self._rooms.membership.forgotten, []
        for run in forgotten:
            self._rooms.conversation.tagging.forget(run.name)
            self._notify(MemberForgotten(run))
        if self._rooms.conversation.tagging.take_changed():
            self._rooms.must_decide = True
        if self._rooms.membership.namesakes.outlived_boot >= self.run.boot:
            self._begin_new_run(above=self._rooms.membership.namesakes.outlived_boot)
        later = self._rooms.membership.namesakes.superseded_by
        if later is not None:
            self._notify(Superseded(later.run, later.profile.address))
            goodbye = goodbye_of(self.run, self._rooms.membership.incarnation)  # so that it knows of us
            self._rooms.outbox.send(later.profile.address, goodbye)
            self._stop()

    def _settle_plan(self) -> bool:
        """Follow the plan if it has changed; return whether it has."""
        plan = self.plan
        if plan is self._seen_plan:
            return False
        for decision in plan.decisions:
            if decision.index > self._seen_plan.index:
                self._notify(Decided(decision))
        seen, self._seen_plan = self._seen_plan, plan
        is_fewer = len(plan.assignments) < len(seen.assignments)
        if is_fewer or plan.jobs != seen.jobs or plan.directives.begun != seen.directives.begun:
            self._rooms.forget_past_statuses()
        self._rooms.must_decide = True
        if plan.is_evicted(self.run) and not self._rooms.membership.is_leaving:
            self._begin_new_run(above=plan.evicted[self.run.name])
        self._rooms.outbox.identify(self.run, plan.cluster_id)
        self._hosting.follow_plan(self._now)
        return True

    def _begin_new_run(self, *, above: int) -> None:
        """Go on as a later run: this one was declared gone for good, and what it held is given to others."""
        self._rooms.membership.begin_new_run(boot_after(above, rng=self._rng), self._now)
        self._rooms.outbox.identify(self.run, self.plan.cluster_id)
        if self._rooms.membership.is_announced:
            self._rooms.outbox.persist(BootRecord(self.run.boot))
            self._rooms.conversation.tagging.begin_run()
        self._rooms.detector.begin_new_run()
        self._rooms.founding.begin_new_run(self.run)
        self._hosting.follow_plan(self._now)

    def _stop(self) -> None:
        """Take part no more: refused, superseded or gone. What runs here is stopped."""
        self._leadership.end(self._now)
        self._is_stopped = True
        self._hosting.end(self._now)
        self._rooms.requests.give_up()
        self._rooms.conversation.give_up()
        self._leaving.answer()

    def _notify(self, event: Event) -> None:
        self._rooms.outbox.put(Notify(event))
