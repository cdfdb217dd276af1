"""`swimstream council` and what stands behind it in a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import attrs
import pytest
from click.testing import CliRunner

from swimstream.cli import inspect, main
from swimstream.commands import Commands
from swimstream.core.council_service import standing_item
from swimstream.errors import UsageError
from swimstream.model.changes import Seat
from swimstream.model.council import COUNCIL_TOPIC, SeatStanding
from swimstream.model.identity import Address, Run
from swimstream.model.member import Member, MemberState, Profile
from swimstream.model.plan import Plan
from swimstream.model.talk import QueryResult
from swimstream.runtime import control_council
from swimstream.runtime.control import ControlServer
from swimstream.runtime.replies import Found, Reply
from swimstream.runtime.view import View, Views
from swimstream.worker import Worker
from tests.runtime.test_control import FakeWorker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from swimstream.model.talk import Ask
    from swimstream.runtime.thread import PeerThread


@pytest.fixture
def worker() -> FakeWorker:
    return FakeWorker()


@pytest.fixture
def control(tmp_path: Path, worker: FakeWorker) -> Iterator[str]:
    server = ControlServer(tmp_path / "w1.sock", worker, name="w1", site="edge")
    server.start()
    yield str(tmp_path / "w1.sock")
    server.stop()


def run(*arguments: str, typed: str = "") -> tuple[int, str, str]:
    result = CliRunner().invoke(main, list(arguments), input=typed)
    return result.exit_code, result.stdout, result.stderr


# --- the command ----------------------------------------------------------------------------------


def test_the_council_is_a_table_for_people(control: str) -> None:
    status, out, _ = run("council", "--control", control)
    assert status == 0
    assert [line.split() for line in out.splitlines()] == [
        ["cluster", "00000000000000ab"],
        ["leader", "a,", "term", "3"],
        ["council", "3", "seats,", "3", "wanted"],
        ["quorum", "2", "can", "vote,", "2", "decide"],
        ["authority", "lasts", "6", "s"],
        [],
        ["SEAT", "SITE", "STATE", "ROLE", "TERM", "LAST", "COMMITTED", "LAG", "AUTHORITY", "BUT"],
        ["a", "x", "alive", "leader", "3", "10", "9", "0", "0.2", "s"],
        ["b", "y", "alive", "follower", "3", "8", "8", "2", "none"],
        ["c", "unknown", "nobody", "of", "that", "name", "is", "remembered"],
    ]


def test_a_council_without_a_majority_is_status_one(control: str, worker: FakeWorker) -> None:
    worker.council_report = attrs.evolve(worker.council_report, seats=worker.council_report.seats[1:])
    assert run("council", "--control", control)[0] == 1


def test_a_council_needs_to_be_asked_of_somebody() -> None:
    status, _, err = run("council")
    assert status == 2
    assert "Missing option '--control'" in err


def test_the_council_is_resized_and_led_by_another(control: str, worker: FakeWorker) -> None:
    assert run("council", "resize", "5", "--control", control)[:2] == (0, "the council shall have 5 seats\n")
    assert run("council", "transfer", "b", "--control", control)[:2] == (0, "b leads\n")
    assert worker.said == [("resize", 5), ("transfer", "b")]


def test_a_seat_of_an_older_version_says_so(control: str, worker: FakeWorker) -> None:
    seat = attrs.evolve(worker.council_report.seats[1], standing=None, is_older=True)
    worker.council_report = attrs.evolve(worker.council_report, seats=(seat,))
    assert "is of an older version, which tells nothing" in run("council", "--control", control)[1]


def test_a_leader_that_has_died_is_not_shown_as_one_that_leads(control: str, worker: FakeWorker) -> None:
    seats = tuple(
        attrs.evolve(seat, state=MemberState.DEAD) if seat.name == worker.council_report.leader else seat
        for seat in worker.council_report.seats
    )
    worker.council_report = attrs.evolve(worker.council_report, seats=seats)
    assert f"leader     {worker.council_report.leader}, which is dead, term" in run("council", "--control", control)[1]


@pytest.mark.parametrize(
    ("state", "words"),
    [("alive", "w9"), ("dead", "none known at present; the last one was w9, which is dead"), (None, "w9")],
)
def test_the_last_leader_is_shown_as_one_that_leads_only_while_it_lives(
    monkeypatch: pytest.MonkeyPatch, state: str | None, words: str
) -> None:
    row = {"name": "w9", "cluster_id": 1, "term": 2, "index": 3, "council": ["w9"]}
    row |= {} if state is None else {"state": state}  # older workers do not tell it
    monkeypatch.setattr(inspect, "ask", lambda *_: {"leader": row})
    assert run("leader", "--control", "w1.sock")[1].splitlines()[0] == f"leader   {words}"


def test_a_wish_that_no_leader_hears_is_not_waited_for_for_ever(
    control: str, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_council, "COMMITTED_S", 0.01)
    monkeypatch.setattr(worker, "resize_council", lambda _seats: Reply())
    status, _, err = run("council", "resize", "5", "--control", control)
    assert (status, "no leader has committed that within 0.01 s" in err) == (2, True)


def test_a_council_of_an_even_size_is_refused_before_anybody_is_asked() -> None:
    assert run("council", "resize", "4", "--control", "none.sock") == (
        2,
        "",
        "swimstream council resize: seats: expected one of 1, 3, 5, 7, got 4\n",
    )


@pytest.mark.parametrize("typed", ["", "\n", "yes\n", "ac\n", "00000000000000ac\n"])
def test_a_council_is_not_recovered_unless_its_cluster_is_typed(control: str, worker: FakeWorker, typed: str) -> None:
    status, out, err = run("council", "recover", "--control", control, typed=typed)
    assert (status, out) == (2, "")
    assert "two councils decide side by side" in err
    assert worker.said == []


def test_a_council_is_recovered_once_its_cluster_is_typed(control: str, worker: FakeWorker) -> None:
    assert run("council", "recover", "--control", control, typed="AB\n")[0] == 0
    assert worker.said == [("recover", 0xAB)]


def test_a_script_confirms_by_an_option(control: str, worker: FakeWorker) -> None:
    assert run("council", "recover", "--confirm", "ab", "--control", control)[0] == 0
    assert run("council", "recover", "--confirm", "ac", "--control", control)[0] == 2
    assert worker.said == [("recover", 0xAB)]


# --- the worker -----------------------------------------------------------------------------------


class Cluster(Commands):
    """A worker that sees three members, of which one answers; and a council that one of them does not know."""

    def __init__(self) -> None:
        members = tuple(
            Member(
                run=Run(name, 1),
                incarnation=0,
                state=MemberState.ALIVE,
                profile=Profile(address=Address("h", 1), voter=voter),
                since=0.0,
            )
            for name, voter in (("a", 1), ("b", 2), ("x", 9))
        )
        plan = Plan(index=3, cluster_id=7, council=(Seat("a", 1), Seat("b", 2), Seat("gone", 3)))
        self.views = Views(View(run=Run("a", 1), members=members, plan=plan))
        self.asked: list[Ask] = []
        self.said: list[object] = []

    def _running(self) -> PeerThread:
        return cast("PeerThread", self)

    def ask(self, asked: Ask) -> Reply[QueryResult]:
        self.asked.append(asked)
        answer = standing_item(SeatStanding(role="leader", term=1, last_index=3, commit=3))
        reply: Reply[QueryResult] = Reply()
        reply.succeed(QueryResult(answers={"a": answer}, silent=("b",), away=()))
        return reply


def test_only_seats_that_are_remembered_are_asked() -> None:
    cluster = Cluster()
    report = cluster.council(patience_s=1.0).wait(5.0)
    assert [(asked.topic, asked.names) for asked in cluster.asked] == [(COUNCIL_TOPIC, ("a", "b"))]
    assert [(seat.name, seat.can_vote) for seat in report.seats] == [("a", True), ("b", False), ("gone", False)]


def test_a_worker_without_a_cluster_asks_nobody() -> None:
    cluster = Cluster()
    cluster.views = Views(View(run=Run("a", 1)))
    assert cluster.council().wait(5.0).seats == ()
    assert cluster.asked == []


def test_a_cluster_of_one_shows_its_only_seat() -> None:
    with Worker(name="w1", preset="local") as worker:
        worker._running().views.when(lambda view: Found(None) if view.mark.leader else None).wait(60.0)
        report = worker.council().wait(60.0)
    (seat,) = report.seats
    assert (seat.name, seat.state, seat.can_vote, report.leader) == ("w1", MemberState.ALIVE, True, "w1")
    assert seat.standing is not None
    assert (seat.standing.role, report.lag_of(seat)) == ("leader", 0)
    assert report.cluster_id


@pytest.mark.parametrize("seats", [0, 2, 4, 8, True, "3", None])
def test_a_council_has_one_of_four_sizes(seats: object) -> None:
    with pytest.raises(UsageError, match="seats: expected one of 1, 3, 5, 7, got"):
        Cluster().resize_council(cast("int", seats))


@pytest.mark.parametrize("cluster", ["29aa74db029312d2", None, 1.0, True])
def test_a_cluster_is_confirmed_by_its_number(cluster: object) -> None:
    with pytest.raises(UsageError, match="cluster_id: expected a number, as plan"):
        Cluster().recover_council(cast("int", cluster))


def test_a_leader_is_wanted_by_name() -> None:
    with pytest.raises(UsageError, match="name: expected the name of a worker, got 3"):
        Cluster().transfer_leadership(cast("str", 3))
