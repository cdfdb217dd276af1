"""Reads a worker's control port into what the demo sees."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import attrs

from swimstream.cli.demo.picture import SeenDecision, SeenMember, SeenOperator, Sight
from swimstream.errors import SwimstreamError
from swimstream.runtime.control_client import ControlClient

if TYPE_CHECKING:
    from pathlib import Path

    from swimstream.model.job import JobSpec

ANSWER_TIMEOUT_S = 2.0
SUBMIT_TIMEOUT_S = 70.0
"""Longer than a worker itself tries."""

Json = dict[str, Any]  # Any: the control port's answers, whose shape `_sight` checks by use


class SightReader:
    """One worker's control port, connected again when it breaks. One thread only."""

    def __init__(self, control: Path) -> None:
        """Prepare; nothing is connected yet."""
        self._control = control
        self._client: ControlClient | None = None

    def read(self) -> Sight | None:
        """Return what the worker knows now, or None if it does not say."""
        try:
            if self._client is None:
                self._client = ControlClient(self._control, timeout_s=ANSWER_TIMEOUT_S)
            return _sight(self._client.ask("snapshot"), at=time.monotonic())
        except (SwimstreamError, OSError, KeyError, TypeError, ValueError):
            self.close()
            return None

    def close(self) -> None:
        """Hang up."""
        if self._client is not None:
            self._client.close()
            self._client = None


def ask_submit(control: Path, job: JobSpec) -> None:
    """Submit the job and wait until it is committed. Raise `SwimstreamError`."""
    with ControlClient(control, timeout_s=SUBMIT_TIMEOUT_S) as client:
        client.ask("submit", job=attrs.asdict(job))


def _sight(answer: Json, *, at: float) -> Sight:
    return Sight(
        worker=str(answer["worker"]["name"]),
        boot=int(answer["worker"]["boot"]),
        at=at,
        leader=str(answer["leader"]["name"]),
        term=int(answer["leader"]["term"]),
        members=tuple(map(_member, answer["members"])),
        operators=tuple(map(_operator, answer["operators"])),
        decisions=tuple(map(_decision, answer["decisions"])),
    )


def _member(row: Json) -> SeenMember:
    return SeenMember(
        name=str(row["name"]),
        boot=int(row["boot"]),
        incarnation=int(row["incarnation"]),
        state=str(row["state"]),
        site=str(row["site"]),
        for_s=float(row["for_s"]),
    )


def _operator(row: Json) -> SeenOperator:
    return SeenOperator(
        instance=str(row["instance"]),
        epoch=int(row["epoch"]),
        worker=str(row["worker"]),
        boot=int(row["boot"]),
        state=str(row["state"]),
        progress=int(row["progress"]),
        cause=str(row["cause"]),
    )


def _decision(row: Json) -> SeenDecision:
    return SeenDecision(
        index=int(row["index"]), term=int(row["term"]), what=str(row["what"]), reason=str(row["reason"])
    )
