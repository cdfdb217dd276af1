"""What a mutant is: a rule, the text that keeps it, the text that breaks it, and the checks that must notice.

Each is a TOML file in `data/`, never an option in the product. The text must be there exactly once in the whole
package: a mutant whose place is gone is an error, so the list stays true while the code moves.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from chaos.peers.peer import ROOT
from swimstream.simulator.scenarios import STORIES
from swimstream.tables import structure

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DATA = Path(__file__).parent / "data"
PACKAGE = "swimstream"


class MutantError(Exception):
    """A mutant cannot be made: it says what is wrong with it."""


@attrs.frozen(kw_only=True)
class Edit:
    """One place. `old` is there exactly once in the package, or once in `file` if that is named."""

    old: str
    new: str
    file: str = ""
    """Path from the root; needed only where two files hold the same text."""


@attrs.frozen(kw_only=True)
class Worlds:
    """Seeds `first` to `first + seeds - 1` of one story of the simulator."""

    story: str
    seeds: int
    first: int = 0


@attrs.frozen(kw_only=True)
class Mutant:
    """One rule, broken. Aimed tests come first, since they are quick; then worlds."""

    name: str
    rule: str
    """The rule and where it comes from."""
    edits: tuple[Edit, ...]
    tests: tuple[str, ...] = ()
    """Node ids of pytest."""
    worlds: tuple[Worlds, ...] = ()


@attrs.frozen(kw_only=True)
class _Table:
    """A mutant's file."""

    rule: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...] = ()
    worlds: tuple[Worlds, ...] = ()


def load(names: Iterable[str] = (), *, data: Path = DATA) -> list[Mutant]:
    """Return the mutants of those names, or all, by name. Raise `MutantError` for one that says nonsense."""
    known = {path.stem: path for path in sorted(data.glob("*.toml"))}
    wanted = list(dict.fromkeys(names)) or list(known)
    for name in wanted:
        if name not in known:
            raise MutantError(f"{name}: no such mutant; expected one of {', '.join(known)}")
    return [read(known[name]) for name in wanted]


def read(path: Path) -> Mutant:
    """Return the mutant of one file."""
    made = structure(tomllib.loads(path.read_text()), _Table, where=str(path))
    mutant = Mutant(name=path.stem, rule=made.rule, edits=made.edits, tests=made.tests, worlds=made.worlds)
    if not mutant.edits or not (mutant.tests or mutant.worlds):
        raise MutantError(f"{mutant.name}: expected at least one edit, and one check")
    for edit in mutant.edits:
        if not edit.old.strip() or edit.old == edit.new:
            raise MutantError(f"{mutant.name}: expected an old text, and another new one")
    for each in mutant.worlds:
        if each.story not in STORIES or each.seeds < 1:
            raise MutantError(f"{mutant.name}: expected seeds of a story of the simulator, got {each}")
    return mutant


def mutated(mutant: Mutant, root: Path = ROOT) -> Mapping[Path, str]:
    """Return the changed files' new texts, by path from the root. Raise `MutantError` for a place that is gone."""
    texts: dict[Path, str] = {}
    for edit in mutant.edits:
        places = {}
        for path in [root / edit.file] if edit.file else sorted((root / PACKAGE).rglob("*.py")):
            relative = path.relative_to(root)
            text = texts.get(relative) or (path.read_text() if path.is_file() else "")
            if edit.old in text:
                places[relative] = text
        found = sum(text.count(edit.old) for text in places.values())
        if found != 1:
            raise MutantError(f"{mutant.name}: expected this text exactly once, found it {found} times:\n{edit.old}")
        ((relative, text),) = places.items()
        texts[relative] = text.replace(edit.old, edit.new)
    return texts
