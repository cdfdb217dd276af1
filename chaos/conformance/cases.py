"""The cases: what is set on a lab of three hosts, which packets are sent, and what is expected of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import attrs

from chaos.conformance.checks import Check, bursts, jitter, median, nothing_else, queue, share
from chaos.conformance.flight import Flight, Prober
from chaos.net.fault import NO_FAULT, Fault
from chaos.net.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Callable


HOSTS = 3
PACKETS = 600
PPS = 250.0
TAIL_S = 0.7
EARLY_MS = 0.05
"""Clocks are read a little after what they time."""


@attrs.define(kw_only=True)
class Stand:
    """A lab, packets through it, and what is known of the machine."""

    lab: Lab
    prober: Prober
    slack_ms: float
    """So much later than stated a packet may be in the median."""
    has_addresses: bool
    """Whether packets are real: of IPv4 or IPv6, and with a checksum or without."""
    base_ms: float = 0.0
    """What a packet takes when nothing is wrong; the first case measures it."""
    stalled_s: float = 0.0
    """How long there was no CPU while packets were sent, since somebody set this to 0; and in which time."""
    flown_s: float = 0.0
    flights: dict[str, Flight] = attrs.field(factory=dict)
    """Those whose delays are worth a plot, by case."""

    def fly(
        self, src: int, dst: int, *, count: int = PACKETS, pps: float = PPS, family: int = 4, checksum: bool = True
    ) -> Flight:
        """Send packets one way."""
        flight = self.prober.fly(src, dst, count=count, pps=pps, tail_s=TAIL_S, family=family, checksum=checksum)
        self.flown_s += flight.sent[-1] - flight.sent[0] + TAIL_S
        self.stalled_s += sum(until - since for since, until in flight.stalls)
        return flight


def no_fault(stand: Stand, case: str) -> list[Check]:
    """Nothing is wrong: everything comes, once, in order, soon."""
    flight = stand.fly(0, 1)
    stand.base_ms = flight.median_ms()
    return [median(case, flight, 0, stand.slack_ms), *nothing_else(case, flight)]


def delayed(fault: Fault, stand: Stand, case: str) -> list[Check]:
    """A delay without jitter keeps the order."""
    stand.lab.set(0, 1, fault)
    flight = stand.fly(0, 1)
    earliest = Check(case=case, what="earliest (ms)", value=min(flight.delays_ms(), default=0),
                     expected=fault.delay_ms + stand.slack_ms / 2, tolerance=stand.slack_ms / 2 + EARLY_MS)  # fmt: skip
    return [median(case, flight, fault.delay_ms, stand.slack_ms), earliest, *nothing_else(case, flight)]


def jittered(fault: Fault, stand: Stand, case: str) -> list[Check]:
    """A jitter is spread as its curve says, and lets packets overtake each other."""
    stand.lab.set(0, 1, fault)
    flight = stand.flights[case] = stand.fly(0, 1, count=2 * PACKETS)
    checks = jitter(case, flight, fault, base_ms=stand.base_ms, slack_ms=stand.slack_ms)
    return [*checks, *nothing_else(case, flight, but="overtaken")]


def lossy(fault: Fault, stand: Stand, case: str) -> list[Check]:
    """Each packet is lost on its own."""
    stand.lab.set(0, 1, fault)
    flight = stand.fly(0, 1, count=2 * PACKETS, pps=2 * PPS)
    chance = fault.loss / 100
    length = Check(case=case, what="burst (packets)", value=sum(flight.lost()) / max(1, len(flight.bursts())),
                   expected=1 / (1 - chance), tolerance=0.25 / (1 - chance))  # fmt: skip
    return [share(case, "lost", flight.lost_share(), chance, flight), length, *nothing_else(case, flight, but="lost")]


def bursty(fault: Fault, stand: Stand, case: str) -> list[Check]:
    """Packets are lost as Gilbert and Elliott's chain has it."""
    stand.lab.set(0, 1, fault)
    flight = stand.fly(0, 1, count=5 * PACKETS, pps=2 * PPS)
    return [*bursts(case, flight, fault), *nothing_else(case, flight, but="lost")]


def doubled(fault: Fault, stand: Stand, case: str) -> list[Check]:
    """A share comes twice."""
    stand.lab.set(0, 1, fault)
    flight = stand.fly(0, 1)
    checks = [share(case, "doubled", flight.doubled_share(), fault.duplicate / 100, flight)]
    return [*checks, *nothing_else(case, flight, but="doubled")]


