"""Take one port number for both UDP and TCP, or say whose it is."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket

import attrs

from swimstream.errors import UsageError
from swimstream.model.identity import Address

TRIES_MAX = 64
BACKLOG = 128
RECEIVE_BUFFER_BYTES = 1024 * 1024


@attrs.frozen(kw_only=True)
class BoundSockets:
    """A non-blocking pair on one port."""

    udp: socket.socket
    tcp: socket.socket
    address: Address
    """Where it is bound, with the real port."""

    def close(self) -> None:
        """Give the port back."""
        self.udp.close()
        self.tcp.close()


def resolve(address: Address, *, field: str) -> Address:
    """Return `address` with an IP literal for its host name; blocks on the resolver. `UsageError` names `field`."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{field}: cannot resolve the host name {address.host!r} ({error})") from None
    # IPv4 first: a peer speaks one family, and where 'localhost' means both, others mean 127.0.0.1
    found.sort(key=lambda info: info[0] is not socket.AF_INET)
    return Address(str(found[0][4][0]), address.port)


def is_wildcard(host: str) -> bool:
    """Return whether `host` means every interface, which nobody can be reached at."""
    return ipaddress.ip_address(host.partition("%")[0]).is_unspecified


def is_loopback(host: str) -> bool:
    """Return whether the IP literal `host` is reached from this machine only."""
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


def bind_pair(address: Address) -> BoundSockets:
    """Bind UDP and TCP to `address`, an IP literal; port 0 picks one that is free for both."""
    for _ in range(TRIES_MAX if address.port == 0 else 1):
        udp = _bind(address, socket.SOCK_DGRAM)
        chosen = Address(address.host, int(udp.getsockname()[1]))
        try:
            tcp = _bind(chosen, socket.SOCK_STREAM)
        except UsageError:
            udp.close()
            if address.port != 0:
                raise
            continue
        return BoundSockets(udp=udp, tcp=tcp, address=chosen)
    raise UsageError(f"bind: found no port that is free for both udp and tcp on {address.host} in {TRIES_MAX} tries")


def _bind(address: Address, kind: socket.SocketKind) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if family is socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind is socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            with contextlib.suppress(OSError):  # a wish: the kernel caps it, and smaller still works
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.bind((address.host, address.port))
        if kind is socket.SOCK_STREAM:
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise UsageError(f"bind: {_why(address, kind, error)}") from error
    return sock


def _why(address: Address, kind: socket.SocketKind, error: OSError) -> str:
    protocol = "tcp" if kind is socket.SOCK_STREAM else "udp"
    if error.errno == errno.EADDRINUSE:
        return f"{address} is already in use ({protocol})"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{address.host} is not an address of this host"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"no permission to bind {address} ({protocol}); expected a port from 1024 up, or 0"
    return f"cannot bind {address} ({protocol}): {os.strerror(error.errno or 0)}"
