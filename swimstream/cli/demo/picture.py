"""What the demo sees: one sight per worker, read over its control port, and one picture put together from them.

Sights differ, as views of a cluster do. For each instance the highest epoch, and in it the state that has come
furthest, is the newest word; for each member the highest `(boot, incarnation, state)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

STATE_RANK = {"alive": 0, "suspect": 1, "dead": 2, "left": 3}
OVER = ("stopped", "finished", "failed")
OPERATOR_RANK = {"pending": 0, "assigned": 1, "starting": 2, "running": 3, "stopping": 4, **dict.fromkeys(OVER, 5)}


@attrs.frozen
class SeenMember:
    """A worker, as another one sees it."""

    name: str
    boot: int
    incarnation: int
    state: str
    site: str
    for_s: float
    """How long it has been in that state, as seen there."""

    @property
    def is_gone(self) -> bool:
        """Return whether it is seen as dead or left."""
        return self.state in ("dead", "left")


@attrs.frozen
class SeenOperator:
    """The newest status of an instance."""

    instance: str
    epoch: int
    worker: str
    boot: int
    state: str
    progress: int
    cause: str


@attrs.frozen
class SeenDecision:
    """A line of the committed history."""

    index: int
    term: int
    what: str
    reason: str


@attrs.frozen(kw_only=True)
class Sight:
    """What one worker knows."""

    worker: str
    boot: int
    at: float
    """When it was read, on this process' monotonic clock."""
    leader: str
    term: int
    members: tuple[SeenMember, ...]
    operators: tuple[SeenOperator, ...]
    decisions: tuple[SeenDecision, ...]


@attrs.frozen(kw_only=True)
class Picture:
    """All sights together."""

    sights: Mapping[str, Sight] = attrs.field(factory=dict)
    leader: str = ""
    term: int = 0
    members: Mapping[str, SeenMember] = attrs.field(factory=dict)
    operators: Mapping[str, SeenOperator] = attrs.field(factory=dict)
    decisions: Mapping[int, SeenDecision] = attrs.field(factory=dict)

    def progress(self, instance: str) -> int:
        """Return how far an instance has come; 0 before it has begun."""
        seen = self.operators.get(instance)
        return 0 if seen is None else seen.progress

    def hosted_by(self, worker: str) -> list[SeenOperator]:
        """Return what runs on a worker now and has not ended."""
        return [seen for seen in self.operators.values() if seen.worker == worker and seen.state not in OVER]

    def gone_at(self, worker: str, boot: int) -> float | None:
        """Return since when another worker takes that life of `worker` for ended: dead, left or replaced.

        By this process' monotonic clock; the first of all who do, or None if nobody does.
        """
        return min(
            (
                sight.at - member.for_s
                for sight in self.sights.values()
                for member in sight.members
                if sight.worker != worker
                and member.name == worker
                and (member.boot > boot or (member.boot == boot and member.is_gone))
            ),
            default=None,
        )

    @property
    def alive_most(self) -> int:
        """Return the largest number of workers that one of them sees alive."""
        counts = [sum(member.state == "alive" for member in sight.members) for sight in self.sights.values()]
        return max(counts, default=0)


def put_together(sights: Iterable[Sight], *, before: Picture) -> Picture:
    """Return the picture of these sights; operators and decisions that nobody shows any more are kept from before."""
    members: dict[str, SeenMember] = {}
    operators = dict(before.operators)
    decisions = dict(before.decisions)
    leader, term = "", 0
    by_worker = {sight.worker: sight for sight in sights}
    for sight in by_worker.values():
        if sight.term > term or (sight.term == term and not leader):
            leader, term = sight.leader, sight.term
        for member in sight.members:
            held = members.get(member.name)
            if held is None or _member_rank(member) > _member_rank(held):
                members[member.name] = member
        for seen in sight.operators:
            known = operators.get(seen.instance)
            if known is None or _operator_rank(seen) >= _operator_rank(known):
                operators[seen.instance] = seen
        decisions.update((decision.index, decision) for decision in sight.decisions)
    return Picture(
        sights=by_worker,
        leader=leader,
        term=term,
        members=dict(sorted(members.items())),
        operators=dict(sorted(operators.items())),
        decisions=dict(sorted(decisions.items())),
    )


def _member_rank(member: SeenMember) -> tuple[int, int, int]:
    return (member.boot, member.incarnation, STATE_RANK.get(member.state, 0))


def _operator_rank(seen: SeenOperator) -> tuple[int, int, int]:
    return (seen.epoch, OPERATOR_RANK.get(seen.state, 0), seen.progress)
