"""The commands that run a worker and ask one, on real processes and sockets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

import swimstream
from swimstream.cli import main
from swimstream.events import BroadcastReceived, MessageReceived, QueryReceived
from swimstream.model.identity import Address, Run
from swimstream.model.member import Evidence, Member, MemberState, Profile
from swimstream.runtime.control import ControlServer
from swimstream.runtime.control_client import ControlClient
from swimstream.runtime.view import View
from swimstream.worker import Worker
from tests.runtime.test_control import FakeWorker

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(swimstream.__file__).parent.parent
WAIT_S = 90.0
"""Only what hangs takes so long."""
COMMAND = [sys.executable, "-c", "from swimstream.cli import main; main()"]
MODULE = """
from swimstream.runners.registry import operator

@operator("return")
def return_at_once(ctx):
    ctx.progress(7)
"""
SIGNALLED = """
import signal, threading
from swimstream.runners.registry import operator

@operator("return")
def be_sent_a_signal(ctx):
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
"""
JOB = """
name = "short"
[[operators]]
name = "o"
kind = "return"
parallelism = 2
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "my_operators.py").write_text(MODULE)
    (tmp_path / "job.toml").write_text(JOB)
    path = tmp_path / "w1.toml"
    path.write_text('name = "w1"\npreset = "local"\nmodule = "my_operators"\ncontrol = "w1.sock"\n')
    return path


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "here.sock"
    worker = Worker(name="w1", preset="local", control=path)
    worker.register("return", lambda context: context.progress(7))
    with worker:
        yield path


def spawn(*arguments: str, pass_fds: tuple[int, ...] = ()) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [*COMMAND, "worker", "--announce", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        pass_fds=pass_fds,
    )


def ask(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, arguments)
    return result.exit_code, result.stdout, result.stderr


def test_a_worker_runs_a_module_and_leaves_on_a_signal(config: Path) -> None:
    with spawn("--config", str(config), "--name", "other") as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        assert (ready["ready"], ready["name"], ready["pid"]) == (True, "other", process.pid)
        with ControlClient(ready["control"]) as client:
            lines = client.watch(timeout_s=WAIT_S)
            assert ask("submit", str(config.parent / "job.toml"), "--control", ready["control"])[0] == 0
            states: list[str] = []
            while states.count("finished") < 2:
                line = next(lines)
                if line["event"] == "instance":
                    states.append(line["instance"]["state"])
        process.send_signal(signal.SIGTERM)
        assert process.wait(WAIT_S) == 0
        assert not Path(ready["control"]).exists()


def test_a_signal_that_comes_to_another_thread_ends_the_worker_too(config: Path) -> None:
    (config.parent / "my_operators.py").write_text(SIGNALLED)
    with spawn("--config", str(config)) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        ask("submit", str(config.parent / "job.toml"), "--control", ready["control"])  # its end may outrun the answer
        try:
            assert process.wait(WAIT_S) == 0
        finally:
            process.kill()


