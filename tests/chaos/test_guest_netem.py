"""The check of the kernel's netem: where it runs, and what its steps come to."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from chaos.guest import netem
from chaos.guest.netem import Step, main, overall, run_here, steps

if TYPE_CHECKING:
    from pathlib import Path


def test_one_step_that_fails_makes_the_report_not_ok_and_the_rest_still_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [Step(name="bad", command=("false",)), Step(name="good", command=("true",))]
    monkeypatch.setattr(netem, "steps", lambda *_: given)
    assert run_here(tmp_path, []) == 1
    report = json.loads((tmp_path / "report.json").read_text())
    assert not report["ok"]
    assert [step["status"] for step in report["steps"]] == [1, 0]


def test_a_kernel_with_netem_is_used_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netem, "why_no_netem", lambda: "")
    monkeypatch.setattr(netem, "steps", lambda *_: [Step(name="good", command=("true",))])
    monkeypatch.setattr(netem, "run_in_guest", lambda *_: pytest.fail("no guest is needed"))
    done = CliRunner().invoke(main, ["--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert str(tmp_path / "report.json") in done.output


def test_a_kernel_without_it_gets_a_guest_whose_verdict_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netem, "why_no_netem", lambda: "Specified qdisc kind is unknown")
    monkeypatch.setattr(netem, "run_here", lambda *_: pytest.fail("there is no netem here"))
    monkeypatch.setattr(netem, "run_in_guest", lambda *_: 1)
    done = CliRunner().invoke(main, ["--out", str(tmp_path)])
    assert done.exit_code == 1
    assert "Specified qdisc kind is unknown" in done.output


def test_a_guest_without_it_does_not_boot_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netem, "why_no_netem", lambda: "none")
    monkeypatch.setattr(netem, "run_in_guest", lambda *_: pytest.fail("a guest within a guest"))
    assert CliRunner().invoke(main, ["--inside", "--out", str(tmp_path)]).exit_code == 2


def test_what_could_not_be_judged_is_neither_right_nor_wrong() -> None:
    assert overall([0, 0]) == 0
    assert overall([0, 2]) == 2
    assert overall([2, 1]) == 1
    assert overall([2, 124]) == 1
    assert overall([-9]) == 1
    assert overall([]) == 1


def test_the_cases_asked_for_are_handed_on_with_a_place_for_the_report(tmp_path: Path) -> None:
    (step,) = steps(tmp_path, ["cut", "loss 10 %"])
    assert step.command[-4:] == ("--case", "cut", "--case", "loss 10 %")
    assert str(tmp_path / "conformance.json") in step.command
