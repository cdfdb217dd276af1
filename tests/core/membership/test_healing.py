"""What happens when a partition ends: everybody lives again, and nobody dies of what the cut-off had to believe."""

from __future__ import annotations

import pytest

from swimstream.model.member import MemberState
from tests.core.lab import Lab


def healed(names: str, *, apart_s: float) -> Lab:
    """Cut `b` off until both sides hold the other dead, wait, and mend; the notebook holds what follows."""
    lab = Lab()
    lab.start_group(names)
    lab.run_for(3.0)
    lab.isolate("b")
    lab.run_until(lambda: lab.live("b") == {"b"} and all("b" not in lab.live(name) for name in set(names) - {"b"}))
    lab.run_for(apart_s)
    lab.told.clear()
    lab.mend()
    lab.run_for(12.0)
    return lab


@pytest.mark.parametrize("apart_s", [0.0, 20.0])
def test_who_was_cut_off_and_the_others_find_together_again_without_seeds(apart_s: float) -> None:
    lab = healed("abcdef", apart_s=apart_s)
    assert [lab.live(name) for name in "abcdef"] == [set("abcdef")] * 6


def test_who_comes_back_at_once_kills_nobody() -> None:
    lab = healed("abcdef", apart_s=0.0)
    assert [told for name in "abcdef" for told in lab.entered(MemberState.DEAD, name)] == []


def test_who_comes_back_after_a_long_time_kills_nobody() -> None:
    lab = healed("abcdef", apart_s=20.0)
    assert [told for name in "abcdef" for told in lab.entered(MemberState.DEAD, name)] == []
