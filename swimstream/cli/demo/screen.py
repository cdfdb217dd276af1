"""What the user sees while the job runs: a live table on a terminal, else a line for each thing that happens."""

from __future__ import annotations

from collections import deque
from typing import Protocol

import attrs
import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from swimstream.cli.demo.picture import Picture

LINES_SHOWN = 8
REFRESH_INTERVAL_S = 0.25
COLOURS = {
    "alive": "green",
    "running": "green",
    "finished": "cyan",
    "suspect": "yellow",
    "starting": "yellow",
    "dead": "red",
    "failed": "red",
}


@attrs.frozen(kw_only=True)
class Standing:
    """How far the demo is."""

    elapsed_s: float
    rows: int
    rows_total: int
    picture: Picture


class Screen(Protocol):
    """Where the story is told."""

    def tell(self, line: str, *, at: float) -> None:
        """Tell that something happened."""

    def show(self, standing: Standing) -> None:
        """Show how things stand now."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class PlainScreen:
    """A line for each thing that happens, nothing in between."""

    def __init__(self, *, err: bool) -> None:
        """Write to standard output, or to standard error."""
        self._err = err

    def tell(self, line: str, *, at: float) -> None:
        """Print the line with its time."""
        click.echo(f"{at:6.1f} s  {line}", err=self._err)

    def show(self, standing: Standing) -> None:
        """Show nothing: whoever reads lines wants news only."""

    def close(self) -> None:
        """Nothing to restore."""


class LiveScreen:
    """Tables that are drawn anew in place."""

    def __init__(self) -> None:
        """Take over the bottom of the terminal."""
        self._lines: deque[str] = deque(maxlen=LINES_SHOWN)
        self._shown_at = -REFRESH_INTERVAL_S
        self._live = Live(console=Console(), auto_refresh=False)
        self._live.start()

    def tell(self, line: str, *, at: float) -> None:
        """Add the line to the news below the tables."""
        self._lines.append(f"{at:6.1f} s  {line}")

    def show(self, standing: Standing) -> None:
        """Draw again, a few times a second."""
        if standing.elapsed_s >= self._shown_at + REFRESH_INTERVAL_S:
            self._shown_at = standing.elapsed_s
            self._live.update(_drawing(standing, list(self._lines)), refresh=True)

    def close(self) -> None:
        """Give the terminal back; the last drawing stays."""
        self._live.stop()


def _drawing(standing: Standing, lines: list[str]) -> RenderableType:
    picture = standing.picture
    leader = f"{picture.leader} leads in term {picture.term}" if picture.leader else "no leader yet"
    title = f"{standing.elapsed_s:.0f} s, {standing.rows} of {standing.rows_total} rows written, {leader}"
    news = Group(*(Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in lines))
    return Group(Text(title, style="bold"), _members(picture), _operators(picture), news)


def _members(picture: Picture) -> Table:
    table = Table("worker", "site", "state", "runs", box=None, header_style="underline", padding=(0, 2, 0, 0))
    for member in picture.members.values():
        runs = " ".join(_short(seen.instance) for seen in picture.hosted_by(member.name) if not member.is_gone)
        name = f"{member.name} *" if member.name == picture.leader else member.name
        table.add_row(name, member.site, _coloured(member.state), runs)
    return table


def _operators(picture: Picture) -> Table:
    table = Table("operator", "worker", "epoch", "state", box=None, header_style="underline", padding=(0, 2, 0, 0))
    table.add_column("progress", justify="right")
    for seen in picture.operators.values():
        table.add_row(_short(seen.instance), seen.worker, str(seen.epoch), _coloured(seen.state), str(seen.progress))
    return table


def _coloured(state: str) -> Text:
    return Text(state, style=COLOURS.get(state, ""))


def _short(instance: str) -> str:
    return instance.partition("/")[2].removesuffix("[0]")
