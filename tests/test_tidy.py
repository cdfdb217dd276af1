"""Rules of the house that matter enough to be a test: rooms, clocks, order, size, docstrings."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "swimstream"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if "_examples" not in path.parts)

# A room may import the rooms above it in this list, and itself. `core` has rooms of its own, below.
ROOMS = [
    "errors",
    "fencing",
    "model",
    "config",
    "events",
    "tables",
    "job_file",
    "wire",
    "core",
    "simulator",
    "runtime",
    "runners",
    "worker_config",
    "log_pages",
    "job_commands",
    "placing_commands",
    "questions",
    "commands",
    "worker",
    "peer",
    "cli",
]
# These do not know each other: the node joins them.
CORE_ROOMS = ["membership", "status", "council", "recovery", "talk"]

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 50

CLOCKS_AND_SOCKETS = {
    "asyncio", "multiprocessing", "os", "select", "selectors", "signal", "socket", "sqlite3", "ssl", "subprocess",
    "threading", "time", "trio", "datetime", "secrets", "uuid",
}  # fmt: skip
PURE = ["model", "wire", "core", "config", "events", "errors"]


def room_of(path: Path) -> str:
    """Return the room that a file of the package belongs to."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    """Return the dotted names that a file imports, wherever in the file."""
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names.append(node.module or "")
    return names


def ours(path: Path) -> list[tuple[str, ...]]:
    """Return the imports of a file from within the package, as paths below it."""
    return [tuple(name.split(".")[1:]) for name in imports(path) if name.split(".")[0] == "swimstream"]


def ids(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_a_room_imports_only_rooms_above_it(path: Path) -> None:
    room = room_of(path)
    if room in ("__init__", "__main__"):
        return
    for name in ours(path):
        if not name:  # the package itself: its name and version, for the outermost room only
            assert room == "cli", f"{path} imports the public face"
            continue
        assert ROOMS.index(name[0]) <= ROOMS.index(room), f"{path} imports {'.'.join(name)}, which lies below it"


@pytest.mark.parametrize("path", [path for path in FILES if path.parent.parent.name == "core"], ids=ids)
def test_the_rooms_of_the_core_do_not_know_each_other(path: Path) -> None:
    room = path.parent.name
    for name in ours(path):
        if name[0] == "core" and name[1] in CORE_ROOMS:
            assert name[1] == room, f"{path} imports {'.'.join(name)}"


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) in PURE], ids=ids)
def test_the_core_has_no_clock_no_socket_and_no_randomness_of_its_own(path: Path) -> None:
    for name in imports(path):
        assert name.split(".")[0] not in CLOCKS_AND_SOCKETS, f"{path} imports {name}"
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("hash", "id"), f"{path}:{node.lineno} calls {node.func.id}(), which is salted"
        is_random = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "random"
        assert not is_random, f"{path} uses the global random"


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) == "core"], ids=ids)
def test_no_set_order_reaches_an_effect(path: Path) -> None:
    """A loop over a set literal, a set call or a set operation must be sorted first."""
    for node in ast.walk(ast.parse(path.read_text())):
        loops = []
        if isinstance(node, ast.For):
            loops = [node.iter]
        elif isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp):
            loops = [generator.iter for generator in node.generators]
        for loop in loops:
            is_set = isinstance(loop, ast.Set | ast.SetComp) or (
                isinstance(loop, ast.Call) and isinstance(loop.func, ast.Name) and loop.func.id in ("set", "frozenset")
            )
            assert not is_set, f"{path}:{loop.lineno} iterates over a set"


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_files_and_functions_hold_one_idea(path: Path) -> None:
    source = path.read_text()
    assert source.count("\n") <= FILE_LINES_MAX, f"{path} has more than {FILE_LINES_MAX} lines"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0].lineno  # a signature says much in many lines, but does nothing
            lines = (node.end_lineno or first) - first + 1
            assert lines <= FUNCTION_LINES_MAX, f"{path}:{node.lineno} {node.name} has {lines} lines"


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_every_module_and_public_class_says_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{path} has no docstring"
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{path}:{node.lineno} {node.name} has no docstring"


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_nothing_silenced_goes_without_a_reason(path: Path) -> None:
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        for mark in ("noqa", "type: ignore"):
            if f"# {mark}" in line:
                assert "  # " in line.split(f"# {mark}", 1)[1], f"{path}:{number}: say why after the {mark}"
