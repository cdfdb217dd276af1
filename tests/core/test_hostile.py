"""No input from anyone crashes a peer or makes it grow without bound."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swimstream.config import FRAME_BYTES_MAX, MEMBERS_MAX
from swimstream.core import reception
from swimstream.core.council import pieces
from swimstream.core.effects import Notify, OpenStream, Persist, Saved, SendFrame, SendPacket, StartInstance
from swimstream.core.membership import gossip
from swimstream.core.status import table as status_table
from swimstream.events import ForeignCluster
from swimstream.model.changes import Assign, Entry, Found, Seat, SubmitJob
from swimstream.model.identity import InstanceId, Run
from swimstream.model.member import Profile
from swimstream.model.plan import Assignment, Plan
from swimstream.model.report import Report
from swimstream.model.status import InstanceState, InstanceStatus
from swimstream.wire.codec import decode_packet_untrusted, encode_message, encode_packet
from swimstream.wire.council_messages import Append, PiecePull, PlanEntries, PlanPull, Propose, Snapshot, SnapshotPiece
from swimstream.wire.messages import Alive, Header, Message, Ping, PingRequest, StatusUpdate, SyncDigest
from swimstream.wire.plan_codec import encode_plan
from tests import strategies
from tests.core.council.peers import FakeDisk, mark
from tests.core.test_node import with_job
from tests.core.town import Town, address_of, job

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream.core.node import Node

NAMES = "abcx"
SOURCE = address_of("y")


def before_the_join() -> Node:
    """One that is asking its seed, and has not been answered."""
    town = Town("b")
    town.cut = {"b"}
    return town.settle_in("c").node


def unfounded() -> Node:
    return Town("b", expect=3).node("b")


def leader() -> Node:
    return with_job().node("a")


def follower() -> Node:
    return with_job().node("b")


def without_seat() -> Node:
    town = with_job("abcd")
    town.run_for(5.0)
    return town.node("d")


def cut_off() -> Node:
    """A voter that campaigns in vain."""
    town = with_job()
    town.cut = {"b"}
    town.run_for(20.0)
    return town.node("b")


def leaving() -> Node:
    town = with_job()
    town.node("c").leave(9, now=town.now)
    return town.node("c")


STATES: list[Callable[[], Node]] = [before_the_join, unfounded, leader, follower, without_seat, cut_off, leaving]


class Target:
    """A node under attack, with a disk and a codec that must take whatever it says."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.now = 2_000.0
        self.disk = FakeDisk(Saved(voter=1))
        self.streams = 0
        node.take_effects()

    def receive(self, data: bytes, *, by_stream: bool = False) -> None:
        self.now += 0.25
        if by_stream:
            self.streams -= 1
            self.node.receive_frame(self.streams, data, now=self.now)
        else:
            self.node.receive_packet(data, source=SOURCE, now=self.now)
        self.check()
        if self.node.next_deadline() <= self.now:
            self.node.fire_timers(now=self.now)
            self.check()

    def check(self) -> None:
        """Carry out what can be carried out here: whatever the node sends or keeps, honest peers can read."""
        for effect in self.node.take_effects():
            match effect:
                case SendPacket(payload=data) | OpenStream(frame=data) | SendFrame(frame=data):
                    assert len(data) <= FRAME_BYTES_MAX
                    decode_packet_untrusted(data)
                case Persist():
                    pass
                case StartInstance(instance=instance, epoch=epoch):
                    self.node.report(Report(instance=instance, epoch=epoch, state=InstanceState.RUNNING), now=self.now)
                case _:
                    pass

    def say(self, message: Message, *, sender: str = "b", by_stream: bool = False) -> None:
        """Send a message of a member, in the name of the node's own cluster."""
        run = next((each.run for each in self.node.members() if each.run.name == sender), Run(sender, 1))
        header = Header(self.node.plan.cluster_id, run)
        self.receive(encode_packet(header, [encode_message(message)]), by_stream=by_stream)


