"""Which function or command runs which kind of operator, and where: in the worker, or in a process of its own."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar, assert_never

import attrs

from swimstream.errors import UsageError
from swimstream.model.identity import check_name
from swimstream.model.member import KINDS_MAX
from swimstream.runners.command import Command
from swimstream.runners.context import OperatorContext
from swimstream.runners.place import Place, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

AsyncOperator = Callable[[OperatorContext], Awaitable[None]]
ThreadOperator = Callable[[OperatorContext], None]
OperatorFunction = AsyncOperator | ThreadOperator
F = TypeVar("F", bound=OperatorFunction)

IN_WORKER = "worker"
"""A task or a thread of the worker's process: light, but nothing can end it if it does not end itself."""
IN_PROCESS = "process"
"""A process of its own: can be killed, and is killed by the kernel at the deadline of an at-most-one instance."""
ISOLATIONS = (IN_WORKER, IN_PROCESS)

TRIO = "trio"
ASYNCIO = "asyncio"
LOOPS = (TRIO, ASYNCIO)
"""What an async function is written for. Nothing tells it from the function itself, so whoever registers it says it."""

_MARK = "__swimstream_kinds__"


@attrs.frozen(kw_only=True)
class InWorker:
    """A function that runs in the worker: as a task of `loop`, or in a thread of its own."""

    function: OperatorFunction
    loop: str = TRIO


@attrs.frozen(kw_only=True)
class InProcess:
    """A function that a process of its own finds at `place`, and runs under `loop` if it is async."""

    place: Place
    loop: str = TRIO


Registered = InWorker | InProcess | Command
"""What runs a kind."""


class Registry:
    """The kinds of one worker; complete before it starts."""

    def __init__(self) -> None:
        """Build without kinds."""
        self._registered: dict[str, Registered] = {}

    @classmethod
    def of(cls, commands: Mapping[str, Command]) -> Registry:
        """Return one that knows these commands by kind; raise `UsageError` as `register` does."""
        made = cls()
        for kind, command in commands.items():
            made.register(kind, command)
        return made

    @property
    def kinds(self) -> tuple[str, ...]:
        """Return every kind, sorted."""
        return tuple(sorted(self._registered))

    @property
    def kinds_apart(self) -> frozenset[str]:
        """Return the kinds whose instances are processes of their own."""
        return frozenset(kind for kind, each in self._registered.items() if not isinstance(each, InWorker))

    def register(
        self, kind: str, what: OperatorFunction | Command, *, isolation: str = IN_WORKER, loop: str = TRIO
    ) -> None:
        """Run operators of `kind` by a function, in the worker or in a process of its own, or by a command.

        Raise `UsageError` if the kind is taken, if a process of its own could not find the function by its name, or
        for a `loop` or an `isolation` that it cannot have.
        """
        check_name("kind", kind)
        if kind in self._registered:
            raise UsageError(f"kind: {kind!r} is registered already, to {_name(self._registered[kind])}")
        if len(self._registered) >= KINDS_MAX:
            raise UsageError(f"kind: expected at most {KINDS_MAX} kinds")
        self._registered[kind] = _checked(kind, what, isolation, loop)

    def find(self, kind: str) -> Registered | None:
        """Return what runs `kind`, or None if this worker cannot run it."""
        return self._registered.get(kind)


def _checked(kind: str, what: OperatorFunction | Command, isolation: str, loop: str) -> Registered:
    check_isolation(isolation)
    check_loop(loop)
    if isinstance(what, Command):
        what.check(field=f"kind {kind!r}")
        return what
    if not callable(what):
        raise UsageError(
            f"kind {kind!r}: expected a function that takes an OperatorContext, or a Command, got {what!r}"
        )
    if loop != TRIO and not is_async(what):
        raise UsageError(f"kind {kind!r}: loop {loop!r} is for async functions; {_function_name(what)} is a plain one")
    if isolation == IN_PROCESS:
        return InProcess(place=place_of(what, field=f"kind {kind!r}"), loop=loop)
    return InWorker(function=what, loop=loop)


def check_loop(loop: str) -> None:
    """Raise `UsageError` unless it is one of `LOOPS`."""
    if loop not in LOOPS:
        raise UsageError(f"loop: expected one of {', '.join(LOOPS)}, got {loop!r}")


def check_isolation(isolation: str) -> None:
    """Raise `UsageError` unless it is one of `ISOLATIONS`."""
    if isolation not in ISOLATIONS:
        raise UsageError(f"isolation: expected one of {', '.join(ISOLATIONS)}, got {isolation!r}")


@attrs.frozen(kw_only=True)
class Mark:
    """What `operator` leaves at a function: how it is to be registered."""

    kind: str
    isolation: str
    loop: str


def operator(kind: str, *, isolation: str = IN_WORKER, loop: str = TRIO) -> Callable[[F], F]:
    """Mark a function of a module as what runs operators of `kind`; `marked` finds it there."""
    check_name("kind", kind)
    check_isolation(isolation)
    check_loop(loop)

    def mark(function: F) -> F:
        made = Mark(kind=kind, isolation=isolation, loop=loop)
        setattr(function, _MARK, (*getattr(function, _MARK, ()), made))
        return function

    return mark


def marked(module: ModuleType) -> Iterator[tuple[OperatorFunction, Mark]]:
    """Yield every marked function of `module` with its marks, in the order of the module."""
    seen: set[int] = set()
    for value in vars(module).values():
        marks = getattr(value, _MARK, None)
        if isinstance(marks, tuple) and id(value) not in seen:
            seen.add(id(value))
            for mark in marks:
                yield value, mark


def is_async(function: OperatorFunction) -> bool:
    """Return whether `function` runs as a task; anything else runs in a thread."""
    # an instance whose class has `async def __call__` is asynchronous too
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _name(registered: Registered) -> str:
    match registered:
        case InWorker():
            return _function_name(registered.function)
        case InProcess():
            return str(registered.place)
        case Command():
            return str(registered)
        case _:
            assert_never(registered)


def _function_name(function: OperatorFunction) -> str:
    return str(getattr(function, "__qualname__", repr(function)))
