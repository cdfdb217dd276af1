"""Two changes of the council in one batch, either of which would be admitted alone. Missed by a mutant."""

from __future__ import annotations

from swimstream.model.changes import ChangeCouncil
from tests.core.council.peers import Table, seats_of


def test_of_two_sound_changes_in_one_batch_only_the_first_is_appended() -> None:
    table = Table("abc", seatless="de")
    leader = table.elect("a")
    one, other = (ChangeCouncil(council=seats_of(names), reason="test", evidence=()) for names in ("abcd", "abce"))
    leader.propose([one, other], table.now)
    assert leader.log.council == seats_of("abcd")
    table.deliver()
    assert [each.change for each in table.peers["a"].entries() if isinstance(each.change, ChangeCouncil)] == [one]
