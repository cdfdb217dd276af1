"""Which function runs which kind of operator, and where: in the worker, or in a process of its own."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import attrs

from swimstream.errors import UsageError
from swimstream.model.identity import check_name
from swimstream.model.member import KINDS_MAX
from swimstream.runners.context import OperatorContext
from swimstream.runners.place import Place, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator
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

_MARK = "__swimstream_kinds__"


@attrs.frozen
class Registered:
    """What runs a kind. `place` is where its own process finds the function; None: it runs in the worker."""

    function: OperatorFunction
    place: Place | None


class Registry:
    """The kinds of one worker; complete before it starts."""

    def __init__(self) -> None:
        """Build without kinds."""
        self._registered: dict[str, Registered] = {}

    @property
    def kinds(self) -> tuple[str, ...]:
        """Return every kind, sorted."""
        return tuple(sorted(self._registered))

    @property
    def kinds_apart(self) -> frozenset[str]:
        """Return the kinds whose instances are processes of their own."""
        return frozenset(kind for kind, each in self._registered.items() if each.place is not None)

    def register(self, kind: str, function: OperatorFunction, *, isolation: str = IN_WORKER) -> None:
        """Run operators of `kind` by `function`, in the worker or in a process of its own.

        Raise `UsageError` if the kind is taken, or if a process of its own could not find the function by its name.
        """
        check_name("kind", kind)
        check_isolation(isolation)
        if not callable(function):
            raise UsageError(f"kind {kind!r}: expected a function that takes an OperatorContext, got {function!r}")
        if kind in self._registered:
            raise UsageError(f"kind: {kind!r} is registered already, to {_name(self._registered[kind].function)}")
        if len(self._registered) >= KINDS_MAX:
            raise UsageError(f"kind: expected at most {KINDS_MAX} kinds")
        place = place_of(function, field=f"kind {kind!r}") if isolation == IN_PROCESS else None
        self._registered[kind] = Registered(function, place)

    def find(self, kind: str) -> Registered | None:
        """Return what runs `kind`, or None if this worker cannot run it."""
        return self._registered.get(kind)


def check_isolation(isolation: str) -> None:
    """Raise `UsageError` unless it is one of `ISOLATIONS`."""
    if isolation not in ISOLATIONS:
        raise UsageError(f"isolation: expected one of {', '.join(ISOLATIONS)}, got {isolation!r}")


def operator(kind: str, *, isolation: str = IN_WORKER) -> Callable[[F], F]:
    """Mark a function of a module as what runs operators of `kind`; `marked` finds it there."""
    check_name("kind", kind)
    check_isolation(isolation)

    def mark(function: F) -> F:
        setattr(function, _MARK, (*getattr(function, _MARK, ()), (kind, isolation)))
        return function

    return mark


def marked(module: ModuleType) -> Iterator[tuple[str, OperatorFunction, str]]:
    """Yield kind, function and isolation of every marked function of `module`, in the order of the module."""
    seen: set[int] = set()
    for value in vars(module).values():
        marks = getattr(value, _MARK, None)
        if isinstance(marks, tuple) and id(value) not in seen:
            seen.add(id(value))
            for kind, isolation in marks:
                yield kind, value, isolation


def is_async(function: OperatorFunction) -> bool:
    """Return whether `function` runs as a task; anything else runs in a thread."""
    # an instance whose class has `async def __call__` is asynchronous too
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _name(function: OperatorFunction) -> str:
    return str(getattr(function, "__qualname__", repr(function)))
