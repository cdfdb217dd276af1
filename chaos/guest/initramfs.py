"""The few files that a kernel starts from, as the kernel wants them: a cpio archive, `newc` (its buffer-format.rst)."""

from __future__ import annotations

import lzma
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

REGULAR, DIRECTORY, CHARACTERS = 0o100000, 0o040000, 0o020000
CONSOLE = (5, 1)
"""Major and minor number of /dev/console, without which the first program has no output."""
NO_DEVICE = (0, 0)
ZSTD_S_MAX = 60.0


def archive(files: Mapping[str, bytes]) -> bytes:
    """Return an archive of executable files in the root directory, and /dev/console."""
    entries = [
        _entry("dev", DIRECTORY | 0o755, b""),
        _entry("dev/console", CHARACTERS | 0o600, b"", device=CONSOLE),
        *(_entry(name, REGULAR | 0o755, content) for name, content in files.items()),
        _entry("TRAILER!!!", 0, b""),
    ]
    return b"".join(entries)


def load_order(dependencies: str, wanted: Iterable[str]) -> list[str]:
    """Return which module files to load, in order, for some modules by name; `dependencies` is modules.dep's text.

    A module that is not there is taken to be a part of the kernel.
    """
    needs: dict[str, tuple[str, list[str]]] = {}
    for line in dependencies.splitlines():
        path, _, rest = line.partition(":")
        needs[_module(path)] = (path, rest.split())
    nothing: list[str] = []
    order: list[str] = []
    for name in wanted:
        file, others = needs.get(name.replace("-", "_"), ("", nothing))
        # modules.dep names all that a module needs, each after those that need it.
        order += [each for each in [*reversed(others), file] if each and each not in order]
    return order


def unpacked(module: Path) -> bytes:
    """Return a module as the kernel takes it, whichever way the distribution has packed it."""
    match module.suffix:
        case ".xz":
            return lzma.decompress(module.read_bytes())
        case ".zst":
            command = ["zstd", "--decompress", "--stdout", str(module)]
            return subprocess.run(  # noqa: S603  # a fixed command
                command, capture_output=True, check=True, timeout=ZSTD_S_MAX
            ).stdout
        case _:
            return module.read_bytes()


def _module(path: str) -> str:
    return Path(path).name.partition(".ko")[0].replace("-", "_")


def _entry(name: str, mode: int, content: bytes, *, device: tuple[int, int] = NO_DEVICE) -> bytes:
    encoded = name.encode() + b"\0"
    fields = [0, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(encoded), 0]
    head = b"070701" + "".join(f"{field:08X}" for field in fields).encode() + encoded
    return _padded(head) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
