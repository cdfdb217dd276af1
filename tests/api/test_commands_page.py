"""docs/commands.md and the control port's own page say all that there is."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from swimstream.cli import main
from swimstream.runtime import control, control_json

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(__file__).parents[2] / "docs" / "commands.md").read_text()
EVERYWHERE = {"--control", "--json", "--help"}
"""Told once for all commands."""


def commands(group: click.Group, *above: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command and group of commands with its full name."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*above, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *above, name)


assert isinstance(main, click.Group)
ALL = {" ".join(words): command for words, command in commands(main)}


@pytest.mark.parametrize("name", ALL)
def test_every_command_is_on_the_page(name: str) -> None:
    group, _, last = name.rpartition(" ")
    assert re.search(rf"`swimstream {group}[^|]*\b{last}\b", PAGE)


@pytest.mark.parametrize("name", ALL)
def test_every_option_is_on_the_page(name: str) -> None:
    options = {option for each in ALL[name].params if isinstance(each, click.Option) for option in each.opts}
    missing = sorted(option for option in options - EVERYWHERE if not re.search(rf"{option}(?![a-z-])", PAGE))
    assert not missing


def test_every_option_of_the_page_exists() -> None:
    known = {option for command in ALL.values() for each in command.params for option in each.opts}
    assert set(re.findall(r"(?<=`)--[a-z-]+", PAGE)) <= known | {"--version"}


def test_every_event_is_on_the_page_of_the_control_port() -> None:
    written = set(re.findall(r'"event": "(\w+)"', inspect.getsource(control_json)))
    page = control.__doc__ or ""
    assert written
    assert not [name for name in sorted(written) if not re.search(rf"\b{name}\b", page[page.index("watch ") :])]
