"""docs/wire.cddl describes what this version writes, and no more than it reads.

Whoever writes a peer of their own, or the next version of this one, goes by that file. So it is held against the
codec from both sides: what we write is valid by it, and what it refuses, we refuse.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import cbor2
import pytest
from cddl_verifier import Validator  # type: ignore[import-untyped]  # it ships without types
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from swimstream.core.effects import Effect, OpenStream, SendFrame, SendPacket
from swimstream.errors import WireError
from swimstream.model.identity import Run
from swimstream.wire.codec import WIRE_VERSION, decode_packet_untrusted, encode_header, encode_message
from swimstream.wire.kinds import Kind
from swimstream.wire.messages import Header, Message
from swimstream.wire.plan_codec import encode_entry, encode_plan
from swimstream.wire.plan_reader import decode_entry_untrusted, decode_plan_untrusted
from tests import strategies
from tests.core.town import Citizen, Town, job
from tests.wire.test_golden import read_hex

if TYPE_CHECKING:
    from swimstream.model.changes import Entry
    from swimstream.model.plan import Plan

GOLDEN = Path(__file__).parent / "golden" / "v1"
VALIDATOR = Validator(Path(__file__).parents[2] / "docs" / "wire.cddl")
HEADER = Header(7, Run("worker-1", 1_700_000_000_000))
KINDS = list(strategies.BY_TYPE)

RULES: dict[int, str] = {
    number: name.lower().replace("_", "-") for name, number in vars(Kind).items() if name.isupper()
}
"""Number on the wire → name of the rule."""

few = settings(deadline=None, max_examples=20)
very_few = settings(deadline=None, max_examples=3)


def rule_of(kind: type[Message]) -> str:
    """Return the name of the rule for a type of message: `PingRequest` is `ping-request`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", kind.__name__).lower()


def faults(data: bytes, rule: str) -> str:
    """Return why the one item of `data` is not valid by a rule; nothing if it is."""
    result = VALIDATOR.validate(data, root_type=rule)
    return "" if result.valid else str(result.format())


def is_read(item: object, rule: str) -> bool:
    """Return whether this version takes the item where that rule stands."""
    data = cbor2.dumps(item, canonical=True)
    try:
        match rule:
            case "header":
                decode_packet_untrusted(bytes([WIRE_VERSION]) + data)
            case "entry":
                decode_entry_untrusted(data)
            case "plan":
                decode_plan_untrusted(data)
            case _:
                decode_packet_untrusted(encode_header(HEADER) + data)
    except WireError:
        return False
    return True


def items_of(packet: bytes) -> list[list[object]]:
    """Return the items of a packet: its sequence, made one array."""
    items: list[list[object]] = cbor2.loads(b"\x9f" + packet[1:] + b"\xff")
    return items


def fields_of(message: Message) -> list[object]:
    fields: list[object] = cbor2.loads(encode_message(message))
    return fields


def shortest_of(kind: type[Message], fields: list[object]) -> int:
    """Return how many fields a message of that type has at least."""
    return strategies.GROWN.get(kind, (len(fields), 0))[0]


# --- what we write is valid -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=rule_of)
def test_a_message_is_what_its_rule_says(kind: type[Message]) -> None:
    @few
    @given(strategies.BY_TYPE[kind])
    def check(message: Message) -> None:
        assert not faults(encode_message(message), rule_of(kind))

    check()


@pytest.mark.parametrize("kind", KINDS, ids=rule_of)
def test_every_rule_is_one_of_the_messages(kind: type[Message]) -> None:
    @very_few
    @given(strategies.BY_TYPE[kind])
    def check(message: Message) -> None:
        assert not faults(encode_message(message), "message")

    check()


@few
@given(strategies.headers)
def test_a_header_is_what_its_rule_says(header: Header) -> None:
    assert not faults(encode_header(header)[1:], "header")


@few
@given(strategies.entries)
def test_an_entry_is_what_its_rule_says(entry: Entry) -> None:
    assert not faults(encode_entry(entry), "entry")


@few
@given(strategies.plans())
def test_a_plan_is_what_its_rule_says(plan: Plan) -> None:
    assert not faults(encode_plan(plan), "plan")


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.hex")), ids=lambda path: path.stem)
def test_a_golden_packet_of_version_1_is_still_valid(path: Path) -> None:
    header, message = items_of(read_hex(path.read_text()))
    assert not faults(cbor2.dumps(header, canonical=True), "header")
    assert not faults(cbor2.dumps(message, canonical=True), re.sub(r"-\d+$", "", path.stem))


