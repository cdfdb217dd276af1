"""Hypothesis strategies for every value that goes over the wire or to disk, within the limits of the model."""

from __future__ import annotations

import string
from typing import TypedDict

import attrs
from hypothesis import strategies as st

from swimstream.config import DRIFT_PPM_MAX, ISOLATION_MS_MAX
from swimstream.model.changes import (
    COUNCIL_SIZES,
    EVIDENCE_ITEMS_MAX,
    LEVEL_MAX,
    MODES,
    REBALANCE_MOVES_MAX,
    SEATS_MAX,
    Assign,
    Blame,
    CancelJob,
    Change,
    ChangeCouncil,
    ClaimProgress,
    Command,
    Conclude,
    DeclareDead,
    Entry,
    Evict,
    Forget,
    Found,
    Hold,
    KeepReplacement,
    Noop,
    Pardon,
    Proof,
    Quarantine,
    RecoverCouncil,
    Release,
    ResizeCouncil,
    Restart,
    Revoke,
    Seat,
    SetAuthority,
    SetPolicy,
    SetStandbys,
    SetWorkerMode,
    SubmitJob,
    UpdateJob,
)
from swimstream.model.coordinate import DIMENSIONS, Coordinate
from swimstream.model.directives import (
    CRASHES_KEPT,
    PPM,
    Blamed,
    Claim,
    Conflict,
    Directives,
    Lost,
    Quarantined,
    WorkerMode,
)
from swimstream.model.history import Decision
from swimstream.model.identity import Address, InstanceId, Run
from swimstream.model.job import (
    ANTI_AFFINITIES,
    AT_LEAST_ONE,
    AT_MOST_ONE,
    CONFLICTS,
    HOLD_FOR_S_MAX,
    KEEP_REPLACEMENT,
    PARALLELISM_MAX,
    PINNED,
    SCOPES,
    SLOTS_MAX,
    STALL_AFTER_S_MAX,
    STALL_AFTER_S_MIN,
    STANDBY_MAX,
    JobSpec,
    OperatorSpec,
    Parameter,
)
from swimstream.model.member import CAPACITY_MAX, EXPECT_MAX, KINDS_MAX, SPEAKS, Evidence, MemberState, Profile
from swimstream.model.plan import Assignment, Plan, PlanMark
from swimstream.model.restart import (
    ATTEMPTS_MAX,
    DELAY_S_MAX,
    MULTIPLIER_MAX,
    NO_RESTART,
    STRATEGIES,
    USUAL_RESTART,
    RestartStrategy,
)
from swimstream.model.status import (
    CAUSE_BYTES_MAX,
    CHECKPOINT_BYTES_MAX,
    ENDPOINT_CHARS_MAX,
    ErrorClass,
    InstanceState,
    InstanceStatus,
)
from swimstream.model.talk import (
    PATIENCE_MS_MAX,
    QUERY_NAMES_MAX,
    SHORT_PAYLOAD_BYTES_MAX,
    TAG_VALUE_BYTES_MAX,
    Question,
)
from swimstream.wire.council_codec import HEARTBEAT_MS_MAX
from swimstream.wire.council_messages import (
    Append,
    AppendReply,
    AuthorityReply,
    AuthorityRequest,
    Beacon,
    ChangeRequest,
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
from swimstream.wire.plan_reader import STORED_BYTES_MAX

LETTERS_AND_DIGITS = string.ascii_letters + string.digits

counters = st.one_of(st.integers(0, 30), st.integers(0, 2**63 - 1))
hashes = st.integers(0, 2**64 - 1)
booleans = st.booleans()
names = st.builds(
    str.__add__,
    st.sampled_from(LETTERS_AND_DIGITS),
    st.one_of(st.text(LETTERS_AND_DIGITS + "._-", max_size=4), st.just("x" * 63)),
)


def texts(*, bytes_max: int) -> st.SearchStrategy[str]:
    """Return text of at most `bytes_max` bytes of UTF-8, of any characters."""
    return st.one_of(
        st.text(st.characters(codec="utf-8"), max_size=bytes_max // 4), st.text("ab\n", max_size=bytes_max)
    )


hosts = st.one_of(
    st.ip_addresses().map(str), st.sampled_from(["localhost", "worker-1.site_2.example.org", "fe80::1%eth0"])
)
addresses = st.builds(Address, hosts, st.integers(1, 65_535))
runs = st.builds(Run, names, counters)
instances = st.builds(InstanceId, names, names, st.integers(0, PARALLELISM_MAX - 1))
checkpoints = st.binary(max_size=CHECKPOINT_BYTES_MAX)
marks = st.builds(PlanMark, term=counters, leader=st.one_of(st.just(""), names), index=counters)
headers = st.builds(Header, hashes, runs)
beacons = st.builds(Beacon, term=counters, index=counters, age_ms=counters)
statuses = st.builds(
    InstanceStatus,
    instance=instances,
    epoch=counters,
    run=runs,
    seq=counters,
    state=st.sampled_from(InstanceState),
    since_ms=counters,
    progress=counters,
    checkpoint=checkpoints,
    endpoint=st.text([chr(code) for code in range(33, 127)], max_size=ENDPOINT_CHARS_MAX),
    cause=texts(bytes_max=CAUSE_BYTES_MAX),
    error=st.sampled_from(ErrorClass),
    watermark_ms=st.none() | counters,
    backlog=st.none() | counters,
)
profiles = st.builds(
    Profile,
    address=addresses,
    site=names,
    kinds=st.lists(names, max_size=5, unique=True).map(lambda kinds: tuple(sorted(kinds[:KINDS_MAX]))),
    capacity=st.integers(0, CAPACITY_MAX),
    expect=st.integers(1, EXPECT_MAX),
    voter=counters,
    speaks=st.integers(1, SPEAKS),
)
_milliseconds = st.floats(-5_000, 5_000, width=16)
coordinates = st.builds(
    Coordinate,
    vector=st.tuples(*[_milliseconds.map(lambda ms: ms / 1_000)] * DIMENSIONS),
    height_s=_milliseconds.map(lambda ms: abs(ms) / 1_000),
    adjustment_s=_milliseconds.map(lambda ms: ms / 1_000),
    error=st.floats(0, 1.5, width=16),
)
"""As they are on the wire: half precision, in milliseconds."""
sightings = st.builds(
    Evidence,
    relays=st.integers(0, 31),
    nacks=st.integers(0, 31),
    datagram_refused=booleans,
    stream_refused=booleans,
)
topics = st.builds(str.__add__, st.sampled_from(["", "_"]), names).map(lambda topic: topic[:64])
questions = st.builds(
    Question,
    origin=runs,
    number=counters,
    topic=topics,
    payload=st.binary(max_size=SHORT_PAYLOAD_BYTES_MAX),
    patience_ms=st.integers(0, PATIENCE_MS_MAX),
    names=st.lists(names, max_size=QUERY_NAMES_MAX, unique=True).map(tuple),
    tag=st.none() | st.tuples(names, texts(bytes_max=TAG_VALUE_BYTES_MAX)),
)

# --- jobs and the plan ----------------------------------------------------------------------------

_scalars = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    booleans,
)
_keys = st.text(st.characters(codec="utf-8"), max_size=4)


def _tables(depth: int) -> st.SearchStrategy[dict[str, Parameter]]:
    if depth == 0:
        return st.dictionaries(_keys, _scalars, max_size=2)
    inner = st.one_of(_scalars, st.lists(_scalars, max_size=3).map(tuple), _tables(depth - 1))
    return st.dictionaries(_keys, st.one_of(inner, st.lists(inner, max_size=2).map(tuple)), max_size=3)


parameters = _tables(1)
"""In canonical form: sequences are tuples."""


guarantees = st.one_of(
    st.tuples(st.just(PINNED), st.just(0.0)),
    st.tuples(st.sampled_from([AT_LEAST_ONE, AT_MOST_ONE]), st.one_of(st.just(0.0), st.floats(0, HOLD_FOR_S_MAX))),
)
"""What an operator asks for, and how long it waits before it moves."""


_delays = st.floats(0, 3_600)
restarts = st.one_of(
    st.sampled_from([USUAL_RESTART, RestartStrategy(strategy=NO_RESTART)]),
    st.builds(
        RestartStrategy,
        strategy=st.sampled_from([each for each in STRATEGIES if each != NO_RESTART]),
        attempts=st.integers(1, ATTEMPTS_MAX),
        delay_s=st.floats(0, 10),
        delay_max_s=st.floats(10, DELAY_S_MAX),
        multiplier=st.floats(1, MULTIPLIER_MAX),
        jitter=st.floats(0, 1),
        reset_after_s=_delays,
        interval_s=st.floats(0.001, DELAY_S_MAX),
        in_place=st.integers(0, ATTEMPTS_MAX),
    ),
)


class Wishes(TypedDict, total=False):
    """What an operator may ask for beyond its guarantee."""

    blocking: tuple[str, ...]
    restart: RestartStrategy
    failover: str
    labels: dict[str, str]
    anti_affinity: str
    slots: int
    stall_after_s: float
    standby: int
    on_conflict: str


@st.composite
def wishes(draw: st.DrawFn, *, inputs: tuple[str, ...], guarantee: str) -> Wishes:
    """Draw some of them for an operator with these inputs."""
    if draw(booleans):
        return {}
    found: Wishes = {
        "restart": draw(restarts),
        "failover": draw(st.sampled_from(SCOPES)),
        "anti_affinity": draw(st.sampled_from(ANTI_AFFINITIES)),
        "slots": draw(st.integers(1, SLOTS_MAX)),
        "stall_after_s": draw(st.just(0.0) | st.floats(STALL_AFTER_S_MIN, STALL_AFTER_S_MAX)),
        "labels": draw(st.dictionaries(names, texts(bytes_max=8), max_size=2)),
        "standby": 0 if guarantee == PINNED else draw(st.integers(0, STANDBY_MAX)),
        "on_conflict": draw(st.sampled_from(CONFLICTS)) if guarantee == AT_LEAST_ONE else KEEP_REPLACEMENT,
    }
    if inputs:
        found["blocking"] = tuple(draw(st.lists(st.sampled_from(inputs), unique=True)))
    return found


@st.composite
def jobs(draw: st.DrawFn, job_names: st.SearchStrategy[str] = names) -> JobSpec:
    """Draw a well-formed job; inputs point backwards, so there is no cycle."""
    labels = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    operators = []
    for position, label in enumerate(labels):
        sources = st.lists(st.sampled_from(labels[:position]), max_size=3, unique=True) if position else st.just([])
        inputs = tuple(draw(sources))
        guarantee, hold_for_s = draw(guarantees)
        plain = OperatorSpec(
            name=label,
            kind=draw(names),
            parallelism=draw(st.integers(1, PARALLELISM_MAX)),
            inputs=inputs,
            prefer_site=draw(st.one_of(st.just(""), names)),
            parameters=draw(parameters),
            instances=guarantee,
            hold_for_s=hold_for_s,
        )
        operators.append(attrs.evolve(plain, **draw(wishes(inputs=inputs, guarantee=guarantee))))
    return JobSpec(name=draw(job_names), operators=tuple(operators))


evidence = st.lists(texts(bytes_max=40), max_size=3).map(lambda lines: tuple(lines[:EVIDENCE_ITEMS_MAX]))
seats = st.builds(Seat, names, counters)


def councils(*, size_min: int = 1) -> st.SearchStrategy[tuple[Seat, ...]]:
    """Return different seats; a name may have an old one and a new one."""
    return st.lists(seats, min_size=size_min, max_size=SEATS_MAX, unique=True).map(tuple)


foundings = st.builds(
    Found,
    cluster_id=st.integers(1, 2**64 - 1),
    council=st.lists(seats, min_size=1, max_size=max(COUNCIL_SIZES), unique_by=lambda seat: seat.name).map(tuple),
)
authorities = st.builds(
    SetAuthority, isolation_ms=st.integers(1, ISOLATION_MS_MAX), drift_ppm=st.integers(0, DRIFT_PPM_MAX)
)
_places = st.lists(instances, min_size=1, max_size=3, unique=True).map(tuple)
_standbys = st.lists(runs, max_size=STANDBY_MAX, unique=True).map(tuple)
_reasons = texts(bytes_max=80)
commands: st.SearchStrategy[Command] = st.one_of(
    st.builds(UpdateJob, job=jobs(), base=counters, asked_by=names),
    st.builds(UpdateJob, job=jobs(), base=st.integers(1, 2**63 - 1), asked_by=names, fresh=st.just(True)),
    st.builds(CancelJob, job=names, asked_by=names),
    st.builds(Restart, instances=_places, reason=_reasons, evidence=evidence),
    st.builds(Pardon, instance=instances, asked_by=st.just("") | names),
    st.builds(
        SetWorkerMode,
        name=names,
        mode=st.sampled_from(MODES),
        level=st.integers(0, LEVEL_MAX),
        boot=counters,
        reason=_reasons,
        asked_by=st.just("") | names,
    ),
    st.builds(DeclareDead, run=runs, asked_by=names),
    st.builds(SetPolicy, rebalance_moves=st.integers(0, REBALANCE_MOVES_MAX), asked_by=names),
    st.builds(ClaimProgress, instance=instances, epoch=counters, run=runs, progress=counters, checkpoint=checkpoints),
)
later_changes: st.SearchStrategy[Change] = st.one_of(
    commands,
    st.builds(Forget, instance=instances, epoch=counters, reason=_reasons),
    st.builds(Quarantine, instance=instances, epoch=counters, reason=_reasons, evidence=evidence),
    st.builds(Blame, run=runs, instances=st.just(()) | _places, reason=_reasons, proof=st.sampled_from(Proof)),
    st.builds(SetStandbys, instance=instances, runs=_standbys, reason=_reasons),
    st.builds(KeepReplacement, instance=instances, epoch=counters, reason=_reasons, evidence=evidence),
    st.just(Noop()),
    st.builds(SubmitJob, job=jobs()),
    st.builds(
        Assign,
        instance=instances,
        run=runs,
        failures=counters,
        resume_from=checkpoints,
        reason=texts(bytes_max=80),
        evidence=evidence,
        handover=booleans,
    ),
    st.builds(Evict, run=runs, reason=texts(bytes_max=80), evidence=evidence),
    st.builds(Conclude, instance=instances, epoch=counters),
    st.builds(Hold, run=runs, reason=texts(bytes_max=80), evidence=evidence),
    st.builds(Release, run=runs, reason=texts(bytes_max=80)),
    st.builds(Revoke, instance=instances, epoch=counters, reason=texts(bytes_max=80)),
    authorities,
    st.builds(ChangeCouncil, council=councils(), reason=texts(bytes_max=80), evidence=evidence),
    st.builds(ResizeCouncil, seats=st.sampled_from(COUNCIL_SIZES), asked_by=names),
    st.builds(
        RecoverCouncil,
        council=councils(),
        lost=st.lists(names, max_size=SEATS_MAX).map(tuple),
        asked_by=names,
    ),
)


@st.composite
def entry_lists(
    draw: st.DrawFn, *, after: tuple[int, int] = (0, 0), size_min: int = 0, size_max: int = 4
) -> tuple[Entry, ...]:
    """Draw entries that follow `after` (index, term) without a gap, with terms that never fall."""
    index, term = after
    made: list[Entry] = []
    for _ in range(draw(st.integers(size_min, size_max))):
        index, term = index + 1, term + draw(st.integers(0, 2))
        founding = index == 1 and draw(booleans)
        made.append(Entry(index=index, term=term, change=draw(foundings if founding else later_changes)))
    return tuple(made)


entries = st.integers(0, 2**62).flatmap(
    lambda index: entry_lists(after=(index, 3), size_min=1, size_max=1).map(lambda made: made[0])
)
grown_plans = entry_lists(size_max=6).map(lambda made: Plan().advance(made))
"""Plans as they come about: by entries."""


def _later_states(held: Assignment, index: int) -> st.SearchStrategy[Assignment]:
    """Return the assignment revoked, out of date, or with a former copy that goes on."""
    former = st.builds(
        lambda run, epoch: attrs.evolve(held, former_run=run, former_epoch=epoch),
        runs,
        st.integers(0, max(0, held.epoch - 1)),
    )
    if held.epoch == index:
        return former if held.epoch else st.nothing()
    later = st.integers(held.epoch + 1, index)
    return st.one_of(
        later.map(lambda at: attrs.evolve(held, revoked=at)),
        later.map(lambda at: attrs.evolve(held, stale=at)),
        st.tuples(later, later).map(lambda at: attrs.evolve(held, revoked=at[0], stale=at[1])),
        st.tuples(later, later).map(lambda at: attrs.evolve(held, revoked=at[0], stale=at[1], superseded=True)),
        *([former, former.map(lambda made: attrs.evolve(made, stale=index, superseded=True))] if held.epoch else []),
    )


_crashes = st.lists(runs, max_size=CRASHES_KEPT, unique=True).map(tuple)
_blamed = st.builds(
    Blamed,
    deaths=st.integers(0, 9),
    weight_ppm=st.integers(0, 9 * PPM),
    streak=st.integers(0, 9),
    crashes=_crashes,
).filter(lambda made: bool(made.deaths or made.streak))


@st.composite
def _conflicts(draw: st.DrawFn, index: int) -> Conflict:
    """Draw one of a plan that has come to `index`; who speaks for the copy is a run of the worker that had it."""
    run, boot = draw(runs), draw(counters)
    claim = st.builds(Claim, run=st.just(Run(run.name, boot)), progress=counters, checkpoint=checkpoints)
    return Conflict(run=run, epoch=draw(st.integers(1, index - 1)), claim=draw(st.none() | claim))


@st.composite
def directives(draw: st.DrawFn, *, jobs_known: list[str], index: int) -> Directives:
    """Draw directives for a plan that has come to `index`."""
    indexes = st.integers(1, index)
    some_jobs = st.sampled_from(jobs_known) if jobs_known else st.nothing()
    per_job = 2 if jobs_known else 0
    held = st.builds(Quarantined, index=indexes, reason=_reasons)
    mode = st.builds(
        WorkerMode,
        mode=st.sampled_from(MODES),
        level=st.integers(1, LEVEL_MAX),
        boot=counters,
        index=indexes,
        reason=_reasons,
    )
    lost = st.builds(Lost, boot=counters, index=indexes, instances=st.just(()) | _places)
    runs_kept = st.lists(runs, min_size=1, max_size=STANDBY_MAX, unique=True).map(tuple)
    operators = st.lists(names, min_size=1, max_size=3, unique=True).map(lambda found: tuple(sorted(found)))
    return Directives(
        versions=draw(st.dictionaries(some_jobs, st.integers(2, 2**63 - 1), max_size=per_job)),
        cancelled=draw(st.dictionaries(some_jobs, indexes, max_size=per_job)),
        begun=draw(st.dictionaries(some_jobs, indexes, max_size=per_job)),
        quarantined=draw(st.dictionaries(instances, held, max_size=2)),
        blame=draw(st.dictionaries(instances, _blamed, max_size=2)),
        modes=draw(st.dictionaries(names, mode, max_size=2)),
        lost=draw(st.dictionaries(names, lost, max_size=2)),
        asserted=draw(st.dictionaries(names, counters, max_size=2)),
        standbys=draw(st.dictionaries(instances, runs_kept, max_size=2)),
        retired=draw(st.dictionaries(some_jobs | names, st.just(()) | operators, max_size=2)),
        conflicts=draw(st.dictionaries(instances, _conflicts(index), max_size=2)) if index > 1 else {},
        rebalance_moves=draw(st.integers(0, REBALANCE_MOVES_MAX)),
    )


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """Draw a plan with every part filled at random; only instances of its jobs are assigned."""
    index = draw(counters)
    held_jobs = {job.name: job for job in draw(st.lists(jobs(), max_size=2))}
    firsts = [InstanceId(job.name, spec.name, 0) for job in held_jobs.values() for spec in job.operators]
    assignments = st.builds(
        Assignment,
        instance=st.sampled_from(firsts) if firsts else st.nothing(),
        run=runs,
        epoch=st.integers(0, index),
        failures=counters,
        resume_from=checkpoints,
        finished=booleans,
    ).flatmap(lambda held: st.just(held) | _later_states(held, index))
    lines = st.builds(
        Decision,
        index=st.integers(1, 2**63 - 1),
        term=counters,
        what=texts(bytes_max=80),
        reason=texts(bytes_max=80),
        evidence=evidence,
    )
    authority = draw(st.none() | authorities)
    return Plan(
        index=index,
        term=draw(counters),
        cluster_id=draw(hashes),
        council=draw(councils(size_min=0)),
        jobs=held_jobs,
        assignments={held.instance: held for held in draw(st.lists(assignments, max_size=3 if firsts else 0))},
        evicted=draw(st.dictionaries(names, counters, max_size=3)),
        stops=draw(st.dictionaries(runs, st.integers(1, index), max_size=3)) if index else {},
        seats_wanted=draw(st.integers(0, SEATS_MAX)),
        isolation_ms=authority.isolation_ms if authority else 0,
        drift_ppm=authority.drift_ppm if authority else 0,
        directives=draw(directives(jobs_known=sorted(held_jobs), index=index))
        if index and draw(booleans)
        else Directives(),
        decisions=tuple(draw(st.lists(lines, max_size=2))),
    )


# --- messages -------------------------------------------------------------------------------------

_distinct_runs = st.lists(runs, min_size=1, max_size=4, unique_by=lambda run: run.name).map(tuple)
_digest_entries = st.builds(
    DigestEntry, run=runs, incarnation=counters, state=st.sampled_from(MemberState), statuses=hashes
)
_broadcast_ids = st.lists(st.tuples(runs, counters), max_size=3, unique=True).map(tuple)
_payloads = st.one_of(st.binary(max_size=40), st.just(bytes(2_000)))


@st.composite
def appends(draw: st.DrawFn) -> Append:
    """Draw an Append whose entries follow on `prev_index`."""
    after = (draw(st.integers(0, 2**62)), draw(st.integers(0, 2**62)))
    return Append(
        term=draw(counters),
        voter=draw(counters),
        round=draw(counters),
        prev_index=after[0],
        prev_term=after[1],
        commit=draw(counters),
        entries=draw(entry_lists(after=after, size_max=3)),
        heartbeat_ms=draw(st.integers(0, HEARTBEAT_MS_MAX)),
        echo=draw(counters),
        beacon=draw(st.none() | beacons),
    )


@st.composite
def pieces(draw: st.DrawFn) -> SnapshotPiece:
    """Draw a piece that lies within the whole."""
    data = draw(st.one_of(st.binary(min_size=1, max_size=40), st.just(bytes(2_000))))
    offset = draw(st.one_of(st.integers(0, 2_000), st.integers(0, STORED_BYTES_MAX - len(data))))
    return SnapshotPiece(
        term=draw(counters),
        voter=draw(counters),
        round=draw(counters),
        index=draw(st.integers(1, 2**63 - 1)),
        offset=offset,
        total=draw(st.integers(offset + len(data), STORED_BYTES_MAX)),
        data=data,
    )


BY_TYPE: dict[type[Message], st.SearchStrategy[Message]] = {
    Ping: st.builds(Ping, seq=counters, target=runs, mark=marks),
    Ack: st.builds(Ack, seq=counters, mark=marks, coordinate=st.none() | coordinates, beacon=st.none() | beacons),
    PingRequest: st.builds(PingRequest, seq=counters, target=runs, address=addresses),
    Nack: st.builds(Nack, seq=counters),
    Alive: st.builds(Alive, run=runs, incarnation=counters, profile=profiles),
    Accusation: st.builds(
        Accusation,
        run=runs,
        incarnation=counters,
        state=st.sampled_from([MemberState.SUSPECT, MemberState.DEAD, MemberState.LEFT]),
        accuser=names,
        evidence=sightings,
    ),
    StatusUpdate: st.builds(StatusUpdate, status=statuses),
    SyncDigest: st.builds(
        SyncDigest,
        entries=st.lists(_digest_entries, max_size=4, unique_by=lambda entry: entry.run.name).map(tuple),
        broadcasts=_broadcast_ids,
    ),
    SyncWant: st.builds(SyncWant, names=st.lists(names, max_size=4, unique=True).map(tuple), broadcasts=_broadcast_ids),
    SyncCheck: st.builds(SyncCheck, digest=hashes, with_progress=st.booleans()),
    TagUpdate: st.builds(
        TagUpdate, run=runs, version=counters, key=names, value=st.none() | texts(bytes_max=TAG_VALUE_BYTES_MAX)
    ),
    Broadcast: st.builds(
        Broadcast,
        origin=runs,
        number=counters,
        time=counters,
        topic=topics,
        payload=st.binary(max_size=SHORT_PAYLOAD_BYTES_MAX),
    ),
    Query: st.builds(Query, question=questions),
    QueryReply: st.builds(QueryReply, number=counters, payload=_payloads),
    Letter: st.builds(Letter, to=runs, number=counters, topic=topics, payload=_payloads),
    LetterReceipt: st.builds(LetterReceipt, number=counters),
    FoundRequest: st.builds(FoundRequest, round=counters, runs=_distinct_runs),
    FoundReply: st.builds(FoundReply, round=counters, runs=_distinct_runs, agrees=booleans),
    VoteRequest: st.builds(
        VoteRequest,
        term=counters,
        voter=counters,
        last_index=counters,
        last_term=counters,
        pre=booleans,
        transfer=booleans,
    ),
    VoteReply: st.builds(VoteReply, term=counters, voter=counters, granted=booleans, pre=booleans),
    Append: appends(),
    AppendReply: st.builds(
        AppendReply, term=counters, voter=counters, round=counters, success=booleans, index=counters, token=counters
    ),
    Snapshot: st.builds(Snapshot, term=counters, voter=counters, round=counters, plan=st.one_of(plans(), grown_plans)),
    SnapshotPiece: pieces(),
    PiecePull: st.builds(PiecePull, index=counters, offset=st.integers(0, STORED_BYTES_MAX), round=counters),
    TimeoutNow: st.builds(TimeoutNow, term=counters),
    AuthorityRequest: st.builds(AuthorityRequest, nonce=counters),
    AuthorityReply: st.builds(AuthorityReply, nonce=counters, mark=marks, beacon=st.none() | beacons),
    PlanPull: st.builds(PlanPull, index=counters),
    PlanEntries: st.builds(
        PlanEntries, entries=st.integers(0, 2**62).flatmap(lambda index: entry_lists(after=(index, 2)))
    ),
    Propose: st.builds(Propose, request=counters, change=st.builds(SubmitJob, job=jobs())),
    ChangeRequest: st.builds(ChangeRequest, request=counters, change=commands),
    CouncilRequest: st.one_of(
        st.builds(CouncilRequest, request=counters, seats=st.sampled_from(COUNCIL_SIZES)),
        st.builds(CouncilRequest, request=counters, leader=names),
    ),
    ProposeReply: st.builds(ProposeReply, request=counters, error=texts(bytes_max=400), index=counters),
}
_any_message: st.SearchStrategy[Message] = st.one_of(*BY_TYPE.values())


@st.composite
def _messages(draw: st.DrawFn) -> Message:
    """Draw a message of any type. A function of its own, since spelled out this strategy is too long to print."""
    drawn: Message = draw(_any_message)
    return drawn


messages = _messages()
GROWN: dict[type[Message], tuple[int, int]] = {
    Ack: (5, 9),
    Alive: (11, 12),
    Accusation: (6, 7),
    SyncDigest: (2, 3),
    SyncWant: (2, 3),
    SyncCheck: (2, 3),
    VoteRequest: (6, 7),
    Append: (8, 13),
    AppendReply: (6, 7),
    AuthorityReply: (5, 8),
    StatusUpdate: (14, 18),
    ProposeReply: (3, 4),
}
"""Items at least and at most of the messages whose last fields are left out where they hold nothing.

Older peers do not write them. A later version appends after the longest form only.
"""
