"""What befalls the workers next: drawn from a seed, so that the same seed strikes the same names in the same order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

ONCE_KIND = "soak.once"
"""What it scales: an operator that must never run twice at a time."""
KILL, KILL_MACHINE, KILL_PEER, KILL_TWO = "kill", "kill-machine", "kill-peer", "kill-two"
PAUSE, FREEZE, PAUSE_PEER = "pause", "freeze", "pause-peer"
DRAIN, LEAVE = "drain", "leave"
SCALE, UPDATE, RESTART = "scale", "update", "restart"
COMMANDS = (SCALE, UPDATE, RESTART)
EMPTY = "empty"
"""A person puts back to normal all that flap, and drains one into the others: whoever dies every half a minute has soon
no work that could be struck, since all of it stays with those that never end."""
ENDING = (KILL, KILL_MACHINE, KILL_PEER, KILL_TWO, DRAIN, LEAVE)
"""Strikes after which a worker's process is another one."""
KINDS = (*ENDING, KILL, KILL_MACHINE, PAUSE, PAUSE, FREEZE, PAUSE_PEER, *COMMANDS, EMPTY, EMPTY)
AWAY_S = (0.2, 6.0)
PAUSE_S = (0.3, 6.0)
CALM_S = (1.0, 4.0)
SCALES = (1, 2, 3, 4, 5)
RATE_SHARES = (0.6, 0.8, 1.0)
OPERATORS = ("source-ewr", "source-jfk", "source-lga", "window-ewr", "window-jfk", "window-lga", "merge", "sink")


@attrs.frozen(kw_only=True)
class Strike:
    """One event, whom it meets, and how long it lasts before it is made good. Seconds."""

    kind: str
    names: tuple[str, ...] = ()
    lasts_s: float = 0.0
    calm_s: float
    """Before the next one, from when all are back."""
    operator: str = ""
    """Of `restart`."""
    scale: int = 0
    rate_share: float = 1.0
    """What share of the full pace `update` gives to the sources; never more, or the stream ends before its time."""


def draw(rng: Random, *, names: Sequence[str], spared: Sequence[str]) -> Strike:
    """Return the next strike. The processes of the `spared` live through all of them: they are only paused."""
    kind = rng.choice(KINDS)
    able = [name for name in names if kind not in ENDING or name not in spared]
    count = 2 if kind == KILL_TWO else 0 if kind in COMMANDS else 1
    lasts_s = rng.uniform(*(AWAY_S if kind in ENDING else PAUSE_S)) if count else 0.0
    return Strike(
        kind=kind,
        names=tuple(rng.sample(able, count)),
        lasts_s=lasts_s,
        calm_s=rng.uniform(*CALM_S),
        operator=rng.choice(OPERATORS),
        scale=rng.choice(SCALES),
        rate_share=rng.choice(RATE_SHARES),
    )
