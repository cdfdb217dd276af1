"""Numbers in sentences for people."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return how many of something there are, in words: 1 instance, 2 instances."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