QUIET = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.mark.parametrize("state", STATES)
def test_arbitrary_bytes_are_dropped_and_counted(state: Callable[[], Node]) -> None:
    target = Target(state())

    @QUIET
    @given(st.binary(max_size=200), st.booleans())
    def attack(data: bytes, by_stream: bool) -> None:  # noqa: FBT001  # drawn
        before = target.node.plan
        target.receive(data, by_stream=by_stream)
        assert target.node.plan == before

    attack()
    assert target.node.counters()["packets_malformed"] > 0 or state is leaving


@pytest.mark.parametrize("state", STATES)
def test_packets_that_were_damaged_on_the_way_are_taken_or_dropped(state: Callable[[], Node]) -> None:
    target = Target(state())

    @QUIET
    @given(strategies.headers, strategies.messages, st.integers(0, 10**6), st.integers(1, 255))
    def attack(header: Header, message: Message, place: int, flip: int) -> None:
        data = bytearray(encode_packet(header, [encode_message(message)]))
        data[place % len(data)] ^= flip
        target.receive(bytes(data))

    attack()


senders = st.one_of(st.sampled_from(NAMES), strategies.names)


@pytest.mark.parametrize("state", STATES)
def test_no_sound_message_of_anyone_raises(state: Callable[[], Node]) -> None:
    """Of every type, by anyone, in any order; the last are heard by a node that the first have brought off course."""

    @QUIET
    @given(st.lists(st.tuples(strategies.messages, senders, st.booleans(), st.booleans()), min_size=1, max_size=8))
    def attack(attempts: list[tuple[Message, str, bool, bool]]) -> None:
        target = Target(state())
        for message, sender, by_stream, is_foreign in attempts:
            if is_foreign:
                data = encode_packet(Header(3, Run(sender, 1)), [encode_message(message)])
                target.receive(data, by_stream=by_stream)
            else:
                target.say(message, sender=sender, by_stream=by_stream)
        for _ in range(5):
            target.now = max(target.now, min(target.node.next_deadline(), target.now + 10))
            target.node.fire_timers(now=target.now)
            target.check()

    attack()


@pytest.mark.parametrize("kind", sorted(strategies.BY_TYPE, key=str))
def test_every_type_of_message_is_survived_by_leader_and_follower(kind: type[Message]) -> None:
    for state in (leader, follower):
        target = Target(state())

        @settings(QUIET, max_examples=15)
        @given(message=strategies.BY_TYPE[kind], sender=st.sampled_from("abcx"), by_stream=st.booleans())
        def attack(target: Target, message: Message, sender: str, by_stream: bool) -> None:  # noqa: FBT001  # drawn
            target.say(message, sender=sender, by_stream=by_stream)

        attack(target)


# --- aimed ----------------------------------------------------------------------------------------


def assignment_of(node: Node, instance: InstanceId) -> Assign:
    return Assign(instance=instance, run=node.run, failures=0, resume_from=b"", reason="", evidence=())


STRANGE_INSTANCES = [InstanceId("nojob", "op", 0), InstanceId("job", "noop", 0), InstanceId("job", "op", 999)]


@pytest.mark.parametrize("instance", STRANGE_INSTANCES, ids=["no such job", "no such operator", "no such copy"])
def test_an_assignment_of_what_is_in_no_job_starts_nothing_and_raises_nothing(instance: InstanceId) -> None:
    node = follower()
    target = Target(node)
    index = node.plan.index
    entries = (Entry(index=index + 1, term=node.mark.term, change=assignment_of(node, instance)),)
    target.say(PlanEntries(entries=entries))
    target.node.fire_timers(now=target.now)


@pytest.mark.parametrize("instance", STRANGE_INSTANCES, ids=["no such job", "no such operator", "no such copy"])
def test_a_snapshot_with_an_assignment_of_what_is_in_no_job_raises_nothing(instance: InstanceId) -> None:
    node = without_seat()
    target = Target(node)
    held = Assignment(instance=instance, run=node.run, epoch=5)
    plan = Plan(
        index=99, term=1, cluster_id=node.plan.cluster_id, council=node.plan.council, assignments={instance: held}
    )
    target.say(Snapshot(term=1, voter=1, round=0, plan=plan))


