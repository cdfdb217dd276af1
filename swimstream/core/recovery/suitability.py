"""Which workers may run an operator at all, whatever they hold already: the filters, in order.

The first filter that leaves nobody is the reason why an instance cannot be placed.

1. It is alive, not evicted, and runs the kind.
2. At-most-one: it keeps guarantees and is not held. Pinned: it is the home, or, the first time, in the preferred site.
3. It is in one of the operator's sites, and has all of its labels as tags.
4. It is given instances: neither cordoned nor draining nor leaving nor quarantined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from swimstream.model.changes import LEAVING, NORMAL
from swimstream.model.job import AT_MOST_ONE, PINNED
from swimstream.model.member import SPEAKS_GUARANTEES, Member, MemberState

if TYPE_CHECKING:
    from swimstream.model.identity import Run
    from swimstream.model.job import OperatorSpec
    from swimstream.model.plan import Plan

NAMED_MAX = 3
"""So many workers are named in a reason."""

Tags = Mapping[str, Mapping[str, str]]


@attrs.frozen
class Filter:
    """One question about a worker, and what to say if all that are left fail it."""

    word: str
    """What is said of one worker that fails it."""
    passes: Callable[[Member], bool]
    why: Callable[[Sequence[Member]], str]
    """Takes those that were left before, all of which fail."""


@attrs.frozen(kw_only=True)
class Suitable:
    """The outcome for one operator: who passes, why nobody does, and by which filter each of the others fell."""

    able: tuple[Member, ...]
    why: str
    excluded: Mapping[str, str]


def is_usable(member: Member, plan: Plan) -> bool:
    """Return whether a worker is there for anything: an evicted run may look alive until it has heard of it."""
    return member.state is MemberState.ALIVE and not plan.is_evicted(member.run)


def suitable(
    spec: OperatorSpec, members: Sequence[Member], *, plan: Plan, tags: Tags, home: str = "", at: Run | None = None
) -> Suitable:
    """Pass `members` through the filters. `home`: whose a pinned instance is; `at`: where the instance is now."""
    left = list(members)
    excluded: dict[str, str] = {}
    why = ""
    for each in _filters(spec, plan, tags, home, at):
        passing = [member for member in left if each.passes(member)]
        if len(passing) < len(left):
            kept = {member.run for member in passing}
            excluded |= {member.run.name: each.word for member in left if member.run not in kept}
        if not passing and not why:
            why = each.why(left)
        left = passing
    return Suitable(able=tuple(left), why=why, excluded=excluded)


def _filters(spec: OperatorSpec, plan: Plan, tags: Tags, home: str, at: Run | None) -> list[Filter]:
    filters = [
        Filter(
            f"not alive or without kind {spec.kind!r}",
            lambda member: is_usable(member, plan) and spec.kind in member.profile.kinds,
            lambda _: f"no live worker runs kind {spec.kind!r}",
        )
    ]
    if spec.instances == AT_MOST_ONE:
        filters.append(
            Filter(
                "held, or of an older version",
                lambda member: member.profile.speaks >= SPEAKS_GUARANTEES and not plan.is_held(member.run),
                lambda _: f"every live worker that runs kind {spec.kind!r} is held, or of an older version",
            )
        )
    elif spec.instances == PINNED:
        filters += _pins(spec, home)
    if spec.sites:
        filters.append(
            Filter(
                "in another site",
                lambda member: member.profile.site in spec.sites,
                lambda _: f"no live worker in {_or(spec.sites)} runs kind {spec.kind!r}",
            )
        )
    if spec.labels:
        wanted = sorted(spec.labels.items())
        words = " ".join(f"{key}={value}" for key, value in wanted)
        filters.append(
            Filter(
                f"without {words}",
                lambda member: all(tags.get(member.run.name, {}).get(key) == value for key, value in wanted),
                lambda left: f"no live worker that could run it has {words}; {_named(left)} could be tagged so",
            )
        )
    filters.append(
        Filter(
            "given nothing new",
            lambda member: _is_given(member.run, plan, at),
            lambda left: (
                "is given nothing new: " + _named(left, lambda member: plan.directives.mode_of_run(member.run))
            ),
        )
    )
    return filters


def _pins(spec: OperatorSpec, home: str) -> list[Filter]:
    if home:
        away = f"pinned to {home}, which is away or does not run kind {spec.kind!r}"
        return [Filter(f"not {home}", lambda member: member.run.name == home, lambda _: away)]
    if not spec.prefer_site:
        return []
    none = f"no live worker in site {spec.prefer_site} runs kind {spec.kind!r}"
    return [Filter("in another site", lambda member: member.profile.site == spec.prefer_site, lambda _: none)]


def _is_given(run: Run, plan: Plan, at: Run | None) -> bool:
    """Return whether a run is given an instance; what is there already it may start again, unless it leaves."""
    mode = plan.directives.mode_of_run(run)
    return mode == NORMAL or (run == at and mode != LEAVING)


def _or(sites: Sequence[str]) -> str:
    return f"site {sites[0]}" if len(sites) == 1 else f"sites {', '.join(sites)}"


def _named(members: Sequence[Member], more: Callable[[Member], str] | None = None) -> str:
    """Return the first few by name, and how many more there are."""
    shown = ", ".join(each.run.name + (f" ({more(each)})" if more is not None else "") for each in members[:NAMED_MAX])
    return f"{shown} and {len(members) - NAMED_MAX} more" if len(members) > NAMED_MAX else shown
