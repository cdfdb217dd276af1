"""The lab for kernels without netem: hosts with TUN devices, and one process that carries all packets between them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from chaos.net.hosts import MTU_USUAL, HostLab
from chaos.net.spaces import LabError
from chaos.peers.peer import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from chaos.net.lab import Change

ANSWER_S_MAX = 60.0
CHANGES_A_MESSAGE_MAX = 256
"""No packet is carried while the emulator reads a message: some 10 ms for so many."""


class TunLab(HostLab):
    """Hosts between which an emulator carries the packets; it takes netem's words."""

    backend = "tun"

    def __init__(self, *, hosts: int, seed: int = 1, mtu: int = MTU_USUAL) -> None:
        """Prepare `hosts`; the seed decides what befalls which packet of which link."""
        super().__init__(hosts=hosts, mtu=mtu)
        self._seed = seed
        self._stack = ExitStack()
        self.priority = ""
        """What the emulator has got; timing suffers without a real-time one on a busy machine."""

    def __enter__(self) -> Self:
        """Make the hosts and start the emulator; raise `LabError`."""
        with ExitStack() as stack:
            stack.enter_context(self._spaces)
            self._orders, theirs = socket.socketpair()
            stack.callback(self._orders.close)
            with theirs:
                command = [sys.executable, "-m", "chaos.net.emulator"]
                command += ["--mtu", str(self._mtu), "--seed", str(self._seed), *self._spaces.names]
                self._process = subprocess.Popen(  # noqa: S603  # our own program
                    command,
                    cwd=ROOT,
                    env={**os.environ, "PYTHONPATH": str(ROOT)},
                    stdin=theirs.fileno(),
                    start_new_session=True,
                )
            stack.callback(self._end)
            self._orders.settimeout(ANSWER_S_MAX)
            self._answers = self._orders.makefile("rb")
            stack.callback(self._answers.close)
            self.priority = str(self._answer()["priority"])
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the emulator and remove the hosts."""
        self._stack.close()

    def counters(self) -> dict[str, int]:
        """Return what became of the packets, and how late the latest was (us)."""
        return {key: int(str(value)) for key, value in self._ask([]).items()}

    def _apply(self, changes: Sequence[Change]) -> None:
        words = [(change.src, change.dst, change.fault.words() if change.fault else None) for change in changes]
        for start in range(0, len(words), CHANGES_A_MESSAGE_MAX):
            self._ask(words[start : start + CHANGES_A_MESSAGE_MAX])

    def _ask(self, changes: Sequence[tuple[int, int | None, str | None]]) -> dict[str, object]:
        try:
            self._orders.sendall(json.dumps({"set": changes}).encode() + b"\n")
        except OSError as error:
            raise LabError(f"the emulator takes no orders: {error}") from error
        return self._answer()

    def _answer(self) -> dict[str, object]:
        try:
            line = self._answers.readline()
        except OSError as error:
            raise LabError(f"the emulator does not answer: {error}") from error
        if not line:
            raise LabError("the emulator has ended; it says above why")
        told: dict[str, object] = json.loads(line)
        if "error" in told:
            raise LabError(f"the emulator refuses: {told['error']}")
        return told

    def _end(self) -> None:
        """Close our end, which ends it; kill it if it takes long."""
        self._orders.shutdown(socket.SHUT_RDWR)
        try:
            self._process.wait(ANSWER_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
