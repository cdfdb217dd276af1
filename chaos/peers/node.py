"""What every Python node process does alike: its arguments, its one-line reports, and its end.

A node writes one JSON object a line to stdout, each with `at`, seconds on CLOCK_MONOTONIC, which all processes of a
Linux machine share: `ready` (its address), `alive`, `suspect`, `dead`, `left` (of a
member), `changed` (a member, and to what). Each line on stdin is an order: `leave`, or `change VALUE`; the node writes
`begun` at the moment when it begins to follow it. It ends when stdin ends.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from chaos.peers.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

PR_SET_PDEATHSIG = 1


@attrs.frozen(kw_only=True)
class Arguments:
    """What a node process is told on its command line."""

    name: str
    seed: str
    """`host:port` of the node to join, or an empty text for the first one."""
    nodes: int
    """How many nodes the cluster will have."""
    settings: Settings
    key_file: Path | None
    """A file with 32 bytes in base64, to encrypt with; None: plaintext."""


def read_arguments() -> Arguments:
    """Parse the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--seed", default="")
    parser.add_argument("--nodes", type=int, required=True)
    parser.add_argument("--settings", required=True)
    parser.add_argument("--key-file", type=Path)
    parsed = parser.parse_args()
    return Arguments(
        name=parsed.name,
        seed=parsed.seed,
        nodes=parsed.nodes,
        settings=Settings.from_json(parsed.settings),
        key_file=parsed.key_file,
    )


def die_with_parent() -> None:
    """Have Linux kill this process when its parent ends, even while it is stopped. Elsewhere the end of stdin does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def report(kind: str, **fields: object) -> None:
    """Write one line at once; any thread. One write call, so that lines of two threads do not mix."""
    line = json.dumps({"kind": kind, "at": time.monotonic(), **fields}) + "\n"
    os.write(sys.stdout.fileno(), line.encode())


def take_orders(*, leave: Callable[[], object], change: Callable[[str], object]) -> None:
    """Follow the orders on stdin from a thread of its own; end the process, as a crash would, when stdin ends.

    `leave` says goodbye; `change` starts the news whose way through the cluster is measured. Both may block.
    """

    def follow() -> None:
        for line in sys.stdin:
            match line.split():
                case ["leave"]:
                    report("begun")
                    leave()
                case ["change", value]:
                    report("begun")
                    change(value)
                case words:
                    raise ValueError(f"expected an order, got {words}")
        os._exit(0)

    threading.Thread(target=follow, name="orders", daemon=True).start()
