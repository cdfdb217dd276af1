"""The checker of histories: it lets pass what can have happened, and nothing else."""

from __future__ import annotations

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from swimstream.simulator.linear import Call, is_linearizable


def call(name: str, called_at: float, answered_at: float, *before: str) -> Call:
    return Call(name=name, called_at=called_at, answered_at=answered_at, before=before)


def open_call(name: str, called_at: float) -> Call:
    return Call(name=name, called_at=called_at)


def test_no_call_at_all_is_a_history() -> None:
    assert is_linearizable([])


def test_one_call_after_the_other_sees_those_before() -> None:
    assert is_linearizable([call("a", 0, 1), call("b", 2, 3, "a"), call("c", 4, 5, "a", "b")])


def test_a_call_that_does_not_see_an_earlier_one_is_caught() -> None:
    assert not is_linearizable([call("a", 0, 1), call("b", 2, 3)])


def test_a_call_that_sees_a_later_one_is_caught() -> None:
    assert not is_linearizable([call("a", 0, 1, "b"), call("b", 2, 3)])


def test_calls_that_overlap_may_come_in_either_order() -> None:
    assert is_linearizable([call("a", 0, 3), call("b", 1, 2, "a")])
    assert is_linearizable([call("a", 0, 3, "b"), call("b", 1, 2)])


def test_two_calls_that_each_come_before_the_other_are_caught() -> None:
    assert not is_linearizable([call("a", 0, 3, "b"), call("b", 1, 2, "a")])


def test_two_calls_that_both_come_first_are_caught() -> None:
    """Two leaders of one term, each with a history of its own."""
    assert not is_linearizable([call("a", 0, 3), call("b", 1, 2)])


def test_a_call_without_an_answer_may_have_happened() -> None:
    assert is_linearizable([open_call("a", 0), call("b", 2, 3, "a")])


def test_a_call_without_an_answer_need_not_have_happened() -> None:
    assert is_linearizable([open_call("a", 0), call("b", 2, 3)])


def test_a_call_without_an_answer_did_not_happen_before_it_began() -> None:
    assert not is_linearizable([open_call("a", 5), call("b", 2, 3, "a")])


def test_what_was_added_stays_in_its_order() -> None:
    first = [open_call("a", 0), open_call("b", 0), call("c", 1, 2, "a", "b")]
    assert is_linearizable(first)
    assert not is_linearizable([*first, call("d", 3, 4, "b", "a", "c")])


def test_what_was_lost_is_caught() -> None:
    assert not is_linearizable([call("a", 0, 1), call("b", 2, 3, "a"), call("c", 4, 5, "b")])


def explains(order: tuple[Call, ...]) -> bool:
    """Return whether the calls can have happened in just this order: the definition, without any search."""
    log: tuple[str, ...] = ()
    for position, made in enumerate(order):
        if made.is_answered and made.before != log:
            return False
        if any(later.answered_at < made.called_at for later in order[position + 1 :]):
            return False
        log = (*log, made.name)
    return True


def by_definition(calls: list[Call]) -> bool:
    answered = [made for made in calls if made.is_answered]
    unanswered = [made for made in calls if not made.is_answered]
    chosen = [
        [*answered, *(made for number, made in enumerate(unanswered) if mask >> number & 1)]
        for mask in range(2 ** len(unanswered))
    ]
    return any(explains(order) for some in chosen for order in permutations(some))


@st.composite
def histories(draw: st.DrawFn) -> list[Call]:
    """Draw a few calls with short times, so that many overlap, and answers that are sometimes right."""
    names = ["a", "b", "c", "d"][: draw(st.integers(1, 4))]
    order = draw(st.permutations(names))
    calls = []
    for name in names:
        called_at = draw(st.integers(0, 5))
        before = tuple(order[: order.index(name)])
        if draw(st.integers(0, 4)) == 0:
            before = tuple(draw(st.permutations(names))[: draw(st.integers(0, len(names) - 1))])
        answered_at = draw(st.one_of(st.integers(called_at, 8), st.just(float("inf"))))
        calls.append(Call(name=name, called_at=called_at, answered_at=answered_at, before=before))
    return calls


@given(histories())
def test_the_checker_agrees_with_the_definition(calls: list[Call]) -> None:
    assert is_linearizable(calls) == by_definition(calls)
