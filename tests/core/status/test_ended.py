"""What counts as the end of a copy: the guard of moves asks exactly this. Missed by a mutant."""

from __future__ import annotations

from collections import Counter

import pytest

from swimstream.core.status.table import StatusTable
from swimstream.model.identity import InstanceId, Run
from swimstream.model.plan import Assignment
from swimstream.model.status import InstanceState, InstanceStatus

INSTANCE, RUN = InstanceId("j", "o", 0), Run("a", 1)
HELD = Assignment(instance=INSTANCE, run=RUN, epoch=5)
ENDS = {InstanceState.STOPPED, InstanceState.FAILED, InstanceState.FINISHED}


def table_with(state: InstanceState, epoch: int, run: Run = RUN) -> StatusTable:
    table = StatusTable(Counter())
    table.merge(InstanceStatus(instance=INSTANCE, epoch=epoch, run=run, seq=1, state=state, since_ms=0))
    return table


@pytest.mark.parametrize("state", list(InstanceState), ids=lambda state: state.name.lower())
def test_only_a_final_state_is_an_end_and_being_isolated_is_none(state: InstanceState) -> None:
    assert table_with(state, 5).has_ended(HELD) is (state in ENDS)


@pytest.mark.parametrize("epoch", [4, 6])
def test_the_end_of_an_older_or_newer_copy_says_nothing_of_this_one(epoch: int) -> None:
    assert not table_with(InstanceState.STOPPED, epoch).has_ended(HELD)


@pytest.mark.parametrize("run", [Run("a", 2), Run("b", 1)], ids=str)
def test_what_another_run_says_of_that_epoch_says_nothing_of_this_one(run: Run) -> None:
    assert not table_with(InstanceState.STOPPED, 5, run).has_ended(HELD)


def test_of_what_nobody_has_told_no_end_is_known() -> None:
    assert not StatusTable(Counter()).has_ended(HELD)
