"""Claims that once did not hold. Each was found by reading the code and not by a test, so each has one now."""

from __future__ import annotations

import attrs

from swimstream.config import FRAME_BYTES_MAX
from swimstream.core.council.log import Log
from swimstream.core.recovery.pending import pending
from swimstream.events import Superseded
from swimstream.model.changes import Entry, SubmitJob
from swimstream.model.identity import InstanceId
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.member import MemberState
from swimstream.model.report import Report
from swimstream.model.status import InstanceState
from swimstream.wire.codec import encode_message, encode_packet
from swimstream.wire.council_messages import FoundReply, PlanEntries
from swimstream.wire.messages import Alive, Header
from tests.core.council.peers import HEARTBEAT_S, Peer, Table, entry, founding, run_of, saved_after
from tests.core.council.test_founding import PROMISE_S, Founder
from tests.core.recovery.situations import Scene, member
from tests.core.recovery.situations import job as recovery_job
from tests.core.test_node import own_profile, with_job
from tests.core.town import Town, address_of, job


def test_a_founding_that_lost_is_replaced_by_the_one_that_was_committed() -> None:
    """Two foundings share index 1 and term 1, so Raft's comparison by term takes them for one entry."""
    peer = Peer("a", saved_after([founding("abc", cluster_id=7)]))
    peer.hear("b", PlanEntries(entries=(founding("bcd", cluster_id=8), entry(2, 2))), 100.0)
    assert peer.council.plan.cluster_id == 8


def test_a_log_that_lost_takes_the_founding_of_the_committed_one() -> None:
    """The same, on the log alone: an uncommitted entry agrees only if it is equal."""
    log = Log(saved_after([founding("abc", cluster_id=7)]))
    log.merge([founding("bcd", cluster_id=8)])
    assert log.entries_from(1, upto=1) == (founding("bcd", cluster_id=8),)


def test_a_worker_that_restarts_still_knows_its_cluster_before_a_leader_speaks() -> None:
    """Its log is uncommitted until told, so its cluster id is 0, and it takes any other cluster for its own."""
    town = Town("abc")
    town.run_until_led()
    disk = town["b"].disk
    own = town.node("b").plan.cluster_id
    for name in "abc":
        town.crash(name)
    town.settle_in("b", disk=disk)
    foreigner = Header(own + 1, run_of("x"))
    town.node("b").receive_packet(encode_packet(foreigner, []), source=address_of("a"), now=town.now)
    assert town.node("b").counters().get("packets_foreign", 0) == 1


def test_an_agreement_that_is_older_than_its_promise_founds_nothing() -> None:
    """Its giver may have agreed to another founder since."""
    founder = Founder("a", "abc")
    founder.consider(0.0)
    runs = tuple(map(run_of, "abc"))
    founder.listen("b", FoundReply(round=1, runs=runs, agrees=True), 0.0)
    founder.listen("c", FoundReply(round=1, runs=runs, agrees=True), PROMISE_S + HEARTBEAT_S)
    assert not founder.has_founded


def test_a_peer_that_leads_no_more_does_not_learn_from_others_that_it_leads() -> None:
    """A mark that is still on its way names it as the leader of the term in which it stepped down."""
    table = Table("abc")
    table.elect("a")
    late = table["b"].mark
    assert late.leader == "a"
    table["a"].step_down(table.now)
    table["a"].hear_mark(run_of("b"), late, table.now)
    assert table["a"].mark.leader == ""


def test_a_leader_that_waits_for_a_commit_does_not_wake_its_driver_for_a_decision_that_it_cannot_take() -> None:
    """The deadline of recovery stays in the past until everything is committed, and the driver spins."""
    town = with_job()
    (name,) = (each for each, citizen in town.citizens.items() if citizen.running)
    town.node(name).report(
        Report(instance=InstanceId("job", "op", 0), epoch=town[name].running["job/op[0]"], state=InstanceState.FAILED),
        now=town.now,
    )
    town.carry_out()
    town.cut = {"b", "c"}
    town.submit("a", job("other"))
    town.run_for(0.1)
    node = town.node("a")
    town.now += 0.5
    for _ in range(5):
        node.fire_timers(now=town.now)
        town.carry_out()
    assert node.is_leader
    assert node.next_deadline() > town.now


