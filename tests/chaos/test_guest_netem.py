"""The check of the kernel's netem: its verdict on doctored round trips, and where it runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from chaos.guest import netem
from chaos.guest.delays import DELAY_MS, judge
from chaos.guest.netem import Step, main, run_here

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

PLAIN_MS = [0.1, 0.2, 0.1]


def test_a_delay_that_is_kept_is_right_and_one_that_is_not_there_is_missed() -> None:
    assert judge(PLAIN_MS, [DELAY_MS + 0.1, DELAY_MS + 0.4, DELAY_MS + 9.0])
    assert not judge(PLAIN_MS, PLAIN_MS)


def test_a_single_trip_that_came_too_early_is_missed() -> None:
    assert not judge(PLAIN_MS, [DELAY_MS + 0.1, DELAY_MS + 0.1, DELAY_MS - 1.0])


def test_a_delay_that_is_far_too_long_is_missed() -> None:
    assert not judge(PLAIN_MS, [3.0 * DELAY_MS] * 3)


def test_one_step_that_fails_makes_the_report_not_ok_and_the_rest_still_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [Step(name="bad", command=("false",)), Step(name="good", command=("true",))]
    monkeypatch.setattr(netem, "steps", lambda _: given)
    assert not run_here(tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert not report["ok"]
    assert [step["status"] for step in report["steps"]] == [1, 0]


def test_a_kernel_with_netem_is_used_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netem, "why_not_here", lambda: "")
    monkeypatch.setattr(netem, "steps", lambda _: [Step(name="good", command=("true",))])
    monkeypatch.setattr(netem, "run_in_guest", lambda *_: pytest.fail("no guest is needed"))
    done = CliRunner().invoke(main, ["--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert str(tmp_path / "report.json") in done.output


def test_a_kernel_without_it_gets_a_guest_whose_verdict_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netem, "why_not_here", lambda: "Specified qdisc kind is unknown")
    monkeypatch.setattr(netem, "run_here", lambda _: pytest.fail("there is no netem here"))
    monkeypatch.setattr(netem, "run_in_guest", lambda *_: 1)
    done = CliRunner().invoke(main, ["--out", str(tmp_path)])
    assert done.exit_code == 1
    assert "Specified qdisc kind is unknown" in done.output


def test_a_guest_without_it_does_not_boot_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netem, "why_not_here", lambda: "none")
    monkeypatch.setattr(netem, "run_in_guest", lambda *_: pytest.fail("a guest within a guest"))
    assert CliRunner().invoke(main, ["--inside", "--out", str(tmp_path)]).exit_code == 2


def test_a_machine_without_the_tools_is_told_which(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object, **__: object) -> subprocess.CompletedProcess[bytes]:
        raise FileNotFoundError(2, "No such file or directory", "unshare")

    monkeypatch.setattr("chaos.guest.netem.subprocess.run", missing)
    assert "unshare" in netem.why_not_here()
