"""The peer's own thread: the driver runs here and nowhere else, and no user code runs here.

Other threads hand commands in without waiting for the peer, and read what it has published without waiting either.
"""

from __future__ import annotations

import itertools
import logging
import secrets
import threading
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import attrs
import trio

from swimstream.config import NodeConfig
from swimstream.core.boots import boot_above
from swimstream.core.effects import Saved
from swimstream.core.node import Node
from swimstream.errors import DeliveryFailed, JoinFailed, SwimstreamError, UsageError, WorkerStopped
from swimstream.events import ForeignCluster, IsolationChanged, NameConflict, QueryReceived, Superseded
from swimstream.model.identity import Address, Run
from swimstream.model.talk import Send
from swimstream.runtime import clock
from swimstream.runtime.binding import bind_pair, is_wildcard, resolve
from swimstream.runtime.driver import Driver
from swimstream.runtime.key_file import KeyFile
from swimstream.runtime.replies import Reply
from swimstream.runtime.resolver import Resolver
from swimstream.runtime.subscriptions import Subscriptions
from swimstream.runtime.trio_thread import TrioThread
from swimstream.runtime.udp import UdpSocket
from swimstream.runtime.view import View, Views
from swimstream.runtime.worries import Worries

if TYPE_CHECKING:
    from collections.abc import Callable

    from swimstream.core.effects import StartInstance
    from swimstream.core.participant import Participant
    from swimstream.events import Event
    from swimstream.model.changes import Command
    from swimstream.model.job import JobSpec
    from swimstream.model.talk import AnswerTo, Ask, QueryResult, Question, Say, SetTags
    from swimstream.runtime.faces import Durable, InstanceRunner
    from swimstream.runtime.reports import Reports
    from swimstream.runtime.storage import MemoryStorage, Storage
    from swimstream.runtime.ticks import FreezeWatch

log = logging.getLogger(__name__)

COMMANDS_MAX = 1_024


@attrs.frozen(kw_only=True)
class PeerSettings:
    """What a peer starts with."""

    bind: Address
    """May be a host name; port 0 picks a free one."""
    advertise: Address | None
    """May be a host name; port 0 means the bound one, and None the bound address."""
    node: NodeConfig
    """Its `advertise` is filled in once the port is known."""
    boot: int
    saved: Saved
    key_file: Path | None = None
    """Where the keys go when they are changed for the whole cluster."""


def with_memory(settings: PeerSettings, storage: Storage | MemoryStorage) -> PeerSettings:
    """Return `settings` with what `storage` holds, and a boot above every earlier one; `boot` is the time now."""
    saved = storage.load()
    boot = boot_above(saved, name=settings.node.name, now_ms=settings.boot)
    return attrs.evolve(settings, saved=saved, boot=boot)


def build_node(config: NodeConfig, settings: PeerSettings) -> Participant:
    """Return the real node."""
    rng = Random(secrets.randbits(64))
    return Node(config, boot=settings.boot, saved=settings.saved, rng=rng, now=clock.now())


