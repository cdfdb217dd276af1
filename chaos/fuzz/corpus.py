"""Real packets, and what can be done to them: a message of each kind, with fields put in the place of others."""

from __future__ import annotations

import copy
import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from swimstream.wire.cbor import decode_item_untrusted, decode_sequence_untrusted, encode_item

if TYPE_CHECKING:
    from chaos.fuzz.draw import Draw
    from chaos.fuzz.scenes import Scene

GOLDEN = Path(__file__).parents[2] / "tests" / "wire" / "golden"
MESSAGES_MAX = 4
CHANGES_MAX = 3
STRANGE: tuple[object, ...] = (
    *(0, 1, 2, 3, 255, 2**20, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1, -1, -(2**63)),
    *(True, False, None, 0.5, math.nan, math.inf),
    *("", "a", "b", "c", "x", "op", "map", "é", "\n", "x" * 64, "x" * 65, "10.0.0.9", "::1", "seed.example.org"),
    *(b"", b"x", b"x" * 65, [], [[]], [1], {}, {"a": 1}, {"": [[]]}),
)
"""Values at and beyond the edge of what some field may hold."""


@cache
def golden_packets() -> tuple[bytes, ...]:
    """Return the packets that are kept for compatibility: one of each kind."""
    lines = (path.read_text().splitlines() for path in sorted(GOLDEN.rglob("*.hex")))
    return tuple(bytes.fromhex("".join(line for line in each if not line.startswith("#"))) for each in lines)


@cache
def golden_messages() -> tuple[bytes, ...]:
    """Return the messages of the golden packets."""
    return tuple(
        encode_item(item)
        for packet in golden_packets()
        for item in list(decode_sequence_untrusted(packet, start=1, items_max=100))[1:]
    )


def lore_of(scene: Scene) -> tuple[object, ...]:
    """Return values that mean something to this very node: a hit needs the right numbers."""
    plan, mark = scene.node.plan, scene.node.mark
    names = [name for member in scene.node.members() for name in (member.run.name, member.run.boot)]
    return (*names, plan.cluster_id, plan.index, plan.index + 1, mark.term, mark.term + 1, "job", "op", scene.name)


def mutant(draw: Draw, lore: tuple[object, ...]) -> bytes:
    """Return a message of any kind with up to `CHANGES_MAX` changes, encoded."""
    item = decode_item_untrusted(draw.pick(golden_messages()))
    assert isinstance(item, list), "a message is an array"
    for _ in range(draw.below(CHANGES_MAX + 1)):
        _change(item, draw, lore)
    return encode_item(item)


def packet(draw: Draw, scene: Scene, lore: tuple[object, ...]) -> bytes:
    """Return a packet of mutants. Mostly in the name of a member and of the right cluster, else it would go nowhere."""
    cluster_id = scene.node.plan.cluster_id if draw.below(8) else draw.pick((0, 1, 2**64 - 1))
    name = scene.friend if draw.below(4) else draw.pick(("a", "b", "c", "d", "x", scene.name))
    boot = 1_000 if draw.below(8) else draw.pick((0, 999, 1_001, 2**63 - 1))
    messages = b"".join(mutant(draw, lore) for _ in range(1 + draw.below(MESSAGES_MAX)))
    return b"\x01" + encode_item([cluster_id, name, boot]) + messages


def _strange(draw: Draw) -> object:
    """Return one of the values of its own: the lists among them may be changed in turn, and must not be the next's."""
    return copy.deepcopy(draw.pick(STRANGE))


def _change(item: list[object], draw: Draw, lore: tuple[object, ...]) -> None:
    """Put something else in the place of a field, or one too many, or one too few."""
    place = draw.below(len(item)) if item else 0
    inner = item[place] if item else None
    if isinstance(inner, list) and draw.below(4):
        _change(inner, draw, lore)
        return
    match draw.below(8):
        case 0 if item:
            del item[place]
        case 1 if item:
            item.insert(place, copy.deepcopy(item[place]))
        case 2:
            item.append(_strange(draw))
        case 3 if item:
            item[place] = int.from_bytes(draw.take(8))
        case 4 if item:
            item[place] = _strange(draw)
        case _ if item:
            item[place] = draw.pick(lore)
        case _:
            item.append(draw.pick(lore))
