"""`swimstream keys`: see and change the keys of a running cluster, through one of its workers."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from swimstream.cli.asking import ask, columns, options, show, told_in_one_line
from swimstream.errors import UsageError
from swimstream.wire.keyring import KEY_BYTES, format_key, key_id, parse_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from swimstream.runtime.control_client import Answer

INCOMPLETE_STATUS = 1
force_option = click.option("--force", is_flag=True, help="Go on although it cuts off workers, or may.")


@click.group()
def keys() -> None:
    """See and change the keys of a running cluster. Each worker writes the change into its key file.

    To change a key: install a new one, use it, remove the old one. Each step exits with status 1 unless every worker
    that is remembered has done it; who was away keeps the keys that it had.
    """


@keys.command(name="list")
@options
def list_keys(control: Path, *, as_json: bool) -> None:
    """Show which worker holds which keys; it seals with the first, and opens with all."""
    _show(ask(control, "keys", command="keys list", change="list"), as_json=as_json)


@keys.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@options
def install(file: Path | None, *, control: Path, as_json: bool) -> None:
    """Give every worker one more key: that in FILE, as `swimstream keygen` makes it, or a fresh one."""
    with told_in_one_line("keys install"):
        key = _read(file) if file is not None else secrets.token_bytes(KEY_BYTES)
    answer = ask(control, "keys", command="keys install", change="install", key=format_key(key))
    _show(answer, as_json=as_json, key=key_id(key).hex())


@keys.command()
@click.argument("key")
@options
@force_option
def use(key: str, *, control: Path, as_json: bool, force: bool) -> None:
    """Have every worker seal with the installed key of that id. Refused if somebody could not read it then."""
    _show(ask(control, "keys", command="keys use", change="use", key=key, force=force), as_json=as_json)


@keys.command()
@click.argument("key")
@options
@force_option
def remove(key: str, *, control: Path, as_json: bool, force: bool) -> None:
    """Take the key of that id from every worker. Refused if somebody may still seal with it."""
    _show(ask(control, "keys", command="keys remove", change="remove", key=key, force=force), as_json=as_json)


def _read(file: Path) -> bytes:
    try:
        return parse_key(file.read_text(encoding="ascii"), field=str(file))
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{file}: expected a key in base64") from None


def _show(answer: Answer, *, as_json: bool, key: str = "") -> None:
    """Print who holds what; `key` is the one that was installed."""

    def lines() -> Sequence[str]:
        rows = [
            (name, held[0], " ".join(held[1:]), answer["refused"].get(name, ""))
            for name, held in answer["keys"].items()
        ]
        rows += [(name, "", "", why) for name, why in answer["refused"].items() if name not in answer["keys"]]
        rows += [(name, "", "", "did not answer") for name in answer["silent"]]
        rows += [(name, "", "", "is away") for name in answer["away"]]
        told = [f"key {key}"] if key else []
        return told + columns(("WORKER", "SEALS WITH", "ALSO OPENS", "BUT"), rows)

    show(answer | {"key": key} if key else answer, as_json=as_json, lines=lines)
    if not answer["complete"]:
        sys.exit(INCOMPLETE_STATUS)
