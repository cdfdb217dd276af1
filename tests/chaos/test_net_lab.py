"""Labs: faults and cuts over each other, packets forwarded by address, and real hosts with TUN devices."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.net import spaces
from chaos.net.fault import NO_FAULT, Fault
from chaos.net.forwarder import Forwarder
from chaos.net.lab import Change, Lab
from chaos.net.spaces import SPACES, address, address6, leftovers, sweep
from chaos.net.tun import TunLab
from swimstream.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from chaos.net.hosts import HostLab

HOSTS = 4
SLOW, LOSSY = Fault(delay_ms=50), Fault(loss=5)
WAIT_S_MAX = 60.0
"""A guard against hanging: no verdict hangs on it."""


class PaperLab(Lab):
    """Writes down what is asked of a backend."""

    backend = "paper"

    def __init__(self) -> None:
        super().__init__(hosts=HOSTS)
        self.now: dict[tuple[int, int | None], Fault | None] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def counters(self) -> dict[str, int]:
        return {}

    def _apply(self, changes: Sequence[Change]) -> None:
        self.now |= {(change.src, change.dst): change.fault for change in changes}

    def wrong(self) -> dict[tuple[int, int | None], Fault]:
        return {way: fault for way, fault in self.now.items() if fault is not None}


def test_a_fault_is_one_directions_and_ends_when_it_is_taken_back() -> None:
    lab = PaperLab()
    lab.set_all({(0, 1): SLOW, (2, None): LOSSY})
    assert lab.wrong() == {(0, 1): SLOW, (2, None): LOSSY}
    lab.set(0, 1, None)
    assert lab.wrong() == {(2, None): LOSSY}


def test_a_cut_lies_over_the_fault_which_is_back_after_the_last_of_its_healings() -> None:
    lab = PaperLab()
    lab.set(0, 1, SLOW)
    lab.cut([0], [1, 2])
    lab.cut([0, 3], [1], one_way=True)
    assert lab.wrong() == {
        (0, 1): SLOW.cut(),
        **dict.fromkeys([(0, 2), (1, 0), (2, 0), (3, 1)], NO_FAULT.cut()),
    }
    lab.heal([0], [1, 2])
    assert lab.wrong() == {(0, 1): SLOW.cut(), (3, 1): NO_FAULT.cut()}
    lab.heal([0, 3], [1], one_way=True)
    assert lab.wrong() == {(0, 1): SLOW}


def test_a_fault_that_is_set_on_a_cut_link_shows_only_after_the_healing() -> None:
    lab = PaperLab()
    lab.cut([0], [1])
    lab.set(0, 1, LOSSY)
    assert lab.now[0, 1] == Fault(loss=100)
    lab.heal([0], [1])
    assert lab.now[0, 1] == LOSSY


WAYS = st.tuples(st.integers(0, HOSTS - 1), st.integers(0, HOSTS - 1)).filter(lambda way: way[0] != way[1])


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(["set", "unset", "cut", "heal"]), WAYS), max_size=30))
def test_clear_leaves_nothing_wrong_whatever_came_before(done: list[tuple[str, tuple[int, int]]]) -> None:
    lab = PaperLab()
    for what, (src, dst) in done:
        if what == "set":
            lab.set(src, dst, SLOW)
        elif what == "unset":
            lab.set(src, dst, None)
        elif what == "cut":
            lab.cut([src], [dst], one_way=True)
        elif lab.is_cut(src, dst):
            lab.heal([src], [dst], one_way=True)
    lab.clear()
    assert lab.wrong() == {}
    assert not any(lab.is_cut(src, dst) for _, (src, dst) in done)


def test_what_makes_no_sense_is_refused_and_changes_nothing() -> None:
    lab = PaperLab()
    with pytest.raises(UsageError, match="host: expected 0 to 3, got 4"):
        lab.set_all({(0, 1): SLOW, (0, 4): SLOW})
    with pytest.raises(UsageError, match="two different hosts"):
        lab.cut([0, 1], [1])
    with pytest.raises(UsageError, match="heal: expected an earlier cut from 0 to 1"):
        lab.heal([0], [1])
    assert lab.now == {}
    assert not lab.is_cut(0, 1)
    with pytest.raises(UsageError, match="mtu: expected 1280 to 9000 bytes, got 576"):
        TunLab(hosts=2, mtu=576)
    with pytest.raises(UsageError, match="hosts: expected 1 to 250, got 0"):
        TunLab(hosts=0)


# --- packets ---------------------------------------------------------------------------------------


def packet(to: str, body: bytes = b"body") -> bytes:
    packed = ipaddress.ip_address(to).packed
    return (b"\x45" + bytes(15) if len(packed) == 4 else b"\x60" + bytes(23)) + packed + body


def test_packets_of_both_families_reach_their_host_in_order() -> None:
    forwarder = Forwarder(hosts=3, seed=1)
    sent = [packet(address(1)), packet(address6(2)), packet(address(1), b"more")]
    for each in sent:
        forwarder.take(0, each, 5.0)
    assert forwarder.take_due(5.0) == [(5.0, 1, sent[0]), (5.0, 2, sent[1]), (5.0, 1, sent[2])]
    assert forwarder.next_due() is None


def test_packets_for_nobody_are_counted() -> None:
    forwarder = Forwarder(hosts=3, seed=1)
    for to in (address(3), "224.0.0.1", "ff02::2", "192.0.2.1"):
        forwarder.take(0, packet(to), 5.0)
    assert forwarder.next_due() is None
    assert forwarder.counters()["unrouted"] == 4


def test_the_fault_of_a_pair_goes_before_that_of_its_sender() -> None:
    forwarder = Forwarder(hosts=3, seed=1)
    forwarder.set(0, None, "delay 10ms")
    forwarder.set(0, 1, "delay 30ms")

    def arrivals() -> list[float]:
        for src, dst in ((0, 1), (0, 2), (1, 0)):
            forwarder.take(src, packet(address(dst)), 1.0)
        return sorted(at for at, _, _ in forwarder.take_due(2.0))

    assert arrivals() == pytest.approx([1.0, 1.01, 1.03])
    forwarder.set(0, 1, None)
    assert arrivals() == pytest.approx([1.0, 1.01, 1.01])
    forwarder.set(0, None, None)
    assert arrivals() == pytest.approx([1.0, 1.0, 1.0])


def test_what_is_on_its_way_still_arrives_when_the_fault_changes() -> None:
    forwarder = Forwarder(hosts=2, seed=1)
    forwarder.set(0, 1, "delay 50ms")
    forwarder.take(0, packet(address(1)), 1.0)
    forwarder.set(0, 1, "loss 100%")
    assert len(forwarder.take_due(1.05)) == 1


def test_more_packets_than_the_emulator_holds_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.net.forwarder.PACKETS_HELD_MAX", 3)
    forwarder = Forwarder(hosts=2, seed=1)
    forwarder.set(0, 1, "delay 50ms")
    for _ in range(5):
        forwarder.take(0, packet(address(1)), 1.0)
    assert len(forwarder.take_due(2.0)) == 3
    assert forwarder.counters()["over_capacity"] == 2


# --- namespaces ------------------------------------------------------------------------------------


def test_only_namespaces_of_dead_makers_are_left_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spaces, "SPACES", tmp_path)
    me = spaces.Spaces(hosts=1).names[0]
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(WAIT_S_MAX)
    reused = "-".join(["swimstream", str(os.getpid()), "1", "1", "0"])  # my number, but started at another time
    dead = f"swimstream-{ended.pid}-12345-1-bridge"
    for name in (me, reused, dead, "swimstream-mine", "web", "swimstream-1-2"):
        (tmp_path / name).touch()
    assert {leftover.name for leftover in leftovers()} == {dead, reused}


def _cannot() -> str:
    """Return why there can be no TUN lab here; empty if there can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "only root on Linux makes network namespaces"
    try:
        with TunLab(hosts=1):
            return ""
    except (OSError, spaces.LabError) as error:
        return f"no TUN lab here: {error}"


