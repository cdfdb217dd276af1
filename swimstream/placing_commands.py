"""What can be wanted of workers, at any other: which of them are given instances, and which are dead for certain.

Settled once it is committed and known here; it holds for the name, through restarts of the worker, until it is taken
back. Each may be given again: what is so already stays so.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

from swimstream.errors import UsageError
from swimstream.job_commands import checked_text
from swimstream.model.changes import (
    CORDONED,
    DRAINING,
    NORMAL,
    REBALANCE_MOVES_MAX,
    DeclareDead,
    SetPolicy,
    SetWorkerMode,
)
from swimstream.model.identity import check_name
from swimstream.runtime.replies import Found, Reply

if TYPE_CHECKING:
    from swimstream.model.identity import Run
    from swimstream.runtime.thread import PeerThread
    from swimstream.runtime.view import View

REASON_CHARS_MAX = 200


class PlacingCommands(abc.ABC):
    """The part of a worker's commands that is about where instances run."""

    @abc.abstractmethod
    def _running(self) -> PeerThread:
        """Return the peer; raise `WorkerStopped` if there is none."""

    def cordon(self, name: str, *, reason: str = "") -> Reply[None]:
        """Have the worker of that name given nothing new; what it has stays. `UsageError` if nobody has that name.

        `reason` is for people, at most 200 characters.
        """
        return self._set_mode(name, CORDONED, reason)

    def uncordon(self, name: str, *, reason: str = "") -> Reply[None]:
        """Have the worker of that name given instances again: ends `cordon`, `drain` and a quarantine for flapping."""
        return self._set_mode(name, NORMAL, reason)

    def drain(self, name: str, *, reason: str = "") -> Reply[None]:
        """Have what the worker of that name has moved elsewhere, and nothing new given to it; see `drained`.

        What is pinned to it stays, and so does what finds no room elsewhere.
        """
        return self._set_mode(name, DRAINING, reason)

    def drained(self, name: str) -> Reply[None]:
        """Return a reply that is settled once nothing is assigned to the worker of that name, as after `drain`.

        `UsageError` if neither a worker nor an assignment of that name is known here.
        """
        view = self._running().views.current
        if not any(member.run.name == name for member in view.members) and not view.assigned_to(name):
            raise UsageError(f"name: no worker of the name {name!r} is known")

        def look(view: View) -> Found[None] | None:
            return None if view.assigned_to(name) else Found(None)

        return self._running().views.when(look)

    def declare_dead(self, name: str) -> Reply[None]:
        """Give your word that the worker of that name, which is seen as gone, is dead: nobody waits for its end.

        Its at-most-one instances move at once, without the time that would prove their end. Should it run on, behind
        a cut for example, they run twice: only for a process that was seen to be gone. `UsageError` if it lives.
        """
        peer = self._running()
        view = peer.views.current
        check_name("name", checked_text("name", name))
        for member in view.members:
            if member.run.name == name:
                if not member.state.is_gone:
                    raise UsageError(f"name: {name} is {member.state.name.lower()}; nobody may declare it dead")
                return self._declare(peer, member.run)
        runs = [held.run for held in view.plan.assignments.values() if held.run.name == name and not held.finished]
        if not runs:
            raise UsageError(f"name: no worker of the name {name!r} is known, and nothing is assigned to it")
        return self._declare(peer, max(runs))

    def set_rebalancing(self, moves: int) -> Reply[None]:
        """Have up to `moves` instances, 0 to 1,024, moved at a time to a worker that has joined; 0: none, as usual."""
        given: object = moves
        if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given <= REBALANCE_MOVES_MAX:
            raise UsageError(f"moves: expected an integer from 0 to {REBALANCE_MOVES_MAX}, got {moves!r}")
        peer = self._running()
        return peer.change(SetPolicy(rebalance_moves=moves, asked_by=peer.views.current.run.name))

    def _set_mode(self, name: str, mode: str, reason: str) -> Reply[None]:
        peer = self._running()
        check_name("name", checked_text("name", name))
        if len(checked_text("reason", reason)) > REASON_CHARS_MAX or not reason.isprintable():
            raise UsageError(f"reason: expected at most {REASON_CHARS_MAX} printable characters, got {reason!r}")
        asked_by = peer.views.current.run.name
        return peer.change(SetWorkerMode(name=name, mode=mode, level=0, boot=0, reason=reason, asked_by=asked_by))

    def _declare(self, peer: PeerThread, run: Run) -> Reply[None]:
        return peer.change(DeclareDead(run=run, asked_by=peer.views.current.run.name))
