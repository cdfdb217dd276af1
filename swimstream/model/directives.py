"""What has been decided about jobs, instances and workers besides who runs what. Part of the plan.

A directive is small and seldom: most clusters have none, and then the plan has no more bytes than without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from swimstream.model.changes import NORMAL, Proof
from swimstream.model.identity import InstanceId, Run
from swimstream.model.versions import RETIRED_MAX

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Iterable

    from swimstream.model.changes import Blame, ClaimProgress, SetStandbys, SetWorkerMode

PPM = 1_000_000
CONVICTING_DEATHS = 2
"""So many deaths convict an instance if it alone was to blame for one, or for as much in sum."""
CONVICTING_DEATHS_SHARED = 3
"""So many convict it however the blame was shared."""
MODES_KEPT = 8_192
RETIRED_KEPT = 16_384
"""Of so many retired operators, and jobs that had some, the names are kept for jobs to leave the plan."""
LOST_KEPT = 1_024
LOST_INSTANCES_MAX = 20_000
CRASHES_KEPT = 8
SAME_WORKER_MAX = 2
"""So many crashes of the same worker in a row count: more of them speak against the worker."""


@attrs.frozen(kw_only=True)
class Quarantined:
    """Why an instance is not executed, since entry `index`."""

    index: int
    reason: str


@attrs.frozen(kw_only=True)
class Blamed:
    """How many workers crashed while an instance ran on them, and how much of the blame is its own, in millionths."""

    deaths: int
    """So many workers crashed, as far as their own peers saw it (`Proof.CRASHED`)."""
    weight_ppm: int
    streak: int = 0
    """So many of the workers that ended in a row without a goodbye ran it; halved by one that did not."""
    crashes: tuple[Run, ...] = ()
    """The newest `CRASHES_KEPT` of either kind, oldest first."""

    @property
    def is_convicted(self) -> bool:
        """Return whether what the workers' peers saw is too much for chance."""
        alone = self.deaths >= CONVICTING_DEATHS and self.weight_ppm >= PPM
        return alone or self.deaths >= CONVICTING_DEATHS_SHARED

    def after(self, run: Run, proof: Proof, *, part_ppm: int) -> Blamed:
        """Return what one more crash makes of it."""
        last = [each.name for each in self.crashes[-SAME_WORKER_MAX:]]
        is_own = proof is Proof.CRASHED and last != [run.name] * SAME_WORKER_MAX
        return Blamed(
            deaths=self.deaths + is_own,
            weight_ppm=self.weight_ppm + part_ppm * is_own,
            streak=self.streak + (proof is Proof.ENDED and last[-1:] != [run.name]),
            crashes=(*self.crashes, run)[-CRASHES_KEPT:],
        )


@attrs.frozen(kw_only=True)
class Lost:
    """A run that was given up, or has crashed, at entry `index`, and what is still to be judged of it."""

    boot: int
    index: int
    instances: tuple[InstanceId, ...]
    """Who ran there, while it is not known how it has ended; nobody: it was judged."""


@attrs.frozen(kw_only=True)
class WorkerMode:
    """What the worker of a name is given: see `changes.MODES`."""

    mode: str
    level: int
    boot: int
    index: int
    reason: str


@attrs.frozen(kw_only=True)
class Claim:
    """How far the copy of a run that was given up had come, and who could go on with it: see `ClaimProgress`."""

    run: Run
    progress: int
    checkpoint: bytes


@attrs.frozen(kw_only=True)
class Conflict:
    """An instance was given to another run while its copy may have gone on, and is to be settled by progress.

    It is over when the instance gets another epoch or ends, whoever has it then, and when the replacement is kept.
    """

    run: Run
    """Whose copy may have gone on."""
    epoch: int
    claim: Claim | None = None
    """None while nobody has said anything of that copy."""


