"""Where an operator stands: for one that makes no progress, asked by a thread that is not the operator's.

A function in a thread stands where its thread does. A task stands where its coroutines wait; only if its thread is
executing it just now, it stands where that thread does: then it holds up every other task of its loop as well.
What has been called in C is not seen, but who has called it is.
"""

from __future__ import annotations

import sys
import sysconfig
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import FrameType

FRAMES_MAX = 64
"""Of one thread or task, the innermost."""
TASKS_MAX = 16
_NOT_ITS_OWN = tuple(
    str(Path(path).resolve())
    for path in (sysconfig.get_path("stdlib"), Path(trio.__file__).parent, Path(__file__).parent)
)
_OWN_LIBRARIES = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))

Frames = list[tuple["FrameType", int]]
"""Frames and the lines that they are at, the outermost first."""


@attrs.frozen
class Stack:
    """Where an operator stood when somebody looked."""

    place: str
    """`file:line function`, the innermost that is not of a library that everybody uses."""
    text: str
    """All of it, as a traceback shows it."""


def _no_task() -> Iterable[object]:
    return ()


class Whereabouts:
    """Which thread executes an operator, and if it is a task, which coroutines it consists of. Any thread."""

    def __init__(self) -> None:
        """Know nothing until `enter`."""
        self._entered: tuple[int, Callable[[], Iterable[object]]] | None = None

    def enter(self, coroutines: Callable[[], Iterable[object]] = _no_task) -> None:
        """Say that the calling thread executes it: as a function, or as a task whose `coroutines` can be asked for."""
        self._entered = (threading.get_ident(), coroutines)

    def look(self) -> Stack | None:
        """Return where it stands; None before it has begun."""
        if self._entered is None:
            return None
        thread_id, coroutines = self._entered
        running = _frames_of_thread(thread_id)
        tasks = [_frames_of_task(each) for each in list(coroutines())[:TASKS_MAX]]
        stacks = [_innermost(running, task) for task in tasks] or [running]
        stacks = [frames[-FRAMES_MAX:] for frames in stacks if frames]
        if not stacks:
            return None
        text = "\n".join("".join(traceback.StackSummary.extract(iter(frames)).format()) for frames in stacks)
        return Stack(_place(stacks[-1]), text)


def coroutines_of(task: trio.lowlevel.Task) -> list[object]:
    """Return the coroutine of a trio task, and those of every task that it waits for in a nursery, the inner last."""
    inner = [child for nursery in task.child_nurseries for child in nursery.child_tasks]
    return [task.coro, *(found for child in inner for found in coroutines_of(child))]


def _frames_of_thread(thread_id: int) -> Frames:
    frame = sys._current_frames().get(thread_id)  # noqa: SLF001  # the one way there is, and it is documented
    frames: Frames = []
    while frame is not None:
        frames.append((frame, frame.f_lineno))
        frame = frame.f_back
    return frames[::-1]


def _frames_of_task(coroutine: object) -> Frames:
    return list(_awaited(coroutine))


def _awaited(awaited: object) -> Iterator[tuple[FrameType, int]]:
    """Yield the frame of a coroutine or generator, then that of what it waits for, and so on."""
    while awaited is not None:
        kind = next((each for each in ("cr", "gi", "ag") if hasattr(awaited, f"{each}_frame")), None)
        if kind is None:
            return
        frame: FrameType | None = getattr(awaited, f"{kind}_frame")
        if frame is None:
            return  # it has ended meanwhile
        yield frame, frame.f_lineno
        awaited = getattr(awaited, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")


def _innermost(running: Frames, task: Frames) -> Frames:
    """Return the thread's frames from the task's first on, if the thread executes it now; else the task's."""
    outermost = task[0][0] if task else None
    for number, (frame, _) in enumerate(running):
        if frame is outermost:
            return running[number:]
    return task


def _place(frames: Frames) -> str:
    """Return the innermost place that says something about the operator."""
    own = [(frame, line) for frame, line in frames if not _is_common(frame.f_code.co_filename)]
    frame, line = (own or frames)[-1]
    return f"{Path(frame.f_code.co_filename).name}:{line} {frame.f_code.co_name}"


def _is_common(file: str) -> bool:
    """Return whether a file belongs to Python, to trio or to the runners."""
    if file.startswith("<"):
        return True
    standard, *others = _NOT_ITS_OWN
    return file.startswith(tuple(others)) or (file.startswith(standard) and not file.startswith(_OWN_LIBRARIES))
