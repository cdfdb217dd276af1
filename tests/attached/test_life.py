"""An attached process and the life of its copies: frozen, stalled, failed for good, handed over."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import attrs
import pytest

from swimstream.errors import WorkerStopped
from swimstream.model.identity import InstanceId
from swimstream.model.status import ErrorClass, InstanceState, InstanceStatus
from swimstream.peer import NO_LOGS
from swimstream.runtime.replies import Found
from tests.attached.plain import Plain
from tests.attached.schema import check_heard
from tests.attached.stage import WAIT_S, job, peer_at, python_worker, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from swimstream.model.job import JobSpec
    from swimstream.peer import Peer
    from swimstream.runners.context import OperatorContext
    from swimstream.runtime.view import View

INSTANCE = InstanceId("job", "op", 0)


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    made = peer_at(tmp_path / "w4.sock")
    yield made
    with contextlib.suppress(WorkerStopped):
        made.stop(leave=False)


@pytest.fixture
def client(peer: Peer, tmp_path: Path) -> Iterator[Plain]:
    made = Plain(str(tmp_path / "w4.sock"))
    yield made
    made.close()
    check_heard(made)


def run(client: Plain, peer: Peer, spec: JobSpec, **attached: object) -> dict[str, Any]:
    """Attach, have the job executed, and say that its instance runs; return which copy that is."""
    assert client.ask("attach", protocol=1, kinds=["count"], **attached)["ok"]
    peer.submit(spec)
    order = client.order("start")
    copy = {"instance": order["instance"], "epoch": order["epoch"]}
    assert client.ask("report", **copy, state="running")["ok"]
    return copy


def status_of(view: View) -> InstanceStatus | None:
    return view.status_by_instance.get(INSTANCE)


def has(**wanted: object) -> Callable[[View], bool]:
    """Return whether the status of the instance holds that."""

    def look(view: View) -> bool:
        status = status_of(view)
        return status is not None and all(getattr(status, name) == value for name, value in wanted.items())

    return look


def test_without_the_ticks_that_it_promised_its_copies_are_frozen_until_it_ticks_again(
    peer: Peer, client: Plain
) -> None:
    run(client, peer, job(), frozen_after_s=0.4)
    until(peer, has(state=InstanceState.FROZEN))
    ticking = peer._running().views.when(lambda view: Found(None) if has(state=InstanceState.RUNNING)(view) else None)
    ticked = 0
    while not ticking.is_settled:
        assert client.ask("tick")["ok"]
        ticked += 1
    runner = peer._runner
    assert runner is not None
    assert runner._ticks.count == ticked, "who looks too late takes it for alive, too: that alone would prove nothing"


def test_who_promises_no_ticks_is_never_frozen(peer: Peer, client: Plain) -> None:
    run(client, peer, job())
    assert peer._running()._freezes is None


@pytest.mark.parametrize(("frozen_after_s", "tick_s"), [(None, 0.25), (8, 0.25), (0.4, 0.1)])
def test_how_often_to_tick_follows_from_the_promise(client: Plain, frozen_after_s: float | None, tick_s: float) -> None:
    answer = client.ask("attach", protocol=1, kinds=["count"], frozen_after_s=frozen_after_s)
    assert answer["tick_s"] == pytest.approx(tick_s)


def test_a_copy_that_makes_no_progress_though_input_waits_is_stalled_until_it_goes_on(
    peer: Peer, client: Plain
) -> None:
    spec = job()
    (operator,) = spec.operators
    copy = run(client, peer, attrs.evolve(spec, operators=(attrs.evolve(operator, stall_after_s=0.2),)))
    assert client.ask("report", **copy, backlog=3, watermark_ms=1_000)["ok"]
    until(peer, has(state=InstanceState.STALLED, backlog=3, watermark_ms=1_000))
    assert client.ask("report", **copy, progress=1, busy_s=3_600)["ok"]
    until(peer, has(state=InstanceState.RUNNING, progress=1))


def test_a_failure_that_would_come_again_is_told_as_one(peer: Peer, client: Plain) -> None:
    copy = run(client, peer, job())
    assert client.ask("report", **copy, state="failed", error="fatal", cause="no such column")["ok"]
    until(peer, lambda view: INSTANCE in view.plan.directives.quarantined)
    status = status_of(peer.view())
    assert status is not None
    assert (status.error, status.cause) == (ErrorClass.FATAL, "no such column")


def test_who_leaves_has_its_copies_run_elsewhere_before_they_are_stopped(peer: Peer, client: Plain) -> None:
    copy = run(client, peer, job())
    other = python_worker("w1", seeds=(str(peer.address),))

    @other.operator("count")
    def count(context: OperatorContext) -> None:
        context.wait_cancelled(WAIT_S)

    with other:
        until(other, lambda view: INSTANCE in view.plan.assignments)
        asked = client.send("leave")
        stop = client.order("stop")
        assert (stop["instance"], stop["epoch"]) == (copy["instance"], copy["epoch"])
        held = other.view().plan.assignments[INSTANCE]
        assert (held.run.name, held.epoch > copy["epoch"]) == ("w1", True)
        assert client.ask("report", **copy, state="stopped")["ok"]
        assert client.answer(asked)["ok"]
        peer.stopped().wait(WAIT_S)


def test_of_what_an_attached_process_prints_nothing_is_kept(peer: Peer, client: Plain) -> None:
    run(client, peer, job())
    until(peer, has(state=InstanceState.RUNNING))
    answer = client.ask("logs", instance=str(INSTANCE), patience_s=WAIT_S)
    assert answer["error"] == f"logs: w4 keeps no output of its instances, since {NO_LOGS}"