def supersede(town: Town, name: str) -> None:
    node = town.node(name)
    elsewhere = attrs.evolve(own_profile(town, name), address=address_of("z"))
    later = Alive(run=attrs.evolve(node.run, boot=node.run.boot + 1), incarnation=0, profile=elsewhere)
    header = Header(node.plan.cluster_id, run_of("x"))
    node.receive_packet(encode_packet(header, [encode_message(later)]), source=address_of("b"), now=town.now)
    town.carry_out()
    assert any(isinstance(event, Superseded) for event in town[name].events)


def test_who_is_superseded_while_it_leaves_still_answers_the_leave() -> None:
    """Its driver waits for that answer."""
    town = with_job()
    town.node("c").leave(5, now=town.now)
    supersede(town, "c")
    town.run_for(10.0)
    assert 5 in town["c"].answers


def test_who_is_superseded_answers_what_was_submitted() -> None:
    """What waits for the plan waits for ever once the node takes part no more."""
    town = Town("ab", expect=3)
    town.run_for(5.0)
    town.submit("b", job(), request=5)
    supersede(town, "b")
    town.submit("b", job(), request=6)
    assert {5, 6} <= town["b"].answers.keys()


def test_pending_never_gives_the_room_that_there_is_as_the_reason() -> None:
    """Between an eviction and the next assignment it says 'site default, 0 of 64 slots held'."""
    scene = Scene(member("a"), jobs=[recovery_job()])
    scene.decide()
    scene.becomes("a", MemberState.DEAD)
    scene.decide()
    scene.put(member("b"))
    (why,) = pending(scene.plan, scene.members).values()
    assert "leader" in why


def test_a_leader_whose_later_run_is_here_is_gone() -> None:
    """A restarted leader has forgotten that it leads; nobody needs to wait for a whole election time-out."""
    town = Town("abc")
    town.run_until_led()
    town.run_for(5.0)
    before = town.node("b").next_deadline()
    disk = town["a"].disk
    town.crash("a")
    restarted = town.settle_in("a", disk=disk)
    town.run_until(lambda: any(each.run == restarted.node.run for each in town.node("b").members()))
    assert before > 0
    assert town.node("b")._rooms.council.next_deadline() <= town.now + HEARTBEAT_S


def test_what_its_only_worker_stops_again_and_again_is_given_back_with_a_growing_delay() -> None:
    """Without one, a worker that stops at once makes a decision a round trip, for ever, and each is a log entry."""
    scene = Scene(member("a"), jobs=[recovery_job()])
    scene.decide()
    decisions = 0
    for _ in range(10):
        scene.say(InstanceState.STOPPED)
        decisions += len(scene.decide())
    assert decisions < 3


def test_everything_that_a_leader_sends_fits_a_frame() -> None:
    """A follower that is some large jobs behind drops the whole frame as malformed, and never catches up."""
    spec = JobSpec(name="large", operators=(OperatorSpec(name="op", kind="map", parameters={"x": "x" * 250_000}),))
    jobs = [
        Entry(index=index, term=1, change=SubmitJob(job=attrs.evolve(spec, name=f"job{index}")))
        for index in range(2, 22)
    ]
    table = Table("abc", entries=[founding("abc"), *jobs])
    table.peers["c"] = Peer("c", saved_after([founding("abc")]))
    table.now = 100.0
    table["a"].fire_timers(table.now)
    sizes = [len(encode_message(sent.message)) for _, sent in table.deliver()]
    assert max(sizes) < FRAME_BYTES_MAX
