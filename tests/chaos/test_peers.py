"""The harness that measures swimstream beside others: small, on real processes, swimstream alone."""

from __future__ import annotations

import base64
import contextlib
import itertools
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from random import Random

import attrs
import pytest
from click.testing import CliRunner

from chaos.peers.cluster import Cluster, ClusterError, Sighting
from chaos.peers.command import find_peers, main
from chaos.peers.peer import ROOT, Peer, find_peer
from chaos.peers.run import SCENARIOS, PeerRun, Progress
from chaos.peers.scenarios import (
    FalseDeaths,
    change_one,
    deaths,
    kill_one,
    leave_one,
    measure_idle,
    sort_deaths,
    starve_some,
    stop_some,
    turns,
)
from chaos.peers.settings import Settings
from tests.chaos.plans import SMALL

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the harness reads /proc")

FAST = Settings(
    probe_interval_s=0.2, probe_timeout_s=0.1, gossip_interval_s=0.05, suspicion_mult=3, suspicion_max_mult=3
)
GONE_S = 60.0
"""What has not disappeared by then is left behind: one may have to start first, on a busy machine."""
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
    give_up_at = time.monotonic() + GONE_S
    while left := processes_marked(mark):
        assert time.monotonic() < give_up_at, f"left: {left}"
        time.sleep(0.02)


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> str:
    """Mark every process that the test starts, by its environment."""
    value = uuid.uuid4().hex
    monkeypatch.setenv(MARK, value)
    return value


@pytest.fixture(params=["plaintext", "encrypted"])
def key_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    if request.param == "plaintext":
        return None
    pytest.importorskip("cryptography")
    path = tmp_path / "key"
    path.write_text(base64.b64encode(bytes(range(32))).decode())
    return path


def test_real_nodes_are_measured_and_none_is_left_behind(tmp_path: Path, mark: str, key_file: Path | None) -> None:
    with Cluster(find_peer("swimstream", build_dir=tmp_path), FAST, nodes=4, key_file=key_file) as cluster:
        assert len(processes_marked(mark)) == 4
        change = change_one(cluster, value="v1", rng=Random(1))
        idle = measure_idle(cluster, seconds=1.0, counts_packets=False)
        stop = stop_some(cluster, FAST, share=0.25, seconds=0.1, rng=Random(1))
        starved = starve_some(cluster, FAST, share=0.5, seconds=0.2, rng=Random(1))
        kill = kill_one(cluster, FAST, rng=Random(1))
        news = leave_one(cluster, rng=Random(1))
    assert_gone(mark)
    assert (len(change.heard_s), change.missed) == (3, 0)
    assert len(idle.cpu_share) == 4
    assert all(0 < share < 1 for share in idle.cpu_share)
    assert all(size > 2**20 for size in idle.rss_bytes)
    assert (len(stop.victims), len(starved.victims)) == (1, 2)
    assert (len(kill.detection_s), kill.missed) == (3, 0)
    # no suspicion is told if a busy machine has had it suspected before
    assert kill.suspected_s[:1] < kill.detection_s[:1]
    assert 0 < kill.detection_s[0] <= kill.detection_s[-1]
    assert (len(news.heard_s), news.missed) == (2, 0)
    assert news.origin != kill.victim


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
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=240, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert_gone(mark)


def test_a_node_that_reads_no_more_ends_with_its_parent(mark: str) -> None:
    node = "import chaos.peers.node, time; chaos.peers.node.die_with_parent(); print(flush=True); time.sleep(1000)"
    code = f"""if True:
        import subprocess, sys
        node = subprocess.Popen([sys.executable, "-c", {node!r}], stdout=subprocess.PIPE)
        node.stdout.readline()
    """
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=240, check=True)
    assert_gone(mark)


