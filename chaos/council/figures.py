"""From kills to figures, and the target: deciding again takes at most 1.5 times finding out and a round trip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from chaos.peers.figures import Spread, Target, percentile, spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.council.cluster import Kill

TIMES_MAX = 1.5
HEAD = ("seconds since the kill", "n", "mean", "p50", "p99", "max")


@attrs.frozen(kw_only=True)
class Figures:
    """How long everything took, over all kills. None: there was no kill."""

    first_detected: Spread | None
    """By the first of the others."""
    all_detected: Spread | None
    led: Spread | None
    decided: Spread | None
    first_answered: Spread | None
    """A job submitted at the kill, at the first of the others that had the answer."""
    all_answered: Spread | None
    rtt: Spread | None
    """Between any two workers."""
    split_votes: int
    """Elections that took more than one term."""


def figures(kills: Sequence[Kill], rtts_s: Sequence[float]) -> Figures:
    """Return what all kills together say."""
    return Figures(
        first_detected=spread(kill.detected_s[0] for kill in kills),
        all_detected=spread(kill.detected_s[-1] for kill in kills),
        led=spread(kill.led_s for kill in kills),
        decided=spread(kill.decided_s for kill in kills),
        first_answered=spread(kill.answered_s[0] for kill in kills),
        all_answered=spread(kill.answered_s[-1] for kill in kills),
        rtt=spread(rtts_s),
        split_votes=sum(kill.terms > 1 for kill in kills),
    )


def judge(kills: Sequence[Kill], rtts_s: Sequence[float], *, wanted: int) -> tuple[Target, ...]:
    """Hold the medians against the target; the detection is that of the first to know, which is the strictest."""
    done = Target(claim="leaders killed", value=len(kills), bound=wanted, met=len(kills) == wanted > 0)
    if not kills or not rtts_s:
        return (done,)
    detection_s = percentile([kill.detected_s[0] for kill in kills], 0.5)
    bound_s = TIMES_MAX * (detection_s + percentile(rtts_s, 0.5))
    found = {
        "next decision committed": percentile([kill.decided_s for kill in kills], 0.5),
        "a job submitted at the kill is answered": percentile([kill.answered_s[0] for kill in kills], 0.5),
    }
    return (
        done,
        *(
            Target(
                claim=f"{what}, as another worker sees it, p50 (s) <= {TIMES_MAX:g} x (detection + 1 RTT)",
                value=value,
                bound=bound_s,
                met=value <= bound_s,
            )
            for what, value in found.items()
        ),
    )


def table(found: Figures) -> str:
    """Return a line a figure."""
    rows = {
        "leader held for dead by the first of the others": found.first_detected,
        "by all others": found.all_detected,
        "a later leader has committed its first entry": found.led,
        "next decision committed": found.decided,
        "job submitted at the kill answered, first": found.first_answered,
        "last of the four": found.all_answered,
        "round trip between two workers": found.rtt,
    }
    lines: list[tuple[str, ...]] = [HEAD]
    for what, each in rows.items():
        if each is not None:
            numbers = (each.mean, each.p50, each.p99, each.max)
            lines.append((what, str(each.count), *(f"{number:.4g}" for number in numbers)))
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True))]
        )
        for line in lines
    )
