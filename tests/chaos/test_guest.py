"""The throw-away guest kernel: command lines without a boot, and real boots where user-mode-linux is installed."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from chaos.guest.boot import KERNELS, choose, script
from chaos.guest.cpus import least_busy
from chaos.guest.initramfs import archive, load_order
from chaos.guest.kernel import GuestError, Need, Order, explain
from chaos.guest.qemu import Qemu, kernels
from chaos.guest.run import main
from chaos.guest.uml import UserModeLinux, memory_directory
from chaos.peers.peer import ROOT

HANG_S = 240.0  # of a guest on a machine that is very busy
LACKING = UserModeLinux().missing()
BOOTS = pytest.mark.skipif(bool(LACKING), reason=f"no user-mode-linux: {explain(LACKING)}" if LACKING else "")


def order(out: Path, *, cpu: int | None = 1) -> Order:
    return Order(command=("true",), directory=Path("/"), out=out, memory_mb=512, timeout_s=60, cpu=cpu)


def guest(out: Path, *command: str) -> list[str]:
    return [sys.executable, "-m", "chaos.guest", "--kind", "uml", "--memory", "512M", "--out", str(out), "--", *command]


# --- without a boot ---------------------------------------------------------------------------


def test_user_mode_linux_gets_a_read_only_root_and_our_first_process(tmp_path: Path) -> None:
    command = UserModeLinux().command(order(tmp_path), streams=(7, 9))
    kernel = command[command.index("linux.uml") :]
    assert {"rootfstype=hostfs", "rootflags=/", "ro", "mem=512M", f"init={tmp_path}/boot/init.sh"} <= set(kernel)
    assert {"con0=null,fd:1", "con1=null,fd:7", "con2=null,fd:9"} <= set(kernel)


def test_a_guest_ends_with_whoever_started_it_and_is_bound_to_its_cpu(tmp_path: Path) -> None:
    command = UserModeLinux().command(order(tmp_path), streams=(7, 9))
    assert command[:6] == ["setpriv", "--pdeathsig", "KILL", "taskset", "--cpu-list", "1"]
    assert "taskset" not in UserModeLinux().command(order(tmp_path, cpu=None), streams=(7, 9))


def test_the_shim_is_loaded_before_the_kernel(tmp_path: Path) -> None:
    command = UserModeLinux().command(order(tmp_path), streams=(7, 9))
    assert command.index(f"LD_PRELOAD={tmp_path}/boot/uml_shim.so") < command.index("linux.uml")


def test_a_command_keeps_its_words_and_its_place() -> None:
    text = script(["echo", "a b", "$HOME", "it's"], directory=Path("/some where"), environment={"PATH": "/x y"})
    done = subprocess.run(["sh", "-n"], input=text.encode(), check=False, capture_output=True)
    assert done.returncode == 0
    lines = text.splitlines()
    assert shlex.split(lines[-1]) == ["exec", "echo", "a b", "$HOME", "it's"]
    assert "export PATH='/x y'" in lines
    assert "cd '/some where' || exit 126" in lines


def test_the_environment_is_not_left_among_artefacts() -> None:
    text = script(["true"], directory=Path("/"), environment={"SECRET_TOKEN": "s3cret", "LANG": "C.UTF-8"})
    assert "s3cret" not in text
    assert "LANG" in text


def test_the_cpu_with_most_idle_time_is_picked_and_the_last_of_equals() -> None:
    before = "cpu  9 9 9 9 9\ncpu0 0 0 0 100 0 0\ncpu1 0 0 0 100 0 0\ncpu2 0 0 0 100 0 0\nintr 1\n"
    after = "cpu  9 9 9 9 9\ncpu0 0 0 0 120 0 0\ncpu1 0 0 0 105 10 0\ncpu2 0 0 0 199 0 0\nintr 1\n"
    assert least_busy(before, after, {0, 1}) == 0
    assert least_busy(before, after, {0, 1, 2}) == 2
    assert least_busy(before, before, {0, 1}) == 1


def test_a_machine_that_lacks_everything_is_told_the_line_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.guest.kernel.shutil.which", lambda *_, **__: None)
    done = CliRunner().invoke(main, ["--out", "unused", "--", "true"])
    assert done.exit_code == 125
    for kernel in KERNELS:
        assert f"{kernel.name}: " in done.output
    assert "apt-get install --no-install-recommends" in done.output
    assert "user-mode-linux" in done.output


def test_what_is_missing_is_named_once_with_each_package_once() -> None:
    needs = [Need("tc", "iproute2"), Need("ip", "iproute2"), Need("gcc", "gcc")]
    assert explain(needs) == "tc, ip, gcc missing: apt-get install --no-install-recommends gcc iproute2"


def test_only_the_kind_asked_for_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.guest.kernel.shutil.which", lambda *_, **__: None)
    with pytest.raises(GuestError, match=r"uml: .*missing"):
        choose("uml")


def test_memory_that_fits_nowhere_is_refused_before_the_boot() -> None:
    with pytest.raises(GuestError, match="no place for"):
        memory_directory(1 << 30)


@pytest.mark.parametrize(("text", "status"), [("63M", 2), ("lots", 2), ("", 2), ("2T", 2)])
def test_a_size_that_is_none_is_refused(text: str, status: int) -> None:
    done = CliRunner().invoke(main, ["--memory", text, "--out", "unused", "--", "true"])
    assert done.exit_code == status
    assert "expected 64M to 1024G" in done.output


# --- qemu, without a boot -----------------------------------------------------------------------


def test_qemu_shares_the_root_read_only_and_what_it_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaos.guest.qemu.kernels", lambda: [Path("/boot/vmlinuz-6.1.0")])
    command = Qemu().command(order(tmp_path, cpu=None), streams=(7, 9))
    shares = dict(part.removeprefix("local,id=").split(",", 1) for part in command if part.startswith("local,id="))
    assert "readonly=on" in shares["root"]
    assert f"path={tmp_path}," in shares["out"]
    assert "readonly" not in shares["out"]
    assert command[-4:] == ["-serial", "file:/proc/self/fd/7", "-serial", "file:/proc/self/fd/9"]
    assert not [word for word in command if "kvm" in word]


def test_modules_are_loaded_after_those_that_they_need_and_once() -> None:
    dependencies = (
        "net/9p.ko: net/9pnet.ko fs/netfs.ko fs/fscache.ko\nnet/9pnet.ko:\nnet/9pnet-virtio.ko.xz: net/9pnet.ko\n"
    )
    assert load_order(dependencies, ["9p", "9pnet_virtio", "built_in"]) == [
        "fs/fscache.ko",
        "fs/netfs.ko",
        "net/9pnet.ko",
        "net/9p.ko",
        "net/9pnet-virtio.ko.xz",
    ]


def test_an_initramfs_holds_its_files_where_the_kernel_looks_for_them() -> None:
    data = archive({"init": b"12345"})
    names, at = [], 0
    while at < len(data):
        fields = [int(data[at + 6 + 8 * number :][:8], 16) for number in range(13)]
        assert data[at : at + 6] == b"070701"
        name = data[at + 110 : at + 110 + fields[11] - 1].decode()
        names.append((name, oct(fields[1])))
        start = -(-(at + 110 + fields[11]) // 4) * 4
        if name == "init":
            assert data[start : start + fields[6]] == b"12345"
        at = start + -(-fields[6] // 4) * 4
    assert names == [("dev", "0o40755"), ("dev/console", "0o20600"), ("init", "0o100755"), ("TRAILER!!!", "0o0")]


def test_the_newest_kernel_that_has_its_modules_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, (release, has_modules) in enumerate([("6.2", True), ("6.1", True), ("6.3", False)]):
        kernel = tmp_path / "boot" / f"vmlinuz-{release}"
        kernel.parent.mkdir(exist_ok=True)
        kernel.touch()
        os.utime(kernel, (number, number))
        if has_modules:
            (tmp_path / "modules" / release).mkdir(parents=True)
            (tmp_path / "modules" / release / "modules.dep").touch()
    monkeypatch.setattr("chaos.guest.qemu.KERNELS", tmp_path / "boot")
    monkeypatch.setattr("chaos.guest.qemu.MODULES", tmp_path / "modules")
    assert [kernel.name for kernel in kernels()] == ["vmlinuz-6.2", "vmlinuz-6.1"]


# --- in a guest -------------------------------------------------------------------------------

STORY = """
echo to the output; echo to the complaints >&2
uname -r
echo lost >"$1"
echo kept >/run/out/kept
ip netns add there && ip link add here0 type veth peer name there0 netns there &&
    tc qdisc add dev here0 root netem delay 5ms && echo netem
