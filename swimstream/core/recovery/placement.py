"""Where an instance should run: filters, then scores. Deterministic: equal input gives the equal choice.

Filters: those of `suitability.py`; then anti-affinity (no other instance of the operator on the worker, or in its
site), and room: so many slots of the worker's capacity are free.

Scores, the first difference decides:

1. a suspect is apart from other suspects (what may crash its worker is to be found alone when the worker dies);
2. the instance stays where it is, if that is wished; or it goes elsewhere, if that is;
   else it goes to one that keeps it warm (`standbys.py`), above all scores, unless it is a suspect;
3. the preferred site;
4. the network distance: the mean round trip to the instances that it reads or that read it, in steps of 10 ms
   (`nearness.py`); a worker whose place is not known yet counts as the farthest;
5. the load in eighths of the capacity;
6. few instances of the same operator in the site, then on the worker;
7. the load exactly;
8. the name.

The table is built once for each decision and keeps up with what is given and taken in it. The workers that suit an
operator stand in heaps, one for each site and distance, so that a placement looks at the best of each alone: keys in a
heap may be out of date, and are put right as they come to its top (a load that falls is pushed anew).
"""

from __future__ import annotations

import heapq
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING

from swimstream.core.recovery.candidates import Candidates, Entry, Group, Placement, Pool, Rated, Score
from swimstream.core.recovery.nearness import NEAR_S, Neighbourhoods
from swimstream.core.recovery.suitability import Tags, suitable
from swimstream.model.changes import DRAINING
from swimstream.model.job import APART_SITE, APART_WORKER, PINNED
from swimstream.model.words import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from swimstream.model.coordinate import Coordinate
    from swimstream.model.identity import InstanceId, Run
    from swimstream.model.job import JobSpec, OperatorSpec
    from swimstream.model.member import Member
    from swimstream.model.plan import Plan

LOAD_STEPS = 8
SHARING_MAX = 32
"""An operator with instances on more workers than that has heaps of its own."""
FARTHEST = 1_000_000
NOTHING: Mapping[str, Mapping[str, str]] = MappingProxyType({})
NOWHERE: Mapping[str, Coordinate] = MappingProxyType({})


