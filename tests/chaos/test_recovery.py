"""Deaths and recoveries: what is read out of the beats, and what the times are held against."""

from __future__ import annotations

import json

import attrs
import pytest

from chaos.recovery.diary import Copy, Diary, Kill
from chaos.recovery.figures import WAYS, judge, series, table
from chaos.recovery.others import OTHERS
from chaos.recovery.run import Outcome, document

BEATS = """\
10.0 j/least[0] 3 w1
10.1 j/once[0] 4 w1
10.2 j/least[1] 5 w2
12.0 j/least[0] 3 w1
12.1 j/once[0] 4 w1
14.5 j/least[0] 8 w2
17.0 j/once[0] 9 w3
17.2 j/once[0] 9 w3
"""


def diary(text: str = BEATS) -> Diary:
    found = Diary()
    found.add(text)
    return found


def test_recovery_lasts_until_the_last_lost_instance_beats_elsewhere() -> None:
    lost = [*diary(BEATS[: BEATS.index("14.5")]).hosted("j", "w1").values()]
    assert diary().running_s(lost, killed_at=12.5) == pytest.approx({"least": 2.0, "once": 4.5})


def test_what_beats_nowhere_yet_takes_for_ever() -> None:
    early = BEATS[: BEATS.index("17.0")]
    lost = [*diary(BEATS[: BEATS.index("14.5")]).hosted("j", "w1").values()]
    assert diary(early).running_s(lost, killed_at=12.5)["once"] == float("inf")


def test_a_later_epoch_on_the_victim_itself_is_no_recovery() -> None:
    lost = [Copy("j/least[0]", 3, "w1", 10.0, 12.0)]
    assert diary("10.0 j/least[0] 3 w1\n13.0 j/least[0] 8 w1\n").running_s(lost, killed_at=12.5)["least"] == float(
        "inf"
    )


def test_half_a_line_waits_for_its_other_half() -> None:
    found = Diary()
    for piece in (BEATS[:25], BEATS[25:60], BEATS[60:]):
        found.add(piece)
    assert found.newest("j") == diary().newest("j")


@pytest.mark.parametrize(("beat", "count"), [("", 0), ("17.1 j/once[0] 4 w1\n", 1)])
def test_a_former_copy_that_still_beats_is_counted(beat: str, count: int) -> None:
    found = diary(BEATS + beat)
    assert found.overlaps([Copy("j/once[0]", 4, "w1", 10.1, 12.1)]) == count
    assert found.doubles() == count


def a_kill(**changes: object) -> Kill:
    kill = Kill(
        preset="lan",
        isolation="thread",
        is_machine=True,
        was_leader=False,
        victim="w1",
        noticed_s=4.0,
        decided_s={"least": 4.1, "once": 7.0},
        running_s={"least": 4.2, "once": 8.0},
        overlaps=0,
    )
    return attrs.evolve(kill, **changes)  # type: ignore[arg-type]  # by name


def all_kills(**changes: object) -> list[Kill]:
    """Return a good death of each sort, the first of them changed."""
    found = [
        a_kill(isolation=isolation, is_machine=machine, was_leader=leader)
        if machine
        else a_kill(isolation=isolation, is_machine=False, was_leader=leader, running_s={"least": 0.1, "once": 0.8})
        for isolation, machine in WAYS
        for leader in (False, True)
    ]
    return [attrs.evolve(found[0], **changes), *found[1:]]  # type: ignore[arg-type]  # by name


def all_alike(*, least: float, once: float) -> list[Kill]:
    return [attrs.evolve(each, running_s={"least": least, "once": once}) for each in all_kills()]


def missed(kills: list[Kill], *, wanted: int = 1) -> list[str]:
    return [target.claim for target in judge(kills, wanted=wanted, presets=["lan"]) if target.met is not True]


def test_good_times_meet_every_target() -> None:
    assert missed(all_kills()) == []


@pytest.mark.parametrize(
    ("kills", "claim"),
    [
        (all_kills(overlaps=1), "twice"),
        (all_kills(running_s={"least": 11.5, "once": 8.0}), "at-least-one, found out, p95"),
        (all_kills(running_s={"least": 4.2, "once": 12.5}), "at-most-one, found out, p95"),
        (all_alike(least=8.5, once=8.0), "at-least-one, found out, p50"),
        (all_alike(least=4.0, once=9.5), "at-most-one, found out, p50"),
        (all_alike(least=1.1, once=0.8), "told by the surviving peer"),
        ([a_kill(), a_kill(was_leader=True, running_s={"least": 5.5, "once": 8.0})], "p50 of the leader"),
        (all_kills()[1:], "deaths of each sort"),
    ],
)
def test_each_target_can_be_missed(kills: list[Kill], claim: str) -> None:
    assert any(claim in each for each in missed(kills))


def test_fewer_deaths_than_were_wanted_are_not_enough() -> None:
    assert missed(all_kills(), wanted=2) == ["deaths of each sort"]


def test_a_cluster_that_broke_is_no_success_and_the_document_is_json() -> None:
    outcome = Outcome(kills=[a_kill(noticed_s=float("inf"))], failures=["w1 ended"])
    found = document(outcome, wanted=1, presets=["lan"], conditions={})
    assert found["ok"] is False
    json.dumps(found, allow_nan=False)


def test_the_table_has_a_line_for_each_sort_and_guarantee() -> None:
    kills = all_kills()
    assert len(series(kills)) == 2 * len(kills)
    assert len(table(kills).splitlines()) == 2 + 2 * len(kills)


def test_what_others_document_is_a_range_with_a_source() -> None:
    assert all(0 < each.from_s <= each.to_s and each.source.startswith("https://") for each in OTHERS)
