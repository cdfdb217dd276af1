"""How a command ends: at a signal with nothing left running, else with a verdict and figures that any JSON can say."""

from __future__ import annotations

import math
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from chaos.peers.figures import Target


def end_orderly_on(*numbers: signal.Signals) -> None:
    """Turn these signals into an exit from now on, so that every `with` block ends its processes on the way."""
    for number in numbers:
        signal.signal(number, _exit)


def leave_signals_to_parent() -> None:
    """Let Ctrl-C pass by a process of a pool, and let SIGTERM end it: it is the parent that ends its processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def is_ok(targets: Sequence[Target]) -> bool:
    """Return whether there is a verdict, everything could be judged and nothing was missed."""
    return bool(targets) and all(target.met is True for target in targets)


def plain(value: object) -> object:
    """Return `value` as JSON's types, with what JSON cannot say (infinite, not a number) as None."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {str(key): plain(each) for key, each in value.items()}
        case list() | tuple():
            return [plain(each) for each in value]
        case _:
            return value


def _exit(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)
