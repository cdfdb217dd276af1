"""What instances in processes of their own print: taken from pipes, kept in files, shown to whoever asks.

A thread apart reads, writes and answers: a disk may be slow, and neither the operators nor the peer may wait for it.
It reads for all, so that a process which holds its own interpreter can print all the same.
"""

from __future__ import annotations

import collections
import logging
import os
import selectors
import shutil
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import attrs

from swimstream.errors import WireError
from swimstream.model.identity import InstanceId
from swimstream.model.logs import LOG_PAGE_BYTES_MAX, KeptOutput, LogRequest
from swimstream.runners.log_files import LogFiles
from swimstream.wire.log_codec import encode_kept, read_log_request_untrusted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

    from swimstream.runtime.reports import Reports

log = logging.getLogger(__name__)

CHUNK_BYTES = 65_536
INSTANCES_MAX = 1_024
"""Directories that are kept; beyond that those which were written to the longest ago go."""
DRAIN_READS_MAX = 64
"""Once its process has ended, a pipe is read so often at most: something that has escaped may write on for ever."""
QUESTIONS_MAX = 256
"""That wait to be answered; more are dropped, and their askers hear nothing."""


@attrs.define(eq=False, kw_only=True)
class Capture:
    """The output of one execution. `writing` is the end for its process."""

    instance: InstanceId
    epoch: int
    reading: int
    writing: int
    begun: int = 0


