"""docs/control-port.md against a real peer: the transcript, line by line, and the schema."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from swimstream.runtime.control import VERBS
from swimstream.worker_config import WorkerConfig
from tests.attached.plain import Message, Plain
from tests.attached.schema import check_answer, check_order, check_request, check_schema, is_request
from tests.attached.stage import WAIT_S, peer_at

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "control-port.md").read_text()
VARIES = {"boot", "address", "version"}


def transcript() -> list[tuple[str, Message]]:
    (block,) = re.findall(r"## A whole session.*?```text\n(.*?)```", PAGE, re.DOTALL)
    return [(line[0], json.loads(line[2:])) for line in block.splitlines()]


def examples() -> Iterator[tuple[str, Message]]:
    """Yield every message of the page, the transcript's and the single ones."""
    for mark, text in re.findall(r"^(?:    )?([<>]) (\{.*\})$", PAGE, re.MULTILINE):
        yield mark, json.loads(text)


def test_the_schema_is_one() -> None:
    check_schema()


def test_every_example_of_the_page_is_as_the_schema_says() -> None:
    asked: dict[int, Message] = {}
    for mark, message in examples():
        if mark == ">":
            asked[message["id"]] = message
        elif "order" in message:
            check_order(message)
        else:
            check_answer(message, verb=asked[message["id"]]["verb"])
            if message.get("code") == "usage":
                assert not is_request(asked.pop(message["id"])), "the fault that is shown is one by the schema, too"
    for message in asked.values():
        check_request(message)


def key(message: Message) -> str:
    """Return which line of a run of lines it is."""
    if "order" in message:
        return f"{message['order']} {message.get('instance')}"
    return str(message["id"])


class Play:
    """The transcript on a real connection; its epochs stand for those that the real peer gives."""

    def __init__(self, client: Plain) -> None:
        self.client = client
        self.epochs: dict[int, int] = {}

    def say(self, message: Message) -> None:
        epoch = message.get("epoch")
        self.client.write(message if epoch is None else message | {"epoch": self.epochs.get(epoch, 1)})

    def expect(self, wanted: list[Message]) -> None:
        """Read so many lines, and compare them with those of the page."""
        got = {key(each): each for each in (self.client.read() for _ in wanted)}
        for each in wanted:
            real = got[key(each)]
            if each.get("order") == "start":
                self.epochs[each["epoch"]] = real["epoch"]
            assert self.like(real) == self.like(self.real(each))

    def real(self, message: Message) -> Message:
        """Return the page's message with the real epochs."""
        more = {"epoch": self.epochs[message["epoch"]]} if "epoch" in message else {}
        if message.get("code") == "over":
            (sum_epoch,) = (real for page, real in self.epochs.items() if page == 6)
            more["error"] = message["error"].replace("expected 6", f"expected {sum_epoch}").replace("got 4", "got 1")
        return message | more

    def like(self, message: Message) -> Message:
        """Return the message without what differs from run to run."""
        worker = {name: value for name, value in message.get("worker", {}).items() if name not in VARIES}
        return message | {"worker": worker, "stop_timeout_s": None, "within_s": None}


def test_the_transcript_of_the_page_is_what_a_real_peer_says(tmp_path: Path) -> None:
    peer = peer_at(tmp_path / "w4.sock")
    client = Plain(str(tmp_path / "w4.sock"))
    play, wanted = Play(client), list[Message]()
    lines = transcript()
    for position, (mark, message) in enumerate(lines):
        if mark == ">":
            play.say(message)
            continue
        wanted.append(message)
        if message.get("order") == "end":
            break
        if lines[position + 1][0] == ">":
            play.expect(wanted)
            wanted = []
    peer.stopped().wait(WAIT_S)
    peer.stop()
    play.expect(wanted)
    with pytest.raises(EOFError):
        client.read()
    client.close()


def test_every_verb_is_on_the_page_and_in_the_schema() -> None:
    schema = json.loads((DOCS / "control-port.schema.json").read_text())["$defs"]
    for verb in (*VERBS, "hello", "attach", "report", "tick", "locate", "finished", "leave", "submit", "watch"):
        assert f"`{verb}`" in PAGE or f"### {verb}" in PAGE or f"### locate, {verb}" in PAGE, verb
        assert f"request-{verb}" in schema


def test_the_capacity_that_the_page_names_is_the_default() -> None:
    assert f"`--capacity` ({WorkerConfig(name='w').capacity})" in PAGE
