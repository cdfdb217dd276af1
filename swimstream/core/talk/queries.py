"""Questions to many, after Serf's queries: spread by gossip, answered straight to the asker, collected for a while.

Gossip may lose a question and a datagram an answer. So the asker puts its question directly to those of whom it has
not heard, a few at a time, and who is asked again by the asker itself repeats what it has answered.

Numbers begin at the boot of the process, so that an answer to an earlier process of the same name and place is no
answer to this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.core.talk.heard import Heard
from swimstream.model.member import MemberState
from swimstream.model.talk import QueryResult, Question

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Iterator, Mapping

    from swimstream.core.talk.heard import Key
    from swimstream.model.identity import Run
    from swimstream.model.member import Member
    from swimstream.model.talk import Ask

ASKED_MAX = 64
"""Questions of this worker's own that are open at a time."""
COLLECTED_BYTES_MAX = 8 * 1024 * 1024
"""Answers to all of them together."""
HEARD_MAX = 512
HEARD_KEEP_S = 300.0
ANSWERABLE_MAX = 512
"""Questions that wait for an answer of this worker's application."""
KEPT_BYTES_MAX = 1024 * 1024
"""Answers that were given and may have to be given again; beyond that the oldest go."""
NUDGE_S = 1.0
NUDGES_MAX = 16
"""Silent workers that are asked directly each `NUDGE_S`."""
ANSWER_SPEAKS = 2
"""What a worker must speak to understand a question."""


@attrs.define(kw_only=True)
class Asked:
    """One open question of this worker's own."""

    request: int
    question: Question
    ends_at: float
    nudge_at: float
    nudged: str = ""
    """The last one that was asked directly."""
    answers: dict[str, bytes] = attrs.field(factory=dict)


@attrs.define
class _Answerable:
    until: float
    answer: bytes | None = None


