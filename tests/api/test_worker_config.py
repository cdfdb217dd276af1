"""What a user writes about a worker: every fault names its field."""

from __future__ import annotations

from pathlib import Path

import pytest

import swimstream.config
from swimstream.errors import UsageError
from swimstream.model.identity import Address
from swimstream.worker import Worker, WorkerConfig


def read(tmp_path: Path, text: str) -> WorkerConfig:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return WorkerConfig.from_toml(path)


def faults(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, text)
    return [line.removeprefix(f"{tmp_path / 'config.toml'}: ") for line in str(caught.value).splitlines()]


def test_a_worker_without_a_name_is_refused_with_that_field() -> None:
    with pytest.raises(UsageError, match="name: expected 1 to 64 letters"):
        Worker()


def test_a_name_is_all_that_is_needed() -> None:
    config = WorkerConfig(name="w1")
    assert config.bind_address() == Address("127.0.0.1", 0)
    assert config.timing_values() == swimstream.config.LAN


def test_every_key_of_a_file_is_a_field(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        """
        name = "w1"
        seeds = ["127.0.0.1:7946", "[::1]:7946", "seed.example:7946"]
        site = "edge"
        capacity = 4
        expect = 3
        preset = "local"
        state_dir = "state"
        control = "/run/w1.sock"
        module = "flights"
        tags = { role = "edge" }
        [timing]
        probe_interval_s = 2
        """,
    )
    assert config.seed_addresses()[1:] == (Address("::1", 7946), Address("seed.example", 7946))
    assert config.timing_values().probe_interval_s == 2
    assert config.timing_values().gossip_interval_s == swimstream.config.LOCAL.gossip_interval_s
    assert config.state_dir == tmp_path / "state", "relative to the file"
    assert config.control == Path("/run/w1.sock")
    assert config.node_config(()).tags == {"role": "edge"}


def test_an_unknown_key_is_named_with_those_that_are_known(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, 'name = "w1"\ncolour = 1')
    assert fault.startswith("colour: unknown key; expected one of name, seeds, bind,")


def test_a_file_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.toml: cannot be read: No such file"):
        WorkerConfig.from_toml(tmp_path / "none.toml")


def test_all_wrong_types_are_told_at_once(tmp_path: Path) -> None:
    assert faults(tmp_path, 'name = 3\nseeds = "x"\ncapacity = "4"\ninsecure_plaintext = 1') == [
        "name: expected text, got 3",
        'seeds: expected a list, got "x"',
        'capacity: expected an integer, got "4"',
        "insecure_plaintext: expected true or false, got 1",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('name = "w1"\nbind = "127.0.0.1:70000"', "bind: expected 'host:port' with a port from 0 to 65535"),
        ('name = "w1"\nseeds = ["a:1", "b"]', "seeds[1]: expected 'host:port'"),
        ('name = "w1"\nseeds = ["a:0"]', "seeds[0]: expected a port from 1 to 65535"),
        ('name = "w 1"', "name: expected 1 to 64 letters"),
        ('name = "w1"\ncapacity = -1', "capacity: expected an integer from 0 to 1024, got -1"),
        ('name = "w1"\npreset = "moon"', "preset: expected one of local, lan, wan, got 'moon'"),
        ('name = "w1"\n[timing]\nprobe = 1', "timing.probe: unknown key; expected one of probe_interval_s,"),
        ('name = "w1"\n[timing]\nprobe_interval_s = 0', "timing.probe_interval_s: expected 0.01 to 60 s, got 0"),
        ('name = "w1"\n[timing]\nprobe_timeout_s = 9', "timing.probe_timeout_s: expected less than probe_interval_s"),
        ('name = "w1"\n[tags]\nrole = 1', "tags.role: expected text, got 1"),
        ('name = "w1"\ntags = "edge"', 'tags: expected a table, got "edge"'),
        ("", "name: expected a value, got none"),
        ("name = ", "not a TOML file:"),
    ],
)
def test_a_bad_value_is_named_with_what_was_expected(tmp_path: Path, text: str, fault: str) -> None:
    (told,) = faults(tmp_path, text)
    assert told.startswith(fault)


@pytest.mark.parametrize("bind", ["0.0.0.0:0", "192.0.2.1:7946", "[::]:0", "somewhere.example:7946"])
def test_listening_beyond_this_machine_needs_a_word_of_consent(bind: str) -> None:
    with pytest.raises(UsageError, match=r"^bind: expected a loopback address.*needs a key_file"):
        WorkerConfig(name="w1", bind=bind)
    WorkerConfig(name="w1", bind=bind, insecure_plaintext=True)


def test_seeds_as_one_text_are_refused_rather_than_taken_letter_by_letter() -> None:
    with pytest.raises(UsageError, match="seeds: expected a list"):
        Worker(name="w1", seeds="127.0.0.1:1")


def test_a_kind_can_be_registered_once_only() -> None:
    worker = Worker(name="w1")

    @worker.operator("count")
    def count(_: object) -> None: ...

    with pytest.raises(UsageError, match="kind: 'count' is registered already"):
        worker.register("count", count)
