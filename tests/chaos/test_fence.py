"""The judge of paused operators, and one pause in earnest."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import attrs
import pytest

from chaos.fence.alone import try_alone
from chaos.fence.judge import Execution, Trial, Verdict, judge, newest_epoch, read_executions
from chaos.fence.run import report

if TYPE_CHECKING:
    from pathlib import Path

PAUSED = Execution(epoch=5, pid=10, worker="w1", stamps=(1.0, 2.0), refusals=0)
LATER = Execution(epoch=7, pid=20, worker="w2", stamps=(6.0, 7.0), refusals=0)
TRIAL = Trial(epoch=5, pid=10, stopped_at=2.0, deadline=4.5, moved_s=4.0)


def test_an_operator_that_is_silent_from_its_pause_on_has_leaked_nothing() -> None:
    verdict = judge([TRIAL], [PAUSED, LATER], [5, 5, 7, 7])
    assert verdict == Verdict(trials=1, late=0, overlaps=0, stale=0, refusals=0)
    assert verdict.ok


def test_an_attempt_after_the_deadline_is_late() -> None:
    leaked = attrs.evolve(PAUSED, stamps=(1.0, 2.0, 4.5))
    verdict = judge([TRIAL], [leaked, LATER], [5, 5, 7, 7])
    assert (verdict.late, verdict.overlaps, verdict.ok) == (1, 0, False)


def test_an_attempt_between_the_pause_and_the_deadline_is_not_late() -> None:
    assert judge([TRIAL], [attrs.evolve(PAUSED, stamps=(1.0, 4.4)), LATER], []).ok


def test_an_attempt_beside_a_later_execution_overlaps_even_if_nobody_paused_it() -> None:
    other = attrs.evolve(PAUSED, pid=11, stamps=(1.0, 6.5))
    verdict = judge([TRIAL], [PAUSED, other, LATER], [])
    assert (verdict.late, verdict.overlaps, verdict.ok) == (0, 1, False)


def test_the_same_epoch_anew_counts_as_a_later_execution() -> None:
    anew = attrs.evolve(PAUSED, pid=12, stamps=(1.5, 3.0))
    assert judge([TRIAL], [PAUSED, anew], []).overlaps == 1


def test_a_row_under_an_older_token_is_stale() -> None:
    verdict = judge([TRIAL], [PAUSED, LATER], [5, 7, 5, 7, 5])
    assert (verdict.stale, verdict.ok) == (2, False)


def test_nothing_tried_is_not_ok() -> None:
    assert not judge([], [PAUSED], [5]).ok
    assert report(None, None, [], why="")["ok"] is False


def test_a_trial_that_came_to_nothing_is_not_ok() -> None:
    good = judge([TRIAL], [PAUSED, LATER], [5, 7])
    assert report(good, good, [TRIAL], why="")["ok"] is True
    assert report(good, good, [TRIAL], why="it runs elsewhere: not within 90 s")["ok"] is False


def test_stamps_are_read_without_the_half_line_of_a_killed_process(tmp_path: Path) -> None:
    (tmp_path / "5.10.w1.stamps").write_text("1.0\n2.0\nrefused\n3.")
    (tmp_path / "12.20.w2.stamps").write_text("6.0\n")
    assert read_executions(tmp_path)[0] == attrs.evolve(PAUSED, refusals=1)
    assert [each.epoch for each in read_executions(tmp_path, epoch_min=newest_epoch(tmp_path))] == [12]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel enforces the fence on Linux only")
def test_an_operator_that_is_paused_past_its_deadline_attempts_nothing_more(tmp_path: Path) -> None:
    said: list[str] = []
    # the operator must have started before its first deadline, or it never does: 10 s will do on a busy machine too
    verdict = try_alone(1, isolation_s=10.0, directory=tmp_path, say=said.append)
    assert verdict == Verdict(trials=1, late=0, overlaps=0, stale=0, refusals=0)
    assert said == ["alone 1/1: 0 attempts after the deadline"]
