"""What the control port sees of a worker's commands about jobs and placing: each is noted, and done at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.runtime.replies import Reply

if TYPE_CHECKING:
    from swimstream.model.job import JobSpec


class FakeJobs:
    """Says in `said` what it was told."""

    def __init__(self) -> None:
        self.said: list[tuple[object, ...]] = []

    def update(self, job: JobSpec, *, base: int | None = None) -> Reply[None]:
        return self.note("update", job, base)

    def scale(self, job: str, operator: str, parallelism: int) -> Reply[None]:
        return self.note("scale", job, operator, parallelism)

    def cancel(self, job: str) -> Reply[None]:
        return self.note("cancel", job)

    def restart(self, target: str) -> Reply[None]:
        return self.note("restart", target)

    def pardon(self, instance: str) -> Reply[None]:
        return self.note("pardon", instance)

    def cordon(self, name: str, *, reason: str = "") -> Reply[None]:
        return self.note("cordon", name, reason)

    def uncordon(self, name: str, *, reason: str = "") -> Reply[None]:
        return self.note("uncordon", name, reason)

    def drain(self, name: str, *, reason: str = "") -> Reply[None]:
        return self.note("drain", name, reason)

    def drained(self, name: str) -> Reply[None]:
        return self.note("drained", name)

    def declare_dead(self, name: str) -> Reply[None]:
        return self.note("declare_dead", name)

    def set_rebalancing(self, moves: int) -> Reply[None]:
        return self.note("rebalance", moves)

    def note(self, *said: object) -> Reply[None]:
        self.said.append(said)
        reply: Reply[None] = Reply()
        reply.succeed(None)
        return reply
