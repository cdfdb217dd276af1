"""Commands as operators: any program, unchanged, with an end that nobody can refuse."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
from typing import TYPE_CHECKING

import attrs
import pytest

from swimstream.errors import UsageError
from swimstream.model.identity import InstanceId
from swimstream.model.job import OperatorSpec
from swimstream.model.status import InstanceState
from swimstream.runners import process
from swimstream.runners.command import Command
from swimstream.runners.registry import IN_PROCESS, Registry
from swimstream.runtime import clock
from tests.runtime import process_operators as operators
from tests.runtime.stage import INSTANCE, WAIT_S, Stage, start
from tests.runtime.test_process import LATE_S, SOON_S, wait_for_end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from swimstream.core.effects import StartInstance


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    yield made
    made.host.end(WAIT_S)


@pytest.fixture
def impatient() -> Iterator[Stage]:
    made = Stage(stop_timeout_s=0.05)
    yield made
    made.host.end(WAIT_S)


def python(text: str) -> Command:
    """Return the command that runs that text; `say(...)` speaks on descriptor 3."""
    head = "import json, os, signal, sys, time\ndef say(**said): os.write(3, json.dumps(said).encode() + b'\\n')\n"
    return Command(argv=(sys.executable, "-c", head + text))


def sh(text: str) -> Command:
    return Command(shell=text)


UP = """echo '{"checkpoint": "up"}' >&3; """
SLEEPS = "time.sleep(1000)"


# --- how it ends --------------------------------------------------------------------------------------------------


def test_exit_status_0_is_finished(stage: Stage) -> None:
    stage.run(Command(argv=("true",)))
    stage.until(InstanceState.FINISHED)
    assert stage.states() == [InstanceState.STARTING, InstanceState.RUNNING, InstanceState.FINISHED]


def test_another_exit_status_is_a_failure_that_tells_it(stage: Stage) -> None:
    stage.run(sh("exit 7"))
    assert stage.until(InstanceState.FAILED).cause == "exit status 7"


def test_a_signal_is_a_failure_that_tells_it(stage: Stage) -> None:
    stage.run(sh("kill -USR1 $$"))
    assert stage.until(InstanceState.FAILED).cause == "ended by SIGUSR1"


def test_a_program_that_is_gone_by_then_has_failed(stage: Stage, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    stage.registry.register("k", Command(argv=(str(program),)))
    program.unlink()
    stage.host.start(start(3))
    assert (stage.until(InstanceState.FAILED).cause or "").startswith("FileNotFoundError: ")
    assert InstanceState.RUNNING not in stage.states()


def test_what_it_has_started_ends_with_it(stage: Stage) -> None:
    stage.run(sh("""sleep 1000 & echo "{\\"checkpoint\\": \\"$!\\"}" >&3"""))
    stage.until(InstanceState.FINISHED)
    wait_for_end(int(stage.until_checkpoint()))


def test_its_standard_input_is_empty(stage: Stage) -> None:
    stage.run(sh("cat; exit 5"))
    assert stage.until(InstanceState.FAILED).cause == "exit status 5"


def test_it_is_in_a_session_and_group_of_its_own_below_its_supervisor(stage: Stage) -> None:
    stage.run(
        python("say(checkpoint=str([os.getsid(0) == os.getpgid(0) == os.getppid(), os.getpid() != os.getsid(0)]))")
    )
    assert stage.until_checkpoint() == b"[True, True]"


# --- how it is ended ----------------------------------------------------------------------------------------------


def test_a_stop_is_a_sigterm_and_ends_as_stopped(stage: Stage) -> None:
    stage.run(sh(UP + "exec sleep 1000"))
    stage.until_checkpoint(b"up")
    stage.stop(3)
    assert stage.until(InstanceState.STOPPED).cause is None


def test_a_stop_reaches_every_process_of_a_pipeline(stage: Stage) -> None:
    stage.run(sh(UP + "sleep 1000 | sleep 1000 | cat"))
    stage.until_checkpoint(b"up")
    stage.stop(3)
    stage.until(InstanceState.STOPPED)


def test_it_may_tidy_up_when_it_is_stopped_and_report_that(stage: Stage) -> None:
    text = "signal.signal(signal.SIGTERM, lambda *_: (say(checkpoint='tidy'), sys.exit(0)))\nsay(checkpoint='up')\n"
    stage.run(python(text + SLEEPS))
    stage.until_checkpoint(b"up")
    stage.stop(3)
    stage.until(InstanceState.STOPPED)
    assert [each.checkpoint for each in stage.taken if each.checkpoint is not None] == [b"up", b"tidy"]


def test_one_that_ignores_the_request_is_killed(impatient: Stage) -> None:
    impatient.run(python("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nsay(checkpoint='up')\n" + SLEEPS))
    impatient.until_checkpoint(b"up")
    impatient.stop(3)
    assert impatient.until(InstanceState.STOPPED).cause == "ended by SIGKILL: it did not stop when asked"


def test_it_dies_with_its_supervisor_that_the_kernel_kills(stage: Stage) -> None:
    stage.run(python("say(checkpoint=str(os.getpid()))\n" + SLEEPS))
    pid = int(stage.until_checkpoint())
    os.kill(os.getsid(pid), signal.SIGKILL)
    wait_for_end(pid)
    assert stage.until(InstanceState.FAILED).cause == "its process was ended by SIGKILL"


# --- at-most-one: the fence ---------------------------------------------------------------------------------------


def test_one_that_is_not_renewed_is_killed_by_its_deadline_and_says_so(stage: Stage) -> None:
    stage.run(sh("sleep 1000"), fence_at=clock.now() + LATE_S)
    stage.until(InstanceState.RUNNING)
    stage.fence(clock.now() + SOON_S)
    assert stage.until(InstanceState.STOPPED).cause == "fenced: authority ended"
    assert InstanceState.STOPPING not in stage.states()


def test_one_that_is_renewed_lives_past_its_first_deadline(stage: Stage, tmp_path: Path) -> None:
    told = tmp_path / "deadline"
    text = (
        f"path = {str(told)!r}\nsay(checkpoint='up')\n"
        "while not os.path.exists(path): time.sleep(0.01)\n"
        "while time.clock_gettime(time.CLOCK_BOOTTIME) < float(open(path).read()): time.sleep(0.01)"
    )
    stage.run(python(text), fence_at=clock.now() + LATE_S)
    stage.until_checkpoint()
    first = clock.now() + SOON_S
    stage.fence(first)
    stage.renew(first + LATE_S)
    written = tmp_path / "written"
    written.write_text(repr(first + 0.2))
    written.rename(told)
    stage.until(InstanceState.FINISHED)


FAR_S = 1_000.0


def on_loop(stage: Stage, act: Callable[[], None]) -> None:
    """Run `act` on the operators' thread, which stands still for as long as that takes."""
    done = threading.Event()

    def run() -> None:
        try:
            act()
        finally:
            done.set()

    stage.host._thread.post(run)
    assert done.wait(2 * WAIT_S)


