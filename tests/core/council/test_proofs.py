"""How a leader proves to itself and to others that a majority stands (rules 1 to 3 of authority)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.core.council.beacons import ROUNDING_MS
from swimstream.model.changes import ChangeCouncil, Seat
from swimstream.model.identity import Run
from swimstream.wire.council_messages import Append, AppendReply
from tests.core.council.peers import HEARTBEAT_S, MEMORY, Peer, Table, change, seats_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swimstream.wire.council_messages import Beacon

TOKEN = 77


class Chair:
    """A leader of term 2 whose noop is committed, with the moments at which it has sent each of its rounds."""

    def __init__(self, names: str = "abc") -> None:
        self.table = Table(names)
        self.table.elect("a")
        self.leader: Peer = self.table.peers["a"]
        self.sent_at: dict[int, float] = {}
        self.index = self.leader.council.log.commit

    def beat(self) -> int:
        """Send a heartbeat round that nobody answers yet; return its number."""
        self.table.now += HEARTBEAT_S
        self.leader.council.fire_timers(self.table.now)
        [number] = {message.round for message in self.leader.said() if isinstance(message, Append)}
        self.sent_at[number] = self.table.now
        return number

    def ack(self, name: str, number: int, *, index: int | None = None, after_s: float = 0.0, token: int = 0) -> None:
        """Let a follower's answer to a round arrive."""
        self.table.now += after_s
        reply = AppendReply(
            term=2,
            voter=MEMORY,
            round=number,
            success=True,
            index=self.index if index is None else index,
            token=token,
        )
        self.leader.hear(name, reply, self.table.now)

    def change_council(self, names: Iterable[str]) -> None:
        """Append another council, which nobody has acked yet."""
        self.leader.council.propose([ChangeCouncil(council=seats_of(names), reason="", evidence=())], self.table.now)
        self.leader.take()

    def issued(self) -> float:
        """Return when the leader's newest proof was issued, as it may use it itself."""
        self.leader.council.authority.review(self.leader.council.plan, Run("a", 1))
        return self.leader.council.authority.usable_at

    def beacon_to(self, name: str) -> Append:
        """Send one more round; return what a follower is told in it."""
        self.leader.take()
        self.table.now += HEARTBEAT_S
        self.leader.council.fire_timers(self.table.now)
        return next(sent.message for sent in self.leader.take() if sent.to == name and isinstance(sent.message, Append))


# --- rule 1: acks of what was sent at or after `issued` ---------------------------------------------


def test_a_proof_is_issued_when_the_heartbeat_was_sent_that_a_majority_has_acked() -> None:
    chair = Chair()
    number = chair.beat()
    chair.ack("b", number, after_s=0.1)
    assert chair.issued() == chair.sent_at[number]


def test_a_late_ack_of_an_older_heartbeat_proves_nothing_newer() -> None:
    chair = Chair()
    older = chair.beat()
    chair.beat()
    chair.ack("b", older, after_s=0.1)
    assert chair.issued() == chair.sent_at[older]


def test_a_proof_needs_a_majority() -> None:
    chair = Chair("abcde")
    before, number = chair.issued(), chair.beat()
    chair.ack("b", number)
    assert chair.issued() == before
    chair.ack("c", number)
    assert chair.issued() == chair.sent_at[number]


def test_a_proof_is_as_old_as_the_oldest_ack_of_its_majority() -> None:
    chair = Chair("abcde")
    older, newer = chair.beat(), chair.beat()
    chair.ack("b", newer)
    chair.ack("c", older)
    assert chair.issued() == chair.sent_at[older]


def test_a_leader_that_sits_alone_proves_itself_with_every_heartbeat() -> None:
    table = Table("a")
    leader = table.elect("a")
    table.beat("a")
    leader.authority.review(leader.plan, Run("a", 1))
    assert leader.authority.usable_at == table.now


# --- rule 2: the newest council in the log, committed or not ----------------------------------------


def test_the_majority_is_that_of_the_newest_council_in_the_log_not_of_the_committed_one() -> None:
    chair = Chair("abc")
    before = chair.issued()
    chair.change_council("abcd")
    number = chair.beat()
    chair.ack("b", number)
    assert chair.issued() == before, "a majority of three, but not of four"
    chair.ack("c", number)
    assert chair.issued() == chair.sent_at[number]


