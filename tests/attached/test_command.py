"""`swimstream peer` as a supervisor runs it, processes that attach to it and die, and the port by TCP."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from swimstream.cli.peer import peer as peer_command
from swimstream.errors import UsageError, WorkerStopped
from swimstream.model.identity import InstanceId
from swimstream.model.status import NOBODYS_FAULT, ErrorClass, InstanceState
from swimstream.runtime.attached_process import AttachedProcess
from swimstream.runtime.control_tcp import TcpDoor
from tests.attached.plain import Plain
from tests.attached.stage import WAIT_S, job, peer_at, python_worker, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from swimstream.runtime.view import View

ROOT = Path(__file__).parents[2]
INSTANCE = InstanceId("job", "op", 0)


@contextlib.contextmanager
def running(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """Run `python -m ...` while the block runs."""
    process = subprocess.Popen(
        [sys.executable, "-m", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def assigned(view: View, name: str) -> bool:
    held = view.plan.assignments.get(INSTANCE)
    return held is not None and held.run.name == name


def test_it_announces_itself_serves_a_process_and_leaves_when_told(tmp_path: Path) -> None:
    path = tmp_path / "w4.sock"
    with running("swimstream", "peer", "--name", "w4", "--preset", "local", "--control", path, "--announce") as peer:
        ready = json.loads(line_of(peer))
        assert (ready["ready"], ready["name"], ready["control"], ready["pid"]) == (True, "w4", str(path), peer.pid)
        client = Plain(str(path))
        assert client.ask("attach", protocol=1, kinds=["count"])["worker"]["name"] == "w4"
        assert [row["kinds"] for row in client.ask("members")["members"]] == [["count"]]
        peer.send_signal(signal.SIGTERM)
        assert client.order("end")["reason"] == "the peer was told to stop"
        assert peer.wait(WAIT_S) == 0
        client.close()


def test_without_a_process_it_ends_when_told(tmp_path: Path) -> None:
    path = tmp_path / "w4.sock"
    with running("swimstream", "peer", "--name", "w4", "--control", path, "--announce") as peer:
        line_of(peer)
        peer.send_signal(signal.SIGTERM)
        assert peer.wait(WAIT_S) == 0
    assert not path.exists()


def test_a_process_that_is_killed_ends_its_peer_with_status_1(tmp_path: Path) -> None:
    path = tmp_path / "w4.sock"
    arguments = ("--name", "w4", "--preset", "local", "--control", path, "--announce")
    with running("swimstream", "peer", *arguments) as peer:
        line_of(peer)
        with running("tests.attached.lone_client", path, "count") as client:
            assert line_of(client) == "attached"
            client.kill()
            assert peer.wait(WAIT_S) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which process has connected")
def test_what_a_killed_process_ran_at_most_once_is_proven_to_have_ended(tmp_path: Path) -> None:
    peer = peer_at(tmp_path / "w4.sock", expect=2)
    with running("tests.attached.lone_client", tmp_path / "w4.sock", "count") as client:
        assert line_of(client) == "attached"
        with python_worker("w1", expect=2, seeds=(str(peer.address),)) as other:
            other.submit(job(instances="at-most-one")).wait(WAIT_S)
            order = json.loads(line_of(client))
            assert (order["order"], order["guarantee"]) == ("start", "at-most-one")
            assert 0 < order["fence_s"] <= 4.0
            while order["order"] != "renew":
                order = json.loads(line_of(client))
            assert 0 < order["fences"][0]["fence_s"] <= 4.0
            client.kill()
            until(other, lambda view: view.status_by_instance[INSTANCE].state is InstanceState.FAILED)
            status = other.view().status_by_instance[INSTANCE]
            assert status.error is ErrorClass.INFRASTRUCTURE
            assert status.cause.startswith(NOBODYS_FAULT), "somebody has killed it"
    with pytest.raises(WorkerStopped, match="the attached process is gone"):
        peer.stop()


def test_the_kernel_tells_who_has_connected_and_when_it_is_dead(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux does")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        connect = f"s = socket.socket(socket.AF_UNIX); s.connect({str(tmp_path / 's')!r})"
        code = f"import socket, time; {connect}; time.sleep(99)"
        process = subprocess.Popen([sys.executable, "-c", code])
        connection, _ = listener.accept()
        with connection:
            attached = AttachedProcess.of(connection)
            assert attached.is_provable
            assert not attached.is_dead
            attached.kill()
            assert process.wait(WAIT_S) == -signal.SIGKILL
            assert attached.is_dead
            attached.close()
            assert attached.is_dead


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("--control", "s"), "name: expected --name"),
        (("--name", "w4"), "control: expected the path of a socket"),
        (("--name", "w4", "--control-tcp", "127.0.0.1:0"), "control_tcp: expected --control-tcp and"),
        (("--name", "w4", "--control", "s", "--capacity", "-1"), "capacity: expected an integer"),
        (("--name", "w 4", "--control", "s"), "name: expected 1 to 64"),
        (("--name", "w4", "--control", "s", "--seeds", "nowhere"), "seeds[0]: expected 'host:port'"),
    ],
)
def test_a_fault_of_the_command_line_is_told_with_its_field(arguments: tuple[str, ...], fault: str) -> None:
    result = CliRunner().invoke(peer_command, arguments)
    assert result.exit_code == 2
    assert fault in result.stderr


# --- by TCP ---------------------------------------------------------------------------------------


def test_who_shows_the_token_attaches_by_tcp(tmp_path: Path) -> None:
    door = TcpDoor.open("127.0.0.1:0", tmp_path / "token")
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    peer = peer_at(None, door=door)
    address = peer.tcp_address
    assert address is not None
    client = Plain((address.host, address.port))
    assert client.ask("hello", token=(tmp_path / "token").read_text().strip())["attach"] == "waiting"
    assert client.ask("attach", protocol=1, kinds=["count"])["ok"]
    assert client.ask("members")["ok"]
    client.close()
    with pytest.raises(WorkerStopped):
        peer.stopped().wait(WAIT_S)
    with contextlib.suppress(WorkerStopped):
        peer.stop()


@pytest.mark.parametrize(
    "line",
    [
        b'{"verb":"hello"}\n',
        b'{"verb":"hello","token":"' + b"0" * 64 + b'"}\n',
        b'{"verb":"members","token":null}\n',
        b"POST / HTTP/1.1\r\n",
        b"x" * 10_000,
    ],
)
def test_a_stranger_hears_what_was_expected_and_nothing_else(tmp_path: Path, line: bytes) -> None:
    peer = peer_at(None, door=TcpDoor.open("127.0.0.1:0", tmp_path / "token"))
    address = peer.tcp_address
    assert address is not None
    with socket.create_connection((address.host, address.port), timeout=WAIT_S) as stranger:
        stranger.sendall(line + b'{"verb":"hello"}\n')
        with stranger.makefile("rb") as answers:
            answer = json.loads(answers.readline())
            assert (answer["ok"], answer["error"][:16]) == (False, "token: expected ")
            with contextlib.suppress(ConnectionResetError):
                assert answers.readline() == b""
    peer.stop()


@pytest.mark.parametrize("text", ["0.0.0.0:0", "10.0.0.1:80", "localhost:0", "127.0.0.1"])
def test_the_door_is_on_the_loopback_only(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"^control_tcp: expected"):
        TcpDoor.open(text, tmp_path / "token")


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    TcpDoor.open("127.0.0.1:0", tmp_path / "token")
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        TcpDoor.open("127.0.0.1:0", tmp_path / "token")
