"""Whole stories, as the workers saw them, against the text beside this file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from swimstream.model.member import MemberState
from tests.core.lab import Lab, story

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = Path(__file__).parent


def join_of_three() -> Lab:
    """Tell how three workers find together, the first as the seed of the others."""
    lab = Lab()
    lab.start_group("abc")
    lab.run_for(1.0)
    return lab


def a_death_seen_by_all() -> Lab:
    """Tell how four workers find out that the fifth has crashed."""
    lab = Lab()
    lab.start_group("abcde")
    lab.run_for(2.0)
    lab.told.clear()
    lab.crash("e")
    lab.run_until(lambda: len(lab.entered(MemberState.DEAD, "e")) == 4)
    lab.run_for(5.0)
    return lab


def a_refuted_suspicion() -> Lab:
    """Tell how a worker that was paused proves that it lives."""
    lab = Lab()
    lab.start_group("abcd")
    lab.run_for(2.0)
    lab.told.clear()
    lab.pause("d")
    lab.run_until(lambda: len(lab.entered(MemberState.SUSPECT, "d")) == 3)
    lab.resume("d")
    lab.run_for(5.0)
    return lab


def a_takeover_by_a_restarted_worker() -> Lab:
    """Tell how a worker comes back from another address, before and after its death is known."""
    lab = Lab()
    lab.start_group("abc")
    lab.run_for(2.0)
    lab.told.clear()
    lab.crash("c")
    lab.run_for(0.1)
    lab.start("c", host=9, seeds=("a",), boot=2_000)
    lab.run_for(5.0)
    lab.crash("c")
    lab.run_until(lambda: len(lab.entered(MemberState.DEAD, "c")) == 2)
    lab.start("c", host=10, seeds=("b",), boot=3_000)
    lab.run_for(2.0)
    return lab


@pytest.mark.parametrize(
    "tell", [join_of_three, a_death_seen_by_all, a_refuted_suspicion, a_takeover_by_a_restarted_worker]
)
def test_the_story_goes_as_it_is_written(tell: Callable[[], Lab], request: pytest.FixtureRequest) -> None:
    lab = tell()
    told = f"{tell.__doc__}\n\n" + "\n".join(story(lab)) + "\n"
    golden = FOLDER / f"{tell.__name__}.txt"
    if request.config.getoption("--rewrite", default=False):
        golden.write_text(told)
    assert golden.read_text() == told, "if this is wanted: pytest tests/transcripts --rewrite"


def test_a_story_is_told_the_same_way_twice() -> None:
    assert list(story(a_refuted_suspicion())) == list(story(a_refuted_suspicion()))
