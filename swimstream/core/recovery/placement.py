"""Where an instance should run: filters, then scores. Deterministic: equal input gives the equal choice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.model.identity import Run
from swimstream.model.member import MemberState

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable

    from swimstream.model.job import OperatorSpec
    from swimstream.model.member import Member


@attrs.frozen(kw_only=True)
class Placement:
    """The outcome: a worker, or why there is none."""

    run: Run | None
    why: str


def place(spec: OperatorSpec, members: Iterable[Member], load: Counter[Run], *, avoid: Run | None = None) -> Placement:
    """Choose among alive members that can run the kind and have room.

    Preferred are the operator's own site, then few instances, then the lower name. `load` counts the instances
    that each run holds; `avoid` is taken only when nobody else is left.
    """
    able = [member for member in members if member.state is MemberState.ALIVE and spec.kind in member.profile.kinds]
    roomy = [member for member in able if load[member.run] < member.profile.capacity]
    if not roomy:
        why = f"all {len(able)} live workers that run kind {spec.kind!r} are full" if able else _nobody(spec)
        return Placement(run=None, why=why)

    def score(member: Member) -> tuple[bool, bool, int, str]:
        is_elsewhere = bool(spec.prefer_site) and member.profile.site != spec.prefer_site
        return (member.run == avoid, is_elsewhere, load[member.run], member.run.name)

    best = min(roomy, key=score)
    site = "in its preferred site" if spec.prefer_site == best.profile.site else f"site {best.profile.site}"
    return Placement(run=best.run, why=f"{site}, {load[best.run]} of {best.profile.capacity} instances held")


def _nobody(spec: OperatorSpec) -> str:
    return f"no live worker runs kind {spec.kind!r}"
