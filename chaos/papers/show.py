"""The tables, in Markdown: they read well on a terminal, and stand in the documentation as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chaos.papers.figures import SURVIVAL_SAMPLE, size_figures, survival_sizes, variant_figures
from chaos.papers.swim import SAMPLE_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.papers.figures import Outcomes
    from chaos.peers.figures import Target

WORDS = {True: "met", False: "**missed**", None: "not judged"}


def swim_table(outcomes: Outcomes) -> str:
    """Return SWIM's detection time and load against the size of the group."""
    rows = [
        (
            str(row.nodes),
            str(row.crashes),
            f"{row.probed:.2f} ± {row.probed_error:.2f}",
            f"{row.suspected:.2f}",
            f"{row.suspected_max:.2f}",
            f"{row.first:.2f}",
            f"{row.last:.2f}",
            f"{row.messages:.2f}",
            f"{row.message_bytes:.0f}",
        )
        for row in size_figures(outcomes)
    ]
    head = ("n", "crashes", "first probed in period", "suspected", "at most", "declared dead", "known to all")
    return _table((*head, "messages", "bytes"), rows)


def loss_table(outcomes: Outcomes) -> str:
    """Return how many of a group were left under loss."""
    samples = [SURVIVAL_SAMPLE // 2, SURVIVAL_SAMPLE, 2 * SURVIVAL_SAMPLE, -1]
    rows = []
    ends: list[str] = []
    for protocol, sizes in survival_sizes(outcomes).items():
        ends = [f"after {(sample if sample > 0 else len(sizes) - 1) * SAMPLE_S:.0f} s" for sample in samples]
        rows.append((protocol.value, *(f"{sizes[sample]:.1f}" for sample in samples)))
    return _table(("members left, mean", *ends), rows)


def false_table(outcomes: Outcomes) -> str:
    """Return Lifeguard's false positives and what they cost."""
    rows = [
        (
            row.variant,
            f"{row.false:,}",
            f"{row.false_by_healthy:,}",
            _percent(row.false_share),
            _percent(row.false_by_healthy_share),
            f"{row.rightful:,}",
            f"{row.messages:.1f}",
            f"{row.message_bytes:,.0f}",
        )
        for row in variant_figures(outcomes).values()
    ]
    head = ("", "FP", "FP-", "FP, % of SWIM", "FP-, % of SWIM", "blocked declared dead", "messages/s", "bytes/s")
    return _table(head, rows)


def latency_table(outcomes: Outcomes) -> str:
    """Return how soon Lifeguard's blocked members were found out."""
    rows = [
        (
            row.variant,
            str(row.detections),
            *(f"{seconds:.2f}" for seconds in (row.first_p50, row.first_p99, row.last_p50, row.last_p99)),
            str(row.missed),
        )
        for row in variant_figures(outcomes).values()
    ]
    return _table(("", "blocked", "first p50", "first p99", "all p50", "all p99", "missed"), rows)


def claims_table(targets: Sequence[Target]) -> str:
    """Return what was held against the papers' claims."""
    rows = [
        (
            target.claim,
            _figure(target.value),
            _figure(target.bound),
            f"{WORDS[target.met]}{': ' if target.why else ''}{target.why}",
        )
        for target in targets
    ]
    return _table(("claim", "here", "bound", ""), rows)


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.4g}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines = [_line(head, widths), _line([":" + "-" * max(1, width - 1) for width in widths], widths)]
    return "\n".join([*lines, *(_line(row, widths) for row in rows)])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "| " + " | ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) + " |"