@pytest.mark.parametrize("state", [leader, follower])
def test_the_highest_of_all_terms_raises_nothing_even_later(state: Callable[[], Node]) -> None:
    """What is sent and kept stays within what the wire and the disk can hold: a term that overflows would not."""
    node = state()
    target = Target(node)
    target.say(Append(term=2**63 - 1, voter=1, round=1, prev_index=0, prev_term=0, commit=0, entries=()), sender="c")
    for _ in range(5):
        target.now += 10
        target.node.fire_timers(now=target.now)
        target.check()


def test_a_proposal_that_the_leader_refuses_raises_nothing() -> None:
    target = Target(leader())
    for kind in ("map", "maap"):
        target.say(Propose(request=1, change=SubmitJob(job=job("other", kind=kind))))


def test_a_log_without_a_founding_raises_nothing() -> None:
    target = Target(unfounded())
    change = assignment_of(target.node, STRANGE_INSTANCES[0])
    entries = (Entry(index=1, term=1, change=change),)
    target.say(Append(term=1, voter=1, round=1, prev_index=0, prev_term=0, commit=1, entries=entries), sender="x")
    target.node.fire_timers(now=target.now + 100)


def test_a_forged_founding_with_oneself_as_only_seat_raises_nothing() -> None:
    node = unfounded()
    target = Target(node)
    voter = next(member.profile.voter for member in node.members())
    found = Found(cluster_id=9, council=(Seat("b", voter),))
    target.say(PlanEntries(entries=(Entry(index=1, term=2**62, change=found),)), sender="x")
    target.now += 100
    target.node.fire_timers(now=target.now)
    target.check()


# --- bounds ---------------------------------------------------------------------------------------


def claim(number: int) -> bytes:
    profile = Profile(address=SOURCE)
    return encode_message(Alive(run=Run(f"s{number}", 1), incarnation=0, profile=profile))


def test_no_more_members_are_remembered_than_the_bound() -> None:
    target = Target(follower())
    header = Header(target.node.plan.cluster_id, Run("x", 1))
    for start in range(0, MEMBERS_MAX + 200, 1_000):
        claims = [claim(number) for number in range(start, start + 1_000)]
        target.node.receive_packet(encode_packet(header, claims), source=SOURCE, now=target.now)
    assert len(target.node.members()) == MEMBERS_MAX
    assert target.node.counters()["members_refused"] > 0


def test_no_more_statuses_are_remembered_than_the_bound() -> None:
    target = Target(follower())
    with patch.object(status_table, "STATUSES_MAX", 10):
        for number in range(50):
            status = InstanceStatus(
                instance=InstanceId("job", "op", number),
                epoch=2**40,  # of a plan that has not come here yet: what is of the past is dropped anyway
                run=Run("x", 1),
                seq=1,
                state=InstanceState.RUNNING,
                since_ms=0,
            )
            target.say(StatusUpdate(status=status), sender="x")
    assert len(target.node.statuses()) == 10
    assert target.node.counters()["statuses_refused"] > 0


def test_no_more_rumours_wait_than_the_bound() -> None:
    target = Target(follower())
    with patch.object(gossip, "SUBJECTS_MAX", 10):
        header = Header(target.node.plan.cluster_id, Run("x", 1))
        data = encode_packet(header, [claim(number) for number in range(50)])
        target.node.receive_packet(data, source=SOURCE, now=target.now)
    assert target.node.counters()["gossip_dropped"] >= 40


def test_no_more_foreigners_are_named_than_the_bound() -> None:
    target = Target(follower())
    with patch.object(reception, "FOREIGNERS_TOLD_MAX", 10):
        for number in range(50):
            foreigner = Header(target.node.plan.cluster_id + 1, Run(f"s{number}", 1))
            target.node.receive_packet(encode_packet(foreigner, []), source=SOURCE, now=target.now)
    told = [each.event for each in target.node.take_effects() if isinstance(each, Notify)]
    assert sum(isinstance(event, ForeignCluster) for event in told) == 10
    assert target.node.counters()["packets_foreign"] == 50


