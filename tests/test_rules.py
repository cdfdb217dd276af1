"""docs/membership.md and docs/guarantees.md say of every rule where it lives and which tests break without it.

All of that exists.
"""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parent.parent
CODE, TESTS = ROOT / "swimstream", ROOT / "tests"
SECTIONS = "ABCDEFGHIJKLMNPQ"


@attrs.frozen
class Page:
    """A page with rows of rules; what it names without a path lies in its own room."""

    name: str
    row: str
    """How a row begins, as a regular expression."""
    room: str


MEMBERSHIP = Page("membership.md", r"\| [A-Z]\.\d+ \|", "core/membership")
GUARANTEES = Page("guarantees.md", r"\| \d+ \|", "core/council")


@attrs.frozen
class Rule:
    """One row of a page."""

    page: Page
    number: str
    places: tuple[str, ...]
    tests: tuple[str, ...]


def rules(page: Page) -> list[Rule]:
    """Return the rows of `page` that begin with the number of a rule."""
    found = []
    for line in (ROOT / "docs" / page.name).read_text().splitlines():
        if re.match(page.row, line):
            number, _, places, tests = line.strip("| ").split(" | ")
            found.append(Rule(page, number, _quoted(places), _quoted(tests)))
    return found


def rules_to_check() -> list[Rule]:
    """Return the rules whose places and tests are looked for."""
    return rules(MEMBERSHIP) + rules(GUARANTEES)


def _quoted(cell: str) -> tuple[str, ...]:
    return tuple(re.findall(r"`([^`]+)`", cell))


def file_of(name: str, root: Path, near: Path) -> Path:
    """Return the file that the page means: in the room itself, unless a path is given."""
    return (root if "/" in name else near) / name


@functools.cache
def names_in(path: Path) -> frozenset[str]:
    """Return what a file defines: functions, classes with their methods as `Class.method`, and constants."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {
                f"{node.name}.{each.name}"
                for each in node.body
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            }
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return frozenset(names)


def missing(references: tuple[str, ...], root: Path, near: Path) -> list[str]:
    """Return those of `file::name` that do not exist."""
    lacking = []
    for reference in references:
        file, _, name = reference.partition("::")
        path = file_of(file, root, near)
        if not path.is_file() or name not in names_in(path):
            lacking.append(reference)
    return lacking


@pytest.mark.parametrize("rule", rules_to_check(), ids=lambda rule: rule.number)
def test_every_rule_lives_where_the_page_says(rule: Rule) -> None:
    assert missing(rule.places, CODE, CODE / rule.page.room) == []


@pytest.mark.parametrize("rule", rules_to_check(), ids=lambda rule: rule.number)
def test_every_rule_has_the_tests_that_the_page_names(rule: Rule) -> None:
    assert missing(rule.tests, TESTS, TESTS / rule.page.room) == []


@pytest.mark.parametrize("page", [MEMBERSHIP, GUARANTEES], ids=lambda page: page.name)
def test_every_rule_names_a_place_and_a_test(page: Page) -> None:
    for rule in rules(page):
        assert rule.places
        assert rule.tests
        assert all(test.partition("::")[2].startswith("test_") for test in rule.tests)


def test_the_guarantees_are_sixteen_rules() -> None:
    assert [rule.number for rule in rules(GUARANTEES)] == [str(number) for number in range(1, 17)]


def test_the_rules_are_numbered_without_a_gap() -> None:
    numbers = [rule.number for rule in rules(MEMBERSHIP)]
    assert set(SECTIONS) <= {number[0] for number in numbers}
    for section in sorted({number[0] for number in numbers}):
        counted = [int(number[2:]) for number in numbers if number[0] == section]
        assert counted == list(range(1, len(counted) + 1)), section


def test_a_name_that_is_gone_would_be_noticed() -> None:
    references = ("table.py::alive_wins", "table.py::gone", "gone.py::alive_wins", "core/node.py::Node.gone")
    assert missing(references, CODE, CODE / MEMBERSHIP.room) == list(references[1:])
