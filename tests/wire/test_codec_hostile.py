"""Whatever the bytes, decoding returns a packet within the limits or raises `WireError`, in bounded memory."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import cbor2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from swimstream.config import FRAME_BYTES_MAX, MEMBERS_MAX
from swimstream.errors import WireError
from swimstream.model.identity import Run
from swimstream.wire.codec import (
    WIRE_VERSION,
    decode_packet_untrusted,
    encode_header,
    encode_message,
    encode_packet,
)
from swimstream.wire.messages import Header, Message
from swimstream.wire.plan_codec import encode_plan
from swimstream.wire.plan_reader import decode_entry_untrusted, decode_plan_untrusted
from tests import strategies

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream.model.plan import Plan

HEADER = Header(7, Run("a", 1))
START = encode_header(HEADER)

thorough = settings(deadline=None, max_examples=150)
quick = settings(deadline=None, max_examples=50)

items = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.integers(0, 25),
        st.floats(),
        st.text(max_size=5),
        st.binary(max_size=5),
        st.builds(
            cbor2.CBORTag, st.sampled_from([0, 1, 2, 4, 25, 28, 29, 35, 36, 256, 258, 43_000]), st.integers(0, 9)
        ),
        strategies.names,
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=8), st.dictionaries(st.one_of(st.text(max_size=3), st.integers()), inner, max_size=3)
    ),
    max_leaves=20,
)


def only_wire_error(decode: Callable[[bytes], object], data: bytes) -> None:
    try:
        decode(data)
    except WireError as error:
        assert len(str(error)) < 2_000, "an error must not repeat a large input"


def refused(data: bytes) -> None:
    with pytest.raises(WireError):
        decode_packet_untrusted(data)


@thorough
@given(st.binary(max_size=300))
@example(b"")
def test_arbitrary_bytes_raise_only_wire_errors(data: bytes) -> None:
    for decode in (decode_packet_untrusted, decode_entry_untrusted, decode_plan_untrusted):
        only_wire_error(decode, data)
    only_wire_error(decode_packet_untrusted, START + data)


@thorough
@given(st.lists(items, max_size=4))
def test_arbitrary_items_raise_only_wire_errors(found: list[object]) -> None:
    only_wire_error(decode_packet_untrusted, START + b"".join(cbor2.dumps(each) for each in found))
    only_wire_error(decode_packet_untrusted, bytes([WIRE_VERSION]) + b"".join(cbor2.dumps(each) for each in found))


@thorough
@given(st.integers(1, 33), st.lists(items, max_size=15))
def test_arbitrary_fields_of_a_known_kind_raise_only_wire_errors(kind: int, fields: list[object]) -> None:
    only_wire_error(decode_packet_untrusted, START + cbor2.dumps([kind, *fields]))


@thorough
@given(strategies.messages, st.data())
def test_one_field_replaced_by_anything_raises_only_wire_errors(message: Message, data: st.DataObject) -> None:
    fields = cbor2.loads(encode_message(message))
    place = data.draw(st.integers(0, len(fields) - 1))
    target = fields
    while isinstance(target[place], list) and target[place] and data.draw(st.booleans()):
        target = target[place]
        place = data.draw(st.integers(0, len(target) - 1))
    target[place] = data.draw(items)
    only_wire_error(decode_packet_untrusted, START + cbor2.dumps(fields))


@thorough
@given(strategies.messages, st.data())
def test_a_flipped_bit_raises_only_wire_errors(message: Message, data: st.DataObject) -> None:
    packet = bytearray(encode_packet(HEADER, [encode_message(message)]))
    packet[data.draw(st.integers(0, len(packet) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    only_wire_error(decode_packet_untrusted, bytes(packet))


@quick
@given(strategies.messages)
def test_a_message_cut_short_is_refused(message: Message) -> None:
    packet = encode_packet(HEADER, [encode_message(message)])
    for length in range(len(packet)):
        if length != len(START):
            refused(packet[:length])


@quick
@given(strategies.plans())
def test_a_plan_cut_short_or_with_a_tail_is_refused(plan: Plan) -> None:
    data = encode_plan(plan)
    for broken in (data[:-1], data[: len(data) // 2], data + b"\0", b""):
        with pytest.raises(WireError):
            decode_plan_untrusted(broken)


@pytest.mark.parametrize(
    "tag", [0, 1, 2, 3, 4, 5, 24, 25, 28, 29, 30, 35, 36, 37, 100, 256, 258, 260, 261, 1_004, 43_000, 55_799, 2**63]
)
def test_every_tag_is_refused_even_where_nothing_reads_it(tag: int) -> None:
    refused(START + cbor2.dumps([99, cbor2.CBORTag(tag, 1)]))


@pytest.mark.parametrize(
    "item",
    [
        pytest.param("9f01ff", id="array without a length"),
        pytest.param("8218635f4161ff", id="bytes without a length"),
        pytest.param("8218637f6161ff", id="text without a length"),
        pytest.param("821863bf616101ff", id="map without a length"),
        pytest.param("821863a2616101616102", id="one key twice"),
        pytest.param("821863a1810101", id="array as a key"),
        pytest.param("82186362ffff", id="text that is not UTF-8"),
        pytest.param("82186363eda080", id="text with half a surrogate pair"),
        pytest.param("8218631c", id="reserved length"),
        pytest.param("ff", id="break"),
        pytest.param("9b7fffffffffffffff", id="array of 2**63 items"),
        pytest.param("8218635b7fffffffffffffff", id="2**63 bytes"),
        pytest.param("8218637b7fffffffffffffff", id="2**63 bytes of text"),
        pytest.param("821863bb7fffffffffffffff", id="map of 2**63 items"),
        pytest.param("9a00ffffff", id="array of 2**24 items"),
        pytest.param("821863" + "81" * 20 + "01", id="nested too deep"),
        pytest.param("80", id="no kind"),
        pytest.param("81f5", id="boolean kind"),
        pytest.param("8120", id="negative kind"),
        pytest.param("01", id="no array"),
        pytest.param("a0", id="map"),
    ],
)
def test_cbor_that_we_never_write_is_refused(item: str) -> None:
    refused(START + bytes.fromhex(item))


def test_endless_nesting_is_refused() -> None:
    refused(START + b"\x81" * 1_000_000)
    refused(START + b"\xa1\x61a" * 1_000_000)


def test_a_frame_too_large_is_refused_before_it_is_read() -> None:
    with pytest.raises(WireError, match="packet: expected 1 to"):
        decode_packet_untrusted(START + b"\x81\x18\x63" * (FRAME_BYTES_MAX // 3 + 1))


def test_a_claimed_length_allocates_nothing() -> None:
    tracemalloc.start()
    try:
        for claim in ("9affffffff", "5affffffff", "7affffffff", "baffffffff", "9b7fffffffffffffff"):
            refused(START + bytes.fromhex(claim))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def propose(**changes: object) -> bytes:
    spec: dict[str, object] = {
        "name": "read", "kind": "source", "parallelism": 1, "inputs": [], "prefer_site": "", "parameters": {}
    }  # fmt: skip
    return START + cbor2.dumps([19, 1, ["job", [list((spec | changes).values())]]])


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"kind": "a b"},
        {"parallelism": 0},
        {"parallelism": True},
        {"parallelism": 1_025},
        {"parallelism": 1.0},
        {"inputs": ["read"]},
        {"inputs": ["nobody"]},
        {"inputs": "read"},
        {"prefer_site": None},
        {"parameters": []},
        {"parameters": {"a": None}},
        {"parameters": {"a": b"bytes"}},
        {"parameters": {"a": float("nan")}},
        {"parameters": {"a": float("inf")}},
        {"parameters": {"a": -(2**63) - 1}},
        {"parameters": {b"a": 1}},
        {"parameters": {1: 1}},
        {"parameters": {"a": {b"b": 1}}},
        {"parameters": {"a": [[[[[1]]]]]}},
        {"parameters": {"a": cbor2.undefined}},
    ],
)
def test_a_job_that_is_not_well_formed_is_refused(changes: dict[str, object]) -> None:
    assert decode_packet_untrusted(propose()).messages
    refused(propose(**changes))


def test_a_job_full_of_faults_makes_no_long_story() -> None:
    unknown = [f"u{number}" for number in range(100)]
    data = START + cbor2.dumps([19, 1, ["job", [[f"o{number}", "k", 1, unknown, "", {}] for number in range(200)]]])
    tracemalloc.start()
    try:
        refused(data)
        assert tracemalloc.get_traced_memory()[1] < 50 * len(data)
    finally:
        tracemalloc.stop()


def test_two_operators_of_one_name_are_refused() -> None:
    spec = ["read", "source", 1, [], "", {}]
    refused(START + cbor2.dumps([19, 1, ["job", [spec, spec]]]))


SEAT = ["a", 1]
HELD = ["job", "op", 0, "a", 1, 1, 0, b"", False]
JOB = ["job", [["op", "map", 1, [], "", {}]]]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, -1),
        (0, True),
        (2, 2**64),
        (3, [SEAT, SEAT]),
        (3, [[f"w{number}", 1] for number in range(9)]),
        (3, [["a"]]),
        (3, [["a", 1, "new"]]),
        (4, [["b", []]]),
        (4, [["other", JOB[1]]]),
        (5, [[*HELD[:2], 1, *HELD[3:]]]),
        (5, [HELD, HELD]),
        (5, [[*HELD[:5], 11, *HELD[6:]]]),
        (5, [[*HELD[:2], 1_024, *HELD[3:]]]),
        (5, [[*HELD[:7], b"x" * 65, False]]),
        (5, [[*HELD[:8], 0]]),
        (6, [["b", 1], ["a", 1]]),
        (6, [["a", 1], ["a", 2]]),
        (7, [[1, 1, "what", "reason", []]] * 257),
        (7, [[1, 1, "what", "reason", [""] * 17]]),
        (7, [[1, 1, "w" * 1_025, "reason", []]]),
    ],
)
def test_a_plan_out_of_its_limits_is_refused(place: int, value: object) -> None:
    plan: list[object] = [10, 1, 7, [SEAT], [JOB], [HELD], [["a", 1]], []]
    assert decode_packet_untrusted(START + cbor2.dumps([16, 1, 1, 1, plan])).messages
    plan[place] = value
    refused(START + cbor2.dumps([16, 1, 1, 1, plan]))


LONGER = [3, 6_000, 100, [["a", 1, 10], ["a", 2, 10]]]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, False),
        (0, 0.0),
        (0, 9),
        (1, 0),
        (1, 3_600_001),
        (1, True),
        (2, -1),
        (2, 100_001),
        (3, [["a", 2, 1], ["a", 1, 1]]),
        (3, [["a", 1, 1], ["a", 1, 2]]),
        (3, [["a", 1, 11]]),
        (3, [["a", 1, 0]]),
    ],
)
def test_the_longer_part_of_a_plan_out_of_its_limits_is_refused(place: int, value: object) -> None:
    plan: list[object] = [10, 1, 7, [SEAT], [JOB], [HELD], [["a", 1]], []]
    longer: list[object] = [*LONGER]
    assert decode_packet_untrusted(START + cbor2.dumps([16, 1, 1, 1, [*plan, *longer]])).messages
    longer[place] = value
    refused(START + cbor2.dumps([16, 1, 1, 1, [*plan, *longer]]))


@pytest.mark.parametrize("revoked", [0, 4, 5, 11, True, 6.0])
def test_an_assignment_is_revoked_after_it_was_given_and_not_after_the_plan(revoked: object) -> None:
    held = [*HELD[:5], 5, *HELD[6:]]
    plan = [10, 1, 7, [SEAT], [JOB], [[*held, 6]], [["a", 1]], []]
    assert decode_packet_untrusted(START + cbor2.dumps([16, 1, 1, 1, plan])).messages
    plan[5] = [[*held, revoked]]
    refused(START + cbor2.dumps([16, 1, 1, 1, plan]))


def test_a_longer_form_in_which_nothing_stands_is_refused() -> None:
    """Equal plans have equal bytes: so there is one form for each."""
    plan = [10, 1, 7, [SEAT], [JOB], [HELD], [["a", 1]], []]
    refused(START + cbor2.dumps([16, 1, 1, 1, [*plan, 0, 0, 0, []]]))
    refused(START + cbor2.dumps([19, 1, ["job", [["op", "map", 1, [], "", {}, "at-least-one", 0.0]]]]))


@pytest.mark.parametrize(
    "guarantee",
    [
        ["exactly-once", 0.0],
        ["at-most-one", 1],
        ["at-most-one", True],
        ["at-most-one", float("nan")],
        ["at-most-one", float("inf")],
        ["at-most-one", -0.5],
        ["at-most-one", 604_800.5],
        ["pinned", 1.0],
        [None, 0.0],
        ["x" * 10_000, 0.0],
        ["at-most-one"],
        ["at-most-one", 0.0, 0],
    ],
)
def test_a_guarantee_out_of_its_limits_is_refused(guarantee: list[object]) -> None:
    operator = ["op", "map", 1, [], "", {}]
    assert decode_packet_untrusted(START + cbor2.dumps([19, 1, ["job", [[*operator, "at-most-one", 0.5]]]])).messages
    refused(START + cbor2.dumps([19, 1, ["job", [[*operator, *guarantee]]]]))


@pytest.mark.parametrize(
    "change",
    [
        [],
        [0],
        [14],
        [True, 1, [SEAT]],
        [2, "new"],
        [1, 0, [SEAT]],
        [1, 1, []],
        [5, "a", 1, "why"],
        [6, "j", "o", -1, 1],
        [1, 7, [SEAT, ["a", 2]]],
        [11, [SEAT, SEAT], "why", []],
        [13, [SEAT], ["b"] * 9, "a"],
        [9, "j", "o", 0, 1],
    ],
)
def test_a_change_unknown_or_not_whole_is_refused(change: list[object]) -> None:
    refused(START + cbor2.dumps([18, [[1, 1, change]]]))


def test_a_cluster_is_founded_at_index_1_only() -> None:
    assert decode_packet_untrusted(START + cbor2.dumps([18, [[1, 1, [1, 7, [SEAT]]]]])).messages
    refused(START + cbor2.dumps([18, [[2, 1, [1, 7, [SEAT]]]]]))


def alive(**changes: object) -> bytes:
    fields: dict[str, object] = {
        "kind": 5, "name": "a", "boot": 1, "incarnation": 1, "host": "10.0.0.1", "port": 7_946,
        "site": "default", "kinds": ["map"], "capacity": 64, "expect": 1, "voter": 1,
    }  # fmt: skip
    return START + cbor2.dumps(list((fields | changes).values()))


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "a\n"},
        {"name": "x" * 65},
        {"name": b"a"},
        {"boot": -1},
        {"boot": 2**63},
        {"boot": 1.0},
        {"incarnation": False},
        {"host": ""},
        {"host": "256.0.0.1"},
        {"host": "1.2.3"},
        {"host": "12345"},
        {"host": "01.2.3.4"},
        {"host": "::g"},
        {"host": "a b"},
        {"host": "a..b"},
        {"host": "-a"},
        {"host": "a:80"},
        {"host": "é.org"},
        {"host": "a\n"},
        {"host": "a." * 127},
        {"port": 0},
        {"port": 65_536},
        {"site": ""},
        {"kinds": [f"k{number}" for number in range(65)]},
        {"kinds": ["map", "map"]},
        {"kinds": {}},
        {"capacity": 1_025},
        {"expect": 0},
        {"expect": 10_001},
        {"voter": None},
    ],
)
def test_a_profile_out_of_its_limits_is_refused(changes: dict[str, object]) -> None:
    assert decode_packet_untrusted(alive()).messages
    refused(alive(**changes))


@pytest.mark.parametrize(
    "message",
    [
        pytest.param([6, "a", 1, 1, 0, "b"], id="accused of being alive"),
        pytest.param([6, "a", 1, 1, 4, "b"], id="unknown member state"),
        pytest.param([6, "a", 1, 1, 2, ""], id="nobody accuses"),
        pytest.param([7, "j", "o", 0, 1, "a", 1, 1, 0, 1, 1, b"", "", ""], id="unknown instance state"),
        pytest.param([7, "j", "o", 0, 1, "a", 1, 1, 2, 1, 1, b"", "", "x" * 97], id="cause too long"),
        pytest.param([7, "j", "o", 0, 1, "a", 1, 1, 2, 1, 1, b"", "", "é" * 49], id="cause too long in bytes"),
        pytest.param([7, "j", "o", 0, 1, "a", 1, 1, 2, 1, 1, b"", "\x1b[2J", ""], id="endpoint with an escape"),
        pytest.param([7, "j", "o", 0, 1, "a", 1, 1, 2, 1, 1, "", "", ""], id="checkpoint of text"),
        pytest.param([8, [["a", 1, 1, 0, 2**64]], False], id="hash too large"),
        pytest.param([8, [["a", 1, 1, 0, 1], ["a", 2, 1, 0, 1]], False], id="digest with one name twice"),
        pytest.param([8, [[f"w{n}", 1, 1, 0, 1] for n in range(MEMBERS_MAX + 1)], False], id="digest too long"),
        pytest.param([9, ["a", "a"]], id="one name wanted twice"),
        pytest.param([9, [f"w{n}" for n in range(MEMBERS_MAX + 1)]], id="too many names wanted"),
        pytest.param([10, []], id="founded by nobody"),
        pytest.param([10, [["a", 1], ["a", 2]]], id="founded twice by one name"),
        pytest.param([12, 1, 1, 1, 1, 1], id="integer for a boolean"),
        pytest.param([1, 1, "a", 1, 1, "b c", 1], id="leader without a name"),
        pytest.param([1, 1, "a", 1, 1, "b"], id="ping cut short"),
        pytest.param([20, 1, 1, "e" * 4_097], id="error too long"),
        pytest.param([28, 1, 1, 1, 1, 5, 8, b"four"], id="piece that ends after the whole"),
        pytest.param([28, 1, 1, 1, 1, 9, 8, b"x"], id="piece from after the whole"),
        pytest.param([28, 1, 1, 1, 1, 0, 8, "text"], id="piece of text"),
        pytest.param([33, 1, False, "a"], id="false for no seats"),
        pytest.param([2, 1, 1, "a", 1, bytes(22), 1, 1, -1], id="beacon from the future"),
    ],
)
def test_a_message_out_of_its_limits_is_refused(message: list[object]) -> None:
    refused(START + cbor2.dumps(message))
