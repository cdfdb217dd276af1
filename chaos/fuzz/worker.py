"""One target in a process of its own: `python -m chaos.fuzz.worker TARGET CORPUS SECONDS SEED ARTIFACT_PREFIX ENGINE`.

libFuzzer never returns, so each target needs a process. CORPUS is a directory that it keeps its scripts in. Where
atheris cannot be installed a loop of our own takes its place: it knows nothing of coverage and only varies scripts at
random, from a seed. Both write the script of a finding to `ARTIFACT_PREFIX...` and end with a status other than 0, or
say `Done N runs`.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import resource
import sys
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ATHERIS, LOOP = "atheris", "loop"
RSS_MB_MAX = 768
SCRIPT_BYTES_MAX = 4_096
SCRIPT_S_MAX = 20
POOL_MAX = 2_000
FINDING = 77
"""Exit status, as libFuzzer's."""


def has_atheris() -> bool:
    """Return whether the coverage-guided engine is installed."""
    return importlib.util.find_spec("atheris") is not None


def load(target: str) -> tuple[Callable[[bytes], None], tuple[bytes, ...]]:
    """Import a target, with every bound lowered; return it and the scripts to begin with."""
    bounds = importlib.import_module("chaos.fuzz.bounds")
    targets = importlib.import_module("chaos.fuzz.targets")
    bounds.tighten()
    return targets.TARGETS[target], targets.seeds_of(target)


def run_atheris(target: str, *, corpus: Path, seconds: int, seed: int, prefix: str) -> None:
    """Let libFuzzer vary scripts by the branches that they reach. Ends the process."""
    import atheris  # noqa: PLC0415  # of the extra `fuzz`; the loop does without

    with atheris.instrument_imports(include=["swimstream", "chaos.fuzz"]):
        attack, seeds = load(target)
    for script in seeds:
        (corpus / _name(script)).write_bytes(script)
    arguments = [
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-artifact_prefix={prefix}",
        f"-rss_limit_mb={RSS_MB_MAX}",
        f"-timeout={SCRIPT_S_MAX}",
        f"-max_len={SCRIPT_BYTES_MAX}",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *arguments, str(corpus)], kept(attack, prefix))
    atheris.Fuzz()


def kept(attack: Callable[[bytes], None], prefix: str) -> Callable[[bytes], None]:
    """Return an attack that writes down every script that fails, under the name that libFuzzer would give it."""

    def run(script: bytes) -> None:
        try:
            attack(script)
        except BaseException:
            Path(f"{prefix}crash-{_name(script)}").write_bytes(script)
            raise

    return run


def _name(script: bytes) -> str:
    return hashlib.sha1(script, usedforsecurity=False).hexdigest()


def run_loop(target: str, *, seconds: int, seed: int, prefix: str) -> int:
    """Vary scripts at random; return the exit status."""
    attack, seeds = load(target)

    def watched(script: bytes) -> None:
        attack(script)
        assert peak_rss_mb() < RSS_MB_MAX, f"memory: expected less than {RSS_MB_MAX} MB"

    run = kept(watched, prefix)
    rng = Random(seed)
    pool = list(seeds)
    ends_at = time.monotonic() + seconds
    runs = 0
    while time.monotonic() < ends_at:
        script = vary(rng.choice(pool), rng)
        if len(pool) < POOL_MAX:
            pool.append(script)
        else:
            pool[rng.randrange(len(seeds), POOL_MAX)] = script
        runs += 1
        try:
            run(script)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is what we look for
            print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201  # read by run.py
            return FINDING
    print(f"Done {runs} runs in {seconds} second(s)", file=sys.stderr)  # noqa: T201  # likewise
    print(f"stat::peak_rss_mb: {peak_rss_mb()}", file=sys.stderr)  # noqa: T201  # likewise
    return 0


def vary(script: bytes, rng: Random) -> bytes:
    """Return a script like another."""
    changed = bytearray(script or b"\0")
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        place = rng.randrange(len(changed) + 1)
        match rng.randrange(4):
            case 0:
                changed[place : place + rng.randrange(1, 9)] = b""
            case 1:
                changed[place:place] = rng.randbytes(rng.randrange(1, 33))
            case 2:
                begin = rng.randrange(len(changed) + 1)
                changed[place:place] = changed[begin : begin + 64]
            case _:
                changed[place : place + 1] = rng.randbytes(1)
    return bytes(changed[:SCRIPT_BYTES_MAX])


def peak_rss_mb() -> int:
    """Return the most memory that this process has ever held, MB (Linux counts in KB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1_024


def main() -> None:
    """Run one target."""
    target, corpus, seconds, seed, prefix, engine = sys.argv[1:]
    if engine == ATHERIS:
        run_atheris(target, corpus=Path(corpus), seconds=int(seconds), seed=int(seed), prefix=prefix)
    sys.exit(run_loop(target, seconds=int(seconds), seed=int(seed), prefix=prefix))


if __name__ == "__main__":
    main()
