"""A worker that comes and goes is given nothing for a while, and longer each time (as a route that flaps, RFC 2439).

What counts is a *return*: a run of a name that was gone or was another one before, and had not said goodbye. A clean
restart counts nothing. The counts are the memory of one leadership; the level is in the plan, so that the delay grows
across leaders too. All times are multiples of the shortest suspicion (LAN: 4 s), as faster clusters flap faster.

Refused: to quarantine so many that less than half of the live workers are left, since somebody must do the work; and
to count deaths, as those of a worker that stays away need no quarantine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.model.changes import LEVEL_MAX, NORMAL, QUARANTINED, SetWorkerMode
from swimstream.model.member import MemberState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from swimstream.core.recovery.situation import Situation
    from swimstream.core.recovery.waiting import Waits
    from swimstream.model.identity import Run
    from swimstream.model.member import Member

RETURNS = 3
WINDOW_SUSPICIONS = 75
"""So many returns within that count; LAN: 5 min."""
DELAY_SUSPICIONS = 15
"""The first quarantine; each in a row lasts twice as long. LAN: 1 min."""
DELAY_SUSPICIONS_MAX = 900
"""LAN: 1 h. After as long a time without another quarantine, how many there were is forgotten."""


class Flapping:
    """Who has come back how often while one leader looked on; as many records as there are members."""

    def __init__(self, suspicion_s: float) -> None:
        """Begin with no memory. `suspicion_s` is the shortest suspicion."""
        self._suspicion_s = suspicion_s
        self._seen: dict[str, tuple[Run, MemberState]] = {}
        self._returns: dict[str, tuple[float, ...]] = {}
        """At most `RETURNS` for each name, the newest."""

    def decide(self, situation: Situation, waits: Waits) -> list[SetWorkerMode]:
        """Return who is to be quarantined or released now."""
        members = situation.members
        self._count(members.values(), situation.now)
        modes = situation.plan.directives.modes
        found = []
        for name, held in sorted(modes.items()):
            if held.mode == QUARANTINED:
                delay = min(DELAY_SUSPICIONS * 2 ** max(0, held.level - 1), DELAY_SUSPICIONS_MAX)
                if waits.has_waited(f"quarantined {held.index} {name}", delay * self._suspicion_s):
                    found.append(_set(name, NORMAL, held.level, "its quarantine is over"))
            elif held.mode == NORMAL and waits.has_waited(
                f"released {held.index} {name}", DELAY_SUSPICIONS_MAX * self._suspicion_s
            ):
                found.append(_set(name, NORMAL, 0, "it has not flapped for long"))
        live = [each for each in members.values() if each.state is MemberState.ALIVE]
        free = sum(situation.plan.directives.mode_of(each.run.name) == NORMAL for each in live)
        for name in sorted(self._returns):
            if len(self._returns[name]) < RETURNS or situation.plan.directives.mode_of(name) != NORMAL:
                continue
            if 2 * (free - 1) < len(live):
                break
            level = modes[name].level if name in modes else 0
            within_s = situation.now - self._returns.pop(name)[0]
            free -= 1
            reason = f"it came back {RETURNS} times within {within_s:.0f} s"
            found.append(_set(name, QUARANTINED, min(level + 1, LEVEL_MAX), reason))
        return found

    def _count(self, members: Iterable[Member], now: float) -> None:
        seen = {each.run.name: (each.run, each.state) for each in members}
        for name, (run, state) in seen.items():
            before_run, before = self._seen.get(name, (run, MemberState.ALIVE))
            is_return = before is not MemberState.LEFT and (run != before_run or before is MemberState.DEAD)
            if is_return and not state.is_gone:
                self._returns[name] = (*self._returns.get(name, ()), now)[-RETURNS:]
            elif state.is_gone and before is not MemberState.LEFT and run != before_run:
                seen[name] = (
                    before_run,
                    MemberState.DEAD,
                )  # it came and went between two looks: counted when it is back
        self._seen = seen
        oldest = now - WINDOW_SUSPICIONS * self._suspicion_s
        kept = {
            name: tuple(at for at in times if at >= oldest) for name, times in self._returns.items() if name in seen
        }
        self._returns = {name: times for name, times in kept.items() if times}


def _set(name: str, mode: str, level: int, reason: str) -> SetWorkerMode:
    return SetWorkerMode(name=name, mode=mode, level=level, boot=0, reason=reason, asked_by="")
