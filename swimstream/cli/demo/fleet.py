"""The worker processes: start, watch, kill and start again, as a service manager would."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

import swimstream
from swimstream.cli.demo.janitor import DemoFailed, Janitor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SITES = ("ewr", "jfk", "lga", "hub")
READY_TIMEOUT_S = 30.0
LOG_LINES_SHOWN = 20
MODULE = "flights.operators"
ANY_PORT = "127.0.0.1:0"


@attrs.define(kw_only=True)
class WorkerProcess:
    """One worker by name, over all of its lives."""

    name: str
    site: str
    control: Path
    """Its Unix socket."""
    state_dir: Path
    config: Path
    out: Path
    """What it prints: the announcement of this life."""
    log: Path
    """What it logs, over all lives."""
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    address: str = ""
    """Where its newest life listens; empty while it is starting."""
    boot: int = 0
    """What tells that life from its other ones."""
    lives: int = 0

    @property
    def is_running(self) -> bool:
        """Return whether its process is there (as of the last `Fleet.reap`)."""
        return self.process is not None


class Fleet:
    """All workers of the demo. One thread only."""

    def __init__(self, count: int, *, janitor: Janitor, state: Path, package_path: Path) -> None:
        """Prepare `count` workers, spread over the sites; `package_path` holds the package `flights`."""
        self._janitor = janitor
        self._package_path = package_path
        # Workers read this pipe. Nobody ever writes: its end is the demo's end.
        self._lifeline_read, self._lifeline_write = os.pipe()
        self._addresses: dict[str, str] = {}
        sockets = janitor.directory / "s"
        sockets.mkdir()
        for directory in ("logs", "workers"):
            (state / directory).mkdir(exist_ok=True)
        self.workers: dict[str, WorkerProcess] = {}
        for index in range(count):
            site = SITES[index % len(SITES)]
            name = f"{site}-{index // len(SITES) + 1}"
            self.workers[name] = WorkerProcess(
                name=name,
                site=site,
                control=sockets / name,
                state_dir=state / "workers" / name,
                config=state / "workers" / f"{name}.toml",
                out=state / "logs" / f"{name}.out",
                log=state / "logs" / f"{name}.log",
            )

    @property
    def running(self) -> list[WorkerProcess]:
        """Return the workers whose process is there."""
        return [worker for worker in self.workers.values() if worker.is_running]

    def start(self, worker: WorkerProcess) -> None:
        """Start a process for it; its seeds are all the addresses known of others."""
        seeds = [address for name, address in self._addresses.items() if name != worker.name]
        # At its old address: workers that have never met any but this one still have a way to it.
        bind = self._addresses.get(worker.name, ANY_PORT)
        config = _config(worker, bind=bind, seeds=seeds, expect=len(self.workers))
        worker.config.write_text(config, encoding="utf-8")
        worker.control.unlink(missing_ok=True)
        command = [sys.executable, "-P", "-m", "swimstream", "worker", "--config", str(worker.config)]
        command += ["--lifeline-fd", str(self._lifeline_read), "--announce"]
        with worker.out.open("wb") as out, worker.log.open("ab") as log:
            worker.process = subprocess.Popen(  # noqa: S603  # our own command line
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
                pass_fds=(self._lifeline_read,),
                start_new_session=True,
                env=self._environment(),
            )
        self._janitor.watch(worker.process.pid)
        worker.address = ""
        worker.lives += 1
        worker.started_at = time.monotonic()

    def newly_ready(self) -> Iterator[WorkerProcess]:
        """Yield each worker that has announced itself since the last call. Raise `DemoFailed` for one that hangs."""
        for worker in self.running:
            if worker.address:
                continue
            worker.address, worker.boot = _announced(worker.out)
            if worker.address:
                self._addresses[worker.name] = worker.address
                yield worker
            elif time.monotonic() > worker.started_at + READY_TIMEOUT_S:
                raise DemoFailed(f"{worker.name} was not ready within {READY_TIMEOUT_S:.0f} s. {self.log_tail(worker)}")

    def reap(self) -> Iterator[tuple[WorkerProcess, int]]:
        """Yield each worker that has ended since the last call, with its exit status (negative: the signal)."""
        for worker in self.running:
            assert worker.process is not None
            status = worker.process.poll()
            if status is not None:
                self._janitor.forget(worker.process.pid)
                worker.process = None
                if not worker.address:
                    self._addresses.pop(worker.name, None)  # perhaps somebody else has taken its port
                yield worker, status

    def kill(self, worker: WorkerProcess) -> None:
        """SIGKILL it; `reap` will report the end."""
        if worker.process is not None:
            worker.process.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Kill every worker and wait for the ends."""
        for worker in self.running:
            self.kill(worker)
        for worker in self.running:
            assert worker.process is not None
            worker.process.wait()
            worker.process = None
        for end in (self._lifeline_read, self._lifeline_write):
            os.close(end)

    def log_tail(self, worker: WorkerProcess) -> str:
        """Return the end of its log, for a message."""
        lines = worker.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES_SHOWN:]
        return (
            "\n".join([f"The end of its log ({worker.log}):", *lines]) if lines else f"Its log is empty ({worker.log})."
        )

    def _environment(self) -> dict[str, str]:
        library = Path(swimstream.__file__).parents[1]
        inherited = os.environ.get("PYTHONPATH", "")
        path = os.pathsep.join(filter(None, [str(self._package_path), str(library), inherited]))
        return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


def _announced(out: Path) -> tuple[str, int]:
    """Return address and boot from the announcement; an empty address while it is not complete."""
    line, newline, _ = out.read_bytes().partition(b"\n")
    if not newline:
        return "", 0
    announcement = json.loads(line)
    return str(announcement["address"]), int(announcement["boot"])


def _config(worker: WorkerProcess, *, bind: str, seeds: Sequence[str], expect: int) -> str:
    values: dict[str, str | int | list[str]] = {
        "name": worker.name,
        "site": worker.site,
        "bind": bind,
        "seeds": list(seeds),
        "expect": expect,
        "preset": "local",
        # the demo shows how a death is found out, which a peer apart would tell at once
        "isolation": "thread",
        "module": MODULE,
        "state_dir": str(worker.state_dir),
        "control": str(worker.control),
    }
    # JSON's texts, whole numbers and lists of texts are TOML's as well.
    return "".join(f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())
