"""How a process becomes a member: read first, then speak.

A newcomer first asks a seed what it knows, without being known itself. So it learns of an earlier run of its
own name before it announces anything:

- an earlier run at the same address is gone for sure, since this process holds the port;
- one at another address is asked whether it lives. If it answers, this newcomer is refused: two live workers
  must not share a name. If not, the newcomer takes over at once, whatever the old address was;
- a boot that is not above every boot of that name (a clock that was set back) is raised.

A newcomer asks its seeds again and again: alone it would be nobody. A worker whose disk holds the plan of its
cluster goes on without them after one round; it may be the majority that all others wait for. Members' addresses that
the disk remembers are asked like seeds, so that a restarted worker finds its cluster when its seeds are gone.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from swimstream.core.boots import boot_after

if TYPE_CHECKING:
    from collections import Counter
    from random import Random

    from swimstream.config import NodeConfig
    from swimstream.core.membership.membership import Membership
    from swimstream.core.membership.sync import Syncer
    from swimstream.model.identity import Address
    from swimstream.wire.messages import Header

PEERS_ASKED = 8
"""So many of the remembered addresses are asked: after an outage of all, nobody should wait long for nobody."""
ATTEMPT_S = 2.0
"""How long a seed, or the namesake, may take to answer."""


class JoinState(enum.Enum):
    """IDLE → ASKING_SEED ⇄ WAITING → (ASKING_NAMESAKE) → JOINED or REFUSED."""

    IDLE = enum.auto()
    ASKING_SEED = enum.auto()
    WAITING = enum.auto()
    ASKING_NAMESAKE = enum.auto()
    JOINED = enum.auto()
    REFUSED = enum.auto()


class Joining:
    """The join of one node. The node looks at `state` after each input, and acts once on JOINED or REFUSED."""

    def __init__(
        self,
        membership: Membership,
        syncer: Syncer,
        config: NodeConfig,
        *,
        rng: Random,
        counters: Counter[str],
        knows_cluster: bool,
        peers: tuple[Address, ...] = (),
    ) -> None:
        """Build a join that has not begun.

        Who `knows_cluster` from its own disk, or has no seeds, goes alone when nobody answers. `peers` are asked like
        seeds: members' addresses that the disk remembers.
        """
        self._goes_alone = knows_cluster or not config.seeds
        self.state = JoinState.IDLE
        self.refusal = ""
        """Why the join was refused."""
        self._membership = membership
        self._syncer = syncer
        self._rng = rng
        self._counters = counters
        self._retry_s = config.timing.probe_interval_s
        known = rng.sample(peers, min(PEERS_ASKED, len(peers)))
        self._seeds = [seed for seed in dict.fromkeys((*config.seeds, *known)) if seed != config.advertise]
        self._untried: list[Address] = []
        self._asked = config.advertise
        self.seed: Address | None = None
        """The seed that answered; None for a node that has no seeds."""
        self._streams: set[int] = set()
        """By which the peer of the moment was asked: any may bring the answer."""
        self._ask_again_at = float("inf")
        self._deadline = float("inf")

    def start(self, now: float) -> None:
        """Ask the first seed; without seeds the node is a member at once."""
        assert self.state is JoinState.IDLE
        if self._seeds:
            self._ask_next_seed(now)
        else:
            self._become_member(now)

    def receive_answer(self, stream: int, header: Header, cluster_id: int, now: float) -> None:
        """Take note that the peer behind `stream` answered; its updates have been merged already."""
        if stream not in self._streams:
            return
        peer = header.sender
        if self.state is JoinState.ASKING_SEED:
            if cluster_id and header.cluster_id and cluster_id != header.cluster_id:
                self._refuse(
                    f"seeds: {self._asked} belongs to cluster {header.cluster_id:x}, "
                    f"the state of this worker to cluster {cluster_id:x}"
                )
                return
            self._seed_answered(now)
        elif self.state is JoinState.ASKING_NAMESAKE:
            if peer.name == self._membership.run.name:
                self._refuse(f"name: {peer.name!r} is taken by a live worker at {self._asked} (boot {peer.boot})")
            else:
                self._become_member(now)

    def stream_closed(self, stream: int, now: float) -> None:
        """Go on when the peer that was asked is not there."""
        if stream not in self._streams:
            return
        self._streams.remove(stream)
        if not self._streams:
            self._hear_nothing(now)

    def _hear_nothing(self, now: float) -> None:
        self._streams.clear()
        if self.state is JoinState.ASKING_SEED:
            if self._goes_alone and not self._untried:
                self._counters["joined_alone"] += 1
                self._become_member(now)
                return
            self.state = JoinState.WAITING
            self._deadline = now + (0 if self._untried else self._retry_s)
        elif self.state is JoinState.ASKING_NAMESAKE:
            self._become_member(now)

    def fire_timers(self, now: float) -> None:
        """Ask a silent namesake once more; give up on whoever has not answered in time."""
        if self._ask_again_at <= now:
            self._ask_again_at = float("inf")
            self._open_stream(now)
        if self._deadline > now:
            return
        if self.state is JoinState.WAITING:
            self._ask_next_seed(now)
        else:
            self._hear_nothing(now)

    def next_deadline(self) -> float:
        """Return when `fire_timers` wants to be called next."""
        return min(self._deadline, self._ask_again_at)

    def _ask_next_seed(self, now: float) -> None:
        if not self._untried:
            self._untried = self._rng.sample(self._seeds, len(self._seeds))
        self._ask(self._untried.pop(), JoinState.ASKING_SEED, now)

    def _ask(self, address: Address, state: JoinState, now: float) -> None:
        self.state = state
        self._asked = address
        self._deadline = now + ATTEMPT_S
        self._streams.clear()
        self._open_stream(now)
        # A connection can be lost to a few datagrams, and who is silent then would lose its name to this newcomer.
        self._ask_again_at = now + ATTEMPT_S / 2 if state is JoinState.ASKING_NAMESAKE else float("inf")

    def _open_stream(self, now: float) -> None:
        self._streams.add(self._syncer.ask(self._asked, now, joining=True) or 0)

    def _seed_answered(self, now: float) -> None:
        self.seed = self._asked
        namesake = self._membership.namesakes.met
        if namesake is not None and namesake.profile.address != self._membership.profile.address:
            self._ask(namesake.profile.address, JoinState.ASKING_NAMESAKE, now)
        else:
            self._become_member(now)

    def _become_member(self, now: float) -> None:
        if self._membership.namesakes.highest_boot >= self._membership.run.boot:
            self._membership.begin_new_run(boot_after(self._membership.namesakes.highest_boot, rng=self._rng), now)
        self.state = JoinState.JOINED
        self._deadline = self._ask_again_at = float("inf")

    def _refuse(self, why: str) -> None:
        self.refusal = why
        self.state = JoinState.REFUSED
        self._deadline = self._ask_again_at = float("inf")
