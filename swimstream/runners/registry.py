"""Which function runs which kind of operator."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from swimstream.errors import UsageError
from swimstream.model.identity import check_name
from swimstream.model.member import KINDS_MAX
from swimstream.runners.context import OperatorContext

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

AsyncOperator = Callable[[OperatorContext], Awaitable[None]]
ThreadOperator = Callable[[OperatorContext], None]
OperatorFunction = AsyncOperator | ThreadOperator
F = TypeVar("F", bound=OperatorFunction)

_MARK = "__swimstream_kinds__"


class Registry:
    """The kinds of one worker; complete before it starts."""

    def __init__(self) -> None:
        """Build without kinds."""
        self._functions: dict[str, OperatorFunction] = {}

    @property
    def kinds(self) -> tuple[str, ...]:
        """Return every kind, sorted."""
        return tuple(sorted(self._functions))

    def register(self, kind: str, function: OperatorFunction) -> None:
        """Run operators of `kind` by `function`; raise `UsageError` if the kind is taken."""
        check_name("kind", kind)
        if not callable(function):
            raise UsageError(f"kind {kind!r}: expected a function that takes an OperatorContext, got {function!r}")
        if kind in self._functions:
            raise UsageError(f"kind: {kind!r} is registered already, to {_name(self._functions[kind])}")
        if len(self._functions) >= KINDS_MAX:
            raise UsageError(f"kind: expected at most {KINDS_MAX} kinds")
        self._functions[kind] = function

    def find(self, kind: str) -> OperatorFunction | None:
        """Return the function for `kind`, or None if this worker cannot run it."""
        return self._functions.get(kind)


def operator(kind: str) -> Callable[[F], F]:
    """Mark a function of a module as what runs operators of `kind`; `marked` finds it there."""
    check_name("kind", kind)

    def mark(function: F) -> F:
        setattr(function, _MARK, (*getattr(function, _MARK, ()), kind))
        return function

    return mark


def marked(module: ModuleType) -> Iterator[tuple[str, OperatorFunction]]:
    """Yield every marked function of `module` with its kind, in the order of the module."""
    seen: set[int] = set()
    for value in vars(module).values():
        kinds = getattr(value, _MARK, None)
        if isinstance(kinds, tuple) and id(value) not in seen:
            seen.add(id(value))
            for kind in kinds:
                yield kind, value


def is_async(function: OperatorFunction) -> bool:
    """Return whether `function` runs as a task; anything else runs in a thread."""
    # an instance whose class has `async def __call__` is asynchronous too
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _name(function: OperatorFunction) -> str:
    return str(getattr(function, "__qualname__", repr(function)))
