"""From runs to figures, to the verdict and to the report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import attrs
import pytest

from chaos.peers.command import plot
from chaos.peers.figures import Runs, Summary, judge, percentile, summarise, way
from chaos.peers.report import Outcome
from chaos.peers.run import Results
from chaos.peers.scenarios import Hardship, Idle, Kill, News, sort_deaths
from chaos.peers.show import table
from tests.chaos.plans import SMALL

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def test_a_percentile_is_an_observed_value() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(values, share) for share in (0.2, 0.5, 0.99, 1.0)] == [1.0, 3.0, 5.0, 5.0]


def test_news_are_summed_up_over_observers_and_over_pieces() -> None:
    found = way([(1.0, 2.0, 9.0), (), (3.0, 4.0)], [0, 3, 1])
    assert found.each is not None
    assert (found.each.count, found.each.mean, found.each.p50, found.each.max) == (5, 3.8, 3.0, 9.0)
    assert found.first is not None
    assert (found.first.count, found.first.max) == (2, 3.0)
    assert found.between is not None
    assert found.between.max == 8.0
    assert found.missed == 4


def idle_of(*, cpu: float = 0.01, sent: float | None = None) -> Idle:
    rates = () if sent is None else (sent,)
    return Idle(
        cpu_share=(cpu,),
        rss_bytes=(1,),
        packets_per_s=rates,
        bytes_per_s=rates,
        stream_bytes_per_s=rates,
        unseen_packets=0,
        false_deaths=0,
    )


def kill_of(*times: float, missed: int = 0) -> Kill:
    return Kill(victim="n000", detection_s=times, suspected_s=(), missed=missed, false_deaths=0)


def hardship(*declared: tuple[str, str]) -> Hardship:
    return Hardship(victims=("x",), deaths=sort_deaths(declared, {"x"}))


def summary(*times: float, cpu: float = 0.01, sent: float | None = None, trials: Sequence[Hardship] = ()) -> Summary:
    return summarise(Runs(idles=[idle_of(cpu=cpu, sent=sent)], kills=[kill_of(*times)], starvations=list(trials)))


def verdicts_of(nodes: int = 64, *, encrypted: bool = True, **summaries: Summary) -> dict[str, bool | None]:
    return {target.claim: target.met for target in judge(summaries, nodes=nodes, encrypted=encrypted)}


def test_swimstream_is_held_to_the_better_peer() -> None:
    verdict = verdicts_of(swimstream=summary(2.0, 3.0), memberlist=summary(2.0, 2.9), kinship=summary(9.0))
    assert verdict["detection, every observer, p50 <= the better peer"] is True
    assert verdict["detection, every observer, p99 <= the better peer"] is False
    assert verdict["detection, first to know, p50 <= the better peer"] is True
    assert verdict["detection, last to know, p99 <= the better peer"] is False


def test_news_of_a_change_is_held_to_the_better_peer() -> None:
    def changed(*times: float) -> Summary:
        return summarise(Runs(changes=[News(origin="n001", heard_s=times, missed=0)]))

    verdict = verdicts_of(swimstream=changed(0.2, 0.5), memberlist=changed(0.3, 0.4), kinship=changed(0.2, 0.6))
    assert verdict["a change, every observer, p50 <= the better peer"] is True
    assert verdict["a change, last to know, p99 <= the better peer"] is False


def test_a_false_death_of_a_starved_node_counts() -> None:
    verdict = verdicts_of(
        swimstream=summary(1.0, trials=[hardship(("a", "x"))]), kinship=summary(1.0, trials=[hardship()])
    )
    assert verdict["false deaths by healthy nodes <= the better peer"] is False


def test_a_false_death_by_a_starved_node_is_not_one_by_a_healthy_node() -> None:
    verdict = verdicts_of(
        swimstream=summary(1.0, trials=[hardship(("x", "a"))]), kinship=summary(1.0, trials=[hardship()])
    )
    assert verdict["false deaths by healthy nodes <= the better peer"] is True
    assert verdict["false deaths by anyone <= the better peer"] is False


def test_bytes_are_held_to_kinship_at_64_nodes_and_only_if_encrypted() -> None:
    claim = "mean bytes per s of idle nodes, encrypted, <= kinship"
    ours, theirs = summary(1.0, sent=800.0), summary(1.0, sent=700.0)
    assert verdicts_of(64, swimstream=ours, kinship=theirs)[claim] is False
    assert verdicts_of(64, swimstream=theirs, kinship=ours)[claim] is True
    assert verdicts_of(32, swimstream=ours, kinship=theirs)[claim] is None
    assert verdicts_of(64, encrypted=False, swimstream=ours, kinship=theirs)[claim] is None


def test_cpu_is_held_to_four_nodes_of_memberlist() -> None:
    claim = "mean CPU of idle nodes <= 4 x memberlist"
    go, rust = summary(1.0, cpu=0.002), summary(1.0, cpu=0.001)
    assert verdicts_of(swimstream=summary(1.0, cpu=0.008), memberlist=go, kinship=rust)[claim] is True
    assert verdicts_of(swimstream=summary(1.0, cpu=0.0081), memberlist=go, kinship=rust)[claim] is False


def test_what_was_not_measured_is_not_judged_and_stands_as_such() -> None:
    verdict = verdicts_of(swimstream=summary(1.0), kinship=summary(1.0))
    assert [claim for claim, met in verdict.items() if met is None] == [
        "a change, every observer, p50 <= the better peer",
        "a change, every observer, p99 <= the better peer",
        "a change, last to know, p50 <= the better peer",
        "a change, last to know, p99 <= the better peer",
        "false deaths by healthy nodes <= the better peer",
        "false deaths by anyone <= the better peer",
        "mean CPU of idle nodes <= 4 x memberlist",
        "mean bytes per s of idle nodes, encrypted, <= kinship",
    ]


def outcome_of(**runs: Runs) -> Outcome:
    results = Results(runs=runs, load=[(0.5, 0.4, 0.3)])
    versions = dict.fromkeys(runs, "1")
    return Outcome(plan=SMALL, results={3: results}, versions=versions, left_out={})


def test_a_peer_that_was_left_out_is_not_ok() -> None:
    outcome = outcome_of(swimstream=Runs())
    assert outcome.is_ok()
    assert not attrs.evolve(outcome, left_out={"memberlist": "Go is missing"}).is_ok()


def test_a_run_without_figures_is_not_ok() -> None:
    outcome = outcome_of(swimstream=Runs())
    outcome.results[3].failures.append("run 1: nothing came up")
    assert not outcome.is_ok()


def test_a_missed_target_at_any_size_is_not_ok() -> None:
    fast, slow = Runs(kills=[kill_of(1.0)]), Runs(kills=[kill_of(2.0)])
    assert outcome_of(swimstream=fast, kinship=slow).is_ok()
    assert not outcome_of(swimstream=slow, kinship=fast).is_ok()


def test_the_report_is_json_with_every_run_of_every_size_in_it() -> None:
    news = News(origin="n001", heard_s=(0.1,), missed=0)
    runs = Runs(kills=[kill_of(1.0, 2.0)], changes=[news], starvations=[hardship(("a", "x"))])
    outcome = outcome_of(swimstream=runs)
    document = json.loads(json.dumps(outcome.document()))
    assert document["ok"] is True
    assert document["encryption"] == {"swimstream": "ChaCha20-Poly1305"}
    found = document["sizes"]["3"]["peers"]["swimstream"]
    assert found["runs"]["kills"][0]["detection_s"] == [1.0, 2.0]
    assert found["figures"]["kill"]["last"]["p50"] == 2.0
    assert found["figures"]["change"]["each"]["p99"] == 0.1
    assert found["figures"]["starved"]["of_harmed_by_healthy"] == 1


def test_the_table_has_a_column_a_peer_and_says_what_there_is_no_figure_for() -> None:
    outcome = outcome_of(swimstream=Runs(kills=[kill_of(1.0, 2.0)]), kinship=Runs())
    lines = table(outcome.summaries(3), outcome.versions).splitlines()
    assert lines[0].split() == ["swimstream", "1", "kinship", "1"]
    assert next(line for line in lines if "every observer" in line).split()[-4:] == ["1.00", "2.00", "2.00", "-"]


def test_plots_of_each_size_and_of_all_are_drawn_also_of_what_was_not_measured(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot(
        outcome_of(swimstream=Runs(kills=[kill_of(1.0, 2.0)], idles=[idle_of()]), kinship=Runs()), tmp_path / "all.svg"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all-3.svg", "all.svg"]
    plot(outcome_of(), tmp_path / "none.svg")
    assert (tmp_path / "none.svg").read_text().count("<svg") == 1