class PeerThread:
    """One peer on a thread of its own. Methods may be called from any thread unless they say otherwise."""

    def __init__(
        self,
        settings: PeerSettings,
        *,
        storage: Durable,
        runner: InstanceRunner,
        reports: Reports,
        build: Callable[[NodeConfig, PeerSettings], Participant] = build_node,
        freezes: FreezeWatch | None = None,
    ) -> None:
        """Prepare; nothing runs before `start`. `freezes` watches whether the operators' loop turns."""
        self._settings = settings
        self._storage = storage
        self._runner = runner
        self._reports = reports
        self._build = build
        self._freezes = freezes
        self._thread = TrioThread(f"swimstream-{settings.node.name}", self._main)
        self._lock = threading.Lock()
        self._requests: dict[int, tuple[Reply[None], type[SwimstreamError]]] = {}
        self._queries: dict[int, Reply[QueryResult]] = {}
        self._numbers = itertools.count(1)
        self._leave_request = 0
        self._cause: SwimstreamError | None = None
        self._driver: Driver | None = None
        self._node: Participant | None = None
        self.address = settings.node.advertise
        """Where others reach the peer; final after `start`."""
        self.views = Views(View(run=Run(settings.node.name, settings.boot)))
        self.subscriptions = Subscriptions()
        self.serve: Callable[[Question], None] = _nobody
        """Given the questions that the driver's side of the library answers (peer's thread)."""
        self._worries = Worries(settings.node.name)
        self.ended: Reply[None] = Reply()
        """Settled when the peer has ended: fails with the cause unless it was asked to."""
        self._thread.ended.on_settled(self, self._finish)

    def start(self) -> None:
        """Bind and begin to drive; raise `UsageError` if the addresses cannot be used. Blocks shortly."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the peer to end without a goodbye; `ended` tells when."""
        self._thread.post(self._stop)

    def fail(self, cause: SwimstreamError) -> None:
        """Ask the peer to end because of `cause`."""
        self._cause = self._cause or cause
        self.stop()

    def join_thread(self, timeout_s: float) -> bool:
        """Wait for the thread to end; return whether it has."""
        return self._thread.join(timeout_s)

    def operator_started(self, start: StartInstance, pid: int) -> None:
        """Take note of an operator's process: of no use here, since this peer ends with its worker."""

    def join(self) -> Reply[None]:
        """Become a member; the reply raises `JoinFailed` when that is refused."""
        return self._command(lambda node, request, now: node.join(request, now=now), JoinFailed)

    def join_or_end(self) -> Reply[None]:
        """Become a member; the peer ends, for the same cause as the reply fails, when that is refused."""
        joined = self.join()

        def note() -> None:
            try:
                joined.result()
            except JoinFailed as error:
                self.fail(error)
            except SwimstreamError:
                pass  # it was stopped before it had joined

        joined.on_settled(self, note)
        return joined

    def submit(self, job: JobSpec) -> Reply[None]:
        """Have a well-formed `job` committed; the reply raises `UsageError` when it is refused."""
        return self._command(lambda node, request, now: node.submit(request, job, now=now), UsageError)

    def change(self, change: Command) -> Reply[None]:
        """Have a change of the plan committed; the reply raises `UsageError` when it is refused."""
        return self._command(lambda node, request, now: node.change(request, change, now=now), UsageError)

    def say(self, said: SetTags | Say | Send | AnswerTo) -> Reply[None]:
        """Say something; the reply raises `DeliveryFailed` for a message, and `UsageError` for what is refused."""
        refusal = DeliveryFailed if isinstance(said, Send) else UsageError
        return self._command(lambda node, request, now: node.say(request, said, now=now), refusal)

    def ask(self, said: Ask) -> Reply[QueryResult]:
        """Ask others; the reply raises `UsageError` when that is refused."""
        reply: Reply[QueryResult] = Reply()
        with self._lock:
            if len(self._queries) >= COMMANDS_MAX:
                raise UsageError(f"expected at most {COMMANDS_MAX} queries under way; wait for some replies first")
            request = next(self._numbers)
            self._queries[request] = reply
        self._post(lambda node, now: node.say(request, said, now=now))
        return reply

    def remove(self, name: str) -> Reply[None]:
        """Have a dead member taken for one that has left; the reply raises `UsageError` when that is refused."""
        return self._command(lambda node, request, now: node.remove(request, name, now=now), UsageError)

    def resize_council(self, seats: int) -> Reply[None]:
        """Have the council brought to so many seats; the reply raises `UsageError` when that is refused."""
        return self._command(lambda node, request, now: node.resize_council(request, seats, now=now), UsageError)

    def transfer_leadership(self, name: str) -> Reply[None]:
        """Have the worker of that name lead; the reply raises `UsageError` when that is refused."""
        return self._command(lambda node, request, now: node.transfer_leadership(request, name, now=now), UsageError)

    def recover_council(self, cluster_id: int) -> Reply[None]:
        """Put this worker in a lost council's place; the reply raises `UsageError` when that is refused."""
        return self._command(lambda node, request, now: node.recover_council(request, cluster_id, now=now), UsageError)

    def withdraw(self, within_s: float) -> Reply[None]:
        """Have others take over what runs here; settled when that is done, cannot be done, or after `within_s`."""
        return self._command(
            lambda node, request, now: node.withdraw(request, within_s=within_s, now=now), WorkerStopped
        )

    def leave(self) -> Reply[None]:
        """Say goodbye; the peer ends once it has been said."""

        def leave(node: Participant, request: int, now: float) -> None:
            self._leave_request = request
            node.leave(request, now=now)

        return self._command(leave, WorkerStopped)

    # --- the audience of the driver: peer's thread only -------------------------------------------

    def view_changed(self, view: View) -> None:
        """Publish `view`."""
        counters = {**view.counters, "events_dropped": self.subscriptions.events_dropped}
        self.views.publish(attrs.evolve(view, counters=counters))
        self._worries.look(counters, now=clock.now())

    def told(self, event: Event) -> None:
        """Publish `event`; being superseded ends the peer."""
        if isinstance(event, QueryReceived) and event.question.topic.startswith("_"):
            self.serve(event.question)
            return
        self.subscriptions.publish(event)
        if isinstance(event, Superseded):
            log.error("a later run of this worker's name has taken over by=%s address=%s", event.by, event.address)
            self._cause = WorkerStopped(f"a later run of this worker's name, {event.by}, took over at {event.address}")
            self._stop()
        elif isinstance(event, IsolationChanged):
            state = (
                "isolated: it cannot prove that a quorum stands, and runs nothing that runs at most once"
                if event.is_isolated
                else "not isolated any more"
            )
            log.warning("this worker is %s age_s=%.3f", state, event.age_s)
        elif isinstance(event, NameConflict):
            log.warning("another live process goes by this worker's name run=%s", event.run)
        elif isinstance(event, ForeignCluster):
            log.warning("a worker of another cluster was refused run=%s cluster=%x", event.peer, event.cluster_id)

    def answered(self, request: int, error: str) -> None:
        """Settle the command `request`."""
        with self._lock:
            held = self._requests.pop(request, None)
            asked = self._queries.pop(request, None)
        if request == self._leave_request:
            self._stop()
        if asked is not None:
            asked.fail(UsageError(error))
        if held is None:
            return
        reply, refusal = held
        if error:
            reply.fail(refusal(error))
        else:
            reply.succeed(None)

    def query_answered(self, request: int, result: QueryResult) -> None:
        """Settle the query `request`."""
        with self._lock:
            reply = self._queries.pop(request, None)
        if reply is not None:
            reply.succeed(result)

    # --- within -----------------------------------------------------------------------------------

    def _command(self, ask: Callable[[Participant, int, float], None], refusal: type[SwimstreamError]) -> Reply[None]:
        reply: Reply[None] = Reply()
        with self._lock:
            if len(self._requests) >= COMMANDS_MAX:
                raise UsageError(f"expected at most {COMMANDS_MAX} commands under way; wait for some replies first")
            request = next(self._numbers)
            self._requests[request] = (reply, refusal)
        self._post(lambda node, now: ask(node, request, now))
        return reply

    def _post(self, act: Callable[[Participant, float], None]) -> None:
        """Have `act` called with the node on the peer's thread; fail every request if that has ended."""

        def post() -> None:
            driver, node = self._driver, self._node
            assert driver is not None
            assert node is not None
            driver.post(lambda now: act(node, now))

        if not self._thread.post(post):
            self._fail_requests(self._cause or WorkerStopped("the worker has stopped"))

    def _stop(self) -> None:
        if self._driver is not None:
            self._driver.stop()

    async def _main(self, started: Callable[[], None]) -> None:
        settings = self._settings
        bound = bind_pair(resolve(settings.bind, field="bind"))
        udp = UdpSocket(bound.udp)
        try:
            self.address = _advertised(settings, bound.address)
            config = attrs.evolve(settings.node, advertise=self.address)
            resolver = Resolver(config.seeds, family=bound.udp.family, own=self.address)
            await resolver.resolve_all()
            self._node = self._build(config, settings)
            self._driver = Driver(
                self._node,
                udp=udp,
                resolver=resolver,
                storage=self._storage,
                key_store=KeyFile(settings.key_file),
                runner=self._runner,
                audience=self,
                reports=self._reports,
                clock=clock.now,
            )
            self._reports.on_first = self._wake_for_reports
            started()
            async with trio.open_nursery() as nursery:
                if self._freezes is not None:
                    nursery.start_soon(self._freezes.run, self._node)
                await self._driver.run(bound.tcp)
                nursery.cancel_scope.cancel()
        finally:
            udp.close()
            bound.tcp.close()

    def _wake_for_reports(self) -> None:
        if self._driver is not None:
            self._thread.post(self._driver.wake)

    def _finish(self) -> None:
        """Tell everybody that the peer has ended; runs on the ending thread."""
        cause: SwimstreamError | None = self._cause
        try:
            self._thread.ended.result()
        # BaseException: a crash must reach the application, which waits on another thread
        except BaseException as error:
            if self._driver is not None:  # else it is an error of the start, which `start` raises
                log.critical("the peer crashed worker=%s", self._settings.node.name, exc_info=error)
            cause = WorkerStopped(f"the peer crashed: {_first_line(error)}")
            cause.__cause__ = error
        self._cause = cause
        reason = cause or WorkerStopped("the worker has stopped")
        self.views.close(reason)
        self.subscriptions.end()
        self._fail_requests(reason)
        if cause is None:
            self.ended.succeed(None)
        else:
            self.ended.fail(cause)

    def _fail_requests(self, error: SwimstreamError) -> None:
        with self._lock:
            waiting = [reply.fail for reply, _ in self._requests.values()]
            waiting += [reply.fail for reply in self._queries.values()]
            self._requests.clear()
            self._queries.clear()
        for fail in waiting:
            fail(error)


def _nobody(_question: Question) -> None:
    """Leave the question unanswered."""


def _advertised(settings: PeerSettings, bound: Address) -> Address:
    if settings.advertise is None:
        if is_wildcard(bound.host):
            raise UsageError(f"advertise: expected an address that others can reach, since bind is {bound.host}")
        return bound
    address = resolve(settings.advertise, field="advertise")
    if is_wildcard(address.host):
        raise UsageError(f"advertise: expected an address that others can reach, got {address}")
    return attrs.evolve(address, port=address.port or bound.port)


def innermost(error: BaseException) -> BaseException:
    """Return what a nursery has wrapped, if it is one error alone."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _first_line(error: BaseException) -> str:
    error = innermost(error)
    text = str(error).splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
