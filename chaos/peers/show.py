"""The table for people. Every cell is a figure of this run, or says that there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chaos.peers.figures import Spread, Summary, Target, Way
    from chaos.peers.scenarios import FalseDeaths

ABSENT = "-"
Row = tuple[str, list[str]]


def table(summaries: Mapping[str, Summary], versions: Mapping[str, str]) -> str:
    """Return one column a peer, one row a figure."""
    found = list(summaries.values())
    rows = [("", *(f"{name} {versions[name]}" for name in summaries))]
    for label, cells in (*_news(found), *_deaths(found), *_costs(found)):
        rows.append((label, *cells))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for label, *cells in rows:
        padded = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join([label.ljust(widths[0]), *padded]).rstrip())
    return "\n".join(lines)


def verdicts(targets: Sequence[Target]) -> str:
    """Return one line a target."""
    lines = []
    for target in targets:
        word = {True: "met", False: "MISSED", None: "not judged"}[target.met]
        figures = target.why if target.met is None else f"{target.value:.4g} against {target.bound:.4g}"
        lines.append(f"  {word:<10}  {target.claim}: {figures}")
    return "\n".join(lines)


def _times(spreads: Sequence[Spread | None], digits: int) -> list[str]:
    return [
        ABSENT if each is None else " ".join(f"{time:.{digits}f}" for time in (each.p50, each.p99, each.max))
        for each in spreads
    ]


def _ways(title: str, ways: Sequence[Way], digits: int) -> list[Row]:
    return [
        (title, [ABSENT if each.last is None else str(each.last.count) for each in ways]),
        ("  every observer, s: p50 p99 max", _times([each.each for each in ways], digits)),
        ("  first to know, s: p50 p99 max", _times([each.first for each in ways], digits)),
        ("  last to know, s: p50 p99 max", _times([each.last for each in ways], digits)),
        ("  from first to last, s: p50 p99 max", _times([each.between for each in ways], digits)),
        (
            "  missed (observers)",
            [ABSENT if each.last is None and not each.missed else str(each.missed) for each in ways],
        ),
    ]


def _news(summaries: Sequence[Summary]) -> list[Row]:
    return [
        *_ways("kill -9, detected", [each.kill for each in summaries], 2),
        ("  first suspicion, s: p50 p99 max", _times([each.suspicion.first for each in summaries], 2)),
        *_ways("changes of metadata", [each.change for each in summaries], 3),
        *_ways("goodbyes", [each.goodbye for each in summaries], 3),
    ]


def _deaths(summaries: Sequence[Summary]) -> list[Row]:
    def cells(trials: Sequence[FalseDeaths | None]) -> list[str]:
        return [
            ABSENT
            if each is None
            else f"{each.of_healthy_by_healthy} {each.of_harmed_by_healthy} "
            f"{each.of_healthy_by_harmed} {each.of_harmed_by_harmed}"
            for each in trials
        ]

    return [
        ("false deaths: idle", [str(each.false_deaths_idle) for each in summaries]),
        ("  after a kill", [str(each.false_deaths_kill) for each in summaries]),
        ("  by healthy: of healthy, of harmed; by harmed: likewise", [""] * len(summaries)),
        ("    some stopped", cells([each.stopped for each in summaries])),
        ("    some starved", cells([each.starved for each in summaries])),
    ]


def _costs(summaries: Sequence[Summary]) -> list[Row]:
    def cells(spreads: Sequence[Spread | None], scale: float, digits: int) -> list[str]:
        return [
            ABSENT
            if each is None
            else " ".join(f"{figure * scale:.{digits}f}" for figure in (each.mean, each.p50, each.max))
            for each in spreads
        ]

    return [
        ("idle, per node: CPU ms/s: mean p50 max", cells([each.cpu_share for each in summaries], 1e3, 2)),
        ("  resident MiB: mean p50 max", cells([each.rss_bytes for each in summaries], 2**-20, 1)),
        ("  packets per s: mean p50 max", cells([each.packets_per_s for each in summaries], 1, 1)),
        ("  bytes per s: mean p50 max", cells([each.bytes_per_s for each in summaries], 1, 0)),
        ("    of which by stream", cells([each.stream_bytes_per_s for each in summaries], 1, 0)),
        ("  packets not counted", [str(each.unseen_packets) for each in summaries]),
    ]
