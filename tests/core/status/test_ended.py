"""What counts as the end of a copy: the guard of moves asks exactly this. Missed by a mutant."""

from __future__ import annotations

from collections import Counter

import pytest

from swimstream.core.status.table import StatusTable
from swimstream.model.identity import InstanceId, Run
from swimstream.model.status import InstanceState, InstanceStatus

INSTANCE = InstanceId("j", "o", 0)
ENDS = {InstanceState.STOPPED, InstanceState.FAILED, InstanceState.FINISHED}


def table_with(state: InstanceState, epoch: int) -> StatusTable:
    table = StatusTable(Counter())
    table.merge(InstanceStatus(instance=INSTANCE, epoch=epoch, run=Run("a", 1), seq=1, state=state, since_ms=0))
    return table


@pytest.mark.parametrize("state", list(InstanceState), ids=lambda state: state.name.lower())
def test_only_a_final_state_is_an_end_and_being_isolated_is_none(state: InstanceState) -> None:
    assert table_with(state, 5).has_ended(INSTANCE, 5) is (state in ENDS)


@pytest.mark.parametrize("epoch", [4, 6])
def test_the_end_of_an_older_or_newer_copy_says_nothing_of_this_one(epoch: int) -> None:
    assert not table_with(InstanceState.STOPPED, epoch).has_ended(INSTANCE, 5)


def test_of_what_nobody_has_told_no_end_is_known() -> None:
    assert not StatusTable(Counter()).has_ended(INSTANCE, 5)
