"""Reads every worker's control port, each on a thread of its own, so that a stuck worker delays nobody."""

from __future__ import annotations

import functools
import threading
import time
from typing import TYPE_CHECKING

from swimstream.cli.demo.control import SightReader, ask_submit
from swimstream.errors import SwimstreamError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from swimstream.cli.demo.fleet import WorkerProcess
    from swimstream.cli.demo.picture import Sight
    from swimstream.model.job import JobSpec

SIGHT_INTERVAL_S = 0.2


class Watch:
    """The newest sight of each worker. `sights` may be read by any thread."""

    def __init__(self, workers: Sequence[WorkerProcess]) -> None:
        """Begin to look; a worker that cannot be reached has no sight."""
        self._sights: dict[str, Sight] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        for worker in workers:
            self._spawn(f"watch-{worker.name}", functools.partial(self._look, worker))

    def sights(self) -> Mapping[str, Sight]:
        """Return the newest sight of every worker that can be reached."""
        with self._lock:
            return dict(self._sights)

    def close(self) -> None:
        """Look no more. Threads end by themselves, at the latest with the process."""
        self._stopped.set()

    def _spawn(self, name: str, target: Callable[[], None]) -> None:
        threading.Thread(target=target, name=name, daemon=True).start()

    def _look(self, worker: WorkerProcess) -> None:
        reader = SightReader(worker.control)
        while not self._stopped.wait(SIGHT_INTERVAL_S):
            sight = reader.read() if worker.is_running and worker.address else None
            with self._lock:
                if sight is None:
                    self._sights.pop(worker.name, None)
                else:
                    self._sights[worker.name] = sight


class Submission:
    """Hands the job to one worker after the other until one has accepted it, on a thread of its own."""

    def __init__(self, job: JobSpec, workers: Sequence[WorkerProcess]) -> None:
        """Begin. Submitting an equal job twice is harmless, so an answer that was lost is simply asked for again."""
        self._job = job
        self._workers = workers
        self.last_error = ""
        """What the last worker that did not accept it said."""
        threading.Thread(target=self._submit, name="submit", daemon=True).start()

    def _submit(self) -> None:
        while True:
            for worker in self._workers:
                if not (worker.is_running and worker.address):
                    continue
                try:
                    ask_submit(worker.control, self._job)
                except (SwimstreamError, OSError) as error:
                    self.last_error = str(error)
                    continue
                return
            time.sleep(SIGHT_INTERVAL_S)
