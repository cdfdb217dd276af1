"""Real workers, each in a network of its own, and the cut through them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from chaos.crew import Crew, CrewError, Line, now
from chaos.minority.lab import NETWORK, PORT, cut, heal, plug_in
from chaos.minority.operators import LEAST, ONCE
from chaos.minority.verdict import Trial, copies_at_the_end, read_beats
from swimstream.config import PRESETS
from swimstream.simulator.promises import settling_s_max

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from random import Random
    from types import TracebackType
    from typing import Self

    from chaos.minority.verdict import Beat

READY_S_MAX = 30.0
FOUND_S_MAX = 60.0
AFTER_S = 3.0
"""How long the healed cluster is looked at before the end."""
LINGER_S_MAX = 30.0
"""A trial ends so long after the views are right at the latest, whatever still runs twice or not at all."""


class Cluster:
    """Workers `w1`, `w2`, … at `NETWORK`. The bridges must be there. Use it in a `with` block."""

    def __init__(self, beats: Path, *, workers: int, preset: str) -> None:
        """Prepare; `__enter__` starts."""
        self.numbers = {f"w{number}": number for number in range(1, workers + 1)}
        self._beats = beats
        self._preset = preset
        self._crew = Crew(self._note)
        self._up: set[str] = set()
        self._ready: set[str] = set()
        self._states: dict[tuple[str, str], str] = {}
        self._leaders: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Start all workers and the job; return once every instance beats."""
        try:
            for name in self.numbers:
                self._start(name)
            self._crew.await_(self._is_whole, "the cluster has not come together", timeout_s=FOUND_S_MAX)
            self._crew.order(next(iter(self.numbers)), f"submit {self._beats}")
            self._crew.await_(self._all_beat, "not everything runs", timeout_s=FOUND_S_MAX)
        except BaseException:
            self._crew.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill every process."""
        self._crew.end()

    def beats(self) -> list[Beat]:
        """Return all beats so far."""
        return read_beats(self._beats.read_text() if self._beats.exists() else "")

    def cut_off(self, *, with_leader: bool, seconds: float, rng: Random) -> Trial:
        """Cut off a minority for so long, then wait until all is well again, or for as long as that may take."""
        timing = PRESETS[self._preset]
        leader = self._leaders[next(iter(self.numbers))]
        others = [name for name in self.numbers if name != leader]
        size = (len(self.numbers) - 1) // 2
        chosen = sorted([leader, *rng.sample(others, size - 1)] if with_leader else rng.sample(others, size))
        numbers = [self.numbers[name] for name in chosen]
        rest = [name for name in self.numbers if name not in chosen]
        cut_at = now()
        cut(numbers)
        seen_at = float("inf")
        if self._crew.watch(lambda: self._holds(rest, chosen, "dead"), timeout_s=seconds):
            seen_at = now()
        self._crew.rest(seconds - (now() - cut_at))
        healed_at = now()
        heal(numbers)
        bound_s = settling_s_max(timing, nodes=len(self.numbers))
        whole_at = now() if self._crew.watch(self._is_whole, timeout_s=bound_s) else float("inf")
        self._crew.watch(self._all_beat_once, timeout_s=LINGER_S_MAX)
        self._crew.rest(AFTER_S)
        return Trial(
            minority=tuple(chosen),
            had_leader=with_leader,
            isolation_s=timing.isolation_timeout_s,
            cut_at=cut_at,
            healed_at=healed_at,
            seen_at=seen_at,
            whole_at=whole_at,
            settle_s_max=bound_s,
            ended_at=now(),
        )

    # --- within -----------------------------------------------------------------------------------

    def _start(self, name: str) -> None:
        number = self.numbers[name]
        command = ["unshare", "--net", sys.executable, "-m", "chaos.minority.node", "--number", str(number)]
        command += ["--expect", str(len(self.numbers)), "--preset", self._preset]
        for other in range(1, number):
            command += ["--seed", f"{NETWORK}.{other}:{PORT}"]
        hand = self._crew.start(name, command)
        self._crew.await_(lambda: name in self._up, f"{name} is not up", timeout_s=READY_S_MAX)
        plug_in(number, hand.process.pid)
        self._crew.order(name, "go")
        self._crew.await_(lambda: name in self._ready, f"{name} is not ready", timeout_s=READY_S_MAX)

    def _holds(self, observers: Sequence[str], members: Sequence[str], state: str) -> bool:
        return all(self._states.get((by, of)) == state for by in observers for of in members)

    def _is_whole(self) -> bool:
        everybody = list(self.numbers)
        leaders = {self._leaders.get(name, "") for name in everybody}
        return self._holds(everybody, everybody, "alive") and len(leaders) == 1 and "" not in leaders

    def _recent(self) -> dict[tuple[str, int], set[tuple[str, int]]]:
        return copies_at_the_end(self.beats(), ended_at=now())

    def _all_beat(self) -> bool:
        return len(self._recent()) == 2 * len(self.numbers)

    def _all_beat_once(self) -> bool:
        recent = self._recent()
        wanted = [(operator, index) for operator in (ONCE, LEAST) for index in range(len(self.numbers))]
        return all(len(recent.get(key, set())) == 1 for key in wanted)

    def _note(self, by: str, line: Line) -> None:
        match line:
            case {"kind": "up"}:
                self._up.add(by)
            case {"kind": "ready"}:
                self._ready.add(by)
            case {"kind": "member", "name": str(name), "state": str(state)}:
                self._states[by, name] = state
            case {"kind": "leader", "name": str(name)}:
                self._leaders[by] = name
            case {"kind": "decided"} | {"kind": "answered", "error": ""}:
                pass
            case _:
                raise CrewError(f"{by} wrote {line}, which is no report")
