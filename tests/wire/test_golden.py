"""Packets of wire version 1 as they were written once, to the byte.

While a cluster is upgraded, old and new peers talk to each other, and a worker reads the log that its former version
left on disk. So the next version must still read each of these packets to the same values, whatever it writes itself.
A round trip does not show that: it goes well with any format that changes on both sides at once.

As long as the version byte stays, so do these bytes: `--rewrite` is for a new message, or before a release. A later
version writes into a folder of its own and goes on reading this one.
"""

from __future__ import annotations

import re
import textwrap
import typing
from pathlib import Path

import pytest

from swimstream.model.changes import (
    Assign,
    Change,
    ChangeCouncil,
    Conclude,
    Entry,
    Evict,
    Found,
    Hold,
    Noop,
    RecoverCouncil,
    Release,
    ResizeCouncil,
    Revoke,
    Seat,
    SetAuthority,
    SubmitJob,
)
from swimstream.model.coordinate import Coordinate
from swimstream.model.history import Decision
from swimstream.model.identity import Address, InstanceId, Run
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.member import Evidence, MemberState, Profile
from swimstream.model.plan import Assignment, Plan, PlanMark
from swimstream.model.status import InstanceState, InstanceStatus
from swimstream.model.talk import Question
from swimstream.wire.codec import WIRE_VERSION, decode_packet_untrusted, encode_message, encode_packet
from swimstream.wire.council_messages import (
    Append,
    AppendReply,
    AuthorityReply,
    AuthorityRequest,
    Beacon,
    CouncilRequest,
    FoundReply,
    FoundRequest,
    PiecePull,
    PlanEntries,
    PlanPull,
    Propose,
    ProposeReply,
    Snapshot,
    SnapshotPiece,
    TimeoutNow,
    VoteReply,
    VoteRequest,
)
from swimstream.wire.messages import (
    Accusation,
    Ack,
    Alive,
    Broadcast,
    DigestEntry,
    Header,
    Letter,
    LetterReceipt,
    Message,
    Nack,
    Packet,
    Ping,
    PingRequest,
    Query,
    QueryReply,
    StatusUpdate,
    SyncCheck,
    SyncDigest,
    SyncWant,
    TagUpdate,
)
from tests.wire.directed_packets import ASKED, DIRECTED

FOLDER = Path(__file__).parent / "golden" / f"v{WIRE_VERSION}"
LINE_BYTES = 48

A, B, C = Run("worker-a", 1_700_000_000_001), Run("worker-b", 1_700_000_000_002), Run("c.3_x", 2**63 - 1)
HEADER = Header(0xFEDC_BA98_7654_3210, A)
BEFORE_FOUNDING = Header(0, A)
MARK = PlanMark(term=3, leader="worker-b", index=300)
COUNCIL = (Seat("c.3_x", 70_000), Seat("worker-a", 11), Seat("worker-b", 2**63 - 1))
JOB = JobSpec(
    name="flights",
    operators=(
        OperatorSpec(
            name="read",
            kind="csv-source",
            parallelism=2,
            prefer_site="eu-1",
            parameters={
                "path": "/données/vols.csv",
                "rate": 2.5,
                "skip": -1,
                "loop": True,
                "most": 2**64 - 1,
                "columns": ("from", "to", 7),
                "limits": {"late": {"minutes": 15}, "": ()},
            },
        ),
        OperatorSpec(name="count", kind="window", parallelism=1_024, inputs=("read",)),
        OperatorSpec(name="write", kind="sink", inputs=("count", "read")),
    ),
)
COUNT = InstanceId("flights", "count", 1_023)
READ = InstanceId("flights", "read", 0)
ASSIGNED = Assign(
    instance=COUNT,
    run=C,
    failures=2,
    resume_from=b"\x00offset 4096\xff",
    reason="worker-b is dead",
    evidence=("worker-a: no answer for 5.0 s", "c.3_x: dito – “längst”"),
)
EVICTED = Evict(run=B, reason="dead for 30 s", evidence=("worker-a",))
PLAN = Plan(
    index=305,
    term=4,
    cluster_id=HEADER.cluster_id,
    council=COUNCIL,
    jobs={"flights": JOB, "Second": JobSpec(name="Second", operators=(OperatorSpec(name="op", kind="map"),))},
    assignments={
        COUNT: Assignment(instance=COUNT, run=C, epoch=303, failures=2, resume_from=b"\x00offset 4096\xff"),
        READ: Assignment(instance=READ, run=A, epoch=302, finished=True),
    },
    evicted={"worker-b": B.boot, "gone": 0},
    decisions=(
        Decision(index=302, term=3, what="assign flights/read[0] to worker-a@1700000000001", reason="new job"),
        Decision(index=304, term=4, what="evict worker-b", reason="dead for 30 s", evidence=("worker-a", "c.3_x")),
    ),
)
PLACE = Coordinate(
    vector=(0.0, 0.0005, -0.25, 1.0, 0.125, 0.0, 0.0, -1.5), height_s=0.25, adjustment_s=-0.125, error=0.5
)
BEACON = Beacon(term=4, index=304, age_ms=1_250)
GUARANTEED = JobSpec(
    name="ledger",
    operators=(
        OperatorSpec(name="post", kind="sink", instances="at-most-one", hold_for_s=30.0),
        OperatorSpec(name="watch", kind="map", parallelism=3, instances="pinned"),
        OperatorSpec(name="mail", kind="sink", hold_for_s=0.5),
        OperatorSpec(name="count", kind="window"),
    ),
)
POST = InstanceId("ledger", "post", 0)
GROWN_COUNCIL = (*COUNCIL, Seat("worker-a", 12))

