"""The attacks of `make fuzz` in small: what they claim holds, and what they find is written down and found again."""

from __future__ import annotations

import json
import subprocess
import sys
from random import Random
from typing import TYPE_CHECKING

import click.testing
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaos.fuzz import bounds, corpus, flood, run, targets, worker
from chaos.fuzz.draw import Draw
from chaos.fuzz.scenes import SCENES
from swimstream.wire.codec import decode_packet_untrusted

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("target", sorted(targets.TARGETS))
def test_any_script_is_survived(target: str) -> None:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.binary(max_size=400))
    def attack(script: bytes) -> None:
        targets.TARGETS[target](script)

    attack()


@pytest.mark.parametrize("target", sorted(targets.TARGETS))
def test_the_scripts_to_begin_with_are_survived(target: str) -> None:
    scripts = targets.seeds_of(target)
    assert len(scripts) > 10
    for script in scripts:
        targets.TARGETS[target](script)


def test_the_corpus_holds_a_packet_of_each_kind() -> None:
    kinds = {type(message) for data in corpus.golden_packets() for message in decode_packet_untrusted(data).messages}
    assert len(kinds) >= 20


def test_a_script_always_makes_the_same_message() -> None:
    """Also after others, or a finding could not be done again."""
    before = repr(corpus.STRANGE)
    for number in range(5_000):
        corpus.mutant(Draw(Random(number).randbytes(40)), ("lore",))
    assert repr(corpus.STRANGE) == before


@pytest.mark.parametrize("name", sorted(SCENES))
def test_a_scene_is_always_the_same(name: str) -> None:
    assert bounds.state_of(SCENES[name]().node) == bounds.state_of(SCENES[name]().node)


def test_a_flood_changes_nothing_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flood, "DIFFERENT", 400)
    monkeypatch.setattr(flood, "US_MAX", float("inf"))
    found = flood.run_floods(11 * 400, seed=1)
    assert [each for each in found if not each.ok] == []
    assert {each.packets for each in found} == {400}
    assert {each.node for each in found} == {"sealed", "plain"}


def test_a_flood_that_changes_something_is_not_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flood, "US_MAX", float("inf"))
    scene = SCENES["follower"]()
    claims = [flood.member_claim(number) for number in range(10)]
    found = flood.flood(scene, "plain", "claims", claims, count=10)
    assert (found.ok, found.changed) == (False, True)


def test_a_finding_is_written_down_and_can_be_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(script: bytes) -> None:
        assert len(script) % 2 == 0, "an odd script"

    monkeypatch.setattr(bounds, "tighten", lambda: None)
    monkeypatch.setattr(targets, "TARGETS", {"seal": broken})
    assert worker.run_loop("seal", seconds=60, seed=1, prefix=f"{tmp_path}/seal-") == worker.FINDING
    (finding,) = tmp_path.glob("seal-crash-*")
    with pytest.raises(AssertionError, match="an odd script"):
        run.replay(finding)


@pytest.mark.parametrize("target", ["seal", "insider"])
def test_the_command_writes_its_verdict(tmp_path: Path, target: str) -> None:
    """With our own loop, so that the tests do without atheris; for a second."""
    arguments = ["--minutes", "0.02", "--flood", "0", "--engine", "loop", "--target", target]
    paths = ["--json", str(tmp_path / "fuzz.json"), "--build", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "chaos.fuzz", *arguments, *paths], check=False, capture_output=True, timeout=240
    )
    document = json.loads((tmp_path / "fuzz.json").read_text())
    assert done.returncode == 0, done.stdout
    assert document["ok"] is True
    assert "own loop" in document["engine"]
    assert document["targets"][0]["runs"] > 0


def test_a_script_that_fails_is_kept_whatever_the_engine_does_then(tmp_path: Path) -> None:
    """libFuzzer has been seen to die of its own alarm before it wrote one."""

    def broken(_: bytes) -> None:
        raise KeyError("broken")

    with pytest.raises(KeyError):
        worker.kept(broken, f"{tmp_path}/seal-")(b"script")
    assert [path.read_bytes() for path in tmp_path.glob("seal-crash-*")] == [b"script"]


def test_a_worker_that_fails_is_not_ok(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "TARGETS", {"nonsense": None})
    (found,) = run.fuzz(["nonsense"], engine=worker.LOOP, minutes=0.01, seed=1, build_dir=tmp_path)
    assert (found.ok, found.runs) == (False, None)


def test_a_file_that_is_no_finding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nonsense-crash-1"
    path.write_bytes(b"")
    done = click.testing.CliRunner().invoke(run.main, ["--replay", str(path)])
    assert done.exit_code != 0
    assert "expected a file named after its target" in done.output
