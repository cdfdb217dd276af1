"""Workers that hold a key: what a user configures, and that nobody else gets in."""

from __future__ import annotations

import base64
import stat
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from swimstream import JobSpec, OperatorContext, OperatorSpec, UsageError, Worker, WorkerConfig
from swimstream.cli.keygen import keygen

if TYPE_CHECKING:
    from pathlib import Path

JOB = JobSpec(name="job", operators=[OperatorSpec(name="op", kind="touch")])


def key_file(path: Path, *keys: int) -> Path:
    path.write_text("".join(f"{base64.b64encode(bytes([key]) * 32).decode()}\n" for key in keys))
    return path


def touch(ctx: OperatorContext) -> None:
    ctx.progress(1)


def worker(name: str, key: Path, *, seeds: tuple[str, ...] = (), join_timeout_s: float = 10.0) -> Worker:
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
        other.submit(JOB).wait(20)
        one.finished("job").wait(20)


def test_a_worker_of_another_key_stays_outside(tmp_path: Path) -> None:
    ours, theirs = key_file(tmp_path / "ours", 1), key_file(tmp_path / "theirs", 2)
    with worker("a", ours) as one, worker("b", theirs, seeds=(str(one.address),), join_timeout_s=0.5):
        assert [member.run.name for member in one.members()] == ["a"]


def test_a_worker_in_the_middle_of_a_change_of_keys_is_understood(tmp_path: Path) -> None:
    old, both = key_file(tmp_path / "old", 1), key_file(tmp_path / "both", 1, 2)
    with worker("a", old) as one, worker("b", both, seeds=(str(one.address),)) as other:
        other.submit(JOB).wait(20)


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
