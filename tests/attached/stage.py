"""Peers and workers of one machine for tests of the control port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream import JobSpec, OperatorSpec, Worker, WorkerConfig
from swimstream.peer import Peer
from swimstream.runtime.replies import Found

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from swimstream.commands import Commands
    from swimstream.runtime.control_tcp import TcpDoor
    from swimstream.runtime.view import View

WAIT_S = 60.0


def peer_at(
    path: Path | None, *, name: str = "w4", expect: int = 1, seeds: tuple[str, ...] = (), door: TcpDoor | None = None
) -> Peer:
    """Return a peer that waits for a process to attach."""
    config = WorkerConfig(
        name=name, seeds=seeds, expect=expect, preset="local", control=path, stop_timeout_s=2.0, capacity=8
    )
    made = Peer(config, door=door)
    made.start()
    return made


def python_worker(name: str, *, expect: int = 1, seeds: tuple[str, ...] = ()) -> Worker:
    """Return a worker of the library, to be started."""
    return Worker(name=name, seeds=seeds, expect=expect, preset="local", stop_timeout_s=2.0)


def job(name: str = "job", *, kind: str = "count", instances: str = "at-least-one", parallelism: int = 1) -> JobSpec:
    """Return a job of one operator."""
    spec = OperatorSpec(
        name="op", kind=kind, parallelism=parallelism, instances=instances, parameters={"start": 5, "text": "é"}
    )
    return JobSpec(name=name, operators=(spec,))


def table(spec: JobSpec) -> dict[str, object]:
    """Return the job as the control port takes it."""
    operators = [
        {"name": each.name, "kind": each.kind, "parallelism": each.parallelism, "instances": each.instances,
         "parameters": dict(each.parameters)}
        for each in spec.operators
    ]  # fmt: skip
    return {"name": spec.name, "operators": operators}


def until(worker: Commands, condition: Callable[[View], bool]) -> None:
    """Wait until a view of the worker satisfies `condition`."""
    worker._running().views.when(lambda view: Found(None) if condition(view) else None).wait(WAIT_S)
