"""One cluster of node processes: started, watched from outside through their reports, harmed, and always ended.

Everything runs on one thread: only `watch` reads, and a node's report carries its own time, so a late reader changes
no figure. Every process has a process group of its own, out of reach of a terminal's Ctrl-C: `end` kills them all.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from chaos.peers.peer import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from chaos.peers.peer import Peer
    from chaos.peers.settings import Settings

READ_BYTES = 65_536
LINE_BYTES_MAX = 65_536
WATCH_TURN_S = 0.25
READY_S_MAX = 60.0
JOIN_S_MAX = 240.0
END_S_MAX = 10.0
ORDER_S_MAX = 10.0
CPUCLOCK_SCHED = 2
"""Linux's clock of what all threads of a process have run, ended ones included; beside its inverted number."""
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ClusterError(Exception):
    """The cluster did not come up, or a node ended that nobody harmed: the run has no figures."""


@attrs.frozen(kw_only=True)
class Sighting:
    """One node said that a member entered a state."""

    observer: str
    member: str
    state: str
    """`alive`, `suspect`, `dead` or `left`."""
    at: float
    """On CLOCK_MONOTONIC, by the observer."""


@attrs.frozen(kw_only=True)
class Change:
    """One node learned that a member's metadata is now `value`."""

    observer: str
    member: str
    value: str
    at: float


@attrs.frozen(kw_only=True)
class Usage:
    """What a process has used so far, and holds now."""

    cpu_s: float
    rss_bytes: int