def test_a_command_that_is_told_to_end_leaves_nothing_behind(mark: str) -> None:
    command = [sys.executable, "-m", "chaos.peers", "--peers", "swimstream", "--nodes", "3", "--kills", "1"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("swimstream" in line for line in process.stdout)
        give_up_at = time.monotonic() + GONE_S
        while len(processes_marked(mark)) < 2:
            assert time.monotonic() < give_up_at
        process.terminate()
        assert process.wait(GONE_S) == 128 + signal.SIGTERM
    assert_gone(mark)


def test_a_node_that_ends_by_itself_is_a_failure_with_its_last_words(mark: str) -> None:
    peer = Peer(name="broken", version="0", command=(sys.executable, "-c", "raise SystemExit('no such thing')"))
    with (
        pytest.raises(ClusterError, match=r"broken: n000 ended with status 1\nno such thing"),
        Cluster(peer, FAST, nodes=3),
    ):
        pass
    assert_gone(mark)


def test_nodes_encrypt_with_the_key_that_they_are_given(tmp_path: Path, mark: str) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("no key")
    peer = find_peer("swimstream", build_dir=tmp_path)
    with pytest.raises(ClusterError, match="key_file: key 1"), Cluster(peer, FAST, nodes=3, key_file=key_file):
        pass
    assert_gone(mark)


def test_a_death_counts_once_an_observer_and_when_it_was_first_declared() -> None:
    told = [("a", "c", "suspect", 1.0), ("a", "c", "dead", 2.0), ("a", "c", "dead", 3.0), ("b", "c", "dead", 4.0)]
    sightings = [Sighting(observer=who, member=whom, state=state, at=at) for who, whom, state, at in told]
    assert deaths(sightings) == {("a", "c"): 2.0, ("b", "c"): 4.0}


def test_a_starved_node_is_stopped_most_of_the_time_and_runs_at_the_end() -> None:
    found = turns(["a", "b"], 20.0, Random(1))
    assert found == sorted(found, key=lambda turn: turn.at)
    for name in ("a", "b"):
        mine = [turn for turn in found if turn.name == name]
        assert [turn.stop for turn in mine] == [True, False] * (len(mine) // 2)
        stopped = [after.at - before.at for before, after in itertools.pairwise(mine) if before.stop]
        assert sum(stopped) > 0.7 * 20
        assert max(stopped) <= 2.5
        assert mine[-1].at <= 20


def test_false_deaths_are_told_apart_by_who_declared_whom() -> None:
    declared = [("a", "b"), ("a", "x"), ("b", "x"), ("x", "a"), ("x", "b"), ("y", "a"), ("x", "y")]
    found = sort_deaths(declared, {"x", "y"})
    assert found == FalseDeaths(
        of_healthy_by_healthy=1, of_harmed_by_healthy=2, of_healthy_by_harmed=3, of_harmed_by_harmed=1
    )
    assert (found.by_healthy, found.by_anyone) == (3, 7)


def test_without_go_memberlist_is_left_out_and_the_reason_names_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    left_out: dict[str, str] = {}
    assert find_peers(["memberlist"], tmp_path, left_out, Progress()) == []
    assert "golang-github-hashicorp-memberlist-dev" in left_out["memberlist"]


def test_without_kinship_it_is_left_out_and_the_reason_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kinship", None)
    left_out: dict[str, str] = {}
    assert find_peers(["kinship"], tmp_path, left_out, Progress()) == []
    assert "[bench]" in left_out["kinship"]


PLAN = attrs.evolve(SMALL, settings=FAST)


def test_all_peers_meet_the_same_draws_whatever_else_is_measured() -> None:
    def draws(name: str, scenarios: tuple[str, ...]) -> float:
        peer = Peer(name=name, version="1", command=())
        plan = attrs.evolve(PLAN, scenarios=scenarios)
        one = PeerRun(peer=peer, plan=plan, nodes=3, number=0, key_file=None, counts_packets=False, progress=Progress())
        return one.rng("kill").random()

    assert draws("swimstream", SCENARIOS) == draws("kinship", ("kill",))


def test_fewer_nodes_than_the_kills_need_are_refused_before_anything_starts() -> None:
    refused = CliRunner().invoke(main, ["--nodes", "16", "--nodes", "4", "--kills", "3"])
    assert refused.exit_code == 2
    assert "twice --kills" in refused.output