def reordered(fault: Fault, stand: Stand, case: str) -> list[Check]:
    """A share is spared the delay and overtakes the others."""
    stand.lab.set(0, 1, fault)
    flight = stand.fly(0, 1)
    delays = flight.delays(stalled_too=True)
    early = [number for number, delay in delays.items() if delay < fault.delay_ms / 2]
    found = len(early) / max(1, len(delays))
    if fault.gap > 1 and fault.reorder == 100:
        every = Check(case=case, what="early (%)", value=100 * found, expected=100 / fault.gap, tolerance=2)
        turns = {number % fault.gap for number in early}
        regular = Check(case=case, what="turns that are early", value=len(turns), expected=1, tolerance=0)
        return [every, regular, *nothing_else(case, flight, but="overtaken")]
    checks = [share(case, "early", found, fault.reorder / 100, flight)]
    return [*checks, *nothing_else(case, flight, but="overtaken")]


def corrupted(fault: Fault, stand: Stand, case: str) -> list[Check]:
    """A bit of a share is flipped: checksums make a loss of it, and without them it arrives."""
    stand.lab.set(0, 1, fault)
    chance = fault.corrupt / 100
    flight = stand.fly(0, 1)
    checks = [share(case, "lost to checksums", flight.lost_share(), chance, flight)]
    checks += nothing_else(case, flight, but="lost")
    if stand.has_addresses:
        bare = stand.fly(0, 1, checksum=False)
        # Of 242 bytes with all headers 200 are payload: there a flip arrives. The rest is lost, or harmless.
        checks.append(share(case, "damaged, no checksum", bare.damaged_share(), 0.83 * chance, bare))
    return checks


def queued(fault: Fault, stand: Stand, case: str) -> list[Check]:
    """A queue is served at a rate, or holds so many, and what is too much is dropped."""
    stand.lab.set(0, 1, fault)
    flight = stand.fly(0, 1)
    return [*queue(case, flight, fault, slack_ms=stand.slack_ms), *nothing_else(case, flight, but="lost")]


