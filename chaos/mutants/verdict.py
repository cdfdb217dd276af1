"""What came of each mutant, and whether the list as a whole holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaos.mutants.checks import Finding

HEAD = ("mutant", "outcome", "after, s", "by")
BY_CHARS_MAX = 110


@attrs.frozen(kw_only=True)
class Verdict:
    """One mutant, or the tree without any (then `rule` is empty)."""

    name: str
    rule: str
    outcome: str
    """`caught`, `survived` or `error`; of the tree without a mutant `green`, `red` or `error`."""
    by: str = ""
    """The check that turned red."""
    after_s: float = 0.0
    detail: str = ""
    """Of an error: what was wrong."""

    @property
    def is_good(self) -> bool:
        """Return whether this is as it should be."""
        return self.outcome in ("caught", "green")


def of_mutant(name: str, rule: str, finding: Finding) -> Verdict:
    """Return the verdict of a mutant: it must be caught; a tree that does not load proves nothing."""
    outcome = "error" if finding.error else "caught" if finding.red else "survived"
    return Verdict(name=name, rule=rule, outcome=outcome, by=finding.red, after_s=finding.took_s, detail=finding.error)


def of_tree(name: str, finding: Finding) -> Verdict:
    """Return the verdict of checks on the tree as it is: they must be green."""
    outcome = "error" if finding.error else "red" if finding.red else "green"
    return Verdict(name=name, rule="", outcome=outcome, by=finding.red, after_s=finding.took_s, detail=finding.error)


def is_ok(baseline: Sequence[Verdict], mutants: Sequence[Verdict], *, wanted: int) -> bool:
    """Return whether every mutant that was wanted is caught, by checks that are green without it."""
    return bool(baseline) and len(mutants) == wanted > 0 and all(verdict.is_good for verdict in (*baseline, *mutants))


def document(
    baseline: Sequence[Verdict], mutants: Sequence[Verdict], *, wanted: int, elapsed_s: float
) -> dict[str, object]:
    """Return everything as JSON's types."""
    return {
        "ok": is_ok(baseline, mutants, wanted=wanted),
        "wanted": wanted,
        "caught": sum(verdict.outcome == "caught" for verdict in mutants),
        "elapsed_s": round(elapsed_s, 1),
        "baseline": [attrs.asdict(verdict) for verdict in baseline],
        "mutants": [attrs.asdict(verdict) for verdict in mutants],
    }


def table(verdicts: Sequence[Verdict]) -> str:
    """Return a line a mutant, and beneath it what was wrong, if something was."""
    rows = [HEAD, *((each.name, each.outcome, f"{each.after_s:.1f}", each.by[:BY_CHARS_MAX]) for each in verdicts)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD) - 1)]
    lines = []
    for row, verdict in zip(rows, [None, *verdicts], strict=True):
        name, outcome, after, by = row
        line = f"{name.ljust(widths[0])}  {outcome.ljust(widths[1])}  {after.rjust(widths[2])}  {by}"
        lines.append(line.rstrip())
        if verdict is not None and verdict.detail:
            lines += [f"    {text}" for text in verdict.detail.strip().splitlines()]
    return "\n".join(lines)
