"""CBOR items (RFC 8949) from and to bytes, within limits. What an item means is `codec.py`'s business.

Encoding is deterministic (RFC 8949 §4.2.3: shortest forms, map keys by length, then bytewise), so that equal
values make equal bytes. Decoding takes only what encoding can make: no tags, no indefinite lengths, no repeated
keys. The decoder reads from memory, so a claimed length that the data does not hold fails before it is allocated;
an item in memory is at most about 70 times its encoding (an array of empty maps), whatever the bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import NoReturn

import cbor2

from swimstream.errors import WireError

DEPTH_MAX = 16
"""Our own messages nest 11 deep (a list in a parameter of a snapshot's job); the rest is room for newer peers."""


def encode_item(item: object) -> bytes:
    """Return the deterministic encoding of lists, text, bytes, integers, floats, booleans and maps of them."""
    return cbor2.dumps(item, canonical=True)


def decode_item_untrusted(data: bytes) -> object:
    """Return the one item that `data` holds; raise `WireError` on anything else, or anything more."""
    items = list(decode_sequence_untrusted(data, start=0, items_max=1))
    if not items:
        raise WireError("item: expected one, got no bytes")
    return items[0]


def decode_sequence_untrusted(data: bytes, *, start: int, items_max: int) -> Iterator[object]:
    """Yield the items of `data[start:]`, each decoded when asked for; raise `WireError` where they end badly."""
    stream = io.BytesIO(data)
    stream.seek(start)
    decode = cbor2.CBORDecoder(
        stream,
        semantic_decoders=_REFUSE_EVERY_TAG,
        max_depth=DEPTH_MAX,
        allow_indefinite=False,
        allow_duplicate_keys=False,
        strict_hashable_types=True,
    ).decode
    left = items_max
    end = len(data)
    while stream.tell() < end:
        if left == 0:
            raise WireError(f"items: expected at most {items_max}")
        left -= 1
        try:
            item: object = decode()
        except Exception as error:
            # Hostile bytes have raised a dozen different types in decoders of this kind, MemoryError and
            # RecursionError among them; here they all mean the same.
            raise WireError(f"item {items_max - left}: expected plain CBOR, got {type(error).__name__}") from error
        yield item


def _refuse_tag(_decoder: object, _immutable: bool, /) -> NoReturn:  # noqa: FBT001  # cbor2 calls it
    raise WireError("tags are not used on this wire")


class _RefuseEveryTag(dict[int, Callable[[object, bool], NoReturn]]):
    """Answers for every tag: left to itself, the decoder compiles regular expressions and parses e-mail."""

    def __missing__(self, tag: int) -> Callable[[object, bool], NoReturn]:
        return _refuse_tag


_REFUSE_EVERY_TAG = _RefuseEveryTag()
