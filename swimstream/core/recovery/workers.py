"""What to do about a worker's run: hold it, release it, or evict it.

- **Hold** a run that hosts at-most-one instances as soon as it is suspected: from then on it cannot renew its
  authority, so the wait for its end runs *during* the suspicion and not after it. It keeps running on what it has.
- **Release** a held run that is alive after all, also after it was declared dead: its instances go on where they are.
- **Evict** a run that is declared dead, has left, was replaced by a later run of its name, or that the plan names and
  nobody has seen for `absence_s` (it died while nobody was left to remember it).

A death is taken from two accusers, where there are two workers who could accuse, and from two sites, where those are in
two. One accuser alone has waited for others already (Lifeguard's suspicion lasts longer the fewer agree), and nobody
probes who is dead; so only what is under way may still come. `doubt_s` is left for that; then it is decided all the
same, and the reason says on how little. A goodbye, a later run, or a person's word needs no accuser.

A run that may come back (dead or absent, not one that has left or was replaced) is held instead of evicted while an
instance waits for it: a pinned one, or one whose `hold_for_s` is not over, or any while an outage lasts (`brakes.py`).
Its other instances are moved one by one.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import attrs

from swimstream.core.recovery.brakes import Outage
from swimstream.model.changes import EVIDENCE_ITEMS_MAX, Evict, Hold, Release
from swimstream.model.identity import Run
from swimstream.model.job import PINNED
from swimstream.model.member import Member, MemberState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swimstream.core.recovery.situation import Patience, Situation
    from swimstream.core.recovery.waiting import Waits
    from swimstream.model.plan import Assignment

NO_OUTAGES: Mapping[Run, Outage] = MappingProxyType({})
ACCUSERS_WANTED = 2
"""So many workers, and so many sites, are to have seen a death."""


@attrs.frozen(kw_only=True)
class Gone:
    """A run that is not there: why, since when, and whether this very run may still come back."""

    why: str
    since: float
    may_return: bool
    outage: Outage | None = None
    """What it vanished in, together with many others."""


@attrs.define
class Workers:
    """What one review has found about the runs that matter to the plan."""

    changes: list[Evict | Hold | Release] = attrs.field(factory=list)
    """To commit now, in the order of the runs."""
    evicted: dict[Run, str] = attrs.field(factory=dict)
    """The runs of which `changes` has the eviction, and why."""
    away: dict[Run, Gone] = attrs.field(factory=dict)
    """The runs that are gone and not evicted, since an instance waits for them."""
    released: set[Run] = attrs.field(factory=set)
    """The runs of which `changes` has the release."""


def review_workers(
    situation: Situation, waits: Waits, patience: Patience, outages: Mapping[Run, Outage] = NO_OUTAGES
) -> Workers:
    """Return what is to be done about every run that hosts something unfinished, or is held."""
    found = Workers()
    hosted: dict[Run, list[Assignment]] = {run: [] for run in situation.plan.stops}
    for held in situation.plan.assignments.values():
        if not held.finished:
            hosted.setdefault(held.run, []).append(held)
    for run in sorted(run for run in hosted if not situation.plan.is_evicted(run)):
        member = situation.members.get(run.name)
        gone = _gone(run, member, situation, waits, patience)
        if gone is not None and run in outages:
            gone = attrs.evolve(gone, outage=outages[run])
        if gone is None:
            _review_present(found, situation, run, member, hosted[run])
        elif gone.may_return and any(waits_for_worker(held, gone, situation, waits) for held in hosted[run]):
            found.away[run] = gone
            _hold(found, situation, run, reason=f"{gone.why}, and something waits for it", member=member)
        else:
            found.evicted[run] = gone.why
            found.changes.append(Evict(run=run, reason=gone.why, evidence=_seen_by(member)))
    return found


def waits_for_worker(held: Assignment, gone: Gone, situation: Situation, waits: Waits) -> bool:
    """Return whether an instance is left with a run that is gone but may come back, and note it if so."""
    spec = situation.spec_of(held.instance)
    if spec is None or held.revoked or situation.has_ended(held):  # nothing is left there that could go on
        return False
    if spec.instances == PINNED:
        return waits.leave_alone(held.instance, float("inf"), f"pinned to {held.run.name}, which is away")
    why = "held: its worker is away, moves after hold_for"
    if waits.leave_alone(held.instance, gone.since + spec.hold_for_s, why):
        return True
    return gone.outage is not None and waits.leave_alone(held.instance, gone.outage.until, gone.outage.why)


def _review_present(
    found: Workers, situation: Situation, run: Run, member: Member | None, hosted: list[Assignment]
) -> None:
    """Look at a run of which nothing worse is known than that it is suspected, or not seen for a little while."""
    if member is None or member.run != run:
        return
    if member.state is MemberState.SUSPECT:
        if any(situation.is_at_most_one(held.instance) for held in hosted):
            _hold(found, situation, run, reason="suspected", member=member)
    elif not member.state.is_gone and run in situation.plan.stops and situation.may_hold():
        found.released.add(run)
        found.changes.append(Release(run=run, reason="alive"))


def _hold(found: Workers, situation: Situation, run: Run, *, reason: str, member: Member | None) -> None:
    if not situation.plan.is_held(run) and situation.may_hold():
        found.changes.append(Hold(run=run, reason=reason, evidence=_seen_by(member)))


def _gone(run: Run, member: Member | None, situation: Situation, waits: Waits, patience: Patience) -> Gone | None:
    """Return why `run` is gone, or None if it may live."""
    if member is None or member.run.boot < run.boot:
        since = waits.since(f"absent {run}") + patience.absence_s
        why = f"not seen for {patience.absence_s:.0f} s"
        return Gone(why=why, since=since, may_return=True) if waits.is_past(since) else None
    if member.run.boot > run.boot:
        return Gone(why=f"a later run is here: {member.run}", since=member.since, may_return=False)
    if member.state is MemberState.DEAD:
        doubt = _doubt(member, situation)
        if doubt and not waits.is_past(member.since + patience.doubt_s):
            return None
        return Gone(why=f"declared dead{doubt}", since=member.since, may_return=True)
    if member.state is MemberState.LEFT:
        return Gone(why="has left", since=member.since, may_return=False)
    return None


def _doubt(dead: Member, situation: Situation) -> str:
    """Return in which respect too few have seen that a worker is dead, or nothing."""
    others = [each for each in situation.members_sorted if not each.state.is_gone and each.run != dead.run]
    if len(dead.accusers) < min(ACCUSERS_WANTED, len(others)):
        return ", though only one has seen it" if dead.accusers else ", though nobody says to have seen it"
    sites = {each.profile.site for each in others}
    seen_from = {accuser.profile.site for name in dead.accusers if (accuser := situation.members.get(name)) is not None}
    if len(seen_from) < min(ACCUSERS_WANTED, len(sites)):
        return f", though seen from site {min(seen_from)} only" if seen_from else ", though nobody knows from where"
    return ""


def _seen_by(member: Member | None) -> tuple[str, ...]:
    accusers = member.accusers[:EVIDENCE_ITEMS_MAX] if member is not None else ()
    return tuple(f"seen by {who}" for who in accusers)