exit 7
"""


@BOOTS
def test_a_command_runs_under_another_kernel_and_leaves_only_its_artefacts(tmp_path: Path) -> None:
    lost = tmp_path / "lost"
    done = subprocess.run(
        guest(tmp_path / "out", "sh", "-c", STORY, "story", str(lost)),
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=HANG_S,
    )
    told = done.stderr.decode()
    assert done.returncode == 7, told
    output = done.stdout.decode().splitlines()
    assert output[0] == "to the output"
    assert output[1] != os.uname().release
    assert output[-1] == "netem", told
    assert told.startswith("to the complaints\n")
    assert (tmp_path / "out" / "kept").read_text() == "kept\n"
    assert not lost.exists()


# Processes of the guest at that moment: some that wait, one that computes, one that forks all the time.
BUSY = "(while :; do :; done) & (while :; do true | cat; done) & sleep 600 & touch /run/out/is-up; sync; sleep 600"


@BOOTS
def test_a_guest_dies_with_its_starter_even_by_sigkill(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with subprocess.Popen(guest(out, "sh", "-c", BUSY), cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        until = time.monotonic() + HANG_S
        while not (out / "is-up").exists() and time.monotonic() < until:
            assert process.poll() is None
            time.sleep(0.05)
        assert processes_of(out), "it is up, so it has processes"
        process.send_signal(signal.SIGKILL)
        process.wait()
        while processes_of(out) and time.monotonic() < until:
            time.sleep(0.05)
        assert processes_of(out) == []


def processes_of(out: Path) -> list[int]:
    """Return the live processes with that guest's command line: its kernel, and all that it has forked."""
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                line = (directory / "cmdline").read_bytes()  # empty of a zombie
            except OSError:
                continue
            if f"uml_dir={out}".encode() in line:
                found.append(int(directory.name))
    return found