def other_family(fault: Fault, stand: Stand, case: str) -> list[Check]:
    """IPv6 suffers what IPv4 does."""
    stand.lab.set(0, 1, fault)
    flight = stand.fly(0, 1, count=PACKETS // 4, family=6)
    return [median(case, flight, fault.delay_ms, stand.slack_ms), *nothing_else(case, flight)]


def directed(stand: Stand, case: str) -> list[Check]:
    """A fault is of one direction and one pair; a sender's is of all its pairs that have none of their own."""
    stand.lab.set_all({(0, 1): Fault(delay_ms=60), (0, None): Fault(delay_ms=20)})
    expected = {(0, 1): 60.0, (0, 2): 20.0, (1, 0): 0.0, (2, 1): 0.0}
    checks = _medians(stand, case, expected)
    stand.lab.set(0, 1, None)
    checks += _medians(stand, f"{case}, the pair's taken back", {(0, 1): 20.0})
    stand.lab.set(0, None, None)
    return checks + _medians(stand, f"{case}, all taken back", {(0, 1): 0.0, (0, 2): 0.0})


def cut(stand: Stand, case: str) -> list[Check]:
    """A cut stops one direction or both, of those pairs alone; below it faults wait for the healing."""
    lab = stand.lab
    lab.set(0, 1, Fault(delay_ms=30))
    lab.cut([0], [1], one_way=True)
    one_way = f"{case} one way"
    checks = [*_gone(stand, one_way, (0, 1)), *_medians(stand, one_way, {(1, 0): 0.0, (0, 2): 0.0})]
    lab.cut([1], [0, 2])
    both = f"{case} both ways"
    for pair in ((0, 1), (1, 0), (2, 1), (1, 2)):
        checks += _gone(stand, both, pair)
    checks += _medians(stand, both, {(0, 2): 0.0, (2, 0): 0.0})
    lab.heal([1], [0, 2])
    checks += [*_gone(stand, f"{case}, one of two healed", (0, 1)), *_medians(stand, case, {(1, 0): 0.0, (2, 1): 0.0})]
    lab.heal([0], [1], one_way=True)
    return checks + _medians(stand, f"{case}, healed", {(0, 1): 30.0, (1, 2): 0.0})


def changed(stand: Stand, case: str) -> list[Check]:
    """Of a fault that is replaced nothing stays behind."""
    everything = Fault(
        delay_ms=40, jitter_ms=20, distribution="paretonormal", burst=(20, 20, 90, 10), duplicate=20, corrupt=20,
        reorder=30, gap=3, rate_kbit=500, limit=5,
    )  # fmt: skip
    checks = []
    for after in (Fault(delay_ms=10), NO_FAULT, None):
        stand.lab.set(0, 1, everything)
        stand.fly(0, 1, count=20)
        stand.lab.set(0, 1, after)
        checks += _medians(stand, case, {(0, 1): after.delay_ms if after else 0.0})
    stand.lab.set(0, 1, Fault(delay_ms=20, jitter_ms=10, distribution="normal"))
    uniform = Fault(delay_ms=20, jitter_ms=10)
    stand.lab.set(0, 1, uniform)
    flight = stand.fly(0, 1, count=2 * PACKETS)
    return [
        *checks,
        *jitter(f"{case}, normal by uniform", flight, uniform, base_ms=stand.base_ms, slack_ms=stand.slack_ms),
    ]


def cleared(stand: Stand, case: str) -> list[Check]:
    """`clear` takes back faults and cuts alike."""
    stand.lab.set_all({(0, 1): Fault(loss=50), (1, None): Fault(delay_ms=100)})
    stand.lab.cut([0], [2])
    stand.lab.clear()
    pairs = ((0, 1), (1, 0), (0, 2), (2, 0))
    return _medians(stand, case, dict.fromkeys(pairs, 0.0))


def _medians(stand: Stand, case: str, expected: dict[tuple[int, int], float]) -> list[Check]:
    checks = []
    for (src, dst), delay_ms in expected.items():
        flight = stand.fly(src, dst, count=60)
        checks.append(median(case, flight, delay_ms, stand.slack_ms, what=f"{src} to {dst}"))
        checks += nothing_else(f"{case}: {src} to {dst}", flight)
    return checks


def _gone(stand: Stand, case: str, pair: tuple[int, int]) -> list[Check]:
    flight = stand.fly(*pair, count=60)
    what = f"lost from {pair[0]} to {pair[1]} (%)"
    return [Check(case=case, what=what, value=100 * flight.lost_share(), expected=100, tolerance=0)]


CASES: dict[str, Callable[[Stand, str], list[Check]]] = {
    "no fault": no_fault,
    "delay 50 ms": partial(delayed, Fault(delay_ms=50)),
    "delay 50 ± 10 ms uniform": partial(jittered, Fault(delay_ms=50, jitter_ms=10)),
    **{
        f"delay 50 ± 10 ms {name}": partial(jittered, Fault(delay_ms=50, jitter_ms=10, distribution=name))
        for name in ("normal", "pareto", "paretonormal")
    },
    "loss 10 %": partial(lossy, Fault(loss=10)),
    "loss 40 %": partial(lossy, Fault(loss=40)),
    "bursts 5 %, 25 %": partial(bursty, Fault(burst=(5, 25))),
    "bursts 5 %, 25 %, 60 %, 2 %": partial(bursty, Fault(burst=(5, 25, 60, 2))),
    "duplicate 10 %": partial(doubled, Fault(duplicate=10)),
    "reorder 25 % of 20 ms": partial(reordered, Fault(delay_ms=20, reorder=25)),
    "reorder every 5th": partial(reordered, Fault(delay_ms=20, reorder=100, gap=5)),
    "corrupt 10 %": partial(corrupted, Fault(corrupt=10)),
    "rate 256 kbit/s, limit 20": partial(queued, Fault(rate_kbit=256, limit=20)),
    "rate 1 Mbit/s after 20 ms": partial(queued, Fault(rate_kbit=1000, delay_ms=20)),
    "limit 10 at 100 ms": partial(queued, Fault(delay_ms=100, limit=10)),
    "IPv6 delay 50 ms": partial(other_family, Fault(delay_ms=50)),
    "one direction, one pair": directed,
    "cut": cut,
    "replaced": changed,
    "cleared": cleared,
}
"""By name. The first measures what a packet takes without a fault. Each begins with a cleared lab."""
NEEDS_ADDRESSES = frozenset({"IPv6 delay 50 ms"})
"""Cases for labs of real packets alone."""
