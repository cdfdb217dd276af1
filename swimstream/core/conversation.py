"""Broadcasts, messages and queries: joins the parts of `talk` with membership, gossip and the application.

Everything rides on what is there already: what is for all is gossip, behind news of members; what is for one goes
straight to the address that the member gave itself. Only members may speak: what names a run that this worker has
not heard of is dropped and counted. Peers that speak an older protocol skip what they do not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from swimstream.core.effects import Answer, Notify, QueryAnswered
from swimstream.core.membership.gossip import SPOKEN
from swimstream.core.tagging import Tagging
from swimstream.core.talk.broadcasts import Broadcasts
from swimstream.core.talk.letters import LETTER_PATIENCE_S, LETTERS_MAX, Letters
from swimstream.core.talk.queries import (
    ANSWER_SPEAKS,
    ASKED_MAX,
    Queries,
    is_asked,
    result_of,
    still_silent,
)
from swimstream.events import BroadcastReceived, MessageReceived, QueryReceived
from swimstream.model.talk import PING_TOPIC, AnswerTo, Ask, Say, Send, SetTags
from swimstream.wire.codec import encode_message
from swimstream.wire.messages import Broadcast, Letter, LetterReceipt, Query, QueryReply, TagUpdate

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable

    from swimstream.config import NodeConfig
    from swimstream.core.membership.membership import Membership
    from swimstream.core.outbox import Outbox
    from swimstream.core.talk.heard import Key
    from swimstream.core.talk.queries import Asked
    from swimstream.events import Event
    from swimstream.model.identity import Run
    from swimstream.model.member import Member
    from swimstream.model.talk import Question, Utterance

    Service = Callable[[Question, Run, float], bytes | None]


class Conversation:
    """What one node's application says and hears. Bounded by the parts; nobody who is no member is listened to."""

    def __init__(
        self,
        membership: Membership,
        outbox: Outbox,
        *,
        config: NodeConfig,
        counters: Counter[str],
    ) -> None:
        """Begin with nothing said but the configured tags; raise `UsageError` for one too long for a datagram."""
        self._fragment_bytes_max = config.timing.packet_bytes_max // 2
        self.tagging = Tagging(
            membership, outbox, tags=config.tags, fragment_bytes_max=self._fragment_bytes_max, counters=counters
        )
        self._tags = self.tagging.table
        self._membership = membership
        self._outbox = outbox
        self._counters = counters
        self._broadcasts = Broadcasts(counters)
        self._letters = Letters(counters, boot=membership.run.boot)
        self._queries = Queries(counters, boot=membership.run.boot)
        self._services: dict[str, Service] = {PING_TOPIC: lambda *_: b""}
        self._unaskable: dict[str, str] = {}
        self._is_over = False

    def serve(self, topic: str, service: Service) -> None:
        """Answer questions of a topic of the library's own by `service(question, sender, now)`; None: no answer."""
        assert topic.startswith("_"), "other topics are the applications'"
        self._services[topic] = service

    def hand_out(self, topic: str) -> None:
        """Hand questions of a topic of the library's own to the driver, by an event, to be answered when it can."""

        def tell(question: Question, _sender: Run, _now: float) -> None:
            self._notify(QueryReceived(question))

        self.serve(topic, tell)

    def never_ask(self, topic: str, why: str) -> None:
        """Refuse to put questions of a topic; `why` is the answer to who wants to."""
        self._unaskable[topic] = why

    # --- what the application says ----------------------------------------------------------------

    def carry_out(self, request: int, said: Utterance, now: float) -> None:
        """Say it. Answered at once, or a message when it has arrived, a question when enough have answered."""
        error: str | None
        if self._is_over:
            error = "this worker takes part no more"
        elif isinstance(said, SetTags):
            error = self.tagging.change(said.changes)
        elif not self._membership.is_announced:
            error = "this worker has not joined yet"
        else:
            match said:
                case Say():
                    error = self._say(said, now)
                case Send():
                    error = self._send(request, said, now)
                case Ask():
                    error = self._ask(request, said, now)
                case AnswerTo():
                    error = self._queries.answer(said.question, said.payload, now)
                    if not error:
                        self._send_answer(said.question, said.payload, now)
                case _:
                    assert_never(said)
        if error is not None:
            self._outbox.put(Answer(request, error))

    def _say(self, said: Say, now: float) -> str:
        run = self._membership.run
        broadcast = self._broadcasts.say(run, said.topic, said.payload, bytes_max=self._fragment_bytes_max)
        if broadcast is None:
            return self._too_long
        self._hear_broadcast(broadcast, now)
        return ""

    def _send(self, request: int, said: Send, now: float) -> str | None:
        member = self._membership.table.get(said.to)
        if member is None:
            return f"to: no member is named {said.to!r}"
        if member.state.is_gone:
            return f"to: {member.run} is held {member.state.name.lower()}"
        if member.run == self._membership.run:
            self._notify(MessageReceived(member.run, said.topic, said.payload))
            return ""
        if member.profile.speaks < ANSWER_SPEAKS:
            return f"to: {member.run} is of an older version, which takes no messages"
        if not self._letters.post(request, member.run, said.topic, said.payload, now):
            return f"to: expected at most {LETTERS_MAX} messages on their way at a time"
        self._send_letters(now)
        return None

    def _ask(self, request: int, said: Ask, now: float) -> str | None:
        if self._queries.is_full:
            return f"query: expected at most {ASKED_MAX} open at a time"
        if said.topic in self._unaskable:
            return self._unaskable[said.topic]
        unknown = [name for name in said.names if name not in self._membership.table]
        if unknown:
            return f"names: no member is named {unknown[0]!r}"
        question = self._queries.draft(self._membership.run, said)
        fragment = encode_message(Query(question=question))
        if len(fragment) > self._fragment_bytes_max:
            return self._too_long
        self._queries.open(request, question, now)
        self._queries.hear(question, now)
        self._spread(_subject("q", question.origin, question.number), fragment)
        self._consider(question, question.origin, now)
        self._look_at_queries(now)
        return None

    @property
    def _too_long(self) -> str:
        return f"payload: too long beside the topic and names; expected at most {self._fragment_bytes_max} B encoded"

    # --- what is heard ----------------------------------------------------------------------------

    def hear(self, update: TagUpdate | Broadcast | Query, sender: Run, now: float) -> None:
        """Take what is for everybody. Before this worker has joined, it only learns what was said before it came."""
        match update:
            case TagUpdate():
                self.tagging.hear(update)
            case Broadcast(origin=origin):
                if origin == self._membership.run:
                    if self._broadcasts.lacking([(origin, update.number)]):
                        self._counters["broadcasts_forged"] += 1
                elif not self._membership.is_announced or self._may_speak(origin):
                    self._hear_broadcast(update, now)
            case Query(question=question):
                is_own = question.origin == self._membership.run
                if self._membership.is_announced and not is_own and self._may_speak(question.origin):
                    self._hear_query(question, sender, now)

    def _may_speak(self, origin: Run) -> bool:
        """Return whether `origin` is a run, or an earlier run, of a member; what it said may outlive it."""
        member = self._membership.table.get(origin.name)
        if member is not None and origin.boot <= member.run.boot:
            return True
        self._counters["talk_of_strangers"] += 1
        return False

    def _hear_broadcast(self, broadcast: Broadcast, now: float) -> None:
        fragment = self._broadcasts.hear(broadcast, now)
        if fragment is None or not self._membership.is_announced:
            return
        self._spread(_subject("b", broadcast.origin, broadcast.number), fragment)
        if not broadcast.topic.startswith("_"):
            self._notify(BroadcastReceived(broadcast.origin, broadcast.time, broadcast.topic, broadcast.payload))

    def _hear_query(self, question: Question, sender: Run, now: float) -> None:
        if self._queries.hear(question, now):
            self._spread(_subject("q", question.origin, question.number), encode_message(Query(question=question)))
            self._consider(question, sender, now)
        elif sender == question.origin:
            again = self._queries.given_answer(question, now)
            if again is not None:
                self._send_answer(question, again, now)

    def _consider(self, question: Question, sender: Run, now: float) -> None:
        """Answer a question, or hand it to the application, if it is for this worker."""
        name = self._membership.run.name
        if not is_asked(question, name, self._tags.of(name)):
            return
        self._queries.expect_answer(question, now)
        if not question.topic.startswith("_"):
            self._notify(QueryReceived(question))
        elif question.topic not in self._services:
            self._counters["queries_unserved"] += 1
        else:
            payload = self._services[question.topic](question, sender, now)
            if payload is not None and not self._queries.answer(question, payload, now):
                self._send_answer(question, payload, now)

    def _send_answer(self, question: Question, payload: bytes, now: float) -> None:
        if question.origin == self._membership.run:
            self._queries.receive_answer(question.origin.name, question.number, payload)
            self._look_at_queries(now)
            return
        asker = self._membership.table.get_run(question.origin)
        if asker is not None:
            self._outbox.send(asker.profile.address, QueryReply(number=question.number, payload=payload))

    def receive(self, sender: Run, message: QueryReply | Letter | LetterReceipt, now: float) -> None:
        """Take what was sent to this worker alone."""
        member = self._membership.table.get_run(sender)
        if member is None:
            self._counters["talk_of_strangers"] += 1
            return
        match message:
            case QueryReply():
                self._queries.receive_answer(sender.name, message.number, message.payload)
                self._look_at_queries(now)
            case Letter():
                self._receive_letter(member, message, now)
            case LetterReceipt():
                request = self._letters.receive_receipt(sender, message.number)
                if request is not None:
                    self._outbox.put(Answer(request, ""))

    def _receive_letter(self, sender: Member, letter: Letter, now: float) -> None:
        if letter.to != self._membership.run:
            self._counters["letters_for_others"] += 1
            return
        if self._letters.hear(sender.run, letter, now) and not letter.topic.startswith("_"):
            self._notify(MessageReceived(sender.run, letter.topic, letter.payload))
        if self._letters.was_told(sender.run, letter.number):
            self._outbox.send(sender.profile.address, LetterReceipt(number=letter.number))

    # --- what sync compares -----------------------------------------------------------------------

    def heard_broadcasts(self) -> tuple[Key, ...]:
        """Return origin and number of every broadcast that is remembered, sorted."""
        return self._broadcasts.keys()

    def broadcast_fragments(self, keys: Iterable[Key]) -> list[bytes]:
        """Return the broadcasts of these origins and numbers that are remembered, encoded."""
        return self._broadcasts.fragments(keys)

    def broadcasts_lacking(self, keys: Iterable[Key]) -> tuple[Key, ...]:
        """Return those of `keys` that were never heard here and would be believed."""
        table = self._membership.table
        return tuple(
            key
            for key in self._broadcasts.lacking(keys)
            if key[0] != self._membership.run
            and (member := table.get(key[0].name)) is not None
            and key[0].boot <= member.run.boot
        )

    # --- members and time -------------------------------------------------------------------------

    def meet(self, member: Member, now: float) -> None:
        """Look at a member that has entered a new state: nobody waits for who is gone."""
        self.tagging.meet(member)
        self._give_up_letters(now)
        self._look_at_queries(now)

    def fire_timers(self, now: float) -> None:
        """Send again, give up and forget what is due."""
        self._give_up_letters(now)
        self._send_letters(now)
        self._look_at_queries(now)
        self._broadcasts.forget_old(now)

    def next_deadline(self) -> float:
        """Return when `fire_timers` wants to be called next. What is only forgotten waits for the next call."""
        return min(self._letters.next_deadline(), self._queries.next_deadline())

    def give_up(self) -> None:
        """Answer everything: this worker takes part no more."""
        self._is_over = True
        for posted in self._letters.waiting():
            self._outbox.put(Answer(self._letters.settle(posted), "to: this worker takes part no more"))
        for asked in self._queries.asked():
            self._finish(asked)

    def _give_up_letters(self, now: float) -> None:
        for posted in self._letters.waiting():
            to = posted.letter.to
            member = self._membership.table.get_run(to)
            if member is None or member.state.is_gone:
                self._outbox.put(Answer(self._letters.settle(posted), f"to: {to} is gone; it may have arrived or not"))
            elif posted.ends_at <= now:
                error = f"to: {to} has not confirmed it within {LETTER_PATIENCE_S:g} s; it may have arrived or not"
                self._outbox.put(Answer(self._letters.settle(posted), error))

    def _send_letters(self, now: float) -> None:
        for letter in self._letters.due(now):
            member = self._membership.table.get_run(letter.to)
            if member is not None:
                self._outbox.send(member.profile.address, letter)

    def _look_at_queries(self, now: float) -> None:
        """Finish the questions that are answered or over; ask silent members directly."""
        for asked in self._queries.asked():
            silent = still_silent(asked, self._membership.table.live(), self._tags.all())
            first = next(silent, None)  # the first is found soon, all of them only when they are asked again
            if first is None or asked.ends_at <= now:
                self._finish(asked)
                continue
            if asked.nudge_at > now:
                continue
            others = [name for name in (first, *silent) if name != self._membership.run.name]
            for name in self._queries.nudges(asked, others, now):
                address = self._membership.table.address_of(name)
                if address is not None:
                    self._outbox.send(address, Query(question=asked.question))

    def _finish(self, asked: Asked) -> None:
        self._queries.close(asked)
        self._outbox.put(QueryAnswered(asked.request, result_of(asked, self._membership.table, self._tags.all())))

    def _spread(self, subject: str, fragment: bytes) -> None:
        self._membership.gossip.push(subject, fragment, lane=SPOKEN)

    def _notify(self, event: Event) -> None:
        self._outbox.put(Notify(event))


def _subject(kind: str, run: Run, number: int) -> str:
    return f"{kind}/{run}/{number}"
