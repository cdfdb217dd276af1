"""What the control port needs of a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from swimstream.core.explaining import Explanation
    from swimstream.core.supposing import Outcome
    from swimstream.model.council import CouncilReport
    from swimstream.model.identity import Address, InstanceId
    from swimstream.model.job import JobSpec
    from swimstream.model.keys import KeysReport
    from swimstream.model.logs import LogPage
    from swimstream.model.talk import QueryResult
    from swimstream.runtime.replies import Reply
    from swimstream.runtime.subscriptions import Subscription
    from swimstream.runtime.view import View


class Controlled(Protocol):
    """The face of `swimstream.Worker` for the control port."""

    @property
    def address(self) -> Address:
        """Return where others reach it."""

    def view(self) -> View:
        """Return what it knows."""

    def events(self) -> Subscription:
        """Return a subscription from now on."""

    def submit(self, job: JobSpec, *, fresh: bool = False) -> Reply[None]:
        """Have a job executed; `fresh`: also one that was cancelled, as if it had never run."""

    def explain(self, instance: InstanceId | str) -> Explanation:
        """Return why an instance is where it is."""

    def what_if(self, *, kill: Iterable[str] = (), site: str = "") -> Outcome:
        """Return what would come of some deaths."""

    def dry_run(self, job: JobSpec) -> Outcome:
        """Return where a job's instances would go."""

    def leave(self) -> Reply[None]:
        """Say goodbye and end."""

    def set_tags(self, changes: Mapping[str, str | None]) -> Reply[None]:
        """Change its own tags."""

    def broadcast(self, topic: str, payload: bytes = b"") -> Reply[None]:
        """Tell everybody something."""

    def send(self, to: str, topic: str, payload: bytes = b"") -> Reply[None]:
        """Send one worker something."""

    def query(
        self,
        topic: str,
        payload: bytes = b"",
        *,
        names: Iterable[str] = (),
        tag: tuple[str, str] | None = None,
        patience_s: float = 5.0,
    ) -> Reply[QueryResult]:
        """Ask others."""

    def ping(self, *, names: Iterable[str] = (), patience_s: float = 5.0) -> Reply[QueryResult]:
        """Ask others for a sign of life."""

    def logs(
        self,
        instance: InstanceId | str,
        *,
        worker: str = "",
        start: int | None = None,
        tail: int = 100,
        patience_s: float = 5.0,
    ) -> Reply[LogPage]:
        """Show what an instance printed."""

    def remove(self, name: str) -> Reply[None]:
        """Have a dead member taken for one that has left."""

    def council(self, *, patience_s: float = 5.0) -> Reply[CouncilReport]:
        """Ask the seats of the council how they stand."""

    def resize_council(self, seats: int) -> Reply[None]:
        """Have the council grow or shrink."""

    def transfer_leadership(self, name: str) -> Reply[None]:
        """Have another lead."""

    def recover_council(self, cluster_id: int) -> Reply[None]:
        """Put this worker in a lost council's place."""

    def keys(self, *, patience_s: float = 5.0) -> Reply[KeysReport]:
        """Ask who holds which keys."""

    def install_key(self, key: str, *, patience_s: float = 5.0) -> Reply[KeysReport]:
        """Have a key installed everywhere."""

    def use_key(self, key_id: str, *, force: bool = False, patience_s: float = 5.0) -> Reply[KeysReport]:
        """Have a key used everywhere."""

    def remove_key(self, key_id: str, *, force: bool = False, patience_s: float = 5.0) -> Reply[KeysReport]:
        """Have a key removed everywhere."""

    def update(self, job: JobSpec, *, base: int | None = None) -> Reply[None]:
        """Have a new version of a job executed."""

    def scale(self, job: str, operator: str, parallelism: int) -> Reply[None]:
        """Have an operator executed in so many instances."""

    def cancel(self, job: str) -> Reply[None]:
        """Have nothing of a job executed any more."""

    def restart(self, target: str) -> Reply[None]:
        """Have instances restarted."""

    def pardon(self, instance: str) -> Reply[None]:
        """Have an instance in quarantine executed again."""

    def cordon(self, name: str, *, reason: str = "") -> Reply[None]:
        """Have a worker given nothing new."""

    def uncordon(self, name: str, *, reason: str = "") -> Reply[None]:
        """Have a worker given instances again."""

    def drain(self, name: str, *, reason: str = "") -> Reply[None]:
        """Have what a worker has moved elsewhere."""

    def drained(self, name: str) -> Reply[None]:
        """Wait until nothing is assigned to a worker."""

    def declare_dead(self, name: str) -> Reply[None]:
        """Give one's word that a worker is dead."""

    def set_rebalancing(self, moves: int) -> Reply[None]:
        """Have so many instances moved at a time to who joins."""
