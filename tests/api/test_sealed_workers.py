"""Workers that hold a key: what a user configures, and that nobody else gets in."""

from __future__ import annotations

import base64
import stat
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from swimstream import JobSpec, OperatorContext, OperatorSpec, UsageError, Worker, WorkerConfig
from swimstream.cli.keygen import keygen
from swimstream.model.member import MemberState
from swimstream.runtime.replies import Found
from swimstream.wire.keyring import key_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from swimstream.runtime.view import View

WAIT_S = 60.0
"""Only what hangs takes so long: who is asked for keys has as much time to answer, or it would count as silent."""
JOB = JobSpec(name="job", operators=[OperatorSpec(name="op", kind="touch")])


def key_file(path: Path, *keys: int) -> Path:
    path.write_text("".join(f"{base64.b64encode(bytes([key]) * 32).decode()}\n" for key in keys))
    return path


def touch(ctx: OperatorContext) -> None:
    ctx.progress(1)


def worker(name: str, key: Path, *, seeds: tuple[str, ...] = (), join_timeout_s: float = WAIT_S) -> Worker:
    made = Worker(
        name=name,
        preset="local",
        expect=2,
        seeds=seeds,
        key_file=key,
        join_timeout_s=join_timeout_s,
        stop_timeout_s=1.0,
    )
    made.register("touch", touch)
    return made


def test_workers_with_one_key_run_a_job_together(tmp_path: Path) -> None:
    key = key_file(tmp_path / "cluster.key", 1)
    with worker("a", key) as one, worker("b", key, seeds=(str(one.address),)) as other:
        other.submit(JOB).wait(WAIT_S)
        one.finished("job").wait(WAIT_S)


def test_a_worker_of_another_key_stays_outside(tmp_path: Path) -> None:
    ours, theirs = key_file(tmp_path / "ours", 1), key_file(tmp_path / "theirs", 2)
    with worker("a", ours) as one, worker("b", theirs, seeds=(str(one.address),), join_timeout_s=0.5):
        assert [member.run.name for member in one.members()] == ["a"]


def test_a_worker_in_the_middle_of_a_change_of_keys_is_understood(tmp_path: Path) -> None:
    old, both = key_file(tmp_path / "old", 1), key_file(tmp_path / "both", 1, 2)
    with worker("a", old) as one, worker("b", both, seeds=(str(one.address),)) as other:
        other.submit(JOB).wait(WAIT_S)


def until(worker: Worker, condition: Callable[[View], bool]) -> None:
    """Wait until a view of the worker satisfies `condition`."""
    worker._running().views.when(lambda view: Found(None) if condition(view) else None).wait(WAIT_S)


def settle(workers: list[Worker]) -> None:
    """Wait until all see each other."""
    for each in workers:
        until(each, lambda view: sum(not member.state.is_gone for member in view.members) == len(workers))


def ids(*keys: int) -> tuple[str, ...]:
    return tuple(key_id(bytes([key]) * 32).hex() for key in keys)


def test_the_key_of_a_running_cluster_is_changed_in_three_steps_and_kept_in_the_key_files(tmp_path: Path) -> None:
    files = [key_file(tmp_path / name, 1) for name in "abc"]
    with (
        worker("a", files[0]) as one,
        worker("b", files[1], seeds=(str(one.address),)) as two,
        worker("c", files[2], seeds=(str(one.address),)) as three,
    ):
        settle([one, two, three])
        fresh = base64.b64encode(bytes([2]) * 32).decode()
        for report, keys in (
            (one.install_key(fresh, patience_s=WAIT_S).wait(WAIT_S), (1, 2)),
            (two.use_key(ids(2)[0], patience_s=WAIT_S).wait(WAIT_S), (2, 1)),
            (three.remove_key(ids(1)[0], patience_s=WAIT_S).wait(WAIT_S), (2,)),
            (one.keys(patience_s=WAIT_S).wait(WAIT_S), (2,)),
        ):
            assert report.is_complete
            assert report.keys == dict.fromkeys("abc", ids(*keys))
        with worker("d", key_file(tmp_path / "d", 2), seeds=(str(one.address),)) as four:
            settle([one, two, three, four])
    assert [WorkerConfig(name="x", key_file=file).keys() for file in files] == [(bytes([2]) * 32,)] * 3


