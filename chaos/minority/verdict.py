"""What the beats say: who ran what when, and whether that was right."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import attrs

from chaos.minority.operators import LEAST, ONCE
from chaos.peers.figures import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

GAP_S_MAX = 1.0
"""Who beats every 20 ms and is silent for so long has stopped: a machine under load stalls for less."""
SLACK_S = 0.05
"""A beat is stamped, and then written: the machine may stall in between."""


@attrs.frozen
class Beat:
    """One line of an operator."""

    at: float
    operator: str
    index: int
    epoch: int
    worker: str


@attrs.frozen(kw_only=True)
class Trial:
    """One cut, all times on CLOCK_BOOTTIME."""

    minority: tuple[str, ...]
    had_leader: bool
    """Whether the leader was among those that were cut off."""
    isolation_s: float
    """L: no at-most-one operator may go on for longer than this without the majority."""
    cut_at: float
    healed_at: float
    seen_at: float
    """When everybody of the majority held the minority for dead; infinite: never."""
    whole_at: float
    """When everybody held everybody for alive again; infinite: never."""
    settle_s_max: float
    """Bound of that."""
    ended_at: float


def read_beats(text: str) -> list[Beat]:
    """Return the beats of a file, by time. A last line that is not complete is left out."""
    beats = []
    for line in text.splitlines(keepends=True):
        if line.endswith("\n"):
            at, operator, index, epoch, worker = line.split()
            beats.append(Beat(float(at), operator, int(index), int(epoch), worker))
    return sorted(beats, key=lambda beat: beat.at)


def stopped_after_s(trial: Trial, beats: Iterable[Beat]) -> float:
    """Return how long after the cut the last at-most-one operator of the minority still beat, before the healing."""
    return max((beat.at - trial.cut_at for beat in _of(trial, beats, ONCE) if beat.at < trial.healed_at), default=0.0)


def longest_gap_s(beats: Sequence[Beat], *, since: float, until: float) -> float:
    """Return the longest silence of any (operator, index) that had beaten shortly before `since`."""
    times: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
    for beat in beats:
        if since - GAP_S_MAX <= beat.at <= until:
            times[beat.operator, beat.index].append(beat.at)
    gaps = [
        max(later - earlier for earlier, later in zip(each, [*each[1:], until], strict=True)) for each in times.values()
    ]
    return max(gaps, default=float("inf"))


def overlaps(beats: Iterable[Beat]) -> int:
    """Return how many beats of at-most-one instances come after a newer copy has begun, or from two workers at once.

    A copy is an epoch. One epoch never has two workers; an older epoch never beats after a newer one has.
    """
    newest: dict[int, Beat] = {}
    wrong = 0
    for beat in beats:
        if beat.operator != ONCE:
            continue
        before = newest.get(beat.index)
        if before is None or beat.epoch > before.epoch:
            newest[beat.index] = beat
        elif beat.epoch < before.epoch or beat.worker != before.worker:
            wrong += 1
    return wrong


def copies_at_the_end(beats: Iterable[Beat], *, ended_at: float) -> dict[tuple[str, int], set[tuple[str, int]]]:
    """Return which workers, under which epoch, beat for each instance in the last moments."""
    found: defaultdict[tuple[str, int], set[tuple[str, int]]] = defaultdict(set)
    for beat in beats:
        if beat.at >= ended_at - GAP_S_MAX:
            found[beat.operator, beat.index].add((beat.worker, beat.epoch))
    return found


def judge(trial: Trial, beats: Sequence[Beat], *, instances: int) -> list[Target]:
    """Hold one cut against what is promised."""
    where = f"cut off: {', '.join(trial.minority)}{' (with the leader)' if trial.had_leader else ''}"
    ours = [beat for beat in beats if beat.worker in trial.minority]
    theirs = [beat for beat in beats if beat.worker not in trial.minority]
    during = {"since": trial.cut_at, "until": trial.healed_at}
    moved = {beat.index for beat in _of(trial, beats, ONCE, inside=False) if trial.cut_at < beat.at < trial.healed_at}
    wanted = {(name, index) for name in (ONCE, LEAST) for index in range(instances)}
    ends = copies_at_the_end(beats, ended_at=trial.ended_at)
    single = sum(len(ends.get(key, set())) == 1 for key in wanted)

    def gap_s(side: Sequence[Beat], operator: str) -> float:
        return longest_gap_s([beat for beat in side if beat.operator == operator], **during)

    return [
        _most(f"{where}: last at-most-one beat there (s after the cut)", stopped_after_s(trial, beats),
              trial.isolation_s + SLACK_S),
        _least(f"{where}: at-most-one operators that ran there before", _ran_before(trial, beats), 1),
        _most(f"{where}: beats of two copies of an at-most-one instance at once", overlaps(beats), 0),
        _most(f"{where}: longest gap of at-least-one operators there (s)", gap_s(ours, LEAST), GAP_S_MAX),
        _most(f"{where}: longest gap of at-least-one operators elsewhere (s)", gap_s(theirs, LEAST), GAP_S_MAX),
        _most(f"{where}: longest gap of at-most-one operators elsewhere (s)", gap_s(theirs, ONCE), GAP_S_MAX),
        _least(f"{where}: at-most-one instances that ran elsewhere in the cut", len(moved), instances),
        _most(f"{where}: all alive to all again (s after the healing)", trial.whole_at - trial.healed_at,
              trial.settle_s_max),
        _least(f"{where}: instances with exactly one copy at the end", single, len(wanted)),
    ]  # fmt: skip


def _of(trial: Trial, beats: Iterable[Beat], operator: str, *, inside: bool = True) -> list[Beat]:
    return [beat for beat in beats if beat.operator == operator and (beat.worker in trial.minority) == inside]


def _ran_before(trial: Trial, beats: Iterable[Beat]) -> int:
    """Return how many at-most-one instances ran in the minority at the cut: without any, nothing is shown."""

    def is_recent(beat: Beat) -> bool:
        return trial.cut_at - GAP_S_MAX < beat.at <= trial.cut_at

    return len({beat.index for beat in _of(trial, beats, ONCE) if is_recent(beat)})


def _most(claim: str, value: float, bound: float) -> Target:
    return Target(claim=claim, value=value, bound=bound, met=value <= bound)


def _least(claim: str, value: float, bound: float) -> Target:
    return Target(claim=f"{claim}, at least", value=value, bound=bound, met=value >= bound)
