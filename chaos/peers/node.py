"""What every Python node process does alike: its arguments, its one-line reports, and its end.

A node writes one JSON object a line to stdout, each with `at`, seconds on CLOCK_MONOTONIC, which all processes of a
Linux machine share: `ready` (its address), `alive`, `suspect`, `dead`, `left` (of a member), `counters`. It answers
each line on stdin with its counters, and ends when stdin ends.
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
from typing import TYPE_CHECKING

import attrs

from chaos.peers.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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


def read_arguments() -> Arguments:
    """Parse the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--name", required=True)
    parser.add_argument("--seed", default="")
    parser.add_argument("--nodes", type=int, required=True)
    parser.add_argument("--settings", required=True)
    parsed = parser.parse_args()
    return Arguments(
        name=parsed.name, seed=parsed.seed, nodes=parsed.nodes, settings=Settings.from_json(parsed.settings)
    )


def die_with_parent() -> None:
    """Have Linux kill this process when its parent ends, even while it is stopped. Elsewhere the end of stdin does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def report(kind: str, **fields: object) -> None:
    """Write one line at once; any thread. One write call, so that lines of two threads do not mix."""
    line = json.dumps({"kind": kind, "at": time.monotonic(), **fields}) + "\n"
    os.write(sys.stdout.fileno(), line.encode())


def answer_counters(counters: Callable[[], Mapping[str, int]]) -> None:
    """Answer each line on stdin from a thread of its own; end the process, as a crash would, when stdin ends."""

    def answer() -> None:
        for _ in sys.stdin:
            report("counters", values=dict(counters()))
        os._exit(0)

    threading.Thread(target=answer, name="counters", daemon=True).start()