def test_a_worker_ends_with_its_supervisor(config: Path) -> None:
    reading, writing = os.pipe()
    with spawn("--config", str(config), "--lifeline-fd", str(reading), pass_fds=(reading,)) as process:
        os.close(reading)
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["ready"]
        os.close(writing)
        assert process.wait(WAIT_S) == 1


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('name = "w1"\ncolour = 1\n', "colour: unknown key"),
        ('name = "w1"\nmodule = "nowhere_to_be_found"\n', "module: 'nowhere_to_be_found' is neither beside"),
    ],
)
def test_a_bad_config_is_one_line_and_status_two(tmp_path: Path, text: str, fault: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    status, out, err = ask("worker", "--config", str(path))
    assert (status, out) == (2, "")
    assert fault in err
    assert len(err.splitlines()) == 1


def test_a_module_that_raises_is_named_with_what_it_raised_below_its_traceback(tmp_path: Path) -> None:
    (tmp_path / "raising.py").write_text("def operators():\n    raise ValueError('my bug')\n\noperators()\n")
    path = tmp_path / "w1.toml"
    path.write_text('name = "w1"\nmodule = "raising"\n')
    ended = subprocess.run(
        [*COMMAND, "worker", "--config", path], capture_output=True, text=True, check=False, cwd=ROOT
    )
    lines = ended.stderr.splitlines()
    assert (ended.returncode, lines[-1]) == (
        2,
        "swimstream worker: module: 'raising' cannot be imported: ValueError: my bug",
    )
    assert any("raising.py" in line and "line 2" in line for line in lines)


def test_a_control_socket_that_nobody_serves_is_one_line_and_status_two(tmp_path: Path) -> None:
    status, out, err = ask("members", "--control", str(tmp_path / "none.sock"))
    assert (status, out) == (2, "")
    assert err.startswith("swimstream members: control: no worker listens at ")
    assert len(err.splitlines()) == 1


def test_the_path_of_the_socket_comes_from_the_environment(control: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWIMSTREAM_CONTROL", str(control))
    assert ask("members")[0] == 0


def test_members_are_a_table_for_people(control: Path) -> None:
    status, out, _ = ask("members", "--control", str(control))
    heads, row = out.splitlines()
    assert status == 0
    assert heads.split() == ["NAME", "STATE", "FOR", "SITE", "ADDRESS", "RTT", "CAPACITY", "TAGS", "ACCUSERS"]
    assert row.split()[:2] == ["w1", "alive"]


def test_a_dead_member_comes_with_what_each_of_its_accusers_saw(tmp_path: Path) -> None:
    profile = Profile(address=Address("127.0.0.1", 1))
    member = Member(run=Run("w2", 1), incarnation=0, state=MemberState.DEAD, profile=profile, since=0.0)
    dead = member.accused_by("w4", Evidence(relays=3, nacks=3)).accused_by("w3", Evidence(stream_refused=True))

    class Witness(FakeWorker):
        def view(self) -> View:
            return View(run=Run("w1", 5), members=(dead,))

    server = ControlServer(tmp_path / "w1.sock", Witness(), name="w1", site="edge")
    server.start()
    _, out, _ = ask("members", "--control", str(tmp_path / "w1.sock"))
    server.stop()
    assert out.splitlines()[2:] == [
        "",
        "w2 is dead:",
        "  w3: no ack in time, stream refused",
        "  w4: no ack in time, 3 relays asked, 3 nacks",
    ]


def test_members_are_json_for_programs(control: Path) -> None:
    _, out, _ = ask("members", "--control", str(control), "--json")
    assert json.loads(out)["members"][0]["name"] == "w1"


def test_a_job_is_submitted_and_its_operators_and_decisions_are_shown(control: Path, config: Path) -> None:
    status, out, err = ask("submit", str(config.parent / "job.toml"), "--control", str(control))
    assert (status, out) == (0, "job short is accepted\n"), err
    _, out, _ = ask("operators", "--control", str(control))
    assert [line.split()[0] for line in out.splitlines()] == ["INSTANCE", "short/o[0]", "short/o[1]"]
    _, out, _ = ask("decisions", "--control", str(control))
    assert "accept job short" in out
    _, out, _ = ask("leader", "--control", str(control))
    assert out.splitlines()[0].split() == ["leader", "w1"]


def test_a_bad_job_file_is_told_with_file_and_field(control: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text('name = "j"\ncolour = 1\n')
    status, _, err = ask("submit", str(tmp_path / "bad.toml"), "--control", str(control))
    assert status == 2
    assert f"{tmp_path / 'bad.toml'}: colour: unknown key" in err


# --- what applications say ------------------------------------------------------------------------


def test_tags_are_set_removed_and_shown(control: Path) -> None:
    at = ("--control", str(control))
    assert ask("tags", *at) == (0, "no tags\n", "")
    status, out, _ = ask("tags", "--set", "zone=x", "--set", "disk=a=b", *at)
    assert (status, [line.split() for line in out.splitlines()[1:]]) == (
        0,
        [["w1", "disk", "a=b"], ["w1", "zone", "x"]],
    )
    _, out, _ = ask("tags", "--remove", "disk", "--json", *at)
    assert json.loads(out)["tags"] == {"w1": {"zone": "x"}}
    assert "zone=x" in ask("members", *at)[1]


def test_a_broadcast_a_message_and_a_question_reach_the_application(tmp_path: Path) -> None:
    path = tmp_path / "talk.sock"
    at = ("--control", str(path))
    with Worker(name="w1", preset="local", control=path) as worker, worker.events() as events:

        def answer() -> None:
            for event in events:
                if isinstance(event, QueryReceived):
                    worker.answer(event.question, event.question.payload.upper())
                elif isinstance(event, BroadcastReceived | MessageReceived):
                    heard.append((event.topic, event.payload))

        heard: list[tuple[str, bytes]] = []
        thread = threading.Thread(target=answer)
        thread.start()
        assert ask("broadcast", "hello", "all", *at) == (0, "hello is on its way\n", "")
        assert ask("send", "w1", "hint", *at) == (0, "hint has arrived at w1\n", "")
        status, out, _ = ask("query", "load", "now", "--timeout", "30", *at)
        assert (status, out.splitlines()[1].split()) == (0, ["w1", "answered", "NOW"])
        status, out, _ = ask("query", "load", "--worker", "w1", "--tag", "zone=y", *at)
        assert (status, out) == (0, "nobody was asked\n")
        status, out, _ = ask("ping", "--timeout", "30", "--json", *at)
        assert (status, json.loads(out)["answers"]) == (0, [{"worker": "w1", "payload": "", "text": ""}])
    thread.join(WAIT_S)
    assert heard == [("hello", b"all"), ("hint", b"")]


def test_who_is_silent_makes_status_one(control: Path) -> None:
    status, out, _ = ask("query", "load", "--timeout", "0.1", "--control", str(control))
    assert (status, out.splitlines()[1].split()) == (1, ["w1", "silent"])


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("tags", "--set", "zone"), "swimstream tags: --set: expected KEY=VALUE"),
        (("tags", "--set", "a b=c"), "swimstream tags: changes.a b: expected 1 to 64"),
        (("send", "x", "t"), "swimstream send: to: no member is named 'x'"),
        (("query", "t", "--worker", "x"), "swimstream query: names: no member is named 'x'"),
        (("query", "_t"), "swimstream query: topic: expected 1 to 64"),
    ],
)
def test_what_cannot_be_said_is_one_line_and_status_two(control: Path, arguments: tuple[str, ...], fault: str) -> None:
    status, out, err = ask(*arguments, "--control", str(control))
    assert (status, out) == (2, "")
    assert err.startswith(fault)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (("tags", "--set", "zone"), "--set: expected KEY=VALUE, got 'zone'"),
        (("send", "x", "t"), "to: no member is named 'x'"),
    ],
)
def test_a_refusal_is_json_too_where_that_was_asked_for(control: Path, arguments: tuple[str, ...], fault: str) -> None:
    status, out, err = ask(*arguments, "--json", "--control", str(control))
    assert (status, json.loads(out)) == (2, {"ok": False, "error": fault})
    assert len(err.splitlines()) == 1
    assert len(err.splitlines()) == 1
