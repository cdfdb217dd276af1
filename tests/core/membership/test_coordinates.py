"""Where a node stands, learned from round trips (Vivaldi)."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from random import Random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from swimstream.core.membership.coordinates import HEIGHT_S_MIN, ORIGIN, Coordinates, Place
from swimstream.model.coordinate import DIMENSIONS, Coordinate, distance_s
from swimstream.model.identity import Run
from tests.core.lab import DELAY_S, Lab

B = Run("b", 1)
NEAR = Coordinate(vector=(0.01,) + (0.0,) * (DIMENSIONS - 1), height_s=HEIGHT_S_MIN, error=0.2)

numbers = st.floats(-65, 65)
coordinates = st.builds(
    Coordinate,
    vector=st.tuples(*[numbers] * DIMENSIONS),
    height_s=st.floats(0, 65),
    adjustment_s=st.floats(-65, 65),
    error=st.floats(0, 100),
)


def table(counters: Counter[str] | None = None) -> Coordinates:
    return Coordinates(rng=Random(1), counters=Counter() if counters is None else counters)


def towns(count: int, rng: Random) -> tuple[list[tuple[float, float]], list[float]]:
    """Return where hosts stand in a plane of 100 ms by 100 ms, and the way of each to its first router."""
    return [(rng.uniform(0, 0.1), rng.uniform(0, 0.1)) for _ in range(count)], [
        rng.uniform(0.0005, 0.004) for _ in range(count)
    ]


@pytest.mark.parametrize("seed", range(3))
def test_after_some_rounds_distances_predict_round_trips_that_were_never_measured(seed: int) -> None:
    """§5 of the paper: the median error falls to some per cent; here each pair is measured with a tenth of noise."""
    rng = Random(seed)
    spots, access = towns(24, rng)

    def rtt_s(one: int, other: int) -> float:
        return math.dist(spots[one], spots[other]) + access[one] + access[other]

    places = [Place() for _ in spots]
    measured = {(one, (one + step) % 24) for one in range(24) for step in range(1, 9)}
    for _ in range(60):
        for one, other in sorted(measured):
            noisy_s = rtt_s(one, other) * rng.uniform(1.0, 1.1)
            places[one] = places[one].after(places[other].coordinate, rtt_s=noisy_s, rng=rng)
    unseen = [(one, other) for one in range(24) for other in range(one) if (other, one) not in measured]
    errors = [
        abs(distance_s(places[one].coordinate, places[other].coordinate) - rtt_s(one, other)) / rtt_s(one, other)
        for one, other in unseen
        if (one, other) not in measured
    ]
    assert statistics.median(errors) < 0.15


def test_who_stands_on_the_very_spot_is_moved_in_some_direction() -> None:
    place = Place().after(ORIGIN, rtt_s=0.05, rng=Random(1))
    assert distance_s(place.coordinate, ORIGIN) > distance_s(ORIGIN, ORIGIN)


def test_the_less_certain_one_moves_further() -> None:
    sure = Place(coordinate=attrs.evolve(ORIGIN, error=0.1)).after(NEAR, rtt_s=0.1, rng=Random(1))
    unsure = Place(coordinate=attrs.evolve(ORIGIN, error=1.0)).after(NEAR, rtt_s=0.1, rng=Random(1))
    assert math.hypot(*sure.coordinate.vector) < math.hypot(*unsure.coordinate.vector)


@given(coordinates, st.floats(0, 10), st.integers(0, 99))
def test_height_and_error_stay_within_their_bounds(other: Coordinate, rtt_s: float, seed: int) -> None:
    place = Place()
    for _ in range(5):
        place = place.after(other, rtt_s=rtt_s, rng=Random(seed))
    assert place.coordinate.height_s >= HEIGHT_S_MIN
    assert 0 <= place.coordinate.error <= 1.5


@given(st.lists(coordinates, min_size=1, max_size=30))
def test_no_words_of_others_take_a_node_off_the_map(said: list[Coordinate]) -> None:
    known = table()
    for each in said:
        known.observe(B, each, rtt_s=10.0)
        assert Place(coordinate=known.own).is_sound


def test_numbers_that_make_no_sense_lead_back_to_the_origin_and_are_counted() -> None:
    counters: Counter[str] = Counter()
    known = table(counters)
    known.observe(B, attrs.evolve(NEAR, height_s=math.nan), rtt_s=0.01)
    assert (known.own, counters["coordinates_reset"]) == (ORIGIN, 1)


@pytest.mark.parametrize("rtt_s", [-0.001, 10.001, math.nan])
def test_a_round_trip_that_cannot_be_is_refused_and_counted(rtt_s: float) -> None:
    counters: Counter[str] = Counter()
    known = table(counters)
    known.observe(B, NEAR, rtt_s=rtt_s)
    assert (known.own, known.estimate_s(B), counters["round_trips_refused"]) == (ORIGIN, None, 1)


def test_one_slow_answer_among_three_moves_nobody_further_than_a_usual_one() -> None:
    usual, once_slow = table(), table()
    for number in range(6):
        usual.observe(B, NEAR, rtt_s=0.01)
        once_slow.observe(B, NEAR, rtt_s=5.0 if number == 4 else 0.01)
    assert once_slow.own == usual.own


def test_a_later_run_is_measured_anew() -> None:
    known = table()
    known.observe(B, NEAR, rtt_s=0.01)
    assert known.estimate_s(Run("b", 2)) is None


def test_who_tells_no_place_is_measured_all_the_same() -> None:
    known = table()
    known.observe(B, None, rtt_s=0.01)
    assert known.estimate_s(B) == pytest.approx(0.03)
    assert known.own == ORIGIN


def test_the_estimate_is_no_less_than_twice_what_the_places_say() -> None:
    known = table()
    far = attrs.evolve(NEAR, height_s=0.5)
    known.observe(B, far, rtt_s=0.01)
    assert known.estimate_s(B) == pytest.approx(2 * distance_s(known.own, far))


def test_who_is_no_member_any_more_is_forgotten() -> None:
    known = table()
    known.observe(B, NEAR, rtt_s=0.01)
    known.retain(lambda name: name != "b")
    assert (known.estimate_s(B), set(known.by_name("a"))) == (None, {"a"})


def test_the_map_is_the_same_object_until_something_changes() -> None:
    known = table()
    before = known.by_name("a")
    assert known.by_name("a") is before
    known.observe(B, NEAR, rtt_s=0.01)
    assert set(known.by_name("a")) == {"a", "b"}


def test_nodes_that_only_probe_each_other_come_to_know_the_distance_between_any_two() -> None:
    lab = Lab()
    lab.start_group("abcdef")
    lab.run_for(60.0)
    seen = lab.node("a").coordinates()
    assert set(seen) == set("abcdef")
    pairs = [(one, other) for one in "abcdef" for other in "abcdef" if one < other]
    assert [distance_s(seen[one], seen[other]) for one, other in pairs] == [pytest.approx(2 * DELAY_S, rel=0.3)] * 15


@given(coordinates, coordinates)
def test_a_distance_is_the_same_from_both_ends_and_never_negative(one: Coordinate, other: Coordinate) -> None:
    assert distance_s(one, other) == distance_s(other, one) >= 0