def test_errands_for_others_are_bounded_and_come_to_an_end() -> None:
    target = Target(follower())
    for seq in range(2_000):
        request = PingRequest(seq=seq, target=Run("nobody", 1), address=SOURCE)
        run = next(each.run for each in target.node.members() if each.run.name == "a")
        data = encode_packet(Header(target.node.plan.cluster_id, run), [encode_message(request)])
        target.node.receive_packet(data, source=SOURCE, now=target.now)
    assert target.node.counters()["relays_refused"] > 0


def test_a_stranger_is_answered_nothing() -> None:
    """An answer goes to the address of a known member, never to where a datagram seems to come from."""
    target = Target(follower())
    for message in (
        Ping(seq=1, target=target.node.run, mark=mark(0)),
        PingRequest(seq=1, target=target.node.run, address=SOURCE),
        Propose(request=1, change=SubmitJob(job=job())),
    ):
        data = encode_packet(Header(target.node.plan.cluster_id, Run("stranger", 1)), [encode_message(message)])
        target.node.receive_packet(data, source=SOURCE, now=target.now)
    sent = [effect for effect in target.node.take_effects() if isinstance(effect, SendPacket | OpenStream)]
    assert [effect.to for effect in sent if effect.to == SOURCE] == []


def test_a_digest_by_datagram_is_not_answered() -> None:
    target = Target(follower())
    run = next(each.run for each in target.node.members() if each.run.name == "a")
    data = encode_packet(Header(target.node.plan.cluster_id, run), [encode_message(SyncDigest(entries=()))])
    target.node.receive_packet(data, source=SOURCE, now=target.now)
    assert not [each for each in target.node.take_effects() if not isinstance(each, Notify)]


def test_a_plan_that_grew_by_hostile_entries_can_still_be_sent() -> None:
    target = Target(without_seat())
    index = target.node.plan.index
    change = assignment_of(target.node, InstanceId("job", "op", 0))
    target.say(PlanEntries(entries=(Entry(index=index + 1, term=9, change=change),)))
    assert target.node.plan.index == index + 1
    assert len(encode_plan(target.node.plan)) > 0


def piece(target: Target, *, beat: int, number: int) -> SnapshotPiece:
    term = target.node.mark.term + 1
    return SnapshotPiece(
        term=term, voter=1, round=beat, index=10**6 + number, offset=0, total=10**6, data=bytes(10_000)
    )


@pytest.mark.parametrize("beat", [0, 7])
@pytest.mark.parametrize("state", [leader, follower, without_seat])
def test_pieces_of_a_stranger_make_nothing_grow(state: Callable[[], Node], beat: int) -> None:
    """Neither as answers to a question that was never put to it, nor as a leader whom nobody knows."""
    target = Target(state())
    for number in range(50):
        target.say(piece(target, beat=beat, number=number), sender="stranger", by_stream=True)
    assert target.node._rooms.council._following.pulls._assembly.offset == 0
    assert target.node.counters()["pieces_refused"] == 50


def test_pieces_that_a_member_was_not_asked_for_make_nothing_grow() -> None:
    target = Target(without_seat())
    for number in range(50):
        target.say(piece(target, beat=0, number=number), sender="b", by_stream=True)
    assert target.node._rooms.council._following.pulls._assembly.offset == 0


def test_a_member_that_goes_on_beginning_plans_holds_one_of_them_here() -> None:
    target = Target(without_seat())
    for number in range(50):
        target.say(piece(target, beat=7, number=number), sender="b", by_stream=True)
    assert target.node._rooms.council._following.pulls._assembly.offset == 10_000


def test_pulls_of_a_stranger_make_nobody_encode_a_plan() -> None:
    target = Target(leader())
    with patch.object(pieces, "encode_plan", side_effect=AssertionError):
        for index in (0, 1, 10**9):
            target.say(PlanPull(index=index), sender="stranger")
            target.say(PiecePull(index=index, offset=0, round=0), sender="stranger")
            target.say(PiecePull(index=index, offset=0, round=3), sender="stranger")
