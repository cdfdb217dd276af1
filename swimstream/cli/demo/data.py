"""The example package `flights`, wherever it is: beside the library in a checkout, or inside the installed one."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import swimstream
from swimstream.errors import SwimstreamError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from swimstream.model.job import JobSpec

Row = tuple[str, ...]


class Unreadable(SwimstreamError):
    """The input is not what was expected; the message names file, line and column."""


class Expected(Protocol):
    """What the reference computation returns."""

    @property
    def rows(self) -> tuple[Row, ...]:
        """Return the whole result, sorted."""

    @property
    def flights(self) -> Mapping[str, int]:
        """Return how many rows each source will replay."""


class _Reference(Protocol):
    DataError: type[Exception]

    def compute(self, data: Path) -> Expected: ...
    def write_csv(self, rows: tuple[Row, ...], out: TextIO) -> None: ...


class _Job(Protocol):
    def flights_job(self, *, data: str, database: str, rate: float) -> JobSpec: ...


class _Columns(Protocol):
    COLUMNS: tuple[str, ...]


class Example:
    """The flights example, imported."""

    def __init__(self) -> None:
        """Find and import it. Raise `Unreadable` if it is not there."""
        package = Path(swimstream.__file__).parent
        for directory in (package / "_examples", package.parent / "examples"):
            if (directory / "flights" / "reference.py").is_file():
                break
        else:
            raise Unreadable(f"the example 'flights' is neither in {package / '_examples'} nor beside the package")
        self.package_path = directory
        """Directory that holds the package `flights`."""
        self.data = directory / "flights" / "data"
        """The month that comes with it."""
        if str(directory) not in sys.path:
            sys.path.append(str(directory))
        self._reference = cast("_Reference", importlib.import_module("flights.reference"))
        self._job = cast("_Job", importlib.import_module("flights.job"))
        self.columns = cast("_Columns", importlib.import_module("flights.columns")).COLUMNS

    def compute(self, data: Path) -> Expected:
        """Compute the expected result plainly. Raise `Unreadable`."""
        try:
            return self._reference.compute(data)
        except self._reference.DataError as error:
            raise Unreadable(f"--data: {error}") from error

    def write_csv(self, rows: tuple[Row, ...], out: TextIO) -> None:
        """Write rows as CSV."""
        self._reference.write_csv(rows, out)

    def job(self, *, data: Path, database: Path, rate: float) -> JobSpec:
        """Return the job on that input."""
        return self._job.flights_job(data=str(data), database=str(database), rate=rate)
