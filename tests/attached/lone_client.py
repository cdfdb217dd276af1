"""A process of its own that attaches and runs what it is given until it is killed: `lone_client PATH KIND`.

Prints `attached`, then each order.
"""

from __future__ import annotations

import json
import sys

from tests.attached.plain import Plain


def main() -> None:
    client = Plain(sys.argv[1])
    assert client.ask("attach", protocol=1, kinds=[sys.argv[2]], capacity=8)["ok"]
    say("attached")
    while True:
        while not client.orders:
            client.read_on()
        order = client.orders.pop(0)
        say(json.dumps(order))
        copy = {name: order.get(name) for name in ("instance", "epoch")}
        if order["order"] == "start":
            client.ask("report", **copy, state="running")
        elif order["order"] == "stop":
            client.ask("report", **copy, state="stopped")


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
