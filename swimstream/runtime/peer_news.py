"""What a peer in a process of its own has for its worker, and the worker has not taken yet.

The worker may be stuck for any length of time, and its peer must not be. So nothing here grows with that time: of
views only the newest is kept, of events the newest `EVENTS_QUEUED_MAX`, of orders what still holds. Answers are
bounded by the commands that are under way.
"""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

from swimstream.core.effects import DumpStack, KeepWarm, RenewFence, StartInstance
from swimstream.runtime.peer_link import News
from swimstream.runtime.subscriptions import EVENTS_QUEUED_MAX
from swimstream.runtime.view_changes import ViewChanges

if TYPE_CHECKING:
    from swimstream.events import Event
    from swimstream.model.identity import InstanceId
    from swimstream.model.talk import QueryResult
    from swimstream.runtime.peer_link import Logged, Order
    from swimstream.runtime.view import View

LOGGED_MAX = 256


class Orders:
    """Orders for the runner, without those that a later one has overtaken: a few for each instance at most."""

    def __init__(self) -> None:
        """Begin empty."""
        self._waiting: list[Order] = []

    def add(self, order: Order) -> None:
        """Append an order.

        An instance is started under its newest epoch only, as the runner would see to as well. Of fences the newest
        time holds; it stands behind every stop that was ordered before it, so that it moves none of their fences.
        """
        if isinstance(order, StartInstance):
            starts = [each for each in self._waiting if isinstance(each, StartInstance)]
            never = {each.epoch for each in starts if each.instance == order.instance}
            self._waiting = [each for each in self._waiting if not _is_about(each, order.instance, never)]
        elif isinstance(order, RenewFence):
            self._waiting = [each for each in self._waiting if not isinstance(each, RenewFence)]
        elif isinstance(order, KeepWarm):  # the newest holds, behind the starts before it, which take over what is warm
            self._waiting = [each for each in self._waiting if not isinstance(each, KeepWarm)]
        elif isinstance(order, DumpStack):
            self._waiting = [each for each in self._waiting if each != order]
        self._waiting.append(order)

    def take(self) -> tuple[Order, ...]:
        """Return what waits, and forget it."""
        taken, self._waiting = tuple(self._waiting), []
        return taken


def _is_about(order: Order, instance: InstanceId, epochs: set[int]) -> bool:
    return not isinstance(order, RenewFence | KeepWarm) and order.instance == instance and order.epoch in epochs


class NewsDesk:
    """All that waits for the worker. For the peer's thread only."""

    def __init__(self, shown: View) -> None:
        """Begin with nothing; the worker knows `shown`."""
        self._shown = shown
        self._view = shown
        self._events: collections.deque[Event] = collections.deque(maxlen=EVENTS_QUEUED_MAX)
        self._lost = 0
        self._answers: list[tuple[int, str]] = []
        self._results: list[tuple[int, QueryResult]] = []
        self.orders = Orders()
        self.logged: collections.deque[Logged] = collections.deque(maxlen=LOGGED_MAX)

    def view_changed(self, view: View) -> None:
        """Keep `view` instead of an older one that was not taken."""
        self._view = view

    def told(self, event: Event) -> None:
        """Queue an event; the oldest gives way, and is counted."""
        self._lost += len(self._events) == EVENTS_QUEUED_MAX
        self._events.append(event)

    def answered(self, request: int, error: str) -> None:
        """Queue an answer."""
        self._answers.append((request, error))

    def query_answered(self, request: int, result: QueryResult) -> None:
        """Queue the result of a query."""
        self._results.append((request, result))

    def take(self) -> News | None:
        """Return everything that waits, None if nothing does."""
        view = None if self._view is self._shown else ViewChanges.between(self._shown, self._view)
        self._shown = self._view
        news = News(
            view=view,
            events=tuple(self._events),
            lost=self._lost,
            answers=tuple(self._answers),
            results=tuple(self._results),
            orders=self.orders.take(),
            logged=tuple(self.logged),
        )
        self._events.clear()
        self._lost = 0
        self._answers, self._results = [], []
        self.logged.clear()
        has_any = view is not None or news.lost or news.events or news.answers or news.results or news.orders
        return news if has_any or news.logged else None
