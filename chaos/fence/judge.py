"""What counts as a leak. Times are seconds on CLOCK_BOOTTIME, which all processes of the machine share.

The fence and the token are judged apart: the token by what the database holds, the fence by what was attempted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

REFUSED = "refused"


@attrs.frozen(kw_only=True)
class Execution:
    """One process that ran the operator, and when it attempted to write."""

    epoch: int
    pid: int
    worker: str
    stamps: tuple[float, ...]
    refusals: int
    """How often the database said no to it."""


@attrs.frozen(kw_only=True)
class Trial:
    """One pause of an execution."""

    epoch: int
    pid: int
    stopped_at: float
    deadline: float
    """From here on it must not run: the latest to which it can have been renewed."""
    moved_s: float | None = None
    """From the pause to the first attempt of a later epoch; None where nobody else takes over."""


@attrs.frozen(kw_only=True)
class Verdict:
    """What all trials of one sort came to."""

    trials: int
    late: int
    """Attempts of a paused execution after its deadline."""
    overlaps: int
    """Attempts of an execution after the first attempt of a later one: of a higher epoch, or of the same anew."""
    stale: int
    """Rows whose token is lower than that of an earlier row."""
    refusals: int
    """Writes that only the token has kept out."""

    @property
    def ok(self) -> bool:
        """Return whether there was something to judge and nothing leaked."""
        return self.trials > 0 and not (self.late or self.overlaps or self.stale)


def newest_epoch(directory: Path) -> int:
    """Return the highest epoch that has run, 0 if none has."""
    return max((int(path.name.partition(".")[0]) for path in directory.glob("*.stamps")), default=0)


def read_executions(directory: Path, *, epoch_min: int = 0) -> list[Execution]:
    """Return every execution from that epoch on that has left a file, in their order."""
    found = []
    for path in directory.glob("*.stamps"):
        epoch, pid, worker = path.name.removesuffix(".stamps").split(".")
        if int(epoch) < epoch_min:
            continue
        # a process that is killed while it writes may leave half a line, which is no attempt
        lines = [line[:-1] for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
        stamps = tuple(float(line) for line in lines if line != REFUSED)
        found.append(
            Execution(epoch=int(epoch), pid=int(pid), worker=worker, stamps=stamps, refusals=lines.count(REFUSED))
        )
    return sorted(found, key=_order)


def judge(trials: Sequence[Trial], executions: Sequence[Execution], tokens: Sequence[int]) -> Verdict:
    """Return what leaked."""
    return Verdict(
        trials=len(trials),
        late=sum(_late(trial, executions) for trial in trials),
        overlaps=sum(_overlaps(each, executions) for each in executions),
        stale=_stale(tokens),
        refusals=sum(each.refusals for each in executions),
    )


def _late(trial: Trial, executions: Sequence[Execution]) -> int:
    stamps = [each.stamps for each in executions if (each.epoch, each.pid) == (trial.epoch, trial.pid)]
    return sum(stamp >= trial.deadline for each in stamps for stamp in each)


def _order(execution: Execution) -> tuple[int, tuple[float, ...]]:
    return (execution.epoch, execution.stamps[:1])


def _overlaps(execution: Execution, executions: Sequence[Execution]) -> int:
    later = [each.stamps[0] for each in executions if each.stamps and _order(each) > _order(execution)]
    return sum(stamp > min(later) for stamp in execution.stamps) if later else 0


def _stale(tokens: Sequence[int]) -> int:
    newest = stale = 0
    for token in tokens:
        stale += token < newest
        newest = max(newest, token)
    return stale
