"""Checks on a copy of the tree: pytest on aimed tests, and worlds of the simulator, until one is red."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import trio

from chaos.peers.peer import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chaos.mutants.mutant import Mutant, Worlds

COPIED = ("swimstream", "tests", "chaos", "examples", "pyproject.toml")
CHECKS_S_MAX = 600.0
"""All checks of a mutant together may take so long."""
WORLDS_AT_ONCE = (4, 8, 16, 32)
"""Seeds of one call: a breach early in the list ends it early. The last number goes on."""
OUTPUT_SHOWN_CHARS = 2_000
GREEN, RED = 0, 1
"""Exit statuses of pytest and of `chaos.worlds`; all others are no verdict."""


@attrs.frozen(kw_only=True)
class Finding:
    """What the checks of one tree came to."""

    red: str = ""
    """The check that turned red."""
    error: str = ""
    """Why there is no verdict: the tree does not even load, or time was over."""
    took_s: float


@attrs.frozen(kw_only=True)
class Step:
    """One command. `says` finds in what it printed which check turned red."""

    command: tuple[str, ...]
    says: re.Pattern[str]
    otherwise: str
    """What to call it where it does not say."""


FAILED_TEST = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
BROKEN_WORLD = re.compile(r"^(\S+, seed \d+), .*\n  (.*)$", re.MULTILINE)


def copy_tree(root: Path, to: Path) -> None:
    """Copy what the checks need."""
    for name in COPIED:
        if (root / name).is_dir():
            shutil.copytree(root / name, to / name, ignore=shutil.ignore_patterns("__pycache__", "*.svg"))
        else:
            shutil.copy2(root / name, to / name)


def steps_of(mutant: Mutant) -> Iterator[Step]:
    """Yield the commands of a mutant's checks: aimed tests first."""
    if mutant.tests:
        yield aimed_step(mutant.tests)
    for worlds in mutant.worlds:
        yield from world_steps(worlds)


def aimed_step(tests: Sequence[str]) -> Step:
    """Return the command for some tests; it ends at the first red one."""
    command = (sys.executable, "-m", "pytest", "-x", "-q", "--tb=line", "-rfE", "-p", "no:cacheprovider", *tests)
    return Step(command=command, says=FAILED_TEST, otherwise="a test that did not end in time")


def world_steps(worlds: Worlds) -> Iterator[Step]:
    """Yield commands for the seeds of a story, a few worlds at first and more later."""
    first, end, turn = worlds.first, worlds.first + worlds.seeds, 0
    while first < end:
        seeds = min(WORLDS_AT_ONCE[min(turn, len(WORLDS_AT_ONCE) - 1)], end - first)
        options = ("--story", worlds.story, "--first", str(first), "--seeds", str(seeds), "--processes", "1")
        command = (sys.executable, "-m", "chaos.worlds", *options)
        yield Step(command=command, says=BROKEN_WORLD, otherwise=f"{worlds.story}, a seed from {first} on")
        first, turn = first + seeds, turn + 1


async def judge_tree(tree: Path, steps: Iterator[Step], *, limit_s: float = CHECKS_S_MAX) -> Finding:
    """Run the steps in `tree` until one is red or the time is over."""
    began_at = time.monotonic()
    with trio.move_on_after(limit_s) as scope:
        for step in steps:
            status, output = await run_command(step.command, cwd=tree)
            took_s = time.monotonic() - began_at
            if status == RED:
                return Finding(red=red_check(step, output), took_s=took_s)
            if status != GREEN:
                return Finding(error=f"status {status}: {output[-OUTPUT_SHOWN_CHARS:]}", took_s=took_s)
    took_s = time.monotonic() - began_at
    return Finding(error="time is over" if scope.cancelled_caught else "", took_s=took_s)


def red_check(step: Step, output: str) -> str:
    """Return what a red step says turned it red."""
    found = step.says.search(output)
    return ": ".join(part for part in found.groups() if part) if found else step.otherwise


async def run_command(command: Sequence[str], *, cwd: Path) -> tuple[int, str]:
    """Run to the end, or kill the process and all that it started; return exit status and what it printed."""
    environment = {**os.environ, "PYTHONPATH": str(cwd), "PYTHONDONTWRITEBYTECODE": "1"}
    with tempfile.TemporaryFile() as output:
        # From the main thread, not by trio's: Linux ends a leashed process along with the *thread* that started it.
        process = subprocess.Popen(  # noqa: S603, ASYNC220  # our own commands; starting one takes milliseconds
            [sys.executable, "-m", "chaos.mutants.leash", *command],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = await trio.to_thread.run_sync(process.wait, abandon_on_cancel=True)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        output.seek(0)
        return status, output.read().decode(errors="replace")


async def check_that_copy_is_used(tree: Path) -> None:
    """Raise `AssertionError` if Python would load the library from elsewhere: then every mutant would survive."""
    code = "import swimstream, json; print(json.dumps(swimstream.__file__))"
    _, output = await run_command((sys.executable, "-c", code), cwd=tree)
    assert Path(json.loads(output)).is_relative_to(tree), f"expected the library of {tree}, got {output}"


def trees(count: int, scratch: Path, root: Path = ROOT) -> list[Path]:
    """Return so many copies of the tree."""
    made = [scratch / str(number) for number in range(count)]
    for tree in made:
        tree.mkdir()
        copy_tree(root, tree)
    return made
