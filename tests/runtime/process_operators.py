"""Operators that tests run in processes of their own: found by name, so they stand at the top of a module."""

from __future__ import annotations

import asyncio
import ctypes
import json
import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from swimstream.errors import FatalError
from swimstream.model.identity import Address, InstanceId
from swimstream.runtime import clock

if TYPE_CHECKING:
    from swimstream.runners.context import OperatorContext

NEIGHBOUR = InstanceId("job", "source", 1)
LONG_S = 1_000.0
PR_SET_PDEATHSIG = 1


def number(value: int) -> bytes:
    return str(value).encode()


def short(_: OperatorContext) -> None: ...


async def short_async(_: OperatorContext) -> None: ...


def bad(_: OperatorContext) -> None:
    raise ValueError("no such column")


def hopeless(_: OperatorContext) -> None:
    raise FatalError("no such column")


def tells_pid(ctx: OperatorContext) -> None:
    ctx.checkpoint(number(os.getpid()))
    ctx.wait_cancelled(LONG_S)


async def tells_pid_async(ctx: OperatorContext) -> None:
    ctx.checkpoint(number(os.getpid()))
    await trio.sleep_forever()


def tells_group(ctx: OperatorContext) -> None:
    ctx.checkpoint(b"alone" if os.getpid() == os.getpgid(0) == os.getsid(0) else b"with others")


def tells_itself(ctx: OperatorContext) -> None:
    known = [str(ctx.instance), ctx.epoch, ctx.worker, ctx.resume_from.decode(), ctx.parameters["window"]]
    ctx.checkpoint(json.dumps(known).encode())
    ctx.progress(len(ctx.inputs) * 10 + len(ctx.outputs))
    ctx.publish(Address("127.0.0.1", 99))


def dies(_: OperatorContext) -> None:
    os.kill(os.getpid(), signal.SIGUSR1)
    time.sleep(LONG_S)


def exits(_: OperatorContext) -> None:
    os._exit(0)


def stubborn(ctx: OperatorContext) -> None:
    ctx.checkpoint(b"up")
    while True:
        time.sleep(LONG_S)


def very_stubborn(ctx: OperatorContext) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stubborn(ctx)


def leaves_a_child(ctx: OperatorContext) -> None:
    left = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({LONG_S})"])
    ctx.checkpoint(number(left.pid))
    left.returncode = 0  # so that Popen does not warn of it


def has_a_child(ctx: OperatorContext) -> None:
    leaves_a_child(ctx)
    ctx.wait_cancelled(LONG_S)


async def asks(ctx: OperatorContext) -> None:
    assert ctx.locate_now(NEIGHBOUR) is None
    ctx.checkpoint(b"asked")
    first = await ctx.locate(NEIGHBOUR)
    assert ctx.locate_now(NEIGHBOUR) == first
    ctx.checkpoint(str(first).encode())
    async for address in ctx.watch(NEIGHBOUR):
        if address != first:
            ctx.checkpoint(str(address).encode())
            break
    await ctx.finished(NEIGHBOUR)


def asks_for_ever(ctx: OperatorContext) -> None:
    reply = ctx.locate(NEIGHBOUR)
    ctx.checkpoint(b"asked")
    reply.wait(LONG_S)


def lives_on(ctx: OperatorContext) -> None:
    """Return `resume_from` seconds after the neighbour was found."""
    reply = ctx.locate(NEIGHBOUR)
    ctx.checkpoint(b"up")
    reply.wait(LONG_S)
    until = clock.now() + float(ctx.resume_from)
    while (left_s := until - clock.now()) > 0:
        time.sleep(left_s)


def holds_the_interpreter(ctx: OperatorContext) -> None:
    """Once the neighbour is found, open the pipe named by `resume_from` and sleep.

    Both without letting go of the GIL, as native code may do.
    """
    library = ctypes.PyDLL(None)
    reply = ctx.locate(NEIGHBOUR)
    ctx.checkpoint(b"up")
    reply.wait(LONG_S)
    sys.setswitchinterval(LONG_S)
    library.write(library.open(ctx.resume_from, os.O_WRONLY), b"!", 1)
    library.sleep(int(LONG_S))


def clings_to_life(ctx: OperatorContext) -> None:
    """Outlive the worker as far as an operator can: no signal at its end, and no thread that could notice it."""
    library = ctypes.PyDLL(None)
    library.prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0)
    ctx.checkpoint(number(os.getpid()))
    pipe = str(ctx.parameters["pipe"])
    Path(pipe).read_bytes()  # until the checkpoint has been seen
    sys.setswitchinterval(LONG_S)
    library.open(f"{pipe}.held".encode(), os.O_RDONLY)
    library.sleep(int(LONG_S))


def stamps(ctx: OperatorContext) -> None:
    """Write the time into the file named by `resume_from`, without end."""
    file = os.open(ctx.resume_from.decode(), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    ctx.checkpoint(number(os.getpid()))
    while True:
        os.write(file, f"{clock.now()!r}\n".encode())
        time.sleep(0.001)


async def sleeps_with_asyncio(_: OperatorContext) -> None:
    await asyncio.sleep(0.001)


async def sleeps_with_trio(_: OperatorContext) -> None:
    await trio.sleep(0.001)


async def awaits_a_future_of_asyncio(_: OperatorContext) -> None:
    loop = asyncio.new_event_loop()
    try:
        await loop.create_future()
    finally:
        loop.close()


async def waits_with_asyncio(ctx: OperatorContext) -> None:
    ctx.checkpoint(b"up")
    try:
        await asyncio.Event().wait()
    finally:
        ctx.checkpoint(b"cancelled")


async def swallows_one_cancellation(ctx: OperatorContext) -> None:
    ctx.checkpoint(b"up")
    with suppress(asyncio.CancelledError):
        await asyncio.Event().wait()
    await asyncio.Event().wait()


def prints(_: OperatorContext) -> None:
    print("printed")  # noqa: T201  # that is what is tested
    sys.stderr.write("to the other stream\n")
    logging.getLogger("tests.operators").info("logged")
    subprocess.run(["echo", "by a child"], check=True)


async def prints_with_asyncio(ctx: OperatorContext) -> None:
    await asyncio.sleep(0)
    prints(ctx)


def prints_and_waits(ctx: OperatorContext) -> None:
    print("here")  # noqa: T201  # that is what is tested
    ctx.checkpoint(b"printed")
    ctx.wait_cancelled(LONG_S)


def tells_load(ctx: OperatorContext) -> None:
    ctx.watermark(17)
    ctx.backlog(5)
    ctx.busy(LONG_S)
    ctx.backpressured(is_waiting=True)
    ctx.checkpoint(b"told")
    ctx.wait_cancelled(LONG_S)


def stuck(ctx: OperatorContext) -> None:
    ctx.checkpoint(b"stuck")
    _wait_in_vain(ctx)


def _wait_in_vain(ctx: OperatorContext) -> None:
    ctx.wait_cancelled(LONG_S)


async def stuck_async(ctx: OperatorContext) -> None:
    ctx.checkpoint(b"stuck")
    await _sleep_in_vain()


async def _sleep_in_vain() -> None:
    await trio.sleep_forever()


def bears_a_child(ctx: OperatorContext) -> None:
    child = subprocess.Popen(["sleep", str(LONG_S)])
    ctx.checkpoint(number(child.pid))
    child.wait()
