"""What went wrong, in the few words that a status may hold."""

from __future__ import annotations

from swimstream.errors import FatalError, InfrastructureError, WorkerStopped
from swimstream.model.status import ErrorClass, cut_cause

FOREIGN_WORDS = {
    "trio": ("no running event loop", "unrecognized yield message"),
    "asyncio": ("must be called from async context", "Task got bad yield"),
}
"""Loop → what it, or the other library, says of a function that was written for the other one."""


def cause_of(error: BaseException, *, loop: str = "") -> str:
    """Return `TypeName: message` on one line, as long as a status may hold it.

    An async function that ran under `loop` and was written for the other one is told so.
    """
    error = _only(error)
    message = " ".join(str(error).split())
    if isinstance(error, RuntimeError | TypeError) and any(words in message for words in FOREIGN_WORDS.get(loop, ())):
        other = "asyncio" if loop == "trio" else "trio"
        return f'UsageError: it awaits {other} but runs under {loop}; register it with loop="{other}"'
    return cut_cause(f"{type(error).__name__}: {message}" if message else type(error).__name__)


def is_worth_a_stack(error: BaseException, *, was_asked: bool) -> bool:
    """Return whether people should see where `error` was raised.

    Not if the operator `was_asked` to stop, and a wait of its context failed for that: so it was told.
    """
    return not (was_asked and isinstance(_only(error), WorkerStopped))


def class_of(error: BaseException) -> ErrorClass:
    """Return what a failure says about its operator. One that several errors ended is as bad as the worst of them."""
    if isinstance(error, BaseExceptionGroup):
        classes = {class_of(each) for each in error.exceptions}
        worst_first = (ErrorClass.FATAL, ErrorClass.RETRYABLE, ErrorClass.INFRASTRUCTURE)
        return next(each for each in worst_first if each in classes)
    if isinstance(error, FatalError):
        return ErrorClass.FATAL
    return ErrorClass.INFRASTRUCTURE if isinstance(error, InfrastructureError) else ErrorClass.RETRYABLE


def _only(error: BaseException) -> BaseException:
    """Return what a nursery has wrapped, if it is one error."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