class TappedTown(Town):
    """A town that keeps all that is sent in it."""

    def __init__(self, names: str) -> None:
        self.packets: list[bytes] = []
        super().__init__(names)

    def _carry_out_one(self, citizen: Citizen, effect: Effect) -> None:
        match effect:
            case SendPacket(payload=packet) | OpenStream(frame=packet) | SendFrame(frame=packet):
                self.packets.append(packet)
            case _:
                pass
        super()._carry_out_one(citizen, effect)


def test_what_nodes_send_each_other_is_valid() -> None:
    town = TappedTown("abc")
    leader = town.run_until_led()
    other = "abc".replace(leader, "")[0]
    town.submit(other, job(parallelism=2))
    town.run_for(2.0)
    town.crash(other)
    town.run_for(20.0)
    town.settle_in("d")
    town.run_for(5.0)
    headers, messages = set(), set()
    for packet in town.packets:
        header, *items = items_of(packet)
        headers.add(cbor2.dumps(header, canonical=True))
        for item in items:
            assert isinstance(item[0], int)
            messages.add((RULES[item[0]], cbor2.dumps(item, canonical=True)))
    assert len({rule for rule, _ in messages}) >= 15, "hardly anything happened"
    assert [faults(header, "header") for header in headers] == [""] * len(headers)
    for rule, message in sorted(messages):
        assert not faults(message, rule)


# --- what is not valid, we do not read ------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=rule_of)
def test_a_message_with_a_field_of_the_wrong_kind_is_refused(kind: type[Message]) -> None:
    @very_few
    @given(strategies.BY_TYPE[kind])
    def check(message: Message) -> None:
        fields = fields_of(message)
        for position in range(len(fields)):
            damaged = [*fields[:position], None, *fields[position + 1 :]]  # no field may be null
            if position < shortest_of(kind, fields):  # a rule takes what it does not know for appended
                assert faults(cbor2.dumps(damaged, canonical=True), rule_of(kind)), f"null at {position}"
            assert not is_read(damaged, "message")

    check()


@pytest.mark.parametrize("kind", KINDS, ids=rule_of)
def test_a_message_with_too_few_fields_is_refused(kind: type[Message]) -> None:
    @very_few
    @given(strategies.BY_TYPE[kind])
    def check(message: Message) -> None:
        fields = fields_of(message)
        for length in range(shortest_of(kind, fields)):
            assert faults(cbor2.dumps(fields[:length], canonical=True), rule_of(kind)), f"only {length}"
            assert not is_read(fields[:length], "message")

    check()


NOOP_AT_1 = [1, 1, [2]]
STATUS = [7, "job", "op", 0, 1, "a", 1, 1, 2, 0, 0, b"", "", ""]
OPERATOR = ["op", "map", 1, [], "", {}]
ASSIGNMENT = ["job", "op", 0, "a", 1, 1, 0, b"", False]
APPEND = [14, 1, 1, 1, 0, 0, 0, []]
PLAN = [2, 1, 7, [["a", 1]], [["job", [OPERATOR]]], [ASSIGNMENT], [["b", 1]], [[1, 1, "what", "why", ["a said"]]]]
"""Sound, all of them: each damage below is the only one of its item."""


def changed(item: list[object], position: int, value: object) -> list[object]:
    return [*item[:position], value, *item[position + 1 :]]


@pytest.mark.parametrize(
    ("rule", "item"),
    [
        ("message", [18, [NOOP_AT_1]]),
        ("message", STATUS),
        ("message", [19, 1, ["job", [OPERATOR]]]),
        ("message", [19, 1, ["job", [[*OPERATOR, "at-most-one", 604_800.0]]]]),
        ("message", [19, 1, ["job", [[*OPERATOR, "pinned", 0.0]]]]),
        ("message", APPEND),
        ("message", [*APPEND, 240_000, 1]),
        ("message", [*APPEND, 250, 1, 1, 1, 1]),
        ("message", [2, 1, 1, "a", 1, b"", 1, 1, 1]),
        ("message", [28, 1, 1, 1, 1, 0, 2**26, bytes(2**20)]),
        ("message", [29, 1, 2**26, 1]),
        ("message", [32, 1, 1, "a", 1]),
        ("message", [33, 1, 7, ""]),
        ("message", [33, 1, 0, "a"]),
        ("entry", [2, 1, [11, [[f"n{n}", 1] for n in range(8)], "why", []]]),
        ("entry", [2, 1, [10, 3_600_000, 100_000]]),
        ("plan", PLAN),
        ("plan", [*PLAN, 3, 6_000, 0, [["a", 1, 2]]]),
        ("plan", changed(PLAN, 5, [[*ASSIGNMENT, 2]])),
    ],
)
def test_what_the_damages_begin_with_is_sound(rule: str, item: list[object]) -> None:
    assert not faults(cbor2.dumps(item), rule)
    assert is_read(item, rule)


