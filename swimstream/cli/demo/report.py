"""What is said at the end: for a person, and as one JSON object for a program."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs

from swimstream.cli.demo.result import Comparison
from swimstream.cli.demo.story import Death, Story

if TYPE_CHECKING:
    from collections.abc import Iterator


@attrs.frozen(kw_only=True)
class Report:
    """One run of the demo."""

    workers: int
    elapsed_s: float
    story: Story
    comparison: Comparison
    rows_expected: int
    failure: str
    """Why the run was given up, or nothing."""

    @property
    def is_identical(self) -> bool:
        """Return whether the job finished with the result of the plain computation."""
        return self.comparison.identical and not self.failure

    def as_json(self) -> str:
        """Return one line."""
        return json.dumps(
            {
                "workers": self.workers,
                "members_seen": self.story.members_seen,
                "rows": len(self.comparison.rows),
                "identical": self.is_identical,
                "lost": self.comparison.lost,
                "duplicates": self.comparison.duplicates,
                "stale_writes_refused": self.comparison.stale_writes_refused,
                "elapsed_s": round(self.elapsed_s, 3),
                "leader_changes": self.story.leader_changes,
                "kills": [_death_json(death) for death in self.story.deaths],
            }
        )

    def lines(self) -> Iterator[str]:
        """Yield the summary for a person."""
        yield ""
        for death in self.story.deaths:
            yield _death_line(death)
        if not self.story.deaths:
            yield "No worker died."
        yield (
            f"Leader changes: {self.story.leader_changes}. Stale writes refused by the sink: "
            f"{self.comparison.stale_writes_refused}. Workers that saw each other: {self.story.members_seen}. "
            f"Elapsed: {self.elapsed_s:.1f} s."
        )
        wrong = (
            f"{self.comparison.lost} lost, {self.comparison.duplicates} twice, {self.comparison.unexpected} unexpected"
        )
        if self.is_identical:
            yield (
                f"Result: {len(self.comparison.rows)} rows, IDENTICAL to a plain single-process computation "
                f"of the same input ({wrong})."
            )
        else:
            yield f"Result: {len(self.comparison.rows)} of {self.rows_expected} rows, NOT identical ({wrong})."


def _death_json(death: Death) -> dict[str, str | bool | float | list[str] | None]:
    return {
        "worker": death.worker,
        "was_leader": death.was_leader,
        "operators": sorted(death.hosted),
        "detected_s": death.detected_s,
        "running_again_s": death.running_again_s,
    }


def _death_line(death: Death) -> str:
    what = "the leader" if death.was_leader else "a worker"
    whose = "Killed" if death.by_demo else "Died, not by our hand:"
    noticed = "never noticed" if death.detected_s is None else f"noticed after {death.detected_s:.1f} s"
    if not death.hosted:
        return f"{whose} {death.worker} ({what}) at {death.at:.1f} s: {noticed}; it ran no operator."
    again = "never ran again" if death.running_again_s is None else f"ran again after {death.running_again_s:.1f} s"
    names = ", ".join(instance.partition("/")[2].removesuffix("[0]") for instance in sorted(death.hosted))
    return f"{whose} {death.worker} ({what}) at {death.at:.1f} s: {noticed}; {names} {again}."
