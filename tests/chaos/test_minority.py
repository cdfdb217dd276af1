"""A minority cut off: what the beats are held against, by doctored beats; and the network in namespaces itself."""

from __future__ import annotations

import json

import attrs
import pytest
from click.testing import CliRunner

from chaos.minority.operators import LEAST, ONCE
from chaos.minority.run import Outcome, document, main
from chaos.minority.verdict import Beat, Trial, judge, longest_gap_s, overlaps, read_beats

CUT, HEALED, END = 100.0, 120.0, 130.0
TRIAL = Trial(
    minority=("w1",),
    had_leader=False,
    isolation_s=4.0,
    cut_at=CUT,
    healed_at=HEALED,
    seen_at=CUT + 2,
    whole_at=HEALED + 1,
    settle_s_max=60.0,
    ended_at=END,
)


def beats(operator: str, epoch: int, worker: str, *, since: float, until: float, index: int = 0) -> list[Beat]:
    count = round((until - since) * 10)
    return [Beat(since + number / 10, operator, index, epoch, worker) for number in range(count + 1)]


def told(*spans: list[Beat]) -> list[Beat]:
    return sorted((beat for span in spans for beat in span), key=lambda beat: beat.at)


STOPPED = beats(ONCE, 5, "w1", since=90, until=CUT + 3.2)
MOVED = beats(ONCE, 9, "w2", since=CUT + 9, until=END)
BOTH_SIDES = told(
    beats(LEAST, 6, "w1", since=90, until=HEALED + 0.4), beats(LEAST, 8, "w2", since=CUT + 4, until=END),
    beats(ONCE, 7, "w2", since=90, until=END, index=1), beats(LEAST, 6, "w2", since=90, until=END, index=1),
)  # fmt: skip
RIGHT = told(STOPPED, MOVED, BOTH_SIDES)


def missed(beats: list[Beat], trial: Trial = TRIAL) -> list[str]:
    targets = judge(trial, beats, instances=2)
    return [target.claim.partition(": ")[2] for target in targets if target.met is not True]


def test_a_copy_that_stops_in_time_and_moves_afterwards_is_right() -> None:
    assert missed(RIGHT) == []


def test_a_beat_after_the_authority_has_run_out_is_missed() -> None:
    late = told(beats(ONCE, 5, "w1", since=90, until=CUT + 4.2), MOVED, BOTH_SIDES)
    assert any("last at-most-one beat" in claim for claim in missed(late))


def test_a_resumed_copy_beside_its_successor_is_missed() -> None:
    again = told(RIGHT, beats(ONCE, 5, "w1", since=HEALED + 1, until=HEALED + 1.2))
    assert any("two copies" in claim for claim in missed(again))
    assert overlaps(again) == 3


def test_one_epoch_at_two_workers_is_an_overlap_and_a_restart_at_one_is_none() -> None:
    assert overlaps(told(STOPPED, beats(ONCE, 5, "w2", since=CUT + 5, until=CUT + 5.3))) == 4
    assert overlaps(told(STOPPED, beats(ONCE, 5, "w1", since=CUT + 5, until=CUT + 5.3))) == 0
    assert overlaps(beats(LEAST, 6, "w1", since=1, until=2) + beats(LEAST, 5, "w2", since=2, until=3)) == 0


def test_an_at_least_one_operator_that_pauses_on_either_side_is_missed() -> None:
    silent = [beat for beat in RIGHT if beat.operator != LEAST or not CUT + 5 < beat.at < CUT + 7]
    assert sum("at-least-one" in claim for claim in missed(silent)) == 2


def test_a_gap_lasts_until_the_end_of_the_window_and_silence_from_the_start_is_endless() -> None:
    assert longest_gap_s(beats(LEAST, 1, "w", since=9.5, until=12), since=10, until=20) == pytest.approx(8.0)
    assert longest_gap_s([], since=10, until=20) == float("inf")


def test_a_minority_that_ran_nothing_at_most_once_shows_nothing() -> None:
    assert any("ran there before" in claim for claim in missed(told(MOVED, BOTH_SIDES)))


def test_what_runs_twice_or_not_at_all_in_the_end_is_missed() -> None:
    twice = told(RIGHT, beats(LEAST, 6, "w1", since=END - 0.5, until=END))
    gone = [beat for beat in RIGHT if beat.at < END - 5 or beat.operator != LEAST]
    for wrong in (twice, gone):
        assert any("exactly one copy" in claim for claim in missed(wrong))


def test_views_that_never_heal_are_missed_and_can_be_written() -> None:
    trial = attrs.evolve(TRIAL, whole_at=float("inf"), seen_at=float("inf"))
    assert any("all alive" in claim for claim in missed(RIGHT, trial))
    outcome = Outcome(trials=[trial], targets=judge(trial, RIGHT, instances=2))
    json.dumps(document(outcome, wanted=1, conditions={}), allow_nan=False)


def test_a_run_without_its_trials_is_not_ok() -> None:
    assert not Outcome().is_ok(wanted=1)
    assert not Outcome().is_ok(wanted=0)
    good = Outcome(trials=[TRIAL], targets=[target for target in judge(TRIAL, RIGHT, instances=2) if target.met])
    assert good.is_ok(wanted=1)
    assert not attrs.evolve(good, failures=["w1 ended with status 1"]).is_ok(wanted=1)


def test_beats_are_read_by_time_and_an_incomplete_line_is_left_out() -> None:
    text = "2.000000 once 0 5 w1\n1.000000 least 3 6 w2\n3.000000 once 0 5"
    assert read_beats(text) == [Beat(1.0, "least", 3, 6, "w2"), Beat(2.0, "once", 0, 5, "w1")]


def test_a_machine_without_namespaces_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.minority.lab.shutil.which", lambda tool: None if tool == "ip" else tool)
    done = CliRunner().invoke(main, [])
    assert done.exit_code == 2
    assert "not judged: Linux with ip is needed" in done.output