@pytest.fixture(scope="module")
def lab() -> object:
    why = _cannot()
    if why:
        pytest.skip(why)
    with TunLab(hosts=3, mtu=1400) as made:
        yield made


def receive(lab: HostLab, src: int, dst: int, *, to: str) -> bytes:
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    with lab.inside(dst):
        receiver = socket.socket(family, socket.SOCK_DGRAM)
    with lab.inside(src):
        sender = socket.socket(family, socket.SOCK_DGRAM)
    with sender, receiver:
        receiver.settimeout(WAIT_S_MAX)
        receiver.bind((to, 7946))
        sender.sendto(b"hello", (to, 7946))
        return receiver.recv(100)


def test_hosts_with_tun_devices_hear_each_other_by_ipv4_and_ipv6(lab: TunLab) -> None:
    assert receive(lab, 0, 1, to=lab.address(1)) == b"hello"
    assert receive(lab, 2, 0, to=lab.address6(0)) == b"hello"


def test_a_delay_is_of_one_pair_and_direction_only(lab: TunLab) -> None:
    lab.set(0, 1, Fault(delay_ms=200))
    began_at = time.monotonic()
    receive(lab, 0, 1, to=lab.address(1))
    assert time.monotonic() - began_at >= 0.2  # never early; how late is the machine's
    before = lab.counters()["packets"]
    receive(lab, 1, 0, to=lab.address(0))
    receive(lab, 0, 2, to=lab.address(2))
    assert lab.counters()["packets"] == before, "neither way goes through a model"
    lab.clear()


