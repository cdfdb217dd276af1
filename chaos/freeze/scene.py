"""Two observers in this process, at rest, and a worker in another one that freezes again and again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from chaos.freeze.judge import Heard, judge
from chaos.freeze.worker import NAME
from chaos.peers.peer import ROOT
from swimstream import InstanceChanged, JobSpec, MemberChanged, MemberState, OperatorSpec, Worker
from swimstream.runtime import clock

if TYPE_CHECKING:
    from chaos.freeze.judge import Verdict
    from swimstream import Subscription

START_S = 60.0
BUSY = 4
JOB = "freeze"
APART = f"{JOB}/apart[0]"


class Observer:
    """Counts what one worker hears of the one that freezes."""

    def __init__(self, events: Subscription) -> None:
        """Listen to `events`, on a thread of its own."""
        self.suspicions = 0
        self.deaths = 0
        self.heard: list[Heard] = []
        self._events = events
        self._thread = threading.Thread(target=self._listen, name="observer", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        for event in self._events:
            match event:
                case MemberChanged(member) if member.run.name == NAME:
                    self.suspicions += member.state is MemberState.SUSPECT
                    self.deaths += member.state is MemberState.DEAD
                case InstanceChanged(status) if status.state.name == "FROZEN":
                    self.heard.append(Heard(str(status.instance), clock.now()))

    def end(self) -> None:
        """Listen no more."""
        self._events.close()
        self._thread.join(START_S)


def freeze(isolation: str, *, holds: int, hold_s: float, pause_s: float) -> Verdict:
    """Have a worker freeze so many times, `pause_s` apart, and return what others heard of it."""
    first = Worker(name="one", preset="lan", capacity=0, expect=3)
    first.start()
    second = Worker(name="two", preset="lan", capacity=0, expect=3, seeds=[str(first.address)])
    second.start()
    numbers = [str(holds), str(hold_s), str(pause_s)]
    process = subprocess.Popen(  # noqa: S603  # our own module
        [sys.executable, "-m", "chaos.freeze.worker", str(os.getpid()), str(first.address), isolation, *numbers],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    observers = [Observer(each.events()) for each in (first, second)]
    try:
        first.submit(_job()).wait(START_S)
        times = _times(process)
    finally:
        for observer in observers:
            observer.end()
        process.kill()
        process.communicate()
        for worker in (second, first):
            worker.stop(leave=False)
    return judge(
        isolation,
        times,
        [each for observer in observers for each in observer.heard],
        apart=APART,
        suspicions=sum(each.suspicions for each in observers),
        deaths=sum(each.deaths for each in observers),
    )


def _job() -> JobSpec:
    return JobSpec(
        name=JOB,
        operators=(
            OperatorSpec(name="hold", kind="hold"),
            OperatorSpec(name="busy", kind="busy", parallelism=BUSY),
            OperatorSpec(name="apart", kind="apart"),
        ),
    )


def _times(process: subprocess.Popen[str]) -> list[tuple[float, float]]:
    """Return from when until when it was frozen each time, once it says that it is done."""
    assert process.stdout is not None
    times = []
    for line in process.stdout:
        told = json.loads(line)
        if "done" in told:
            break
        begun_at, until = told["held"]
        times.append((begun_at, until))
    return times
