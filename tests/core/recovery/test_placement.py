"""Where an instance goes: filters, then scores, the same for the same input."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swimstream.core.recovery.placement import Places
from swimstream.model.changes import CORDONED, DRAINING, LEAVING, MODES, NORMAL, QUARANTINED
from swimstream.model.coordinate import Coordinate
from swimstream.model.directives import Directives, WorkerMode
from swimstream.model.identity import InstanceId, Run
from swimstream.model.job import ANTI_AFFINITIES, AT_MOST_ONE, PINNED, JobSpec, OperatorSpec
from swimstream.model.member import Member, MemberState
from swimstream.model.plan import Assignment, Plan
from tests.core.recovery.situations import member, newer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from swimstream.core.recovery.candidates import Placement

SPEC = OperatorSpec(name="op", kind="map", parallelism=64)
FILLER = OperatorSpec(name="filler", kind="map", parallelism=1_024)
FIRST = InstanceId("job", "op", 0)


def mode(which: str, *, boot: int = 0) -> WorkerMode:
    return WorkerMode(mode=which, level=0, boot=boot, index=1, reason="")


def places(
    *members: Member,
    spec: OperatorSpec = SPEC,
    more: tuple[OperatorSpec, ...] = (),
    load: Mapping[str, int] | None = None,
    modes: Mapping[str, str] | None = None,
    held: Mapping[InstanceId, str] | None = None,
    **others: Any,  # of `Places`
) -> Places:
    """Return a table; `load`: so many instances of another job each holds; `held`: instances of this one."""
    assignments = {each: Assignment(instance=each, run=Run(name, 1), epoch=1) for each, name in (held or {}).items()}
    number = iter(range(1_024))
    for name, count in (load or {}).items():
        for _ in range(count):
            which = InstanceId("other", "filler", next(number))
            assignments[which] = Assignment(instance=which, run=Run(name, 1), epoch=1)
    jobs = {"job": JobSpec(name="job", operators=(spec, *more)), "other": JobSpec(name="other", operators=(FILLER,))}
    directives = Directives(modes={name: mode(which) for name, which in (modes or {}).items()})
    return Places(Plan(jobs=jobs, assignments=assignments, directives=directives), members, **others)


def chosen(made: Placement) -> str:
    assert made.run is not None, made.why
    return made.run.name


def place(*members: Member, **others: Any) -> str:  # of `places`
    return chosen(places(*members, **others).choose(FIRST))


def why_not(*members: Member, **others: Any) -> str:  # of `places`
    made = places(*members, **others).choose(FIRST)
    assert made.run is None
    return made.why


# --- filters --------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", [MemberState.SUSPECT, MemberState.DEAD, MemberState.LEFT])
def test_only_alive_workers_are_chosen(state: MemberState) -> None:
    assert place(member("a", state=state), member("b"), load={"b": 60}) == "b"


def test_only_workers_that_run_the_kind_are_chosen() -> None:
    assert place(member("a", kinds=("filter",)), member("b"), load={"b": 60}) == "b"


def test_a_full_worker_is_not_chosen() -> None:
    assert place(member("a", capacity=2), member("b"), load={"a": 2, "b": 50}) == "b"


def test_a_worker_without_capacity_is_never_chosen() -> None:
    assert why_not(member("a", capacity=0)) == "the only live worker that runs kind 'map' is full"


def test_room_is_counted_in_slots() -> None:
    wide = attrs.evolve(SPEC, slots=4)
    assert place(member("a", capacity=5), member("b", capacity=6), spec=wide, load={"a": 2, "b": 2}) == "b"
    assert why_not(member("a", capacity=5), spec=wide, load={"a": 2}) == (
        "the only live worker that runs kind 'map' is full (4 slots are needed)"
    )


def test_what_an_instance_of_many_slots_holds_is_counted_in_slots() -> None:
    wide = attrs.evolve(SPEC, slots=4)
    held = {InstanceId("job", "op", 1): "a"}
    assert place(member("a", capacity=7), member("b", capacity=4), spec=wide, held=held) == "b"


def test_the_load_of_an_earlier_run_does_not_count() -> None:
    assert place(member("a", boot=2, capacity=1), load={"a": 1}) == "a"


def test_an_operator_bound_to_sites_runs_there_only() -> None:
    bound = attrs.evolve(SPEC, sites=("north", "west"))
    assert place(member("a", site="south"), member("b", site="west"), spec=bound, load={"b": 60}) == "b"
    assert why_not(member("a", site="south"), spec=bound) == "no live worker in sites north, west runs kind 'map'"


def test_an_operator_with_labels_runs_only_where_all_of_them_are_tags() -> None:
    bound = attrs.evolve(SPEC, labels={"gpu": "yes", "disk": "ssd"})
    tags = {"a": {"gpu": "yes"}, "b": {"gpu": "yes", "disk": "ssd", "more": "1"}, "c": {"gpu": "no", "disk": "ssd"}}
    assert place(member("a"), member("b"), member("c"), spec=bound, tags=tags, load={"b": 60}) == "b"
    assert why_not(member("a"), member("c"), spec=bound, tags=tags) == (
        "no live worker that could run it has disk=ssd gpu=yes; a, c could be tagged so"
    )


@pytest.mark.parametrize("which", [CORDONED, DRAINING, LEAVING, QUARANTINED])
def test_a_worker_that_is_given_nothing_new_is_named_with_its_mode(which: str) -> None:
    assert place(member("a"), member("b"), modes={"a": which}, load={"b": 60}) == "b"
    assert why_not(member("a"), modes={"a": which}) == f"is given nothing new: a ({which})"


@pytest.mark.parametrize(
    ("which", "is_kept"), [(CORDONED, True), (QUARANTINED, True), (DRAINING, True), (LEAVING, False)]
)
def test_what_a_worker_has_it_may_start_again_unless_it_leaves(which: str, is_kept: bool) -> None:  # noqa: FBT001  # pytest passes it by name
    table = places(member("a"), modes={"a": which})
    assert (table.choose(FIRST, at=Run("a", 1)).run == Run("a", 1)) is is_kept


def test_what_fails_on_a_worker_that_drains_goes_elsewhere_if_it_can() -> None:
    table = places(member("a"), member("b"), modes={"a": DRAINING}, load={"b": 60})
    assert chosen(table.choose(FIRST, at=Run("a", 1), stay=True)) == "b"


def test_a_mode_of_a_run_that_leaves_is_not_that_of_a_later_run() -> None:
    plan = Plan(
        jobs={"job": JobSpec(name="job", operators=(SPEC,))}, directives=Directives(modes={"a": mode(LEAVING, boot=1)})
    )
    assert Places(plan, [member("a", boot=1)]).choose(FIRST).run is None
    assert Places(plan, [member("a", boot=2)]).choose(FIRST).run == Run("a", 2)


def test_anti_affinity_keeps_instances_apart_by_worker() -> None:
    apart = attrs.evolve(SPEC, anti_affinity="worker")
    held = {InstanceId("job", "op", 1): "a"}
    assert place(member("a"), member("b"), spec=apart, held=held, load={"b": 60}) == "b"
    assert why_not(member("a"), spec=apart, held=held) == (
        "the only live worker that runs kind 'map' has an instance of op already"
    )


def test_anti_affinity_keeps_instances_apart_by_site() -> None:
    apart = attrs.evolve(SPEC, anti_affinity="site")
    held = {InstanceId("job", "op", 1): "a"}
    members = [member("a", site="n"), member("b", site="n"), member("c", site="s")]
    assert place(*members, spec=apart, held=held, load={"c": 60}) == "c"
    table = places(*members[:2], spec=apart, held=held)
    assert table.choose(FIRST).run is None
    table.free(InstanceId("job", "op", 1), Run("a", 1))
    assert table.choose(FIRST).run is not None


def test_what_runs_at_most_once_goes_only_to_who_keeps_guarantees() -> None:
    once = attrs.evolve(SPEC, instances=AT_MOST_ONE)
    assert place(member("a"), newer("b"), spec=once, load={"b": 60}) == "b"
    assert why_not(member("a"), spec=once) == "every live worker that runs kind 'map' is held, or of an older version"


def test_what_is_pinned_goes_home_alone() -> None:
    pinned = attrs.evolve(SPEC, instances=PINNED)
    table = places(member("a"), member("b"), spec=pinned, load={"b": 60})
    assert chosen(table.choose(FIRST, at=Run("b", 1))) == "b"
    assert table.choose(FIRST, at=Run("c", 1)).why == "pinned to c, which is away or does not run kind 'map'"


def test_who_is_gone_by_this_very_decision_is_not_chosen() -> None:
    assert place(member("a"), member("b"), gone={Run("a", 1)}) == "b"


# --- scores ---------------------------------------------------------------------------------------


def test_the_preferred_site_goes_before_the_load() -> None:
    wished = attrs.evolve(SPEC, prefer_site="north")
    assert place(member("a", site="south"), member("b", site="north"), spec=wished, load={"b": 60}) == "b"


def test_a_preferred_site_without_room_is_only_a_wish() -> None:
    wished = attrs.evolve(SPEC, prefer_site="north")
    assert place(member("a", site="south"), member("b", site="north", capacity=0), spec=wished) == "a"


def test_the_least_loaded_is_chosen() -> None:
    assert place(member("a"), member("b"), member("c"), load={"a": 3, "b": 1, "c": 2}) == "b"


def test_the_load_is_a_share_of_the_capacity() -> None:
    assert place(member("a", capacity=8), member("b", capacity=64), load={"a": 4, "b": 8}) == "b"


def test_of_equals_the_lower_name_is_chosen_whatever_the_order() -> None:
    for order in permutations([member("a"), member("b"), member("c")]):
        assert place(*order) == "a"


def test_an_operator_is_spread_over_sites_and_then_over_workers() -> None:
    table = places(*(member(name, site=name[0]) for name in ("n1", "n2", "s1", "s2")))
    made = []
    for index in range(4):
        which = InstanceId("job", "op", index)
        run = table.choose(which).run
        assert run is not None
        table.take(which, run)
        made.append(run.name)
    assert made == ["n1", "s1", "n2", "s2"]


def at_ms(place_ms: float, *, error: float = 0.1) -> Coordinate:
    return Coordinate(vector=(place_ms / 1_000,) + (0.0,) * 7, error=error)


READER = OperatorSpec(name="reader", kind="map", inputs=("op",))
NEAR_B = {"a": at_ms(0), "b": at_ms(100), "c": at_ms(103)}


def test_a_worker_near_to_what_the_operator_reads_and_feeds_goes_before_the_load() -> None:
    trio = [member("a"), member("b"), member("c")]
    held = {InstanceId("job", "reader", 0): "b"}
    load = {"b": 30, "c": 9}
    made = places(*trio, more=(READER,), held=held, load=load, coordinates=NEAR_B).choose(FIRST)
    assert chosen(made) == "c", "as near as b, and less loaded"
    assert made.evidence[1].startswith("next best: b")
    assert place(*trio, more=(READER,), held=held, load=load) == "a", "without coordinates the load decides"


def test_a_distance_is_told_in_the_words_of_the_choice() -> None:
    held = {InstanceId("job", "reader", 0): "b"}
    far = places(member("a"), member("b", capacity=1), more=(READER,), held=held, coordinates=NEAR_B)
    assert far.choose(FIRST).why == "site default, about 100 ms from its neighbours, 0 of 64 slots held"


def test_a_coordinate_that_its_owner_does_not_trust_counts_as_far_away() -> None:
    held = {InstanceId("job", "reader", 0): "b"}
    doubtful = NEAR_B | {"a": at_ms(100, error=1.0)}
    members = [member("a"), member("b", capacity=1), member("c")]
    assert place(*members, more=(READER,), held=held, load={"c": 9}, coordinates=doubtful) == "c"


def test_a_dead_neighbour_attracts_nobody() -> None:
    held = {InstanceId("job", "reader", 0): "b"}
    members = [member("a"), member("b", state=MemberState.DEAD), member("c")]
    assert place(*members, more=(READER,), held=held, load={"c": 1}, coordinates=NEAR_B) == "a"


def test_the_one_to_leave_is_taken_only_when_nobody_else_is_left() -> None:
    at = Run("a", 1)
    assert chosen(places(member("a"), member("b"), load={"b": 9}).choose(FIRST, at=at, elsewhere=True)) == "b"
    assert chosen(places(member("a")).choose(FIRST, at=at, elsewhere=True)) == "a"


def test_who_may_stay_stays_whatever_the_load() -> None:
    table = places(member("a"), member("b"), load={"a": 40})
    made = table.choose(FIRST, at=Run("a", 1), stay=True)
    assert (chosen(made), made.why) == ("a", "stays where it is, site default, 40 of 64 slots held")


def test_suspects_are_placed_apart_while_there_is_another_worker() -> None:
    other = InstanceId("job", "op", 1)
    both = (member("a"), member("b"))
    assert place(*both, held={other: "a"}, suspects={FIRST, other}, load={"b": 60}) == "b"
    assert place(*both, held={other: "a"}, suspects={other}, load={"b": 60}) == "a"
    assert place(both[0], held={other: "a"}, suspects={FIRST, other}) == "a"


# --- what is said ---------------------------------------------------------------------------------


def test_the_choice_says_why_and_names_the_next_best_and_who_was_excluded() -> None:
    wished = attrs.evolve(SPEC, prefer_site="north")
    made = places(member("a", site="north"), member("b"), member("c", kinds=()), spec=wished, load={"a": 3}).choose(
        FIRST
    )
    assert made.evidence == (
        "in its preferred site, 3 of 64 slots held",
        "next best: b, site default, 0 of 64 slots held",
        "excluded: 1 not alive or without kind 'map'",
    )


def test_no_choice_says_why_not() -> None:
    assert why_not(member("a", kinds=())) == "no live worker runs kind 'map'"
    assert why_not(member("a", capacity=1), load={"a": 1}) == "the only live worker that runs kind 'map' is full"


def test_every_worker_is_rated_with_the_filter_by_which_it_fell() -> None:
    rated = places(
        member("a"), member("b"), member("c", kinds=()), member("d", capacity=1), load={"a": 9, "d": 1}
    ).rate(FIRST)
    assert [(each.run.name, each.score is not None) for each in rated] == [
        ("b", True), ("a", True), ("c", False), ("d", False)
    ]  # fmt: skip
    assert rated[3].why == "full: 1 of 1 slot held"


# --- in general -----------------------------------------------------------------------------------

WORKERS = st.lists(
    st.tuples(st.sampled_from(["n", "s"]), st.integers(0, 9), st.integers(0, 3), st.sampled_from(MODES)),
    min_size=1,
    max_size=8,
)
STEPS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 63), st.booleans()), max_size=60)


@given(WORKERS, STEPS, st.sampled_from(ANTI_AFFINITIES), st.integers(1, 3))
def test_what_is_chosen_is_always_the_best_that_is_rated(
    workers: list[tuple[str, int, int, str]], steps: list[tuple[int, int, bool]], apart: str, slots: int
) -> None:
    """The heaps agree with looking at each worker, whatever has been given and taken before."""
    members = [member(f"w{n}", site=site, capacity=size) for n, (site, size, _, _) in enumerate(workers)]
    specs = (
        attrs.evolve(SPEC, anti_affinity=apart, slots=slots, prefer_site="s"),
        attrs.evolve(SPEC, name="two", inputs=("op",)),
    )
    coordinates = {f"w{n}": at_ms(40 * far) for n, (_, _, far, _) in enumerate(workers)}
    modes = {f"w{n}": which for n, (_, _, _, which) in enumerate(workers) if which != NORMAL}
    table = places(*members, spec=specs[0], more=specs[1:], modes=modes, coordinates=coordinates)
    held: dict[InstanceId, Run] = {}
    for operator, index, is_freed in steps:
        which = InstanceId("job", specs[operator].name, index)
        if which in held:
            if is_freed:
                table.free(which, held.pop(which))
            continue
        rated = table.rate(which)
        made = table.choose(which)
        assert made.run == (rated[0].run if rated[0].score is not None else None)
        if made.run is not None:
            table.take(which, made.run)
            held[which] = made.run


def test_an_operator_with_instances_on_many_workers_is_placed_by_the_same_rule() -> None:
    table = places(*(member(f"w{n:02}", capacity=2) for n in range(40)), spec=attrs.evolve(SPEC, parallelism=200))
    held = []
    for index in range(150):
        which = InstanceId("job", "op", index)
        best = table.rate(which)[0]
        made = table.choose(which).run
        assert made == (best.run if best.score is not None else None)
        if made is not None:
            table.take(which, made)
            held.append((which, made))
        if index % 3 == 2:
            table.free(*held.pop(index % len(held)))
    assert len({run for _, run in held}) == 40
