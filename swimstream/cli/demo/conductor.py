"""The demo's main loop: start workers, submit the job, kill, restart, watch, until the job has ended or is stuck."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import attrs

from swimstream.cli.demo.fleet import Fleet, WorkerProcess
from swimstream.cli.demo.janitor import DemoFailed, Janitor
from swimstream.cli.demo.picture import put_together
from swimstream.cli.demo.screen import Screen, Standing
from swimstream.cli.demo.story import Story
from swimstream.cli.demo.watch import Submission, Watch
from swimstream.model.job import JobSpec

if TYPE_CHECKING:
    from swimstream.cli.demo.signals import Signals

TICK_S = 0.05
KILL_WORKER_AT = 0.25
KILL_LEADER_AT = 0.55
HURRY_S = 6.0
"""With less than this left of the replay the leader is killed as soon as the first victim is replaced."""
RESTART_AFTER_S = 6.0
"""A dead worker is started again so long after its end, or `RESTART_SOON_S` after all it ran runs elsewhere."""
RESTART_SOON_S = 1.0
FAILED_STARTS_MAX = 3
SETTLE_S = 10.0
"""How long, once the sink has finished, the demo waits for the rest to finish and for the last death to be noticed."""
STILL_S = 60.0
"""Nothing moves for so long: stuck."""
SLACK_S = 90.0
SLACK_PER_DEATH_S = 30.0
GATHER_S = 15.0
"""How long all workers are waited for before the job is submitted to those that are there."""


@attrs.frozen(kw_only=True)
class Order:
    """What the user asked for, as far as the loop needs it."""

    workers: int
    kill_worker: bool
    kill_leader: bool
    seed: int
    rate: float
    flights: Mapping[str, int]
    """Rows that each source replays."""
    rows_total: int
    job: JobSpec
    state: Path
    package_path: Path


class Conductor:
    """One run of the demo. Main thread only."""

    def __init__(self, order: Order, *, janitor: Janitor, screen: Screen, signals: Signals) -> None:
        """Prepare the workers; none is started yet."""
        self._order = order
        self._janitor = janitor
        self._screen = screen
        self._signals = signals
        self._began_at = time.monotonic()
        self._fleet = Fleet(order.workers, janitor=janitor, state=order.state, package_path=order.package_path)
        self._watch = Watch(list(self._fleet.workers.values()))
        self._submission: Submission | None = None
        self._moved = (0, 0)
        self._moved_at = 0.0
        self._killed_by_us: set[str] = set()
        self._restart_at: dict[str, float] = {}
        self._failed_starts: dict[str, int] = {}
        self._choice = Random(order.seed)
        self._windows = sorted(str(each) for each in order.job.instances() if each.operator.startswith("window-"))
        self._kills_left = [order.kill_worker, order.kill_leader]
        self._ended_at: float | None = None
        self.story = Story(workers=order.workers, began_at=self._began_at)

    @property
    def elapsed_s(self) -> float:
        """Return the time since the start."""
        return time.monotonic() - self._began_at

    def run(self) -> None:
        """Return when the job has finished. Raise `DemoFailed` when it is stuck, `Interrupted` on a signal."""
        self._start(next(iter(self._fleet.workers.values())))
        while not self._is_over():
            self._signals.check()
            self._tick()
            time.sleep(TICK_S)
        if any(self._kills_left):
            self._tell("the job ended before all that was asked for could be killed: a lower --rate gives it time")

    def close(self) -> None:
        """End every worker."""
        self._watch.close()
        self._fleet.close()

    def _tick(self) -> None:
        if self._janitor.keep_alive():
            self._tell("the janitor process had died; another one has taken over")
        self._bury()
        self._welcome()
        picture = put_together(self._watch.sights().values(), before=self.story.picture)
        for line in self.story.update(picture, at=self.elapsed_s):
            self._tell(line)
        self._restart()
        self._submit()
        self._kill()
        self._screen.show(
            Standing(elapsed_s=self.elapsed_s, rows=self._rows, rows_total=self._order.rows_total, picture=picture)
        )

    # --- workers ----------------------------------------------------------------------------------

    def _start(self, worker: WorkerProcess) -> None:
        self._restart_at.pop(worker.name, None)
        self._fleet.start(worker)

    def _welcome(self) -> None:
        """Note who has become ready; the first one ever is the seed of all others."""
        for worker in self._fleet.newly_ready():
            self._failed_starts.pop(worker.name, None)
            again = f", life {worker.lives}" if worker.lives > 1 else ""
            self._tell(f"{worker.name} is up at {worker.address} (site {worker.site}{again})")
            for other in self._fleet.workers.values():
                if other.lives == 0:
                    self._start(other)

    def _bury(self) -> None:
        """Note whose process has ended, and when it is to be started again."""
        for worker, status in self._fleet.reap():
            at = self.elapsed_s
            if worker.name in self._killed_by_us:
                self._killed_by_us.discard(worker.name)  # noted when it was killed
            else:
                self._note_end(worker, status, at)
            self._restart_at[worker.name] = at + RESTART_AFTER_S
            worker.address = ""

    def _note_end(self, worker: WorkerProcess, status: int, at: float) -> None:
        how = f"was killed by signal {-status}" if status < 0 else f"ended by itself with status {status}"
        self._tell(f"{worker.name} {how}")
        if worker.address:
            self.story.note_death(worker.name, boot=worker.boot, at=at, by_demo=False)
        elif status >= 0:
            failed = self._failed_starts.get(worker.name, 0) + 1
            self._failed_starts[worker.name] = failed
            if worker.lives == 1 or failed >= FAILED_STARTS_MAX:
                raise DemoFailed(f"{worker.name} {how} before it was ready. {self._fleet.log_tail(worker)}")

    def _restart(self) -> None:
        newest = {death.worker: death for death in self.story.deaths}
        for name, due_at in self._restart_at.items():
            if name in newest and newest[name].is_over:
                self._restart_at[name] = min(due_at, newest[name].over_at + RESTART_SOON_S)
        for name, due_at in sorted(self._restart_at.items()):
            if self.elapsed_s >= due_at:
                self._tell(f"{name} is started again, with the state it had")
                self._start(self._fleet.workers[name])

    # --- the job ----------------------------------------------------------------------------------

    @property
    def _rows(self) -> int:
        return self.story.picture.progress(f"{self._order.job.name}/sink[0]")

    def _submit(self) -> None:
        if self._submission is None:
            complete = self.story.members_seen == self._order.workers
            if self.story.picture.leader and (complete or self.elapsed_s > GATHER_S):
                self._submission = Submission(self._order.job, list(self._fleet.workers.values()))
                self._tell(f"job {self._order.job.name} is submitted: {self._order.rows_total} rows are expected")

    def _is_over(self) -> bool:
        operators = self.story.picture.operators
        finished = [seen.instance for seen in operators.values() if seen.state == "finished"]
        if f"{self._order.job.name}/sink[0]" in finished:
            self._ended_at = self.elapsed_s if self._ended_at is None else self._ended_at
            complete = len(finished) == len(operators) and all(death.is_over for death in self.story.deaths)
            return complete or self.elapsed_s > self._ended_at + SETTLE_S
        if self._is_stuck():
            raise DemoFailed(self._describe_stuck())
        return False

    def _is_stuck(self) -> bool:
        """Return whether it takes far too long, or nothing at all has moved for a long time."""
        moved = (
            sum(seen.progress + seen.epoch for seen in self.story.picture.operators.values()),
            len(self.story.deaths),
        )
        if moved != self._moved:
            self._moved, self._moved_at = moved, self.elapsed_s
        return self.elapsed_s > min(self._deadline_s(), self._moved_at + STILL_S + 2 / self._order.rate)

    @property
    def _replay_s(self) -> float:
        return max(self._order.flights.values()) / self._order.rate

    def _deadline_s(self) -> float:
        return 2 * self._replay_s + SLACK_S + SLACK_PER_DEATH_S * len(self.story.deaths)

    def _describe_stuck(self) -> str:
        picture = self.story.picture
        seen = [
            f"{each.instance} {each.state} at {each.progress} on {each.worker} {each.cause}".rstrip()
            for each in picture.operators.values()
            if each.state != "finished"
        ]
        waiting = (
            "; ".join(seen) or f"the job was never assigned {self._submission.last_error if self._submission else ''}"
        )
        leader = f"{picture.leader} leads" if picture.leader else "nobody leads"
        return (
            f"stuck: {self._rows} of {self._order.rows_total} rows were written within {self.elapsed_s:.0f} s; "
            f"{leader}; not finished: {waiting}"
        )

    # --- kills ------------------------------------------------------------------------------------

    def _kill(self) -> None:
        share = self._rows / self._order.rows_total if self._order.rows_total else 0.0
        if self._kills_left[0] and share >= KILL_WORKER_AT:
            victim, window = self._choose_window()
            if victim is not None:
                self._kills_left[0] = False
                self._strike(victim, f"which runs {window}")
        elif self._kills_left[1] and not self._kills_left[0] and self._leader_is_due(share):
            leader = self._fleet.workers.get(self.story.picture.leader)
            if leader is not None and leader.is_running and leader.address:
                self._kills_left[1] = False
                self._strike(leader, "which leads")

    def _leader_is_due(self, share: float) -> bool:
        """Return whether the first victim is replaced and, if the replay leaves the time for it, back."""
        if not all(death.is_over for death in self.story.deaths):
            return False
        if (1 - share) * self._replay_s < HURRY_S:
            return True
        is_calm = self.story.picture.alive_most == len(self._fleet.running) == self._order.workers
        return is_calm and share >= KILL_LEADER_AT

    def _choose_window(self) -> tuple[WorkerProcess | None, str]:
        """Return a worker that runs a window operator, by the seed; the leader only if no other does."""
        order = self._choice.sample(self._windows, len(self._windows))
        picture = self.story.picture
        hosts = [
            (picture.operators[name].worker, name)
            for name in order
            if name in picture.operators and picture.operators[name].state == "running"
        ]
        hosts.sort(key=lambda host: host[0] == picture.leader)
        for host, name in hosts:
            worker = self._fleet.workers[host]
            if worker.is_running and worker.address:
                return worker, name
        return None, ""

    def _strike(self, worker: WorkerProcess, why: str) -> None:
        self.story.note_death(worker.name, boot=worker.boot, at=self.elapsed_s, by_demo=True)
        self._killed_by_us.add(worker.name)
        self._fleet.kill(worker)
        self._tell(f"SIGKILL to {worker.name}, {why}")

    def _tell(self, line: str) -> None:
        self._screen.tell(line, at=self.elapsed_s)
