"""Probe rounds: ping, ask relays, judge; and answer for others (SWIM §4.1, Lifeguard §IV)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.config import MEMBERS_MAX
from swimstream.core.membership.claims import accusation_of, claims_of, signer_of
from swimstream.core.membership.coordinates import Coordinates
from swimstream.core.membership.probing import NACK_SHARE, Errand, Errands, Probe, choose_relays
from swimstream.core.membership.round_trips import probe_timeout_s
from swimstream.model.member import MemberState
from swimstream.wire.codec import encode_message
from swimstream.wire.messages import Ack, Nack, Ping, PingRequest

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable
    from random import Random

    from swimstream.config import Timing
    from swimstream.core.membership.membership import Membership
    from swimstream.core.outbox import Outbox
    from swimstream.model.identity import Address, Run
    from swimstream.model.member import Member
    from swimstream.model.plan import PlanMark
    from swimstream.wire.council_messages import Beacon

GOSSIP_TO_DEAD_INTERVALS = 30
"""The newly dead still get gossip for so many probe intervals, so that one who lives hears of it and refutes."""
BURST_MULT = 2
"""News after a rest goes to this many times more members at once. In a wave in which everybody passes news on to k
random others, a share of e^-k is left out, who wait for the next tick: with 3 one in 20, with 5 one in 150."""

SEQ_BITS = 32
"""The first number of a process is one of so many: 5 B on the wire."""


class Detector:
    """The prober of one node. `mark` is asked for at every ping and ack: how far the plan here has come.

    `beacon(now)` is asked for at every ack, with its age of that moment; `beacon_heard(beacon, asked_at)` is told what
    the target of a probe has answered, and when the ping that it answers was sent. A ping carries none: nobody asked.
    """

    def __init__(
        self,
        membership: Membership,
        outbox: Outbox,
        *,
        timing: Timing,
        rng: Random,
        counters: Counter[str],
        mark: Callable[[], PlanMark],
        beacon: Callable[[float], Beacon | None],
        beacon_heard: Callable[[Beacon, float], None],
    ) -> None:
        """Build a detector that probes nobody until `start`."""
        self._membership = membership
        self._outbox = outbox
        self._timing = timing
        self._rng = rng
        self._counters = counters
        self._mark = mark
        self._beacon = beacon
        self._beacon_heard = beacon_heard
        self.coordinates = Coordinates(rng=rng, counters=counters)
        self._seq = -1
        """Drawn anew in every process, then counted up: no late ack to a former process matches a ping of this one."""
        self._probe: Probe | None = None
        self._errands = Errands(counters)
        self._acquainted: dict[str, int] = {}
        """Who has answered a ping of this run, and with which boot: they know that this run lives."""
        self._round_at = float("inf")
        self._gossip_at = float("inf")
        self._gossip_rests = False
        """Whether the last tick found no news; `wake_gossip` ends the rest."""
        self._gossip_bursts = False
        """Whether the next tick is the first after a rest."""

    def start(self, now: float) -> None:
        """Begin to probe, at a random moment within the first interval, so that peers do not beat in step."""
        self._round_at = now + self._rng.random() * self._timing.probe_interval_s
        self._gossip_at = now + self._rng.random() * self._timing.gossip_interval_s

    def begin_new_run(self) -> None:
        """Go on under another run: nobody has met it yet, and the answer to the probe under way is not for it."""
        self._acquainted.clear()
        probe, self._probe = self._probe, None
        if probe is not None and probe.stream:
            self._outbox.close_stream(probe.stream)

    def wake_gossip(self, now: float) -> None:
        """Spread news at once if the tick was at rest; else it goes with the next tick."""
        if self._gossip_rests and self._membership.gossip.has_urgent:
            self._gossip_rests = False
            self._gossip_bursts = True
            self._gossip_at = now

    # --- messages ---------------------------------------------------------------------------------

    def receive_ping(self, sender: Run, ping: Ping, stream: int | None, now: float) -> None:
        """Answer a ping that means this very run, if its sender is a known member; tell one that is held gone so.

        The answer goes back on the stream that it came by, or to the member's own address: never to where a
        datagram seems to come from.
        """
        member = self._membership.table.get_run(sender)
        if ping.target != self._membership.run or member is None:
            self._counters["pings_ignored"] += 1
            later = self._membership.table.get(sender.name)
            if stream is not None and later is not None and later.run.boot > sender.boot:
                # nobody answers an earlier run any more: it must learn who has taken over, before it suspects everybody
                self._outbox.send_frame(stream, claims_of(later))
            return
        ack = Ack(seq=ping.seq, mark=self._mark(), coordinate=self.coordinates.own, beacon=self._beacon(now))
        # else who was removed, and lives, would be answered for ever and never know that it has to come back
        is_blamed = member.state is MemberState.DEAD or (member.state is MemberState.LEFT and member.accusers)
        news = [accusation_of(member, member.state, signer_of(member))] if is_blamed else []
        if stream is not None:
            self._outbox.send_frame(stream, [encode_message(ack), *news])
        else:
            self._outbox.send(member.profile.address, ack, updates=news)

    def receive_ping_request(self, sender: Run, request: PingRequest, now: float) -> None:
        """Probe another member for `sender`; who asks about one that has left is told so."""
        requester = self._membership.table.get_run(sender)
        if requester is None:
            self._counters["pings_ignored"] += 1
            return
        target = self._membership.table.get_run(request.target)
        if target is not None and target.state is MemberState.LEFT:
            goodbye = accusation_of(target, MemberState.LEFT, signer_of(target))
            self._outbox.send(requester.profile.address, Nack(seq=request.seq), updates=[goodbye])
            return
        # whom this peer knows itself lives where it has said so: nobody is sent to where only the requester says
        address = request.address if target is None else target.profile.address
        timing = self._timing
        patience_s = min(timing.probe_timeout_s, timing.probe_interval_s - timing.probe_timeout_s)
        errand = Errand(
            requester=sender,
            seq=request.seq,
            target=request.target,
            address=address,
            nack_at=now + NACK_SHARE * patience_s,
            ends_at=now + timing.probe_interval_s,
        )
        seq = self._next_seq()
        if self._errands.add(seq, errand):
            ping = Ping(seq=seq, target=request.target, mark=self._mark())
            self._outbox.send(address, ping, updates=self._introduction(target) if target is not None else ())

    def receive_ack(self, sender: Run, ack: Ack, stream: int | None, now: float) -> None:
        """Take an answer: to the probe under way, or to one made for somebody else. Late ones change nothing."""
        probe = self._probe
        if probe is not None and ack.seq == probe.seq and (sender == probe.target or sender.name in probe.relays):
            self._counters["acks_by_stream_only"] += stream is not None and not probe.acked
            if sender == probe.target:
                if ack.beacon is not None:
                    # the first ping of this number: what answers a later one, by stream, only looks older than it is
                    self._beacon_heard(ack.beacon, probe.sent_at)
                if stream is None and not probe.is_measured:
                    probe.is_measured = True
                    self._measure(probe, ack, now)
                if len(self._acquainted) >= MEMBERS_MAX:
                    self._acquainted.clear()  # to be introduced again costs some bytes, nothing more
                self._acquainted[sender.name] = sender.boot
            probe.acked = True
            return
        errand = self._errands.finish(ack.seq, sender)
        if errand is None:
            self._counters["acks_ignored"] += 1
            return
        requester = self._membership.table.get_run(errand.requester)
        if requester is not None:
            # without the beacon: it answers this relay's ping, not the requester's
            self._outbox.send(requester.profile.address, Ack(seq=errand.seq, mark=ack.mark))

    def receive_nack(self, sender: Run, nack: Nack, now: float) -> None:
        """Note that a relay is there although the target is silent."""
        probe = self._probe
        if probe is not None and nack.seq == probe.seq and sender.name in probe.relays:
            probe.nacked_by |= {sender.name}
            self._end_hopeless_round(probe, now)

    def packet_refused(self, to: Address, now: float) -> None:
        """Note that the host at `to` says that nobody listens there (ICMP port unreachable, which can be forged).

        Nobody is accused by that alone: relays are asked at once, a relay tells its requester, and a member that was
        not being probed has the next turn.
        """
        self._counters["packets_refused"] += 1
        for errand in self._errands.refused(to):
            self._send_nack(errand)
        probe = self._probe
        if probe is not None and probe.address == to:
            if probe.acked:
                return
            probe.datagram_refused = True
            if not probe.asked:
                self._ask_relays(probe, now)
            self._end_hopeless_round(probe, now)
            return
        for member in self._membership.table.live():
            if member.profile.address == to:
                self._membership.ring.hasten(member.run.name)

    def stream_closed(self, stream: int, now: float) -> None:
        """Note that the stream on which the target was pinged has ended before this side closed it."""
        probe = self._probe
        if probe is not None and probe.stream == stream:
            probe.stream = 0
            probe.stream_refused = not probe.acked
            self._end_hopeless_round(probe, now)

    # --- time -------------------------------------------------------------------------------------

    def next_deadline(self) -> float:
        """Return when `fire_timers` wants to be called next."""
        probe = self._probe
        waits = probe is not None and not probe.asked and not probe.acked
        indirect_at = probe.indirect_at if probe is not None and waits else float("inf")
        return min(self._round_at, self._gossip_at, indirect_at, self._errands.next_deadline())

    def fire_timers(self, now: float) -> None:
        """Send nacks, ask relays, end the round and begin the next, gossip; whatever is due."""
        if now - self.next_deadline() > self._timing.probe_timeout_s:
            self._counters["timers_late"] += 1
            self._membership.health = self._membership.health.after_lateness()
        for errand in self._errands.due(now):
            self._send_nack(errand)
        probe = self._probe
        if probe is not None and not probe.asked and probe.indirect_at <= now:
            self._ask_relays(probe, now)
        if self._round_at <= now:
            self._end_round(now)
            self._begin_round(now)
        if self._gossip_at <= now:
            self._gossip_rests = not self._membership.gossip.has_urgent
            self._gossip_at = float("inf") if self._gossip_rests else now + self._timing.gossip_interval_s
            self._spread_gossip(now, fanout=self._burst() if self._gossip_bursts else self._timing.gossip_fanout)
            self._gossip_bursts = False

    def _begin_round(self, now: float) -> None:
        stretch = self._membership.health.stretch
        self._round_at = now + self._timing.probe_interval_s * stretch
        self._membership.retell_suspicions(now)
        target = self._next_target()
        if target is None:
            return
        patience_s = probe_timeout_s(self.coordinates.estimate_s(target.run), configured_s=self._timing.probe_timeout_s)
        self._probe = Probe(
            seq=self._next_seq(),
            target=target.run,
            address=target.profile.address,
            sent_at=now,
            indirect_at=now + patience_s * stretch,
        )
        ping = Ping(seq=self._probe.seq, target=target.run, mark=self._mark())
        self._outbox.send(target.profile.address, ping, updates=self._introduction(target))

    def _end_hopeless_round(self, probe: Probe, now: float) -> None:
        """Judge before the end of the round if nothing is left to wait for. The next one begins when it would have."""
        if probe.is_hopeless:
            self._counters["rounds_ended_early"] += 1
            self._end_round(now)

    def _end_round(self, now: float) -> None:
        probe, self._probe = self._probe, None
        if probe is not None and probe.stream:
            self._outbox.close_stream(probe.stream)
        target = self._membership.table.get_run(probe.target) if probe is not None else None
        if probe is None or target is None or target.state.is_gone:
            return  # nobody to judge: the target has left, or is another run by now
        if probe.acked:
            self._membership.health = self._membership.health.after_success()
            return
        self._counters["probes_failed"] += 1
        self._membership.health = self._membership.health.after_failure(
            nacks_expected=len(probe.relays), nacks_received=len(probe.nacked_by)
        )
        self._membership.accuse(probe.target, now, evidence=probe.evidence)

    def _measure(self, probe: Probe, ack: Ack, now: float) -> None:
        """Learn from a round trip, unless this node has overslept: then the answer may have lain in the socket."""
        rtt_s = now - probe.sent_at
        self._counters["probes_slower_than_timeout"] += rtt_s > self._timing.probe_timeout_s
        if self.next_deadline() >= now:
            self.coordinates.observe(probe.target, ack.coordinate, rtt_s=rtt_s)
            self.coordinates.retain(self._membership.table.__contains__)

    def _ask_relays(self, probe: Probe, now: float) -> None:
        """Have others probe the target. If this comes late, the round ends later: relays get their full time."""
        probe.asked = True
        target = self._membership.table.get_run(probe.target)
        if probe.acked or target is None:
            return
        self._round_at += max(0.0, now - probe.indirect_at)
        others = [member for member in self._membership.table.live() if member.run != self._membership.run]
        relays = choose_relays(
            others,
            target=target,
            prober_site=self._membership.profile.site,
            count=self._timing.indirect_probes,
            rng=self._rng,
        )
        probe.relays = frozenset(relay.run.name for relay in relays)
        request = PingRequest(seq=probe.seq, target=probe.target, address=target.profile.address)
        for relay in relays:
            self._outbox.send(relay.profile.address, request)
        ping = Ping(seq=probe.seq, target=probe.target, mark=self._mark())
        probe.stream = self._outbox.open_stream(target.profile.address, [encode_message(ping)])

    def _next_target(self) -> Member | None:
        name = self._membership.ring.next()
        return self._membership.table.get(name) if name is not None else None

    def _introduction(self, target: Member) -> list[bytes]:
        """Return what a ping's target must hear first: who we are, and that it is suspected (Lifeguard's buddy)."""
        updates = []
        if self._acquainted.get(target.run.name) != target.run.boot:
            updates.append(self._membership.own_alive())
        if target.state is MemberState.SUSPECT:
            updates.append(accusation_of(target, MemberState.SUSPECT, signer_of(target)))
        return updates

    def _burst(self) -> int:
        """Return to how many members news goes at once after a rest.

        It costs no packet more, since an update is sent so and so often altogether; enough for a usual tick is left,
        should the whole burst be lost.
        """
        fanout = self._timing.gossip_fanout
        sends = self._membership.gossip.sends_max(self._membership.table.live_count)
        return max(fanout, min(BURST_MULT * fanout, sends - fanout))

    def _spread_gossip(self, now: float, *, fanout: int) -> None:
        if not self._membership.gossip.has_urgent:
            return
        dead_since = now - GOSSIP_TO_DEAD_INTERVALS * self._timing.probe_interval_s
        oneself = self._membership.run.name
        listeners = [
            member
            for member in self._membership.table
            if (member.state < MemberState.DEAD or (member.state is MemberState.DEAD and member.since >= dead_since))
            and member.run.name != oneself
        ]
        for member in self._rng.sample(listeners, min(fanout, len(listeners))):
            self._outbox.gossip(member.profile.address)

    def _send_nack(self, errand: Errand) -> None:
        requester = self._membership.table.get_run(errand.requester)
        if requester is not None:
            self._outbox.send(requester.profile.address, Nack(seq=errand.seq))

    def _next_seq(self) -> int:
        self._seq = self._seq + 1 if self._seq >= 0 else self._rng.getrandbits(SEQ_BITS)
        return self._seq
