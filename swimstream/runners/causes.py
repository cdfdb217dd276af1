"""What went wrong, in the few words that a status may hold."""

from __future__ import annotations

from swimstream.errors import FatalError, InfrastructureError
from swimstream.model.status import ErrorClass, cut_cause


def cause_of(error: BaseException) -> str:
    """Return `TypeName: message` on one line, as long as a status may hold it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    message = " ".join(str(error).split())
    return cut_cause(f"{type(error).__name__}: {message}" if message else type(error).__name__)


def class_of(error: BaseException) -> ErrorClass:
    """Return what a failure says about its operator. One that several errors ended is as bad as the worst of them."""
    if isinstance(error, BaseExceptionGroup):
        classes = {class_of(each) for each in error.exceptions}
        worst_first = (ErrorClass.FATAL, ErrorClass.RETRYABLE, ErrorClass.INFRASTRUCTURE)
        return next(each for each in worst_first if each in classes)
    if isinstance(error, FatalError):
        return ErrorClass.FATAL
    return ErrorClass.INFRASTRUCTURE if isinstance(error, InfrastructureError) else ErrorClass.RETRYABLE