def test_a_cut_drops_and_a_healed_way_delivers(lab: TunLab) -> None:
    lab.cut([0], [1, 2], one_way=True)
    before = lab.counters()["lost"]
    with lab.inside(0), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(5):
            sender.sendto(b"unheard", (lab.address(1), 7946))
    assert receive(lab, 1, 0, to=lab.address(0)) == b"hello", "the other way is open"
    deadline = time.monotonic() + WAIT_S_MAX
    while lab.counters()["lost"] < before + 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lab.counters()["lost"] == before + 5
    lab.heal([0], [1, 2], one_way=True)
    assert receive(lab, 0, 1, to=lab.address(1)) == b"hello"


def test_a_command_runs_on_its_host_as_the_process_that_was_started(lab: TunLab) -> None:
    words = [sys.executable, "-c", "import os; print(os.getpid(), os.readlink('/proc/self/ns/net'))"]
    process = subprocess.Popen(lab.command(1, words), stdout=subprocess.PIPE, text=True)
    told, _ = process.communicate(timeout=WAIT_S_MAX)
    pid, network = told.split()
    assert int(pid) == process.pid
    assert int(network.removeprefix("net:[").rstrip("]")) == (SPACES / lab.netns(1)).stat().st_ino


def test_the_mtu_is_what_was_asked_for_and_can_be_lowered(lab: TunLab) -> None:
    assert "mtu 1400" in spaces.ip("-n", lab.netns(2), "link", "show", "eth0")
    lab.set_mtu(2, 1280)
    assert "mtu 1280" in spaces.ip("-n", lab.netns(2), "link", "show", "eth0")


def test_a_lab_whose_emulator_has_ended_says_so_and_can_still_be_removed(lab: TunLab) -> None:
    with TunLab(hosts=2) as doomed:
        name = doomed.netns(0)
        doomed._process.kill()
        doomed._process.wait(WAIT_S_MAX)
        with pytest.raises(spaces.LabError, match="emulator"):
            doomed.cut([0], [1])
    assert not (SPACES / name).exists()


def _runs(pid: str) -> bool:
    """Return whether there is such a process, other than one that has ended and that nobody has asked about."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


KILLED = """
import os, signal, subprocess, sys
from chaos.net.tun import TunLab
lab = TunLab(hosts=2).__enter__()
words = ["sh", "-c", "echo there; exec sleep 1000 >/dev/null 2>&1"]
inside = subprocess.Popen(lab.command(1, words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=2)
assert inside.stdout.readline() == b"there\\n"
print(lab.netns(0), inside.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_lab_whose_maker_is_killed_leaves_neither_namespace_nor_process(lab: TunLab) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == -signal.SIGKILL, done.stderr
    name, pid = done.stdout.split()
    deadline = time.monotonic() + WAIT_S_MAX
    while (_runs(pid) or (SPACES / name).exists()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not (SPACES / name).exists()
    assert not _runs(pid)
    assert name not in sweep()
    assert (SPACES / lab.netns(0)).exists(), "those of the living stay"
