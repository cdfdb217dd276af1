"""What an attached process may ask of jobs and workers: each answer is as the schema says, to the last key."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from swimstream.errors import WorkerStopped
from tests.attached.plain import Plain
from tests.attached.schema import check_heard
from tests.attached.stage import job, peer_at, table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ASKED: list[tuple[str, dict[str, object]]] = [
    ("dry-run", {"job": table(job("next"))}),
    ("jobs", {}),
    ("job", {"name": "job"}),
    ("explain", {"instance": "job/op[0]"}),
    ("what-if", {"kill": ["w4"]}),
    ("what-if", {"site": "default"}),
    ("operators", {}),
    ("snapshot", {}),
    ("update", {"job": table(job(parallelism=2)), "base": None}),
    ("scale", {"job": "job", "operator": "op", "parallelism": 3}),
    ("restart", {"target": "job/op"}),
    ("pardon", {"instance": "job/op[0]"}),
    ("cordon", {"name": "w4", "reason": "a new kernel"}),
    ("uncordon", {"name": "w4"}),
    ("drain", {"name": "w4"}),
    ("drained", {"name": "w4", "patience_s": 0.1}),
    ("rebalance", {"moves": 2}),
    ("cancel", {"job": "job"}),
    ("decisions", {}),
]
REFUSED: list[tuple[str, dict[str, object], str]] = [
    ("job", {"name": "other"}, "name: no job is named 'other'"),
    ("assert-dead", {"name": "w4"}, "name: "),
    ("rebalance", {"moves": -1}, "moves: expected an integer from 0"),
    ("drained", {"name": "w4", "patience_s": 0}, "patience_s: expected a number above 0"),
    ("logs", {"instance": "job/op[0]", "tail": -1}, "tail: expected"),
]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plain]:
    path: Path = tmp_path_factory.mktemp("verbs") / "w4.sock"
    peer = peer_at(path)
    made = Plain(str(path))
    assert made.ask("attach", protocol=1, kinds=["count"])["ok"]
    assert made.ask("submit", job=table(job()))["ok"]
    yield made
    made.close()
    with contextlib.suppress(WorkerStopped):
        peer.stop(leave=False)


@pytest.mark.parametrize(("verb", "fields"), ASKED, ids=[f"{verb} {fields}" for verb, fields in ASKED])
def test_a_verb_of_the_command_is_answered_as_the_schema_says(
    client: Plain, verb: str, fields: dict[str, object]
) -> None:
    answer = client.ask(verb, **fields)
    assert answer["ok"], answer
    check_heard(client)


@pytest.mark.parametrize(("verb", "fields", "fault"), REFUSED, ids=[verb for verb, *_ in REFUSED])
def test_a_verb_that_cannot_be_carried_out_is_refused_in_words(
    client: Plain, verb: str, fields: dict[str, object], fault: str
) -> None:
    answer = client.ask(verb, **fields)
    assert not answer["ok"]
    assert answer["error"].startswith(fault)
    check_heard(client)
