"""Tags: joins the table of `talk` with membership, gossip and the application.

Each changed key is one update on its own, so that a change costs what has changed. Only tags of members are kept,
and as long as they are members.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from swimstream.core.effects import Notify
from swimstream.core.membership.gossip import SPOKEN
from swimstream.core.talk.tags import OwnTags, TagTable
from swimstream.errors import UsageError
from swimstream.events import TagsChanged
from swimstream.wire.codec import encode_message
from swimstream.wire.messages import TagUpdate

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Mapping

    from swimstream.core.membership.membership import Membership
    from swimstream.core.outbox import Outbox
    from swimstream.model.identity import Run
    from swimstream.model.member import Member

VERSION_BYTES_MORE = 8
"""By so much an encoded tag grows as its version rises."""


class Tagging:
    """The tags of this node and of all that it knows of others' (`table`)."""

    def __init__(
        self,
        membership: Membership,
        outbox: Outbox,
        *,
        tags: Mapping[str, str],
        fragment_bytes_max: int,
        counters: Counter[str],
    ) -> None:
        """Begin with the configured tags; raise `UsageError` for one that no datagram has room for."""
        self.table = TagTable(counters)
        self._membership = membership
        self._outbox = outbox
        self._fragment_bytes_max = fragment_bytes_max
        self._counters = counters
        self._own = OwnTags(tags)
        self._has_changed = False
        self._check_sizes(tags)

    def change(self, changes: Mapping[str, str | None]) -> str:
        """Change some of this worker's own tags; return why not, or nothing."""
        try:
            self._check_sizes(changes)
            updates = self._own.change(self._membership.run, changes)
        except UsageError as error:
            return str(error)
        if self._membership.is_announced:
            self._tell_tags(updates)
        return ""

    def _check_sizes(self, changes: Mapping[str, str | None]) -> None:
        """Refuse what gossip could never carry."""
        for key in sorted(changes):
            size = len(encode_message(TagUpdate(run=self._membership.run, version=1, key=key, value=changes[key])))
            if size + VERSION_BYTES_MORE > self._fragment_bytes_max:
                raise UsageError(
                    f"tags.{key}: takes {size} B with the name of the worker, expected at most "
                    f"{self._fragment_bytes_max - VERSION_BYTES_MORE} B (half of packet_bytes_max)"
                )

    def begin_run(self) -> None:
        """Tell all tags, under the present run, of which nobody has heard yet."""
        self.table.begin(self._membership.run)
        self._tell_tags(self._own.restate(self._membership.run))

    def _tell_tags(self, updates: Iterable[TagUpdate]) -> None:
        """Spread changes of one's own tags; tell the application once of all of them."""
        before = self.table.of(self._membership.run.name)
        for update in updates:
            fragment = self.table.merge(update)
            if fragment is not None:
                self._spread(update, fragment)
        if self.table.of(self._membership.run.name) != before:
            self._tags_changed(self._membership.run)

    def hear(self, update: TagUpdate) -> None:
        """Take a record of another worker's tags; contradict one about this worker's own."""
        run = update.run
        if run == self._membership.run:
            correction = self._own.correct(update)
            if correction is not None and self._membership.is_announced:
                self._tell_tags([correction])
            return
        if self._membership.table.get_run(run) is None:
            self._counters["talk_of_strangers"] += 1
            return
        before = self.table.of(run.name)
        fragment = self.table.merge(update)
        if fragment is None:
            return
        if self._membership.is_announced:
            self._spread(update, fragment)
        if self.table.of(run.name) != before:
            self._tags_changed(run)

    def meet(self, member: Member) -> None:
        """Drop what earlier runs of a member had."""
        if member.run != self._membership.run and self.table.begin(member.run):
            self._tags_changed(member.run)

    def forget(self, name: str) -> None:
        """Drop the tags of one that was forgotten as a member, unless it has come back meanwhile."""
        if name not in self._membership.table:
            self.table.forget(name)

    def take_changed(self) -> bool:
        """Return whether anybody's tags have changed since this was asked last: a leader places by them."""
        has_changed, self._has_changed = self._has_changed, False
        return has_changed

    def hash_of(self, name: str) -> int:
        """Return what to compare of a live member's tags; those of the others are not repaired any more."""
        return self.table.hash_of(name) if self._is_live(name) else 0

    def fragments_of(self, name: str) -> list[bytes]:
        """Return the encoded tags of a live member."""
        return self.table.fragments_of(name) if self._is_live(name) else []

    def _is_live(self, name: str) -> bool:
        member = self._membership.table.get(name)
        return member is not None and not member.state.is_gone

    def _spread(self, update: TagUpdate, fragment: bytes) -> None:
        self._membership.gossip.push(f"t/{update.run.name}/{update.key}", fragment, lane=SPOKEN)

    def _tags_changed(self, run: Run) -> None:
        self._has_changed = True
        self._outbox.put(Notify(TagsChanged(run, self.table.of(run.name))))
