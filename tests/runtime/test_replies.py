"""Results of commands, for threads and for tasks."""

from __future__ import annotations

import asyncio
import threading

import pytest
import trio

from swimstream.errors import JoinFailed, UsageError
from swimstream.runtime.replies import Reply
from swimstream.runtime.waking import AsyncioSleep, TrioSleep, sleep_here


def settle_soon(reply: Reply[int], value: int) -> None:
    threading.Thread(target=reply.succeed, args=(value,)).start()


def test_a_thread_waits_for_a_value() -> None:
    reply: Reply[int] = Reply()
    settle_soon(reply, 7)
    assert reply.wait(60) == 7


def test_a_thread_gets_the_error() -> None:
    reply: Reply[int] = Reply()
    reply.fail(JoinFailed("the name is taken"))
    with pytest.raises(JoinFailed, match="the name is taken"):
        reply.wait(60)


def test_a_wait_has_an_end() -> None:
    with pytest.raises(TimeoutError):
        Reply[int]().wait(0)


def test_the_first_outcome_stays() -> None:
    reply: Reply[int] = Reply()
    reply.succeed(1)
    reply.fail(ValueError())
    reply.succeed(2)
    assert reply.wait(0) == 1


async def test_a_trio_task_awaits_a_value_from_another_thread() -> None:
    reply: Reply[int] = Reply()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, reply.succeed, 7)
            assert await reply == 7


async def test_a_trio_task_gets_the_error() -> None:
    reply: Reply[int] = Reply()
    reply.fail(UsageError("no such job"))
    with pytest.raises(UsageError, match="no such job"):
        await reply


def test_an_asyncio_task_awaits_a_value_from_another_thread() -> None:
    reply: Reply[int] = Reply()

    async def main() -> int:
        waiting = asyncio.ensure_future(wait_for(reply))
        await asyncio.to_thread(reply.succeed, 7)
        return await asyncio.wait_for(waiting, 60)

    async def wait_for(reply: Reply[int]) -> int:
        return await reply

    assert asyncio.run(main()) == 7


def test_a_loop_that_is_gone_does_not_disturb_the_one_who_settles() -> None:
    reply: Reply[int] = Reply()

    async def give_up() -> None:
        with trio.move_on_after(0):
            await reply

    trio.run(give_up)
    reply.succeed(7)
    assert reply.wait(0) == 7


def test_a_sleeper_whose_loop_is_gone_can_still_be_woken() -> None:
    async def build() -> TrioSleep | AsyncioSleep:
        return sleep_here()

    trio.run(build).wake()
    asyncio.run(build()).wake()


async def test_a_blocking_wait_inside_a_loop_is_refused() -> None:
    with pytest.raises(UsageError, match="await reply"):
        Reply[int]().wait(1)