class NodeProcess:
    """One node. `pending` is the beginning of a line that has not ended yet."""

    def __init__(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """Wrap a process that was just started."""
        self.name = name
        self.process = process
        self.address = ""
        self.begun_at: list[float] = []
        """When it began to follow each of its orders."""
        self.harmed = False
        """Whether it may end."""
        self.gone = False
        """Whether it was killed, or told to leave."""
        self.pending = b""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process's own group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def usage(self) -> Usage:
        """Read what the process uses: its CPU clock counts in nanoseconds, /proc in ticks of 10 ms."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        clock = (~self.process.pid << 3) | CPUCLOCK_SCHED
        return Usage(cpu_s=time.clock_gettime(clock), rss_bytes=int(fields[21]) * PAGE_BYTES)


class Cluster:
    """Nodes of one peer that have joined each other. Use it in a `with` block: nothing is left when that ends."""

    def __init__(self, peer: Peer, settings: Settings, *, nodes: int, key_file: Path | None = None) -> None:
        """Prepare; `__enter__` starts. With a key everyone encrypts."""
        self._peer = peer
        self._settings = settings
        self._key_file = key_file
        self._selector = selectors.DefaultSelector()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `end`; it has no name to be left behind
        self.names = tuple(f"n{number:03}" for number in range(nodes))
        self.nodes: dict[str, NodeProcess] = {}
        self.sightings: list[Sighting] = []
        self.changes: list[Change] = []
        self._alive: set[tuple[str, str]] = set()
        """Who holds whom for alive."""

    def __enter__(self) -> Self:
        """Start the first node, then all others with it as their seed; return once everyone has seen everyone."""
        try:
            first, *others = self.names
            self._start(first, seed="")
            self._await(lambda: self.nodes[first].address != "", READY_S_MAX, "the first node is not ready")
            for name in others:
                self._start(name, seed=self.nodes[first].address)
            self._await(self._has_converged, JOIN_S_MAX, "not everyone has seen everyone")
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill every process."""
        self.end()

    def watch(self, until: Callable[[], bool], *, timeout_s: float) -> bool:
        """Read reports until `until` holds or the time is over; return whether it holds. Raise `ClusterError`."""
        deadline = time.monotonic() + timeout_s
        while not until():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            for key, _ in self._selector.select(min(left_s, WATCH_TURN_S)):
                self._read(self.nodes[key.data])
            self._check_processes()
        return True

    def rest(self, seconds: float) -> None:
        """Let the cluster run undisturbed for so long."""
        self.watch(lambda: False, timeout_s=seconds)

    def live(self) -> tuple[str, ...]:
        """Return the nodes that were neither killed nor told to leave."""
        return tuple(name for name in self.names if not self.nodes[name].gone)

    def kill(self, name: str) -> float:
        """`kill -9` one node; return when."""
        self.nodes[name].gone = True
        return self._harm(name, signal.SIGKILL)

    def stop(self, name: str) -> float:
        """Stop one node's execution; return when."""
        return self._harm(name, signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let a stopped node go on."""
        self.nodes[name].signal(signal.SIGCONT)
        self.nodes[name].harmed = False

    def order_leave(self, name: str) -> float:
        """Have one node say goodbye; return when it began."""
        node = self.nodes[name]
        node.harmed = node.gone = True
        return self._order(name, "leave")

    def order_change(self, name: str, value: str) -> float:
        """Have one node change its metadata; return when it began."""
        return self._order(name, f"change {value}")

    def end(self) -> None:
        """Kill and reap every process. May be called again."""
        for node in self.nodes.values():
            if node.process.returncode is None:  # once it is reaped, its number may be another's
                node.signal(signal.SIGKILL)
        for node in self.nodes.values():
            node.process.wait(END_S_MAX)
            for pipe in (node.process.stdin, node.process.stdout):
                assert pipe is not None
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._selector.close()
        self._errors.close()

    # --- within -----------------------------------------------------------------------------------

    def _start(self, name: str, *, seed: str) -> None:
        arguments = ["--name", name, "--nodes", str(len(self.names)), "--settings", self._settings.to_json()]
        if self._key_file is not None:
            arguments += ["--key-file", str(self._key_file.absolute())]
        process = subprocess.Popen(  # noqa: S603  # commands of `peer.py`, names of our own
            [*self._peer.command, *arguments, *(["--seed", seed] if seed else [])],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            process_group=0,
        )
        self.nodes[name] = NodeProcess(name, process)
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._selector.register(process.stdout, selectors.EVENT_READ, name)

    def _harm(self, name: str, number: signal.Signals) -> float:
        node = self.nodes[name]
        node.harmed = True
        at = time.monotonic()
        node.signal(number)
        return at

    def _order(self, name: str, line: str) -> float:
        node = self.nodes[name]
        before = len(node.begun_at)
        assert node.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended, and `watch` says how
            node.process.stdin.write(f"{line}\n".encode())
            node.process.stdin.flush()
        self._await(lambda: len(node.begun_at) > before, ORDER_S_MAX, f"{name} has not begun to {line}")
        return node.begun_at[-1]

    def _await(self, until: Callable[[], bool], timeout_s: float, complaint: str) -> None:
        if not self.watch(until, timeout_s=timeout_s):
            raise ClusterError(f"{self._peer.name}: {complaint} after {timeout_s:.0f} s{self._last_errors()}")

    def _has_converged(self) -> bool:
        return len(self._alive) == len(self.names) * (len(self.names) - 1)

    def _read(self, node: NodeProcess) -> None:
        assert node.process.stdout is not None
        data = os.read(node.process.stdout.fileno(), READ_BYTES)
        if not data:
            self._selector.unregister(node.process.stdout)
            return
        *lines, node.pending = (node.pending + data).split(b"\n")
        if len(node.pending) > LINE_BYTES_MAX:
            raise ClusterError(f"{self._peer.name}: {node.name} wrote a line of more than {LINE_BYTES_MAX} bytes")
        for line in lines:
            self._note(node, json.loads(line))

    def _note(self, node: NodeProcess, line: dict[str, object]) -> None:
        match line:
            case {"kind": "ready", "address": str(address)}:
                node.address = address
            case {"kind": "begun", "at": float() | int() as at}:
                node.begun_at.append(at)
            case {"kind": "changed", "member": str(member), "value": str(value), "at": float() | int() as at}:
                self.changes.append(Change(observer=node.name, member=member, value=value, at=at))
            case {
                "kind": ("alive" | "suspect" | "dead" | "left") as state,
                "member": str(member),
                "at": float() | int() as at,
            }:
                self.sightings.append(Sighting(observer=node.name, member=member, state=state, at=at))
                if state != "suspect":  # not everybody tells when a suspicion is over
                    (self._alive.add if state == "alive" else self._alive.discard)((node.name, member))
            case _:
                raise ClusterError(f"{self._peer.name}: {node.name} wrote {line}, which is no report")

    def _check_processes(self) -> None:
        for node in self.nodes.values():
            status = node.process.poll()
            if status is not None and not node.harmed:
                raise ClusterError(f"{self._peer.name}: {node.name} ended with status {status}{self._last_errors()}")

    def _last_errors(self) -> str:
        """Return the end of what all nodes wrote to stderr, after a line break; empty if they wrote nothing."""
        # Nodes share the file's offset, and write at its end: read without moving it.
        size = os.fstat(self._errors.fileno()).st_size
        text = os.pread(self._errors.fileno(), 2_000, max(0, size - 2_000)).decode(errors="replace")
        return f"\n{text}" if text else ""
