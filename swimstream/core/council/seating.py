"""Who shall have a seat: from the plan and the members to the next seat to add or to remove, with the reason.

A pure function; the leader asks it whenever something has changed (`core/stewardship.py`) and takes one step at a
time. What it says is a wish: whether the change may enter the log is decided in `changing.py`.

- Nothing moves unless a majority of the *present* seats is held for alive, and will be after the step. So a minority
  that sees the others for dead changes nothing, and never can half of the seats or more be exchanged at once.
- A seat is replaced when its worker has been dead, gone or unseen for a stated time, or at once when its worker is
  back without the memory behind its vote: that one can never vote again. First the new seat, then the removal: the
  council never gets smaller than it was.
- A new seat goes to a worker that has been alive for a stated time, at the site that has the fewest.
- A council grows and shrinks to `Plan.seats_wanted`, which only a person changes. It grows only if enough workers
  are there for an odd number: an even one needs more voters and survives no more of them. It shrinks by the dead
  first, then at the fullest site, and by the leader's own seat only if there is no other.

Refused: removing a dead seat before there is another (it would make the next failure fatal without need), and
exchanging live seats for a better spread (every change of a majority has a price, and the gain may never be needed).
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from swimstream.core.council.seats import majority
from swimstream.model.changes import EVIDENCE_ITEMS_MAX, ChangeCouncil, Seat
from swimstream.model.member import Member, MemberState
from swimstream.model.plan import Plan
from swimstream.model.words import counted

SPEAKS_NEEDED = 3
"""Everybody must be able to read a change of the council."""
SEATS_MIN = 3
"""No council gets smaller than this unless a person asks for it."""
STABLE_ELECTIONS = 6
"""A worker gets a seat after so many shortest election time-outs alive; LAN: 9 s (Consul's autopilot waits 10 s)."""
GONE_ELECTIONS = 20
"""A seat is given to another after its worker was gone for so many; LAN: 30 s, enough to restart a process."""


@attrs.frozen(kw_only=True)
class SeatingView:
    """All that a step may depend on. Times are the leader's, in seconds."""

    plan: Plan
    members: Mapping[str, Member]
    own: Seat
    """The leader's own seat."""
    led_since: float
    """Since when this leader leads: whom it has not seen at all counts as gone from then on."""
    election_s: float
    """The shortest election time-out."""
    put_off: frozenset[Seat]
    """Workers that did not come up to date in time."""
    now: float

    @property
    def stable_s(self) -> float:
        """Return how long a worker must have been alive before it gets a seat."""
        return STABLE_ELECTIONS * self.election_s

    @property
    def gone_s(self) -> float:
        """Return how long a worker must have been gone before its seat is given to another."""
        return GONE_ELECTIONS * self.election_s

    def holder(self, seat: Seat) -> Member | None:
        """Return the worker that has the memory of that seat, as far as it is known."""
        member = self.members.get(seat.name)
        return member if member is not None and member.profile.voter == seat.voter else None

    def is_alive(self, seat: Seat) -> bool:
        """Return whether the holder of a seat is held for alive, and not merely not yet for dead."""
        holder = self.holder(seat)
        return seat == self.own or (holder is not None and holder.state is MemberState.ALIVE)

    def site_of(self, seat: Seat) -> str:
        """Return where a seat is; nowhere if its worker was never seen."""
        member = self.members.get(seat.name)
        return member.profile.site if member is not None else ""


@attrs.frozen(kw_only=True)
class Step:
    """The next change of the council: `seat` comes in, or goes."""

    seat: Seat
    is_new: bool
    reason: str
    evidence: tuple[str, ...] = ()

    def change(self, council: tuple[Seat, ...]) -> ChangeCouncil:
        """Return the change of the plan that takes this step."""
        after = {*council, self.seat} if self.is_new else set(council) - {self.seat}
        return ChangeCouncil(council=tuple(sorted(after)), reason=self.reason, evidence=self.evidence)


def seats_wanted(plan: Plan) -> int:
    """Return how many seats there shall be: what was asked for, or what the cluster was founded with."""
    return plan.seats_wanted or len(plan.council)


def next_step(view: SeatingView) -> Step | None:
    """Return what to do next for the council, or None: all is well, or nothing may be done."""
    council = view.plan.council
    live = [member for member in view.members.values() if member.state is MemberState.ALIVE]
    if any(member.profile.speaks < SPEAKS_NEEDED for member in live):
        return None
    step = _wish(view, council)
    if step is None:
        return None
    after = step.change(council).council
    is_safe = all(sum(map(view.is_alive, seats)) >= majority(seats) for seats in (council, after))
    return step if is_safe else None


def _wish(view: SeatingView, council: tuple[Seat, ...]) -> Step | None:
    wanted, size = seats_wanted(view.plan), len(council)
    gone = {seat: reason for seat in council if (reason := _why_gone(view, seat))}
    candidates = _candidates(view, gone)
    if size > wanted:
        return _removal(view, gone)
    if gone and candidates:
        first = min(gone)
        return Step(
            seat=candidates[0],
            is_new=True,
            reason=f"in the place of {first.name}: {gone[first]}",
            evidence=_evidence(view, first),
        )
    if size < wanted and len(candidates) > size % 2:
        return Step(
            seat=candidates[0], is_new=True, reason=f"the council shall have {counted(wanted, 'seat')}, it has {size}"
        )
    if gone and size % 2 == 0 and size > SEATS_MIN:
        return _removal(view, gone)  # nobody is left to take the place; an odd council needs fewer votes
    return None


def _removal(view: SeatingView, gone: Mapping[Seat, str]) -> Step:
    council = view.plan.council
    sites = [view.site_of(seat) for seat in council if seat not in gone]

    def rank(seat: Seat) -> tuple[bool, bool, bool, int, Seat]:
        is_spare = seat not in gone and view.is_alive(seat)
        return (seat != view.own, seat in gone, not is_spare, sites.count(view.site_of(seat)), seat)

    seat = max(council, key=rank)
    site = view.site_of(seat)
    reason = gone.get(seat, "") or f"one seat too many, and site {site!r} has {sites.count(site)}"
    return Step(seat=seat, is_new=False, reason=reason, evidence=_evidence(view, seat) if seat in gone else ())


def _why_gone(view: SeatingView, seat: Seat) -> str:
    """Return why a seat needs a new holder; empty if it does not, or not yet."""
    if seat == view.own:
        return ""
    member = view.members.get(seat.name)
    if member is not None and member.profile.voter > seat.voter:  # a lower one is an older record of that worker
        return f"{member.run} is back without the memory of its vote"
    held = view.holder(seat)
    if held is None:
        return f"not seen for {view.gone_s:.0f} s" if view.now >= view.led_since + view.gone_s else ""
    if held.state.is_gone and view.now >= held.since + view.gone_s:
        verdict = "declared dead" if held.state is MemberState.DEAD else "left"
        return f"{verdict} more than {view.gone_s:.0f} s ago"
    return ""


def _evidence(view: SeatingView, seat: Seat) -> tuple[str, ...]:
    held = view.holder(seat)
    return tuple(f"seen by {who}" for who in held.accusers[:EVIDENCE_ITEMS_MAX]) if held is not None else ()


def _candidates(view: SeatingView, gone: Mapping[Seat, str]) -> list[Seat]:
    """Return who may get a seat, the best first."""
    good = [seat for seat in view.plan.council if seat not in gone]
    names = {seat.name for seat in good}
    sites = [view.site_of(seat) for seat in good]
    fit = [
        Seat(name, member.profile.voter)
        for name, member in view.members.items()
        if name not in names and member.state is MemberState.ALIVE and view.now >= member.since + view.stable_s
    ]
    free = [seat for seat in fit if seat.voter and seat not in view.plan.council and seat not in view.put_off]
    return sorted(free, key=lambda seat: (sites.count(view.site_of(seat)), seat))


def review_at(view: SeatingView) -> float:
    """Return when `next_step` could come to another result though nothing has changed.

    The sums are the very ones that are compared above: at that moment they hold, whatever the rounding.
    """
    waits = [
        member.since + (view.gone_s if member.state.is_gone else view.stable_s) for member in view.members.values()
    ]
    return min((at for at in (view.led_since + view.gone_s, *waits) if at > view.now), default=float("inf"))
