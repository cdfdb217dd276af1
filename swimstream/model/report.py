"""What a runner says of one execution: how far it has come, and into which state it has got."""

from __future__ import annotations

import math

import attrs

from swimstream.errors import UsageError
from swimstream.model.identity import InstanceId
from swimstream.model.status import (
    CHECKPOINT_BYTES_MAX,
    ENDPOINT_CHARS_MAX,
    ENDPOINT_PATTERN,
    PROGRESS_MAX,
    ErrorClass,
    InstanceState,
)


@attrs.frozen(kw_only=True)
class Report:
    """Of one instance and epoch; what is None stays as it was."""

    instance: InstanceId
    epoch: int
    state: InstanceState | None = None
    progress: int | None = None
    checkpoint: bytes | None = None
    endpoint: str | None = None
    cause: str | None = None
    error: ErrorClass | None = None
    watermark_ms: int | None = None
    backlog: int | None = None
    busy_until: float | None = None
    """Until then no progress is no stall, on the node's clock."""
    backpressured: bool | None = None
    """Whether it waits for its outputs to take on: no stall either."""

    def after(self, earlier: Report) -> Report:
        """Return both in one: what this one says, and else what `earlier` said of the same execution."""
        said = {field.name: value for field in attrs.fields(Report) if (value := getattr(self, field.name)) is not None}
        return attrs.evolve(earlier, **said)

    def check(self) -> None:
        """Raise `UsageError` for what a status cannot hold."""
        for name in ("progress", "watermark_ms", "backlog"):
            count = getattr(self, name)
            if count is not None and not 0 <= count <= PROGRESS_MAX:
                raise UsageError(f"{name}: expected 0 to {PROGRESS_MAX}, got {count}")
        if self.busy_until is not None and not math.isfinite(self.busy_until):
            raise UsageError(f"busy_until: expected a time, got {self.busy_until}")
        if self.checkpoint is not None and len(self.checkpoint) > CHECKPOINT_BYTES_MAX:
            raise UsageError(f"checkpoint: expected at most {CHECKPOINT_BYTES_MAX} B, got {len(self.checkpoint)} B")
        if self.endpoint is not None and not ENDPOINT_PATTERN.fullmatch(self.endpoint):
            expected = f"at most {ENDPOINT_CHARS_MAX} visible ASCII characters"
            raise UsageError(f"endpoint: expected {expected}, got {self.endpoint!r}")
