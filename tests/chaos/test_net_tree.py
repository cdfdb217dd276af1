"""What tc is told at one sender: an imaginary tc obeys it, and says where packets would go and what befalls them."""

from __future__ import annotations

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.net.fault import NO_FAULT, Fault
from chaos.net.spaces import address
from chaos.net.tree import EVERYBODY, Tree
from chaos.net.words import read_words
from tests.chaos.test_net_fault import faults

SLOW, TWICE, CURVED = Fault(delay_ms=5), Fault(duplicate=5), Fault(delay_ms=9, jitter_ms=1, distribution="normal")


@attrs.define
class PaperTc:
    """Obeys as tc does: it refuses what is there already or not at all, and keeps tables of delays."""

    classes: set[str] = attrs.field(factory=set)
    links: set[str] = attrs.field(factory=lambda: {"eth0"})
    netems: dict[str, tuple[str, str]] = attrs.field(factory=dict)
    """By place: handle and words."""
    filters: dict[int, str] = attrs.field(factory=dict)
    """By priority: what is matched, and what then."""

    def obey(self, tree: Tree, dst: int | None, fault: Fault | None) -> None:
        orders = tree.set(dst, fault)
        for line in orders.ip:
            verb, name = line.split()[1:3]
            assert (verb == "set") == (name in self.links)
            self.links.add(name)
        for line in orders.tc:
            self.do(line)

    def do(self, line: str) -> None:
        match line.split():
            case ["class", "add", "dev", "eth0", "parent", "1:", "classid", name, *_]:
                assert name not in self.classes
                self.classes.add(name)
            case ["qdisc", verb, "dev", device, *rest] if "netem" in rest:
                at = rest.index("handle")
                place, handle, words = " ".join([device, *rest[:at]]), rest[at + 1], " ".join(rest[at + 3 :])
                assert device in self.links
                assert device != "eth0" or rest[1] in self.classes
                assert (verb == "add") == (place not in self.netems)
                if verb == "change":
                    old, before = self.netems[place]
                    assert old == handle
                    assert "distribution" not in before or "distribution" in words
                if verb == "replace":
                    assert self.netems[place][0] != handle, "an equal handle would only change it"
                self.netems[place] = handle, words
                self._check_doubling()
            case ["filter", "add", "dev", "eth0", "parent", "1:", "protocol", _, "prio", prio, "u32", "match", *rest]:
                assert int(prio) not in self.filters
                self.filters[int(prio)] = " ".join(rest)
            case ["filter", "del", "dev", "eth0", "parent", "1:", "prio", prio]:
                del self.filters[int(prio)]
            case ["qdisc", "add", "dev", "eth0", "root", *_]:
                pass
            case _:
                raise AssertionError(line)

    def fault_of(self, dst: int) -> Fault:
        """Return what befalls an IPv4 packet to that host, by the first filter that matches."""
        for _, rule in sorted(self.filters.items()):
            if rule.startswith((f"ip dst {address(dst)}/32 ", "u32 0 0 ")):
                then = rule.split()
                place = f"{then[-1]} root" if "mirred" in then else f"eth0 parent {then[then.index('flowid') + 1]}"
                return read_words(self.netems[place][1])
        found = self.netems.get(f"eth0 parent 1:{EVERYBODY:x}")
        return read_words(found[1]) if found else NO_FAULT

    def _check_doubling(self) -> None:
        devices = [place.split()[0] for place in self.netems]
        for place, (_, words) in self.netems.items():
            alone = devices.count(place.split()[0]) == 1
            assert alone or not read_words(words).duplicate, "netem: cannot mix duplicating netems with other netems"


def begun() -> tuple[Tree, PaperTc]:
    tree, tc = Tree("eth0", mtu=1500), PaperTc()
    for line in tree.begin():
        tc.do(line)
    return tree, tc


DESTINATIONS = st.one_of(st.none(), st.integers(0, 2))


@settings(max_examples=60)
@given(st.lists(st.tuples(DESTINATIONS, st.one_of(st.none(), st.sampled_from([SLOW, TWICE, CURVED]))), max_size=25))
def test_whatever_is_set_in_whatever_order_each_packet_suffers_what_was_set_last(
    changes: list[tuple[int | None, Fault | None]],
) -> None:
    tree, tc = begun()
    told: dict[int | None, Fault | None] = {}
    for dst, fault in changes:
        tc.obey(tree, dst, fault)
        told[dst] = fault
        for host in range(3):
            wanted = told.get(host) or told.get(None) or NO_FAULT
            assert tc.fault_of(host).words() == wanted.words()


@settings(max_examples=20)
@given(faults(), faults())
def test_a_fault_replaces_any_other(one: Fault, other: Fault) -> None:
    tree, tc = begun()
    for fault in (one, other, one):
        tc.obey(tree, 1, fault)
        assert tc.fault_of(1).words() == fault.words()
        assert tc.fault_of(0) == NO_FAULT


def test_a_netem_that_is_no_longer_used_stays_since_it_may_hold_packets() -> None:
    tree, tc = begun()
    tc.obey(tree, 1, SLOW)
    before = dict(tc.netems)
    tc.obey(tree, 1, None)
    assert tc.netems == before
    assert tc.filters == {}


def test_taking_back_what_was_never_set_does_nothing() -> None:
    tree, _ = begun()
    for dst in (None, 1):
        orders = tree.set(dst, None)
        assert (orders.ip, orders.tc) == ([], [])
