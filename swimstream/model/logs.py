"""What an instance printed, page by page, as one worker keeps it.

Positions count every byte that this worker has ever kept of the instance, so they never fall and a reader can go on
from where it was, although the oldest bytes are dropped as new ones come.
"""

from __future__ import annotations

import attrs

from swimstream.model.identity import InstanceId

LOGS_TOPIC = "_logs"
LOG_PAGE_BYTES_MAX = 48 * 1024
TAIL_LINES_MAX = 100_000


@attrs.frozen(kw_only=True)
class LogRequest:
    """What is asked of the worker that keeps the output of an instance."""

    instance: InstanceId
    start: int | None = None
    """Position to read from; None: the last `tail` lines."""
    tail: int = 100


@attrs.frozen(kw_only=True)
class KeptOutput:
    """A piece of what one worker has kept: at most `LOG_PAGE_BYTES_MAX`."""

    start: int
    """Position of the first byte of `data`; higher than was asked for if what stood there has been dropped."""
    data: bytes
    end: int
    """Where everything that is there ends."""
    begun: int
    """Where the output of the newest execution begins."""
    epoch: int
    """Of the newest execution there; 0 if only an earlier run of the worker knew."""
    is_running: bool


@attrs.frozen(kw_only=True)
class LogPage:
    """A piece of the output of one instance, and whose it is."""

    instance: InstanceId
    worker: str
    """Who keeps it."""
    kept: KeptOutput
    former: tuple[str, ...] = ()
    """Names of the workers that it ran on before, the newest last, as far as the history of decisions reaches."""
    is_finished: bool = False
    """Whether the plan says that the instance has finished for good."""
