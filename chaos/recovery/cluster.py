"""The cluster whose members are killed: calm before each death, a job of its own for each, and what came of it."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from chaos.crew import Crew, CrewError, Line
from chaos.peer_processes import peer_of
from chaos.recovery.diary import OPERATORS, Copy, Diary, Kill

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path
    from random import Random
    from types import TracebackType
    from typing import Self

ANY_PORT = "127.0.0.1:0"
READY_S_MAX = 60.0
CALM_S_MAX = 120.0
RUNNING_S_MAX = 90.0
PAUSE_S = (1.0, 2.0)
"""From when everything runs to the kill."""


class Cluster:
    """Workers of one cluster, each with a directory of its own. Use it in a `with` block."""

    def __init__(self, directory: Path, *, workers: int, preset: str, isolation: str) -> None:
        """Prepare; `__enter__` starts."""
        self.names = [f"w{number}" for number in range(1, workers + 1)]
        self._directory = directory
        self._preset = preset
        self._isolation = isolation
        self._crew = Crew(self._note)
        self._diary = Diary()
        self._beats = directory / "beats"
        self._beats.touch()
        self._file = self._beats.open(encoding="ascii")
        self._addresses: dict[str, str] = {}
        self._ready: set[str] = set()
        self._states: dict[tuple[str, str], str] = {}
        self._leaders: dict[str, tuple[str, int]] = {}
        self._gone: list[tuple[str, float]] = []
        self._decided: list[tuple[str, float]] = []
        self._peers: dict[str, int] = {}
        self._deaths = dict.fromkeys(self.names, 0)
        self._jobs = 0

    def __enter__(self) -> Self:
        """Start all workers; return once everybody sees everybody and somebody leads."""
        try:
            for name in self.names:
                self._start(name)
            self._calm()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill every process."""
        self._end()

    def kill_one(self, rng: Random, *, leader: bool, machine: bool) -> Kill:
        """Kill a worker that runs both kinds of operators, see all of it run elsewhere, and start it anew."""
        self._calm()
        self._jobs += 1
        job = f"beats-{self._jobs}"
        self._crew.order(self.names[0], f"submit {job} {self._beats} {len(self.names)}")
        self._crew.await_(lambda: self._all_beat(job), "not everything runs", timeout_s=RUNNING_S_MAX)
        victim = self._victim(job, leader=leader)
        self._crew.rest(rng.uniform(*PAUSE_S))
        lost = list(self._diary.hosted(job, victim).values())
        self._gone.clear()
        self._decided.clear()
        killed_at = self._strike(victim, machine=machine)
        self._forget(victim)

        def is_over() -> bool:
            self._read_beats()
            return max(self._diary.running_s(lost, killed_at=killed_at).values()) < float("inf")

        self._crew.await_(is_over, f"not all that {victim} ran runs elsewhere", timeout_s=RUNNING_S_MAX)
        kill = self._told(victim, lost, killed_at=killed_at, leader=leader, machine=machine)
        self._crew.order(next(name for name in self.names if name != victim), f"cancel {job}")
        self._deaths[victim] += 1
        self._start(victim)
        return kill

    # --- within -----------------------------------------------------------------------------------

    def _start(self, name: str) -> None:
        bind = self._addresses.get(name, ANY_PORT)
        command = [sys.executable, "-m", "chaos.recovery.node", "--name", name, "--bind", bind]
        command += ["--expect", str(len(self.names)), "--preset", self._preset, "--isolation", self._isolation]
        command += ["--state-dir", str(self._directory / name)]
        for other, address in self._addresses.items():
            command += ["--seed", address] if other != name else []
        hand = self._crew.start(name, command)
        self._crew.await_(lambda: name in self._ready, f"{name} is not ready", timeout_s=READY_S_MAX)
        peer = peer_of(hand.process.pid)
        if peer is not None:
            self._peers[name] = peer

    def _calm(self) -> None:
        """Wait until everybody sees everybody and knows one leader of one term."""

        def is_calm() -> bool:
            alive = sum(state == "alive" for state in self._states.values())
            agreed = {self._leaders.get(name, ("", 0)) for name in self.names}
            return alive == len(self.names) * len(self.names) and len(agreed) == 1 and ("", 0) not in agreed

        self._crew.await_(is_calm, "the cluster has not come together", timeout_s=CALM_S_MAX)

    def _all_beat(self, job: str) -> bool:
        self._read_beats()
        return len(self._diary.newest(job)) == len(OPERATORS) * len(self.names)

    def _victim(self, job: str, *, leader: bool) -> str:
        """Return who is to die: of those that run both kinds the one that has died least often."""
        self._calm()
        able = [name for name in self.names if len({each.operator for each in self._hosted(job, name)}) > 1]
        leads = self._leaders[self.names[0]][0]
        if leader and leads in able:
            return leads
        able = sorted((name for name in able if name != leads), key=lambda name: self._deaths[name])
        if not able:
            raise CrewError("nobody runs both kinds of operators")
        if leader:
            self._crew.order(leads, f"lead {able[0]}")
            self._crew.await_(
                lambda: {self._leaders[name][0] for name in self.names} == {able[0]},
                f"{able[0]} does not lead",
                timeout_s=CALM_S_MAX,
            )
        return able[0]

    def _hosted(self, job: str, name: str) -> Iterable[Copy]:
        return self._diary.hosted(job, name).values()

    def _strike(self, victim: str, *, machine: bool) -> float:
        """`kill -9` the worker, along with its peer if its machine dies. Return when, on CLOCK_BOOTTIME."""
        peer = self._peers.pop(victim, None)
        if peer is None or not machine:
            return self._crew.kill(victim)
        os.kill(peer, signal.SIGSTOP)  # so that it has no time for last words
        killed_at = self._crew.kill(victim)
        os.kill(peer, signal.SIGKILL)
        return killed_at

    def _told(self, victim: str, lost: list[Copy], *, killed_at: float, leader: bool, machine: bool) -> Kill:
        def first(seen: list[tuple[str, float]], start: str) -> float:
            return min((at - killed_at for what, at in seen if what.startswith(start)), default=float("inf"))

        decided: dict[str, float] = {}
        for copy in lost:
            at = first(self._decided, f"assign {copy.instance} to ")
            decided[copy.operator] = max(decided.get(copy.operator, 0.0), at)
        return Kill(
            preset=self._preset,
            isolation=self._isolation,
            is_machine=machine,
            was_leader=leader,
            victim=victim,
            noticed_s=first(self._gone, victim),
            decided_s=decided,
            running_s=self._diary.running_s(lost, killed_at=killed_at),
            overlaps=self._diary.overlaps(lost),
        )

    def _forget(self, victim: str) -> None:
        """Forget what a dead process has said."""
        self._ready.discard(victim)
        self._leaders.pop(victim, None)
        self._states = {pair: state for pair, state in self._states.items() if pair[0] != victim}

    def _read_beats(self) -> None:
        self._diary.add(self._file.read())

    def _end(self) -> None:
        for peer in self._peers.values():
            with suppress(ProcessLookupError):
                os.kill(peer, signal.SIGKILL)
        self._crew.end()
        self._file.close()

    def _note(self, by: str, line: Line) -> None:
        match line:
            case {"kind": "ready", "address": str(address)}:
                self._addresses[by] = address
                self._ready.add(by)
            case {"kind": "member", "name": str(name), "state": str(state), "at": float(at)}:
                self._states[by, name] = state
                if state in ("dead", "left"):
                    self._gone.append((name, at))
            case {"kind": "leader", "name": str(name), "term": int(term)}:
                self._leaders[by] = (name, term)
            case {"kind": "decided", "what": str(what), "at": float(at)}:
                self._decided.append((what, at))
            case _:
                raise CrewError(f"{by} wrote {line}, which is no report")
