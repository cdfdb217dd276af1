"""Tags: which record wins, how they spread, and that they stay small."""

from __future__ import annotations

import itertools
from collections import Counter
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swimstream.config import NodeConfig
from swimstream.core.effects import Saved
from swimstream.core.node import Node
from swimstream.core.talk import tags as tags_module
from swimstream.core.talk.tags import VERSION_JUMP_MAX, OwnTags, TagTable
from swimstream.errors import UsageError
from swimstream.events import TagsChanged
from swimstream.model.identity import Run
from swimstream.model.job import JobSpec, OperatorSpec
from swimstream.model.member import Profile
from swimstream.model.talk import TAG_KEYS_MAX, SetTags, check_tags
from swimstream.wire.codec import decode_packet_untrusted, encode_message, encode_packet
from swimstream.wire.messages import Alive, Header, TagUpdate
from tests.core.talk.rough import RoughTown
from tests.core.town import address_of, job

RUN = Run("b", 5)

updates = st.builds(
    TagUpdate,
    run=st.builds(Run, st.sampled_from("bc"), st.integers(1, 3)),
    version=st.integers(1, 5),
    key=st.sampled_from(["colour", "disk", "zone"]),
    value=st.none() | st.sampled_from(["", "red", "blue"]),
)


def table(*records: TagUpdate) -> TagTable:
    made = TagTable(Counter())
    for record in records:
        made.merge(record)
    return made


def tag(key: str, value: str | None, version: int, *, run: Run = RUN) -> TagUpdate:
    return TagUpdate(run=run, version=version, key=key, value=value)


# --- the table ------------------------------------------------------------------------------------


@given(st.lists(updates, max_size=12), st.randoms(use_true_random=False))
def test_the_order_in_which_records_come_and_how_often_does_not_matter(records: list[TagUpdate], rng: object) -> None:
    shuffled = [*records, *records[::2]]
    rng.shuffle(shuffled)  # type: ignore[attr-defined]  # a Random
    one, other = table(*records), table(*shuffled)
    assert one.all() == other.all()
    for name in "bc":
        assert one.hash_of(name) == other.hash_of(name)
        assert one.fragments_of(name) == other.fragments_of(name)


@given(st.lists(updates, max_size=12))
def test_the_fragments_of_a_table_make_an_equal_one(records: list[TagUpdate]) -> None:
    one, other = table(*records), TagTable(Counter())
    for name in "bc":
        for fragment in one.fragments_of(name):
            packet = decode_packet_untrusted(encode_packet(Header(0, RUN), [fragment]))
            for message in packet.messages:
                assert isinstance(message, TagUpdate)
                assert other.merge(message) == fragment
    assert one.all() == other.all()


def test_a_removed_tag_is_not_brought_back_by_an_older_record() -> None:
    made = table(tag("colour", None, 2), tag("colour", "red", 1))
    assert made.of("b") == {}


def test_a_later_run_begins_without_the_tags_of_the_earlier_one() -> None:
    made = table(tag("colour", "red", 7), tag("zone", "x", 1, run=Run("b", 6)))
    assert made.of("b") == {"zone": "x"}
    assert made.merge(tag("colour", "blue", 9)) is None


def test_equal_tags_have_equal_hashes_and_none_have_zero() -> None:
    assert table(tag("a", "x", 1)).hash_of("b") == table(tag("a", "x", 1)).hash_of("b") != 0
    assert table(tag("a", "x", 1)).hash_of("b") != table(tag("a", "y", 2)).hash_of("b")
    assert TagTable(Counter()).hash_of("b") == 0


def test_a_run_has_so_many_keys_at_most() -> None:
    counters: Counter[str] = Counter()
    made = TagTable(counters)
    for number in range(TAG_KEYS_MAX + 5):
        made.merge(tag(f"k{number}", "x", number + 1))
    assert len(made.of("b")) == TAG_KEYS_MAX
    assert counters["tags_refused"] == 5


def test_the_table_has_so_many_bytes_at_most_and_what_is_forgotten_makes_room() -> None:
    counters: Counter[str] = Counter()
    record = tag("k", "x" * 100, 1)
    with patch.object(tags_module, "TABLE_BYTES_MAX", len(encode_message(record)) + 5):
        made = TagTable(counters)
        assert made.merge(record) is not None
        assert made.merge(tag("k", "x" * 100, 1, run=Run("c", 5))) is None
        assert counters["tags_refused"] == 1
        made.forget("b")
        assert made.merge(tag("k", "x" * 100, 1, run=Run("c", 5))) is not None


# --- one's own ------------------------------------------------------------------------------------