class Queries:
    """What this worker asks, and what it is asked."""

    def __init__(self, counters: Counter[str], *, boot: int) -> None:
        """Begin with no questions."""
        self._counters = counters
        self._number = boot
        self._asked: dict[int, Asked] = {}
        self._collected_bytes = 0
        self._heard = Heard(items_max=HEARD_MAX, keep_s=HEARD_KEEP_S, counters=counters, counter="queries_dropped")
        self._answerable: dict[Key, _Answerable] = {}
        self._kept_bytes = 0

    # --- asking -----------------------------------------------------------------------------------

    def draft(self, origin: Run, ask: Ask) -> Question:
        """Return the question that `open` would ask next."""
        return Question(
            origin=origin,
            number=self._number + 1,
            topic=ask.topic,
            payload=ask.payload,
            patience_ms=max(1, round(ask.patience_s * 1_000)),
            names=ask.names,
            tag=ask.tag,
        )

    @property
    def is_full(self) -> bool:
        """Return whether as many questions are open as may be."""
        return len(self._asked) >= ASKED_MAX

    def open(self, request: int, question: Question, now: float) -> None:
        """Wait for answers; those who are named are asked directly at once."""
        assert not self.is_full
        self._number = question.number
        self._asked[question.number] = Asked(
            request=request,
            question=question,
            ends_at=now + question.patience_ms / 1_000,
            nudge_at=now if question.names else now + NUDGE_S,
        )

    def asked(self) -> list[Asked]:
        """Return the open questions, the oldest first."""
        return list(self._asked.values())

    def receive_answer(self, name: str, number: int, payload: bytes) -> None:
        """Take an answer to one of them; what comes late, twice or is too much is counted and dropped."""
        asked = self._asked.get(number)
        if asked is None:
            self._counters["answers_late"] += 1
        elif name in asked.answers:
            self._counters["answers_repeated"] += 1
        elif asked.question.names and name not in asked.question.names:
            self._counters["answers_unasked"] += 1
        elif self._collected_bytes + len(payload) > COLLECTED_BYTES_MAX:
            self._counters["answers_dropped"] += 1
        else:
            asked.answers[name] = payload
            self._collected_bytes += len(payload)

    def close(self, asked: Asked) -> None:
        """Wait no longer."""
        del self._asked[asked.question.number]
        self._collected_bytes -= sum(map(len, asked.answers.values()))

    # --- answering --------------------------------------------------------------------------------

    def hear(self, question: Question, now: float) -> bool:
        """Return whether a question has not been heard before."""
        return self._heard.take((question.origin, question.number), now)

    def expect_answer(self, question: Question, now: float) -> None:
        """Let the question be answered while the asker waits."""
        if len(self._answerable) >= ANSWERABLE_MAX:
            oldest = next(iter(self._answerable))
            if self._waiting(oldest, now) is not None:
                self._counters["queries_dropped"] += 1
                self._drop(oldest)
        self._answerable[question.origin, question.number] = _Answerable(now + question.patience_ms / 1_000)

    def answer(self, question: Question, payload: bytes, now: float) -> str:
        """Note the answer to a question; return why it must not be sent, or nothing."""
        held = self._waiting((question.origin, question.number), now)
        if held is None:
            return "question: this worker was not asked, or the asker does not wait any more"
        if held.answer is not None:
            return "question: it has been answered already"
        held.answer = payload
        self._kept_bytes += len(payload)
        for key, older in list(self._answerable.items()):
            if self._kept_bytes > KEPT_BYTES_MAX and older.answer is not None and older is not held:
                self._drop(key)
        return ""

    def given_answer(self, question: Question, now: float) -> bytes | None:
        """Return what was answered, if it is still of use."""
        held = self._waiting((question.origin, question.number), now)
        return held.answer if held is not None else None

    def _waiting(self, key: Key, now: float) -> _Answerable | None:
        """Return what is held of a question, if its asker still waits; else forget it."""
        held = self._answerable.get(key)
        if held is not None and held.until <= now:
            self._drop(key)
            return None
        return held

    def _drop(self, key: Key) -> None:
        held = self._answerable.pop(key)
        self._kept_bytes -= len(held.answer or b"")

    # --- time -------------------------------------------------------------------------------------

    def nudges(self, asked: Asked, silent: list[str], now: float) -> list[str]:
        """Return whom to ask directly: a few of the silent ones, in turn."""
        asked.nudge_at = now + NUDGE_S
        later = [name for name in silent if name > asked.nudged]
        chosen = [*later, *(name for name in silent if name <= asked.nudged)][:NUDGES_MAX]
        asked.nudged = chosen[-1] if chosen else ""
        return chosen

    def next_deadline(self) -> float:
        """Return when a question ends or somebody must be asked directly."""
        return min((min(asked.ends_at, asked.nudge_at) for asked in self._asked.values()), default=float("inf"))


def is_asked(question: Question, name: str, tags: Mapping[str, str]) -> bool:
    """Return whether the worker of that name, with those tags, is meant by a question."""
    if question.names and name not in question.names:
        return False
    return question.tag is None or tags.get(question.tag[0]) == question.tag[1]


def still_silent(asked: Asked, live: Iterable[Member], tags: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Yield which live members that can answer have not, sorted by name as `live` is."""
    for member in live:
        name = member.run.name
        if member.profile.speaks < ANSWER_SPEAKS or name in asked.answers:
            continue
        if is_asked(asked.question, name, tags.get(name, {})):
            yield name


def result_of(asked: Asked, members: Iterable[Member], tags: Mapping[str, Mapping[str, str]]) -> QueryResult:
    """Return what has come back so far. Who has left is missed only if it was named."""
    silent, away = [], []
    for member in members:
        name = member.run.name
        if name in asked.answers or not is_asked(asked.question, name, tags.get(name, {})):
            continue
        if not member.state.is_gone:
            silent.append(name)
        elif member.state is MemberState.DEAD or asked.question.names:
            away.append(name)
    answers = {name: asked.answers[name] for name in sorted(asked.answers)}
    return QueryResult(answers=answers, silent=tuple(silent), away=tuple(away))
