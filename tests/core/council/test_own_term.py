"""The own-term rule by itself: no other rule stands in for it once the founding is committed. Missed by a mutant."""

from __future__ import annotations

from swimstream.model.changes import ChangeCouncil
from swimstream.wire.council_messages import Append
from tests.core.council.peers import ELECTION_S, Table, seats_of


def campaign(table: Table, name: str) -> None:
    """Let `name` win an election, and lose all that it sends as a leader."""
    table.now += 10 * ELECTION_S
    table[name].fire_timers(table.now)
    others = [each for each in table.peers if each != name]
    while not table[name].is_leader:
        for sent in table.peers[name].take():
            if not isinstance(sent.message, Append):
                table.peers[sent.to].hear(name, sent.message, table.now)
        for other in others:
            for sent in table.peers[other].take():
                if sent.to == name:
                    table.peers[name].hear(other, sent.message, table.now)


def test_a_leader_with_a_settled_council_changes_it_only_after_an_entry_of_its_own_term() -> None:
    table = Table("abc", seatless="d")
    table.elect("a")
    campaign(table, "b")
    leader = table["b"]
    assert leader.log.commit > 0
    assert leader.log.is_council_settled
    assert leader.log.plan.term < leader.term
    leader.propose([ChangeCouncil(council=seats_of("abcd"), reason="test", evidence=())], table.now)
    assert "".join(seat.name for seat in leader.log.council) == "abc"
    assert table.peers["b"].counters["council_changes_refused"] == 1
