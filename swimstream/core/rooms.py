"""The rooms of one node, built and wired. They do not import each other; what passes between them passes here."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import attrs

from swimstream.core.change_requests import ChangeRequests
from swimstream.core.conversation import Conversation
from swimstream.core.council.council import Council
from swimstream.core.council.founding import Founding
from swimstream.core.council_commands import CouncilCommands
from swimstream.core.council_service import CouncilService
from swimstream.core.effects import Notify
from swimstream.core.keys import KeyService
from swimstream.core.leader_requests import LeaderRequests
from swimstream.core.membership.addresses import Addresses
from swimstream.core.membership.detector import Detector
from swimstream.core.membership.gossip import ROUTINE, URGENT
from swimstream.core.membership.joining import Joining
from swimstream.core.membership.membership import Membership
from swimstream.core.membership.sync import Syncer
from swimstream.core.outbox import Outbox
from swimstream.core.status.local import LocalInstances
from swimstream.core.status.table import StatusTable
from swimstream.core.submissions import Submissions
from swimstream.errors import UsageError
from swimstream.events import InstanceChanged
from swimstream.model.council import COUNCIL_TOPIC
from swimstream.model.identity import BOOT_MAX, Run
from swimstream.model.keys import KEYS_TOPIC
from swimstream.model.logs import LOGS_TOPIC
from swimstream.model.member import SPEAKS, Profile
from swimstream.wire.codec import encode_message
from swimstream.wire.messages import Alive
from swimstream.wire.seal import Envelopes, envelopes_for

if TYPE_CHECKING:
    from random import Random

    from swimstream.config import NodeConfig, Timing
    from swimstream.core.effects import Saved
    from swimstream.model.member import Member
    from swimstream.model.status import InstanceStatus
    from swimstream.wire.council_messages import Beacon


@attrs.define(kw_only=True)
class Rooms:
    """Everything that one node consists of."""

    counters: Counter[str]
    envelopes: Envelopes
    outbox: Outbox
    membership: Membership
    detector: Detector
    syncer: Syncer
    joining: Joining
    addresses: Addresses
    statuses: StatusTable
    local: LocalInstances
    council: Council
    founding: Founding
    requests: LeaderRequests
    submissions: Submissions
    commands: CouncilCommands
    changes: ChangeRequests
    conversation: Conversation
    must_decide: bool = False
    """Whether something has changed on which a leader may have to act."""

    def tell_status(self, status: InstanceStatus) -> None:
        """Merge a status, one's own or heard, and spread it if it is news: a change of state ahead of progress."""
        before = self.statuses.get(status.instance)
        if before is not None and status.version <= before.version:
            return  # as most that is heard: gossip tells each a dozen times
        if self.council.plan.has_outlived(status.instance, status.epoch):
            self.counters["statuses_past"] += 1
            return
        fragment = self.statuses.merge(status)
        if fragment is None:
            return
        changed = before is None or (before.epoch, before.state, before.endpoint) != (
            status.epoch,
            status.state,
            status.endpoint,
        )
        self.membership.gossip.push(f"s/{status.instance}", fragment, lane=URGENT if changed else ROUTINE)
        if changed:
            self.must_decide = True
            self.outbox.put(Notify(InstanceChanged(status)))

    def forget_past_statuses(self) -> None:
        """Drop the statuses of instances that have left the plan. Whoever has this plan drops the same ones."""
        plan = self.council.plan
        for status in self.statuses.all():
            if plan.has_outlived(status.instance, status.epoch):
                self.statuses.forget(status.instance)
                self.membership.gossip.discard(f"s/{status.instance}")
                self.counters["statuses_pruned"] += 1

    def members_by_name(self) -> dict[str, Member]:
        """Return what is held of every member, gone ones included."""
        return {member.run.name: member for member in self.membership.table}


def _profile(config: NodeConfig, voter: int) -> Profile:
    """Return what this worker says of itself; refuse what could not ride on a ping.

    Its owner could never refute a suspicion in time.
    """
    profile = Profile(
        address=config.advertise,
        site=config.site,
        kinds=config.kinds,
        capacity=config.capacity,
        expect=config.expect,
        voter=voter,
        speaks=SPEAKS,
    )
    size = len(encode_message(Alive(run=Run(config.name, BOOT_MAX), incarnation=BOOT_MAX, profile=profile)))
    if size > config.timing.packet_bytes_max // 2:
        raise UsageError(
            f"kinds: name, site and kinds take {size} B together, expected at most half of "
            f"packet_bytes_max ({config.timing.packet_bytes_max} B)"
        )
    return profile