def test_only_what_has_changed_is_told() -> None:
    own = OwnTags({"a": "1", "b": "2"})
    assert [update.key for update in own.restate(RUN)] == ["a", "b"]
    assert own.change(RUN, {"a": "1", "b": "3", "c": None}) == [tag("b", "3", 3)]


def test_tags_beyond_the_bounds_change_nothing() -> None:
    own = OwnTags({"a": "1"})
    for changes, fault in (
        ({f"k{number}": "x" for number in range(TAG_KEYS_MAX)}, "at most 64"),
        ({f"k{number}": "x" * 500 for number in range(9)}, "at most 4096 B together"),
    ):
        with pytest.raises(UsageError, match=fault):
            own.change(RUN, changes)
    assert own.restate(RUN) == [tag("a", "1", 1)]


def test_removed_keys_count_until_the_next_run() -> None:
    own = OwnTags({})
    for number in range(TAG_KEYS_MAX):
        own.change(RUN, {f"k{number}": "x"})
        own.change(RUN, {f"k{number}": None})
    with pytest.raises(UsageError, match="different keys"):
        own.change(RUN, {"one-more": "x"})
    own.restate(Run("b", 6))
    assert len(own.change(Run("b", 6), {"one-more": "x"})) == 1


@pytest.mark.parametrize(
    ("tags", "fault"),
    [
        ("red", "tags: expected a table"),
        ({"a b": "x"}, "tags.a b: expected 1 to 64"),
        ({1: "x"}, "tags.1: expected text as a key"),
        ({"a": 1}, "tags.a: expected text, got 1"),
        ({"a": "é" * 257}, "tags.a: expected at most 512 B"),
        ({"a": "\ud800"}, "tags.a: expected text that UTF-8 can hold"),
    ],
)
def test_a_tag_is_a_name_and_a_short_text(tags: object, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        check_tags("tags", tags)


# --- in a town ------------------------------------------------------------------------------------


def test_a_changed_tag_is_soon_known_to_all_and_told_once() -> None:
    town = RoughTown("abc")
    assert town.answer("a", town.say("a", SetTags({"colour": "red", "zone": "x"}))) == ""
    town.run_until(lambda: all(town.node(name).tags() == {"a": {"colour": "red", "zone": "x"}} for name in "abc"))
    town.say("a", SetTags({"colour": None}))
    town.run_until(lambda: all(town.node(name).tags() == {"a": {"zone": "x"}} for name in "abc"))
    town.run_for(40.0)
    for name in "abc":
        told = [dict(event.tags) for event in town.heard(name, TagsChanged)]
        assert told[-1] == {"zone": "x"}
        assert all(one != two for one, two in itertools.pairwise(told))


def test_setting_what_is_set_already_tells_nobody() -> None:
    town = RoughTown("ab")
    town.say("a", SetTags({"colour": "red"}))
    town.run_for(40.0)
    before = [len(town.heard(name, TagsChanged)) for name in "ab"]
    town.say("a", SetTags({"colour": "red"}))
    town.run_for(40.0)
    assert [len(town.heard(name, TagsChanged)) for name in "ab"] == before


@pytest.mark.parametrize("seed", range(5))
def test_tags_arrive_however_rough_the_network_is(seed: int) -> None:
    town = RoughTown("abcd", seed=seed)
    town.rough = True
    for name in "abcd":
        town.say(name, SetTags({"colour": f"of-{name}", "gone": "x"}))
        town.say(name, SetTags({"gone": None}))
    wanted = {name: {"colour": f"of-{name}"} for name in "abcd"}
    town.run_until(lambda: all(town.node(name).tags() == wanted for name in "abcd"))


def test_who_was_cut_off_learns_the_tags_by_sync() -> None:
    town = RoughTown("abc")
    town.cut = {"c"}
    town.say("a", SetTags({"colour": "red"}))
    town.run_for(100.0)
    assert town.node("c").tags() == {}
    town.cut = set()
    town.run_until(lambda: town.node("c").tags() == {"a": {"colour": "red"}})


def test_a_newcomer_learns_all_tags_and_all_learn_its_own() -> None:
    town = RoughTown("ab")
    town.say("a", SetTags({"colour": "red"}))
    town.run_for(40.0)
    town.settle_in("c")
    town.say("c", SetTags({"zone": "x"}))
    wanted = {"a": {"colour": "red"}, "c": {"zone": "x"}}
    town.run_until(lambda: all(town.node(name).tags() == wanted for name in "abc"))


def test_a_restarted_run_begins_without_what_the_earlier_one_had_set() -> None:
    town = RoughTown("ab")
    town.say("b", SetTags({"colour": "red"}))
    town.run_until(lambda: "b" in town.node("a").tags())
    town.crash("b")
    town.settle_in("b", disk=town["b"].disk)
    town.run_until(lambda: "b" not in town.node("a").tags())
    assert town.heard("a", TagsChanged)[-1].run == town.node("b").run


def test_a_run_that_was_evicted_takes_its_tags_along() -> None:
    town = RoughTown("abc")
    town.submit(town.run_until_led(), job(parallelism=3))
    town.run_until(lambda: all(citizen.running for citizen in town.citizens.values()))
    town.say("c", SetTags({"colour": "red"}))
    first = town.node("c").run
    town.cut = {"c"}
    town.run_until(lambda: town.node("a").plan.is_evicted(first))
    town.cut = set()
    town.run_until(lambda: town.node("c").run != first)
    town.run_until(lambda: all(town.node(name).tags() == {"c": {"colour": "red"}} for name in "abc"))


def test_a_tag_that_no_datagram_has_room_for_is_refused() -> None:
    town = RoughTown("ab")
    with patch.object(town.node("a")._rooms.conversation.tagging, "_fragment_bytes_max", 400):
        answer = town.answer("a", town.say("a", SetTags({"long": "x" * 512})))
    assert answer.startswith("tags.long: takes 5")
    assert "half of packet_bytes_max" in answer
    assert town.node("a").tags() == {}


def test_a_configured_tag_that_no_datagram_has_room_for_stops_the_start() -> None:
    config = NodeConfig(name="n" * 64, advertise=address_of("a"), tags={"k" * 64: "x" * 512})
    with pytest.raises(UsageError, match=r"^tags\.k+: takes 6\d\d B"):
        Node(config, boot=1, saved=Saved(voter=1), rng=Random(1), now=0.0)


def test_a_forged_tag_of_ones_own_is_contradicted() -> None:
    town = RoughTown("ab")
    town.say("a", SetTags({"colour": "red"}))
    town.run_until(lambda: "a" in town.node("b").tags())
    forged = [tag("colour", "black", 9, run=town.node("a").run), tag("mood", "low", 10, run=town.node("a").run)]
    packet = encode_packet(Header(0, town.node("a").run), [encode_message(each) for each in forged])
    town.node("b").receive_packet(packet, source=address_of("a"), now=town.now)
    assert town.node("b").tags()["a"] == {"colour": "black", "mood": "low"}
    town.run_until(lambda: town.node("b").tags()["a"] == {"colour": "red"})


def test_a_claim_too_far_ahead_does_not_use_the_version_up() -> None:
    own = OwnTags({"a": "1"})
    own.restate(RUN)
    assert own.correct(tag("a", "2", 2**63 - 1)) is None
    assert own.correct(tag("a", "2", VERSION_JUMP_MAX)) == tag("a", "1", VERSION_JUMP_MAX + 1)


def test_a_packet_that_brings_tags_ahead_of_their_owner_brings_both() -> None:
    town = RoughTown("ab")
    owner = Run("x", 1)
    alive = Alive(run=owner, incarnation=0, profile=Profile(address=address_of("x")))
    fragments = [encode_message(tag("colour", "red", 1, run=owner)), encode_message(alive)]
    packet = encode_packet(Header(0, town.node("b").run), fragments)
    town.node("a").receive_packet(packet, source=address_of("b"), now=town.now)
    assert town.node("a").tags() == {"x": {"colour": "red"}}


def test_nobody_keeps_tags_of_those_who_are_no_members() -> None:
    town = RoughTown("ab")
    stranger = tag("colour", "red", 1, run=Run("x", 1))
    packet = encode_packet(Header(0, town.node("b").run), [encode_message(stranger)])
    town.node("a").receive_packet(packet, source=address_of("b"), now=town.now)
    assert town.node("a").tags() == {}
    assert town.node("a").counters()["talk_of_strangers"] == 1


def test_tags_are_forgotten_with_the_member() -> None:
    town = RoughTown("abc")
    town.say("c", SetTags({"colour": "red"}))
    town.run_until(lambda: "c" in town.node("a").tags())
    town.crash("c")
    town.run_for(60.0)
    assert "c" in town.node("a").tags()
    node = town.node("a")
    node._rooms.membership._forget("c")
    node.fire_timers(now=town.now)
    assert node.tags() == {}


@pytest.mark.parametrize("tagged", "abc")
def test_what_waits_for_a_label_runs_as_soon_as_a_worker_has_the_tag(tagged: str) -> None:
    town = RoughTown("abc")
    bound = OperatorSpec(name="op", kind="map", labels={"gpu": "yes"})
    town.submit(town.run_until_led(), JobSpec(name="job", operators=(bound,)))
    town.run_for(60.0)  # everything else has come to rest: nothing but the tag gives the leader a reason to look
    town.say(tagged, SetTags({"gpu": "yes"}))
    town.run_until(lambda: bool(town[tagged].running), limit_s=5.0)
