"""The attached connection by itself: the order of what is written, and its end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import trio
import trio.testing

from swimstream.runtime.attached_process import AttachedProcess
from swimstream.runtime.attaching import Attachment
from swimstream.runtime.control_lines import Lines

if TYPE_CHECKING:
    from swimstream.runtime.attached_fields import Wish
    from swimstream.runtime.control_json import JsonTable
    from swimstream.runtime.control_talk import Request

HANG_S = 60.0


class Quiet:
    """A desk and a guest that do nothing."""

    standing = "waiting"

    def __init__(self) -> None:
        self.has_departed = False

    async def attach(self, wish: Wish, attachment: Attachment) -> tuple[Quiet, JsonTable]:
        attachment.put(lambda: {"order": "early"})
        return self, {"kinds": list(wish.kinds)}

    def depart(self) -> None:
        self.has_departed = True

    def tick(self) -> None: ...

    def report(self, request: Request) -> None: ...

    async def locate(self, _: Request) -> JsonTable:
        await trio.sleep_forever()
        return {}

    async def finished(self, request: Request) -> JsonTable:
        return {}

    async def guard(self) -> None:
        await trio.sleep_forever()

    async def lost(self) -> None: ...


class Wire:
    """Both ends of a connection."""

    def __init__(self) -> None:
        ours, self.theirs = trio.socket.socketpair()
        self.goodbye = trio.Event()
        connection = trio.SocketStream(ours)
        self.attachment = Attachment(connection, Lines(connection), AttachedProcess(None), self.answer)
        self.desk = Quiet()
        self.rest = b""

    async def answer(self, _: Request) -> JsonTable:
        await self.goodbye.wait()
        return {"ok": True}

    async def run(self) -> None:
        with self.theirs:
            await self._run()

    async def _run(self) -> None:
        await self.attachment.run(self.desk, {"verb": "attach", "id": 1, "protocol": 1, "kinds": ["b", "a"]})

    async def say(self, **request: object) -> None:
        await self.theirs.send(json.dumps(request).encode() + b"\n")

    async def hear(self) -> dict[str, Any]:
        while b"\n" not in self.rest:
            data = await self.theirs.recv(4_096)
            if not data:
                return {}
            self.rest += data
        line, _, self.rest = self.rest.partition(b"\n")
        message: dict[str, Any] = json.loads(line)
        return message


async def test_the_answer_to_attach_is_the_first_line() -> None:
    with trio.fail_after(HANG_S):
        async with trio.open_nursery() as nursery:
            wire = Wire()
            nursery.start_soon(wire.run)
            assert await wire.hear() == {"ok": True, "kinds": ["a", "b"], "id": 1}
            assert await wire.hear() == {"order": "early"}
            wire.theirs.shutdown(trio.socket.SHUT_WR)
    assert wire.desk.has_departed


async def test_a_goodbye_that_is_under_way_is_answered_before_the_end() -> None:
    with trio.fail_after(HANG_S):
        async with trio.open_nursery() as nursery:
            wire = Wire()
            nursery.start_soon(wire.run)
            await wire.say(verb="leave", id=2)
            await trio.testing.wait_all_tasks_blocked(0.01)
            wire.attachment.end("that was it")
            await trio.testing.wait_all_tasks_blocked(0.01)
            wire.goodbye.set()
            heard = [await wire.hear() for _ in range(5)]
            wire.theirs.close()
    assert heard[2:] == [{"ok": True, "id": 2}, {"order": "end", "reason": "that was it"}, {}]


async def test_what_waits_for_ever_does_not_hold_up_the_end() -> None:
    with trio.fail_after(HANG_S):
        async with trio.open_nursery() as nursery:
            wire = Wire()
            nursery.start_soon(wire.run)
            await wire.say(verb="locate", id=2)
            await trio.testing.wait_all_tasks_blocked(0.01)
            wire.attachment.end("that was it")
            heard = [await wire.hear() for _ in range(4)]
            wire.theirs.close()
    assert heard[2:] == [{"order": "end", "reason": "that was it"}, {}]
