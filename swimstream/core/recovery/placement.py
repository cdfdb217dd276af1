"""Where an instance should run: filters, then scores. Deterministic: equal input gives the equal choice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.model.identity import Run
from swimstream.model.job import AT_MOST_ONE, PINNED
from swimstream.model.member import SPEAKS_GUARANTEES, MemberState

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable

    from swimstream.model.job import OperatorSpec
    from swimstream.model.member import Member
    from swimstream.model.plan import Plan


@attrs.frozen(kw_only=True)
class Placement:
    """The outcome: a worker, or why there is none."""

    run: Run | None
    why: str


def place(
    spec: OperatorSpec,
    members: Iterable[Member],
    load: Counter[Run],
    *,
    plan: Plan,
    avoid: Run | None = None,
    home: str = "",
) -> Placement:
    """Choose among alive members that the plan has not evicted, that can run the kind and have room.

    Preferred are the operator's own site, then few instances, then the lower name. `load` counts the instances
    that each run holds; `avoid` is taken only when nobody else is left. What is pinned goes to the worker named
    `home` alone; the first time, when there is none yet, to its preferred site alone. A run that is held, or knows no
    guarantees, gets no at-most-one instance.
    """
    able = [
        member
        for member in members  # an evicted run may look alive until it has heard of it
        if member.state is MemberState.ALIVE and spec.kind in member.profile.kinds and not plan.is_evicted(member.run)
    ]
    why = f"no live worker runs kind {spec.kind!r}"
    if spec.instances == AT_MOST_ONE and able:
        able = [each for each in able if each.profile.speaks >= SPEAKS_GUARANTEES and not plan.is_held(each.run)]
        why = f"every live worker that runs kind {spec.kind!r} is held, or of an older version"
    elif spec.instances == PINNED and home:
        able = [member for member in able if member.run.name == home]
        why = f"pinned to {home}, which is away or does not run kind {spec.kind!r}"
    elif spec.instances == PINNED and spec.prefer_site and able:
        able = [member for member in able if member.profile.site == spec.prefer_site]
        why = f"no live worker in site {spec.prefer_site} runs kind {spec.kind!r}"
    roomy = [member for member in able if load[member.run] < member.profile.capacity]
    if not roomy:
        return Placement(
            run=None, why=f"all {len(able)} live workers that run kind {spec.kind!r} are full" if able else why
        )
    return _best(spec, roomy, load, avoid)


def _best(spec: OperatorSpec, roomy: list[Member], load: Counter[Run], avoid: Run | None) -> Placement:
    def score(member: Member) -> tuple[bool, bool, int, str]:
        is_elsewhere = bool(spec.prefer_site) and member.profile.site != spec.prefer_site
        return (member.run == avoid, is_elsewhere, load[member.run], member.run.name)

    best = min(roomy, key=score)
    site = "in its preferred site" if spec.prefer_site == best.profile.site else f"site {best.profile.site}"
    return Placement(run=best.run, why=f"{site}, {load[best.run]} of {best.profile.capacity} instances held")
