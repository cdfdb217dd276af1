"""Where the other instances are, as an operator may ask: of the worker's view, or of the worker through a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from swimstream.runtime.replies import Found, Reply

if TYPE_CHECKING:
    from swimstream.model.identity import Address, InstanceId
    from swimstream.runtime.view import View, Views


class Neighbours(Protocol):
    """Any thread may ask."""

    def locate_now(self, instance: InstanceId) -> Address | None:
        """Return where the newest execution of `instance` serves others, None while that is not known."""

    def located(self, instance: InstanceId, *, other_than: Address | None) -> Reply[Address]:
        """Return a reply that is settled once it serves others, elsewhere than at `other_than`."""

    def finished(self, instance: InstanceId) -> Reply[None]:
        """Return a reply that is settled once the plan says that `instance` has finished for good."""


class SeenNeighbours:
    """As this worker's own view shows them."""

    def __init__(self, views: Views) -> None:
        """Look at `views`."""
        self._views = views

    def locate_now(self, instance: InstanceId) -> Address | None:
        """Look at the newest view."""
        return self._views.current.locate(instance)

    def located(self, instance: InstanceId, *, other_than: Address | None) -> Reply[Address]:
        """Look at every view to come; raise `UsageError` if too many wait already."""

        def look(view: View) -> Found[Address] | None:
            address = view.locate(instance)
            return None if address is None or address == other_than else Found(address)

        return self._views.when(look)

    def finished(self, instance: InstanceId) -> Reply[None]:
        """Look at every plan to come; raise `UsageError` if too many wait already."""

        def look(view: View) -> Found[None] | None:
            held = view.plan.assignments.get(instance)
            return Found(None) if held is not None and held.finished else None

        return self._views.when(look)
