"""Other runs of a peer's own name: earlier lives of its worker, later ones, and strangers with the same name."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import attrs

from swimstream.core.membership.table import BOOT_JUMP_MAX_MS
from swimstream.wire.messages import Alive

if TYPE_CHECKING:
    from swimstream.model.identity import Run


@attrs.define
class Namesakes:
    """What this peer has heard of them."""

    counters: Counter[str]
    met: Alive | None = None
    """One heard of before this peer is announced."""
    highest_boot: int = 0
    """The highest boot of this peer's own name that it has heard of."""
    outlived_boot: int = -1
    """The highest boot of a run of this name that is gone for good, perhaps the present one: this peer, which lives,
    must rise above it."""
    superseded_by: Alive | None = None
    """The later run that has taken over, if one has."""

    def note(self, run: Run, *, own: Run) -> bool:
        """Remember the boot of a run of this name; return whether it can be believed."""
        if run.boot - own.boot > BOOT_JUMP_MAX_MS:
            self.counters["boot_jumps_refused"] += 1
            return False
        self.highest_boot = max(self.highest_boot, run.boot)
        return True

    def outlive(self, run: Run) -> None:
        """Take note that a run of this name is gone for good."""
        self.outlived_boot = max(self.outlived_boot, run.boot)
