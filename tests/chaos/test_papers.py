"""The papers' experiments, small: what they build on is what it says, and their claims hold for a handful of nodes."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import attrs
import pytest

from chaos.orderly import is_ok
from chaos.papers.figures import Outcomes, judge, mean, size_figures, variant_figures
from chaos.papers.group import Group
from chaos.papers.lifeguard import Interval, IntervalTrial, Threshold, ThresholdTrial
from chaos.papers.plan import QUICK, Size, dearest_first, lifeguard_trials, swim_trials
from chaos.papers.reading import SharedReader
from chaos.papers.run import report, run_all, write_docs
from chaos.papers.swim import E_RATIO, Crashed, CrashTrial, Load, LoadTrial, LossTrial, Protocol, Survival
from chaos.papers.variants import LIFEGUARD, LIFEGUARD_TIMING, SWIM, VARIANTS, Variant
from chaos.peers.peer import ROOT
from swimstream.core.effects import SendPacket
from swimstream.errors import WireError
from swimstream.model.member import MemberState
from swimstream.wire.codec import decode_packet_untrusted
from swimstream.wire.message_reader import read_message
from swimstream.wire.messages import Accusation, Message, Nack, Ping

if TYPE_CHECKING:
    from pathlib import Path

TINY = Size(
    group_sizes=(4,),
    crashes=2,
    losses=1,
    nodes=6,
    concurrent=(2,),
    blocked_s=(12.0,),
    free_s=(0.1,),
    repetitions=1,
    lasts_s=12.0,
    thresholds=1,
    load_periods=5,
    joins=5,
    loss_s=60.0,
)


def group_of(variant: Variant = LIFEGUARD, *, nodes: int = 8) -> Group:
    return Group(nodes=nodes, timing=variant.timing(LIFEGUARD_TIMING), seed="test", fit=variant.fit)


def interval(variant: Variant, *, concurrent: int = 4) -> Interval:
    return IntervalTrial(
        variant=variant, nodes=16, concurrent=concurrent, blocked_s=16.384, free_s=0.064, lasts_s=32.0, seed="1"
    ).run()


# --- the group ------------------------------------------------------------------------------------


def test_a_group_has_settled_from_the_start() -> None:
    group = group_of()
    group.run_for(20.0)
    assert group.sightings == []
    assert {len(agent.node.members()) for agent in group.live()} == {8}
    per_s = group.counters["packets"] / 8 / 20.0
    assert per_s == pytest.approx(2.0, abs=0.2)  # a ping and an ack, and no gossip


def test_what_a_blocked_member_sends_and_is_sent_waits_for_the_end_of_the_block() -> None:
    group = group_of()
    group.run_for(2.0)
    agent = group.hosts["m003"]
    agent.block()
    group.run_for(0.1)  # what was under way has arrived
    received = agent.node.counters()["packets_received"]
    refuted = agent.node.counters().get("refutations", 0)
    group.run_for(4.5)
    assert agent.node.counters()["packets_received"] == received
    assert all(told.member == "m003" or told.observer == "m003" for told in group.sightings), (
        "others hear no word of it"
    )
    agent.unblock()
    group.run_for(0.1)
    assert agent.node.counters()["packets_received"] > received
    assert agent.node.counters().get("refutations", 0) > refuted, "it hears that it was suspected"
    assert any("m003" not in (told.member, told.observer) for told in group.sightings), "its accusations are out"


def test_the_timers_of_a_blocked_member_go_on() -> None:
    group = group_of()
    group.run_for(2.0)
    group.hosts["m003"].block()
    group.run_for(5.0)
    suspected = [told for told in group.sightings if told.observer == "m003"]
    assert suspected
    assert all(told.state is MemberState.SUSPECT for told in suspected)


def test_who_has_crashed_neither_sends_nor_hears() -> None:
    group = group_of()
    agent = group.hosts["m003"]
    agent.crash()
    received = agent.node.counters().get("packets_received", 0)
    assert group.run_until(lambda: {told.member for told in group.sightings} == {"m003"}, limit_s=30.0)
    assert agent.node.counters().get("packets_received", 0) == received


# --- the variants ---------------------------------------------------------------------------------


def accusations_on_pings(variant: Variant) -> int:
    """Return how many pings tell their target that it is suspected, with the gossip of it used up."""
    group = group_of(variant)
    group.run_for(2.0)
    found = 0
    for agent in group.live():
        agent.node._rooms.membership.accuse(group.hosts["m003"].node.run, group.clock.now)
        agent.node._rooms.membership.gossip.discard("m/m003")
    group.hosts["m003"].block()
    for _ in range(40):
        for agent in group.live():
            if agent.name != "m003" and agent.node.next_deadline() <= group.clock.now:
                agent.node.fire_timers(now=group.clock.now)
                packets = [effect for effect in agent.node.take_effects() if isinstance(effect, SendPacket)]
                for packet in packets:
                    found += says_suspect(decode_packet_untrusted(packet.payload).messages)
        group.clock.now += 0.25  # the group stands still, so that no packet goes by unseen
    return found


def says_suspect(messages: tuple[Message, ...]) -> bool:
    pinged = {message.target.name for message in messages if isinstance(message, Ping)}
    return "m003" in pinged and any(isinstance(told, Accusation) and told.run.name == "m003" for told in messages)


def test_with_the_buddy_system_a_ping_tells_its_target_that_it_is_suspected() -> None:
    assert accusations_on_pings(LIFEGUARD) > 0


def test_without_the_buddy_system_a_ping_tells_its_target_nothing() -> None:
    assert accusations_on_pings(SWIM) == 0


def test_each_variant_switches_its_own_parts_alone() -> None:
    timings = {variant.name: variant.timing(LIFEGUARD_TIMING) for variant in VARIANTS}
    assert {name: timing.health_max > 0 for name, timing in timings.items()} == {
        "SWIM": False, "LHA-Probe": True, "LHA-Suspicion": False, "Buddy": False, "Lifeguard": True,
    }  # fmt: skip
    assert {name: timing.suspicion_max_mult for name, timing in timings.items()} == {
        "SWIM": 1, "LHA-Probe": 1, "LHA-Suspicion": 6, "Buddy": 1, "Lifeguard": 6,
    }  # fmt: skip


# --- the claims -----------------------------------------------------------------------------------


def test_a_crash_is_first_probed_in_the_period_that_swim_expects() -> None:
    crashes = [CrashTrial(nodes=8, seed=f"{number}").run() for number in range(60)]
    assert mean(crash.periods for crash in crashes) == pytest.approx(E_RATIO, rel=0.2)
    assert max(crash.periods for crash in crashes) <= 2 * 8 - 1
    assert all(crash.suspected_s < crash.first_s <= crash.last_s < math.inf for crash in crashes)


def test_a_member_sends_two_messages_a_period_whatever_the_size_of_the_group() -> None:
    loads = [LoadTrial(nodes=nodes, seed="1", periods=20).run() for nodes in (4, 16)]
    assert [load.messages for load in loads] == pytest.approx([2.0, 2.0], rel=0.05)


def test_suspicion_keeps_a_group_together_under_loss_for_longer() -> None:
    sizes = {
        protocol: LossTrial(nodes=12, protocol=protocol, seed="1", lasts_s=60.0).run().sizes for protocol in Protocol
    }
    assert sizes[Protocol.INFECTION][-1] < sizes[Protocol.SUSPICION][-1]
    assert set(sizes[Protocol.WHOLE]) == {12}


def test_blocked_members_of_plain_swim_kill_healthy_ones_and_with_lifeguard_they_do_not() -> None:
    plain, whole = interval(SWIM), interval(LIFEGUARD)
    assert plain.false >= plain.false_by_healthy > 20
    assert whole.false <= plain.false / 10
    assert whole.false_by_healthy <= plain.false_by_healthy / 10


def test_lifeguard_finds_blocked_members_about_as_soon_as_plain_swim() -> None:
    plain, whole = (
        ThresholdTrial(variant=variant, nodes=24, concurrent=3, blocked_s=32.0, seed="1").run()
        for variant in (SWIM, LIFEGUARD)
    )
    assert (plain.missed, whole.missed) == (0, 0)
    assert len(whole.first_s) == len(whole.last_s) == 3
    assert whole.first_s[1] <= 1.5 * plain.first_s[1]


def test_equal_trials_have_equal_outcomes() -> None:
    trial = IntervalTrial(variant=SWIM, nodes=8, concurrent=2, blocked_s=12.0, free_s=0.1, lasts_s=12.0, seed="again")
    assert trial.run() == trial.run()
    assert trial.run() != attrs.evolve(trial, seed="another").run()


# --- reading --------------------------------------------------------------------------------------


def test_shared_reading_returns_what_reading_returns() -> None:
    shared = SharedReader(read_message)
    item: list[object] = [4, 17]
    assert shared(item) == read_message(item) == Nack(seq=17)
    assert shared([4, 17]) is shared([4, 17])


def test_shared_reading_refuses_what_reading_refuses_every_time() -> None:
    shared = SharedReader(read_message)
    for _ in range(2):
        with pytest.raises(WireError):
            shared([4, -1])


# --- figures --------------------------------------------------------------------------------------


def outcomes(*, plain: int = 1_000, whole: int = 3, whole_s: float = 12.0, left: int = 12) -> Outcomes:
    """Return made-up outcomes in which every claim holds, unless told otherwise."""
    found = Outcomes()
    for number, periods in enumerate((1, 1, 2, 2, 2, 1, 2, 1, 2, 2)):
        found.add(Crashed(nodes=8, suspected_s=2.0 * periods + 1 + number / 20, first_s=9.0, last_s=10.0))
    found.add(Load(nodes=8, messages=2.0, message_bytes=40.0))
    for protocol, size in ((Protocol.INFECTION, 2), (Protocol.SUSPICION, left), (Protocol.WHOLE, 17)):
        found.add(Survival(protocol=protocol, sizes=(17, *[size] * 12)))
    for variant in VARIANTS:
        false = {SWIM: plain, LIFEGUARD: whole}.get(variant, plain // 2)
        found.add(
            Interval(
                variant=variant.name, concurrent=8, blocked_s=16.0, free_s=0.1, false=false, false_by_healthy=false,
                rightful=5, messages=8.0, message_bytes=900.0,
            )
        )  # fmt: skip
        at = whole_s if variant is LIFEGUARD else 12.0
        found.add(Threshold(variant=variant.name, concurrent=8, first_s=(at,), last_s=(at + 1,), missed=0))
    return found


def missed(found: Outcomes) -> list[str]:
    return [target.claim.partition(" (")[0] for target in judge(found) if target.met is False]


def test_figures_that_meet_every_claim_are_ok() -> None:
    assert missed(outcomes()) == []
    assert is_ok(judge(outcomes()))


def test_too_many_false_positives_miss_a_claim() -> None:
    assert missed(outcomes(whole=101)) == [
        "Lifeguard, all parts: false positives",
        "Lifeguard, all parts: those by healthy members",
    ]


def test_a_late_detection_misses_a_claim() -> None:
    assert missed(outcomes(whole_s=15.0)) == ["Lifeguard, first detection, p50", "Lifeguard, all have heard, p50"]


def test_a_group_that_suspicion_does_not_keep_misses_a_claim() -> None:
    assert missed(outcomes(left=2)) == ["SWIM: at 10 % loss suspicion keeps a group larger"]


def test_where_plain_swim_makes_no_mistakes_nothing_is_judged_and_nothing_is_ok() -> None:
    targets = judge(outcomes(plain=0, whole=0))
    assert [target.met for target in targets if "false positives" in target.claim] == [None] * 3
    assert not is_ok(targets)


def test_shares_are_of_plain_swim() -> None:
    rows = variant_figures(outcomes())
    assert [rows[name].false_share for name in ("SWIM", "Buddy", "Lifeguard")] == [1.0, 0.5, 0.003]


def test_a_crash_that_nobody_found_out_is_no_number_in_the_report() -> None:
    found = outcomes()
    found.add(Crashed(nodes=8, suspected_s=2.5, first_s=9.0, last_s=math.inf))
    document = json.loads(json.dumps(report(QUICK, found, judge(found), seed=1), allow_nan=False))
    assert document["swim"]["sizes"][0]["last"] is None
    assert size_figures(found)[0].last == math.inf
    assert document["ok"] is True


def test_what_comes_out_does_not_depend_on_the_number_of_processes() -> None:
    trials = [*swim_trials(TINY, seed=1), *lifeguard_trials(TINY, seed=1)[:2]]
    alone = Outcomes()
    for trial in dearest_first(trials):
        alone.add(trial.run())
    assert run_all(trials, processes=2) == alone


def test_the_command_writes_every_plot_and_table_of_the_documentation(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    write_docs(tmp_path, outcomes(), judge(outcomes()), "the command")
    assert "| Lifeguard " in (tmp_path / "lifeguard-false-positives.inc").read_text()
    page = (ROOT / "docs/papers.md").read_text()
    for path in sorted(tmp_path.iterdir()):
        assert f"papers/{path.name}" in page
        assert (ROOT / "docs/papers" / path.name).exists()
