"""Faults of a host: each does what it says, measured; and what they leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from chaos.hostfaults import groups
from chaos.hostfaults.check import CHECKS
from chaos.hostfaults.fault import HostFault, HostFaultError
from chaos.hostfaults.groups import CpuQuota, MemoryLimit, hierarchy
from chaos.hostfaults.mask import LAYOUT, Mask, SlowDisk
from chaos.hostfaults.packets import UDP, iptables_words, longer_than, nft_lines
from chaos.hostfaults.pause import Pause

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("name", list(CHECKS))
def test_a_fault_does_what_it_says(name: str) -> None:
    try:
        checks = CHECKS[name]()
    except HostFaultError as error:
        pytest.skip(str(error))
    assert checks
    assert [check for check in checks if not check.is_met] == []


def test_a_fault_that_cannot_begin_is_ended_and_tells_why() -> None:
    class Half(HostFault):
        ended = 0

        def begin(self) -> None:
            raise HostFaultError("no means")

        def end(self) -> None:
            self.ended += 1

    fault = Half()
    with pytest.raises(HostFaultError, match="no means"), fault:
        pytest.fail("it has not begun")
    assert fault.ended == 1


def test_who_has_ended_is_neither_paused_nor_continued(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    sleeper.wait()
    with Pause([sleeper.pid]) as fault:
        assert fault._stopped == []


def test_a_group_is_gone_afterwards_and_its_process_is_where_it_was(sleeper: subprocess.Popen[bytes]) -> None:
    try:
        root, _ = hierarchy("cpu")
    except HostFaultError as error:
        pytest.skip(str(error))
    before = groups._group_of(sleeper.pid, root)
    with CpuQuota([sleeper.pid], share=0.5) as fault:
        group = fault._group
        assert group is not None
        assert groups._group_of(sleeper.pid, root) == group
    assert not group.exists()
    assert groups._group_of(sleeper.pid, root) == before


@pytest.mark.parametrize(
    ("version", "cpu", "memory"),
    [
        (1, {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "5000"},
         {"memory.limit_in_bytes": "67108864", "memory.memsw.limit_in_bytes": "67108864"}),
        (2, {"cpu.max": "5000 100000"}, {"memory.max": "67108864", "memory.swap.max": "0"}),
    ],
)  # fmt: skip
def test_each_version_of_groups_is_told_in_its_own_words(
    version: int, cpu: dict[str, str], memory: dict[str, str]
) -> None:
    assert CpuQuota([], share=0.05).limits(version) == cpu
    assert MemoryLimit([], mib=64).limits(version) == memory


def test_a_machine_without_groups_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.hostfaults.groups.ROOT", tmp_path)
    with pytest.raises(HostFaultError, match="neither of version 1 nor 2"), CpuQuota([], share=0.5):
        pytest.fail("there are none")


def test_groups_of_version_2_are_found_at_the_root_and_beside_those_of_version_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaos.hostfaults.groups.ROOT", tmp_path)
    (tmp_path / "unified").mkdir()
    (tmp_path / "unified" / "cgroup.controllers").write_text("cpu memory\n")
    assert hierarchy("cpu") == (tmp_path / "unified", 2)
    (tmp_path / "cgroup.controllers").write_text("cpu\n")
    assert hierarchy("cpu") == (tmp_path, 2)
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cgroup.procs").touch()
    assert hierarchy("cpu") == (tmp_path / "cpu", 1)


def test_the_group_of_a_dead_maker_is_removed_and_that_of_a_live_one_is_not(tmp_path: Path) -> None:
    dead, live, other = (tmp_path / name for name in ("swimstream-999999999-1", f"swimstream-{os.getpid()}-1", "other"))
    for group in (dead, live, other):
        group.mkdir()
    groups._sweep(tmp_path)
    assert [group.exists() for group in (dead, live, other)] == [False, True, True]


def test_two_faults_of_one_mask_do_not_end_each_other(tmp_path: Path) -> None:
    try:
        with Mask(below=tmp_path) as mask:
            with SlowDisk(mask, delay_ms=7):
                mask.change(names_fail=1)
            assert (mask._wrong.delay_ms, mask._wrong.names_fail) == (0, 1)
    except HostFaultError as error:
        pytest.skip(str(error))


def test_the_mask_is_laid_out_as_its_library_reads_it() -> None:
    assert LAYOUT.size == 24


def test_rules_are_of_each_sender_in_his_own_family() -> None:
    (line,) = nft_lines(UDP, ["10.0.0.1", "fd77::1"])
    assert "ip saddr 10.0.0.1 meta l4proto udp drop; ip6 saddr fd77::1 meta l4proto udp drop;" in line
    assert iptables_words("-I", UDP, ["10.0.0.1", "fd77::1"]) == [
        ("iptables-legacy", "-I", "INPUT", "-s", "10.0.0.1", "-p", "udp", "-j", "DROP"),
        ("ip6tables-legacy", "-I", "INPUT", "-s", "fd77::1", "-p", "udp", "-j", "DROP"),
    ]


def test_rules_without_senders_are_of_both_families_and_are_taken_back_as_they_were_made() -> None:
    made, undone = (iptables_words(verb, longer_than(1280), []) for verb in ("-I", "-D"))
    assert [words[0] for words in made] == ["iptables-legacy", "ip6tables-legacy"]
    assert made[0][2:] == ("INPUT", "-m", "length", "--length", "1281:65535", "-j", "DROP")
    assert [words[:1] + words[2:] for words in made] == [words[:1] + words[2:] for words in undone]
