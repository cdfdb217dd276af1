"""docs/control-port.schema.json as tests use it: what the peer says must be in it to the last key."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    from tests.attached.plain import Message, Plain

PATH = Path(__file__).parents[2] / "docs" / "control-port.schema.json"
Schema = dict[str, Any]


def check_request(message: Message) -> None:
    """Fail unless it is one of the verb that it names."""
    _check(f"request-{message['verb']}", message)


def check_answer(message: Message, *, verb: str) -> None:
    """Fail unless it is an answer to that verb, and holds nothing that is not described."""
    _check(f"answer-{verb}" if message.get("ok") else "refused", message, closed=True)


def check_order(message: Message) -> None:
    """Fail unless it is an order, and holds nothing that is not described."""
    _check(f"order-{message['order']}", message, closed=True)


def check_heard(client: Plain) -> None:
    """Check everything that was said on a connection, by both sides; what was refused may have been wrong."""
    asked = {message["id"]: message for mark, message in client.heard if mark == ">"}
    for mark, message in client.heard:
        if mark == "<" and "order" in message:
            check_order(message)
        elif mark == "<":
            request = asked[message["id"]]
            check_answer(message, verb=request["verb"])
            if message["ok"]:
                check_request(request)


def check_schema() -> None:
    """Fail unless the file is a schema."""
    Draft202012Validator.check_schema(json.loads(PATH.read_text()))


def is_request(message: object) -> bool:
    """Return whether the schema takes it for a request."""
    return _validator("request", closed=False).is_valid(message)


def _check(name: str, message: Message, *, closed: bool = False) -> None:
    _validator(name, closed=closed).validate(message)


@functools.cache
def _validator(name: str, *, closed: bool) -> Draft202012Validator:
    definitions: Schema = json.loads(PATH.read_text())["$defs"]
    if closed:
        _close(definitions)
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": definitions})


def _close(schema: object) -> None:
    """Forbid what is not described: readers must not mind it, but the page must tell it."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
        for inner in schema.values():
            _close(inner)
    elif isinstance(schema, list):
        for inner in schema:
            _close(inner)
