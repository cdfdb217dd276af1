"""How long an answer of one member may take before others are asked.

A fixed time-out is too short for a far member and far too long for a near one. Jacobson's estimator (SIGCOMM 1988;
RFC 6298 §2, what TCP uses) follows the mean and the mean deviation of the round trip; mean + 4 deviations is beyond
nearly every answer, and after a single measurement it is three times that one.

What a shorter time-out can break is little: it accuses nobody. It only asks the relays earlier, which then have
more of the round left to answer; the round lasts as long as before, and the member's own answer counts until its end.
"""

from __future__ import annotations

import statistics

import attrs

FLOOR_SHARE = 0.25
"""No time-out is below this share of the configured one: a busy process answers late at times, however near it is."""
FLOOR_S = 0.02
FILTER = 3
_MEAN_GAIN, _DEVIATION_GAIN, _DEVIATIONS = 1 / 8, 1 / 4, 4


@attrs.frozen(kw_only=True)
class RoundTrip:
    """What was measured to one member. Seconds."""

    mean_s: float = 0.0
    deviation_s: float = 0.0
    recent_s: tuple[float, ...] = ()
    """The last `FILTER` measurements."""

    def after(self, rtt_s: float) -> RoundTrip:
        """Return the record after one more measurement."""
        recent_s = (*self.recent_s, rtt_s)[-FILTER:]
        if not self.recent_s:
            return RoundTrip(mean_s=rtt_s, deviation_s=rtt_s / 2, recent_s=recent_s)
        off_s = abs(self.mean_s - rtt_s)
        return RoundTrip(
            mean_s=self.mean_s + _MEAN_GAIN * (rtt_s - self.mean_s),
            deviation_s=self.deviation_s + _DEVIATION_GAIN * (off_s - self.deviation_s),
            recent_s=recent_s,
        )

    @property
    def median_s(self) -> float:
        """Return the middle one of the recent measurements: one slow answer moves nobody (as Serf does)."""
        return statistics.median_high(self.recent_s)

    @property
    def late_s(self) -> float:
        """Return by when nearly every answer has come."""
        return self.mean_s + _DEVIATIONS * self.deviation_s


def probe_timeout_s(estimate_s: float | None, *, configured_s: float) -> float:
    """Return how long to wait for a direct answer before relays are asked: the estimate, within bounds.

    Never longer than configured, however far the member is: what is left of the round belongs to the relays. Who is
    further away than that needs a slower preset (`probes_slower_than_timeout` counts its answers).
    """
    if estimate_s is None:
        return configured_s
    return min(configured_s, max(estimate_s, FLOOR_S, FLOOR_SHARE * configured_s))
