"""What a user writes about a worker: in code, or in a TOML file with the same keys. Validated when built."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import attrs

from swimstream.config import PRESETS, NodeConfig, Timing
from swimstream.errors import UsageError
from swimstream.model.identity import Address, check_name
from swimstream.model.member import CAPACITY_MAX, EXPECT_MAX
from swimstream.model.talk import check_tags
from swimstream.runners.command import Command
from swimstream.runtime.binding import is_loopback
from swimstream.runtime.ticks import FROZEN_AFTER_S_MIN
from swimstream.runtime.udp import is_literal
from swimstream.tables import read_toml, structure
from swimstream.wire.keyring import KEYS_MAX, parse_key

if TYPE_CHECKING:
    from typing import Self

SEEDS_MAX = 64
THREAD = "thread"
"""The peer runs on a thread of the worker's process."""
PROCESS = "process"
"""The peer runs in a small process of its own, which outlives the worker by its last words."""
PEER_ISOLATIONS = (THREAD, PROCESS)
NO_DEFAULTS: Mapping[str, object] = MappingProxyType({})
SOCKET_PATH_BYTES_MAX = 100


def _check_text(_: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str):
        raise UsageError(f"{attribute.name}: expected text, got {value!r}")


def _check_name(_: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not isinstance(value, str):
        raise UsageError(f"{attribute.name}: expected text, got {value!r}")
    check_name(attribute.name, value)


def _check_count(low: int, high: int) -> Callable[[object, attrs.Attribute[int], int], None]:
    def check(_: object, attribute: attrs.Attribute[int], value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise UsageError(f"{attribute.name}: expected an integer from {low} to {high}, got {value!r}")

    return check


def _check_seconds(_: object, attribute: attrs.Attribute[float], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 3_600:
        raise UsageError(f"{attribute.name}: expected 0 to 3600 s, got {value!r}")


def _to_seeds(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise UsageError(f"seeds: expected a list of 'host:port', got {value!r}")
    return tuple(value)


def _to_path(value: str | os.PathLike[str] | None) -> Path | None:
    return None if value is None else Path(value)


def _to_commands(value: object) -> Mapping[str, Command]:
    if not isinstance(value, Mapping):
        raise UsageError(f"commands: expected a table of commands by kind, got {value!r}")
    made = {}
    for kind in value:
        check_name("commands", kind)
        given = value[kind]
        if not isinstance(given, Command | Mapping):
            raise UsageError(f"commands.{kind}: expected a table with argv or shell, got {given!r}")
        try:
            made[kind] = given if isinstance(given, Command) else structure(given, Command)
        except UsageError as error:
            raise UsageError("\n".join(f"commands.{kind}.{line}" for line in str(error).splitlines())) from None
    return made


@attrs.frozen(kw_only=True)
class WorkerConfig:
    """Everything that a worker can be told. Every fault is a `UsageError` that names the field."""

    name: str = attrs.field(validator=_check_name)
    """Unique among the live workers of the cluster; a restarted worker keeps it."""
    seeds: tuple[str, ...] = attrs.field(default=(), converter=_to_seeds)
    """`host:port` of workers to ask at the start; one that answers is enough. Empty: wait to be found."""
    bind: str = attrs.field(default="127.0.0.1:0", validator=_check_text)
    """Where to listen, by UDP and TCP; port 0 picks a free one. An address that other machines can reach needs a
    `key_file`, or `insecure_plaintext` and a network in which every machine is trusted."""
    advertise: str = attrs.field(default="", validator=_check_text)
    """Where others reach this worker, if that is not where it listens (NAT, containers). Port 0: the bound one."""
    site: str = attrs.field(default="default", validator=_check_name)
    """Label for a place whose workers fail and are near together."""
    capacity: int = attrs.field(default=64, validator=_check_count(0, CAPACITY_MAX))
    """How many instances it takes at a time; 0 for a worker that only watches and votes."""
    expect: int = attrs.field(default=1, validator=_check_count(1, EXPECT_MAX))
    """The cluster is founded once so many workers that say the same number see each other."""
    preset: str = attrs.field(default="lan", validator=_check_text)
    """Pace of the protocol: `local` (one machine), `lan` (one data centre) or `wan` (far apart)."""
    timing: Mapping[str, float] = attrs.field(factory=dict)
    """Fields of `swimstream.config.Timing` that differ from the preset."""
    state_dir: Path | None = attrs.field(default=None, converter=_to_path)
    """Where votes, the plan and addresses of members survive a restart. None: a restarted worker is a new voter."""
    control: Path | None = attrs.field(default=None, converter=_to_path)
    """Path of the Unix socket for the `swimstream` command and other local programs. None: no control port."""
    module: str = attrs.field(default="", validator=_check_text)
    """Dotted module whose functions marked by `@swimstream.operator(kind)` the `swimstream worker` command runs."""
    key_file: Path | None = attrs.field(default=None, converter=_to_path)
    """Secret keys of the cluster, one a line as `swimstream keygen` makes them, at most 8. The first seals every
    packet, all of them open. A change of the keys of the running cluster is written here. Needs the extra `crypto`."""
    insecure_plaintext: bool = attrs.field(default=False)
    """Whether to listen, without encryption or authentication, where other machines can reach."""
    logs: Path | None = attrs.field(default=None, converter=_to_path)
    """Where the output of processes and commands is kept, in a directory named after the worker. None: `logs` in the
    `state_dir`; without one nothing is kept, and the output goes where the worker's own goes."""
    log_bytes: int = attrs.field(default=4 * 2**20, validator=_check_count(4_096, 2**40))
    """How much of the output of each instance is kept, in four files; the oldest goes first."""
    commands: Mapping[str, Command] = attrs.field(factory=dict, converter=_to_commands)
    """Commands that run operators, by kind."""
    tags: Mapping[str, str] = attrs.field(factory=dict)
    """What the worker says of itself, for others to see and to be asked by; `Worker.set_tags` changes it. Keys are
    names, values texts of at most 512 B; at most 64 of them, and 4,096 B together."""
    isolation: str = attrs.field(default=THREAD, validator=_check_text)
    """Where the peer runs, which speaks for this worker: `thread` of the worker's process, or `process` of its own.
    Such a peer goes on whatever operators do with the interpreter, and tells the others at once when the worker
    crashes."""
    frozen_after_s: float = attrs.field(default=1.0, validator=_check_seconds)
    """The instances in the worker are FROZEN when its operators' loop has not turned for so long; at least 0.1 s."""
    join_timeout_s: float = attrs.field(default=10.0, validator=_check_seconds)
    """How long the start waits for a seed to answer before it goes on trying in the background."""
    drain_timeout_s: float = attrs.field(default=20.0, validator=_check_seconds)
    """How long a worker that leaves waits for others to take over what it runs, 0: not at all. It waits for nobody who
    is not there: without a worker that could take over, or a council that could decide it, it leaves at once."""
    stop_timeout_s: float = attrs.field(default=5.0, validator=_check_seconds)
    """How long a stop waits for operators to end, and again for others to be told."""

    def __attrs_post_init__(self) -> None:
        """Check what one field alone cannot tell."""
        check_tags("tags", self.tags)
        self.timing_values()
        self.seed_addresses()
        self.advertise_address()
        if self.isolation not in PEER_ISOLATIONS:
            raise UsageError(f"isolation: expected one of {', '.join(PEER_ISOLATIONS)}, got {self.isolation!r}")
        if self.frozen_after_s < FROZEN_AFTER_S_MIN:
            raise UsageError(f"frozen_after_s: expected {FROZEN_AFTER_S_MIN} to 3600 s, got {self.frozen_after_s!r}")
        if not isinstance(self.insecure_plaintext, bool):
            raise UsageError(f"insecure_plaintext: expected true or false, got {self.insecure_plaintext!r}")
        host = self.bind_address().host
        local = is_loopback(host) if is_literal(host) else host == "localhost"
        if not local and not self.insecure_plaintext and self.key_file is None:
            raise UsageError(
                f"bind: expected a loopback address, got {self.bind!r}; listening for other machines needs a "
                "key_file (see 'swimstream keygen'), or insecure_plaintext = true on a network that you trust"
            )
        self.keys()
        if self.control is not None and len(os.fsencode(self.control)) > SOCKET_PATH_BYTES_MAX:
            raise UsageError(f"control: expected a path of at most {SOCKET_PATH_BYTES_MAX} bytes, got {self.control}")

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str], *, defaults: Mapping[str, object] = NO_DEFAULTS) -> Self:
        """Read a TOML file with the fields as keys. Paths in it are relative to the file's own directory.

        `defaults` holds for fields that the file does not name.
        """
        file = Path(path)
        base = file.absolute().parent
        table = {**defaults, **read_toml(file)}
        key_file = table.get("key_file")
        if isinstance(key_file, str):
            table["key_file"] = str(base / key_file)  # at once, because it is read while the config is built
        config = structure(table, cls, where=str(file))
        return attrs.evolve(
            config,
            state_dir=None if config.state_dir is None else base / config.state_dir,
            control=None if config.control is None else base / config.control,
            logs=None if config.logs is None else base / config.logs,
            commands={
                kind: command if command.cwd is None else attrs.evolve(command, cwd=base / command.cwd)
                for kind, command in config.commands.items()
            },
        )

    def keys(self) -> tuple[bytes, ...]:
        """Read the keys of `key_file`; none without one."""
        if self.key_file is None:
            return ()
        try:
            lines = self.key_file.read_text(encoding="ascii").split()
        except OSError as error:
            raise UsageError(f"key_file: {self.key_file} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise UsageError(f"key_file: {self.key_file}: expected keys in base64, one a line") from None
        if not 1 <= len(lines) <= KEYS_MAX:
            raise UsageError(f"key_file: expected 1 to {KEYS_MAX} keys, one a line, got {len(lines)}")
        keys = tuple(parse_key(line, field=f"key_file: key {n}") for n, line in enumerate(lines, start=1))
        if len(set(keys)) < len(keys):
            raise UsageError("key_file: expected each key once")
        return keys

    def logs_directory(self) -> Path | None:
        """Return where output is kept, None if it is not."""
        if self.logs is not None:
            return self.logs / self.name
        return None if self.state_dir is None else self.state_dir / "logs"

    def bind_address(self) -> Address:
        """Return `bind`, parsed."""
        return Address.parse(self.bind, field="bind")

    def advertise_address(self) -> Address | None:
        """Return `advertise`, parsed; None if others reach this worker where it listens."""
        return Address.parse(self.advertise, field="advertise") if self.advertise else None

    def seed_addresses(self) -> tuple[Address, ...]:
        """Return `seeds`, parsed; hosts may be names."""
        if len(self.seeds) > SEEDS_MAX:
            raise UsageError(f"seeds: expected at most {SEEDS_MAX}, got {len(self.seeds)}")
        found = []
        for position, seed in enumerate(self.seeds):
            if not isinstance(seed, str):
                raise UsageError(f"seeds[{position}]: expected 'host:port', got {seed!r}")
            address = Address.parse(seed, field=f"seeds[{position}]")
            if address.port == 0:
                raise UsageError(f"seeds[{position}]: expected a port from 1 to 65535, got {seed!r}")
            found.append(address)
        return tuple(found)

    def timing_values(self) -> Timing:
        """Return the preset with the fields of `timing` in place."""
        if self.preset not in PRESETS:
            raise UsageError(f"preset: expected one of {', '.join(PRESETS)}, got {self.preset!r}")
        if not isinstance(self.timing, Mapping):
            raise UsageError(f"timing: expected a table of fields of Timing, got {self.timing!r}")
        known = [field.name for field in attrs.fields(Timing)]
        for key in self.timing:
            if key not in known:
                raise UsageError(f"timing.{key}: unknown key; expected one of {', '.join(known)}")
        try:
            return attrs.evolve(PRESETS[self.preset], **self.timing)  # type: ignore[arg-type]  # the keys are checked
        except UsageError as error:
            raise UsageError(f"timing.{error}") from None

    def node_config(self, kinds: tuple[str, ...]) -> NodeConfig:
        """Return what the node needs of it; `advertise` is filled in once the port is known."""
        return NodeConfig(
            name=self.name,
            advertise=self.bind_address(),
            site=self.site,
            kinds=kinds,
            capacity=self.capacity,
            expect=self.expect,
            keys=self.keys(),
            tags=self.tags,
            seeds=self.seed_addresses(),
            timing=self.timing_values(),
        )