def hasten(stage: Stage, fence_at: float) -> None:
    """Have the deadline come earlier, which no worker does: so a test need not guess how long a start takes."""
    child = stage.host._running[INSTANCE].child
    assert child is not None
    child.renew(fence_at)
    assert select.select([child._fence], [], [], WAIT_S)[0], "the supervisor has not moved it"


def test_one_that_stands_still_with_its_supervisor_dies_without_another_step(stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "stamps"
    text = (
        f"file = os.open({str(file)!r}, os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n"
        "def stamp(): os.write(file, f'{time.clock_gettime(time.CLOCK_BOOTTIME)!r}\\n'.encode())\n"
        "stamp()\nsay(checkpoint=str(os.getpid()))\nwhile True: stamp()"
    )
    stage.run(python(text), fence_at=clock.now() + FAR_S)
    pid = int(stage.until_checkpoint())
    fence_at = clock.now() + SOON_S

    def stand_still() -> None:
        hasten(stage, fence_at)
        os.killpg(os.getsid(pid), signal.SIGSTOP)  # and never SIGCONT
        wait_for_end(pid)

    on_loop(stage, stand_still)
    assert stage.until(InstanceState.STOPPED).cause == "fenced: authority ended"
    assert max(float(line) for line in file.read_text().splitlines()) < fence_at


BEARS = """sleep 1000 & echo "{\\"checkpoint\\": \\"$!\\"}" >&3; wait"""


def test_what_it_has_started_dies_before_the_deadline_though_the_worker_stands_still(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long before the kernel's timer, and while the worker is held up: only the supervisor can have killed it."""
    monkeypatch.setattr(process, "EARLY_S", FAR_S)
    stage.run(sh(BEARS), fence_at=clock.now() + 3 * FAR_S)
    pid = int(stage.until_checkpoint())

    def stand_still() -> None:
        child = stage.host._running[INSTANCE].child
        assert child is not None
        child.renew(clock.now() + FAR_S)
        wait_for_end(pid)

    on_loop(stage, stand_still)
    assert stage.until(InstanceState.STOPPED).cause == "fenced: authority ended"


@pytest.mark.skipif(sys.platform != "linux", reason="such pipes are Linux's")
def test_what_it_has_started_dies_though_the_supervisor_and_the_worker_stand_still(stage: Stage) -> None:
    """The kernel kills the stopped supervisor, and in its end the whole group."""
    stage.run(sh(BEARS), fence_at=clock.now() + FAR_S)
    pid = int(stage.until_checkpoint())

    def stand_still() -> None:
        supervisor = os.getsid(pid)
        os.kill(supervisor, signal.SIGSTOP)
        os.kill(supervisor, signal.SIGKILL)  # as the timer does
        wait_for_end(pid)

    on_loop(stage, stand_still)
    assert (stage.until(InstanceState.FAILED).cause or "") == "its process was ended by SIGKILL"


@pytest.mark.skipif(sys.platform != "linux", reason="such pipes are Linux's")
def test_what_a_function_has_started_dies_with_its_process_though_the_worker_stands_still(stage: Stage) -> None:
    stage.run(operators.bears_a_child, isolation=IN_PROCESS)
    pid = int(stage.until_checkpoint())

    def stand_still() -> None:
        os.kill(os.getsid(pid), signal.SIGKILL)
        wait_for_end(pid)

    on_loop(stage, stand_still)
    assert (stage.until(InstanceState.FAILED).cause or "") == "its process was ended by SIGKILL"


# --- what it is told ----------------------------------------------------------------------------------------------


def given(**parameters: object) -> StartInstance:
    spec = OperatorSpec(name="count", kind="k", parallelism=4, parameters=parameters)  # type: ignore[arg-type]  # tests
    return attrs.evolve(start(7, instance=InstanceId("job", "count", 2), resume_from=b"row 9"), spec=spec)


def rendered(*argv: str, **parameters: object) -> list[str]:
    return list(Command(argv=argv).rendered(given(**parameters), worker="w1").argv)


def test_names_in_braces_are_filled_in() -> None:
    text = "{instance} {job} {operator} {index}/{parallelism} {epoch} {kind} {worker} {resume_from}"
    assert rendered("x", text) == ["x", "job/count[2] job count 2/4 7 k w1 row 9"]


def test_parameters_are_filled_in_text_as_it_is_and_all_else_as_json() -> None:
    table = {"inner": {"rate": 2.5}, "flags": [True, "a"]}
    argv = rendered("x", "{parameters.a}", "{parameters.t.inner.rate}", "{parameters.t}", a="b c", t=table)
    assert argv[1:] == ["b c", "2.5", '{"inner":{"rate":2.5},"flags":[true,"a"]}']


def test_what_is_filled_in_is_not_filled_in_again() -> None:
    assert rendered("x", "{parameters.a}", a="{parameters.b}", b="no")[1] == "{parameters.b}"


def test_programs_with_braces_need_no_escapes() -> None:
    for text in ("{a: .b, c: {d: 1}}", "{print $1}", "${HOME}", "a{1,3}", "{}", '{"index": 1}'):
        assert rendered("x", text) == ["x", text]


def test_two_braces_are_the_text_itself() -> None:
    assert rendered("x", "{{index}} {{user}}")[1] == "{index} {user}"


def test_a_parameter_that_the_job_does_not_give_is_a_failure_that_names_it(stage: Stage) -> None:
    stage.run(Command(argv=("true", "{parameters.topic}")))
    cause = "UsageError: argv[1]: the job gives no parameter 'topic' (there are: window)"
    assert stage.until(InstanceState.FAILED).cause == cause


def test_a_checkpoint_that_is_no_text_can_be_had_in_hexadecimal_digits() -> None:
    binary = attrs.evolve(given(), resume_from=b"\xff\x00")
    assert Command(argv=("x",)).rendered(binary, worker="w1").env["SWIMSTREAM_RESUME_FROM_HEX"] == "ff00"
    with pytest.raises(UsageError, match=r"argv\[1\]: \{resume_from\}: the checkpoint is no text"):
        Command(argv=("x", "{resume_from}")).rendered(binary, worker="w1")


def test_a_nul_character_in_a_parameter_is_refused() -> None:
    with pytest.raises(UsageError, match=r"argv\[1\]: expected text without a NUL character"):
        rendered("x", "{parameters.a}", a="b\0c")


def test_two_parameters_for_one_variable_are_refused() -> None:
    with pytest.raises(UsageError, match="another parameter is SWIMSTREAM_PARAMETER_A_B already"):
        rendered("x", **{"a-b": 1, "a.b": 2})


def test_everything_is_in_the_environment_too(stage: Stage) -> None:
    text = "own = {k[11:]: v for k, v in os.environ.items() if k.startswith('SWIMSTREAM_')}\n"
    wanted = {
        "INSTANCE": "job/count[0]", "JOB": "job", "OPERATOR": "count", "INDEX": "0", "PARALLELISM": "1", "EPOCH": "3",
        "KIND": "count", "WORKER": "w1", "RESUME_FROM": "row 7", "RESUME_FROM_HEX": "726f772037",
        "INPUTS": "job/source[0] job/source[1]", "OUTPUTS": "", "PARAMETERS": '{"window":5}', "PARAMETER_WINDOW": "5",
        "REPORT_FD": "3",
    }  # fmt: skip
    wanted["KIND"] = start(3).spec.kind
    stage.run(
        python(text + f"assert {wanted!r}.items() <= own.items(), own\nsay(checkpoint='same')"), resume_from=b"row 7"
    )
    stage.until(InstanceState.FINISHED)


def test_its_own_variables_are_filled_in_and_its_directory_is_taken(stage: Stage, tmp_path: Path) -> None:
    command = Command(shell='[ "$TOPIC" = t-5 ] && [ "$(pwd -P)" = "$WHERE" ]', cwd=tmp_path, env={
        "TOPIC": "t-{parameters.window}", "WHERE": str(tmp_path.resolve()),
    })  # fmt: skip
    stage.run(command)
    stage.until(InstanceState.FINISHED)


def test_a_text_for_a_shell_is_not_filled_in() -> None:
    assert Command(shell="echo {index}").rendered(given(), worker="w1").argv == ("/bin/sh", "-c", "echo {index}")


# --- what is refused early ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "argv: expected a program and its arguments, or else a text as shell, and not both"),
        ({"argv": ("a",), "shell": "b"}, "argv: expected a program and its arguments, or else a text"),
        ({"argv": "jq ."}, "argv: expected a list of a program and its arguments, got 'jq .'"),
        ({"argv": ("jq", 1)}, r"argv\[1\]: expected text, got 1"),
        ({"argv": ("jq", "{instanc}")}, r"argv\[1\]: \{instanc\} is no placeholder; expected one of instance, job, "),
        ({"argv": ("jq", "{user}")}, r"or \{\{user\}\} for the text itself"),
        ({"argv": ("jq", "{parameters.}")}, r"\{parameters.\} is no placeholder"),
        ({"argv": ("a\0b",)}, r"argv\[0\]: expected text without a NUL character"),
        ({"argv": ("a",) * 257}, "argv: expected at most 256, got 257"),
        ({"argv": ("a",), "env": {"A B": "c"}}, "env: expected names of letters, digits and '_', got 'A B'"),
        ({"argv": ("a",), "env": {"A": 1}}, "env.A: expected text, got 1"),
        ({"argv": ("a",), "env": {"SWIMSTREAM_EPOCH": "1"}}, "env.SWIMSTREAM_EPOCH: names that begin with SWIMSTREAM_"),
        ({"argv": ("a",), "env": ["A"]}, r"env: expected a table of texts, got \['A'\]"),
    ],
)
def test_a_bad_command_is_refused_when_it_is_built(fields: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Command(**fields)  # type: ignore[arg-type]  # that is what is tested


def test_a_program_that_is_not_here_is_refused_when_it_is_registered() -> None:
    with pytest.raises(UsageError, match=r"kind 'k': argv\[0\]: no program 'no-such-program' is found here"):
        Registry().register("k", Command(argv=("no-such-program",)))


def test_a_directory_that_is_not_here_is_refused_when_it_is_registered(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="kind 'k': cwd: expected a directory, got "):
        Registry().register("k", Command(argv=("true",), cwd=tmp_path / "gone"))


# --- what it says -------------------------------------------------------------------------------------------------


def test_what_it_says_on_descriptor_3_is_reported(stage: Stage) -> None:
    stage.run(python("say(progress=20, checkpoint='row 20', endpoint='127.0.0.1:99', later='ignored')"))
    stage.until(InstanceState.FINISHED)
    stage.until_checkpoint(b"row 20")
    assert [each.progress for each in stage.taken if each.progress is not None] == [20]
    assert [each.endpoint for each in stage.taken if each.endpoint is not None] == ["127.0.0.1:99"]


def test_what_it_says_arrives_before_its_end_is_told(stage: Stage) -> None:
    stage.run(python("for n in range(1, 10_001): say(progress=n)"))
    stage.until(InstanceState.FINISHED)
    told = [(each.progress, each.state) for each in stage.taken]
    assert max(number for number, _ in told if number is not None) == 10_000
    assert told[-1] == (None, InstanceState.FINISHED)
    assert len(told) < 1_000


def test_one_that_closes_descriptor_3_goes_on(stage: Stage) -> None:
    stage.run(python("say(checkpoint='up')\nos.close(3)\ntime.sleep(0.2)\nsys.exit(7)"))
    assert stage.until(InstanceState.FAILED).cause == "exit status 7"


def test_lines_that_make_no_sense_harm_nobody(stage: Stage) -> None:
    lines = ["", "5", "{", "[" * 9_000, "\xff", json.dumps({"progress": -1}), json.dumps({"checkpoint": "x" * 65})]
    stage.run(python(f"for line in {lines!r}: os.write(3, line.encode('latin-1') + b'\\n')\nsay(progress=3)"))
    stage.until(InstanceState.FINISHED)
    assert [each.progress for each in stage.taken if each.progress is not None] == [3]