GOLDEN: list[tuple[str, Header, Message]] = [
    ("a probe by the leader's plan", HEADER, Ping(seq=1_000, target=B, mark=MARK)),
    (
        "an answer from before the founding, no leader known",
        BEFORE_FOUNDING,
        Ack(seq=0, mark=PlanMark(term=0, leader="", index=0)),
    ),
    ("please ping for me, by IPv6", HEADER, PingRequest(seq=1_001, target=C, address=Address("fe80::1%eth0", 65_535))),
    ("no answer so far", HEADER, Nack(seq=1_001)),
    (
        "a worker about itself",
        HEADER,
        Alive(
            run=A,
            incarnation=5,
            profile=Profile(
                address=Address("10.0.0.1", 7_946),
                site="eu-1",
                kinds=("csv-source", "sink", "window"),
                capacity=1_024,
                expect=3,
                voter=11,
            ),
        ),
    ),
    ("a suspicion", HEADER, Accusation(run=B, incarnation=7, state=MemberState.SUSPECT, accuser="c.3_x")),
    (
        "an instance that failed",
        HEADER,
        StatusUpdate(
            status=InstanceStatus(
                instance=COUNT,
                epoch=303,
                run=C,
                seq=12,
                state=InstanceState.FAILED,
                since_ms=1_700_000_123_456,
                progress=2**40,
                checkpoint=b"\x00offset 4096\xff",
                endpoint="[fe80::1]:4000",
                cause="ValueError: größer als 7",
            )
        ),
    ),
    (
        "what is held of three workers, one of each length of hash",
        HEADER,
        SyncDigest(
            entries=(
                DigestEntry(run=A, incarnation=5, state=MemberState.ALIVE, statuses=2**64 - 1),
                DigestEntry(run=B, incarnation=7, state=MemberState.DEAD, statuses=0),
                DigestEntry(run=C, incarnation=0, state=MemberState.LEFT, statuses=2**31),
            )
        ),
    ),
    ("tell me of these", HEADER, SyncWant(names=("worker-b", "c.3_x"))),
    ("a founder asks", BEFORE_FOUNDING, FoundRequest(round=1, runs=(A, B, C))),
    ("and is answered", BEFORE_FOUNDING, FoundReply(round=1, runs=(A, B, C), agrees=True)),
    ("a pre-vote", HEADER, VoteRequest(term=4, voter=11, last_index=304, last_term=3, pre=True)),
    ("a vote given", HEADER, VoteReply(term=4, voter=2**63 - 1, granted=True, pre=False)),
    (
        "the first three entries of a log",
        HEADER,
        Append(
            term=2,
            voter=11,
            round=9,
            prev_index=0,
            prev_term=0,
            commit=1,
            entries=(
                Entry(index=1, term=0, change=Found(cluster_id=HEADER.cluster_id, council=COUNCIL)),
                Entry(index=2, term=1, change=Noop()),
                Entry(index=3, term=2, change=SubmitJob(job=JOB)),
            ),
        ),
    ),
    ("entries refused", HEADER, AppendReply(term=4, voter=70_000, round=9, success=False, index=299)),
    ("a whole plan", HEADER, Snapshot(term=4, voter=11, round=10, plan=PLAN)),
    ("what comes after 300", HEADER, PlanPull(index=300)),
    (
        "later entries: assign, evict, conclude",
        HEADER,
        PlanEntries(
            entries=(
                Entry(index=303, term=3, change=ASSIGNED),
                Entry(index=304, term=4, change=EVICTED),
                Entry(index=305, term=4, change=Conclude(instance=READ, epoch=302)),
            )
        ),
    ),
    ("a job to be accepted", HEADER, Propose(request=42, change=SubmitJob(job=JOB))),
    ("a job refused", HEADER, ProposeReply(request=42, error="job: expected a kind that some worker runs, got 'csv'")),
    ("a tag that was removed", HEADER, TagUpdate(run=A, version=3, key="rack", value=None)),
    (
        "for everybody",
        HEADER,
        Broadcast(origin=B, number=5, time=77, topic="deploy", payload=b"\x00v1.2"),
    ),
    (
        "asked of two by name and tag",
        HEADER,
        Query(
            question=Question(
                origin=A,
                number=6,
                topic="load",
                payload=b"now",
                patience_ms=2_500,
                names=("c.3_x", "worker-b"),
                tag=("rack", "größer"),
            )
        ),
    ),
    ("an answer", HEADER, QueryReply(number=6, payload=b"0.7")),
    ("for one", HEADER, Letter(to=B, number=2**40, topic="hint", payload=b"look")),
    ("it came", HEADER, LetterReceipt(number=2**40)),
    ("all I know", HEADER, SyncCheck(digest=2**64 - 2)),
    (
        "the second piece of a plan",
        HEADER,
        SnapshotPiece(term=4, voter=11, round=0, index=305, offset=65_536, total=2**26, data=b"\x00piece\xff"),
    ),
    ("the piece after it", HEADER, PiecePull(index=305, offset=65_543, round=7)),
    ("campaign at once", HEADER, TimeoutNow(term=4)),
    ("what do you know of a quorum", HEADER, AuthorityRequest(nonce=2**63 - 1)),
    ("nothing so far", HEADER, AuthorityReply(nonce=2**63 - 1, mark=MARK)),
    ("a council of five, please", HEADER, CouncilRequest(request=43, seats=5)),
    (ASKED[0], HEADER, ASKED[1]),
]