def test_a_leader_without_a_seat_does_not_count_itself() -> None:
    chair = Chair("abcd")
    before = chair.issued()
    chair.change_council("bcd")
    number = chair.beat()
    chair.ack("b", number)
    assert chair.issued() == before, "one of three"
    chair.ack("c", number)
    assert chair.issued() == chair.sent_at[number]


def test_acks_of_who_has_no_seat_any_more_or_none_yet_do_not_count() -> None:
    chair = Chair("abcd")
    before = chair.issued()
    chair.change_council("abc")
    number = chair.beat()
    chair.ack("d", number)
    assert chair.issued() == before


def test_a_voter_that_has_lost_its_memory_does_not_ack_for_its_former_seat() -> None:
    chair = Chair()
    before, number = chair.issued(), chair.beat()
    reply = AppendReply(term=2, voter=MEMORY + 1, round=number, success=True, index=chair.index)
    chair.leader.hear("b", reply, chair.table.now)
    assert Seat("b", MEMORY + 1) not in chair.leader.council.log.council
    assert chair.issued() == before


# --- rule 3: an entry of the own term first; the index of the making --------------------------------


def test_there_is_no_proof_before_an_entry_of_the_leaders_own_term_has_committed() -> None:
    chair = Chair()
    table, heir = chair.table, chair.table.peers["b"]
    table.now += 100.0
    heir.council.fire_timers(table.now)
    while not heir.council.is_leader:
        for sent in heir.take():
            table.peers[sent.to].hear("b", sent.message, table.now)
            for reply in table.peers[sent.to].take():
                heir.hear(sent.to, reply.message, table.now)
    acked = AppendReply(term=3, voter=MEMORY, round=1, success=True, index=chair.index)
    heir.hear("c", acked, table.now)
    heir.council.authority.review(heir.council.plan, Run("b", 1))
    assert heir.council.log.commit == chair.index, "a majority has acked, but not its noop"
    assert heir.council.authority.usable_at < table.now
    heir.hear("c", attrs.evolve(acked, index=chair.index + 1), table.now)
    heir.council.authority.review(heir.council.plan, Run("b", 1))
    assert heir.council.authority.usable_at == table.now


def test_the_index_of_a_beacon_is_the_commit_index_when_it_was_made() -> None:
    chair = Chair()
    number = chair.beat()
    chair.ack("b", number, token=TOKEN)
    chair.leader.council.propose([change("x")], chair.table.now)
    chair.ack("b", number, index=chair.index + 1, token=TOKEN)
    assert chair.leader.council.log.commit == chair.index + 1
    beacon = beacon_of(chair.beacon_to("b"))
    assert beacon.index == chair.index


# --- what voters are told ---------------------------------------------------------------------------


def beacon_of(append: Append) -> Beacon:
    assert append.beacon is not None
    return append.beacon


def test_a_heartbeat_carries_the_token_of_the_newest_reply_and_the_age_of_its_writing() -> None:
    chair = Chair()
    number = chair.beat()
    chair.ack("b", number, token=TOKEN)
    message = chair.beacon_to("b")
    assert message.echo == TOKEN
    assert beacon_of(message).age_ms == round(1_000 * HEARTBEAT_S) + ROUNDING_MS
    assert beacon_of(chair.beacon_to("b")).age_ms == round(2_000 * HEARTBEAT_S) + ROUNDING_MS


def test_who_has_not_replied_yet_is_told_nothing() -> None:
    chair = Chair("abc")
    table = Table("abc")
    table.cut = {"c"}
    chair.table, chair.leader = table, table.peers["a"]
    table.elect("a")
    assert chair.beacon_to("b").beacon is not None
    assert chair.beacon_to("c").beacon is None


def test_voters_learn_of_the_quorum_by_heartbeats_alone() -> None:
    table = Table("abc")
    table.elect("a")
    table.beat("a", times=4)
    for name in "bc":
        voter = table[name]
        voter.authority.review(voter.plan, Run(name, 1))
        assert table.now - 3 * HEARTBEAT_S < voter.authority.usable_at <= table.now


def test_voters_without_a_leader_learn_of_no_quorum() -> None:
    table = Table("abc")
    table.elect("a")
    table.beat("a", times=4)
    cut_at = table.now
    table.cut = {"b"}
    table.beat("a", times=4)
    table["b"].authority.review(table["b"].plan, Run("b", 1))
    assert table["b"].authority.usable_at <= cut_at
