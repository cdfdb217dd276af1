"""Jobs that wait for their place in the plan: whom they are asked of, and when."""

from __future__ import annotations

from unittest.mock import patch

from swimstream.core import leader_requests, submissions
from tests.core.town import Town, job


def led_town() -> tuple[Town, str, list[str]]:
    """Return a town of three, its leader and the others."""
    town = Town("abc")
    leader = town.run_until_led()
    return town, leader, sorted(set("abc") - {leader})


def held_up(town: Town, leader: str, others: list[str]) -> None:
    """Have the leader propose something that nobody acks yet: from now on its log waits."""
    town.cut = set(others)
    town.node(leader).submit(90, job("first"), now=town.now)
    town.run_for(0.05)
    assert not town.node(leader)._rooms.council.is_settled


def test_jobs_that_come_while_the_log_waits_are_proposed_together_as_soon_as_it_does_not() -> None:
    town, leader, others = led_town()
    held_up(town, leader, others)
    for number in range(5):
        town.node(leader).submit(100 + number, job(f"later-{number}"), now=town.now)
    town.cut = set()
    town.run_until(lambda: "later-4" in town.node(leader).plan.jobs, limit_s=leader_requests.RETRY_S / 2)
    town.run_until(lambda: len(town[leader].answers) >= 6, limit_s=leader_requests.RETRY_S / 2)


def test_a_job_of_the_same_name_as_one_that_waits_is_refused_at_once() -> None:
    town, leader, others = led_town()
    held_up(town, leader, others)
    town.node(leader).submit(100, job("second"), now=town.now)
    town.node(leader).submit(101, job("second", parallelism=2), now=town.now)
    town.run_for(leader_requests.RETRY_S / 10)
    assert "another job is named 'second'" in town[leader].answers[101]


def test_more_jobs_than_the_bound_are_dropped_and_asked_for_again() -> None:
    town, leader, others = led_town()
    held_up(town, leader, others)
    for number in range(4):
        town.node(leader).submit(100 + number, job(f"later-{number}"), now=town.now)
    with patch.object(submissions, "SUBMISSIONS_MAX", 3):
        town.run_for(0.1)
        assert town.node(leader).counters()["proposals_dropped"] == 1
        town.cut = set()
        town.run_until(lambda: all(f"later-{n}" in town.node(leader).plan.jobs for n in range(4)), limit_s=5.0)


def test_a_new_leader_is_asked_at_once() -> None:
    """Not when the next question is due anyway: the plan has the job as soon as there is a leader to ask."""
    town, leader, others = led_town()
    town.crash(leader)
    asker = others[0]
    with patch.object(leader_requests, "RETRY_S", 1_000.0):
        town.node(asker).submit(100, job("after"), now=town.now)
        town.run_until(lambda: town[asker].answers.get(100) == "", limit_s=60.0)


def test_what_waited_at_a_leader_that_was_replaced_is_asked_of_its_successor() -> None:
    town, leader, others = led_town()
    held_up(town, leader, others)
    town.node(leader).submit(100, job("second"), now=town.now)
    town.carry_out()
    town.cut = {leader}
    town.run_until(lambda: any(town.node(name).is_leader for name in others), limit_s=60.0)
    town.cut = set()
    town.run_until(lambda: town[leader].answers.get(100) == "", limit_s=60.0)
