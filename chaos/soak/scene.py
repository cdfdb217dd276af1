"""The soak itself: start everything, strike and make good until time or stream are over, then look at all of it."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from chaos.recovery.diary import Diary
from chaos.soak import nemesis
from chaos.soak.growth import Sample
from chaos.soak.nemesis import ONCE_KIND, draw
from chaos.soak.verdict import Soak, Struck
from swimstream.cli.demo.result import compare
from swimstream.errors import SwimstreamError
from swimstream.model.changes import QUARANTINED
from swimstream.model.job import AT_MOST_ONE, JobSpec, OperatorSpec
from swimstream.runtime.control_client import Answer, ControlClient

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

    from chaos.soak.fleet import Fleet
    from chaos.soak.nemesis import Strike
    from swimstream.cli.demo.data import Example, Row

TURN_S = 0.1
SAMPLE_S = 1.0
READY_S_MAX = 60.0
ANSWER_S_MAX = 90.0
DRAIN_S_MAX = 30.0
END_S_MAX = 60.0
LEFT_S_MAX = 15.0
FINISH_S_MAX = 180.0
HURRY_SHARE = 20.0
"""So much faster the rest is read once nobody strikes any more."""
SPARED = ("jfk-1", "lga-2")
BEATS_JOB = "soak"
SIDE_KIND = "once"
MIB = 2**20
TROUBLE = (SwimstreamError, OSError)


class StuckError(Exception):
    """The soak cannot go on; the message says what did not happen."""


class Scene:
    """One soak. `run` does it all; what it finds is in `soak`."""

    def __init__(
        self,
        fleet: Fleet,
        directory: Path,
        *,
        example: Example,
        seconds: float,
        rate: float,
        rng: Random,
        say: Callable[[str], None],
    ) -> None:
        """Prepare; the fleet has not started. `rate`: rows a second of each source, at full pace."""
        self.soak = Soak()
        self._fleet = fleet
        self._example = example
        self._seconds = seconds
        self._rng = rng
        self._say = say
        self._database = directory / "flights.db"
        self._beats = directory / "beats"
        self._began_at = time.monotonic()
        self._sampled_at = 0.0
        self._rate = rate
        self._flights = example.job(data=example.data, database=self._database, rate=rate)

    @property
    def elapsed_s(self) -> float:
        """Return seconds since the begin."""
        return time.monotonic() - self._began_at

    def run(self, *, expected: tuple[Row, ...]) -> None:
        """Run it to its end, whatever comes; trouble is noted."""
        try:
            self._begin()
            while self.elapsed_s < self._seconds and not self._is_finished():
                self._strike(draw(self._rng, names=list(self._fleet.hands), spared=SPARED))
            self._say("no more strikes; the stream hurries on to its end")
            if not self._is_finished():
                self._change_pace(HURRY_SHARE)
            self._until(self._is_finished, "the job has not finished", timeout_s=FINISH_S_MAX)
        except (StuckError, *TROUBLE) as error:
            self.soak.failure = f"{error}; {self._standing()}"
            self._say(f"given up: {self.soak.failure}")
        self.soak.quarantined = self._quarantined()
        self._end()
        self._compare(expected)

    # --- begin and end ----------------------------------------------------------------------------

    def _begin(self) -> None:
        first, *others = self._fleet.hands
        self._fleet.start(first)
        self._until_ready([first])
        for name in others:
            self._fleet.start(name)
        self._until_ready(others)
        self._began_at, self._sampled_at = time.monotonic(), 0.0
        self.soak.samples.clear()
        side = OperatorSpec(
            name=SIDE_KIND,
            kind=ONCE_KIND,
            parallelism=3,
            instances=AT_MOST_ONE,
            parameters={"beats": str(self._beats)},
        )
        for job in (self._flights, JobSpec(name=BEATS_JOB, operators=(side,))):
            self._ask("submit", job=attrs.asdict(job))
        self._say(f"{len(self._fleet.hands)} workers; both jobs are accepted")

    def _end(self) -> None:
        """Have all workers end as they should, and look for what is left."""
        self._rest(1.0)
        with suppress(*TROUBLE):
            self._ask("cancel", job=BEATS_JOB)
        for hand in self._fleet.hands.values():
            hand.may_end = True
            self._fleet.signal(hand.name, signal.SIGTERM)
        ended: dict[str, int] = {}
        deadline = time.monotonic() + END_S_MAX
        while any(hand.process for hand in self._fleet.hands.values()) and time.monotonic() < deadline:
            ended.update(self._fleet.look())
            time.sleep(TURN_S)
        self.soak.ended_badly += [f"{name}: status {status} at the end" for name, status in ended.items() if status]
        self.soak.ended_badly += [f"{hand.name}: runs on" for hand in self._fleet.hands.values() if hand.process]
        deadline = time.monotonic() + LEFT_S_MAX
        while self._fleet.left_behind() and time.monotonic() < deadline:
            time.sleep(TURN_S)
        self.soak.left_behind = self._fleet.left_behind()

    def _compare(self, expected: tuple[Row, ...]) -> None:
        found = compare(self._database, expected, self._example.columns)
        self.soak.lost, self.soak.doubled, self.soak.unexpected = found.lost, found.duplicates, found.unexpected
        self.soak.rows, self.soak.stale_writes_refused = len(found.rows), found.stale_writes_refused
        diary = Diary()
        if self._beats.exists():
            diary.add(self._beats.read_text())
        self.soak.overlaps = diary.doubles()

    # --- strikes ----------------------------------------------------------------------------------

    def _strike(self, strike: Strike) -> None:
        at = self.elapsed_s
        detail = strike.operator if strike.kind == nemesis.RESTART else ""
        detail = str(strike.scale) if strike.kind == nemesis.SCALE else detail
        self._say(
            f"{strike.kind} {' '.join(strike.names)}{detail} {f'for {strike.lasts_s:.1f} s' if strike.names else ''}"
        )
        trouble = ""
        try:
            match strike.kind:
                case nemesis.PAUSE | nemesis.FREEZE | nemesis.PAUSE_PEER:
                    self._pause(strike)
                case nemesis.SCALE | nemesis.UPDATE | nemesis.RESTART:
                    self._command(strike)
                case nemesis.EMPTY:
                    self._empty(strike)
                case _:
                    self._replace(strike)
        except TROUBLE as error:
            trouble = f"at {at:.0f} s: {strike.kind} {' '.join(strike.names)}{detail}: {error}"
            self._say(f"trouble {trouble}")
        self.soak.strikes.append(
            Struck(kind=strike.kind, names=strike.names, detail=detail, at=at, until=self.elapsed_s, trouble=trouble)
        )
        self._until_ready(list(self._fleet.hands))
        self._rest(strike.calm_s)

    def _pause(self, strike: Strike) -> None:
        who = {"worker": strike.kind != nemesis.PAUSE_PEER, "peer": strike.kind != nemesis.FREEZE}
        for name in strike.names:
            self._fleet.signal(name, signal.SIGSTOP, **who)
        self._rest(strike.lasts_s)
        for name in strike.names:
            self._fleet.signal(name, signal.SIGCONT, **who)

    def _command(self, strike: Strike) -> None:
        if strike.kind == nemesis.SCALE:
            self._ask("scale", job=BEATS_JOB, operator=SIDE_KIND, parallelism=strike.scale)
        elif strike.kind == nemesis.RESTART:
            with suppress(SwimstreamError):  # what has finished is not restarted
                self._ask("restart", target=f"{self._flights.name}/{strike.operator}")
        else:
            self._change_pace(strike.rate_share)

    def _change_pace(self, share: float) -> None:
        """Have the sources read so many times as fast as at first."""
        self._flights = self._example.job(data=self._example.data, database=self._database, rate=self._rate * share)
        self._ask("update", job=attrs.asdict(self._flights))

    def _replace(self, strike: Strike) -> None:
        """Have processes end in one way or another, and start them again."""
        for name in strike.names:
            hand = self._fleet.hands[name]
            hand.may_end = True
            if strike.kind in (nemesis.DRAIN, nemesis.LEAVE):
                self._let_go(name, drain=strike.kind == nemesis.DRAIN)
            else:
                is_peer = strike.kind == nemesis.KILL_PEER
                machine = strike.kind != nemesis.KILL
                self._fleet.signal(name, signal.SIGKILL, worker=not is_peer, peer=machine)
        self._until(
            lambda: not any(self._fleet.hands[name].process for name in strike.names),
            f"{' and '.join(strike.names)} did not end",
            timeout_s=END_S_MAX,
        )
        self._rest(strike.lasts_s)
        for name in strike.names:
            self._fleet.start(name)

    def _empty(self, strike: Strike) -> None:
        """Put back to normal all that flap, then have one worker give all that it runs to the others."""
        for each in self._ask("members")["members"]:
            if each["mode"] == QUARANTINED:
                self._ask("uncordon", name=each["name"])
        for name in strike.names:
            self._drain(name)
            self._ask("uncordon", name=name)

    def _drain(self, name: str) -> None:
        self._ask("drain", but=name, name=name, reason="maintenance")
        deadline = time.monotonic() + DRAIN_S_MAX
        left: object = "?"
        while left and time.monotonic() < deadline:
            left = self._ask("drained", but=name, name=name, patience_s=1)["left"]
            self._turn()
        if left:
            self._say(f"{name} still has {left} after {DRAIN_S_MAX:.0f} s of draining")
            self.soak.ended_badly.append(f"{name}: not drained of {left} at {self.elapsed_s:.0f} s")

    def _let_go(self, name: str, *, drain: bool) -> None:
        """Have a worker end by its own will, after it was drained if so."""
        if drain:
            self._drain(name)
        self._fleet.signal(name, signal.SIGTERM)

    # --- asking -----------------------------------------------------------------------------------

    def _ask(self, verb: str, *, but: str = "", **fields: object) -> Answer:
        """Ask whichever worker is ready; raise `SwimstreamError` if it refuses."""
        ready = [name for name in self._fleet.ready() if name != but and not self._fleet.hands[name].may_end]
        if not ready:
            raise StuckError("nobody is ready")
        with ControlClient(self._fleet.hands[self._rng.choice(ready)].control, timeout_s=ANSWER_S_MAX) as client:
            return client.ask(verb, **fields)

    def _operators(self) -> list[Answer]:
        """Return all instances as one of the spared sees them; none if it does not say."""
        for name in SPARED:
            try:
                with ControlClient(self._fleet.hands[name].control, timeout_s=1.0) as client:
                    return list(client.ask("operators")["operators"])
            except TROUBLE:
                continue
        return []

    def _is_finished(self) -> bool:
        mine = [each for each in self._operators() if each["job"] == self._flights.name]
        return bool(mine) and all(each["state"] == "finished" for each in mine)

    def _quarantined(self) -> list[str]:
        return [f"{each['instance']}: {each['cause']}" for each in self._operators() if each["state"] == "quarantined"]

    def _standing(self) -> str:
        return ", ".join(
            f"{each['instance']} {each['state']} on {each['worker']} at {each['progress']} {each['cause']}".rstrip()
            for each in self._operators()
        )

    # --- time passes ------------------------------------------------------------------------------

    def _until_ready(self, names: list[str]) -> None:
        self._until(
            lambda: set(names) <= set(self._fleet.ready()), f"not all of {names} are back", timeout_s=READY_S_MAX
        )

    def _until(self, holds: Callable[[], bool], complaint: str, *, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > deadline:
                raise StuckError(f"{complaint} after {timeout_s:.0f} s")
            self._turn()

    def _rest(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._turn()

    def _turn(self) -> None:
        for name, status in self._fleet.look():
            if not self._fleet.hands[name].may_end:
                self._say(f"{name} ended by itself with status {status}")
                self.soak.ended_unasked.append(f"{name}: status {status} at {self.elapsed_s:.0f} s")
                self._fleet.start(name)
        if self.elapsed_s >= self._sampled_at + SAMPLE_S:
            self._sampled_at = self.elapsed_s
            self.soak.samples += self._sample()
        time.sleep(TURN_S)

    def _sample(self) -> Iterator[Sample]:
        hosts = [str(each["worker"]) for each in self._operators() if not each["finished"]]
        for name, pid in self._fleet.processes():
            with suppress(OSError):
                rss_mib, threads, fds = _figures_of(pid)
                yield Sample(
                    at=round(self.elapsed_s, 2),
                    name=name,
                    pid=pid,
                    rss_mib=rss_mib,
                    threads=threads,
                    fds=fds,
                    hosted=hosts.count(name.removesuffix(".peer")),
                )


def _figures_of(pid: int) -> tuple[float, int, int]:
    """Return MiB of memory, threads and descriptors of a process; raise `OSError` if it is gone."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    rss_mib = round(pages * os.sysconf("SC_PAGE_SIZE") / MIB, 2)
    return rss_mib, len(list(Path(f"/proc/{pid}/task").iterdir())), len(list(Path(f"/proc/{pid}/fd").iterdir()))
