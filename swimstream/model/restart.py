"""What is done about an instance that fails by itself (Flink's restart strategies, their names and meanings)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_RESTART = "none"
FIXED_DELAY = "fixed-delay"
EXPONENTIAL_DELAY = "exponential-delay"
FAILURE_RATE = "failure-rate"
STRATEGIES = (NO_RESTART, FIXED_DELAY, EXPONENTIAL_DELAY, FAILURE_RATE)

ATTEMPTS_MAX = 1_000_000
DELAY_S_MAX = 86_400.0
MULTIPLIER_MAX = 100.0


def _number(value: float) -> float:
    """Return a number as a float and never as -0.0, so that equal jobs have equal bytes; anything else as it is."""
    return value + 0.0 if type(value) in (int, float) else value


@attrs.frozen(kw_only=True)
class RestartStrategy:
    """When a failed instance is executed again, how often, and where.

    Deaths of workers and other failures of the infrastructure never count; see `ErrorClass`.
    """

    strategy: str = EXPONENTIAL_DELAY
    """One of `STRATEGIES`. `none`: its first failure is its last."""
    attempts: int = 0
    """So many restarts it has, 1 to 1,000,000; 0: without limit. With `failure-rate`: so many within `interval_s`."""
    delay_s: float = attrs.field(default=0.5, converter=_number)
    """Before a restart, the first one if it is exponential; 0 to 86,400 s."""
    delay_max_s: float = attrs.field(default=30.0, converter=_number)
    """An exponential delay does not grow above it; `delay_s` to 86,400 s."""
    multiplier: float = attrs.field(default=2.0, converter=_number)
    """An exponential delay grows so many times with each failure, 1 to 100."""
    jitter: float = attrs.field(default=0.1, converter=_number)
    """An exponential delay is longer by up to this share of it, 0 to 1: what failed together starts apart."""
    reset_after_s: float = attrs.field(default=600.0, converter=_number)
    """Failures are forgotten once it has run for so long, 0 to 86,400 s; 0: never. Not with `failure-rate`."""
    interval_s: float = attrs.field(default=60.0, converter=_number)
    """With `failure-rate`: the time in which failures are counted, above 0 to 86,400 s."""
    in_place: int = 3
    """So many restarts on the same worker before one elsewhere, 0 to 1,000,000."""


USUAL_RESTART = RestartStrategy()


def restart_faults(where: str, made: RestartStrategy) -> Iterator[str]:
    """Yield what is wrong with each field, with its name after `where`."""
    if made.strategy not in STRATEGIES:
        yield f"{where}.strategy: expected one of {', '.join(STRATEGIES)}, got {made.strategy!r}"
    for name in ("attempts", "in_place"):
        count: object = getattr(made, name)
        if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= ATTEMPTS_MAX:
            yield f"{where}.{name}: expected an integer from 0 to {ATTEMPTS_MAX}, got {count!r}"
    if made.strategy == FAILURE_RATE and made.attempts == 0:
        yield f"{where}.attempts: expected at least 1 with {FAILURE_RATE}: so many failures in each interval_s"
    if made.strategy == NO_RESTART and made.attempts:
        yield f"{where}.attempts: expected 0 with {NO_RESTART}, whose first failure is its last, got {made.attempts!r}"
    wrong = set()
    for name, low, high in (
        ("delay_s", 0.0, DELAY_S_MAX),
        ("delay_max_s", 0.0, DELAY_S_MAX),
        ("multiplier", 1.0, MULTIPLIER_MAX),
        ("jitter", 0.0, 1.0),
        ("reset_after_s", 0.0, DELAY_S_MAX),
        ("interval_s", 0.001, DELAY_S_MAX),
    ):
        value: object = getattr(made, name)
        if not isinstance(value, float) or not low <= value <= high:
            yield f"{where}.{name}: expected a number from {low:g} to {high:g}, got {value!r}"
            wrong.add(name)
    comparable = not wrong & {"delay_s", "delay_max_s"}
    if made.strategy == EXPONENTIAL_DELAY and comparable and made.delay_max_s < made.delay_s:
        yield f"{where}.delay_max_s: expected at least delay_s ({made.delay_s:g}), got {made.delay_max_s:g}"
