"""The job in Python; `job.toml` says the same for the default parameters."""

from __future__ import annotations

from flights.columns import ORIGINS
from swimstream.model.job import JobSpec, OperatorSpec


def flights_job(*, data: str = "examples/flights/data", database: str = "flights.db", rate: float = 250.0) -> JobSpec:
    """Return the job: three sources and windows, one merge, one sink. `rate` is rows per second and source.

    Relative paths are those of the workers' directory; `database` must be one file for all workers.
    """
    sources = tuple(
        OperatorSpec(
            name=f"source-{origin.lower()}",
            kind="flights.replay",
            prefer_site=origin.lower(),
            parameters={"data": data, "origin": origin, "rate": rate},
        )
        for origin in ORIGINS
    )
    windows = tuple(
        OperatorSpec(
            name=f"window-{origin.lower()}",
            kind="flights.window",
            inputs=(f"source-{origin.lower()}",),
            prefer_site=origin.lower(),
            parameters={"data": data, "origin": origin},
        )
        for origin in ORIGINS
    )
    merge = OperatorSpec(
        name="merge", kind="flights.merge", inputs=tuple(window.name for window in windows), prefer_site="hub"
    )
    sink = OperatorSpec(
        name="sink", kind="flights.sink", inputs=("merge",), prefer_site="hub", parameters={"database": database}
    )
    return JobSpec(name="flights", operators=(*sources, *windows, merge, sink))
