"""The cluster whose leader is killed again and again: what its workers have said, and what is asked of them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import attrs

from chaos.crew import Crew, CrewError, Line

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType
    from typing import Self

ANY_PORT = "127.0.0.1:0"
READY_S_MAX = 30.0
FOUND_S_MAX = 60.0
CALM_S_MAX = 60.0
AFTER_S_MAX = 30.0
NEW_LEADER = "a new leader takes over"
"""The first entry of every term: it is committed before anything is decided."""


@attrs.frozen(kw_only=True)
class Seen:
    """One report of one worker."""

    by: str
    at: float
    kind: str
    name: str = ""
    """The member, the leader or the job."""
    term: int = 0
    what: str = ""


@attrs.frozen(kw_only=True)
class Kill:
    """One leader's death, as the others lived through it. Seconds since the kill; each ascending."""

    victim: str
    term: int
    detected_s: tuple[float, ...]
    """When each of the others held it for dead."""
    led_s: float
    """When the first of the others saw that a later leader has committed the first entry of its term."""
    decided_s: float
    """When the first of the others saw the next decision committed: of the load, or about the dead leader's work."""
    answered_s: tuple[float, ...]
    """When each of the others had the answer to a job that it submitted at the kill."""
    terms: int
    """How many terms the elections took."""


