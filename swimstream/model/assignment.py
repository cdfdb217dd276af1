"""Where an instance belongs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from swimstream.model.identity import InstanceId, Run

if TYPE_CHECKING:
    from collections.abc import Mapping


@attrs.frozen(kw_only=True)
class Assignment:
    """Where an instance belongs. Only a live run of that exact boot may act on it."""

    instance: InstanceId
    run: Run
    epoch: int
    failures: int = 0
    resume_from: bytes = b""
    finished: bool = False
    revoked: int = 0
    """Index of the entry that took it back before it was given to another, 0 if there is none."""
    stale: int = 0
    """Index of the entry since which this copy is out of date, 0 if it is not: the instance is to get a new epoch."""
    superseded: bool = False
    """Whether it is out of date because its job was changed: then it does not count what this copy finishes as."""
    former_run: Run | None = None
    """Whose copy, of `former_epoch`, goes on until this one is RUNNING; None: nobody's."""
    former_epoch: int = 0


def stop_index(held: Assignment, stops: Mapping[Run, int]) -> int:
    """Return the index of the oldest standing entry that stops this assignment, 0 if there is none."""
    return min((index for index in (held.revoked, stops.get(held.run, 0)) if index), default=0)
