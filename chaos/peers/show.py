"""The table for people. Every cell is a figure of this run, or says that there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from chaos.peers.figures import Spread, Summary, Target

ABSENT = "-"


def table(summaries: Mapping[str, Summary], versions: Mapping[str, str]) -> str:
    """Return one column a peer, one row a figure."""
    rows = [("", *(f"{name} {versions[name]}" for name in summaries))]
    for label, cells in _rows(list(summaries.values())):
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


def _rows(summaries: Sequence[Summary]) -> list[tuple[str, list[str]]]:
    def times(spreads: Sequence[Spread | None]) -> list[str]:
        return [ABSENT if each is None else f"{each.p50:.2f} {each.p99:.2f} {each.max:.2f}" for each in spreads]

    def middles(spreads: Sequence[Spread | None], scale: float, digits: int) -> list[str]:
        return [
            ABSENT if each is None else f"{each.p50 * scale:.{digits}f} {each.max * scale:.{digits}f}"
            for each in spreads
        ]

    def counts(numbers: Sequence[int]) -> list[str]:
        return [str(number) for number in numbers]

    kills = [each.first for each in summaries]
    return [
        ("kills with a detection", [ABSENT if each is None else str(each.count) for each in kills]),
        ("  first to know, s: p50 p99 max", times(kills)),
        ("  last to know, s: p50 p99 max", times([each.last for each in summaries])),
        ("  from first to last, s: p50 p99 max", times([each.knowing for each in summaries])),
        ("  deaths missed (observers)", counts([each.missed for each in summaries])),
        ("false deaths: idle", counts([each.false_deaths_idle for each in summaries])),
        ("  after a kill", counts([each.false_deaths_kill for each in summaries])),
        ("  one stopped: of others", counts([each.stall_deaths_of_others for each in summaries])),
        ("  one stopped: of the stopped one", counts([each.stall_deaths_of_stopped for each in summaries])),
        ("  one stopped: by the stopped one", counts([each.stall_deaths_by_stopped for each in summaries])),
        ("idle, per node: CPU ms/s: p50 max", middles([each.cpu_share for each in summaries], 1e3, 1)),
        ("  resident MiB: p50 max", middles([each.rss_bytes for each in summaries], 2**-20, 1)),
        ("  datagrams in per s: p50 max", middles([each.packets_per_s for each in summaries], 1, 1)),
        ("  datagram bytes in per s: p50 max", middles([each.bytes_per_s for each in summaries], 1, 0)),
    ]