def _open_council(
    config: NodeConfig,
    membership: Membership,
    outbox: Outbox,
    statuses: StatusTable,
    *,
    saved: Saved,
    rng: Random,
    counters: Counter[str],
    now: float,
) -> Council:
    return Council(
        config.name,
        saved,
        outbox,
        timing=config.timing,
        rng=rng,
        counters=counters,
        address_of=membership.table.address_of,
        now=now,
        has_ended=statuses.has_ended,
    )


def _detector(
    membership: Membership, outbox: Outbox, council: Council, *, timing: Timing, rng: Random, counters: Counter[str]
) -> Detector:
    """Return a detector whose probes carry how far the plan has come, and whose acks what is known of a quorum."""
    authority = council.authority

    def hear(beacon: Beacon, asked_at: float) -> None:
        if council.plan.cluster_id:  # else it may be of another cluster than the one that this worker joins in the end
            authority.receive_answer(beacon, asked_at=asked_at)

    return Detector(
        membership,
        outbox,
        timing=timing,
        rng=rng,
        counters=counters,
        mark=lambda: council.mark,
        beacon=authority.beacon,
        beacon_heard=hear,
    )


def _syncer(
    membership: Membership,
    outbox: Outbox,
    statuses: StatusTable,
    conversation: Conversation,
    *,
    timing: Timing,
    rng: Random,
    counters: Counter[str],
) -> Syncer:
    """Return a syncer that compares all that a node repeats of others."""
    tagging = conversation.tagging
    return Syncer(
        membership,
        outbox,
        timing=timing,
        rng=rng,
        counters=counters,
        status_hash=lambda name: statuses.hash_of(name) ^ tagging.hash_of(name),
        lasting_hash=lambda name: statuses.lasting_hash_of(name) ^ tagging.hash_of(name),
        status_owners=statuses.owners,
        status_fragments=lambda name: statuses.fragments_of(name) + tagging.fragments_of(name),
        heard_broadcasts=conversation.heard_broadcasts,
        broadcast_fragments=conversation.broadcast_fragments,
        broadcasts_lacking=conversation.broadcasts_lacking,
    )


def _conversation(
    config: NodeConfig,
    membership: Membership,
    outbox: Outbox,
    council: Council,
    envelopes: Envelopes,
    *,
    counters: Counter[str],
) -> Conversation:
    """Return a conversation that answers the library's own questions."""
    conversation = Conversation(membership, outbox, config=config, counters=counters)
    conversation.serve(KEYS_TOPIC, KeyService(envelopes.ring, outbox, counters=counters).answer)
    conversation.serve(COUNCIL_TOPIC, CouncilService(council).answer)
    conversation.hand_out(LOGS_TOPIC)
    if envelopes.ring is None:  # the question would carry a key to everybody in the clear
        conversation.never_ask(KEYS_TOPIC, "key: this worker has no key_file, so it talks unsealed and changes no keys")
    return conversation


def open_rooms(config: NodeConfig, *, boot: int, saved: Saved, rng: Random, now: float) -> Rooms:
    """Build the rooms of a node that is not yet a member."""
    timing = config.timing
    counters: Counter[str] = Counter()
    membership = Membership(
        Run(config.name, boot), _profile(config, saved.voter), timing=timing, rng=rng, counters=counters
    )
    envelopes = envelopes_for(config.keys, rng=rng, counters=counters, here=config.advertise)
    outbox = Outbox(
        packet_bytes_max=timing.packet_bytes_max,
        piggyback=membership.take_gossip,
        counters=counters,
        envelopes=envelopes,
    )
    statuses = StatusTable(counters)
    council = _open_council(config, membership, outbox, statuses, saved=saved, rng=rng, counters=counters, now=now)
    requests = LeaderRequests(membership, council, outbox, counters=counters)
    detector = _detector(membership, outbox, council, timing=timing, rng=rng, counters=counters)
    conversation = _conversation(config, membership, outbox, council, envelopes, counters=counters)
    syncer = _syncer(membership, outbox, statuses, conversation, timing=timing, rng=rng, counters=counters)
    return Rooms(
        counters=counters,
        envelopes=envelopes,
        outbox=outbox,
        membership=membership,
        detector=detector,
        syncer=syncer,
        joining=Joining(
            membership,
            syncer,
            config,
            rng=rng,
            counters=counters,
            knows_cluster=council.log.last_index > 0,
            peers=saved.peers,
        ),
        addresses=Addresses(membership, outbox, rng=rng, saved=saved.peers),
        statuses=statuses,
        local=LocalInstances(status_interval_s=timing.status_interval_s, since_ms=boot, counters=counters, now=now),
        council=council,
        founding=Founding(membership.run, council, outbox, timing=timing, rng=rng, expect=config.expect),
        requests=requests,
        submissions=Submissions(requests, membership, council, outbox, counters=counters),
        changes=ChangeRequests(requests, membership, council, outbox, counters=counters),
        commands=CouncilCommands(requests, membership, council, outbox, counters=counters),
        conversation=conversation,
    )