LATER: list[tuple[str, Header, Message]] = [
    (
        "an answer with a place in the network",
        HEADER,
        Ack(
            seq=1,
            mark=MARK,
            coordinate=PLACE,
        ),
    ),
    (
        "a suspicion with what was seen",
        HEADER,
        Accusation(
            run=B,
            incarnation=7,
            state=MemberState.SUSPECT,
            accuser="c.3_x",
            evidence=Evidence(relays=3, nacks=2, datagram_refused=True, stream_refused=True),
        ),
    ),
    (
        "a worker that speaks level 2",
        HEADER,
        Alive(run=A, incarnation=5, profile=Profile(address=Address("10.0.0.1", 7_946), speaks=2)),
    ),
    ("nothing but broadcasts", HEADER, SyncDigest(entries=(), broadcasts=((B, 5), (A, 0)))),
    ("tell me of that broadcast", HEADER, SyncWant(names=(), broadcasts=((B, 5),))),
    ("all I know, progress too", HEADER, SyncCheck(digest=2**64 - 3, with_progress=True)),
    ("an answer with a place and a beacon", HEADER, Ack(seq=1, mark=MARK, coordinate=PLACE, beacon=BEACON)),
    ("an answer with a beacon and no place", HEADER, Ack(seq=1, mark=MARK, beacon=BEACON)),
    (
        "a vote that the leader itself wants",
        HEADER,
        VoteRequest(term=5, voter=11, last_index=304, last_term=4, pre=False, transfer=True),
    ),
    (
        "a heartbeat before there is a beacon",
        HEADER,
        Append(term=4, voter=11, round=9, prev_index=304, prev_term=4, commit=304, entries=(), heartbeat_ms=250),
    ),
    (
        "a heartbeat with a beacon",
        HEADER,
        Append(
            term=4,
            voter=11,
            round=10,
            prev_index=304,
            prev_term=4,
            commit=304,
            entries=(),
            heartbeat_ms=250,
            echo=2**40,
            beacon=BEACON,
        ),
    ),
    (
        "entries taken, with a token",
        HEADER,
        AppendReply(term=4, voter=70_000, round=9, success=True, index=304, token=2**40),
    ),
    ("what is known of a quorum", HEADER, AuthorityReply(nonce=7, mark=MARK, beacon=BEACON)),
    ("another leader, please", HEADER, CouncilRequest(request=44, leader="c.3_x")),
    ("a job with guarantees", HEADER, Propose(request=45, change=SubmitJob(job=GUARANTEED))),
    (
        "an instance that waits for a quorum",
        HEADER,
        StatusUpdate(
            status=InstanceStatus(
                instance=POST, epoch=309, run=A, seq=3, state=InstanceState.ISOLATED, since_ms=1_700_000_123_456
            )
        ),
    ),
    (
        "entries about authority and the council",
        HEADER,
        PlanEntries(
            entries=(
                Entry(index=306, term=4, change=SetAuthority(isolation_ms=6_000, drift_ppm=10_000)),
                Entry(index=307, term=4, change=SubmitJob(job=GUARANTEED)),
                Entry(index=308, term=4, change=Hold(run=B, reason="suspected", evidence=("worker-a", "“längst”"))),
                Entry(index=309, term=4, change=Release(run=B, reason="it lives")),
                Entry(index=310, term=4, change=Revoke(instance=POST, epoch=309, reason="nobody took it up")),
                Entry(
                    index=311,
                    term=5,
                    change=ChangeCouncil(council=GROWN_COUNCIL, reason="worker-a lost its memory", evidence=("c.3_x",)),
                ),
                Entry(index=312, term=5, change=ResizeCouncil(seats=5, asked_by="worker-a")),
                Entry(
                    index=313,
                    term=5,
                    change=RecoverCouncil(
                        council=(Seat("worker-a", 12),), lost=("c.3_x", "worker-b"), asked_by="worker-a"
                    ),
                ),
            )
        ),
    ),
    (
        "a plan with authority and stops",
        HEADER,
        Snapshot(
            term=5,
            voter=11,
            round=10,
            plan=Plan(
                index=313,
                term=5,
                cluster_id=HEADER.cluster_id,
                council=GROWN_COUNCIL,
                jobs={"ledger": GUARANTEED},
                assignments={POST: Assignment(instance=POST, run=A, epoch=309, revoked=310)},
                evicted={"worker-b": B.boot},
                stops={B: 308, C: 311},
                seats_wanted=5,
                isolation_ms=6_000,
                drift_ppm=10_000,
            ),
        ),
    ),
]
LATER += [(what, HEADER, message) for what, message in DIRECTED]
"""Later forms of messages of `GOLDEN`: with fields that were appended since, or what they could not hold before."""


