"""The table for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.simulator import promises

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.peers.figures import Spread
    from chaos.worlds.figures import Row, Target
    from chaos.worlds.outcome import Outcome

HEAD = ("story", "P2", "worlds", "broken", "crashes", "death seen after, s", "bound", "members settled, s", "bound",
        "all settled, s", "bound", "false deaths")  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """Return a line a story. Times are p50, p99 and the largest; `bound` is the largest share of the world's own."""
    lines = [HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    )


def verdicts(targets: Sequence[Target]) -> str:
    """Return a line a target."""
    words = {True: "met", False: "MISSED", None: "not judged"}
    return "\n".join(
        f"{words[target.is_met]}  {target.claim}: "
        + (f"{target.value:.2f} s of {target.bound:.2f} s" if target.value is not None else "nothing was measured")
        for target in targets
    )


def replay(outcome: Outcome) -> str:
    """Return the command that runs one world again, with its trace."""
    return f"python -m chaos.worlds --story {outcome.story} --first {outcome.seed} --seeds 1 --trace"


def breach(outcome: Outcome) -> str:
    """Return which promise broke, where, and how to see it again."""
    broken = outcome.broken
    assert broken is not None
    return (
        f"{outcome.story}, seed {outcome.seed}, {outcome.nodes} workers, at {broken.time_s:.3f} s\n"
        f"  {broken.promise}: {broken.detail}\n  again: {replay(outcome)}"
    )


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.story,
        "yes" if promises.NO_FALSE_DEATH in row.promises else "-",
        str(row.worlds),
        str(row.broken),
        str(row.crashes),
        _times(row.detection_s),
        f"{row.detection_share_max:.0%}",
        _times(row.members_settled_s),
        f"{row.members_share_max:.0%}",
        _times(row.settled_s),
        f"{row.settled_share_max:.0%}",
        str(row.false_deaths),
    )


def _times(spread: Spread | None) -> str:
    return "-" if spread is None else f"{spread.p50:.2f} {spread.p99:6.2f} {spread.max:6.2f}"
