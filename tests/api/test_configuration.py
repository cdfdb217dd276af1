"""What is documented of every knob of the protocol's pace: its bounds are those that are held."""

from __future__ import annotations

import ast
import inspect

import attrs
import pytest

from swimstream import config
from swimstream.config import PRESETS, Timing
from swimstream.errors import UsageError


def documented() -> dict[str, str]:
    """Return the text below each field of `Timing`."""
    (found,) = [
        node
        for node in ast.parse(inspect.getsource(config)).body
        if isinstance(node, ast.ClassDef) and node.name == "Timing"
    ]
    texts = {}
    for field, text in zip(found.body, found.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            assert isinstance(field.target, ast.Name)
            texts[field.target.id] = " ".join(str(text.value.value).split())
    return texts


NAMES = [field.name for field in attrs.fields(Timing)]


def bounds(name: str) -> tuple[float, float, str]:
    """Return the lowest and the highest value that a field takes, as its refusal tells them, and that text."""
    with pytest.raises(UsageError) as refusal:
        Timing(**{name: -1})
    text = str(refusal.value).partition("expected ")[2].partition(", got")[0]
    low, _, high = text.partition(" to ")
    return float(low), float(high.split()[0]), text


@pytest.mark.parametrize("name", NAMES)
def test_every_field_tells_its_bounds(name: str) -> None:
    low, high, _ = bounds(name)
    assert f"{low:,g} to {high:,.0f}" in documented()[name]


@pytest.mark.parametrize("name", NAMES)
def test_the_bounds_are_held(name: str) -> None:
    low, high, _ = bounds(name)
    for beyond in (low - 1, high + 1, "1", None, True, float("nan")):
        with pytest.raises(UsageError, match=f"^{name}: expected"):
            Timing(**{name: beyond})  # type: ignore[arg-type]  # the point of it


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_the_presets_follow_their_own_advice(preset: str) -> None:
    timing = PRESETS[preset]
    assert timing.probe_timeout_s < timing.probe_interval_s
    assert timing.accept_timeout_s > timing.sync_interval_s
    assert timing.heartbeat_interval_s < timing.election_timeout_s_min
