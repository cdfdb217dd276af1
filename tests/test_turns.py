"""Which worker of pytest-xdist runs what."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import pytest

from tests.turns import SPREAD, TAKE_TURNS, Turns, turn_of

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("path", [*TAKE_TURNS, *SPREAD])
def test_what_is_listed_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_what_runs_real_processes_is_one_group_and_all_else_is_a_group_by_file_or_by_test() -> None:
    assert turn_of("tests/api/test_cli.py::test_a") == turn_of("tests/runtime/test_udp.py::test_b[c::d]")
    assert turn_of("tests/wire/test_seal.py::test_a") == turn_of("tests/wire/test_seal.py::test_b[c::d]")
    assert turn_of("tests/wire/test_seal.py::test_a") != turn_of("tests/wire/test_cddl.py::test_a")
    assert turn_of("tests/worlds/test_worlds.py::test_a[cut]") != turn_of("tests/worlds/test_worlds.py::test_a[loss]")


def test_the_test_that_a_worker_dies_in_is_not_given_to_the_next() -> None:
    turns = Turns.__new__(Turns)
    turns.workqueue = OrderedDict()
    turns.assigned_work = {"gw0": {"a": {"a::1": True}, "b": {"b::1": True, "b::2": False, "b::3": False}}}
    assert turns.remove_node("gw0") == "b::2"
    assert turns.workqueue == {"b": {"b::1": True, "b::2": True, "b::3": False}}


def test_a_worker_that_ends_when_all_is_done_has_failed_in_nothing() -> None:
    turns = Turns.__new__(Turns)
    turns.workqueue = OrderedDict()
    turns.assigned_work = {"gw0": {"a": {"a::1": True}}}
    assert turns.remove_node("gw0") is None
    assert not turns.workqueue