@pytest.mark.parametrize(
    ("rule", "item"),
    [
        pytest.param(rule, item, id=what)
        for what, rule, item in [
            ("a header without a boot", "header", [0, "a"]),
            ("a header from nobody", "header", [0, "", 1]),
            ("a name of 65", "header", [0, "a" * 65, 1]),
            ("a name with a space", "header", [0, "a b", 1]),
            ("a hash of 65 bits", "header", [2**64, "a", 1]),
            ("a boot of 64 bits", "header", [0, "a", 2**63]),
            ("a count below 0", "message", [4, -1]),
            ("true for a count", "message", [4, True]),
            ("no kind", "message", []),
            ("a kind of text", "message", ["ping", 1]),
            ("port 0", "message", [3, 1, "a", 1, "10.0.0.1", 0]),
            ("port 65536", "message", [3, 1, "a", 1, "10.0.0.1", 65_536]),
            ("a host with a space", "message", [3, 1, "a", 1, "a b", 1]),
            ("capacity 1025", "message", [5, "a", 1, 0, "::1", 1, "s", [], 1_025, 1, 0]),
            ("waits for nobody", "message", [5, "a", 1, 0, "::1", 1, "s", [], 1, 0, 0]),
            ("65 kinds", "message", [5, "a", 1, 0, "::1", 1, "s", [f"k{n}" for n in range(65)], 1, 1, 0]),
            ("accused of being alive", "message", [6, "a", 1, 0, 0, "b"]),
            ("an unknown state of a member", "message", [6, "a", 1, 0, 4, "b"]),
            ("an unknown state in a digest", "message", [8, [["a", 1, 0, 4, 0]]]),
            ("an unknown state of an instance", "message", changed(STATUS, 8, 8)),
            ("instance 1024", "message", changed(STATUS, 3, 1_024)),
            ("a checkpoint of 65 bytes", "message", changed(STATUS, 11, b"x" * 65)),
            ("a checkpoint of text", "message", changed(STATUS, 11, "x")),
            ("an endpoint with a space", "message", changed(STATUS, 12, "a b")),
            ("a cause of 98 bytes in 49 characters", "message", changed(STATUS, 13, "é" * 49)),
            ("no founders", "message", [10, 1, []]),
            ("1 for true", "message", [13, 1, 1, 1, False]),
            ("an entry at 0", "message", [18, [[0, 1, [2]]]]),
            ("a longer entry", "message", [18, [[*NOOP_AT_1, 0]]]),
            ("an unknown change", "message", [18, [[1, 1, [14]]]]),
            ("a longer change", "message", [18, [[1, 1, [2, 0]]]]),
            ("a founding of cluster 0", "entry", [1, 1, [1, 0, [["a", 1]]]]),
            ("a council of 9", "entry", [2, 1, [11, [[f"n{n}", 1] for n in range(9)], "why", []]]),
            ("17 lines of evidence", "entry", [2, 1, [5, "a", 1, "why", ["b"] * 17]]),
            ("a reason of 1025", "entry", [2, 1, [5, "a", 1, "x" * 1_025, []]]),
            ("a job of nothing", "message", [19, 1, ["job", []]]),
            ("parallelism 0", "message", [19, 1, ["job", [changed(OPERATOR, 2, 0)]]]),
            ("a parameter of bytes", "message", [19, 1, ["job", [changed(OPERATOR, 5, {"x": b""})]]]),
            ("a parameter of 65 bits", "message", [19, 1, ["job", [changed(OPERATOR, 5, {"x": -(2**63) - 1})]]]),
            ("a parameter without a name", "message", [19, 1, ["job", [changed(OPERATOR, 5, {1: 1})]]]),
            ("a refusal of 4097", "message", [20, 1, "x" * 4_097]),
            ("two values of a tag", "message", [21, "a", 1, 1, "key", ["x", "y"]]),
            ("a value of 514 bytes in 257 characters", "message", [21, "a", 1, 1, "key", ["é" * 257]]),
            ("a topic with a slash", "message", [22, "a", 1, 1, 1, "a/b", b""]),
            ("a broadcast of 513 bytes", "message", [22, "a", 1, 1, 1, "a", bytes(513)]),
            ("half a tag to ask by", "message", [23, "a", 1, 1, 1, "a", b"", [], ["key"]]),
            ("17 workers asked", "message", [23, "a", 1, 1, 1, "a", b"", [f"n{n}" for n in range(17)], []]),
            ("patience of 11 minutes", "message", [23, "a", 1, 1, 660_000, "a", b"", [], []]),
            ("an answer of 65537 bytes", "message", [24, 1, bytes(65_537)]),
            ("a letter of text", "message", [25, "b", 1, 1, "a", "text"]),
            ("half a beacon of an ack", "message", [2, 1, 1, "a", 1, b"", 1, 1]),
            ("no coordinate and no beacon", "message", [2, 1, 1, "a", 1, b""]),
            ("a heartbeat without an echo", "message", [*APPEND, 250]),
            ("half a beacon of an append", "message", [*APPEND, 250, 1, 1]),
            ("a heartbeat of more than four minutes", "message", [*APPEND, 240_001, 1]),
            ("half a beacon of a reply", "message", [32, 1, 1, "a", 1, 1, 1]),
            ("an empty piece", "message", [28, 1, 1, 1, 1, 0, 1, b""]),
            ("a piece of more than 1 MiB", "message", [28, 1, 1, 1, 1, 0, 2**21, bytes(2**20 + 1)]),
            ("a whole of more than 64 MiB", "message", [28, 1, 1, 1, 1, 0, 2**26 + 1, b"x"]),
            ("a piece of plan 0", "message", [28, 1, 1, 1, 0, 0, 1, b"x"]),
            ("a pull from beyond 64 MiB", "message", [29, 1, 2**26 + 1, 1]),
            ("seats and a leader", "message", [33, 1, 3, "a"]),
            ("neither seats nor a leader", "message", [33, 1, 0, ""]),
            ("a council wanted of 4", "message", [33, 1, 4, ""]),
            ("a founding council of 8", "entry", [1, 1, [1, 7, [[f"n{n}", 1] for n in range(8)]]]),
            ("a hold without evidence", "entry", [2, 1, [7, "a", 1, "why"]]),
            ("authority for 0 ms", "entry", [2, 1, [10, 0, 1]]),
            ("authority for more than an hour", "entry", [2, 1, [10, 3_600_001, 1]]),
            ("a drift of more than a tenth", "entry", [2, 1, [10, 1, 100_001]]),
            ("a council of nobody", "entry", [2, 1, [11, [], "why", []]]),
            ("a resize to 8", "entry", [2, 1, [12, 8, "a"]]),
            ("recovered by nobody", "entry", [2, 1, [13, [["a", 1]], ["b"], ""]]),
            ("an unknown guarantee", "message", [19, 1, ["job", [[*OPERATOR, "exactly-once", 0.0]]]]),
            ("a wait that is no float", "message", [19, 1, ["job", [[*OPERATOR, "at-most-one", 1]]]]),
            ("a wait of more than a week", "message", [19, 1, ["job", [[*OPERATOR, "at-most-one", 604_801.0]]]]),
            ("a wait below 0", "message", [19, 1, ["job", [[*OPERATOR, "at-most-one", -1.0]]]]),
            ("pinned, and yet a wait", "message", [19, 1, ["job", [[*OPERATOR, "pinned", 1.0]]]]),
            ("a guarantee and no wait", "message", [19, 1, ["job", [[*OPERATOR, "at-most-one"]]]]),
            ("a longer plan by one", "plan", [*PLAN, 0]),
            ("a longer plan by five", "plan", [*PLAN, 3, 6_000, 0, [], 0]),
            ("false for no seats wanted", "plan", [*PLAN, False, 6_000, 0, []]),
            ("9 seats wanted", "plan", [*PLAN, 9, 6_000, 0, []]),
            ("a stop at 0", "plan", [*PLAN, 3, 6_000, 0, [["a", 1, 0]]]),
            ("a longer stop", "plan", [*PLAN, 3, 6_000, 0, [["a", 1, 1, 1]]]),
            ("a shorter plan", "plan", PLAN[:-1]),
            ("revoked at 0", "plan", changed(PLAN, 5, [[*ASSIGNMENT, 0]])),
            ("a longer assignment", "plan", changed(PLAN, 5, [[*ASSIGNMENT, 2, 0]])),
            ("257 decisions", "plan", changed(PLAN, 7, [[1, 1, "what", "why", []]] * 257)),
        ]
    ],
)
def test_what_is_damaged_is_refused_by_rule_and_by_reader(rule: str, item: object) -> None:
    assert faults(cbor2.dumps(item, canonical=True), rule)
    assert not is_read(item, rule)


# --- the next version may append ------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=rule_of)
def test_fields_may_be_appended_to_a_message(kind: type[Message]) -> None:
    @very_few
    @given(strategies.BY_TYPE[kind])
    def check(message: Message) -> None:
        fields = fields_of(message)
        assume(kind not in strategies.GROWN or len(fields) == strategies.GROWN[kind][1])
        longer = [*fields, None, {"of": ["a", b"later", 1.5]}]
        assert not faults(cbor2.dumps(longer, canonical=True), rule_of(kind))
        assert is_read(longer, "message")

    check()


@very_few
@given(st.integers(max(RULES) + 1, 2**63 - 1))
def test_a_later_kind_of_message_is_valid(kind: int) -> None:
    assert not faults(cbor2.dumps([kind, "whatever", None]), "message")
    assert is_read([kind, "whatever", None], "message")
