"""A worker without the library: sockets and JSON, written from docs/control-port.md alone. Blocking, one thread."""

from __future__ import annotations

import itertools
import json
import socket
import time
from typing import Any

Message = dict[str, Any]


class Plain:
    """One connection. `ask` answers, and keeps the orders that come in between for `order`."""

    def __init__(self, where: str | tuple[str, int], *, timeout_s: float = 60.0) -> None:
        self.socket = socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET)
        self.socket.settimeout(timeout_s)
        self.socket.connect(where)
        self.file = self.socket.makefile("rb")
        self.numbers = itertools.count(1)
        self.orders: list[Message] = []
        self.answers: dict[int, Message] = {}
        self.sent_at: dict[int, float] = {}
        self.anchor = time.monotonic()
        """When the newest request was sent that has been answered: from then on fences count."""
        self.heard: list[tuple[str, Message]] = []
        """Everything, with `>` or `<`: for tests of the schema."""

    def send(self, verb: str, **fields: object) -> int:
        number = next(self.numbers)
        self.sent_at[number] = time.monotonic()
        self.write({"verb": verb, "id": number, **fields})
        return number

    def write(self, message: Message) -> None:
        self.heard.append((">", message))
        self.socket.sendall(json.dumps(message).encode() + b"\n")

    def read(self) -> Message:
        line = self.file.readline()
        if not line.endswith(b"\n"):
            raise EOFError("the peer has hung up")
        message: Message = json.loads(line)
        self.heard.append(("<", message))
        return message

    def read_on(self) -> None:
        message = self.read()
        if "order" in message:
            self.orders.append(message | {"anchor": self.anchor})
        elif isinstance(message.get("id"), int):
            self.answers[message["id"]] = message
            self.anchor = max(self.anchor, self.sent_at.get(message["id"], self.anchor))

    def answer(self, number: int) -> Message:
        while number not in self.answers:
            self.read_on()
        return self.answers.pop(number)

    def ask(self, verb: str, **fields: object) -> Message:
        return self.answer(self.send(verb, **fields))

    def order(self, kind: str) -> Message:
        """Return the next order of that kind; others stay."""
        while not (found := [each for each in self.orders if each["order"] == kind]):
            self.read_on()
        self.orders.remove(found[0])
        return found[0]

    def close(self) -> None:
        self.file.close()
        self.socket.close()
