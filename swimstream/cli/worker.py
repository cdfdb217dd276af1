"""`swimstream worker`: run one worker until it is told to stop."""

from __future__ import annotations

import importlib
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from swimstream.errors import SwimstreamError, UsageError
from swimstream.runners.registry import marked
from swimstream.worker import Worker
from swimstream.worker_config import WorkerConfig

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from swimstream.runners.registry import OperatorFunction

USAGE_STATUS = 2


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
    announce: bool,
    lifeline_fd: int | None,
) -> None:
    """Run a worker until SIGTERM or SIGINT; then stop its operators, say goodbye and exit."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if lifeline_fd is not None:
        _watch_lifeline(lifeline_fd)
    try:
        made = _build(config_path, name=name, bind=bind, control=control)
        _run(made, announce=announce)
    except UsageError as error:
        click.echo(f"swimstream worker: {error}", err=True)
        sys.exit(USAGE_STATUS)
    except SwimstreamError as error:
        click.echo(f"swimstream worker: {error}", err=True)
        sys.exit(1)


def _build(config_path: Path, *, name: str | None, bind: str | None, control: Path | None) -> Worker:
    config = WorkerConfig.from_toml(config_path)
    config = attrs.evolve(
        config,
        name=config.name if name is None else name,
        bind=config.bind if bind is None else bind,
        control=config.control if control is None else control.absolute(),
    )
    made = Worker.from_config(config)
    if config.module:
        sys.path.insert(0, str(config_path.absolute().parent))
        for kind, function, isolation in _load(config.module):
            made.register(kind, function, isolation=isolation)
    return made


def _load(module: str) -> Iterator[tuple[str, OperatorFunction, str]]:
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not (module == error.name or module.startswith(error.name + ".")):
            raise  # the module is there; what it imports is not, and its traceback says where
        raise UsageError(f"module: {module!r} is neither beside the config file nor installed") from None
    found = list(marked(loaded))
    if not found:
        raise UsageError(f"module: {module!r} marks no function with @swimstream.operator(kind)")
    return iter(found)


def _run(made: Worker, *, announce: bool) -> None:
    told = threading.Event()

    def tell(_number: int, _frame: FrameType | None) -> None:
        told.set()

    before = {number: signal.signal(number, tell) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        made.start()
        made.stopped().on_settled(told, told.set)
        if announce:
            run = made.run
            ready = {"ready": True, "name": run.name, "boot": run.boot, "address": str(made.address)}
            click.echo(json.dumps(ready | {"control": str(made.config.control or ""), "pid": os.getpid()}))
            sys.stdout.flush()
        told.wait()
        made.stop()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch_lifeline(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        raise click.BadParameter(f"{descriptor} is not an open descriptor", param_hint="--lifeline-fd") from None

    def wait_for_end() -> None:
        while os.read(descriptor, 4_096):
            pass
        os._exit(1)  # the supervisor is gone: nobody is left to read logs or to wait for a goodbye

    threading.Thread(target=wait_for_end, name="swimstream-lifeline", daemon=True).start()
