"""The workers, as `swimstream worker` starts them: started, told to end, killed, stopped for a while, counted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from chaos.peer_processes import peer_of
from chaos.peers.peer import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

SITES = ("ewr", "jfk", "lga", "hub")
MARK = "SWIMSTREAM_SOAK"
"""Stands in the environment of every process of one soak, whoever started it."""
MODULE = "chaos.soak.operators"
ANY_PORT = "127.0.0.1:0"
END_S_MAX = 60.0


@attrs.define(kw_only=True)
class Hand:
    """One worker by name, over all of its lives."""

    name: str
    site: str
    control: Path
    config: Path
    out: Path
    log: Path
    state_dir: Path
    process: subprocess.Popen[bytes] | None = None
    address: str = ""
    peer: int | None = None
    is_ready: bool = False
    may_end: bool = False
    """Whether its process may end by now: it was killed, told to end, or has lost its peer."""


class Fleet:
    """All workers. One thread only; nothing is left when the `with` block ends."""

    def __init__(self, directory: Path, sockets: Path, *, count: int, preset: str, mark: str) -> None:
        """Prepare so many workers, spread over the sites of the job."""
        self._preset = preset
        self._mark = mark
        # Workers read this pipe. Nobody ever writes: its end is our end.
        self._lifeline_read, self._lifeline_write = os.pipe()
        self.hands: dict[str, Hand] = {}
        for number in range(count):
            site = SITES[number % len(SITES)]
            name = f"{site}-{number // len(SITES) + 1}"
            self.hands[name] = Hand(
                name=name,
                site=site,
                control=sockets / name,
                config=directory / f"{name}.toml",
                out=directory / f"{name}.out",
                log=directory / f"{name}.log",
                state_dir=directory / f"{name}.state",
            )

    def start(self, name: str) -> None:
        """Start a process for a worker that has none, at its old address."""
        hand = self.hands[name]
        assert hand.process is None
        hand.config.write_text(self._config(hand), encoding="utf-8")
        hand.control.unlink(missing_ok=True)
        command = [sys.executable, "-P", "-m", "swimstream", "worker", "--config", str(hand.config)]
        command += ["--lifeline-fd", str(self._lifeline_read), "--announce"]
        paths = [str(ROOT), str(ROOT / "examples"), *filter(None, [os.environ.get("PYTHONPATH", "")])]
        with hand.out.open("wb") as out, hand.log.open("ab") as log:
            hand.process = subprocess.Popen(  # noqa: S603  # our own command line
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                pass_fds=(self._lifeline_read,),
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), MARK: self._mark},
            )
        hand.may_end = hand.is_ready = False
        hand.peer = None

    def look(self) -> Iterator[tuple[str, int]]:
        """Note who has become ready; yield each worker that has ended since the last call, with its status."""
        for hand in self.hands.values():
            if hand.process is None:
                continue
            status = hand.process.poll()
            if status is not None:
                hand.process, hand.is_ready = None, False
                yield hand.name, status
            elif not hand.is_ready and (line := hand.out.read_bytes()).endswith(b"\n"):
                hand.address = str(json.loads(line)["address"])
                hand.peer = peer_of(hand.process.pid)
                hand.is_ready = True

    def ready(self) -> list[str]:
        """Return who has joined and runs."""
        return [hand.name for hand in self.hands.values() if hand.is_ready]

    def signal(self, name: str, number: signal.Signals, *, worker: bool = True, peer: bool = False) -> None:
        """Send a signal to a worker's process, its peer's, or both; to the peer first, so that it says nothing."""
        hand = self.hands[name]
        if peer and hand.peer is not None:
            with suppress(ProcessLookupError):
                os.kill(hand.peer, number)
        if worker and hand.process is not None:
            hand.process.send_signal(number)

    def processes(self) -> Iterator[tuple[str, int]]:
        """Yield the processes of all that are ready: the worker's under its name, its peer's with `.peer` after it."""
        for hand in self.hands.values():
            if hand.process is not None and hand.is_ready:
                yield hand.name, hand.process.pid
                if hand.peer is not None:
                    yield f"{hand.name}.peer", hand.peer

    def left_behind(self) -> list[str]:
        """Return what any process of this soak was started as that still runs."""
        ours = f"{MARK}={self._mark}".encode()
        found = []
        for directory in Path("/proc").iterdir():
            if directory.name.isdigit() and int(directory.name) != os.getpid():
                with suppress(OSError):
                    if ours in (directory / "environ").read_bytes().split(b"\0"):
                        words = (directory / "cmdline").read_bytes().replace(b"\0", b" ")
                        found.append(f"{directory.name}: {words[:120].decode(errors='replace')}")
        return found

    def close(self) -> None:
        """Kill every worker and every peer that is still there, and wait for the ends of the workers."""
        for hand in self.hands.values():
            if hand.process is not None:
                self.signal(hand.name, signal.SIGKILL, peer=hand.is_ready)
                hand.process.wait(END_S_MAX)
                hand.process = None
        deadline = time.monotonic() + END_S_MAX
        for entry in self.left_behind():
            with suppress(ProcessLookupError):
                os.kill(int(entry.partition(":")[0]), signal.SIGKILL)
        while self.left_behind() and time.monotonic() < deadline:
            time.sleep(0.05)
        for end in (self._lifeline_read, self._lifeline_write):
            os.close(end)

    def _config(self, hand: Hand) -> str:
        values: dict[str, str | int | list[str]] = {
            "name": hand.name,
            "site": hand.site,
            "bind": hand.address or ANY_PORT,
            "seeds": [each.address for each in self.hands.values() if each.address and each is not hand],
            "expect": len(self.hands),
            "preset": self._preset,
            "isolation": "process",
            "module": MODULE,
            "state_dir": str(hand.state_dir),
            "control": str(hand.control),
        }
        # JSON's texts, whole numbers and lists of texts are TOML's as well.
        return "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())
