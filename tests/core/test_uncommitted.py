"""Nobody acts before a decision is committed: being in the log is not enough."""

from __future__ import annotations

from swimstream.core.effects import StartInstance
from swimstream.model.changes import Assign, Change, Entry, SubmitJob
from swimstream.model.identity import InstanceId
from swimstream.wire.codec import encode_message, encode_packet
from swimstream.wire.council_messages import Append
from swimstream.wire.messages import Header
from tests.core.town import Town, address_of, job


def told(town: Town, leader: str, follower: str, changes: list[Change], *, commit: int) -> list[StartInstance]:
    """Have a follower hear these entries from its leader; return what it starts."""
    node, chief = town.node(follower), town.node(leader)
    log = node._rooms.council.log
    append = Append(
        term=node.mark.term,
        voter=chief._rooms.council.seat.voter,
        round=1_000,
        prev_index=log.last_index,
        prev_term=log.last_term,
        commit=commit,
        entries=tuple(
            Entry(index=log.last_index + 1 + place, term=node.mark.term, change=change)
            for place, change in enumerate(changes)
        ),
    )
    packet = encode_packet(Header(node.plan.cluster_id, chief.run), [encode_message(append)])
    node.receive_packet(packet, source=address_of(leader), now=town.now)
    return [effect for effect in node.take_effects() if isinstance(effect, StartInstance)]


def test_an_assignment_that_is_only_in_the_log_starts_nothing_until_it_is_committed() -> None:
    town = Town("abc")
    leader = town.run_until_led()
    follower = min(set("abc") - {leader})
    before = town.node(follower).plan.index
    instance = InstanceId("job", job().operators[0].name, 0)
    assign = Assign(instance=instance, run=town.node(follower).run, failures=0, resume_from=b"", reason="", evidence=())
    changes: list[Change] = [SubmitJob(job=job()), assign]
    assert told(town, leader, follower, changes, commit=before) == []
    [started] = told(town, leader, follower, [], commit=before + 2)
    assert (started.instance, started.epoch) == (instance, before + 2)
