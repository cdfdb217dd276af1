"""Operators that tests run in processes of their own: found by name, so they stand at the top of a module."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import trio

from swimstream.errors import FatalError
from swimstream.model.identity import Address, InstanceId
from swimstream.runtime import clock

if TYPE_CHECKING:
    from swimstream.runners.context import OperatorContext

NEIGHBOUR = InstanceId("job", "source", 1)
LONG_S = 1_000.0


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


def lives_until(ctx: OperatorContext) -> None:
    """Return once the clock has passed `resume_from`."""
    until = float(ctx.resume_from)
    ctx.checkpoint(b"up")
    while (left_s := until - clock.now()) > 0:
        time.sleep(left_s)


def holds_the_interpreter(ctx: OperatorContext) -> None:
    """Open the pipe named by `resume_from`, then sleep, both without letting go of the GIL, as native code may do."""
    library = ctypes.PyDLL(None)
    sys.setswitchinterval(LONG_S)
    library.open(ctx.resume_from, os.O_WRONLY)
    library.sleep(int(LONG_S))


def stamps(ctx: OperatorContext) -> None:
    """Write the time into the file named by `resume_from`, without end."""
    file = os.open(ctx.resume_from.decode(), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    ctx.checkpoint(number(os.getpid()))
    while True:
        os.write(file, f"{clock.now()!r}\n".encode())
        time.sleep(0.001)