class Places:
    """The workers as one decision sees them, and what each holds; changed by `take` and `free`."""

    def __init__(
        self,
        plan: Plan,
        members: Iterable[Member],
        *,
        tags: Tags = NOTHING,
        coordinates: Mapping[str, Coordinate] = NOWHERE,
        gone: Collection[Run] = (),
        suspects: Collection[InstanceId] = (),
        at_rest: Collection[InstanceId] = (),
    ) -> None:
        """Count what each run holds, but not those `at_rest`. `gone` are evicted by this very decision.

        `suspects` are placed apart.
        """
        self._plan = plan
        self._tags = tags
        self._members = sorted((each for each in members if each.run not in gone), key=lambda each: each.run.name)
        self._by_name = {each.run.name: each for each in self._members}
        self._near = Neighbourhoods(self._by_name, coordinates)
        self._suspects = frozenset(suspects)
        self._suspects_on: Counter[str] = Counter()
        self.load: Counter[Run] = Counter()
        """So many slots each run holds."""
        self._held: dict[tuple[str, str], Counter[Run]] = {}
        self._specs: dict[tuple[str, str], OperatorSpec] = {}
        self._candidates: dict[tuple[str, str], Candidates] = {}
        self._pools: dict[object, Pool] = {}
        self._freed: list[str] = []
        for held in plan.assignments.values():
            if not held.finished and held.run not in gone and held.instance not in at_rest:
                self._count(held.instance, held.run, 1)

    # --- what is held -----------------------------------------------------------------------------

    def take(self, instance: InstanceId, run: Run) -> None:
        """Note that `run` is given `instance`."""
        self._count(instance, run, 1)

    def free(self, instance: InstanceId, run: Run) -> None:
        """Note that `run` does not hold `instance` any more."""
        self._count(instance, run, -1)
        self._freed.append(run.name)

    def reserve(self, slots: int, run: Run) -> None:
        """Note that `run` keeps something warm that will need `slots`."""
        self.load[run] += slots

    def share(self, member: Member) -> float:
        """Return how much of a worker's capacity is taken, from 0 up; 1 for one without any."""
        capacity = member.profile.capacity
        return self.load[member.run] / capacity if capacity else 1.0

    def _count(self, instance: InstanceId, run: Run, by: int) -> None:
        spec = self._spec(instance)
        key = (instance.job, instance.operator)
        self.load[run] += by * (spec.slots if spec is not None else 1)
        self._held.setdefault(key, Counter())[run] += by
        member = self._by_name.get(run.name)
        if member is None or member.run != run:
            return
        if instance in self._suspects:
            self._suspects_on[run.name] += by
        found = self._candidates.get(key)
        if found is not None:
            found.in_site[member.profile.site] += by
            found.on_worker[run.name] += by

    def _spec(self, instance: InstanceId) -> OperatorSpec | None:
        """Return the operator; None if its instance was taken from the job, and waits for its end."""
        key = (instance.job, instance.operator)
        spec = self._specs.get(key)
        if spec is None:
            job = self._plan.jobs.get(instance.job)
            spec = next((each for each in job.operators if each.name == instance.operator), None) if job else None
            if spec is not None:
                self._specs[key] = spec
        return spec

    # --- choosing ---------------------------------------------------------------------------------

    def choose(
        self,
        instance: InstanceId,
        *,
        at: Run | None = None,
        stay: bool = False,
        elsewhere: bool = False,
        has_to_move: bool = True,
    ) -> Placement:
        """Return where `instance` of one of the plan's jobs should run; the table stays as it is.

        `at`: the run that has it now, and must not hold its slots any more (`free`). `stay`: best there, if that run
        may have it. `elsewhere`: there only when nobody else is left, and so it is of a worker that drains.
        `has_to_move`: else who keeps it warm is as good as any other.
        """
        found = self._candidates_for(instance, at)
        avoid = at if at is not None and (elsewhere or self._plan.directives.mode_of_run(at) == DRAINING) else None
        if stay and avoid is None and at is not None and self._may_have(found, at):
            return self._placement(found, at.name, "stays where it is, ", skip={at.name}, is_suspect=False)
        skip = {avoid.name} if avoid is not None else set[str]()
        is_suspect = instance in self._suspects
        warm = self._warm(instance, found, avoid) if has_to_move and not is_suspect else None
        if warm is not None:
            return self._placement(found, warm, "keeps it warm, ", skip={*skip, warm}, is_suspect=False)
        best = self._best(found, skip, is_suspect=is_suspect)
        if best is None and avoid is not None and self._may_have(found, avoid):
            best = avoid.name
        if best is None:
            return Placement(run=None, why=self._why_not(found))
        return self._placement(found, best, "", skip={*skip, best}, is_suspect=is_suspect)

    def _warm(self, instance: InstanceId, found: Candidates, avoid: Run | None) -> str | None:
        standbys = self._plan.directives.standbys.get(instance, ())
        return next((run.name for run in standbys if run != avoid and self._may_have(found, run)), None)

    def may_have(self, instance: InstanceId, run: Run) -> bool:
        """Return whether `run` passes all filters for `instance`, with what it holds by now."""
        return self._may_have(self._candidates_for(instance, None), run)

    def refusal_of(self, instance: InstanceId, run: Run) -> str:
        """Return by which filter `run` falls for `instance`, with what it holds by now; nothing if it passes all."""
        found = self._candidates_for(instance, None)
        if self._may_have(found, run):
            return ""
        return found.pool.passed.excluded.get(run.name) or self._refusal(found, run.name)

    def best_of_others(self, instance: InstanceId, *, skip: Collection[str], sites: Collection[str]) -> Run | None:
        """Return who would be the best for `instance`, of all but those in `skip` and in `sites`."""
        name = self._best(self._candidates_for(instance, None), skip, is_suspect=False, sites=sites)
        return None if name is None else self._by_name[name].run

    def rate(self, instance: InstanceId, *, at: Run | None = None) -> list[Rated]:
        """Return what every worker is for `instance`, the best first: slower than `choose`, which agrees with it."""
        found = self._candidates_for(instance, at)
        rated = []
        for member in self._members:
            name = member.run.name
            word = found.pool.passed.excluded.get(name) or self._refusal(found, name)
            score = None if word else self._score(found, name, is_suspect=instance in self._suspects)
            words = word or self._words(found, name)
            rated.append(Rated(run=member.run, score=score, why=words))
        return sorted(rated, key=lambda each: (each.score is None, each.score or each.run.name))

    def _candidates_for(self, instance: InstanceId, at: Run | None) -> Candidates:
        spec = self._spec(instance)
        assert spec is not None, "only what a job has is placed"
        key = (instance.job, instance.operator)
        if at is not None and (spec.instances == PINNED or self._plan.directives.mode_of(at.name)):
            # what passes the filters depends on where this very instance is
            home = at.name if spec.instances == PINNED else ""
            return self._judge(key, spec, self._pool(spec, home=home, at=at))
        found = self._candidates.get(key)
        if found is None:
            labels = tuple(sorted(spec.labels.items()))
            alike = (spec.kind, spec.instances, spec.sites, labels, spec.slots, spec.prefer_site)
            pool = self._pools.get(alike) or self._pool(spec)
            self._pools[alike] = pool
            found = self._candidates[key] = self._judge(key, spec, pool)
        self._push_freed(found.pool.heaps, found, found.pool.freed_seen, is_shared=True)
        self._push_freed(found.heaps, found, found.freed_seen, is_shared=False)
        found.freed_seen = found.pool.freed_seen = len(self._freed)
        return found

    def _push_freed(self, heaps: dict[Group, list[Entry]], found: Candidates, seen: int, *, is_shared: bool) -> None:
        for name in self._freed[seen:]:
            group = found.pool.group_of.get(name)
            if group is not None and group in heaps:
                heapq.heappush(heaps[group], self._entry(found, name, is_shared=is_shared))

    def _pool(self, spec: OperatorSpec, *, home: str = "", at: Run | None = None) -> Pool:
        passed = suitable(spec, self._members, plan=self._plan, tags=self._tags, home=home, at=at)
        pool = Pool(passed, {each.run.name: (each.profile.site, self._near.of(each.run.name)) for each in passed.able})
        pool.freed_seen = len(self._freed)
        return pool

    def _judge(self, key: tuple[str, str], spec: OperatorSpec, pool: Pool) -> Candidates:
        found = Candidates(spec, pool)
        found.freed_seen = len(self._freed)
        for run, count in self._held.get(key, Counter()).items():
            member = self._by_name.get(run.name)
            if member is not None and member.run == run and count:
                found.in_site[member.profile.site] += count
                found.on_worker[run.name] += count
        others = self._neighbours(key)
        for group in dict.fromkeys(pool.group_of.values()):
            site, place = group
            far = FARTHEST if others else 0
            distance = self._near.steps(place, others) if place is not None else far
            found.rank_of[group] = (bool(spec.prefer_site) and site != spec.prefer_site, distance)
        for rank in sorted(set(found.rank_of.values())):
            found.tiers.append([group for group, own in found.rank_of.items() if own == rank])
        return found

    def _heap(self, found: Candidates, group: Group, *, is_shared: bool) -> list[Entry]:
        heaps = found.pool.heaps if is_shared else found.heaps
        if group not in heaps:
            names = [name for name, own in found.pool.group_of.items() if own == group]
            heaps[group] = [self._entry(found, name, is_shared=is_shared) for name in names]
            heapq.heapify(heaps[group])
        return heaps[group]

    def _neighbours(self, key: tuple[str, str]) -> dict[int, int]:
        """Return how many instances that the operator reads, or that read it, are in each neighbourhood."""
        job: JobSpec = self._plan.jobs[key[0]]
        own = job.operator(key[1])
        names = {*own.inputs, *(spec.name for spec in job.operators if own.name in spec.inputs)}
        counts: Counter[int] = Counter()
        for name in sorted(names):
            for run, count in self._held.get((job.name, name), Counter()).items():
                member, place = self._by_name.get(run.name), self._near.of(run.name)
                if member is not None and member.run == run and not member.state.is_gone and place is not None:
                    counts[place] += count
        return {place: count for place, count in sorted(counts.items()) if count > 0}

    # --- scores -----------------------------------------------------------------------------------

    def _entry(self, found: Candidates, name: str, *, is_shared: bool = False) -> Entry:
        member = self._by_name[name]
        load, capacity = self.load[member.run], member.profile.capacity or 1
        on_worker = 0 if is_shared else found.on_worker[name]
        return (load * LOAD_STEPS // capacity, on_worker, load * 1_000_000 // capacity, name)

    def _score(self, found: Candidates, name: str, *, is_suspect: bool) -> Score:
        group = found.pool.group_of[name]
        is_elsewhere, distance = found.rank_of[group]
        load_step, on_worker, load_ppm, _ = self._entry(found, name)
        in_site = found.in_site[group[0]]
        suspects = self._suspects_on[name] if is_suspect else 0
        return Score(suspects, is_elsewhere, distance, load_step, in_site, on_worker, load_ppm, name)

    def _refusal(self, found: Candidates, name: str) -> str:
        """Return by which filter that depends on what is held a suitable worker falls, nothing if it passes."""
        member, spec = self._by_name[name], found.spec
        if spec.anti_affinity == APART_WORKER and found.on_worker[name] > 0:
            return f"runs {spec.name} already"
        if spec.anti_affinity == APART_SITE and found.in_site[member.profile.site] > 0:
            return f"its site runs {spec.name} already"
        if self.load[member.run] + spec.slots > member.profile.capacity:
            return f"full: {self.load[member.run]} of {counted(member.profile.capacity, 'slot')} held"
        return ""

    def _may_have(self, found: Candidates, run: Run) -> bool:
        name = run.name
        return name in found.pool.group_of and self._by_name[name].run == run and not self._refusal(found, name)

    def _best(
        self, found: Candidates, skip: Collection[str], *, is_suspect: bool, sites: Collection[str] = ()
    ) -> str | None:
        if is_suspect:  # seldom: so it may look at each
            names = [name for name in found.pool.group_of if name not in skip and not self._refusal(found, name)]
            return min(names, key=lambda name: self._score(found, name, is_suspect=True), default=None)
        for tier in found.tiers:
            tops = []
            for group in tier:
                is_taken = found.spec.anti_affinity == APART_SITE and found.in_site[group[0]] > 0
                if is_taken or group[0] in sites:
                    continue
                for step, on_worker, ppm, name in self._tops(found, group, skip):
                    tops.append((step, found.in_site[group[0]], on_worker, ppm, name))
            if tops:
                return min(tops)[-1]
        return None

    def _tops(self, found: Candidates, group: Group, skip: Collection[str]) -> list[Entry]:
        """Return the best of a group, or the best two, one of which is the best."""
        if len(found.on_worker) > SHARING_MAX:
            tops = [self._top(found, self._heap(found, group, is_shared=False), skip, is_shared=False)]
        else:
            tops = [
                self._top(found, self._heap(found, group, is_shared=True), {*skip, *found.on_worker}, is_shared=True)
            ]
            for name in found.on_worker:
                if found.pool.group_of.get(name) == group and name not in skip and not self._refusal(found, name):
                    tops.append(self._entry(found, name))
        return [top for top in tops if top is not None]

    def _top(self, found: Candidates, heap: list[Entry], skip: Collection[str], *, is_shared: bool) -> Entry | None:
        """Return the best of a heap; put right, or drop, what is out of date above it."""
        aside, top = [], None
        while heap:
            entry = heap[0]
            name = entry[-1]
            if name in skip:
                aside.append(heapq.heappop(heap))
            elif (now := self._entry(found, name, is_shared=is_shared)) != entry:
                heapq.heapreplace(heap, now)
            elif self._refusal(found, name):
                heapq.heappop(heap)  # pushed again when it has room again
            else:
                top = entry
                break
        for entry in aside:
            heapq.heappush(heap, entry)
        return top

    # --- words ------------------------------------------------------------------------------------

    def _placement(
        self, found: Candidates, name: str, wish: str, *, skip: Collection[str], is_suspect: bool
    ) -> Placement:
        why = wish + self._words(found, name)
        evidence = [why]
        second = self._best(found, skip, is_suspect=is_suspect)
        if second is not None:
            evidence.append(f"next best: {second}, {self._words(found, second)}")
        words = Counter(found.pool.passed.excluded.values())
        if words:
            evidence.append("excluded: " + ", ".join(f"{count} {word}" for word, count in sorted(words.items())))
        return Placement(run=self._by_name[name].run, why=why, evidence=tuple(evidence))

    def _words(self, found: Candidates, name: str) -> str:
        member = self._by_name[name]
        site, _ = found.pool.group_of[name]
        _, distance = found.rank_of[found.pool.group_of[name]]
        where = "in its preferred site" if found.spec.prefer_site == site else f"site {site}"
        far = f", about {distance * NEAR_S * 1_000:.0f} ms from its neighbours" if 0 < distance < FARTHEST else ""
        same = f", {found.on_worker[name]} of them of {found.spec.name}" if found.on_worker[name] > 0 else ""
        return f"{where}{far}, {self.load[member.run]} of {counted(member.profile.capacity, 'slot')} held{same}"

    def _why_not(self, found: Candidates) -> str:
        """Return why nobody has a place for it, and so what would help."""
        able, spec = found.pool.passed.able, found.spec
        if not able:
            return found.pool.passed.why
        apart = [each for each in able if "already" in self._refusal(found, each.run.name)]
        others = {word for word in found.pool.passed.excluded.values() if not word.endswith(repr(spec.kind))}
        kind = f"kind {spec.kind!r}" + (" and may have it" if others else "")
        need = f" ({spec.slots} slots are needed)" if spec.slots > 1 else ""
        where = " in their site" if spec.anti_affinity == APART_SITE else ""
        has_one = f"an instance of {spec.name}{where} already"
        if len(able) == 1:
            return f"the only live worker that runs {kind} " + (f"has {has_one}" if apart else f"is full{need}")
        if not apart:
            return f"all {len(able)} live workers that run {kind} are full{need}"
        have = f"{len(apart)} {'has' if len(apart) == 1 else 'have'} {has_one}"
        left = len(able) - len(apart)
        full = f", {left} {'is' if left == 1 else 'are'} full" if left else ""
        return f"of {len(able)} live workers that run {kind} {have}{full}"
