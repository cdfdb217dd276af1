"""What an instance printed, shown by any worker of the cluster: real workers, real commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from swimstream.cli import main
from swimstream.errors import UsageError
from swimstream.model.identity import InstanceId
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.runners.command import Command
from swimstream.worker import Worker
from tests.api.test_workers import WAIT_S, until_view, wait

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from swimstream.runtime.view import View

SHOUT = Command(shell="""echo "epoch $SWIMSTREAM_EPOCH"; echo '{"checkpoint": "up"}' >&3; exec sleep 1000""")
COUNT = Command(shell="for n in 1 2 3; do echo line $n; done")
INSTANCE = InstanceId("j", "o", 0)


def job(kind: str) -> JobSpec:
    return JobSpec(name="j", operators=(OperatorSpec(name="o", kind=kind),))


def build(tmp_path: Path, name: str, *seeds: Worker, expect: int = 3) -> Worker:
    worker = Worker(
        name=name,
        expect=expect,
        preset="local",
        seeds=[str(each.address) for each in seeds],
        logs=tmp_path / "logs",
        control=tmp_path / f"{name}.sock",
        commands={"shout": SHOUT, "count": COUNT},
        stop_timeout_s=2.0,
    )
    worker.register("wait", wait)
    return worker


@pytest.fixture
def three(tmp_path: Path) -> Iterator[dict[str, Worker]]:
    first = build(tmp_path, "a")
    first.start()
    workers = [first]
    for name in "bc":
        workers.append(build(tmp_path, name, first))
        workers[-1].start()
    for worker in workers:
        until_view(worker, lambda view: bool(view.mark.leader) and view.plan.index > 1)
    yield {worker.config.name: worker for worker in workers}
    for worker in workers:
        worker.stop(leave=False)


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[Worker]:
    with build(tmp_path, "a", expect=1) as worker:
        yield worker


def is_up(view: View, *, not_on: str = "") -> bool:
    held, status = view.plan.assignments.get(INSTANCE), view.status_by_instance.get(INSTANCE)
    if held is None or status is None or status.epoch != held.epoch or held.run.name == not_on:
        return False
    # a copy that goes on from a checkpoint has it from the start, so what it does tells whether it is up
    return status.state.name == "RUNNING" and status.checkpoint == b"up"


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, arguments)
    return result.exit_code, result.stdout, result.stderr


def own_lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("--- ")]


def test_every_worker_shows_what_an_instance_printed_and_after_a_move_where_it_was(
    three: dict[str, Worker], tmp_path: Path
) -> None:
    three["a"].submit(job("shout")).wait(WAIT_S)
    for worker in three.values():
        until_view(worker, is_up)
    held = three["a"].plan().assignments[INSTANCE]
    for worker in three.values():
        page = worker.logs(str(INSTANCE)).wait(WAIT_S)
        assert own_lines(page.kept.data.decode()) == [f"epoch {held.epoch}"]
        assert (page.worker, page.kept.is_running, page.former) == (held.run.name, True, ())
    other = next(name for name in three if name != held.run.name)
    status, out, err = run("logs", str(INSTANCE), "--control", str(tmp_path / f"{other}.sock"))
    assert (status, own_lines(out)) == (0, [f"epoch {held.epoch}"])
    assert err == f"j/o[0] runs on {held.run.name}\n"

    three[held.run.name].leave().wait(WAIT_S)
    until_view(three[other], lambda view: is_up(view, not_on=held.run.name))
    page = three[other].logs(INSTANCE).wait(WAIT_S)
    assert page.former == (held.run.name,)
    assert page.worker != held.run.name
    words = f"logs: {held.run.name} has j/o\\[0\\] and is left; what it printed is in the directory of logs"
    with pytest.raises(UsageError, match=words):
        three[other].logs(INSTANCE, worker=held.run.name)


def test_follow_shows_everything_and_ends_when_the_instance_has_finished(lone: Worker, tmp_path: Path) -> None:
    lone.submit(job("count")).wait(WAIT_S)
    until_view(lone, lambda view: INSTANCE in view.status_by_instance)
    lone.finished("j").wait(WAIT_S)
    status, out, err = run("logs", "j/o[0]", "--follow", "--tail", "2", "--control", str(tmp_path / "a.sock"))
    assert (status, err) == (0, "j/o[0] ran on a\n")
    assert own_lines(out) == ["line 3"]


def test_the_tail_is_as_long_as_asked_for_and_json_tells_the_rest(lone: Worker, tmp_path: Path) -> None:
    lone.submit(job("count")).wait(WAIT_S)
    lone.finished("j").wait(WAIT_S)
    status, out, _ = run("logs", "j/o[0]", "--tail", "3", "--json", "--control", str(tmp_path / "a.sock"))
    answer = json.loads(out)
    assert status == 0
    assert own_lines(answer["text"]) == ["line 2", "line 3"]
    assert (answer["worker"], answer["finished"], answer["running"], answer["begun"]) == ("a", True, False, 0)
    assert answer["next"] == answer["end"] == answer["start"] + len(bytes.fromhex(answer["data"]))


def test_an_instance_inside_the_worker_has_no_output_of_its_own(lone: Worker, tmp_path: Path) -> None:
    lone.submit(job("wait")).wait(WAIT_S)
    until_view(lone, lambda view: INSTANCE in view.status_by_instance)
    status, _, err = run("logs", "j/o[0]", "--control", str(tmp_path / "a.sock"))
    words = "j/o[0] runs inside the worker a, so it has no output of its own; look at that of the worker"
    assert (status, err) == (2, f"swimstream logs: logs: {words}\n")


def test_a_worker_that_keeps_nothing_says_so() -> None:
    with Worker(name="a", preset="local", commands={"count": COUNT}) as worker:
        worker.submit(job("count")).wait(WAIT_S)
        worker.finished("j").wait(WAIT_S)
        with pytest.raises(UsageError, match="logs: a keeps no output of its instances, since it has neither logs nor"):
            worker.logs(INSTANCE).wait(WAIT_S)


@pytest.mark.parametrize(
    ("instance", "fields", "words"),
    [
        ("j/o[0]", {}, r"instance: no job that is known here has an instance j/o\[0\]"),
        ("nonsense", {}, "instance: expected "),
        ("j/o[0]", {"worker": "z"}, r"logs: no member is named 'z'; j/o\[0\] was given to: nobody"),
        ("j/o[0]", {"tail": -1}, "tail: expected an integer from 0 to 100000, got -1"),
        ("j/o[0]", {"start": True}, "start: expected an integer from 0 to "),
    ],
)
def test_what_cannot_be_shown_is_refused_with_the_reason(
    lone: Worker, instance: str, fields: dict[str, int], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        lone.logs(instance, **fields)  # type: ignore[arg-type]  # that is what is tested


def test_what_no_worker_has_any_more_is_refused_with_who_had_it(lone: Worker) -> None:
    lone.submit(job("shout")).wait(WAIT_S)
    until_view(lone, is_up)
    lone.cancel("j").wait(WAIT_S)
    until_view(lone, lambda view: INSTANCE not in view.plan.assignments)
    with pytest.raises(UsageError, match=r"given to no worker now; others can be asked by name, it was given to: a$"):
        lone.logs(INSTANCE)
    assert lone.logs(INSTANCE, worker="a").wait(WAIT_S).worker == "a"


# --- commands of a worker's file ----------------------------------------------------------------------------------

FILE = """
name = "w1"
preset = "local"
control = "w1.sock"

