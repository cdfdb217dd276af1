"""Does `tc netem` really delay here? Two namespaces, a cable between them, round trips with and without it.

`python -m chaos.guest.delays`: exit status 0 if it does. Root, or a user who may make namespaces. Some 3 s.
"""

from __future__ import annotations

import json
import select
import socket
import statistics
import subprocess
import sys
import time

from chaos.minority.lab import LabError, enter, ip

HERE, THERE = "10.98.0.1", "10.98.0.2"
PORT = 7946
DELAY_MS = 50
TRIPS = 20
LATE_MS_MAX = 25.0
"""How much later than asked for the median may be, on a machine that does much else."""
TRIP_S_MAX = 5.0
MODULE = "chaos.guest.delays"


def main() -> None:
    """Measure; write one line of JSON."""
    match sys.argv[1:]:
        case ["there"]:
            _echo()
        case ["here"]:
            sys.exit(_measure())
        case _:
            try:
                enter([sys.executable, "-m", MODULE, "here"])
            except LabError as error:
                sys.exit(f"not measured: {error}")


def judge(plain_ms: list[float], delayed_ms: list[float]) -> bool:
    """Return whether the second round trips took the delay longer: none took less, their median not much more."""
    added_ms = statistics.median(delayed_ms) - statistics.median(plain_ms)
    return min(delayed_ms) >= DELAY_MS and added_ms <= DELAY_MS + LATE_MS_MAX


def _measure() -> int:
    with subprocess.Popen(  # noqa: S603  # this very program
        ["unshare", "--net", sys.executable, "-m", MODULE, "there"],  # noqa: S607  # wherever it is
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as there:
        assert there.stdin is not None
        assert there.stdout is not None
        there.stdout.readline()  # it is in a namespace of its own
        ip("link", "add", "here0", "type", "veth", "peer", "name", "there0", "netns", str(there.pid))
        ip("addr", "add", f"{HERE}/24", "dev", "here0")
        ip("link", "set", "here0", "up")
        there.stdin.write(b"go\n")
        there.stdin.flush()
        there.stdout.readline()  # it listens
        plain_ms = _round_trips_ms()
        added = subprocess.run(  # noqa: S603  # a fixed command
            f"tc qdisc add dev here0 root netem delay {DELAY_MS}ms".split(), capture_output=True, check=False
        )
        delayed_ms = _round_trips_ms()
        there.kill()
    is_ok = added.returncode == 0 and judge(plain_ms, delayed_ms)
    figures = {"ok": is_ok, "tc": added.stderr.decode().strip(), "delay_ms": DELAY_MS}
    for name, trips_ms in (("plain", plain_ms), ("delayed", delayed_ms)):
        figures |= {f"{name}_ms": {"min": round(min(trips_ms), 2), "p50": round(statistics.median(trips_ms), 2)}}
    sys.stdout.write(json.dumps(figures) + "\n")
    return 0 if is_ok else 1


def _round_trips_ms() -> list[float]:
    trips_ms = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for number in range(TRIPS + 1):
            began_at = time.monotonic()
            sock.sendto(bytes([number]), (THERE, PORT))
            readable, _, _ = select.select([sock], [], [], TRIP_S_MAX)
            assert readable, "a round trip was lost, of a network without loss"
            sock.recv(1)
            trips_ms.append((time.monotonic() - began_at) * 1000)
    return trips_ms[1:]  # the first one also asked who has the address


def _echo() -> None:
    sys.stdout.write("here\n")
    sys.stdout.flush()
    sys.stdin.readline()
    ip("addr", "add", f"{THERE}/24", "dev", "there0")
    ip("link", "set", "there0", "up")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((THERE, PORT))
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        while True:
            data, source = sock.recvfrom(1)
            sock.sendto(data, source)


if __name__ == "__main__":
    main()
