"""The key file: written whole or not at all, for its owner only."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from swimstream.runtime.key_file import KeyFile
from swimstream.wire.keyring import KEY_BYTES
from swimstream.worker_config import WorkerConfig

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

ONE, TWO = b"1" * KEY_BYTES, b"2" * KEY_BYTES


def test_what_is_stored_is_what_a_worker_reads_when_it_starts_again(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    KeyFile(path).store([ONE])
    KeyFile(path).store([TWO, ONE])
    assert WorkerConfig(name="a", key_file=path).keys() == (TWO, ONE)
    assert [each.name for each in tmp_path.iterdir()] == ["keys"]


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.touch(mode=0o644)
    KeyFile(path).store([ONE])
    assert path.stat().st_mode & 0o777 == 0o600


def test_workers_that_share_a_file_do_not_disturb_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path, fsync = tmp_path / "keys", os.fsync
    others = [[TWO]]

    def store_another_meanwhile(descriptor: int) -> None:
        if others:
            KeyFile(path).store(others.pop())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", store_another_meanwhile)
    KeyFile(path).store([ONE])
    assert WorkerConfig(name="a", key_file=path).keys() == (ONE,)
    assert ([each.name for each in tmp_path.iterdir()], caplog.text) == (["keys"], "")


def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "keys")
    KeyFile(tmp_path / "link").store([ONE])
    assert (tmp_path / "link").is_symlink()
    assert WorkerConfig(name="a", key_file=tmp_path / "keys").keys() == (ONE,)


def test_a_file_that_cannot_be_written_is_told_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    KeyFile(tmp_path / "nowhere" / "keys").store([ONE])
    assert "in memory only" in caplog.text


def test_a_worker_without_a_key_file_stores_nothing(tmp_path: Path) -> None:
    KeyFile(None).store([ONE])
    assert list(tmp_path.iterdir()) == []
