"""One kinship node that reports what it learns. Started by `cluster.py`."""

from __future__ import annotations

import kinship
from kinship.blocking import Cluster

from chaos.peers.node import Arguments, die_with_parent, read_arguments, report, take_orders

CHANGE = "change"
"""The key of the metadata that is changed."""


def build(arguments: Arguments) -> Cluster:
    """Return a node, not started, with the common settings; what they leave open is as its `lan` preset says."""
    settings = arguments.settings
    config = kinship.Config.lan(
        name=arguments.name,
        bind="127.0.0.1:0",
        seeds=[arguments.seed] if arguments.seed else [],
        keys=[arguments.key_file.read_text().strip()] if arguments.key_file else [],
        insecure_plaintext=arguments.key_file is None,
        probe_interval=settings.probe_interval_s,
        probe_timeout=settings.probe_timeout_s,
        indirect_checks=settings.indirect_probes,
        suspicion_mult=settings.suspicion_mult,
        suspicion_max_mult=settings.suspicion_max_mult,
        expected_confirmations=settings.confirmations,
        awareness_max=settings.health_scale_max,
        gossip_interval=settings.gossip_interval_s,
        gossip_nodes=settings.gossip_fanout,
        retransmit_mult=settings.retransmit_mult,
        push_pull_interval=settings.sync_interval_s,
    )
    return Cluster(config)


def main() -> None:
    """Join, and report until stdin ends."""
    die_with_parent()
    arguments = read_arguments()
    cluster = build(arguments)
    cluster.start()
    events = cluster.events()
    report("ready", address=cluster.local.addr)
    take_orders(leave=cluster.leave, change=lambda value: cluster.set_meta({CHANGE: value}))
    for member in cluster.members():
        if member.name != arguments.name:
            report(member.state.name.lower(), member=member.name)
    for event in events:
        match event:
            case kinship.MemberJoined() | kinship.MemberRecovered():
                report("alive", member=event.member.name)
            case kinship.MemberSuspect():
                report("suspect", member=event.member.name)
            case kinship.MemberDead():
                report("dead", member=event.member.name)
            case kinship.MemberLeft():
                report("left", member=event.member.name)
            case kinship.MemberUpdated():
                report("changed", member=event.member.name, value=event.member.meta.get(CHANGE, ""))
            case _:
                pass  # nothing about who is alive


if __name__ == "__main__":
    main()
