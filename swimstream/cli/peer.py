"""`swimstream peer`: be the peer of a process in another language, which attaches to the control port."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import attrs
import click

from swimstream.cli.worker import USAGE_STATUS, Endings, watch_lifeline
from swimstream.config import PRESETS
from swimstream.errors import SwimstreamError, UsageError
from swimstream.peer import Peer
from swimstream.runtime.control_tcp import TcpDoor
from swimstream.worker_config import WorkerConfig

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., None]")
PATH = click.Path(path_type=Path)
OPTIONS = (
    click.option("--config", "config_path", type=PATH, metavar="FILE", help="TOML file with fields of WorkerConfig."),
    click.option("--name", help="Name of the worker."),
    click.option("--seeds", help="host:port of workers to ask at the start, with commas between them."),
    click.option("--bind", help="host:port to listen at for other workers."),
    click.option("--advertise", help="host:port at which others reach it, if that is not where it listens."),
    click.option("--site", help="The place it stands at."),
    click.option("--capacity", type=int, help="How many instances it takes, unless the process says."),
    click.option("--expect", type=int, help="The cluster is founded once so many workers see each other."),
    click.option("--preset", type=click.Choice(list(PRESETS)), help="Pace of the protocol."),
    click.option("--state-dir", type=PATH, help="Where votes and the plan survive a restart."),
    click.option("--key-file", type=PATH, help="Secret keys of the cluster."),
    click.option("--control", type=PATH, help="Path of the socket at which the process attaches."),
    click.option("--control-tcp", metavar="HOST:PORT", help="Loopback address at which it may attach by TCP."),
    click.option("--control-token-file", type=PATH, help="Secret for --control-tcp; made if there is no such file."),
    click.option("--announce", is_flag=True, help="Print one line of JSON once a process can attach."),
    click.option(
        "--lifeline-fd",
        type=click.IntRange(min=3),
        help="Exit at once, without a goodbye, when this inherited pipe reaches its end: for supervisors.",
    ),
)


def _with_options(command: F) -> F:
    for option in reversed(OPTIONS):
        command = option(command)
    return command


@click.command()
@_with_options
def peer(
    *,
    config_path: Path | None,
    control_tcp: str | None,
    control_token_file: Path | None,
    announce: bool,
    lifeline_fd: int | None,
    **fields: str | int | Path | None,
) -> None:
    """Wait for a process to attach, be its peer until either ends; then leave and exit.

    What stands in the file is overridden by the options.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if lifeline_fd is not None:
        watch_lifeline(lifeline_fd)
    try:
        door = _door(control_tcp, control_token_file)
        _run(Peer(_config(config_path, fields), door=door), announce=announce)
    except UsageError as error:
        click.echo(f"swimstream peer: {error}", err=True)
        sys.exit(USAGE_STATUS)
    except SwimstreamError as error:
        click.echo(f"swimstream peer: {error}", err=True)
        sys.exit(1)


def _config(path: Path | None, fields: dict[str, str | int | Path | None]) -> WorkerConfig:
    given: dict[str, object] = {name: value for name, value in fields.items() if value is not None}
    if isinstance(seeds := given.get("seeds"), str):
        given["seeds"] = tuple(each.strip() for each in seeds.split(",") if each.strip())
    if isinstance(control := given.get("control"), Path):
        given["control"] = control.absolute()
    if path is not None:
        return attrs.evolve(WorkerConfig.from_toml(path), **given)  # type: ignore[arg-type]  # each field checks itself
    if "name" not in given:
        raise UsageError("name: expected --name, or --config with a name")
    return WorkerConfig(**given)  # type: ignore[arg-type]  # likewise


def _door(address: str | None, token_file: Path | None) -> TcpDoor | None:
    if address is None and token_file is None:
        return None
    if address is None or token_file is None:
        raise UsageError("control_tcp: expected --control-tcp and --control-token-file together")
    return TcpDoor.open(address, token_file)


def _run(made: Peer, *, announce: bool) -> None:
    with Endings() as endings:
        made.start()
        made.stopped().on_settled(endings, endings.end)
        if announce:
            tcp = "" if made.tcp_address is None else str(made.tcp_address)
            ready = {"ready": True, "name": made.config.name, "control": str(made.config.control or "")}
            click.echo(json.dumps(ready | {"control_tcp": tcp, "pid": os.getpid()}))
            sys.stdout.flush()
        endings.wait()
        made.stop()