class Cluster:
    """Workers of one cluster, each with a directory of its own. Use it in a `with` block."""

    def __init__(self, directory: Path, *, workers: int, preset: str) -> None:
        """Prepare; `__enter__` starts."""
        self.names = [f"w{number}" for number in range(1, workers + 1)]
        self.seen: list[Seen] = []
        self.rtts_s: list[float] = []
        self.refused: list[str] = []
        self._crew = Crew(self._note)
        self._directory = directory
        self._preset = preset
        self._addresses: dict[str, str] = {}
        self._ready: set[str] = set()
        self._states: dict[tuple[str, str], str] = {}
        self._leaders: dict[str, tuple[str, int]] = {}
        self._load_every_s = 0.0
        self._kills = 0

    def __enter__(self) -> Self:
        """Start all workers; return once everybody sees everybody and somebody leads."""
        try:
            for name in self.names:
                self._start(name)
            self._calm(timeout_s=FOUND_S_MAX)
        except BaseException:
            self._crew.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill every process."""
        self._crew.end()

    def put_under_load(self, *, every_s: float, instances: int) -> None:
        """Have each worker submit jobs all the time, and so many instances make progress."""
        self._load_every_s = every_s
        self._order_all(f"load {every_s}")
        self._crew.order(self.names[0], f"submit-progress {instances}")
        self._crew.await_(lambda: self._answers("progress") != [], "the job is not accepted", timeout_s=CALM_S_MAX)

    def measure_rtt(self) -> None:
        """Ask everybody for its round trips."""
        wanted = len(self.rtts_s) + 1
        self._order_all("rtt")
        self._crew.await_(lambda: len(self.rtts_s) >= wanted, "no round trips are told", timeout_s=READY_S_MAX)

    def kill_leader(self) -> Kill:
        """Kill the leader, wait until everybody else knows and has decided again, and start it anew with its state.

        Return when what happened. The victim keeps name, address and directory, so it is the same voter.
        """
        victim, term = self._calm(timeout_s=CALM_S_MAX)
        others = [name for name in self.names if name != victim]
        self._kills += 1
        job = f"after-kill-{self._kills}"
        began = len(self.seen)
        killed_at = self._crew.kill(victim)
        for name in others:
            self._crew.order(name, f"submit {job}-{name}")
        self._forget(victim)

        def found() -> Kill:
            return told(self.seen[began:], victim=victim, term=term, job=job, killed_at=killed_at)

        def is_over() -> bool:
            kill = found()
            return len(kill.detected_s) == len(kill.answered_s) == len(others) and kill.decided_s < AFTER_S_MAX

        self._crew.await_(is_over, f"not everybody has gone on without {victim}", timeout_s=AFTER_S_MAX)
        kill = found()
        del self.seen[:]
        self._start(victim)
        return kill

    def rest(self, seconds: float) -> None:
        """Let the load go on."""
        self._crew.rest(seconds)

    # --- within -----------------------------------------------------------------------------------

    def _start(self, name: str) -> None:
        bind = self._addresses.get(name, ANY_PORT)
        command = [sys.executable, "-m", "chaos.council.node", "--name", name, "--bind", bind]
        command += ["--expect", str(len(self.names)), "--preset", self._preset]
        command += ["--state-dir", str(self._directory / name)]
        for other, address in self._addresses.items():
            command += ["--seed", address] if other != name else []
        self._crew.start(name, command)
        self._crew.await_(lambda: name in self._ready, f"{name} is not ready", timeout_s=READY_S_MAX)
        if self._load_every_s:
            self._crew.order(name, f"load {self._load_every_s}")

    def _order_all(self, line: str) -> None:
        for name in self._crew.running():
            self._crew.order(name, line)

    def _calm(self, *, timeout_s: float) -> tuple[str, int]:
        """Wait until everybody sees everybody and knows one leader of one term; return it."""

        def is_calm() -> bool:
            alive = sum(state == "alive" for state in self._states.values())
            agreed = {self._leaders.get(name, ("", 0)) for name in self.names}
            return alive == len(self.names) * len(self.names) and len(agreed) == 1 and ("", 0) not in agreed

        self._crew.await_(is_calm, "the cluster has not come together", timeout_s=timeout_s)
        return self._leaders[self.names[0]]

    def _forget(self, victim: str) -> None:
        """Forget what a dead process has said."""
        self._ready.discard(victim)
        self._leaders.pop(victim, None)
        self._states = {pair: state for pair, state in self._states.items() if pair[0] != victim}

    def _answers(self, job: str) -> list[Seen]:
        return [each for each in self.seen if each.kind == "answered" and each.name == job]

    def _note(self, by: str, line: Line) -> None:
        match line:
            case {"kind": "ready", "address": str(address)}:
                self._addresses[by] = address
                self._ready.add(by)
            case {"kind": "member", "name": str(name), "state": str(state), "at": float(at)}:
                self._states[by, name] = state
                self.seen.append(Seen(by=by, at=at, kind=state, name=name))
            case {"kind": "leader", "name": str(name), "term": int(term), "at": float(at)}:
                self._leaders[by] = (name, term)
                self.seen.append(Seen(by=by, at=at, kind="leader", name=name, term=term))
            case {"kind": "decided", "term": int(term), "what": str(what), "at": float(at)}:
                self.seen.append(Seen(by=by, at=at, kind="decided", term=term, what=what))
            case {"kind": "answered", "job": str(job), "error": "", "at": float(at)}:
                self.seen.append(Seen(by=by, at=at, kind="answered", name=job))
            case {"kind": "answered" | "refused", "job": str(job), "error": str(error)}:
                self.refused.append(f"{by}: {job}: {error}")
            case {"kind": "rtt", "values": list(values)}:
                self.rtts_s += values
            case _:
                raise CrewError(f"{by} wrote {line}, which is no report")


def told(seen: list[Seen], *, victim: str, term: int, job: str, killed_at: float) -> Kill:
    """Return what the others have said since the kill; infinite where nobody has said it yet."""
    since = [each for each in seen if each.by != victim]

    def first(keep: Callable[[Seen], bool]) -> float:
        return min((each.at - killed_at for each in since if keep(each)), default=float("inf"))

    def of_each(keep: Callable[[Seen], bool]) -> tuple[float, ...]:
        found: dict[str, float] = {}
        for each in since:
            if keep(each):
                found.setdefault(each.by, each.at - killed_at)
        return tuple(sorted(found.values()))

    later = [each.term for each in since if each.kind == "decided" and each.term > term]
    return Kill(
        victim=victim,
        term=term,
        detected_s=of_each(lambda each: each.kind == "dead" and each.name == victim),
        led_s=first(lambda each: each.kind == "decided" and each.term > term),
        decided_s=first(lambda each: each.kind == "decided" and each.term > term and each.what != NEW_LEADER),
        answered_s=of_each(lambda each: each.kind == "answered" and each.name == f"{job}-{each.by}"),
        terms=min(later) - term if later else 0,
    )
