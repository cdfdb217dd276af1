"""What a real worker that hangs on a `chaos.crew` tells of itself: how things stand once it is ready, then all news.

Reports, each with `at` on CLOCK_BOOTTIME: `ready` (address), `member` (name, state), `leader` (name, term),
`decided` (term, what).
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from chaos.crew import now
from swimstream.events import Decided, LeaderChanged, MemberChanged

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream import Worker
    from swimstream.events import Event

QUEUED_MAX = 100_000


def report(kind: str, **fields: object) -> None:
    """Write one line at once; any thread. One write call, so that lines of two threads do not mix."""
    line = json.dumps({"kind": kind, "at": now(), **fields}) + "\n"
    os.write(sys.stdout.fileno(), line.encode())


def describe(event: Event) -> dict[str, object] | None:
    """Return what is reported of an event, without the time; None: nothing."""
    match event:
        case MemberChanged(member=member):
            return {"kind": "member", "name": member.run.name, "state": member.state.name.lower()}
        case LeaderChanged(name=name, term=term):
            return {"kind": "leader", "name": name, "term": term}
        case Decided(decision=decision):
            return {"kind": "decided", "term": decision.term, "what": decision.what}
        case _:
            return None


def report_all(worker: Worker, *, start_orders: Callable[[], None]) -> None:
    """Report of a worker that has started: how things stand, then, once orders are followed, all news till the end."""
    events = worker.events(queued_max=QUEUED_MAX)
    report("ready", address=str(worker.address))
    for member in worker.members():
        report("member", name=member.run.name, state=member.state.name.lower())
    mark = worker.mark()
    report("leader", name=mark.leader, term=mark.term)
    start_orders()
    for event in events:
        line = describe(event) if not hasattr(event, "count") else None
        if line is not None:
            report(str(line.pop("kind")), **line)
