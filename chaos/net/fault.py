"""What is wrong with the way from one host to another, as one value for every backend.

The attributes are those of `tc netem`, in its order and with its meaning. Netem's correlations are left out: in the
kernel they are broken (a loss of 10 % with a correlation of 25 % loses 1.8 %, with 50 % next to nothing), so bursts are
said by Gilbert-Elliott (Gilbert, "Capacity of a burst-noise channel", 1960; Elliott 1963), which works.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from chaos.net.curves import CURVES, UNIFORM
from swimstream.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DELAY_MS_MAX = 60_000.0
JITTER_MS_MAX = 2_000.0
"""The kernel keeps it in 31 bits of nanoseconds."""
GAP_MAX = 1_000
RATE_KBIT_MAX = 100_000_000
LIMIT_MAX = 1_000_000
LIMIT_USUAL = 1_000
"""Netem's own."""


def _within(name: str, value: object, low: float, high: float, unit: str) -> None:
    # True is a number to Python, and NaN is outside of any range.
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise UsageError(f"{name}: expected {low:g} to {high:,g}{unit}, got {value!r}")


def _amount(high: float, unit: str) -> Callable[[object, attrs.Attribute[float], float], None]:
    def check(_: object, attribute: attrs.Attribute[float], value: float) -> None:
        _within(attribute.name, value, 0, high, unit)

    return check


def _whole(low: int, high: int, unit: str = "") -> Callable[[object, attrs.Attribute[int], int], None]:
    def check(_: object, attribute: attrs.Attribute[int], value: object) -> None:
        if not isinstance(value, int):
            raise UsageError(f"{attribute.name}: expected a whole number, {low} to {high:,}{unit}, got {value!r}")
        _within(attribute.name, value, low, high, unit)

    return check


_percent = _amount(100, " %")


def _curve(_: object, attribute: attrs.Attribute[str], value: str) -> None:
    if value not in CURVES:
        raise UsageError(f"{attribute.name}: expected one of {', '.join(CURVES)}, got {value!r}")


def _burst(_: object, attribute: attrs.Attribute[tuple[float, ...]], value: tuple[float, ...]) -> None:
    if len(value) not in (0, 2, 3, 4):
        raise UsageError(f"{attribute.name}: expected p, r and at most 1-h and 1-k, each in %, got {value!r}")
    for each in value:
        _within(attribute.name, each, 0, 100, " % each")


@attrs.frozen(kw_only=True)
class Fault:
    """One direction of one link. Shares are in percent, as everywhere in netem; the default disturbs nothing."""

    delay_ms: float = attrs.field(default=0.0, validator=_amount(DELAY_MS_MAX, " ms"))
    """Each packet's, 0 to 60,000; to a microsecond."""
    jitter_ms: float = attrs.field(default=0.0, validator=_amount(JITTER_MS_MAX, " ms"))
    """Around the delay, 0 to 2,000: half the width if uniform, else the unit of the curve. Never makes it negative."""
    distribution: str = attrs.field(default=UNIFORM, validator=_curve)
    """Of the jitter: uniform, normal, pareto or paretonormal."""
    loss: float = attrs.field(default=0.0, validator=_percent)
    """Each packet on its own."""
    burst: tuple[float, ...] = attrs.field(default=(), validator=_burst)
    """Gilbert-Elliott instead of `loss`: p (from good to bad), r (back), 1-h (lost if bad: 100), 1-k (if good: 0)."""
    duplicate: float = attrs.field(default=0.0, validator=_percent)
    corrupt: float = attrs.field(default=0.0, validator=_percent)
    """One bit is flipped somewhere in the packet. UDP's and TCP's checksums make a loss of it."""
    reorder: float = attrs.field(default=0.0, validator=_percent)
    """Sent at once, without the delay; so there must be one."""
    gap: int = attrs.field(default=0, validator=_whole(0, GAP_MAX))
    """Only every so many-th packet may be reordered; 0 and 1: each may."""
    rate_kbit: int = attrs.field(default=0, validator=_whole(0, RATE_KBIT_MAX, " kbit/s"))
    """Of Ethernet frames, 1,000 bit a second each; 0: as fast as it goes."""
    limit: int = attrs.field(default=LIMIT_USUAL, validator=_whole(1, LIMIT_MAX, " packets"))
    """Packets that may be on the way or wait; more are dropped. Must exceed packets a second times delay."""

    def __attrs_post_init__(self) -> None:
        """Refuse what netem would ignore or could not do."""
        if self.loss and self.burst:
            raise UsageError("burst: expected no loss beside it, since netem takes one of the two")
        if self.distribution != UNIFORM and not self.jitter_ms:
            raise UsageError(f"distribution: expected a jitter_ms above 0 for {self.distribution}")
        if self.reorder and not self.delay_ms:
            raise UsageError("reorder: expected a delay_ms above 0, which some packets are spared")
        if self.gap and not self.reorder:
            raise UsageError("gap: expected a reorder above 0, which it restricts")

    @classmethod
    def from_table(cls, table: Mapping[str, object], *, where: str = "fault") -> Fault:
        """Return the fault that a TOML table says; raise `UsageError` naming what is wrong in `where`."""
        known = [field.name for field in attrs.fields(cls)]
        for key in table:
            if key not in known:
                raise UsageError(f"{where}.{key}: expected one of {', '.join(known)}")
        for key in ("distribution", "burst"):
            wanted = str if key == "distribution" else list
            if not isinstance(table.get(key, wanted()), wanted):
                raise UsageError(f"{where}.{key}: expected a {wanted.__name__}, got {table[key]!r}")
        try:
            fields = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
            return cls(**fields)  # type: ignore[arg-type]  # the validators look at each
        except UsageError as error:
            raise UsageError(f"{where}.{error}") from error

    @property
    def gilbert_elliott(self) -> tuple[float, float, float, float] | None:
        """Return p, r, 1-h and 1-k in percent, all four; None without bursts."""
        if not self.burst:
            return None
        p, r, bad, good = (*self.burst, *(100.0, 0.0)[len(self.burst) - 2 :])
        return p, r, bad, good

    @property
    def lost_share(self) -> float:
        """Return the share of packets, 0 to 1, that loss or bursts take in the long run."""
        model = self.gilbert_elliott
        if model is None:
            return self.loss / 100
        p, r, bad, good = (each / 100 for each in model)
        share_bad = p / (p + r) if p + r else 0.0
        return share_bad * bad + (1 - share_bad) * good

    def words(self) -> str:
        """Return netem's own words for it, naming every attribute.

        `tc qdisc change` keeps what it is not told. The one thing that no word takes back is a distribution: going
        from a curve to another or to none needs another qdisc.
        """
        words = f"limit {self.limit} delay {self.delay_ms * 1000:.0f}us {self.jitter_ms * 1000:.0f}us 0%"
        if self.distribution != UNIFORM:
            words += f" distribution {self.distribution}"
        model = self.gilbert_elliott
        if model is None:
            words += f" loss random {_exact(self.loss)} 0%"
        else:
            words += f" loss gemodel {' '.join(_exact(each) for each in model)}"
        words += f" duplicate {_exact(self.duplicate)} 0% corrupt {_exact(self.corrupt)} 0%"
        words += f" reorder {_exact(self.reorder)} 0%"
        if self.gap:
            words += f" gap {self.gap}"
        return f"{words} rate {self.rate_kbit}kbit"

    def cut(self) -> Fault:
        """Return the same with nothing coming through any more."""
        return attrs.evolve(self, loss=100.0, burst=())


def _exact(percent: float) -> str:
    return f"{percent:.10g}%"


NO_FAULT = Fault()
