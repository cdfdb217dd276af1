"""Real stream software as operators, unchanged."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "commands" / "run.py"
needs_jq = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
needs_bytewax = pytest.mark.skipif(importlib.util.find_spec("bytewax") is None, reason="Bytewax is not installed")


@needs_jq
@pytest.mark.parametrize("counter", ["coreutils", pytest.param("bytewax", marks=needs_bytewax)])
def test_commands_compute_what_a_plain_program_does(counter: str) -> None:
    told = subprocess.run(
        [sys.executable, str(EXAMPLE), "--with", counter], capture_output=True, text=True, timeout=100, check=False
    )
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.splitlines()[0] == "words/clean[1] printed: cleaning part 1 of 3"
    assert told.stdout.splitlines()[-1] == "as expected"
