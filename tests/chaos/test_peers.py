"""The harness that measures swimstream beside others: small, on real processes, swimstream alone."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from random import Random

import pytest

from chaos.peers.cluster import Cluster, ClusterError, Sighting
from chaos.peers.figures import Summary, judge, percentile, summarise
from chaos.peers.peer import ROOT, Peer, find_peer
from chaos.peers.run import Plan, Progress, Results, find_peers, is_ok, report
from chaos.peers.scenarios import Idle, Kill, Stall, deaths, kill_one, measure_idle, stall_one
from chaos.peers.settings import Settings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the harness reads /proc")

FAST = Settings(
    probe_interval_s=0.2, probe_timeout_s=0.1, gossip_interval_s=0.05, suspicion_mult=3, suspicion_max_mult=3
)
MARK = "SWIMSTREAM_TEST_MARK"


def processes_marked(mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return found


def assert_gone(mark: str) -> None:
    give_up_at = time.monotonic() + 10
    while left := processes_marked(mark):
        assert time.monotonic() < give_up_at, f"left: {left}"
        time.sleep(0.02)


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    """Mark every process that the test starts, by its environment."""
    value = uuid.uuid4().hex
    monkeypatch.setenv(MARK, value)
    return value


def test_three_real_nodes_are_measured_and_none_is_left_behind(tmp_path: Path, mark: str) -> None:
    with Cluster(find_peer("swimstream", build_dir=tmp_path), FAST, nodes=3) as cluster:
        assert len(processes_marked(mark)) == 3
        idle = measure_idle(cluster, seconds=1.0)
        stall = stall_one(cluster, FAST, seconds=0.1, rng=Random(1))
        kill = kill_one(cluster, FAST, rng=Random(1))
    assert_gone(mark)
    assert all(rate > 0 for rate in idle.packets_per_s)
    assert len(idle.packets_per_s) == len(idle.cpu_share) == 3
    assert all(size > 2**20 for size in idle.rss_bytes)
    assert stall.victim in cluster.names
    assert (len(kill.detection_s), kill.missed) == (2, 0)
    assert 0 < kill.detection_s[0] <= kill.detection_s[1]


def test_a_harness_that_is_killed_takes_its_nodes_along_even_a_stopped_one(mark: str) -> None:
    code = """if True:
        import os, pathlib, signal
        from chaos.peers.cluster import Cluster
        from chaos.peers.peer import find_peer
        from chaos.peers.settings import LOCAL
        with Cluster(find_peer("swimstream", build_dir=pathlib.Path(".")), LOCAL, nodes=3) as cluster:
            cluster.stop("n001")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert_gone(mark)


def test_a_node_that_reads_no_more_ends_with_its_parent(mark: str) -> None:
    node = "import chaos.peers.node, time; chaos.peers.node.die_with_parent(); print(flush=True); time.sleep(60)"
    code = f"""if True:
        import subprocess, sys
        node = subprocess.Popen([sys.executable, "-c", {node!r}], stdout=subprocess.PIPE)
        node.stdout.readline()
    """
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=30, check=True)
    assert_gone(mark)


def test_a_command_that_is_told_to_end_leaves_nothing_behind(mark: str) -> None:
    command = [sys.executable, "-m", "chaos.peers", "--peers", "swimstream", "--nodes", "3", "--preset", "local"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("idle for" in line for line in process.stdout)
        give_up_at = time.monotonic() + 30
        while len(processes_marked(mark)) < 2:
            assert time.monotonic() < give_up_at
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM
    assert_gone(mark)


def test_a_node_that_ends_by_itself_is_a_failure_with_its_last_words(mark: str) -> None:
    peer = Peer(name="broken", version="0", command=(sys.executable, "-c", "raise SystemExit('no such thing')"))
    with (
        pytest.raises(ClusterError, match=r"broken: n000 ended with status 1\nno such thing"),
        Cluster(peer, FAST, nodes=3),
    ):
        pass
    assert_gone(mark)


def test_a_percentile_is_an_observed_value() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(values, share) for share in (0.2, 0.5, 0.99, 1.0)] == [1.0, 3.0, 5.0, 5.0]


def test_a_death_counts_once_an_observer_and_when_it_was_first_declared() -> None:
    told = [("a", "c", "suspect", 1.0), ("a", "c", "dead", 2.0), ("a", "c", "dead", 3.0), ("b", "c", "dead", 4.0)]
    sightings = [Sighting(observer=who, member=whom, state=state, at=at) for who, whom, state, at in told]
    assert deaths(sightings) == {("a", "c"): 2.0, ("b", "c"): 4.0}


def summary(*, times: tuple[float, ...], cpu: float = 0.01, stopped_deaths: int = 0) -> Summary:
    idle = Idle(cpu_share=(cpu,), rss_bytes=(1,), packets_per_s=(), bytes_per_s=(), false_deaths=0)
    kill = Kill(victim="n000", detection_s=times, missed=0, false_deaths=0)
    stall = Stall(victim="n000", deaths_of_others=0, deaths_of_stopped=stopped_deaths, deaths_by_stopped=0)
    return summarise([idle], [kill], [stall])


def test_swimstream_is_held_to_the_better_peer() -> None:
    ours = summary(times=(2.0, 3.0))
    targets = judge({"swimstream": ours, "memberlist": summary(times=(2.0, 2.9)), "kinship": summary(times=(9.0,))})
    verdict = {target.claim: target.met for target in targets}
    assert verdict["first to know, p50 <= the better peer"] is True
    assert verdict["last to know, p99 <= the better peer"] is False


def test_a_false_death_of_the_stopped_node_counts() -> None:
    targets = judge({"swimstream": summary(times=(1.0,), stopped_deaths=1), "kinship": summary(times=(1.0,))})
    verdict = {target.claim: target.met for target in targets}
    assert verdict["false deaths, all scenarios <= the better peer"] is False


def test_what_was_not_measured_is_not_judged_and_stands_as_such() -> None:
    targets = judge({"swimstream": summary(times=(1.0,)), "kinship": summary(times=(1.0,))})
    assert [target.claim for target in targets if target.met is None] == [
        "CPU per idle node <= 4 x memberlist",
        "bytes per idle node <= kinship",
    ]


def test_without_go_memberlist_is_left_out_and_the_reason_names_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    results = Results()
    assert find_peers(["memberlist"], tmp_path, results, Progress()) == []
    assert "golang-github-hashicorp-memberlist-dev" in results.left_out["memberlist"]


def test_without_kinship_it_is_left_out_and_the_reason_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kinship", None)
    results = Results()
    assert find_peers(["kinship"], tmp_path, results, Progress()) == []
    assert "[bench]" in results.left_out["kinship"]


def test_a_peer_that_was_left_out_is_not_ok() -> None:
    results = Results()
    results.add_peer("swimstream")
    assert is_ok(results, ())
    results.left_out["memberlist"] = "Go is missing"
    assert not is_ok(results, ())


def test_the_report_is_json_with_every_run_in_it() -> None:
    results = Results()
    results.add_peer("swimstream")
    results.kills["swimstream"].append(Kill(victim="n000", detection_s=(1.0, 2.0), missed=0, false_deaths=0))
    plan = Plan(nodes=3, runs=1, idle_s=1, stall_s=1, seed=1, settings=FAST)
    load = [os.getloadavg()] * 2
    document = json.loads(json.dumps(report(plan, results, (), {"swimstream": "1"}, load)))
    assert document["ok"] is True
    assert document["peers"]["swimstream"]["kills"][0]["detection_s"] == [1.0, 2.0]
    assert document["peers"]["swimstream"]["figures"]["last"]["p50"] == 2.0
