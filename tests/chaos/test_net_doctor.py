"""The doctor: what is missing is said with what brings it, and only what its own dead makers left is removed."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from chaos import doctor
from chaos.doctor import Finding, backends, main
from chaos.net.spaces import Leftover

EXAMINE = doctor.examine
NAMES = [name for name, *_ in doctor.PARTS]


def findings(*missing: str) -> list[Finding]:
    return [
        Finding(name=name, wanted_for="a test", why_not=f"no {name}" if name in missing else "", install=f"get {name}")
        for name in NAMES
    ]


def test_what_is_tried_in_a_namespace_is_not_blamed_for_there_being_none(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [(name, "a test", lambda name=name: "no" if name == "namespaces" else "", "get it") for name in NAMES]
    monkeypatch.setattr(doctor, "PARTS", parts)
    found = {finding.name: finding for finding in EXAMINE()}
    assert found["nft"].why_not == "not tried: no namespaces"
    assert found["nft"].install == ""
    assert found["stress"].is_there


@pytest.fixture(autouse=True)
def _nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", findings)
    monkeypatch.setattr(doctor, "leftovers", list)
    monkeypatch.setattr(doctor, "sweep", list)


def test_a_backend_is_there_if_all_that_it_needs_is() -> None:
    assert backends(findings()) == {"netem": "", "tun": "", "sim": ""}
    assert backends(findings("sch_netem", "nft")) == {"netem": "no sch_netem", "tun": "", "sim": ""}
    assert backends(findings("/dev/net/tun")) == {"netem": "", "tun": "no /dev/net/tun", "sim": ""}
    assert backends(findings("root")) == {"netem": "no root", "tun": "no root", "sim": ""}


def test_it_says_why_something_is_not_there_and_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: findings("sch_netem", "/dev/net/tun"))
    done = CliRunner().invoke(main, [])
    assert done.exit_code == 1, "no real hosts without either"
    assert "no: no sch_netem -> get sch_netem" in done.output
    assert "get nft" not in done.output


def test_one_way_to_have_real_hosts_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: findings("sch_netem"))
    done = CliRunner().invoke(main, ["--json"])
    assert done.exit_code == 0
    told = json.loads(done.stdout)
    assert told["backends"]["netem"] == {"is_there": False, "why_not": "no sch_netem"}
    assert {part["name"] for part in told["parts"] if not part["is_there"]} == {"sch_netem"}


def test_what_is_left_over_is_named_and_removed_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "leftovers", lambda: [Leftover("swimstream-1-2-3-4", 1)])
    swept = []

    def sweep() -> list[str]:
        swept.append(1)
        return ["swimstream-1-2-3-4"]

    monkeypatch.setattr(doctor, "sweep", sweep)
    assert "left over: swimstream-1-2-3-4\n" in CliRunner().invoke(main, []).output
    assert swept == []
    assert "swimstream-1-2-3-4 (removed)" in CliRunner().invoke(main, ["--clean"]).output


def test_a_tool_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert doctor._which("stress-ng", "stress")() == "stress-ng or stress is not in PATH"
