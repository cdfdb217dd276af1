"""The soak's verdicts on doctored findings: each can fail. And its strikes, which a seed repeats."""

from __future__ import annotations

import os
import subprocess
import sys
from random import Random
from typing import TYPE_CHECKING

import attrs
import pytest

from chaos.soak.fleet import MARK, Fleet
from chaos.soak.growth import Sample, growths, slope
from chaos.soak.nemesis import ENDING, KINDS, Strike, draw
from chaos.soak.verdict import Soak, Struck, judge

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 100
NAMES = ["a", "b", "c", "d"]
GOOD = Sample(at=0.0, name="a", pid=7, rss_mib=50.0, threads=9, fds=20, hosted=1)


def life(*, rss_mib: float = 0.0, threads: float = 0.0, fds: float = 0.0) -> list[Sample]:
    """Return ten minutes of a process that grows by so much a minute."""
    return [
        attrs.evolve(
            GOOD,
            at=float(at),
            rss_mib=50.0 + rss_mib * at / 60,
            threads=int(9 + threads * at / 60),
            fds=int(20 + fds * at / 60),
        )
        for at in range(600)
    ]


def missed(**changes: object) -> list[str]:
    soak = Soak(**{"samples": life(), "rows": ROWS, **changes})  # type: ignore[arg-type]  # by name
    return [each.claim for each in judge(soak, rows_expected=ROWS, expect_growths=True) if each.met is not True]


def test_a_good_soak_meets_everything() -> None:
    assert missed() == []


@pytest.mark.parametrize(
    ("changes", "claim"),
    [
        ({"failure": "stuck"}, "the job did not finish"),
        ({"lost": 1}, "rows lost or different"),
        ({"doubled": 1}, "rows written twice"),
        ({"unexpected": 1}, "rows made up"),
        ({"rows": ROWS + 1}, "rows"),
        ({"overlaps": 1}, "at-most-one instances that ran twice at a time"),
        ({"ended_unasked": ["a"]}, "workers that ended unasked"),
        ({"ended_badly": ["a"]}, "workers that did not end well when told to"),
        ({"quarantined": ["j/o[0]"]}, "instances in quarantine"),
        ({"left_behind": ["17: python"]}, "processes left behind"),
        ({"samples": life(rss_mib=1.2)}, "processes that grow"),
        ({"samples": life(threads=0.5)}, "processes that grow"),
        ({"samples": life(fds=1.0)}, "processes that grow"),
        ({"samples": life()[:50]}, "processes that lived long enough to be judged"),
        (
            {"strikes": [Struck(kind="scale", names=(), detail="", at=1.0, until=2.0, trouble="refused")]},
            "commands and returns that failed",
        ),
    ],
)
def test_each_verdict_can_fail(changes: dict[str, object], claim: str) -> None:
    assert missed(**changes) == [claim]


def test_what_instances_explain_is_no_growth() -> None:
    samples = [attrs.evolve(each, hosted=int(each.at // 100), fds=20 + 5 * int(each.at // 100)) for each in life()]
    (growth,) = growths(samples)
    assert growth.fds == pytest.approx(0.0, abs=0.01)


def test_a_leak_is_seen_behind_what_instances_explain() -> None:
    times = [float(at) for at in range(600)]
    hosted = [float(at // 100 % 3) for at in range(600)]
    assert slope(times, hosted, [3 * h + 0.5 * t for t, h in zip(times, hosted, strict=True)]) == pytest.approx(0.5)


def test_each_life_of_a_name_is_a_process_of_its_own() -> None:
    assert [each.pid for each in growths([*life(), *(attrs.evolve(each, pid=8) for each in life())])] == [7, 8]


def test_a_seed_repeats_its_strikes_and_comes_to_all_of_them() -> None:
    def strikes(seed: int) -> list[Strike]:
        rng = Random(seed)
        return [draw(rng, names=NAMES, spared=["a"]) for _ in range(300)]

    assert strikes(3) == strikes(3) != strikes(4)
    assert {each.kind for each in strikes(3)} == set(KINDS)


def test_the_spared_are_never_ended() -> None:
    rng = Random(1)
    struck = [draw(rng, names=NAMES, spared=["a"]) for _ in range(300)]
    assert all("a" not in each.names for each in struck if each.kind in ENDING)
    assert any("a" in each.names for each in struck)


def test_a_process_left_behind_is_found_by_its_mark(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path, tmp_path, count=1, preset="local", mark="here")
    orphan = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        env={**os.environ, MARK: "here"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert orphan.stdout is not None
        orphan.stdout.readline()
        assert [each.partition(":")[0] for each in fleet.left_behind()] == [str(orphan.pid)]
    finally:
        orphan.kill()
        orphan.communicate()
    assert fleet.left_behind() == []
    fleet.close()
