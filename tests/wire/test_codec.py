"""What is encoded decodes to an equal value, in bytes that depend on nothing but the value."""

from __future__ import annotations

import typing

import attrs
import cbor2
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from swimstream.config import FRAME_BYTES_MAX
from swimstream.errors import WireError
from swimstream.model.changes import Entry, Noop, SubmitJob
from swimstream.model.identity import Address, InstanceId, Run
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.member import Profile
from swimstream.model.plan import Plan, PlanMark
from swimstream.model.status import STATUS_BYTES_MAX, InstanceState, InstanceStatus
from swimstream.wire.codec import (
    MESSAGES_MAX,
    WIRE_VERSION,
    decode_packet_untrusted,
    encode_header,
    encode_message,
    encode_packet,
)
from swimstream.wire.council_messages import Propose, Snapshot
from swimstream.wire.messages import Ack, Alive, Header, Message, Nack, Ping, StatusUpdate
from swimstream.wire.plan_codec import encode_entry, encode_plan
from swimstream.wire.plan_reader import decode_entry_untrusted, decode_plan_untrusted
from tests import strategies

if typing.TYPE_CHECKING:
    from collections.abc import Mapping

HEADER = Header(7, Run("worker-1", 1_700_000_000_000))
INT_MAX = 2**63 - 1
LONG_NAME = "x" * 64

quick = settings(deadline=None, max_examples=40)


def decode_one(fragment: bytes) -> Message:
    packet = decode_packet_untrusted(encode_packet(HEADER, [fragment]))
    assert packet.skipped == 0
    (message,) = packet.messages
    return message


def with_parameters(parameters: Mapping[str, typing.Any]) -> Propose:
    spec = OperatorSpec(name="read", kind="source", parameters=parameters)
    return Propose(request=1, change=SubmitJob(job=JobSpec(name="flights", operators=(spec,))))


def test_there_is_a_strategy_for_every_message() -> None:
    assert set(strategies.BY_TYPE) == set(typing.get_args(Message))


@pytest.mark.parametrize("kind", list(strategies.BY_TYPE), ids=lambda kind: kind.__name__)
def test_a_message_survives_the_wire(kind: type[Message]) -> None:
    @quick
    @given(strategies.BY_TYPE[kind])
    def check(message: Message) -> None:
        fragment = encode_message(message)
        decoded = decode_one(fragment)
        assert decoded == message
        assert encode_message(decoded) == fragment

    check()


@quick
@given(strategies.headers, st.lists(strategies.messages, max_size=5))
def test_a_packet_is_its_header_and_its_messages_in_order(header: Header, messages: list[Message]) -> None:
    packet = decode_packet_untrusted(encode_packet(header, [encode_message(message) for message in messages]))
    assert packet.header == header
    assert list(packet.messages) == messages


def test_a_packer_can_count_bytes_before_it_packs() -> None:
    fragments = [encode_message(Nack(seq=seq)) for seq in (1, 1_000)]
    assert encode_packet(HEADER, fragments) == encode_header(HEADER) + fragments[0] + fragments[1]


def test_the_bytes_of_a_packet_stay_what_they_are() -> None:
    ack = Ack(seq=5, mark=PlanMark(term=2, leader="a", index=300))
    assert encode_packet(HEADER, [encode_message(ack)]).hex() == (
        "01830768776f726b65722d311b0000018bcfe5680085020502616119012c"
    )  # fmt: skip


def test_an_unknown_kind_of_message_is_skipped_and_counted() -> None:
    fragments = [cbor2.dumps([99, {"new": [1.5, None]}]), encode_message(Nack(seq=1)), cbor2.dumps([2**40])]
    packet = decode_packet_untrusted(encode_packet(HEADER, fragments))
    assert (packet.messages, packet.skipped) == ((Nack(seq=1),), 2)


@pytest.mark.parametrize("kind", list(strategies.BY_TYPE), ids=lambda kind: kind.__name__)
def test_fields_that_a_newer_peer_appends_are_ignored(kind: type[Message]) -> None:
    @settings(quick, max_examples=10)
    @given(strategies.BY_TYPE[kind])
    def check(message: Message) -> None:
        fields = cbor2.loads(encode_message(message))
        assume(kind not in strategies.GROWN or len(fields) == strategies.GROWN[kind][1])
        assert decode_one(cbor2.dumps([*fields, "new", {"more": 1}])) == message

    check()


def test_a_header_that_a_newer_peer_extends_is_read() -> None:
    data = bytes([WIRE_VERSION]) + cbor2.dumps([7, "worker-1", 1_700_000_000_000, "new"])
    assert decode_packet_untrusted(data).header == HEADER


def test_another_wire_version_is_refused_by_name() -> None:
    data = bytes([WIRE_VERSION + 1]) + encode_packet(HEADER, [])[1:]
    with pytest.raises(WireError, match="version: expected 1, got 2"):
        decode_packet_untrusted(data)


@quick
@given(strategies.entries)
def test_an_entry_survives_storage(entry: Entry) -> None:
    data = encode_entry(entry)
    assert decode_entry_untrusted(data) == entry
    assert encode_entry(decode_entry_untrusted(data)) == data


@quick
@given(st.one_of(strategies.plans(), strategies.grown_plans))
def test_a_plan_survives_storage(plan: Plan) -> None:
    data = encode_plan(plan)
    assert decode_plan_untrusted(data) == plan
    assert encode_plan(decode_plan_untrusted(data)) == data


