"""`swimstream worker`: run one worker until it is told to stop."""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from swimstream.errors import SwimstreamError, UsageError
from swimstream.runners.causes import cause_of
from swimstream.runners.command import Command
from swimstream.runners.registry import marked
from swimstream.worker import Worker
from swimstream.worker_config import PEER_ISOLATIONS, PROCESS, WorkerConfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Self

    from swimstream.runners.registry import Mark, OperatorFunction

log = logging.getLogger(__name__)
USAGE_STATUS = 2
ENDING = (signal.SIGTERM, signal.SIGINT)


@click.command()
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="TOML file with the fields of WorkerConfig; its key 'module' names the Python module of the operators.",
)
@click.option("--name", help="Name of the worker, instead of the file's.")
@click.option("--bind", help="host:port to listen at, instead of the file's.")
@click.option("--control", type=click.Path(path_type=Path), help="Path of the control socket, instead of the file's.")
@click.option("--logs", type=click.Path(path_type=Path), help="Directory for the output of instances, likewise.")
@click.option(
    "--command",
    "commands",
    multiple=True,
    metavar="KIND=LINE",
    help="Run operators of KIND by a command, in words and quotes as in a shell but without one; may be repeated.",
)
@click.option(
    "--isolation",
    type=click.Choice(PEER_ISOLATIONS),
    help="Where the peer runs, instead of the file's; 'process' if neither says.",
)
@click.option("--announce", is_flag=True, help="Print one line of JSON once the worker has joined.")
@click.option(
    "--lifeline-fd",
    type=click.IntRange(min=3),
    help="Exit at once, without a goodbye, when this inherited pipe reaches its end: for supervisors.",
)
def worker(
    config_path: Path,
    *,
    name: str | None,
    bind: str | None,
    control: Path | None,
    logs: Path | None,
    commands: tuple[str, ...],
    isolation: str | None,
    announce: bool,
    lifeline_fd: int | None,
) -> None:
    """Run a worker until SIGTERM or SIGINT; then stop its operators, say goodbye and exit."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if lifeline_fd is not None:
        watch_lifeline(lifeline_fd)
    try:
        made = _build(
            config_path,
            name=name,
            bind=bind,
            control=control,
            logs=logs,
            commands=commands,
            isolation=isolation,
        )
        _run(made, announce=announce)
    except UsageError as error:
        click.echo(f"swimstream worker: {error}", err=True)
        sys.exit(USAGE_STATUS)
    except SwimstreamError as error:
        click.echo(f"swimstream worker: {error}", err=True)
        sys.exit(1)


def _build(
    config_path: Path,
    *,
    name: str | None,
    bind: str | None,
    control: Path | None,
    logs: Path | None,
    commands: tuple[str, ...],
    isolation: str | None,
) -> Worker:
    config = WorkerConfig.from_toml(config_path, defaults={"isolation": PROCESS})
    config = attrs.evolve(
        config,
        name=config.name if name is None else name,
        bind=config.bind if bind is None else bind,
        control=config.control if control is None else control.absolute(),
        logs=config.logs if logs is None else logs.absolute(),
        commands={**config.commands, **dict(map(_command, commands))},
        isolation=config.isolation if isolation is None else isolation,
    )
    made = Worker.from_config(config)
    if config.module:
        sys.path.insert(0, str(config_path.absolute().parent))
        for function, mark in _load(config.module):
            made.register(mark.kind, function, isolation=mark.isolation, loop=mark.loop)
    return made


def _command(text: str) -> tuple[str, Command]:
    kind, equals, line = text.partition("=")
    if not equals or not line:
        raise UsageError(f"--command: expected KIND=LINE, such as sort='sort -n', got {text!r}")
    return kind, Command.parse(line, field=f"--command {kind}")


def _load(module: str) -> Iterator[tuple[OperatorFunction, Mark]]:
    try:
        loaded = importlib.import_module(module)
    except Exception as error:
        absent = error.name if isinstance(error, ModuleNotFoundError) else None
        if absent is not None and (module == absent or module.startswith(absent + ".")):
            raise UsageError(f"module: {module!r} is neither beside the config file nor installed") from None
        log.exception("the module of the operators cannot be imported")  # the traceback says where in it
        raise UsageError(f"module: {module!r} cannot be imported: {cause_of(error)}") from None
    found = list(marked(loaded))
    if not found:
        raise UsageError(f"module: {module!r} marks no function with @swimstream.operator(kind)")
    return iter(found)


def _run(made: Worker, *, announce: bool) -> None:
    with Endings() as endings:
        made.start()
        made.stopped().on_settled(endings, endings.end)
        if announce:
            run = made.run
            ready = {"ready": True, "name": run.name, "boot": run.boot, "address": str(made.address)}
            click.echo(json.dumps(ready | {"control": str(made.config.control or ""), "pid": os.getpid()}))
            sys.stdout.flush()
        endings.wait()
        made.stop()


class Endings:
    """SIGTERM and SIGINT, whichever thread they come to. Main thread only, but for `end`.

    Python runs handlers on the main thread, and one that waits for a lock is not woken by a signal that the kernel
    has given to another thread, as it does right after a SIGCONT. It is woken by the byte that Python writes then.
    """

    def __enter__(self) -> Self:
        """Take over both signals."""
        self._reading, self._writing = socket.socketpair()
        self._writing.setblocking(False)
        self._woken_before = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _no_more_than_wake) for number in ENDING}
        return self

    def __exit__(self, *_: object) -> None:
        """Give them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._woken_before)
        self._reading.close()
        self._writing.close()

    def wait(self) -> None:
        """Return once one has come; the byte is its number."""
        while self._reading.recv(1)[0] not in ENDING:
            pass

    def end(self) -> None:
        """Do as if one had come (any thread)."""
        with contextlib.suppress(OSError):  # full, or closed: it ends already
            self._writing.send(bytes([signal.SIGTERM]))


def _no_more_than_wake(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal: without a handler of Python's no byte is written."""


def watch_lifeline(descriptor: int) -> None:
    """End this process at once when the pipe reaches its end."""
    try:
        os.fstat(descriptor)
    except OSError:
        raise click.BadParameter(f"{descriptor} is not an open descriptor", param_hint="--lifeline-fd") from None

    def wait_for_end() -> None:
        while os.read(descriptor, 4_096):
            pass
        os._exit(1)  # the supervisor is gone: nobody is left to read logs or to wait for a goodbye

    threading.Thread(target=wait_for_end, name="swimstream-lifeline", daemon=True).start()
