"""What `import swimstream` gives: every public name, and no more work than what is asked for needs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import swimstream

HEAVY = ("swimstream.core.node", "swimstream.worker", "swimstream.runtime.thread")


@pytest.mark.parametrize("name", swimstream.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(swimstream, name) is not None
    assert name in dir(swimstream)


def test_what_is_public_is_what_can_be_loaded() -> None:
    assert sorted(name for names in swimstream._HOMES.values() for name in names) == sorted(swimstream.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Wroker'"):
        getattr(swimstream, "Wroker")  # noqa: B009  # a checker would see through the plain form


def test_an_operators_process_loads_no_peer() -> None:
    program = (
        "import sys, swimstream.runners.child; from swimstream import OperatorContext, operator; "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
