"""`swimstream keygen`: make a secret key for a cluster."""

from __future__ import annotations

import base64
import os
import secrets
import sys
from pathlib import Path

import click

from swimstream.wire.keyring import KEY_BYTES

USAGE_STATUS = 2


@click.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
def keygen(file: Path | None) -> None:
    """Make a secret key; print it, or write it into FILE, which only its owner can read and must not exist.

    Give every worker of the cluster the same file as `key_file`.
    """
    key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    if file is None:
        click.echo(key)
        return
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(f"{key}\n")
    except OSError as error:
        click.echo(f"swimstream keygen: {file} cannot be written: {error.strerror}", err=True)
        sys.exit(USAGE_STATUS)
