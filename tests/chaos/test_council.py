"""Killed leaders: what is read out of the others' reports, and what they are held against."""

from __future__ import annotations

import json
import sys

import attrs
import pytest

from chaos.council.cluster import NEW_LEADER, Kill, Seen, told
from chaos.council.figures import figures, judge, table
from chaos.council.run import Outcome, document
from chaos.crew import Crew, CrewError, Line

KILL = Kill(victim="w1", term=2, detected_s=(1.0, 1.2), led_s=1.1, decided_s=1.2, answered_s=(1.3, 1.4), terms=1)
REPORTS = [
    Seen(by="w1", at=9.0, kind="decided", term=9, what="said by the victim itself"),
    Seen(by="w2", at=10.1, kind="decided", term=2, what="accept job late-of-the-old-leader"),
    Seen(by="w3", at=11.2, kind="dead", name="w1"),
    Seen(by="w2", at=11.0, kind="dead", name="w1"),
    Seen(by="w2", at=11.1, kind="dead", name="w3"),
    Seen(by="w2", at=12.0, kind="dead", name="w1"),
    Seen(by="w3", at=11.4, kind="decided", term=4, what=NEW_LEADER),
    Seen(by="w3", at=11.5, kind="decided", term=4, what="evict w1@1"),
    Seen(by="w3", at=11.8, kind="answered", name="j-w3"),
    Seen(by="w3", at=11.6, kind="answered", name="load-w3-1-1"),
]  # fmt: skip


def test_a_kill_is_told_from_the_reports_of_the_others() -> None:
    kill = told(REPORTS, victim="w1", term=2, job="j", killed_at=10.0)
    assert kill.detected_s == pytest.approx((1.0, 1.2))
    assert (kill.led_s, kill.decided_s) == pytest.approx((1.4, 1.5))
    assert kill.answered_s == pytest.approx((1.8,))
    assert kill.terms == 2


def test_what_nobody_has_said_yet_is_infinite() -> None:
    kill = told([], victim="w1", term=2, job="j", killed_at=10.0)
    assert (kill.led_s, kill.decided_s, kill.detected_s, kill.answered_s) == (float("inf"), float("inf"), (), ())


def quiet(name: str, line: Line) -> None:
    """Take no note."""


def is_ok(*kills: Kill, wanted: int, rtts_s: tuple[float, ...] = (0.001,), failures: tuple[str, ...] = ()) -> bool:
    outcome = Outcome(kills=list(kills), rtts_s=list(rtts_s), failures=list(failures))
    found = document(outcome, wanted=wanted, conditions={})
    json.dumps(found)
    return bool(found["ok"])


def test_medians_within_the_bound_are_ok() -> None:
    assert is_ok(KILL, wanted=1)


@pytest.mark.parametrize("late", [attrs.evolve(KILL, decided_s=1.6), attrs.evolve(KILL, answered_s=(1.6, 1.7))])
def test_a_median_that_is_too_late_is_not_ok(late: Kill) -> None:
    assert not is_ok(late, late, KILL, wanted=3)
    assert is_ok(late, KILL, KILL, wanted=3)


def test_a_round_trip_counts_for_the_bound() -> None:
    (_, target, _) = judge([KILL], [0.2], wanted=1)
    assert target.bound == pytest.approx(1.8)


def test_too_few_kills_no_round_trips_or_a_cluster_that_failed_are_not_ok() -> None:
    assert not is_ok(KILL, wanted=2)
    assert not is_ok(wanted=0)
    assert not is_ok(KILL, wanted=1, failures=("w2 ended with status 1",))
    assert [target.met for target in judge([KILL], [], wanted=1)] == [True]
    assert "median" not in table(figures([], []))


def test_a_crew_is_told_what_its_processes_write_and_ends_them() -> None:
    heard: list[tuple[str, Line]] = []
    echo = "import sys\nfor line in sys.stdin: print('{\"said\": \"' + line.strip() + '\"}', flush=True)"
    with Crew(lambda name, line: heard.append((name, line))) as crew:
        hand = crew.start("a", [sys.executable, "-c", echo])
        crew.order("a", "hello")
        crew.await_(lambda: bool(heard), "no echo", timeout_s=30)
    assert heard == [("a", {"said": "hello"})]
    assert hand.process.returncode is not None


def test_a_crew_complains_of_a_process_that_nobody_killed() -> None:
    with Crew(quiet) as crew:
        crew.start("a", [sys.executable, "-c", "exit('no reason')"])
        with pytest.raises(CrewError, match="a ended with status 1"):
            crew.rest(30)


def test_a_crew_does_not_complain_of_one_that_it_killed_and_can_start_it_again() -> None:
    stay = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with Crew(quiet) as crew:
        crew.start("a", stay)
        crew.kill("a")
        assert crew.running() == []
        crew.start("a", stay)
        assert crew.running() == ["a"]
        crew.rest(0.1)
