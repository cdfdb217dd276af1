"""Netem's words read back: what `tc qdisc … netem` takes, as far as `Fault` can say it.

Units are tc's: us, ms and s; bit, kbit, mbit and gbit a second; percent. A correlation is refused unless it is 0.
"""

from __future__ import annotations

import functools

from chaos.net.fault import Fault
from swimstream.errors import UsageError

TIMES_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
RATES_KBIT = {"kbit": 1.0, "mbit": 1e3, "gbit": 1e6, "bit": 0.001}
FAULTS_KEPT_MAX = 4_096
"""How many faults are remembered, since the same words come for many links at once."""


@functools.lru_cache(maxsize=FAULTS_KEPT_MAX)
def read_words(text: str) -> Fault:
    """Return the fault that these words say; raise `UsageError` naming the first that says none."""
    reader = _Words(text)
    fields: dict[str, object] = {}
    while reader.left:
        word = reader.take()
        match word:
            case "limit" | "gap":
                fields[word] = reader.whole(word)
            case "delay":
                fields["delay_ms"] = reader.amount(word, TIMES_MS)
                if reader.is_amount(TIMES_MS):
                    fields["jitter_ms"] = reader.amount(word, TIMES_MS)
                reader.no_correlation(word)
            case "distribution":
                fields[word] = reader.take()
            case "loss":
                reader.loss(fields)
            case "duplicate" | "corrupt" | "reorder":
                fields[word] = reader.percent(word)
                reader.no_correlation(word)
            case "rate":
                fields["rate_kbit"] = round(reader.amount(word, RATES_KBIT))
            case _:
                raise UsageError(f"expected a word of netem, got {word!r}")
    return Fault.from_table(fields, where="words")


class _Words:
    """The words that are left."""

    def __init__(self, text: str) -> None:
        self.left = text.split()

    def take(self) -> str:
        if not self.left:
            raise UsageError("expected another word of netem at the end")
        return self.left.pop(0)

    def is_amount(self, units: dict[str, float]) -> bool:
        return bool(self.left) and self.left[0][0].isdigit() and any(self.left[0].endswith(unit) for unit in units)

    def amount(self, what: str, units: dict[str, float]) -> float:
        """Take a number with its unit; the longest unit that fits is meant."""
        word = self.take()
        for unit, mult in sorted(units.items(), key=lambda item: -len(item[0])):
            if word.endswith(unit):
                return self._number(what, word.removesuffix(unit)) * mult
        raise UsageError(f"{what}: expected a number with one of {', '.join(units)}, got {word!r}")

    def percent(self, what: str) -> float:
        return self.amount(what, {"%": 1.0})

    def whole(self, what: str) -> int:
        word = self.take()
        if not word.isdigit():
            raise UsageError(f"{what}: expected a whole number, got {word!r}")
        return int(word)

    def no_correlation(self, what: str) -> None:
        if self.is_amount({"%": 1.0}) and self.percent(what):
            raise UsageError(f"{what}: expected no correlation: the kernel's are broken, bursts are said by gemodel")

    def loss(self, fields: dict[str, object]) -> None:
        if self.left and self.left[0] == "gemodel":
            self.take()
            burst = [self.percent("loss gemodel")]
            while self.is_amount({"%": 1.0}):
                burst.append(self.percent("loss gemodel"))
            fields["burst"] = [*burst, 100.0 - burst[0]] if len(burst) == 1 else burst
            return
        if self.left and self.left[0] == "random":
            self.take()
        fields["loss"] = self.percent("loss")
        self.no_correlation("loss")

    def _number(self, what: str, word: str) -> float:
        try:
            return float(word)
        except ValueError:
            raise UsageError(f"{what}: expected a number, got {word!r}") from None