[commands.sort]
argv = ["sort", "-n", "{parameters.file}"]
env = { LC_ALL = "C" }
cwd = "data"

[commands.count]
shell = "wc -l < data/$SWIMSTREAM_PARAMETER_FILE"
"""


def test_a_file_names_commands_and_their_directories_are_relative_to_it(tmp_path: Path) -> None:
    from swimstream.worker_config import WorkerConfig  # noqa: PLC0415  # beside what it is tested with

    (tmp_path / "w1.toml").write_text(FILE)
    made = WorkerConfig.from_toml(tmp_path / "w1.toml").commands
    assert made["sort"] == Command(argv=("sort", "-n", "{parameters.file}"), env={"LC_ALL": "C"}, cwd=tmp_path / "data")
    assert made["count"] == Command(shell="wc -l < data/$SWIMSTREAM_PARAMETER_FILE")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('argv = ["sort"]\nshel = "x"', "commands.k.shel: unknown key; expected one of argv, shell, env, cwd"),
        ('argv = "sort"', "commands.k.argv: expected a list"),
        ('argv = ["sort", "{indx}"]', "commands.k.argv[1]: {indx} is no placeholder"),
        ("", "commands.k.argv: expected a program and its arguments"),
    ],
)
def test_a_bad_command_of_a_file_is_refused_with_its_place(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "w1.toml"
    path.write_text(f'name = "w1"\n[commands.k]\n{line}\n')
    status, _, err = run("worker", "--config", str(path))
    assert status == 2
    assert words in err


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("sort", "--command: expected KIND=LINE, such as sort='sort -n', got 'sort'"),
        ("k=sort 'x", '--command k: expected words and quotes as in a shell, got "sort \'x" (No closing quotation)'),
        ("k=no-such-program", "kind 'k': argv[0]: no program 'no-such-program' is found here"),
        ("a b=sort", "commands: expected "),
    ],
)
def test_a_bad_command_of_the_command_line_is_refused(tmp_path: Path, given: str, words: str) -> None:
    path = tmp_path / "w1.toml"
    path.write_text('name = "w1"\n')
    status, _, err = run("worker", "--config", str(path), "--command", given)
    assert status == 2
    assert words in err