@attrs.frozen(kw_only=True)
class Directives:
    """All of them, as of one plan."""

    versions: Mapping[str, int] = attrs.field(factory=dict)
    """Job → its version, from 2 on; one that is not here is at version 1."""
    cancelled: Mapping[str, int] = attrs.field(factory=dict)
    """Job → index of the entry that cancelled it."""
    begun: Mapping[str, int] = attrs.field(factory=dict)
    """Job → index of the entry since which it lives anew; what was said of earlier epochs is of its former life."""
    quarantined: Mapping[InstanceId, Quarantined] = attrs.field(factory=dict)
    blame: Mapping[InstanceId, Blamed] = attrs.field(factory=dict)
    modes: Mapping[str, WorkerMode] = attrs.field(factory=dict)
    """Worker's name → its mode, if it is not the normal one, or was in quarantine not long ago; at most `MODES_KEPT`,
    the oldest is dropped."""
    lost: Mapping[str, Lost] = attrs.field(factory=dict)
    """Worker's name → its last run that was lost with something on it; at most `LOST_KEPT`, the oldest is dropped."""
    asserted: Mapping[str, int] = attrs.field(factory=dict)
    """Worker's name → the highest boot that a person has declared dead, while something waits for its end."""
    standbys: Mapping[InstanceId, tuple[Run, ...]] = attrs.field(factory=dict)
    retired: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    """Job → the operators that were taken from it, sorted, without those that were at-most-one; see `versions.py`. Also
    of jobs that have left the plan, with all that they had."""
    conflicts: Mapping[InstanceId, Conflict] = attrs.field(factory=dict)
    rebalance_moves: int = 0

    def mode_of(self, name: str) -> str:
        """Return the mode of a worker."""
        held = self.modes.get(name)
        return held.mode if held is not None else NORMAL

    def mode_of_run(self, run: Run) -> str:
        """Return the mode of a run: that of its name, unless it is an earlier or later run that leaves."""
        held = self.modes.get(run.name)
        return held.mode if held is not None and held.boot in (0, run.boot) else NORMAL


NO_DIRECTIVES = Directives()


def refusal_of_claim(conflict: Conflict | None, change: ClaimProgress) -> str:
    """Return why a claim changes nothing, or nothing if it counts."""
    if conflict is None or (conflict.epoch, conflict.run.name) != (change.epoch, change.run.name):
        return f"epoch: nothing is to be settled about the copy of {change.instance} in epoch {change.epoch}"
    return f"instance: {conflict.claim.run} has spoken for it already" if conflict.claim is not None else ""


