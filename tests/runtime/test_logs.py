"""What instances in processes of their own print: kept in bounded files, and shown page by page."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swimstream.model.identity import InstanceId
from swimstream.model.logs import LOG_PAGE_BYTES_MAX, KeptOutput, LogRequest
from swimstream.model.status import InstanceState
from swimstream.runners import logs as logs_module
from swimstream.runners.command import Command
from swimstream.runners.log_files import FILES_MAX, LogFiles
from swimstream.runners.logs import Logs
from swimstream.runners.registry import IN_PROCESS
from swimstream.runtime.replies import Reply
from swimstream.runtime.reports import Reports
from swimstream.wire.log_codec import encode_log_request, read_kept_untrusted
from tests.runtime import process_operators as operators
from tests.runtime.stage import INSTANCE, WAIT_S, Stage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from swimstream.runners.registry import OperatorFunction

BYTES_MAX = 4_096


class Keeper:
    """Logs with a face for tests."""

    def __init__(self, directory: Path) -> None:
        self.reports = Reports()
        self.logs = Logs(directory, worker="w1", bytes_max=BYTES_MAX, reports=self.reports)
        self.logs.start()

    def ask(self, start: int | None = None, tail: int = 100, instance: InstanceId = INSTANCE) -> KeptOutput:
        request = encode_log_request(LogRequest(instance=instance, start=start, tail=tail))
        return self.ask_raw(request)

    def ask_raw(self, request: bytes) -> KeptOutput:
        reply: Reply[bytes] = Reply()
        self.logs.answer(request, reply.succeed)
        return read_kept_untrusted(reply.wait(WAIT_S))

    def print(self, data: bytes, *, epoch: int = 3, instance: InstanceId = INSTANCE) -> None:
        capture = self.logs.begin(instance, epoch)
        os.write(capture.writing, data)
        os.close(capture.writing)
        self.logs.finish(capture, "finished")


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    made = Keeper(tmp_path)
    yield made
    made.logs.stop(WAIT_S)


@pytest.fixture
def stage(keeper: Keeper) -> Iterator[Stage]:
    made = Stage(logs=keeper.logs)
    yield made
    made.host.end(WAIT_S)


def own_lines(data: bytes) -> list[str]:
    """Return the lines without those that tell when an execution began and ended."""
    return [line for line in data.decode().splitlines() if not line.startswith("--- ")]


# --- what is kept -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("function", [operators.prints, operators.prints_with_asyncio])
def test_what_a_process_prints_and_logs_is_kept(stage: Stage, keeper: Keeper, function: OperatorFunction) -> None:
    loop = "asyncio" if function is operators.prints_with_asyncio else "trio"
    stage.run(function, isolation=IN_PROCESS, loop=loop)
    stage.until(InstanceState.FINISHED)
    told = own_lines(keeper.ask().data)
    assert told[:2] == ["printed", "to the other stream"]
    assert re.fullmatch(r"\d{4}-.* INFO tests.operators logged", told[2])
    assert told[3] == "by a child"


def test_what_it_prints_is_there_while_it_runs(stage: Stage, keeper: Keeper) -> None:
    stage.run(operators.prints_and_waits, isolation=IN_PROCESS)
    stage.until_checkpoint(b"printed")
    page = keeper.ask()
    assert (own_lines(page.data), page.is_running, page.epoch) == (["here"], True, 3)


def test_the_traceback_of_a_failure_is_kept(stage: Stage, keeper: Keeper) -> None:
    stage.run(operators.bad, isolation=IN_PROCESS)
    stage.until(InstanceState.FAILED)
    assert own_lines(keeper.ask().data)[-1] == "ValueError: no such column"


def test_what_a_command_prints_is_kept(stage: Stage, keeper: Keeper) -> None:
    stage.run(Command(shell="echo out; echo err >&2; exit 7"))
    stage.until(InstanceState.FAILED)
    lines = keeper.ask().data.decode().splitlines()
    assert lines[1:3] == ["out", "err"]
    assert lines[0].endswith("job/count[0] on w1: epoch 3 begins ---")
    assert lines[3].endswith("job/count[0] on w1: epoch 3 has ended: exit status 7 ---")


def test_what_returns_when_it_is_asked_to_stop_has_stopped_and_not_finished(stage: Stage, keeper: Keeper) -> None:
    stage.run(operators.tells_pid, isolation=IN_PROCESS)
    stage.until_checkpoint()
    stage.stop(3)
    stage.until(InstanceState.STOPPED)
    assert keeper.ask().data.decode().splitlines()[-1].endswith("epoch 3 has ended: stopped ---")


def test_a_line_on_descriptor_3_that_makes_no_sense_is_told_there(stage: Stage, keeper: Keeper) -> None:
    stage.run(Command(shell="echo nonsense >&3"))
    stage.until(InstanceState.FINISHED)
    told = own_lines(keeper.ask().data)
    assert told == ['descriptor 3: expected a JSON object a line, such as {"progress": 7}']


def test_one_that_prints_without_end_keeps_its_bound_and_what_was_dropped_is_counted(keeper: Keeper) -> None:
    for number in range(20):
        keeper.print(b"%019d\n" % number * 100)
    page = keeper.ask(start=0)
    assert page.end - page.start <= BYTES_MAX
    assert page.start == keeper.reports.log_bytes_dropped > 0
    assert b"%019d\n" % 19 in page.data


def test_a_disk_that_refuses_costs_output_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    keeper = Keeper(tmp_path / "file")
    stage = Stage(logs=keeper.logs)
    stage.run(Command(shell="echo out"))
    stage.until(InstanceState.FINISHED)
    assert stage.host.end(WAIT_S)
    keeper.logs.stop(WAIT_S)
    assert keeper.reports.log_bytes_refused == len("out\n")


def test_no_more_instances_are_kept_than_the_bound(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs_module, "INSTANCES_MAX", 3)
    for index in range(5):
        keeper.print(b"x\n", instance=InstanceId("job", "many", index))
    assert keeper.ask(instance=InstanceId("job", "many", 4)).end > 0
    assert keeper.reports.logs_forgotten == 2
    assert len(list(keeper.logs._directory.glob("*/*"))) == 3


def test_an_end_without_a_newline_does_not_run_into_the_next_line(keeper: Keeper) -> None:
    keeper.print(b"half")
    assert own_lines(keeper.ask().data) == ["half"]


def test_many_instances_print_apart(keeper: Keeper) -> None:
    other = InstanceId("job", "count", 1)
    keeper.print(b"mine\n")
    keeper.print(b"other\n", instance=other)
    assert (own_lines(keeper.ask().data), own_lines(keeper.ask(instance=other).data)) == (["mine"], ["other"])


# --- what is shown ------------------------------------------------------------------------------------------------


def test_a_reader_goes_on_where_it_was(keeper: Keeper) -> None:
    keeper.print(b"one\n")
    first = keeper.ask()
    keeper.print(b"two\n", epoch=4)
    second = keeper.ask(start=first.start + len(first.data))
    assert (own_lines(first.data), own_lines(second.data)) == (["one"], ["two"])
    assert second.begun == first.end
    assert second.epoch == 4


def test_an_instance_that_never_printed_here_is_told_so(keeper: Keeper) -> None:
    with pytest.raises(ValueError, match=r"logs: w1 has no output of job/never\[0\]"):
        keeper.ask(instance=InstanceId("job", "never", 0))


def test_what_makes_no_sense_is_answered_too(keeper: Keeper) -> None:
    with pytest.raises(ValueError, match="logs: w1 does not understand the question"):
        keeper.ask_raw(b"\xff")


# --- files --------------------------------------------------------------------------------------------------------

CHUNKS = st.lists(st.binary(min_size=1, max_size=60), max_size=30)


@given(CHUNKS, st.integers(0, 900), st.integers(0, 200))
def test_a_page_holds_what_was_written_there(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes], start: int, length: int
) -> None:
    files = LogFiles(tmp_path_factory.mktemp("logs"), bytes_max=200)
    dropped = sum(files.append(chunk) for chunk in chunks)
    whole = b"".join(chunks)
    assert (files.end, files.lowest) == (len(whole), dropped)
    assert files.end - files.lowest <= 200
    at, data = files.read(start, length)
    assert at == min(max(start, dropped), len(whole))
    assert data == whole[at : at + length]


@given(CHUNKS, CHUNKS)
def test_a_later_process_goes_on_where_the_earlier_one_was(
    tmp_path_factory: pytest.TempPathFactory, first: list[bytes], second: list[bytes]
) -> None:
    directory, straight = tmp_path_factory.mktemp("logs"), tmp_path_factory.mktemp("logs")
    one, other = LogFiles(directory, bytes_max=200), LogFiles(straight, bytes_max=200)
    for chunk in first:
        one.append(chunk)
        other.append(chunk)
    one = LogFiles(directory, bytes_max=200)
    for chunk in second:
        one.append(chunk)
        other.append(chunk)
    assert (one.end, one.read(0, 1_000)) == (other.end, other.read(0, 1_000))
    assert len(list(directory.iterdir())) <= FILES_MAX


@given(st.lists(st.text("ab", max_size=5), max_size=20), st.integers(0, 25), st.booleans())
def test_the_tail_is_the_last_lines(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[str],
    wanted: int,
    is_whole: bool,  # noqa: FBT001  # a strategy fills it
) -> None:
    text = "\n".join(lines) + ("\n" if is_whole and lines else "")
    files = LogFiles(tmp_path_factory.mktemp("logs"), bytes_max=1_000)
    files.append(text.encode())
    start, data = files.tail(wanted, LOG_PAGE_BYTES_MAX)
    shown = text.splitlines(keepends=True)
    assert data.decode() == "".join(shown[len(shown) - min(wanted, len(shown)) :])
    assert text.encode()[start:] == data
