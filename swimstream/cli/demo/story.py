"""What happened while the job ran: who died, when it was noticed, when its operators ran again. No clock, no output."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.cli.demo.picture import Picture

if TYPE_CHECKING:
    from collections.abc import Iterator


@attrs.define(kw_only=True)
class Death:
    """The end of one life of a worker, by the demo's hand or another's. Times are seconds since the start."""

    worker: str
    boot: int
    at: float
    by_demo: bool
    was_leader: bool
    hosted: dict[str, int]
    """Instances that ran there and in which epoch."""
    detected_at: float | None = None
    running_again_at: float | None = None

    @property
    def is_over(self) -> bool:
        """Return whether it was noticed and everything runs again."""
        return self.detected_at is not None and (not self.hosted or self.running_again_at is not None)

    @property
    def over_at(self) -> float:
        """Return since when it is over."""
        return max(self.detected_at or self.at, self.running_again_at or self.at)

    @property
    def detected_s(self) -> float | None:
        """Return how long it took to be noticed."""
        return None if self.detected_at is None else round(max(0.0, self.detected_at - self.at), 3)

    @property
    def running_again_s(self) -> float | None:
        """Return how long it took until all that ran there ran elsewhere; None if nothing did."""
        return None if self.running_again_at is None else round(max(0.0, self.running_again_at - self.at), 3)


class Story:
    """Compares each picture with the one before and tells the difference, a line each."""

    def __init__(self, *, workers: int, began_at: float) -> None:
        """Begin with nothing seen of so many workers; `began_at` is second 0 on the monotonic clock."""
        self._began_at = began_at
        self.picture = Picture()
        self.deaths: list[Death] = []
        self.leaders: list[tuple[int, str]] = []
        """Each leader with its term, in the order in which they were seen."""
        self.members_seen = 0
        self._workers = workers
        self._told: set[int] = set()

    @property
    def leader_changes(self) -> int:
        """Return how often another leader or another term followed the first one."""
        return max(0, len(self.leaders) - 1)

    def note_death(self, worker: str, *, boot: int, at: float, by_demo: bool) -> Death:
        """Record that a worker's process has ended, with what it hosted in the last picture."""
        hosted = {seen.instance: seen.epoch for seen in self.picture.hosted_by(worker)}
        death = Death(
            worker=worker,
            boot=boot,
            at=at,
            by_demo=by_demo,
            was_leader=self.picture.leader == worker,
            hosted=hosted,
        )
        self.deaths.append(death)
        return death

    def update(self, picture: Picture, *, at: float) -> Iterator[str]:
        """Take in a new picture; yield a line for each thing that has happened."""
        self.picture = picture
        if picture.alive_most > self.members_seen:
            self.members_seen = picture.alive_most
            if self.members_seen == self._workers:
                yield f"all {self._workers} workers see each other"
        if picture.leader and (not self.leaders or picture.term > self.leaders[-1][0]):
            self.leaders.append((picture.term, picture.leader))
            yield f"{picture.leader} leads in term {picture.term}"
        yield from self._decisions()
        for death in self.deaths:
            yield from self._recovery(death, at)

    def _decisions(self) -> Iterator[str]:
        for index, decision in self.picture.decisions.items():
            if index not in self._told:
                self._told.add(index)
                reason = f" ({decision.reason})" if decision.reason else ""
                yield f"decided #{index}: {decision.what}{reason}"

    def _recovery(self, death: Death, at: float) -> Iterator[str]:
        gone_at = self.picture.gone_at(death.worker, death.boot)
        if death.detected_at is None and gone_at is not None:
            death.detected_at = max(death.at, min(at, gone_at - self._began_at))
            yield f"death of {death.worker} noticed after {death.detected_s:.1f} s"
        if death.hosted and death.running_again_at is None and all(map(self._runs_again, death.hosted.items())):
            death.running_again_at = at
            yield f"all that ran on {death.worker} runs again after {at - death.at:.1f} s"

    def _runs_again(self, lost: tuple[str, int]) -> bool:
        instance, epoch = lost
        seen = self.picture.operators.get(instance)
        return seen is not None and seen.epoch > epoch and seen.state in ("running", "finished")