class DirectivesDraft:
    """Directives that are being changed; `PlanDraft` says when."""

    def __init__(self, base: Directives) -> None:
        """Begin with `base`, which stays as it is."""
        self._base = base
        self.versions, self.cancelled, self.begun = dict(base.versions), dict(base.cancelled), dict(base.begun)
        self.quarantined, self.blame = dict(base.quarantined), dict(base.blame)
        self.modes, self.asserted, self.lost = dict(base.modes), dict(base.asserted), dict(base.lost)
        self.standbys, self.retired = dict(base.standbys), dict(base.retired)
        self.conflicts = dict(base.conflicts)
        self.rebalance_moves = base.rebalance_moves

    def directives(self) -> Directives:
        """Return what has become of them."""
        made = Directives(
            versions=self.versions,
            cancelled=self.cancelled,
            begun=self.begun,
            quarantined=self.quarantined,
            blame=self.blame,
            modes=self.modes,
            lost=self.lost,
            asserted=self.asserted,
            standbys=self.standbys,
            retired=self.retired,
            conflicts=self.conflicts,
            rebalance_moves=self.rebalance_moves,
        )
        return self._base if made == self._base else made

    def version_of(self, job: str) -> int:
        """Return the version of an accepted job."""
        return self.versions.get(job, 1)

    def retire(self, job: str, operators: tuple[str, ...]) -> None:
        """Remember that copies of these operators may go on where nobody reaches them."""
        if operators:
            self.retired[job] = tuple(sorted({*self.retired.get(job, ()), *operators}))

    def leave(self, job: str, operators: tuple[str, ...]) -> bool:
        """Forget a cancelled job but for the names of these operators; return whether there is room for them."""
        names = tuple(sorted({*self.retired.get(job, ()), *operators}))
        others = sum(1 + len(held) for name, held in self.retired.items() if name != job)
        if len(names) > RETIRED_MAX or others + 1 + len(names) > RETIRED_KEPT:
            return False
        self.retired[job] = names
        for held in (self.versions, self.cancelled, self.begun):
            held.pop(job, None)
        return True

    def judge(self, change: Blame, index: int, *, assigned: Container[InstanceId]) -> None:
        """Share the blame for the end of one run, or remember who ran there; of what is still assigned to anybody."""
        name, boot = change.run.name, change.run.boot
        known = self.lost.get(name)
        if known is not None and (known.boot > boot or (known.boot == boot and not known.instances)):
            return
        match change.proof:
            case Proof.NONE:
                self._remember_lost(name, Lost(boot=boot, index=index, instances=change.instances))
            case Proof.ENDED:  # it was given up, so it is gone for good: nothing of it is judged again
                if known is not None and known.boot == boot:
                    del self.lost[name]
                    self._share_blame(change, assigned)
            case Proof.CRASHED:
                self._remember_lost(name, Lost(boot=boot, index=index, instances=()))
                self._share_blame(change, assigned)

    def _share_blame(self, change: Blame, assigned: Container[InstanceId]) -> None:
        if not change.instances:
            return
        if change.proof is Proof.ENDED:
            for instance, held in sorted(self.blame.items()):
                if held.streak and instance not in change.instances:
                    self.blame[instance] = attrs.evolve(held, streak=held.streak // 2)
                    if not held.deaths and not held.streak // 2:
                        del self.blame[instance]
        part_ppm = PPM // len(change.instances)
        for instance in change.instances:
            if instance in assigned:
                before = self.blame.get(instance, Blamed(deaths=0, weight_ppm=0))
                self.blame[instance] = before.after(change.run, change.proof, part_ppm=part_ppm)

    def _remember_lost(self, name: str, lost: Lost) -> None:
        self.lost[name] = lost
        instances = sum(len(each.instances) for each in self.lost.values())
        while len(self.lost) > LOST_KEPT or instances > LOST_INSTANCES_MAX:
            oldest = min(self.lost, key=lambda each: (self.lost[each].index, each))
            instances -= len(self.lost.pop(oldest).instances)

    def clear(self, instances: Iterable[InstanceId]) -> None:
        """Hold nothing against these instances any more."""
        for instance in instances:
            self.quarantined.pop(instance, None)
            self.blame.pop(instance, None)

    def drop(self, instance: InstanceId) -> None:
        """Forget all about an instance that is not executed any more."""
        self.clear([instance])
        self.standbys.pop(instance, None)
        self.conflicts.pop(instance, None)

    def set_mode(self, change: SetWorkerMode, index: int) -> None:
        """Put a worker into a mode; one that it is in already lasts since it was first asked for."""
        held = self.modes.get(change.name)
        if held is not None and (held.mode, held.level, held.boot) == (change.mode, change.level, change.boot):
            return
        self.modes.pop(change.name, None)
        if change.mode == NORMAL and not change.level:
            return
        made = WorkerMode(mode=change.mode, level=change.level, boot=change.boot, index=index, reason=change.reason)
        self.modes[change.name] = made
        if len(self.modes) > MODES_KEPT:
            del self.modes[min(self.modes, key=lambda name: (self.modes[name].index, name))]

    def set_standbys(self, change: SetStandbys) -> None:
        """Say who keeps an instance warm."""
        self.standbys.pop(change.instance, None)
        if change.runs:
            self.standbys[change.instance] = change.runs

    def promote(self, instance: InstanceId, run: Run) -> None:
        """Take `run`, which runs the instance from here on, from those that keep it warm."""
        left = tuple(each for each in self.standbys.get(instance, ()) if each != run)
        self.standbys.pop(instance, None)
        if left:
            self.standbys[instance] = left

    def claim(self, change: ClaimProgress) -> None:
        """Take the word of a worker that was given up, once, and only of the copy that the conflict is about."""
        found = self.conflicts.get(change.instance)
        if found is None or refusal_of_claim(found, change):
            return
        claim = Claim(run=change.run, progress=change.progress, checkpoint=change.checkpoint)
        self.conflicts[change.instance] = attrs.evolve(found, claim=claim)

    def forget_asserted(self, names_waited_for: Collection[str]) -> None:
        """Keep a person's word only while something waits for the end of that worker."""
        self.asserted = {name: boot for name, boot in self.asserted.items() if name in names_waited_for}