class Output:
    """Where the process of one execution prints: into the logs, or without any where the worker itself does."""

    def __init__(self, logs: Logs | None, instance: InstanceId, epoch: int) -> None:
        """Open; raise `OSError` if there is no pipe to be had. For one `with`."""
        self._logs = logs
        self._capture = None if logs is None else logs.begin(instance, epoch)
        self._is_given = False
        self.how = "given up"
        """How the execution has ended."""

    @property
    def writing(self) -> int | None:
        """Return the descriptor for the process, None: the worker's own."""
        return None if self._capture is None else self._capture.writing

    def given(self) -> None:
        """Note that the process has its end: the worker closes its own, so that the pipe ends with the process."""
        if self._capture is not None and not self._is_given:
            self._is_given = True
            os.close(self._capture.writing)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Keep what is left."""
        self.given()
        if self._logs is not None and self._capture is not None:
            self._logs.finish(self._capture, self.how)


class Logs:
    """The output of one worker's instances. Any thread may call; everything happens on the thread of its own."""

    def __init__(self, directory: Path, *, worker: str, bytes_max: int, reports: Reports) -> None:
        """Prepare to keep at most `bytes_max` of each instance below `directory`; `reports` counts what is dropped."""
        self._directory = directory
        self._worker = worker
        self._bytes_max = bytes_max
        self._reports = reports
        self._todo: collections.deque[Callable[[], None]] = collections.deque()
        self._open: dict[InstanceId, Capture] = {}
        self._newest: dict[InstanceId, Capture] = {}
        self._files: dict[InstanceId, LogFiles] = {}
        self._questions = 0
        self._is_over = False
        self._woken, self._wake = socket.socketpair()
        self._woken.setblocking(False)
        self._wake.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._run, name=f"swimstream-logs-{worker}", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Write what has come so far, and end the thread."""

        def end() -> None:
            self._is_over = True

        self._post(end)
        self._thread.join(timeout_s)

    def begin(self, instance: InstanceId, epoch: int) -> Capture:
        """Return where the process of that execution is to print; raise `OSError` if there is no pipe to be had."""
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        capture = Capture(instance=instance, epoch=epoch, reading=reading, writing=writing)
        self._post(lambda: self._begin(capture))
        return capture

    def finish(self, capture: Capture, how: str) -> None:
        """Keep what is left of an execution that has ended, and `how` that was."""
        self._post(lambda: self._finish(capture, how))

    def answer(self, payload: bytes, reply: Callable[[bytes], None]) -> None:
        """Give `reply` the answer to a question, on the thread of the logs."""
        if self._questions >= QUESTIONS_MAX:
            self._reports.log_questions_dropped += 1
            return
        self._questions += 1
        self._post(lambda: self._answer(payload, reply))

    def _post(self, act: Callable[[], None]) -> None:
        self._todo.append(act)
        with suppress(OSError):  # full: it wakes anyway; closed: it has ended
            self._wake.send(b"w")

    # --- on the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        self._selector.register(self._woken, selectors.EVENT_READ)
        while not self._is_over:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    self._woken.recv(CHUNK_BYTES)
                elif isinstance(key.data, Capture):
                    self._read(key.data)
            while self._todo:
                self._todo.popleft()()
        for capture in list(self._open.values()):
            self._finish(capture, "the worker ends")
        self._selector.close()
        self._woken.close()
        self._wake.close()

    def _begin(self, capture: Capture) -> None:
        instance = capture.instance
        with suppress(OSError):  # the next line tells
            capture.begun = self._files_of(instance).end
        self._open[instance] = capture
        self._newest.pop(instance, None)
        self._newest[instance] = capture
        if len(self._newest) > INSTANCES_MAX:
            del self._newest[next(iter(self._newest))]
        self._write_line(capture, f"epoch {capture.epoch} begins")
        self._selector.register(capture.reading, selectors.EVENT_READ, capture)

    def _read(self, capture: Capture) -> bool:
        """Keep what is there; return whether there was anything, and the pipe goes on."""
        try:
            data = os.read(capture.reading, CHUNK_BYTES)
        except BlockingIOError:
            return False
        if data:
            self._write(capture.instance, data)
        else:
            self._selector.unregister(capture.reading)
        return bool(data)

    def _finish(self, capture: Capture, how: str) -> None:
        if capture.reading in self._selector.get_map():
            for _ in range(DRAIN_READS_MAX):
                if not self._read(capture):
                    break
            with suppress(KeyError):  # the pipe has just ended
                self._selector.unregister(capture.reading)
        os.close(capture.reading)
        self._write_line(capture, f"epoch {capture.epoch} has ended: {how}")
        if self._open.get(capture.instance) is capture:
            del self._open[capture.instance]
            del self._files[capture.instance]

    def _write_line(self, capture: Capture, what: str) -> None:
        """Write a line of our own, so that a reader sees whose output begins and ends where."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = f"--- {now} {capture.instance} on {self._worker}: {what} ---"
        self._keep(capture.instance, lambda files: files.append_line(line), 0)

    def _write(self, instance: InstanceId, data: bytes) -> None:
        self._keep(instance, lambda files: files.append(data), len(data))

    def _keep(self, instance: InstanceId, write: Callable[[LogFiles], int], size: int) -> None:
        """Write, and count what was dropped. A full disk costs output, never an operator."""
        try:
            self._reports.log_bytes_dropped += write(self._files_of(instance))
        except OSError as error:
            if not self._reports.log_bytes_refused:
                log.warning("output cannot be kept worker=%s why=%s", self._worker, error)
            self._reports.log_bytes_refused += size

    def _files_of(self, instance: InstanceId) -> LogFiles:
        files = self._files.get(instance)
        if files is None:
            self._forget_oldest()
            files = self._files[instance] = LogFiles(self._path(instance), bytes_max=self._bytes_max)
        return files

    def _forget_oldest(self) -> None:
        """Make room for one more directory."""
        kept = sorted(self._directory.glob("*/*"), key=lambda path: path.stat().st_mtime)
        used = {self._path(instance) for instance in self._open}
        idle = [path for path in kept if path not in used]
        for path in idle[: max(0, len(kept) - INSTANCES_MAX + 1)]:
            shutil.rmtree(path, ignore_errors=True)
            self._reports.logs_forgotten += 1

    def _path(self, instance: InstanceId) -> Path:
        return self._directory / instance.job / f"{instance.operator}.{instance.index}"

    def _answer(self, payload: bytes, reply: Callable[[bytes], None]) -> None:
        self._questions -= 1
        answer: KeptOutput | str
        try:
            answer = self._page(read_log_request_untrusted(payload))
        except WireError as error:
            answer = f"logs: {self._worker} does not understand the question: {error}"
        except OSError as error:
            answer = f"logs: {self._worker} cannot read them: {error}"
        reply(encode_kept(answer))

    def _page(self, asked: LogRequest) -> KeptOutput | str:
        instance = asked.instance
        path = self._path(instance)
        if instance not in self._files and not path.is_dir():
            return f"logs: {self._worker} has no output of {instance}"
        files = self._files.get(instance) or LogFiles(path, bytes_max=self._bytes_max)
        if asked.start is None:
            start, data = files.tail(asked.tail, LOG_PAGE_BYTES_MAX)
        else:
            start, data = files.read(asked.start, LOG_PAGE_BYTES_MAX)
        newest = self._newest.get(instance)
        return KeptOutput(
            start=start,
            data=data,
            end=files.end,
            begun=newest.begun if newest is not None else files.lowest,
            epoch=newest.epoch if newest is not None else 0,
            is_running=instance in self._open,
        )