def test_a_step_that_would_cut_somebody_off_is_refused_and_names_it(tmp_path: Path) -> None:
    files = [key_file(tmp_path / "a", 1, 2), key_file(tmp_path / "b", 1)]
    with worker("a", files[0]) as one, worker("b", files[1], seeds=(str(one.address),)) as two:
        settle([one, two])
        with pytest.raises(UsageError, match=r"key: to use .* would cut off b, who may not hold it"):
            one.use_key(ids(2)[0], patience_s=WAIT_S).wait(WAIT_S)
        with pytest.raises(UsageError, match=r"key: to remove .* would cut off a, b"):
            one.remove_key(ids(1)[0], patience_s=WAIT_S).wait(WAIT_S)
        assert one.keys(patience_s=WAIT_S).wait(WAIT_S).keys == {"a": ids(1, 2), "b": ids(1)}


def test_who_is_away_during_a_change_of_keys_is_named(tmp_path: Path) -> None:
    file = key_file(tmp_path / "key", 1)
    with worker("a", file) as one:
        away = worker("b", file, seeds=(str(one.address),))
        away.start()
        settle([one, away])
        away.stop(leave=False)
        until(one, lambda view: any(member.state is MemberState.DEAD for member in view.members))
        fresh = base64.b64encode(bytes([2]) * 32).decode()
        report = one.install_key(fresh, patience_s=WAIT_S).wait(WAIT_S)
        assert (report.away, report.is_complete, report.lacking(ids(2)[0])) == (("b",), False, ("b",))
        with pytest.raises(UsageError, match="would cut off b"):
            one.use_key(ids(2)[0], patience_s=WAIT_S).wait(WAIT_S)
        one.remove("b").wait(WAIT_S)
        assert one.use_key(ids(2)[0], patience_s=WAIT_S).wait(WAIT_S).is_complete


def test_a_worker_without_keys_says_so_and_tells_nobody_the_new_one() -> None:
    with Worker(name="a", preset="local") as one, pytest.raises(UsageError, match="has no key_file"):
        one.install_key(base64.b64encode(bytes([2]) * 32).decode()).wait(WAIT_S)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "key_file: expected 1 to 8 keys, one a line, got 0"),
        ("rubbish\n", "key_file: key 1: expected 32 bytes in base64"),
        (f"{base64.b64encode(bytes(32)).decode()}\n" * 2, "key_file: expected each key once"),
    ],
)
def test_a_bad_key_file_is_refused_with_the_name_of_the_field(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "cluster.key"
    path.write_text(content)
    with pytest.raises(UsageError, match=message):
        WorkerConfig(name="a", key_file=path)


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"key_file: .*nothing cannot be read"):
        WorkerConfig(name="a", key_file=tmp_path / "nothing")


def test_listening_for_other_machines_needs_a_key(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="bind: expected a loopback address"):
        WorkerConfig(name="a", bind="0.0.0.0:7946")
    WorkerConfig(name="a", bind="0.0.0.0:7946", key_file=key_file(tmp_path / "cluster.key", 1))


def test_a_key_file_is_found_beside_the_config_file(tmp_path: Path) -> None:
    key_file(tmp_path / "cluster.key", 1)
    (tmp_path / "w.toml").write_text('name = "a"\nkey_file = "cluster.key"\n')
    assert WorkerConfig.from_toml(tmp_path / "w.toml").keys() == (bytes([1]) * 32,)


def test_keygen_writes_a_key_that_only_its_owner_reads_and_overwrites_none(tmp_path: Path) -> None:
    path = tmp_path / "cluster.key"
    assert CliRunner().invoke(keygen, [str(path)]).exit_code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(WorkerConfig(name="a", key_file=path).keys()) == 1
    again = CliRunner().invoke(keygen, [str(path)])
    assert (again.exit_code, len(WorkerConfig(name="a", key_file=path).keys())) == (2, 1)


def test_keygen_prints_another_key_each_time() -> None:
    printed = {CliRunner().invoke(keygen, []).output for _ in range(3)}
    assert len(printed) == 3
