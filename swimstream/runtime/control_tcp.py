"""The control port by TCP, for those who have no Unix sockets: on the loopback only, and only with the token.

A loopback port is open to every user of the machine and to whatever a browser can be made to send there. So the first
line must be a `hello` with the secret token; it is answered like any other `hello`. Anything else ends the connection.
"""

from __future__ import annotations

import hmac
import os
import secrets
import socket
from typing import TYPE_CHECKING

import attrs
import trio

from swimstream.errors import UsageError
from swimstream.model.identity import Address
from swimstream.runtime.binding import is_loopback
from swimstream.runtime.control_lines import parse_request, read_to_end, refusal, write_line
from swimstream.runtime.control_socket import CONNECTIONS_MAX
from swimstream.runtime.udp import is_literal

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from swimstream.runtime.control_lines import Lines

FIRST_LINE_BYTES_MAX = 4_096
FIRST_LINE_S = 10.0
TOKEN_CHARS_MIN, TOKEN_CHARS_MAX = 32, 256
LINGER_S = 0.5


@attrs.frozen
class TcpDoor:
    """Where to listen by TCP, and what who comes must know."""

    address: Address
    """A literal loopback address; port 0 picks a free one."""
    token: str = attrs.field(repr=False)

    @classmethod
    def open(cls, text: str, token_file: Path) -> Self:
        """Return the door at `host:port`; make a token if there is no such file. Raise `UsageError`."""
        address = Address.parse(text, field="control_tcp")
        if not is_literal(address.host) or not is_loopback(address.host):
            raise UsageError(f"control_tcp: expected a loopback address such as 127.0.0.1:0, got {text!r}")
        return cls(address, _read_token(token_file))

    def bind(self) -> socket.socket:
        """Listen; raise `UsageError`."""
        family = socket.AF_INET6 if ":" in self.address.host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((self.address.host, self.address.port))
            sock.listen(CONNECTIONS_MAX)
        except OSError as error:
            sock.close()
            raise UsageError(f"control_tcp: cannot listen at {self.address}: {error.strerror or error}") from None
        return sock


async def has_token(connection: trio.SocketStream, lines: Lines, token: str) -> bool:
    """Read the first line, and return whether it is a `hello` with the token; else say what was expected.

    The line is left to be read and answered again.
    """
    line = None
    with trio.move_on_after(FIRST_LINE_S):
        line = await lines.next(bytes_max=FIRST_LINE_BYTES_MAX)
    if line is not None and len(line) <= FIRST_LINE_BYTES_MAX and _shows(line, token):
        lines.put_back(line)
        return True
    expected = 'token: expected {"verb": "hello", "token": "..."} first, with the token of this port'
    await write_line(connection, refusal(UsageError(expected)))
    with trio.move_on_after(LINGER_S):
        await read_to_end(connection)
    return False


def _shows(line: bytes, token: str) -> bool:
    try:
        request = parse_request(line)
    except UsageError:
        return False
    shown = request.get("token")
    same = isinstance(shown, str) and hmac.compare_digest(shown.encode("utf-8", "replace"), token.encode())
    return same and request.get("verb") == "hello"


def _read_token(path: Path) -> str:
    try:
        made = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    except OSError as error:
        raise UsageError(f"control_token_file: {path} cannot be written: {error.strerror}") from None
    else:
        with os.fdopen(made, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32) + "\n")
    try:
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"control_token_file: {path} cannot be read: {error}") from None
    if not TOKEN_CHARS_MIN <= len(token) <= TOKEN_CHARS_MAX or not token.isprintable():
        raise UsageError(
            f"control_token_file: expected one line of {TOKEN_CHARS_MIN} to {TOKEN_CHARS_MAX} characters in {path}"
        )
    if path.stat().st_mode & 0o077:
        raise UsageError(f"control_token_file: expected a file that only its owner can read: chmod 600 {path}")
    return token
