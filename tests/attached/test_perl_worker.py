"""A worker in Perl, written from docs/control-port.md alone, beside a Python one: killed, paused, told to go."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from swimstream import Address, JobSpec, OperatorContext, OperatorSpec
from swimstream.errors import WorkerStopped
from swimstream.model.identity import InstanceId
from swimstream.model.status import InstanceState
from tests.attached.stage import WAIT_S, peer_at, python_worker, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swimstream import Worker
    from swimstream.model.job import Parameter
    from swimstream.peer import Peer
    from swimstream.runtime.view import View

WORKER = Path(__file__).parent / "worker.pl"
MODULES = ("-MIO::Socket::UNIX", "-MJSON::PP", "-MTime::HiRes=clock_gettime")
SUM, PAY = InstanceId("mix", "sum", 0), InstanceId("mix", "pay", 0)
COUNT = 1_000_000
"""More numbers than a test waits for."""

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="its clock, and what the kernel tells of its end, are Linux's"),
    pytest.mark.skipif(
        shutil.which("perl") is None or subprocess.run(["perl", *MODULES, "-e", "1"], check=False).returncode != 0,
        reason="perl with its usual modules is not installed",
    ),
    pytest.mark.timeout(180),
]


class Crew:
    """One Python worker, which founds the cluster, and two peers with a Perl process each."""

    def __init__(self, directory: Path, python: Worker) -> None:
        self.directory = directory
        self.python = python
        self.peers: dict[str, Peer] = {}
        self.processes: dict[str, subprocess.Popen[str]] = {}

    def add(self, name: str) -> None:
        path = self.directory / f"{name}.sock"
        self.peers[name] = peer_at(path, name=name, seeds=(str(self.python.address),))
        process = subprocess.Popen(["perl", str(WORKER), str(path)], stdout=subprocess.PIPE, text=True)
        self.processes[name] = process
        self.line(name, "attached")

    def line(self, name: str, wanted: str) -> str:
        """Return the next line of that process which begins so."""
        stdout = self.processes[name].stdout
        assert stdout is not None
        return next(line.strip() for line in stdout if line.startswith(wanted))

    def host_of(self, instance: InstanceId) -> str:
        return self.python.view().plan.assignments[instance].run.name

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.communicate()
        for peer in self.peers.values():
            with contextlib.suppress(WorkerStopped):
                peer.stop(leave=False)


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Crew]:
    python = python_worker("py")
    python.operator("numbers")(numbers)
    with python:
        made = Crew(tmp_path, python)
        try:
            made.add("p1")
            made.add("p2")
            until(python, lambda view: sum("sum" in each.profile.kinds for each in view.members) == 2)
            python.submit(mix(tmp_path / "ledger")).wait(WAIT_S)
            until(python, lambda view: progress_of(view, SUM) > 20 and progress_of(view, PAY) > 2)
            yield made
        finally:
            made.close()


def numbers(context: OperatorContext) -> None:
    """Serve the numbers from any one on."""

    def serve(reader: socket.socket) -> None:
        with reader, contextlib.suppress(OSError):
            number = int(reader.makefile().readline().split()[1])
            while not context.wait_cancelled(0.005):
                reader.sendall(b"%d\n" % number)
                number += 1

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        context.publish(Address("127.0.0.1", server.getsockname()[1]))
        while not context.cancelled:
            with contextlib.suppress(TimeoutError):
                threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()


def mix(ledger: Path) -> JobSpec:
    parameters: dict[str, Parameter] = {"ledger": str(ledger), "count": COUNT}
    return JobSpec(
        name="mix",
        operators=(
            OperatorSpec(name="numbers", kind="numbers"),
            OperatorSpec(name="sum", kind="sum", inputs=("numbers",), parameters=parameters),
            OperatorSpec(name="pay", kind="pay", instances="at-most-one", parameters=parameters),
        ),
    )


def progress_of(view: View, instance: InstanceId) -> int:
    status = view.status_by_instance.get(instance)
    return 0 if status is None else status.progress


def state_of(view: View, instance: InstanceId) -> InstanceState | None:
    status = view.status_by_instance.get(instance)
    return None if status is None else status.state


@pytest.mark.parametrize("instance", [SUM, PAY], ids=str)
def test_what_a_killed_process_ran_goes_on_elsewhere_from_its_checkpoint(crew: Crew, instance: InstanceId) -> None:
    killed = crew.host_of(instance)
    other = {"p1": "p2", "p2": "p1"}[killed]
    before = progress_of(crew.python.view(), instance)
    crew.processes[killed].kill()
    begun = crew.line(other, f"start {instance}")
    assert int(begun.rpartition(" ")[2]) >= before
    until(crew.python, lambda view: progress_of(view, instance) > before + 5)


def test_what_runs_at_most_once_is_written_by_one_epoch_after_the_other(crew: Crew) -> None:
    killed = crew.host_of(PAY)
    before = crew.python.view().plan.assignments[PAY].epoch
    crew.processes[killed].kill()
    until(crew.python, lambda view: (held := view.plan.assignments[PAY]).epoch > before and held.run.name != killed)
    until(crew.python, lambda view: state_of(view, PAY) is InstanceState.RUNNING and progress_of(view, PAY) > 5)
    epochs = [int(line.split()[0]) for line in (crew.directory / "ledger").read_text().splitlines()]
    assert epochs == sorted(epochs)
    assert len(set(epochs)) > 1


def test_a_process_that_is_paused_is_seen_as_frozen_and_nothing_of_it_moves(crew: Crew) -> None:
    host = crew.host_of(SUM)
    held = crew.python.view().plan.assignments[SUM]
    crew.processes[host].send_signal(signal.SIGSTOP)
    until(crew.python, lambda view: state_of(view, SUM) is InstanceState.FROZEN)
    assert crew.python.view().plan.assignments[SUM] == held


def test_a_process_that_leaves_hands_over_and_is_at_no_fault(crew: Crew) -> None:
    host = crew.host_of(SUM)
    crew.processes[host].terminate()
    crew.peers[host].stopped().wait(WAIT_S)
    crew.peers[host].stop()
    assert crew.line(host, "end:") == "end: the peer was told to stop"
    assert crew.processes[host].wait(WAIT_S) == 0
    until(crew.python, lambda view: view.plan.assignments[SUM].run.name != host)
    until(crew.python, lambda view: state_of(view, SUM) is InstanceState.RUNNING)
    assert not crew.python.view().plan.directives.blame


def test_a_process_that_crashes_is_blamed_on_what_ran_there(crew: Crew) -> None:
    host = crew.host_of(SUM)
    crew.processes[host].send_signal(signal.SIGSEGV)
    until(crew.python, lambda view: bool(view.plan.directives.blame))
    (reason,) = [each.reason for each in crew.python.view().plan.decisions if each.what.startswith("blame")]
    assert reason == "worker process was killed by SIGSEGV"
