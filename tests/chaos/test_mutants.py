"""The list of broken rules: each has its place in the code, and a run that proves nothing is not ok."""

from __future__ import annotations

import ast
import json
import sys
from functools import partial
from pathlib import Path

import pytest
import trio

from chaos.mutants.checks import Finding, Step, aimed_step, judge_tree, red_check, run_command, world_steps
from chaos.mutants.mutant import Edit, Mutant, MutantError, Worlds, load, mutated, read
from chaos.mutants.run import baseline
from chaos.mutants.verdict import Verdict, document, of_mutant, of_tree, table
from chaos.peers.peer import ROOT

MUTANTS = load()
CAUGHT = Verdict(name="a", rule="R", outcome="caught", by="tests/a.py::test_a", after_s=1.0)
GREEN = of_tree("1 tests", Finding(took_s=1.0))


def names_in(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_place_of_each_mutant_is_there_once_and_what_it_becomes_is_python(mutant: Mutant) -> None:
    for path, text in mutated(mutant).items():
        assert text != (ROOT / path).read_text()
        ast.parse(text)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_tests_that_a_mutant_names_exist(mutant: Mutant) -> None:
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert (ROOT / file).is_file(), test
        assert not name or name.partition("[")[0].rpartition("::")[2] in names_in(ROOT / file), test


def verdict(*mutants: Verdict, baseline: tuple[Verdict, ...] = (GREEN,), wanted: int = 1) -> bool:
    found = document(baseline, mutants, wanted=wanted, elapsed_s=1.0)
    json.dumps(found)
    return bool(found["ok"])


def test_a_list_of_which_all_are_caught_is_ok() -> None:
    assert verdict(CAUGHT)


@pytest.mark.parametrize("finding", [Finding(took_s=1.0), Finding(error="time is over", took_s=600.0)])
def test_a_mutant_that_survives_or_proves_nothing_makes_the_list_not_ok(finding: Finding) -> None:
    assert not verdict(of_mutant("a", "R", finding))


def test_checks_that_are_red_without_a_mutant_prove_nothing() -> None:
    assert not verdict(CAUGHT, baseline=(of_tree("1 tests", Finding(red="tests/a.py::test_a", took_s=1.0)),))


def test_a_list_that_was_not_gone_through_or_is_empty_is_not_ok() -> None:
    assert not verdict(CAUGHT, wanted=2)
    assert not verdict(wanted=0)
    assert not verdict(CAUGHT, baseline=())


def tree_with(root: Path, *texts: str) -> Path:
    (root / "swimstream").mkdir()
    for number, text in enumerate(texts):
        (root / "swimstream" / f"m{number}.py").write_text(text)
    return root


def test_a_place_that_is_gone_or_there_twice_is_an_error(tmp_path: Path) -> None:
    tree_with(tmp_path, "a = 1\nb = 2\n", "b = 2\n")
    places = {"a = 1": True, "b = 2": False, "c = 3": False}
    for old, is_sound in places.items():
        mutant = Mutant(name="m", rule="R", edits=(Edit(old=old, new="pass"),), tests=("t",))
        if is_sound:
            assert mutated(mutant, tmp_path) == {Path("swimstream/m0.py"): "pass\nb = 2\n"}
        else:
            with pytest.raises(MutantError, match="exactly once"):
                mutated(mutant, tmp_path)


def test_a_named_file_tells_apart_what_two_files_hold(tmp_path: Path) -> None:
    tree_with(tmp_path, "b = 2\n", "b = 2\n")
    edits = (Edit(old="b = 2", new="b = 3", file="swimstream/m1.py"),)
    assert mutated(Mutant(name="m", rule="R", edits=edits, tests=("t",)), tmp_path) == {
        Path("swimstream/m1.py"): "b = 3\n"
    }


@pytest.mark.parametrize(
    "text",
    [
        'rule = "R"\nedits = []\ntests = ["t"]\n',
        'rule = "R"\n[[edits]]\nold = "a"\nnew = "b"\n',
        'rule = "R"\ntests = ["t"]\n[[edits]]\nold = "a"\nnew = "a"\n',
        'rule = "R"\n[[edits]]\nold = "a"\nnew = "b"\n[[worlds]]\nstory = "none"\nseeds = 1\n',
    ],
    ids=["no edit", "no check", "nothing changed", "no such story"],
)
def test_a_mutant_that_says_nonsense_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(MutantError):
        read(tmp_path / "m.toml")


def python(code: str) -> Step:
    return Step(command=(sys.executable, "-c", code), says=aimed_step(()).says, otherwise="unnamed")


def found(*steps: Step, limit_s: float = 60.0) -> Finding:
    return trio.run(partial(judge_tree, ROOT, iter(steps), limit_s=limit_s))


def test_the_first_red_check_ends_a_judgement_and_is_named() -> None:
    finding = found(python("pass"), python("print('FAILED tests/a.py::test_a - no'); exit(1)"), python("exit(3)"))
    assert (finding.red, finding.error) == ("tests/a.py::test_a", "")


def test_a_tree_that_cannot_be_checked_is_not_caught() -> None:
    """Status 2 of pytest is an error while collecting: a mutant that is no Python would be caught by anything."""
    finding = found(python("print('no such module'); exit(2)"))
    assert not finding.red
    assert "no such module" in finding.error


def test_a_check_that_takes_too_long_is_ended_and_is_no_verdict() -> None:
    finding = found(python("import time; time.sleep(600)"), limit_s=0.5)
    assert (finding.red, finding.error) == ("", "time is over")
    assert finding.took_s < 30


def test_a_red_world_is_named_with_its_promise() -> None:
    (step,) = world_steps(Worlds(story="crash", seeds=2))
    output = "crash, seed 1, 6 workers, at 7.000 s\n  agreement: two views differ\n  again: python\n"
    assert red_check(step, output) == "crash, seed 1: agreement: two views differ"


def test_the_worlds_of_a_story_are_lived_through_once_each() -> None:
    steps = list(world_steps(Worlds(story="crash", seeds=70, first=5)))
    spans = [(int(step.command[step.command.index("--first") + 1]), int(step.command[-3])) for step in steps]
    assert [seed for first, count in spans for seed in range(first, first + count)] == list(range(5, 75))


def test_a_check_of_several_mutants_is_made_once_without_any() -> None:
    edits = (Edit(old="a", new="b"),)
    worlds = (Worlds(story="crash", seeds=1),)
    two = [Mutant(name=name, rule="R", edits=edits, tests=("t", name), worlds=worlds) for name in "xy"]
    assert [name for name, _ in baseline(two)] == ["3 tests", "crash, 1 worlds from seed 0"]


def test_a_command_runs_in_the_tree_that_it_is_given(tmp_path: Path) -> None:
    (tmp_path / "chaos").symlink_to(ROOT / "chaos")
    (tmp_path / "swimstream").mkdir()
    (tmp_path / "swimstream" / "__init__.py").write_text("")
    status, output = trio.run(
        partial(run_command, (sys.executable, "-c", "import swimstream; print(swimstream.__file__)"), cwd=tmp_path)
    )
    assert status == 0, output
    assert Path(output.strip()).is_relative_to(tmp_path)


def test_the_table_says_what_was_wrong() -> None:
    gone = Verdict(name="b", rule="R", outcome="error", detail="expected this text exactly once")
    assert table([CAUGHT, gone]).splitlines()[-1].strip() == "expected this text exactly once"