@quick
@given(strategies.plans())
def test_the_order_in_which_a_plan_was_filled_does_not_show_in_its_bytes(plan: Plan) -> None:
    backwards = attrs.evolve(
        plan,
        jobs=dict(reversed(list(plan.jobs.items()))),
        assignments=dict(reversed(list(plan.assignments.items()))),
        evicted=dict(reversed(list(plan.evicted.items()))),
        stops=dict(reversed(list(plan.stops.items()))),
    )
    assert encode_plan(backwards) == encode_plan(plan)


def test_the_order_of_parameters_does_not_show_in_the_bytes() -> None:
    one, other = {"b": 1, "a": {"y": 2, "x": 3}}, {"a": {"x": 3, "y": 2}, "b": 1}
    assert encode_message(with_parameters(one)) == encode_message(with_parameters(other))


def test_lists_in_parameters_come_back_as_tuples() -> None:
    decoded = decode_one(encode_message(with_parameters({"rates": [1, [2.5, "x"]], "deep": {"list": [True]}})))
    assert decoded == with_parameters({"rates": (1, (2.5, "x")), "deep": {"list": (True,)}})


@pytest.mark.parametrize("value", [1, True, 1.0, "1", 0.1, -(2**63), 2**64 - 1, "", (), {}])
def test_a_parameter_keeps_its_type(value: object) -> None:
    decoded = decode_one(encode_message(with_parameters({"value": value})))
    assert isinstance(decoded, Propose)
    found = decoded.change.job.operators[0].parameters["value"]
    assert (type(found), found) == (type(value), value)


def test_parameters_may_nest_as_deep_as_a_job_allows_even_in_a_snapshot() -> None:
    plan = Plan().advance([Entry(index=1, term=1, change=with_parameters({"a": [[[[1]]]]}).change)])
    decoded = decode_one(encode_message(Snapshot(term=1, voter=1, round=1, plan=plan)))
    assert isinstance(decoded, Snapshot)
    assert decoded.plan.jobs["flights"].operators[0].parameters == {"a": ((((1,),),),)}


def test_the_largest_status_keeps_to_its_limit() -> None:
    status = InstanceStatus(
        instance=InstanceId(LONG_NAME, LONG_NAME, 1_023),
        epoch=INT_MAX,
        run=Run(LONG_NAME, INT_MAX),
        seq=INT_MAX,
        state=InstanceState.FAILED,
        since_ms=INT_MAX,
        progress=INT_MAX,
        checkpoint=b"c" * 64,
        endpoint="e" * 64,
        cause="ü" * 48,
    )
    fragment = encode_message(StatusUpdate(status=status))
    assert len(fragment) <= STATUS_BYTES_MAX
    assert decode_one(fragment) == StatusUpdate(status=status)


def test_a_status_that_peers_would_refuse_is_our_own_bug() -> None:
    status = InstanceStatus(
        instance=InstanceId("job", "op", 0), epoch=1, run=HEADER.sender, seq=1, state=InstanceState.RUNNING, since_ms=0
    )
    for broken in ({"cause": "ü" * 49}, {"checkpoint": b"c" * 65}, {"endpoint": "no spaces"}):
        with pytest.raises(AssertionError):
            encode_message(StatusUpdate(status=attrs.evolve(status, **broken)))


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "::1", "fe80::1%eth0", "::ffff:1.2.3.4", "a", "x-1.example.org", "1a.b", "worker-1", "0.0.0.0"]
)
def test_a_sane_host_is_accepted(host: str) -> None:
    alive = Alive(run=HEADER.sender, incarnation=1, profile=Profile(address=Address(host, 7_946)))
    assert decode_one(encode_message(alive)) == alive


@pytest.mark.parametrize("count", [MESSAGES_MAX, MESSAGES_MAX + 1])
def test_the_number_of_messages_is_bounded(count: int) -> None:
    data = encode_packet(HEADER, [encode_message(Nack(seq=0))] * count)
    assert len(data) < FRAME_BYTES_MAX
    if count <= MESSAGES_MAX:
        assert len(decode_packet_untrusted(data).messages) == count
    else:
        with pytest.raises(WireError, match="at most"):
            decode_packet_untrusted(data)


def test_entries_that_follow_each_other_are_told_from_those_with_a_gap() -> None:
    good = [[5, 1, [2]], [6, 2, [2]]]
    assert decode_one(cbor2.dumps([18, good])) is not None
    for bad in ([[5, 1, [2]], [7, 1, [2]]], [[5, 2, [2]], [6, 1, [2]]], [[5, 1, [2]], [5, 1, [2]]]):
        with pytest.raises(WireError, match="without a gap"):
            decode_one(cbor2.dumps([18, bad]))


def test_entries_of_an_append_follow_on_its_previous_index() -> None:
    good = [14, 3, 9, 1, 4, 2, 0, [[5, 2, [2]]]]
    assert decode_one(cbor2.dumps(good)) is not None
    with pytest.raises(WireError, match="without a gap"):
        decode_one(cbor2.dumps([*good[:7], [[6, 2, [2]]]]))


def test_a_noop_is_three_bytes_and_an_index() -> None:
    assert encode_entry(Entry(index=1, term=1, change=Noop())) == bytes.fromhex("8301018102")


def test_a_ping_fits_the_smallest_packet() -> None:
    run = Run(LONG_NAME, INT_MAX)
    ping = Ping(seq=INT_MAX, target=run, mark=PlanMark(term=INT_MAX, leader=LONG_NAME, index=INT_MAX))
    assert len(encode_packet(Header(2**64 - 1, run), [encode_message(ping)])) <= 512
