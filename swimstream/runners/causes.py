"""What went wrong, in the few words that a status may hold."""

from __future__ import annotations

from swimstream.model.status import cut_cause


def cause_of(error: BaseException) -> str:
    """Return `TypeName: message` on one line, as long as a status may hold it."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    message = " ".join(str(error).split())
    return cut_cause(f"{type(error).__name__}: {message}" if message else type(error).__name__)
