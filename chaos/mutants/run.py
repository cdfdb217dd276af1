"""The command: break one rule after the other in copies of the tree, and see that a check notices each."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click
import trio

from chaos.mutants.checks import (
    Step,
    aimed_step,
    check_that_copy_is_used,
    judge_tree,
    steps_of,
    trees,
    world_steps,
)
from chaos.mutants.mutant import Mutant, MutantError, load, mutated
from chaos.mutants.verdict import Verdict, document, is_ok, of_mutant, of_tree, table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from chaos.mutants.mutant import Worlds

BASELINE_S_MAX = 3_600.0
"""The tree without a mutant goes through all checks, which has no early end."""


@attrs.define(kw_only=True)
class Run:
    """All verdicts so far."""

    mutants: Sequence[Mutant]
    baseline: list[Verdict] = attrs.field(factory=list)
    verdicts: list[Verdict] = attrs.field(factory=list)
    began_at: float = attrs.field(factory=time.monotonic)

    async def everything(self, scratch: Path, *, processes: int) -> None:
        """Judge the tree as it is, then every mutant; several copies at a time."""
        copies = trees(processes, scratch)
        await check_that_copy_is_used(copies[0])
        await self._share(copies, [self._green(name, list(steps)) for name, steps in baseline(self.mutants)])
        await self._share(copies, [self._broken(mutant) for mutant in self.mutants])

    async def _share(self, copies: Sequence[Path], tasks: Iterable[Callable[[Path], Awaitable[None]]]) -> None:
        """Do all tasks, each in a copy that no other has at that time."""
        left = list(tasks)[::-1]

        async def work(tree: Path) -> None:
            while left:
                await left.pop()(tree)

        async with trio.open_nursery() as nursery:
            for tree in copies:
                nursery.start_soon(work, tree)

    def _green(self, name: str, steps: Sequence[Step]) -> Callable[[Path], Awaitable[None]]:
        async def judge(tree: Path) -> None:
            self._note(self.baseline, of_tree(name, await judge_tree(tree, iter(steps), limit_s=BASELINE_S_MAX)))

        return judge

    def _broken(self, mutant: Mutant) -> Callable[[Path], Awaitable[None]]:
        async def judge(tree: Path) -> None:
            try:
                changed = mutated(mutant, tree)
            except MutantError as error:
                verdict = Verdict(name=mutant.name, rule=mutant.rule, outcome="error", detail=str(error))
                self._note(self.verdicts, verdict)
                return
            original = {path: (tree / path).read_text() for path in changed}
            _write(tree, changed)
            finding = await judge_tree(tree, steps_of(mutant))
            _write(tree, original)
            self._note(self.verdicts, of_mutant(mutant.name, mutant.rule, finding))

        return judge

    def _note(self, verdicts: list[Verdict], verdict: Verdict) -> None:
        verdicts.append(verdict)
        done = f"{len(self.verdicts)}/{len(self.mutants)}" if verdict.rule else "without a mutant"
        what = f"{verdict.name}: {verdict.outcome} after {verdict.after_s:.1f} s {verdict.by}"
        click.echo(f"{time.monotonic() - self.began_at:7.1f} s  {done}  {what}", err=True)


def _write(tree: Path, texts: Mapping[Path, str]) -> None:
    for path, text in texts.items():
        (tree / path).write_text(text)


def baseline(mutants: Iterable[Mutant]) -> Iterator[tuple[str, Iterator[Step]]]:
    """Yield each check of all mutants once: all tests in one call, and each story's seeds."""
    tests: dict[str, None] = {}
    worlds: dict[Worlds, None] = {}
    for mutant in mutants:
        tests |= dict.fromkeys(mutant.tests)
        worlds |= dict.fromkeys(mutant.worlds)
    if tests:
        yield f"{len(tests)} tests", iter([aimed_step(tuple(tests))])
    for each in worlds:
        yield f"{each.story}, {each.seeds} worlds from seed {each.first}", world_steps(each)


async def until_signal(run: Run, *, processes: int) -> bool:
    """Do everything; return whether it was done. SIGINT and SIGTERM end it early: whatever it started is ended too."""
    is_done = False

    async def work(scope: trio.CancelScope) -> None:
        nonlocal is_done
        with tempfile.TemporaryDirectory(prefix="swimstream-mutants-") as scratch:
            await run.everything(Path(scratch), processes=processes)
        is_done = True
        scope.cancel()

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(work, nursery.cancel_scope)
            async for _ in signals:
                nursery.cancel_scope.cancel()
    return is_done


@click.command()
@click.argument("names", nargs=-1)
@click.option("--processes", default=os.cpu_count(), show_default=True, type=click.IntRange(1, 64))
@click.option("--json", "json_path", default=Path("build/reports/mutants.json"), type=click.Path(path_type=Path))
@click.option("--aimed", is_flag=True, help="Aimed tests alone, no worlds; without those that have none: minutes.")
@click.option("--list", "lists", is_flag=True, help="Show what would be broken, and break nothing.")
def main(*, names: tuple[str, ...], processes: int, json_path: Path, aimed: bool, lists: bool) -> None:
    """Break each rule (or those of NAMES) in a copy of the tree; 10 minutes each for its checks to turn red.

    Exit status: 0 only if every one was caught, and the same checks are green without it.
    """
    try:
        mutants = load(names)
    except MutantError as error:
        raise click.BadArgumentUsage(str(error)) from None
    if aimed:
        mutants = [attrs.evolve(mutant, worlds=()) for mutant in mutants if mutant.tests]
    if lists:
        for mutant in mutants:
            click.echo(f"{mutant.name}: {mutant.rule}")
        return
    run = Run(mutants=mutants)
    is_done = trio.run(partial(until_signal, run, processes=processes))
    elapsed_s = time.monotonic() - run.began_at
    run.verdicts.sort(key=lambda verdict: verdict.name)
    found = document(run.baseline, run.verdicts, wanted=len(mutants), elapsed_s=elapsed_s)
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(found, indent=2) + "\n")
    if not is_done:
        click.echo("interrupted: this is what was found so far", err=True)
    click.echo(f"\n{table([*run.baseline, *run.verdicts])}\n\n{json_path}")
    good = is_done and is_ok(run.baseline, run.verdicts, wanted=len(mutants))
    click.echo("ok" if good else "NOT ok")
    sys.exit(0 if good else 1)