def file_name(message: Message) -> str:
    name = re.sub(r"(?<!^)(?=[A-Z])", "-", type(message).__name__).lower()
    forms = [each for _, _, each in GOLDEN + LATER if type(each) is type(message)]
    number = 1 + next(place for place, each in enumerate(forms) if each is message)
    return f"{name}-{number}.hex" if number > 1 else f"{name}.hex"


def read_hex(text: str) -> bytes:
    """Return the bytes of a golden file; lines that begin with # are for people."""
    return bytes.fromhex("".join(line for line in text.splitlines() if not line.startswith("#")))


each_golden = pytest.mark.parametrize(
    ("what", "header", "message"), [pytest.param(*golden, id=file_name(golden[2])) for golden in GOLDEN + LATER]
)


@each_golden
def test_a_packet_is_written_as_it_always_was(
    what: str, header: Header, message: Message, request: pytest.FixtureRequest
) -> None:
    packet = encode_packet(header, [encode_message(message)])
    golden = FOLDER / file_name(message)
    if request.config.getoption("--rewrite", default=False):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(f"# {type(message).__name__}: {what}\n{textwrap.fill(packet.hex(), 2 * LINE_BYTES)}\n")
    assert read_hex(golden.read_text()).hex() == packet.hex(), "older peers may not read this: see the docstring above"


@each_golden
def test_a_packet_is_read_as_it_always_was(what: str, header: Header, message: Message) -> None:
    packet = decode_packet_untrusted(read_hex((FOLDER / file_name(message)).read_text()))
    assert packet == Packet(header=header, messages=(message,), skipped=0)


def test_there_is_one_golden_packet_for_each_type_of_message() -> None:
    assert {type(message) for _, _, message in GOLDEN} == set(typing.get_args(Message))
    assert {path.name for path in FOLDER.iterdir()} == {file_name(message) for _, _, message in GOLDEN + LATER}


def test_the_golden_packets_hold_every_kind_of_change() -> None:
    entries = [
        entry
        for _, _, message in GOLDEN + LATER
        if isinstance(message, Append | PlanEntries)
        for entry in message.entries
    ]
    assert {type(entry.change) for entry in entries} == set(typing.get_args(Change))
