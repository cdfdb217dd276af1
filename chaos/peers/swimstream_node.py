"""One swimstream worker that reports what it learns. Started by `cluster.py`.

The whole worker runs, with its council: that is what a user of swimstream gets, and the others have none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.peers.node import Arguments, die_with_parent, read_arguments, report, take_orders
from swimstream import Worker
from swimstream.events import MemberChanged, TagsChanged

if TYPE_CHECKING:
    from swimstream.model.member import Member

CHANGE = "change"
"""The key of the tag that is changed."""


def build(arguments: Arguments) -> Worker:
    """Return a worker with the common settings."""
    settings = arguments.settings
    return Worker(
        name=arguments.name,
        seeds=[arguments.seed] if arguments.seed else [],
        expect=arguments.nodes,
        key_file=arguments.key_file,
        timing={
            "probe_interval_s": settings.probe_interval_s,
            "probe_timeout_s": settings.probe_timeout_s,
            "indirect_probes": settings.indirect_probes,
            "suspicion_mult": settings.suspicion_mult,
            "suspicion_max_mult": settings.suspicion_max_mult,
            "suspicion_confirmations": settings.confirmations,
            "health_max": settings.health_scale_max - 1,  # it stretches up to 1 + this
            "gossip_interval_s": settings.gossip_interval_s,
            "gossip_fanout": settings.gossip_fanout,
            "retransmit_mult": settings.retransmit_mult,
            "sync_interval_s": settings.sync_interval_s,
        },
    )


def tell(member: Member, me: str) -> None:
    """Report the state that `member` is in now."""
    if member.run.name != me:
        report(member.state.name.lower(), member=member.run.name)


def main() -> None:
    """Join, and report until stdin ends."""
    die_with_parent()
    arguments = read_arguments()
    worker = build(arguments)
    worker.start()
    events = worker.events()
    report("ready", address=str(worker.address))
    take_orders(leave=worker.leave, change=lambda value: worker.set_tags({CHANGE: value}))
    for member in worker.members():
        tell(member, arguments.name)
    for event in events:
        if isinstance(event, MemberChanged):
            tell(event.member, arguments.name)
        elif isinstance(event, TagsChanged) and event.run.name != arguments.name:
            report("changed", member=event.run.name, value=event.tags.get(CHANGE, ""))


if __name__ == "__main__":
    main()
